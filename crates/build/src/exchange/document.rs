//! What is written down of results: BuildKit's document of caches.

use std::collections::{BTreeMap, HashMap};

use image::manifest::Descriptor;
use jiff::Timestamp;
use oci::Digest;
use serde::{Deserialize, Serialize};

/// The type of the document.
pub(super) const TYPE: &str = "application/vnd.buildkit.cacheconfig.v0";

/// A layer that a step has made, as others have it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Record {
    /// The layer as it is stored.
    pub(super) blob: Descriptor,
    /// The digest of its tar.
    pub(super) diff_id: Digest,
    /// When it was made.
    pub(super) created: Timestamp,
}

/// By key.
pub(super) type Records = HashMap<Digest, Record>;

#[derive(Default, Serialize, Deserialize)]
#[serde(default)]
struct Document {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    layers: Vec<Layer>,
    records: Vec<Entry>,
}

#[derive(Default, Serialize, Deserialize)]
#[serde(default)]
struct Layer {
    blob: String,
    /// The layer below; none has one: keys say what is below.
    parent: i64,
    annotations: Annotations,
}

#[derive(Default, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Annotations {
    media_type: String,
    #[serde(rename = "diffID")]
    diff_id: String,
    size: u64,
    created_at: String,
}

#[derive(Default, Serialize, Deserialize)]
#[serde(default)]
struct Entry {
    digest: String,
    layers: Vec<Result>,
}

#[derive(Default, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Result {
    layer: u64,
    created_at: String,
}

/// Reads a document. Where it has no layers itself, those of the image count that it is in. What is not understood is passed
/// over: it is somebody else's, or of another version.
pub(super) fn read(
    content: &[u8],
    of_image: &[(Descriptor, Digest)],
) -> std::result::Result<Records, serde_json::Error> {
    let document: Document = serde_json::from_slice(content)?;
    let own: Vec<Option<(Descriptor, Digest)>> = match document.layers.is_empty() {
        true => of_image.iter().cloned().map(Some).collect(),
        false => document.layers.iter().map(described).collect(),
    };
    let record = |entry: &Entry| {
        let key = entry.digest.parse::<Digest>().ok()?;
        let result = entry.layers.first()?;
        let (blob, diff_id) = own.get(usize::try_from(result.layer).ok()?)?.clone()?;
        let created = result.created_at.parse().ok()?;
        Some((key, Record { blob, diff_id, created }))
    };
    Ok(document.records.iter().filter_map(record).collect())
}

fn described(layer: &Layer) -> Option<(Descriptor, Digest)> {
    let Annotations { media_type, diff_id, size, .. } = &layer.annotations;
    let blob = Descriptor::new(media_type, layer.blob.parse().ok()?, *size);
    Some((blob, diff_id.parse().ok()?))
}

/// Writes records with their layers. The same records always make the same document.
pub(super) fn write(records: &BTreeMap<Digest, Record>) -> (Vec<u8>, Vec<Descriptor>) {
    let mut blobs: Vec<&Record> = Vec::new();
    let mut entries = Vec::new();
    for (key, record) in records {
        let known = blobs.iter().position(|other| other.blob.digest == record.blob.digest);
        let at = known.unwrap_or_else(|| {
            blobs.push(record);
            blobs.len() - 1
        });
        entries.push(entry(key, at, record.created));
    }
    let layer = |record: &&Record| Layer {
        blob: record.blob.digest.to_string(),
        parent: -1,
        annotations: Annotations {
            media_type: record.blob.media_type.clone(),
            diff_id: record.diff_id.to_string(),
            size: record.blob.size,
            created_at: record.created.to_string(),
        },
    };
    let document = Document { layers: blobs.iter().map(layer).collect(), records: entries };
    (to_json(&document), blobs.iter().map(|record| record.blob.clone()).collect())
}

/// Writes records of layers that an image has at these places.
pub(super) fn write_inline(records: &[(Digest, usize, Timestamp)]) -> Vec<u8> {
    let records = records.iter().map(|(key, at, created)| entry(key, *at, *created)).collect();
    to_json(&Document { layers: Vec::new(), records })
}

fn entry(key: &Digest, at: usize, created: Timestamp) -> Entry {
    let result = Result { layer: at as u64, created_at: created.to_string() };
    Entry { digest: key.to_string(), layers: vec![result] }
}

fn to_json(document: &Document) -> Vec<u8> {
    serde_json::to_vec(document).expect("keys are texts")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;

    fn record(name: &str) -> Record {
        let blob = Descriptor::new("application/x", Digest::of(name.as_bytes()), 5);
        let created = Timestamp::from_second(7).unwrap();
        Record { blob, diff_id: Digest::of(format!("{name} plain").as_bytes()), created }
    }

    #[test]
    fn records_that_are_written_are_read() {
        let all: BTreeMap<Digest, Record> = [("a", "x"), ("b", "y"), ("c", "x")]
            .map(|(key, it)| (Digest::of(key.as_bytes()), record(it)))
            .into();
        let (document, blobs) = write(&all);
        assert_eq!(blobs.len(), 2);
        assert_eq!(read(&document, &[]).unwrap(), all.into_iter().collect());
        let value: Value = serde_json::from_slice(&document).unwrap();
        assert_eq!(value["layers"][0]["parent"], -1);
        assert!(value["layers"][0]["annotations"]["diffID"].is_string(), "{value}");
        assert_eq!(value["records"][0]["layers"][0]["createdAt"], "1970-01-01T00:00:07Z");
    }

    #[test]
    fn inline_records_are_about_layers_of_the_image() {
        let (key, it) = (Digest::of(b"a"), record("x"));
        let document = write_inline(&[(key.clone(), 1, it.created)]);
        let of_image = [record("below"), it.clone()].map(|it| (it.blob, it.diff_id));
        assert_eq!(read(&document, &of_image).unwrap(), [(key, it)].into());
        assert!(read(&document, &of_image[..1]).unwrap().is_empty());
    }

    #[test]
    fn foreign_records_are_passed_over() {
        let digest = Digest::of(b"x").to_string();
        let layer = json!({"blob": digest, "parent": -1, "annotations": {"diffID": "no", "size": 1}});
        let records = json!([
            {"digest": digest, "layers": [{"layer": 0, "createdAt": "2020-01-01T00:00:00Z"}]},
            {"digest": "sha256:short", "layers": [{"layer": 0}]},
            {"digest": digest, "inputs": [[{"link": 0}]]},
            {"digest": digest, "layers": [{"layer": 99, "createdAt": "x"}]},
        ]);
        let document = json!({"layers": [layer], "records": records}).to_string();
        assert!(read(document.as_bytes(), &[]).unwrap().is_empty());
        assert!(read(b"[", &[]).is_err());
    }

    proptest! {
        #[test]
        fn document_with_a_byte_changed_never_panics(at in 0usize..400, byte in any::<u8>()) {
            let (mut document, _) = write(&[(Digest::of(b"a"), record("x"))].into());
            let at = at % document.len();
            document[at] = byte;
            let _ = read(&document, &[]);
        }
    }
}
