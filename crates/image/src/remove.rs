//! Taking names from images and deleting them, by Docker's rules.
//!
//! A name given removes that name, and the image with its last one. An ID given removes the image and its names, if these
//! are all of one repository. Images in use by containers and images with further names need force, and those of running
//! containers cannot be deleted at all. What is to be done is decided first and then done in one transaction.

use oci::{Digest, Reference};

use crate::error::{Error, Result};
use crate::index::{Index, lookup_key};
use crate::record::{ImageRecord, ReferenceRecord};
use crate::store::{ImageStore, Shared};

/// Whether objections are overruled.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Force {
    /// No: a conflict is an error.
    #[default]
    No,
    /// Yes, except those that nothing overrules.
    Yes,
}

/// Containers that use an image, by their IDs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Users {
    /// One that runs.
    pub running: Option<String>,
    /// One that does not.
    pub stopped: Option<String>,
}

/// Something that was removed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Removed {
    /// A name, taken from this image.
    Untagged(Reference, Digest),
    /// An image.
    Image(Digest),
    /// A layer on top of those below it, by its chain ID, that no other image or container has.
    Layer(Digest),
}

/// What is to be done.
#[derive(Debug, Default, PartialEq, Eq)]
struct Plan {
    untag: Vec<Reference>,
    delete: bool,
}

impl ImageStore {
    /// Removes a name or an image. `users` tells which containers use an image.
    ///
    /// # Errors
    /// As for [`ImageStore::resolve`]; [`Error::ReferenceInUse`] and [`Error::InUse`]. Nothing was removed then.
    pub fn remove(&self, text: &str, force: Force, users: &dyn Fn(&Digest) -> Users) -> Result<Vec<Removed>> {
        let mut index = self.shared.write();
        let reference = Reference::parse(text);
        let Some(id) = index.find(text, reference.as_ref().ok()) else {
            drop(index);
            return Err(self.shared.find(text).err().unwrap_or_else(|| Error::NotFound(text.into())));
        };
        let request = Request { text, reference: reference.ok(), id: &id, force, users: users(&id) };
        let plan = decide(&index, &request)?;
        let (removed, trash) = self.shared.carry_out(&mut index, &id, plan)?;
        drop(index);
        drop(trash);
        Ok(removed)
    }
}

struct Request<'a> {
    text: &'a str,
    reference: Option<Reference>,
    id: &'a Digest,
    force: Force,
    users: Users,
}

impl Request<'_> {
    fn is_by_id(&self) -> bool {
        self.id.as_str().starts_with(self.text) || self.id.hex().starts_with(self.text)
    }

    fn conflict(&self, forcible: bool, reason: String) -> Error {
        Error::InUse { image: self.id.short().into(), forcible, reason }
    }
}

fn decide(index: &Index, request: &Request<'_>) -> Result<Plan> {
    let names = index.references_of(request.id);
    match &request.reference {
        Some(reference) if !request.is_by_id() => decide_by_name(index, request, reference, names),
        _ => decide_by_id(index, request, names),
    }
}

fn decide_by_name(
    index: &Index,
    request: &Request<'_>,
    reference: &Reference,
    names: Vec<Reference>,
) -> Result<Plan> {
    let user = request.users.running.as_ref().or(request.users.stopped.as_ref());
    if let (Force::No, true, Some(container)) = (request.force, is_single(&names), user) {
        return Err(Error::ReferenceInUse {
            reference: request.text.into(),
            container: short(container).into(),
            image: request.id.short().into(),
        });
    }
    let key = lookup_key(reference);
    let mut untag = vec![key.clone()];
    let others: Vec<&Reference> = names.iter().filter(|name| **name != key).collect();
    let same_repository = |name: &Reference| name.name() == key.name();
    let has_tag_left = others.iter().any(|name| name.digest().is_none() && same_repository(name));
    if key.digest().is_none() && !has_tag_left {
        let digests = others.iter().filter(|name| name.digest().is_some() && same_repository(name));
        untag.extend(digests.map(|name| (*name).clone()));
    }
    // The last name is gone; the image goes with it where nobody objects, and otherwise stays without one.
    let is_last = names.iter().all(|name| untag.contains(name));
    let objection = hard_objection(index, request).or_else(|| soft_objection(request));
    let delete = is_last && objection.is_none();
    Ok(Plan { untag, delete })
}

fn decide_by_id(index: &Index, request: &Request<'_>, names: Vec<Reference>) -> Result<Plan> {
    let referenced = || request.conflict(true, "image is referenced in multiple repositories".into());
    let is_shared = request.force == Force::No && !is_single(&names);
    let conflict = hard_objection(index, request)
        .or_else(|| is_shared.then(referenced))
        .or_else(|| soft_objection(request));
    match conflict {
        Some(conflict) => Err(conflict),
        None => Ok(Plan { untag: names, delete: true }),
    }
}

/// Why the image itself cannot be deleted, even by force.
fn hard_objection(index: &Index, request: &Request<'_>) -> Option<Error> {
    if index.has_children(request.id) {
        return Some(request.conflict(false, "image has dependent child images".into()));
    }
    if let Some(container) = &request.users.running {
        let reason = format!("image is being used by running container {}", short(container));
        return Some(request.conflict(false, reason));
    }
    None
}

/// Why it cannot be deleted without force, names aside.
fn soft_objection(request: &Request<'_>) -> Option<Error> {
    if let (Force::No, Some(container)) = (request.force, &request.users.stopped) {
        let reason = format!("image is being used by stopped container {}", short(container));
        return Some(request.conflict(true, reason));
    }
    None
}

/// Whether the names are at most one tag, with digests in its repository only.
fn is_single(names: &[Reference]) -> bool {
    if names.len() <= 1 {
        return true;
    }
    let tags: Vec<&Reference> = names.iter().filter(|name| name.digest().is_none()).collect();
    let repository = tags.first().copied().unwrap_or(&names[0]).name();
    tags.len() <= 1 && names.iter().all(|name| name.name() == repository)
}

fn short(container: &str) -> &str {
    container.get(..12).unwrap_or(container)
}

impl Shared {
    fn carry_out(
        &self,
        index: &mut Index,
        id: &Digest,
        plan: Plan,
    ) -> Result<(Vec<Removed>, Vec<sys::trash::Discarded>)> {
        self.records.transaction::<_, Error>(|transaction| {
            for name in &plan.untag {
                transaction.remove::<ReferenceRecord>(&name.to_string())?;
            }
            if plan.delete {
                transaction.remove::<ImageRecord>(id.as_str())?;
            }
            Ok(())
        })?;
        let mut removed = Vec::new();
        for name in plan.untag {
            index.references.remove(&name);
            removed.push(Removed::Untagged(name, id.clone()));
        }
        if !plan.delete {
            return Ok((removed, Vec::new()));
        }
        let entry = index.images.remove(id);
        removed.push(Removed::Image(id.clone()));
        let layers = entry.as_ref().map_or(&[][..], |entry| &entry.record.layers);
        removed.extend(removed_chains(index, layers).into_iter().map(Removed::Layer));
        Ok((removed, self.collect(index)?))
    }
}

/// The chain IDs of an image's layers, the topmost first, down to what an image or container still has.
fn removed_chains(index: &Index, layers: &[Digest]) -> Vec<Digest> {
    let images = index.images.values().map(|entry| entry.record.layers.as_slice());
    let snapshots = index.snapshots.values().map(|snapshot| snapshot.layers.as_slice());
    let common = |other: &[Digest]| layers.iter().zip(other).take_while(|(own, other)| own == other).count();
    let kept = images.chain(snapshots).map(common).max().unwrap_or(0);
    let mut removed = chain_ids(layers).split_off(kept);
    removed.reverse();
    removed
}

/// What identifies each layer together with those below it, the lowest first (OCI image specification, config, ChainID).
fn chain_ids(layers: &[Digest]) -> Vec<Digest> {
    let mut chain: Vec<Digest> = Vec::with_capacity(layers.len());
    for layer in layers {
        chain.push(match chain.last() {
            None => layer.clone(),
            Some(below) => Digest::of(format!("{below} {layer}").as_bytes()),
        });
    }
    chain
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::index::ImageEntry;
    use crate::record::{Durability, ImageRecord};

    fn digests(names: &[&str]) -> Vec<Digest> {
        names.iter().map(|name| Digest::of(name.as_bytes())).collect()
    }

    fn image(layers: &[&str]) -> Arc<ImageEntry> {
        Arc::new(ImageEntry::new(ImageRecord {
            manifest: None,
            blobs: [].into(),
            layers: digests(layers),
            parent: None,
            tagged_at: None,
            durability: Durability::Durable,
        }))
    }

    #[test]
    fn chain_id_is_of_a_layer_and_all_below() {
        let layers = digests(&["a", "b"]);
        let chain = chain_ids(&layers);
        assert_eq!(chain[0], layers[0]);
        assert_eq!(chain[1], Digest::of(format!("{} {}", layers[0], layers[1]).as_bytes()));
    }

    #[test]
    fn removed_layers_are_told_from_the_top_down_to_those_of_other_images() {
        let mut index = Index::default();
        index.images.insert(Digest::of(b"other"), image(&["a", "x", "b"]));
        let layers = digests(&["a", "b", "c"]);
        let chain = chain_ids(&layers);
        assert_eq!(removed_chains(&index, &layers), [chain[2].clone(), chain[1].clone()]);
        index.images.clear();
        assert_eq!(removed_chains(&index, &layers).len(), 3);
    }
}
