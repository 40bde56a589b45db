//! The Engine API over HTTP, and the daemon that serves it.
//!
//! Requests come in on unix sockets and TCP ports ([`http`]), are matched to what they ask for ([`routes`]) and done by
//! the engine, the images, the networks and the registries, which know nothing of each other or of HTTP. What goes wrong
//! becomes a status in one place ([`error`]). [`daemon`] puts it all together.
//!
//! It is *not* where anything is decided about containers: that is `engine`.
//!
//! # Disk
//!
//! | path | what |
//! |---|---|
//! | `<data root>/engine.lock` | held by the one engine that uses this data root |
//! | `<exec root>/engine.pid` or `--pidfile` | its process ID |

pub mod daemon;
pub mod error;
mod host;
pub mod http;
pub mod routes;
