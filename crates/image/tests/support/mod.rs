//! Stores in temporary folders, and archives as `docker save` would write them.

#![allow(dead_code, reason = "each test binary uses its own part")]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use image::{ImageStore, Loaded, Users};
use oci::{Digest, Platform};

/// A folder that goes with the test.
pub(crate) struct Scratch {
    folder: tempfile::TempDir,
}

impl Scratch {
    pub(crate) fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap() }
    }

    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) fn root(&self) -> PathBuf {
        self.folder.path().join("image")
    }

    /// Opens the store. One that was just dropped may have its background work still to end.
    pub(crate) fn open(&self) -> ImageStore {
        for _ in 0..200 {
            match ImageStore::open(&self.root()) {
                Err(image::Error::Records(_)) => std::thread::sleep(std::time::Duration::from_millis(10)),
                other => return other.unwrap(),
            }
        }
        ImageStore::open(&self.root()).unwrap()
    }

    pub(crate) fn load(&self, store: &ImageStore, archive: Archive) -> Vec<Loaded> {
        store.load(&archive.build()[..], &[]).unwrap()
    }

    /// Everything in blobs, layers, snapshots and ingest.
    pub(crate) fn files(&self) -> Vec<String> {
        let mut found = Vec::new();
        for folder in ["blobs/sha256", "blobs/sha512", "layers", "snapshots", "ingest", "partial"] {
            for entry in std::fs::read_dir(self.root().join(folder)).unwrap() {
                found.push(format!("{folder}/{}", entry.unwrap().file_name().to_string_lossy()));
            }
        }
        found
    }
}

pub(crate) fn no_users(_: &Digest) -> Users {
    Users::default()
}

/// An image in the making.
pub(crate) struct Archive {
    name: String,
    created: String,
    labels: BTreeMap<String, String>,
    layers: Vec<tar::Builder<Vec<u8>>>,
}

impl Archive {
    /// An image with this name and one empty layer.
    pub(crate) fn new(name: &str) -> Self {
        Self {
            name: name.into(),
            created: "2024-01-01T00:00:00Z".into(),
            labels: BTreeMap::new(),
            layers: vec![tar::Builder::new(Vec::new())],
        }
    }

    /// Begins a further layer.
    pub(crate) fn layer(mut self) -> Self {
        self.layers.push(tar::Builder::new(Vec::new()));
        self
    }

    pub(crate) fn created(mut self, time: &str) -> Self {
        self.created = time.into();
        self
    }

    pub(crate) fn label(mut self, name: &str, value: &str) -> Self {
        self.labels.insert(name.into(), value.into());
        self
    }

    /// A file in the current layer.
    pub(crate) fn file(mut self, path: &str, content: &[u8]) -> Self {
        let mut header = tar::Header::new_gnu();
        header.set_size(content.len() as u64);
        header.set_mode(0o644);
        self.layers.last_mut().unwrap().append_data(&mut header, path, content).unwrap();
        self
    }

    /// The archive of `docker save`.
    pub(crate) fn build(self) -> Vec<u8> {
        let layers: Vec<Vec<u8>> = self.layers.into_iter().map(|layer| layer.into_inner().unwrap()).collect();
        save(&self.name, &self.created, &self.labels, &layers)
    }
}

/// The archive of `docker save` with these layers.
pub(crate) fn save(
    name: &str,
    created: &str,
    labels: &BTreeMap<String, String>,
    layers: &[Vec<u8>],
) -> Vec<u8> {
    let diff_ids: Vec<String> = layers.iter().map(|layer| Digest::of(layer).to_string()).collect();
    save_with(name, created, labels, layers, &diff_ids)
}

/// The same, claiming these diffIDs.
pub(crate) fn save_with(
    name: &str,
    created: &str,
    labels: &BTreeMap<String, String>,
    layers: &[Vec<u8>],
    diff_ids: &[String],
) -> Vec<u8> {
    let platform = Platform::host();
    let config = serde_json::json!({
        "architecture": platform.architecture, "os": "linux", "created": created,
        "config": {"Cmd": ["/bin/true"], "Labels": labels},
        "rootfs": {"type": "layers", "diff_ids": diff_ids},
    });
    let config = serde_json::to_vec(&config).unwrap();
    let names: Vec<String> = (0..layers.len()).map(|number| format!("layer{number}/layer.tar")).collect();
    let manifest = serde_json::json!([{"Config": "config.json", "RepoTags": [name], "Layers": names}]);
    let manifest = serde_json::to_vec(&manifest).unwrap();
    let mut files: Vec<(String, &[u8])> = names.into_iter().zip(layers.iter().map(Vec::as_slice)).collect();
    files.push(("config.json".into(), &config));
    files.push(("manifest.json".into(), &manifest));
    pack(&files)
}

/// A tar with these files.
pub(crate) fn pack(files: &[(String, &[u8])]) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    for (path, content) in files {
        let mut header = tar::Header::new_gnu();
        header.set_size(content.len() as u64);
        header.set_mode(0o644);
        builder.append_data(&mut header, path, *content).unwrap();
    }
    builder.into_inner().unwrap()
}
