//! Volumes: folders that the engine keeps for containers.

use std::collections::HashMap;
use std::fs;
use std::os::unix::fs::DirBuilderExt;
use std::path::PathBuf;

use crate::error::Error;
use crate::mounts::{MountSettings, MountSource};
use crate::random;
use crate::settings::Settings;
use crate::shared::remove_dir;

/// The volumes of an engine: `<root>/<name>/_data`.
#[derive(Debug)]
pub(crate) struct Volumes {
    root: PathBuf,
}

impl Volumes {
    pub(crate) fn new(root: PathBuf) -> Self {
        Self { root }
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

    /// Makes the volumes of a container where they are missing, and tells where they are.
    pub(crate) fn prepare(&self, settings: &Settings) -> Result<HashMap<String, PathBuf>, Error> {
        let mut paths = HashMap::new();
        for mount in &settings.mounts {
            if let MountSource::Volume(volume) = &mount.source {
                let path = self.path(&volume.name);
                if !path.exists() {
                    make(&path)?;
                }
                paths.insert(volume.name.clone(), path);
            }
        }
        Ok(paths)
    }

    /// Removes the volumes that nobody named and that go with the container.
    pub(crate) fn remove_anonymous(&self, settings: &Settings) -> Result<(), Error> {
        for mount in &settings.mounts {
            if let MountSource::Volume(volume) = &mount.source
                && volume.anonymous
            {
                remove_dir(&self.root.join(&volume.name))?;
            }
        }
        Ok(())
    }
}

fn make(path: &PathBuf) -> Result<(), Error> {
    let parent = path.parent().expect("a volume lies in a folder of its own");
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o701)
        .create(parent)
        .map_err(Error::file("make folder", parent))?;
    fs::DirBuilder::new().mode(0o755).create(path).map_err(Error::file("make folder", path))
}
