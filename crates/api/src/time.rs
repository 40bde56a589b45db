//! Points in time, as Go writes them.

use std::fmt;
use std::str::FromStr;

use jiff::Timestamp;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A point in time: RFC 3339 in UTC, with up to nine decimals and no trailing zeros. The default is Go's zero time,
/// `0001-01-01T00:00:00Z`, which stands for "never".
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Time(pub Timestamp);

const ZERO_SECONDS: i64 = -62_135_596_800;

impl Time {
    /// Go's zero time.
    pub fn zero() -> Self {
        Self(Timestamp::from_second(ZERO_SECONDS).expect("year 1 is in range"))
    }

    /// The current time.
    pub fn now() -> Self {
        Self(Timestamp::now())
    }

    /// The time this many nanoseconds after 1970 UTC.
    pub fn from_nanoseconds(nanoseconds: i64) -> Self {
        Self(Timestamp::from_nanosecond(nanoseconds.into()).expect("64 bits of nanoseconds are in range"))
    }

    /// Whether this is Go's zero time.
    pub fn is_zero(self) -> bool {
        self == Self::zero()
    }

    /// Whole seconds since 1970 UTC.
    pub fn as_second(self) -> i64 {
        self.0.as_second()
    }
}

/// Reads `seconds[.fraction]`, as clients write `since` and `until`. `None` where it is not that.
pub fn parse_seconds(text: &str) -> Option<Time> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    if fraction.len() > 9 || !fraction.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let nanoseconds: i32 = format!("{fraction:0<9}").parse().ok()?;
    Timestamp::new(whole.parse().ok()?, nanoseconds).ok().map(Time)
}

impl Default for Time {
    fn default() -> Self {
        Self::zero()
    }
}

impl From<Timestamp> for Time {
    fn from(timestamp: Timestamp) -> Self {
        Self(timestamp)
    }
}

impl fmt::Display for Time {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(formatter)
    }
}

impl FromStr for Time {
    type Err = jiff::Error;

    fn from_str(text: &str) -> Result<Self, jiff::Error> {
        text.parse().map(Self)
    }
}

impl Serialize for Time {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Time {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        match text.as_str() {
            "" => Ok(Self::zero()),
            text => text.parse().map_err(serde::de::Error::custom),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fraction_has_no_trailing_zeros() {
        assert_eq!(Time::from_nanoseconds(1_700_000_000_120_000_000).to_string(), "2023-11-14T22:13:20.12Z");
        assert_eq!(
            Time::from_nanoseconds(1_700_000_000_000_000_001).to_string(),
            "2023-11-14T22:13:20.000000001Z"
        );
        assert_eq!(Time::from_nanoseconds(0).to_string(), "1970-01-01T00:00:00Z");
    }

    #[test]
    fn zero_time_is_written_as_in_go() {
        assert_eq!(Time::default().to_string(), "0001-01-01T00:00:00Z");
        assert_eq!("0001-01-01T00:00:00Z".parse::<Time>().unwrap(), Time::zero());
    }

    #[test]
    fn offset_is_read() {
        assert_eq!("2023-11-14T23:13:20+01:00".parse::<Time>().unwrap().as_second(), 1_700_000_000);
    }
}
