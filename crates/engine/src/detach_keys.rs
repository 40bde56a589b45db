//! The keys that detach a client from a terminal.

use crate::error::Error;

/// Docker's default: Ctrl-P, Ctrl-Q.
const DEFAULT: [u8; 2] = [0x10, 0x11];

/// Reads a sequence such as `ctrl-p,ctrl-q` or `a,b`; empty is the default.
///
/// # Errors
///
/// A key that does not exist, in Docker's words.
pub(crate) fn parse(text: &str) -> Result<Vec<u8>, Error> {
    if text.is_empty() {
        return Ok(DEFAULT.to_vec());
    }
    text.split(',').map(|key| parse_key(key).ok_or_else(|| unknown(text, key))).collect()
}

fn unknown(text: &str, key: &str) -> Error {
    Error::invalid(format!("Invalid detach keys ({text}) provided: Unknown character: '{key}'"))
}

fn parse_key(key: &str) -> Option<u8> {
    if let [byte] = key.as_bytes() {
        return byte.is_ascii().then_some(*byte);
    }
    match key.strip_prefix("ctrl-")?.as_bytes() {
        [letter @ b'a'..=b'z'] => Some(letter - b'a' + 1),
        b"@" => Some(0),
        b"[" => Some(27),
        b"\\" => Some(28),
        b"]" => Some(29),
        b"^" => Some(30),
        b"_" => Some(31),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sequences_are_read() {
        assert_eq!(parse("").unwrap(), [0x10, 0x11]);
        assert_eq!(parse("ctrl-a,x,ctrl-\\").unwrap(), [1, b'x', 28]);
    }

    #[test]
    fn unknown_key_is_refused_by_name() {
        for text in ["ctrl-A", "ab", "ctrl-", "a,,b", "é"] {
            let message = parse(text).unwrap_err().to_string();
            assert!(message.starts_with(&format!("Invalid detach keys ({text})")), "{message}");
        }
    }
}
