//! What a build needs of an engine.

use std::any::Any;
use std::os::fd::OwnedFd;
use std::path::PathBuf;

use api::build::Limits;
use futures_util::future::BoxFuture;
use oci::{Platform, Reference};
use registry::{Credentials, ProgressSink, Registry};

use crate::error::Failure;
use crate::execute::WritableLayer;

/// What a build needs of an engine. Dropping a future cancels what it does.
pub trait Host: Send + Sync + 'static {
    /// Runs a command to its end; then nothing of it runs any more.
    fn run(&self, command: Command) -> BoxFuture<'static, Result<CommandEnd, Failure>>;

    /// The client that files at addresses are fetched with.
    fn registry(&self) -> &Registry;

    /// The credentials that the client has for a registry.
    fn credentials(&self, domain: &str) -> Option<Credentials>;

    /// Brings an image that is not here, or a newer one of its name, for a platform.
    fn pull(
        &self,
        reference: Reference,
        platform: Platform,
        progress: ProgressSink,
    ) -> BoxFuture<'static, Result<(), Failure>>;
}

/// A command of a build.
#[derive(Debug)]
pub struct Command {
    /// What it writes to.
    pub layer: WritableLayer,
    /// Program and arguments.
    pub arguments: Vec<String>,
    /// `NAME=value`.
    pub environment: Vec<String>,
    /// Where it runs.
    pub working_dir: String,
    /// `user[:group]`; empty: the superuser.
    pub user: String,
    /// `default`, `none`, `host`, or the name of a network.
    pub network: String,
    /// `name:address`.
    pub extra_hosts: Vec<String>,
    /// What it may use.
    pub limits: Limits,
    /// Files and folders of the host that it sees.
    pub binds: Vec<CommandBind>,
    /// Mounts that it sees.
    pub mounts: Vec<CommandMount>,
    /// Folders in memory: path, and bytes that it may have (0: no limit).
    pub temporary: Vec<(String, i64)>,
    /// A stream socket for its output, in Docker's frames.
    pub output: OwnedFd,
    /// What has to be there for as long as anything of it runs, also where nobody waits for its end any more.
    pub held: Box<dyn Any + Send>,
}

/// A file or folder of the host that a command sees.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommandBind {
    /// Where it is on the host.
    pub source: PathBuf,
    /// Where the command sees it.
    pub target: String,
    /// Whether it cannot be written.
    pub is_read_only: bool,
}

/// A mount that is attached nowhere, and that a command sees.
#[derive(Debug)]
pub struct CommandMount {
    /// Its descriptor.
    pub mount: OwnedFd,
    /// Where the command sees it.
    pub target: String,
    /// Whether it cannot be written.
    pub is_read_only: bool,
}

/// How a command ended.
#[derive(Debug)]
pub struct CommandEnd {
    /// What it wrote to; nobody writes to it any more.
    pub layer: WritableLayer,
    /// Its exit code.
    pub exit_code: i32,
    /// Whether a process was killed because memory was short.
    pub out_of_memory: bool,
}
