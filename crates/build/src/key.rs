//! Keys: digests of what identifies a thing.

use oci::Digest;
use serde::Serialize;

/// The key of what is identified by texts and numbers, whose JSON is always the same.
pub(crate) fn of(identity: &impl Serialize) -> Digest {
    Digest::of(&serde_json::to_vec(identity).expect("texts and numbers have a JSON"))
}
