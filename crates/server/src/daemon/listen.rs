//! The sockets on which the API is served.

use std::fs;
use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use tokio::net::{TcpListener, UnixListener};

use super::pidfile::is_alive;
use super::settings::Group;
use crate::http::Acceptor;

/// Where the API is served.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Host {
    /// A unix socket at this path.
    Unix(PathBuf),
    /// A TCP port of this machine itself.
    Tcp(SocketAddr),
}

/// Why a socket is refused or could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum ListenError {
    /// Not an address that can be served.
    #[error("invalid host {host:?}: {reason}")]
    Invalid {
        /// What was given.
        host: String,
        /// Why.
        reason: String,
    },
    /// Anybody on the network could become root.
    #[error(
        "{0} is refused: TCP without TLS is served on loopback addresses only, and only with --tls=false"
    )]
    Insecure(String),
    /// Another process answers on the socket.
    #[error("{} is in use by another process", .0.display())]
    InUse(PathBuf),
    /// No such group.
    #[error("group {0} not found")]
    Group(String),
    /// The kernel refused.
    #[error("listen on {host}: {source}")]
    Open {
        /// The socket.
        host: String,
        /// Why.
        source: io::Error,
    },
}

/// An open socket. The path of a unix socket goes with its guard.
pub(super) struct Socket {
    pub(super) acceptor: Acceptor,
    pub(super) name: String,
    pub(super) guard: Option<PathGuard>,
}

/// Removes a path when it is dropped.
pub(super) struct PathGuard(PathBuf);

impl Drop for PathGuard {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

impl Host {
    /// Reads `unix:///path` or `tcp://address:port`.
    ///
    /// # Errors
    /// Any other form, and TCP that others could reach.
    pub fn parse(text: &str, plain_tcp: bool) -> Result<Self, ListenError> {
        let invalid =
            |reason: &str| ListenError::Invalid { host: text.to_owned(), reason: reason.to_owned() };
        if let Some(path) = text.strip_prefix("unix://") {
            return match path.starts_with('/') {
                true => Ok(Self::Unix(path.into())),
                false => Err(invalid("the path must be absolute")),
            };
        }
        if text.starts_with("fd://") {
            return Err(invalid("sockets of a service manager are not supported by this engine"));
        }
        let Some(address) = text.strip_prefix("tcp://") else {
            return Err(invalid("it must be unix:///path or tcp://address:port"));
        };
        let address = address.replacen("localhost", "127.0.0.1", 1);
        let address: SocketAddr = address.parse().map_err(|_| invalid("it must be tcp://address:port"))?;
        match plain_tcp && address.ip().is_loopback() {
            true => Ok(Self::Tcp(address)),
            false => Err(ListenError::Insecure(text.to_owned())),
        }
    }
}

/// Opens all sockets, or none.
pub(super) fn open_all(hosts: &[Host], group: &Group) -> Result<Vec<Socket>, ListenError> {
    hosts.iter().map(|host| open(host, group)).collect()
}

fn open(host: &Host, group: &Group) -> Result<Socket, ListenError> {
    match host {
        Host::Unix(path) => open_unix(path, group),
        Host::Tcp(address) => open_tcp(*address),
    }
}

fn open_tcp(address: SocketAddr) -> Result<Socket, ListenError> {
    let failed = |source| ListenError::Open { host: format!("tcp://{address}"), source };
    let listener = std::net::TcpListener::bind(address).map_err(failed)?;
    listener.set_nonblocking(true).map_err(failed)?;
    let listener = TcpListener::from_std(listener).map_err(failed)?;
    let name = listener.local_addr().map_or_else(|_| address.to_string(), |address| address.to_string());
    Ok(Socket { acceptor: Acceptor::Tcp(listener), name: format!("tcp://{name}"), guard: None })
}

/// The socket gets its mode and group under another name, so that nobody connects before they are right.
fn open_unix(path: &Path, group: &Group) -> Result<Socket, ListenError> {
    let name = format!("unix://{}", path.display());
    let failed = |source| ListenError::Open { host: name.clone(), source };
    if UnixStream::connect(path).is_ok_and(has_listener) {
        return Err(ListenError::InUse(path.to_owned()));
    }
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent).map_err(failed)?;
    }
    let mut hidden = path.as_os_str().to_owned();
    hidden.push(format!(".{}", std::process::id()));
    let hidden = PathGuard(hidden.into());
    let _ = fs::remove_file(&hidden.0);
    let listener = UnixListener::bind(&hidden.0).map_err(failed)?;
    fs::set_permissions(&hidden.0, fs::Permissions::from_mode(0o660)).map_err(failed)?;
    std::os::unix::fs::chown(&hidden.0, None, group_id(group)?).map_err(failed)?;
    fs::rename(&hidden.0, path).map_err(failed)?;
    let guard = Some(PathGuard(path.to_owned()));
    Ok(Socket { acceptor: Acceptor::Unix(listener), name, guard })
}

/// Whether who listens still lives. A child that an engine was making when it was killed has its socket a moment longer.
fn has_listener(connection: UnixStream) -> bool {
    let peer = connection
        .set_nonblocking(true)
        .and_then(|()| tokio::net::UnixStream::from_std(connection))
        .and_then(|connection| connection.peer_cred());
    let pid = peer.ok().and_then(|peer| peer.pid()).and_then(|pid| u32::try_from(pid).ok());
    // One in another namespace of processes has the number 0 here.
    pid.is_none_or(|pid| pid == 0 || is_alive(pid))
}

fn group_id(group: &Group) -> Result<Option<u32>, ListenError> {
    let groups = fs::read_to_string("/etc/group").unwrap_or_default();
    match group {
        Group::Default => Ok(find_group(&groups, "docker")),
        Group::Named(name) if name.is_empty() => Ok(None),
        Group::Named(name) => {
            let id = find_group(&groups, name).or_else(|| name.parse().ok());
            id.map(Some).ok_or_else(|| ListenError::Group(name.clone()))
        }
    }
}

/// The number of a group in the lines `name:password:number:members`.
fn find_group(groups: &str, name: &str) -> Option<u32> {
    let line = groups.lines().find(|line| line.split(':').next() == Some(name))?;
    line.split(':').nth(2)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tcp_that_others_reach_is_refused() {
        assert!(matches!(Host::parse("tcp://0.0.0.0:2375", true), Err(ListenError::Insecure(_))));
        assert!(matches!(Host::parse("tcp://127.0.0.1:2375", false), Err(ListenError::Insecure(_))));
        assert!(matches!(Host::parse("tcp://[::1]:2375", true), Ok(Host::Tcp(_))));
        assert!(matches!(Host::parse("tcp://localhost:2375", true), Ok(Host::Tcp(_))));
    }

    #[test]
    fn other_addresses_are_refused() {
        for text in
            ["", "/run/a.sock", "unix://a.sock", "http://localhost", "fd://", "tcp://", "tcp://localhost"]
        {
            assert!(matches!(Host::parse(text, true), Err(ListenError::Invalid { .. })), "{text}");
        }
    }

    #[test]
    fn group_is_found_by_whole_name() {
        let groups = "root:x:0:\ndocker2:x:7:\ndocker:x:998:me\n";
        assert_eq!(find_group(groups, "docker"), Some(998));
        assert_eq!(find_group(groups, "dock"), None);
    }

    #[tokio::test]
    async fn stale_socket_is_replaced_and_a_living_one_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.sock");
        drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
        let socket = open_unix(&path, &Group::Named(String::new())).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o660);
        assert!(matches!(open_unix(&path, &Group::Default), Err(ListenError::InUse(_))));
        drop(socket);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    }
}
