//! Images made of containers.

use api::container::{Config, Healthcheck};
use image::NewImage;
use jiff::Timestamp;
use oci::{ContainerConfig, Digest, History, ImageConfig, KeySet, Reference};

use crate::container::{Command, Container};
use crate::engine::Engine;
use crate::error::Error;
use crate::settings::Settings;
use crate::signal;
use crate::state::Status;

/// How an image is made of a container.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Commit {
    /// Who makes it.
    pub author: String,
    /// A note.
    pub comment: String,
    /// Dockerfile instructions for its configuration.
    pub changes: String,
    /// Whether the container is frozen meanwhile, if it runs.
    pub pause: Pause,
    /// What its containers are started with; `None` is what this one was started with.
    pub config: Option<Config>,
    /// The name it gets.
    pub reference: Option<Reference>,
}

/// Whether a container is frozen while its files are read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Pause {
    /// What its processes write meanwhile may be in the image or not.
    No,
    /// The image has its files as they are at one moment.
    #[default]
    Yes,
}

impl Engine {
    /// Makes an image of a container's files and configuration. It is made to its end also when nobody waits for it.
    ///
    /// # Errors
    /// When there is no such container, its image is gone, an instruction is malformed, or the store cannot be written.
    pub async fn commit(&self, reference: &str, commit: Commit) -> Result<Digest, Error> {
        let engine = self.clone();
        let container = self.find(reference)?;
        // In a task of its own: a container that was frozen for this must thaw whatever becomes of the client.
        let work = tokio::spawn(async move { engine.commit_container(&container, commit).await });
        work.await.expect("committing does not panic")
    }

    async fn commit_container(&self, container: &Container, commit: Commit) -> Result<Digest, Error> {
        let settings = &container.settings;
        let name = commit.reference.as_ref().map(Reference::familiar).unwrap_or_default();
        let comment = commit.comment.clone();
        let pause = commit.pause;
        let image = self.new_image(settings, commit)?;
        let is_frozen = pause == Pause::Yes && freeze(container).await?;
        let (images, id) = (self.images().clone(), settings.id.clone());
        let made = tokio::task::spawn_blocking(move || images.commit_snapshot(&id, image)).await;
        if is_frozen {
            thaw(container).await;
        }
        let made = made.expect("making an image does not panic")?;
        let more = [("comment", comment), ("imageID", made.id.to_string()), ("imageRef", name)];
        self.shared.tell(settings, &container.published().name, "commit", more);
        Ok(made.id)
    }

    fn new_image(&self, settings: &Settings, commit: Commit) -> Result<NewImage, Error> {
        let parent = self.images().resolve(&settings.image_id)?;
        let own = image_config(&settings.config);
        let mut config = commit.config.as_ref().map_or_else(|| own.clone(), image_config);
        change(&mut config, &commit.changes)?;
        inherit(&mut config, own.clone());
        let created = Some(Timestamp::now().to_string());
        let step = History {
            created: created.clone(),
            created_by: own.cmd.as_deref().unwrap_or_default().join(" "),
            author: commit.author.clone(),
            comment: commit.comment,
            empty_layer: false,
        };
        let container_config = ContainerConfig {
            hostname: settings.config.hostname.clone(),
            domainname: settings.config.domainname.clone(),
            ..own
        };
        let config = ImageConfig {
            created,
            author: commit.author,
            comment: String::new(),
            docker_version: env!("CARGO_PKG_VERSION").to_owned(),
            container: settings.id.clone(),
            container_config: Some(container_config),
            config: Some(config),
            ..ImageConfig::clone(&parent.config)
        };
        Ok(NewImage {
            config,
            step,
            parent: Some(parent.id),
            references: commit.reference.into_iter().collect(),
        })
    }
}

/// Applies Dockerfile instructions to what containers are started with.
///
/// # Errors
/// An instruction that is none, or has a value that cannot be.
pub fn change(config: &mut ContainerConfig, changes: &str) -> Result<(), Error> {
    dockerfile::apply_all(config, changes).map_err(|error| Error::invalid(error.to_string()))?;
    if !config.stop_signal.is_empty() {
        signal::parse(&config.stop_signal)?;
    }
    Ok(())
}

/// Whether it was frozen for this; what does not run needs not be.
async fn freeze(container: &Container) -> Result<bool, Error> {
    if container.published().state.status != Status::Running {
        return Ok(false);
    }
    match container.ask(Command::Pause).await {
        Ok(()) => Ok(true),
        // It has just ended, or somebody else froze it.
        Err(Error::NotRunning { .. } | Error::Paused { .. } | Error::Conflict { .. }) => Ok(false),
        Err(error) => Err(error),
    }
}

async fn thaw(container: &Container) {
    if let Err(error) = container.ask(Command::Unpause).await {
        // It was killed, or thawed by somebody else.
        tracing::warn!(container = container.id(), %error, "a committed container was not thawed");
    }
}

/// What of a container's configuration is an image's.
fn image_config(config: &Config) -> ContainerConfig {
    let set = |set: &Option<api::StringSet>| KeySet(set.iter().flat_map(|set| set.keys().cloned()).collect());
    ContainerConfig {
        hostname: String::new(),
        domainname: String::new(),
        user: config.user.clone(),
        exposed_ports: set(&config.exposed_ports),
        env: config.env.clone().unwrap_or_default(),
        cmd: config.cmd.clone().map(|words| words.0),
        healthcheck: config.healthcheck.clone().map(healthcheck),
        args_escaped: config.args_escaped,
        volumes: set(&config.volumes),
        working_dir: config.working_dir.clone(),
        entrypoint: config.entrypoint.clone().map(|words| words.0),
        network_disabled: config.network_disabled,
        on_build: config.on_build.clone().unwrap_or_default(),
        labels: config.labels.clone().unwrap_or_default(),
        stop_signal: config.stop_signal.clone(),
        stop_timeout: config.stop_timeout,
        shell: config.shell.clone().map(|words| words.0),
    }
}

fn healthcheck(check: Healthcheck) -> oci::Healthcheck {
    let Healthcheck { test, interval, timeout, start_period, start_interval, retries } = check;
    oci::Healthcheck { test, interval, timeout, start_period, start_interval, retries }
}

/// Completes a configuration by that of the container.
fn inherit(config: &mut ContainerConfig, own: ContainerConfig) {
    let take_over = |field: &mut String, own: String| {
        if field.is_empty() {
            *field = own;
        }
    };
    take_over(&mut config.user, own.user);
    take_over(&mut config.working_dir, own.working_dir);
    take_over(&mut config.stop_signal, own.stop_signal);
    // An entry point that was set means the command that was set, also if that is none.
    if config.entrypoint.as_ref().is_none_or(Vec::is_empty) {
        if config.cmd.as_ref().is_none_or(Vec::is_empty) {
            config.cmd = own.cmd;
        }
        config.entrypoint = config.entrypoint.take().or(own.entrypoint);
    }
    let name = |variable: &str| variable.split('=').next().unwrap_or_default().to_owned();
    for variable in own.env {
        if !config.env.iter().any(|other| name(other) == name(&variable)) {
            config.env.push(variable);
        }
    }
    for (label, value) in own.labels {
        config.labels.entry(label).or_insert(value);
    }
    config.exposed_ports.0.extend(own.exposed_ports.0);
    config.volumes.0.extend(own.volumes.0);
    config.healthcheck = config.healthcheck.take().or(own.healthcheck);
    config.stop_timeout = config.stop_timeout.or(own.stop_timeout);
    config.shell = config.shell.take().or(own.shell);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(words: &[&str]) -> Vec<String> {
        words.iter().map(|&word| word.to_owned()).collect()
    }

    #[test]
    fn configuration_is_completed_by_the_container_s() {
        let own = ContainerConfig {
            env: words(&["A=1", "B=2"]),
            cmd: Some(words(&["own"])),
            user: "u".into(),
            ..ContainerConfig::default()
        };
        let mut config = ContainerConfig { env: words(&["B=3"]), ..ContainerConfig::default() };
        inherit(&mut config, own);
        assert_eq!(
            (config.env, config.cmd, config.user.as_str()),
            (words(&["B=3", "A=1"]), Some(words(&["own"])), "u")
        );
    }

    #[test]
    fn entry_point_that_was_changed_keeps_its_command() {
        let own = ContainerConfig { cmd: Some(words(&["own"])), ..ContainerConfig::default() };
        let mut config = own.clone();
        change(&mut config, "ENTRYPOINT [\"/e\"]").unwrap();
        inherit(&mut config, own);
        assert_eq!((config.entrypoint, config.cmd), (Some(words(&["/e"])), None));
    }

    #[test]
    fn signal_that_is_none_is_refused() {
        let error = change(&mut ContainerConfig::default(), "STOPSIGNAL SIGNONE").unwrap_err();
        assert!(error.to_string().contains("SIGNONE"), "{error}");
    }
}
