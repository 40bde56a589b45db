//! Where an engine is.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use thiserror::Error;

/// The address of an engine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Host {
    /// A unix socket.
    Unix(PathBuf),
    /// `name:port`, without TLS.
    Tcp(String),
}

/// An address that is not understood or not supported.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum HostError {
    /// Not an address.
    #[error("invalid bind address format: {0}")]
    Format(String),
    /// A kind of address that this client does not speak.
    #[error("unsupported protocol {0} in daemon address {1}")]
    Protocol(String, String),
}

const DEFAULT_PORT: u16 = 2375;

impl FromStr for Host {
    type Err = HostError;

    /// Reads `unix:///path`, `tcp://name[:port]`, `http://name[:port]` or `name[:port]`.
    fn from_str(text: &str) -> Result<Self, HostError> {
        let trimmed = text.trim();
        let (protocol, rest) = trimmed.split_once("://").unwrap_or(("tcp", trimmed));
        match protocol {
            "unix" if rest.is_empty() => Err(HostError::Format(text.to_owned())),
            "unix" => Ok(Self::Unix(PathBuf::from(rest))),
            "tcp" | "http" => tcp(rest).ok_or_else(|| HostError::Format(text.to_owned())),
            other => Err(HostError::Protocol(other.to_owned(), text.to_owned())),
        }
    }
}

fn tcp(rest: &str) -> Option<Host> {
    let authority = rest.trim_end_matches('/');
    if authority.is_empty() || authority.contains(['/', '@', '?', '#', ' ']) {
        return None;
    }
    let after_address = authority.rsplit_once(']').map_or(authority, |(_, rest)| rest);
    match after_address.rsplit_once(':') {
        None => Some(Host::Tcp(format!("{authority}:{DEFAULT_PORT}"))),
        Some((name, port)) => {
            let named = !name.is_empty() || authority.starts_with('[');
            (named && port.parse::<u16>().is_ok()).then(|| Host::Tcp(authority.to_owned()))
        }
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unix(path) => write!(f, "unix://{}", path.display()),
            Self::Tcp(authority) => write!(f, "tcp://{authority}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_and_printed() {
        for (text, printed) in [
            ("unix:///run/x.sock", "unix:///run/x.sock"),
            ("tcp://127.0.0.1:1", "tcp://127.0.0.1:1"),
            ("http://engine", "tcp://engine:2375"),
            ("foo", "tcp://foo:2375"),
            ("tcp://[::1]:5", "tcp://[::1]:5"),
            ("tcp://[::1]", "tcp://[::1]:2375"),
        ] {
            assert_eq!(text.parse::<Host>().unwrap().to_string(), printed);
        }
    }

    #[test]
    fn foreign_protocols_are_refused_by_name() {
        assert_eq!(
            "ssh://me@host".parse::<Host>().unwrap_err().to_string(),
            "unsupported protocol ssh in daemon address ssh://me@host"
        );
        for text in ["unix://", "tcp://", "tcp://a:b", "tcp://:80", "a b"] {
            assert!(text.parse::<Host>().is_err(), "{text}");
        }
    }
}
