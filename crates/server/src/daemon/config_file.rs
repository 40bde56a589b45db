//! The configuration file: dockerd's `daemon.json`.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value};

use super::Arguments;

/// Why the configuration file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigFileError {
    /// It cannot be read.
    #[error("unable to configure the daemon with file {}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// It is not a JSON object.
    #[error("unable to configure the daemon with file {}: {reason}", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// Why not.
        reason: String,
    },
    /// It has keys that nobody knows.
    #[error("the following directives don't match any configuration option: {}", .0.join(", "))]
    Unknown(Vec<String>),
    /// It has keys that this engine cannot do.
    #[error("the following directives are not supported by this engine: {}", .0.join(", "))]
    Unsupported(Vec<String>),
    /// Something is set in the file and by a flag.
    #[error("the following directives are specified both as a flag and in the configuration file: {}", .0.join(", "))]
    Conflict(Vec<String>),
    /// A value has the wrong type.
    #[error("invalid value of {key} in the configuration file: {reason}")]
    Value {
        /// The key.
        key: String,
        /// Why.
        reason: String,
    },
}

/// dockerd's keys that mean something that this engine does not do.
const UNSUPPORTED: &[&str] = &[
    "add-runtime",
    "allow-direct-routing",
    "allow-nondistributable-artifacts",
    "api-cors-header",
    "authorization-plugins",
    "bip6",
    "bridge-accept-fwmark",
    "builder",
    "cdi-spec-dirs",
    "cluster-advertise",
    "cluster-store",
    "cluster-store-opts",
    "containerd",
    "containerd-namespace",
    "containerd-plugin-namespace",
    "cpu-rt-period",
    "cpu-rt-runtime",
    "default-address-pools",
    "default-cgroupns-mode",
    "default-gateway",
    "default-gateway-v6",
    "default-ipc-mode",
    "default-network-opts",
    "default-ulimits",
    "dns",
    "dns-opts",
    "dns-search",
    "exec-opts-native",
    "experimental",
    "features",
    "firewall-backend",
    "fixed-cidr",
    "fixed-cidr-v6",
    "host-gateway-ips",
    "http-proxies",
    "init-path",
    "ip6tables",
    "ipv6",
    "max-concurrent-downloads",
    "max-concurrent-uploads",
    "max-download-attempts",
    "metrics-addr",
    "min-api-version",
    "network-control-plane-mtu",
    "no-new-privileges",
    "node-generic-resources",
    "oom-score-adjust",
    "proxies",
    "raw-logs",
    "registry-mirrors",
    "rootless",
    "runtimes",
    "seccomp-profile",
    "selinux-enabled",
    "shutdown-timeout",
    "storage-opts",
    "swarm-default-advertise-addr",
    "tlscacert",
    "tlscert",
    "tlskey",
    "tlsverify",
    "userland-proxy",
    "userland-proxy-path",
    "userns-remap",
];

/// Reads the file and adds what it sets to the flags. A missing file is an error only where it was named.
///
/// # Errors
/// Where the file is not valid, or sets what a flag sets.
pub(super) fn merge(arguments: &mut Arguments, default: &Path) -> Result<(), ConfigFileError> {
    let path = arguments.config_file.clone().unwrap_or_else(|| default.to_owned());
    let text = match std::fs::read(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound && arguments.config_file.is_none() => {
            return Ok(());
        }
        Err(source) => return Err(ConfigFileError::Read { path, source }),
    };
    if text.iter().all(u8::is_ascii_whitespace) {
        return Ok(());
    }
    let directives: Map<String, Value> = serde_json::from_slice(&text)
        .map_err(|error| ConfigFileError::Malformed { path, reason: error.to_string() })?;
    apply(arguments, directives)
}

fn apply(arguments: &mut Arguments, directives: Map<String, Value>) -> Result<(), ConfigFileError> {
    let (mut unknown, mut unsupported, mut conflicts) = (Vec::new(), Vec::new(), Vec::new());
    for (key, value) in directives {
        let text = value.to_string();
        match set(arguments, &key, value)? {
            Outcome::Set => {}
            Outcome::Conflict => conflicts.push(format!("{key}: (from file: {text})")),
            Outcome::Unknown if UNSUPPORTED.contains(&key.as_str()) => unsupported.push(key),
            Outcome::Unknown => unknown.push(key),
        }
    }
    match (unknown.is_empty(), conflicts.is_empty(), unsupported.is_empty()) {
        (false, ..) => Err(ConfigFileError::Unknown(unknown)),
        (_, false, _) => Err(ConfigFileError::Conflict(conflicts)),
        (_, _, false) => Err(ConfigFileError::Unsupported(unsupported)),
        (true, true, true) => Ok(()),
    }
}

enum Outcome {
    Set,
    Conflict,
    Unknown,
}

fn set(arguments: &mut Arguments, key: &str, value: Value) -> Result<Outcome, ConfigFileError> {
    match key {
        "hosts" => put_all(&mut arguments.hosts, key, value),
        "data-root" => put(&mut arguments.data_root, key, value),
        "exec-root" => put(&mut arguments.exec_root, key, value),
        "pidfile" => put(&mut arguments.pidfile, key, value),
        "debug" => put(&mut arguments.debug, key, value),
        "log-level" => put(&mut arguments.log_level, key, value),
        "log-format" => put(&mut arguments.log_format, key, value),
        "group" => put(&mut arguments.group, key, value),
        "bridge" => put(&mut arguments.bridge, key, value),
        "bip" => put(&mut arguments.bip, key, value),
        "mtu" => put(&mut arguments.mtu, key, value),
        "ip" => put(&mut arguments.ip, key, value),
        "iptables" => put(&mut arguments.iptables, key, value),
        "ip-masq" => put(&mut arguments.ip_masq, key, value),
        "ip-forward" => put(&mut arguments.ip_forward, key, value),
        "icc" => put(&mut arguments.icc, key, value),
        "log-driver" => put(&mut arguments.log_driver, key, value),
        "log-opts" => {
            let options: BTreeMap<String, String> = read(key, value)?;
            let options = options.into_iter().map(|(name, value)| format!("{name}={value}")).collect();
            put_list(&mut arguments.log_opts, options)
        }
        "insecure-registries" => put_all(&mut arguments.insecure_registries, key, value),
        "registry-mirrors" => put_all(&mut arguments.registry_mirrors, key, value),
        "proxies" => put_proxies(arguments, key, value),
        "labels" => put_all(&mut arguments.labels, key, value),
        "cgroup-parent" => put(&mut arguments.cgroup_parent, key, value),
        "default-shm-size" => put(&mut arguments.default_shm_size, key, text_of_number(value)),
        "init" => put(&mut arguments.init, key, value),
        "default-runtime" => put(&mut arguments.default_runtime, key, value),
        "storage-driver" => put(&mut arguments.storage_driver, key, value),
        "exec-opts" => put_all(&mut arguments.exec_opts, key, value),
        "live-restore" => put(&mut arguments.live_restore, key, value),
        "tls" => put(&mut arguments.tls, key, value),
        _ => Ok(Outcome::Unknown),
    }
}

/// `{"http-proxy": …, "https-proxy": …, "no-proxy": …}`.
fn put_proxies(arguments: &mut Arguments, key: &str, value: Value) -> Result<Outcome, ConfigFileError> {
    let proxies: BTreeMap<String, Value> = read(key, value)?;
    for (name, value) in proxies {
        let slot = match name.as_str() {
            "http-proxy" => &mut arguments.http_proxy,
            "https-proxy" => &mut arguments.https_proxy,
            "no-proxy" => &mut arguments.no_proxy,
            _ => return Ok(Outcome::Unknown),
        };
        if let Outcome::Conflict = put(slot, &name, value)? {
            return Ok(Outcome::Conflict);
        }
    }
    Ok(Outcome::Set)
}

fn text_of_number(value: Value) -> Value {
    match value {
        Value::Number(number) => Value::String(number.to_string()),
        other => other,
    }
}

fn read<T: serde::de::DeserializeOwned>(key: &str, value: Value) -> Result<T, ConfigFileError> {
    serde_json::from_value(value)
        .map_err(|error| ConfigFileError::Value { key: key.to_owned(), reason: error.to_string() })
}

fn put<T: serde::de::DeserializeOwned>(
    slot: &mut Option<T>,
    key: &str,
    value: Value,
) -> Result<Outcome, ConfigFileError> {
    let value = read(key, value)?;
    if slot.is_some() {
        return Ok(Outcome::Conflict);
    }
    *slot = Some(value);
    Ok(Outcome::Set)
}

fn put_all(slot: &mut Vec<String>, key: &str, value: Value) -> Result<Outcome, ConfigFileError> {
    let values = read(key, value)?;
    put_list(slot, values)
}

fn put_list(slot: &mut Vec<String>, values: Vec<String>) -> Result<Outcome, ConfigFileError> {
    if !slot.is_empty() {
        return Ok(Outcome::Conflict);
    }
    *slot = values;
    Ok(Outcome::Set)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn apply_text(arguments: &mut Arguments, text: &str) -> Result<(), ConfigFileError> {
        apply(arguments, serde_json::from_str(text).unwrap())
    }

    #[test]
    fn file_sets_what_flags_do_not() {
        let mut arguments = Arguments { debug: Some(true), ..Arguments::default() };
        apply_text(
            &mut arguments,
            r#"{"mtu":1400,"log-opts":{"max-file":"2","max-size":"1m"},"default-shm-size":"1g"}"#,
        )
        .unwrap();
        assert_eq!((arguments.mtu, arguments.debug), (Some(1400), Some(true)));
        assert_eq!(arguments.log_opts, ["max-file=2", "max-size=1m"]);
        assert_eq!(arguments.default_shm_size.as_deref(), Some("1g"));
    }

    #[test]
    fn mirrors_and_proxies_are_read() {
        let mut arguments = Arguments::default();
        apply_text(
            &mut arguments,
            r#"{"registry-mirrors":["https://m"],"proxies":{"http-proxy":"http://p:1","no-proxy":"a,b"}}"#,
        )
        .unwrap();
        assert_eq!(arguments.registry_mirrors, ["https://m"]);
        assert_eq!(arguments.http_proxy.as_deref(), Some("http://p:1"));
        assert_eq!((arguments.https_proxy, arguments.no_proxy.as_deref()), (None, Some("a,b")));
    }

    #[test]
    fn unknown_key_is_named_as_by_dockerd() {
        let error = apply_text(&mut Arguments::default(), r#"{"debgu":true}"#).unwrap_err();
        assert_eq!(error.to_string(), "the following directives don't match any configuration option: debgu");
    }

    #[test]
    fn key_of_dockerds_that_is_missing_here_is_named() {
        let error = apply_text(&mut Arguments::default(), r#"{"userns-remap":"default"}"#).unwrap_err();
        assert_eq!(
            error.to_string(),
            "the following directives are not supported by this engine: userns-remap"
        );
    }

    #[test]
    fn flag_and_file_together_are_refused() {
        let mut arguments = Arguments { hosts: vec!["unix:///a".into()], ..Arguments::default() };
        let error = apply_text(&mut arguments, r#"{"hosts":["unix:///b"]}"#).unwrap_err();
        assert!(error.to_string().contains("both as a flag and in the configuration file: hosts"), "{error}");
    }

    #[test]
    fn wrong_type_names_the_key() {
        let error = apply_text(&mut Arguments::default(), r#"{"mtu":"big"}"#).unwrap_err();
        assert!(error.to_string().starts_with("invalid value of mtu"), "{error}");
    }

    #[test]
    fn missing_file_matters_only_where_it_was_named() {
        let nowhere = Path::new("/nonexistent/daemon.json");
        assert!(merge(&mut Arguments::default(), nowhere).is_ok());
        let mut arguments = Arguments { config_file: Some(nowhere.to_owned()), ..Arguments::default() };
        assert!(matches!(merge(&mut arguments, nowhere), Err(ConfigFileError::Read { .. })));
    }
}
