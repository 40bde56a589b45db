//! Looking at a folder of a tree: what is selected of it, and what that contains.

use std::ffi::CString;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use dockerfile::ignore::{Matched, Matcher};
use rustix::fs::{AtFlags, FileType, Mode, OFlags, ResolveFlags};
use sys::Errno;

use super::content::{self, SMALL};
use super::error::{Error, read, text};
use super::memory::{Memory, Remembered};
use super::picture::{Entry, Folder, Hash, Membership, Picture, Stamp, What, below, hash_of, put};
use super::pool::{self, Queue};
use super::source::list;

/// Entries of a folder that one thread looks at in one go.
const PART: usize = 256;
/// How often a file is read again that others write to meanwhile.
const MAX_READS: usize = 5;
/// The longest path that a system call takes.
const PATH_MAX: usize = 4095;
/// A file that was changed less than this ago, in seconds, may be changed again without that its times tell.
const RECENT: i64 = 2;

/// What is looked for, and where.
pub(super) struct Look<'a> {
    /// The folder.
    pub(super) folder: BorrowedFd<'a>,
    /// Its path in the tree.
    pub(super) path: &'a [u8],
    pub(super) ignore: Option<&'a Matcher>,
    /// Only what these do not ignore; paths are from the folder on.
    pub(super) filters: &'a [Matcher],
    pub(super) memory: &'a Memory,
    pub(super) matters: Matters,
    /// Seconds since 1970, from before the look.
    pub(super) now: i64,
}

/// What of files makes a difference, besides what is in them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Matters {
    pub(super) owner: Matter,
    pub(super) permissions: Matter,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Matter {
    Matters,
    No,
}

enum Job {
    Folder { index: usize, path: Vec<u8>, state: State },
    Part { folder: Arc<Opened>, names: Vec<CString> },
}

struct Opened {
    index: usize,
    fd: OwnedFd,
    path: Vec<u8>,
    state: State,
}

/// What matched a folder: first of the `.dockerignore`, then of each filter.
#[derive(Clone, Default)]
struct State {
    ignore: Matched,
    filters: Vec<Matched>,
}

/// What a thread has of its own.
struct Scratch {
    buffer: Vec<u8>,
    /// What was read, to be remembered.
    known: Vec<(Stamp, Remembered)>,
}

impl Default for Scratch {
    fn default() -> Self {
        Self { buffer: vec![0; SMALL + 1], known: Vec::new() }
    }
}

/// A folder while it is looked at.
struct Slot {
    path: Vec<u8>,
    parent: usize,
    membership: Membership,
    is_kept: bool,
    stamp: Option<(Stamp, Hash, bool)>,
    entries: Vec<Entry>,
}

impl Look<'_> {
    /// Looks at the whole folder. `None` where it is ignored, with all that is in it.
    pub(super) fn picture(&self) -> Result<Option<Picture>, Error> {
        let (is_ignored, state) = self.start();
        let root = Slot {
            path: Vec::new(),
            parent: 0,
            membership: Membership::Selected,
            is_kept: !is_ignored,
            stamp: None,
            entries: Vec::new(),
        };
        let slots = Mutex::new(vec![root]);
        let first = Job::Folder { index: 0, path: Vec::new(), state };
        pool::run(first, Scratch::default, |scratch, job, queue| match job {
            Job::Folder { index, path, state } => self.enter(index, path, state, &slots, queue),
            Job::Part { folder, names } => self.part(&folder, names, scratch, &slots, queue),
        })?;
        Ok(picture(slots.into_inner().unwrap_or_else(PoisonError::into_inner)))
    }

    /// One entry of the folder, as a picture of the folder with nothing else in it.
    pub(super) fn single(&self, name: &CString) -> Result<Picture, Error> {
        let missing = || Error::Changed { path: text(&below(self.path, name.as_bytes())) };
        let stat = rustix::fs::statat(self.folder, name, AtFlags::SYMLINK_NOFOLLOW).map_err(|_| missing())?;
        if Stamp::of(&stat).kind() == FileType::Socket {
            return Err(Error::Socket { path: text(&self.place(name.as_bytes())) });
        }
        let mut scratch = Scratch::default();
        let entry =
            self.entry(self.folder, name, Stamp::of(&stat), &[], &mut scratch)?.ok_or_else(missing)?;
        self.memory.add(scratch.known);
        let (hash, what) = entry;
        let stamp = content::stamp_of(self.folder).map_err(read("read", self.path))?;
        let folder = Folder {
            path: Vec::new(),
            stamp,
            has_attributes: false,
            membership: Membership::Selected,
            hash: Hash::default(),
            entries: vec![Entry { name: name.clone(), hash, what }],
        };
        Ok(Picture { folders: vec![folder] })
    }

    /// What matches the folder itself, and whether it is ignored.
    fn start(&self) -> (bool, State) {
        let mut state =
            State { ignore: Matched::default(), filters: vec![Matched::default(); self.filters.len()] };
        let mut is_ignored = false;
        if let Some(ignore) = self.ignore.filter(|_| !self.path.is_empty()) {
            let path = String::from_utf8_lossy(self.path);
            let ends = path.match_indices('/').map(|(at, _)| at).chain([path.len()]);
            for end in ends {
                (is_ignored, state.ignore) = ignore.below(&state.ignore, &path[..end]);
            }
        }
        (is_ignored, state)
    }

    fn enter(
        &self,
        index: usize,
        path: Vec<u8>,
        state: State,
        slots: &Mutex<Vec<Slot>>,
        queue: &Queue<Job>,
    ) -> Result<(), Error> {
        let failed = |errno| read("read folder", &self.place(&path))(errno);
        let fd = match open_folder(self.folder, &path) {
            // It is gone, or something else by now.
            Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) if index > 0 => {
                lock(slots)[index].is_kept = false;
                return Ok(());
            }
            fd => fd.map_err(failed)?,
        };
        let stamp = content::stamp_of(&fd).map_err(failed)?;
        let attributes = sys::attributes::read(fd.as_fd()).map_err(failed)?;
        let mut bytes = self.head(&stamp);
        bytes.extend(content::with_attributes(&Hash::default(), &attributes));
        let mut names = list(&fd).map_err(failed)?;
        {
            let slot = &mut lock(slots)[index];
            bytes.push(u8::from(slot.membership == Membership::Parent));
            slot.stamp = Some((stamp, hash_of(&bytes), !attributes.is_empty()));
        }
        let folder = Arc::new(Opened { index, fd, path, state });
        let mut parts = Vec::with_capacity(names.len() / PART + 1);
        while !names.is_empty() {
            let part = names.split_off(names.len().saturating_sub(PART));
            parts.push(Job::Part { folder: Arc::clone(&folder), names: part });
        }
        queue.add(parts);
        Ok(())
    }

    fn part(
        &self,
        folder: &Arc<Opened>,
        names: Vec<CString>,
        scratch: &mut Scratch,
        slots: &Mutex<Vec<Slot>>,
        queue: &Queue<Job>,
    ) -> Result<(), Error> {
        let mut entries = Vec::with_capacity(names.len());
        let mut folders = Vec::new();
        for name in names {
            let stat = match rustix::fs::statat(&folder.fd, &name, AtFlags::SYMLINK_NOFOLLOW) {
                Err(Errno::NOENT) => continue,
                stat => stat.map_err(|errno| {
                    read("read", &self.place(&below(&folder.path, name.as_bytes())))(errno)
                })?,
            };
            let stamp = Stamp::of(&stat);
            let Some((verdict, state)) = self.verdict(folder, &name, stamp.kind()) else { continue };
            if stamp.kind() == FileType::Directory {
                folders.push((below(&folder.path, name.as_bytes()), verdict, state));
                continue;
            }
            let entry = self.entry(folder.fd.as_fd(), &name, stamp, &folder.path, scratch)?;
            entries.extend(entry.map(|(hash, what)| Entry { name, hash, what }));
        }
        if !scratch.known.is_empty() {
            self.memory.add(scratch.known.drain(..));
        }
        let jobs = keep(&mut lock(slots), folder.index, entries, folders);
        if jobs
            .iter()
            .any(|job| matches!(job, Job::Folder { path, .. } if self.path.len() + path.len() > PATH_MAX))
        {
            return Err(read("read", &self.place(&folder.path))(Errno::NAMETOOLONG));
        }
        queue.add(jobs);
        Ok(())
    }

    /// Whether something is selected; nothing where it is not, with all below it.
    fn verdict(&self, folder: &Opened, name: &CString, kind: FileType) -> Option<(Verdict, State)> {
        let mut state = State::default();
        let mut verdict = Verdict::Selected;
        if self.ignore.is_none() && self.filters.is_empty() {
            return Some((verdict, state));
        }
        let is_folder = kind == FileType::Directory;
        let path = below(&folder.path, name.as_bytes());
        for (filter, matched) in self.filters.iter().zip(&folder.state.filters) {
            let path = String::from_utf8_lossy(&path);
            let (is_ignored, matched) = filter.below(matched, &path);
            if is_ignored {
                if !is_folder || filter.hides_all_below(&path) {
                    return None;
                }
                verdict = Verdict::Parent;
            }
            state.filters.push(matched);
        }
        if let Some(ignore) = self.ignore {
            let place = self.place(&path);
            let place = String::from_utf8_lossy(&place);
            let (is_ignored, matched) = ignore.below(&folder.state.ignore, &place);
            if is_ignored {
                if !is_folder || ignore.hides_all_below(&place) {
                    return None;
                }
                verdict = if verdict == Verdict::Parent { verdict } else { Verdict::IfAnything };
            }
            state.ignore = matched;
        }
        Some((verdict, state))
    }

    /// All of something that is no folder; nothing for what no layer can have, and for what is gone.
    fn entry(
        &self,
        folder: BorrowedFd<'_>,
        name: &CString,
        mut stamp: Stamp,
        path: &[u8],
        scratch: &mut Scratch,
    ) -> Result<Option<(Hash, What)>, Error> {
        let failed = |errno| read("read", &self.place(&below(path, name.as_bytes())))(errno);
        let mut reads = 0;
        loop {
            let what = match stamp.kind() {
                FileType::RegularFile => self.file(folder, name, &stamp, scratch),
                FileType::Symlink => rustix::fs::readlinkat(folder, name, Vec::new())
                    .map(|target| Some(What::Link { stamp, target })),
                FileType::CharacterDevice | FileType::BlockDevice | FileType::Fifo
                    if !stamp.is_whiteout() =>
                {
                    Ok(Some(What::Node { stamp }))
                }
                _ => return Ok(None),
            };
            match what {
                Ok(Some(what)) => return Ok(Some((self.hash(&stamp, &what), what))),
                Err(Errno::NOENT) => return Ok(None),
                Ok(None) | Err(Errno::LOOP | Errno::INVAL | Errno::NXIO) if reads < MAX_READS => reads += 1,
                Ok(None) => {
                    return Err(Error::Changed { path: text(&self.place(&below(path, name.as_bytes()))) });
                }
                Err(errno) => return Err(failed(errno)),
            }
            stamp = match rustix::fs::statat(folder, name, AtFlags::SYMLINK_NOFOLLOW) {
                Err(Errno::NOENT) => return Ok(None),
                stat => Stamp::of(&stat.map_err(failed)?),
            };
        }
    }

    /// A file; nothing where it was written to while it was read.
    fn file(
        &self,
        folder: BorrowedFd<'_>,
        name: &CString,
        stamp: &Stamp,
        scratch: &mut Scratch,
    ) -> Result<Option<What>, Errno> {
        if let Some(Remembered { content, has_attributes }) = self.memory.find(stamp) {
            return Ok(Some(What::File { stamp: *stamp, has_attributes, content, is_recent: false }));
        }
        let file = content::open(folder, name)?;
        let (content, has_attributes) = content::hash(&file, stamp.size, &mut scratch.buffer)?;
        if content::stamp_of(&file)? != *stamp {
            return Ok(None);
        }
        let is_recent = stamp.changed.seconds >= self.now - RECENT;
        if !is_recent {
            scratch.known.push((*stamp, Remembered { content, has_attributes }));
        }
        Ok(Some(What::File { stamp: *stamp, has_attributes, content, is_recent }))
    }

    /// What comes first in the hash of an entry.
    fn head(&self, stamp: &Stamp) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(128);
        bytes.extend((stamp.mode & 0o170_000).to_le_bytes());
        if self.matters.permissions == Matter::Matters && stamp.kind() != FileType::Symlink {
            bytes.extend(stamp.permissions().to_le_bytes());
        }
        if self.matters.owner == Matter::Matters {
            bytes.extend(stamp.uid.to_le_bytes());
            bytes.extend(stamp.gid.to_le_bytes());
        }
        bytes
    }

    fn hash(&self, stamp: &Stamp, what: &What) -> Hash {
        let mut bytes = self.head(stamp);
        match what {
            What::Folder => {}
            What::File { content, .. } => bytes.extend(content),
            What::Link { target, .. } => put(&mut bytes, target.as_bytes()),
            What::Node { stamp } => bytes.extend(stamp.node.to_le_bytes()),
        }
        hash_of(&bytes)
    }

    /// A path in the tree.
    fn place(&self, path: &[u8]) -> Vec<u8> {
        below(self.path, path)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    Selected,
    /// A folder that is there if anything in it is.
    IfAnything,
    /// The same, but the folder itself is not selected.
    Parent,
}

/// A folder below another, through no link.
pub(super) fn open_folder(root: BorrowedFd<'_>, path: &[u8]) -> Result<OwnedFd, Errno> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    if path.is_empty() {
        return rustix::fs::openat(root, c".", flags, Mode::empty());
    }
    let resolve = ResolveFlags::NO_SYMLINKS | ResolveFlags::BENEATH;
    loop {
        match rustix::fs::openat2(root, path, flags, Mode::empty(), resolve) {
            Err(Errno::AGAIN | Errno::INTR) => {}
            result => return result,
        }
    }
}

fn lock(slots: &Mutex<Vec<Slot>>) -> MutexGuard<'_, Vec<Slot>> {
    slots.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Keeps what was found in a folder; what there is to do for the folders in it.
fn keep(
    slots: &mut Vec<Slot>,
    index: usize,
    mut entries: Vec<Entry>,
    folders: Vec<(Vec<u8>, Verdict, State)>,
) -> Vec<Job> {
    slots[index].entries.append(&mut entries);
    let add = |(path, verdict, state): (Vec<u8>, Verdict, State)| {
        let membership = if verdict == Verdict::Parent { Membership::Parent } else { Membership::Selected };
        slots.push(Slot {
            path: path.clone(),
            parent: index,
            membership,
            is_kept: verdict == Verdict::Selected,
            stamp: None,
            entries: Vec::new(),
        });
        Job::Folder { index: slots.len() - 1, path, state }
    };
    folders.into_iter().map(add).collect()
}

/// Takes what was found together; folders that are there only for what is in them go where that is nothing.
fn picture(mut slots: Vec<Slot>) -> Option<Picture> {
    // A folder comes after the one it is in.
    for index in (1..slots.len()).rev() {
        let slot = &mut slots[index];
        slot.is_kept = slot.stamp.is_some() && (slot.is_kept || !slot.entries.is_empty());
        if slot.is_kept {
            let parent = slot.parent;
            let name = slot.path.rsplit(|byte| *byte == b'/').next().unwrap_or_default();
            let name = CString::new(name).expect("a name has no zero");
            let entry = Entry { name, hash: Hash::default(), what: What::Folder };
            slots[parent].entries.push(entry);
        }
    }
    if !slots[0].is_kept && slots[0].entries.is_empty() {
        return None;
    }
    slots[0].is_kept = true;
    let mut folders: Vec<Folder> = slots.into_iter().filter(|slot| slot.is_kept).filter_map(folder).collect();
    folders.sort_unstable_by(|a, b| a.path.cmp(&b.path));
    Some(Picture { folders })
}

fn folder(slot: Slot) -> Option<Folder> {
    let (stamp, hash, has_attributes) = slot.stamp?;
    let mut entries = slot.entries;
    entries.sort_unstable_by(|a, b| a.name.cmp(&b.name));
    Some(Folder { path: slot.path, stamp, has_attributes, membership: slot.membership, hash, entries })
}
