//! Random numbers and IDs.

/// A new ID: 64 hexadecimal digits of random bits.
///
/// An ID whose first twelve digits are all decimal is drawn again: its short form would read as a number, and as a host
/// name it would be taken for one.
pub(crate) fn new_id() -> String {
    loop {
        let mut bytes = [0u8; 32];
        fill(&mut bytes);
        let id: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        if !id.as_bytes()[..12].iter().all(u8::is_ascii_digit) {
            return id;
        }
    }
}

/// A number in `0..bound`.
pub(crate) fn random_below(bound: usize) -> usize {
    let mut bytes = [0u8; 8];
    fill(&mut bytes);
    let bound = u64::try_from(bound.max(1)).expect("usize is at most 64 bits");
    usize::try_from(u64::from_ne_bytes(bytes) % bound).expect("below a usize")
}

fn fill(bytes: &mut [u8]) {
    getrandom::fill(bytes).expect("the kernel's random source never fails once it is seeded");
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
    fn random_below_stays_below() {
        assert!((0..1000).all(|_| random_below(7) < 7));
    }
}
