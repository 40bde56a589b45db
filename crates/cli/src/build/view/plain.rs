//! Lines, as BuildKit's plain progress: `#5 [2/3] RUN make`, `#5 0.123 output`, `#5 DONE 0.4s`.
//!
//! One step at a time has the word. What others say waits until it is done, until they are, or for a few seconds.

use std::collections::BTreeMap;

use api::build::BuildEvent;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::View;
use super::logs::clean;
use super::report::{excerpt, failed_steps};
use super::terminal::Size;
use super::trace::{Step, Trace};
use super::units::{amount, moment, seconds};

/// How long a step may wait while another one has the word.
const PATIENCE: i64 = 5_000_000_000;
/// A status is told again after this time, …
const STATUS_PAUSE: i64 = 5_000_000_000;
/// … or when this share of it was done since.
const STATUS_SHARE: f64 = 0.05;
/// As many of the last lines of a step that failed are repeated.
const REPEATED: usize = 10;

/// The view.
#[derive(Default)]
pub(in super::super) struct Plain {
    /// Who has the word.
    current: Option<u32>,
    is_begun: bool,
    speakers: BTreeMap<u32, Speaker>,
}

/// What a step has said.
#[derive(Default)]
struct Speaker {
    /// What waits, and since when.
    waiting: Vec<u8>,
    since: Option<i64>,
    /// Whether its last line has no end yet.
    is_open: bool,
    is_closed: bool,
    /// What was told last of each thing that it does: when, and how far it was.
    told: BTreeMap<String, (i64, i64)>,
}

impl View for Plain {
    fn event(&mut self, event: &BuildEvent, trace: &Trace, now: i64) -> Vec<u8> {
        let mut out = Vec::new();
        let Some(id) = subject(event) else { return out };
        let (Some(step), speaker) = (trace.steps.get(&id), self.speakers.entry(id).or_default()) else {
            return out;
        };
        if speaker.is_closed {
            return out;
        }
        let number = trace.number(id);
        speaker.say(event, step, (number, trace.duration(step, now)), now);
        speaker.is_closed = step.is_done();
        match self.current {
            Some(current) if current != id && !step.is_done() => {}
            _ => self.speak(id, trace, &mut out),
        }
        if self.current.is_none() {
            self.pass_on(trace, &mut out);
        }
        out
    }

    fn tick(&mut self, trace: &Trace, now: i64, _: Size) -> Vec<u8> {
        let mut out = Vec::new();
        if let Some((id, _)) = self.longest_waiting().filter(|(_, since)| now - since > PATIENCE) {
            self.speak(id, trace, &mut out);
        }
        out
    }

    fn end(&mut self, trace: &Trace, _: i64) -> Vec<u8> {
        let mut out = Vec::new();
        while let Some((id, _)) = self.longest_waiting() {
            self.speak(id, trace, &mut out);
        }
        if self.current.is_some_and(|id| self.speakers[&id].is_open) {
            out.push(b'\n');
        }
        out.extend(failed_steps(trace, REPEATED, |line| line.to_vec()));
        out.extend(excerpt(trace).into_bytes());
        out
    }
}

fn subject(event: &BuildEvent) -> Option<u32> {
    match event {
        BuildEvent::Started { id, .. }
        | BuildEvent::Cached { id }
        | BuildEvent::Missed { id, .. }
        | BuildEvent::Status { id, .. }
        | BuildEvent::Log { id, .. }
        | BuildEvent::Completed { id, .. } => Some(*id),
        _ => None,
    }
}

impl Plain {
    /// Gives a step the word, and writes what it has to say.
    fn speak(&mut self, id: u32, trace: &Trace, out: &mut Vec<u8>) {
        let number = trace.number(id);
        if self.current != Some(id) {
            if let Some(old) = self.current {
                let speaker = self.speakers.entry(old).or_default();
                if std::mem::take(&mut speaker.is_open) {
                    out.push(b'\n');
                }
                out.extend(format!("#{} ...\n", trace.number(old)).bytes());
            }
            if std::mem::replace(&mut self.is_begun, true) {
                out.push(b'\n');
            }
            let name = trace.steps.get(&id).map(|step| clean(step.name.as_bytes())).unwrap_or_default();
            out.extend(format!("#{number} {name}\n").bytes());
        }
        let speaker = self.speakers.entry(id).or_default();
        out.append(&mut speaker.waiting);
        speaker.since = None;
        self.current = (!speaker.is_closed).then_some(id);
    }

    /// Lets the one speak that waits longest, if any does.
    fn pass_on(&mut self, trace: &Trace, out: &mut Vec<u8>) {
        if let Some((id, _)) = self.longest_waiting() {
            self.speak(id, trace, out);
        }
    }

    fn longest_waiting(&self) -> Option<(u32, i64)> {
        let waiting = self.speakers.iter().filter_map(|(id, speaker)| Some((*id, speaker.since?)));
        waiting.min_by_key(|(_, since)| *since)
    }
}

impl Speaker {
    fn say(&mut self, event: &BuildEvent, step: &Step, (number, duration): (usize, i64), now: i64) {
        self.since.get_or_insert(now);
        match event {
            BuildEvent::Log { data, .. } => {
                self.output(number, duration, &STANDARD.decode(data).unwrap_or_default());
            }
            BuildEvent::Cached { .. } => self.line(format!("#{number} CACHED")),
            BuildEvent::Missed { reason, .. } => self.line(format!("#{number} NOT CACHED: {reason}")),
            BuildEvent::Status { item, .. } => self.status(item, step, number, now),
            BuildEvent::Completed { .. } if step.is_canceled() => self.line(format!("#{number} CANCELED")),
            BuildEvent::Completed { error, .. } if !error.is_empty() => {
                self.line(format!("#{number} ERROR: {error}"));
            }
            BuildEvent::Completed { .. } => self.line(format!("#{number} DONE {:.1}s", seconds(duration))),
            _ => {}
        }
    }

    fn line(&mut self, text: String) {
        if std::mem::take(&mut self.is_open) {
            self.waiting.push(b'\n');
        }
        self.waiting.extend(text.bytes());
        self.waiting.push(b'\n');
    }

    /// Output goes on as it is: what it does to a terminal it would do without us.
    fn output(&mut self, number: usize, at: i64, bytes: &[u8]) {
        for part in bytes.split_inclusive(|byte| *byte == b'\n') {
            if !self.is_open {
                self.waiting.extend(format!("#{number} {} ", moment(at)).bytes());
            }
            self.waiting.extend(part);
            self.is_open = !part.ends_with(b"\n");
        }
    }

    fn status(&mut self, name: &str, step: &Step, number: usize, now: i64) {
        let Some(item) = step.item(name) else { return };
        if let (Some((when, current)), false) = (self.told.get(name), item.is_done) {
            let share = (item.current - current) as f64 / item.total.max(1) as f64;
            if now - when < STATUS_PAUSE && share < STATUS_SHARE {
                return;
            }
        }
        self.told.insert(name.to_owned(), (now, item.current));
        let mut line = format!("#{number} {}", clean(name.as_bytes()));
        let took = seconds(now - item.began);
        for part in [
            amount(item.current, item.total),
            if took > 0.01 { format!("{took:.1}s") } else { String::new() },
            if item.is_done { "done".to_owned() } else { String::new() },
        ] {
            if !part.is_empty() {
                line.push(' ');
                line.push_str(&part);
            }
        }
        self.line(line);
    }
}

#[cfg(test)]
mod tests {
    use super::super::script::Script;
    use super::*;

    fn shown(script: Script) -> String {
        String::from_utf8(script.play(&mut Plain::default())).unwrap()
    }

    #[test]
    fn build_is_shown_step_by_step() {
        let script = Script::new()
            .vertices(&[
                "[internal] load metadata for docker.io/library/busybox",
                "[1/2] FROM busybox",
                "[2/2] RUN make",
            ])
            .started(0)
            .after(20)
            .status(0, "resolve", 0, 0, false)
            .after(80)
            .status(0, "resolve", 0, 0, true)
            .completed(0)
            .started(1)
            .cached(1)
            .started(2)
            .after(123)
            .log(2, "one\ntw")
            .log(2, "o\n")
            .after(300)
            .completed(2)
            .result("sha256:1");
        insta::assert_snapshot!(shown(script), @r"
        #1 [internal] load metadata for docker.io/library/busybox
        #1 resolve
        #1 resolve 0.1s done
        #1 DONE 0.1s

        #2 [1/2] FROM busybox
        #2 CACHED

        #3 [2/2] RUN make
        #3 0.123 one
        #3 0.123 two
        #3 DONE 0.4s
        ");
    }

    #[test]
    fn steps_in_parallel_do_not_mix() {
        let script = Script::new()
            .vertices(&["[a 2/2] RUN a", "[b 2/2] RUN b", "[c 2/2] RUN c"])
            .started(0)
            .started(1)
            .started(2)
            .log(0, "a1\n")
            .log(1, "b1\n")
            .log(0, "a2 without end")
            .log(2, "c1\n")
            .completed(1)
            .log(0, "a3\n")
            .after(6000)
            .log(0, "a4\n")
            .after(100)
            .completed(0)
            .completed(2);
        insta::assert_snapshot!(shown(script), @r"
        #1 [a 2/2] RUN a
        #1 0.000 a1
        #1 0.000 a2 without end
        #1 ...

        #2 [b 2/2] RUN b
        #2 0.000 b1
        #2 DONE 0.0s

        #3 [c 2/2] RUN c
        #3 0.000 c1
        #3 ...

        #1 [a 2/2] RUN a
        #1 0.000 a3
        #1 6.000 a4
        #1 DONE 6.1s

        #3 [c 2/2] RUN c
        #3 DONE 6.1s
        ");
    }

    #[test]
    fn failure_repeats_the_last_lines_and_shows_the_place() {
        let mut script = Script::new().vertices(&["[2/2] RUN false", "[x 1/1] RUN x"]).started(1).started(0);
        for number in 0..12 {
            script = script.log(0, &format!("line {number}\n"));
        }
        let script = script
            .failed(0, "process \"/bin/sh -c false\" did not complete successfully: exit code: 1")
            .failed(1, "context canceled")
            .excerpt("Dockerfile:2\n--------------------\n   2 | >>> RUN false\n--------------------\n");
        let text = shown(script);
        let (_, end) = text.split_once("line 11\n").unwrap();
        insta::assert_snapshot!(end, @r#"
        #2 ERROR: process "/bin/sh -c false" did not complete successfully: exit code: 1

        #1 [x 1/1] RUN x
        #1 CANCELED
        ------
         > [2/2] RUN false:
        0.000 line 2
        0.000 line 3
        0.000 line 4
        0.000 line 5
        0.000 line 6
        0.000 line 7
        0.000 line 8
        0.000 line 9
        0.000 line 10
        0.000 line 11
        ------
        Dockerfile:2
        --------------------
           2 | >>> RUN false
        --------------------
        "#);
    }

    #[test]
    fn statuses_are_told_now_and_then() {
        let mut script = Script::new().vertices(&["[1/1] FROM x"]).started(0);
        for done in 0..=100 {
            script = script.after(10).status(0, "sha256:abc", done * 10_000, 1_000_000, done == 100);
        }
        let text = shown(script.completed(0));
        assert_eq!(text.matches("sha256:abc").count(), 21, "{text}");
        assert!(
            text.contains("#1 sha256:abc 50.00kB / 1.00MB\n") || text.contains("50.00kB / 1.00MB 0.1s\n"),
            "{text}"
        );
        assert!(text.contains("#1 sha256:abc 1.00MB / 1.00MB 1.0s done\n"), "{text}");
    }

    #[test]
    fn misses_are_told_with_their_reason() {
        let script = Script::new()
            .vertices(&["[2/2] COPY . ."])
            .started(0)
            .missed(0, "the content of \"a\" is another one")
            .completed(0)
            .completed(0);
        assert_eq!(
            shown(script),
            "#1 [2/2] COPY . .\n#1 NOT CACHED: the content of \"a\" is another one\n#1 DONE 0.0s\n"
        );
    }
}
