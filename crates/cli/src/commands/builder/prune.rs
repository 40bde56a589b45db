//! `builder prune`: removes what builds have kept.

use api::build::CachePruneOptions;

use super::super::prune::confirmed;
use super::record::human;
use crate::app::App;
use crate::command::{Arity, Leaf};
use crate::failure::Failure;
use crate::flag::{Changed, Flag, Options};
use crate::opts::{FilterFlag, MemoryBytes};

/// Removes what builds have kept.
pub(super) struct Prune;

#[derive(Default)]
pub(super) struct PruneFlags {
    all: bool,
    filter: FilterFlag,
    force: bool,
    keep_storage: Changed<MemoryBytes>,
    max_used: Changed<MemoryBytes>,
    min_free: Changed<MemoryBytes>,
    reserved: Changed<MemoryBytes>,
}

const RESERVED: &str = "Keep this much whatever else is said";

impl Options for PruneFlags {
    const FLAGS: &'static [Flag<Self>] = &[
        Flag::lettered('a', "all", "Remove also what could still be of use", |o| &mut o.all),
        Flag::new("filter", "Remove only what matches (\"until=24h\", \"type=…\", \"id=…\")", |o| {
            &mut o.filter
        }),
        Flag::lettered('f', "force", "Do not ask", |o| &mut o.force),
        Flag::hidden("keep-storage", |o| &mut o.keep_storage),
        Flag::new("max-used-space", "Remove until no more than this is taken", |o| &mut o.max_used),
        Flag::new("min-free-space", "Remove until this much of the disk is free", |o| &mut o.min_free),
        Flag::new("reserved-space", RESERVED, |o| &mut o.reserved),
    ];
}

impl PruneFlags {
    fn options(&self) -> CachePruneOptions {
        let bytes = |flag: &Changed<MemoryBytes>| flag.given().map(|size| size.0);
        CachePruneOptions {
            all: self.all,
            filters: self.filter.0.clone(),
            keep: bytes(&self.reserved).or(bytes(&self.keep_storage)),
            max_used: bytes(&self.max_used),
            min_free: bytes(&self.min_free),
        }
    }
}

impl Leaf for Prune {
    type Options = PruneFlags;
    const NAME: &'static str = "prune";
    const ABOUT: &'static str = "Remove build cache";
    const USAGE: &'static str = "[OPTIONS]";
    const ARITY: Arity = Arity::None;

    fn run(app: &App, flags: PruneFlags, _: Vec<String>) -> Result<(), Failure> {
        prune(app, &flags, "Total reclaimed space: ")
    }
}

/// The same with the words of `docker buildx`.
pub(super) struct BuildxPrune;

impl Leaf for BuildxPrune {
    type Options = PruneFlags;
    const NAME: &'static str = Prune::NAME;
    const ABOUT: &'static str = Prune::ABOUT;
    const USAGE: &'static str = Prune::USAGE;
    const ARITY: Arity = Prune::ARITY;

    fn run(app: &App, flags: PruneFlags, _: Vec<String>) -> Result<(), Failure> {
        prune(app, &flags, "Total:\t")
    }
}

fn prune(app: &App, flags: &PruneFlags, total: &str) -> Result<(), Failure> {
    let what = if flags.all { "all build cache" } else { "all dangling build cache" };
    if !flags.force && !confirmed(app, &format!("WARNING! This will remove {what}."))? {
        return Ok(());
    }
    let client = app.client()?;
    let answer = app.block_on(client.prune_build_cache(&flags.options()))?;
    let removed = answer.caches_deleted.unwrap_or_default();
    if !removed.is_empty() {
        app.print(&format!("Deleted build cache objects:\n{}\n\n", removed.join("\n")))?;
    }
    let size = i64::try_from(answer.space_reclaimed).unwrap_or(i64::MAX);
    app.line(&format!("{total}{}", human(size)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flag::{self, Arguments};

    fn options(words: &[&str]) -> CachePruneOptions {
        let words: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
        match flag::parse::<PruneFlags>(&words).unwrap() {
            Arguments::Run(flags, _) => flags.options(),
            Arguments::Help { .. } => panic!("no flags"),
        }
    }

    #[test]
    fn limits_are_in_bytes_and_told_only_where_they_are_given() {
        let found = options(&["-a", "--keep-storage", "1k", "--filter=until=24h"]);
        assert_eq!((found.all, found.keep, found.max_used), (true, Some(1024), None));
        assert_eq!(options(&["--keep-storage=1", "--reserved-space=2", "--max-used-space=0"]).keep, Some(2));
        assert_eq!(options(&["--min-free-space=1g"]).min_free, Some(1 << 30));
        assert_eq!(options(&[]), CachePruneOptions::default());
    }
}
