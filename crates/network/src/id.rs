//! Identifiers and timestamps.

use std::fmt::Write;

/// 64 random hexadecimal digits.
pub(crate) fn random_id() -> String {
    let mut bytes = [0; 32];
    fill(&mut bytes);
    hexadecimal(&bytes)
}

/// `veth` and seven random hexadecimal digits.
pub(crate) fn random_interface() -> String {
    let mut bytes = [0; 4];
    fill(&mut bytes);
    format!("veth{}", &hexadecimal(&bytes)[1..])
}

/// The time now, RFC 3339 with nanoseconds, UTC.
pub(crate) fn now() -> String {
    jiff::Timestamp::now().to_string()
}

/// Fills `bytes` with random ones.
pub(crate) fn fill(bytes: &mut [u8]) {
    getrandom::fill(bytes).expect("the kernel has random bytes");
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").expect("writing to a string succeeds");
        text
    })
}
