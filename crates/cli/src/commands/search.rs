//! `search`: images in a registry.

use api::image::{SearchOptions, SearchResult};

use super::ps::LIST_FORMAT;
use crate::app::App;
use crate::command::{Arity, Leaf};
use crate::failure::Failure;
use crate::flag::{Flag, Options};
use crate::format::{Cell, Listing, Row};
use crate::opts::FilterFlag;
use crate::text::ellipsis;

/// Looks for images.
pub(crate) struct Search;

#[derive(Default)]
pub(crate) struct SearchFlags {
    filter: FilterFlag,
    format: String,
    limit: i64,
    no_trunc: bool,
}

impl Options for SearchFlags {
    const FLAGS: &'static [Flag<Self>] = &[
        Flag::lettered('f', "filter", "Show only those that match", |o| &mut o.filter),
        Flag::new("format", LIST_FORMAT, |o| &mut o.format),
        Flag::new("limit", "Show no more than this", |o| &mut o.limit),
        Flag::new("no-trunc", "Show everything in full length", |o| &mut o.no_trunc),
    ];
}

const TABLE: &str = "table {{.Name}}\\t{{.Description}}\\t{{.StarCount}}\\t{{.IsOfficial}}";
const AUTOMATED: &str = "WARNING: the \"is-automated\" filter is deprecated, and searching for \"is-automated=true\" \
                         will not yield any results in future.";
/// Characters of a description in a table.
const WIDTH: usize = 45;

impl Leaf for Search {
    type Options = SearchFlags;
    const NAME: &'static str = "search";
    const ABOUT: &'static str = "Search Docker Hub for images";
    const USAGE: &'static str = "[OPTIONS] TERM";
    const ARITY: Arity = Arity::Exactly(1);

    fn run(app: &App, flags: SearchFlags, mut arguments: Vec<String>) -> Result<(), Failure> {
        let listing = Listing::new(&flags.format, TABLE)?;
        if flags.filter.0.contains("is-automated") {
            eprintln!("{AUTOMATED}");
        }
        let term = arguments.swap_remove(0);
        let auth = app.config().auth(registry_of(&term)).unwrap_or_default();
        let options = SearchOptions { term, limit: flags.limit, filters: flags.filter.0 };
        let client = app.client()?;
        let found = app.block_on(client.search_images(&options, &auth))?;
        let rows: Vec<Found> =
            found.into_iter().map(|result| Found { result, truncate: !flags.no_trunc }).collect();
        app.print(&listing.render(&rows)?)
    }
}

/// The registry that a term names.
fn registry_of(term: &str) -> &str {
    match term.split_once('/') {
        Some(("index.docker.io", _)) => "docker.io",
        Some((first, _)) if first.contains(['.', ':']) || first == "localhost" => first,
        _ => "docker.io",
    }
}

#[derive(Clone)]
struct Found {
    result: SearchResult,
    truncate: bool,
}

impl Row for Found {
    const TYPE: &'static str = "*registry.searchContext";
    const FIELDS: &'static [(&'static str, &'static str)] = &[
        ("Description", "DESCRIPTION"),
        ("IsOfficial", "OFFICIAL"),
        ("Name", "NAME"),
        ("StarCount", "STARS"),
    ];

    fn field(&self, name: &str) -> Cell {
        let result = &self.result;
        Cell::Text(match name {
            "Name" => result.name.clone(),
            "Description" => {
                let line = result.description.replace(['\n', '\r'], " ");
                if self.truncate { ellipsis(&line, WIDTH) } else { line }
            }
            "StarCount" => result.star_count.to_string(),
            "IsOfficial" if result.is_official => "[OK]".to_owned(),
            _ => String::new(),
        })
    }

    fn json(&self, name: &str) -> Cell {
        match name {
            "IsOfficial" => Cell::Text(self.result.is_official.to_string()),
            other => self.field(other),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(format: &str, no_trunc: bool) -> String {
        let result = SearchResult {
            name: "team/app".into(),
            description: format!("one\ntwo{}", "x".repeat(50)),
            star_count: 7,
            is_official: true,
            ..SearchResult::default()
        };
        Listing::new(format, TABLE).unwrap().render(&[Found { result, truncate: !no_trunc }]).unwrap()
    }

    #[test]
    fn official_is_a_mark_in_tables_and_a_truth_in_json() {
        let text = shown("", false);
        assert!(text.starts_with("NAME       DESCRIPTION"), "{text}");
        assert!(text.contains("one two") && text.contains("x…   7         [OK]"), "{text}");
        assert_eq!(shown("{{.StarCount}} {{.IsOfficial}}", false), "7 [OK]\n");
        let long = format!("one two{}", "x".repeat(50));
        assert_eq!(
            shown("json", true),
            format!(
                "{{\"Description\":\"{long}\",\"IsOfficial\":\"true\",\"Name\":\"team/app\",\"StarCount\":\"7\"}}\n"
            )
        );
    }

    #[test]
    fn term_names_its_registry() {
        assert_eq!(registry_of("debian"), "docker.io");
        assert_eq!(registry_of("team/app"), "docker.io");
        assert_eq!(registry_of("index.docker.io/app"), "docker.io");
        assert_eq!(registry_of("localhost:5000/app"), "localhost:5000");
    }
}
