//! The key sequence that leaves a container running: `ctrl-p,ctrl-q` unless told otherwise.

use std::str::FromStr;

use thiserror::Error;

/// The bytes that detach.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct DetachKeys(Vec<u8>);

/// A key that has no code.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("Unknown character: '{0}'")]
pub(crate) struct UnknownKey(String);

impl Default for DetachKeys {
    fn default() -> Self {
        Self(vec![16, 17])
    }
}

impl FromStr for DetachKeys {
    type Err = UnknownKey;

    /// Reads keys separated by commas: a character, or `ctrl-` and one of `a-z @ [ \ ] ^ _`.
    fn from_str(text: &str) -> Result<Self, UnknownKey> {
        if text.is_empty() {
            return Ok(Self::default());
        }
        text.split(',')
            .map(|key| code(key).ok_or_else(|| UnknownKey(key.to_owned())))
            .collect::<Result<_, _>>()
            .map(Self)
    }
}

fn code(key: &str) -> Option<u8> {
    if let [single] = key.as_bytes() {
        return Some(*single);
    }
    let letter = match key.strip_prefix("ctrl-")?.as_bytes() {
        [letter] => *letter,
        _ => return None,
    };
    match letter {
        b'a'..=b'z' => Some(letter - b'a' + 1),
        b'@' => Some(0),
        b'['..=b'_' => Some(letter - b'[' + 27),
        _ => None,
    }
}

/// What typed bytes come to.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Matched {
    /// These bytes go to the container.
    Pass(Vec<u8>),
    /// The keys to detach were typed; what came before them goes to the container.
    Detach(Vec<u8>),
}

/// Looks for the keys in what is typed. The beginning of a match is held back until it is clear.
pub(crate) struct EscapeMatcher {
    keys: Vec<u8>,
    held: usize,
}

impl EscapeMatcher {
    pub(crate) fn new(keys: &DetachKeys) -> Self {
        Self { keys: keys.0.clone(), held: 0 }
    }

    pub(crate) fn feed(&mut self, typed: &[u8]) -> Matched {
        let mut pass = Vec::with_capacity(typed.len() + self.held);
        for &byte in typed {
            while byte != self.keys[self.held] && self.held > 0 {
                // The held bytes were no match from their beginning, but may be from a later one.
                let longest =
                    (1..self.held).rev().find(|n| self.keys[..*n] == self.keys[self.held - n..self.held]);
                let keep = longest.unwrap_or(0);
                pass.extend_from_slice(&self.keys[..self.held - keep]);
                self.held = keep;
            }
            if byte != self.keys[self.held] {
                pass.push(byte);
                continue;
            }
            self.held += 1;
            if self.held == self.keys.len() {
                return Matched::Detach(pass);
            }
        }
        Matched::Pass(pass)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn keys_are_read_by_name() {
        assert_eq!("".parse(), Ok(DetachKeys::default()));
        assert_eq!("ctrl-a,x,ctrl-@,ctrl-\\".parse(), Ok(DetachKeys(vec![1, b'x', 0, 28])));
        assert_eq!("foo".parse::<DetachKeys>().unwrap_err().to_string(), "Unknown character: 'foo'");
        assert!("ctrl-A".parse::<DetachKeys>().is_err());
    }

    #[test]
    fn sequence_is_found_across_reads() {
        let mut matcher = EscapeMatcher::new(&DetachKeys::default());
        assert_eq!(matcher.feed(&[b'a', 16]), Matched::Pass(vec![b'a']));
        assert_eq!(matcher.feed(b"b"), Matched::Pass(vec![16, b'b']));
        assert_eq!(matcher.feed(&[16, 16, 17]), Matched::Detach(vec![16]));
    }

    proptest! {
        #[test]
        fn bytes_without_the_sequence_all_pass(typed in proptest::collection::vec(0u8..3, 0..60)) {
            let mut matcher = EscapeMatcher::new(&DetachKeys(vec![0, 0, 1]));
            match matcher.feed(&typed) {
                Matched::Pass(mut pass) => {
                    pass.extend_from_slice(&[0, 0, 1][..matcher.held]);
                    prop_assert_eq!(pass, typed);
                }
                Matched::Detach(pass) => {
                    let end = pass.len();
                    prop_assert_eq!(&pass[..], &typed[..end]);
                    prop_assert_eq!(&typed[end..end + 3], &[0, 0, 1][..]);
                }
            }
        }
    }
}
