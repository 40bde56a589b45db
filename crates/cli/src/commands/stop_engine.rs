//! `system stop`: ends the engine of this machine. Containers run on.

use std::os::unix::net::UnixStream;
use std::time::Duration;

use client::Host;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

use crate::app::App;
use crate::command::{Arity, Leaf};
use crate::failure::{Failure, io_text};
use crate::flag::NoOptions;

const LIMIT: Duration = Duration::from_secs(30);

/// Ends the engine.
pub(crate) struct StopEngine;

impl Leaf for StopEngine {
    type Options = NoOptions;
    const NAME: &'static str = "stop";
    const ABOUT: &'static str = "Stop the engine of this machine; containers run on";
    const USAGE: &'static str = "";
    const ARITY: Arity = Arity::None;

    fn run(app: &App, _: NoOptions, _: Vec<String>) -> Result<(), Failure> {
        let target = app.target()?;
        let Host::Unix(socket) = &target.host else {
            return Err(Failure::message(format!("{} is not an engine of this machine", target.host)));
        };
        let fail = |what: &str, error: std::io::Error| {
            Failure::message(format!(
                "cannot stop the engine at {}: {what}: {}",
                target.host,
                io_text(&error)
            ))
        };
        let Ok(stream) = UnixStream::connect(socket) else {
            return Err(Failure::message(format!("no engine answers at {}", target.host)));
        };
        // Whoever listens on the socket is the engine.
        let peer = rustix::net::sockopt::socket_peercred(&stream)
            .map_err(|error| fail("its process", error.into()))?;
        let engine =
            pidfd_open(peer.pid, PidfdFlags::empty()).map_err(|error| fail("its process", error.into()))?;
        pidfd_send_signal(&engine, Signal::TERM).map_err(|error| fail("the signal", error.into()))?;
        drop(stream);
        let limit = Timespec { tv_sec: LIMIT.as_secs() as i64, tv_nsec: 0 };
        match poll(&mut [PollFd::new(&engine, PollFlags::IN)], Some(&limit)) {
            Ok(0) => Err(Failure::message(format!("the engine at {} did not end in time", target.host))),
            Ok(_) => Ok(()),
            Err(error) => Err(fail("waiting", error.into())),
        }
    }
}
