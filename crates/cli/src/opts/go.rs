//! Numbers, switches and durations as Go's standard library reads them, with its messages.

use crate::flag::InvalidValue;

/// Reads a switch.
pub(crate) fn parse_bool(text: &str) -> Result<bool, InvalidValue> {
    let invalid = || InvalidValue(format!("strconv.ParseBool: parsing {text:?}: invalid syntax"));
    oci::boolean::parse(text).ok_or_else(invalid)
}

/// Reads a signed number, decimal or with a base prefix.
pub(crate) fn parse_int(text: &str) -> Result<i64, InvalidValue> {
    let fail = |why: &str| InvalidValue(format!("strconv.ParseInt: parsing {text:?}: {why}"));
    let (negative, digits) = match text.strip_prefix('-') {
        Some(digits) => (true, digits),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let magnitude = parse_magnitude(digits).map_err(|why| fail(why.text()))?;
    let signed = if negative { -i128::from(magnitude) } else { i128::from(magnitude) };
    i64::try_from(signed).map_err(|_| fail("value out of range"))
}

/// Reads an unsigned number of at most `largest`.
pub(crate) fn parse_uint(text: &str, largest: u64) -> Result<u64, InvalidValue> {
    let fail = |why: &str| InvalidValue(format!("strconv.ParseUint: parsing {text:?}: {why}"));
    match parse_magnitude(text).map_err(|why| fail(why.text()))? {
        number if number <= largest => Ok(number),
        _ => Err(fail("value out of range")),
    }
}

enum NumberError {
    Syntax,
    Range,
}

impl NumberError {
    fn text(&self) -> &'static str {
        match self {
            Self::Syntax => "invalid syntax",
            Self::Range => "value out of range",
        }
    }
}

fn parse_magnitude(text: &str) -> Result<u64, NumberError> {
    let (base, digits) = match text.get(..2).map(str::to_ascii_lowercase).as_deref() {
        Some("0x") => (16, &text[2..]),
        Some("0b") => (2, &text[2..]),
        Some("0o") => (8, &text[2..]),
        _ if text.len() > 1 && text.starts_with('0') => (8, &text[1..]),
        _ => (10, text),
    };
    if digits.is_empty() || !digits.chars().all(|digit| digit.is_digit(base)) {
        return Err(NumberError::Syntax);
    }
    u64::from_str_radix(digits, base).map_err(|_| NumberError::Range)
}

/// Reads a duration such as `1h30m` or `1.5s`; the result is in nanoseconds.
pub(crate) fn parse_duration(text: &str) -> Result<i64, InvalidValue> {
    oci::duration::parse(text).map_err(|error| InvalidValue(error.to_string()))
}

/// The quoted form Go's `%q` gives a string, which its error texts use.
pub(crate) fn quote(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c if c.is_control() => out.push_str(&format!("\\x{:02x}", u32::from(c))),
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn numbers_take_prefixes_and_refuse_rest() {
        assert_eq!(parse_int("-0x10"), Ok(-16));
        assert_eq!(parse_int("010"), Ok(8));
        assert_eq!(
            parse_int("9223372036854775808").unwrap_err().0.rsplit(": ").next(),
            Some("value out of range")
        );
        assert!(parse_int("1_").is_err());
        assert!(parse_int("--1").is_err());
        assert_eq!(
            parse_uint("65536", 65535).unwrap_err().0,
            "strconv.ParseUint: parsing \"65536\": value out of range"
        );
    }

    #[test]
    fn durations_are_read_as_go_does() {
        assert_eq!(parse_duration("1h30m"), Ok(5_400_000_000_000));
        assert_eq!(parse_duration("1.5s"), Ok(1_500_000_000));
        assert_eq!(parse_duration("-10ms"), Ok(-10_000_000));
        assert_eq!(parse_duration("0"), Ok(0));
        for (text, message) in [
            ("x", "time: invalid duration \"x\""),
            ("5", "time: missing unit in duration \"5\""),
            ("5y", "time: unknown unit \"y\" in duration \"5y\""),
            ("", "time: invalid duration \"\""),
        ] {
            assert_eq!(parse_duration(text).unwrap_err().0, message);
        }
    }

    proptest! {
        #[test]
        fn any_text_never_panics(text in ".*") {
            let _ = (parse_duration(&text), parse_int(&text), parse_uint(&text, 10), parse_bool(&text));
        }
    }
}
