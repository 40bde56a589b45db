//! `builder du`: what builds have kept.

use api::Filters;

use super::record::{Record, human};
use crate::app::App;
use crate::command::{Arity, Leaf};
use crate::failure::Failure;
use crate::flag::{Flag, Options};
use crate::format::Listing;
use crate::opts::FilterFlag;

/// Shows what builds have kept.
pub(super) struct Usage;

#[derive(Default)]
pub(super) struct UsageFlags {
    filter: FilterFlag,
    format: String,
    verbose: bool,
}

impl Options for UsageFlags {
    const FLAGS: &'static [Flag<Self>] = &[
        Flag::new("filter", "Show only those that match (\"id=…\", \"type=…\", \"shared=true\")", |o| {
            &mut o.filter
        }),
        Flag::new("format", "Format of the output: 'table', 'json', 'pretty' or a Go template", |o| {
            &mut o.format
        }),
        Flag::new("verbose", "Show all that is known of each", |o| &mut o.verbose),
    ];
}

const TABLE: &str = "table {{.ID}}\\t{{.Reclaimable}}\\t{{.Size}}\\t{{.LastUsedAt}}";

impl Leaf for Usage {
    type Options = UsageFlags;
    const NAME: &'static str = "du";
    const ABOUT: &'static str = "Show what builds have kept";
    const USAGE: &'static str = "[OPTIONS]";
    const ARITY: Arity = Arity::None;
    const PATHS: &'static [&'static str] = &["builder du", "buildx du"];

    fn run(app: &App, flags: UsageFlags, _: Vec<String>) -> Result<(), Failure> {
        if flags.verbose && !flags.format.is_empty() {
            return Err(Failure::message("--format and --verbose cannot be used together"));
        }
        let filters = known(flags.filter)?;
        let is_pretty = flags.verbose || flags.format == "pretty";
        let listing = Listing::new(if is_pretty { "" } else { &flags.format }, TABLE)?;
        let client = app.client()?;
        let records = app.block_on(client.build_cache())?;
        let records: Vec<Record> =
            records.into_iter().map(Record).filter(|record| record.matches(&filters)).collect();
        if is_pretty {
            let texts: Vec<String> = records.iter().map(Record::details).collect();
            app.print(&texts.iter().map(|text| format!("{text}\n")).collect::<String>())?;
        } else {
            app.print(&listing.render(&records)?)?;
        }
        let is_usual = is_pretty || matches!(flags.format.as_str(), "" | "table");
        match is_usual && filters.is_empty() {
            true => app.print(&summary(&records)),
            false => Ok(()),
        }
    }
}

/// What all take together.
fn summary(records: &[Record]) -> String {
    let sum = |counts: &dyn Fn(&&Record) -> bool| -> i64 {
        records.iter().filter(counts).map(|record| record.size().max(0)).sum()
    };
    let (total, shared) = (sum(&|_| true), sum(&|record| record.is_shared()));
    let mut out = String::new();
    if shared > 0 {
        out.push_str(&format!("Shared:\t\t{}\nPrivate:\t{}\n", human(shared), human(total - shared)));
    }
    out.push_str(&format!("Reclaimable:\t{}\n", human(sum(&|record| record.is_reclaimable()))));
    out.push_str(&format!("Total:\t\t{}\n", human(total)));
    out
}

/// The filters, if all of them are known.
fn known(flag: FilterFlag) -> Result<Filters, Failure> {
    let known = ["description", "id", "inuse", "mutable", "parents", "shared", "type"];
    let FilterFlag(filters) = flag;
    filters.validate(&known).map_err(|error| Failure::message(error.to_string()))?;
    for key in ["inuse", "mutable", "shared"] {
        filters.flag(key, false).map_err(|error| Failure::message(error.to_string()))?;
    }
    Ok(filters)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn records() -> Vec<Record> {
        [
            json!({"ID": "abc1", "Type": "regular", "Size": 1000, "InUse": true, "Shared": true}),
            json!({"ID": "abc2", "Type": "source.local", "Size": 500, "Description": "local source"}),
        ]
        .map(Record)
        .into()
    }

    #[test]
    fn all_is_summed_up() {
        assert_eq!(
            summary(&records()),
            "Shared:\t\t1kB\nPrivate:\t500B\nReclaimable:\t500B\nTotal:\t\t1.5kB\n"
        );
        assert_eq!(summary(&[]), "Reclaimable:\t0B\nTotal:\t\t0B\n");
    }

    #[test]
    fn records_are_listed() {
        let table = Listing::new("", TABLE).unwrap().render(&records()).unwrap();
        assert_eq!(
            table,
            "ID        RECLAIMABLE   SIZE      LAST ACCESSED\nabc1      false         1kB*      \nabc2      true          500B      \n"
        );
    }

    #[test]
    fn filters_select_records() {
        let select = |filters: &[(&str, &str)]| {
            let mut flag = FilterFlag::default();
            filters.iter().for_each(|(key, value)| flag.0.add(*key, *value));
            let filters = known(flag).map_err(|error| error.to_string())?;
            let found = records().into_iter().filter(|record| record.matches(&filters));
            Ok::<_, String>(found.map(|record| record.id()).collect::<Vec<_>>().join(" "))
        };
        assert_eq!(select(&[]), Ok("abc1 abc2".into()));
        assert_eq!(select(&[("id", "abc1")]), Ok("abc1".into()));
        assert_eq!(select(&[("id", "abc")]), Ok("abc1 abc2".into()));
        assert_eq!(select(&[("type", "regular"), ("shared", "true")]), Ok("abc1".into()));
        assert_eq!(select(&[("inuse", "false")]), Ok("abc2".into()));
        assert_eq!(select(&[("color", "x")]), Err("invalid filter 'color'".into()));
        assert!(select(&[("shared", "maybe")]).is_err());
    }
}
