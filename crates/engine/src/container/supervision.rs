//! Starting a supervisor, and finding one again after the engine was restarted.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use api::network::EndpointSettings;
use network::{EndpointInfo, NameSockets};
use shim::client::{Client, Events, PendingReply, RequestError};
use shim::{
    Config, Durability, ExitRecord, Launcher, NameService, Reply, RequestBody, Service, ServiceKind,
    StdinMode, User,
};
use tokio::task::spawn_blocking;

use super::command::AttachSlot;
use super::published::{Published, Run};
use crate::config::ContainerFiles;
use crate::create::security;
use crate::discovery::{Named, has_name_server};
use crate::error::Error;
use crate::links::Linked;
use crate::settings::Settings;
use crate::shared::Shared;
use crate::spec::{self, AtStart};
use crate::{files, logging, networking, relay};

/// How long a container is left alone to start.
const SETTLE: std::time::Duration = std::time::Duration::from_millis(10);

/// How long a client that said it will attach may take to hand its connection over.
const ATTACH_WAIT: std::time::Duration = std::time::Duration::from_secs(2);

/// Starts the container's program under a new supervisor. On failure nothing of it is left.
pub(crate) async fn start(
    shared: &Arc<Shared>,
    settings: &Arc<Settings>,
    container: &Published,
    slots: Vec<AttachSlot>,
    opened: Vec<(PathBuf, OwnedFd)>,
) -> Result<Run, Error> {
    let prepared = {
        let (shared, settings) = (shared.clone(), settings.clone());
        let (name, networks) = (container.name.clone(), Arc::clone(&container.networks));
        let others = Others {
            joined: shared.joined_namespaces(&settings)?,
            linked: shared.linked(&settings.id, &name)?,
        };
        spawn_blocking(move || prepare(&shared, &settings, &name, &networks, others))
    };
    let prepared = prepared.await.expect("preparing a start does not panic")?;
    let endpoints = prepared.endpoints.clone();
    match launch(shared, settings, prepared, slots, opened).await {
        Ok(run) => Ok(run),
        Err(error) => {
            shared.release_endpoints(&endpoints);
            remove_run_dir(&shared.config.shim_dir(&settings.id));
            Err(error)
        }
    }
}

/// What a start needs of other containers.
struct Others {
    joined: spec::Joined,
    linked: Vec<Linked>,
}

/// What a supervisor is started with.
struct Prepared {
    config: Config,
    sandbox: Option<OwnedFd>,
    endpoints: Vec<EndpointInfo>,
    names: Option<(NameService, NameSockets)>,
}

/// The blocking part: network, files, configuration.
fn prepare(
    shared: &Shared,
    settings: &Settings,
    name: &str,
    networks: &BTreeMap<String, EndpointSettings>,
    others: Others,
) -> Result<Prepared, Error> {
    let files = &shared.files(&settings.id);
    let Others { joined, linked } = others;
    let at_start = AtStart { joined, linked, volumes: shared.volumes.prepare(settings)? };
    let settings = &named(settings, &at_start.joined);
    crate::mounts::make_missing_sources(&settings.mounts)?;
    let joined = networking::join(&shared.networks, settings, name, networks);
    let sandbox = joined.map_err(|error| match error {
        Error::Network(error) => Error::Networking(error),
        other => other,
    })?;
    let (sandbox, endpoints) = sandbox.map(|joined| (joined.netns, joined.endpoints)).unzip();
    let endpoints = open_links(shared, endpoints.unwrap_or_default(), &at_start.linked)?;
    let build = || -> Result<_, Error> {
        let container = Named { settings, name, networks };
        let names = sandbox.as_ref().map(|netns| name_server(shared, container, &endpoints, netns));
        if at_start.joined.names.is_none() {
            files::write(files, settings, &endpoints, &at_start.linked)?;
        }
        shared.tell_owners(settings, name, &endpoints);
        let run_dir = shared.config.shim_dir(&settings.id);
        make_run_dir(&run_dir)?;
        files::write_endpoints(files, &endpoints)?;
        forget(&files.exit_record())?;
        let config = config(shared, settings, name, files, run_dir, &at_start)?;
        Ok((config, names.transpose()?.flatten()))
    };
    match build() {
        Ok((config, names)) => Ok(Prepared { config, sandbox, endpoints, names }),
        Err(error) => {
            shared.release_endpoints(&endpoints);
            remove_run_dir(&shared.config.shim_dir(&settings.id));
            Err(error)
        }
    }
}

/// Lets the container reach what it is linked to. On failure its endpoints are released.
fn open_links(
    shared: &Shared,
    endpoints: Vec<EndpointInfo>,
    linked: &[Linked],
) -> Result<Vec<EndpointInfo>, Error> {
    if linked.is_empty() {
        return Ok(endpoints);
    }
    shared.open_links(&endpoints, linked).map_err(|error| {
        shared.release_endpoints(&endpoints);
        Error::Networking(error)
    })
}

/// The container's names are known when this returns, and its name server listens; others may ask for it from now on.
fn name_server(
    shared: &Shared,
    container: Named<'_>,
    endpoints: &[EndpointInfo],
    netns: &OwnedFd,
) -> Result<Option<(NameService, NameSockets)>, Error> {
    if !has_name_server(endpoints) {
        return Ok(None);
    }
    let service = shared.names.service(container, endpoints)?;
    shared.names.set(container, endpoints)?;
    let sockets = NameSockets::open(netns.as_fd()).map_err(Error::Networking)?;
    Ok(Some((service, sockets)))
}

/// The settings with the names of the container whose network is used, where there is one.
fn named<'a>(settings: &'a Settings, joined: &spec::Joined) -> Cow<'a, Settings> {
    let Some(names) = &joined.names else { return Cow::Borrowed(settings) };
    let mut settings = settings.clone();
    settings.config.hostname.clone_from(&names.hostname);
    settings.config.domainname.clone_from(&names.domainname);
    Cow::Owned(settings)
}

fn config(
    shared: &Shared,
    settings: &Settings,
    name: &str,
    files: &ContainerFiles,
    run_dir: PathBuf,
    at_start: &AtStart,
) -> Result<Config, Error> {
    let overlay = shared.images.open_snapshot(&settings.id)?;
    let host = &settings.host_config;
    Ok(Config {
        id: settings.id.clone(),
        spec: spec::build(&shared.config, settings, files, at_start)?,
        rootfs: shim::Rootfs::Overlay(shim::OverlayRootfs {
            lower: overlay.lower,
            upper: overlay.upper,
            work: overlay.work,
            durability: if host.auto_remove { Durability::Volatile } else { Durability::Durable },
        }),
        user: Some(user(settings)),
        seccomp: security(host)?.seccomp,
        seccomp_cache: shared.config.seccomp_cache(),
        stdin: stdin_mode(settings),
        log: logging::log(settings, name, files)?,
        run_dir,
        exit_path: files.exit_record(),
        opened: Vec::new(),
        init: (host.init == Some(true)).then(|| shared.init_program()).transpose()?,
    })
}

fn user(settings: &Settings) -> User {
    User {
        user: settings.config.user.clone(),
        additional_groups: settings.host_config.group_add.clone().unwrap_or_default(),
    }
}

fn stdin_mode(settings: &Settings) -> StdinMode {
    match (settings.config.open_stdin, settings.config.stdin_once) {
        (false, _) => StdinMode::Closed,
        (true, false) => StdinMode::Open,
        (true, true) => StdinMode::OpenOnce,
    }
}

/// Everything is sent at once, so that a start costs one round trip to the supervisor.
async fn launch(
    shared: &Shared,
    settings: &Settings,
    mut prepared: Prepared,
    slots: Vec<AttachSlot>,
    opened: Vec<(PathBuf, OwnedFd)>,
) -> Result<Run, Error> {
    let id = settings.id.as_str();
    let lost = |reason: String| Error::SupervisorLost { action: "start", id: id.to_owned(), reason };
    let (client, events) = shared.launcher.supervisor().map_err(|error| lost(chain(&error)))?;
    let (targets, opened): (Vec<_>, Vec<_>) = opened.into_iter().unzip();
    prepared.config.opened = targets;
    let descriptors: Vec<OwnedFd> = prepared.sandbox.into_iter().chain(opened).collect();
    let mut requests = vec![(RequestBody::Create(Box::new(prepared.config)), descriptors)];
    let mut services = Vec::new();
    if let Some((service, sockets)) = prepared.names {
        requests.push(serve_names(service, Some(sockets)));
        services.push(ServiceKind::Names);
    }
    requests.extend(relay::requests(&shared.networks, &prepared.endpoints)?);
    for slot in slots {
        // A client that went away before the start does not keep it from happening.
        if let Ok(Ok(socket)) = tokio::time::timeout(ATTACH_WAIT, slot.socket).await {
            requests.push((RequestBody::Attach(slot.attach), vec![socket]));
        }
    }
    requests.push((RequestBody::Start, Vec::new()));
    let replies = client.send(requests);
    let (pid, started_at) = started(replies).await.map_err(|error| match error {
        RequestError::Failed(failure) => Error::Start { failure },
        other => lost(chain(&other)),
    })?;
    prepare_next(Arc::clone(&shared.launcher));
    Ok(Run { client: Arc::new(client), events, pid, started_at, endpoints: prepared.endpoints, services })
}

/// The request that starts a name server, or without sockets tells the one that runs something else.
pub(super) fn serve_names(service: NameService, sockets: Option<NameSockets>) -> (RequestBody, Vec<OwnedFd>) {
    let sockets = sockets.map(|sockets| vec![sockets.packets, sockets.connections]);
    (RequestBody::Serve(Service::Names(service)), sockets.unwrap_or_default())
}

/// Makes a supervisor ready for the next start, once this one has had the processors for itself.
fn prepare_next(launcher: Arc<Launcher>) {
    tokio::spawn(async move {
        tokio::time::sleep(SETTLE).await;
        spawn_blocking(move || launcher.prepare());
    });
}

/// The first refusal counts: what follows a failed creation fails for that reason.
async fn started(replies: Vec<PendingReply>) -> Result<(i32, i64), RequestError> {
    let mut outcome = Err(RequestError::Disconnected);
    for reply in replies {
        outcome = match reply.await? {
            Reply::Started { pid, started_at } => Ok((pid, started_at)),
            _ => Err(RequestError::Disconnected),
        };
    }
    outcome
}

/// What became of a container while no engine watched it.
pub(crate) enum Found {
    /// It runs or is paused under a supervisor that lives.
    Live { client: Client, events: Events, state: shim::State },
    /// It ended, and its supervisor left this record.
    Ended(ExitRecord),
    /// Its supervisor is gone without a record.
    Lost,
    /// Nothing was started.
    Nothing,
}

/// Looks for the supervisor of a container at the engine's start.
pub(crate) async fn find(run_dir: &Path, exit_record: &Path) -> Found {
    if let Ok((client, events)) = Client::connect(run_dir).await {
        match client.request(RequestBody::State, Vec::new()).await {
            Ok(Reply::State(state)) if state.status == shim::Status::Created => {
                // The engine ended between creation and start: nobody was told that it runs.
                let _ = client.request(RequestBody::Delete, Vec::new()).await;
                return Found::Nothing;
            }
            Ok(Reply::State(shim::State { exit: Some(record), .. })) => return Found::Ended(record),
            Ok(Reply::State(state)) => return Found::Live { client, events, state },
            _ => {}
        }
    }
    match read_exit_record(exit_record) {
        Some(record) => Found::Ended(record),
        None if run_dir.exists() => Found::Lost,
        None => Found::Nothing,
    }
}

/// The exit record of a container, where its supervisor left one.
pub(crate) fn read_exit_record(path: &Path) -> Option<ExitRecord> {
    serde_json::from_slice(&fs::read(path).ok()?).ok()
}

pub(crate) fn remove_run_dir(run_dir: &Path) {
    if let Err(error) = fs::remove_dir_all(run_dir)
        && error.kind() != io::ErrorKind::NotFound
    {
        tracing::warn!(path = %run_dir.display(), %error, "cannot remove folder");
    }
}

fn make_run_dir(run_dir: &Path) -> Result<(), Error> {
    remove_run_dir(run_dir);
    fs::DirBuilder::new().mode(0o700).create(run_dir).map_err(Error::file("make folder", run_dir))?;
    let mode = fs::Permissions::from_mode(0o700);
    fs::set_permissions(run_dir, mode).map_err(Error::file("set the mode of", run_dir))
}

/// An exit record of an earlier run must not be taken for one of this run.
fn forget(exit_record: &Path) -> Result<(), Error> {
    match fs::remove_file(exit_record) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(Error::file("remove", exit_record)(error))
        }
        _ => Ok(()),
    }
}

/// An error with its sources, in one line.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text.push_str(": ");
        text.push_str(&error.to_string());
        source = error.source();
    }
    text
}
