use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

/// A kind of document that a [`crate::Store`] keeps.
pub trait Record: Serialize + DeserializeOwned {
    /// The name of the kind; stable for ever.
    const TABLE: &'static str;
    /// The version that this program writes.
    const VERSION: u32;

    /// Reads a document of an older version.
    ///
    /// # Errors
    ///
    /// The default refuses every version but [`Record::VERSION`].
    fn upgrade(version: u32, document: Value) -> Result<Self, UpgradeError> {
        let _ = document;
        Err(UpgradeError::UnknownVersion { found: version, newest: Self::VERSION })
    }
}

/// Why a stored document cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum UpgradeError {
    /// It was written by a newer program, or by one that is too old.
    #[error("version {found} is not known (this program writes {newest})")]
    UnknownVersion {
        /// The document's version.
        found: u32,
        /// The version that this program writes.
        newest: u32,
    },
    /// It does not have the shape of its type.
    #[error("malformed document")]
    Malformed(#[from] serde_json::Error),
}

/// Reads `body`, which was written at `version`.
pub(crate) fn decode<R: Record>(version: u32, body: &[u8]) -> Result<R, UpgradeError> {
    if version == R::VERSION {
        Ok(serde_json::from_slice(body)?)
    } else {
        R::upgrade(version, serde_json::from_slice(body)?)
    }
}
