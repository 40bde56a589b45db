//! Another machine on the wire, made of a network namespace.

use std::net::Ipv4Addr;

use crate::cli::{Command, Output};
use crate::engine::Engine;

/// A network namespace that a veth pair joins to the machine of the test. Removed when it is dropped.
#[derive(Debug)]
pub struct SecondHost {
    name: String,
    here: Ipv4Addr,
    there: Ipv4Addr,
}

impl SecondHost {
    /// Joins a new one. Its names and addresses are those of the engine's slot, so that each engine can have one.
    pub fn new(engine: &Engine) -> Self {
        let name = engine.slot().bridge();
        let [ten, second, third, _] = engine.slot().gateway().octets();
        let address = |host| Ipv4Addr::new(ten, second + 16, third, host);
        let host = Self { name, here: address(1), there: address(2) };
        // One that an interrupted test has left.
        ip(&["netns", "delete", &host.name]);
        ip(&["netns", "add", &host.name]).expect_ok();
        host.join();
        host
    }

    fn join(&self) {
        let wire = format!("{}w", self.name);
        let (here, there) = (format!("{}/30", self.here), format!("{}/30", self.there));
        let inner = |arguments: &[&str]| {
            ip(&[&["-n", self.name.as_str()], arguments].concat()).expect_ok();
        };
        ip(&["link", "add", &wire, "type", "veth", "peer", "name", "eth0", "netns", &self.name]).expect_ok();
        ip(&["address", "add", &here, "dev", &wire]).expect_ok();
        ip(&["link", "set", &wire, "up"]).expect_ok();
        inner(&["link", "set", "lo", "up"]);
        inner(&["address", "add", &there, "dev", "eth0"]);
        inner(&["link", "set", "eth0", "up"]);
    }

    /// The address by which it knows the machine of the test.
    pub fn here(&self) -> Ipv4Addr {
        self.here
    }

    /// Its own address.
    pub fn there(&self) -> Ipv4Addr {
        self.there
    }

    /// Lets it send what is for `network` to the machine of the test.
    pub fn route_here(&self, network: &str) {
        ip(&["-n", &self.name, "route", "replace", network, "via", &self.here.to_string()]).expect_ok();
    }

    /// Runs a shell script on it.
    pub fn sh(&self, script: &str) -> Output {
        self.command(script).run()
    }

    /// A shell script on it that has not been started.
    pub fn command(&self, script: &str) -> Command {
        Command::new("ip").args(["netns", "exec", &self.name, "sh", "-c", script])
    }
}

impl Drop for SecondHost {
    fn drop(&mut self) {
        let removed = ip(&["netns", "delete", &self.name]);
        // The other end of the wire goes with the namespace, in the kernel's own time.
        ip(&["link", "delete", &format!("{}w", self.name)]);
        assert!(removed.status == 0 || std::thread::panicking(), "{}", removed.stderr);
    }
}

fn ip(arguments: &[&str]) -> Output {
    Command::new("ip").args(arguments).run()
}
