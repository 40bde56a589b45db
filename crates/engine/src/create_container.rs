//! Making a container: snapshot and folder first, record last.

use std::sync::Arc;

use api::container::{CreateOptions, CreateRequest, CreateResponse};
use oci::Platform;
use sys::random;
use tokio::sync::{mpsc, watch};
use tokio::task::spawn_blocking;

use crate::container::{Container, Published, Task};
use crate::create::{self, Ingredients};
use crate::engine::{Engine, invalid_name};
use crate::error::Error;
use crate::mounts::{MountSettings, ReadOnlyReach};
use crate::settings::{ContainerRecord, Settings};
use crate::shared::Shared;
use crate::state::State;
use crate::volumes::Anonymous;
use crate::{copy_up, files, mounts, names, networking};

/// Commands that may wait for a container's task.
const QUEUE: usize = 16;

impl Engine {
    /// Creates a container; `reach` is how far its read-only binds are read-only that do not say so.
    ///
    /// # Errors
    ///
    /// The image is missing, the name is taken, or the request cannot be carried out; nothing is left of it then.
    pub async fn create(
        &self,
        options: &CreateOptions,
        request: CreateRequest,
        reach: ReadOnlyReach,
    ) -> Result<CreateResponse, Error> {
        let id = random::new_id();
        let name = self.take_name(&options.name, &id)?;
        let (shared, platform, asked) = (Arc::clone(&self.shared), options.platform.clone(), name.clone());
        let made = {
            let id = id.clone();
            spawn_blocking(move || make(&shared, id, &asked, &platform, (request, reach))).await
        };
        let settings = match made.expect("making a container does not panic") {
            Ok(settings) => Arc::new(settings),
            Err(error) => {
                self.shared.index().release_name(&name, &id);
                return Err(error);
            }
        };
        let (container, task) =
            container(&self.shared, Arc::clone(&settings), name.clone(), State::created());
        self.shared.links.set(&id, settings.links.clone());
        self.shared.index().insert(&id, Arc::new(container));
        // Ends with the container, or with the engine, whose end drops the commands' sender.
        tokio::spawn(task.serve());
        self.shared.tell(&settings, &name, "create", []);
        Ok(CreateResponse { id, warnings: Vec::new() })
    }

    fn take_name(&self, asked: &str, id: &str) -> Result<String, Error> {
        let asked = asked.strip_prefix('/').unwrap_or(asked);
        if asked.is_empty() {
            let mut index = self.shared.index();
            let name = names::draw(|name| index.owner_of(name).is_none());
            index.reserve_name(&name, id);
            return Ok(name);
        }
        if !names::is_valid(asked) {
            return Err(Error::invalid(invalid_name(asked)));
        }
        self.reserve_name(asked, id)?;
        Ok(asked.to_owned())
    }
}

/// A container in memory, and the task that owns it.
pub(crate) fn container(
    shared: &Arc<Shared>,
    settings: Arc<Settings>,
    name: String,
    state: State,
) -> (Container, Task) {
    let published = Published {
        name,
        state,
        networks: Arc::new(settings.networks.clone()),
        endpoints: Arc::default(),
        health: None,
        removed: false,
        live: None,
    };
    let (publisher, receiver) = watch::channel(Arc::new(published));
    let (sender, commands) = mpsc::channel(QUEUE);
    let task = Task::new(Arc::clone(shared), Arc::clone(&settings), commands, publisher);
    (Container::new(settings, receiver, sender), task)
}

/// The blocking part.
fn make(
    shared: &Shared,
    id: String,
    name: &str,
    platform: &str,
    (mut request, reach): (CreateRequest, ReadOnlyReach),
) -> Result<Settings, Error> {
    let image = match platform {
        "" => shared.images.resolve(&request.config.image)?,
        text => {
            let platform = text.parse::<Platform>().map_err(|error| Error::invalid(error.to_string()))?;
            shared.images.resolve_for(&request.config.image, &platform)?
        }
    };
    resolve_joined(shared, &mut request)?;
    networking::use_names(&shared.networks, &mut request);
    let links = request.host_config.as_ref().map(|host_config| shared.resolve_links(host_config));
    let links = links.transpose()?.unwrap_or_default();
    let inherited = inherited_mounts(shared, &request)?;
    let settings = create::settings(Ingredients {
        engine: &shared.config,
        id,
        request,
        image_id: image.id.to_string(),
        image: &image.config,
        links,
        inherited,
        reach,
    })?;
    match make_files(shared, &settings, name, &image.id) {
        Ok(()) => Ok(settings),
        Err(error) => {
            discard(shared, &settings);
            Err(error)
        }
    }
}

/// Another container is remembered by its ID: its name may change.
fn resolve_joined(shared: &Shared, request: &mut CreateRequest) -> Result<(), Error> {
    let Some(host_config) = &mut request.host_config else { return Ok(()) };
    for mode in [&mut host_config.network_mode, &mut host_config.pid_mode, &mut host_config.ipc_mode] {
        if let Some(reference) = mode.strip_prefix("container:").filter(|reference| !reference.is_empty()) {
            // Not "not found": a client would take that for the image, and pull it.
            let found = shared.find(reference).map_err(|error| Error::invalid(error.to_string()))?;
            *mode = format!("container:{}", found.id());
        }
    }
    Ok(())
}

/// The mounts of other containers that are asked for.
fn inherited_mounts(shared: &Shared, request: &CreateRequest) -> Result<Vec<MountSettings>, Error> {
    let asked = request.host_config.as_ref().and_then(|host_config| host_config.volumes_from.as_deref());
    mounts::inherited(asked.unwrap_or_default(), |reference| {
        // Not "not found", as above.
        let container = shared.find(reference).map_err(|error| Error::invalid(error.to_string()))?;
        Ok(container.settings.mounts.clone())
    })
}

fn make_files(shared: &Shared, settings: &Settings, name: &str, image: &oci::Digest) -> Result<(), Error> {
    files::make_dir(&shared.files(&settings.id), settings)?;
    let layers = shared.images.prepare(&settings.id, image)?.lower;
    shared.volumes.hold(settings);
    shared.volumes.prepare_unrecorded(settings)?;
    copy_up::fill(settings, &shared.volumes, &layers)?;
    shared.store.transaction(|transaction| {
        transaction.put(&settings.id, &State::created())?;
        let record = ContainerRecord { name: name.to_owned(), settings: settings.clone() };
        transaction.put(&settings.id, &record)?;
        Ok::<_, Error>(())
    })?;
    shared.volumes.keep(settings);
    Ok(())
}

/// Removes what was made for a container whose creation failed.
fn discard(shared: &Shared, settings: &Settings) {
    let removed = shared.images.remove_snapshot(&settings.id).map_err(Error::from);
    let released = shared.release_volumes(settings, Anonymous::Removed);
    for result in [removed, released, shared.discard(shared.files(&settings.id).dir())] {
        if let Err(error) = result {
            tracing::warn!(container = %settings.id, %error, "cannot remove what is left of a failed creation");
        }
    }
}
