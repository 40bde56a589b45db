//! What a stage has come to, instruction by instruction.

use oci::{ContainerConfig, ImageConfig};

use super::arguments::PATH;
use super::environment::Environment;
use super::operation::VertexId;
use crate::config;

/// What a stage has come to.
#[derive(Clone, Debug)]
pub(super) struct State {
    pub(super) image: ImageConfig,
    /// The image's variables, which its configuration gets in the end.
    pub(super) image_env: Environment,
    /// The same, and those of `ARG`.
    pub(super) env: Environment,
    /// Arguments, with their values when they were declared.
    pub(super) arguments: Environment,
    pub(super) root: Option<VertexId>,
    /// Whether a `WORKDIR` of this file has been.
    pub(super) has_folder: bool,
}

impl State {
    pub(super) fn new(mut image: ImageConfig) -> Self {
        let config = image.config.get_or_insert_default();
        let mut env = Environment::of(&std::mem::take(&mut config.env));
        if env.get("PATH").is_none() && image.os != "windows" {
            env.set("PATH", PATH);
        }
        if !config.working_dir.is_empty() {
            config.working_dir = config::join("/", &config.working_dir);
        }
        Self {
            image,
            image_env: env.clone(),
            env,
            arguments: Environment::default(),
            root: None,
            has_folder: false,
        }
    }

    pub(super) fn config(&mut self) -> &mut ContainerConfig {
        self.image.config.get_or_insert_default()
    }

    pub(super) fn variable(&self, name: &str) -> Option<&str> {
        self.env.get(name)
    }

    /// Bytes that a copy of it has, about.
    pub(super) fn size(&self) -> usize {
        let labels = self.image.config.iter().flat_map(|config| &config.labels);
        let labels: usize = labels.map(|(name, value)| name.len() + value.len()).sum();
        let history: usize = self.image.history.iter().map(|step| step.created_by.len() + 64).sum();
        labels + history + self.env.size() + self.image_env.size() + self.arguments.size()
    }

    /// Where commands run and relative paths begin.
    pub(super) fn folder(&self) -> String {
        let folder = self.image.config.as_ref().map(|config| config.working_dir.as_str()).unwrap_or_default();
        if folder.is_empty() { "/".to_owned() } else { folder.to_owned() }
    }

    pub(super) fn user(&self) -> String {
        self.image.config.as_ref().map(|config| config.user.clone()).unwrap_or_default()
    }
}
