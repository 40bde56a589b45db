//! Router advertisements that somebody on the bridge sends.

use std::net::{Ipv6Addr, SocketAddr, SocketAddrV6};
use std::os::fd::{AsFd, BorrowedFd};
use std::time::Duration;

use network::{EndpointRequest, NetworkRequest, Sandbox};
use rustix::net::{AddressFamily, SendFlags, SocketType, ipproto, sendto, socket, sockopt};

use crate::support::{Engine, eventually, inside, on_machine, request, run};

/// Announces a router and the prefix 2001:db8:7::/64 to everybody on the link of `eth0`.
fn advertise(netns: BorrowedFd<'_>) {
    let lifetime = 1800u32.to_be_bytes();
    let prefix: Ipv6Addr = "2001:db8:7::".parse().unwrap();
    // Type 134, then hop limit 64, no flags, the router's lifetime in seconds, and no times of its own.
    let mut message = vec![134, 0, 0, 0, 64, 0, 7, 8, 0, 0, 0, 0, 0, 0, 0, 0];
    // Prefix information: on-link, and to be used for addresses.
    message.extend([3, 4, 64, 0xc0]);
    message.extend([lifetime, lifetime, [0; 4]].concat());
    message.extend(prefix.octets());
    inside(netns, || {
        let index = run("cat", &["/proc/net/if_inet6"]);
        let line = index.lines().find(|line| line.ends_with("eth0")).expect("a link-local address");
        let index = u32::from_str_radix(line.split_whitespace().nth(1).unwrap(), 16).unwrap();
        let raw = socket(AddressFamily::INET6, SocketType::RAW, Some(ipproto::ICMPV6)).expect("a raw socket");
        sockopt::set_ipv6_multicast_hops(&raw, 255).expect("255 hops");
        let everybody = SocketAddr::V6(SocketAddrV6::new("ff02::1".parse().unwrap(), 0, 0, index));
        // Refused while the kernel still looks whether somebody else has the address; then it is sent again.
        let _ = sendto(&raw, &message, SendFlags::empty(), &everybody);
    });
}

fn container(engine: &Engine, network: &str, name: &str) -> Sandbox {
    let request = EndpointRequest { network: network.to_owned(), ..request(name) };
    engine.networks.connect(request).expect("connect")
}

fn set(netns: BorrowedFd<'_>, parameters: &[(&str, &str)]) {
    inside(netns, || {
        for (name, value) in parameters {
            std::fs::write(format!("/proc/sys/net/ipv6/conf/eth0/{name}"), value).expect("set a parameter");
        }
    });
}

fn addresses(netns: BorrowedFd<'_>) -> String {
    // An address that is still being looked for is the same address.
    inside(netns, || run("ip", &["-6", "-o", "address", "show", "dev", "eth0"])).replace(" tentative", "")
}

fn routes(netns: BorrowedFd<'_>) -> String {
    inside(netns, || run("ip", &["-6", "route", "show", "default"]))
}

/// Somebody on the network advertises; who listens gets an address, and `victim` must not.
fn advertise_to(engine: &Engine, network: &str, victim: &Sandbox) {
    let (router, listener) = (container(engine, network, "router"), container(engine, network, "listener"));
    for sandbox in [&router, &listener] {
        set(sandbox.netns.as_fd(), &[("accept_ra", "2"), ("disable_ipv6", "0")]);
    }
    let before = (addresses(victim.netns.as_fd()), routes(victim.netns.as_fd()));
    eventually("the listener has an address", || {
        if addresses(router.netns.as_fd()).contains("fe80:") {
            advertise(router.netns.as_fd());
        }
        addresses(listener.netns.as_fd()).contains("2001:db8:7:")
    });
    std::thread::sleep(Duration::from_millis(200));
    assert_eq!((addresses(victim.netns.as_fd()), routes(victim.netns.as_fd())), before);
}

#[test]
fn network_without_ipv6_ignores_advertisements() {
    on_machine(|| {
        let engine = Engine::new();
        let victim = container(&engine, "bridge", "victim");
        assert_eq!(addresses(victim.netns.as_fd()), "");
        advertise_to(&engine, "bridge", &victim);
        assert_eq!(addresses(victim.netns.as_fd()), "");
        assert!(!run("ip", &["-6", "-o", "address"]).contains("2001:db8:7:"), "the host listens");
    });
}

#[test]
fn network_with_ipv6_ignores_advertisements() {
    on_machine(|| {
        let engine = Engine::new();
        let mut request = NetworkRequest::new("dual");
        request.enable_ipv6 = Some(true);
        engine.networks.create(request).expect("create the network");
        let victim = container(&engine, "dual", "victim");
        assert!(addresses(victim.netns.as_fd()).contains("inet6 fd"));
        advertise_to(&engine, "dual", &victim);
        assert!(!run("ip", &["-6", "-o", "address"]).contains("2001:db8:7:"), "the host listens");
    });
}
