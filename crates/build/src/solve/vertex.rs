//! Vertices that make a layer.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError};

use dockerfile::plan::{Operation, Role, VertexId};
use oci::Digest;

use super::{Job, Made, Outcome, Tree};
use crate::cache::{ELSEWHERE, Hit, Identity, Note};
use crate::error::Error;
use crate::exchange::{self, Imported};
use crate::execute;
use crate::files;
use crate::key;
use crate::progress::Event;

/// How often files are looked at that others write to.
const ATTEMPTS: u32 = 5;

impl Job {
    /// Finds or makes the result of a command, a copy or a folder.
    pub(super) async fn layer(
        self: &Arc<Self>,
        id: VertexId,
        inputs: HashMap<Role, Outcome>,
    ) -> Result<Outcome, Error> {
        let operation = &self.plan.vertices[id.0].operation;
        // Elsewhere results are called by the files that they take, so these have to be looked at.
        let definition = self.definition(operation, &inputs).filter(|_| !self.request.exchanges());
        if let Some((found, _)) = definition.as_ref().and_then(|identity| self.find(id, &inputs, identity)) {
            return Ok(self.cached(id, found).await);
        }
        for _ in 1..ATTEMPTS {
            match self.by_files(id, &inputs, definition.as_ref()).await {
                // Somebody writes to the context: what it has now counts.
                Err(Error::Files(files::Error::Changed { .. })) => {}
                result => return result,
            }
        }
        self.by_files(id, &inputs, definition.as_ref()).await
    }

    /// Finds or makes a result by the files that it takes.
    async fn by_files(
        self: &Arc<Self>,
        id: VertexId,
        inputs: &HashMap<Role, Outcome>,
        definition: Option<&Identity>,
    ) -> Result<Outcome, Error> {
        let operation = &self.plan.vertices[id.0].operation;
        let files = Arc::new(self.looked(id, inputs).await?);
        let content = self.by_content(operation, inputs, files.identities());
        let turn = self.shared.turns.lock(&content.key());
        let _turn = turn.lock().await;
        let below = inputs.get(&Role::Base).map(|base| base.tree.layers()).unwrap_or_default();
        let record = self.request.exchanges().then(|| exchange::record_key(&content, below));
        // What a source has goes first: what follows there is made of it, and not of what is here, though it is as good.
        if let Some(imported) = self.look_elsewhere(id, below, record.as_ref()).await {
            let outcome = self.imported(id, inputs, &content, imported)?;
            return Ok(self.cached(id, self.known_as(outcome, record)).await);
        }
        if let Some((found, result)) = self.find(id, inputs, &content) {
            let outcome = self.found_here(id, inputs, (&content, definition), found, result).await?;
            return Ok(self.cached(id, self.known_as(outcome, record)).await);
        }
        self.tell_miss(id, &content, &files).await;
        let layer = match operation {
            Operation::Run(run) => {
                let layer = execute::run(self, id, run, inputs).await?;
                if !self.saw(id, inputs, &files).await {
                    return Ok(self.result(id, inputs, &self.result_of(inputs, &layer), layer));
                }
                layer
            }
            Operation::Copy(copy) => execute::copy(self, copy, inputs, files, &content).await?,
            Operation::MakeFolder(folder) => execute::make_folder(self, folder, inputs).await?,
            other => unreachable!("{other:?} makes no layer"),
        };
        if let Some(instead) = self.instead_of(id, below, &layer).await {
            let outcome = self.imported(id, inputs, &content, instead)?;
            return Ok(self.known_as(outcome, record));
        }
        self.made(id, inputs, content, definition, layer).map(|outcome| self.known_as(outcome, record))
    }

    /// Looks for a result in what `--cache-from` names.
    async fn look_elsewhere(
        &self,
        id: VertexId,
        below: &[Digest],
        record: Option<&Digest>,
    ) -> Option<Imported> {
        let record = record.filter(|_| !self.ignores_cache(id))?;
        match self.imports.by_record(self, id, record).await {
            None => self.imports.by_history(self, id, below),
            found => found,
        }
    }

    /// A result of this machine, or what an image has in its place.
    async fn found_here(
        self: &Arc<Self>,
        id: VertexId,
        inputs: &HashMap<Role, Outcome>,
        (content, definition): (&Identity, Option<&Identity>),
        found: Outcome,
        result: Digest,
    ) -> Result<Outcome, Error> {
        let below = inputs.get(&Role::Base).map(|base| base.tree.layers()).unwrap_or_default();
        if let Some(layer) = found.steps.last().and_then(|made| made.layer.as_ref())
            && let Some(instead) = self.instead_of(id, below, layer).await
        {
            return self.imported(id, inputs, content, instead);
        }
        // By how its inputs were made it is found without a look at files the next time.
        if let Some(definition) = definition.filter(|definition| *definition != content) {
            self.keep(id, definition.clone(), result, &found)?;
        }
        Ok(found)
    }

    /// The layer of an image that is as good as one of this machine, so that what follows can be found too.
    async fn instead_of(self: &Arc<Self>, id: VertexId, below: &[Digest], made: &Digest) -> Option<Imported> {
        if self.request.cache_from.is_empty() || self.ignores_cache(id) {
            return None;
        }
        let (job, below, made) = (Arc::clone(self), below.to_vec(), made.clone());
        let look = move || job.imports.instead_of(&job, id, &below, &made);
        tokio::task::spawn_blocking(look).await.expect("comparing layers does not panic")
    }

    /// A result that came from elsewhere. It is kept, but is none of those that are found by what is done here.
    fn imported(
        &self,
        id: VertexId,
        inputs: &HashMap<Role, Outcome>,
        content: &Identity,
        Imported { layer, created }: Imported,
    ) -> Result<Outcome, Error> {
        let base = inputs.get(&Role::Base);
        let layers = stacked(base, layer.as_ref());
        let own = if self.is_apart(id) { layer.as_slice() } else { &layers };
        let result = key::of(&("imported", own));
        let outcome = self.above(id, base, layers, &result, Made { created, layer, record: None });
        let mut identity = content.clone();
        identity.settings.push((ELSEWHERE.to_owned(), result.to_string()));
        self.keep(id, identity, result, &outcome)?;
        Ok(outcome)
    }

    /// Notes by what others know a result.
    fn known_as(&self, mut outcome: Outcome, record: Option<Digest>) -> Outcome {
        if let (Some(made), Some(_)) = (outcome.steps.last_mut(), &record) {
            made.record = record;
            if self.request.exports() {
                self.made.lock().unwrap_or_else(PoisonError::into_inner).push(made.clone());
            }
        }
        outcome
    }

    /// Looks for a result, unless that is not wanted; tells also what it is called in the keys of others.
    fn find(
        &self,
        id: VertexId,
        inputs: &HashMap<Role, Outcome>,
        identity: &Identity,
    ) -> Option<(Outcome, Digest)> {
        if self.ignores_cache(id) {
            return None;
        }
        let hit = self.shared.cache.find(&identity.key(), &self.ingest)?;
        let result = hit.result.clone();
        Some((self.of_hit(id, inputs, hit), result))
    }

    fn of_hit(&self, id: VertexId, inputs: &HashMap<Role, Outcome>, hit: Hit) -> Outcome {
        let base = inputs.get(&Role::Base);
        let made = Made { created: hit.created, layer: hit.layer, record: None };
        let layers = match self.is_apart(id) {
            true => stacked(base, made.layer.as_ref()),
            false => hit.layers.into(),
        };
        self.above(id, base, layers, &hit.result, made)
    }

    async fn cached(&self, id: VertexId, outcome: Outcome) -> Outcome {
        self.progress.tell(Event::Cached { id: self.number(id) }).await;
        outcome
    }

    async fn tell_miss(&self, id: VertexId, identity: &Identity, files: &execute::Looked) {
        if !self.request.explain {
            return;
        }
        let reason = if self.ignores_cache(id) {
            "the cache is not to be used".to_owned()
        } else {
            let changed = || {
                let (key, _) = self.shared.cache.previous(identity)?;
                files.difference(&self.shared, &key)
            };
            match self.shared.cache.explain(identity) {
                reason if reason.starts_with("the content of") => changed().unwrap_or(reason),
                reason => reason,
            }
        };
        self.progress.tell(Event::Missed { id: self.number(id), reason }).await;
    }

    /// Keeps the result of a vertex, which in the keys of others is called `result`.
    fn keep(&self, id: VertexId, identity: Identity, result: Digest, outcome: &Outcome) -> Result<(), Error> {
        let made = outcome.steps.last().expect("a layer is made by a step");
        let own: Vec<Digest> = made.layer.iter().cloned().collect();
        let layers = if self.is_apart(id) { own } else { outcome.tree.layers().to_vec() };
        let key = identity.key();
        let note = Note::new(self.plan.vertices[id.0].name.clone(), identity, result, made);
        self.shared.cache.put(&key, &self.ingest, layers, note)
    }

    /// Keeps what was made.
    fn made(
        &self,
        id: VertexId,
        inputs: &HashMap<Role, Outcome>,
        content: Identity,
        definition: Option<&Identity>,
        layer: Digest,
    ) -> Result<Outcome, Error> {
        // What was made without looking for a result is not what an earlier result was made of.
        let result = match self.ignores_cache(id) {
            true => self.result_of(inputs, &layer),
            false => content.key(),
        };
        let outcome = self.result(id, inputs, &result, layer);
        if let Some(definition) = definition.filter(|definition| **definition != content) {
            self.keep(id, definition.clone(), result.clone(), &outcome)?;
        }
        self.keep(id, content, result, &outcome)?;
        Ok(outcome)
    }

    /// The result of a vertex, which in the keys of others is called `result`.
    fn result(
        &self,
        id: VertexId,
        inputs: &HashMap<Role, Outcome>,
        result: &Digest,
        layer: Digest,
    ) -> Outcome {
        let base = inputs.get(&Role::Base);
        let layers = stacked(base, Some(&layer));
        let made = Made { created: jiff::Timestamp::now(), layer: Some(layer), record: None };
        self.above(id, base, layers, result, made)
    }

    /// The outcome of a vertex that made this above its base, and whose result is called so.
    fn above(
        &self,
        id: VertexId,
        base: Option<&Outcome>,
        layers: Arc<[Digest]>,
        result: &Digest,
        made: Made,
    ) -> Outcome {
        let key = if self.is_apart(id) { key_above(base, result) } else { result.clone() };
        let mut steps = base.map(|base| base.steps.clone()).unwrap_or_default();
        steps.push(made);
        Outcome { tree: Tree::Layers(layers), key, steps }
    }

    /// What a result is called that is not found by what it was made of.
    fn result_of(&self, inputs: &HashMap<Role, Outcome>, layer: &Digest) -> Digest {
        let layers = stacked(inputs.get(&Role::Base), Some(layer));
        key::of(&("made", &layers))
    }

    /// Whether a command saw what was looked at before it ran: others may write to a folder of the host meanwhile, and then the
    /// result is not that of the files by which it would be found.
    async fn saw(
        self: &Arc<Self>,
        id: VertexId,
        inputs: &HashMap<Role, Outcome>,
        files: &execute::Looked,
    ) -> bool {
        let is_of_host =
            |outcome: &Outcome| matches!(&outcome.tree, Tree::Context(it) if it.memory.is_some());
        if !inputs.values().any(is_of_host) {
            return true;
        }
        self.looked(id, inputs).await.is_ok_and(|now| files.is_same(&now))
    }

    /// Whether a vertex is done beside what is below it.
    fn is_apart(&self, id: VertexId) -> bool {
        matches!(&self.plan.vertices[id.0].operation, Operation::Copy(copy) if copy.is_link)
    }
}

/// The layers of the base with one more.
fn stacked(base: Option<&Outcome>, layer: Option<&Digest>) -> Arc<[Digest]> {
    base.map(|base| base.tree.layers()).unwrap_or_default().iter().chain(layer).cloned().collect()
}

/// What a result that was made beside its base is called together with it.
fn key_above(base: Option<&Outcome>, result: &Digest) -> Digest {
    key::of(&("above", base.map(|base| &base.key), result))
}
