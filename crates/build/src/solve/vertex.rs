//! Vertices that make a layer.

use std::collections::HashMap;
use std::sync::Arc;

use dockerfile::plan::{Operation, Role, VertexId};
use oci::Digest;

use super::{Job, Made, Outcome, Tree};
use crate::cache::{Hit, Identity, Note};
use crate::error::Error;
use crate::execute;
use crate::files;
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
        if inputs.get(&Role::Base).is_some_and(|base| !matches!(base.tree, Tree::Layers(_))) {
            return Err(Error::Unsupported("FROM of a context of files".to_owned()));
        }
        let definition = self.definition(operation, &inputs);
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
        if let Some((found, result)) = self.find(id, inputs, &content) {
            // By how its inputs were made it is found without a look at files the next time.
            if let Some(definition) = definition.filter(|definition| **definition != content) {
                self.keep(id, definition.clone(), result, &found)?;
            }
            return Ok(self.cached(id, found).await);
        }
        self.tell_miss(id, &content, &files).await;
        let layer = match operation {
            Operation::Run(run) => execute::run(self, id, run, inputs).await?,
            Operation::Copy(copy) => execute::copy(self, copy, inputs, files, &content).await?,
            Operation::MakeFolder(folder) => execute::make_folder(self, folder, inputs).await?,
            other => unreachable!("{other:?} makes no layer"),
        };
        self.made(id, inputs, content, definition, layer)
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
        let made = Made { created: hit.created, layer: hit.layer };
        let steps = base.map(|base| base.steps.clone()).unwrap_or_default();
        let (layers, key) = if self.is_apart(id) {
            (stacked(base, made.layer.as_ref()), key_above(base, &hit.result))
        } else {
            (hit.layers.into(), hit.result)
        };
        Outcome { tree: Tree::Layers(layers), key, steps: with(steps, made) }
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
        let base = inputs.get(&Role::Base);
        let layers = stacked(base, Some(&layer));
        // What was made without looking for a result is not what an earlier result was made of.
        let result = match self.ignores_cache(id) {
            true => Digest::of(&serde_json::to_vec(&("made", &layers)).expect("digests are texts")),
            false => content.key(),
        };
        let key = if self.is_apart(id) { key_above(base, &result) } else { result.clone() };
        let steps = base.map(|base| base.steps.clone()).unwrap_or_default();
        let made = Made { created: jiff::Timestamp::now(), layer: Some(layer) };
        let outcome = Outcome { tree: Tree::Layers(layers), key, steps: with(steps, made) };
        if let Some(definition) = definition.filter(|definition| **definition != content) {
            self.keep(id, definition.clone(), result.clone(), &outcome)?;
        }
        self.keep(id, content, result, &outcome)?;
        Ok(outcome)
    }

    /// Whether a vertex is done beside what is below it.
    fn is_apart(&self, id: VertexId) -> bool {
        matches!(&self.plan.vertices[id.0].operation, Operation::Copy(copy) if copy.is_link)
    }
}

fn with(mut steps: Vec<Made>, made: Made) -> Vec<Made> {
    steps.push(made);
    steps
}

/// The layers of the base with one more.
fn stacked(base: Option<&Outcome>, layer: Option<&Digest>) -> Arc<[Digest]> {
    base.map(|base| base.tree.layers()).unwrap_or_default().iter().chain(layer).cloned().collect()
}

/// What a result that was made beside its base is called together with it.
fn key_above(base: Option<&Outcome>, result: &Digest) -> Digest {
    let base = base.map(|base| &base.key);
    Digest::of(&serde_json::to_vec(&("above", base, result)).expect("digests are texts"))
}
