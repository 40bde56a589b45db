//! `--cpus`: a number of processors as an exact fraction.

use crate::flag::{InvalidValue, Value};

/// Billionths of a processor.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) struct NanoCpus(pub(crate) i64);

const NANO: i128 = 1_000_000_000;

impl Value for NanoCpus {
    fn set(&mut self, text: &str) -> Result<(), InvalidValue> {
        let (numerator, denominator) = rational(text)
            .ok_or_else(|| InvalidValue(format!("failed to parse {text} as a rational number")))?;
        let scaled = numerator.checked_mul(NANO).filter(|scaled| scaled % denominator == 0);
        self.0 = scaled
            .and_then(|scaled| i64::try_from(scaled / denominator).ok())
            .ok_or_else(|| InvalidValue("value is too precise".to_owned()))?;
        Ok(())
    }
    fn kind(&self) -> &'static str {
        "decimal"
    }
}

/// `1.5`, `3/2` or `15e-1` as numerator and denominator.
fn rational(text: &str) -> Option<(i128, i128)> {
    if let Some((numerator, denominator)) = text.split_once('/') {
        let denominator = digits(denominator)?;
        return (denominator != 0).then_some((signed(numerator, digits)?, denominator));
    }
    let (mantissa, exponent) = text.split_once(['e', 'E']).unwrap_or((text, "0"));
    let exponent: i32 = exponent.parse().ok()?;
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let number = signed(&format!("{whole}{fraction}"), digits)?;
    let shift = exponent - i32::try_from(fraction.len()).ok()?;
    let power = 10i128.checked_pow(shift.unsigned_abs())?;
    Some(if shift < 0 { (number, power) } else { (number.checked_mul(power)?, 1) })
}

fn signed(text: &str, parse: impl Fn(&str) -> Option<i128>) -> Option<i128> {
    match text.strip_prefix('-') {
        Some(rest) => parse(rest).map(|number| -number),
        None => parse(text.strip_prefix('+').unwrap_or(text)),
    }
}

fn digits(text: &str) -> Option<i128> {
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    text.parse().ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(text: &str) -> Result<i64, String> {
        let mut cpus = NanoCpus::default();
        cpus.set(text).map(|()| cpus.0).map_err(|error| error.0)
    }

    #[test]
    fn decimals_and_fractions_are_exact() {
        for (text, nano) in [
            ("1.5", 1_500_000_000),
            ("1/2", 500_000_000),
            ("1e1", 10_000_000_000),
            (".5", 500_000_000),
            ("1.", NANO as i64),
        ] {
            assert_eq!(read(text), Ok(nano), "{text}");
        }
    }

    #[test]
    fn bad_numbers_are_refused_in_the_known_words() {
        assert_eq!(read("a").unwrap_err(), "failed to parse a as a rational number");
        assert_eq!(read("").unwrap_err(), "failed to parse  as a rational number");
        assert_eq!(read("0.0000000001").unwrap_err(), "value is too precise");
        assert_eq!(read("1/3").unwrap_err(), "value is too precise");
    }

    proptest! {
        #[test]
        fn any_text_never_panics(text in "[-+0-9./eE]{0,50}") {
            let _ = read(&text);
        }
    }
}
