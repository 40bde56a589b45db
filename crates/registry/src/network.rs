//! Which hosts serve a registry's content, and how they may be reached.

use std::collections::BTreeSet;
use std::net::IpAddr;

use oci::Reference;
use url::Url;

use crate::Config;
use crate::error::Error;
use crate::hosts_file;

/// How much a host is trusted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Security {
    /// Verified TLS only.
    Verified,
    /// TLS that is not verified, or plain HTTP.
    Insecure,
}

/// What a host may be used for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Capabilities {
    /// To read manifests and blobs by their digests.
    pub(crate) pull: bool,
    /// To be believed what a tag stands for.
    pub(crate) resolve: bool,
    /// To write.
    pub(crate) push: bool,
}

impl Capabilities {
    pub(crate) const ALL: Self = Self { pull: true, resolve: true, push: true };
    const READ: Self = Self { pull: true, resolve: true, push: false };
}

/// A place where a registry's content is: the registry itself or a mirror.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Host {
    /// `https://host/v2/`, in the order in which to try.
    pub(crate) bases: Vec<Url>,
    pub(crate) security: Security,
    pub(crate) capabilities: Capabilities,
    /// Whether it is the registry itself, which the credentials are for.
    pub(crate) is_own: bool,
    /// The registry's name, for mirrors of several.
    pub(crate) namespace: Option<String>,
    pub(crate) trust: Trust,
}

/// Certificates beside those of the host's own folder.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Trust {
    /// Files of authorities.
    pub(crate) authorities: Vec<std::path::PathBuf>,
    /// A file with a certificate and, if it is not in the same, one with its key.
    pub(crate) clients: Vec<(std::path::PathBuf, Option<std::path::PathBuf>)>,
}

impl Host {
    /// Whether what `reference` stands for can be had here.
    pub(crate) fn serves(&self, reference: &Reference) -> bool {
        self.capabilities.pull && (self.capabilities.resolve || reference.digest().is_some())
    }

    /// `host` or `host:port`.
    pub(crate) fn authority(&self) -> String {
        let Some(base) = self.bases.first() else { return String::new() };
        let host = base.host_str().unwrap_or_default();
        base.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"))
    }

    /// What folders with its certificates can be called: a name may have the port that it would have anyway.
    pub(crate) fn folders(&self) -> BTreeSet<String> {
        let of = |base: &Url| {
            let host = base.host_str().unwrap_or_default();
            base.port_or_known_default().map(|port| format!("{host}:{port}"))
        };
        self.bases.iter().filter_map(of).chain([self.authority()]).collect()
    }
}

/// Where the content of a registry is to be looked for, in this order.
pub(crate) fn hosts(config: &Config, domain: &str) -> Result<Vec<Host>, Error> {
    if let Some(hosts) = hosts_file::read(config, domain)? {
        return Ok(hosts);
    }
    let mut hosts = Vec::new();
    if domain == "docker.io" {
        for mirror in &config.mirrors {
            let base = mirror.join("v2/").map_err(|_| Error::Host(mirror.to_string()))?;
            let security = security_of(config, &base);
            let (capabilities, trust) = (Capabilities::READ, Trust::default());
            let bases = vec![base];
            hosts.push(Host { bases, security, capabilities, is_own: false, namespace: None, trust });
        }
    }
    hosts.push(own_host(config, domain)?);
    Ok(hosts)
}

/// The places that have what a name stands for, one after the other, until one gives it.
pub(crate) struct Attempts {
    hosts: std::vec::IntoIter<Host>,
    reference: Reference,
    last: Option<Error>,
}

impl Attempts {
    pub(crate) fn new(config: &Config, reference: &Reference) -> Result<Self, Error> {
        let hosts = hosts(config, reference.domain())?.into_iter();
        Ok(Self { hosts, reference: reference.clone(), last: None })
    }

    /// The next place that may have it.
    pub(crate) fn next(&mut self) -> Option<Host> {
        self.hosts.by_ref().find(|host| host.serves(&self.reference))
    }

    /// Notes why a place did not give it, unless that is a failure everywhere.
    pub(crate) fn failed(&mut self, host: &Host, error: Error) -> Result<(), Error> {
        if !error.may_be_better_elsewhere() {
            return Err(error);
        }
        tracing::info!(host = host.authority(), %error, "it is not to be had here");
        self.last = Some(error);
        Ok(())
    }

    /// Why no place gave it.
    pub(crate) fn exhausted(self) -> Error {
        self.last.unwrap_or_else(|| Error::Host(self.reference.domain().to_owned()))
    }
}

/// The registry itself.
pub(crate) fn own_host(config: &Config, domain: &str) -> Result<Host, Error> {
    let bases = endpoints(config, domain)?;
    let security = if bases.len() > 1 { Security::Insecure } else { Security::Verified };
    let (capabilities, trust) = (Capabilities::ALL, Trust::default());
    Ok(Host { bases, security, capabilities, is_own: true, namespace: None, trust })
}

/// Reads the address of a mirror of the default registry, by dockerd's rules.
///
/// # Errors
/// In dockerd's words.
pub fn parse_mirror(text: &str) -> Result<Url, String> {
    let url = Url::parse(text.trim())
        .map_err(|error| format!("invalid mirror: {text:?} is not a valid URI: {error}"))?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err(format!("invalid mirror: unsupported scheme {:?} in {text:?}", url.scheme()));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err("invalid mirror: username/password not allowed in URI".to_owned());
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err(format!("invalid mirror: query or fragment at end of the URI {text:?}"));
    }
    let mut url = url;
    if !url.path().ends_with('/') {
        url.set_path(&format!("{}/", url.path()));
    }
    Ok(url)
}

/// Where the registry of a domain is, in the order in which to try.
fn endpoints(config: &Config, domain: &str) -> Result<Vec<Url>, Error> {
    let host = if domain == "docker.io" { "registry-1.docker.io" } else { domain };
    let parse = |scheme: &str| {
        let url = Url::parse(&format!("{scheme}://{host}/v2/")).ok();
        url.filter(|url| url.username().is_empty() && url.path() == "/v2/")
            .ok_or_else(|| Error::Host(host.into()))
    };
    let secure = parse("https")?;
    match security_of(config, &secure) {
        Security::Verified => Ok(vec![secure]),
        Security::Insecure => Ok(vec![secure, parse("http")?]),
    }
}

/// How a URL's host may be reached.
pub(crate) fn security_of(config: &Config, url: &Url) -> Security {
    let Some(host) = url.host_str() else { return Security::Verified };
    let address = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>().ok();
    let port = url.port_or_known_default().map(|port| format!("{host}:{port}"));
    let is_named = |entry: &String| entry == host || Some(entry) == port.as_ref();
    let is_inside = |entry: &String| address.is_some_and(|address| contains(entry, address));
    let is_loopback = host == "localhost" || address.is_some_and(|address| address.is_loopback());
    if is_loopback || config.insecure.iter().any(|entry| is_named(entry) || is_inside(entry)) {
        Security::Insecure
    } else {
        Security::Verified
    }
}

/// Whether a network like `10.0.0.0/8` contains an address.
pub(crate) fn contains(network: &str, address: IpAddr) -> bool {
    let Some((base, length)) = network.split_once('/') else { return false };
    let (Ok(base), Ok(length)) = (base.parse::<IpAddr>(), length.parse::<u32>()) else { return false };
    let matches = |a: u128, b: u128, width: u32| {
        length <= width && (length == 0 || a >> (width - length) == b >> (width - length))
    };
    match (base, address) {
        (IpAddr::V4(base), IpAddr::V4(address)) => {
            matches(base.to_bits().into(), address.to_bits().into(), 32)
        }
        (IpAddr::V6(base), IpAddr::V6(address)) => matches(base.to_bits(), address.to_bits(), 128),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folder_of_certificates_may_name_the_usual_port() {
        let config = Config::default();
        let folders = |domain: &str| Vec::from_iter(own_host(&config, domain).unwrap().folders());
        assert_eq!(folders("r.example"), ["r.example", "r.example:443"]);
        assert_eq!(folders("r.example:443"), ["r.example", "r.example:443"]);
        assert_eq!(folders("r.example:5000"), ["r.example:5000"]);
    }

    fn schemes(config: &Config, domain: &str) -> Vec<String> {
        endpoints(config, domain).unwrap().iter().map(Url::to_string).collect()
    }

    #[test]
    fn mirrors_are_for_the_default_registry_and_only_read() {
        let mirrors =
            vec![parse_mirror("https://m.example/sub").unwrap(), parse_mirror("http://n:1").unwrap()];
        let config = Config { mirrors, certificates: "/nonexistent".into(), ..Config::default() };
        let found = hosts(&config, "docker.io").unwrap();
        let bases: Vec<String> = found.iter().map(|host| host.bases[0].to_string()).collect();
        assert_eq!(
            bases,
            ["https://m.example/sub/v2/", "http://n:1/v2/", "https://registry-1.docker.io/v2/"]
        );
        assert_eq!(found.iter().map(|host| host.capabilities.push).collect::<Vec<_>>(), [false, false, true]);
        assert_eq!(found.iter().map(|host| host.is_own).collect::<Vec<_>>(), [false, false, true]);
        assert_eq!(hosts(&config, "r.example").unwrap().len(), 1);
    }

    #[test]
    fn mirror_is_checked_as_by_dockerd() {
        for (text, word) in [
            ("ftp://m", "unsupported scheme"),
            ("m", "not a valid URI"),
            ("https://u:p@m", "username/password"),
            ("https://m/?q", "query or fragment"),
        ] {
            let error = parse_mirror(text).unwrap_err();
            assert!(error.starts_with("invalid mirror: ") && error.contains(word), "{error}");
        }
    }

    #[test]
    fn plain_http_is_for_loopback_and_declared_hosts_only() {
        let config =
            Config { insecure: vec!["in.example:5000".into(), "10.1.0.0/16".into()], ..Config::default() };
        assert_eq!(schemes(&config, "docker.io"), ["https://registry-1.docker.io/v2/"]);
        assert_eq!(schemes(&config, "r.example"), ["https://r.example/v2/"]);
        assert_eq!(schemes(&config, "localhost:5000").len(), 2);
        assert_eq!(schemes(&config, "127.8.9.1"), ["https://127.8.9.1/v2/", "http://127.8.9.1/v2/"]);
        assert_eq!(schemes(&config, "[::1]:5000").len(), 2);
        assert_eq!(schemes(&config, "in.example:5000").len(), 2);
        assert_eq!(schemes(&config, "in.example").len(), 1);
        let usual = Config { insecure: vec!["in.example:443".into()], ..Config::default() };
        assert_eq!(schemes(&usual, "in.example:443").len(), 2);
        assert_eq!(schemes(&usual, "in.example:5000").len(), 1);
        assert_eq!(schemes(&config, "10.1.2.3:80").len(), 2);
        assert_eq!(schemes(&config, "10.2.2.3").len(), 1);
        assert_eq!(schemes(&config, "localhost.example.com").len(), 1);
    }
}
