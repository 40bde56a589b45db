//! Vertices of a plan.

use oci::{Digest, Platform};
use serde::Serialize;

use super::copy::Copy;
use super::remote::{Git, Http};
use super::run::Run;
use crate::source::Lines;

/// The place of a vertex in its plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct VertexId(pub usize);

/// Something to do. Its result is a tree of files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Vertex {
    /// What to do.
    pub operation: Operation,
    /// What it needs, by role.
    pub inputs: Vec<Input>,
    /// What people see: `[build 2/5] RUN make`.
    pub name: String,
    /// Lines of the instruction.
    pub lines: Option<Lines>,
    /// The stage it is in, by number; none for what several may share.
    pub stage: Option<usize>,
}

/// A result that a vertex needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Input {
    /// What for.
    pub role: Role,
    /// The result of which vertex.
    pub vertex: VertexId,
}

/// What a result is needed for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Role {
    /// The root file system that is changed. Without such an input it is empty.
    Base,
    /// A source of `COPY` and `ADD`, by its number.
    Source(usize),
    /// A mount of `RUN`, by its number.
    Mount(usize),
}

/// What a vertex does.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Operation {
    /// The root file system of an image.
    Image {
        /// Its whole name, with the digest where that is known.
        reference: String,
        /// What it is to run on.
        platform: String,
    },
    /// The context of the build, or a named one.
    Context {
        /// Its name; empty for the build's own.
        name: String,
    },
    /// A repository.
    Git(Git),
    /// A file from an address.
    Http(Http),
    /// A file whose contents are in the Dockerfile.
    File {
        /// Its name.
        name: String,
        /// Its contents.
        content: String,
        /// Its permissions.
        mode: u32,
    },
    /// A command.
    Run(Box<Run>),
    /// Files that are copied.
    Copy(Box<Copy>),
    /// A folder, with those above it.
    MakeFolder(MakeFolder),
}

/// A folder that there has to be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct MakeFolder {
    /// Its path.
    pub path: String,
    /// Whose it is; empty: the superuser's.
    pub user: String,
    /// Permissions of what is made.
    pub mode: u32,
}

impl Operation {
    /// The digest of all that decides what is done, apart from the inputs.
    ///
    /// The form of what it is made of begins with a version: keys are kept for longer than a program runs.
    pub fn digest(&self) -> Digest {
        let json = serde_json::to_vec(&(1, self)).expect("an operation has only texts and numbers");
        Digest::of(&json)
    }

    /// What is left of it when the files that are selected of the inputs are known by their contents: of their paths, only the
    /// names count, which are what is copied to.
    #[must_use]
    pub fn by_content(&self) -> Self {
        match self {
            Self::Copy(copy) => Self::Copy(Box::new(copy.by_name())),
            other => other.clone(),
        }
    }

    /// The root file system of an image.
    pub(super) fn image(reference: String, platform: &Platform) -> Self {
        Self::Image { reference, platform: platform.to_string() }
    }
}

impl Vertex {
    /// The input of a role.
    pub fn input(&self, role: Role) -> Option<VertexId> {
        self.inputs.iter().find(|input| input.role == role).map(|input| input.vertex)
    }
}
