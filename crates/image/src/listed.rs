//! All that a name stands for: the images of an index, of which some or all are here.

use oci::Digest;

use crate::error::Result;
use crate::image::Image;
use crate::manifest::{Descriptor, PlatformSpec};
use crate::record::ReferenceRecord;
use crate::store::ImageStore;

/// Annotations by which BuildKit says which manifest of an index is about which other.
const REFERENCE_TYPE: &str = "vnd.docker.reference.type";
const REFERENCE_DIGEST: &str = "vnd.docker.reference.digest";
const ATTESTATION: &str = "attestation-manifest";

/// What is under the names of an image.
#[derive(Clone, Debug)]
pub struct Listing {
    /// The index that the image has a name of, if it has.
    pub index: Option<Descriptor>,
    /// The manifests of the index, or the image's own.
    pub manifests: Vec<ListedManifest>,
}

/// A manifest under a name.
#[derive(Clone, Debug)]
pub struct ListedManifest {
    /// The manifest, with what its index says of it.
    pub descriptor: Descriptor,
    /// What it is.
    pub kind: ManifestKind,
    /// Bytes of what is here of it, as registries have it: documents and layers.
    pub content: u64,
}

/// What a manifest of an index is.
#[derive(Clone, Debug)]
#[allow(clippy::large_enum_variant, reason = "there are few, and most are images")]
pub enum ManifestKind {
    /// An image that is here.
    Image(Image),
    /// An image that is not here.
    Absent(PlatformSpec),
    /// A statement about another manifest of the index.
    Attestation(Digest),
    /// Something else.
    Unknown,
}

impl ImageStore {
    /// What is under the names of an image: all platforms, where it is one of several.
    ///
    /// # Errors
    /// When an image has gone meanwhile.
    pub fn listing(&self, image: &Image) -> Result<Listing> {
        if let Some(named) = self.index_of(image)
            && let Some(index) = named.index.clone()
            && let Some((list, _)) = self.shared.index_document(&index)
        {
            // One that has gone since is not here.
            let here: Vec<Image> = named.images().filter_map(|id| self.image(id).ok()).collect();
            let manifests = list.manifests.into_iter().map(|entry| self.listed(entry, &here)).collect();
            return Ok(Listing { index: Some(index), manifests });
        }
        // Without its layers as they came there is no manifest to be told.
        let own = self.content_size(&image.id).ok().map(|(descriptor, content)| ListedManifest {
            descriptor,
            kind: ManifestKind::Image(image.clone()),
            content,
        });
        Ok(Listing { index: None, manifests: own.into_iter().collect() })
    }

    /// Leaves out the images that have no name but as another platform of one that is among them.
    pub fn without_platforms_of_others(&self, images: Vec<Image>) -> Vec<Image> {
        let index = self.shared.read();
        let is_other = |image: &Image| {
            let mut names = index.references.values().filter(|named| named.names(&image.id)).peekable();
            let is_named = names.peek().is_some();
            is_named
                && names.all(|named| named.image != image.id && images.iter().any(|it| it.id == named.image))
        };
        let others: Vec<Digest> =
            images.iter().filter(|image| is_other(image)).map(|image| image.id.clone()).collect();
        drop(index);
        images.into_iter().filter(|image| !others.contains(&image.id)).collect()
    }

    /// The index that an image is listed in under one of its names, those with a tag first.
    fn index_of(&self, image: &Image) -> Option<ReferenceRecord> {
        let index = self.shared.read();
        let names = image.repo_tags.iter().chain(&image.repo_digests);
        names.filter_map(|name| index.references.get(name)).find(|named| named.index.is_some()).cloned()
    }

    fn listed(&self, entry: Descriptor, here: &[Image]) -> ListedManifest {
        let is_it = |image: &&Image| image.manifest.as_ref().is_some_and(|own| own.digest == entry.digest);
        if let Some(image) = here.iter().find(is_it)
            && let Ok((_, content)) = self.content_size(&image.id)
        {
            let kind = ManifestKind::Image(image.clone());
            return ListedManifest { descriptor: entry, kind, content };
        }
        let content = self.shared.blob_size(&entry.digest).unwrap_or_default();
        let kind = kind_of(&entry);
        ListedManifest { descriptor: entry, kind, content }
    }
}

/// What is not here, by what its index says.
fn kind_of(entry: &Descriptor) -> ManifestKind {
    let platform = entry.platform.clone().unwrap_or_default();
    let note = |name: &str| entry.annotations.as_ref().and_then(|notes| notes.get(name)).map(String::as_str);
    if note(REFERENCE_TYPE) == Some(ATTESTATION) {
        let of = note(REFERENCE_DIGEST).and_then(|text| text.parse().ok());
        return of.map_or(ManifestKind::Unknown, ManifestKind::Attestation);
    }
    if platform.os == "unknown" { ManifestKind::Unknown } else { ManifestKind::Absent(platform) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manifest::media;

    #[test]
    fn entries_are_told_apart_by_what_the_index_says() {
        let entry = |os: &str, notes: &[(&str, &str)]| {
            let platform = PlatformSpec { os: os.into(), ..PlatformSpec::default() };
            let annotations =
                notes.iter().map(|&(name, value)| (name.to_owned(), value.to_owned())).collect();
            Descriptor {
                platform: Some(platform),
                annotations: Some(annotations),
                ..Descriptor::new(media::OCI_MANIFEST, Digest::of(b"x"), 1)
            }
        };
        let of = Digest::of(b"image");
        let notes = [(REFERENCE_TYPE, ATTESTATION), (REFERENCE_DIGEST, of.as_str())];
        assert!(matches!(kind_of(&entry("unknown", &notes)), ManifestKind::Attestation(it) if it == of));
        assert!(matches!(kind_of(&entry("unknown", &notes[..1])), ManifestKind::Unknown));
        assert!(matches!(kind_of(&entry("unknown", &[])), ManifestKind::Unknown));
        assert!(matches!(kind_of(&entry("linux", &[])), ManifestKind::Absent(it) if it.os == "linux"));
    }
}
