//! Fetching manifests and choosing among them.

use image::manifest::{Descriptor, Document, MAX_MANIFEST_SIZE, Manifest, media};
use oci::{Digest, Hasher, Platform, Reference};
use reqwest::header::CONTENT_TYPE;

use crate::error::{ApiError, Error};
use crate::session::{Request, Session, limited_body};

/// Indexes that may be in each other.
const MAX_DEPTH: usize = 4;

const ACCEPT: [&str; 5] = [
    media::OCI_INDEX,
    media::DOCKER_LIST,
    media::OCI_MANIFEST,
    media::DOCKER_MANIFEST,
    // So that a registry that has nothing else says so, and we can say why it is of no use.
    media::DOCKER_SCHEMA1_SIGNED,
];

/// The manifest of the image for a platform, and how it was found.
#[derive(Debug)]
pub(crate) struct Chosen {
    /// What the name stands for: the digest of the manifest or of the index over it.
    pub(crate) digest: Digest,
    pub(crate) manifest: Manifest,
    pub(crate) descriptor: Descriptor,
    /// All documents on the way, byte for byte.
    pub(crate) documents: Vec<(Digest, Vec<u8>)>,
    /// Whether an index had a choice.
    pub(crate) was_index: bool,
}

/// Fetches what `reference` stands for, and what is for `platform` in it.
pub(crate) async fn choose(
    session: &Session<'_>,
    reference: &Reference,
    platform: &Platform,
) -> Result<Chosen, Error> {
    let name = match (reference.digest(), reference.tag()) {
        (Some(digest), _) => digest.to_string(),
        (None, tag) => tag.unwrap_or("latest").to_owned(),
    };
    let mut current = fetch(session, reference, &name, reference.digest()).await?;
    let (digest, mut documents, mut was_index) = (current.descriptor.digest.clone(), Vec::new(), false);
    for _ in 0..MAX_DEPTH {
        documents.push((current.descriptor.digest.clone(), current.content));
        match current.document {
            Document::Manifest(manifest) => {
                return Ok(Chosen { digest, manifest, descriptor: current.descriptor, documents, was_index });
            }
            Document::Index(index) => {
                let chosen = index.select(platform);
                let entry = chosen.first().ok_or_else(|| Error::NoPlatform(platform.to_string()))?;
                current = fetch(session, reference, entry.digest.as_str(), Some(&entry.digest)).await?;
                was_index = true;
            }
        }
    }
    Err(Error::Nesting(MAX_DEPTH))
}

struct Fetched {
    descriptor: Descriptor,
    document: Document,
    content: Vec<u8>,
}

async fn fetch(
    session: &Session<'_>,
    reference: &Reference,
    name: &str,
    expected: Option<&Digest>,
) -> Result<Fetched, Error> {
    let request = Request { path: &format!("manifests/{name}"), accept: &ACCEPT, from: 0 };
    let response = session.get(&request).await.map_err(|error| named(error, reference))?;
    let header = |name: &str| {
        let value = response.headers().get(name)?.to_str().ok()?;
        Some(value.split(';').next().unwrap_or_default().trim().to_owned())
    };
    let content_type = header(CONTENT_TYPE.as_str());
    // By tag there is only the registry's own word for the digest; where it gives one it must be true.
    let announced = header("docker-content-digest").and_then(|text| text.parse::<Digest>().ok());
    let content = limited_body(response, "manifest", MAX_MANIFEST_SIZE).await?;
    let expected = expected.or(announced.as_ref());
    let mut hasher = Hasher::new(expected.map_or(oci::Algorithm::Sha256, Digest::algorithm));
    hasher.update(&content);
    let actual = hasher.finish();
    if let Some(expected) = expected.filter(|expected| **expected != actual) {
        let expected = expected.clone();
        return Err(image::Error::Digest { what: "manifest", expected, actual }.into());
    }
    let document = Document::parse(&content, content_type.as_deref()).map_err(image::Error::from)?;
    let media_type = content_type.unwrap_or_else(|| media::OCI_MANIFEST.into());
    let descriptor = Descriptor::new(&media_type, actual, content.len() as u64);
    Ok(Fetched { descriptor, document, content })
}

/// Docker's words for what a registry says about a name.
fn named(error: Error, reference: &Reference) -> Error {
    let Error::Api(cause) = error else { return error };
    let name = reference.familiar_name();
    match cause.code.as_str() {
        "DENIED" => Error::Denied { name, cause },
        "NAME_UNKNOWN" => Error::NameUnknown { name, cause },
        "MANIFEST_UNKNOWN" => Error::ManifestUnknown { reference: reference.familiar(), cause },
        "NOT_FOUND" => {
            let cause = ApiError::new("MANIFEST_UNKNOWN", "manifest unknown");
            Error::ManifestUnknown { reference: reference.familiar(), cause }
        }
        _ => Error::Api(cause),
    }
}
