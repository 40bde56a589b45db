//! Paths from part to part, each opened without following it: what a link says is read and followed here, inside the root.

use std::collections::VecDeque;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};

use sys::Errno;

/// As many links are followed as in other builders.
const MAX_LINKS: usize = 255;

/// Folders in which names can be looked up.
pub(super) trait View {
    /// An open folder.
    type Folder;

    fn root(&self) -> Result<Self::Folder, Errno>;

    /// What a name is in a folder, whose path from the root on has no links.
    fn child(
        &self,
        folder: &Self::Folder,
        path: &[OsString],
        name: &OsStr,
    ) -> Result<Found<Self::Folder>, Errno>;
}

/// What is at a place.
#[derive(Debug)]
pub(super) enum Found<F> {
    Missing,
    Folder(F),
    Link(OsString),
    /// A file, a device and the like.
    Other,
}

/// Where a path leads to.
#[derive(Debug)]
pub(super) struct Resolved<F> {
    /// Parts of the path from the root on, of which none is a link.
    pub(super) path: Vec<OsString>,
    /// What is there; never a link.
    pub(super) end: Found<F>,
}

/// Follows a path and all links on it. From the first part on that is missing, the rest is taken by its words.
///
/// # Errors
/// `ENOTDIR` where something else than a folder is on the way, `ELOOP` for too many links.
pub(super) fn resolve<V: View>(view: &V, path: &OsStr) -> Result<Resolved<V::Folder>, Errno> {
    let mut rest = parts(path);
    let mut done: Vec<OsString> = Vec::new();
    // One more than parts are done: the root's comes first.
    let mut ends = vec![Found::Folder(view.root()?)];
    let mut links = 0;
    while let Some(part) = rest.pop_front() {
        if part == ".." {
            if done.pop().is_some() {
                ends.pop();
            }
            continue;
        }
        let found = match ends.last().expect("the root's is never removed") {
            Found::Folder(folder) => view.child(folder, &done, &part)?,
            Found::Missing => Found::Missing,
            Found::Link(_) | Found::Other => return Err(Errno::NOTDIR),
        };
        if let Found::Link(target) = found {
            links += 1;
            if links > MAX_LINKS {
                return Err(Errno::LOOP);
            }
            if target.as_bytes().starts_with(b"/") {
                done.clear();
                ends.truncate(1);
            }
            parts(&target).into_iter().rev().for_each(|part| rest.push_front(part));
            continue;
        }
        done.push(part);
        ends.push(found);
    }
    Ok(Resolved { path: done, end: ends.pop().expect("the root's is never removed") })
}

/// The parts of a path that mean something.
fn parts(path: &OsStr) -> VecDeque<OsString> {
    let parts = path.as_bytes().split(|byte| *byte == b'/').filter(|part| !matches!(*part, b"" | b"."));
    parts.map(|part| OsString::from_vec(part.to_vec())).collect()
}

/// A path of parts.
pub(super) fn join(parts: &[OsString]) -> Vec<u8> {
    parts.iter().map(|part| part.as_bytes()).collect::<Vec<_>>().join(&b'/')
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    /// Folders and links by their paths.
    struct Model(BTreeMap<&'static str, Option<&'static str>>);

    impl View for Model {
        type Folder = ();

        fn root(&self) -> Result<(), Errno> {
            Ok(())
        }

        fn child(&self, (): &(), path: &[OsString], name: &OsStr) -> Result<Found<()>, Errno> {
            let mut path = join(path);
            if !path.is_empty() {
                path.push(b'/');
            }
            path.extend(name.as_bytes());
            Ok(match self.0.get(std::str::from_utf8(&path).expect("text")) {
                None => Found::Missing,
                Some(Some(target)) => Found::Link(target.into()),
                Some(None) if path.ends_with(b"file") => Found::Other,
                Some(None) => Found::Folder(()),
            })
        }
    }

    fn at(path: &str) -> Result<String, Errno> {
        let model = Model(BTreeMap::from([
            ("a", None),
            ("a/b", None),
            ("a/file", None),
            ("top", Some("/")),
            ("up", Some("../../../a")),
            ("a/absolute", Some("/a/b")),
            ("a/gone", Some("x/../y/./z")),
            ("loop", Some("loop")),
            ("self", Some("/proc/self/root")),
        ]));
        let found = resolve(&model, OsStr::new(path))?;
        Ok(String::from_utf8(join(&found.path)).expect("text"))
    }

    #[test]
    fn links_are_followed_in_the_root() {
        for (path, expected) in [
            ("/", ""),
            ("/a//b/./", "a/b"),
            ("/top/top/a", "a"),
            ("/up/b", "a/b"),
            ("/a/absolute/../file", "a/file"),
            ("/a/gone/w", "a/y/z/w"),
            ("/../../etc", "etc"),
            ("/self/etc", "proc/self/root/etc"),
            ("/new/../a/b", "a/b"),
        ] {
            assert_eq!(at(path).as_deref(), Ok(expected), "{path}");
        }
        assert_eq!(at("/loop/x"), Err(Errno::LOOP));
        assert_eq!(at("/a/file/x"), Err(Errno::NOTDIR));
    }
}
