//! `manifest rm`: forgets lists that are here.

use super::{parse, store};
use crate::app::App;
use crate::command::{Arity, Leaf};
use crate::failure::Failure;
use crate::flag::NoOptions;
use crate::manifests::Store;

/// Forgets lists.
pub(super) struct Remove;

impl Leaf for Remove {
    type Options = NoOptions;
    const NAME: &'static str = "rm";
    const ABOUT: &'static str = "Delete one or more manifest lists from local storage";
    const USAGE: &'static str = "MANIFEST_LIST [MANIFEST_LIST...]";
    const ARITY: Arity = Arity::AtLeast(1);

    fn run(app: &App, _: NoOptions, names: Vec<String>) -> Result<(), Failure> {
        let store = store(app);
        app.report(names.iter().filter_map(|name| remove(&store, name).err()).collect())
    }
}

fn remove(store: &Store, name: &str) -> Result<(), Failure> {
    let list = parse(name)?;
    store.existing_list(&list)?;
    store.remove(&list)
}
