//! `RUN`.

use std::collections::HashMap;
use std::os::unix::net::UnixStream as StdStream;
use std::sync::Arc;

use api::stream::{Demultiplexer, Stream};
use bytes::Bytes;
use dockerfile::plan::{Role, Run, VertexId};
use dockerfile::syntax::{Network, Security};
use oci::Digest;
use tokio::io::AsyncReadExt as _;
use tokio::net::UnixStream;
use tokio::task::spawn_blocking;

use super::layer::WritableLayer;
use super::{epoch, mounts, stubs};
use crate::error::Error;
use crate::host::{Command, CommandEnd};
use crate::progress::{Event, Progress};
use crate::solve::{Job, Outcome};

/// Bytes of output that are read at once.
const CHUNK: usize = 64 << 10;

/// Runs a command, and makes a layer of what it changes.
pub(crate) async fn run(
    job: &Arc<Job>,
    id: VertexId,
    run: &Run,
    inputs: &HashMap<Role, Outcome>,
) -> Result<Digest, Error> {
    check_allowed(job, run)?;
    let below = inputs.get(&Role::Base).map(|base| base.tree.clone());
    let shown = run.arguments.join(" ");
    let permit = Arc::clone(&job.shared.commands).acquire_owned().await.expect("it is never closed");
    let mut mounted = mounts::prepare(job, run, inputs).await?;
    let targets = mounted.targets();
    let (layer, stubs) = {
        let (job, below) = (Arc::clone(job), below.clone());
        let begin = move || {
            let stubs = stubs::missing(&job.shared, below.as_ref(), &targets)?;
            Ok::<_, Error>((WritableLayer::over(&job.ingest, below.as_ref())?, stubs))
        };
        spawn_blocking(begin).await.expect("beginning a layer does not panic")?
    };
    let number = job.number(id);
    job.progress.tell(Event::Running { id: number, container: layer.id().to_owned() }).await;
    let (ours, theirs) = StdStream::pair().map_err(Error::io("make a socket for", "a command"))?;
    let command = Command {
        layer,
        arguments: run.arguments.clone(),
        environment: environment(job, run, &mounted),
        working_dir: run.working_dir.clone(),
        user: run.user.clone(),
        network: network(job, run),
        extra_hosts: job.request.extra_hosts.clone(),
        limits: job.request.limits.clone(),
        binds: mounted.binds.clone(),
        mounts: std::mem::take(&mut mounted.mounts),
        temporary: mounted.temporary.clone(),
        output: theirs.into(),
        held: Box::new((mounted, permit)),
    };
    let running = job.host.run(command);
    let (ended, ()) = tokio::join!(running, follow(ours, number, &job.progress));
    let end = ended.map_err(|source| Error::Run { command: shown.clone(), source })?;
    finish(job, shown, end, stubs).await
}

/// Makes the layer, where the command succeeded.
async fn finish(
    job: &Arc<Job>,
    command: String,
    end: CommandEnd,
    stubs: stubs::Stubs,
) -> Result<Digest, Error> {
    let CommandEnd { layer, exit_code, out_of_memory } = end;
    let epoch = job.plan.epoch;
    let work = move || {
        if exit_code != 0 {
            drop(layer);
            return Err(Error::Command { command, code: exit_code, out_of_memory });
        }
        stubs.remove(layer.upper())?;
        epoch::clamp(layer.upper(), epoch)?;
        layer.finish()
    };
    spawn_blocking(work).await.expect("making a layer does not panic")
}

/// What whoever builds has to allow: a Dockerfile alone cannot have it.
fn check_allowed(job: &Job, run: &Run) -> Result<(), Error> {
    if run.security == Security::Insecure {
        return Err(Error::NotAllowed("security.insecure"));
    }
    if run.network == Network::Host && job.request.network != "host" {
        return Err(Error::NotAllowed("network.host"));
    }
    Ok(())
}

fn network(job: &Job, run: &Run) -> String {
    match run.network {
        Network::None => "none".to_owned(),
        Network::Host => "host".to_owned(),
        Network::Default if job.request.network.is_empty() => "default".to_owned(),
        Network::Default => job.request.network.clone(),
    }
}

/// The command's own variables, proxies, and what mounts say.
fn environment(job: &Job, run: &Run, mounted: &mounts::Mounted) -> Vec<String> {
    let name_of = |variable: &str| variable.split('=').next().unwrap_or_default().to_owned();
    let own: Vec<String> = run.environment.iter().map(|variable| name_of(variable)).collect();
    let proxies = job.plan.proxies.iter().filter(|(name, _)| !own.contains(name));
    let proxies = proxies.map(|(name, value)| format!("{name}={value}"));
    run.environment.iter().cloned().chain(proxies).chain(mounted.variables.iter().cloned()).collect()
}

/// Tells what a command writes, until nobody writes any more.
async fn follow(output: StdStream, id: u32, progress: &Progress) {
    let opened = output.set_nonblocking(true).and_then(|()| UnixStream::from_std(output));
    let mut output = match opened {
        Ok(output) => output,
        Err(error) => return tracing::warn!(%error, "cannot read the output of a command"),
    };
    let mut frames = Demultiplexer::new();
    let mut buffer = vec![0; CHUNK];
    // A connection that breaks has no more to say.
    while let Ok(count @ 1..) = output.read(&mut buffer).await {
        frames.push(Bytes::copy_from_slice(&buffer[..count]));
        while let Ok(Some((stream, data))) = frames.next_part() {
            let stream = if stream == Stream::Stderr { 2 } else { 1 };
            progress.tell(Event::Log { id, stream, data: data.to_vec() }).await;
        }
    }
}
