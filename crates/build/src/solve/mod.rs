//! Going through a plan: each vertex waits for its inputs, looks for its result, and does what there is no result of.
//!
//! Vertices that do not need each other run at the same time. Of equal ones, in this build and in others, one does the work and
//! the others find its result ([`registry::InFlight`]). The first failure ends the rest.

mod bases;
mod identity;
mod layouts;
mod remote;
mod sources;
mod vertex;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use dockerfile::Dockerfile;
use dockerfile::plan::{self, NamedContext, Operation, Options, Outcome as Planned, Plan, Role, VertexId};
use futures_util::FutureExt as _;
use futures_util::future::{BoxFuture, Shared as SharedFuture, try_join_all};
use image::Ingest;
use jiff::Timestamp;
use oci::{Digest, Platform};
use tokio::task::JoinSet;

use crate::builder::Shared;
use crate::error::Error;
use crate::exchange::Imports;
use crate::execute::Memories;
use crate::host::Host;
use crate::progress::Progress;
use crate::request::{NamedSource, NoCache, Request};

use bases::Bases;
pub(crate) use sources::{OpenTree, Tree};

/// The result of a vertex.
#[derive(Clone, Debug)]
pub(crate) struct Outcome {
    /// Its files.
    pub(crate) tree: Tree,
    /// What it is called in the keys of others.
    pub(crate) key: Digest,
    /// The steps from the base image on that made its layers.
    pub(crate) steps: Vec<Made>,
}

/// What a step has made.
#[derive(Clone, Debug)]
pub(crate) struct Made {
    /// When.
    pub(crate) created: Timestamp,
    /// Its layer; none where it changed nothing.
    pub(crate) layer: Option<Digest>,
    /// By what others know it, where results are exchanged with others.
    pub(crate) record: Option<Digest>,
}

/// A build with all its results.
pub(crate) struct Solved {
    pub(crate) plan: Arc<Plan>,
    pub(crate) request: Arc<Request>,
    /// Holds the layers until the image has them.
    pub(crate) ingest: Arc<Ingest>,
    /// The result of the target; none: an image without files.
    pub(crate) root: Option<Outcome>,
    /// What all steps have made, where it goes elsewhere.
    pub(crate) made: Vec<Made>,
}

/// A build that is under way.
pub(crate) struct Job {
    pub(crate) shared: Arc<Shared>,
    pub(crate) host: Arc<dyn Host>,
    pub(crate) request: Arc<Request>,
    pub(crate) file: Dockerfile,
    pub(crate) plan: Arc<Plan>,
    pub(crate) ingest: Arc<Ingest>,
    pub(crate) progress: Progress,
    /// The number of the first vertex in the log.
    first: u32,
    bases: Bases,
    imports: Imports,
    /// What was made or found, where it goes elsewhere.
    made: Mutex<Vec<Made>>,
    /// What is known of the files of contexts.
    pub(crate) memories: Memories,
}

type Solving = SharedFuture<BoxFuture<'static, Result<Outcome, Arc<Error>>>>;

/// Plans and solves.
pub(crate) async fn solve(
    shared: &Arc<Shared>,
    request: Arc<Request>,
    host: Arc<dyn Host>,
    progress: &Progress,
) -> Result<Solved, Error> {
    let ingest = Arc::new(shared.images.ingest()?);
    let file = Dockerfile::parse(&request.dockerfile).map_err(|error| {
        let source = dockerfile::syntax::text(&request.dockerfile);
        dockerfile_error(error, &request.name, &source)
    })?;
    let mut bases = Bases::new(shared, &host, &request, &ingest, progress);
    let imports = Imports::load(shared, &host, &request, progress);
    let (plan, imports) = tokio::join!(planned(&file, &request, &mut bases), imports);
    let plan = Arc::new(plan?);
    let first = progress.plan(&plan).await;
    let job = Arc::new(Job {
        shared: Arc::clone(shared),
        host,
        request,
        file,
        plan: Arc::clone(&plan),
        ingest: Arc::clone(&ingest),
        progress: progress.clone(),
        first,
        bases,
        imports,
        made: Mutex::default(),
        memories: Memories::default(),
    });
    let root = run(&job).await;
    job.memories.save(&job.shared);
    let root = root?;
    let request = Arc::clone(&job.request);
    let made = std::mem::take(&mut *job.made.lock().unwrap_or_else(PoisonError::into_inner));
    Ok(Solved { plan, request, ingest, root, made })
}

/// Plans, and brings the configurations of images that this needs.
async fn planned(file: &Dockerfile, request: &Request, bases: &mut Bases) -> Result<Plan, Error> {
    let mut options = options(request);
    loop {
        let outcome = plan::plan(file, &options)
            .map_err(|error| dockerfile_error(error, &request.name, &file.source))?;
        match outcome {
            Planned::Plan(plan) => return Ok(*plan),
            Planned::Needs(images) => {
                let found = try_join_all(images.iter().map(|needed| bases.needed(needed, file))).await?;
                for (needed, base) in images.into_iter().zip(found) {
                    bases.remember(&needed.request, &base);
                    options.images.insert(needed.request, base.into());
                }
            }
        }
    }
}

fn options(request: &Request) -> Options {
    let named = |name: &str, source: &NamedSource| match source {
        NamedSource::Image(name) => NamedContext::Image(name.clone()),
        NamedSource::Files(_) => NamedContext::Files,
        NamedSource::Layout { .. } => NamedContext::Image(layouts::name_of(name)),
    };
    Options {
        target: request.target.clone(),
        build_args: request.build_args.clone(),
        labels: request.labels.clone(),
        build_platform: Platform::host(),
        target_platform: request.platform.clone(),
        contexts: request.contexts.iter().map(|(name, source)| (name.clone(), named(name, source))).collect(),
        ignore: request.context.as_ref().and_then(|context| context.ignore.clone()),
        ..Options::default()
    }
}

pub(crate) fn dockerfile_error(error: dockerfile::Error, name: &str, source: &str) -> Error {
    let excerpt = error.lines.map(|lines| dockerfile::source::excerpt(name, source, lines, error.span));
    Error::Dockerfile { excerpt: excerpt.unwrap_or_default(), error: Box::new(error) }
}

/// Solves all vertices.
async fn run(job: &Arc<Job>) -> Result<Option<Outcome>, Error> {
    let mut solving: Vec<Solving> = Vec::with_capacity(job.plan.vertices.len());
    for (at, vertex) in job.plan.vertices.iter().enumerate() {
        let inputs: Vec<(Role, Solving)> =
            vertex.inputs.iter().map(|input| (input.role, solving[input.vertex.0].clone())).collect();
        let job = Arc::clone(job);
        let future = async move {
            let waiting = inputs
                .into_iter()
                .map(|(role, input)| async move { Ok::<_, Arc<Error>>((role, input.await?)) });
            let inputs: HashMap<Role, Outcome> = try_join_all(waiting).await?.into_iter().collect();
            job.vertex(VertexId(at), inputs).await.map_err(Arc::new)
        };
        solving.push(future.boxed().shared());
    }
    let mut tasks = JoinSet::new();
    solving.iter().for_each(|vertex| drop(tasks.spawn(vertex.clone())));
    while let Some(ended) = tasks.join_next().await {
        // A task that panics is a bug, and goes on as one.
        if let Err(error) = ended.unwrap_or_else(|error| std::panic::resume_unwind(error.into_panic())) {
            tasks.shutdown().await;
            drop(solving);
            return Err(Arc::try_unwrap(error).unwrap_or_else(Error::Shared));
        }
    }
    match job.plan.root {
        Some(root) => {
            let outcome = solving.swap_remove(root.0).await;
            outcome.map(Some).map_err(Error::Shared)
        }
        None => Ok(None),
    }
}

impl Job {
    /// The number of a vertex in the log.
    pub(crate) fn number(&self, vertex: VertexId) -> u32 {
        self.first + u32::try_from(vertex.0).unwrap_or_default()
    }

    /// Whether nothing is taken from the cache for a vertex.
    fn ignores_cache(&self, vertex: VertexId) -> bool {
        let Some(number) = self.plan.vertices[vertex.0].stage else { return false };
        match &self.request.no_cache {
            NoCache::Nothing => false,
            NoCache::All => true,
            NoCache::Stages(names) => {
                let stage = self.plan.stages.iter().find(|stage| stage.number == number);
                let is_it = |name: &String| {
                    stage.is_some_and(|stage| stage.name.eq_ignore_ascii_case(name))
                        || *name == number.to_string()
                };
                names.iter().any(is_it)
            }
        }
    }

    /// Solves one vertex, and tells of it.
    async fn vertex(
        self: &Arc<Self>,
        id: VertexId,
        inputs: HashMap<Role, Outcome>,
    ) -> Result<Outcome, Error> {
        let number = self.number(id);
        self.progress.started(number).await;
        let result = self.outcome(id, inputs).await;
        let (key, error) = match &result {
            Ok(outcome) => (Some(outcome.key.clone()), None),
            Err(error) => (None, Some(error.to_string())),
        };
        self.progress.completed(number, key, error).await;
        result
    }

    async fn outcome(
        self: &Arc<Self>,
        id: VertexId,
        inputs: HashMap<Role, Outcome>,
    ) -> Result<Outcome, Error> {
        match &self.plan.vertices[id.0].operation {
            Operation::Image { reference, platform } => self.image(id, reference, platform).await,
            Operation::Context { name } => self.context(name),
            Operation::File { name, content, mode } => self.file(id, name, content, *mode).await,
            Operation::Git(git) => self.git(id, git).await,
            Operation::Http(http) => self.http(id, http).await,
            Operation::Run(_) | Operation::Copy(_) | Operation::MakeFolder(_) => self.layer(id, inputs).await,
        }
    }
}
