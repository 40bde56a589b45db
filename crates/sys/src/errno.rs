//! System errors in the words that Docker's users and tools know.

use std::io;

use crate::Errno;

/// What an error is, as Go prints it: in lower case and without the number.
pub fn text(errno: Errno) -> String {
    let whole = io::Error::from(errno).to_string();
    let words = whole.rsplit_once(" (os error ").map_or(&*whole, |(words, _)| words);
    let mut characters = words.chars();
    characters.next().map(|first| first.to_lowercase().chain(characters).collect()).unwrap_or_default()
}

/// The same of an error of the standard library; what did not come from the system stays as it is.
pub fn io_text(error: &io::Error) -> String {
    match error.raw_os_error() {
        Some(code) => text(Errno::from_raw_os_error(code)),
        None => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_read_as_in_go() {
        for (errno, expected) in [
            (Errno::NOSPC, "no space left on device"),
            (Errno::NOENT, "no such file or directory"),
            (Errno::INVAL, "invalid argument"),
            (Errno::CONNREFUSED, "connection refused"),
        ] {
            assert_eq!(text(errno), expected);
        }
    }
}
