//! Names of signals.

const NAMES: [&str; 34] = [
    "ABRT", "ALRM", "BUS", "CHLD", "CLD", "CONT", "FPE", "HUP", "ILL", "INT", "IO", "IOT", "KILL", "PIPE",
    "POLL", "PROF", "PWR", "QUIT", "SEGV", "STKFLT", "STOP", "SYS", "TERM", "TRAP", "TSTP", "TTIN", "TTOU",
    "URG", "USR1", "USR2", "VTALRM", "WINCH", "XCPU", "XFSZ",
];
/// The number of the last one.
const LAST: i32 = 64;
/// How far a real-time signal can be from the first one, and from the last one.
const REAL_TIME: u32 = 30;

/// Whether a text names a signal: `9`, `KILL`, `SIGKILL`, `RTMIN+3`, in any case.
pub(super) fn is_signal(text: &str) -> bool {
    if let Ok(number) = text.parse::<i32>() {
        return (1..=LAST).contains(&number);
    }
    let upper = text.to_ascii_uppercase();
    let name = upper.strip_prefix("SIG").unwrap_or(&upper);
    let offset = |rest: &str, sign: char| {
        rest.is_empty()
            || rest.strip_prefix(sign).and_then(|text| text.parse().ok()).is_some_and(|n: u32| n <= REAL_TIME)
    };
    NAMES.contains(&name)
        || name.strip_prefix("RTMIN").is_some_and(|rest| offset(rest, '+'))
        || name.strip_prefix("RTMAX").is_some_and(|rest| offset(rest, '-'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signals_are_known_by_name_and_number() {
        for text in ["9", "KILL", "sigterm", "SIGRTMIN+3", "RTMAX-30", "RTMIN"] {
            assert!(is_signal(text), "{text}");
        }
        for text in ["0", "65", "-1", "NOPE", "", "SIG", "RTMIN+31", "RTMAX+1"] {
            assert!(!is_signal(text), "{text}");
        }
    }
}
