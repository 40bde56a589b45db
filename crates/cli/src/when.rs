//! Points in time as users write them: RFC 3339 in full or in part, seconds since 1970, or a duration ago.

use api::Time;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};

use crate::opts::go;

/// Reads a point in time; the empty text is none.
pub(crate) fn parse(text: &str) -> Result<Option<Time>, String> {
    if text.is_empty() {
        return Ok(None);
    }
    relative(text)
        .or_else(|| api::time::parse_seconds(text))
        .or_else(|| text.parse().ok())
        .or_else(|| local(text))
        .map(Some)
        .ok_or_else(|| format!("failed to parse value as time or duration: {}", go::quote(text)))
}

fn relative(text: &str) -> Option<Time> {
    let ago = go::parse_duration(text).ok()?;
    Timestamp::now().checked_sub(SignedDuration::from_nanos(ago)).ok().map(Time)
}

/// Without an offset the user's own time zone is meant; missing parts are zero.
fn local(text: &str) -> Option<Time> {
    let full = match text.len() {
        10 => format!("{text}T00:00:00"),
        13 => format!("{text}:00:00"),
        16 => format!("{text}:00"),
        _ => text.to_owned(),
    };
    let moment: DateTime = full.parse().ok()?;
    Some(Time(moment.to_zoned(TimeZone::system()).ok()?.timestamp()))
}

/// An age in rough words: `3 weeks ago`.
pub(crate) fn ago(seconds: i64) -> String {
    format!("{} ago", api::time::human_duration(seconds))
}

/// The same with as many decimals as there are: `2026-11-21 02:01:20.5 +0000 UTC`.
pub(crate) fn local_text_exact(time: Time) -> String {
    time.0.to_zoned(TimeZone::system()).strftime("%Y-%m-%d %H:%M:%S%.f %z %Z").to_string()
}

/// A time as Go prints it, in the user's own time zone: `2026-11-21 02:01:20 +0000 UTC`.
pub(crate) fn local_text(seconds: i64) -> String {
    match Timestamp::from_second(seconds) {
        Ok(time) => time.to_zoned(TimeZone::system()).strftime("%Y-%m-%d %H:%M:%S %z %Z").to_string(),
        Err(_) => seconds.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_in_all_forms() {
        let fixed = |text: &str| parse(text).unwrap().unwrap().0.as_nanosecond();
        assert_eq!(fixed("2013-01-02T13:23:37Z"), 1_357_133_017_000_000_000);
        assert_eq!(fixed("2013-01-02T15:23:37+02:00"), 1_357_133_017_000_000_000);
        assert_eq!(fixed("1357133017.5"), 1_357_133_017_500_000_000);
        let ago = Timestamp::now().as_second() - parse("90s").unwrap().unwrap().as_second();
        assert!((89..=92).contains(&ago), "{ago}");
        assert!(parse("2013-01-02").unwrap().is_some());
        assert_eq!(parse(""), Ok(None));
        assert_eq!(parse("x").unwrap_err(), "failed to parse value as time or duration: \"x\"");
    }
}
