//! The image of a build.
//!
//! Its times are those of its steps: a build that finds all of them gives the same image again, whenever it is done.

use std::sync::Arc;

use image::Draft;
use image::manifest::Descriptor;
use jiff::Timestamp;
use oci::{Digest, History, ImageConfig, Reference};
use serde::Serialize;
use tokio::task::spawn_blocking;

use crate::builder::Shared;
use crate::cache::{Identity, Note};
use crate::error::Error;
use crate::exchange;
use crate::progress::Progress;
use crate::solve::{Made, Outcome, Solved};

/// What a build has made.
#[derive(Clone, Debug)]
pub struct Built {
    /// The image's ID.
    pub id: Digest,
    /// The manifest that it has here: what archives have, and registries but for how layers are compressed.
    pub manifest: Descriptor,
    /// The names that it was given.
    pub names: Vec<Reference>,
    /// What checks have found, each with an excerpt.
    pub warnings: Vec<(dockerfile::lint::Warning, String)>,
}

/// Makes the image, and gives it its names.
pub(crate) async fn image(
    shared: &Arc<Shared>,
    solved: Arc<Solved>,
    progress: &Progress,
) -> Result<Built, Error> {
    let vertex = progress.vertex("exporting to image").await;
    progress.started(vertex).await;
    let shared = Arc::clone(shared);
    let made =
        spawn_blocking(move || commit(&shared, &solved)).await.expect("making an image does not panic");
    let (key, error) = match &made {
        Ok(built) => (Some(built.id.clone()), None),
        Err(error) => (None, Some(error.to_string())),
    };
    progress.completed(vertex, key, error).await;
    made
}

fn commit(shared: &Shared, solved: &Solved) -> Result<Built, Error> {
    let config = configuration(shared, solved)?;
    let content = match (&solved.root, solved.request.is_inline()) {
        (Some(root), true) => {
            let records = exchange::inline(root.tree.layers(), &root.steps);
            serde_json::to_vec(&WithRecords { config: &config, records })
        }
        _ => serde_json::to_vec(&config),
    };
    let content = content.expect("keys are texts");
    let id = Digest::of(&content);
    let ingest = shared.images.ingest()?;
    ingest.put_document("image configuration", &id, &content)?;
    let references = solved.request.tags.clone();
    let draft =
        Draft { config: id.clone(), manifest: None, documents: Vec::new(), references: references.clone() };
    ingest.commit_built(draft, solved.request.annotations.clone())?;
    let manifest = shared.images.manifest(&id)?;
    let source = dockerfile::syntax::text(&solved.request.dockerfile);
    let shown = |warning: &dockerfile::lint::Warning| {
        let excerpt = dockerfile::source::excerpt(&solved.request.name, &source, warning.lines, None);
        (warning.clone(), excerpt)
    };
    Ok(Built { id, manifest, names: references, warnings: solved.plan.warnings.iter().map(shown).collect() })
}

/// A configuration that says of its layers what they are the results of.
#[derive(Serialize)]
struct WithRecords<'a> {
    #[serde(flatten)]
    config: &'a ImageConfig,
    #[serde(rename = "moby.buildkit.cache.v0")]
    records: String,
}

/// The configuration with its layers and times.
fn configuration(shared: &Shared, solved: &Solved) -> Result<ImageConfig, Error> {
    let mut config = solved.plan.image.clone();
    let (layers, steps) = match &solved.root {
        Some(Outcome { tree, steps, .. }) => (tree.layers().to_vec(), steps.as_slice()),
        None => (Vec::new(), [].as_slice()),
    };
    config.rootfs.diff_ids = layers;
    let epoch = solved.plan.epoch.and_then(|seconds| Timestamp::from_second(seconds).ok());
    let base = config.created.as_deref().and_then(|text| text.parse::<Timestamp>().ok());
    let first = match epoch.or(base).or(steps.first().map(|made| made.created)) {
        Some(time) => time,
        None => first_time(shared, solved, &config)?,
    };
    let created = date(&mut config.history, steps, first, epoch);
    config.created = Some(created.to_string());
    Ok(config)
}

/// When an image was made first that has no time of its own: its base has none, and no step was done.
fn first_time(shared: &Shared, solved: &Solved, config: &ImageConfig) -> Result<Timestamp, Error> {
    let identity = Identity {
        operation: serde_json::json!({ "image": config }),
        base: None,
        inputs: Vec::new(),
        settings: Vec::new(),
    };
    let key = identity.key();
    if let Some(hit) = shared.cache.find(&key, &solved.ingest) {
        return Ok(hit.created);
    }
    let made = Made { created: Timestamp::now(), layer: None, record: None };
    let note = Note::new("exporting to image".to_owned(), identity, key.clone(), &made);
    shared.cache.put(&key, &solved.ingest, Vec::new(), note)?;
    Ok(made.created)
}

/// Gives the new entries of a history their times, and tells the last one.
fn date(history: &mut [History], steps: &[Made], first: Timestamp, epoch: Option<Timestamp>) -> Timestamp {
    let mut steps = steps.iter();
    let mut time = first;
    for entry in history.iter_mut().filter(|entry| entry.created.is_none()) {
        if !entry.empty_layer
            && let Some(made) = steps.next()
        {
            entry.empty_layer = made.layer.is_none();
            time = epoch.unwrap_or(time.max(made.created));
        }
        entry.created = Some(time.to_string());
    }
    time
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(empty_layer: bool) -> History {
        History { empty_layer, ..History::default() }
    }

    fn made(second: i64, layer: bool) -> Made {
        let layer = layer.then(|| Digest::of(b"layer"));
        Made { created: Timestamp::from_second(second).unwrap(), layer, record: None }
    }

    fn times(history: &[History]) -> Vec<&str> {
        history.iter().map(|entry| entry.created.as_deref().unwrap_or_default()).collect()
    }

    #[test]
    fn entries_have_the_times_of_their_steps() {
        let old = History { created: Some("1970-01-01T00:00:01Z".into()), ..History::default() };
        let mut history = [old, entry(true), entry(false), entry(true), entry(false)];
        let base = Timestamp::from_second(5).unwrap();
        let last = date(&mut history, &[made(9, true), made(7, false)], base, None);
        let expected = ["1970-01-01T00:00:01Z", "1970-01-01T00:00:05Z", "1970-01-01T00:00:09Z"];
        assert_eq!(times(&history)[..3], expected);
        assert_eq!(times(&history)[3..], ["1970-01-01T00:00:09Z"; 2]);
        assert_eq!(last.as_second(), 9);
        let empty: Vec<bool> = history.iter().map(|entry| entry.empty_layer).collect();
        assert_eq!(empty, [false, true, false, true, true]);
    }

    #[test]
    fn time_that_is_set_counts_for_all() {
        let mut history = [entry(false), entry(true)];
        let epoch = Timestamp::from_second(1).unwrap();
        assert_eq!(date(&mut history, &[made(9, true)], epoch, Some(epoch)), epoch);
        assert_eq!(times(&history), ["1970-01-01T00:00:01Z"; 2]);
    }
}
