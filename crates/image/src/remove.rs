//! Taking names from images and deleting them, by Docker's rules.
//!
//! A name given removes that name, and the image with its last one, for all platforms that have it. An ID given removes the image and its names, if these
//! are all of one repository. Images in use by containers and images with further names need force, and those of running
//! containers cannot be deleted at all. What is to be done is decided first and then done in one transaction.

use oci::{Digest, Platform, Reference};

use crate::error::{Error, Result};
use crate::index::{Index, lookup_key};
use crate::record::{ImageRecord, ReferenceRecord};
use crate::select::of_platform;
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
    /// Names that go, and the images that are told to have had them.
    untag: Vec<(Reference, Digest)>,
    /// Names that images of other platforms keep.
    keep: Vec<(Reference, ReferenceRecord)>,
    delete: Vec<Digest>,
}

impl ImageStore {
    /// Removes a name or an image. `users` tells which containers use an image.
    ///
    /// # Errors
    /// As for [`ImageStore::resolve`]; [`Error::ReferenceInUse`] and [`Error::InUse`]. Nothing was removed then.
    pub fn remove(&self, text: &str, force: Force, users: &dyn Fn(&Digest) -> Users) -> Result<Vec<Removed>> {
        let mut index = self.shared.write();
        let reference = Reference::parse(text);
        let Some(named) = index.find_all(text, reference.as_ref().ok()) else {
            drop(index);
            return Err(self.shared.find(text).err().unwrap_or_else(|| Error::NotFound(text.into())));
        };
        let request = Request { text, reference: reference.ok(), force, users };
        let plan = decide(&index, &request, &named)?;
        let (removed, trash) = self.shared.carry_out(&mut index, plan)?;
        drop(index);
        drop(trash);
        Ok(removed)
    }

    /// Removes only the images of these platforms from what a name stands for.
    ///
    /// # Errors
    /// [`Error::NoPlatform`] where one of them is not there; as for [`ImageStore::remove`]. What was removed by then stays
    /// removed.
    pub fn remove_platforms(
        &self,
        text: &str,
        platforms: &[Platform],
        force: Force,
        users: &dyn Fn(&Digest) -> Users,
    ) -> Result<Vec<Removed>> {
        let images = self.resolve_all(text)?;
        let mut chosen: Vec<Digest> = Vec::new();
        for wanted in platforms {
            chosen.push(of_platform(&images, wanted, text)?.id.clone());
        }
        let mut removed = Vec::new();
        for id in chosen {
            removed.extend(self.remove(id.as_str(), force, users)?);
        }
        Ok(removed)
    }
}

struct Request<'a> {
    text: &'a str,
    reference: Option<Reference>,
    force: Force,
    users: &'a dyn Fn(&Digest) -> Users,
}

impl Request<'_> {
    fn is_by_id(&self, id: &Digest) -> bool {
        id.as_str().starts_with(self.text) || id.hex().starts_with(self.text)
    }
}

fn conflict(id: &Digest, forcible: bool, reason: String) -> Error {
    Error::InUse { image: id.short().into(), forcible, reason }
}

fn decide(index: &Index, request: &Request<'_>, named: &ReferenceRecord) -> Result<Plan> {
    match &request.reference {
        Some(reference) if !request.is_by_id(&named.image) => {
            decide_by_name(index, request, reference, named)
        }
        _ => decide_by_id(index, request, &named.image),
    }
}

fn decide_by_name(
    index: &Index,
    request: &Request<'_>,
    reference: &Reference,
    named: &ReferenceRecord,
) -> Result<Plan> {
    let key = lookup_key(reference);
    let mut plan = Plan { untag: vec![(key.clone(), named.image.clone())], ..Plan::default() };
    for id in named.images() {
        let names = index.references_of(id);
        check_name_in_use(request, id, &names)?;
        for name in names_that_follow(&key, &names) {
            if !plan.untag.iter().any(|(other, _)| other == name) {
                plan.untag.push((name.clone(), id.clone()));
            }
        }
    }
    // Where the last name is gone, the image goes with it if nobody objects, and otherwise stays without one.
    let is_nameless = |id: &&Digest| {
        index.references_of(id).iter().all(|name| plan.untag.iter().any(|(other, _)| other == name))
    };
    let is_free =
        |id: &&Digest| hard_objection(index, request, id).or_else(|| soft_objection(request, id)).is_none();
    plan.delete = named.images().filter(is_nameless).filter(is_free).cloned().collect();
    Ok(plan)
}

fn check_name_in_use(request: &Request<'_>, id: &Digest, names: &[Reference]) -> Result<()> {
    let users = (request.users)(id);
    let user = users.running.as_ref().or(users.stopped.as_ref());
    if let (Force::No, true, Some(container)) = (request.force, is_single(names), user) {
        return Err(Error::ReferenceInUse {
            reference: request.text.into(),
            container: short(container).into(),
            image: id.short().into(),
        });
    }
    Ok(())
}

/// The names by digest that go with the last tag of their repository.
fn names_that_follow<'n>(key: &Reference, names: &'n [Reference]) -> Vec<&'n Reference> {
    let others = || names.iter().filter(|name| **name != *key && name.name() == key.name());
    if key.digest().is_some() || others().any(|name| name.digest().is_none()) {
        return Vec::new();
    }
    others().collect()
}

fn decide_by_id(index: &Index, request: &Request<'_>, id: &Digest) -> Result<Plan> {
    let names = index.references_of(id);
    let referenced = || conflict(id, true, "image is referenced in multiple repositories".into());
    let is_shared = request.force == Force::No && !is_single(&names);
    let objection = hard_objection(index, request, id)
        .or_else(|| is_shared.then(referenced))
        .or_else(|| soft_objection(request, id));
    if let Some(objection) = objection {
        return Err(objection);
    }
    let mut plan = Plan { delete: vec![id.clone()], ..Plan::default() };
    for name in names {
        match index.references.get(&name).and_then(|record| record.without(|other| other == id)) {
            Some(left) => plan.keep.push((name, left)),
            None => plan.untag.push((name, id.clone())),
        }
    }
    Ok(plan)
}

/// Why the image itself cannot be deleted, even by force.
fn hard_objection(index: &Index, request: &Request<'_>, id: &Digest) -> Option<Error> {
    if index.has_children(id) {
        return Some(conflict(id, false, "image has dependent child images".into()));
    }
    let container = (request.users)(id).running?;
    let reason = format!("image is being used by running container {}", short(&container));
    Some(conflict(id, false, reason))
}

/// Why it cannot be deleted without force, names aside.
fn soft_objection(request: &Request<'_>, id: &Digest) -> Option<Error> {
    if request.force == Force::Yes {
        return None;
    }
    let container = (request.users)(id).stopped?;
    let reason = format!("image is being used by stopped container {}", short(&container));
    Some(conflict(id, true, reason))
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
    fn carry_out(&self, index: &mut Index, plan: Plan) -> Result<(Vec<Removed>, Vec<sys::trash::Discarded>)> {
        self.records.transaction::<_, Error>(|transaction| {
            for (name, _) in &plan.untag {
                transaction.remove::<ReferenceRecord>(&name.to_string())?;
            }
            for (name, left) in &plan.keep {
                transaction.put(&name.to_string(), left)?;
            }
            for id in &plan.delete {
                transaction.remove::<ImageRecord>(id.as_str())?;
            }
            Ok(())
        })?;
        index.references.extend(plan.keep);
        let mut removed = Vec::new();
        for (name, id) in plan.untag {
            index.references.remove(&name);
            removed.push(Removed::Untagged(name, id));
        }
        if plan.delete.is_empty() {
            return Ok((removed, Vec::new()));
        }
        for id in plan.delete {
            let entry = index.images.remove(&id);
            removed.push(Removed::Image(id));
            let layers = entry.as_ref().map_or(&[][..], |entry| &entry.record.layers);
            removed.extend(removed_chains(index, layers).into_iter().map(Removed::Layer));
        }
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
            annotations: Default::default(),
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
