//! Files that are not made by steps: contexts, files of the Dockerfile, repositories, addresses.

use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use dockerfile::plan::{Git, Http, VertexId};
use oci::Digest;
use sys::Errno;
use sys::mount::{Depth, DetachedMount};
use sys::root::Root;

use super::{Job, Outcome};
use crate::builder::Shared;
use crate::context::{git, http};
use crate::error::Error;
use crate::files::{self, Origin};
use crate::progress::Event;
use crate::request::{Context, NamedSource};
use crate::work::WorkFolder;

/// The files of a result.
#[derive(Clone, Debug)]
pub(crate) enum Tree {
    /// Those of layers, the lowest first.
    Layers(Arc<[Digest]>),
    /// Those of a folder; what is in it decides, not its key.
    Context(Arc<Context>),
    /// Those of a folder whose key says what is in it.
    Folder(Arc<Context>),
}

impl Tree {
    /// The layers; none for folders.
    pub(crate) fn layers(&self) -> &[Digest] {
        match self {
            Self::Layers(layers) => layers,
            _ => &[],
        }
    }

    /// Opens the files for reading. `None` where there are none.
    pub(crate) fn open(&self, shared: &Shared, what: &str) -> Result<Option<OpenTree>, Error> {
        match self {
            Self::Layers(layers) if layers.is_empty() => Ok(None),
            Self::Layers(layers) => {
                let failed = |errno: Errno| Error::Tree { what: what.to_owned(), source: errno.into() };
                let root = sys::overlay::read(&shared.images.layer_trees(layers)).map_err(failed)?;
                Ok(Some(OpenTree::Layers(root)))
            }
            Self::Context(context) | Self::Folder(context) => Ok(Some(OpenTree::Folder(Arc::clone(context)))),
        }
    }

    /// A read-only mount of a part of the files.
    pub(crate) fn part(&self, shared: &Shared, path: &Path) -> sys::Result<DetachedMount> {
        match self {
            Self::Layers(layers) => {
                let mut folders = shared.images.layer_trees(layers);
                if folders.len() == 1 {
                    return DetachedMount::copy_of(Root::at(&folders[0])?.locate(path)?, Depth::Single);
                }
                if folders.is_empty() {
                    // As good as an empty folder: nothing else is in it.
                    folders.push(shared.folder.join("empty"));
                }
                sys::overlay::part(sys::overlay::mount(&folders, None)?, path)
            }
            Self::Context(context) | Self::Folder(context) => {
                DetachedMount::copy_of(context.root.locate(path)?, Depth::Single)
            }
        }
    }

    /// A mount of a part of the files that can be written; what is written goes to these folders.
    pub(crate) fn writable(
        &self,
        shared: &Shared,
        folders_of_writes: (&Path, &Path),
        path: &Path,
    ) -> sys::Result<DetachedMount> {
        let mut below = match self {
            Self::Layers(layers) => shared.images.layer_trees(layers),
            Self::Context(context) | Self::Folder(context) => vec![context.path.clone()],
        };
        below.push(shared.folder.join("empty"));
        sys::overlay::part(sys::overlay::mount(&below, Some(folders_of_writes))?, path)
    }
}

/// Files that are open for reading.
#[derive(Debug)]
pub(crate) enum OpenTree {
    Layers(Root),
    Folder(Arc<Context>),
}

impl OpenTree {
    /// Its root.
    pub(crate) fn root(&self) -> &Root {
        match self {
            Self::Layers(root) => root,
            Self::Folder(context) => &context.root,
        }
    }

    /// The files as a copy sees them.
    pub(crate) fn as_tree(&self) -> files::Tree<'_> {
        let (ignore, origin) = match self {
            Self::Layers(_) => (None, Origin::Layers),
            Self::Folder(context) => (context.ignore.as_ref(), Origin::Context),
        };
        files::Tree { root: self.root(), ignore, origin }
    }
}

impl Job {
    /// The build's context, or a named one.
    pub(super) fn context(&self, name: &str) -> Result<Outcome, Error> {
        let context = match name {
            "" => self.request.context.clone(),
            name => self.request.contexts.get(name).and_then(|source| match source {
                NamedSource::Files(context) => Some(Arc::clone(context)),
                NamedSource::Image(_) => None,
            }),
        };
        let context = context.ok_or(Error::NoContext)?;
        // Whoever takes files of it identifies them by what is in them.
        let key = Digest::of(format!("context {name}").as_bytes());
        Ok(Outcome { tree: Tree::Context(context), key, steps: Vec::new() })
    }

    /// A file that is written in the Dockerfile.
    pub(super) async fn file(
        &self,
        id: VertexId,
        name: &str,
        content: &str,
        mode: u32,
    ) -> Result<Outcome, Error> {
        let folder = self.shared.work.folder()?;
        let path = folder.path().join(name);
        let write = || {
            let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path)?;
            file.write_all(content.as_bytes())?;
            if let Some(time) = self.plan.epoch.and_then(|seconds| u64::try_from(seconds).ok()) {
                file.set_modified(UNIX_EPOCH + Duration::from_secs(time))?;
            }
            // Whatever the umask.
            fs::set_permissions(&path, fs::Permissions::from_mode(mode))
        };
        write().map_err(Error::io("write", &path))?;
        let context = Context::work(folder).map_err(Error::io("open", &path))?;
        let key = self.plan.vertices[id.0].operation.digest();
        Ok(Outcome { tree: Tree::Folder(Arc::new(context)), key, steps: Vec::new() })
    }

    /// A repository.
    pub(super) async fn git(&self, id: VertexId, git: &Git) -> Result<Outcome, Error> {
        let (number, progress) = (self.number(id), self.progress.clone());
        let log = move |line: &str| {
            let data = format!("{line}\n").into_bytes();
            progress.try_tell(Event::Log { id: number, stream: 2, data });
        };
        let options = git::Options {
            proxies: self.host.registry().proxies_with_passwords().clone(),
            ssh_agent: self.request.ssh.get("default").cloned(),
            log: Some(Arc::new(log)),
            ..git::Options::default()
        };
        let folder = self.shared.work.folder()?;
        let resolved = git::resolve(git, &options).await?;
        git::fetch(git, &resolved, folder.path(), &options).await?;
        let key = ("git", &self.plan.vertices[id.0].operation.digest(), &resolved.object);
        folder_outcome(folder, &key)
    }

    /// A file at an address.
    pub(super) async fn http(&self, id: VertexId, http: &Http) -> Result<Outcome, Error> {
        let (number, sink) = (self.number(id), self.progress.clone());
        let progress = Arc::new(move |current: u64, total: Option<u64>| {
            let (item, total) = ("downloading".to_owned(), total.unwrap_or_default());
            let is_done = total == current;
            sink.try_tell(Event::Status { id: number, item, current, total, is_done });
        });
        let folder = self.shared.work.folder()?;
        let fetched = http::fetch(self.host.registry(), http, folder.path(), progress).await?;
        folder_outcome(folder, &("http", &fetched.name, &fetched.digest))
    }
}

/// A folder that has what this key says.
fn folder_outcome(folder: WorkFolder, key: &impl serde::Serialize) -> Result<Outcome, Error> {
    let path = folder.path().to_owned();
    let context = Context::work(folder).map_err(Error::io("open", path))?;
    let key = Digest::of(&serde_json::to_vec(key).expect("a key is texts"));
    Ok(Outcome { tree: Tree::Folder(Arc::new(context)), key, steps: Vec::new() })
}
