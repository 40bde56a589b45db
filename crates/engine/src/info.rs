//! What the engine says about itself and its host.

use api::system::{FirewallInfo, Info, PluginsInfo, RuntimeInfo, SwarmInfo};

use network::PoolStatus;

use crate::engine::Engine;
use crate::state::Status;

impl Engine {
    /// The part of `info` that the engine knows; the server adds what is its own.
    pub fn info(&self) -> Info {
        let (mut running, mut paused, mut stopped) = (0, 0, 0);
        for container in self.shared.index().all() {
            match container.published().state.status {
                Status::Paused => paused += 1,
                Status::Running | Status::Restarting => running += 1,
                _ => stopped += 1,
            }
        }
        let config = self.config();
        Info {
            containers: running + paused + stopped,
            containers_running: running,
            containers_paused: paused,
            containers_stopped: stopped,
            images: self
                .images()
                .images()
                .map_or(0, |images| i64::try_from(images.len()).unwrap_or(i64::MAX)),
            driver: "overlay2".to_owned(),
            logging_driver: config.log_driver.clone(),
            docker_root_dir: config.lib.to_string_lossy().into_owned(),
            labels: config.labels.clone(),
            plugins: PluginsInfo {
                volume: vec!["local".to_owned()],
                network: ["bridge", "host", "macvlan", "null"].map(str::to_owned).to_vec(),
                authorization: None,
                log: ["json-file", "local"].map(str::to_owned).to_vec(),
            },
            runtimes: ["corten", "io.containerd.runc.v2", "runc"]
                .map(|name| {
                    (name.to_owned(), RuntimeInfo { path: "corten".to_owned(), ..RuntimeInfo::default() })
                })
                .into(),
            default_runtime: "runc".to_owned(),
            swarm: SwarmInfo { local_node_state: "inactive".to_owned(), ..SwarmInfo::default() },
            live_restore_enabled: true,
            firewall_backend: Some(self.firewall_info()),
            init_binary: "docker-init".to_owned(),
            ..Info::default()
        }
    }

    /// Docker's place for what is to be known of the firewall also has the sandboxes that are kept ready.
    fn firewall_info(&self) -> FirewallInfo {
        let config = &self.config().network;
        let PoolStatus { ready, target, limit } = self.networks().pool_status();
        let sandboxes = format!("{ready} ready, {target} wanted, {limit} at most");
        let table = ["Table".to_owned(), format!("inet {}", config.table)];
        FirewallInfo {
            driver: if config.firewall { "nftables" } else { "none" }.to_owned(),
            info: Some(vec![table, ["Sandboxes".to_owned(), sandboxes]]),
        }
    }
}
