//! Random bytes of the kernel, and what is made of them.

use std::fmt::Write as _;

use rustix::rand::{GetRandomFlags, getrandom};

/// Fills `bytes` with random ones.
///
/// # Panics
/// Never: once it is seeded, the kernel's random source has no way to fail.
pub fn fill(bytes: &mut [u8]) {
    let mut filled = 0;
    while filled < bytes.len() {
        match getrandom(&mut bytes[filled..], GetRandomFlags::empty()) {
            Ok(count) => filled += count,
            Err(rustix::io::Errno::INTR) => {}
            Err(errno) => panic!("the kernel has no random bytes: {errno}"),
        }
    }
}

/// This many random bytes, as hexadecimal digits.
pub fn hexadecimal<const BYTES: usize>() -> String {
    let mut bytes = [0_u8; BYTES];
    fill(&mut bytes);
    bytes.iter().fold(String::with_capacity(2 * BYTES), |mut text, byte| {
        write!(text, "{byte:02x}").expect("writing to a string succeeds");
        text
    })
}

/// A new ID: 64 hexadecimal digits of random bits.
///
/// An ID whose first twelve digits are all decimal is drawn again: its short form would read as a number, and as a host
/// name it would be taken for one.
pub fn new_id() -> String {
    loop {
        let id = hexadecimal::<32>();
        if !id.as_bytes()[..12].iter().all(u8::is_ascii_digit) {
            return id;
        }
    }
}

/// A number in `0..bound`.
pub fn below(bound: usize) -> usize {
    let mut bytes = [0_u8; 8];
    fill(&mut bytes);
    let bound = u64::try_from(bound.max(1)).expect("usize is at most 64 bits");
    usize::try_from(u64::from_ne_bytes(bytes) % bound).expect("below a usize")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_64_hexadecimal_digits_and_differ() {
        let (first, second) = (new_id(), new_id());
        assert_eq!(first.len(), 64);
        assert!(first.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte)));
        assert_ne!(first, second);
    }

    #[test]
    fn large_buffers_are_filled_to_their_end() {
        let mut bytes = vec![0_u8; 1 << 20];
        fill(&mut bytes);
        assert!(bytes[bytes.len() - 64..].iter().any(|byte| *byte != 0));
    }

    #[test]
    fn below_stays_below() {
        assert!((0..1000).all(|_| below(7) < 7));
    }
}
