//! An image in a list, in docker's form.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use image::manifest::{self, Document, Manifest, PlatformSpec, media};
use oci::{Digest, Reference};
use registry::ImageDocument;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::failure::Failure;
use crate::format::whitespace::{compact, escaped, indent};

/// An image in a list.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Entry {
    /// Its name, complete.
    #[serde(rename = "Ref")]
    pub(crate) reference: String,
    #[serde(default)]
    pub(crate) descriptor: Descriptor,
    /// The manifest's bytes, in base64. Old clients kept none.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    raw: String,
    /// The manifest, if it is Docker's.
    #[serde(rename = "SchemaV2Manifest", default, skip_serializing_if = "Option::is_none")]
    docker: Option<Box<RawValue>>,
    /// The manifest, if it is OCI's.
    #[serde(rename = "OCIManifest", default, skip_serializing_if = "Option::is_none")]
    oci: Option<Box<RawValue>>,
    /// Where old clients kept what is in the descriptor now.
    #[serde(rename = "Digest", default, skip_serializing)]
    old_digest: String,
    #[serde(rename = "Platform", default, skip_serializing)]
    old_platform: Option<Platform>,
}

/// What the manifest is. The order is docker's.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Descriptor {
    pub(crate) media_type: String,
    pub(crate) digest: String,
    pub(crate) size: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) platform: Option<Platform>,
}

/// What the image is for. The order is docker's.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Platform {
    pub(crate) architecture: String,
    pub(crate) os: String,
    #[serde(rename = "os.version", skip_serializing_if = "String::is_empty")]
    pub(crate) os_version: String,
    #[serde(rename = "os.features", skip_serializing_if = "Vec::is_empty")]
    pub(crate) os_features: Vec<String>,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(crate) variant: String,
}

impl From<PlatformSpec> for Platform {
    fn from(spec: PlatformSpec) -> Self {
        Self {
            architecture: spec.architecture,
            os: spec.os,
            os_version: spec.os_version.unwrap_or_default(),
            os_features: spec.os_features.unwrap_or_default(),
            variant: spec.variant.unwrap_or_default(),
        }
    }
}

impl Entry {
    /// What a registry has.
    pub(crate) fn new(image: ImageDocument) -> Result<Self, Failure> {
        let ImageDocument { reference, descriptor, content } = image;
        let raw = STANDARD.encode(&content);
        let document = String::from_utf8(content).ok().and_then(|text| RawValue::from_string(text).ok());
        let document =
            document.ok_or_else(|| Failure::message(format!("the manifest of {reference} is not JSON")))?;
        let (docker, oci) = match descriptor.media_type.as_str() {
            media::DOCKER_MANIFEST => (Some(document), None),
            _ => (None, Some(document)),
        };
        let descriptor = Descriptor {
            media_type: descriptor.media_type,
            digest: descriptor.digest.to_string(),
            size: descriptor.size,
            platform: descriptor.platform.map(Platform::from),
        };
        let (old_digest, old_platform) = (String::new(), None);
        Ok(Self { reference: reference.to_string(), descriptor, raw, docker, oci, old_digest, old_platform })
    }

    /// Reads what a client kept.
    pub(crate) fn parse(json: &[u8], file: &str) -> Result<Self, Failure> {
        let invalid = |reason: String| Failure::message(format!("invalid manifest file {file}: {reason}"));
        let entry: Self = serde_json::from_slice(json).map_err(|error| invalid(error.to_string()))?;
        entry.modernized().map_err(invalid)
    }

    /// Makes a descriptor of what clients before it kept.
    fn modernized(mut self) -> Result<Self, String> {
        if self.old_digest.is_empty() {
            return Ok(self);
        }
        let expected = std::mem::take(&mut self.old_digest);
        let payload = self.payload().map_err(|failure| failure.to_string())?;
        let (actual, size) = (Digest::of(payload.as_bytes()), payload.len() as u64);
        if actual.as_str() != expected {
            return Err(format!("image manifest digest mismatch ({expected} != {actual})"));
        }
        let kind = if self.docker.is_some() { media::DOCKER_MANIFEST } else { media::OCI_MANIFEST };
        self.descriptor = Descriptor {
            media_type: kind.to_owned(),
            digest: expected,
            size,
            platform: self.old_platform.take(),
        };
        Ok(self)
    }

    /// Whether the manifest's own bytes were kept.
    pub(crate) fn has_bytes(&self) -> bool {
        !self.raw.is_empty()
    }

    /// The name of the image.
    pub(crate) fn name(&self) -> Result<Reference, Failure> {
        let invalid =
            |error| Failure::message(format!("invalid named reference {}: {error}", self.reference));
        Reference::parse(&self.reference).map_err(invalid)
    }

    /// The manifest as it is kept for people.
    pub(crate) fn payload(&self) -> Result<&str, Failure> {
        let document = self.docker.as_deref().or(self.oci.as_deref()).map(RawValue::get);
        document.ok_or_else(|| Failure::message(format!("{} has no payload", self.reference)))
    }

    /// The manifest's own bytes, verified. Where they were not kept, they are what its clients usually made of it.
    pub(crate) fn bytes(&self) -> Result<Vec<u8>, Failure> {
        let bytes = match self.raw.as_str() {
            "" => indent(self.payload()?, if self.docker.is_some() { "   " } else { "  " }).into_bytes(),
            raw => STANDARD.decode(raw).map_err(|error| self.broken(&error.to_string()))?,
        };
        let expected = &self.descriptor.digest;
        let digest: Digest = expected.parse().map_err(|error: oci::DigestError| {
            Failure::message(format!("digest parse of image {:?} failed: {error}", self.reference))
        })?;
        match digest.verifies(&bytes) {
            true => Ok(bytes),
            false => Err(Failure::message(format!(
                "internal digest mismatch for {}: expected {expected}, got {}",
                self.reference,
                Digest::of(&bytes)
            ))),
        }
    }

    /// What the manifest names: its configuration and its layers.
    pub(crate) fn blobs(&self) -> Result<Vec<Digest>, Failure> {
        match Document::parse(self.payload()?.as_bytes(), None) {
            Ok(Document::Manifest(Manifest { config, layers })) => {
                let mut found = vec![config.digest];
                for layer in layers {
                    if !found.contains(&layer.digest) {
                        found.push(layer.digest);
                    }
                }
                Ok(found)
            }
            Ok(Document::Index(_)) => Err(self.broken("a manifest list")),
            Err(error) => Err(self.broken(&error.to_string())),
        }
    }

    /// What goes to a registry with the manifest.
    pub(crate) fn remote_descriptor(&self) -> Result<manifest::Descriptor, Failure> {
        let Descriptor { media_type, digest, size, .. } = &self.descriptor;
        let digest = digest.parse().map_err(|error: oci::DigestError| self.broken(&error.to_string()))?;
        Ok(manifest::Descriptor::new(media_type, digest, *size))
    }

    /// One line of JSON.
    pub(crate) fn json(&self) -> String {
        escaped(&compact(&serde_json::to_string(self).expect("texts, numbers and JSON")))
    }

    fn broken(&self, reason: &str) -> Failure {
        Failure::message(format!("manifest of {}: {reason}", self.reference))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DOCUMENT: &str = r#"{
   "schemaVersion": 2,
   "mediaType": "application/vnd.docker.distribution.manifest.v2+json",
   "config": {"mediaType": "application/vnd.docker.container.image.v1+json", "size": 2, "digest": "sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a"},
   "layers": []
}"#;

    fn image() -> ImageDocument {
        let descriptor = manifest::Descriptor {
            platform: Some(PlatformSpec {
                architecture: "arm".into(),
                os: "linux".into(),
                variant: Some("v7".into()),
                ..PlatformSpec::default()
            }),
            ..manifest::Descriptor::new(
                media::DOCKER_MANIFEST,
                Digest::of(DOCUMENT.as_bytes()),
                DOCUMENT.len() as u64,
            )
        };
        let reference = Reference::parse("localhost:5000/app:1").unwrap();
        ImageDocument { reference, descriptor, content: DOCUMENT.into() }
    }

    #[test]
    fn entry_has_the_form_of_docker() {
        let json = Entry::new(image()).unwrap().json();
        let digest = Digest::of(DOCUMENT.as_bytes());
        let head = format!(
            r#"{{"Ref":"localhost:5000/app:1","Descriptor":{{"mediaType":"{}","digest":"{digest}","size":{},"platform":{{"architecture":"arm","os":"linux","variant":"v7"}}}},"Raw":"{}","SchemaV2Manifest":{{"schemaVersion":2,"#,
            media::DOCKER_MANIFEST,
            DOCUMENT.len(),
            STANDARD.encode(DOCUMENT)
        );
        assert!(json.starts_with(&head), "{json}");
        let read = Entry::parse(json.as_bytes(), "x").unwrap();
        assert_eq!(read.bytes().unwrap(), DOCUMENT.as_bytes());
        assert_eq!(read.blobs().unwrap().len(), 1);
        assert_eq!(read.json(), json);
    }

    #[test]
    fn changed_bytes_are_noticed() {
        let json = Entry::new(image()).unwrap().json();
        let other = json.replace(&STANDARD.encode(DOCUMENT), &STANDARD.encode("{}"));
        let error = Entry::parse(other.as_bytes(), "x").unwrap().bytes().unwrap_err();
        assert!(
            error.to_string().starts_with("internal digest mismatch for localhost:5000/app:1"),
            "{error}"
        );
    }

    #[test]
    fn entry_of_an_old_client_gets_a_descriptor() {
        let manifest = compact(DOCUMENT);
        let digest = Digest::of(manifest.as_bytes());
        let old = format!(
            r#"{{"Ref":"localhost:5000/app:1","Digest":"{digest}","SchemaV2Manifest":{manifest},"Platform":{{"architecture":"arm","os":"linux"}}}}"#
        );
        let entry = Entry::parse(old.as_bytes(), "x").unwrap();
        assert_eq!(entry.descriptor.digest, digest.to_string());
        assert_eq!(entry.descriptor.platform.unwrap().architecture, "arm");
        let wrong = old.replace(digest.hex(), &"0".repeat(64));
        let error = Entry::parse(wrong.as_bytes(), "x").unwrap_err().to_string();
        assert!(error.contains("image manifest digest mismatch"), "{error}");
    }
}
