//! What all containers of an engine share.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use api::StringMap;
use image::ImageStore;
use network::{EndpointInfo, Networks};
use shim::spawn::Launcher;
use store::Store;
use sys::trash::Trash;

use crate::config::{Config, ContainerFiles};
use crate::container::Container;
use crate::discovery::Names;
use crate::error::Error;
use crate::events::{Events, Kind};
use crate::exec::Execs;
use crate::index::{Index, Miss};
use crate::links::Links;
use crate::settings::{ContainerRecord, Settings};
use crate::spec::{self, Joined, Names as OwnNames};
use crate::state::State;
use crate::volumes::{Anonymous, Volumes};

/// The engine's parts, each of which guards itself.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) config: Config,
    pub(crate) store: Store,
    pub(crate) images: Arc<ImageStore>,
    pub(crate) networks: Arc<Networks>,
    pub(crate) names: Names,
    pub(crate) links: Links,
    pub(crate) volumes: Volumes,
    pub(crate) events: Events,
    pub(crate) launcher: Arc<Launcher>,
    pub(crate) execs: Execs,
    trash: Trash,
    index: Mutex<Index<Container>>,
    init_program: OnceLock<PathBuf>,
}

impl Shared {
    pub(crate) fn new(
        config: Config,
        store: Store,
        images: Arc<ImageStore>,
        networks: Arc<Networks>,
        launcher: Launcher,
        trash: Trash,
    ) -> Self {
        Self {
            trash,
            volumes: Volumes::new(config.volumes_dir()),
            names: Names::new(config.names_dir()),
            links: Links::default(),
            config,
            store,
            images,
            networks,
            events: Events::default(),
            launcher: Arc::new(launcher),
            execs: Execs::default(),
            index: Mutex::default(),
            init_program: OnceLock::new(),
        }
    }

    /// The index of containers. Held for look-ups only, never across anything that waits.
    pub(crate) fn index(&self) -> MutexGuard<'_, Index<Container>> {
        self.index.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The container with this ID, name or prefix, or the one that another calls so (`owner/alias`).
    pub(crate) fn find(&self, reference: &str) -> Result<Arc<Container>, Error> {
        let found = self.index().resolve(reference);
        let found = found.or_else(|miss| self.link(reference).map(|(_, _, target)| target).ok_or(miss));
        found.map_err(|miss| match miss {
            Miss::NotFound => Error::ContainerNotFound { reference: reference.to_owned() },
            Miss::Ambiguous => Error::AmbiguousPrefix { prefix: reference.to_owned() },
        })
    }

    /// The link with a name like `owner/alias`: its owner, its alias, and where it leads.
    pub(crate) fn link(&self, name: &str) -> Option<(Arc<Container>, String, Arc<Container>)> {
        let (owner, alias) = name.strip_prefix('/').unwrap_or(name).split_once('/')?;
        let owner = self.index().resolve(owner).ok()?;
        let link = self.links.of(owner.id()).into_iter().find(|link| link.alias == alias)?;
        let target = self.index().resolve(&link.target).ok()?;
        Some((owner, link.alias, target))
    }

    pub(crate) fn files(&self, id: &str) -> ContainerFiles {
        ContainerFiles::new(&self.config, id)
    }

    /// Publishes an event about a container.
    pub(crate) fn tell<const N: usize>(
        &self,
        settings: &Settings,
        name: &str,
        action: &str,
        more: [(&str, String); N],
    ) {
        let mut attributes: StringMap = settings.config.labels.clone().unwrap_or_default();
        attributes.insert("image".to_owned(), settings.config.image.clone());
        attributes.insert("name".to_owned(), name.to_owned());
        attributes.extend(more.map(|(name, value)| (name.to_owned(), value)));
        self.events.publish(Kind::Container, action, &settings.id, attributes);
    }

    /// Takes a removed container out of memory.
    pub(crate) fn forget(&self, id: &str) {
        self.index().remove(id);
        self.links.set(id, Vec::new());
        self.execs.forget(id);
    }

    /// Removes what a container has on disk, its record last.
    pub(crate) fn remove_files(&self, settings: &Settings, anonymous: Anonymous) -> Result<(), Error> {
        self.images.remove_snapshot(&settings.id)?;
        self.release_volumes(settings, anonymous)?;
        let files = self.files(&settings.id);
        let failed = |source| Error::file("remove", files.dir())(source);
        let folder = self.trash.discard(files.dir()).map_err(failed)?;
        let removed = self.remove_records(&settings.id);
        match folder {
            Some(folder) if removed.is_err() => {
                // On a full disk there is room for the removal only once the files are gone.
                folder.delete().map_err(failed)?;
                self.remove_records(&settings.id)
            }
            _ => removed,
        }
    }

    fn remove_records(&self, id: &str) -> Result<(), Error> {
        self.store.transaction(|transaction| {
            transaction.remove::<State>(id)?;
            transaction.remove::<ContainerRecord>(id)?;
            Ok(())
        })
    }

    /// Notes that a container no longer has its volumes.
    pub(crate) fn release_volumes(&self, settings: &Settings, anonymous: Anonymous) -> Result<(), Error> {
        self.volumes.release(settings, anonymous, |folder| self.discard(folder))
    }

    /// Takes a folder away; it is deleted in the background.
    pub(crate) fn discard(&self, path: &Path) -> Result<(), Error> {
        self.trash.discard(path).map(drop).map_err(Error::file("remove", path))
    }

    /// Kills and removes what a supervisor that was killed left behind: processes and control groups.
    pub(crate) async fn clean_up_after_supervisor(&self, settings: &Settings) {
        self.clean_up_cgroup(&settings.id, spec::cgroup_path(&self.config, settings)).await;
    }

    pub(crate) async fn clean_up_cgroup(&self, id: &str, cgroup: PathBuf) {
        let launcher = Arc::clone(&self.launcher);
        let cleaned = tokio::task::spawn_blocking(move || launcher.clean_up(&cgroup)).await;
        if let Err(error) = cleaned.expect("cleaning up does not panic") {
            tracing::error!(container = %id, %error, "cannot clean up after the supervisor");
        }
    }

    /// The namespaces of other containers that a container joins.
    pub(crate) fn joined_namespaces(&self, settings: &Settings) -> Result<Joined, Error> {
        let host = &settings.host_config;
        let owner =
            host.network_mode.strip_prefix("container:").map(|reference| self.find(reference)).transpose()?;
        let names = owner.map(|owner| OwnNames {
            files: self.files(owner.id()),
            hostname: owner.settings.config.hostname.clone(),
            domainname: owner.settings.config.domainname.clone(),
        });
        Ok(Joined {
            names,
            network: self.joined(&host.network_mode, "network")?,
            pid: self.joined(&host.pid_mode, "PID")?,
            ipc: self.joined(&host.ipc_mode, "IPC")?,
        })
    }

    fn joined(&self, mode: &str, kind: &str) -> Result<Option<PathBuf>, Error> {
        let Some(reference) = mode.strip_prefix("container:") else { return Ok(None) };
        let container = self.find(reference)?;
        let id = container.id();
        if kind == "IPC" && matches!(container.settings.host_config.ipc_mode.as_str(), "private" | "none") {
            return Err(Error::invalid(format!(
                "can't join IPC of container {id}: non-shareable IPC (hint: use IpcMode:shareable for the donor \
                 container)"
            )));
        }
        let live = container.live().map_err(|_| {
            Error::conflict(format!("cannot join {kind} namespace of a non running container: {id}"))
        })?;
        Ok(Some(PathBuf::from(format!("/proc/{}", live.pid))))
    }

    /// Frees what a run had in its networks: names, addresses, ports.
    pub(crate) fn release_endpoints(&self, endpoints: &[EndpointInfo]) {
        self.names.remove(endpoints);
        endpoints.iter().for_each(|endpoint| self.networks.release(endpoint));
    }

    /// A copy of this program on disk, to be bound into containers that run an init. Made at the first use.
    pub(crate) fn init_program(&self) -> Result<PathBuf, Error> {
        if let Some(path) = self.init_program.get() {
            return Ok(path.clone());
        }
        let path = self.config.run.join("docker-init");
        let partial = self.config.run.join("docker-init.partial");
        fs::copy("/proc/self/exe", &partial).map_err(Error::file("write", &partial))?;
        fs::rename(&partial, &path).map_err(Error::file("write", &path))?;
        Ok(self.init_program.get_or_init(|| path).clone())
    }
}
