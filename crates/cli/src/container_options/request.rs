//! Turns the flags of a container into the request that creates it.

use std::collections::BTreeMap;

use api::StringSet;
use api::container::{
    Config, CreateRequest, DeviceRequest, Healthcheck, HostConfig, LogConfig, RestartPolicy,
};
use api::network::{EndpointIpamConfig, EndpointSettings, NetworkingConfig};

use super::ContainerOptions;
use crate::failure::Failure;
use crate::opts::{
    AttachStream, BindOrVolume, NetworkAttachment, Origin, bind_or_volume, device_mapping, expose_ports,
    is_cdi_device, pairs_to_map, parse_mac, parse_restart_policy, parse_security_options, publish_ports,
    read_file,
};

/// A list as the request has it: nothing is null.
fn list(items: &[String]) -> Option<Vec<String>> {
    (!items.is_empty()).then(|| items.to_vec())
}

fn refuse(text: impl Into<String>) -> Failure {
    Failure::message(text)
}

impl ContainerOptions {
    /// The request for `arguments`, which are the image and the command. Checks what the client can check.
    pub(crate) fn request(&self, arguments: &[String]) -> Result<CreateRequest, Failure> {
        self.check()?;
        let (image, command) = arguments.split_first().ok_or_else(|| refuse("an image is needed"))?;
        let mut volumes = StringSet::new();
        let mut binds = Vec::new();
        for volume in &self.volume {
            match bind_or_volume(volume).map_err(refuse)? {
                BindOrVolume::Bind(bind) => binds.push(bind),
                BindOrVolume::Anonymous(path) => {
                    volumes.insert(path, api::Empty);
                }
            }
        }
        let mut config = self.config(image, command)?;
        config.volumes = (!volumes.is_empty()).then_some(volumes);
        let mut host = self.host_config()?;
        host.binds = (!binds.is_empty()).then_some(binds);
        let (mut exposed, bindings) = publish_ports(&self.publish).map_err(refuse)?;
        exposed.extend(expose_ports(&self.expose).map_err(refuse)?);
        config.exposed_ports = (!exposed.is_empty()).then_some(exposed);
        host.port_bindings = Some(bindings);
        let networking = NetworkingConfig { endpoints_config: Some(self.endpoints()?) };
        Ok(CreateRequest { config, host_config: Some(host), networking_config: Some(networking) })
    }

    fn check(&self) -> Result<(), Failure> {
        let unsupported = [
            ("--gpus", !self.gpus.is_empty()),
            ("--use-api-socket", self.use_api_socket),
            ("--cpu-count", self.cpu_count != 0),
            ("--cpu-percent", self.cpu_percent != 0),
            ("--io-maxbandwidth", self.io_max_bandwidth.0 != 0),
            ("--io-maxiops", self.io_max_iops != 0),
            ("--disable-content-trust=false", self.content_trust.given() == Some(false)),
        ];
        if let Some((name, _)) = unsupported.iter().find(|(_, given)| *given) {
            return Err(refuse(format!("{name} is not supported")));
        }
        if !self.mac_address.is_empty() {
            parse_mac(&self.mac_address).map_err(refuse)?;
        }
        if !(-1..=100).contains(&self.memory_swappiness) {
            let value = self.memory_swappiness;
            return Err(refuse(format!("invalid value: {value}. Valid memory swappiness range is 0-100")));
        }
        let pid_ok = self.pid.is_empty() || self.pid == "host" || names_container(&self.pid);
        let host_only = |mode: &str| matches!(mode, "" | "host");
        let rules = [
            (pid_ok, "--pid: invalid PID mode"),
            (host_only(&self.uts), "--uts: invalid UTS mode"),
            (host_only(&self.userns), "--userns: invalid USER mode"),
            (matches!(self.cgroupns.as_str(), "" | "host" | "private"), "--cgroupns: invalid CGROUP mode"),
            (self.log_driver != "none" || self.log_opt.is_empty(), "invalid logging opts for driver none"),
        ];
        rules.iter().find(|(valid, _)| !valid).map_or(Ok(()), |(_, text)| Err(refuse(*text)))
    }

    fn config(&self, image: &str, command: &[String]) -> Result<Config, Failure> {
        let streams = &self.attach.0;
        let attached = |stream| streams.contains(&stream);
        let attach_stdin = self.interactive || attached(AttachStream::Stdin);
        let entrypoint = self.entrypoint.given().map(|program| vec![program].into());
        Ok(Config {
            hostname: self.hostname.clone(),
            domainname: self.domainname.clone(),
            user: self.user.clone(),
            attach_stdin,
            attach_stdout: streams.is_empty() || attached(AttachStream::Stdout),
            attach_stderr: streams.is_empty() || attached(AttachStream::Stderr),
            tty: self.tty,
            open_stdin: self.interactive,
            stdin_once: self.interactive && attach_stdin,
            env: Some(self.environment()?),
            cmd: (!command.is_empty()).then(|| command.to_vec().into()),
            healthcheck: self.healthcheck()?,
            image: image.to_owned(),
            working_dir: self.workdir.clone(),
            entrypoint,
            labels: Some(self.labels()?),
            stop_signal: self.stop_signal.clone(),
            stop_timeout: self.stop_timeout.given(),
            ..Config::default()
        })
    }

    fn environment(&self) -> Result<Vec<String>, Failure> {
        let mut variables = Vec::new();
        for path in &self.env_file {
            variables.extend(read_file(path, Origin::Environment)?);
        }
        variables.extend(self.env.0.iter().map(|variable| variable.0.clone()));
        Ok(variables)
    }

    fn labels(&self) -> Result<api::StringMap, Failure> {
        let mut pairs = Vec::new();
        for path in &self.label_file {
            // As docker does, a line without a value is passed over.
            pairs.extend(read_file(path, Origin::None)?.into_iter().filter(|pair| pair.contains('=')));
        }
        pairs.extend(self.label.0.iter().map(|label| label.0.clone()));
        Ok(pairs_to_map(&pairs))
    }

    fn healthcheck(&self) -> Result<Option<Healthcheck>, Failure> {
        let times = [
            ("--health-interval", self.health_interval.0),
            ("--health-timeout", self.health_timeout.0),
            ("--health-retries", self.health_retries),
            ("--health-start-period", self.health_start_period.0),
            ("--health-start-interval", self.health_start_interval.0),
        ];
        let given = !self.health_cmd.is_empty() || times.iter().any(|(_, value)| *value != 0);
        if self.no_healthcheck {
            return match given {
                true => Err(refuse("--no-healthcheck conflicts with --health-* options")),
                false => {
                    Ok(Some(Healthcheck { test: Some(vec!["NONE".to_owned()]), ..Healthcheck::default() }))
                }
            };
        }
        if !given {
            return Ok(None);
        }
        if let Some((name, _)) = times.iter().find(|(_, value)| *value < 0) {
            return Err(refuse(format!("{name} cannot be negative")));
        }
        let command = Some(&self.health_cmd).filter(|command| !command.is_empty());
        Ok(Some(Healthcheck {
            test: command.map(|command| vec!["CMD-SHELL".to_owned(), command.clone()]),
            interval: self.health_interval.0,
            timeout: self.health_timeout.0,
            start_period: self.health_start_period.0,
            start_interval: self.health_start_interval.0,
            retries: self.health_retries,
        }))
    }

    fn host_config(&self) -> Result<HostConfig, Failure> {
        let security = parse_security_options(&self.security_opt)?;
        let unmasked = security.unconfined_paths.then(Vec::new);
        let restart_policy = self.restart_policy()?;
        let mut host = self.resources()?;
        host.container_id_file = self.cid_file.clone();
        host.log_config =
            LogConfig { driver: self.log_driver.clone(), config: Some(pairs_to_map(&self.log_opt)) };
        host.network_mode = self.network_mode();
        host.restart_policy = restart_policy;
        host.auto_remove = self.rm;
        host.volume_driver = self.volume_driver.clone();
        host.volumes_from = list(&self.volumes_from);
        host.console_size = match crate::terminal::size(rustix::stdio::stdout()) {
            Some((rows, columns)) => [rows.into(), columns.into()],
            None => [0, 0],
        };
        host.annotations = Some(self.annotation.0.clone()).filter(|map| !map.is_empty());
        host.cap_add = list(&self.cap_add).map(Into::into);
        host.cap_drop = list(&self.cap_drop).map(Into::into);
        host.cgroupns_mode = self.cgroupns.clone();
        host.dns = Some(self.dns.0.iter().map(|address| address.0.clone()).collect());
        host.dns_options = Some(self.dns_option.clone());
        host.dns_search = Some(self.dns_search.0.iter().map(|domain| domain.0.clone()).collect());
        host.extra_hosts = Some(self.add_host.0.iter().map(|host| host.0.clone()).collect());
        host.group_add = list(&self.group_add);
        host.ipc_mode = self.ipc.clone();
        host.links = Some(self.link.0.iter().map(|link| link.0.clone()).collect());
        host.oom_score_adj = self.oom_score_adj;
        host.pid_mode = self.pid.clone();
        host.privileged = self.privileged;
        host.publish_all_ports = self.publish_all;
        host.readonly_rootfs = self.read_only;
        host.security_opt = list(&security.options);
        host.storage_opt = self.storage_options()?;
        host.tmpfs = self.tmpfs();
        host.uts_mode = self.uts.clone();
        host.userns_mode = self.userns.clone();
        host.shm_size = self.shm_size.0;
        host.sysctls = Some(self.sysctl.0.clone()).filter(|map| !map.is_empty());
        host.runtime = self.runtime.clone();
        host.isolation = self.isolation.clone();
        host.mounts = Some(self.mount.0.clone()).filter(|mounts| !mounts.is_empty());
        host.masked_paths = unmasked.clone();
        host.readonly_paths = unmasked;
        host.init = self.init.given();
        Ok(host)
    }

    fn resources(&self) -> Result<HostConfig, Failure> {
        let (mut devices, mut cdi) = (Vec::new(), Vec::new());
        for device in &self.device {
            match is_cdi_device(device) {
                true => cdi.push(device.clone()),
                false => devices.push(device_mapping(device).map_err(refuse)?),
            }
        }
        let requests = (!cdi.is_empty()).then(|| {
            vec![DeviceRequest {
                driver: "cdi".to_owned(),
                device_ids: Some(cdi),
                ..DeviceRequest::default()
            }]
        });
        Ok(HostConfig {
            cpu_shares: self.cpu_shares,
            memory: self.memory.0,
            nano_cpus: self.cpus.0,
            cgroup_parent: self.cgroup_parent.clone(),
            blkio_weight: self.blkio_weight,
            blkio_weight_device: Some(
                self.blkio_weight_device.0.iter().map(|weight| weight.0.clone()).collect(),
            ),
            blkio_device_read_bps: Some(self.device_read_bps.0.iter().map(|limit| limit.0.clone()).collect()),
            blkio_device_write_bps: Some(
                self.device_write_bps.0.iter().map(|limit| limit.0.clone()).collect(),
            ),
            blkio_device_read_iops: Some(
                self.device_read_iops.0.iter().map(|limit| limit.0.clone()).collect(),
            ),
            blkio_device_write_iops: Some(
                self.device_write_iops.0.iter().map(|limit| limit.0.clone()).collect(),
            ),
            cpu_period: self.cpu_period,
            cpu_quota: self.cpu_quota,
            cpu_realtime_period: self.cpu_rt_period,
            cpu_realtime_runtime: self.cpu_rt_runtime,
            cpuset_cpus: self.cpuset_cpus.clone(),
            cpuset_mems: self.cpuset_mems.clone(),
            devices: Some(devices),
            device_cgroup_rules: Some(
                self.device_cgroup_rule.0.iter().map(|rule| rule.0.clone()).collect::<Vec<_>>(),
            )
            .filter(|rules| !rules.is_empty()),
            device_requests: requests,
            kernel_memory: self.kernel_memory.0,
            memory_reservation: self.memory_reservation.0,
            memory_swap: self.memory_swap.0,
            memory_swappiness: Some(self.memory_swappiness),
            oom_kill_disable: Some(self.oom_kill_disable),
            pids_limit: Some(self.pids_limit),
            ulimits: Some(self.ulimit.0.values().cloned().collect()),
            ..HostConfig::default()
        })
    }

    fn restart_policy(&self) -> Result<RestartPolicy, Failure> {
        let policy = parse_restart_policy(&self.restart).map_err(refuse)?;
        match self.rm && !matches!(policy.name.as_str(), "" | "no") {
            true => Err(refuse("conflicting options: cannot specify both --restart and --rm")),
            false => Ok(policy),
        }
    }

    fn storage_options(&self) -> Result<Option<api::StringMap>, Failure> {
        if self.storage_opt.iter().any(|option| !option.contains('=')) {
            return Err(refuse("invalid storage option"));
        }
        Ok(Some(pairs_to_map(&self.storage_opt)).filter(|map| !map.is_empty()))
    }

    fn tmpfs(&self) -> Option<api::StringMap> {
        let mounts: api::StringMap = self
            .tmpfs
            .iter()
            .map(|mount| mount.split_once(':').unwrap_or((mount, "")))
            .map(|(path, options)| (path.to_owned(), options.to_owned()))
            .collect();
        (!mounts.is_empty()).then_some(mounts)
    }

    fn network_mode(&self) -> String {
        self.network.0.first().map_or_else(|| "default".to_owned(), |network| network.target.clone())
    }

    /// The networks, the first with the options that have flags of their own.
    fn endpoints(&self) -> Result<BTreeMap<String, EndpointSettings>, Failure> {
        let mut networks = self.network.0.clone();
        if networks.is_empty() {
            networks.push(NetworkAttachment { target: "default".to_owned(), ..NetworkAttachment::default() });
        }
        self.apply_to(&mut networks[0])?;
        let mut endpoints = BTreeMap::new();
        let alone = networks.len() == 1 && !self.network.0.is_empty();
        for network in &networks {
            let endpoint = endpoint(network)?;
            if endpoints.contains_key(&network.target) {
                return Err(refuse(format!("network {:?} is specified multiple times", network.target)));
            }
            // The engine makes an endpoint without options by itself.
            if !(alone && endpoint == EndpointSettings::default()) {
                endpoints.insert(network.target.clone(), endpoint);
            }
        }
        let defined = networks.iter().filter(|network| network.is_user_defined()).count();
        match defined > 0 && defined < networks.len() {
            true => Err(refuse(
                "conflicting options: cannot attach both user-defined and non-user-defined network-modes",
            )),
            false => Ok(endpoints),
        }
    }

    fn apply_to(&self, network: &mut NetworkAttachment) -> Result<(), Failure> {
        let conflicts = [
            (
                !network.aliases.is_empty() && !self.network_alias.is_empty(),
                "--network-alias and per-network alias",
            ),
            (!network.links.is_empty() && !self.link.0.is_empty(), "--link and per-network links"),
            (!network.ipv4.is_empty() && !self.ip.is_empty(), "--ip and per-network IPv4 address"),
            (!network.ipv6.is_empty() && !self.ip6.is_empty(), "--ip6 and per-network IPv6 address"),
            (
                !network.mac_address.is_empty() && !self.mac_address.is_empty(),
                "--mac-address and per-network MAC address",
            ),
            (
                !network.link_local.is_empty() && !self.link_local_ip.is_empty(),
                "--link-local-ip and per-network link-local IP addresses",
            ),
        ];
        if let Some((_, pair)) = conflicts.iter().find(|(conflict, _)| *conflict) {
            return Err(refuse(format!("conflicting options: cannot specify both {pair}")));
        }
        network.aliases.extend(self.network_alias.iter().cloned());
        network.link_local.extend(self.link_local_ip.iter().cloned());
        // In the default network a link is an entry of the hosts file, elsewhere a name in the network.
        if network.is_user_defined() {
            network.links.extend(self.link.0.iter().map(|link| link.0.clone()));
        }
        for (value, flag) in [
            (&mut network.ipv4, &self.ip),
            (&mut network.ipv6, &self.ip6),
            (&mut network.mac_address, &self.mac_address),
        ] {
            if !flag.is_empty() {
                value.clone_from(flag);
            }
        }
        Ok(())
    }
}

fn names_container(mode: &str) -> bool {
    mode.strip_prefix("container:").is_some_and(|name| !name.is_empty())
}

fn endpoint(network: &NetworkAttachment) -> Result<EndpointSettings, Failure> {
    if network.target.trim().is_empty() {
        return Err(refuse("no name set for network"));
    }
    if !network.is_user_defined() && !network.aliases.is_empty() {
        return Err(refuse("network-scoped aliases are only supported for user-defined networks"));
    }
    if !network.is_user_defined() && !network.links.is_empty() {
        return Err(refuse("links are only supported for user-defined networks"));
    }
    if !network.mac_address.is_empty() {
        parse_mac(&network.mac_address).map_err(refuse)?;
    }
    let addresses = !network.ipv4.is_empty() || !network.ipv6.is_empty() || !network.link_local.is_empty();
    Ok(EndpointSettings {
        ipam_config: addresses.then(|| EndpointIpamConfig {
            ipv4_address: network.ipv4.clone(),
            ipv6_address: network.ipv6.clone(),
            link_local_ips: list(&network.link_local),
        }),
        links: list(&network.links),
        aliases: list(&network.aliases),
        mac_address: network.mac_address.clone(),
        driver_opts: Some(network.driver_options.clone()).filter(|map| !map.is_empty()),
        gw_priority: network.gateway_priority,
        ..EndpointSettings::default()
    })
}
