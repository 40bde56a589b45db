//! The networks of an engine.

use std::os::fd::{BorrowedFd, OwnedFd};

use crate::config::Config;
use crate::endpoint::{EndpointInfo, EndpointRequest, Sandbox};
use crate::error::Error;
use crate::record::NetworkRecord;

/// The networks of an engine, and what they have in the kernel. Shared by reference between threads.
#[derive(Debug)]
pub struct Networks {
    config: Config,
}

impl Networks {
    /// Loads the networks, makes the predefined ones where they are missing, and brings bridges and rules into place.
    pub fn open(config: Config) -> Result<Self, Error> {
        Ok(Self { config })
    }

    /// All networks, in the order of their names.
    pub fn list(&self) -> Vec<NetworkRecord> {
        Vec::new()
    }

    /// The network with this name, ID, or unique beginning of an ID.
    pub fn inspect(&self, network: &str) -> Result<NetworkRecord, Error> {
        Err(Error::NotFound(network.to_owned()))
    }

    /// The endpoints of a network, by its ID.
    pub fn endpoints(&self, network_id: &str) -> Vec<EndpointInfo> {
        let _ = network_id;
        Vec::new()
    }

    /// Tells which endpoints are in use by running containers. Called once, before the first [`Networks::connect`].
    /// Interfaces on our bridges that belong to no endpoint are removed.
    pub fn restore(&self, endpoints: Vec<EndpointInfo>) -> Result<(), Error> {
        let _ = endpoints;
        Ok(())
    }

    /// Makes a network namespace that is connected to the network; on `none`, one with a loopback interface only.
    pub fn connect(&self, request: EndpointRequest) -> Result<Sandbox, Error> {
        let _ = &self.config;
        Err(Error::NotFound(request.network))
    }

    /// Connects a namespace that exists to a further network.
    pub fn attach(&self, request: EndpointRequest, netns: BorrowedFd<'_>) -> Result<EndpointInfo, Error> {
        let _ = netns;
        Err(Error::NotFound(request.network))
    }

    /// Takes the endpoint out of a namespace that lives on, and frees its address and ports.
    pub fn detach(&self, endpoint: &EndpointInfo, netns: BorrowedFd<'_>) -> Result<(), Error> {
        let _ = netns;
        self.release(endpoint);
        Ok(())
    }

    /// Frees the endpoint's address and ports. Its interfaces go with the namespace; nothing here waits for that.
    pub fn release(&self, endpoint: &EndpointInfo) {
        let _ = endpoint;
    }
}

/// The network namespace of a running process, for `--network container:…` and [`Networks::attach`].
pub fn namespace_of(pid: i32) -> Result<OwnedFd, Error> {
    let path = format!("/proc/{pid}/ns/net");
    let opened = std::fs::File::open(&path);
    opened.map(OwnedFd::from).map_err(|source| Error::File { action: "open", path: path.into(), source })
}
