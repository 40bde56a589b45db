//! The engine as the server sees it.

use std::fs;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use api::IdResponse;
use api::container::{RemoveOptions, ResizeOptions, StopOptions};
use api::exec::{ExecCreateRequest, ExecInspect};
use image::ImageStore;
use network::Networks;
use shim::spawn::Launcher;
use shim::{RequestBody, Target};
use store::Store;
use sys::trash::Trash;

use crate::config::Config;
use crate::container::{Command, Container, StopRequest};
use crate::error::Error;
use crate::events::Events;
use crate::shared::Shared;
use crate::{exec, names, reconcile, rules, signal};

/// Why an engine could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// A folder could not be made.
    #[error("make folder {path}")]
    Folder {
        /// Which.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// The records could not be opened.
    #[error("open the containers' records")]
    Store(#[from] store::Error),
    /// The images could not be opened.
    #[error("open the images")]
    Images(#[from] image::Error),
    /// The networks could not be brought up.
    #[error("bring up the networks")]
    Networks(#[from] network::Error),
    /// Supervisors could not be prepared.
    #[error("prepare supervisors")]
    Launcher(#[from] shim::spawn::SpawnError),
    /// What was found could not be brought in order.
    #[error("reconcile containers")]
    Reconcile(#[source] Error),
}

/// The engine. Cheap to clone; all clones are one engine.
#[derive(Clone, Debug)]
pub struct Engine {
    pub(crate) shared: Arc<Shared>,
}

impl Engine {
    /// Opens an engine: loads its records, finds the containers that run, removes what has no owner, and starts what the
    /// restart policies ask for. Must be called in a tokio runtime; it blocks for file system work.
    ///
    /// # Errors
    ///
    /// Its folders, records, images or networks cannot be used.
    pub async fn open(config: Config) -> Result<Self, OpenError> {
        for folder in [&config.lib, &config.run] {
            make_folder(folder, 0o710)?;
        }
        let private = [
            config.containers_dir(),
            config.volumes_dir(),
            config.shims_dir(),
            config.names_dir(),
            config.seccomp_cache(),
        ];
        for folder in private {
            make_folder(&folder, 0o700)?;
        }
        let store = Store::open(&config.containers_db())?;
        let images = Arc::new(ImageStore::open(&config.lib.join("image"))?);
        let networks = Arc::new(Networks::open(config.network.clone())?);
        let trash = open_trash(&config.trash_dir())?;
        let shared = Arc::new(Shared::new(config, store, images, networks, Launcher::new()?, trash));
        reconcile::run(&shared).await.map_err(OpenError::Reconcile)?;
        let launcher = Arc::clone(&shared.launcher);
        tokio::task::spawn_blocking(move || launcher.prepare());
        let engine = Self { shared };
        engine.checkpoint_now_and_then();
        rules::watch(&engine.shared);
        Ok(engine)
    }

    /// Its settings.
    pub fn config(&self) -> &Config {
        &self.shared.config
    }

    /// Its images.
    pub fn images(&self) -> &Arc<ImageStore> {
        &self.shared.images
    }

    /// Its networks.
    pub fn networks(&self) -> &Arc<Networks> {
        &self.shared.networks
    }

    /// Its events.
    pub fn events(&self) -> &Events {
        &self.shared.events
    }

    /// Starts a container.
    pub async fn start(&self, reference: &str) -> Result<(), Error> {
        self.find(reference)?.ask(Command::Start).await
    }

    /// Stops a container: its stop signal, then, after the time asked for, `SIGKILL`. Returns when it has ended.
    pub async fn stop(&self, reference: &str, options: &StopOptions) -> Result<(), Error> {
        let container = self.find(reference)?;
        let request = self.stop_request(&container, options)?;
        container.ask(|reply| Command::Stop(request, reply)).await
    }

    /// Stops a container where it runs, and starts it.
    pub async fn restart(&self, reference: &str, options: &StopOptions) -> Result<(), Error> {
        let container = self.find(reference)?;
        let request = self.stop_request(&container, options)?;
        container.ask(|reply| Command::Restart(request, reply)).await
    }

    /// Sends a signal, by name or number; empty is `SIGKILL`, for whose effect this waits.
    pub async fn kill(&self, reference: &str, signal: &str) -> Result<(), Error> {
        let container = self.find(reference)?;
        let number = if signal.is_empty() { signal::KILL } else { signal::parse(signal)? };
        let id = container.id().to_owned();
        container.ask(|reply| Command::Kill(number, reply)).await.map_err(|error| match error {
            Error::NotRunning { .. } => {
                Error::conflict(format!("cannot kill container: {reference}: container {id} is not running"))
            }
            other => other,
        })
    }

    /// Freezes a container.
    pub async fn pause(&self, reference: &str) -> Result<(), Error> {
        self.find(reference)?.ask(Command::Pause).await
    }

    /// Thaws a container.
    pub async fn unpause(&self, reference: &str) -> Result<(), Error> {
        self.find(reference)?.ask(Command::Unpause).await
    }

    /// Gives a container another name.
    pub async fn rename(&self, reference: &str, name: &str) -> Result<(), Error> {
        let container = self.find(reference)?;
        let new = name.strip_prefix('/').unwrap_or(name).to_owned();
        if new.is_empty() {
            return Err(Error::invalid("Neither old nor new names may be empty"));
        }
        if !names::is_valid(&new) {
            return Err(Error::invalid(invalid_name(&new)));
        }
        let old = container.published().name.clone();
        if old == new {
            return Err(Error::invalid("Renaming a container with the same name as its current name"));
        }
        self.reserve_name(&new, container.id())?;
        let renamed = container.ask(|reply| Command::Rename(new.clone(), reply)).await;
        let freed = if renamed.is_ok() { &old } else { &new };
        self.shared.index().release_name(freed, container.id());
        renamed
    }

    /// Removes a container; with `force` also one that runs.
    pub async fn remove(&self, reference: &str, options: RemoveOptions) -> Result<(), Error> {
        let container = self.find(reference)?;
        if options.link {
            return self.remove_link(reference).await;
        }
        let RemoveOptions { force, volumes, .. } = options;
        container.ask(|reply| Command::Remove { force, volumes, reply }).await
    }

    /// Removes the link of this name, `owner/alias`; the containers stay.
    async fn remove_link(&self, name: &str) -> Result<(), Error> {
        let default = || Error::conflict("Conflict, cannot remove the default link name of the container");
        let (owner, alias, _) = self.shared.link(name).ok_or_else(default)?;
        owner.ask(|reply| Command::Unlink { alias, reply }).await
    }

    /// Sets the size of a container's terminal.
    pub async fn resize(&self, reference: &str, size: ResizeOptions) -> Result<(), Error> {
        let container = self.find(reference)?;
        resize(&container, Target::Init, size).await
    }

    /// Makes an exec in a running container.
    pub async fn exec_create(
        &self,
        reference: &str,
        request: ExecCreateRequest,
    ) -> Result<IdResponse, Error> {
        let container = self.find(reference)?;
        exec::create(&self.shared, &container, request).map(|exec| IdResponse { id: exec.id.clone() })
    }

    /// Runs an exec to which nobody is attached.
    pub async fn exec_start(&self, id: &str, console: Option<[u32; 2]>) -> Result<(), Error> {
        let exec = self.shared.execs.find(id)?;
        let container = self.find(&exec.container_id)?;
        exec::start(&self.shared, &container, &exec, console, None).await
    }

    /// Sets the size of an exec's terminal.
    pub async fn exec_resize(&self, id: &str, size: ResizeOptions) -> Result<(), Error> {
        let exec = self.shared.execs.find(id)?;
        let container = self.find(&exec.container_id)?;
        resize(&container, Target::Exec(exec.id.clone()), size).await
    }

    /// Tells about an exec.
    pub async fn exec_inspect(&self, id: &str) -> Result<ExecInspect, Error> {
        let exec = self.shared.execs.find(id)?;
        if let Ok(container) = self.find(&exec.container_id) {
            exec::settle(&container, &exec).await;
        }
        Ok(exec.inspect())
    }

    pub(crate) fn find(&self, reference: &str) -> Result<Arc<Container>, Error> {
        self.shared.find(reference)
    }

    /// Takes a name for a container, if it is free.
    pub(crate) fn reserve_name(&self, name: &str, id: &str) -> Result<(), Error> {
        let mut index = self.shared.index();
        if let Some(owner) = index.owner_of(name) {
            return Err(Error::NameInUse { name: name.to_owned(), owner: owner.to_owned() });
        }
        index.reserve_name(name, id);
        Ok(())
    }

    fn stop_request(&self, container: &Container, options: &StopOptions) -> Result<StopRequest, Error> {
        let signal = match options.signal.as_str() {
            "" => None,
            text => Some(signal::parse(text)?),
        };
        let seconds = options.timeout.or(container.settings.config.stop_timeout);
        let grace = match seconds {
            None => Some(self.shared.config.default_stop_grace),
            // A negative number waits for ever.
            Some(seconds) => u64::try_from(seconds).ok().map(Duration::from_secs),
        };
        Ok(StopRequest { signal, grace })
    }

    /// Moves the records' log into its file off everybody's path. Ends with the last clone of the engine.
    fn checkpoint_now_and_then(&self) {
        const PAUSE: Duration = Duration::from_secs(30);
        let shared = Arc::downgrade(&self.shared);
        tokio::spawn(async move {
            loop {
                tokio::time::sleep(PAUSE).await;
                let Some(shared) = shared.upgrade() else { return };
                let done = tokio::task::spawn_blocking(move || shared.store.checkpoint()).await;
                if let Ok(Err(error)) = done {
                    tracing::warn!(%error, "cannot checkpoint the containers' records");
                }
            }
        });
    }
}

/// The refusal of a name, in Docker's words.
pub(crate) fn invalid_name(name: &str) -> String {
    format!("Invalid container name ({name}), only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed")
}

async fn resize(container: &Container, target: Target, size: ResizeOptions) -> Result<(), Error> {
    let live = container.live()?;
    let body = RequestBody::Resize { target, width: size.width, height: size.height };
    match live.client.request(body, Vec::new()).await {
        Ok(_) => Ok(()),
        Err(shim::client::RequestError::Failed(failure)) => {
            Err(Error::Supervisor { action: "resize", id: container.id().to_owned(), failure })
        }
        // It has just ended.
        Err(_) => Err(Error::NotRunning { id: container.id().to_owned() }),
    }
}

fn make_folder(path: &Path, mode: u32) -> Result<(), OpenError> {
    let failed = |source| OpenError::Folder { path: path.to_owned(), source };
    fs::DirBuilder::new().recursive(true).mode(mode).create(path).map_err(failed)?;
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).map_err(failed)
}

fn open_trash(folder: &Path) -> Result<Trash, OpenError> {
    let failed = |source| OpenError::Folder { path: folder.to_owned(), source };
    let keep = |path: &Path, error: &std::io::Error| {
        tracing::warn!(path = %path.display(), %error, "left for the next start to remove");
    };
    Trash::open(folder, keep).map_err(failed)
}
