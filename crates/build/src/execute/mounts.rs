//! What a command sees beside its root.

use std::collections::HashMap;
use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _, chown};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use dockerfile::plan::{Owner, Role, Run, RunMount};
use sys::Errno;
use tokio::task::spawn_blocking;

use super::caches::{self, Caches};
use super::copy::copy_of;
use super::layer::WritableLayer;
use crate::error::Error;
use crate::host::{CommandBind, CommandMount};
use crate::request::Context;
use crate::solve::{Job, Outcome, Tree};
use crate::work::WorkFolder;

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
    /// Caches that are used.
    _caches: Caches,
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
    let caches = Caches::lock(&job.shared.caches.locks, &run.mounts).await;
    for (at, mount) in run.mounts.iter().enumerate() {
        let input = inputs.get(&Role::Mount(at));
        match mount {
            RunMount::Bind { source, target, is_read_only } => {
                if let Some(input) = input {
                    bind(job, &mut mounted, &input.tree, source, target, *is_read_only).await?;
                }
            }
            RunMount::Cache { id, source, target, is_read_only, owner, .. } => {
                let begins_with = input.map(|input| (input.tree.clone(), source.clone()));
                let command = run.arguments.join(" ");
                let description = format!("cached mount {target} from exec {command} with id {id:?}");
                // The job has the layers that it begins with, also where nobody waits any more.
                let (job, name, owner) = (Arc::clone(job), caches.name(at), *owner);
                let make = move || {
                    let begins_with = begins_with.as_ref().map(|(tree, source)| (tree, source.as_str()));
                    caches::folder(&job.shared, &name, begins_with, owner, description)
                };
                let folder = spawn_blocking(make).await.expect("making a folder does not panic")?;
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
    mounted._caches = caches;
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
        let scratch = WritableLayer::over(&job.ingest, None)?;
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
