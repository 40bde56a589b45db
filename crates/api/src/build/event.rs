//! What a build tells on its way.

use serde::{Deserialize, Serialize};

use crate::image::{Descriptor, ProgressMessage};

/// A line of the answer to a build. The last one has the image's ID in `aux`, as `{"ID": "sha256:…"}`, or an error.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct BuildMessage {
    /// What every client gets.
    #[serde(flatten)]
    pub message: ProgressMessage,
    /// What Corten's own client gets.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub event: Option<BuildEvent>,
}

/// Something that happened to a vertex of a build. Vertices are numbered from 0 on; times are nanoseconds since 1970 UTC.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BuildEvent {
    /// There is such a vertex. All are told before the first one begins, but for those that bring what the plan needs.
    Vertex {
        /// Its number.
        id: u32,
        /// `[build 2/5] RUN make`.
        name: String,
        /// The vertices that it needs.
        inputs: Vec<u32>,
    },
    /// It begins.
    Started {
        /// Which.
        id: u32,
        /// When.
        time: i64,
    },
    /// Its result was there.
    Cached {
        /// Which.
        id: u32,
    },
    /// Its result was not there, and why (`--explain`): `the content of "src/main.c" is another one`.
    Missed {
        /// Which.
        id: u32,
        /// Why.
        reason: String,
    },
    /// How far something is that it does: a layer on its way, a context that is read.
    Status {
        /// Which vertex.
        id: u32,
        /// What it does; one line is shown for each.
        item: String,
        /// Units done: bytes, as a rule.
        current: i64,
        /// Units in all; 0 where that is not known.
        total: i64,
        /// Whether it is done.
        is_done: bool,
    },
    /// Output of a command.
    Log {
        /// Which vertex.
        id: u32,
        /// 1 or 2, as the command's descriptors.
        stream: u8,
        /// The bytes, in base64.
        data: String,
    },
    /// What a check has found.
    Warning {
        /// `JSONArgsRecommended: JSON arguments recommended for CMD … (line 3)`.
        message: String,
        /// Where there is more about it.
        url: String,
        /// What is wrong exactly.
        detail: String,
        /// The lines in question, as text with marks.
        excerpt: String,
    },
    /// It has ended.
    Completed {
        /// Which.
        id: u32,
        /// When.
        time: i64,
        /// Why it failed; empty where it did not.
        error: String,
    },
    /// The lines of the Dockerfile that an error is about, as text with marks. Comes before the error.
    Excerpt {
        /// The text.
        text: String,
    },
    /// The result of `--check`: the text, the JSON and the exit code.
    Checked {
        /// For people.
        text: String,
        /// For programs.
        json: serde_json::Value,
        /// The exit code.
        status: i32,
    },
    /// What a build has made beside the image's ID: the digest of the manifest, and the names.
    Result {
        /// The digest of the image's configuration, which is its ID.
        config: String,
        /// The manifest that the image has here.
        manifest: Option<Box<Descriptor>>,
        /// The names that it was given.
        names: Vec<String>,
    },
}
