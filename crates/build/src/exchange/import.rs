//! Looking for results in what `--cache-from` names.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};

use base64::Engine as _;
use dockerfile::plan::{Operation, Run, RunMount, VertexId};
use dockerfile::syntax::{Network, Security};
use image::Ingest;
use image::manifest::{Descriptor, Manifest};
use jiff::Timestamp;
use oci::{Digest, ImageConfig, Platform, Reference};
use serde::Deserialize;
use tokio::task::spawn_blocking;

use super::document::{self, Record, Records};
use super::folder::{CacheFolder, Entry};
use super::{CacheSource, history};
use crate::builder::Shared;
use crate::error::Error;
use crate::host::Host;
use crate::progress::{Event, Progress};
use crate::request::Request;
use crate::solve::{Job, Tree};

/// What all sources of a build have.
#[derive(Default)]
pub(crate) struct Imports {
    sources: Vec<Source>,
    /// Sources of which something could not be had are told of once.
    told: Mutex<BTreeSet<usize>>,
}

/// A result that was found. Its layer is claimed.
#[derive(Clone, Debug)]
pub(crate) struct Imported {
    /// None where nothing was changed.
    pub(crate) layer: Option<Digest>,
    /// When it was made.
    pub(crate) created: Timestamp,
}

struct Source {
    name: String,
    place: Place,
    records: Records,
}

/// Where the layers of records are.
enum Place {
    /// In a registry, by the digest of what was found.
    Registry(Reference),
    Folder(CacheFolder),
    /// Here, in an image.
    Image(Arc<ImageConfig>),
}

/// The field of a configuration in which records are.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Inline {
    #[serde(rename = "moby.buildkit.cache.v0")]
    records: Option<String>,
}

impl Imports {
    /// Reads what all sources have. One that cannot be read is told of, and passed over.
    pub(crate) async fn load(
        shared: &Arc<Shared>,
        host: &Arc<dyn Host>,
        request: &Request,
        progress: &Progress,
    ) -> Self {
        let platform = request.platform.clone().unwrap_or_else(Platform::host);
        let mut sources = Vec::new();
        for source in &request.cache_from {
            sources.extend(match source {
                CacheSource::Image(name) => of_image(shared, name, &platform).await,
                CacheSource::Registry(reference) => {
                    let name = reference.to_string();
                    let reading = async {
                        match of_image(shared, &name, &platform).await {
                            Some(here) => Ok(here),
                            None => in_registry(host.as_ref(), reference, &platform).await,
                        }
                    };
                    told(progress, &name, "registry", reading).await
                }
                CacheSource::Folder { folder, entry } => {
                    let name = format!("local:{}", folder.path().display());
                    told(progress, &name, "local", in_folder(&name, folder, entry)).await
                }
            });
        }
        Self { sources, told: Mutex::default() }
    }

    /// Finds the result of a vertex on these layers by its record, and brings its layer.
    pub(crate) async fn by_record(&self, job: &Job, id: VertexId, key: &Digest) -> Option<Imported> {
        for (at, source) in self.sources.iter().enumerate() {
            let Some(record) = source.records.get(key) else { continue };
            match source.bring(job, id, record).await {
                Ok(()) => {
                    return Some(Imported { layer: Some(record.diff_id.clone()), created: record.created });
                }
                Err(reason) => self.tell(job, id, at, &reason).await,
            }
        }
        None
    }

    /// Finds the result of a command by the history of an image.
    pub(crate) fn by_history(&self, job: &Job, id: VertexId, below: &[Digest]) -> Option<Imported> {
        match &job.plan.vertices[id.0].operation {
            Operation::Run(run) if history_tells_all(run) => self.of_history(job, id, below).next(),
            _ => None,
        }
    }

    /// The layer of an image that has the same files as one that was just made, and the same history.
    pub(crate) fn instead_of(
        &self,
        job: &Job,
        id: VertexId,
        below: &[Digest],
        made: &Digest,
    ) -> Option<Imported> {
        if matches!(job.plan.vertices[id.0].operation, Operation::Run(_)) {
            return None;
        }
        self.of_history(job, id, below).find(|found| match &found.layer {
            Some(layer) => layer == made || same_files(job, layer, made),
            None => is_empty(job, made),
        })
    }

    fn of_history<'a>(
        &'a self,
        job: &'a Job,
        id: VertexId,
        below: &'a [Digest],
    ) -> impl Iterator<Item = Imported> + 'a {
        let entries = entries(job, id).unwrap_or_default();
        let images = self.sources.iter().filter_map(|source| match &source.place {
            Place::Image(image) => Some(image),
            _ => None,
        });
        let found = images.filter_map(move |image| history::step(image, entries, below));
        let imported = |step: history::Step| Imported { layer: step.layer, created: step.created };
        found.map(imported).filter(|found| job.ingest.lease_layers(found.layer.as_slice()))
    }

    async fn tell(&self, job: &Job, id: VertexId, at: usize, reason: &str) {
        let is_new = self.told.lock().unwrap_or_else(PoisonError::into_inner).insert(at);
        if is_new {
            let name = &self.sources[at].name;
            let data = format!("WARNING: a result cannot be had from {name}: {reason}\n").into_bytes();
            job.progress.tell(Event::Log { id: job.number(id), stream: 2, data }).await;
        }
    }
}

/// Whether the words of a command in a history say all that decides its result. Files that it is given, scripts among them, are
/// not in there, nor are its network and what it may do.
fn history_tells_all(run: &Run) -> bool {
    let is_given_files = |mount: &RunMount| matches!(mount, RunMount::Bind { .. });
    !run.mounts.iter().any(is_given_files)
        && run.network == Network::Default
        && run.security == Security::Sandbox
}

/// The history of an image's steps up to and with a vertex.
fn entries(job: &Job, id: VertexId) -> Option<&[String]> {
    job.plan.stages.iter().find_map(|stage| {
        let step = stage.steps.iter().find(|step| step.vertex == Some(id))?;
        stage.history.get(..step.history)
    })
}

/// Whether two layers have the same files, whenever they were changed.
fn same_files(job: &Job, one: &Digest, other: &Digest) -> bool {
    let digest = |layer: &Digest| crate::execute::digest_of(job, &Tree::Layers([layer.clone()].into())).ok();
    let (one, other) = (digest(one), digest(other));
    one.is_some() && one == other
}

/// Whether a layer changes nothing.
fn is_empty(job: &Job, layer: &Digest) -> bool {
    std::fs::read_dir(job.shared.images.layer_tree(layer)).is_ok_and(|mut entries| entries.next().is_none())
}

/// Reads a source, and tells of it.
async fn told(
    progress: &Progress,
    name: &str,
    kind: &str,
    reading: impl Future<Output = Result<Source, String>>,
) -> Option<Source> {
    let vertex = progress.vertex(&format!("importing cache manifest from {name}")).await;
    progress.started(vertex).await;
    let found =
        reading.await.map_err(|reason| format!("failed to configure {kind} cache importer: {reason}"));
    progress.completed(vertex, None, found.as_ref().err().cloned()).await;
    found.ok()
}

/// An image that is here.
async fn of_image(shared: &Arc<Shared>, name: &str, platform: &Platform) -> Option<Source> {
    let (images, platform, wanted) = (Arc::clone(&shared.images), platform.clone(), name.to_owned());
    let read = move || {
        let image = images.resolve_for(&wanted, &platform).or_else(|_| images.resolve(&wanted))?;
        let config = images.blob(&image.id)?;
        Ok::<_, image::Error>((image, config))
    };
    let (image, config) = match spawn_blocking(read).await.expect("reading an image does not panic") {
        Ok(found) => found,
        Err(error) => {
            tracing::debug!(image = name, %error, "it cannot be looked at for results");
            return None;
        }
    };
    let layers = image.layers.iter().map(|layer| (Descriptor::new("", layer.clone(), 0), layer.clone()));
    let records = inline(&config, &layers.collect::<Vec<_>>()).unwrap_or_default();
    Some(Source { name: name.to_owned(), place: Place::Image(image.config), records })
}

/// The records that a configuration has; none where it has no such field.
fn inline(config: &[u8], layers: &[(Descriptor, Digest)]) -> Option<Records> {
    let Inline { records } = serde_json::from_slice(config).ok()?;
    let document = base64::engine::general_purpose::STANDARD.decode(records?).ok()?;
    document::read(&document, layers).ok()
}

async fn in_registry(host: &dyn Host, reference: &Reference, platform: &Platform) -> Result<Source, String> {
    let credentials = host.credentials(reference.domain());
    let found =
        host.registry().look_up_any(reference, credentials).await.map_err(|error| error.to_string())?;
    let (manifest, config) = found.manifest(platform).await.map_err(|error| error.to_string())?;
    let place = Place::Registry(reference.with_digest(found.digest().clone()));
    let records = records(&manifest, &config)?;
    Ok(Source { name: reference.to_string(), place, records })
}

async fn in_folder(name: &str, folder: &CacheFolder, entry: &Entry) -> Result<Source, String> {
    let (opened, entry) = (folder.clone(), entry.clone());
    let read = spawn_blocking(move || opened.manifest(&entry)).await.expect("reading does not panic");
    let (manifest, config) = read.map_err(|error| error.to_string())?;
    let records = records(&manifest, &config)?;
    Ok(Source { name: name.to_owned(), place: Place::Folder(folder.clone()), records })
}

/// The records of a manifest: of a cache, or of an image that has them inline.
fn records(manifest: &Manifest, config: &[u8]) -> Result<Records, String> {
    if manifest.config.media_type == document::TYPE {
        return document::read(config, &[]).map_err(|error| format!("malformed cache: {error}"));
    }
    let parsed: ImageConfig = serde_json::from_slice(config).unwrap_or_default();
    let layers: Vec<_> = manifest.layers.iter().cloned().zip(parsed.rootfs.diff_ids).collect();
    // An image without a cache is no error.
    Ok(inline(config, &layers).unwrap_or_default())
}

impl Source {
    /// Claims the layer of a record; where it is not here, it is brought and verified.
    async fn bring(&self, job: &Job, id: VertexId, record: &Record) -> Result<(), String> {
        let Record { blob, diff_id, .. } = record;
        if job.ingest.lease_layer(diff_id) {
            return Ok(());
        }
        match &self.place {
            Place::Image(_) => Err(format!("layer {diff_id} is gone")),
            Place::Registry(reference) => {
                let registry = job.host.registry();
                let credentials = job.host.credentials(reference.domain());
                let brought = async {
                    let found = registry.look_up_any(reference, credentials).await?;
                    found.layer(&job.ingest, blob, diff_id, &job.progress.of_transfer(job.number(id))).await
                };
                brought.await.map_err(|error| error.to_string())
            }
            Place::Folder(folder) => {
                let (folder, ingest, record) = (folder.clone(), Arc::clone(&job.ingest), record.clone());
                let read = move || from_folder(&folder, &ingest, &record);
                let read = spawn_blocking(read).await.expect("reading a layer does not panic");
                read.map_err(|error| error.to_string())
            }
        }
    }
}

fn from_folder(folder: &CacheFolder, ingest: &Ingest, record: &Record) -> Result<(), Error> {
    let Record { blob, diff_id, .. } = record;
    let mut file =
        folder.open_blob(&blob.digest).map_err(Error::io("open the blob of a layer in", folder.path()))?;
    Ok(ingest.layer(blob, diff_id, &mut file, &mut |_| {})?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_are_those_of_a_cache_or_of_an_image() {
        let layer = (Descriptor::new("l", Digest::of(b"blob"), 4), Digest::of(b"tar"));
        let key = Digest::of(b"key");
        let document = document::write_inline(&[(key.clone(), 0, Timestamp::UNIX_EPOCH)]);
        let text = base64::engine::general_purpose::STANDARD.encode(document);
        let config = serde_json::json!({
            "rootfs": {"type": "layers", "diff_ids": [layer.1]},
            "moby.buildkit.cache.v0": text,
        });
        let image = Manifest {
            config: Descriptor::new(image::manifest::media::OCI_CONFIG, Digest::of(b"c"), 1),
            layers: vec![layer.0.clone()],
        };
        let found = records(&image, config.to_string().as_bytes()).unwrap();
        assert_eq!(found[&key], Record { blob: layer.0, diff_id: layer.1, created: Timestamp::UNIX_EPOCH });
        assert!(records(&image, b"{}").unwrap().is_empty());
        let cache =
            Manifest { config: Descriptor::new(document::TYPE, Digest::of(b"c"), 1), layers: Vec::new() };
        assert!(records(&cache, b"{}").unwrap().is_empty());
        assert!(records(&cache, b"no").unwrap_err().starts_with("malformed cache: "));
    }
}
