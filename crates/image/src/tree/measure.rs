//! The digest and the sizes of the tar that a tree would be.
//!
//! A layer that a copy makes has links to the files of the one before it where nothing was changed. Up to the first entry that is
//! another one both tars have the same bytes, so that hashing goes on from the state that it had there: a [`Checkpoint`].
//!
//! An entry is the same where its path, what the system says of it and, for a file, its inode are the same; what folders, links
//! and devices have besides is small, and read. Where one of these has several names, it is the same only with its inode: which
//! of them are links to each other is in the tar too. The files of a layer never change, and as long as they are there no other
//! file has their inodes. Whoever keeps checkpoints has to know that the tree they were made of still is where it was.

use oci::{Algorithm, Digest, Hasher};
use rustix::fd::{AsFd as _, BorrowedFd, OwnedFd};
use rustix::fs::{FileType, Stat};

use super::archive::{Added, Archive, Linked, attributes_of, write_layer};
use super::walk::{Item, Walk};
use super::{TreeError, failed, file_type, is_whiteout};
use crate::stream_digest::StreamDigest;

/// A checkpoint is made after the entry with which the tar has grown by so many bytes since the last one,
const INTERVAL: u64 = 1 << 20;
/// and, where it is long, by this part of it.
const PART: u64 = 256;

/// What a layer's tar would be.
#[derive(Debug)]
pub(crate) struct Measured {
    pub(crate) digest: Digest,
    /// Bytes of the tar.
    pub(crate) length: u64,
    /// Bytes in the files.
    pub(crate) size: u64,
}

/// The state of a digest at a place.
#[derive(Clone, Debug)]
pub(crate) struct Checkpoint {
    place: Place,
    state: Hasher,
}

/// A place in a layer's tar, after an entry.
#[derive(Clone, Debug)]
struct Place {
    /// The entry.
    path: Vec<u8>,
    /// What there is up to it.
    seen: Seen,
    /// Bytes of the tar up to here.
    length: u64,
    /// Bytes in the files up to here.
    size: u64,
}

/// Measures the tar of a layer's tree without making it.
pub(crate) fn measure(tree: OwnedFd) -> Result<Measured, TreeError> {
    let mut stream = StreamDigest::new();
    let size = write_layer(tree, &mut stream)?;
    let ended = stream.finish();
    Ok(Measured { digest: ended.digest, length: ended.length, size })
}

/// As [`measure`], of a tree that has files of another one, of which these checkpoints are. Its own are told too.
pub(crate) fn measure_like(
    tree: BorrowedFd<'_>,
    earlier: &[Checkpoint],
) -> Result<(Measured, Vec<Checkpoint>), TreeError> {
    let again = || rustix::io::fcntl_dupfd_cloexec(tree, 0).map_err(failed("open folder", b""));
    let (common, linked) = common(again()?, earlier)?;
    let begin = common.checked_sub(1).map(|last| &earlier[last]);
    let (mut stream, walk, seen, size) = match begin {
        None => (StreamDigest::new(), Walk::new(again()?)?, Seen::default(), 0),
        Some(Checkpoint { place: Place { path, seen, length, size }, state }) => {
            (StreamDigest::after(state.clone(), *length), Walk::after(again()?, path)?, seen.clone(), *size)
        }
    };
    let archive = Archive::of_layer(&mut stream, linked, size);
    let (size, places) = add_all(walk, archive, seen)?;
    let ended = stream.finish();
    let new = places.into_iter().zip(ended.marks);
    let new = new.map(|(place, state)| Checkpoint { place, state });
    let checkpoints = earlier[..common].iter().cloned().chain(new).collect();
    Ok((Measured { digest: ended.digest, length: ended.length, size }, checkpoints))
}

/// Adds the rest of a tree, and tells the bytes in files and where the stream has marks.
fn add_all(
    mut walk: Walk,
    mut archive: Archive<'_, StreamDigest>,
    mut seen: Seen,
) -> Result<(u64, Vec<Place>), TreeError> {
    let mut places = Vec::new();
    let mut last = archive.out.length();
    while let Some(item) = walk.step()? {
        if archive.add(&item)? == Added::Yes {
            seen.add(&item)?;
        }
        let length = archive.out.length();
        if length - last >= INTERVAL.max(length / PART) {
            archive.out.mark();
            last = length;
            places.push(Place { path: item.path, seen: seen.clone(), length, size: archive.size });
        }
    }
    Ok((archive.finish()?, places))
}

/// How many of these checkpoints are also of this tree, and which files with several names it has up to the last of them.
fn common(tree: OwnedFd, earlier: &[Checkpoint]) -> Result<(usize, Linked), TreeError> {
    let mut found = 0;
    let (mut linked, mut recent) = (Linked::new(), Vec::new());
    if earlier.is_empty() {
        return Ok((0, linked));
    }
    let mut walk = Walk::new(tree)?;
    let mut seen = Seen::default();
    'places: for Checkpoint { place, .. } in earlier {
        while seen.entries < place.seen.entries {
            let Some(item) = walk.step()? else { break 'places };
            // Sockets are in no tar, and end what is common.
            seen.add(&item)?;
            if let Some(file) = file_with_links(&item) {
                recent.push((file, item.path));
            }
        }
        if !seen.is_same(&place.seen) {
            break;
        }
        found += 1;
        for (file, path) in recent.drain(..) {
            linked.entry(file).or_insert(path);
        }
    }
    Ok((found, linked))
}

/// Device and inode of what other entries may be links to.
fn file_with_links(Item { stat, .. }: &Item) -> Option<(u64, u64)> {
    let is_linked = stat.st_nlink > 1 && !is_whiteout(stat) && file_type(stat) != FileType::Directory;
    is_linked.then_some((stat.st_dev, stat.st_ino))
}

/// What identifies the entries of a tree so far.
#[derive(Clone, Debug)]
struct Seen {
    entries: u64,
    hasher: Hasher,
}

impl Default for Seen {
    fn default() -> Self {
        Self { entries: 0, hasher: Hasher::new(Algorithm::Sha256) }
    }
}

impl Seen {
    fn is_same(&self, other: &Self) -> bool {
        self.entries == other.entries && self.hasher.clone().finish() == other.hasher.clone().finish()
    }

    fn add(&mut self, item: &Item) -> Result<(), TreeError> {
        let Stat { st_mode, st_uid, st_gid, st_mtime, st_rdev, .. } = item.stat;
        self.entries += 1;
        self.text(&item.path);
        self.numbers([st_mode.into(), st_uid.into(), st_gid.into(), st_mtime.cast_unsigned(), st_rdev]);
        match item.kind() {
            FileType::RegularFile => {
                let Stat { st_dev, st_ino, st_size, st_mtime_nsec, .. } = item.stat;
                self.numbers([st_dev, st_ino, st_size.cast_unsigned(), st_mtime_nsec]);
                return Ok(());
            }
            FileType::Directory => {}
            kind => {
                let (device, inode) = file_with_links(item).unwrap_or_default();
                self.numbers([device, inode]);
                if kind == FileType::Symlink {
                    let target = rustix::fs::readlinkat(&item.parent, item.name(), Vec::new());
                    self.text(target.map_err(failed("read", &item.path))?.as_bytes());
                }
            }
        }
        self.attributes(item)
    }

    /// Those of an entry that is no file.
    fn attributes(&mut self, item: &Item) -> Result<(), TreeError> {
        let attributes = match &item.folder {
            Some(folder) => {
                let fail = || failed("read attributes of", &item.path);
                let is_opaque = sys::overlay::is_opaque(folder.as_fd()).map_err(fail())?;
                self.numbers([is_opaque.into()]);
                sys::attributes::read(folder.as_fd()).map_err(fail())?
            }
            None => attributes_of(item)?,
        };
        self.numbers([attributes.len() as u64]);
        attributes.iter().for_each(|(name, value)| {
            self.text(name);
            self.text(value);
        });
        Ok(())
    }

    fn text(&mut self, text: &[u8]) {
        self.numbers([text.len() as u64]);
        self.hasher.update(text);
    }

    fn numbers<const N: usize>(&mut self, numbers: [u64; N]) {
        numbers.into_iter().for_each(|number| self.hasher.update(&number.to_le_bytes()));
    }
}

#[cfg(test)]
mod tests {
    use std::fs::{self, File};
    use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
    use std::path::{Path, PathBuf};
    use std::time::{Duration, SystemTime, UNIX_EPOCH};

    use proptest::prelude::*;
    use rustix::fs::{AtFlags, CWD, Timespec, Timestamps, utimensat};

    use super::*;

    /// When everything was changed: edits are to be seen without it.
    fn time() -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(1_000_000)
    }

    fn set_time(path: &Path) {
        File::open(path).unwrap().set_modified(time()).unwrap();
    }

    fn open(path: &Path) -> OwnedFd {
        File::open(path).unwrap().into()
    }

    fn write(path: &Path, size: usize, byte: u8) {
        let _ = fs::remove_file(path);
        fs::write(path, vec![byte; size]).unwrap();
        set_time(path);
    }

    fn folder_of(tree: &Path, number: u8) -> PathBuf {
        let path = tree.join(format!("{}/{}", number % 3, number % 2));
        fs::create_dir_all(&path).unwrap();
        path
    }

    /// A tree whose tar has some MB.
    fn plant(tree: &Path, sizes: &[usize]) {
        for (at, size) in sizes.iter().enumerate() {
            let at = u8::try_from(at).unwrap();
            write(&folder_of(tree, at).join(format!("file{at}")), *size, at);
        }
        plant_link("target", &tree.join("1-link"));
    }

    /// A link with the time of all.
    fn plant_link(target: &str, path: &Path) {
        symlink(target, path).unwrap();
        let times = Timestamps {
            last_access: Timespec { tv_sec: 0, tv_nsec: 0 },
            last_modification: Timespec { tv_sec: 1_000_000, tv_nsec: 0 },
        };
        utimensat(CWD, path, &times, AtFlags::SYMLINK_NOFOLLOW).unwrap();
    }

    /// A tree with links to all files of another one; its symbolic links are its own, as those of a copy.
    fn link(from: &Path, to: &Path) {
        fs::create_dir(to).unwrap();
        fs::set_permissions(to, from.metadata().unwrap().permissions()).unwrap();
        for entry in fs::read_dir(from).unwrap() {
            let path = entry.unwrap().path();
            let target = to.join(path.file_name().unwrap());
            let kind = path.symlink_metadata().unwrap().file_type();
            if kind.is_dir() {
                link(&path, &target);
            } else if kind.is_symlink() {
                plant_link(fs::read_link(&path).unwrap().to_str().unwrap(), &target);
            } else {
                fs::hard_link(&path, &target).unwrap();
            }
        }
    }

    fn set_times(folder: &Path) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.symlink_metadata().unwrap().is_dir() {
                set_times(&path);
            }
        }
        set_time(folder);
    }

    #[derive(Clone, Copy, Debug)]
    enum Edit {
        Content,
        Remove,
        Add,
        Link,
        Folder,
        Symlink,
        Nothing,
    }

    fn edit(tree: &Path, edit: Edit, at: u8) {
        let file = folder_of(tree, at).join(format!("file{at}"));
        match edit {
            Edit::Content => {
                let size = file.metadata().map_or(1, |metadata| metadata.size());
                write(&file, usize::try_from(size).unwrap(), at ^ 0x80);
            }
            Edit::Remove => drop(fs::remove_file(file)),
            Edit::Add => write(&file.with_extension("new"), 700, at),
            Edit::Link => drop(fs::hard_link(&file, file.with_extension("linked"))),
            Edit::Folder => {
                fs::set_permissions(folder_of(tree, at), fs::Permissions::from_mode(0o701)).unwrap();
            }
            Edit::Symlink => {
                fs::remove_file(tree.join("1-link")).unwrap();
                plant_link(&format!("{at}"), &tree.join("1-link"));
            }
            Edit::Nothing => {}
        }
    }

    fn edits() -> impl Strategy<Value = Edit> {
        use Edit::{Add, Content, Folder, Link, Nothing, Remove, Symlink};
        prop::sample::select(vec![Content, Remove, Add, Link, Folder, Symlink, Nothing])
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]

        #[test]
        fn digest_is_the_same_wherever_hashing_begins(
            sizes in prop::collection::vec(0_usize..600_000, 1..24),
            generations in prop::collection::vec(prop::collection::vec((edits(), 0_u8..24), 0..3), 1..4),
        ) {
            let place = tempfile::tempdir().unwrap();
            let mut tree = place.path().join("0");
            plant(&tree, &sizes);
            set_times(&tree);
            let (first, mut checkpoints) = measure_like(open(&tree).as_fd(), &[]).unwrap();
            prop_assert_eq!(first.digest, measure(open(&tree)).unwrap().digest);
            for (number, changes) in generations.into_iter().enumerate() {
                let next = place.path().join(format!("{}", number + 1));
                link(&tree, &next);
                changes.into_iter().for_each(|(change, at)| edit(&next, change, at));
                set_times(&next);
                let (found, new) = measure_like(open(&next).as_fd(), &checkpoints).unwrap();
                let expected = measure(open(&next)).unwrap();
                prop_assert_eq!(found.digest, expected.digest);
                prop_assert_eq!((found.length, found.size), (expected.length, expected.size));
                (tree, checkpoints) = (next, new);
            }
        }
    }

    #[test]
    fn links_to_each_other_are_told_from_their_likes() {
        let place = tempfile::tempdir().unwrap();
        let (one, other) = (place.path().join("one"), place.path().join("other"));
        for (tree, is_linked) in [(&one, true), (&other, false)] {
            fs::create_dir(tree).unwrap();
            for number in 0..2500 {
                let path = tree.join(format!("{number:04}"));
                match number == 1 && is_linked {
                    true => fs::hard_link(tree.join("0000"), &path).unwrap(),
                    false => plant_link("target", &path),
                }
            }
            set_time(tree);
        }
        let (_, checkpoints) = measure_like(open(&one).as_fd(), &[]).unwrap();
        assert!(!checkpoints.is_empty());
        assert_eq!(common(open(&one), &checkpoints).unwrap().0, checkpoints.len());
        let (found, _) = measure_like(open(&other).as_fd(), &checkpoints).unwrap();
        assert_eq!(found.digest, measure(open(&other)).unwrap().digest);
    }

    #[test]
    fn what_is_the_same_is_not_hashed_again() {
        let place = tempfile::tempdir().unwrap();
        let (one, other) = (place.path().join("one"), place.path().join("other"));
        plant(&one, &[400_000; 24]);
        set_times(&one);
        let (_, checkpoints) = measure_like(open(&one).as_fd(), &[]).unwrap();
        assert_eq!(checkpoints.len(), 8, "three files make more than a MB");
        link(&one, &other);
        set_times(&other);
        assert_eq!(common(open(&other), &checkpoints).unwrap().0, 8);
        let (_, again) = measure_like(open(&other).as_fd(), &checkpoints).unwrap();
        assert_eq!(again.len(), 8);
        // The same to the system but for its inode.
        edit(&other, Edit::Content, 13);
        set_times(&other);
        let (found, _) = common(open(&other), &checkpoints).unwrap();
        assert_eq!(found, 4, "folders 0/0, 0/1, 1/0 and half of 1/1 come before it");
        assert_eq!(common(open(&one), &[]).unwrap().0, 0);
    }
}
