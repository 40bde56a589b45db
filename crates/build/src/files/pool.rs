//! Work that makes more work, done by a few threads.

use std::num::NonZero;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;

use super::error::Error;

const MAX_THREADS: usize = 4;

/// What is still to be done. The last that came is done first, so that little waits at any time.
pub(super) struct Queue<J> {
    state: Mutex<State<J>>,
    changed: Condvar,
}

struct State<J> {
    pending: Vec<J>,
    /// Jobs that are being done, and may make more.
    running: usize,
    failed: Option<Error>,
}

/// Does a job and all that come of it. Each thread has something of its own for its jobs, such as a buffer.
///
/// # Errors
/// The first one; what is not begun by then is not done.
pub(super) fn run<J: Send, O>(
    first: J,
    own: impl Fn() -> O + Sync,
    work: impl Fn(&mut O, J, &Queue<J>) -> Result<(), Error> + Sync,
) -> Result<(), Error> {
    let state = State { pending: vec![first], running: 0, failed: None };
    let queue = Queue { state: Mutex::new(state), changed: Condvar::new() };
    let mut helpers = thread::available_parallelism().map_or(1, NonZero::get).min(MAX_THREADS) - 1;
    thread::scope(|scope| {
        let mut mine = own();
        while let Some(job) = queue.take() {
            queue.finish(|| work(&mut mine, job, &queue));
            // Little work is done before another thread has begun.
            while helpers > 0 && queue.lock().pending.len() > 1 {
                helpers -= 1;
                scope.spawn(|| {
                    let mut mine = own();
                    while let Some(job) = queue.take() {
                        queue.finish(|| work(&mut mine, job, &queue));
                    }
                });
            }
        }
    });
    let state = queue.state.into_inner().unwrap_or_else(PoisonError::into_inner);
    state.failed.map_or(Ok(()), Err)
}

impl<J> Queue<J> {
    fn lock(&self) -> MutexGuard<'_, State<J>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds jobs.
    pub(super) fn add(&self, jobs: impl IntoIterator<Item = J>) {
        self.lock().pending.extend(jobs);
        self.changed.notify_all();
    }

    fn take(&self) -> Option<J> {
        let mut state = self.lock();
        loop {
            if state.failed.is_some() {
                return None;
            }
            if let Some(job) = state.pending.pop() {
                state.running += 1;
                return Some(job);
            }
            if state.running == 0 {
                return None;
            }
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn finish(&self, work: impl FnOnce() -> Result<(), Error>) {
        /// Others wait for the end of this job, also where it ends in a panic.
        struct End<'a, J>(&'a Queue<J>);
        impl<J> Drop for End<'_, J> {
            fn drop(&mut self) {
                self.0.lock().running -= 1;
                self.0.changed.notify_all();
            }
        }
        let _end = End(self);
        if let Err(error) = work() {
            self.lock().failed.get_or_insert(error);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[test]
    fn jobs_of_jobs_are_done_once() {
        let done = AtomicUsize::new(0);
        let result = run(
            12_u32,
            || (),
            |(), depth, queue| {
                done.fetch_add(1, Ordering::Relaxed);
                queue.add((0..2).filter(|_| depth > 0).map(|_| depth - 1));
                Ok(())
            },
        );
        assert!(result.is_ok());
        assert_eq!(done.into_inner(), (1 << 13) - 1);
    }

    #[test]
    fn first_failure_ends_all() {
        let result = run(
            0_u32,
            || (),
            |(), depth, queue| {
                queue.add([depth + 1, depth + 1]);
                if depth == 9 { Err(Error::Range) } else { Ok(()) }
            },
        );
        assert!(matches!(result, Err(Error::Range)));
    }
}
