//! What a name stands for when it is handed on: an image, or the index over those of several platforms.

use oci::{Platform, Reference};

use crate::content::Content;
use crate::error::{Error, Result};
use crate::image::Image;
use crate::index::lookup_key;
use crate::manifest::Descriptor;
use crate::record::ReferenceRecord;
use crate::store::ImageStore;

/// What a name stands for, as far as it is here.
#[allow(clippy::large_enum_variant, reason = "there is one at a time, never a list of them")]
#[derive(Debug)]
pub enum Selection {
    /// One image.
    Image {
        /// The image.
        content: Content,
        /// The index that is not whole here, so that the image goes instead of it.
        instead_of: Option<Descriptor>,
    },
    /// An index, with every image in it.
    Index(IndexContent),
}

/// An index of which everything is here.
#[derive(Debug)]
pub struct IndexContent {
    /// The index.
    pub index: Descriptor,
    /// Its bytes.
    pub document: Vec<u8>,
    /// Its images.
    pub images: Vec<Content>,
}

/// The image among those of a name that is for exactly this platform.
pub(crate) fn of_platform<'i>(images: &'i [Image], wanted: &Platform, name: &str) -> Result<&'i Image> {
    let image = images.iter().find(|image| image.config.platform() == *wanted);
    image.ok_or_else(|| Error::NoPlatform { reference: name.into(), wanted: wanted.to_string() })
}

impl ImageStore {
    /// Chooses what to hand on under a name: the image of the platform that is asked for, or everything if all of it is
    /// here, or the one image that is.
    ///
    /// # Errors
    /// [`Error::NoReference`]; [`Error::NoPlatform`]; [`Error::SeveralPlatforms`] where it cannot be told which is meant; as
    /// for [`ImageStore::content`].
    pub fn select(&self, name: &Reference, platform: Option<&Platform>) -> Result<Selection> {
        let named = self.shared.read().references.get(&lookup_key(name)).cloned();
        let named = named.ok_or_else(|| Error::NoReference(name.familiar()))?;
        let images: Vec<Image> = named.images().map(|id| self.image(id)).collect::<Result<_>>()?;
        let one = |image: &Image, instead_of| {
            Ok(Selection::Image { content: self.content(&image.id)?, instead_of })
        };
        if let Some(wanted) = platform {
            return one(of_platform(&images, wanted, &name.familiar())?, None);
        }
        let Some(index) = named.index.clone() else { return one(&images[0], None) };
        if let Some(whole) = self.whole_index(&index, &named)? {
            return Ok(Selection::Index(whole));
        }
        let is_native = images[0].config.platform().satisfies(&Platform::host());
        if images.len() > 1 && !is_native {
            return Err(Error::SeveralPlatforms);
        }
        one(&images[0], Some(index))
    }

    /// The index with all its images; `None` where one is missing or not as it came.
    fn whole_index(&self, index: &Descriptor, named: &ReferenceRecord) -> Result<Option<IndexContent>> {
        let Some((list, document)) = self.shared.index_document(index) else { return Ok(None) };
        let contents: Vec<Content> = named.images().map(|id| self.content(id)).collect::<Result<_>>()?;
        let is_here = |entry: &Descriptor| contents.iter().any(|it| it.manifest.digest == entry.digest);
        if list.manifests.is_empty() || !list.manifests.iter().all(is_here) {
            return Ok(None);
        }
        Ok(Some(IndexContent { index: index.clone(), document, images: contents }))
    }

    /// Notes that a registry has an index under this name, which has it here too.
    ///
    /// # Errors
    /// [`Error::NoReference`]; when the store cannot be written.
    pub fn set_index_pushed(&self, index: &Descriptor, name: &Reference) -> Result<()> {
        let mut entries = self.shared.write();
        let named = entries.references.get(&lookup_key(name)).cloned();
        let named = named.ok_or_else(|| Error::NoReference(name.familiar()))?;
        let key = name.with_digest(index.digest.clone());
        self.shared.records.put(&key.to_string(), &named)?;
        entries.references.insert(key, named);
        Ok(())
    }
}
