//! The daemon's flags: dockerd's, as far as they mean something here.

use std::path::PathBuf;

use clap::Parser;

/// Flags of the daemon. What dockerd knows and this engine cannot do is refused by name.
#[derive(Clone, Debug, Default, Parser)]
#[command(name = "daemon", about = "Run the engine", disable_version_flag = true)]
pub struct Arguments {
    /// Socket to serve: unix:///path or tcp://127.0.0.1:port (repeatable)
    #[arg(short = 'H', long = "host", value_name = "URL")]
    pub hosts: Vec<String>,
    /// Folder of everything that survives a reboot
    #[arg(long, value_name = "DIR")]
    pub data_root: Option<PathBuf>,
    /// Folder of everything that does not
    #[arg(long, value_name = "DIR")]
    pub exec_root: Option<PathBuf>,
    /// File for the process ID
    #[arg(short = 'p', long, value_name = "FILE")]
    pub pidfile: Option<PathBuf>,
    /// Configuration file
    #[arg(long, value_name = "FILE")]
    pub config_file: Option<PathBuf>,
    /// Check the settings and end
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pub validate: Option<bool>,
    /// Log what is done
    #[arg(short = 'D', long, num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pub debug: Option<bool>,
    /// Least level that is logged: debug, info, warn, error or fatal
    #[arg(short = 'l', long, value_name = "LEVEL")]
    pub log_level: Option<String>,
    /// Form of the log: text
    #[arg(long, value_name = "FORMAT")]
    pub log_format: Option<String>,
    /// Group that may use the unix sockets
    #[arg(short = 'G', long, value_name = "GROUP")]
    pub group: Option<String>,
    /// Interface of the default network, or none
    #[arg(short = 'b', long, value_name = "NAME")]
    pub bridge: Option<String>,
    /// Address and prefix of that interface
    #[arg(long, value_name = "CIDR")]
    pub bip: Option<String>,
    /// Bytes in a packet of the default network
    #[arg(long, value_name = "BYTES")]
    pub mtu: Option<u32>,
    /// Address on which ports are published by default
    #[arg(long, value_name = "IP")]
    pub ip: Option<String>,
    /// Install firewall rules
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pub iptables: Option<bool>,
    /// Masquerade what containers send
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pub ip_masq: Option<bool>,
    /// Switch on forwarding in the kernel
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pub ip_forward: Option<bool>,
    /// Let containers of the default network reach each other
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pub icc: Option<bool>,
    /// Log driver of containers that name none
    #[arg(long, value_name = "DRIVER")]
    pub log_driver: Option<String>,
    /// Option of that log driver, name=value (repeatable)
    #[arg(long = "log-opt", value_name = "OPTION")]
    pub log_opts: Vec<String>,
    /// Registry (host[:port]) or network that may lack TLS (repeatable)
    #[arg(long = "insecure-registry", value_name = "REGISTRY")]
    pub insecure_registries: Vec<String>,
    /// Label of the engine, name=value (repeatable)
    #[arg(long = "label", value_name = "LABEL")]
    pub labels: Vec<String>,
    /// Parent cgroup of containers that name none
    #[arg(long, value_name = "CGROUP")]
    pub cgroup_parent: Option<String>,
    /// Size of /dev/shm of containers that name none
    #[arg(long, value_name = "BYTES")]
    pub default_shm_size: Option<String>,
    /// Run a small init in each container
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pub init: Option<bool>,
    /// Runtime of containers that name none: runc or corten, which are the same
    #[arg(long, value_name = "NAME")]
    pub default_runtime: Option<String>,
    /// Storage driver: overlay2
    #[arg(short = 's', long, value_name = "DRIVER")]
    pub storage_driver: Option<String>,
    /// native.cgroupdriver=cgroupfs
    #[arg(long = "exec-opt", value_name = "OPTION")]
    pub exec_opts: Vec<String>,
    /// Containers run on without the engine: always true
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pub live_restore: Option<bool>,
    /// Mirror of the default registry (repeatable)
    #[arg(long = "registry-mirror", value_name = "URL")]
    pub registry_mirrors: Vec<String>,
    /// Proxy for registries with plain HTTP
    #[arg(long, value_name = "URL")]
    pub http_proxy: Option<String>,
    /// Proxy for registries with HTTPS
    #[arg(long, value_name = "URL")]
    pub https_proxy: Option<String>,
    /// Hosts that are reached without a proxy, with commas between them
    #[arg(long, value_name = "HOSTS")]
    pub no_proxy: Option<String>,
    /// Further runtime (not supported)
    #[arg(long = "add-runtime", value_name = "RUNTIME", hide = true)]
    pub add_runtimes: Vec<String>,
    /// TLS on TCP sockets: only false
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pub tls: Option<bool>,
    /// TLS with client certificates (not supported)
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true", hide = true)]
    pub tlsverify: Option<bool>,
    /// Certificate authority (not supported)
    #[arg(long, value_name = "FILE", hide = true)]
    pub tlscacert: Option<PathBuf>,
    /// Certificate (not supported)
    #[arg(long, value_name = "FILE", hide = true)]
    pub tlscert: Option<PathBuf>,
    /// Key (not supported)
    #[arg(long, value_name = "FILE", hide = true)]
    pub tlskey: Option<PathBuf>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_are_dockerds() {
        let line =
            "daemon -H unix:///a --host=unix:///b -D --iptables=false --log-opt max-size=1m --init=true";
        let arguments = Arguments::try_parse_from(line.split(' ')).unwrap();
        assert_eq!(arguments.hosts, ["unix:///a", "unix:///b"]);
        assert_eq!(
            (arguments.debug, arguments.iptables, arguments.init),
            (Some(true), Some(false), Some(true))
        );
        assert_eq!(arguments.log_opts, ["max-size=1m"]);
    }

    #[test]
    fn unknown_flag_is_refused() {
        assert!(Arguments::try_parse_from(["daemon", "--nonsense"]).is_err());
    }
}
