//! Image archives, proper and hostile, written byte by byte.

use std::io::Write;

use flate2::write::GzEncoder;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tar::{EntryType, Header};

/// A layer: a tar archive. Names are taken as they are, so that a layer can be as hostile as a test needs.
#[derive(Debug, Default)]
pub struct Layer {
    bytes: Vec<u8>,
}

impl Layer {
    /// An empty layer.
    pub fn new() -> Self {
        Self::default()
    }

    /// A layer from the bytes of a finished tar archive.
    pub fn from_tar(bytes: Vec<u8>) -> Self {
        Self { bytes }
    }

    /// Adds a directory.
    pub fn directory(self, path: &str, mode: u32) -> Self {
        self.entry(EntryType::Directory, path, mode, b"", "")
    }

    /// Adds a file.
    pub fn file(self, path: &str, mode: u32, content: &[u8]) -> Self {
        self.entry(EntryType::Regular, path, mode, content, "")
    }

    /// Adds a symbolic link.
    pub fn symlink(self, path: &str, target: &str) -> Self {
        self.entry(EntryType::Symlink, path, 0o777, b"", target)
    }

    /// Adds a hard link.
    pub fn hard_link(self, path: &str, target: &str) -> Self {
        self.entry(EntryType::Link, path, 0o644, b"", target)
    }

    /// Adds a character device.
    pub fn character_device(mut self, path: &str, major: u32, minor: u32) -> Self {
        let mut header = header(EntryType::Char, path, 0o666, 0, "");
        header.set_device_major(major).and_then(|()| header.set_device_minor(minor)).expect("a ustar header");
        header.set_cksum();
        self.bytes.extend_from_slice(header.as_bytes());
        self
    }

    /// The tar archive.
    pub fn finish(mut self) -> Vec<u8> {
        if !self.bytes.ends_with(&[0; 1024]) {
            self.bytes.extend_from_slice(&[0; 1024]);
        }
        self.bytes
    }

    fn entry(mut self, kind: EntryType, path: &str, mode: u32, content: &[u8], target: &str) -> Self {
        let header = header(kind, path, mode, content.len() as u64, target);
        self.bytes.extend_from_slice(header.as_bytes());
        self.bytes.extend_from_slice(content);
        self.bytes.resize(self.bytes.len().next_multiple_of(512), 0);
        self
    }
}

/// An image to be written as an archive.
#[derive(Debug)]
pub struct Image {
    /// The `config` member of the image's configuration (`Cmd`, `Env`, …).
    pub config: Value,
    /// Uncompressed tar archives, the lowest first.
    pub layers: Vec<Vec<u8>>,
    /// The architecture that it claims to be for; this machine's at first.
    pub architecture: String,
}

/// How the layers of an OCI layout are compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compression {
    /// Not at all.
    None,
    /// gzip.
    Gzip,
    /// Zstandard.
    Zstd,
}

impl Compression {
    /// Every one.
    pub const ALL: [Self; 3] = [Self::None, Self::Gzip, Self::Zstd];
}

impl Image {
    /// An image of one layer.
    pub fn new(config: Value, layer: Layer) -> Self {
        Self { config, layers: vec![layer.finish()], architecture: architecture().to_owned() }
    }

    /// The same for another architecture.
    #[must_use]
    pub fn for_architecture(self, architecture: &str) -> Self {
        Self { architecture: architecture.to_owned(), ..self }
    }

    /// The configuration that the image's ID is the digest of.
    pub fn configuration(&self) -> Vec<u8> {
        let diff_ids: Vec<String> = self.layers.iter().map(|layer| digest(layer)).collect();
        let history: Vec<Value> = (1..=self.layers.len())
            .map(|number| json!({"created": CREATED, "created_by": format!("layer {number}")}))
            .collect();
        let document = json!({
            "architecture": self.architecture, "os": "linux", "created": CREATED, "config": self.config,
            "rootfs": {"type": "layers", "diff_ids": diff_ids}, "history": history,
        });
        document.to_string().into_bytes()
    }

    /// The image's ID, `sha256:…`.
    pub fn id(&self) -> String {
        digest(&self.configuration())
    }

    /// As `docker save` writes it.
    pub fn docker_archive(&self, tag: &str) -> Vec<u8> {
        let configuration = self.configuration();
        let config_name = format!("{}.json", &digest(&configuration)["sha256:".len()..]);
        let mut archive = Layer::new().file(&config_name, 0o644, &configuration);
        let mut names = Vec::new();
        for (number, layer) in self.layers.iter().enumerate() {
            let name = format!("layer{number}.tar");
            archive = archive.file(&name, 0o644, layer);
            names.push(name);
        }
        let manifest = json!([{"Config": config_name, "RepoTags": [tag], "Layers": names}]);
        archive.file("manifest.json", 0o644, manifest.to_string().as_bytes()).finish()
    }

    /// As an OCI image layout in a tar archive.
    pub fn oci_layout(&self, tag: &str, compression: Compression) -> Vec<u8> {
        let mut archive = Layer::new()
            .file("oci-layout", 0o644, br#"{"imageLayoutVersion":"1.0.0"}"#)
            .directory("blobs/", 0o755)
            .directory("blobs/sha256/", 0o755);
        let mut add = |media_type: &str, bytes: &[u8]| {
            let digest = digest(bytes);
            let name = format!("blobs/sha256/{}", &digest["sha256:".len()..]);
            archive = std::mem::take(&mut archive).file(&name, 0o644, bytes);
            json!({"mediaType": media_type, "digest": digest, "size": bytes.len()})
        };
        let config = add("application/vnd.oci.image.config.v1+json", &self.configuration());
        let layers: Vec<Value> = self
            .layers
            .iter()
            .map(|layer| add(compression.media_type(), &compression.apply(layer)))
            .collect();
        let manifest_type = "application/vnd.oci.image.manifest.v1+json";
        let manifest =
            json!({"schemaVersion": 2, "mediaType": manifest_type, "config": config, "layers": layers});
        let mut descriptor = add(manifest_type, manifest.to_string().as_bytes());
        descriptor["annotations"] =
            json!({"io.containerd.image.name": tag, "org.opencontainers.image.ref.name": tag});
        let index = json!({"schemaVersion": 2, "manifests": [descriptor]});
        archive.file("index.json", 0o644, index.to_string().as_bytes()).finish()
    }
}

impl Compression {
    fn media_type(self) -> &'static str {
        match self {
            Self::None => "application/vnd.oci.image.layer.v1.tar",
            Self::Gzip => "application/vnd.oci.image.layer.v1.tar+gzip",
            Self::Zstd => "application/vnd.oci.image.layer.v1.tar+zstd",
        }
    }

    /// Compresses.
    pub fn apply(self, bytes: &[u8]) -> Vec<u8> {
        match self {
            Self::None => bytes.to_vec(),
            Self::Gzip => {
                let mut encoder = GzEncoder::new(Vec::new(), flate2::Compression::fast());
                encoder.write_all(bytes).and_then(|()| encoder.finish()).expect("compress in memory")
            }
            Self::Zstd => zstd::encode_all(bytes, 1).expect("compress in memory"),
        }
    }
}

/// `sha256:` and 64 hexadecimal digits.
pub fn digest(bytes: &[u8]) -> String {
    let hex: String = Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect();
    format!("sha256:{hex}")
}

const CREATED: &str = "2024-05-01T12:00:00Z";

fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

fn header(kind: EntryType, path: &str, mode: u32, size: u64, target: &str) -> Header {
    let mut header = Header::new_ustar();
    header.set_entry_type(kind);
    header.set_mode(mode);
    header.set_size(size);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(1_714_564_800);
    // `Header::set_path` refuses `..` and absolute names, which hostile layers are made of.
    let old = header.as_old_mut();
    old.name[..path.len()].copy_from_slice(path.as_bytes());
    old.linkname[..target.len()].copy_from_slice(target.as_bytes());
    header.set_cksum();
    header
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(archive: &[u8]) -> Vec<String> {
        let mut archive = tar::Archive::new(archive);
        let entries = archive.entries().unwrap();
        entries.map(|entry| entry.unwrap().path().unwrap().display().to_string()).collect()
    }

    #[test]
    fn hostile_names_are_kept_as_they_are() {
        let layer = Layer::new().file("../evil", 0o644, b"x").symlink("/abs", "/etc").finish();
        assert_eq!(names(&layer), ["../evil", "/abs"]);
    }

    #[test]
    fn docker_archive_names_what_it_contains() {
        let image = Image::new(json!({}), Layer::new().file("a", 0o644, b"1"));
        let config = format!("{}.json", &image.id()["sha256:".len()..]);
        assert_eq!(names(&image.docker_archive("x:1")), [config.as_str(), "layer0.tar", "manifest.json"]);
    }

    #[test]
    fn compressions_differ_and_keep_the_id() {
        let image = Image::new(json!({}), Layer::new().file("a", 0o644, &[7; 5000]));
        let gzip = image.oci_layout("x:1", Compression::Gzip);
        assert_ne!(gzip, image.oci_layout("x:1", Compression::Zstd));
        assert!(gzip.len() < image.oci_layout("x:1", Compression::None).len());
    }
}
