//! Files of trees: which of them an instruction selects, what they contain, and copies of them in a new layer.
//!
//! `COPY` and `ADD` are done in two steps. [`Selected::look`] finds what is named and reads it, as far as a [`Memory`] does
//! not know it already; its [digest](Selected::digest) says all that makes a difference to the result, but no times, and is
//! what the result can be found by. Where there is none yet, [`Selected::copy`] makes it: into the upper folder of a new layer,
//! which no overlay mount shows meanwhile; what is below is looked at through a mount of its own.
//!
//! - Trees that files come from may be hostile, and a context may be changed by others all the time. Every part of a path is
//!   opened without following it; what links say is followed by [`resolve`], inside the tree. A file that is not what it was
//!   when it was looked at fails the copy, for the result would not be that of the digest.
//! - Folders become one with those that are there; files replace files and links. A folder in place of a file, and a file in
//!   place of a folder, are errors. Only archives replace whatever is there.
//! - Files of an earlier result of the same instruction that are the same are given one more name instead of being copied: no
//!   one ever writes to a layer.

mod content;
mod earlier;
mod error;
mod look;
mod memory;
mod owner;
mod permissions;
mod picture;
mod pool;
mod record;
mod resolve;
mod selected;
mod source;
mod target;
#[cfg(test)]
mod tests;
mod transfer;
mod unpack;
mod wildcard;
mod write;

use std::path::Path;

use dockerfile::ignore::Matcher;
use dockerfile::plan::{Copy, MakeFolder};
use sys::root::Root;

pub use error::Error;
pub use memory::Memory;
pub use record::Record;
pub use selected::Selected;

use owner::SUPERUSER;
use target::{Make, Target};

/// A tree that files are copied from.
#[derive(Clone, Copy, Debug)]
pub struct Tree<'a> {
    /// Its root.
    pub root: &'a Root,
    /// What is as good as not there.
    pub ignore: Option<&'a Matcher>,
    /// What it is.
    pub origin: Origin,
}

/// What a tree is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// Somebody's files, who may change them at any time. Copies belong to the superuser.
    Context,
    /// Layers, to which nobody writes. Copies belong to whom the files belong.
    Layers,
}

/// An instruction with the trees of its sources.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// The instruction.
    pub copy: &'a Copy,
    /// A tree for each of its sources; none: an empty one.
    pub sources: &'a [Option<Tree<'a>>],
    /// Seconds since 1970; whatever has a later time gets this one.
    pub latest: Option<i64>,
}

/// An earlier result of the same instruction.
#[derive(Clone, Copy, Debug)]
pub struct Previous<'a> {
    /// Its layer's tree, on the same file system as the new one.
    pub tree: &'a Path,
    /// What was copied.
    pub record: &'a Record,
}

/// Makes a folder, with those above it, in the upper folder of a layer. Where it is there already, nothing is made.
///
/// Where nobody knows the user that it is to belong to, it is the superuser's.
///
/// # Errors
/// [`Error::NotFolder`], [`Error::Range`], and what the system says.
pub fn make_folder(folder: &MakeFolder, below: Option<&Root>, upper: &Path) -> Result<(), Error> {
    let target = Target::new(upper, below)?;
    let found = target.resolve(&folder.path)?;
    match found.end {
        resolve::Found::Folder(_) => return Ok(()),
        resolve::Found::Missing => {}
        _ => return Err(Error::NotFolder { path: folder.path.clone() }),
    }
    let owner = match owner::look_up(below, &folder.user) {
        Err(Error::User { .. } | Error::Group { .. }) => SUPERUSER,
        owner => owner?,
    };
    let owner = Some(owner).filter(|_| !folder.user.is_empty());
    target.folder(&found.path, Make { permissions: folder.mode, owner })?;
    target.finish()
}
