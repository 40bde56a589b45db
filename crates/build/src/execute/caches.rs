//! The folders of cache mounts, and who has them.

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use dockerfile::mount::Sharing;
use dockerfile::plan::{Owner, RunMount};
use oci::Digest;
use rustix::fs::{CWD, RenameFlags, renameat_with};
use sys::Errno;
use tokio::sync::{OwnedRwLockReadGuard, OwnedRwLockWriteGuard, RwLock};

use super::cache_folders::DATA;
use crate::builder::Shared;
use crate::error::Error;
use crate::solve::Tree;
use crate::work::make_folder;

/// The locks of all folders that are used, by the digests of their names: who shares one reads.
pub(crate) type CacheLocks = registry::InFlight<RwLock<()>>;

/// Numbers of folders in the making.
static NEXT: AtomicU64 = AtomicU64::new(0);

/// The caches of one command, for as long as this is there.
#[derive(Debug, Default)]
pub(super) struct Caches {
    /// The name of the folder, by the mount's place among the command's.
    names: HashMap<usize, String>,
    _shared: Vec<OwnedRwLockReadGuard<()>>,
    _own: Vec<OwnedRwLockWriteGuard<()>>,
}

impl Caches {
    /// Waits until a command may have its caches.
    ///
    /// Every command takes them in the order of their names, and each once, so that two never wait for each other.
    pub(super) async fn lock(locks: &CacheLocks, mounts: &[RunMount]) -> Self {
        let mut caches = Self::default();
        let mut wanted: BTreeMap<String, bool> = BTreeMap::new();
        let mut private = Vec::new();
        for (at, mount) in mounts.iter().enumerate() {
            let RunMount::Cache { id, sharing, .. } = mount else { continue };
            let name = Digest::of(id.as_bytes()).hex().to_owned();
            if *sharing == Sharing::Private {
                private.push((at, name));
            } else {
                *wanted.entry(name.clone()).or_default() |= *sharing == Sharing::Locked;
                caches.names.insert(at, name);
            }
        }
        for (name, is_alone) in wanted {
            let lock = locks.lock(&Digest::of(name.as_bytes()));
            if is_alone {
                caches._own.push(lock.write_owned().await);
            } else {
                caches._shared.push(lock.read_owned().await);
            }
        }
        private.into_iter().for_each(|(at, name)| caches.lock_private(locks, at, &name));
        caches
    }

    /// Takes the first folder of a cache that nobody else has now.
    fn lock_private(&mut self, locks: &CacheLocks, at: usize, name: &str) {
        for number in 0_u32.. {
            let name = if number == 0 { name.to_owned() } else { format!("{name}-{number}") };
            let lock = locks.lock(&Digest::of(name.as_bytes()));
            if let Ok(lock) = lock.try_write_owned() {
                self._own.push(lock);
                self.names.insert(at, name);
                return;
            }
        }
    }

    /// The name of the folder of a mount.
    pub(super) fn name(&self, at: usize) -> String {
        self.names[&at].clone()
    }
}

/// The folder of this name. Where there is none yet, it begins with the files at a path of a tree. Blocks.
pub(super) fn folder(
    shared: &Shared,
    name: &str,
    begins_with: Option<(&Tree, &str)>,
    owner: Owner,
    description: String,
) -> Result<PathBuf, Error> {
    let folder = shared.caches.path(name);
    let mut data = folder.join(DATA);
    if !data.is_dir() {
        let new = NewFolder::make(&folder, owner)?;
        if let Some((tree, source)) = begins_with {
            fill(shared, tree, source, &new.path)?;
        }
        data = new.keep(data)?;
    }
    shared.caches.note_use(name, description);
    Ok(data)
}

/// A new folder beside the place of a cache. Dropping it removes it, unless it was kept.
struct NewFolder {
    path: PathBuf,
    is_kept: bool,
}

impl NewFolder {
    fn make(folder: &Path, owner: Owner) -> Result<Self, Error> {
        make_folder(folder)?;
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let path = folder.join(format!("new-{}-{number}", std::process::id()));
        let new = Self { path, is_kept: false };
        make_folder(&new.path)?;
        chown(&new.path, Some(owner.uid), Some(owner.gid))
            .map_err(Error::io("set the owner of", &new.path))?;
        let mode = fs::Permissions::from_mode(owner.mode);
        fs::set_permissions(&new.path, mode).map_err(Error::io("set the mode of", &new.path))?;
        Ok(new)
    }

    /// Moves it to its place; where somebody else was faster, theirs is the one, also as long as nothing is in it.
    fn keep(mut self, data: PathBuf) -> Result<PathBuf, Error> {
        match renameat_with(CWD, &self.path, CWD, &data, RenameFlags::NOREPLACE) {
            Ok(()) => self.is_kept = true,
            Err(Errno::EXIST) => {}
            Err(errno) => return Err(Error::io("make folder", &data)(errno.into())),
        }
        Ok(data)
    }
}

impl Drop for NewFolder {
    fn drop(&mut self) {
        if self.is_kept {
            return;
        }
        if let Err(error) = sys::trash::delete(&self.path) {
            tracing::warn!(path = %self.path.display(), %error, "left for the next start to remove");
        }
    }
}

/// Gives a new cache the files that it begins with.
fn fill(shared: &Shared, tree: &Tree, source: &str, folder: &Path) -> Result<(), Error> {
    let Some(open) = tree.open(shared, source)? else { return Ok(()) };
    let failed = |errno: Errno| Error::Tree { what: source.to_owned(), source: errno.into() };
    let target = fs::File::open(folder).map_err(Error::io("open folder", folder))?;
    let source = open.root().open_directory(source).map_err(failed)?;
    sys::copy::content(source, target).map_err(|errno| Error::io("fill the cache in", folder)(errno.into()))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn mount(id: &str, sharing: Sharing) -> RunMount {
        RunMount::Cache {
            id: id.to_owned(),
            sharing,
            source: "/".to_owned(),
            target: "/cache".to_owned(),
            is_read_only: false,
            owner: Owner { uid: 0, gid: 0, mode: 0o755 },
        }
    }

    async fn waits(locks: &CacheLocks, mounts: &[RunMount]) -> bool {
        tokio::time::timeout(Duration::from_millis(50), Caches::lock(locks, mounts)).await.is_err()
    }

    #[tokio::test]
    async fn shared_cache_is_for_several_and_a_locked_one_for_one() {
        let locks = CacheLocks::default();
        let shared = Caches::lock(&locks, &[mount("a", Sharing::Shared)]).await;
        assert!(!waits(&locks, &[mount("a", Sharing::Shared)]).await);
        assert!(waits(&locks, &[mount("a", Sharing::Locked)]).await);
        drop(shared);
        let _locked = Caches::lock(&locks, &[mount("a", Sharing::Locked)]).await;
        assert!(waits(&locks, &[mount("a", Sharing::Shared)]).await);
        assert!(!waits(&locks, &[mount("b", Sharing::Locked)]).await);
    }

    #[tokio::test]
    async fn private_cache_is_one_that_nobody_has() {
        let locks = CacheLocks::default();
        let first = Caches::lock(&locks, &[mount("a", Sharing::Locked)]).await;
        let mut second =
            Caches::lock(&locks, &[mount("a", Sharing::Private), mount("a", Sharing::Private)]).await;
        let names: Vec<_> =
            [&first.names[&0], &second.names[&0], &second.names[&1]].map(String::clone).into();
        assert!(names[1].ends_with("-1") && names[2].ends_with("-2"), "{names:?}");
        drop(first);
        second = Caches::lock(&locks, &[mount("a", Sharing::Private)]).await;
        assert_eq!(second.names[&0], names[0]);
    }

    #[tokio::test]
    async fn command_does_not_wait_for_itself() {
        let locks = CacheLocks::default();
        let mounts = [mount("a", Sharing::Locked), mount("a", Sharing::Shared), mount("a", Sharing::Locked)];
        assert!(!waits(&locks, &mounts).await);
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn commands_that_name_caches_in_different_orders_do_not_wait_for_each_other() {
        let locks = CacheLocks::default();
        let take = |first: &'static str, other: &'static str| {
            let locks = locks.clone();
            async move {
                for _ in 0..1000 {
                    let mounts = [mount(first, Sharing::Locked), mount(other, Sharing::Locked)];
                    drop(Caches::lock(&locks, &mounts).await);
                }
            }
        };
        let both = futures_util::future::try_join(tokio::spawn(take("a", "b")), tokio::spawn(take("b", "a")));
        tokio::time::timeout(Duration::from_secs(60), both).await.expect("one waits for the other").unwrap();
    }

    #[test]
    fn folder_that_was_made_meanwhile_stays_and_one_that_is_given_up_goes() {
        let place = tempfile::tempdir().unwrap();
        let (folder, owner) = (place.path().join("cache"), Owner { uid: 0, gid: 0, mode: 0o755 });
        let data = folder.join(DATA);
        let (first, second) =
            (NewFolder::make(&folder, owner).unwrap(), NewFolder::make(&folder, owner).unwrap());
        fs::write(second.path.join("file"), "").unwrap();
        first.keep(data.clone()).unwrap();
        assert_eq!(second.keep(data.clone()).unwrap(), data);
        assert!(!data.join("file").exists(), "somebody may use the empty one already");
        drop(NewFolder::make(&folder, owner).unwrap());
        assert_eq!(fs::read_dir(&folder).unwrap().count(), 1);
    }
}
