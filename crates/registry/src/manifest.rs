//! Fetching manifests and choosing among them.

use image::manifest::{Descriptor, Document, MAX_MANIFEST_SIZE, Manifest, ManifestError, media};
use oci::{Digest, Hasher, Platform, Reference};
use reqwest::header::CONTENT_TYPE;

use crate::error::{ApiError, Error};
use crate::retry::Retry;
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
    /// The index that had a choice, if one did.
    pub(crate) index: Option<Descriptor>,
}

/// Fetches what `reference` stands for, and what is for `platform` in it.
pub(crate) async fn choose(
    session: &Session<'_>,
    reference: &Reference,
    platform: &Platform,
) -> Result<Chosen, Error> {
    let mut current = fetch(session, reference, &key_of(reference), reference.digest()).await?;
    let (digest, mut documents, mut list) = (current.descriptor.digest.clone(), Vec::new(), None);
    for _ in 0..MAX_DEPTH {
        documents.push((current.descriptor.digest.clone(), current.content));
        match current.document {
            Document::Manifest(manifest) => {
                let descriptor = current.descriptor;
                return Ok(Chosen { digest, manifest, descriptor, documents, index: list });
            }
            Document::Index(index) => {
                let chosen = index.select(platform);
                let entry = chosen.first().ok_or_else(|| Error::NoPlatform(platform.to_string()))?;
                // The outermost is what the name stands for.
                list.get_or_insert(current.descriptor);
                current = fetch(session, reference, entry.digest.as_str(), Some(&entry.digest)).await?;
            }
        }
    }
    Err(Error::Nesting(MAX_DEPTH))
}

/// Bytes that a page of the list of tags may have, and tags that it may list in all.
const MAX_TAGS_PAGE: u64 = 4 << 20;
const MAX_TAGS: usize = 100_000;

/// All tags of a repository (distribution specification, "Listing Tags").
pub(crate) async fn tags(session: &Session<'_>, reference: &Reference) -> Result<Vec<String>, Error> {
    #[derive(serde::Deserialize)]
    struct Page {
        tags: Option<Vec<String>>,
    }
    let mut url = session.url("tags/list")?;
    let mut found: Vec<String> = Vec::new();
    loop {
        let answer = session.request(reqwest::Method::GET, &url, &|builder| Ok(builder)).await;
        let response = answer.map_err(|error| named(error, reference))?;
        let next = next_page(&response).and_then(|next| response.url().join(&next).ok());
        let body = limited_body(response, "list of tags", MAX_TAGS_PAGE).await?;
        let malformed = |source| ManifestError::Malformed { what: "list of tags", source };
        let page: Page =
            serde_json::from_slice(&body).map_err(|error| image::Error::from(malformed(error)))?;
        let tags = page.tags.unwrap_or_default();
        let is_last = tags.is_empty();
        found.extend(tags);
        if found.len() > MAX_TAGS {
            return Err(Error::TooManyTags(MAX_TAGS));
        }
        match next.filter(|next| !is_last && session.is_own(next)) {
            Some(next) => url = next,
            None => return Ok(found),
        }
    }
}

/// `Link: <…>; rel="next"`.
fn next_page(response: &reqwest::Response) -> Option<String> {
    let link = response.headers().get("link")?.to_str().ok()?;
    let (target, rest) = link.trim().strip_prefix('<')?.split_once('>')?;
    rest.contains("next").then(|| target.to_owned())
}

/// By what a registry finds a manifest.
pub(crate) fn key_of(reference: &Reference) -> String {
    match (reference.digest(), reference.tag()) {
        (Some(digest), _) => digest.to_string(),
        (None, tag) => tag.unwrap_or("latest").to_owned(),
    }
}

pub(crate) struct Fetched {
    pub(crate) descriptor: Descriptor,
    pub(crate) document: Document,
    pub(crate) content: Vec<u8>,
}

/// How a document is read.
pub(crate) type Parse = fn(&[u8], Option<&str>) -> Result<Document, ManifestError>;

/// Fetches the manifest of an image or an index, again where the registry is busy or fails.
pub(crate) async fn fetch(
    session: &Session<'_>,
    reference: &Reference,
    name: &str,
    expected: Option<&Digest>,
) -> Result<Fetched, Error> {
    fetch_as(session, reference, name, expected, Document::parse).await
}

/// As [`fetch`], of what is read in this way.
pub(crate) async fn fetch_as(
    session: &Session<'_>,
    reference: &Reference,
    name: &str,
    expected: Option<&Digest>,
    parse: Parse,
) -> Result<Fetched, Error> {
    let mut retry = Retry::new(session.config());
    loop {
        match fetch_once(session, reference, name, expected, parse).await {
            Err(error) => retry.after(error).await?,
            done => return done,
        }
    }
}

async fn fetch_once(
    session: &Session<'_>,
    reference: &Reference,
    name: &str,
    expected: Option<&Digest>,
    parse: Parse,
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
    let document = parse(&content, content_type.as_deref()).map_err(image::Error::from)?;
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
