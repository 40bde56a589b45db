//! Times as log files hold them: RFC 3339 in UTC, with up to nine digits of a second.

use jiff::Timestamp;

const SECOND: i64 = 1_000_000_000;

/// Nanoseconds since 1970 UTC, now.
pub fn now() -> i64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::Realtime);
    time.tv_sec * SECOND + time.tv_nsec
}

/// `2026-01-02T03:04:05.12Z`: without the zeros at the end of the fraction, as Go's `RFC3339Nano`.
pub fn rfc3339(time: i64) -> String {
    let mut clock = Clock::default();
    let mut text = Vec::new();
    clock.append(time, Fraction::Trimmed, &mut text);
    String::from_utf8(text).expect("digits and punctuation")
}

/// `2026-01-02T03:04:05.120000000Z`: always nine digits, as `docker logs --timestamps` prints.
pub fn rfc3339_fixed(time: i64) -> String {
    let mut clock = Clock::default();
    let mut text = Vec::new();
    clock.append(time, Fraction::Nine, &mut text);
    String::from_utf8(text).expect("digits and punctuation")
}

/// How many digits of a second are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fraction {
    Trimmed,
    Nine,
}

/// Writes and parses times, and remembers the last second: most times differ in their fraction only.
#[derive(Debug)]
pub(super) struct Clock {
    second: i64,
    /// `2026-01-02T03:04:05` of that second.
    text: [u8; 19],
    /// What was parsed last: lines that came at once have the same time.
    parsed: (Vec<u8>, i64),
}

impl Default for Clock {
    fn default() -> Self {
        Self { second: 0, text: *b"1970-01-01T00:00:00", parsed: (Vec::new(), 0) }
    }
}

impl Clock {
    /// Appends the time, `Z` included.
    pub(super) fn append(&mut self, time: i64, fraction: Fraction, out: &mut Vec<u8>) {
        let second = time.div_euclid(SECOND);
        if second != self.second {
            self.set(second);
        }
        out.extend_from_slice(&self.text);
        append_fraction(time.rem_euclid(SECOND) as u32, fraction, out);
        out.push(b'Z');
    }

    fn set(&mut self, second: i64) {
        let timestamp = Timestamp::from_second(second).unwrap_or(Timestamp::UNIX_EPOCH);
        let text = timestamp.strftime("%Y-%m-%dT%H:%M:%S").to_string();
        if let Ok(text) = text.as_bytes().try_into() {
            self.second = second;
            self.text = text;
        }
    }

    /// The time that the text holds.
    pub(super) fn parse(&mut self, text: &[u8]) -> Option<i64> {
        if text.is_empty() || *text != *self.parsed.0 {
            let time = self.parse_new(text)?;
            self.parsed.0.clear();
            self.parsed.0.extend_from_slice(text);
            self.parsed.1 = time;
        }
        Some(self.parsed.1)
    }

    fn parse_new(&mut self, text: &[u8]) -> Option<i64> {
        let (date, rest) = text.split_at_checked(19)?;
        if *date != self.text {
            self.second = parse_second(date)?;
            self.text.copy_from_slice(date);
        }
        match rest {
            b"Z" => Some(self.second * SECOND),
            [b'.', digits @ .., b'Z'] => Some(self.second * SECOND + parse_fraction(digits)?),
            _ => parse_any(text),
        }
    }
}

fn append_fraction(nanos: u32, fraction: Fraction, out: &mut Vec<u8>) {
    if nanos == 0 && fraction == Fraction::Trimmed {
        return;
    }
    let mut digits = *b".000000000";
    let mut rest = nanos;
    for digit in digits[1..].iter_mut().rev() {
        *digit = b'0' + (rest % 10) as u8;
        rest /= 10;
    }
    let mut length = digits.len();
    while fraction == Fraction::Trimmed && digits[length - 1] == b'0' {
        length -= 1;
    }
    out.extend_from_slice(&digits[..length]);
}

fn parse_fraction(digits: &[u8]) -> Option<i64> {
    if digits.is_empty() || digits.len() > 9 {
        return None;
    }
    let mut nanos = 0i64;
    for index in 0..9 {
        let digit = digits.get(index).map_or(0, |digit| digit.wrapping_sub(b'0'));
        if digit > 9 {
            return None;
        }
        nanos = nanos * 10 + i64::from(digit);
    }
    Some(nanos)
}

fn parse_second(date: &[u8]) -> Option<i64> {
    let text = std::str::from_utf8(date).ok()?;
    let timestamp: Timestamp = format!("{text}Z").parse().ok()?;
    Some(timestamp.as_second())
}

/// Any RFC 3339 time, with an offset too.
fn parse_any(text: &[u8]) -> Option<i64> {
    let timestamp: Timestamp = std::str::from_utf8(text).ok()?.parse().ok()?;
    i64::try_from(timestamp.as_nanosecond()).ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn zeros_at_the_end_are_trimmed_or_kept() {
        let second = 1_767_323_045;
        assert_eq!(rfc3339(second * SECOND), "2026-01-02T03:04:05Z");
        assert_eq!(rfc3339(second * SECOND + 120_000_000), "2026-01-02T03:04:05.12Z");
        assert_eq!(rfc3339(second * SECOND + 1), "2026-01-02T03:04:05.000000001Z");
        assert_eq!(rfc3339_fixed(second * SECOND), "2026-01-02T03:04:05.000000000Z");
    }

    #[test]
    fn offset_is_understood() {
        let mut clock = Clock::default();
        assert_eq!(clock.parse(b"1970-01-01T01:00:00.5+01:00"), Some(SECOND / 2));
        assert_eq!(clock.parse(b"1970-01-01T00:00:00."), None);
        assert_eq!(clock.parse(b"1970-01-01T00:00:00.1x2Z"), None);
        assert_eq!(clock.parse(b"nonsense"), None);
    }

    proptest! {
        #[test]
        fn written_time_is_parsed_back(times in prop::collection::vec(0..4_102_444_800_000_000_000i64, 1..8)) {
            let mut writer = Clock::default();
            let mut reader = Clock::default();
            for time in times {
                for fraction in [Fraction::Trimmed, Fraction::Nine] {
                    let mut text = Vec::new();
                    writer.append(time, fraction, &mut text);
                    prop_assert_eq!(reader.parse(&text), Some(time));
                    let expected: Timestamp = std::str::from_utf8(&text).unwrap().parse().unwrap();
                    prop_assert_eq!(expected.as_nanosecond(), i128::from(time));
                }
            }
        }
    }
}
