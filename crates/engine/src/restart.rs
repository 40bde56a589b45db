//! When and how soon a container that ended is started again. Pure: decides, does nothing.

use std::time::Duration;

const FIRST_DELAY: Duration = Duration::from_millis(100);
const LONGEST_DELAY: Duration = Duration::from_secs(60);
/// A container that ran for this long starts afresh with the shortest delay.
const STABLE_AFTER: Duration = Duration::from_secs(10);

/// When a container is started again by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RestartPolicy {
    /// Never.
    No,
    /// Whenever it ends.
    Always,
    /// Whenever it ends, but after the engine's own start only if it was not stopped before.
    UnlessStopped,
    /// When it ends with another code than 0, at most this often; 0 is without limit.
    OnFailure { most: u32 },
}

/// How a run ended, as far as the policy asks.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ended {
    pub(crate) exit_code: i32,
    /// Somebody asked for the end (stop, kill).
    pub(crate) asked_for: bool,
    /// How often the policy has already started the container again.
    pub(crate) restarts: u32,
}

impl RestartPolicy {
    /// Whether a container that ended so is started again.
    pub(crate) fn restarts_after(self, ended: Ended) -> bool {
        if ended.asked_for {
            return false;
        }
        match self {
            Self::No => false,
            Self::Always | Self::UnlessStopped => true,
            Self::OnFailure { most } => ended.exit_code != 0 && (most == 0 || ended.restarts < most),
        }
    }

    /// Whether a container found ended at the engine's start is started.
    pub(crate) fn restarts_with_engine(self, ended: Ended) -> bool {
        match self {
            Self::Always => true,
            _ => self.restarts_after(ended),
        }
    }
}

/// The growing delay between restarts: doubled from 100 ms up to a minute.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct BackOff {
    last: Option<Duration>,
}

impl BackOff {
    /// The delay before the next start, after a run that lasted `ran`.
    pub(crate) fn next(&mut self, ran: Duration) -> Duration {
        let delay = match self.last {
            Some(last) if ran < STABLE_AFTER => (last * 2).min(LONGEST_DELAY),
            _ => FIRST_DELAY,
        };
        self.last = Some(delay);
        delay
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ended(exit_code: i32, asked_for: bool, restarts: u32) -> Ended {
        Ended { exit_code, asked_for, restarts }
    }

    #[test]
    fn on_failure_restarts_until_its_limit_and_never_after_success() {
        let policy = RestartPolicy::OnFailure { most: 2 };
        assert!(policy.restarts_after(ended(1, false, 1)));
        assert!(!policy.restarts_after(ended(1, false, 2)));
        assert!(!policy.restarts_after(ended(0, false, 0)));
        assert!(RestartPolicy::OnFailure { most: 0 }.restarts_after(ended(1, false, 1000)));
    }

    #[test]
    fn container_stopped_on_request_is_restarted_by_no_policy() {
        for policy in
            [RestartPolicy::Always, RestartPolicy::UnlessStopped, RestartPolicy::OnFailure { most: 0 }]
        {
            assert!(!policy.restarts_after(ended(137, true, 0)));
        }
    }

    #[test]
    fn only_always_restarts_a_stopped_container_with_the_engine() {
        assert!(RestartPolicy::Always.restarts_with_engine(ended(0, true, 0)));
        assert!(!RestartPolicy::UnlessStopped.restarts_with_engine(ended(0, true, 0)));
        assert!(RestartPolicy::UnlessStopped.restarts_with_engine(ended(0, false, 0)));
        assert!(!RestartPolicy::No.restarts_with_engine(ended(1, false, 0)));
    }

    #[test]
    fn back_off_doubles_to_a_minute_and_starts_over_after_a_long_run() {
        let mut back_off = BackOff::default();
        let delays: Vec<u128> = (0..12).map(|_| back_off.next(Duration::ZERO).as_millis()).collect();
        assert_eq!(delays[..4], [100, 200, 400, 800]);
        assert_eq!(delays[11], 60_000);
        assert_eq!(back_off.next(Duration::from_secs(11)).as_millis(), 100);
    }
}
