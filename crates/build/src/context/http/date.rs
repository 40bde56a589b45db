//! Dates as HTTP writes them.

use jiff::Timestamp;
use jiff::fmt::{rfc2822, strtime};
use jiff::tz::TimeZone;

/// The forms that are older than the usual one, and to be understood still (RFC 9110, section 5.6.7).
const OLD_FORMS: [&str; 2] = ["%A, %d-%b-%y %H:%M:%S GMT", "%a %b %e %H:%M:%S %Y"];

/// Reads a date; `None` where it is none.
pub(super) fn parse(text: &str) -> Option<Timestamp> {
    if let Ok(time) = rfc2822::DateTimeParser::new().parse_timestamp(text) {
        return Some(time);
    }
    let parsed = OLD_FORMS.iter().find_map(|form| strtime::parse(form, text).ok())?;
    Some(parsed.to_datetime().ok()?.to_zoned(TimeZone::UTC).ok()?.timestamp())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_have_three_forms() {
        for text in
            ["Sun, 06 Nov 1994 08:49:37 GMT", "Sunday, 06-Nov-94 08:49:37 GMT", "Sun Nov  6 08:49:37 1994"]
        {
            assert_eq!(parse(text).map(Timestamp::as_second), Some(784_111_777), "{text}");
        }
        for text in ["", "yesterday", "1994-11-06", "Sun, 06 Nov 1994", "784111777"] {
            assert_eq!(parse(text), None, "{text}");
        }
    }
}
