//! Network namespaces: making them, and opening sockets inside them.

use std::fs;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::thread;

use crate::error::Error;
use crate::netlink::RouteSocket;

/// The index of `lo` in every network namespace.
const LOOPBACK: u32 = 1;

/// What a container may do in a namespace of its own without privileges: send pings, listen on any port. Interfaces made
/// later have no IPv6 address unless a network gives them one.
const SYSCTLS: [(&str, &str); 3] = [
    ("/proc/sys/net/ipv4/ping_group_range", "0 2147483647"),
    ("/proc/sys/net/ipv4/ip_unprivileged_port_start", "0"),
    ("/proc/sys/net/ipv6/conf/default/disable_ipv6", "1"),
];

/// A network namespace and a socket to configure it.
#[derive(Debug)]
pub(crate) struct Namespace {
    pub(crate) netns: OwnedFd,
    pub(crate) socket: RouteSocket,
}

impl Namespace {
    /// Makes a namespace with its loopback interface up. The calling thread leaves its own namespace for the time being.
    ///
    /// To be called on a thread of its own ([`on_own_thread`]): where the way back fails, the thread has to end.
    pub(crate) fn create() -> io::Result<Self> {
        sys::netns::unshare()?;
        let netns = sys::netns::current()?;
        let mut socket = RouteSocket::open()?;
        socket.raise(LOOPBACK)?;
        for (path, value) in SYSCTLS {
            write_sysctl(Path::new(path), value)?;
        }
        Ok(Self { netns, socket })
    }

    /// Opens a socket in a namespace that exists. To be called on a thread of its own, as [`Namespace::create`].
    pub(crate) fn enter(netns: OwnedFd) -> io::Result<Self> {
        sys::netns::join(netns.as_fd())?;
        Ok(Self { netns, socket: RouteSocket::open()? })
    }
}

/// Runs `work` on a new thread and returns what it returns. The thread's namespace ends with it.
pub(crate) fn on_own_thread<T: Send>(
    action: &'static str,
    work: impl FnOnce() -> io::Result<T> + Send,
) -> Result<T, Error> {
    thread::scope(|scope| {
        let thread = thread::Builder::new()
            .name("netns".to_owned())
            .stack_size(128 * 1024)
            .spawn_scoped(scope, work)
            .map_err(|source| Error::Namespace { action, source })?;
        let result = thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        result.map_err(|source| Error::Namespace { action, source })
    })
}

/// Opens a configuration socket in the namespace behind `netns`.
pub(crate) fn open(netns: BorrowedFd<'_>) -> Result<Namespace, Error> {
    let failed = |source| Error::Namespace { action: "duplicate handle of", source };
    let netns = netns.try_clone_to_owned().map_err(failed)?;
    on_own_thread("enter", move || Namespace::enter(netns))
}

/// Whether the interfaces of a network have IPv6 addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ipv6 {
    Allowed,
    Forbidden,
}

/// Says what holds for interfaces that are made from now on. Router advertisements are ignored in any case.
pub(crate) fn set_ipv6(namespace: &Namespace, ipv6: Ipv6) -> Result<(), Error> {
    let disable = match ipv6 {
        Ipv6::Allowed => "0",
        Ipv6::Forbidden => "1",
    };
    on_own_thread("configure", || {
        sys::netns::join(namespace.netns.as_fd())?;
        write_sysctl(Path::new("/proc/sys/net/ipv6/conf/default/accept_ra"), "0")?;
        write_sysctl(Path::new("/proc/sys/net/ipv6/conf/default/disable_ipv6"), disable)
    })
}

/// Sets a kernel parameter of the calling thread's namespace. A kernel without IPv6 lacks those files, and needs nothing.
fn write_sysctl(path: &Path, value: &str) -> io::Result<()> {
    match fs::write(path, value) {
        Err(error) if error.kind() == io::ErrorKind::NotFound && path.starts_with("/proc/sys/net/ipv6") => {
            Ok(())
        }
        result => result,
    }
}
