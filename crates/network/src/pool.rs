//! Sandboxes that are prepared before somebody asks for them.
//!
//! Making a namespace and a veth pair costs milliseconds, most of them spent under a lock of the kernel's. A thread does
//! it ahead: what is left for the start of a container is an address and a route. How many are kept ready follows the
//! load: one more with every start that found none, one less with every quiet period.
//!
//! There are two pools: one of sandboxes on the default bridge, and one of bare namespaces, which are all that a container
//! without a network needs, and the larger part of what a container on another network does.
//!
//! A prepared sandbox is a descriptor of this process like any other. When the engine ends, in whatever way, the kernel
//! removes those that nobody took.

use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use crate::id;
use crate::link::VethRequest;
use crate::namespace::Namespace;
use crate::netlink::RouteSocket;
use crate::sandbox::Port;

/// How long a container that has just got a sandbox is left alone to start, while there are others.
const SETTLE: Duration = Duration::from_millis(10);

/// After this time without a request fewer are kept.
const QUIET: Duration = Duration::from_secs(30);
/// After a failure the thread waits this long: whoever needs a sandbox now makes it without the pool.
const PAUSE: Duration = Duration::from_secs(1);

/// A namespace with its loopback interface up.
#[derive(Debug)]
pub(crate) struct Prepared {
    pub(crate) namespace: Namespace,
    /// The outer end of the interface that it has on the bridge, both ends up, without an address.
    pub(crate) host_interface: Option<String>,
}

/// What the sandboxes of a pool have besides the loopback interface.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Plugged {
    pub(crate) port: Port,
    /// The name inside.
    pub(crate) interface: &'static str,
}

/// What the pool has at this moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PoolStatus {
    /// Sandboxes that are ready.
    pub ready: usize,
    /// How many are kept ready at the present load.
    pub target: usize,
    /// How many are kept ready at most.
    pub limit: usize,
}

/// The prepared sandboxes of one bridge.
#[derive(Debug)]
pub(crate) struct SandboxPool {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug)]
struct State {
    ready: VecDeque<Prepared>,
    /// Kept ready from the start.
    initial: usize,
    target: usize,
    limit: usize,
    last_request: Instant,
    stopped: bool,
}

impl SandboxPool {
    /// Starts the thread that prepares sandboxes: `initial` of them at once, at most `limit`.
    pub(crate) fn start(plugged: Option<Plugged>, initial: usize, limit: usize) -> io::Result<Self> {
        let initial = initial.min(limit);
        let state = State {
            ready: VecDeque::new(),
            initial,
            target: initial,
            limit,
            last_request: Instant::now(),
            stopped: false,
        };
        let shared = Arc::new(Shared { state: Mutex::new(state), changed: Condvar::new() });
        let mut worker = Worker {
            shared: Arc::clone(&shared),
            home: sys::netns::current()?,
            host: RouteSocket::open()?,
            plugged,
        };
        thread::Builder::new().name("sandbox-pool".to_owned()).spawn(move || worker.run())?;
        Ok(Self { shared })
    }

    /// Takes a prepared sandbox; `None` where none is ready.
    pub(crate) fn take(&self) -> Option<Prepared> {
        let mut state = self.shared.lock();
        state.last_request = Instant::now();
        let taken = state.ready.pop_front();
        if taken.is_none() {
            state.target = (state.target + 1).min(state.limit);
        }
        self.shared.changed.notify_one();
        taken
    }

    pub(crate) fn status(&self) -> PoolStatus {
        let state = self.shared.lock();
        PoolStatus { ready: state.ready.len(), target: state.target, limit: state.limit }
    }

    /// Gives up what is ready and ends the thread.
    pub(crate) fn stop(&self) {
        let mut state = self.shared.lock();
        state.stopped = true;
        state.ready.clear();
        self.shared.changed.notify_one();
    }
}

impl Drop for SandboxPool {
    fn drop(&mut self) {
        self.stop();
    }
}

impl Shared {
    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What the thread does next.
enum Step {
    Prepare,
    End,
}

struct Worker {
    shared: Arc<Shared>,
    /// The namespace in which the thread started.
    home: OwnedFd,
    host: RouteSocket,
    plugged: Option<Plugged>,
}

impl Worker {
    fn run(&mut self) {
        while let Step::Prepare = self.wait() {
            match self.prepare() {
                Ok(prepared) => self.add(prepared),
                Err(error) => {
                    tracing::debug!(%error, "a sandbox could not be prepared");
                    self.pause();
                }
            }
            // A thread that cannot go home would make everything it does from here in the wrong place.
            if let Err(error) = sys::netns::join(self.home.as_fd()) {
                tracing::warn!(%error, "the sandbox pool ends: its thread cannot leave a namespace");
                return;
            }
        }
    }

    fn wait(&self) -> Step {
        let mut state = self.shared.lock();
        loop {
            if state.stopped {
                return Step::End;
            }
            if state.ready.len() < state.target {
                let since = state.last_request.elapsed();
                if state.ready.is_empty() || since >= SETTLE {
                    return Step::Prepare;
                }
                state = self
                    .shared
                    .changed
                    .wait_timeout(state, SETTLE - since)
                    .unwrap_or_else(PoisonError::into_inner)
                    .0;
                continue;
            }
            state = self.shared.changed.wait_timeout(state, QUIET).unwrap_or_else(PoisonError::into_inner).0;
            if state.last_request.elapsed() >= QUIET && state.target > state.initial {
                let target = state.target - 1;
                state.target = target;
                state.ready.truncate(target);
            }
        }
    }

    fn prepare(&mut self) -> io::Result<Prepared> {
        let mut namespace = Namespace::create()?;
        let plugged = self.plugged;
        let host_interface = plugged.map(|plugged| self.plug(&mut namespace, plugged)).transpose()?;
        Ok(Prepared { namespace, host_interface })
    }

    /// Returns the name of the outer end.
    fn plug(&mut self, namespace: &mut Namespace, plugged: Plugged) -> io::Result<String> {
        let host_interface = id::random_interface();
        self.host.create_veth(&VethRequest {
            name: &host_interface,
            bridge: plugged.port.bridge,
            peer: plugged.interface,
            netns: namespace.netns.as_fd(),
            mac: None,
            mtu: plugged.port.mtu,
        })?;
        let link = namespace.socket.link(plugged.interface)?.ok_or(io::ErrorKind::NotFound)?;
        namespace.socket.raise(link.index)?;
        self.host.await_carrier(&host_interface)?;
        self.host.await_carrier_of(plugged.port.bridge)?;
        Ok(host_interface)
    }

    fn add(&self, prepared: Prepared) {
        let mut state = self.shared.lock();
        if !state.stopped {
            state.ready.push_back(prepared);
        }
    }

    fn pause(&self) {
        let state = self.shared.lock();
        drop(self.shared.changed.wait_timeout(state, PAUSE));
    }
}
