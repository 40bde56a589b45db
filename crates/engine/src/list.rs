//! The list of containers.

use std::sync::Arc;

use api::container::{ContainerSummary, ListOptions, SummaryHostConfig, SummaryNetworkSettings};
use api::{Filters, StringMap};
use regex::Regex;

use crate::container::{Container, Published};
use crate::engine::Engine;
use crate::error::Error;
use crate::mounts::MountSource;
use crate::ports::parse_port;
use crate::status_text::status_text;
use crate::{network_settings, time};

const FILTERS: &[&str] = &[
    "ancestor",
    "before",
    "exited",
    "expose",
    "health",
    "id",
    "is-task",
    "isolation",
    "label",
    "label!",
    "name",
    "network",
    "publish",
    "since",
    "status",
    "volume",
];
const STATUSES: &[&str] = &["created", "restarting", "running", "removing", "paused", "exited", "dead"];

impl Engine {
    /// Lists containers, the newest first: those that run, or with `all` (or a filter that implies it) any.
    ///
    /// # Errors
    ///
    /// A filter that does not exist or whose value cannot be read.
    pub async fn list(&self, options: &ListOptions) -> Result<Vec<ContainerSummary>, Error> {
        let selection = Selection::new(self, options)?;
        let mut containers = self.shared.index().all();
        containers.sort_by_key(|container| std::cmp::Reverse(container.settings.created));
        let mut list = Vec::new();
        for container in containers {
            if options.limit > 0 && list.len() == options.limit {
                break;
            }
            let published = container.published();
            if !published.removed && selection.includes(&container, &published) {
                list.push(self.summary(&container, &published, options.size).await?);
            }
        }
        Ok(list)
    }

    /// Whether and how containers use an image, by name for messages: `(running, stopped)`.
    pub fn users_of_image(&self, image_id: &str) -> (Option<String>, Option<String>) {
        let (mut running, mut stopped) = (None, None);
        for container in self.shared.index().all() {
            if container.settings.image_id == image_id {
                let user = if container.published().state.status.counts_as_running() {
                    &mut running
                } else {
                    &mut stopped
                };
                user.get_or_insert_with(|| container.id().to_owned());
            }
        }
        (running, stopped)
    }

    async fn summary(
        &self,
        container: &Arc<Container>,
        published: &Published,
        size: bool,
    ) -> Result<ContainerSummary, Error> {
        let settings = &container.settings;
        let host_config = &settings.host_config;
        let mut names = self.shared.link_names(&settings.id);
        names.push(format!("/{}", published.name));
        names.sort();
        let mut summary = ContainerSummary {
            id: settings.id.clone(),
            names,
            image: settings.config.image.clone(),
            image_id: settings.image_id.clone(),
            command: command(&settings.path, &settings.args),
            created: settings.created / 1_000_000_000,
            ports: network_settings::ports(settings, published),
            labels: settings.config.labels.clone().unwrap_or_default(),
            state: published.state.status.as_str().to_owned(),
            status: status_text(published, time::now()),
            host_config: SummaryHostConfig {
                network_mode: host_config.network_mode.clone(),
                annotations: host_config.annotations.clone(),
            },
            network_settings: Some(SummaryNetworkSettings {
                networks: Some(network_settings::networks(settings, published)),
            }),
            mounts: settings
                .mounts
                .iter()
                .filter_map(|mount| mount.to_api(|name| self.shared.volumes.path(name)))
                .collect(),
            ..ContainerSummary::default()
        };
        if size {
            (summary.size_rw, summary.size_root_fs) = self.sizes(&settings.id).await?;
        }
        Ok(summary)
    }
}

/// Program and arguments; those with spaces are quoted, as Docker shows them.
fn command(path: &str, args: &[String]) -> String {
    let quoted = args.iter().map(|word| if word.contains(' ') { format!("'{word}'") } else { word.clone() });
    std::iter::once(path.to_owned()).chain(quoted).collect::<Vec<_>>().join(" ")
}

/// Which containers are listed.
struct Selection<'a> {
    all: bool,
    filters: &'a Filters,
    names: Vec<Regex>,
    exit_codes: Vec<i32>,
    ancestors: Vec<String>,
    before: Option<i64>,
    since: Option<i64>,
}

impl<'a> Selection<'a> {
    fn new(engine: &Engine, options: &'a ListOptions) -> Result<Self, Error> {
        let filters = &options.filters;
        filters.validate(FILTERS).map_err(|error| Error::invalid(error.to_string()))?;
        if let Some(status) = filters.values("status").find(|status| !STATUSES.contains(status)) {
            return Err(Error::invalid(format!("invalid filter 'status={status}'")));
        }
        let name = |text: &str| {
            Regex::new(text).map_err(|_| Error::invalid(format!("invalid filter 'name={text}'")))
        };
        let code =
            |text: &str| text.parse().map_err(|_| Error::invalid(format!("invalid filter 'exited={text}'")));
        let created =
            |key: &str| filters.values(key).map(|reference| created(engine, reference)).next().transpose();
        // A limit, and filters for what does not run, ask for containers that do not run.
        let implied = options.limit > 0
            || ["status", "before", "since", "exited"].iter().any(|key| filters.contains(key));
        Ok(Self {
            all: options.all || implied,
            filters,
            names: filters.values("name").map(name).collect::<Result<_, _>>()?,
            exit_codes: filters.values("exited").map(code).collect::<Result<_, _>>()?,
            ancestors: filters.values("ancestor").filter_map(|text| ancestor(engine, text)).collect(),
            before: created("before")?,
            since: created("since")?,
        })
    }

    fn includes(&self, container: &Container, published: &Published) -> bool {
        let settings = &container.settings;
        let labels: &StringMap = settings.config.labels.as_ref().unwrap_or(const { &StringMap::new() });
        let state = &published.state;
        (self.all || state.status.counts_as_running())
            && self.filters.matches_exactly("status", state.status.as_str())
            && self.filters.matches_prefix("id", &settings.id)
            && self.filters.matches_map("label", labels)
            && self.filters.values("label!").all(|label| !labels.contains_key(label))
            && (self.names.is_empty() || self.names.iter().any(|name| matches_name(name, &published.name)))
            && (self.exit_codes.is_empty()
                || (!state.status.is_live() && state.exits > 0 && self.exit_codes.contains(&state.exit_code)))
            && (!self.filters.contains("ancestor") || self.ancestors.contains(&settings.image_id))
            && self.before.is_none_or(|time| settings.created < time)
            && self.since.is_none_or(|time| settings.created > time)
            && self.filters.matches_exactly("health", health(published))
            && self.uses_volume(container)
            && self.is_on_network(container, published)
            && self.has_ports(container, published)
            && self.filters.matches_exactly("is-task", "false")
            && self.filters.matches_exactly("isolation", "")
    }

    fn uses_volume(&self, container: &Container) -> bool {
        !self.filters.contains("volume")
            || container.settings.mounts.iter().any(|mount| {
                let source = match &mount.source {
                    MountSource::Bind(bind) => bind.path.to_string_lossy().into_owned(),
                    MountSource::Volume(volume) => volume.name.clone(),
                    MountSource::Tmpfs { .. } => String::new(),
                };
                [source.as_str(), mount.target.as_str()]
                    .iter()
                    .any(|text| self.filters.matches_exactly("volume", text))
            })
    }

    fn is_on_network(&self, container: &Container, published: &Published) -> bool {
        !self.filters.contains("network")
            || network_settings::networks(&container.settings, published).iter().any(|(name, endpoint)| {
                let by_id = !endpoint.network_id.is_empty()
                    && self.filters.values("network").any(|wanted| endpoint.network_id.starts_with(wanted));
                self.filters.matches_exactly("network", name) || by_id
            })
    }

    fn has_ports(&self, container: &Container, published: &Published) -> bool {
        let exposed = container.settings.config.exposed_ports.iter().flatten().map(|(port, _)| port.clone());
        let published_ports = published
            .endpoints
            .iter()
            .flat_map(|endpoint| &endpoint.ports)
            .map(|port| format!("{}/{}", port.host_port, port.protocol));
        self.wants_port("expose", exposed.collect()) && self.wants_port("publish", published_ports.collect())
    }

    /// Values are `port`, `port/protocol` or `first-last/protocol`.
    fn wants_port(&self, key: &str, ports: Vec<String>) -> bool {
        let matches = |wanted: &str, port: &str| {
            let (numbers, protocol) = wanted.split_once('/').unwrap_or((wanted, "tcp"));
            let (first, last) = numbers.split_once('-').unwrap_or((numbers, numbers));
            let Ok((number, found)) = parse_port(port) else { return false };
            let (Ok(first), Ok(last)) = (first.parse::<u16>(), last.parse::<u16>()) else { return false };
            found.as_str() == protocol && (first..=last).contains(&number)
        };
        !self.filters.contains(key)
            || self.filters.values(key).any(|wanted| ports.iter().any(|port| matches(wanted, port)))
    }
}

/// Names are matched with and without their slash.
fn matches_name(pattern: &Regex, name: &str) -> bool {
    pattern.is_match(name) || pattern.is_match(&format!("/{name}"))
}

fn health(published: &Published) -> &'static str {
    published.health.as_ref().map_or("none", |health| health.status.as_str())
}

/// The image a container was made from; one that is not known matches nothing.
fn ancestor(engine: &Engine, text: &str) -> Option<String> {
    engine.images().resolve(text).ok().map(|image| image.id.to_string())
}

fn created(engine: &Engine, reference: &str) -> Result<i64, Error> {
    Ok(engine.find(reference)?.settings.created)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_with_spaces_are_quoted() {
        assert_eq!(command("sh", &["-c".to_owned(), "echo hi".to_owned()]), "sh -c 'echo hi'");
    }

    #[test]
    fn name_is_matched_with_and_without_its_slash() {
        for pattern in ["web", "^web1$", "^/web1$", "w.b"] {
            assert!(matches_name(&Regex::new(pattern).unwrap(), "web1"), "{pattern}");
        }
        assert!(!matches_name(&Regex::new("^eb").unwrap(), "web1"));
    }
}
