//! From a container's settings to the OCI runtime configuration its supervisor gets.
//!
//! Everything but the look at devices of the host is pure.

mod devices;
mod mounts;
mod process;
mod resources;

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use api::container::HostConfig;
use oci::defaults;
use oci::runtime::{Linux, LinuxNamespace, LinuxNamespaceType, Root, Spec};

use crate::config::{Config, ContainerFiles};
use crate::create::{Security, security};
use crate::error::Error;
use crate::links::Linked;
use crate::settings::Settings;

pub(crate) use process::exec_process;

/// What is known only when the container is started.
#[derive(Debug, Default)]
pub(crate) struct AtStart {
    /// The namespaces of another container or of the host, instead of new ones.
    pub(crate) joined: Joined,
    /// What it is linked to.
    pub(crate) linked: Vec<Linked>,
    /// The folders of its volumes, by name.
    pub(crate) volumes: HashMap<String, PathBuf>,
}

/// The process whose namespaces are joined, by its `/proc` folder.
#[derive(Debug, Default)]
pub(crate) struct Joined {
    pub(crate) network: Option<PathBuf>,
    pub(crate) pid: Option<PathBuf>,
    pub(crate) ipc: Option<PathBuf>,
    pub(crate) names: Option<Names>,
}

/// What a container takes over from the one whose network it uses.
#[derive(Debug)]
pub(crate) struct Names {
    pub(crate) files: ContainerFiles,
    pub(crate) hostname: String,
    pub(crate) domainname: String,
}

/// Builds the configuration.
///
/// # Errors
///
/// A device or capability that does not exist, or a setting that cannot be read; create has checked the rest.
pub(crate) fn build(
    engine: &Config,
    settings: &Settings,
    files: &ContainerFiles,
    at_start: &AtStart,
) -> Result<Spec, Error> {
    let host = &settings.host_config;
    let security = security(host)?;
    let mut root = Root::default();
    // The supervisor mounts the root itself; the path is not looked at.
    root.set_path(PathBuf::from("rootfs")).set_readonly(Some(host.readonly_rootfs));
    let mut spec = Spec::default();
    spec.set_root(Some(root))
        .set_process(Some(process::process(settings, &security, &at_start.linked)?))
        .set_mounts(Some(mounts::mounts(settings, files, at_start)?))
        .set_linux(Some(linux(engine, settings, &security, at_start)?));
    // Set in any case: the type's own default is a name.
    let own_names = host.uts_mode != "host";
    let named = |name: &String| (own_names && !name.is_empty()).then(|| name.clone());
    spec.set_hostname(named(&settings.config.hostname)).set_domainname(named(&settings.config.domainname));
    let annotations = host.annotations.clone().unwrap_or_default();
    spec.set_annotations(Some(annotations.into_iter().collect()));
    Ok(spec)
}

fn linux(
    engine: &Config,
    settings: &Settings,
    security: &Security,
    at_start: &AtStart,
) -> Result<Linux, Error> {
    let host = &settings.host_config;
    let devices = devices::devices(host)?;
    let mut linux = Linux::default();
    linux
        .set_namespaces(Some(namespaces(host, &at_start.joined)))
        .set_cgroups_path(Some(cgroup_path(engine, settings)))
        .set_resources(Some(resources::resources(host, &devices)?))
        .set_devices(Some(devices.nodes))
        .set_rootfs_propagation(mounts::root_propagation(settings))
        .set_seccomp(None)
        .set_sysctl(Some(host.sysctls.clone().unwrap_or_default().into_iter().collect()));
    let (masked, read_only) = confined_paths(host, security);
    linux.set_masked_paths(Some(masked)).set_readonly_paths(Some(read_only));
    Ok(linux)
}

fn confined_paths(host: &HostConfig, security: &Security) -> (Vec<String>, Vec<String>) {
    if !security.system_paths_confined {
        return (Vec::new(), Vec::new());
    }
    let masked = host.masked_paths.clone().unwrap_or_else(defaults::masked_paths);
    let read_only = host.readonly_paths.clone().unwrap_or_else(defaults::readonly_paths);
    (masked, read_only)
}

/// The cgroup of a container, below the parent that it or the engine names.
pub(crate) fn cgroup_path(engine: &Config, settings: &Settings) -> PathBuf {
    let parent = match settings.host_config.cgroup_parent.as_str() {
        "" => engine.cgroup_parent.as_str(),
        parent => parent,
    };
    Path::new("/").join(parent).join(&settings.id)
}

/// The cgroup of a container of which nothing is known but its ID.
pub(crate) fn default_cgroup_path(engine: &Config, id: &str) -> PathBuf {
    Path::new("/").join(&engine.cgroup_parent).join(id)
}

/// Own namespaces by default; the host's are simply not listed.
fn namespaces(host: &HostConfig, joined: &Joined) -> Vec<LinuxNamespace> {
    use LinuxNamespaceType as Type;
    let mut namespaces = vec![namespace(Type::Mount, None)];
    if host.uts_mode != "host" {
        namespaces.push(namespace(Type::Uts, None));
    }
    if host.network_mode != "host" {
        namespaces.push(namespace(Type::Network, entry(&joined.network, "net")));
    }
    if host.pid_mode != "host" {
        namespaces.push(namespace(Type::Pid, entry(&joined.pid, "pid")));
    }
    if host.ipc_mode != "host" {
        namespaces.push(namespace(Type::Ipc, entry(&joined.ipc, "ipc")));
    }
    if host.cgroupns_mode == "private" {
        namespaces.push(namespace(Type::Cgroup, None));
    }
    namespaces
}

fn entry(process: &Option<PathBuf>, name: &str) -> Option<PathBuf> {
    process.as_ref().map(|process| process.join("ns").join(name))
}

fn namespace(kind: LinuxNamespaceType, path: Option<PathBuf>) -> LinuxNamespace {
    let mut namespace = LinuxNamespace::default();
    namespace.set_typ(kind).set_path(path);
    namespace
}
