//! Deleting whole trees without waiting for it.
//!
//! A tree is first moved into a folder of its own, in one step, which takes it out of sight for good. A thread then deletes
//! it. What a killed process has left in the folder is deleted when the folder is next opened.

use std::fs;
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::thread::{self, JoinHandle};
use std::time::{SystemTime, UNIX_EPOCH};

/// What is told of a tree that could not be deleted. It stays where it is until the folder is next opened.
pub type OnFailure = fn(&Path, &io::Error);

/// A folder for what is to be deleted. Its end waits until everything is.
#[derive(Debug)]
pub struct Trash {
    folder: PathBuf,
    /// Keeps names apart from those that an earlier process left.
    epoch: u128,
    sequence: AtomicU64,
    queue: Option<Sender<PathBuf>>,
    thread: Option<JoinHandle<()>>,
}

/// Something that was moved into the folder. It is deleted by the thread once this is dropped.
#[derive(Debug)]
#[must_use = "it is handed to the thread when it is dropped: not while a lock is held"]
pub struct Discarded {
    path: PathBuf,
    queue: Sender<PathBuf>,
}

impl Trash {
    /// Opens the folder, which is made where it is missing, and begins to delete what is in it.
    ///
    /// # Errors
    /// A folder that cannot be made or read; no thread.
    pub fn open(folder: &Path, on_failure: OnFailure) -> io::Result<Self> {
        match fs::DirBuilder::new().mode(0o700).create(folder) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
            _ => {}
        }
        let (queue, paths) = channel::<PathBuf>();
        for entry in fs::read_dir(folder)? {
            let _ = queue.send(entry?.path());
        }
        let delete_all = move || {
            for path in paths {
                if let Err(error) = delete(&path) {
                    on_failure(&path, &error);
                }
            }
        };
        let thread = thread::Builder::new().name("trash".to_owned()).spawn(delete_all)?;
        let epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos();
        let sequence = AtomicU64::new(0);
        Ok(Self { folder: folder.to_owned(), epoch, sequence, queue: Some(queue), thread: Some(thread) })
    }

    /// Moves a file or a tree out of sight. `None` where nothing is there.
    ///
    /// # Errors
    /// What `rename` reports; another file system is none, its tree is deleted at once.
    pub fn discard(&self, path: &Path) -> io::Result<Option<Discarded>> {
        let number = self.sequence.fetch_add(1, Ordering::Relaxed);
        let target = self.folder.join(format!("{:x}-{number}", self.epoch));
        match fs::rename(path, &target) {
            Ok(()) => {
                let queue = self.queue.clone().expect("it is taken by the end only");
                Ok(Some(Discarded { path: target, queue }))
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) if error.kind() == io::ErrorKind::CrossesDevices => delete(path).map(|()| None),
            Err(error) => Err(error),
        }
    }
}

impl Drop for Trash {
    fn drop(&mut self) {
        drop(self.queue.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl Discarded {
    /// Deletes it before this returns.
    ///
    /// # Errors
    /// What could not be deleted; the thread tries again.
    pub fn delete(self) -> io::Result<()> {
        delete(&self.path)
    }
}

impl Drop for Discarded {
    fn drop(&mut self) {
        // Without the thread it goes when the folder is next opened.
        let _ = self.queue.send(std::mem::take(&mut self.path));
    }
}

/// Deletes a file or a whole tree; nothing there is fine.
///
/// # Errors
/// What could not be deleted.
pub fn delete(path: &Path) -> io::Result<()> {
    let result = match fs::symlink_metadata(path) {
        Ok(metadata) if metadata.is_dir() => fs::remove_dir_all(path),
        Ok(_) => fs::remove_file(path),
        Err(error) => Err(error),
    };
    match result {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fail(path: &Path, error: &io::Error) {
        panic!("{}: {error}", path.display());
    }

    fn tree(path: &Path) {
        fs::create_dir_all(path.join("a/b")).unwrap();
        fs::write(path.join("a/file"), "x").unwrap();
    }

    #[test]
    fn discarded_tree_is_out_of_sight_at_once_and_deleted_by_the_end() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("tree");
        tree(&path);
        let trash = Trash::open(&folder.path().join("trash"), fail).unwrap();
        let discarded = trash.discard(&path).unwrap().expect("it was there");
        assert!(!path.exists());
        assert!(discarded.path.join("a/file").exists());
        drop(discarded);
        drop(trash);
        assert_eq!(fs::read_dir(folder.path().join("trash")).unwrap().count(), 0);
    }

    #[test]
    fn what_an_earlier_process_left_is_deleted() {
        let folder = tempfile::tempdir().unwrap();
        tree(&folder.path().join("trash/left"));
        drop(Trash::open(&folder.path().join("trash"), fail).unwrap());
        assert_eq!(fs::read_dir(folder.path().join("trash")).unwrap().count(), 0);
    }

    #[test]
    fn nothing_there_is_nothing_to_discard() {
        let folder = tempfile::tempdir().unwrap();
        let trash = Trash::open(&folder.path().join("trash"), fail).unwrap();
        assert!(trash.discard(&folder.path().join("missing")).unwrap().is_none());
    }

    #[test]
    fn delete_is_done_when_it_returns() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        fs::write(&path, "x").unwrap();
        let trash = Trash::open(&folder.path().join("trash"), fail).unwrap();
        let discarded = trash.discard(&path).unwrap().expect("it was there");
        let moved = discarded.path.clone();
        discarded.delete().unwrap();
        assert!(!moved.exists());
    }
}
