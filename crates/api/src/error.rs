//! The body of a failed request.

use serde::{Deserialize, Serialize};

/// `{"message": …}`, with any status of 400 and above.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ErrorResponse {
    /// The text for people.
    pub message: String,
}
