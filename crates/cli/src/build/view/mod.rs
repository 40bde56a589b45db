//! What users see of a build: events and a clock go in, text comes out.
//!
//! | view | for |
//! |---|---|
//! | [`Plain`] | files, pipes, logs: lines, each with its step's number |
//! | [`Terminal`] | people: a picture that is drawn anew |
//! | [`RawJson`] | programs: the events as they come, one a line |
//! | [`Silent`] | nobody, unless the build fails |
//!
//! Nothing here reads a clock or writes to a descriptor, so that whole builds are shown in tests.

mod canvas;
mod frame;
mod logs;
mod plain;
mod report;
mod terminal;
mod trace;
mod units;

pub(super) use plain::Plain;
pub(super) use report::{cache_report, warnings};
pub(super) use terminal::{Size, Terminal};
pub(super) use trace::Trace;

use api::build::BuildEvent;

/// A way to show a build. Times are nanoseconds since 1970 UTC, by this machine's clock.
pub(super) trait View {
    /// What is to be written when this happens. `trace` has it already.
    fn event(&mut self, event: &BuildEvent, trace: &Trace, now: i64) -> Vec<u8>;

    /// What is to be written when time goes by, or when the terminal has another size.
    fn tick(&mut self, _trace: &Trace, _now: i64, _size: Size) -> Vec<u8> {
        Vec::new()
    }

    /// What is to be written at the end.
    fn end(&mut self, _trace: &Trace, _now: i64) -> Vec<u8> {
        Vec::new()
    }
}

/// Every event as a line of JSON, as the engine sends it: `{"started":{"id":3,"time":1700000000000000000}}`.
pub(super) struct RawJson;

impl View for RawJson {
    fn event(&mut self, event: &BuildEvent, _: &Trace, _: i64) -> Vec<u8> {
        let mut line = serde_json::to_vec(event).expect("events are always JSON");
        line.push(b'\n');
        line
    }
}

/// Shows nothing.
pub(super) struct Silent;

impl View for Silent {
    fn event(&mut self, _: &BuildEvent, _: &Trace, _: i64) -> Vec<u8> {
        Vec::new()
    }
}

#[cfg(test)]
pub(super) mod script;
