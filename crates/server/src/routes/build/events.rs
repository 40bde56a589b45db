//! A build as Corten's own client is told of it.

use api::build::{BuildEvent, BuildMessage};
use api::image::{Descriptor, ProgressMessage};
use base64::Engine as _;
use build::{Built, Event};
use dockerfile::lint::{Report, Warning};
use jiff::Timestamp;
use serde_json::json;

use crate::routes::image_shape;

/// Makes messages of events.
#[derive(Debug, Default)]
pub(super) struct Own;

impl Own {
    pub(super) fn event(&mut self, event: Event) -> Vec<BuildMessage> {
        of_event(event).map(message).into_iter().collect()
    }

    pub(super) fn end(&mut self, outcome: &Result<Built, build::Error>) -> Vec<BuildMessage> {
        match outcome {
            Ok(built) => {
                let warnings = built.warnings.iter().map(|(warning, excerpt)| of_warning(warning, excerpt));
                let result = BuildEvent::Result {
                    config: built.id.to_string(),
                    manifest: Some(Box::new(descriptor(&built.manifest))),
                    names: built.names.iter().map(ToString::to_string).collect(),
                };
                warnings.chain([result]).map(message).chain([image(built)]).collect()
            }
            Err(error) => {
                let excerpt = Some(error.excerpt()).filter(|text| !text.is_empty());
                let excerpt = excerpt.map(|text| message(BuildEvent::Excerpt { text: text.to_owned() }));
                let last = ProgressMessage::error(error.to_string());
                excerpt.into_iter().chain([BuildMessage { message: last, event: None }]).collect()
            }
        }
    }
}

fn descriptor(manifest: &image::manifest::Descriptor) -> Descriptor {
    Descriptor {
        media_type: manifest.media_type.clone(),
        digest: manifest.digest.to_string(),
        size: i64::try_from(manifest.size).unwrap_or(i64::MAX),
        ..Descriptor::default()
    }
}

fn message(event: BuildEvent) -> BuildMessage {
    BuildMessage { event: Some(event), ..BuildMessage::default() }
}

/// The image's ID, for programs.
fn image(built: &Built) -> BuildMessage {
    let aux = Some(json!({ "ID": built.id }));
    BuildMessage { message: ProgressMessage { aux, ..ProgressMessage::default() }, event: None }
}

/// The result of a check.
pub(super) fn checked(report: &Report) -> BuildMessage {
    message(BuildEvent::Checked { text: report.text(), json: report.json(), status: report.status() })
}

fn of_event(event: Event) -> Option<BuildEvent> {
    Some(match event {
        Event::Vertex { id, name, inputs } => BuildEvent::Vertex { id, name, inputs },
        Event::Planned { .. } | Event::Running { .. } => return None,
        Event::Started { id, time } => BuildEvent::Started { id, time: nanoseconds(time) },
        Event::Cached { id } => BuildEvent::Cached { id },
        Event::Missed { id, reason } => BuildEvent::Missed { id, reason },
        Event::Status { id, item, current, total, is_done } => BuildEvent::Status {
            id,
            item,
            current: image_shape::bytes(current),
            total: image_shape::bytes(total),
            is_done,
        },
        Event::Log { id, stream, data } => {
            BuildEvent::Log { id, stream, data: base64::engine::general_purpose::STANDARD.encode(data) }
        }
        Event::Completed { id, time, error, .. } => {
            BuildEvent::Completed { id, time: nanoseconds(time), error: error.unwrap_or_default() }
        }
    })
}

fn of_warning(warning: &Warning, excerpt: &str) -> BuildEvent {
    let Warning { rule, detail, lines } = warning;
    BuildEvent::Warning {
        message: format!("{}: {detail} (line {})", rule.name(), lines.first),
        url: rule.url().unwrap_or_default(),
        detail: rule.description().to_owned(),
        excerpt: excerpt.to_owned(),
    }
}

fn nanoseconds(time: Timestamp) -> i64 {
    i64::try_from(time.as_nanosecond()).unwrap_or_default()
}
