//! Containers as each version of the API shows them.

use api::ApiVersion;
use api::container::{ContainerInspect, ContainerSummary};

use super::networks::is_predefined;

/// A list of containers.
pub(super) fn list(mut list: Vec<ContainerSummary>, version: ApiVersion) -> Vec<ContainerSummary> {
    if !version.at_least(46) {
        list.iter_mut().for_each(|container| container.host_config.annotations = None);
    }
    list
}

/// One container.
pub(super) fn inspect(mut container: ContainerInspect, version: ApiVersion) -> ContainerInspect {
    if !version.at_least(45) {
        add_own_aliases(&mut container);
    }
    container
}

/// Up to 1.44 the aliases also have the names that are not asked for; later these are among `DNSNames`.
fn add_own_aliases(container: &mut ContainerInspect) {
    let own = [container.id.chars().take(12).collect(), container.config.hostname.clone()];
    for (network, endpoint) in container.network_settings.networks.iter_mut().flatten() {
        if is_predefined(network) {
            continue;
        }
        let aliases = endpoint.aliases.get_or_insert_default();
        for name in &own {
            if !aliases.contains(name) {
                aliases.push(name.clone());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use api::network::EndpointSettings;

    use super::*;

    fn with_networks(names: [&str; 2]) -> ContainerInspect {
        let endpoint = EndpointSettings { aliases: Some(vec!["web".into()]), ..EndpointSettings::default() };
        let mut container = ContainerInspect { id: "0123456789abcdef".into(), ..ContainerInspect::default() };
        container.config.hostname = "web".into();
        container.network_settings.networks =
            Some(names.map(|name| (name.to_owned(), endpoint.clone())).into());
        container
    }

    fn aliases(container: &ContainerInspect, network: &str) -> Vec<String> {
        container.network_settings.networks.as_ref().unwrap()[network].aliases.clone().unwrap()
    }

    #[test]
    fn aliases_have_the_short_id_up_to_1_44() {
        let old = inspect(with_networks(["bridge", "lab"]), ApiVersion::new(1, 44));
        assert_eq!(aliases(&old, "lab"), ["web", "0123456789ab"]);
        assert_eq!(aliases(&old, "bridge"), ["web"]);
        let new = inspect(with_networks(["bridge", "lab"]), ApiVersion::new(1, 45));
        assert_eq!(aliases(&new, "lab"), ["web"]);
    }

    #[test]
    fn annotations_are_listed_since_1_46() {
        let listed = |minor| {
            let mut container = ContainerSummary::default();
            container.host_config.annotations = Some([("a".to_owned(), "b".to_owned())].into());
            list(vec![container], ApiVersion::new(1, minor)).remove(0).host_config.annotations.is_some()
        };
        assert_eq!((listed(45), listed(46)), (false, true));
    }
}
