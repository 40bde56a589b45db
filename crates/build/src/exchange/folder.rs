//! Caches in folders: OCI layouts with a manifest for each tag.
//!
//! Every path is resolved in the folder, whatever links are in it. What is written belongs to whom the folder belongs to.

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd as _, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use image::manifest::{Descriptor, Document, MAX_CONFIG_SIZE, MAX_MANIFEST_SIZE, Manifest, media};
use oci::{Digest, Platform};
use rustix::fs::{AtFlags, FlockOperation, Gid, Mode, OFlags, Uid};
use serde_json::{Value, json};
use sys::root::Root;

/// The annotation that has the tag.
const TAG: &str = "org.opencontainers.image.ref.name";

/// Indexes that may be in each other.
const MAX_DEPTH: usize = 4;

/// What a manifest in a folder is found by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Entry {
    /// Its digest.
    Digest(Digest),
    /// Its tag.
    Tag(String),
}

/// A folder with caches, or with images. Clones are one folder.
#[derive(Clone, Debug)]
pub struct CacheFolder(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    root: Root,
    path: PathBuf,
    owner: (u32, u32),
}

impl CacheFolder {
    /// The folder at a path, if it is the one of this device and inode.
    ///
    /// # Errors
    /// When it cannot be opened, or is another one.
    pub fn open(path: PathBuf, inode: (u64, u64)) -> io::Result<Self> {
        let root = Root::at_inode(&path, inode)?;
        let stat = rustix::fs::fstat(&root)?;
        let owner = (stat.st_uid, stat.st_gid);
        Ok(Self(Arc::new(Inner { root, path, owner })))
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.0.path
    }

    /// The manifest of a tag or a digest, with its configuration.
    pub(super) fn manifest(&self, entry: &Entry) -> io::Result<(Manifest, Vec<u8>)> {
        let content = self.blob(&self.resolve(entry)?, MAX_MANIFEST_SIZE)?;
        match Document::parse_any(&content, None).map_err(io::Error::other)? {
            Document::Manifest(manifest) => {
                let config = self.blob(&manifest.config.digest, MAX_CONFIG_SIZE)?;
                Ok((manifest, config))
            }
            Document::Index(_) => Err(io::Error::other("it is a list and not the manifest of a cache")),
        }
    }

    /// The manifest of an image for a platform, by a tag or a digest, with its digest and its configuration.
    pub(crate) fn image(
        &self,
        entry: &Entry,
        platform: &Platform,
    ) -> io::Result<(Digest, Manifest, Vec<u8>)> {
        let mut digest = self.resolve(entry)?;
        for _ in 0..MAX_DEPTH {
            let content = self.blob(&digest, MAX_MANIFEST_SIZE)?;
            match Document::parse(&content, None).map_err(io::Error::other)? {
                Document::Manifest(manifest) => {
                    let config = self.blob(&manifest.config.digest, MAX_CONFIG_SIZE)?;
                    return Ok((digest, manifest, config));
                }
                Document::Index(index) => {
                    let found = index.select(platform).first().map(|entry| entry.digest.clone());
                    digest =
                        found.ok_or_else(|| io::Error::other(format!("there is none for {platform}")))?;
                }
            }
        }
        Err(io::Error::other(format!("its lists are nested more than {MAX_DEPTH} deep")))
    }

    fn resolve(&self, entry: &Entry) -> io::Result<Digest> {
        match entry {
            Entry::Digest(digest) => Ok(digest.clone()),
            Entry::Tag(tag) => self.tagged(tag),
        }
    }

    fn tagged(&self, tag: &str) -> io::Result<Digest> {
        let index =
            self.index()?.ok_or_else(|| io::Error::other("could not read index.json: no such file"))?;
        let found = entries(&index).iter().rev().find(|entry| is_tagged(entry, tag));
        let digest = found.and_then(|entry| entry["digest"].as_str()?.parse().ok());
        digest.ok_or_else(|| {
            io::Error::new(io::ErrorKind::NotFound, format!("nothing in it has the tag {tag}"))
        })
    }

    fn index(&self) -> io::Result<Option<Value>> {
        let file = match self.0.root.open("index.json", OFlags::RDONLY | OFlags::NONBLOCK) {
            Ok(file) => file,
            Err(sys::Errno::NOENT) => return Ok(None),
            Err(errno) => return Err(errno.into()),
        };
        let content = sys::file::read_bounded(file, MAX_MANIFEST_SIZE)?;
        serde_json::from_slice(&content).map(Some).map_err(io::Error::other)
    }

    /// A whole blob that is what its digest says.
    fn blob(&self, digest: &Digest, limit: u64) -> io::Result<Vec<u8>> {
        let file = self.0.root.open(path_of(digest), OFlags::RDONLY | OFlags::NONBLOCK)?;
        let content = sys::file::read_bounded(file, limit)?;
        match digest.verifies(&content) {
            true => Ok(content),
            false => Err(io::Error::other(format!("blob {digest} is not what its digest says"))),
        }
    }

    /// Opens a blob, which nobody has verified.
    pub(crate) fn open_blob(&self, digest: &Digest) -> io::Result<File> {
        let file = self.0.root.open(path_of(digest), OFlags::RDONLY | OFlags::NONBLOCK)?;
        match sys::root::kind_of(&file)? {
            rustix::fs::FileType::RegularFile => Ok(file.into()),
            _ => Err(io::Error::other(format!("blob {digest} is not a file"))),
        }
    }

    /// Whether there is a file of this length in the place of a blob.
    pub(super) fn has(&self, blob: &Descriptor) -> bool {
        let found = self.open_blob(&blob.digest).and_then(|file| file.metadata());
        found.is_ok_and(|metadata| metadata.len() == blob.size)
    }

    /// Writes a blob.
    pub(super) fn put(&self, digest: &Digest, content: &mut dyn Read) -> io::Result<()> {
        let folder = self.folder(&format!("blobs/{}", digest.algorithm().as_str()))?;
        self.write(&folder, digest.hex(), content)
    }

    /// Writes what makes the folder a layout in which a manifest has this tag.
    pub(super) fn tag(&self, manifest: &Descriptor, tag: &str) -> io::Result<()> {
        let folder = self.folder("")?;
        self.write(&folder, "oci-layout", &mut &b"{\"imageLayoutVersion\":\"1.0.0\"}"[..])?;
        let _lock = self.lock()?;
        let mut index =
            self.index()?.unwrap_or_else(|| json!({"schemaVersion": 2, "mediaType": media::OCI_INDEX}));
        let mut entry = serde_json::to_value(manifest).map_err(io::Error::other)?;
        entry["annotations"] = json!({ TAG: tag });
        let others = entries(&index).iter().filter(|other| !is_tagged(other, tag)).cloned();
        let manifests: Vec<Value> = others.chain([entry]).collect();
        let fields = index.as_object_mut().ok_or_else(|| io::Error::other("index.json is no index"))?;
        fields.insert("manifests".to_owned(), manifests.into());
        self.write(&folder, "index.json", &mut index.to_string().as_bytes())
    }

    /// A folder in it, which is made where it is not there.
    fn folder(&self, path: &str) -> io::Result<OwnedFd> {
        let _lock = self.lock()?;
        let mut done = PathBuf::new();
        for name in Path::new(path) {
            done.push(name);
            if self.0.root.locate(&done).is_err() {
                self.own(&self.0.root.make_directory(&done)?)?;
            }
        }
        Ok(self.0.root.open_directory(path)?)
    }

    /// Waits until nobody else changes what is in it.
    fn lock(&self) -> io::Result<OwnedFd> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let folder = rustix::fs::openat(&self.0.root, ".", flags, Mode::empty())?;
        rustix::fs::flock(&folder, FlockOperation::LockExclusive)?;
        Ok(folder)
    }

    /// Gives what was made to whom the folder belongs to.
    fn own(&self, made: &OwnedFd) -> io::Result<()> {
        let (user, group) = self.0.owner;
        let (user, group) = (Some(Uid::from_raw(user)), Some(Gid::from_raw(group)));
        Ok(rustix::fs::chownat(made, "", user, group, AtFlags::EMPTY_PATH)?)
    }

    /// Writes a file under another name, and then gives it its own.
    fn write(&self, folder: &OwnedFd, name: &str, content: &mut dyn Read) -> io::Result<()> {
        // Others may write here at the same time.
        let draft = format!(".corten-{}", sys::random::new_id());
        let flags = OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file = rustix::fs::openat(folder, &draft, flags, Mode::from_raw_mode(0o644))?;
        let mut file = File::from(file);
        let written = io::copy(content, &mut file)
            .and_then(|_| {
                let (user, group) = self.0.owner;
                Ok(rustix::fs::fchown(file.as_fd(), Some(Uid::from_raw(user)), Some(Gid::from_raw(group)))?)
            })
            .and_then(|()| file.sync_all())
            .and_then(|()| Ok(rustix::fs::renameat(folder, &draft, folder, name)?));
        if written.is_err() {
            let _ = rustix::fs::unlinkat(folder, &draft, AtFlags::empty());
        }
        written
    }
}

fn path_of(digest: &Digest) -> String {
    format!("blobs/{}/{}", digest.algorithm().as_str(), digest.hex())
}

fn entries(index: &Value) -> &[Value] {
    index["manifests"].as_array().map_or(&[], Vec::as_slice)
}

fn is_tagged(entry: &Value, tag: &str) -> bool {
    entry["annotations"][TAG].as_str() == Some(tag)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{MetadataExt as _, symlink};

    use super::*;

    fn open(path: &Path) -> CacheFolder {
        let found = path.metadata().unwrap();
        CacheFolder::open(path.to_owned(), (found.dev(), found.ino())).unwrap()
    }

    /// Writes a manifest with this configuration.
    fn keep(folder: &CacheFolder, config: &[u8], tag: &str) -> Digest {
        let digest = Digest::of(config);
        folder.put(&digest, &mut &config[..]).unwrap();
        let manifest = json!({
            "schemaVersion": 2,
            "mediaType": media::OCI_MANIFEST,
            "config": Descriptor::new("x", digest, config.len() as u64),
            "layers": [],
        });
        let manifest = manifest.to_string();
        let descriptor =
            Descriptor::new(media::OCI_MANIFEST, Digest::of(manifest.as_bytes()), manifest.len() as u64);
        folder.put(&descriptor.digest, &mut manifest.as_bytes()).unwrap();
        folder.tag(&descriptor, tag).unwrap();
        descriptor.digest
    }

    #[test]
    fn each_tag_has_its_own_manifest() {
        let place = tempfile::tempdir().unwrap();
        let folder = open(place.path());
        let tagged = |tag: &str| folder.manifest(&Entry::Tag(tag.to_owned()));
        let error = tagged("latest").unwrap_err().to_string();
        assert_eq!(error, "could not read index.json: no such file");
        keep(&folder, b"one", "latest");
        let other = keep(&folder, b"other", "other");
        keep(&folder, b"two", "latest");
        keep(&folder, b"colon", "a:b");
        assert_eq!(tagged("a:b").unwrap().1, b"colon");
        assert_eq!(tagged("latest").unwrap().1, b"two");
        assert_eq!(tagged("other").unwrap().1, b"other");
        assert_eq!(folder.manifest(&Entry::Digest(other)).unwrap().1, b"other");
        assert_eq!(tagged("none").unwrap_err().kind(), io::ErrorKind::NotFound);
        let names = std::fs::read_dir(place.path()).unwrap().map(|entry| entry.unwrap().file_name());
        assert!(names.into_iter().all(|name| !name.to_string_lossy().starts_with(".corten")));
    }

    #[test]
    fn damaged_blobs_are_not_taken() {
        let place = tempfile::tempdir().unwrap();
        let folder = open(place.path());
        keep(&folder, b"one", "latest");
        let path = place.path().join(path_of(&Digest::of(b"one")));
        std::fs::write(path, "two").unwrap();
        let error = folder.manifest(&Entry::Tag("latest".to_owned())).unwrap_err();
        assert!(error.to_string().ends_with("is not what its digest says"));
    }

    #[test]
    fn links_do_not_lead_out_of_the_folder() {
        let place = tempfile::tempdir().unwrap();
        let (inside, outside) = (place.path().join("in"), place.path().join("out"));
        std::fs::create_dir(&inside).unwrap();
        std::fs::create_dir(&outside).unwrap();
        symlink(&outside, inside.join("blobs")).unwrap();
        let folder = open(&inside);
        // It is made inside, where the link leads within the folder, or refused.
        let _ = folder.put(&Digest::of(b"x"), &mut &b"x"[..]);
        assert_eq!(std::fs::read_dir(&outside).unwrap().count(), 0);
        symlink(outside.join("target"), inside.join("index.json")).unwrap();
        let manifest = Descriptor::new(media::OCI_MANIFEST, Digest::of(b"x"), 1);
        folder.tag(&manifest, "t").unwrap();
        assert_eq!(std::fs::read_dir(&outside).unwrap().count(), 0);
    }

    #[test]
    fn folder_that_is_another_one_is_refused() {
        let place = tempfile::tempdir().unwrap();
        let error = CacheFolder::open(place.path().to_owned(), (0, 0)).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::NotFound);
    }
}
