//! Why files could not be selected or copied.

use dockerfile::ignore::IgnoreError;
use sys::Errno;

/// Why files could not be selected or copied.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A source is not there, or a `.dockerignore` hides it.
    #[error("{path:?}: not found")]
    NotFound {
        /// As it was asked for.
        path: String,
    },
    /// A source has a wildcard that is none.
    #[error("syntax error in pattern {pattern:?}")]
    Pattern {
        /// The pattern.
        pattern: String,
    },
    /// A pattern of `--exclude` or `--parents` is none.
    #[error("invalid pattern of {flag}: {source}")]
    Filter {
        /// The flag.
        flag: &'static str,
        /// What is wrong.
        source: IgnoreError,
    },
    /// A source is something else than when its contents were looked at. To look again helps.
    #[error("{path:?} was changed while it was read")]
    Changed {
        /// Where in its tree.
        path: String,
    },
    /// A source is a socket, which no layer can have.
    #[error("{path:?} is a socket")]
    Socket {
        /// As it was asked for.
        path: String,
    },
    /// A name that means something else in a layer.
    #[error("{path:?} cannot be in a layer: names that begin with .wh. stand for deleted files")]
    Whiteout {
        /// Where it was to be made.
        path: String,
    },
    /// Something that is no folder is where a folder has to be.
    #[error("cannot copy to non-directory: {path}")]
    NotFolder {
        /// What is in the way.
        path: String,
    },
    /// A folder is where a file has to be.
    #[error("cannot replace to directory {path} with file")]
    IsFolder {
        /// The folder.
        path: String,
    },
    /// The owner is not known in the root file system.
    #[error(
        "unable to convert uid/gid chown string to host mapping: can't find uid for user {name}: no such user: {name}"
    )]
    User {
        /// The name.
        name: String,
    },
    /// The group is not known in the root file system.
    #[error(
        "unable to convert uid/gid chown string to host mapping: can't find gid for group {name}: no such group: {name}"
    )]
    Group {
        /// The name.
        name: String,
    },
    /// A number that no user or group can have.
    #[error("uids and gids must be in range 0-{}", oci::user::MAX_ID)]
    Range,
    /// A source cannot be read.
    #[error("{action} {path:?}: {}", sys::errno::text(*.errno))]
    Read {
        /// What was tried.
        action: &'static str,
        /// Where in its tree.
        path: String,
        /// What the system says.
        errno: Errno,
    },
    /// The layer cannot be written, or what is below it cannot be read.
    #[error("{action} {path}: {}", sys::errno::text(*.errno))]
    Write {
        /// What was tried.
        action: &'static str,
        /// Where in the root file system.
        path: String,
        /// What the system says.
        errno: Errno,
    },
    /// An archive cannot be unpacked.
    #[error("unpack {path:?}: {source}")]
    Archive {
        /// Where in its tree.
        path: String,
        /// What is wrong with it.
        source: crate::archive::Error,
    },
}

/// An error at a place of a source's tree.
pub(super) fn read(action: &'static str, path: &[u8]) -> impl FnOnce(Errno) -> Error {
    move |errno| Error::Read { action, path: text(path), errno }
}

/// An error at a place of the root file system.
pub(super) fn write(action: &'static str, path: &[u8]) -> impl FnOnce(Errno) -> Error {
    move |errno| Error::Write { action, path: absolute(path), errno }
}

/// A path as people are told it.
pub(super) fn text(path: &[u8]) -> String {
    String::from_utf8_lossy(path).into_owned()
}

/// The same from the root on.
pub(super) fn absolute(path: &[u8]) -> String {
    format!("/{}", String::from_utf8_lossy(path).trim_start_matches('/'))
}
