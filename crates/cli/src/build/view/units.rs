//! Numbers as BuildKit's views show them.

/// `529B`, `1.05kB`, `29.15MB`.
pub(super) fn bytes(count: i64) -> String {
    let mut size = count as f64;
    let mut unit = 0;
    const UNITS: [&str; 6] = ["B", "kB", "MB", "GB", "TB", "PB"];
    while size >= 1000.0 && unit + 1 < UNITS.len() {
        size /= 1000.0;
        unit += 1;
    }
    if unit == 0 { format!("{count}B") } else { format!("{size:.2}{}", UNITS[unit]) }
}

/// `1.05kB / 29.15MB`, or only what is done where there is no total.
pub(super) fn amount(current: i64, total: i64) -> String {
    match (current, total) {
        (0, 0) => String::new(),
        (_, 0) => bytes(current),
        _ => format!("{} / {}", bytes(current), bytes(total)),
    }
}

/// Nanoseconds as seconds.
pub(super) fn seconds(nanoseconds: i64) -> f64 {
    nanoseconds.max(0) as f64 / 1e9
}

/// A time in the run of a step, with about as many digits whatever it is: `0.123`, `12.34`, `123.4`.
pub(super) fn moment(nanoseconds: i64) -> String {
    let seconds = seconds(nanoseconds);
    let digits = match seconds {
        it if it < 10.0 => 3,
        it if it < 100.0 => 2,
        _ => 1,
    };
    format!("{seconds:.digits$}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_short() {
        assert_eq!((bytes(0), bytes(999), bytes(1050)), ("0B".into(), "999B".into(), "1.05kB".into()));
        assert_eq!(amount(0, 0), "");
        assert_eq!(amount(31, 0), "31B");
        assert_eq!(amount(0, 29_150_000), "0B / 29.15MB");
        assert_eq!(
            (moment(1_234_567_890), moment(12_340_000_000), moment(123_450_000_000)),
            ("1.235".to_owned(), "12.34".to_owned(), "123.5".to_owned())
        );
    }
}
