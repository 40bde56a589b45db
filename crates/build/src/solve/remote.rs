//! Files of other servers. What was brought is kept as a layer: where the server says that nothing is new, nothing comes again.

use std::sync::Arc;

use dockerfile::plan::{Git, Http, VertexId};
use oci::Digest;
use registry::Condition;
use tokio::task::spawn_blocking;

use super::{Job, Made, Outcome, Tree};
use crate::cache::{Hit, Identity, Note};
use crate::context::{git, http};
use crate::error::Error;
use crate::execute::WritableLayer;
use crate::key;
use crate::progress::Event;
use crate::request::NoCache;

/// What a server is asked with the next time.
const ETAG: &str = "ETag";
const MODIFIED: &str = "Last-Modified";

impl Job {
    /// A repository at the commit that is meant now.
    pub(super) async fn git(self: &Arc<Self>, id: VertexId, git: &Git) -> Result<Outcome, Error> {
        let (number, progress) = (self.number(id), self.progress.clone());
        let log = move |line: &str| {
            let data = format!("{line}\n").into_bytes();
            progress.try_tell(Event::Log { id: number, stream: 2, data });
        };
        let options = git::Options {
            proxies: self.host.registry().proxies_with_passwords().clone(),
            ssh_agent: self.request.ssh.get("default").cloned(),
            log: Some(Arc::new(log)),
            ..git::Options::default()
        };
        let resolved = git::resolve(git, &options).await?;
        let key = key::of(&("git", &self.plan.vertices[id.0].operation.digest(), &resolved.object));
        let identity = self.brought(id, resolved.object.clone(), key.clone(), Condition::default());
        let turn = self.shared.turns.lock(&identity.key());
        let _turn = turn.lock().await;
        if let Some(hit) = self.kept(&identity) {
            return Ok(self.brought_before(id, hit, key).await);
        }
        let layer = WritableLayer::over(&self.ingest, None)?;
        git::fetch(git, &resolved, layer.upper(), &options).await?;
        self.keep_brought(id, identity, layer, key).await
    }

    /// A file at an address, as it is now.
    pub(super) async fn http(self: &Arc<Self>, id: VertexId, http: &Http) -> Result<Outcome, Error> {
        let (number, sink) = (self.number(id), self.progress.clone());
        let progress = Arc::new(move |current: u64, total: Option<u64>| {
            let (item, total) = ("downloading".to_owned(), total.unwrap_or_default());
            let is_done = total == current;
            sink.try_tell(Event::Status { id: number, item, current, total, is_done });
        });
        let operation = self.operation(id);
        let turn = self.shared.turns.lock(&key::of(&operation));
        let _turn = turn.lock().await;
        // The layer of it is claimed: it stays, whatever the server says.
        let known = self.shared.cache.newest(&operation).and_then(|known| Some((self.kept(&known)?, known)));
        let condition = known.as_ref().map(|(_, known)| condition_of(known)).unwrap_or_default();
        let layer = WritableLayer::over(&self.ingest, None)?;
        let client = self.host.registry();
        let fetched = match http::fetch(client, http, &condition, layer.upper(), progress).await? {
            Some(fetched) => fetched,
            None => {
                let (hit, known) = known.ok_or(http::Error::Status(304))?;
                return Ok(self.brought_before(id, hit, key_of(&known)).await);
            }
        };
        let key = key::of(&("http", &fetched.name, &fetched.digest));
        let identity = self.brought(id, fetched.name, key.clone(), fetched.condition);
        self.keep_brought(id, identity, layer, key).await
    }

    fn operation(&self, id: VertexId) -> serde_json::Value {
        let operation = &self.plan.vertices[id.0].operation;
        serde_json::to_value(operation).expect("an operation has only texts and numbers")
    }

    /// What identifies what was brought; in the keys of others it is called `key`.
    fn brought(&self, id: VertexId, name: String, key: Digest, condition: Condition) -> Identity {
        let Condition { etag, modified } = condition;
        let settings = [(ETAG, etag), (MODIFIED, modified)];
        let settings = settings.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?)));
        Identity {
            operation: self.operation(id),
            base: None,
            inputs: vec![(name, key)],
            settings: settings.collect(),
        }
    }

    /// What was brought before, if it is still here.
    fn kept(&self, identity: &Identity) -> Option<Hit> {
        let is_wanted = self.request.no_cache != NoCache::All;
        is_wanted.then(|| self.shared.cache.find(&identity.key(), &self.ingest)).flatten()
    }

    async fn brought_before(&self, id: VertexId, hit: Hit, key: Digest) -> Outcome {
        self.progress.tell(Event::Cached { id: self.number(id) }).await;
        Outcome { tree: Tree::Layers(hit.layers.into()), key, steps: Vec::new() }
    }

    async fn keep_brought(
        self: &Arc<Self>,
        id: VertexId,
        identity: Identity,
        layer: WritableLayer,
        key: Digest,
    ) -> Result<Outcome, Error> {
        let job = Arc::clone(self);
        let work = move || {
            let layer = layer.finish()?;
            let made = Made { created: jiff::Timestamp::now(), layer: Some(layer.clone()), record: None };
            let cache_key = identity.key();
            let name = job.plan.vertices[id.0].name.clone();
            let note = Note::new(name, identity, cache_key.clone(), &made);
            job.shared.cache.put(&cache_key, &job.ingest, vec![layer.clone()], note)?;
            Ok(Outcome { tree: Tree::Layers([layer].into()), key, steps: Vec::new() })
        };
        spawn_blocking(work).await.expect("making a layer does not panic")
    }
}

/// What is called so in the keys of others.
fn key_of(identity: &Identity) -> Digest {
    identity.inputs.first().map_or_else(|| identity.key(), |(_, key)| key.clone())
}

fn condition_of(identity: &Identity) -> Condition {
    let find = |wanted: &str| {
        let found = identity.settings.iter().find(|(name, _)| name == wanted);
        found.map(|(_, value)| value.clone())
    };
    Condition { etag: find(ETAG), modified: find(MODIFIED) }
}
