//! Sandboxes that are prepared before somebody asks for them.
//!
//! Making a namespace and a veth pair costs milliseconds, most of them spent under a lock of the kernel's. A thread does
//! it ahead: what is left for the start of a container is an address and a route. How many are kept ready follows the
//! load: one more with every start that found none, one less with every quiet period.
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
/// Kept ready from the start.
const INITIAL: usize = 2;

/// A namespace with its interface on the bridge, both ends up, without an address.
#[derive(Debug)]
pub(crate) struct Prepared {
    pub(crate) namespace: Namespace,
    pub(crate) host_interface: String,
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
    target: usize,
    limit: usize,
    last_request: Instant,
    stopped: bool,
}

impl SandboxPool {
    /// Starts the thread that prepares sandboxes with an interface of this name, at most `limit` of them.
    pub(crate) fn start(port: Port, interface: &'static str, limit: usize) -> io::Result<Self> {
        let state = State {
            ready: VecDeque::new(),
            target: INITIAL.min(limit),
            limit,
            last_request: Instant::now(),
            stopped: false,
        };
        let shared = Arc::new(Shared { state: Mutex::new(state), changed: Condvar::new() });
        let mut worker = Worker {
            shared: Arc::clone(&shared),
            home: sys::netns::current()?,
            host: RouteSocket::open()?,
            port,
            interface,
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
    port: Port,
    interface: &'static str,
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
            if state.last_request.elapsed() >= QUIET && state.target > INITIAL.min(state.limit) {
                let target = state.target - 1;
                state.target = target;
                state.ready.truncate(target);
            }
        }
    }

    fn prepare(&mut self) -> io::Result<Prepared> {
        let mut namespace = Namespace::create()?;
        let host_interface = id::random_interface();
        self.host.create_veth(&VethRequest {
            name: &host_interface,
            bridge: self.port.bridge,
            peer: self.interface,
            netns: namespace.netns.as_fd(),
            mac: None,
            mtu: self.port.mtu,
        })?;
        let link = namespace.socket.link(self.interface)?.ok_or(io::ErrorKind::NotFound)?;
        namespace.socket.raise(link.index)?;
        self.host.await_carrier(&host_interface)?;
        Ok(Prepared { namespace, host_interface })
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
