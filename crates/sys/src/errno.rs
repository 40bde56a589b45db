//! System errors in the words that Docker's users and tools know.

use std::io;

use crate::Errno;

/// What an error is, as Go prints it: in lower case and without the number.
pub fn text(errno: Errno) -> String {
    let known = match errno {
        Errno::NOENT => "no such file or directory",
        Errno::ACCESS => "permission denied",
        Errno::PERM => "operation not permitted",
        Errno::ISDIR => "is a directory",
        Errno::NOTDIR => "not a directory",
        Errno::EXIST => "file exists",
        Errno::PIPE => "broken pipe",
        Errno::NOSPC => "no space left on device",
        Errno::CONNREFUSED => "connection refused",
        other => return io::Error::from(other).to_string(),
    };
    known.to_owned()
}
