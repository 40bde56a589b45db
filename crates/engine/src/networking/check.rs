//! What may be asked of a container's networks.

use api::container::CreateRequest;
use api::network::EndpointSettings;
use network::Networks;

use crate::error::Error;
use crate::links;

/// Whether a network mode names a network that a user made.
pub(crate) fn is_user_defined(mode: &str) -> bool {
    !matches!(mode, "" | "default" | "bridge" | "host" | "none") && !mode.starts_with("container:")
}

/// Names networks by their names where the request has IDs. One that is not known stays as it is: a network of that name may
/// be there when the container is started.
pub(crate) fn use_names(networks: &Networks, request: &mut CreateRequest) {
    let name = |given: &str| match is_user_defined(given) {
        true => networks.inspect(given).map_or_else(|_| given.to_owned(), |record| record.name),
        false => given.to_owned(),
    };
    if let Some(host_config) = &mut request.host_config {
        host_config.network_mode = name(&host_config.network_mode);
    }
    if let Some(endpoints) =
        request.networking_config.as_mut().and_then(|config| config.endpoints_config.as_mut())
    {
        *endpoints = std::mem::take(endpoints)
            .into_iter()
            .map(|(network, settings)| (name(&network), settings))
            .collect();
    }
}

/// Checks what is asked of an endpoint, and keeps only that: clients also send what an earlier endpoint had.
///
/// # Errors
///
/// What the network cannot give, in Docker's words, and what this engine does not do, by name.
pub(crate) fn check(network: &str, asked: EndpointSettings) -> Result<EndpointSettings, Error> {
    let ipam = asked.ipam_config.as_ref();
    let given = |list: Option<&Vec<String>>| list.is_some_and(|list| !list.is_empty());
    if given(ipam.and_then(|ipam| ipam.link_local_ips.as_ref())) {
        return Err(Error::unsupported("link-local address (--link-local-ip)"));
    }
    for link in asked.links.iter().flatten() {
        links::split(link)?;
    }
    if let Some((name, value)) = asked.driver_opts.iter().flatten().next() {
        return Err(Error::unsupported(format!("endpoint option {name}={value}")));
    }
    let has_address = ipam.is_some_and(|ipam| !ipam.ipv4_address.is_empty() || !ipam.ipv6_address.is_empty());
    let fault = |text: &str| Err(Error::invalid(format!("invalid endpoint settings:\n{text}")));
    if !is_user_defined(network) && has_address {
        return fault("user specified IP address is supported on user defined networks only");
    }
    if !is_user_defined(network) && given(asked.aliases.as_ref()) {
        return fault("network-scoped alias is supported only for containers in user defined networks");
    }
    if !is_user_defined(network) && given(asked.links.as_ref()) {
        return fault("links are only supported for user-defined networks");
    }
    crate::ports::addresses(&asked, "")?;
    Ok(EndpointSettings {
        ipam_config: asked.ipam_config,
        links: asked.links,
        aliases: asked.aliases,
        mac_address: asked.mac_address,
        gw_priority: asked.gw_priority,
        ..EndpointSettings::default()
    })
}

#[cfg(test)]
mod tests {
    use api::network::EndpointIpamConfig;

    use super::*;

    fn refusal(network: &str, asked: EndpointSettings) -> String {
        check(network, asked).unwrap_err().to_string()
    }

    fn address(ipv4: &str) -> EndpointSettings {
        let ipam = EndpointIpamConfig { ipv4_address: ipv4.to_owned(), ..EndpointIpamConfig::default() };
        EndpointSettings { ipam_config: Some(ipam), ..EndpointSettings::default() }
    }

    #[test]
    fn address_or_alias_outside_user_defined_networks_is_refused() {
        let aliased = EndpointSettings { aliases: Some(vec!["web".into()]), ..EndpointSettings::default() };
        assert!(refusal("bridge", aliased.clone()).contains("network-scoped alias is supported only for"));
        assert!(refusal("bridge", address("10.0.0.9")).contains("on user defined networks only"));
        assert!(check("lab", aliased).is_ok());
        assert!(check("lab", address("10.0.0.9")).is_ok());
        assert_eq!(refusal("lab", address("10.0.0.300")), "invalid IPv4 address: 10.0.0.300");
    }

    #[test]
    fn what_is_not_done_is_refused_by_name() {
        let addresses = EndpointIpamConfig {
            link_local_ips: Some(vec!["169.254.0.9".into()]),
            ..EndpointIpamConfig::default()
        };
        let local = EndpointSettings { ipam_config: Some(addresses), ..EndpointSettings::default() };
        assert!(refusal("lab", local).contains("--link-local-ip"));
        let options = [("com.example.x".to_owned(), "1".to_owned())];
        let options = EndpointSettings { driver_opts: Some(options.into()), ..EndpointSettings::default() };
        assert!(refusal("lab", options).contains("com.example.x=1"));
    }

    #[test]
    fn links_are_names_of_user_defined_networks() {
        let linked =
            |link: &str| EndpointSettings { links: Some(vec![link.into()]), ..EndpointSettings::default() };
        assert_eq!(check("lab", linked("db:store")).unwrap(), linked("db:store"));
        assert_eq!(refusal("lab", linked("a:b:c")), "bad format for links: a:b:c");
        assert!(refusal("bridge", linked("db")).contains("only supported for user-defined networks"));
    }

    #[test]
    fn what_an_earlier_endpoint_had_is_dropped() {
        let asked = EndpointSettings {
            endpoint_id: "e".into(),
            ip_address: "10.0.0.2".into(),
            gw_priority: 3,
            ..EndpointSettings::default()
        };
        let kept = EndpointSettings { gw_priority: 3, ..EndpointSettings::default() };
        assert_eq!(check("lab", asked).unwrap(), kept);
    }
}
