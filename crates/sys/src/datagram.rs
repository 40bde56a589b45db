//! IPv6 packets of a socket that listens on several addresses, each with the address that it was sent to.

use std::mem::{MaybeUninit, size_of};
use std::net::{Ipv6Addr, SocketAddrV6};
use std::os::fd::{AsFd, AsRawFd};

use crate::{Errno, Result};

/// Room for one address in a packet's control data, with what comes before it. More than the kernel needs.
const CONTROL: usize = 64;

/// Where a packet came in: an address of this machine, and for link-local ones the interface, 0 for others.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Arrival {
    /// The address.
    pub address: Ipv6Addr,
    /// The interface's number.
    pub interface: u32,
}

/// A received packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Received {
    /// How many bytes it has; those that did not fit are lost.
    pub length: usize,
    /// Who sent it.
    pub from: SocketAddrV6,
    /// Where it came in; `None` unless [`want_arrivals`] was called before it came.
    pub arrival: Option<Arrival>,
}

#[repr(C, align(8))]
struct Control([u8; CONTROL]);

/// Lets a socket tell where packets come in.
///
/// # Errors
/// `EINVAL` for a socket that is not of IPv6.
pub fn want_arrivals(socket: impl AsFd) -> Result<()> {
    let on: libc::c_int = 1;
    // SAFETY: the value is an integer of the given size, which the option takes and which outlives the call.
    let result = unsafe {
        libc::setsockopt(
            socket.as_fd().as_raw_fd(),
            libc::IPPROTO_IPV6,
            libc::IPV6_RECVPKTINFO,
            (&raw const on).cast(),
            size_of::<libc::c_int>() as libc::socklen_t,
        )
    };
    check(result as isize).map(drop)
}

/// Takes a packet, if there is one.
///
/// # Errors
/// `EAGAIN` where there is none.
pub fn receive(socket: impl AsFd, buffer: &mut [u8]) -> Result<Received> {
    let mut name = MaybeUninit::<libc::sockaddr_in6>::zeroed();
    let mut control = Control([0; CONTROL]);
    let mut part = libc::iovec { iov_base: buffer.as_mut_ptr().cast(), iov_len: buffer.len() };
    let mut message = header(&mut part, &mut control, CONTROL);
    message.msg_name = name.as_mut_ptr().cast();
    message.msg_namelen = size_of::<libc::sockaddr_in6>() as libc::socklen_t;
    // SAFETY: every pointer in `message` is to a local that outlives the call, with its length beside it.
    let received = unsafe { libc::recvmsg(socket.as_fd().as_raw_fd(), &raw mut message, libc::MSG_DONTWAIT) };
    let length = check(received)?;
    // SAFETY: all bytes were zero, which is a valid value of this plain structure, or written by the kernel.
    let name = unsafe { name.assume_init() };
    if i32::from(name.sin6_family) != libc::AF_INET6 {
        return Err(Errno::AFNOSUPPORT);
    }
    let address = Ipv6Addr::from(name.sin6_addr.s6_addr);
    let from = SocketAddrV6::new(address, u16::from_be(name.sin6_port), 0, name.sin6_scope_id);
    Ok(Received { length, from, arrival: arrival(&message) })
}

/// Sends a packet from the address where another came in; `None` leaves the choice to the kernel.
///
/// # Errors
/// `EAGAIN` where there is no room for it, `EADDRNOTAVAIL` where the address is none of this machine's.
pub fn send(socket: impl AsFd, packet: &[u8], to: SocketAddrV6, source: Option<Arrival>) -> Result<()> {
    let mut name = libc::sockaddr_in6 {
        sin6_family: libc::AF_INET6 as libc::sa_family_t,
        sin6_port: to.port().to_be(),
        sin6_flowinfo: 0,
        sin6_addr: libc::in6_addr { s6_addr: to.ip().octets() },
        sin6_scope_id: to.scope_id(),
    };
    let mut control = Control([0; CONTROL]);
    let used = source.map_or(0, |source| write_source(&mut control, source));
    let mut part = libc::iovec { iov_base: packet.as_ptr().cast_mut().cast(), iov_len: packet.len() };
    let mut message = header(&mut part, &mut control, used);
    message.msg_name = (&raw mut name).cast();
    message.msg_namelen = size_of::<libc::sockaddr_in6>() as libc::socklen_t;
    // SAFETY: every pointer in `message` is to a local or to `packet`, which outlive the call and are only read by it.
    let sent = unsafe { libc::sendmsg(socket.as_fd().as_raw_fd(), &raw const message, libc::MSG_DONTWAIT) };
    check(sent).map(drop)
}

fn header(part: &mut libc::iovec, control: &mut Control, used: usize) -> libc::msghdr {
    // SAFETY: a plain structure of numbers and pointers, for which zero is a valid value.
    let mut message: libc::msghdr = unsafe { MaybeUninit::zeroed().assume_init() };
    message.msg_iov = part;
    message.msg_iovlen = 1;
    message.msg_control = if used == 0 { std::ptr::null_mut() } else { control.0.as_mut_ptr().cast() };
    message.msg_controllen = used;
    message
}

fn write_source(control: &mut Control, source: Arrival) -> usize {
    let information = libc::in6_pktinfo {
        ipi6_addr: libc::in6_addr { s6_addr: source.address.octets() },
        ipi6_ifindex: source.interface,
    };
    let size = size_of::<libc::in6_pktinfo>() as u32;
    // SAFETY: pure arithmetic. A header and this structure take 40 bytes, fewer than `CONTROL`; the buffer is aligned for
    // headers, so the first one is at its beginning and its data right after it.
    unsafe {
        let first = control.0.as_mut_ptr().cast::<libc::cmsghdr>();
        (*first).cmsg_len = libc::CMSG_LEN(size) as usize;
        (*first).cmsg_level = libc::IPPROTO_IPV6;
        (*first).cmsg_type = libc::IPV6_PKTINFO;
        libc::CMSG_DATA(first).cast::<libc::in6_pktinfo>().write_unaligned(information);
        libc::CMSG_SPACE(size) as usize
    }
}

fn arrival(message: &libc::msghdr) -> Option<Arrival> {
    // SAFETY: the kernel has filled the control data in and set its length; the macros stay within that.
    let mut next = unsafe { libc::CMSG_FIRSTHDR(message) };
    // SAFETY: the macros give null or a header within the control data.
    while let Some(part) = unsafe { next.as_ref() } {
        if (part.cmsg_level, part.cmsg_type) == (libc::IPPROTO_IPV6, libc::IPV6_PKTINFO) {
            // SAFETY: data of this type is such a structure.
            let found = unsafe { libc::CMSG_DATA(part).cast::<libc::in6_pktinfo>().read_unaligned() };
            let address = Ipv6Addr::from(found.ipi6_addr.s6_addr);
            // Elsewhere the way back is a question of routes.
            let interface = if address.is_unicast_link_local() { found.ipi6_ifindex } else { 0 };
            return Some(Arrival { address, interface });
        }
        // SAFETY: as for the first one.
        next = unsafe { libc::CMSG_NXTHDR(message, part) };
    }
    None
}

fn check(result: isize) -> Result<usize> {
    usize::try_from(result).map_err(|_| {
        Errno::from_io_error(&std::io::Error::last_os_error()).expect("an error of the operating system")
    })
}

#[cfg(test)]
mod tests {
    use std::net::UdpSocket;
    use std::time::Duration;

    use super::*;

    fn local(socket: &UdpSocket) -> SocketAddrV6 {
        match socket.local_addr().expect("bound") {
            std::net::SocketAddr::V6(address) => address,
            std::net::SocketAddr::V4(_) => unreachable!("bound to IPv6"),
        }
    }

    #[test]
    fn packet_has_its_sender_and_where_it_came_in() {
        let server = UdpSocket::bind("[::]:0").expect("bind");
        want_arrivals(&server).expect("the option");
        let client = UdpSocket::bind("[::1]:0").expect("bind");
        let mut buffer = [0; 8];
        assert_eq!(receive(&server, &mut buffer), Err(Errno::AGAIN));
        client.send_to(b"hello", ("::1", local(&server).port())).expect("send");
        let expected = Received {
            length: 5,
            from: local(&client),
            arrival: Some(Arrival { address: Ipv6Addr::LOCALHOST, interface: 0 }),
        };
        assert_eq!(receive(&server, &mut buffer), Ok(expected));
        assert_eq!(&buffer[..5], b"hello");
    }

    #[test]
    fn packet_is_sent_from_the_address_that_is_asked_for() {
        let server = UdpSocket::bind("[::]:0").expect("bind");
        let client = UdpSocket::bind("[::1]:0").expect("bind");
        client.set_read_timeout(Some(Duration::from_secs(5))).expect("a limit");
        let source =
            |address: &str| Some(Arrival { address: address.parse().expect("an address"), interface: 0 });
        send(&server, b"one", local(&client), source("::1")).expect("sent");
        let mut buffer = [0; 8];
        let (length, from) = client.recv_from(&mut buffer).expect("received");
        assert_eq!((&buffer[..length], from.ip().to_string().as_str()), (b"one".as_slice(), "::1"));
        // An address that is nobody's here.
        assert!(send(&server, b"two", local(&client), source("2001:db8::9")).is_err());
    }
}
