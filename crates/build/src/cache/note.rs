//! What is known of a result.

use jiff::Timestamp;
use oci::Digest;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::key;
use crate::solve::Made;

/// The form of notes. Those of another one are not read: the results are made anew.
const VERSION: u32 = 1;

/// What decides what a vertex does. Its key is the digest of this.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Identity {
    /// The operation, as the plan has it.
    pub(crate) operation: Value,
    /// What is below; none for what is done beside it.
    pub(crate) base: Option<Digest>,
    /// What else it takes: role, and what identifies it.
    pub(crate) inputs: Vec<(String, Digest)>,
    /// What else decides: the network that a command has without saying so, a time that is set.
    pub(crate) settings: Vec<(String, String)>,
}

impl Identity {
    /// Whether it is of a result that was found in a named source.
    pub(crate) fn is_from_elsewhere(&self) -> bool {
        self.settings.iter().any(|(name, _)| name == ELSEWHERE)
    }

    /// The digest of it.
    pub(crate) fn key(&self) -> Digest {
        key::of(&(VERSION, self))
    }
}

/// The setting of a result that was not made here.
pub(crate) const ELSEWHERE: &str = "where it is from";

/// What is known of a result.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Note {
    version: u32,
    /// `[build 2/5] RUN make`
    pub(crate) name: String,
    /// What it is the result of.
    pub(crate) identity: Identity,
    /// What it is called in the keys of others.
    pub(crate) result: Digest,
    /// The layer that was made; none where nothing was changed.
    pub(crate) layer: Option<Digest>,
    /// When it was made.
    pub(crate) created: Timestamp,
    /// When it was used last.
    pub(crate) last_used: Timestamp,
    /// How often it was used.
    pub(crate) uses: u64,
}

impl Note {
    /// About what `made` says, which is used now.
    pub(crate) fn new(name: String, identity: Identity, result: Digest, made: &Made) -> Self {
        let Made { layer, created, .. } = made.clone();
        let last_used = Timestamp::now();
        Self { version: VERSION, name, identity, result, layer, created, last_used, uses: 0 }
    }

    pub(crate) fn read(text: &str) -> Option<Self> {
        serde_json::from_str(text).ok().filter(|note: &Self| note.version == VERSION)
    }

    pub(crate) fn write(&self) -> String {
        serde_json::to_string(self).expect("keys are texts")
    }
}
