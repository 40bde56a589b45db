//! Points in time, as Go writes them, and lengths of time in words.

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

/// A length of time in Docker's rough words: `About an hour`, `3 weeks`.
pub fn human_duration(seconds: i64) -> String {
    let (minutes, hours) = (seconds / 60, (seconds as f64 / 3600.0 + 0.5).floor() as i64);
    match seconds {
        i64::MIN..1 => "Less than a second".to_owned(),
        1 => "1 second".to_owned(),
        2..60 => format!("{seconds} seconds"),
        60..120 => "About a minute".to_owned(),
        120..3600 => format!("{minutes} minutes"),
        _ => match hours {
            1 => "About an hour".to_owned(),
            ..48 => format!("{hours} hours"),
            48..336 => format!("{} days", hours / 24),
            336..1440 => format!("{} weeks", hours / 24 / 7),
            1440..17520 => format!("{} months", hours / 24 / 30),
            _ => format!("{} years", seconds / 3600 / 24 / 365),
        },
    }
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

    #[test]
    fn durations_use_rough_words() {
        for (seconds, words) in [
            (0, "Less than a second"),
            (1, "1 second"),
            (59, "59 seconds"),
            (60, "About a minute"),
            (119, "About a minute"),
            (120, "2 minutes"),
            (3_599, "59 minutes"),
            (3_600, "About an hour"),
            (5_399, "About an hour"),
            (5_400, "2 hours"),
            (47 * 3_600, "47 hours"),
            (48 * 3_600, "2 days"),
            (13 * 86_400, "13 days"),
            (14 * 86_400, "2 weeks"),
            (60 * 86_400, "2 months"),
            (729 * 86_400, "24 months"),
            (730 * 86_400, "2 years"),
        ] {
            assert_eq!(human_duration(seconds), words, "{seconds} s");
        }
    }
}
