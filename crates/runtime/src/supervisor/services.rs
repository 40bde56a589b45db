//! Servers that run in the supervisor's loop beside the container.
//!
//! Each one implements [`Service`] and has a field in [`Services`], a kind in the contract ([`ServiceKind`]), and with it a
//! token of its own in the poll set. It registers its sockets with numbers of its choice and is called when one of them is
//! ready or when its deadline has come. It must never block: the container's output waits meanwhile.

use std::fmt::Debug;
use std::os::fd::OwnedFd;
use std::rc::Rc;
use std::time::Instant;

use rustix::event::epoll::EventFlags;
use shim::{Failure, ServiceKind};

use super::names::NameServer;
use super::netns::Networks;
use super::poll::Poll;
use super::relay::Relay;
use super::requests::system;

/// A server in the loop.
pub(super) trait Service: Debug {
    /// One of its sockets is ready, by the number it was registered with. It may have been closed a moment ago.
    fn ready(&mut self, poll: &Poll, number: u32, flags: EventFlags);

    /// When [`Service::tick`] is to be called at the latest.
    fn deadline(&self) -> Option<Instant>;

    /// Does what is due by time.
    fn tick(&mut self, poll: &Poll, now: Instant);

    /// Gives memory back that is easily had again: nothing has happened for a while.
    fn release(&mut self);
}

/// The servers of one supervisor. They end when it is dropped.
#[derive(Debug, Default)]
pub(super) struct Services {
    networks: Option<Rc<Networks>>,
    names: Option<NameServer>,
    relay: Option<Relay>,
}

impl Services {
    /// Starts a server, or tells the one that runs something else.
    pub(super) fn configure(
        &mut self,
        poll: &Poll,
        service: shim::Service,
        sockets: Vec<OwnedFd>,
        pid: i32,
    ) -> Result<(), Failure> {
        match (service, &mut self.names) {
            (shim::Service::Names(told), Some(names)) => names.configure(told),
            (shim::Service::Names(told), None) => {
                self.names = Some(NameServer::start(poll, self.networks(pid)?, told, sockets)?);
            }
            (shim::Service::Relay(told), _) => {
                self.relay.get_or_insert_default().configure(poll, told, sockets)?;
            }
        }
        Ok(())
    }

    /// Which servers run.
    pub(super) fn kinds(&self) -> Vec<ServiceKind> {
        let names = self.names.iter().map(|_| ServiceKind::Names);
        names.chain(self.relay.iter().map(|_| ServiceKind::Relay)).collect()
    }

    pub(super) fn ready(&mut self, poll: &Poll, kind: ServiceKind, number: u32, flags: EventFlags) {
        let service: Option<&mut dyn Service> = match kind {
            ServiceKind::Names => self.names.as_mut().map(|names| names as _),
            ServiceKind::Relay => self.relay.as_mut().map(|relay| relay as _),
        };
        if let Some(service) = service {
            service.ready(poll, number, flags);
        }
    }

    /// The earliest deadline of all.
    pub(super) fn deadline(&self) -> Option<Instant> {
        let names = self.names.as_ref().and_then(Service::deadline);
        names.into_iter().chain(self.relay.as_ref().and_then(Service::deadline)).min()
    }

    pub(super) fn tick(&mut self, poll: &Poll, now: Instant) {
        self.each().for_each(|service| service.tick(poll, now));
    }

    pub(super) fn release(&mut self) {
        self.each().for_each(|service| service.release());
    }

    fn each(&mut self) -> impl Iterator<Item = &mut dyn Service> {
        let names = self.names.iter_mut().map(|names| names as &mut dyn Service);
        names.chain(self.relay.iter_mut().map(|relay| relay as &mut dyn Service))
    }

    /// The namespaces of this process and of the container, opened for the first server that needs them.
    fn networks(&mut self, pid: i32) -> Result<Rc<Networks>, Failure> {
        if let Some(networks) = &self.networks {
            return Ok(Rc::clone(networks));
        }
        let opened = Networks::open(pid).map_err(|error| system("open the network namespace", error))?;
        Ok(Rc::clone(self.networks.insert(Rc::new(opened))))
    }
}
