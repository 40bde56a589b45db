//! Verifying all that a store has, and putting what is damaged out of use.
//!
//! Blobs are compared with their digests; a layer's tree with what its archive unpacks to; records with the files they speak
//! of. Everything that is looked at is leased meanwhile, so that the store can be used while it is checked.
//!
//! A repair moves what is damaged to `quarantine/` and never deletes it. A tree whose archive is whole is made anew from it.
//! An archive whose layer is whole is forgotten, and the image stays; what then is missing is fetched at the next pull. Only
//! an image that lost its configuration or the tree of a layer is removed, with its names.

mod repair;
mod tree;

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use oci::{Digest, Hasher};

use crate::error::{Error, Result};
use crate::index::Index;
use crate::ingest::{Ingest, UnpackedLayer, open_folder};
use crate::layout::make_dir;
use crate::store::{ImageStore, Shared};
use crate::tar::printable;
use crate::workspace::measure_tree;

/// What is to be done with what is damaged.
pub enum Repair<'a> {
    /// Nothing: it is told.
    No,
    /// It is put out of use or made anew, unless it is in use: `running` tells whether the container of a snapshot runs.
    Yes {
        /// Whether the container of this snapshot runs.
        running: &'a dyn Fn(&str) -> bool,
    },
}

impl std::fmt::Debug for Repair<'_> {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(if matches!(self, Self::No) { "No" } else { "Yes" })
    }
}

/// How far a check is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CheckProgress {
    /// What is being verified: `blobs` or `layers`.
    pub what: &'static str,
    /// How many were.
    pub done: u64,
    /// How many there are.
    pub total: u64,
}

/// What a check has found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Checked {
    /// Blobs that were read.
    pub blobs: u64,
    /// Layers that were unpacked and compared.
    pub layers: u64,
    /// Images whose records were compared with what is there.
    pub images: u64,
    /// Bytes of the blobs.
    pub bytes: u64,
    /// What is damaged.
    pub findings: Vec<Finding>,
}

/// What something is that is damaged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Subject {
    /// A file with this digest.
    Blob(Digest),
    /// The tree of the layer with this diffID.
    Layer(Digest),
    /// The image with this ID.
    Image(Digest),
    /// The writable layer of a container.
    Snapshot(String),
    /// The file of records.
    Records(PathBuf),
}

/// Something that is damaged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// What.
    pub subject: Subject,
    /// In which way.
    pub problem: String,
    /// Images that have it: their names, or IDs where they have none.
    pub images: Vec<String>,
    /// Snapshots over it.
    pub snapshots: Vec<String>,
    /// What was done.
    pub outcome: Outcome,
}

/// What was done with something that is damaged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Nothing, as nothing was asked for.
    Told,
    /// It was made anew from what is whole.
    Restored,
    /// It is out of use; a pull fetches it again.
    Quarantined,
    /// It is out of use, and the images that cannot be without it are removed; a pull fetches them again.
    ImagesRemoved,
    /// Nothing, for this reason.
    Kept(&'static str),
}

impl ImageStore {
    /// Verifies everything in the store; takes as long as reading and unpacking all of it. `progress` is told of each step, and can end it.
    ///
    /// # Errors
    /// Where the store cannot be read or, for a repair, written. What was repaired by then stays repaired.
    pub fn check(
        &self,
        repair: &Repair<'_>,
        progress: &mut dyn FnMut(CheckProgress) -> ControlFlow<()>,
    ) -> Result<Checked> {
        let mut check =
            Check { store: self, repair, progress, checked: Checked::default(), bad_blobs: BTreeSet::new() };
        check.records()?;
        check.blobs()?;
        check.layers()?;
        check.images()?;
        check.snapshots();
        Ok(check.checked)
    }
}

struct Check<'a> {
    store: &'a ImageStore,
    repair: &'a Repair<'a>,
    progress: &'a mut dyn FnMut(CheckProgress) -> ControlFlow<()>,
    checked: Checked,
    /// Blobs that are not what they should be, or not there.
    bad_blobs: BTreeSet<Digest>,
}

impl Check<'_> {
    fn shared(&self) -> &Shared {
        &self.store.shared
    }

    fn is_repair(&self) -> bool {
        matches!(self.repair, Repair::Yes { .. })
    }

    fn records(&mut self) -> Result<()> {
        let problems = self.shared().records.verify()?;
        let outcome = match self.is_repair() {
            true => Outcome::Kept("the records cannot be made anew from what they describe"),
            false => Outcome::Told,
        };
        for problem in problems {
            let subject = Subject::Records(self.shared().layout.database());
            self.note(subject, problem, &Users::default(), outcome.clone());
        }
        Ok(())
    }

    fn tell(&mut self, what: &'static str, done: u64, total: usize) -> Result<()> {
        match (self.progress)(CheckProgress { what, done, total: total as u64 }) {
            ControlFlow::Continue(()) => Ok(()),
            ControlFlow::Break(()) => Err(Error::Cancelled),
        }
    }

    fn blobs(&mut self) -> Result<()> {
        let all: Vec<Digest> = self.shared().read().blobs.iter().cloned().collect();
        for (done, digest) in (0..).zip(&all) {
            self.tell("blobs", done, all.len())?;
            let held = self.store.ingest()?;
            if !held.lease_blob(digest) {
                continue; // removed since
            }
            self.checked.blobs += 1;
            if let Some(problem) = self.blob_problem(digest)? {
                self.bad_blobs.insert(digest.clone());
                let users = Users::of_blob(&self.shared().read(), digest);
                let outcome =
                    if self.is_repair() { repair::blob(self.shared(), digest)? } else { Outcome::Told };
                self.note(Subject::Blob(digest.clone()), problem, &users, outcome);
            }
        }
        Ok(())
    }

    fn blob_problem(&mut self, digest: &Digest) -> Result<Option<String>> {
        let path = self.shared().layout.blob(digest);
        let mut hasher = Hasher::new(digest.algorithm());
        let copied = File::open(&path).and_then(|mut file| io::copy(&mut file, &mut hasher));
        match copied {
            Ok(bytes) => {
                self.checked.bytes += bytes;
                let actual = hasher.finish();
                Ok((actual != *digest).then(|| format!("content is {actual}, {bytes} bytes")))
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Some("is missing".into())),
            // A disk that cannot read a block is what a check is to find.
            Err(error) if error.raw_os_error() == Some(rustix::io::Errno::IO.raw_os_error()) => {
                Ok(Some(format!("cannot be read: {error}")))
            }
            Err(error) => Err(Error::io("read blob", &path)(error)),
        }
    }

    fn layers(&mut self) -> Result<()> {
        let all: Vec<Digest> = self.shared().read().layers.keys().cloned().collect();
        for (done, diff_id) in (0..).zip(&all) {
            self.tell("layers", done, all.len())?;
            self.layer(diff_id)?;
        }
        Ok(())
    }

    fn layer(&mut self, diff_id: &Digest) -> Result<()> {
        let held = self.store.ingest()?;
        let Some(archive) = held.lease_tree(diff_id) else { return Ok(()) };
        self.checked.layers += 1;
        let tree = self.shared().layout.layer_tree(diff_id);
        let archive = archive.filter(|archive| !self.bad_blobs.contains(archive));
        let (problem, whole) = match archive {
            Some(archive) => self.compare(&held, diff_id, &archive)?,
            None if !tree.is_dir() => (Some("is missing".into()), None),
            None if held.is_made(diff_id) => (changed(&tree, diff_id), None),
            None => (None, None),
        };
        let Some(problem) = problem else { return Ok(()) };
        let users = Users::of_layer(&self.shared().read(), diff_id);
        let outcome = match self.repair {
            Repair::No => Outcome::Told,
            Repair::Yes { running } if users.snapshots.iter().any(|id| running(id)) => {
                Outcome::Kept("a container runs on it; stop it and check again")
            }
            Repair::Yes { .. } => repair::layer(self.shared(), diff_id, whole)?,
        };
        self.note(Subject::Layer(diff_id.clone()), problem, &users, outcome);
        Ok(())
    }

    /// What is wrong with a layer's tree, and then what it should be.
    fn compare(
        &self,
        held: &Ingest,
        diff_id: &Digest,
        archive: &Digest,
    ) -> Result<(Option<String>, Option<UnpackedLayer>)> {
        let whole = match held.unpack_file(&self.shared().layout.blob(archive), archive, diff_id) {
            Ok(whole) => whole,
            // The archive is what it always was, so this is what its record should not have been made of.
            Err(Error::Layer { source, .. }) if source.is_bad_content() => {
                return Ok((Some(source.to_string()), None));
            }
            Err(error) => return Err(error),
        };
        let actual = self.shared().layout.layer_tree(diff_id);
        if !actual.is_dir() {
            return Ok((Some("is missing".into()), Some(whole)));
        }
        let difference = tree::compare(open_folder(&whole.tree())?, open_folder(&actual)?);
        let problem = match difference {
            Ok(None) => return Ok((None, None)),
            Ok(Some(difference)) => format!("/{} {}", printable(&difference.path), difference.what),
            Err(failed) => format!("/{} cannot be read: {}", printable(&failed.path), failed.errno),
        };
        Ok((Some(problem), Some(whole)))
    }

    fn images(&mut self) -> Result<()> {
        let images = self.store.images_with_problems()?;
        self.checked.images = images.len() as u64;
        for (id, problem) in images {
            let Some(problem) = problem else { continue };
            let users = Users { images: names_of(&self.shared().read(), &id), snapshots: Vec::new() };
            let outcome = if self.is_repair() { repair::image(self.shared(), &id)? } else { Outcome::Told };
            self.note(Subject::Image(id), problem, &users, outcome);
        }
        Ok(())
    }

    fn snapshots(&mut self) {
        let index = self.shared().read();
        let problem = |id: &String| {
            let folder = self.shared().layout.snapshot(id);
            let lost = ["upper", "work"].into_iter().find(|name| !folder.join(name).is_dir());
            lost.map(|name| format!("its folder {name:?} is missing"))
        };
        let found: Vec<(String, String)> =
            index.snapshots.keys().filter_map(|id| Some((id.clone(), problem(id)?))).collect();
        drop(index);
        let outcome = match self.is_repair() {
            true => Outcome::Kept("what a container wrote is nowhere else"),
            false => Outcome::Told,
        };
        for (id, problem) in found {
            let users = Users { images: Vec::new(), snapshots: vec![id.clone()] };
            self.note(Subject::Snapshot(id), problem, &users, outcome.clone());
        }
    }

    fn note(&mut self, subject: Subject, problem: String, users: &Users, outcome: Outcome) {
        tracing::warn!(?subject, problem, ?outcome, "damage was found in the image store");
        let Users { images, snapshots } = users.clone();
        self.checked.findings.push(Finding { subject, problem, images, snapshots, outcome });
    }
}

impl ImageStore {
    /// All images, each with what its record says and is not so.
    fn images_with_problems(&self) -> Result<Vec<(Digest, Option<String>)>> {
        let ids: Vec<Digest> = self.shared.read().images.keys().cloned().collect();
        let mut found = Vec::with_capacity(ids.len());
        for id in ids {
            let image = match self.image(&id) {
                Err(Error::NotFound(_)) => continue,
                Err(Error::Digest { .. } | Error::Io { .. }) => {
                    // Its configuration was told of as a blob.
                    found.push((id, None));
                    continue;
                }
                other => other?,
            };
            let lacking = image.layers.iter().find(|layer| !self.shared.read().layers.contains_key(layer));
            let problem = match lacking {
                Some(layer) => Some(format!("its layer {layer} is missing")),
                None if image.config.rootfs.diff_ids != image.layers => {
                    Some("its record and its configuration list different layers".to_owned())
                }
                None => None,
            };
            found.push((id, problem));
        }
        Ok(found)
    }
}

/// Who has something.
#[derive(Clone, Debug, Default)]
struct Users {
    images: Vec<String>,
    snapshots: Vec<String>,
}

impl Users {
    fn of_blob(index: &Index, digest: &Digest) -> Self {
        let archived = index.layers.iter().filter(|(_, record)| record.archive.as_ref() == Some(digest));
        let layers: BTreeSet<&Digest> = archived.map(|(diff_id, _)| diff_id).collect();
        let has = |id: &&Digest| {
            let record = &index.images[*id].record;
            record.blobs.contains(digest) || record.layers.iter().any(|layer| layers.contains(layer))
        };
        let images = index.images.keys().filter(has).flat_map(|id| names_of(index, id)).collect();
        Self { images, snapshots: Vec::new() }
    }

    fn of_layer(index: &Index, diff_id: &Digest) -> Self {
        let has = |id: &&Digest| index.images[*id].record.layers.contains(diff_id);
        let images = index.images.keys().filter(has).flat_map(|id| names_of(index, id)).collect();
        let over = index.snapshots.iter().filter(|(_, record)| record.layers.contains(diff_id));
        Self { images, snapshots: over.map(|(id, _)| id.clone()).collect() }
    }
}

/// An image's tags; where it has none, its digests or its ID.
fn names_of(index: &Index, id: &Digest) -> Vec<String> {
    let (digests, tags): (Vec<_>, Vec<_>) =
        index.references_of(id).into_iter().partition(|name| name.digest().is_some());
    let names = if tags.is_empty() { digests } else { tags };
    if names.is_empty() { vec![id.to_string()] } else { names.iter().map(oci::Reference::familiar).collect() }
}

impl Shared {
    /// Moves something to where it does no harm and can be looked at. Nothing at all is no error.
    fn quarantine(&self, path: &Path, name: &str) -> Result<()> {
        let folder = self.layout.quarantine();
        make_dir(&folder, 0o700)?;
        let mut target = folder.join(name);
        let mut number = 1;
        while target.symlink_metadata().is_ok() {
            number += 1;
            target = folder.join(format!("{name}.{number}"));
        }
        match fs::rename(path, &target) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            other => other.map_err(Error::io("move to quarantine", path)),
        }
    }
}

/// What is wrong with a layer that was made here, of which there is nothing but its tree.
fn changed(tree: &Path, diff_id: &Digest) -> Option<String> {
    match measure_tree(tree) {
        Ok(actual) if actual.digest == *diff_id => None,
        Ok(actual) => Some(format!("its archive would be {}", actual.digest)),
        Err(error) => Some(error.to_string()),
    }
}
