//! All unsafe code of the project, behind safe wrappers: processes and pidfds, namespaces, mounts by file descriptor,
//! pseudo-terminals, paths resolved inside a root, copies of trees, atomic file writes, deferred deletion.
//!
//! Wrappers report the kernel's own [`Errno`]; whoever calls knows the subject (path, container, …) and adds it. Nothing
//! here knows of containers, specifications or formats.

pub mod allocator;
pub mod attributes;
pub mod bpf;
pub mod copy;
pub mod datagram;
pub mod detach;
pub mod errno;
pub mod file;
pub mod keyring;
pub mod message;
pub mod mount;
pub mod namespace;
pub mod netns;
pub mod network;
pub mod overlay;
pub mod probe;
pub mod process;
pub mod pty;
pub mod random;
pub mod root;
pub mod seccomp;
pub mod signalfd;
pub mod spawn;
pub mod title;
pub mod trash;

pub use rustix::io::Errno;

/// What a system call came to.
pub type Result<T> = std::result::Result<T, Errno>;
