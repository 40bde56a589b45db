//! Everything about one container.

use std::path::PathBuf;

use api::StringMap;
use api::container::{Config, ContainerInspect, ContainerState, GraphDriver, Health, HostConfig};

use crate::container::{Container, Live, Published};
use crate::engine::Engine;
use crate::error::Error;
use crate::settings::Settings;
use crate::state::Status;
use crate::{network_settings, time};

impl Engine {
    /// Tells everything about a container; its sizes, which take a walk through its files, where asked for.
    pub async fn inspect(&self, reference: &str, size: bool) -> Result<ContainerInspect, Error> {
        let container = self.find(reference)?;
        let published = container.published();
        let mut shown = self.show(&container, &published);
        if size {
            let (rw, all) = self.sizes(container.id()).await?;
            shown.size_rw = Some(rw);
            shown.size_root_fs = Some(all);
        }
        Ok(shown)
    }

    /// Bytes that a container has written, and bytes of all of its files.
    pub(crate) async fn sizes(&self, id: &str) -> Result<(i64, i64), Error> {
        let (images, id) = (self.images().clone(), id.to_owned());
        let measure = move || -> Result<(i64, i64), Error> {
            let written = images.usage(&id)?.size;
            let all = written + images.lower_size(&id)?;
            let number = |size: u64| i64::try_from(size).unwrap_or(i64::MAX);
            Ok((number(written), number(all)))
        };
        tokio::task::spawn_blocking(measure).await.expect("measuring does not panic")
    }

    fn show(&self, container: &Container, published: &Published) -> ContainerInspect {
        let settings = &container.settings;
        let files = self.shared.files(container.id());
        let path = |path: std::path::PathBuf| path.to_string_lossy().into_owned();
        let execs = self.shared.execs.running_in(container.id());
        ContainerInspect {
            id: settings.id.clone(),
            created: api::Time::from_nanoseconds(settings.created),
            path: settings.path.clone(),
            args: settings.args.clone(),
            state: state(published),
            image: settings.image_id.clone(),
            resolv_conf_path: path(files.resolv_conf()),
            hostname_path: path(files.hostname()),
            hosts_path: path(files.hosts()),
            log_path: match settings.host_config.log_config.driver.as_str() {
                "json-file" => path(files.json_log(&settings.id)),
                _ => String::new(),
            },
            name: format!("/{}", published.name),
            restart_count: i64::from(published.state.restart_count),
            driver: "overlay2".to_owned(),
            platform: "linux".to_owned(),
            exec_ids: (!execs.is_empty()).then_some(execs),
            host_config: HostConfig {
                links: self.shared.shown_links(&settings.id, &published.name),
                ..settings.host_config.clone()
            },
            graph_driver: self.graph_driver(&settings.id, published.live.as_ref()),
            mounts: settings
                .mounts
                .iter()
                .filter_map(|mount| mount.to_api(|name| self.shared.volumes.path(name)))
                .collect(),
            config: config(settings, published),
            network_settings: network_settings::settings(settings, published),
            ..ContainerInspect::default()
        }
    }

    /// The parts of the overlay. It is mounted in the container's own mount namespace only, so that while the container runs
    /// its root is reached through its process.
    fn graph_driver(&self, id: &str, live: Option<&Live>) -> GraphDriver {
        let data = self.images().open_snapshot(id).ok().map(|overlay| {
            let merged = match live {
                Some(live) => PathBuf::from(format!("/proc/{}/root", live.pid)),
                None => overlay.upper.with_file_name("merged"),
            };
            let lower: Vec<_> = overlay.lower.iter().map(|path| path.to_string_lossy()).collect();
            StringMap::from([
                ("LowerDir".to_owned(), lower.join(":")),
                ("MergedDir".to_owned(), merged.to_string_lossy().into_owned()),
                ("UpperDir".to_owned(), overlay.upper.to_string_lossy().into_owned()),
                ("WorkDir".to_owned(), overlay.work.to_string_lossy().into_owned()),
            ])
        });
        GraphDriver { data, name: "overlay2".to_owned() }
    }
}

/// The MAC address that was asked for is also where old clients look for it, and where they asked for it.
fn config(settings: &Settings, published: &Published) -> Config {
    let mut config = settings.config.clone();
    let mode = settings.host_config.network_mode.as_str();
    if config.mac_address.is_empty()
        && let Some(asked) = published.networks.get(mode)
    {
        config.mac_address.clone_from(&asked.mac_address);
    }
    config
}

fn state(published: &Published) -> ContainerState {
    let state = &published.state;
    ContainerState {
        status: state.status.as_str().to_owned(),
        running: state.status.counts_as_running(),
        paused: state.status == Status::Paused,
        restarting: state.status == Status::Restarting,
        oom_killed: state.oom_killed,
        dead: state.status == Status::Dead,
        pid: i64::from(state.pid),
        exit_code: i64::from(state.exit_code),
        error: state.error.clone(),
        started_at: time::to_api(state.started_at),
        finished_at: time::to_api(state.finished_at),
        health: published.health.as_ref().map(|health| Health {
            status: health.status.as_str().to_owned(),
            failing_streak: health.failing_streak,
            log: Some(health.results.clone()),
        }),
    }
}
