//! What the end-to-end tests and the benchmarks stand on: private engines, real clients, base images, a real registry.
//!
//! Each [`Engine`] has its own socket, data root, exec root, process file, cgroup, bridge and subnet, all below one
//! temporary directory or named after one [`Slot`], so that any number of them run side by side and beside an engine the
//! machine uses for itself. When it is dropped, its containers are removed, it is stopped by its process ID, and whatever
//! is still there of it is a failure of the test ([`leak`]).
//!
//! The same test runs against Corten, against Debian's dockerd (`CORTEN_TEST_ENGINE=reference`) and against an engine
//! that `DOCKER_HOST` names; and with each [`Client`]: the `docker` of the machine and Corten's own command line.
//!
//! Tests need root and the Debian packages that `cargo xtask test` installs. Base images are made once, in
//! `$CORTEN_TEST_CACHE` or `/var/cache/corten-test`.
//!
//! This crate is for tests: its functions panic, with all that is known, where an ordinary library returns an error.

pub mod archive;
pub mod bed;
pub mod certificates;
pub mod cli;
pub mod conformance;
pub mod engine;
pub mod git;
pub mod http;
pub mod images;
pub mod leak;
pub mod pty;
pub mod registry;
mod second_host;
mod slot;
mod wait;
pub mod web;

pub use bed::Bed;
pub use cli::{Client, Command, Output};
pub use engine::{Engine, Kind};
pub use second_host::SecondHost;
pub use slot::Slot;
pub use wait::{eventually, wait_for_exit};
