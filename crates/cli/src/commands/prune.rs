//! `container prune` and `image prune`.

use std::io::{BufRead, Write};

use crate::app::App;
use crate::command::{Arity, Leaf};
use crate::failure::Failure;
use crate::flag::{Flag, Options};
use crate::opts::FilterFlag;
use crate::text::decimal_size;

#[derive(Default)]
pub(crate) struct PruneFlags {
    all: bool,
    pub(super) filter: FilterFlag,
    pub(super) force: bool,
}

const FILTER: &str = "Remove only those that match (\"until=<timestamp>\")";
const FORCE: &str = "Do not ask";

/// The flags of `container prune` and `network prune`.
#[derive(Default)]
pub(crate) struct ContainerFlags(pub(super) PruneFlags);

impl Options for ContainerFlags {
    const FLAGS: &'static [Flag<Self>] = &[
        Flag::new("filter", FILTER, |o| &mut o.0.filter),
        Flag::lettered('f', "force", FORCE, |o| &mut o.0.force),
    ];
}

impl Options for PruneFlags {
    const FLAGS: &'static [Flag<Self>] = &[
        Flag::lettered('a', "all", "Remove all images that no container uses", |o| &mut o.all),
        Flag::new("filter", FILTER, |o| &mut o.filter),
        Flag::lettered('f', "force", FORCE, |o| &mut o.force),
    ];
}

/// Removes all containers that do not run.
pub(crate) struct PruneContainers;

impl Leaf for PruneContainers {
    type Options = ContainerFlags;
    const NAME: &'static str = "prune";
    const ABOUT: &'static str = "Remove all stopped containers";
    const USAGE: &'static str = "[OPTIONS]";
    const ARITY: Arity = Arity::None;

    fn run(app: &App, flags: ContainerFlags, _: Vec<String>) -> Result<(), Failure> {
        let flags = flags.0;
        if !flags.force && !confirmed(app, "WARNING! This will remove all stopped containers.")? {
            return Ok(());
        }
        let client = app.client()?;
        let answer = app.block_on(client.prune_containers(&flags.filter.0))?;
        let deleted = answer.containers_deleted.unwrap_or_default();
        if !deleted.is_empty() {
            app.print(&format!("Deleted Containers:\n{}\n\n", deleted.join("\n")))?;
        }
        app.line(&reclaimed(answer.space_reclaimed))
    }
}

/// Removes unused images.
pub(crate) struct PruneImages;

impl Leaf for PruneImages {
    type Options = PruneFlags;
    const NAME: &'static str = "prune";
    const ABOUT: &'static str = "Remove unused images";
    const USAGE: &'static str = "[OPTIONS]";
    const ARITY: Arity = Arity::None;

    fn run(app: &App, flags: PruneFlags, _: Vec<String>) -> Result<(), Failure> {
        let warning = match flags.all {
            true => "WARNING! This will remove all images without at least one container associated to them.",
            false => "WARNING! This will remove all dangling images.",
        };
        if !flags.force && !confirmed(app, warning)? {
            return Ok(());
        }
        let mut filters = flags.filter.0.clone();
        filters.add("dangling", if flags.all { "false" } else { "true" });
        let client = app.client()?;
        let answer = app.block_on(client.prune_images(&filters))?;
        let items = answer.images_deleted.unwrap_or_default();
        if !items.is_empty() {
            let lines: String = items
                .iter()
                .map(|item| match item.deleted.is_empty() {
                    true => format!("untagged: {}\n", item.untagged),
                    false => format!("deleted: {}\n", item.deleted),
                })
                .collect();
            app.print(&format!("Deleted Images:\n{lines}\n"))?;
        }
        app.line(&reclaimed(answer.space_reclaimed))
    }
}

fn reclaimed(bytes: u64) -> String {
    format!("Total reclaimed space: {}", decimal_size(bytes as f64, 4))
}

/// Asks the user.
pub(super) fn confirmed(app: &App, warning: &str) -> Result<bool, Failure> {
    app.print(&format!("{warning}\nAre you sure you want to continue? [y/N] "))?;
    let _ = std::io::stdout().flush();
    let mut answer = String::new();
    let _ = std::io::stdin().lock().read_line(&mut answer);
    Ok(answer.trim().eq_ignore_ascii_case("y"))
}
