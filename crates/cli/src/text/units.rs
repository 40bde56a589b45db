//! Sizes in the words and the rounding that `docker` shows.

/// A size in powers of 1000 with `digits` significant digits: `1.98MB`.
pub(crate) fn decimal_size(bytes: f64, digits: usize) -> String {
    scaled(bytes, 1000.0, digits, &["B", "kB", "MB", "GB", "TB", "PB", "EB", "ZB", "YB"])
}

/// A size in powers of 1024 with four significant digits: `23.54GiB`.
pub(crate) fn binary_size(bytes: f64) -> String {
    scaled(bytes, 1024.0, 4, &["B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB", "ZiB", "YiB"])
}

fn scaled(bytes: f64, base: f64, digits: usize, units: &[&str]) -> String {
    let (mut size, mut unit) = (bytes, 0);
    while size >= base && unit + 1 < units.len() {
        size /= base;
        unit += 1;
    }
    format!("{}{}", significant(size, digits), units[unit])
}

/// A number as C's `%.{digits}g` prints it.
pub(crate) fn significant(number: f64, digits: usize) -> String {
    if number == 0.0 {
        return "0".to_owned();
    }
    // Rounding may carry into a new digit, so the exponent is taken from the rounded form.
    let rounded = format!("{number:.*e}", digits - 1);
    let (mantissa, exponent) = rounded.split_once('e').expect("the format has an exponent");
    let exponent: i32 = exponent.parse().expect("the exponent is a number");
    if exponent < -4 || exponent >= digits as i32 {
        let sign = if exponent < 0 { '-' } else { '+' };
        return format!("{}e{sign}{:02}", trim_zeros(mantissa), exponent.abs());
    }
    let decimals = (digits as i32 - 1 - exponent) as usize;
    trim_zeros(&format!("{number:.decimals$}")).to_owned()
}

fn trim_zeros(number: &str) -> &str {
    match number.contains('.') {
        true => number.trim_end_matches('0').trim_end_matches('.'),
        false => number,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_round_to_significant_digits() {
        assert_eq!(decimal_size(1_984_158.0, 3), "1.98MB");
        assert_eq!(decimal_size(1_984_158.0, 4), "1.984MB");
        assert_eq!(decimal_size(0.0, 3), "0B");
        assert_eq!(decimal_size(1_000.0, 3), "1kB");
        assert_eq!(decimal_size(999_900.0, 3), "1e+03kB");
        assert_eq!(binary_size(23.54 * 1024.0 * 1024.0 * 1024.0), "23.54GiB");
        assert_eq!(binary_size(1024.0), "1KiB");
    }
}
