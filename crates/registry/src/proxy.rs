//! Proxies between this machine and registries, by the rules of Go's `net/http`, which dockerd has.

use std::fmt;
use std::net::IpAddr;

use reqwest::ClientBuilder;
use url::Url;

use crate::network::contains;

/// Which proxies are used. Never shown, because their addresses can have passwords.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Proxies {
    /// For plain HTTP; empty is none.
    pub http: String,
    /// For HTTPS; empty is none.
    pub https: String,
    /// Hosts that are reached without one, with commas between them: names with all below them, `.name` for those below it
    /// only, addresses, networks (`10.0.0.0/8`), each but the last also with a port; `*` is all.
    pub without: String,
}

impl fmt::Debug for Proxies {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Proxies").finish_non_exhaustive()
    }
}

impl Proxies {
    /// Those of the environment: `HTTP_PROXY`, `HTTPS_PROXY` and `NO_PROXY`, in capital or small letters.
    pub fn from_environment() -> Self {
        let variable = |name: &str| {
            let names = [name.to_owned(), name.to_ascii_lowercase()];
            names.iter().find_map(|name| std::env::var(name).ok().filter(|it| !it.is_empty()))
        };
        Self {
            http: variable("HTTP_PROXY").unwrap_or_default(),
            https: variable("HTTPS_PROXY").unwrap_or_default(),
            without: variable("NO_PROXY").unwrap_or_default(),
        }
    }

    /// The same, with what is set in `other` instead.
    #[must_use]
    pub fn overridden(self, other: Self) -> Self {
        let chosen = |new: String, old: String| if new.is_empty() { old } else { new };
        Self {
            http: chosen(other.http, self.http),
            https: chosen(other.https, self.https),
            without: chosen(other.without, self.without),
        }
    }

    /// The same without users and passwords, to be shown.
    #[must_use]
    pub(crate) fn redacted(&self) -> Self {
        Self { http: redacted(&self.http), https: redacted(&self.https), without: self.without.clone() }
    }

    pub(crate) fn apply(&self, builder: ClientBuilder) -> ClientBuilder {
        let proxies = self.clone();
        // The library has rules of its own for the environment, which differ.
        builder.no_proxy().proxy(reqwest::Proxy::custom(move |url| proxies.of(url)))
    }

    fn of(&self, url: &Url) -> Option<Url> {
        let proxy = if url.scheme() == "https" { &self.https } else { &self.http };
        if proxy.is_empty() || self.is_without(url) {
            return None;
        }
        let text = if proxy.contains("://") { proxy.clone() } else { format!("http://{proxy}") };
        Url::parse(&text).ok()
    }

    fn is_without(&self, url: &Url) -> bool {
        let Some(host) = url.host_str() else { return true };
        let host = host.trim_start_matches('[').trim_end_matches(']').trim_end_matches('.');
        let address = host.parse::<IpAddr>().ok();
        if host == "localhost" || address.is_some_and(|address| address.is_loopback()) {
            return true;
        }
        let port = url.port_or_known_default();
        self.without.split(',').map(str::trim).filter(|entry| !entry.is_empty()).any(|entry| {
            entry == "*"
                || address.is_some_and(|address| contains(entry, address))
                || matches_host(entry, host, address, port)
        })
    }
}

fn redacted(url: &str) -> String {
    match (url.split_once("://"), url.rsplit_once('@')) {
        (Some((scheme, _)), Some((_, host))) => format!("{scheme}://xxxxx:xxxxx@{host}"),
        (None, Some((_, host))) => format!("xxxxx:xxxxx@{host}"),
        _ => url.to_owned(),
    }
}

fn matches_host(entry: &str, host: &str, address: Option<IpAddr>, port: Option<u16>) -> bool {
    let (name, wanted) = match entry.rsplit_once(':') {
        // More colons are those of an address.
        Some((name, number)) if !name.contains(':') || name.ends_with(']') => {
            (name, number.parse::<u16>().ok())
        }
        _ => (entry, None),
    };
    if wanted.is_some() && wanted != port {
        return false;
    }
    let name = name.trim_start_matches('[').trim_end_matches(']').to_ascii_lowercase();
    if let Ok(named) = name.parse::<IpAddr>() {
        return address == Some(named);
    }
    let name = name.strip_prefix('*').unwrap_or(&name);
    match name.strip_prefix('.') {
        Some(_) => host.ends_with(name),
        None => host == name || host.strip_suffix(name).is_some_and(|rest| rest.ends_with('.')),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn proxies(without: &str) -> Proxies {
        Proxies { http: "plain:3128".into(), https: "http://u:p@secure:3129".into(), without: without.into() }
    }

    fn of(without: &str, url: &str) -> Option<String> {
        proxies(without).of(&Url::parse(url).unwrap()).map(|url| url.to_string())
    }

    #[test]
    fn proxy_is_chosen_by_scheme() {
        assert_eq!(of("", "http://r.example/v2/").as_deref(), Some("http://plain:3128/"));
        assert_eq!(of("", "https://r.example/v2/").as_deref(), Some("http://u:p@secure:3129/"));
        assert_eq!(Proxies::default().of(&Url::parse("https://r.example").unwrap()), None);
    }

    #[test]
    fn passwords_are_not_shown() {
        let redacted = proxies("").redacted();
        assert_eq!((&*redacted.http, &*redacted.https), ("plain:3128", "http://xxxxx:xxxxx@secure:3129"));
        assert_eq!(super::redacted("u:p@plain:3128"), "xxxxx:xxxxx@plain:3128");
    }

    #[test]
    fn this_machine_is_reached_without_one() {
        for url in ["http://localhost:5000", "http://127.8.9.1", "https://[::1]:5000"] {
            assert_eq!(of("", url), None, "{url}");
        }
    }

    #[test]
    fn hosts_without_one_are_as_in_go() {
        let without = |entry: &str, url: &str| of(entry, url).is_none();
        assert!(without("example.com", "https://example.com"));
        assert!(without("example.com", "https://a.example.com"));
        assert!(!without("example.com", "https://badexample.com"));
        assert!(!without(".example.com", "https://example.com"));
        assert!(without("*.example.com", "https://a.example.com"));
        assert!(without("other, example.com:5000", "https://example.com:5000"));
        assert!(!without("example.com:5000", "https://example.com"));
        assert!(without("10.0.0.0/8", "http://10.2.3.4:5000"));
        assert!(!without("10.0.0.0/8", "http://11.2.3.4:5000"));
        assert!(without("10.2.3.4", "http://10.2.3.4:5000"));
        assert!(without("fd00::1", "http://[fd00::1]:5000"));
        assert!(without("[fd00::1]:5000", "http://[fd00::1]:5000"));
        assert!(without("*", "https://any.example"));
    }
}
