//! `COPY`, `ADD` and `WORKDIR`.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use dockerfile::plan::{Copy, CopySource, MakeFolder, Operation, Role, RunMount, Selection, VertexId};
use oci::Digest;
use sys::file::{Durability, write_atomic};
use tokio::task::spawn_blocking;

use super::epoch;
use super::layer::WritableLayer;
use crate::builder::Shared;
use crate::cache::Identity;
use crate::error::Error;
use crate::files::{self, Memory, Previous, Record, Selected};
use crate::solve::{Job, OpenTree, Outcome, Tree};

/// The files that a vertex takes, as they were looked at.
#[derive(Debug, Default)]
pub(crate) struct Looked(Vec<Files>);

/// Files of one input.
#[derive(Debug)]
struct Files {
    /// What it is called.
    name: String,
    selected: Selected,
    /// Still open: mounted anew, files of layers would not be the same to the system.
    trees: Vec<Option<OpenTree>>,
}

impl Looked {
    /// What identifies them.
    pub(crate) fn identities(&self) -> Vec<(String, Digest)> {
        self.0.iter().map(|files| (files.name.clone(), files.selected.digest().clone())).collect()
    }

    /// Whether nothing was written to any of them between two looks.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        let mut both = self.0.iter().zip(&other.0);
        self.0.len() == other.0.len() && both.all(|(one, other)| one.selected.is_same(&other.selected))
    }

    /// The first file that is another one than in an earlier result.
    pub(crate) fn difference(&self, shared: &Shared, earlier: &Digest) -> Option<String> {
        load(shared, earlier)?.difference(&self.0.first()?.selected.record())
    }
}

/// Keeps the list of what was copied for the next time. Without it nothing is wrong but that less can be told and linked.
fn keep(shared: &Shared, key: &Digest, record: &Record) {
    let path = listing(shared, key);
    if let Err(errno) = write_atomic(&path, &record.to_bytes(), 0o600, Durability::Atomic) {
        tracing::warn!(path = %path.display(), error = %errno, "cannot keep the list of files of a step");
    }
}

fn listing(shared: &Shared, key: &Digest) -> PathBuf {
    shared.folder.join("listings").join(key.hex())
}

fn load(shared: &Shared, key: &Digest) -> Option<Record> {
    Record::from_bytes(&std::fs::read(listing(shared, key)).ok()?)
}

impl Job {
    /// Looks at the files that a vertex takes.
    pub(crate) async fn looked(
        self: &Arc<Self>,
        id: VertexId,
        inputs: &HashMap<Role, Outcome>,
    ) -> Result<Looked, Error> {
        let wanted: Vec<(String, Copy, Vec<Option<Tree>>)> = match &self.plan.vertices[id.0].operation {
            Operation::Copy(copy) => {
                vec![("the files".to_owned(), (**copy).clone(), trees(copy.sources.len(), inputs))]
            }
            Operation::Run(run) => mounted(&run.mounts, inputs),
            _ => Vec::new(),
        };
        if wanted.is_empty() {
            return Ok(Looked::default());
        }
        let job = Arc::clone(self);
        let look = move || {
            let look = |(name, copy, trees): (String, Copy, Vec<Option<Tree>>)| {
                let (selected, trees) = job.look(&copy, &trees)?;
                Ok::<_, Error>(Files { name, selected, trees })
            };
            wanted.into_iter().map(look).collect::<Result<Vec<_>, _>>().map(Looked)
        };
        spawn_blocking(look).await.expect("looking at files does not panic")
    }

    fn look(&self, copy: &Copy, trees: &[Option<Tree>]) -> Result<(Selected, Vec<Option<OpenTree>>), Error> {
        let open = open(&self.shared, trees)?;
        let sources: Vec<_> = open.iter().map(|tree| tree.as_ref().map(|tree| tree.as_tree())).collect();
        let memory = self.memory(trees);
        let selected =
            Selected::look(&files::Request { copy, sources: &sources, latest: self.plan.epoch }, &memory)?;
        drop(sources);
        Ok((selected, open))
    }

    /// What is known of the files of a context.
    fn memory(&self, trees: &[Option<Tree>]) -> Arc<Memory> {
        let name = trees.iter().flatten().find_map(|tree| match tree {
            Tree::Context(context) => context.memory.clone(),
            _ => None,
        });
        match name {
            Some(name) => self.memories.of(&self.shared, &name),
            None => Arc::new(Memory::default()),
        }
    }
}

fn open(shared: &Shared, trees: &[Option<Tree>]) -> Result<Vec<Option<OpenTree>>, Error> {
    let open = |tree: &Option<Tree>| match tree {
        Some(tree) => tree.open(shared, "a source"),
        None => Ok(None),
    };
    trees.iter().map(open).collect()
}

fn trees(count: usize, inputs: &HashMap<Role, Outcome>) -> Vec<Option<Tree>> {
    (0..count).map(|at| inputs.get(&Role::Source(at)).map(|outcome| outcome.tree.clone())).collect()
}

/// What commands see of contexts and other results.
fn mounted(mounts: &[RunMount], inputs: &HashMap<Role, Outcome>) -> Vec<(String, Copy, Vec<Option<Tree>>)> {
    let of_mount = |(at, mount): (usize, &RunMount)| {
        let outcome = inputs.get(&Role::Mount(at))?;
        let source = match mount {
            RunMount::Bind { source, .. } | RunMount::Cache { source, .. } => source,
            _ => return None,
        };
        Some((format!("mount {}", at + 1), whole(source), vec![Some(outcome.tree.clone())]))
    };
    mounts.iter().enumerate().filter_map(of_mount).collect()
}

/// A copy of what is at a path: a folder's content, or a file.
fn whole(source: &str) -> Copy {
    let selection = Selection::File(source.trim_start_matches('/').to_owned());
    Copy {
        sources: vec![CopySource { selection, unpacks: false }],
        destination: "/".to_owned(),
        owner: None,
        mode: None,
        exclude: Vec::new(),
        is_link: false,
    }
}

/// Copies what is at a path of a tree into an empty folder.
pub(super) fn copy_of(job: &Job, tree: &Tree, source: &str, folder: &Path) -> Result<(), Error> {
    let copy = whole(source);
    let open = open(&job.shared, &[Some(tree.clone())])?;
    let sources: Vec<_> = open.iter().map(|tree| tree.as_ref().map(|tree| tree.as_tree())).collect();
    let request = files::Request { copy: &copy, sources: &sources, latest: job.plan.epoch };
    Selected::look(&request, &Memory::default())?.copy(&request, None, folder, None)?;
    Ok(())
}

/// What identifies all files of a tree, whenever they were changed.
pub(crate) fn digest_of(job: &Job, tree: &Tree) -> Result<Digest, Error> {
    let copy = whole("/");
    let open = open(&job.shared, &[Some(tree.clone())])?;
    let sources: Vec<_> = open.iter().map(|tree| tree.as_ref().map(|tree| tree.as_tree())).collect();
    let request = files::Request { copy: &copy, sources: &sources, latest: None };
    Ok(Selected::look(&request, &Memory::default())?.digest().clone())
}

/// Makes the layer of a `COPY` or an `ADD` whose result is to have this key.
///
/// # Errors
/// [`files::Error::Changed`] where files are no longer what they were when they were looked at.
pub(crate) async fn copy(
    job: &Arc<Job>,
    copy: &Copy,
    inputs: &HashMap<Role, Outcome>,
    looked: Arc<Looked>,
    identity: &Identity,
) -> Result<Digest, Error> {
    let below = inputs.get(&Role::Base).map(|base| base.tree.clone());
    let (key, previous) = (identity.key(), job.shared.cache.previous(identity));
    let (job, copy) = (Arc::clone(job), copy.clone());
    let work = move || {
        let files = looked.0.first().expect("the files of a copy were looked at");
        let (layer, below) = begin(&job, below.as_ref())?;
        let sources: Vec<_> =
            files.trees.iter().map(|tree| tree.as_ref().map(|tree| tree.as_tree())).collect();
        let request = files::Request { copy: &copy, sources: &sources, latest: job.plan.epoch };
        let earlier = previous.and_then(|(key, layer)| Some((load(&job.shared, &key)?, layer)));
        let links = earlier.as_ref().map(|(files, layer)| (files, job.shared.images.layer_tree(layer)));
        let previous = links.as_ref().map(|(record, tree)| Previous { record, tree });
        let below = below.as_ref().map(|below| below.root());
        let record = files.selected.copy(&request, below, layer.upper(), previous.as_ref())?;
        epoch::clamp(layer.upper(), job.plan.epoch)?;
        keep(&job.shared, &key, &record);
        layer.finish_like(earlier.as_ref().map(|(_, layer)| layer))
    };
    spawn_blocking(work).await.expect("copying does not panic")
}

/// A new layer, and what is below it.
fn begin(job: &Job, below: Option<&Tree>) -> Result<(WritableLayer, Option<OpenTree>), Error> {
    let layer = WritableLayer::over(&job.ingest, below)?;
    let below = below.map_or(Ok(None), |below| below.open(&job.shared, "what is below"))?;
    Ok((layer, below))
}

/// Makes the layer of a `WORKDIR`.
pub(crate) async fn make_folder(
    job: &Arc<Job>,
    folder: &MakeFolder,
    inputs: &HashMap<Role, Outcome>,
) -> Result<Digest, Error> {
    let below = inputs.get(&Role::Base).map(|base| base.tree.clone());
    let (job, folder) = (Arc::clone(job), folder.clone());
    let work = move || {
        let (layer, below) = begin(&job, below.as_ref())?;
        files::make_folder(&folder, below.as_ref().map(|below| below.root()), layer.upper())?;
        epoch::clamp(layer.upper(), job.plan.epoch)?;
        layer.finish()
    };
    spawn_blocking(work).await.expect("making a folder does not panic")
}

/// What is known of the files of contexts, read once in a build.
#[derive(Debug, Default)]
pub(crate) struct Memories(std::sync::Mutex<HashMap<String, Arc<Memory>>>);

impl Memories {
    fn of(&self, shared: &Shared, name: &str) -> Arc<Memory> {
        let mut known = self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let load = || Arc::new(Memory::load(&shared.folder.join("contexts").join(name)));
        Arc::clone(known.entry(name.to_owned()).or_insert_with(load))
    }

    /// Keeps what is known now. Without it files are read again.
    pub(crate) fn save(&self, shared: &Shared) {
        let known = self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        for (name, memory) in known.iter() {
            if let Err(error) = memory.save(&shared.folder.join("contexts").join(name)) {
                tracing::warn!(%error, "cannot keep what is known of a context");
            }
        }
    }
}
