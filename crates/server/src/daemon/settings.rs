//! From flags and the configuration file to what the daemon does.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use tracing::level_filters::LevelFilter;

use super::Arguments;
use super::config_file::{self, ConfigFileError};
use super::listen::{Host, ListenError};
use crate::routes::Registries;

const DATA_ROOT: &str = "/var/lib/corten";
const EXEC_ROOT: &str = "/run/corten";
const HOST: &str = "unix:///run/corten.sock";
const CONFIG_FILE: &str = "/etc/corten/daemon.json";

/// What the daemon does.
#[derive(Debug)]
pub struct Settings {
    /// The engine's part.
    pub engine: engine::Config,
    /// Where it is served.
    pub hosts: Vec<Host>,
    /// The group that may use the unix sockets.
    pub group: Group,
    /// The file for the process ID.
    pub pidfile: PathBuf,
    /// The least level that is logged.
    pub log_level: LevelFilter,
    /// Registries.
    pub registries: Registries,
    /// Whether the settings are only checked.
    pub validate_only: bool,
}

/// The group of the unix sockets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Group {
    /// `docker` where there is such a group.
    Default,
    /// This one, by name or number.
    Named(String),
}

/// Why settings are refused.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    /// The configuration file.
    #[error(transparent)]
    File(#[from] ConfigFileError),
    /// A socket.
    #[error(transparent)]
    Host(#[from] ListenError),
    /// A flag with a value that makes no sense.
    #[error("invalid value {value:?} for --{flag}: {reason}")]
    Invalid {
        /// The flag.
        flag: &'static str,
        /// Its value.
        value: String,
        /// Why.
        reason: String,
    },
    /// A flag that this engine cannot do.
    #[error("--{0} is not supported by this engine")]
    Unsupported(String),
}

impl Settings {
    /// Reads the configuration file and checks everything, before anything is made.
    ///
    /// # Errors
    /// What cannot be used, by name.
    pub fn new(mut arguments: Arguments) -> Result<Self, SettingsError> {
        config_file::merge(&mut arguments, Path::new(CONFIG_FILE))?;
        refuse_unsupported(&arguments)?;
        let engine = engine_config(&arguments)?;
        let plain_tcp = arguments.tls == Some(false);
        let mut hosts = Vec::new();
        for host in &arguments.hosts {
            hosts.push(Host::parse(host, plain_tcp)?);
        }
        if hosts.is_empty() {
            hosts.push(Host::parse(HOST, plain_tcp)?);
        }
        Ok(Self {
            hosts,
            group: arguments.group.clone().map_or(Group::Default, Group::Named),
            pidfile: arguments.pidfile.clone().unwrap_or_else(|| engine.run.join("engine.pid")),
            log_level: log_level(&arguments)?,
            registries: registries(&arguments)?,
            validate_only: arguments.validate.unwrap_or(false),
            engine,
        })
    }
}

fn refuse_unsupported(arguments: &Arguments) -> Result<(), SettingsError> {
    let only = |value: &Option<String>, allowed: &[&str]| {
        value.as_ref().is_none_or(|value| allowed.contains(&value.as_str()))
    };
    let cgroup_driver = |option: &String| option == "native.cgroupdriver=cgroupfs";
    let checks = [
        (arguments.tls != Some(true), "tls".to_owned()),
        (arguments.tlsverify != Some(true), "tlsverify".to_owned()),
        (arguments.tlscacert.is_none(), "tlscacert".to_owned()),
        (arguments.tlscert.is_none(), "tlscert".to_owned()),
        (arguments.tlskey.is_none(), "tlskey".to_owned()),
        (arguments.add_runtimes.is_empty(), "add-runtime".to_owned()),
        (arguments.live_restore != Some(false), "live-restore=false".to_owned()),
        (
            only(&arguments.default_runtime, &["runc", "corten", "io.containerd.runc.v2"]),
            named("default-runtime", &arguments.default_runtime),
        ),
        (
            only(&arguments.storage_driver, &["overlay2", "overlayfs"]),
            named("storage-driver", &arguments.storage_driver),
        ),
        (only(&arguments.log_format, &["text"]), named("log-format", &arguments.log_format)),
        (
            arguments.exec_opts.iter().all(cgroup_driver),
            format!("exec-opt {}", arguments.exec_opts.join(" ")),
        ),
    ];
    match checks.into_iter().find(|(supported, _)| !supported) {
        Some((_, flag)) => Err(SettingsError::Unsupported(flag)),
        None => Ok(()),
    }
}

fn registries(arguments: &Arguments) -> Result<Registries, SettingsError> {
    let text = |given: &Option<String>| given.clone().unwrap_or_default();
    let proxies = registry::Proxies {
        http: text(&arguments.http_proxy),
        https: text(&arguments.https_proxy),
        without: text(&arguments.no_proxy),
    };
    let (insecure, mirrors) = (arguments.insecure_registries.clone(), &arguments.registry_mirrors);
    Registries::new(insecure, mirrors, proxies).map_err(|reason| {
        let value = mirrors.join(" ");
        SettingsError::Invalid { flag: "registry-mirror", value, reason }
    })
}

fn named(flag: &str, value: &Option<String>) -> String {
    format!("{flag}={}", value.as_deref().unwrap_or_default())
}

fn engine_config(arguments: &Arguments) -> Result<engine::Config, SettingsError> {
    let path = |given: &Option<PathBuf>, default: &str| given.clone().unwrap_or_else(|| default.into());
    let (lib, run) = (path(&arguments.data_root, DATA_ROOT), path(&arguments.exec_root, EXEC_ROOT));
    let mut config = engine::Config::new(absolute("data-root", lib)?, absolute("exec-root", run)?);
    if let Some(driver) = &arguments.log_driver {
        config.log_driver.clone_from(driver);
    }
    if !arguments.log_opts.is_empty() {
        config.log_options = pairs("log-opt", &arguments.log_opts)?;
    }
    if let Some(parent) = &arguments.cgroup_parent {
        config.cgroup_parent.clone_from(parent);
    }
    if let Some(size) = &arguments.default_shm_size {
        config.shm_size = bytes("default-shm-size", size)?;
    }
    config.init = arguments.init.unwrap_or(config.init);
    pairs("label", &arguments.labels)?;
    config.labels.clone_from(&arguments.labels);
    set_network(&mut config.network, arguments)?;
    Ok(config)
}

fn set_network(config: &mut network::Config, arguments: &Arguments) -> Result<(), SettingsError> {
    if let Some(bridge) = &arguments.bridge {
        if bridge == "none" {
            return Err(SettingsError::Unsupported("bridge=none".to_owned()));
        }
        config.bridge.clone_from(bridge);
        // Two engines on one machine need rules of their own; the interface tells them apart.
        config.table = format!("corten-{bridge}");
    }
    if let Some(bip) = &arguments.bip {
        config.bip = Some(bip.parse().map_err(|error: network::InvalidCidr| invalid("bip", bip, error))?);
    }
    if let Some(ip) = &arguments.ip {
        config.default_binding =
            ip.parse().map_err(|error: std::net::AddrParseError| invalid("ip", ip, error))?;
    }
    config.mtu = arguments.mtu.filter(|mtu| *mtu > 0).or(config.mtu);
    config.firewall = arguments.iptables.unwrap_or(config.firewall);
    config.ip_masq = arguments.ip_masq.unwrap_or(config.ip_masq);
    config.ip_forward = arguments.ip_forward.unwrap_or(config.ip_forward);
    config.icc = arguments.icc.unwrap_or(config.icc);
    Ok(())
}

fn invalid(flag: &'static str, value: &str, reason: impl ToString) -> SettingsError {
    SettingsError::Invalid { flag, value: value.to_owned(), reason: reason.to_string() }
}

fn absolute(flag: &'static str, path: PathBuf) -> Result<PathBuf, SettingsError> {
    std::path::absolute(&path).map_err(|error| invalid(flag, &path.to_string_lossy(), error))
}

fn pairs(flag: &'static str, options: &[String]) -> Result<BTreeMap<String, String>, SettingsError> {
    let pair = |option: &String| {
        let pair = option.split_once('=').map(|(name, value)| (name.to_owned(), value.to_owned()));
        pair.ok_or_else(|| invalid(flag, option, "it must be name=value"))
    };
    options.iter().map(pair).collect()
}

/// A number of bytes with an optional unit of 1024, 1024², ….
fn bytes(flag: &'static str, text: &str) -> Result<i64, SettingsError> {
    let lower = text.trim().to_ascii_lowercase();
    let digits = lower.trim_end_matches("ib").trim_end_matches('b');
    let (number, shift) = match digits.strip_suffix(['k', 'm', 'g', 't']) {
        Some(number) => (number, 10 * (1 + "kmgt".find(&digits[number.len()..]).unwrap_or(0) as u32)),
        None => (digits, 0),
    };
    let size = number.trim().parse::<i64>().ok().and_then(|number| number.checked_mul(1 << shift));
    size.filter(|size| *size > 0).ok_or_else(|| invalid(flag, text, "it is no size"))
}

fn log_level(arguments: &Arguments) -> Result<LevelFilter, SettingsError> {
    if arguments.debug == Some(true) {
        return Ok(LevelFilter::DEBUG);
    }
    match arguments.log_level.as_deref() {
        Some("debug") => Ok(LevelFilter::DEBUG),
        None | Some("info") => Ok(LevelFilter::INFO),
        Some("warn") => Ok(LevelFilter::WARN),
        Some("error" | "fatal") => Ok(LevelFilter::ERROR),
        Some(other) => Err(invalid("log-level", other, "it must be debug, info, warn, error or fatal")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Flags with a configuration file that is there and empty, so that no file of the machine counts.
    fn settings(change: impl FnOnce(&mut Arguments)) -> Result<Settings, SettingsError> {
        let file = tempfile::NamedTempFile::new().unwrap();
        let mut arguments = Arguments { config_file: Some(file.path().to_owned()), ..Arguments::default() };
        change(&mut arguments);
        Settings::new(arguments)
    }

    #[test]
    fn defaults_are_the_systems_folders() {
        let settings = settings(|_| {}).unwrap();
        assert_eq!(settings.engine.lib, Path::new(DATA_ROOT));
        assert_eq!(settings.pidfile, Path::new("/run/corten/engine.pid"));
        assert_eq!(settings.hosts, [Host::Unix("/run/corten.sock".into())]);
    }

    #[test]
    fn unsupported_flags_are_refused_by_name() {
        let refused = |change: fn(&mut Arguments)| settings(change).unwrap_err().to_string();
        assert!(
            refused(|arguments| arguments.tlsverify = Some(true)).contains("--tlsverify is not supported")
        );
        assert!(
            refused(|arguments| arguments.registry_mirrors = vec!["ftp://m".into()])
                .contains("invalid mirror: unsupported scheme \"ftp\"")
        );
        assert!(
            refused(|arguments| arguments.storage_driver = Some("btrfs".into()))
                .contains("storage-driver=btrfs")
        );
        assert!(refused(|arguments| arguments.live_restore = Some(false)).contains("live-restore=false"));
    }

    #[test]
    fn tcp_needs_the_explicit_wish_to_go_without_tls() {
        let host = |arguments: &mut Arguments| arguments.hosts = vec!["tcp://127.0.0.1:0".into()];
        assert!(settings(host).is_err());
        let explicit = settings(|arguments| {
            host(arguments);
            arguments.tls = Some(false);
        });
        assert!(explicit.is_ok());
    }

    #[test]
    fn sizes_have_units_of_1024() {
        assert_eq!(bytes("x", "64M").unwrap(), 64 << 20);
        assert_eq!(bytes("x", "1gb").unwrap(), 1 << 30);
        assert_eq!(bytes("x", "512").unwrap(), 512);
        assert!(bytes("x", "big").is_err());
        assert!(bytes("x", "-1").is_err());
    }
}
