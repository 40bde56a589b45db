//! What is said over a control connection.

use oci::runtime::{LinuxResources, Process};
use serde::{Deserialize, Serialize};

use crate::config::{Config, StdinMode, User};
use crate::exit::{ExitRecord, ExitStatus};
use crate::service::{Service, ServiceKind};

/// A frame towards the supervisor.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Request {
    /// Chosen by the client; the reply carries it back.
    pub sequence: u64,
    /// How many file descriptors were sent with this frame.
    #[serde(default)]
    pub descriptors: u32,
    /// What is asked.
    pub body: RequestBody,
}

/// What a client can ask.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RequestBody {
    /// Creates the container, up to but without its program. Carries the network namespace, or none, and then
    /// the mounts of [`Config::opened`].
    /// Only the first request of a supervisor's life.
    Create(Box<Config>),
    /// Executes the container's program. The reply comes once `execve` has succeeded or failed.
    Start,
    /// Connects a client's socket (the one descriptor it carries) to a process. Allowed before `Start`, so that no output is missed.
    Attach(Attach),
    /// Runs a further process in the container. Carries the client's socket where `attach` is set.
    Exec(Box<ExecConfig>),
    /// Sends a signal.
    Signal {
        /// To whom.
        target: Target,
        /// The signal's number.
        signal: i32,
    },
    /// Kills every process of the container (`SIGKILL` to all of its cgroup).
    KillAll,
    /// Sets the size of a terminal.
    Resize {
        /// Whose.
        target: Target,
        /// Columns.
        width: u16,
        /// Rows.
        height: u16,
    },
    /// Freezes all processes of the container.
    Pause,
    /// Thaws them.
    Resume,
    /// Changes resource limits.
    Update(Box<LinuxResources>),
    /// Lists the process IDs of the container, as the host sees them.
    Processes,
    /// Asks for the state.
    State,
    /// Runs a server beside the container, or tells the one that runs something else. Carries the sockets that [`Service`]
    /// names. Allowed before `Start`, so that the program finds it.
    Serve(Service),
    /// Ends a supervisor whose container was created and will not be started.
    Delete,
}

/// A process of the container.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Target {
    /// The first one.
    Init,
    /// The one with this exec ID.
    Exec(String),
}

/// How a client's socket is connected.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Attach {
    /// To which process.
    pub target: Target,
    /// Whether what the client sends goes to standard input.
    pub stdin: bool,
    /// Whether standard output goes to the client.
    pub stdout: bool,
    /// Whether standard error goes to the client.
    pub stderr: bool,
    /// How output is framed.
    pub framing: Framing,
    /// The bytes that detach; empty is never. Looked for only where there is a terminal, as Docker does.
    pub detach_keys: Vec<u8>,
}

/// How output is written to an attached client.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Framing {
    /// As it is: terminals.
    Raw,
    /// Docker's stream frames: `[stream, 0, 0, 0, length as big-endian u32]`, then the bytes.
    Multiplexed,
}

/// A further process.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ExecConfig {
    /// The exec ID, 64 hexadecimal digits.
    pub exec_id: String,
    /// The process; what it leaves open (capabilities, limits, …) is not taken from the container.
    pub process: Process,
    /// The user as written, looked up inside the container.
    pub user: Option<User>,
    /// Whether its standard input is open.
    pub stdin: StdinMode,
    /// Whether it runs outside the container's limits on capabilities and system calls (`--privileged`).
    pub privileged: bool,
    /// The client to attach before it runs.
    pub attach: Option<Attach>,
}

/// A frame from the supervisor.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Message {
    /// The answer to a request.
    Reply {
        /// The request's number.
        sequence: u64,
        /// What came of it.
        result: Result<Reply, Failure>,
    },
    /// Something that happened, told to every connection.
    Event(Event),
}

/// What a request that succeeded answers.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reply {
    /// Nothing to say.
    Done,
    /// A process runs.
    Started {
        /// Its process ID as the host sees it.
        pid: i32,
        /// When, in nanoseconds since 1970 UTC.
        started_at: i64,
    },
    /// Answer to `Create`.
    Created {
        /// The process ID of the container's first process, not yet executing the program.
        pid: i32,
    },
    /// Answer to `Processes`.
    Processes(Vec<i32>),
    /// Answer to `State`.
    State(State),
}

/// The supervisor's view of its container.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct State {
    /// What it is doing.
    pub status: Status,
    /// Process ID of the first process; 0 where there is none.
    pub pid: i32,
    /// When it was started, nanoseconds since 1970 UTC.
    pub started_at: Option<i64>,
    /// How it ended, once it has.
    pub exit: Option<ExitRecord>,
    /// Further processes that run now, by exec ID, with their process IDs.
    pub execs: Vec<(String, i32)>,
    /// Servers that run beside the container.
    #[serde(default)]
    pub services: Vec<ServiceKind>,
}

/// What a container is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// Set up, its program not yet executed.
    Created,
    /// Running.
    Running,
    /// Frozen.
    Paused,
    /// Ended.
    Exited,
}

/// Something that happened.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Event {
    /// The container's first process ended. All output has been written; the exit record is on disk.
    Exited(ExitRecord),
    /// A further process ended, and all its output has been written.
    ExecExited {
        /// Which.
        exec_id: String,
        /// How.
        status: ExitStatus,
        /// When, nanoseconds since 1970 UTC.
        finished_at: i64,
    },
    /// The kernel killed a process of the container for want of memory.
    OutOfMemory,
    /// A client typed the detach keys.
    Detached(Target),
}

/// Why a request failed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// What kind of failure.
    pub kind: FailureKind,
    /// The text for people, as Docker words it.
    pub message: String,
}

/// The kinds of failure that a client treats differently.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FailureKind {
    /// The program does not exist (exit code 127).
    CommandNotFound,
    /// The program cannot be executed (exit code 126).
    NotExecutable,
    /// The process, or the exec ID, is not there.
    NotFound,
    /// The container is not in a state that allows it.
    Conflict,
    /// The request cannot be carried out as written (unknown user, bad mount, …).
    Invalid,
    /// Anything the kernel refused.
    System,
}
