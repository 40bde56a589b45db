//! The command line: `docker`'s commands, flags, outputs and exit codes.
//!
//! ```text
//! main -> global flags -> command::dispatch -> commands::<one file each> -> client -> the engine
//! ```
//!
//! | part | what it knows |
//! |---|---|
//! | `flag`, `command` | pflag's and cobra's rules for command lines; tables of flags that cost nothing until they are used |
//! | `opts`, `container_options` | the values of flags, and the request that `run` and `create` make of them |
//! | `format`, `text` | Go templates, tables, sizes, ages |
//! | `terminal`, `stream` | raw mode, signals, size; the copies between an attached container and the user |
//! | `config`, `autostart`, `app` | where the engine is, and that it runs |
//! | `outline`, `upload` | archives on their way to the engine, without what it has |
//! | `build` | what a build asks of which engine, and what is seen of it |
//! | `manifests` | lists of images in the making, kept as `docker` keeps them |
//! | `commands` | one file each |
//!
//! It is *not* an engine: whatever it does, it does through the API. The exception is `manifest`, which speaks to registries
//! itself, with the credentials of the user and without an engine, as `docker manifest` does.

mod app;
mod autostart;
mod build;
mod command;
mod commands;
mod config;
mod container_options;
mod credentials;
mod failure;
mod flag;
mod format;
mod manifests;
mod opts;
mod outline;
mod output_file;
mod progress;
mod root;
mod stream;
mod terminal;
mod text;
mod upload;
mod when;

pub use root::main;
