//! Programs that run once over layers that somebody else prepares, as the commands of a build do.
//!
//! A step is confined as a container is, and started in the same way, but nobody else sees it: it has no record, no name, no
//! log and no events. Its ID is that of the snapshot it writes to. If the engine ends, the next one ends the step and removes
//! the snapshot, as everything that has no record.

use std::any::Any;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::Arc;

use api::container::{Config, CreateRequest, HostConfig};
use oci::ImageConfig;
use shim::client::Supervisor;
use shim::wire::MAX_DESCRIPTORS;
use shim::{Attach, Event, Framing, RequestBody, Target};
use tokio::sync::oneshot;
use tokio::task::{JoinHandle, spawn_blocking};

use crate::container::{AttachSlot, Published, Run, remove_run_dir, start};
use crate::create::{self, Ingredients};
use crate::engine::Engine;
use crate::error::Error;
use crate::files;
use crate::mounts::{BindSource, MountSettings, MountSource, ReadOnlyReach};
use crate::settings::Settings;
use crate::shared::Shared;
use crate::state::State;

/// A program to run.
#[derive(Debug)]
pub struct Step {
    /// The snapshot that it writes to, 64 hexadecimal digits.
    pub id: String,
    /// What runs.
    pub config: Config,
    /// How it runs.
    pub host_config: HostConfig,
    /// Files and folders of the host that it sees.
    pub binds: Vec<StepBind>,
    /// Mounts that it sees.
    pub mounts: Vec<StepMount>,
}

/// A mount that is attached nowhere, and that a step sees.
#[derive(Debug)]
pub struct StepMount {
    /// Its descriptor.
    pub mount: OwnedFd,
    /// Where the step sees it.
    pub target: String,
    /// Whether it cannot be written.
    pub is_read_only: bool,
}

/// A file or folder of the host that a step sees.
#[derive(Debug)]
pub struct StepBind {
    /// Where it is on the host.
    pub source: PathBuf,
    /// Where the step sees it.
    pub target: String,
    /// Whether it cannot be written.
    pub is_read_only: bool,
}

/// A step that runs. Dropping it kills the step.
#[derive(Debug)]
pub struct RunningStep<K> {
    task: JoinHandle<(Result<StepEnd, Error>, K)>,
    _cancel: oneshot::Sender<()>,
}

/// How a step ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StepEnd {
    /// The exit code of its program, as a shell has it.
    pub exit_code: i32,
    /// Whether a process was killed because memory was short.
    pub out_of_memory: bool,
}

impl<K> RunningStep<K> {
    /// Waits for its end; then nothing of it is there any more. Gives back what was kept for it.
    pub async fn ended(&mut self) -> (Result<StepEnd, Error>, K) {
        (&mut self.task).await.expect("a step's task does not panic")
    }
}

impl Engine {
    /// Runs a program. Its output goes to `output`, a stream socket, in Docker's frames. `kept` is dropped or given back only when
    /// nothing of the step is there any more: it can hold what the step writes to.
    ///
    /// # Errors
    /// The request cannot be carried out; a failed start is told by [`RunningStep::ended`].
    pub fn run_step<K: Any + Send>(
        &self,
        step: Step,
        output: OwnedFd,
        kept: K,
    ) -> Result<RunningStep<K>, Error> {
        let (settings, opened) = settings(&self.shared, step)?;
        let settings = Arc::new(settings);
        let (cancel, cancelled) = oneshot::channel();
        let shared = Arc::clone(&self.shared);
        let task = tokio::spawn(async move {
            let result = run(&shared, &settings, output, opened, cancelled).await;
            discard(&shared, &settings).await;
            (result, kept)
        });
        Ok(RunningStep { task, _cancel: cancel })
    }
}

/// The settings of a step, and its mounts by their targets.
fn settings(shared: &Shared, step: Step) -> Result<(Settings, Vec<(PathBuf, OwnedFd)>), Error> {
    let Step { id, config, mut host_config, binds, mounts } = step;
    // What it writes is read again at once, and brought to disk with the image.
    host_config.auto_remove = true;
    "none".clone_into(&mut host_config.log_config.driver);
    let mut request = CreateRequest { config, host_config: Some(host_config), networking_config: None };
    crate::networking::use_names(&shared.networks, &mut request);
    let mut settings = create::settings(Ingredients {
        engine: &shared.config,
        id,
        request,
        image_id: String::new(),
        image: &ImageConfig::default(),
        links: Vec::new(),
        inherited: Vec::new(),
        reach: ReadOnlyReach::TopOnly,
    })?;
    settings.mounts.extend(binds.into_iter().map(bind));
    let mut opened = Vec::with_capacity(mounts.len());
    for StepMount { mount, target, is_read_only } in mounts {
        opened.push((PathBuf::from(&target), mount));
        // What is at this path is not looked at.
        settings.mounts.push(bind(StepBind { source: PathBuf::from("/"), target, is_read_only }));
    }
    if opened.len() >= MAX_DESCRIPTORS {
        return Err(Error::invalid(format!(
            "a command cannot have more than {} mounts",
            MAX_DESCRIPTORS - 1
        )));
    }
    settings.mounts.sort_by_key(|mount| mount.target.matches('/').count());
    Ok((settings, opened))
}

fn bind(bind: StepBind) -> MountSettings {
    let source = BindSource {
        path: bind.source,
        propagation: "rprivate".to_owned(),
        recursive: false,
        read_only_reach: ReadOnlyReach::TopOnly,
        create: false,
    };
    MountSettings {
        target: bind.target,
        read_only: bind.is_read_only,
        source: MountSource::Bind(source),
        mode: String::new(),
    }
}

async fn run(
    shared: &Arc<Shared>,
    settings: &Arc<Settings>,
    output: OwnedFd,
    opened: Vec<(PathBuf, OwnedFd)>,
    mut cancelled: oneshot::Receiver<()>,
) -> Result<StepEnd, Error> {
    {
        let (shared, settings) = (Arc::clone(shared), Arc::clone(settings));
        let made = spawn_blocking(move || files::make_dir(&shared.files(&settings.id), &settings)).await;
        made.expect("making a folder does not panic")?;
    }
    let mut run = start(shared, settings, &published(settings), vec![slot(output)], opened).await?;
    let end = tokio::select! {
        end = ended(&mut run) => end,
        _ = &mut cancelled => {
            // A supervisor that is gone has taken its processes with it.
            let _ = run.client.request(RequestBody::KillAll, Vec::new()).await;
            ended(&mut run).await
        }
    };
    shared.release_endpoints(&run.endpoints);
    let supervisor: Supervisor = run.client.supervisor();
    drop(run);
    // Until then the overlay is mounted.
    let _ = supervisor.ended().await;
    match end {
        Some(end) => Ok(end),
        None => {
            shared.clean_up_after_supervisor(settings).await;
            let (id, reason) = (settings.id.clone(), "it was killed".to_owned());
            Err(Error::SupervisorLost { action: "run", id, reason })
        }
    }
}

/// `None` where the supervisor is gone without a word.
async fn ended(run: &mut Run) -> Option<StepEnd> {
    loop {
        match run.events.recv().await? {
            Event::Exited(record) => {
                let exit_code = record.status.code();
                return Some(StepEnd { exit_code, out_of_memory: record.oom_killed });
            }
            _ => continue,
        }
    }
}

fn published(settings: &Settings) -> Published {
    Published {
        name: settings.short_id().to_owned(),
        state: State::created(),
        networks: Arc::new(settings.networks.clone()),
        endpoints: Arc::default(),
        health: None,
        removed: false,
        live: None,
    }
}

fn slot(output: OwnedFd) -> AttachSlot {
    let (sender, socket) = oneshot::channel();
    // The receiver is right here.
    let _ = sender.send(output);
    let attach = Attach {
        target: Target::Init,
        stdin: false,
        stdout: true,
        stderr: true,
        framing: Framing::Multiplexed,
        detach_keys: Vec::new(),
    };
    AttachSlot { attach, socket }
}

/// Removes the files of a step. Its snapshot is whoever's who made it.
async fn discard(shared: &Arc<Shared>, settings: &Arc<Settings>) {
    let (shared, settings) = (Arc::clone(shared), Arc::clone(settings));
    let discarded = spawn_blocking(move || {
        remove_run_dir(&shared.config.shim_dir(&settings.id));
        let files = shared.files(&settings.id);
        if files.dir().exists()
            && let Err(error) = shared.discard(files.dir())
        {
            tracing::warn!(step = %settings.id, %error, "cannot remove what is left of a step");
        }
    });
    discarded.await.expect("removing files does not panic");
}
