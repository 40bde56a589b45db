//! A table of small Dockerfiles and what comes of them: the image's configuration, its history, its files, or the error.
//!
//! A file of the table is an area. What an engine makes of its cases is compared line by line with what is written there;
//! [`record`] writes it, from an engine whose builder is BuildKit. A case is text:
//!
//! ```text
//! === name-of-the-case
//! FROM scratch                          the Dockerfile
//! COPY a /x/
//! --- file a 0640 mtime=981173106       a file of the context; also owner=7:8, capability
//! its content
//! --- link l -> a                       also: hardlink, dir, archive, dockerignore
//! --- build --target one                arguments of `build`
//! --- expect dockerd 20.10              what comes of it, and who says so
//! Env $PATH "A=b"                       the configuration's members; $PATH is the usual PATH
//! layer COPY a /x/ # buildkit           an entry of the history with a layer, or an `empty` one
//! /x/a f 0640 0:0 "its content\n"       a path that differs from the base: kind, mode, owner, content
//! ```
//!
//! - Expectations are recorded where their source is an engine and its version. Others are written by hand (`written`), or
//!   amended (`dockerd 20.10 but …`): they are about what newer builders do.
//! - `--- dockerfile escaped` instead of the lines after the name: bytes with `\n`, `\x00`, …, where line ends are none.
//!   Files can be `escaped` too, or `base64`.
//! - `--- before name`: an image that is built first. `--- again [arguments]`: a second build, after the files behind it
//!   have been changed; then it is also told which files whose names begin with `/random` were `kept` and which `made`.
//! - `--- match text`: what the error says; several lines are alternatives. `--- needs session`: what Docker's classic
//!   client cannot ask for.
//! - Files up to 80 bytes of plain text are shown, others are a size and a digest. Times are shown where they are those of
//!   long ago, which a case has set. `⏎` is a newline in the history.

mod archive;
mod case;
mod compare;
mod context;
mod describe;
mod image;
mod record;
mod run;
mod tree;
mod words;

pub use compare::check;
pub use record::{Recorded, record};
pub use run::DEBIAN_CLIENT;
