//! `images`: the list of images.

use api::Filters;
use api::image::{ImageSummary, ListOptions};

use super::images_tree::{Style, tree};
use super::ps::LIST_FORMAT;
use crate::app::App;
use crate::command::{Arity, Leaf};
use crate::failure::Failure;
use crate::flag::{Flag, Options};
use crate::format::{Cell, Listing, Row};
use crate::opts::FilterFlag;
use crate::text::{decimal_size, short_id};
use crate::when::{ago, local_text};

/// Lists images.
pub(crate) struct Images;

#[derive(Default)]
pub(crate) struct ImagesOptions {
    all: bool,
    digests: bool,
    filter: FilterFlag,
    format: String,
    no_trunc: bool,
    quiet: bool,
    tree: bool,
}

impl Options for ImagesOptions {
    const FLAGS: &'static [Flag<Self>] = &[
        Flag::lettered('a', "all", "Show intermediate images too", |o| &mut o.all),
        Flag::new("digests", "Show digests", |o| &mut o.digests),
        Flag::lettered('f', "filter", "Show only those that match", |o| &mut o.filter),
        Flag::new("format", LIST_FORMAT, |o| &mut o.format),
        Flag::new("no-trunc", "Show everything in full length", |o| &mut o.no_trunc),
        Flag::lettered('q', "quiet", "Show only IDs", |o| &mut o.quiet),
        Flag::new("tree", "Show the platforms of each image (experimental)", |o| &mut o.tree),
    ];
}

const TABLE: &str = "table {{.Repository}}\\t{{.Tag}}\\t{{.ID}}\\t{{.CreatedSince}}\\t{{.Size}}";
const TABLE_WITH_DIGESTS: &str =
    "table {{.Repository}}\\t{{.Tag}}\\t{{.Digest}}\\t{{.ID}}\\t{{.CreatedSince}}\\t{{.Size}}";

impl Leaf for Images {
    type Options = ImagesOptions;
    const NAME: &'static str = "images";
    const ABOUT: &'static str = "List images";
    const USAGE: &'static str = "[OPTIONS] [REPOSITORY[:TAG]]";
    const ARITY: Arity = Arity::AtMost(1);
    const PATHS: &'static [&'static str] = &["image ls", "image list", "images"];

    fn run(app: &App, options: ImagesOptions, arguments: Vec<String>) -> Result<(), Failure> {
        let mut filters = options.filter.0.clone();
        if let Some(name) = arguments.first() {
            filters.add("reference", name.as_str());
        }
        if options.tree {
            return show_tree(app, &options, filters);
        }
        let listing = listing(app, &options)?;
        let request = ListOptions { all: options.all, filters, ..ListOptions::default() };
        let client = app.client()?;
        let images = app.block_on(client.images(&request))?;
        let digests =
            options.digests || (!listing.is_table() && listing.uses("Digest") && options.format != "json");
        let now = jiff::Timestamp::now().as_second();
        let rows: Vec<ImageRow> = images
            .iter()
            .flat_map(|image| names(image, digests).into_iter().map(move |name| (image, name)))
            .map(|(image, name)| ImageRow { image: image.clone(), name, truncate: !options.no_trunc, now })
            .collect();
        app.print(&listing.render(&rows)?)
    }
}

/// The platforms of each image.
fn show_tree(app: &App, options: &ImagesOptions, filters: Filters) -> Result<(), Failure> {
    let refused = [
        ("--quiet", options.quiet),
        ("--no-trunc", options.no_trunc),
        ("--show-digest", options.digests),
        ("--format", !options.format.is_empty()),
    ];
    if let Some((name, _)) = refused.iter().find(|(_, given)| *given) {
        return Err(Failure::message(format!("{name} is not yet supported with --tree")));
    }
    let request = ListOptions { all: options.all, filters, manifests: true, ..ListOptions::default() };
    let client = app.client()?;
    let mut images = app.block_on(client.images(&request))?;
    if !options.all {
        images.retain(|image| !image.repo_tags.is_empty() || !image.repo_digests.is_empty());
    }
    app.print(&tree(images, Style::of_stdout()))
}

fn listing(app: &App, options: &ImagesOptions) -> Result<Listing, Failure> {
    let format = match options.format.as_str() {
        "" if !options.quiet => app.config().images_format.as_str(),
        format => format,
    };
    match (options.quiet, format) {
        (true, "" | "table") => Listing::new("{{.ID}}", ""),
        (_, format) => Listing::new(format, if options.digests { TABLE_WITH_DIGESTS } else { TABLE }),
    }
}

/// One line of the list: an image has one for each of its names.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Name {
    repository: String,
    tag: String,
    digest: String,
}

const NONE: &str = "<none>";

fn names(image: &ImageSummary, digests: bool) -> Vec<Name> {
    let tags: Vec<(&str, &str)> = image.repo_tags.iter().filter_map(|name| split_tag(name)).collect();
    let by_digest: Vec<(&str, &str)> = image
        .repo_digests
        .iter()
        .filter_map(|name| name.split_once('@'))
        .filter(|(name, _)| *name != NONE)
        .collect();
    let line = |repository: &str, tag: &str, digest: &str| Name {
        repository: repository.to_owned(),
        tag: tag.to_owned(),
        digest: digest.to_owned(),
    };
    let mut lines = Vec::new();
    for (repository, tag) in &tags {
        let own: Vec<&str> =
            by_digest.iter().filter(|(name, _)| name == repository).map(|(_, d)| *d).collect();
        match digests && !own.is_empty() {
            true => lines.extend(own.iter().map(|digest| line(repository, tag, digest))),
            false => lines.push(line(repository, tag, NONE)),
        }
    }
    // Repositories that are known by digest only.
    for (repository, digest) in &by_digest {
        if !tags.iter().any(|(name, _)| name == repository) {
            let shown = line(repository, NONE, if digests { digest } else { NONE });
            if !lines.contains(&shown) {
                lines.push(shown);
            }
        }
    }
    if lines.is_empty() {
        lines.push(line(NONE, NONE, NONE));
    }
    lines
}

fn split_tag(name: &str) -> Option<(&str, &str)> {
    name.rsplit_once(':').filter(|(repository, tag)| *repository != NONE && !tag.contains('/'))
}

/// An image under one of its names.
#[derive(Clone)]
pub(super) struct ImageRow {
    image: ImageSummary,
    name: Name,
    truncate: bool,
    now: i64,
}

impl ImageRow {
    /// An image under its first name only.
    pub(super) fn first(image: ImageSummary, truncate: bool, now: i64) -> Self {
        let name = names(&image, false).swap_remove(0);
        Self { image, name, truncate, now }
    }
}

impl Row for ImageRow {
    const TYPE: &'static str = "*formatter.imageContext";
    const FIELDS: &'static [(&'static str, &'static str)] = &[
        ("Containers", "CONTAINERS"),
        ("CreatedAt", "CREATED AT"),
        ("CreatedSince", "CREATED"),
        ("Digest", "DIGEST"),
        ("ID", "IMAGE ID"),
        ("Repository", "REPOSITORY"),
        ("SharedSize", "SHARED SIZE"),
        ("Size", "SIZE"),
        ("Tag", "TAG"),
        ("UniqueSize", "UNIQUE SIZE"),
        ("VirtualSize", "SIZE"),
    ];

    fn field(&self, name: &str) -> Cell {
        let image = &self.image;
        let known = |value: i64| (value >= 0).then_some(value);
        Cell::Text(match name {
            "ID" if self.truncate => short_id(&image.id).to_owned(),
            "ID" => image.id.clone(),
            "Repository" => self.name.repository.clone(),
            "Tag" => self.name.tag.clone(),
            "Digest" => self.name.digest.clone(),
            "CreatedSince" if image.created <= 0 => "N/A".to_owned(),
            "CreatedSince" => ago(self.now - image.created),
            "CreatedAt" => local_text(image.created),
            "Size" => decimal_size(image.size as f64, 3),
            "VirtualSize" => decimal_size(image.size as f64, 4),
            "Containers" => known(image.containers).map_or("N/A".to_owned(), |count| count.to_string()),
            "SharedSize" => {
                known(image.shared_size).map_or("N/A".to_owned(), |size| decimal_size(size as f64, 4))
            }
            "UniqueSize" => known(image.shared_size)
                .map_or("N/A".to_owned(), |shared| decimal_size((image.size - shared) as f64, 4)),
            _ => String::new(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(tags: &[&str], by_digest: &[&str], digests: bool) -> Vec<String> {
        let own = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        let image =
            ImageSummary { repo_tags: own(tags), repo_digests: own(by_digest), ..ImageSummary::default() };
        names(&image, digests)
            .iter()
            .map(|name| format!("{} {} {}", name.repository, name.tag, name.digest))
            .collect()
    }

    #[test]
    fn image_has_a_line_for_each_name() {
        assert_eq!(shown(&["a:1", "h:5000/b:2"], &[], false), ["a 1 <none>", "h:5000/b 2 <none>"]);
        assert_eq!(shown(&["a:1"], &["a@sha256:x"], true), ["a 1 sha256:x"]);
        assert_eq!(shown(&[], &["a@sha256:x", "a@sha256:y"], false), ["a <none> <none>"]);
        assert_eq!(shown(&["<none>:<none>"], &["<none>@<none>"], false), ["<none> <none> <none>"]);
    }
}
