//! Files of other servers. What was brought is kept as a layer: where the server says that nothing is new, nothing comes again.

use std::sync::Arc;

use dockerfile::plan::{Git, Http, VertexId};
use oci::Digest;
use registry::Condition;
use tokio::task::spawn_blocking;

use super::{Job, Made, Outcome, Tree};
use crate::cache::{Identity, Note};
use crate::context::{git, http};
use crate::error::Error;
use crate::execute::WritableLayer;
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
        let key = ("git", &self.plan.vertices[id.0].operation.digest(), &resolved.object);
        let key = digest_of(&key);
        let identity = self.brought(id, resolved.object.clone(), key.clone(), Condition::default());
        let turn = self.shared.turns.lock(&identity.key());
        let _turn = turn.lock().await;
        if let Some(outcome) = self.kept(id, &identity, &key).await {
            return Ok(outcome);
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
        let turn = self.shared.turns.lock(&digest_of(&operation));
        let _turn = turn.lock().await;
        let known = self.known(&operation);
        let condition = known.as_ref().map(condition_of).unwrap_or_default();
        let layer = WritableLayer::over(&self.ingest, None)?;
        let client = self.host.registry();
        let fetched =
            http::revalidate(client, http, &condition, layer.upper(), Arc::clone(&progress) as _).await?;
        let fetched = match (fetched, known) {
            (Some(fetched), _) => fetched,
            (None, Some(known)) => {
                let key = key_of(&known);
                match self.kept(id, &known, &key).await {
                    Some(outcome) => return Ok(outcome),
                    // It was just removed.
                    None => http::fetch(client, http, layer.upper(), progress).await?,
                }
            }
            (None, None) => return Err(http::Error::Status(304).into()),
        };
        let key = digest_of(&("http", &fetched.name, &fetched.digest));
        let identity = self.brought(id, fetched.name, key.clone(), fetched.condition);
        self.keep_brought(id, identity, layer, key).await
    }

    fn operation(&self, id: VertexId) -> serde_json::Value {
        let operation = &self.plan.vertices[id.0].operation;
        serde_json::to_value(operation).expect("an operation has only texts and numbers")
    }

    /// What was brought last for an operation, if it is still here.
    fn known(&self, operation: &serde_json::Value) -> Option<Identity> {
        if self.request.no_cache == NoCache::All {
            return None;
        }
        let known = self.shared.cache.newest(operation)?;
        self.shared.cache.find(&known.key(), &self.ingest).map(|_| known)
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

    /// What was brought before.
    async fn kept(&self, id: VertexId, identity: &Identity, key: &Digest) -> Option<Outcome> {
        if self.request.no_cache == NoCache::All {
            return None;
        }
        let hit = self.shared.cache.find(&identity.key(), &self.ingest)?;
        self.progress.tell(Event::Cached { id: self.number(id) }).await;
        Some(Outcome { tree: Tree::Layers(hit.layers.into()), key: key.clone(), steps: Vec::new() })
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

fn digest_of(key: &impl serde::Serialize) -> Digest {
    Digest::of(&serde_json::to_vec(key).expect("a key is texts"))
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
