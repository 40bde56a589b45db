//! What a request for a container means in each version of the API.

use api::ApiVersion;
use api::container::{Config, CreateOptions, CreateRequest, HostConfig, Mount};
use api::network::EndpointSettings;
use engine::ReadOnlyReach;

use crate::error::Error;

const NETWORK_AND_MAC: &str = "conflicting options: mac-address and the network mode";
const OTHER_MAC: &str = "the container-wide MAC address must match the endpoint-specific MAC address for the main \
     network, or be left empty";
const UNKNOWN_ENDPOINT: &str =
    "HostConfig.NetworkMode must match the identity of a network in NetworkSettings.Networks";
const MAC_MOVED: &str = "The container-wide MacAddress field is now deprecated. It should be specified in \
     EndpointsConfig instead.";
const DRIVER_IGNORED: &str = "WARNING: the container-wide volume-driver configuration is ignored for volumes specified \
     via 'mount'. Use '--mount type=volume,volume-driver=...' instead";

type Endpoints = std::collections::BTreeMap<String, EndpointSettings>;

/// What the version decides beside the request itself.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Adjusted {
    /// How far read-only binds are read-only that do not say so.
    pub(super) reach: ReadOnlyReach,
    /// What the user should know.
    pub(super) warnings: Vec<String>,
}

/// Turns a request of any version into what it means in the newest: what is newer than its version is left out, as if the
/// engine did not know it, and what older versions wrote elsewhere is moved.
///
/// # Errors
/// What a version refuses in so many words, because leaving it out would do something else than was asked for.
pub(super) fn adjust(
    options: &mut CreateOptions,
    request: &mut CreateRequest,
    version: ApiVersion,
) -> Result<Adjusted, Error> {
    let CreateRequest { config, host_config, networking_config } = request;
    let host = host_config.get_or_insert_default();
    let endpoints =
        networking_config.get_or_insert_default().endpoints_config.get_or_insert_with(Endpoints::new);
    name_default_network(host, endpoints);
    if !version.at_least(41) {
        options.platform.clear();
    }
    forget_newer(config, host, endpoints, version);
    for mount in host.mounts.iter_mut().flatten() {
        adjust_mount(mount, version)?;
    }
    check_number(endpoints, version)?;
    let warnings = [volume_driver(host, version), place_mac_address(config, host, endpoints, version)?];
    let reach = if version.at_least(44) { ReadOnlyReach::Recursive } else { ReadOnlyReach::TopOnly };
    Ok(Adjusted { reach, warnings: warnings.into_iter().flatten().map(str::to_owned).collect() })
}

/// `default` is the bridge, in the mode as among the endpoints.
fn name_default_network(host: &mut HostConfig, endpoints: &mut Endpoints) {
    if matches!(host.network_mode.as_str(), "" | "default") {
        "bridge".clone_into(&mut host.network_mode);
        if let Some(settings) = endpoints.remove("default") {
            endpoints.insert("bridge".to_owned(), settings);
        }
    }
}

fn forget_newer(config: &mut Config, host: &mut HostConfig, endpoints: &mut Endpoints, version: ApiVersion) {
    // Up to 1.24 removing it was the client's work.
    host.auto_remove &= version.at_least(25);
    if !version.at_least(40) {
        host.kernel_memory_tcp = 0;
        if host.ipc_mode.is_empty() {
            "shareable".clone_into(&mut host.ipc_mode);
        }
    }
    match version.at_least(42) {
        true => host.kernel_memory = 0,
        false => host.console_size = [0, 0],
    }
    if !version.at_least(43) {
        host.annotations = None;
    }
    if let Some(check) = config.healthcheck.as_mut().filter(|_| !version.at_least(44)) {
        check.start_interval = 0;
    }
    if !version.at_least(48) {
        endpoints.values_mut().for_each(|endpoint| endpoint.gw_priority = 0);
    }
    // 0, -1, and from old clients any negative number, are no limit in every version.
    host.pids_limit = host.pids_limit.filter(|&limit| limit > 0);
}

fn adjust_mount(mount: &mut Mount, version: ApiVersion) -> Result<(), Error> {
    let refuse = |text: &str| Err(Error::BadRequest(text.to_owned()));
    if let Some(bind) = &mut mount.bind_options {
        bind.non_recursive &= version.at_least(40);
        bind.create_mountpoint &= version.at_least(42);
        if mount.kind == "bind" && bind.read_only_force_recursive && !version.at_least(44) {
            return refuse("BindOptions.ReadOnlyForceRecursive needs API v1.44 or newer");
        }
    }
    match version.at_least(42) {
        true => check_options(mount)?,
        false => {
            // Nobody looked at these before.
            let Mount { kind, volume_options, tmpfs_options, .. } = mount;
            volume_options.take_if(|_| kind != "volume");
            tmpfs_options.take_if(|_| kind != "tmpfs");
        }
    }
    let subpath = mount.volume_options.as_ref().is_some_and(|options| !options.subpath.is_empty());
    if subpath && !version.at_least(45) {
        return refuse("VolumeOptions.Subpath needs API v1.45 or newer");
    }
    if mount.kind == "image" && !version.at_least(48) {
        return refuse("Mount type \"Image\" needs API v1.48 or newer");
    }
    Ok(())
}

fn check_options(mount: &Mount) -> Result<(), Error> {
    let options = [
        ("VolumeOptions", mount.volume_options.is_some(), "volume"),
        ("BindOptions", mount.bind_options.is_some(), "bind"),
        ("TmpfsOptions", mount.tmpfs_options.is_some(), "tmpfs"),
    ];
    match options.into_iter().find(|&(_, given, kind)| given && mount.kind != kind) {
        Some((field, ..)) => {
            Err(Error::BadRequest(format!("{field} must not be specified on mount type \"{}\"", mount.kind)))
        }
        None => Ok(()),
    }
}

fn check_number(endpoints: &Endpoints, version: ApiVersion) -> Result<(), Error> {
    if endpoints.len() < 2 || version.at_least(44) {
        return Ok(());
    }
    let names: Vec<&str> = endpoints.keys().map(String::as_str).collect();
    Err(Error::BadRequest(format!(
        "Container cannot be created with multiple network endpoints: {}",
        names.join(", ")
    )))
}

/// Up to 1.47 the client warned.
fn volume_driver(host: &HostConfig, version: ApiVersion) -> Option<&'static str> {
    let mut volumes = host.mounts.iter().flatten().filter(|mount| mount.kind == "volume");
    let has_no_driver = |mount: &Mount| {
        let options = mount.volume_options.as_ref();
        options.and_then(|options| options.driver_config.as_ref()).is_none_or(|driver| driver.name.is_empty())
    };
    let ignored = version.at_least(48) && !host.volume_driver.is_empty() && volumes.any(has_no_driver);
    ignored.then_some(DRIVER_IGNORED)
}

/// Up to 1.43 the MAC address was the container's; since then it is its endpoint's.
fn place_mac_address(
    config: &mut Config,
    host: &HostConfig,
    endpoints: &mut Endpoints,
    version: ApiVersion,
) -> Result<Option<&'static str>, Error> {
    let mode = host.network_mode.as_str();
    let has_endpoint = !matches!(mode, "host" | "none") && !mode.starts_with("container:");
    if config.mac_address.is_empty() {
        if !version.at_least(44) {
            endpoints.values_mut().for_each(|endpoint| endpoint.mac_address.clear());
        }
        return Ok(None);
    }
    if !version.at_least(44) {
        if !has_endpoint {
            return Err(Error::BadRequest(NETWORK_AND_MAC.to_owned()));
        }
        // There is at most one, and it counted whatever its name.
        let name = endpoints.keys().next().map_or(mode, String::as_str).to_owned();
        endpoints.entry(name).or_default().mac_address.clone_from(&config.mac_address);
        return Ok(None);
    }
    let mac_address = std::mem::take(&mut config.mac_address);
    if has_endpoint {
        let endpoint = own_endpoint(mode, endpoints)?;
        match endpoint.mac_address.is_empty() || endpoint.mac_address == mac_address {
            true => endpoint.mac_address = mac_address,
            false => return Err(Error::BadRequest(OTHER_MAC.to_owned())),
        }
    }
    Ok(Some(MAC_MOVED))
}

/// The endpoint of the network mode. Where there are only others, they may name the same network by its ID.
fn own_endpoint<'a>(mode: &str, endpoints: &'a mut Endpoints) -> Result<&'a mut EndpointSettings, Error> {
    if endpoints.is_empty() || endpoints.contains_key(mode) {
        return Ok(endpoints.entry(mode.to_owned()).or_default());
    }
    Err(Error::BadRequest(format!(
        "unable to migrate container-wide MAC address to a specific network: {UNKNOWN_ENDPOINT}"
    )))
}

#[cfg(test)]
mod tests {
    use api::container::{BindOptions, Healthcheck, TmpfsOptions, VolumeOptions};

    use super::*;

    /// The request as it is meant by a client of version 1.`minor`.
    fn adjusted(minor: u16, json: &str) -> Result<(CreateRequest, Adjusted), String> {
        let mut request = CreateRequest::from_slice(json.as_bytes()).unwrap();
        let options = &mut CreateOptions::default();
        let adjusted = adjust(options, &mut request, ApiVersion::new(1, minor));
        adjusted.map(|adjusted| (request, adjusted)).map_err(|error| error.to_string())
    }

    fn host(minor: u16, json: &str) -> HostConfig {
        adjusted(minor, &format!(r#"{{"HostConfig":{json}}}"#)).unwrap().0.host_config.unwrap()
    }

    fn endpoints(minor: u16, json: &str) -> Endpoints {
        adjusted(minor, json).unwrap().0.networking_config.unwrap().endpoints_config.unwrap()
    }

    fn mount(minor: u16, mount: Mount) -> Result<Mount, String> {
        let host_config = HostConfig { mounts: Some(vec![mount]), ..HostConfig::default() };
        let mut request = CreateRequest { host_config: Some(host_config), ..CreateRequest::default() };
        let version = ApiVersion::new(1, minor);
        adjust(&mut CreateOptions::default(), &mut request, version).map_err(|error| error.to_string())?;
        Ok(request.host_config.unwrap().mounts.unwrap().remove(0))
    }

    fn bind(options: BindOptions) -> Mount {
        Mount { kind: "bind".into(), bind_options: Some(options), ..Mount::default() }
    }

    #[test]
    fn fields_newer_than_the_version_are_left_out() {
        assert!(!host(24, r#"{"AutoRemove":true}"#).auto_remove);
        assert!(host(25, r#"{"AutoRemove":true}"#).auto_remove);
        assert_eq!(host(39, r#"{"KernelMemoryTCP":5}"#).kernel_memory_tcp, 0);
        assert_eq!(host(40, r#"{"KernelMemoryTCP":5}"#).kernel_memory_tcp, 5);
        assert_eq!(host(41, r#"{"ConsoleSize":[9,8]}"#).console_size, [0, 0]);
        assert_eq!(host(42, r#"{"ConsoleSize":[9,8]}"#).console_size, [9, 8]);
        assert_eq!(host(42, r#"{"Annotations":{"a":"b"}}"#).annotations, None);
        assert!(host(43, r#"{"Annotations":{"a":"b"}}"#).annotations.is_some());
    }

    #[test]
    fn kernel_memory_is_no_field_since_1_42() {
        assert_eq!(host(41, r#"{"KernelMemory":5}"#).kernel_memory, 5);
        assert_eq!(host(42, r#"{"KernelMemory":5}"#).kernel_memory, 0);
    }

    #[test]
    fn ipc_namespace_can_be_shared_by_default_up_to_1_39() {
        assert_eq!(host(39, "{}").ipc_mode, "shareable");
        assert_eq!(host(39, r#"{"IpcMode":"private"}"#).ipc_mode, "private");
        assert_eq!(host(40, "{}").ipc_mode, "");
    }

    #[test]
    fn pids_limit_below_one_is_none_in_every_version() {
        for minor in [24, 40, 50] {
            assert_eq!(host(minor, r#"{"PidsLimit":-1}"#).pids_limit, None);
            assert_eq!(host(minor, r#"{"PidsLimit":0}"#).pids_limit, None);
            assert_eq!(host(minor, r#"{"PidsLimit":7}"#).pids_limit, Some(7));
        }
    }

    #[test]
    fn start_interval_is_known_since_1_44() {
        let interval = |minor| {
            let check = Healthcheck { start_interval: 5, ..Healthcheck::default() };
            let config = Config { healthcheck: Some(check), ..Config::default() };
            let mut request = CreateRequest { config, ..CreateRequest::default() };
            adjust(&mut CreateOptions::default(), &mut request, ApiVersion::new(1, minor)).unwrap();
            request.config.healthcheck.unwrap().start_interval
        };
        assert_eq!((interval(43), interval(44)), (0, 5));
    }

    #[test]
    fn platform_is_a_parameter_since_1_41() {
        let platform = |minor| {
            let mut options = CreateOptions { platform: "linux/arm64".into(), ..CreateOptions::default() };
            adjust(&mut options, &mut CreateRequest::default(), ApiVersion::new(1, minor)).unwrap();
            options.platform
        };
        assert_eq!((platform(40).as_str(), platform(41).as_str()), ("", "linux/arm64"));
    }

    #[test]
    fn bind_options_newer_than_the_version_are_left_out() {
        let options = BindOptions { non_recursive: true, create_mountpoint: true, ..BindOptions::default() };
        let kept = |minor| {
            let options = mount(minor, bind(options.clone())).unwrap().bind_options.unwrap();
            (options.non_recursive, options.create_mountpoint)
        };
        assert_eq!(kept(39), (false, false));
        assert_eq!(kept(41), (true, false));
        assert_eq!(kept(42), (true, true));
    }

    #[test]
    fn options_of_another_type_are_refused_since_1_42() {
        let volume = VolumeOptions { subpath: "a".into(), ..VolumeOptions::default() };
        let odd = Mount {
            volume_options: Some(volume),
            tmpfs_options: Some(TmpfsOptions::default()),
            ..bind(BindOptions::default())
        };
        let old = mount(41, odd.clone()).unwrap();
        assert_eq!((old.volume_options, old.tmpfs_options), (None, None));
        assert_eq!(mount(42, odd).unwrap_err(), "VolumeOptions must not be specified on mount type \"bind\"");
    }

    #[test]
    fn what_must_not_be_left_out_is_refused_with_the_version_that_knows_it() {
        let forced = bind(BindOptions { read_only_force_recursive: true, ..BindOptions::default() });
        let subpath = VolumeOptions { subpath: "a".into(), ..VolumeOptions::default() };
        let subpath = Mount { kind: "volume".into(), volume_options: Some(subpath), ..Mount::default() };
        let image = Mount { kind: "image".into(), ..Mount::default() };
        for (known_since, asked, message) in [
            (44, forced, "BindOptions.ReadOnlyForceRecursive needs API v1.44 or newer"),
            (45, subpath, "VolumeOptions.Subpath needs API v1.45 or newer"),
            (48, image, "Mount type \"Image\" needs API v1.48 or newer"),
        ] {
            assert_eq!(mount(known_since - 1, asked.clone()).unwrap_err(), message);
            assert_eq!(mount(known_since, asked.clone()).unwrap(), asked);
        }
    }

    #[test]
    fn read_only_binds_reach_below_since_1_44() {
        assert_eq!(adjusted(43, "{}").unwrap().1.reach, ReadOnlyReach::TopOnly);
        assert_eq!(adjusted(44, "{}").unwrap().1.reach, ReadOnlyReach::Recursive);
    }

    #[test]
    fn several_networks_are_possible_since_1_44() {
        let json = r#"{"NetworkingConfig":{"EndpointsConfig":{"a":{},"b":{"GwPriority":3}}}}"#;
        assert_eq!(
            adjusted(43, json).unwrap_err(),
            "Container cannot be created with multiple network endpoints: a, b"
        );
        assert_eq!(endpoints(47, json)["b"].gw_priority, 0);
        assert_eq!(endpoints(48, json)["b"].gw_priority, 3);
    }

    #[test]
    fn mac_address_of_an_old_request_is_its_endpoints() {
        let json = r#"{"MacAddress":"02:00:00:00:00:01","HostConfig":{"NetworkMode":"default"}}"#;
        let (request, adjusted_by) = adjusted(43, json).unwrap();
        assert_eq!(request.config.mac_address, "02:00:00:00:00:01");
        assert_eq!(endpoints(43, json)["bridge"].mac_address, "02:00:00:00:00:01");
        assert_eq!(adjusted_by.warnings, Vec::<String>::new());
        let host = r#"{"MacAddress":"02:00:00:00:00:01","HostConfig":{"NetworkMode":"host"}}"#;
        assert_eq!(adjusted(43, host).unwrap_err(), NETWORK_AND_MAC);
        let endpoint = r#"{"NetworkingConfig":{"EndpointsConfig":{"a":{"MacAddress":"02:00:00:00:00:02"}}}}"#;
        assert_eq!(endpoints(43, endpoint)["a"].mac_address, "");
        assert_eq!(endpoints(44, endpoint)["a"].mac_address, "02:00:00:00:00:02");
    }

    #[test]
    fn mac_address_of_the_container_is_moved_with_a_warning_since_1_44() {
        let json = |mode: &str, endpoint: &str| {
            format!(
                r#"{{"MacAddress":"02:00:00:00:00:01","HostConfig":{{"NetworkMode":"{mode}"}},
                "NetworkingConfig":{{"EndpointsConfig":{{{endpoint}}}}}}}"#
            )
        };
        let (request, adjusted_by) = adjusted(44, &json("lab", "")).unwrap();
        assert_eq!(
            (request.config.mac_address.as_str(), &adjusted_by.warnings[..]),
            ("", &[MAC_MOVED.into()][..])
        );
        assert_eq!(endpoints(44, &json("lab", ""))["lab"].mac_address, "02:00:00:00:00:01");
        let other = json("lab", r#""lab":{"MacAddress":"02:00:00:00:00:02"}"#);
        assert_eq!(adjusted(44, &other).unwrap_err(), OTHER_MAC);
        assert!(adjusted(44, &json("lab", r#""other":{}"#)).unwrap_err().ends_with(UNKNOWN_ENDPOINT));
        assert!(endpoints(44, &json("host", "")).is_empty());
    }

    #[test]
    fn volume_driver_beside_mounts_is_warned_of_since_1_48() {
        let warnings = |minor, options: &str| {
            let mount = format!(r#"{{"Type":"volume","Target":"/a","VolumeOptions":{options}}}"#);
            let json = format!(r#"{{"HostConfig":{{"VolumeDriver":"local","Mounts":[{mount}]}}}}"#);
            adjusted(minor, &json).unwrap().1.warnings
        };
        assert_eq!(warnings(47, "null"), Vec::<String>::new());
        assert_eq!(warnings(48, "null"), [DRIVER_IGNORED]);
        assert_eq!(warnings(48, r#"{"DriverConfig":{"Name":"local"}}"#), Vec::<String>::new());
    }
}
