//! Signals that the client passes on to the container, or ends by.

use tokio::signal::unix::{Signal, SignalKind, signal};

/// Signals that are not the user's: about children, pipes, and the terminal's size; and those of faults, which
/// cannot be caught.
const NOT_FORWARDED: &[i32] = &[4, 8, 9, 11, 13, 17, 19, 23, 28];

/// All signals that can be passed on.
pub(crate) struct Signals(Vec<(i32, Signal)>);

impl Signals {
    /// From now on these signals no longer end the client. Must be called inside the runtime.
    pub(crate) fn catch() -> Self {
        let numbers = (1..=31).filter(|number| !NOT_FORWARDED.contains(number));
        Self(
            numbers.filter_map(|number| Some((number, signal(SignalKind::from_raw(number)).ok()?))).collect(),
        )
    }

    /// Those by which a user or a system ends a program.
    pub(crate) fn catch_endings() -> Self {
        let numbers = [1, 2, 3, 15];
        Self(
            numbers
                .into_iter()
                .filter_map(|number| Some((number, signal(SignalKind::from_raw(number)).ok()?)))
                .collect(),
        )
    }

    /// The number of the next signal.
    pub(crate) async fn next(&mut self) -> i32 {
        std::future::poll_fn(|context| {
            for (number, signal) in &mut self.0 {
                if signal.poll_recv(context).is_ready() {
                    return std::task::Poll::Ready(*number);
                }
            }
            std::task::Poll::Pending
        })
        .await
    }
}

/// Tells when the terminal's size changes.
pub(crate) fn resizes() -> Option<Signal> {
    signal(SignalKind::window_change()).ok()
}
