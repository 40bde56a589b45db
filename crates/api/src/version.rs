//! API versions.

use std::fmt;
use std::str::FromStr;

/// A version of the Engine API, `major.minor`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ApiVersion {
    /// The part before the dot.
    pub major: u16,
    /// The part after the dot.
    pub minor: u16,
}

impl ApiVersion {
    /// The oldest version that is served.
    pub const OLDEST: Self = Self::new(1, 24);
    /// The newest version that is served, and what a request without a version gets.
    pub const NEWEST: Self = Self::new(1, 50);

    /// A version from its parts.
    pub const fn new(major: u16, minor: u16) -> Self {
        Self { major, minor }
    }

    /// Whether this is version 1.`minor` or newer.
    pub const fn at_least(self, minor: u16) -> bool {
        self.major > 1 || (self.major == 1 && self.minor >= minor)
    }
}

impl fmt::Display for ApiVersion {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}.{}", self.major, self.minor)
    }
}

/// The text is not `major.minor`.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("invalid API version {0:?}")]
pub struct InvalidVersion(String);

impl FromStr for ApiVersion {
    type Err = InvalidVersion;

    fn from_str(text: &str) -> Result<Self, InvalidVersion> {
        let number = |part: &str| match part.bytes().all(|byte| byte.is_ascii_digit()) {
            true => part.parse::<u16>().ok(),
            false => None,
        };
        text.split_once('.')
            .and_then(|(major, minor)| Some(Self::new(number(major)?, number(minor)?)))
            .ok_or_else(|| InvalidVersion(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn version_parses_and_orders_by_number() {
        let version: ApiVersion = "1.9".parse().unwrap();
        assert!(version < ApiVersion::OLDEST);
        assert!(!version.at_least(24));
        assert_eq!(ApiVersion::NEWEST.to_string(), "1.50");
    }

    #[test]
    fn version_with_other_characters_is_refused() {
        for text in ["1", "1.", ".1", "v1.2", "1.+2", "1.2.3", "1.99999"] {
            assert!(text.parse::<ApiVersion>().is_err(), "{text}");
        }
    }
}
