//! What a build needs of the engine and of registries.

use std::collections::HashMap;

use api::auth::AuthConfig;
use api::container::{Config, HostConfig};
use base64::Engine as _;
use build::{Command, CommandEnd, Failure, Host};
use engine::{Engine, Step, StepBind, StepEnd, StepMount};
use futures_util::future::{BoxFuture, FutureExt as _};
use oci::{Platform, Reference};
use registry::{Credentials, ProgressSink, PullRequest, Registry};

use super::super::transfer::from_config;

/// The key that clients have for docker.io.
const DOCKER_HUB: &str = "https://index.docker.io/v1/";

/// The engine and the registries, with the credentials of a client.
pub(super) struct EngineHost {
    engine: Engine,
    registry: Registry,
    credentials: HashMap<String, AuthConfig>,
}

impl EngineHost {
    /// `header` is base64url of JSON: registries with credentials. As in dockerd one that cannot be read counts as none.
    pub(super) fn new(engine: Engine, registry: Registry, header: Option<&str>) -> Self {
        let decoded = header.and_then(|header| {
            let bytes = base64::engine::general_purpose::URL_SAFE.decode(header.trim()).ok()?;
            api::json::from_slice(&bytes).ok()
        });
        Self { engine, registry, credentials: decoded.unwrap_or_default() }
    }

    fn find_credentials(&self, domain: &str) -> Option<Credentials> {
        let key = if domain == "docker.io" { DOCKER_HUB } else { domain };
        let found = self.credentials.get(key).or_else(|| {
            let is_it = |name: &String| host_of(name) == host_of(key);
            self.credentials.iter().find(|(name, _)| is_it(name)).map(|(_, config)| config)
        });
        from_config(found?.clone())
    }
}

/// Clients write registries as hosts and as addresses.
fn host_of(name: &str) -> &str {
    let name = name.trim_start_matches("https://").trim_start_matches("http://");
    name.split('/').next().unwrap_or_default()
}

impl Host for EngineHost {
    fn run(&self, command: Command) -> BoxFuture<'static, Result<CommandEnd, Failure>> {
        let engine = self.engine.clone();
        async move {
            let (step, output, kept) = step(command);
            let mut running = engine.run_step(step, output, kept)?;
            let (ended, (layer, _)) = running.ended().await;
            let StepEnd { exit_code, out_of_memory } = ended?;
            Ok(CommandEnd { layer, exit_code, out_of_memory })
        }
        .boxed()
    }

    fn registry(&self) -> &Registry {
        &self.registry
    }

    fn credentials(&self, domain: &str) -> Option<Credentials> {
        self.find_credentials(domain)
    }

    fn pull(
        &self,
        reference: Reference,
        platform: Platform,
        progress: ProgressSink,
    ) -> BoxFuture<'static, Result<(), Failure>> {
        let (engine, client) = (self.engine.clone(), self.registry.clone());
        let credentials = self.find_credentials(reference.domain());
        async move {
            let name = reference.familiar();
            let request = PullRequest { reference, platform: Some(platform), credentials };
            let pulled = client.pull(engine.images(), request, progress).await?;
            super::super::images::tell(&engine, "pull", &pulled.image, &name);
            Ok(())
        }
        .boxed()
    }
}

/// What is there for as long as a command.
type Kept = (build::WritableLayer, Box<dyn std::any::Any + Send>);

/// A command as the engine runs it.
fn step(command: Command) -> (Step, std::os::fd::OwnedFd, Kept) {
    let limits = command.limits;
    let config = Config {
        cmd: Some(command.arguments.into()),
        env: Some(command.environment),
        working_dir: command.working_dir,
        user: command.user,
        ..Config::default()
    };
    let tmpfs = command.temporary.into_iter().map(|(target, size)| {
        let options = if size > 0 { format!("size={size}") } else { String::new() };
        (target, options)
    });
    let host_config = HostConfig {
        network_mode: command.network,
        extra_hosts: Some(command.extra_hosts),
        memory: limits.memory,
        memory_swap: limits.memory_swap,
        cpu_shares: limits.cpu_shares,
        cpu_period: limits.cpu_period,
        cpu_quota: limits.cpu_quota,
        cpuset_cpus: limits.cpuset_cpus,
        cpuset_mems: limits.cpuset_mems,
        cgroup_parent: limits.cgroup_parent,
        shm_size: limits.shm_size,
        ulimits: Some(limits.ulimits),
        tmpfs: Some(tmpfs.collect()),
        ..HostConfig::default()
    };
    let bind = |bind: build::CommandBind| StepBind {
        source: bind.source,
        target: bind.target,
        is_read_only: bind.is_read_only,
    };
    let binds = command.binds.into_iter().map(bind).collect();
    let mount = |mount: build::CommandMount| StepMount {
        mount: mount.mount,
        target: mount.target,
        is_read_only: mount.is_read_only,
    };
    let mounts = command.mounts.into_iter().map(mount).collect();
    let step = Step { id: command.layer.id().to_owned(), config, host_config, binds, mounts };
    (step, command.output, (command.layer, command.held))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn registries_are_hosts_or_addresses() {
        for name in ["https://r.example/v1/", "http://r.example", "r.example"] {
            assert_eq!(host_of(name), "r.example");
        }
        assert_eq!(host_of("localhost:5000"), "localhost:5000");
    }
}
