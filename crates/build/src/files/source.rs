//! Which files of a tree an instruction names.

use std::ffi::{CString, OsStr, OsString};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};

use dockerfile::plan::Selection;
use rustix::fs::{FileType, Mode, OFlags};
use sys::Errno;

use super::Tree;
use super::error::{Error, read};
use super::picture::{Stamp, below};
use super::resolve::{Found, Resolved, View, join, resolve};
use super::wildcard::{Wildcard, has_wildcards};

const PLACE: OFlags = OFlags::PATH.union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

/// A file or folder that is named.
#[derive(Debug)]
pub(super) struct Match {
    /// The last part of the name it was asked for by; a link's, where it is one. The root has none.
    pub(super) name: OsString,
    /// Where it is in its tree, with no link on the way.
    pub(super) path: Vec<u8>,
    pub(super) kind: Kind,
    /// As it was asked for.
    pub(super) asked: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Folder,
    File,
}

/// Finds what is named. A wildcard may match nothing.
///
/// # Errors
/// [`Error::NotFound`], [`Error::Pattern`], and what the system says.
pub(super) fn find(tree: &Tree<'_>, selection: &Selection) -> Result<Vec<Match>, Error> {
    let view = Files { tree };
    match selection {
        Selection::All => Ok(vec![view.named(OsStr::new("/"))?]),
        Selection::File(name) => Ok(vec![view.named(OsStr::new(&format!("/{name}")))?]),
        Selection::Pattern(path) | Selection::Parents { root: path, .. } => view.matching(path),
    }
}

/// A tree without what its `.dockerignore` hides.
struct Files<'a> {
    tree: &'a Tree<'a>,
}

impl View for Files<'_> {
    type Folder = OwnedFd;

    fn root(&self) -> Result<OwnedFd, Errno> {
        rustix::fs::openat(self.tree.root.as_fd(), c".", PLACE | OFlags::DIRECTORY, Mode::empty())
    }

    fn child(&self, folder: &OwnedFd, path: &[OsString], name: &OsStr) -> Result<Found<OwnedFd>, Errno> {
        let place = match rustix::fs::openat(folder, name, PLACE, Mode::empty()) {
            Err(Errno::NOENT) => return Ok(Found::Missing),
            place => place?,
        };
        let stamp = Stamp::of(&rustix::fs::fstat(&place)?);
        if stamp.is_whiteout() || self.is_hidden(&below(&join(path), name.as_bytes()), stamp.kind()) {
            return Ok(Found::Missing);
        }
        Ok(match stamp.kind() {
            FileType::Directory => Found::Folder(place),
            FileType::Symlink => {
                let target = rustix::fs::readlinkat(&place, c"", Vec::new())?;
                Found::Link(OsString::from_vec(target.into_bytes()))
            }
            _ => Found::Other,
        })
    }
}

impl Files<'_> {
    /// A folder that is ignored may have something in it that is not.
    fn is_hidden(&self, path: &[u8], kind: FileType) -> bool {
        let path = String::from_utf8_lossy(path);
        self.tree.ignore.is_some_and(|ignore| {
            ignore.is_ignored(&path) && (kind != FileType::Directory || ignore.hides_all_below(&path))
        })
    }

    /// What a path leads to, that has no wildcards.
    fn named(&self, path: &OsStr) -> Result<Match, Error> {
        let asked = path.to_string_lossy().into_owned();
        let found = match resolve(self, path) {
            Err(Errno::NOTDIR | Errno::LOOP) => return Err(Error::NotFound { path: asked }),
            found => found.map_err(read("look up", path.as_bytes()))?,
        };
        let Resolved { path: place, end } = found;
        let kind = match end {
            Found::Folder(_) => Kind::Folder,
            Found::Other => Kind::File,
            Found::Missing | Found::Link(_) => return Err(Error::NotFound { path: asked }),
        };
        let name = path.as_bytes().rsplit(|byte| *byte == b'/').next().unwrap_or_default();
        Ok(Match { name: OsString::from_vec(name.to_vec()), path: join(&place), kind, asked })
    }

    fn matching(&self, path: &str) -> Result<Vec<Match>, Error> {
        let parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
        let fixed = parts.iter().position(|part| has_wildcards(part)).unwrap_or(parts.len());
        let start = format!("/{}", parts[..fixed].join("/"));
        let wildcards: Option<Vec<Wildcard>> =
            parts[fixed..].iter().map(|part| Wildcard::parse(part)).collect();
        let wildcards = wildcards.ok_or_else(|| Error::Pattern { pattern: path.to_owned() })?;
        if wildcards.is_empty() {
            return Ok(vec![self.named(OsStr::new(&start))?]);
        }
        let found = resolve(self, OsStr::new(&start)).map_err(read("look up", start.as_bytes()))?;
        let mut names = Vec::new();
        match found.end {
            Found::Folder(folder) => self.expand(&folder, &found.path, &wildcards, &mut names)?,
            Found::Missing => return Err(Error::NotFound { path: path.to_owned() }),
            Found::Other | Found::Link(_) => {}
        }
        names.iter().map(|name| self.named(OsStr::from_bytes(&[b"/", &join(name)[..]].concat()))).collect()
    }

    /// Adds what matches in a folder. No link is followed to what further parts match.
    fn expand(
        &self,
        folder: &OwnedFd,
        path: &[OsString],
        wildcards: &[Wildcard],
        found: &mut Vec<Vec<OsString>>,
    ) -> Result<(), Error> {
        let Some((wildcard, rest)) = wildcards.split_first() else { return Ok(()) };
        let failed = |errno| read("read folder", &join(path))(errno);
        for name in names_in(folder).map_err(failed)? {
            if !wildcard.matches(&String::from_utf8_lossy(name.as_bytes())) {
                continue;
            }
            let name = OsString::from_vec(name.into_bytes());
            let child = self.child(folder, path, &name).map_err(failed)?;
            let path = [path, std::slice::from_ref(&name)].concat();
            match child {
                Found::Missing => {}
                _ if rest.is_empty() => found.push(path),
                Found::Folder(folder) => self.expand(&folder, &path, rest, found)?,
                Found::Link(_) | Found::Other => {}
            }
        }
        Ok(())
    }
}

/// The names in a folder that is open as a place, sorted.
fn names_in(folder: &OwnedFd) -> Result<Vec<CString>, Errno> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let folder = rustix::fs::openat(folder, c".", flags, Mode::empty())?;
    let mut names = list(&folder)?;
    names.sort_unstable();
    Ok(names)
}

/// The names in a folder that is open for reading, in any order.
pub(super) fn list(folder: &OwnedFd) -> Result<Vec<CString>, Errno> {
    let mut buffer = Vec::with_capacity(32 << 10);
    let mut entries = rustix::fs::RawDir::new(folder, buffer.spare_capacity_mut());
    let mut names = Vec::new();
    while let Some(entry) = entries.next() {
        let entry = entry?;
        let name = entry.file_name();
        if name != c"." && name != c".." {
            names.push(name.to_owned());
        }
    }
    Ok(names)
}
