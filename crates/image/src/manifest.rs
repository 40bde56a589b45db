//! Manifests and indexes, in OCI's and Docker's spelling.
//!
//! They are foreign input and kept byte for byte; this module only reads them. A document that could be read both as a
//! manifest and as an index is refused, because two readers would see two images.

use std::collections::BTreeMap;

use oci::{Digest, Platform};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

/// Bytes that a manifest or index may have.
pub const MAX_MANIFEST_SIZE: u64 = 4 << 20;
/// Bytes that a configuration may have.
pub const MAX_CONFIG_SIZE: u64 = 16 << 20;

/// Media types of the documents and contents that images are made of.
pub mod media {
    /// OCI image manifest.
    pub const OCI_MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
    /// OCI image index.
    pub const OCI_INDEX: &str = "application/vnd.oci.image.index.v1+json";
    /// Docker manifest, version 2, schema 2.
    pub const DOCKER_MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";
    /// Docker manifest list.
    pub const DOCKER_LIST: &str = "application/vnd.docker.distribution.manifest.list.v2+json";
    /// Docker manifest, schema 1, signed.
    pub const DOCKER_SCHEMA1_SIGNED: &str = "application/vnd.docker.distribution.manifest.v1+prettyjws";
    /// Docker manifest, schema 1.
    pub const DOCKER_SCHEMA1: &str = "application/vnd.docker.distribution.manifest.v1+json";
    /// OCI image configuration.
    pub const OCI_CONFIG: &str = "application/vnd.oci.image.config.v1+json";
    /// Docker image configuration.
    pub const DOCKER_CONFIG: &str = "application/vnd.docker.container.image.v1+json";
    /// OCI layer, not compressed.
    pub const OCI_LAYER: &str = "application/vnd.oci.image.layer.v1.tar";
    /// OCI layer, compressed with gzip.
    pub const OCI_LAYER_GZIP: &str = "application/vnd.oci.image.layer.v1.tar+gzip";
    /// OCI layer, compressed with zstd.
    pub const OCI_LAYER_ZSTD: &str = "application/vnd.oci.image.layer.v1.tar+zstd";
}

/// Why a document is no manifest that can be used.
#[derive(Debug, thiserror::Error)]
pub enum ManifestError {
    /// It is not JSON, or not of the right shape.
    #[error("malformed {what}: {source}")]
    Malformed {
        /// What it should have been.
        what: &'static str,
        /// What the parser says.
        source: serde_json::Error,
    },
    /// It is too big to be one.
    #[error("{what} of {size} bytes exceeds the limit of {limit}")]
    TooBig {
        /// What it should have been.
        what: &'static str,
        /// Bytes it has, at least.
        size: u64,
        /// Bytes it may have.
        limit: u64,
    },
    /// It has the parts of a manifest and those of an index.
    #[error("ambiguous manifest: it has both {0:?} and {1:?}")]
    Ambiguous(&'static str, &'static str),
    /// It is of a version or type that is not supported.
    #[error("unsupported manifest: {0}")]
    Unsupported(String),
    /// Docker's first format, without a configuration.
    #[error(
        "Docker Image Format v1 and Docker Image manifest version 2, schema 1 support has been removed: suggest the author to upgrade the image to the OCI Format or Docker Image manifest v2, schema 2. More information at https://docs.docker.com/go/deprecated-image-specs/"
    )]
    Schema1,
    /// Its layers and those of its configuration are not the same number.
    #[error("manifest has {layers} layers, but its configuration lists {diff_ids}")]
    LayerCount {
        /// Layers in the manifest.
        layers: usize,
        /// Layers in the configuration.
        diff_ids: usize,
    },
    /// It describes something that is no container image.
    #[error("unsupported image type {0:?}: not a container image")]
    NotAnImage(String),
}

/// Where some content is, by what it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Descriptor {
    /// What it is.
    #[serde(default)]
    pub media_type: String,
    /// Its digest.
    pub digest: Digest,
    /// Its length in bytes.
    pub size: u64,
    /// Where else it can be had (foreign layers).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub urls: Option<Vec<String>>,
    /// Notes on it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub annotations: Option<BTreeMap<String, String>>,
    /// For which platform it is, in an index.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub platform: Option<PlatformSpec>,
}

impl Descriptor {
    /// A descriptor without anything optional.
    pub fn new(media_type: &str, digest: Digest, size: u64) -> Self {
        Self { media_type: media_type.into(), digest, size, urls: None, annotations: None, platform: None }
    }
}

/// A platform as an index spells it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlatformSpec {
    /// Architecture.
    #[serde(default)]
    pub architecture: String,
    /// Operating system.
    #[serde(default)]
    pub os: String,
    /// Variant of the architecture.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub variant: Option<String>,
    /// Version of the operating system.
    #[serde(default, rename = "os.version", skip_serializing_if = "Option::is_none")]
    pub os_version: Option<String>,
    /// What the operating system must have.
    #[serde(default, rename = "os.features", skip_serializing_if = "Option::is_none")]
    pub os_features: Option<Vec<String>>,
}

impl PlatformSpec {
    /// In normal form.
    pub fn platform(&self) -> Platform {
        Platform::new(&self.os, &self.architecture, self.variant.as_deref())
    }
}

/// The manifest of one image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Manifest {
    /// Its configuration.
    pub config: Descriptor,
    /// Its layers, the lowest first.
    pub layers: Vec<Descriptor>,
}

/// A list of manifests (or of lists).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Index {
    /// What it lists.
    pub manifests: Vec<Descriptor>,
}

impl Index {
    /// The entries that serve `wanted`, the best first. Entries without a platform serve any; those of unknown platforms
    /// (attestations) none.
    pub fn select(&self, wanted: &Platform) -> Vec<&Descriptor> {
        let mut found: Vec<(u32, &Descriptor)> = self
            .manifests
            .iter()
            .filter_map(|descriptor| match &descriptor.platform {
                Some(spec) => Some((spec.platform().distance(wanted)?, descriptor)),
                None => Some((u32::MAX, descriptor)),
            })
            .collect();
        found.sort_by_key(|(distance, _)| *distance);
        found.into_iter().map(|(_, descriptor)| descriptor).collect()
    }
}

/// A document by its kind.
#[expect(clippy::large_enum_variant, reason = "there is one at a time")]
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Document {
    /// The manifest of one image.
    Manifest(Manifest),
    /// A list of manifests.
    Index(Index),
}

/// All keys that tell the kinds apart, left unread.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Shape<'a> {
    schema_version: Option<u64>,
    media_type: Option<String>,
    artifact_type: Option<String>,
    #[serde(borrow)]
    config: Option<&'a RawValue>,
    #[serde(borrow)]
    layers: Option<&'a RawValue>,
    #[serde(borrow)]
    manifests: Option<&'a RawValue>,
    #[serde(borrow)]
    fs_layers: Option<&'a RawValue>,
}

impl Document {
    /// Reads a manifest or index. `content_type` is what it was announced as; the document's own `mediaType` must agree
    /// where both are known kinds.
    ///
    /// # Errors
    /// When it is malformed, too big, ambiguous, or of a kind that is not supported.
    pub fn parse(content: &[u8], content_type: Option<&str>) -> Result<Self, ManifestError> {
        let (document, shape) = Self::parse_shape(content, content_type)?;
        check_image(&document, &shape)?;
        Ok(document)
    }

    /// As [`Document::parse`], but what a manifest describes need not be a container image.
    ///
    /// # Errors
    /// As there.
    pub fn parse_any(content: &[u8], content_type: Option<&str>) -> Result<Self, ManifestError> {
        Self::parse_shape(content, content_type).map(|(document, _)| document)
    }

    fn parse_shape<'a>(
        content: &'a [u8],
        content_type: Option<&str>,
    ) -> Result<(Self, Shape<'a>), ManifestError> {
        let size = content.len() as u64;
        if size > MAX_MANIFEST_SIZE {
            return Err(ManifestError::TooBig { what: "manifest", size, limit: MAX_MANIFEST_SIZE });
        }
        let shape: Shape<'_> = parse_json("manifest", content)?;
        check_version(&shape, content_type)?;
        let document = match (shape.layers.or(shape.config), shape.manifests) {
            (Some(_), Some(_)) => return Err(ManifestError::Ambiguous("layers", "manifests")),
            (None, Some(manifests)) => {
                check_kind(Kind::Index, &shape, content_type)?;
                Self::Index(Index { manifests: parse_json("index", manifests.get().as_bytes())? })
            }
            (Some(_), None) => {
                check_kind(Kind::Manifest, &shape, content_type)?;
                Self::Manifest(parse_manifest(&shape)?)
            }
            (None, None) => {
                return Err(ManifestError::Unsupported("neither layers nor manifests in it".into()));
            }
        };
        Ok((document, shape))
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Manifest,
    Index,
}

fn kind_of(media_type: &str) -> Option<Kind> {
    match media_type {
        media::OCI_MANIFEST | media::DOCKER_MANIFEST => Some(Kind::Manifest),
        media::OCI_INDEX | media::DOCKER_LIST => Some(Kind::Index),
        _ => None,
    }
}

fn check_version(shape: &Shape<'_>, content_type: Option<&str>) -> Result<(), ManifestError> {
    let named = [shape.media_type.as_deref(), content_type];
    let is_schema1 = |name: &str| matches!(name, media::DOCKER_SCHEMA1 | media::DOCKER_SCHEMA1_SIGNED);
    if shape.schema_version == Some(1)
        || shape.fs_layers.is_some()
        || named.into_iter().flatten().any(is_schema1)
    {
        return Err(ManifestError::Schema1);
    }
    match shape.schema_version {
        Some(2) => Ok(()),
        Some(other) => Err(ManifestError::Unsupported(format!("schemaVersion {other}"))),
        None => Err(ManifestError::Unsupported("no schemaVersion in it".into())),
    }
}

fn check_kind(kind: Kind, shape: &Shape<'_>, content_type: Option<&str>) -> Result<(), ManifestError> {
    for named in [shape.media_type.as_deref(), content_type].into_iter().flatten() {
        if kind_of(named).is_some_and(|other| other != kind) {
            return Err(ManifestError::Unsupported(format!("its content does not fit its type {named:?}")));
        }
    }
    Ok(())
}

fn parse_manifest(shape: &Shape<'_>) -> Result<Manifest, ManifestError> {
    let text = |raw: Option<&RawValue>| raw.map_or("null", RawValue::get).to_owned();
    let config: Descriptor = parse_json("manifest", text(shape.config).as_bytes())?;
    let layers: Vec<Descriptor> = parse_json("manifest", text(shape.layers).as_bytes())?;
    Ok(Manifest { config, layers })
}

fn check_image(document: &Document, shape: &Shape<'_>) -> Result<(), ManifestError> {
    let Document::Manifest(Manifest { config, .. }) = document else { return Ok(()) };
    if let Some(artifact) = shape.artifact_type.as_deref().filter(|name| !name.is_empty()) {
        return Err(ManifestError::NotAnImage(artifact.into()));
    }
    // Old tools left the type of the configuration out or wrote their own names; only what says that it is something
    // else (a chart, an attestation, …) is refused.
    let known = ["", media::OCI_CONFIG, media::DOCKER_CONFIG, "application/octet-stream", "text/html"];
    match known.contains(&config.media_type.as_str()) {
        true => Ok(()),
        false => Err(ManifestError::NotAnImage(config.media_type.clone())),
    }
}

/// Whether a manifest has as many layers as the configuration that it names.
///
/// # Errors
/// [`ManifestError::LayerCount`] if it has not.
pub fn check_layer_count(layers: usize, diff_ids: usize) -> Result<(), ManifestError> {
    if layers == diff_ids { Ok(()) } else { Err(ManifestError::LayerCount { layers, diff_ids }) }
}

pub(crate) fn parse_json<'a, T: Deserialize<'a>>(
    what: &'static str,
    content: &'a [u8],
) -> Result<T, ManifestError> {
    serde_json::from_slice(content).map_err(|source| ManifestError::Malformed { what, source })
}

pub(crate) fn to_json(value: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(value).expect("these documents have string keys and finite numbers only")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const HEX: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    fn manifest() -> String {
        format!(
            r#"{{"schemaVersion":2,"mediaType":"{}","config":{{"mediaType":"{}","digest":"sha256:{HEX}","size":2}},
            "layers":[{{"mediaType":"x","digest":"sha256:{HEX}","size":3}}]}}"#,
            media::OCI_MANIFEST,
            media::OCI_CONFIG
        )
    }

    fn error(text: &str, content_type: Option<&str>) -> String {
        Document::parse(text.as_bytes(), content_type).unwrap_err().to_string()
    }

    #[test]
    fn manifest_of_either_spelling_is_read() {
        for kind in [media::OCI_MANIFEST, media::DOCKER_MANIFEST] {
            let text = manifest().replace(media::OCI_MANIFEST, kind);
            let Document::Manifest(found) = Document::parse(text.as_bytes(), Some(kind)).unwrap() else {
                panic!("not a manifest")
            };
            assert_eq!((found.config.size, found.layers.len()), (2, 1));
        }
    }

    #[test]
    fn manifest_that_is_also_an_index_is_refused() {
        let text = manifest().replace(r#""layers""#, r#""manifests":[],"layers""#);
        assert!(error(&text, None).starts_with("ambiguous manifest"));
        let text = manifest().replace(media::OCI_MANIFEST, media::OCI_INDEX);
        assert!(error(&text, None).contains("does not fit its type"));
        assert!(error(&manifest(), Some(media::DOCKER_LIST)).contains("does not fit its type"));
    }

    #[test]
    fn manifest_of_schema_1_or_of_unknown_kind_is_refused() {
        assert!(error(r#"{"schemaVersion":1,"fsLayers":[]}"#, None).contains("schema 1 support"));
        assert!(error(&manifest(), Some(media::DOCKER_SCHEMA1_SIGNED)).contains("schema 1 support"));
        assert!(error(r#"{"schemaVersion":2}"#, None).contains("neither layers nor manifests"));
        assert!(error(r#"{"schemaVersion":3,"layers":[]}"#, None).contains("schemaVersion 3"));
        let chart = manifest().replace(media::OCI_CONFIG, "application/vnd.cncf.helm.config.v1+json");
        assert!(error(&chart, None).contains("not a container image"));
        assert!(matches!(Document::parse_any(chart.as_bytes(), None), Ok(Document::Manifest(_))));
        assert!(error(&manifest().replace("sha256:e3", "sha256:/3"), None).starts_with("malformed manifest"));
        assert!(error(&"[".repeat(100_000), None).starts_with("malformed manifest"));
        assert!(error(&" ".repeat(5 << 20), None).contains("exceeds the limit"));
    }

    #[test]
    fn index_entries_are_chosen_by_platform_best_first() {
        let entry = |architecture: &str, variant: &str, size: u32| {
            format!(
                r#"{{"digest":"sha256:{HEX}","size":{size},"platform":{{"os":"linux","architecture":"{architecture}","variant":"{variant}"}}}}"#
            )
        };
        let text = format!(
            r#"{{"schemaVersion":2,"manifests":[{},{},{},{}]}}"#,
            entry("arm", "v6", 1),
            entry("arm", "v7", 2),
            entry("arm64", "v8", 3),
            entry("unknown", "", 4)
        );
        let Document::Index(index) = Document::parse(text.as_bytes(), None).unwrap() else {
            panic!("no index")
        };
        let sizes = |platform: &str| -> Vec<u64> {
            index.select(&platform.parse().unwrap()).iter().map(|entry| entry.size).collect()
        };
        assert_eq!(sizes("linux/arm/v7"), [2, 1]);
        assert_eq!(sizes("linux/arm64"), [3, 2, 1]);
        assert!(sizes("linux/riscv64").is_empty());
    }

    proptest! {
        #[test]
        fn manifest_any_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = Document::parse(&bytes, None);
        }

        #[test]
        fn manifest_with_a_byte_changed_never_panics(at in 0usize..300, byte in any::<u8>()) {
            let mut bytes = manifest().into_bytes();
            let at = at % bytes.len();
            bytes[at] = byte;
            let _ = Document::parse(&bytes, Some(media::OCI_MANIFEST));
        }
    }
}
