//! The files that the engine writes for a container: host name, hosts, name servers.

use std::fs;
use std::net::IpAddr;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;

use network::EndpointInfo;
use network::files::{self, DnsOptions, NameServers, Reach};

use crate::config::ContainerFiles;
use crate::discovery::{HOST_NAMES, has_name_server};
use crate::error::Error;
use crate::links::{self, Linked};
use crate::settings::Settings;

/// Makes the folder of a new container.
pub(crate) fn make_dir(files: &ContainerFiles, settings: &Settings) -> Result<(), Error> {
    fs::DirBuilder::new().mode(0o710).create(files.dir()).map_err(Error::file("make folder", files.dir()))?;
    match files.local_log().parent() {
        Some(folder) if settings.host_config.log_config.driver == "local" => {
            fs::DirBuilder::new().mode(0o700).create(folder).map_err(Error::file("make folder", folder))
        }
        _ => Ok(()),
    }
}

/// Writes the three files for a start.
pub(crate) fn write(
    files: &ContainerFiles,
    settings: &Settings,
    endpoints: &[EndpointInfo],
    linked: &[Linked],
) -> Result<(), Error> {
    let hostname = name_of(&settings.config);
    write_file(&files.hostname(), 0o644, &files::hostname(&hostname))?;
    write_hosts(files, settings, endpoints, linked)?;
    write_file(&files.resolv_conf(), 0o644, &resolv_conf(settings, endpoints)?)
}

/// Writes the hosts file of a container whose networks changed.
pub(crate) fn write_hosts(
    files: &ContainerFiles,
    settings: &Settings,
    endpoints: &[EndpointInfo],
    linked: &[Linked],
) -> Result<(), Error> {
    let text = hosts(settings, &name_of(&settings.config), endpoints, linked)?;
    write_file(&files.hosts(), 0o644, &text)
}

/// Writes the other end of a link into the hosts file of a container that runs; without addresses, takes it out.
pub(crate) fn relink(files: &ContainerFiles, linked: &Linked) -> Result<(), Error> {
    let path = files.hosts();
    let before = fs::read_to_string(&path).map_err(Error::file("read", &path))?;
    let after = links::relink(&before, &linked.alias, &linked.host_names(), &linked.addresses);
    if after == before { Ok(()) } else { write_file(&path, 0o644, &after) }
}

/// Writes the file of name servers of a container whose networks changed, unless somebody else has: it was `before`.
pub(crate) fn rewrite_resolv_conf(
    files: &ContainerFiles,
    settings: &Settings,
    before: &str,
    endpoints: &[EndpointInfo],
) -> Result<(), Error> {
    let path = files.resolv_conf();
    let text = resolv_conf(settings, endpoints)?;
    match fs::read_to_string(&path) {
        Ok(present) if present == before && present != text => write_file(&path, 0o644, &text),
        _ => Ok(()),
    }
}

/// Writes down the endpoints of a run, so that the next engine knows which addresses are taken.
pub(crate) fn write_endpoints(files: &ContainerFiles, endpoints: &[EndpointInfo]) -> Result<(), Error> {
    if endpoints.is_empty() {
        return match fs::remove_file(files.endpoints()) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                Err(Error::file("remove", files.endpoints())(error))
            }
            _ => Ok(()),
        };
    }
    let text = serde_json::to_string(endpoints).expect("an endpoint has string keys only");
    write_file(&files.endpoints(), 0o600, &text)
}

/// The endpoints that a run was started with, as the engine wrote them down then.
pub(crate) fn read_endpoints(files: &ContainerFiles) -> Vec<EndpointInfo> {
    let text = fs::read(files.endpoints()).unwrap_or_default();
    serde_json::from_slice(&text).unwrap_or_default()
}

/// A container without a name of its own has the host's.
fn name_of(config: &api::container::Config) -> String {
    if config.hostname.is_empty() { host_name() } else { config.hostname.clone() }
}

fn host_name() -> String {
    fs::read_to_string("/proc/sys/kernel/hostname").map(|name| name.trim().to_owned()).unwrap_or_default()
}

/// With the host's network namespace the host's own names hold.
fn hosts(
    settings: &Settings,
    hostname: &str,
    endpoints: &[EndpointInfo],
    linked: &[Linked],
) -> Result<String, Error> {
    let mut extra = extra_hosts(settings, endpoints)?;
    extra.extend(linked.iter().flat_map(|linked| {
        linked.addresses.iter().map(|address| (linked.host_names(), address.to_string()))
    }));
    if settings.host_config.network_mode == "host"
        && let Ok(mut own) = fs::read_to_string("/etc/hosts")
    {
        own.extend(extra.iter().map(|(name, address)| format!("{address}\t{name}\n")));
        return Ok(own);
    }
    let addresses: Vec<IpAddr> = endpoints.iter().flat_map(EndpointInfo::addresses).collect();
    Ok(files::hosts(hostname, &settings.config.domainname, &addresses, &extra))
}

fn extra_hosts(settings: &Settings, endpoints: &[EndpointInfo]) -> Result<Vec<(String, String)>, Error> {
    let gateway = endpoints.iter().find_map(|endpoint| endpoint.gateway);
    let entry = |entry: &String| {
        let bad = || Error::invalid(format!("bad format for add-host: \"{entry}\""));
        let (name, address) = entry.split_once([':', '=']).ok_or_else(bad)?;
        let address = match (address, gateway) {
            ("host-gateway", Some(gateway)) => gateway.to_string(),
            ("host-gateway", None) => "127.0.0.1".to_owned(),
            (address, _) => address.trim_start_matches('[').trim_end_matches(']').to_owned(),
        };
        Ok((name.to_owned(), address))
    };
    let mut extra: Vec<_> =
        settings.host_config.extra_hosts.iter().flatten().map(entry).collect::<Result<_, Error>>()?;
    // On user-defined networks the name server knows the host's names.
    if let (Some(gateway), false) = (gateway, has_name_server(endpoints)) {
        for name in HOST_NAMES {
            if !extra.iter().any(|(given, _)| given == name) {
                extra.push((name.to_owned(), gateway.to_string()));
            }
        }
    }
    Ok(extra)
}

/// Whom a container's own name server asks.
pub(crate) fn name_servers(settings: &Settings) -> Result<NameServers, Error> {
    Ok(files::name_servers(&host_resolv_conf(), &dns_options(settings)?))
}

fn dns_options(settings: &Settings) -> Result<DnsOptions, Error> {
    let host_config = &settings.host_config;
    let server = |text: &String| {
        text.parse::<IpAddr>().map_err(|_| Error::invalid(format!("bad nameserver address: {text}")))
    };
    Ok(DnsOptions {
        nameservers: host_config.dns.iter().flatten().map(server).collect::<Result<_, _>>()?,
        search: host_config.dns_search.clone().unwrap_or_default(),
        options: host_config.dns_options.clone().unwrap_or_default(),
    })
}

/// The content of a container's file of name servers.
pub(crate) fn resolv_conf(settings: &Settings, endpoints: &[EndpointInfo]) -> Result<String, Error> {
    let reach = match settings.host_config.network_mode.as_str() {
        "host" => Reach::Host,
        _ if has_name_server(endpoints) => Reach::NameServer,
        _ => Reach::Network { ipv6: endpoints.iter().any(|endpoint| endpoint.ipv6.is_some()) },
    };
    Ok(files::resolv_conf(&host_resolv_conf(), &dns_options(settings)?, reach))
}

/// A host without the file has no name servers to offer.
fn host_resolv_conf() -> String {
    fs::read_to_string("/etc/resolv.conf").unwrap_or_default()
}

/// Written in place: a running container has the file itself mounted. The mode does not depend on the umask.
fn write_file(path: &Path, mode: u32, text: &str) -> Result<(), Error> {
    use std::io::Write;
    use std::os::unix::fs::PermissionsExt;

    let open = || fs::OpenOptions::new().write(true).create(true).truncate(true).mode(mode).open(path);
    let write = || {
        let mut file = open()?;
        file.set_permissions(fs::Permissions::from_mode(mode))?;
        file.write_all(text.as_bytes())
    };
    write().map_err(Error::file("write", path))
}
