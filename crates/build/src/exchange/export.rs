//! Bringing results to where `--cache-to` says.

use std::collections::BTreeMap;
use std::fs::File;
use std::sync::Arc;

use base64::Engine as _;
use image::manifest::{Descriptor, media};
use image::{ImageStore, LayerContent};
use oci::{Digest, Reference};
use serde_json::json;
use tokio::task::spawn_blocking;

use super::document::{self, Record};
use super::folder::CacheFolder;
use super::{CachePlace, CacheTarget};
use crate::builder::Shared;
use crate::error::{Error, Failure};
use crate::host::Host;
use crate::progress::{Event, Progress};
use crate::solve::{Made, Solved};

/// Other repositories from which a registry is asked to take a layer over.
const MAX_SOURCES: usize = 8;

/// Brings what a build has made to all places but the image itself.
pub(crate) async fn export(
    shared: &Arc<Shared>,
    host: &dyn Host,
    solved: &Solved,
    progress: &Progress,
) -> Result<(), Error> {
    for target in &solved.request.cache_to {
        let CacheTarget::Place { place, all, ignores_errors } = target else { continue };
        let (name, shown) = match place {
            CachePlace::Registry(reference) => ("exporting cache to registry", reference.to_string()),
            CachePlace::Folder { folder, .. } => {
                ("exporting cache to folder", folder.path().display().to_string())
            }
        };
        let vertex = progress.vertex(name).await;
        progress.started(vertex).await;
        let done = Export { shared, host, progress, vertex }.run(place, *all, solved).await;
        let error = done.as_ref().err().map(ToString::to_string);
        progress.completed(vertex, None, error).await;
        match done {
            Err(source) if !ignores_errors => return Err(Error::CacheExport { place: shown, source }),
            _ => {}
        }
    }
    Ok(())
}

/// What an image is to have in its configuration: what is known of its own layers, in base64.
pub(crate) fn inline(layers: &[Digest], steps: &[Made]) -> String {
    let below = layers.len() - steps.iter().filter(|made| made.layer.is_some()).count();
    let with_layer = steps.iter().filter(|made| made.layer.is_some()).enumerate();
    let records: Vec<_> =
        with_layer.filter_map(|(at, made)| Some((made.record.clone()?, below + at, made.created))).collect();
    base64::engine::general_purpose::STANDARD.encode(document::write_inline(&records))
}

/// One export.
struct Export<'a> {
    shared: &'a Arc<Shared>,
    host: &'a dyn Host,
    progress: &'a Progress,
    vertex: u32,
}

/// A place that is open for writing.
enum Destination<'a> {
    Registry(&'a Reference, Box<registry::Writer<'a>>),
    Folder(&'a CacheFolder, &'a str),
}

impl<'a> Export<'a> {
    async fn run(&self, place: &'a CachePlace, all: bool, solved: &Solved) -> Result<(), Failure> {
        let of_image = solved.root.as_ref().map(|root| root.steps.as_slice()).unwrap_or_default();
        let steps = if all { &solved.made } else { of_image };
        let known =
            steps.iter().filter_map(|made| Some((made.record.clone()?, made.layer.clone()?, made.created)));
        let known: Vec<_> = known.collect();
        let layers: Vec<Digest> = known.iter().map(|(_, layer, _)| layer.clone()).collect();
        let ingest = Arc::clone(&solved.ingest);
        let contents =
            spawn_blocking(move || ingest.layer_contents(&layers)).await.expect("it does not panic")?;
        let destination = self.open(place, &contents).await?;
        let blobs = match &destination {
            Destination::Registry(_, writer) => {
                let progress = self.progress.of_transfer(self.vertex);
                writer.layers(&self.shared.images, &contents, &progress).await?
            }
            Destination::Folder(folder, _) => self.to_folder(folder, contents).await?,
        };
        let records: BTreeMap<Digest, Record> = known
            .into_iter()
            .zip(blobs)
            .map(|((key, diff_id, created), blob)| (key, Record { blob, diff_id, created }))
            .collect();
        self.documents(&destination, &records).await
    }

    /// Opens a place; in a registry layers of other repositories may be taken over.
    async fn open(
        &self,
        place: &'a CachePlace,
        contents: &[LayerContent],
    ) -> Result<Destination<'a>, Failure> {
        let reference = match place {
            CachePlace::Registry(reference) => reference,
            CachePlace::Folder { folder, tag } => return Ok(Destination::Folder(folder, tag)),
        };
        let domain = reference.domain();
        let others =
            contents.iter().flat_map(|layer| self.shared.images.repositories_with(&layer.diff_id, domain));
        let mut others: Vec<String> = others.filter(|name| name != reference.path()).collect();
        others.sort();
        others.dedup();
        others.truncate(MAX_SOURCES);
        let credentials = self.host.credentials(domain);
        let writer = self.host.registry().writer(reference, &others, credentials).await?;
        Ok(Destination::Registry(reference, Box::new(writer)))
    }

    async fn to_folder(
        &self,
        folder: &CacheFolder,
        contents: Vec<LayerContent>,
    ) -> Result<Vec<Descriptor>, Failure> {
        let mut blobs = Vec::with_capacity(contents.len());
        for layer in contents {
            let item = format!("writing layer {}", layer.diff_id.short());
            let (store, folder) = (self.shared.images.clone(), folder.clone());
            let written = spawn_blocking(move || write_layer(&store, &folder, &layer));
            let blob = written.await.expect("writing a layer does not panic")?;
            let (current, total) = (blob.size, blob.size);
            self.progress.tell(Event::Status { id: self.vertex, item, current, total, is_done: true }).await;
            blobs.push(blob);
        }
        Ok(blobs)
    }

    /// Writes the document, and the manifest that names it and the layers.
    async fn documents(
        &self,
        destination: &Destination<'_>,
        records: &BTreeMap<Digest, Record>,
    ) -> Result<(), Failure> {
        let (document, layers) = document::write(records);
        let config = Descriptor::new(document::TYPE, Digest::of(&document), document.len() as u64);
        let manifest = json!({
            "schemaVersion": 2,
            "mediaType": media::OCI_MANIFEST,
            "config": config,
            "layers": layers,
        });
        let manifest = manifest.to_string().into_bytes();
        let descriptor = Descriptor::new(media::OCI_MANIFEST, Digest::of(&manifest), manifest.len() as u64);
        match destination {
            Destination::Registry(reference, writer) => {
                let work = self.shared.work.folder()?;
                let path = work.path().join("document");
                std::fs::write(&path, &document).map_err(Error::io("write", &path))?;
                writer.file(&config, &path).await?;
                writer.put(reference, &descriptor, &manifest).await?;
            }
            Destination::Folder(folder, tag) => {
                let (folder, tag) = ((*folder).clone(), (*tag).to_owned());
                let write = move || {
                    folder.put(&config.digest, &mut document.as_slice())?;
                    folder.put(&descriptor.digest, &mut manifest.as_slice())?;
                    folder.tag(&descriptor, &tag)
                };
                spawn_blocking(write).await.expect("writing does not panic")?;
            }
        }
        Ok(())
    }
}

/// Writes a layer, compressed, unless it is there.
fn write_layer(
    store: &ImageStore,
    folder: &CacheFolder,
    layer: &LayerContent,
) -> Result<Descriptor, Failure> {
    if !layer.is_plain() {
        if !folder.has(&layer.blob) {
            folder.put(&layer.blob.digest, &mut store.open_blob(&layer.blob)?)?;
        }
        return Ok(layer.blob.clone());
    }
    if let Some(known) = store.known_compressed(&layer.diff_id).filter(|known| folder.has(known)) {
        return Ok(known);
    }
    let compressed = store.compress_layer(&layer.diff_id, &mut |_| {})?;
    let blob = compressed.blob().clone();
    folder.put(&blob.digest, &mut File::open(compressed.path())?)?;
    Ok(blob)
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;

    #[test]
    fn inline_records_name_the_layers_above_the_base() {
        let layers = ["base", "one", "two"].map(|name| Digest::of(name.as_bytes()));
        let made = |name: Option<&str>, record: &str| Made {
            created: Timestamp::UNIX_EPOCH,
            layer: name.map(|name| Digest::of(name.as_bytes())),
            record: Some(Digest::of(record.as_bytes())),
        };
        let steps = [made(Some("one"), "a"), made(None, "nothing"), made(Some("two"), "b")];
        let text = inline(&layers, &steps);
        let document = base64::engine::general_purpose::STANDARD.decode(text).unwrap();
        let of_image: Vec<_> =
            layers.iter().map(|layer| (Descriptor::new("", layer.clone(), 0), layer.clone())).collect();
        let found = document::read(&document, &of_image).unwrap();
        assert_eq!(found.len(), 2);
        assert_eq!(found[&Digest::of(b"a")].diff_id, layers[1]);
        assert_eq!(found[&Digest::of(b"b")].diff_id, layers[2]);
    }
}
