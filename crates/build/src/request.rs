//! What a build is asked for.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use api::build::Limits;
use dockerfile::ignore::Matcher;
use oci::{Platform, Reference};
use rustix::fs::OFlags;
use sys::Errno;
use sys::root::Root;

use crate::exchange::{CacheFolder, CacheSource, CacheTarget, Entry};
use crate::work::WorkFolder;

/// A build.
#[derive(Debug, Default)]
pub struct Request {
    /// The Dockerfile's name in messages.
    pub name: String,
    /// The Dockerfile.
    pub dockerfile: Vec<u8>,
    /// The files that `COPY` and `ADD` take.
    pub context: Option<Arc<Context>>,
    /// `--build-context`, by name.
    pub contexts: BTreeMap<String, NamedSource>,
    /// The stage to build; empty: the last one.
    pub target: String,
    /// `--build-arg`.
    pub build_args: BTreeMap<String, String>,
    /// `--label`.
    pub labels: BTreeMap<String, String>,
    /// What the image's manifest says besides: see [`crate::annotations`].
    pub annotations: BTreeMap<String, String>,
    /// Names of the image.
    pub tags: Vec<Reference>,
    /// `--platform`.
    pub platform: Option<Platform>,
    /// What is not taken from the cache.
    pub no_cache: NoCache,
    /// Where results of earlier builds are looked for, besides here.
    pub cache_from: Vec<CacheSource>,
    /// Where results go, besides here.
    pub cache_to: Vec<CacheTarget>,
    /// Whether images are looked for in their registries also where they are here.
    pub pull: bool,
    /// `default`, `none`, `host` or a network, for commands that do not say; empty is `default`.
    pub network: String,
    /// `name:address`.
    pub extra_hosts: Vec<String>,
    /// Limits of commands.
    pub limits: Limits,
    /// Values of secrets, by name.
    pub secrets: BTreeMap<String, Secret>,
    /// Sockets of SSH agents, by name.
    pub ssh: BTreeMap<String, PathBuf>,
    /// Whether events tell why results were not there.
    pub explain: bool,
}

/// The value of a secret. Its `Debug` shows nothing of it.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Secret(pub Vec<u8>);

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// What a name of `--build-context` stands for.
#[derive(Clone, Debug)]
pub enum NamedSource {
    /// An image.
    Image(String),
    /// Files.
    Files(Arc<Context>),
    /// An image in an OCI layout.
    Layout {
        /// The layout.
        folder: CacheFolder,
        /// The image.
        entry: Entry,
    },
}

/// What is not taken from the cache.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum NoCache {
    /// Everything may be.
    #[default]
    Nothing,
    /// Nothing may be.
    All,
    /// Not what is in these stages, by name or number.
    Stages(Vec<String>),
}

/// A folder of files, some of which may be hidden.
#[derive(Debug)]
pub struct Context {
    pub(crate) root: Root,
    pub(crate) ignore: Option<Matcher>,
    /// By which what is known of its files is kept; none where they are new in each build.
    pub(crate) memory: Option<String>,
    /// Goes with it.
    pub(crate) _folder: Option<WorkFolder>,
}

impl Context {
    /// A folder of the host that stays where it is, if it is the one of this device and inode.
    ///
    /// # Errors
    /// When it cannot be opened, or is another one.
    pub fn folder(path: &Path, inode: (u64, u64)) -> std::io::Result<Self> {
        let root = Root::at_inode(path, inode)?;
        let memory = Some(oci::Digest::of(path.as_os_str().as_encoded_bytes()).hex().to_owned());
        Ok(Self { root, ignore: None, memory, _folder: None })
    }

    /// A folder that goes when the last use of it is over.
    ///
    /// # Errors
    /// When it cannot be opened.
    pub fn work(folder: WorkFolder) -> std::io::Result<Self> {
        Ok(Self { root: Root::at(folder.path())?, ignore: None, memory: None, _folder: Some(folder) })
    }

    /// Without the files that a `.dockerignore` hides.
    #[must_use]
    pub fn without(self, ignore: Option<Matcher>) -> Self {
        Self { ignore, ..self }
    }

    /// Reads a file, whether it is hidden or not; links are followed within the folder. `None` where there is none.
    ///
    /// # Errors
    /// When it is something else than a file, longer than `limit` bytes, or cannot be read.
    pub fn read(&self, path: &str, limit: u64) -> std::io::Result<Option<Vec<u8>>> {
        // A pipe must not be waited for.
        match self.root.open(path, OFlags::RDONLY | OFlags::NONBLOCK) {
            Ok(file) => Ok(Some(sys::file::read_bounded(file, limit)?)),
            Err(Errno::NOENT | Errno::NOTDIR) => Ok(None),
            Err(errno) => Err(errno.into()),
        }
    }
}
