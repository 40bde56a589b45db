//! Files that are not made by steps: contexts, files of the Dockerfile.

use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::os::fd::{AsFd as _, AsRawFd as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use dockerfile::plan::VertexId;
use oci::Digest;
use sys::Errno;
use sys::mount::{Depth, DetachedMount};
use sys::root::Root;

use super::{Job, Outcome};
use crate::builder::Shared;
use crate::error::Error;
use crate::files::{self, Origin};
use crate::request::{Context, NamedSource};

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
            // As it is open: what has its path by now may be something else.
            Self::Context(context) | Self::Folder(context) => {
                vec![format!("/proc/self/fd/{}", context.root.as_fd().as_raw_fd()).into()]
            }
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
                NamedSource::Image(_) | NamedSource::Layout { .. } => None,
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
}
