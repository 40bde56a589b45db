//! The keys that detach a client from a terminal.

/// Looks for a sequence of bytes in input that comes in pieces.
///
/// Bytes that may begin the sequence are held back until it is clear whether they do.
#[derive(Debug)]
pub(super) struct DetachKeys {
    keys: Vec<u8>,
    /// How many of the keys have been typed.
    matched: usize,
}

/// What became of some input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Typed {
    /// It is input.
    Input,
    /// The keys were among it; what came after them is dropped.
    Detach,
}

impl DetachKeys {
    pub(super) fn new(keys: Vec<u8>) -> Self {
        Self { keys, matched: 0 }
    }

    /// Appends what is input for the process.
    pub(super) fn filter(&mut self, input: &[u8], out: &mut Vec<u8>) -> Typed {
        for &byte in input {
            self.pass(byte, out);
            if self.matched == self.keys.len() && !self.keys.is_empty() {
                self.matched = 0;
                return Typed::Detach;
            }
        }
        Typed::Input
    }

    /// Takes one byte: what was held back goes on where it no longer begins the keys.
    fn pass(&mut self, byte: u8, out: &mut Vec<u8>) {
        loop {
            if self.keys.get(self.matched) == Some(&byte) {
                self.matched += 1;
                return;
            }
            if self.matched == 0 {
                out.push(byte);
                return;
            }
            let kept = self.shorter_match();
            out.extend_from_slice(&self.keys[..self.matched - kept]);
            self.matched = kept;
        }
    }

    /// The longest beginning of the keys that the held bytes end in, shorter than all of them.
    fn shorter_match(&self) -> usize {
        let held = &self.keys[..self.matched];
        (0..self.matched).rev().find(|&length| held.ends_with(&self.keys[..length])).unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn typed(keys: &[u8], pieces: &[&[u8]]) -> (Vec<u8>, Typed) {
        let mut detach = DetachKeys::new(keys.to_vec());
        let mut out = Vec::new();
        for piece in pieces {
            if detach.filter(piece, &mut out) == Typed::Detach {
                return (out, Typed::Detach);
            }
        }
        (out, Typed::Input)
    }

    #[test]
    fn keys_are_found_across_pieces() {
        assert_eq!(typed(b"\x10\x11", &[b"ls\n\x10", b"\x11rest"]), (b"ls\n".to_vec(), Typed::Detach));
    }

    #[test]
    fn other_byte_after_the_first_key_is_input_with_it() {
        assert_eq!(typed(b"\x10\x11", &[b"\x10", b"x"]), (b"\x10x".to_vec(), Typed::Input));
    }

    #[test]
    fn overlapping_beginnings_are_found() {
        assert_eq!(typed(b"aab", &[b"aaab"]), (b"a".to_vec(), Typed::Detach));
        assert_eq!(typed(b"\x10\x11", &[b"\x10\x10\x11"]), (b"\x10".to_vec(), Typed::Detach));
    }

    #[test]
    fn no_keys_never_detach() {
        assert_eq!(typed(b"", &[b"\x10\x11"]), (b"\x10\x11".to_vec(), Typed::Input));
    }

    proptest! {
        #[test]
        fn keys_are_found_where_they_first_stand(
            keys in prop::collection::vec(0u8..3, 1..5),
            input in prop::collection::vec(0u8..3, 0..60),
            cut in 0usize..60,
        ) {
            let (left, right) = input.split_at(cut.min(input.len()));
            let (out, outcome) = typed(&keys, &[left, right]);
            match input.windows(keys.len()).position(|window| window == keys) {
                Some(at) => {
                    prop_assert_eq!(outcome, Typed::Detach);
                    prop_assert_eq!(out, &input[..at]);
                }
                None => {
                    prop_assert_eq!(outcome, Typed::Input);
                    prop_assert!(input.starts_with(&out) && input.len() - out.len() < keys.len());
                }
            }
        }
    }
}
