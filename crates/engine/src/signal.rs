//! Signals as the API names them.

use crate::error::Error;

/// `SIGKILL`.
pub(crate) const KILL: i32 = 9;
/// `SIGTERM`.
pub(crate) const TERM: i32 = 15;

/// The number of a signal: `9`, `KILL`, `SIGKILL`, `RTMIN+3`, in any case.
///
/// # Errors
///
/// [`Error::InvalidParameter`] in Docker's words.
pub fn parse(text: &str) -> Result<i32, Error> {
    oci::signal::parse(text).ok_or_else(|| Error::invalid(format!("invalid signal: {text}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn anything_else_is_refused_by_name() {
        for text in ["", "0", "-1", "65", "FOO", "RTMIN-1", "RTMIN+31", "SIG"] {
            assert_eq!(parse(text).unwrap_err().to_string(), format!("invalid signal: {text}"));
        }
    }
}
