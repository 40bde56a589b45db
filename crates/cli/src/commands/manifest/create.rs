//! `manifest create`: a list of images, here, to be pushed.

use oci::Reference;

use super::remote::Remote;
use super::{parse, store};
use crate::app::App;
use crate::command::{Arity, Leaf};
use crate::failure::Failure;
use crate::flag::{Flag, Options};
use crate::manifests::{Entry, Store};

/// Makes a list, or adds images to it.
pub(super) struct Create;

#[derive(Default)]
pub(super) struct CreateFlags {
    amend: bool,
    insecure: bool,
}

impl Options for CreateFlags {
    const FLAGS: &'static [Flag<Self>] = &[
        Flag::lettered('a', "amend", "Change a list that is there already", |o| &mut o.amend),
        Flag::new("insecure", "Also reach the registry without trusted encryption", |o| &mut o.insecure),
    ];
}

impl Leaf for Create {
    type Options = CreateFlags;
    const NAME: &'static str = "create";
    const ABOUT: &'static str = "Create a local manifest list for annotating and pushing to a registry";
    const USAGE: &'static str = "MANIFEST_LIST MANIFEST [MANIFEST...]";
    const ARITY: Arity = Arity::AtLeast(2);

    fn run(app: &App, flags: CreateFlags, arguments: Vec<String>) -> Result<(), Failure> {
        let invalid = |error| {
            Failure::message(format!("error parsing name for manifest list {}: {error}", arguments[0]))
        };
        let target = parse(&arguments[0]).map_err(invalid)?;
        let store = store(app);
        if store.list(&target)?.is_some() && !flags.amend {
            return Err(Failure::message("refusing to amend an existing manifest list with no --amend flag"));
        }
        for argument in &arguments[1..] {
            let image = parse(argument)?;
            let entry = match kept(&store, &target, &image)? {
                Some(entry) => entry,
                None => Remote::of(app, &image, flags.insecure).image(&image)?,
            };
            store.save(&target, &image, &entry)?;
        }
        app.line(&format!("Created manifest list {target}"))
    }
}

/// What is in the list already, with what was changed of it.
fn kept(store: &Store, list: &Reference, image: &Reference) -> Result<Option<Entry>, Failure> {
    Ok(store.find(list, image)?.filter(Entry::has_bytes))
}
