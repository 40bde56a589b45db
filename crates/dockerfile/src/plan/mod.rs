//! The plan of a build: what has to be done for a target, as a graph, and the configuration that comes of it.
//!
//! ```text
//! Dockerfile + Options ── plan() ──> Needs(images)   their configurations are read, and plan() is asked again
//!                                └─> Plan            vertices, in an order in which each can be done
//! ```
//!
//! An instruction is either a change of the configuration, done here, or a [`Vertex`] with inputs. Two vertices with equal
//! operations and equal results of their inputs do the same, so a cache key is the digest of the operation
//! ([`Operation::digest`]) with those of the inputs. What must not be in a key is not in an operation: proxies, names,
//! places, limits, and values of secrets.
//!
//! - Only stages that the target needs are planned: by `FROM`, `--from`, mounts, and triggers of their bases.
//! - Names of stages are without case. A stage can only use earlier ones.
//! - Variables of an instruction are those from before it. `ARG` is in the environment of `RUN`, not in the image's.
//! - Triggers (`ONBUILD`) of the base come first; they are not inherited.
//! - `PATH` is set where the base has none.
//!
//! **History.** The entries are those of BuildKit, with its comment `buildkit.dockerfile.v0`: `ENV a=b`, `CMD ["x"]`,
//! `WORKDIR /w`; only those of `RUN`, `COPY` and `ADD` end with ` # buildkit`. `RUN` has the shell's words, and values of
//! `ARG` before them: `RUN |1 A=b /bin/sh -c make # buildkit`. `ONBUILD` has none. Times are whoever's who makes the image.
//!
//! Unlike in BuildKit, absolute paths of `WORKDIR` are cleaned, as Docker's classic builder does.

mod arguments;
mod copy;
mod environment;
mod from;
mod graph;
mod mode;
mod operation;
mod remote;
mod run;
mod stage;
mod state;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use oci::{Digest, ImageConfig, Platform};

use crate::Dockerfile;
use crate::error::{Error, PlanProblem};
use crate::expand::Budget;
use crate::ignore::Matcher;
use crate::lint::{self, Linter, Warning};
use crate::source::Lines;
use crate::syntax::text;

pub use copy::{Copy, CopySource, Selection};
pub use mode::Mode;
pub use operation::{Input, MakeFolder, Operation, Role, Vertex, VertexId};
pub use remote::{Git, Http, Remote};
pub use run::{Owner, Run, RunMount};

use graph::Graph;
use stage::Builder;

/// What a build is asked for.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// A stage by name or number; empty: the last one.
    pub target: String,
    /// `--build-arg`
    pub build_args: BTreeMap<String, String>,
    /// `--label`
    pub labels: BTreeMap<String, String>,
    /// Where the build runs.
    pub build_platform: Platform,
    /// `--platform`; none: the one where the build runs.
    pub target_platform: Option<Platform>,
    /// `--build-context`, by the names that are given.
    pub contexts: BTreeMap<String, NamedContext>,
    /// What is known of images.
    pub images: BTreeMap<ImageRequest, BaseImage>,
    /// `.dockerignore`, for checks.
    pub ignore: Option<Matcher>,
    /// Checks, where something else than the file says which.
    pub check: Option<lint::Config>,
    /// Whether all stages are planned, as checks do.
    pub all_stages: bool,
}

/// What a name of `--build-context` stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NamedContext {
    /// An image.
    Image(String),
    /// Nothing.
    Scratch,
    /// Files: a folder, a repository or an archive.
    Files,
}

/// An image whose configuration is needed.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ImageRequest {
    /// Its whole name, with a tag or digest.
    pub reference: String,
    /// What it is to run on.
    pub platform: Platform,
}

/// An image that a stage begins with, and where that is said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NeededImage {
    /// The image.
    pub request: ImageRequest,
    /// Its name as `FROM` has it, with variables replaced.
    pub name: String,
    /// The lines of `FROM`.
    pub lines: Lines,
    /// The stage or image that was probably meant, for when there is none of this name.
    pub likely: Option<String>,
}

impl NeededImage {
    /// The error for when it cannot be had.
    pub fn error(&self, reason: &str) -> Error {
        let problem = PlanProblem::Image { name: self.name.clone(), reason: reason.to_owned() };
        Error::new(problem.into()).in_lines(self.lines).hint(self.likely.clone())
    }
}

/// What is known of an image.
#[derive(Clone, Debug, Default)]
pub struct BaseImage {
    /// Its configuration.
    pub config: ImageConfig,
    /// The digest that its name stands for at this time.
    pub digest: Option<Digest>,
}

/// A plan, or what is needed to make one.
#[derive(Clone, Debug)]
pub enum Outcome {
    /// Images whose configurations are missing in the options.
    Needs(Vec<NeededImage>),
    /// All that there is to do.
    Plan(Box<Plan>),
}

/// All that there is to do for a target.
#[derive(Clone, Debug)]
pub struct Plan {
    /// What to do; inputs come before what needs them.
    pub vertices: Vec<Vertex>,
    /// The root file system of the target; none: an empty one.
    pub root: Option<VertexId>,
    /// The image's configuration: with the history of all steps, and the layers of the base only.
    pub image: ImageConfig,
    /// The platform that the target is for.
    pub platform: Platform,
    /// The stages that are needed, in order.
    pub stages: Vec<PlannedStage>,
    /// `SOURCE_DATE_EPOCH`, in seconds.
    pub epoch: Option<i64>,
    /// Proxies for commands: they are in their environment, and in no key.
    pub proxies: Vec<(String, String)>,
    /// What checks have found.
    pub warnings: Vec<Warning>,
}

impl Plan {
    /// The error for when the image of a vertex cannot be had: with its lines, and the stage of `file` or the image that
    /// was probably meant.
    pub fn image_error(&self, file: &Dockerfile, vertex: VertexId, reason: &str) -> Error {
        let Vertex { operation, lines, name, .. } = &self.vertices[vertex.0];
        let name = match operation {
            Operation::Image { reference, .. } => graph::familiar(reference),
            _ => name.clone(),
        };
        let stages: Vec<String> = file.stages.iter().map(crate::syntax::Stage::name).collect();
        let likely = graph::nearest_image(&name, stages.iter().map(String::as_str));
        let error = Error::new(PlanProblem::Image { name, reason: reason.to_owned() }.into()).hint(likely);
        Error { lines: *lines, ..error }
    }
}

/// A stage that is needed.
#[derive(Clone, Debug)]
pub struct PlannedStage {
    /// Its number in the file.
    pub number: usize,
    /// Its name; `stage-0` where it has none.
    pub name: String,
    /// `FROM`, with its variables replaced.
    pub base: String,
    /// Its instructions.
    pub steps: Vec<Step>,
    /// Its root file system; none: an empty one.
    pub root: Option<VertexId>,
    /// What the history of its image says of all steps, those of its base too.
    pub history: Vec<String>,
}

/// An instruction of a stage.
#[derive(Clone, Debug)]
pub struct Step {
    /// As it is written.
    pub code: String,
    /// Its lines; those of `FROM` for a trigger.
    pub lines: Lines,
    /// Whether it is a trigger of the base.
    pub is_trigger: bool,
    /// What it makes; none: it changes the configuration only.
    pub vertex: Option<VertexId>,
    /// Entries of the image's history up to and with it.
    pub history: usize,
}

/// Plans a build.
///
/// # Errors
/// What the file asks for and cannot have, with its place.
pub fn plan(file: &Dockerfile, options: &Options) -> Result<Outcome, Error> {
    let linter = Linter::new(check_config(file, options)?);
    let mut outcome = plan_with(file, options, &linter)?;
    if let Outcome::Plan(plan) = &mut outcome {
        let (warnings, failure) = linter.finish();
        plan.warnings = warnings;
        if let Some(rules) = failure {
            return Err(Error::new(PlanProblem::Lint(rules).into()));
        }
    }
    Ok(outcome)
}

fn check_config(file: &Dockerfile, options: &Options) -> Result<lint::Config, Error> {
    let given = options.build_args.get("BUILDKIT_DOCKERFILE_CHECK").or(file.directives.check.as_ref());
    let of_file = || lint::Config::parse(given.map(String::as_str).unwrap_or_default());
    Ok(options.check.clone().map_or_else(of_file, Ok)?)
}

fn plan_with(file: &Dockerfile, options: &Options, linter: &Linter) -> Result<Outcome, Error> {
    let budget = Budget::default();
    let global = arguments::global(file, options, linter, &budget)?;
    let epoch = arguments::epoch(&global, options)?;
    let mut graph = Graph::new(file, options, &global, linter, &budget)?;
    let target = graph.target(&options.target)?;
    graph.check_cycles()?;
    let missing = graph.resolve(target)?;
    if !missing.is_empty() {
        return Ok(Outcome::Needs(missing));
    }
    let mut builder = Builder::new(file, options, &global, linter, &budget);
    builder.build(&graph)?;
    Ok(Outcome::Plan(Box::new(builder.finish(&graph, target, epoch))))
}

/// Checks a file without building it: all of its stages, where no target is given. Images that are not known are taken to
/// be empty.
pub fn check(name: &str, source: &[u8], options: &Options) -> lint::Report {
    let file = match Dockerfile::parse(source) {
        Ok(file) => file,
        Err(error) => return lint::Report::new(name, &text(source), Vec::new(), Some(&error)),
    };
    let mut options = options.clone();
    options.all_stages |= options.target.is_empty();
    let config = match check_config(&file, &options) {
        Ok(config) => config,
        Err(error) => return lint::Report::new(name, &file.source, Vec::new(), Some(&error)),
    };
    loop {
        let linter = Linter::new(config.clone());
        let error = match plan_with(&file, &options, &linter) {
            Ok(Outcome::Needs(images)) => {
                let unknown = |image: NeededImage| {
                    let config = arguments::empty_image(&image.request.platform);
                    (image.request, BaseImage { config, digest: None })
                };
                options.images.extend(images.into_iter().map(unknown));
                continue;
            }
            Ok(Outcome::Plan(_)) => None,
            Err(error) => Some(error),
        };
        return lint::Report::new(name, &file.source, linter.finish().0, error.as_ref());
    }
}
