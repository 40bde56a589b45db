//! The engine's start: records against what is really there.

use std::collections::HashSet;
use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use shim::client::Client;
use shim::{RequestBody, Status as ShimStatus};

use crate::container::{Command, Run, Task};
use crate::container::{Found, find, remove_run_dir};
use crate::create_container::container;
use crate::error::Error;
use crate::files;
use crate::settings::{ContainerRecord, Settings};
use crate::shared::Shared;
use crate::spec;
use crate::state::{State, Status};
use crate::volumes::Anonymous;

/// How long a start with the engine waits for the containers that it is linked to.
const TARGET_WAIT: Duration = Duration::from_secs(5);

/// Loads all records, takes over what runs, notes what ended, and removes what has no owner.
pub(crate) async fn run(shared: &Arc<Shared>) -> Result<(), Error> {
    let records = load(shared)?;
    for (record, _) in &records {
        shared.volumes.hold(&record.settings);
    }
    shared.volumes.remove_unrecorded(|folder| shared.discard(folder))?;
    remove_orphans(shared, &records).await?;
    let mut tasks = Vec::new();
    for (record, state) in records {
        if state.was_removed_half_way() {
            finish_removal(shared, &record.settings);
            continue;
        }
        tasks.push(adopt(shared, record, state).await);
    }
    shared.networks.restore(endpoints(&tasks))?;
    shared.names.restore(tasks.iter().map(|task| (task.named(), task.endpoints())))?;
    shared.names.remove_stale()?;
    tasks.iter_mut().for_each(Task::schedule_start_with_engine);
    for task in tasks {
        start_after_targets(shared, task.id());
        // Ends with the container, or with the engine, whose end drops the commands' sender.
        tokio::spawn(task.serve());
    }
    Ok(())
}

/// Starts a container that waits for those that it is linked to, when they are started or cannot be. Where one of them is gone,
/// the start says so.
fn start_after_targets(shared: &Shared, id: &str) {
    let links = shared.links.of(id);
    if links.is_empty() {
        return;
    }
    let Ok(container) = shared.find(id) else { return };
    let targets = links.into_iter().filter_map(|link| shared.find(&link.target).ok());
    let mut targets: Vec<_> = targets.map(|target| target.subscribe()).collect();
    // Ends by itself.
    tokio::spawn(async move {
        let started = async {
            for target in &mut targets {
                // A sender that is gone belongs to a container that is removed.
                let _ = target.wait_for(|published| published.state.status != Status::Restarting).await;
            }
        };
        let _ = tokio::time::timeout(TARGET_WAIT, started).await;
        container.tell(Command::StartWithEngine).await;
    });
}

fn load(shared: &Shared) -> Result<Vec<(ContainerRecord, State)>, Error> {
    let records = shared.store.list::<ContainerRecord>()?;
    let with_state = |(id, record): (String, ContainerRecord)| {
        let state = shared.store.load::<State>(&id)?.unwrap_or_else(State::created);
        Ok((record, state))
    };
    records.into_iter().map(with_state).collect()
}

/// Brings one container into memory, with what became of it while no engine watched.
async fn adopt(shared: &Arc<Shared>, record: ContainerRecord, state: State) -> Task {
    let settings = Arc::new(record.settings);
    let was_live = state.status.is_live();
    let known_exit = state.finished_at;
    let (entry, mut task) = container(shared, Arc::clone(&settings), record.name.clone(), state);
    {
        let mut index = shared.index();
        index.reserve_name(&record.name, &settings.id);
        index.insert(&settings.id, Arc::new(entry));
    }
    shared.links.set(&settings.id, settings.links.clone());
    let run_dir = shared.config.shim_dir(&settings.id);
    match find(&run_dir, &shared.files(&settings.id).exit_record()).await {
        Found::Live { client, events, state } => {
            let status = if state.status == ShimStatus::Paused { Status::Paused } else { Status::Running };
            let endpoints = files::read_endpoints(&shared.files(&settings.id));
            let started_at = state.started_at.unwrap_or_default();
            let run = Run {
                client: Arc::new(client),
                events,
                pid: state.pid,
                started_at,
                endpoints,
                services: state.services,
            };
            task.adopt(run, status);
        }
        Found::Ended(record) if was_live || known_exit != Some(record.finished_at) => {
            task.adopt_end(Some(&record))
        }
        Found::Ended(_) => remove_run_dir(&run_dir),
        Found::Lost => {
            shared.clean_up_after_supervisor(&settings).await;
            if was_live { task.adopt_end(None) } else { remove_run_dir(&run_dir) }
        }
        Found::Nothing => {
            remove_run_dir(&run_dir);
            // The machine was restarted.
            if was_live {
                task.adopt_end(None);
            }
        }
    }
    task
}

fn endpoints(tasks: &[Task]) -> Vec<network::EndpointInfo> {
    tasks.iter().flat_map(Task::endpoints).cloned().collect()
}

fn finish_removal(shared: &Shared, settings: &Settings) {
    if let Err(error) = shared.remove_files(settings, Anonymous::Kept) {
        tracing::warn!(container = %settings.id, %error, "cannot finish the removal");
    }
}

/// Removes what was made for containers that have no record: their creation was cut short, or their removal was.
async fn remove_orphans(shared: &Shared, records: &[(ContainerRecord, State)]) -> Result<(), Error> {
    let known: HashSet<&str> = records.iter().map(|(record, _)| record.settings.id.as_str()).collect();
    for id in entries(&shared.config.shims_dir())?.into_iter().filter(|id| !known.contains(id.as_str())) {
        end_supervisor(shared, &id).await;
    }
    for id in shared.images.snapshots().into_iter().filter(|id| !known.contains(id.as_str())) {
        shared.images.remove_snapshot(&id)?;
    }
    let folder = shared.config.containers_dir();
    for id in entries(&folder)?.into_iter().filter(|id| !known.contains(id.as_str())) {
        shared.discard(&folder.join(id))?;
    }
    Ok(())
}

async fn end_supervisor(shared: &Shared, id: &str) {
    let run_dir = shared.config.shim_dir(id);
    if let Ok((client, _)) = Client::connect(&run_dir).await {
        let _ = client.request(RequestBody::KillAll, Vec::new()).await;
        let _ = client.request(RequestBody::Delete, Vec::new()).await;
    }
    shared.clean_up_cgroup(id, spec::default_cgroup_path(&shared.config, id)).await;
    remove_run_dir(&run_dir);
}

/// Names of the folders in a folder.
fn entries(folder: &Path) -> Result<Vec<String>, Error> {
    let read = || -> std::io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in fs::read_dir(folder)? {
            let entry = entry?;
            if entry.file_type()?.is_dir() {
                names.push(entry.file_name().to_string_lossy().into_owned());
            }
        }
        Ok(names)
    };
    read().map_err(Error::file("read folder", folder))
}
