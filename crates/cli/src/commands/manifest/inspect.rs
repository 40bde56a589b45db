//! `manifest inspect`: the manifest or list of a name, here or in its registry.

use oci::Reference;

use super::remote::{Content, Remote};
use super::{parse, store};
use crate::app::App;
use crate::command::{Arity, Leaf};
use crate::failure::Failure;
use crate::flag::{Flag, Options};
use crate::format::whitespace::indent;
use crate::manifests::{Entry, list_document, not_found};

/// Shows a manifest or list.
pub(super) struct Inspect;

#[derive(Default)]
pub(super) struct InspectFlags {
    insecure: bool,
    verbose: bool,
}

impl Options for InspectFlags {
    const FLAGS: &'static [Flag<Self>] = &[
        Flag::new("insecure", "Also reach the registry without trusted encryption", |o| &mut o.insecure),
        Flag::lettered('v', "verbose", "Show layers and platform as well", |o| &mut o.verbose),
    ];
}

impl Leaf for Inspect {
    type Options = InspectFlags;
    const NAME: &'static str = "inspect";
    const ABOUT: &'static str = "Display an image manifest, or manifest list";
    const USAGE: &'static str = "[OPTIONS] [MANIFEST_LIST] MANIFEST";
    const ARITY: Arity = Arity::Between(1, 2);

    fn run(app: &App, flags: InspectFlags, arguments: Vec<String>) -> Result<(), Failure> {
        let (name, list) = match arguments.as_slice() {
            [list, name] => (parse(name)?, Some(parse(list)?)),
            _ => (parse(&arguments[0])?, None),
        };
        let store = store(app);
        if let Some(list) = list {
            let entry = store.find(&list, &name)?.ok_or_else(|| not_found(&name))?;
            return app.line(&image_text(&entry, flags.verbose)?);
        }
        // What cannot be read here may be in the registry.
        if let Ok(Some(entries)) = store.list(&name) {
            return app.line(&list_text(&name, &entries, flags.verbose)?);
        }
        let text = match Remote::of(app, &name, flags.insecure).content(&name)? {
            Content::Image(entry) => image_text(&entry, flags.verbose)?,
            Content::List(entries) => list_text(&name, &entries, flags.verbose)?,
        };
        app.line(&text)
    }
}

fn image_text(entry: &Entry, is_verbose: bool) -> Result<String, Failure> {
    Ok(match is_verbose {
        true => indent(&entry.json(), "\t"),
        false => indent(entry.payload()?, "\t"),
    })
}

fn list_text(name: &Reference, entries: &[Entry], is_verbose: bool) -> Result<String, Failure> {
    if is_verbose {
        let entries: Vec<String> = entries.iter().map(Entry::json).collect();
        return Ok(indent(&format!("[{}]", entries.join(",")), "\t"));
    }
    let failed = |error| Failure::message(format!("failed to assemble ManifestDescriptor: {error}"));
    list_document(name, entries).map(|(_, text)| text).map_err(failed)
}
