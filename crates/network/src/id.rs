//! Identifiers and timestamps.

use sys::random::hexadecimal;

/// 64 random hexadecimal digits.
pub(crate) fn random_id() -> String {
    hexadecimal::<32>()
}

/// `veth` and seven random hexadecimal digits.
pub(crate) fn random_interface() -> String {
    format!("veth{}", &hexadecimal::<4>()[1..])
}

/// The time now, RFC 3339 with nanoseconds, UTC.
pub(crate) fn now() -> String {
    jiff::Timestamp::now().to_string()
}
