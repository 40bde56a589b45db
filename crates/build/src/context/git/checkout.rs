//! The folder that a repository is checked out in, and what is left there in the end.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use dockerfile::plan::Git;
use rustix::fs::{Dir, Mode, OFlags};
use rustix::io::Errno;
use sys::root::Root;

use super::Error;

/// A working tree.
pub(super) struct Checkout {
    /// Where the files go in the end.
    folder: PathBuf,
    /// Where they are checked out: there, or inside of it where only a part is wanted.
    path: PathBuf,
    /// The part that is wanted; empty for all.
    part: String,
    keeps_git: bool,
}

impl Checkout {
    pub(super) fn begin(git: &Git, folder: &Path) -> Result<Self, Error> {
        let _there = Root::at(folder).map_err(|errno| failed("open folder", folder)(errno.into()))?;
        let parts = git.folder.split('/').filter(|part| !matches!(*part, "" | "."));
        let part = parts.collect::<Vec<_>>().join("/");
        let path = if part.is_empty() { folder.to_owned() } else { scratch(folder)? };
        let keeps_git = git.keeps_git_dir && part.is_empty();
        Ok(Self { folder: folder.to_owned(), path, part, keeps_git })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn keeps_git(&self) -> bool {
        self.keeps_git
    }

    pub(super) fn has_submodules(&self) -> bool {
        has_submodules(&self.path)
    }

    /// Leaves what is wanted, and nothing else.
    pub(super) fn finish(self) -> Result<(), Error> {
        if self.keeps_git {
            let head = self.path.join(".git/FETCH_HEAD");
            return sys::trash::delete(&head).map_err(failed("remove", &head));
        }
        remove_git(&self.path)?;
        if self.part.is_empty() {
            return Ok(());
        }
        self.move_part()?;
        sys::trash::delete(&self.path).map_err(failed("remove", &self.path))
    }

    /// Links in the repository may lead to the part, and never out of the repository.
    fn move_part(&self) -> Result<(), Error> {
        let missing = |errno: Errno| Error::Folder { folder: self.part.clone(), source: errno.into() };
        let root = Root::at(&self.path).map_err(missing)?;
        let part = root.open_directory(&self.part).map_err(missing)?;
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let moved = |errno: Errno| failed("move files to", &self.folder)(errno.into());
        let folder = rustix::fs::open(&self.folder, flags, Mode::empty()).map_err(moved)?;
        let mut names = Vec::new();
        for entry in Dir::read_from(&part).map_err(missing)? {
            let name = entry.map_err(missing)?.file_name().to_owned();
            if !matches!(name.to_bytes(), b"." | b"..") {
                names.push(name);
            }
        }
        names.iter().try_for_each(|name| rustix::fs::renameat(&part, name, &folder, name)).map_err(moved)
    }
}

/// A folder with a name that no repository can guess.
fn scratch(folder: &Path) -> Result<PathBuf, Error> {
    let path = folder.join(format!(".checkout-{}", sys::random::hexadecimal::<16>()));
    fs::create_dir(&path).map_err(failed("make folder", &path))?;
    Ok(path)
}

fn has_submodules(path: &Path) -> bool {
    path.join(".gitmodules").symlink_metadata().is_ok()
}

/// Removes everything called `.git`: of the repository and, below it, of its submodules. No commit can have such a name.
fn remove_git(path: &Path) -> Result<(), Error> {
    let has_submodules = has_submodules(path);
    let mut folders = vec![path.to_owned()];
    while let Some(folder) = folders.pop() {
        let git = folder.join(".git");
        sys::trash::delete(&git).map_err(failed("remove", &git))?;
        if !has_submodules {
            return Ok(());
        }
        for entry in fs::read_dir(&folder).map_err(failed("read folder", &folder))? {
            let entry = entry.map_err(failed("read folder", &folder))?;
            // Links are none, wherever they lead.
            if entry.file_type().map_err(failed("read folder", &folder))?.is_dir() {
                folders.push(entry.path());
            }
        }
    }
    Ok(())
}

fn failed(action: &'static str, path: &Path) -> impl Fn(io::Error) -> Error {
    let path = path.to_owned();
    move |source| Error::File { action, path: path.clone(), source }
}
