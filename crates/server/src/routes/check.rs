//! Verifying everything that is kept, and putting out of use what is damaged.

use std::ops::ControlFlow;

use api::image::ProgressMessage;
use api::system::{CheckFinding, CheckReport};
use engine::Engine;
use futures_util::stream;
use image::{CheckProgress, Finding, Outcome, Repair, Subject};
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};

use super::{Api, image_shape};
use crate::error::Error;
use crate::http::{Call, Response, json_lines};

impl Api {
    /// Progress, and then the report. The check ends when the client leaves.
    pub(super) fn check_system(&self, call: &Call) -> Response {
        let repair = call.query().flag("repair");
        let engine = self.engine.clone();
        let (sender, receiver) = unbounded_channel();
        tokio::task::spawn_blocking(move || {
            let last = match check(&engine, repair, &sender) {
                Ok(report) => {
                    ProgressMessage { aux: serde_json::to_value(report).ok(), ..ProgressMessage::default() }
                }
                Err(error) => ProgressMessage::error(error.to_string()),
            };
            // A client that has left wants no answer.
            let _ = sender.send(last);
        });
        json_lines(stream::unfold(receiver, async |mut receiver| Some((receiver.recv().await?, receiver))))
    }
}

fn check(
    engine: &Engine,
    repair: bool,
    sender: &UnboundedSender<ProgressMessage>,
) -> Result<CheckReport, Error> {
    let records = engine.verify_records()?;
    let running = |id: &str| engine.name_and_running(id).is_some_and(|(_, running)| running);
    let repair = if repair { Repair::Yes { running: &running } } else { Repair::No };
    let mut progress = |progress: CheckProgress| match sender.send(message(&progress)) {
        Ok(()) => ControlFlow::Continue(()),
        Err(_) => ControlFlow::Break(()),
    };
    let checked = engine.images().check(&repair, &mut progress)?;
    let of_engine = records.into_iter().map(|(path, problem)| CheckFinding {
        kind: "records".into(),
        id: path.display().to_string(),
        problem,
        ..CheckFinding::default()
    });
    let of_images = checked.findings.into_iter().map(|finding| describe(engine, finding));
    Ok(CheckReport {
        blobs: checked.blobs,
        bytes: checked.bytes,
        layers: checked.layers,
        images: checked.images,
        findings: of_engine.chain(of_images).collect(),
    })
}

fn message(progress: &CheckProgress) -> ProgressMessage {
    let mut message = ProgressMessage::layer_progress(
        progress.what,
        "Verifying",
        image_shape::bytes(progress.done),
        image_shape::bytes(progress.total),
    );
    if let Some(detail) = &mut message.progress_detail {
        detail.units = progress.what.into();
    }
    message
}

fn describe(engine: &Engine, finding: Finding) -> CheckFinding {
    let name = |id: &String| engine.name_and_running(id).map_or_else(|| id.clone(), |(name, _)| name);
    let (kind, id) = match finding.subject {
        Subject::Blob(digest) => ("blob", digest.to_string()),
        Subject::Layer(digest) => ("layer", digest.to_string()),
        Subject::Image(digest) => ("image", digest.to_string()),
        Subject::Snapshot(id) => ("container", id),
        Subject::Records(path) => ("records", path.display().to_string()),
    };
    let (action, reason) = match finding.outcome {
        Outcome::Told => ("", ""),
        Outcome::Restored => ("restored", ""),
        Outcome::Quarantined => ("quarantined", ""),
        Outcome::ImagesRemoved => ("removed", ""),
        Outcome::Kept(reason) => ("kept", reason),
    };
    CheckFinding {
        kind: kind.into(),
        id,
        problem: finding.problem,
        images: finding.images,
        containers: finding.snapshots.iter().map(name).collect(),
        action: action.into(),
        reason: reason.into(),
    }
}
