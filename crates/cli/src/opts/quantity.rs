//! Sizes (`1.5g`) and lengths of time.

use super::go;
use crate::flag::{InvalidValue, Value};
use crate::text::significant;

/// Reads a size with an optional binary unit: `512`, `64k`, `1.5GiB`. The result is in bytes.
pub(crate) fn parse_size(text: &str) -> Result<i64, InvalidValue> {
    let invalid = || InvalidValue(format!("invalid size: '{text}'"));
    let last = text.rfind(|c: char| c.is_ascii_digit() || c == '.' || c == ' ').ok_or_else(invalid)?;
    let (number, suffix) = match text.as_bytes()[last] {
        b' ' => (&text[..last], &text[last + 1..]),
        _ => text.split_at(last + 1),
    };
    let size = parse_float(number)?;
    if size < 0.0 {
        return Err(invalid());
    }
    let multiplier = multiplier(suffix).ok_or_else(|| InvalidValue(format!("invalid suffix: '{suffix}'")))?;
    Ok((size * multiplier) as i64)
}

fn parse_float(number: &str) -> Result<f64, InvalidValue> {
    let fail = || InvalidValue(format!("strconv.ParseFloat: parsing {}: invalid syntax", go::quote(number)));
    // Rust also reads "inf" and "nan", which hold no digit and cannot get here.
    match number.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'.' | b'e' | b'E' | b'+' | b'-')) {
        true => number.parse().map_err(|_| fail()),
        false => Err(fail()),
    }
}

fn multiplier(suffix: &str) -> Option<f64> {
    let lower = suffix.to_ascii_lowercase();
    let power = match lower.as_str() {
        "" | "b" => 0,
        _ => {
            let (unit, rest) = lower.split_at_checked(1)?;
            if !matches!(rest, "" | "b" | "ib") {
                return None;
            }
            "kmgtp".find(unit)? as i32 + 1
        }
    };
    Some(1024f64.powi(power))
}

/// A size in bytes.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) struct MemoryBytes(pub(crate) i64);

impl Value for MemoryBytes {
    fn set(&mut self, text: &str) -> Result<(), InvalidValue> {
        self.0 = parse_size(text)?;
        Ok(())
    }
    fn kind(&self) -> &'static str {
        "bytes"
    }
    fn default_text(&self) -> Option<String> {
        (self.0 != 0).then(|| format!("{}B", significant(self.0 as f64, 4)))
    }
}

/// A size in bytes, or -1 for "without limit".
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) struct MemorySwap(pub(crate) i64);

impl Value for MemorySwap {
    fn set(&mut self, text: &str) -> Result<(), InvalidValue> {
        self.0 = if text == "-1" { -1 } else { parse_size(text)? };
        Ok(())
    }
    fn kind(&self) -> &'static str {
        "bytes"
    }
}

/// A length of time in nanoseconds.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) struct DurationFlag(pub(crate) i64);

impl Value for DurationFlag {
    fn set(&mut self, text: &str) -> Result<(), InvalidValue> {
        self.0 = go::parse_duration(text)?;
        Ok(())
    }
    fn kind(&self) -> &'static str {
        "duration"
    }
    fn default_text(&self) -> Option<String> {
        Some(oci::duration::format(self.0))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn sizes_take_binary_units() {
        for (text, bytes) in [
            ("1", 1),
            ("1b", 1),
            ("1k", 1024),
            ("1kb", 1024),
            ("1KiB", 1024),
            ("1.5g", 1_610_612_736),
            ("1e3", 1000),
            ("1 k", 1024),
            (".5m", 524_288),
            ("1.m", 1_048_576),
        ] {
            assert_eq!(parse_size(text), Ok(bytes), "{text}");
        }
    }

    #[test]
    fn bad_sizes_are_refused_in_the_known_words() {
        for (text, message) in [
            ("x", "invalid size: 'x'"),
            ("-1", "invalid size: '-1'"),
            ("", "invalid size: ''"),
            (" 1", "strconv.ParseFloat: parsing \" 1\": invalid syntax"),
            ("0x10", "strconv.ParseFloat: parsing \"0x10\": invalid syntax"),
            ("1..m", "strconv.ParseFloat: parsing \"1..\": invalid syntax"),
            ("1x", "invalid suffix: 'x'"),
            ("1kbb", "invalid suffix: 'kbb'"),
            ("1bb", "invalid suffix: 'bb'"),
            ("b", "invalid size: 'b'"),
        ] {
            assert_eq!(parse_size(text).unwrap_err().0, message);
        }
    }

    proptest! {
        #[test]
        fn any_text_never_panics(text in ".*") {
            let _ = parse_size(&text);
        }

        #[test]
        fn whole_kibibytes_are_exact(n in 0i64..1 << 40) {
            prop_assert_eq!(parse_size(&format!("{n}k")), Ok(n * 1024));
        }
    }
}
