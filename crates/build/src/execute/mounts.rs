//! What a command sees beside its root.

use std::collections::HashMap;
use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _, chown};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use dockerfile::mount::Sharing;
use dockerfile::plan::{Owner, Role, Run, RunMount};
use oci::Digest;
use sys::Errno;
use tokio::task::spawn_blocking;

use super::copy::copy_of;
use super::layer::WritableLayer;
use crate::error::Error;
use crate::host::{CommandBind, CommandMount};
use crate::request::Context;
use crate::solve::{Job, Outcome, Tree};
use crate::work::{WorkFolder, make_folder};

/// Numbers of folders of caches in the making.
static NEXT: AtomicU64 = AtomicU64::new(0);

/// What is ready to be mounted. Dropping it removes what was made for it.
#[derive(Debug, Default)]
pub(super) struct Mounted {
    pub(super) binds: Vec<CommandBind>,
    pub(super) mounts: Vec<CommandMount>,
    pub(super) temporary: Vec<(String, i64)>,
    /// `NAME=value` that mounts give the command.
    pub(super) variables: Vec<String>,
    /// Files of secrets.
    folders: Vec<WorkFolder>,
    /// Caches that nobody else may have meanwhile.
    locks: Vec<tokio::sync::OwnedMutexGuard<()>>,
    /// Trees that are bound.
    trees: Vec<Tree>,
    /// What is written to trees; nobody wants it.
    scratch: Vec<WritableLayer>,
}

impl Mounted {
    /// Where something is mounted.
    pub(super) fn targets(&self) -> Vec<String> {
        let binds = self.binds.iter().map(|bind| bind.target.clone());
        let mounts = self.mounts.iter().map(|mount| mount.target.clone());
        binds.chain(mounts).chain(self.temporary.iter().map(|(target, _)| target.clone())).collect()
    }

    fn bind(&mut self, source: PathBuf, target: &str, is_read_only: bool) {
        self.binds.push(CommandBind { source, target: target.to_owned(), is_read_only });
    }
}

/// Prepares the mounts of a command.
pub(super) async fn prepare(
    job: &Arc<Job>,
    run: &Run,
    inputs: &HashMap<Role, Outcome>,
) -> Result<Mounted, Error> {
    let mut mounted = Mounted::default();
    for (at, mount) in run.mounts.iter().enumerate() {
        let input = inputs.get(&Role::Mount(at));
        match mount {
            RunMount::Bind { source, target, is_read_only } => {
                if let Some(input) = input {
                    bind(job, &mut mounted, &input.tree, source, target, *is_read_only).await?;
                }
            }
            RunMount::Cache { id, sharing, source, target, is_read_only, owner } => {
                let folder = cache(job, &mut mounted, id, *sharing, *owner).await?;
                if let (Some(input), true) = (input, folder.is_new) {
                    fill(job, &input.tree, source, &folder.path)?;
                }
                let folder = keep(folder)?;
                mounted.bind(folder, target, *is_read_only);
            }
            RunMount::Tmpfs { target, size } => mounted.temporary.push((target.clone(), *size)),
            RunMount::Secret { id, target, variable, is_required, owner } => {
                let Some(value) = job.request.secrets.get(id) else {
                    if *is_required {
                        return Err(Error::Secret(id.clone()));
                    }
                    continue;
                };
                secret(job, &mut mounted, &value.0, target.as_deref(), variable.as_deref(), *owner)?;
            }
            RunMount::Ssh { id, target, is_required, .. } => {
                let socket = job.request.ssh.get(id);
                if socket.is_none() && *is_required {
                    return Err(Error::Ssh(id.clone()));
                }
                ssh(&mut mounted, at, socket.map(PathBuf::as_path), target.as_deref());
            }
        }
    }
    Ok(mounted)
}

/// Files of another result.
async fn bind(
    job: &Arc<Job>,
    mounted: &mut Mounted,
    tree: &Tree,
    source: &str,
    target: &str,
    is_read_only: bool,
) -> Result<(), Error> {
    let (job, tree, source) = (Arc::clone(job), tree.clone(), source.to_owned());
    let open = move || -> Result<_, Error> {
        let failed = |errno: Errno| Error::Tree { what: source.clone(), source: errno.into() };
        let (tree, path) = visible(&job, tree, &source)?;
        if is_read_only {
            let mount = tree.part(&job.shared, &path).map_err(failed)?;
            return Ok((mount, tree, None));
        }
        let scratch = WritableLayer::begin(&job.ingest, &[])?;
        let mount = tree.writable(&job.shared, scratch.folders(), &path).map_err(failed)?;
        Ok((mount, tree, Some(scratch)))
    };
    let (mount, tree, scratch) = spawn_blocking(open).await.expect("opening a mount does not panic")?;
    mounted.trees.push(tree);
    mounted.scratch.extend(scratch);
    mounted.mounts.push(CommandMount { mount: mount.into(), target: target.to_owned(), is_read_only });
    Ok(())
}

/// What a command may see of a tree: where files of a context are hidden, a copy of the others, and where they are in it.
fn visible(job: &Job, tree: Tree, source: &str) -> Result<(Tree, PathBuf), Error> {
    let Tree::Context(context) = &tree else { return Ok((tree, PathBuf::from(source))) };
    if context.ignore.is_none() {
        return Ok((tree, PathBuf::from(source)));
    }
    let failed = |errno: Errno| Error::Tree { what: source.to_owned(), source: errno.into() };
    let is_folder = context.root.kind(source).map_err(failed)?.is_dir();
    let folder = job.shared.work.folder()?;
    copy_of(job, &tree, source, folder.path())?;
    let name = Path::new(source).file_name().filter(|_| !is_folder);
    let path = Path::new("/").join(name.unwrap_or_default());
    let copy = Context::work(folder).map_err(Error::io("open", source))?;
    Ok((Tree::Folder(Arc::new(copy)), path))
}

/// The folder of a cache.
async fn cache(
    job: &Arc<Job>,
    mounted: &mut Mounted,
    id: &str,
    sharing: Sharing,
    owner: Owner,
) -> Result<CacheFolder, Error> {
    let caches = job.shared.folder.join("caches");
    let name = Digest::of(id.as_bytes()).hex().to_owned();
    match sharing {
        Sharing::Shared => {}
        Sharing::Locked => {
            let turn = job.shared.caches.turn(&Digest::of(id.as_bytes()));
            mounted.locks.push(turn.lock_owned().await);
        }
        Sharing::Private => return private(job, mounted, &caches, &name, owner).await,
    }
    new_cache(&caches.join(&name), owner)
}

/// The first folder of a cache that nobody else has now.
async fn private(
    job: &Arc<Job>,
    mounted: &mut Mounted,
    caches: &Path,
    name: &str,
    owner: Owner,
) -> Result<CacheFolder, Error> {
    for number in 0_u32.. {
        let name = if number == 0 { name.to_owned() } else { format!("{name}-{number}") };
        let turn = job.shared.caches.turn(&Digest::of(name.as_bytes()));
        if let Ok(lock) = turn.try_lock_owned() {
            mounted.locks.push(lock);
            return new_cache(&caches.join(&name), owner);
        }
    }
    unreachable!("there are fewer commands than numbers")
}

/// The folder of a cache, and whether it is still to be kept under its name.
struct CacheFolder {
    path: PathBuf,
    is_new: bool,
}

/// The folder of a cache; where there is none, a new one beside its place, which [`keep`] moves there.
fn new_cache(folder: &Path, owner: Owner) -> Result<CacheFolder, Error> {
    let data = folder.join("data");
    if data.is_dir() {
        return Ok(CacheFolder { path: data, is_new: false });
    }
    make_folder(folder)?;
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    let path = folder.join(format!("new-{}-{number}", std::process::id()));
    make_folder(&path)?;
    chown(&path, Some(owner.uid), Some(owner.gid)).map_err(Error::io("set the owner of", &path))?;
    let mode = fs::Permissions::from_mode(owner.mode);
    fs::set_permissions(&path, mode).map_err(Error::io("set the mode of", &path))?;
    Ok(CacheFolder { path, is_new: true })
}

/// Moves a new folder to its place; where somebody else was faster, theirs is the one.
fn keep(folder: CacheFolder) -> Result<PathBuf, Error> {
    if !folder.is_new {
        return Ok(folder.path);
    }
    let data = folder.path.with_file_name("data");
    match fs::rename(&folder.path, &data) {
        Err(_) if data.is_dir() => {
            sys::trash::delete(&folder.path).map_err(Error::io("remove", &folder.path))?;
            Ok(data)
        }
        result => result.map(|()| data.clone()).map_err(Error::io("make folder", &data)),
    }
}

/// Gives a new cache the files that it begins with.
fn fill(job: &Job, tree: &Tree, source: &str, folder: &Path) -> Result<(), Error> {
    let Some(open) = tree.open(&job.shared, source)? else { return Ok(()) };
    let failed = |errno: Errno| Error::Tree { what: source.to_owned(), source: errno.into() };
    let target = fs::File::open(folder).map_err(Error::io("open folder", folder))?;
    let source = open.root().open_directory(source).map_err(failed)?;
    sys::copy::content(source, target).map_err(|errno| Error::io("fill the cache in", folder)(errno.into()))
}

/// A secret, as a file, a variable or both.
fn secret(
    job: &Arc<Job>,
    mounted: &mut Mounted,
    value: &[u8],
    target: Option<&str>,
    variable: Option<&str>,
    owner: Owner,
) -> Result<(), Error> {
    if let Some(name) = variable {
        mounted.variables.push(format!("{name}={}", String::from_utf8_lossy(value)));
    }
    let Some(target) = target else { return Ok(()) };
    let folder = job.shared.secrets.folder()?;
    let path = folder.path().join("secret");
    let write = || {
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o400).open(&path)?;
        file.write_all(value)?;
        chown(&path, Some(owner.uid), Some(owner.gid))?;
        fs::set_permissions(&path, fs::Permissions::from_mode(owner.mode))
    };
    // The error has no word of it.
    write().map_err(Error::io("write", "the file of a secret"))?;
    mounted.folders.push(folder);
    mounted.bind(path, target, true);
    Ok(())
}

/// The socket of an agent; programs are told where it is also where there is none.
fn ssh(mounted: &mut Mounted, at: usize, socket: Option<&Path>, target: Option<&str>) {
    let own = format!("/run/buildkit/ssh_agent.{at}");
    let target = target.unwrap_or(&own);
    if let Some(socket) = socket {
        mounted.bind(socket.to_owned(), target, false);
    }
    mounted.variables.push(format!("SSH_AUTH_SOCK={target}"));
}
