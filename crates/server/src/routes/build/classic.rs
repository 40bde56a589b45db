//! A build as Docker's clients without BuildKit are told of it: steps in the order of the file, whatever the order in which they
//! are done.

use std::collections::{BTreeMap, VecDeque};

use api::image::{ErrorDetail, ProgressMessage};
use build::{Built, Event};
use dockerfile::plan::Plan;
use oci::Digest;
use serde_json::json;

use crate::routes::image_shape;

/// Makes the classic messages of events.
#[derive(Debug)]
pub(super) struct Classic {
    /// What is told of a quiet build only if it fails.
    held: Option<Held>,
    steps: VecDeque<Step>,
    count: usize,
    total: usize,
    /// The step that is told now.
    current: Option<Step>,
    /// What came of vertices before it was their turn.
    waiting: BTreeMap<u32, Vec<Event>>,
    /// What the result of the step before is called.
    id: Digest,
}

/// An instruction.
#[derive(Debug)]
struct Step {
    code: String,
    vertex: Option<u32>,
    is_cached: bool,
    is_running: Option<String>,
    text: [Utf8; 2],
}

impl Classic {
    pub(super) fn new(is_quiet: bool) -> Self {
        Self {
            held: is_quiet.then(Held::default),
            steps: VecDeque::new(),
            count: 0,
            total: 0,
            current: None,
            waiting: BTreeMap::new(),
            id: Digest::of(b""),
        }
    }

    pub(super) fn event(&mut self, event: Event) -> Vec<ProgressMessage> {
        let messages = self.shown(event);
        match &mut self.held {
            Some(held) => {
                held.add(messages);
                Vec::new()
            }
            None => messages,
        }
    }

    fn shown(&mut self, event: Event) -> Vec<ProgressMessage> {
        let mut messages = Vec::new();
        match event {
            Event::Planned { plan, first } => {
                self.steps = steps(&plan, first);
                self.total = self.steps.len();
                self.begin(&mut messages);
            }
            Event::Status { item, current, total, .. } if !item.is_empty() => {
                messages.extend(status(&item, current, total));
            }
            event => match vertex_of(&event) {
                Some(vertex) if self.is_current(vertex) => self.tell(event, &mut messages),
                Some(vertex) => self.waiting.entry(vertex).or_default().push(event),
                None => {}
            },
        }
        messages
    }

    fn is_current(&self, vertex: u32) -> bool {
        self.current.as_ref().is_some_and(|step| step.vertex == Some(vertex))
    }

    /// Begins steps until one has to be waited for.
    fn begin(&mut self, messages: &mut Vec<ProgressMessage>) {
        while self.current.is_none() {
            let Some(step) = self.steps.pop_front() else { return };
            self.count += 1;
            let (count, total) = (self.count, self.total);
            messages.push(line(format!("Step {count}/{total} : {}\n", step.code)));
            let vertex = step.vertex;
            if vertex.is_none() {
                self.id = Digest::of(format!("{} {}", self.id, step.code).as_bytes());
                messages.push(line(format!(" ---> {}\n", self.id.short())));
                continue;
            }
            self.current = Some(step);
            for event in vertex.and_then(|vertex| self.waiting.remove(&vertex)).unwrap_or_default() {
                self.tell(event, messages);
            }
        }
    }

    /// Tells what comes of the present step.
    fn tell(&mut self, event: Event, messages: &mut Vec<ProgressMessage>) {
        let Some(step) = &mut self.current else { return };
        match event {
            Event::Cached { .. } => step.is_cached = true,
            Event::Running { container, .. } => {
                messages.push(line(format!(" ---> Running in {}\n", &container[..12])));
                step.is_running = Some(container);
            }
            Event::Log { stream, data, .. } => {
                let text = step.text[usize::from(stream == 2)].decode(&data);
                messages.extend((!text.is_empty()).then(|| line(text)));
            }
            Event::Completed { result: Some(result), .. } => {
                if step.is_cached {
                    messages.push(line(" ---> Using cache\n".to_owned()));
                }
                if let Some(container) = &step.is_running {
                    messages.push(line(format!("Removing intermediate container {}\n", &container[..12])));
                }
                messages.push(line(format!(" ---> {}\n", result.short())));
                self.id = result;
                self.current = None;
                self.begin(messages);
            }
            _ => {}
        }
    }

    pub(super) fn end(&mut self, outcome: &Result<Built, build::Error>) -> Vec<ProgressMessage> {
        match outcome {
            Ok(built) if self.held.is_some() => vec![aux(built), line(format!("{}\n", built.id))],
            Ok(built) => {
                let mut messages = vec![aux(built)];
                messages.push(line(format!("Successfully built {}\n", built.id.short())));
                let tagged = built.names.iter();
                messages
                    .extend(tagged.map(|name| line(format!("Successfully tagged {}\n", name.familiar()))));
                messages
            }
            // As dockerd does it, what came before tells why.
            Err(error) => {
                let held = self.held.take().map(|held| held.messages).unwrap_or_default();
                held.into_iter().chain([failure(error)]).collect()
            }
        }
    }
}

/// Text that is held of a quiet build; what is older goes.
const MAX_HELD: usize = 1 << 20;

/// The last messages of a build.
#[derive(Debug, Default)]
struct Held {
    messages: VecDeque<ProgressMessage>,
    bytes: usize,
}

impl Held {
    fn add(&mut self, messages: Vec<ProgressMessage>) {
        // Bars of pulls are of no use afterwards.
        for message in messages.into_iter().filter(|message| !message.stream.is_empty()) {
            self.bytes += message.stream.len();
            self.messages.push_back(message);
        }
        while self.bytes > MAX_HELD {
            let Some(oldest) = self.messages.pop_front() else { return };
            self.bytes -= oldest.stream.len();
        }
    }
}

fn aux(built: &Built) -> ProgressMessage {
    ProgressMessage { aux: Some(json!({ "ID": built.id })), ..ProgressMessage::default() }
}

fn line(text: String) -> ProgressMessage {
    ProgressMessage::stream(text)
}

/// The text of an error, in the words of the classic builder where it has words of its own.
fn failure(error: &build::Error) -> ProgressMessage {
    let (command, code) = match error {
        build::Error::Command { command, code, .. } => (command, *code),
        build::Error::Shared(error) => return failure(error),
        other => return ProgressMessage::error(other.to_string()),
    };
    let message = format!("The command '{command}' returned a non-zero code: {code}");
    let detail = ErrorDetail { code: i64::from(code), message: message.clone() };
    ProgressMessage { error_detail: Some(detail), ..ProgressMessage::error(message) }
}

/// All instructions of the stages that are needed.
fn steps(plan: &Plan, first: u32) -> VecDeque<Step> {
    let number = |vertex: dockerfile::plan::VertexId| first + u32::try_from(vertex.0).unwrap_or_default();
    let step = |code: String, vertex| Step {
        code,
        vertex,
        is_cached: false,
        is_running: None,
        text: Default::default(),
    };
    let mut steps = VecDeque::new();
    for stage in &plan.stages {
        steps.push_back(step(format!("FROM {}", stage.base), None));
        steps.extend(stage.steps.iter().map(|it| step(it.code.clone(), it.vertex.map(number))));
    }
    steps
}

fn vertex_of(event: &Event) -> Option<u32> {
    match event {
        Event::Cached { id }
        | Event::Running { id, .. }
        | Event::Log { id, .. }
        | Event::Completed { id, .. } => Some(*id),
        _ => None,
    }
}

/// A layer of an image that is pulled: `1a2b3c4d5e6f Downloading`.
fn status(item: &str, current: u64, total: u64) -> Option<ProgressMessage> {
    let (id, status) = item.split_once(' ')?;
    let is_layer = id.len() == 12 && id.bytes().all(|byte| byte.is_ascii_hexdigit());
    Some(match (is_layer, total) {
        (false, _) => ProgressMessage::status(item),
        (true, 0) => ProgressMessage::layer(id, status),
        (true, _) => ProgressMessage::layer_progress(
            id,
            status,
            image_shape::bytes(current),
            image_shape::bytes(total),
        ),
    })
}

/// Text that comes in pieces, which may end within a character.
#[derive(Debug, Default)]
struct Utf8(Vec<u8>);

impl Utf8 {
    fn decode(&mut self, data: &[u8]) -> String {
        self.0.extend_from_slice(data);
        let end = match std::str::from_utf8(&self.0) {
            Err(error) if error.error_len().is_none() => error.valid_up_to(),
            _ => self.0.len(),
        };
        let rest = self.0.split_off(end);
        let text = String::from_utf8_lossy(&self.0).into_owned();
        self.0 = rest;
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn character_in_two_pieces_is_one() {
        let mut text = Utf8::default();
        assert_eq!(text.decode(b"a\xc3"), "a");
        assert_eq!(text.decode(b"\xa4b\xff"), "äb\u{fffd}");
    }

    #[test]
    fn quiet_build_that_fails_tells_what_came_before() {
        let mut classic = Classic::new(true);
        let held = classic.held.as_mut().unwrap();
        held.add(vec![line("Step 1/1 : RUN false\n".to_owned()), ProgressMessage::status("Pulling")]);
        let error = build::Error::Command { command: "false".into(), code: 1, out_of_memory: false };
        let told = classic.end(&Err(error));
        assert_eq!(told.len(), 2);
        assert_eq!(told[0].stream, "Step 1/1 : RUN false\n");
        assert_eq!(told[1].error_detail.as_ref().unwrap().code, 1);
    }

    #[test]
    fn only_the_end_of_a_long_build_is_held() {
        let mut held = Held::default();
        for _ in 0..5 {
            held.add(vec![line("x".repeat(MAX_HELD / 2))]);
        }
        assert_eq!((held.messages.len(), held.bytes), (2, MAX_HELD));
    }

    #[test]
    fn failed_command_is_told_with_its_code() {
        let error =
            build::Error::Command { command: "/bin/sh -c false".into(), code: 7, out_of_memory: false };
        let message = failure(&error);
        assert_eq!(message.error, "The command '/bin/sh -c false' returned a non-zero code: 7");
        assert_eq!(message.error_detail.unwrap().code, 7);
    }
}
