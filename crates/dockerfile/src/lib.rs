//! The Dockerfile language. Pure: nothing is read, written or run.
//!
//! ```text
//! bytes ── syntax ──> Dockerfile ── plan ──> graph of what to do, configuration, warnings
//!                     directives,      └───> images whose configurations are needed first
//!                     stages, instructions,
//!                     each with its place
//! ```
//!
//! - [`syntax`] reads a file. Its words are as they are written; [`expand`] replaces variables in them.
//! - [`mount`] is `RUN --mount`.
//! - [`plan`] makes the graph of a build; a vertex has named inputs, so that a cache key can be made from it.
//! - [`lint`] is what checks find (`build --check`), [`ignore`] is `.dockerignore`.
//! - [`config`] changes an image's configuration, for builds, `commit --change` and `import --change`.
//! - [`Error`] says what is wrong in BuildKit's words, and shows where ([`source`]).
//!
//! It is not a builder: what reads contexts, runs commands and stores layers is above it.

pub mod config;
pub mod error;
pub mod expand;
#[cfg(feature = "fuzzing")]
pub mod fuzzing;
pub mod ignore;
pub mod lint;
pub mod mount;
pub mod plan;
mod quote;
pub mod source;
mod suggest;
pub mod syntax;

pub use config::apply_all;
pub use error::{Error, Problem};
pub use syntax::Dockerfile;
