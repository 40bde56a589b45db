//! Results that come from elsewhere (`--cache-from`) and go there (`--cache-to`).
//!
//! ```text
//! --cache-to    solved ── records ── layers and a document ──> registry, folder; or the document alone, in the image
//! --cache-from  a document is read before anything is done; a layer comes when a step has no result here and a record of it
//! ```
//!
//! Here a result is called by how its base was made, which nobody else can verify. Elsewhere it is called by a **record key**: the
//! digest of the operation, the files that it takes, and the layers below it, whatever made them ([`record_key`]). So a record says
//! no more than that an operation on these layers makes that layer, and a layer that came is one that its two digests are of.
//!
//! What came is not taken for a result of this machine: what is made of it has keys of its own, and builds that do not name the
//! source never see it. Otherwise one build could choose the results of others.
//!
//! The document is BuildKit's (`application/vnd.buildkit.cacheconfig.v0`), as is the field of a configuration that has it inline;
//! its keys are not BuildKit's: neither builder finds what the other one has left.

mod document;
mod export;
pub(crate) mod folder;
mod history;
mod import;
mod options;

use oci::{Digest, Reference, boolean};
use serde::Serialize;

use crate::cache::Identity;
use crate::key;
use crate::request::Request;

pub(crate) use export::{export, inline};
pub use folder::{CacheFolder, Entry};
pub(crate) use import::{Imported, Imports};
pub use options::CacheOptions;

/// The form of record keys. Those of another one are not found.
const VERSION: u32 = 1;

/// Where results of earlier builds are.
#[derive(Clone, Debug)]
pub enum CacheSource {
    /// In a registry, or in an image of this name that is here.
    Registry(Reference),
    /// In an image that is here: in its configuration, or in its history. One that is not here is passed over.
    Image(String),
    /// In a folder.
    Folder {
        /// The folder.
        folder: CacheFolder,
        /// Its manifest.
        entry: Entry,
    },
}

/// Where results go.
#[derive(Clone, Debug)]
pub enum CacheTarget {
    /// Into the image's configuration.
    Inline,
    /// Elsewhere.
    Place {
        /// Where.
        place: CachePlace,
        /// Whether those of all stages go, and not only of what the image has.
        all: bool,
        /// Whether the build succeeds where they cannot go there.
        ignores_errors: bool,
    },
}

/// A place for results.
#[derive(Clone, Debug)]
pub enum CachePlace {
    /// A registry.
    Registry(Reference),
    /// A folder, with the tag that the manifest gets there.
    Folder {
        /// The folder.
        folder: CacheFolder,
        /// The tag.
        tag: String,
    },
}

impl Request {
    /// Whether results have to be known by what others call them.
    pub(crate) fn exchanges(&self) -> bool {
        self.exports() || !self.cache_from.is_empty()
    }

    /// Whether results go elsewhere.
    pub(crate) fn exports(&self) -> bool {
        self.is_inline() || !self.cache_to.is_empty()
    }

    /// Whether the image is to have what is known of its layers.
    pub(crate) fn is_inline(&self) -> bool {
        let is_inline = |target: &CacheTarget| matches!(target, CacheTarget::Inline);
        let argument = self.build_args.get("BUILDKIT_INLINE_CACHE");
        let is_set = argument.and_then(|value| boolean::parse(value)).unwrap_or_default();
        is_set || self.cache_to.iter().any(is_inline)
    }
}

/// By what others know the result of this identity on these layers.
pub(crate) fn record_key(identity: &Identity, below: &[Digest]) -> Digest {
    #[derive(Serialize)]
    struct Record<'a> {
        corten: u32,
        operation: &'a serde_json::Value,
        below: Option<&'a [Digest]>,
        inputs: &'a [(String, Digest)],
        settings: &'a [(String, String)],
    }
    let Identity { operation, base, inputs, settings } = identity;
    let below = base.as_ref().map(|_| below);
    let record = Record { corten: VERSION, operation, below, inputs, settings };
    key::of(&record)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn identity(base: Option<&str>) -> Identity {
        Identity {
            operation: json!({"run": "x"}),
            base: base.map(|base| Digest::of(base.as_bytes())),
            inputs: vec![("the files".into(), Digest::of(b"in"))],
            settings: Vec::new(),
        }
    }

    #[test]
    fn record_key_is_about_layers_and_not_about_what_made_them() {
        let (one, other) = ([Digest::of(b"1")], [Digest::of(b"2")]);
        let key = record_key(&identity(Some("a")), &one);
        assert_eq!(record_key(&identity(Some("b")), &one), key);
        assert_ne!(record_key(&identity(Some("a")), &other), key);
        assert_ne!(record_key(&identity(None), &one), key);
        assert_eq!(record_key(&identity(None), &one), record_key(&identity(None), &other));
        let other_files = Identity { inputs: Vec::new(), ..identity(Some("a")) };
        assert_ne!(record_key(&other_files, &one), key);
    }

    #[test]
    fn build_argument_asks_for_an_inline_cache() {
        let with = |value: &str| Request {
            build_args: [("BUILDKIT_INLINE_CACHE".to_owned(), value.to_owned())].into(),
            ..Request::default()
        };
        assert!(with("1").is_inline() && with("true").exports());
        assert!(!with("0").is_inline() && !Request::default().exports());
    }
}
