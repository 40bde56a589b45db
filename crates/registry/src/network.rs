//! Which hosts may be reached how.

use std::net::IpAddr;

use url::Url;

use crate::Config;
use crate::error::Error;

/// How much a host is trusted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Security {
    /// Verified TLS only.
    Verified,
    /// TLS that is not verified, or plain HTTP.
    Insecure,
}

/// Where the registry of a domain is, in the order in which to try.
pub(crate) fn endpoints(config: &Config, domain: &str) -> Result<Vec<Url>, Error> {
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
    let port = url.port().map(|port| format!("{host}:{port}"));
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
fn contains(network: &str, address: IpAddr) -> bool {
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

    fn schemes(config: &Config, domain: &str) -> Vec<String> {
        endpoints(config, domain).unwrap().iter().map(Url::to_string).collect()
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
        assert_eq!(schemes(&config, "10.1.2.3:80").len(), 2);
        assert_eq!(schemes(&config, "10.2.2.3").len(), 1);
        assert_eq!(schemes(&config, "localhost.example.com").len(), 1);
    }
}
