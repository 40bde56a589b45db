//! Volumes: folders that the engine keeps for containers.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fs;
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use sys::random;

use crate::error::Error;
use crate::mounts::{MountSettings, MountSource, VolumeSource};
use crate::settings::Settings;

/// In a volume's folder until the container that it was made for is recorded.
const UNRECORDED: &str = "unrecorded";

/// The volumes of an engine: `<root>/<name>/_data`.
#[derive(Debug)]
pub(crate) struct Volumes {
    root: PathBuf,
    users: Mutex<HashMap<String, Users>>,
}

/// Who uses a volume.
#[derive(Debug, Default)]
struct Users {
    /// Its containers, by ID.
    containers: HashSet<String>,
    /// Held by the one that fills it.
    filling: Arc<Mutex<()>>,
}

/// What happens to volumes that nobody named when their last container is removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Anonymous {
    Kept,
    Removed,
}

impl Volumes {
    pub(crate) fn new(root: PathBuf) -> Self {
        Self { root, users: Mutex::default() }
    }

    /// The folder of a volume.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.root.join(name).join("_data")
    }

    /// Names the anonymous volumes of a new container.
    pub(crate) fn name_anonymous(mounts: &mut [MountSettings]) {
        for mount in mounts {
            if let MountSource::Volume(volume) = &mut mount.source
                && volume.name.is_empty()
            {
                volume.name = random::new_id();
            }
        }
    }

    /// Notes that a container uses its volumes.
    pub(crate) fn hold(&self, settings: &Settings) {
        let mut users = self.users();
        for volume in volumes(settings) {
            users.entry(volume.name.clone()).or_default().containers.insert(settings.id.clone());
        }
    }

    /// What is to be locked while a volume is filled.
    pub(crate) fn filling(&self, name: &str) -> Arc<Mutex<()>> {
        self.users().get(name).map(|users| Arc::clone(&users.filling)).unwrap_or_default()
    }

    /// Makes the volumes of a container where they are missing, and tells where they are.
    pub(crate) fn prepare(&self, settings: &Settings) -> Result<HashMap<String, PathBuf>, Error> {
        let mut paths = HashMap::new();
        for volume in volumes(settings) {
            let path = self.path(&volume.name);
            if !path.exists() {
                make(&path)?;
            }
            paths.insert(volume.name.clone(), path);
        }
        Ok(paths)
    }

    /// Makes the volumes of a container that has no record yet: those that are new are gone at the engine's next start
    /// unless [`Volumes::keep`] follows.
    pub(crate) fn prepare_unrecorded(&self, settings: &Settings) -> Result<(), Error> {
        for volume in volumes(settings).filter(|volume| !self.path(&volume.name).exists()) {
            let mark = self.root.join(&volume.name).join(UNRECORDED);
            make_folder(&self.root.join(&volume.name))?;
            fs::write(&mark, "").map_err(Error::file("write", &mark))?;
        }
        self.prepare(settings).map(drop)
    }

    /// The container is recorded.
    pub(crate) fn keep(&self, settings: &Settings) {
        for volume in volumes(settings) {
            // Nearly always there is none; a mark that stays is of no harm while the volume has a container.
            let _ = fs::remove_file(self.root.join(&volume.name).join(UNRECORDED));
        }
    }

    /// Removes new volumes whose container was never recorded; all containers that are have been noted before.
    pub(crate) fn remove_unrecorded(
        &self,
        discard: impl Fn(&Path) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let users = self.users();
        let entries = match fs::read_dir(&self.root) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            entries => entries.map_err(Error::file("read folder", &self.root))?,
        };
        for folder in entries.flatten().filter(|folder| folder.path().join(UNRECORDED).exists()) {
            if !users.contains_key(&*folder.file_name().to_string_lossy()) {
                discard(&folder.path())?;
            }
        }
        Ok(())
    }

    /// Notes that a container is gone, and discards volumes that went with it and that no other container uses.
    pub(crate) fn release(
        &self,
        settings: &Settings,
        anonymous: Anonymous,
        discard: impl Fn(&Path) -> Result<(), Error>,
    ) -> Result<(), Error> {
        // Held throughout, so that nobody begins to use a volume that is about to go.
        let mut users = self.users();
        for volume in volumes(settings) {
            let is_unused = users.get_mut(&volume.name).is_none_or(|users| {
                users.containers.remove(&settings.id);
                users.containers.is_empty()
            });
            if is_unused {
                users.remove(&volume.name);
                if volume.anonymous && anonymous == Anonymous::Removed {
                    discard(&self.root.join(&volume.name))?;
                }
            }
        }
        Ok(())
    }

    /// The names of all volumes, in order, with the number of containers that use each.
    pub(crate) fn all(&self) -> Result<BTreeMap<String, usize>, Error> {
        let users = self.users();
        let entries = match fs::read_dir(&self.root) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(BTreeMap::new()),
            entries => entries.map_err(Error::file("read folder", &self.root))?,
        };
        let names = entries.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned());
        let users_of = |name: &String| users.get(name).map_or(0, |users| users.containers.len());
        // A volume in the making has no content yet.
        let whole = names.filter(|name| self.path(name).is_dir());
        Ok(whole.map(|name| (name.clone(), users_of(&name))).collect())
    }

    fn users(&self) -> MutexGuard<'_, HashMap<String, Users>> {
        self.users.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn volumes(settings: &Settings) -> impl Iterator<Item = &VolumeSource> {
    settings.mounts.iter().filter_map(|mount| match &mount.source {
        MountSource::Volume(volume) => Some(volume),
        _ => None,
    })
}

fn make(path: &Path) -> Result<(), Error> {
    make_folder(path.parent().expect("a volume lies in a folder of its own"))?;
    match fs::DirBuilder::new().mode(0o755).create(path) {
        // Another container made it just now.
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        result => result.map_err(Error::file("make folder", path)),
    }
}

fn make_folder(path: &Path) -> Result<(), Error> {
    fs::DirBuilder::new().recursive(true).mode(0o701).create(path).map_err(Error::file("make folder", path))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn container(id: &str, volume: &str, anonymous: bool) -> Settings {
        let source = VolumeSource { name: volume.to_owned(), anonymous, copy: true };
        let mount = MountSettings {
            target: "/data".to_owned(),
            read_only: false,
            source: MountSource::Volume(source),
            mode: String::new(),
        };
        Settings { id: id.to_owned(), mounts: vec![mount], ..Settings::default() }
    }

    fn remove(folder: &Path) -> Result<(), Error> {
        fs::remove_dir_all(folder).map_err(Error::file("remove", folder))
    }

    #[test]
    fn anonymous_volume_goes_with_its_last_container_only() {
        let folder = tempfile::tempdir().unwrap();
        let volumes = Volumes::new(folder.path().join("volumes"));
        let (first, second) = (container("1", "v", true), container("2", "v", true));
        for container in [&first, &second] {
            volumes.hold(container);
            volumes.prepare(container).unwrap();
        }
        volumes.release(&first, Anonymous::Removed, remove).unwrap();
        assert!(volumes.path("v").exists());
        volumes.release(&second, Anonymous::Removed, remove).unwrap();
        assert!(!folder.path().join("volumes/v").exists());
    }

    #[test]
    fn named_volume_and_kept_anonymous_one_stay() {
        let folder = tempfile::tempdir().unwrap();
        let volumes = Volumes::new(folder.path().to_owned());
        let (named, anonymous) = (container("1", "n", false), container("2", "a", true));
        volumes.prepare(&named).unwrap();
        volumes.prepare(&anonymous).unwrap();
        volumes.release(&named, Anonymous::Removed, remove).unwrap();
        volumes.release(&anonymous, Anonymous::Kept, remove).unwrap();
        assert!(volumes.path("n").exists() && volumes.path("a").exists());
    }

    #[test]
    fn new_volume_of_a_container_without_record_is_gone_at_the_next_start() {
        let folder = tempfile::tempdir().unwrap();
        let volumes = Volumes::new(folder.path().to_owned());
        let (lost, kept, known) =
            (container("1", "x", false), container("2", "y", false), container("3", "z", true));
        for container in [&lost, &kept, &known] {
            volumes.prepare_unrecorded(container).unwrap();
        }
        volumes.keep(&kept);
        let volumes = Volumes::new(folder.path().to_owned());
        volumes.hold(&known);
        volumes.remove_unrecorded(remove).unwrap();
        let exists = ["x", "y", "z"].map(|name| volumes.path(name).exists());
        assert_eq!(exists, [false, true, true]);
    }
}
