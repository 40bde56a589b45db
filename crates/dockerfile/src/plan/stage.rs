//! One stage after the other: what its instructions change and make.

mod checks;
mod lints;

use std::collections::{BTreeMap, HashMap};

use oci::{History, ImageConfig};

use super::arguments::{self, Global};
use super::copy;
use super::graph::{Command, Graph, Node, Origin};
use super::operation::{Input, MakeFolder, Operation, Role, Vertex, VertexId};
use super::state::State;
use super::{Copy, CopySource, ImageRequest, Options, Plan, PlannedStage, Selection, Step};
use crate::Dockerfile;
use crate::config;
use crate::error::{Error, Problem};
use crate::expand::{Budget, Expansion, Lexer};
use crate::lint::{Linter, Rule};
use crate::source::Lines;
use crate::syntax::{Argument, Instruction, Kind, Word};

/// What BuildKit's entries have for a comment that are of no instruction.
const BASE_COMMENT: &str = "buildkit.exporter.image.v0";

/// What BuildKit's entries of the history have for a comment.
const COMMENT: &str = "buildkit.dockerfile.v0";

/// Arguments that are for the builder, and in no command's environment.
const OUTSIDE: [&str; 2] = ["BUILDKIT_SBOM_SCAN_CONTEXT", "BUILDKIT_SBOM_SCAN_STAGE"];

/// What has been built of the graph.
pub(super) struct Builder<'a> {
    pub(super) file: &'a Dockerfile,
    pub(super) options: &'a Options,
    pub(super) global: &'a Global,
    pub(super) linter: &'a Linter,
    pub(super) budget: &'a Budget,
    vertices: Vec<Vertex>,
    /// Vertices that stages share: images, contexts, addresses.
    shared: HashMap<oci::Digest, VertexId>,
    done: BTreeMap<usize, Done>,
}

/// A stage that is planned.
struct Done {
    stage: PlannedStage,
    state: State,
}

/// A stage that is being planned.
pub(super) struct Current<'a> {
    pub(super) node: &'a Node,
    pub(super) state: State,
    has_command: bool,
    /// Where `CMD`, `ENTRYPOINT` and `HEALTHCHECK` were last.
    last: BTreeMap<&'static str, Lines>,
    count: usize,
    total: usize,
    /// Whether it is the only stage, which is not named then.
    is_alone: bool,
    steps: Vec<Step>,
}

impl<'a> Current<'a> {
    fn new(node: &'a Node, is_alone: bool) -> Self {
        let makes = |command: &&Command| {
            matches!(command.instruction.kind, Kind::Run(_) | Kind::Copy(_) | Kind::Add(_) | Kind::Workdir(_))
        };
        let has_base = usize::from(matches!(node.base, Origin::Image(_) | Origin::Context(_)));
        Self {
            node,
            state: State::new(ImageConfig::default()),
            has_command: false,
            last: BTreeMap::new(),
            count: 0,
            total: has_base + node.commands.iter().filter(makes).count(),
            is_alone,
            steps: Vec::new(),
        }
    }

    /// `[build 2/5] RUN make`.
    pub(super) fn name(&mut self, text: &str, is_trigger: bool) -> String {
        self.count += 1;
        let width = self.total.to_string().len();
        let stage = if self.is_alone { String::new() } else { format!("{} ", self.node.name) };
        let trigger = if is_trigger { "ONBUILD " } else { "" };
        format!("[{stage}{:width$}/{}] {trigger}{text}", self.count, self.total)
    }
}

impl<'a> Builder<'a> {
    pub(super) fn new(
        file: &'a Dockerfile,
        options: &'a Options,
        global: &'a Global,
        linter: &'a Linter,
        budget: &'a Budget,
    ) -> Self {
        let (vertices, shared, done) = (Vec::new(), HashMap::new(), BTreeMap::new());
        Self { file, options, global, linter, budget, vertices, shared, done }
    }

    /// Plans all stages that are needed.
    pub(super) fn build(&mut self, graph: &'a Graph<'_>) -> Result<(), Error> {
        checks::file(self.file, self.linter);
        graph.nodes.iter().filter(|node| node.is_needed).try_for_each(|node| self.stage(graph, node))
    }

    fn stage(&mut self, graph: &Graph<'_>, node: &'a Node) -> Result<(), Error> {
        let mut current = Current::new(node, graph.nodes.len() == 1);
        current.state = self.base(graph, &mut current)?;
        for command in &node.commands {
            let vertex = self
                .command(&mut current, command)
                .map_err(|error| Error { in_syntax: false, ..error }.in_lines(command.instruction.lines))?;
            current.steps.push(Step {
                code: command.instruction.code.clone(),
                lines: command.instruction.lines,
                is_trigger: command.is_trigger,
                vertex,
                history: current.state.image.history.len(),
            });
        }
        let Current { steps, state, .. } = current;
        let stage = PlannedStage {
            number: node.number,
            name: node.name.clone(),
            base: node.base_name.clone(),
            steps,
            root: state.root,
            history: state.image.history.iter().map(|entry| entry.created_by.clone()).collect(),
        };
        self.done.insert(node.number, Done { stage, state });
        Ok(())
    }

    /// What a stage begins with.
    fn base(&mut self, graph: &Graph<'_>, current: &mut Current<'_>) -> Result<State, Error> {
        let node = current.node;
        match &node.base {
            Origin::Stage(base) => {
                let done = self.done.get(base).expect("a base comes before what is built on it");
                let mut state = done.state.clone();
                state.config().on_build.clear();
                self.take(state.size(), node.lines)?;
                Ok(state)
            }
            Origin::Scratch => Ok(State::new(arguments::empty_image(&node.platform))),
            Origin::Context(name) => {
                let shown = current.name(&format!("FROM {}", node.base_name), false);
                self.base_of_files(node, name, shown)
            }
            Origin::Image(request) => {
                let config = graph.image_config(request).cloned().unwrap_or_default();
                Ok(self.base_image(current, request, config))
            }
        }
    }

    /// A stage that begins with a folder.
    fn base_of_files(&mut self, node: &Node, name: &str, shown: String) -> Result<State, Error> {
        let mut state = State::new(arguments::empty_image(&node.platform));
        state.root = Some(self.shared(Operation::Context { name: name.to_owned() }, shown, Some(node.lines)));
        let created_by = format!("FROM {}", node.base_name);
        self.take(created_by.len(), node.lines)?;
        let comment = BASE_COMMENT.to_owned();
        state.image.history.push(History { created_by, comment, ..History::default() });
        Ok(state)
    }

    /// What layers can be put on, and images be made of: of a folder, all of it is copied into an empty root file system.
    fn as_layers(&mut self, root: VertexId, stage: usize) -> VertexId {
        let Vertex { operation: Operation::Context { name }, lines, .. } = &self.vertices[root.0] else {
            return root;
        };
        let (name, lines) = (format!("[context {name}] copy as a root file system"), *lines);
        let everything = Copy {
            sources: vec![CopySource { selection: Selection::All, unpacks: false }],
            destination: "/".to_owned(),
            owner: None,
            mode: None,
            exclude: Vec::new(),
            is_link: false,
        };
        let operation = Operation::Copy(Box::new(everything));
        let inputs = vec![Input { role: Role::Source(0), vertex: root }];
        self.push(Vertex { operation, inputs, name, lines, stage: Some(stage) })
    }

    fn base_image(
        &mut self,
        current: &mut Current<'_>,
        request: &ImageRequest,
        config: ImageConfig,
    ) -> State {
        let node = current.node;
        self.check_platform(node, &config);
        let mut state = State::new(inherited(config));
        state.config().on_build.clear();
        // An image without layers is as good as none.
        let image = &state.image;
        if !image.rootfs.diff_ids.is_empty() || image.history.iter().any(|step| !step.empty_layer) {
            let shown = current.name(&format!("FROM {}", self.pinned(request)), false);
            state.root = Some(self.image(request, shown, Some(node.lines)));
        }
        state
    }

    /// The name of an image with the digest that it stands for.
    fn pinned(&self, request: &ImageRequest) -> String {
        let known = self.options.images.get(request).and_then(|image| image.digest.as_ref());
        match known {
            Some(digest) if !request.reference.contains('@') => format!("{}@{digest}", request.reference),
            _ => request.reference.clone(),
        }
    }

    fn image(&mut self, request: &ImageRequest, name: String, lines: Option<Lines>) -> VertexId {
        let operation = Operation::image(self.pinned(request), &request.platform);
        self.shared(operation, name, lines)
    }

    /// Takes bytes of what a build may have.
    pub(super) fn take(&self, bytes: usize, lines: Lines) -> Result<(), Error> {
        self.budget
            .text(bytes)
            .map_err(|problem| Error::new(Problem::Word { word: String::new(), problem }).in_lines(lines))
    }

    pub(super) fn push(&mut self, vertex: Vertex) -> VertexId {
        self.vertices.push(vertex);
        VertexId(self.vertices.len() - 1)
    }

    /// A vertex without inputs, of which there is one.
    pub(super) fn shared(&mut self, operation: Operation, name: String, lines: Option<Lines>) -> VertexId {
        let digest = operation.digest();
        if let Some(known) = self.shared.get(&digest) {
            return *known;
        }
        let vertex = self.push(Vertex { operation, inputs: Vec::new(), name, lines, stage: None });
        self.shared.insert(digest, vertex);
        vertex
    }

    /// The build's context.
    pub(super) fn context(&mut self) -> VertexId {
        self.shared(
            Operation::Context { name: String::new() },
            "[internal] load build context".to_owned(),
            None,
        )
    }

    /// The files of an origin; `later` makes the error for a stage that is not planned yet.
    pub(super) fn origin(
        &mut self,
        origin: &Origin,
        lines: Lines,
        later: impl FnOnce() -> Error,
    ) -> Result<Option<VertexId>, Error> {
        Ok(match origin {
            Origin::Scratch => None,
            Origin::Stage(number) => self.done.get(number).ok_or_else(later)?.stage.root,
            Origin::Image(request) => {
                Some(self.image(request, format!("FROM {}", self.pinned(request)), Some(lines)))
            }
            Origin::Context(name) => {
                let shown = format!("[context {name}] load");
                Some(self.shared(Operation::Context { name: name.clone() }, shown, Some(lines)))
            }
        })
    }

    /// Replaces the variables of a word of an instruction.
    pub(super) fn expand(
        &self,
        state: &State,
        instruction: &Instruction,
        word: &Word,
        lexer: Lexer,
    ) -> Result<Expansion, Error> {
        let found = lexer.expand(&word.text, &|name| state.variable(name), self.budget);
        let found = found.map_err(|problem| {
            Error::new(Problem::Word { word: word.text.clone(), problem }).at(word.span)
        })?;
        self.undefined(state, instruction, &found.unmatched);
        Ok(found)
    }

    pub(super) fn lexer(&self) -> Lexer {
        Lexer::new(self.file.directives.escape_character())
    }

    fn command(&mut self, current: &mut Current<'_>, command: &Command) -> Result<Option<VertexId>, Error> {
        let instruction = &command.instruction;
        match &instruction.kind {
            Kind::Run(run) => self.run(current, command, run).map(Some),
            Kind::Copy(_) | Kind::Add(_) => copy::plan(self, current, command).map(Some),
            Kind::Workdir(path) => self.workdir(current, command, path),
            Kind::Arg(arguments) => self.arguments(current, instruction, arguments).map(|()| None),
            Kind::Maintainer(author) => {
                current.state.image.author = author.clone();
                self.commit(current, instruction, format!("MAINTAINER {author}"), true).map(|()| None)
            }
            _ => self.configure(current, instruction).map(|()| None),
        }
    }

    /// An instruction that changes the configuration only.
    fn configure(&self, current: &mut Current<'_>, instruction: &Instruction) -> Result<(), Error> {
        self.check_before(current, instruction);
        let mut config = current.state.image.config.take().unwrap_or_default();
        let mut expand = |word: &Word| self.expand(&current.state, instruction, word, self.lexer());
        let entry = match &instruction.kind {
            Kind::Env(pairs) => {
                let pairs = config::expand_pairs(pairs, &mut expand)?;
                Some(self.env(&mut current.state, instruction, &pairs))
            }
            kind => config::change(&mut config, kind, &mut current.has_command, &mut expand)?,
        };
        config.args_escaped |= matches!(instruction.kind, Kind::Cmd(_));
        current.state.image.config = Some(config);
        match entry {
            Some(entry) => self.commit(current, instruction, entry, true),
            None => Ok(()),
        }
    }

    fn env(&self, state: &mut State, instruction: &Instruction, pairs: &[(String, String)]) -> String {
        let mut entry = "ENV".to_owned();
        for (name, value) in pairs {
            self.check_secret("ENV", name, instruction);
            state.image_env.set(name, value);
            state.env.set(name, value);
            entry.extend([" ", name, "=", value]);
        }
        entry
    }

    fn workdir(
        &mut self,
        current: &mut Current<'_>,
        command: &Command,
        path: &Word,
    ) -> Result<Option<VertexId>, Error> {
        let instruction = &command.instruction;
        let path = self.expand(&current.state, instruction, path, self.lexer())?.text;
        if !std::mem::replace(&mut current.state.has_folder, true) && !path.starts_with('/') {
            let detail =
                format!("Relative workdir {path:?} can have unexpected results if the base image changes");
            self.warn(Rule::WorkdirRelativePath, instruction, detail);
        }
        let folder = config::join(&current.state.folder(), &path);
        current.state.config().working_dir = folder.clone();
        let has_files = folder != "/";
        let shown = current.name(&format!("WORKDIR {folder}"), command.is_trigger);
        if has_files {
            let user = current.state.user();
            let operation = Operation::MakeFolder(MakeFolder { path: folder.clone(), user, mode: 0o755 });
            self.change(current, instruction, operation, Vec::new(), shown);
        }
        self.commit(current, instruction, format!("WORKDIR {folder}"), !has_files)?;
        Ok(current.state.root.filter(|_| has_files))
    }

    /// A vertex that changes the root file system of a stage.
    pub(super) fn change(
        &mut self,
        current: &mut Current<'_>,
        instruction: &Instruction,
        operation: Operation,
        mut inputs: Vec<Input>,
        name: String,
    ) -> VertexId {
        let base = current.state.root.map(|root| self.as_layers(root, current.node.number));
        inputs.splice(0..0, base.map(|vertex| Input { role: Role::Base, vertex }));
        let lines = Some(instruction.lines);
        let vertex = self.push(Vertex { operation, inputs, name, lines, stage: Some(current.node.number) });
        current.state.root = Some(vertex);
        vertex
    }

    /// An entry of the history.
    pub(super) fn commit(
        &self,
        current: &mut Current<'_>,
        instruction: &Instruction,
        created_by: String,
        empty_layer: bool,
    ) -> Result<(), Error> {
        self.take(created_by.len(), instruction.lines)?;
        let entry = History { created_by, comment: COMMENT.to_owned(), empty_layer, ..History::default() };
        current.state.image.history.push(entry);
        Ok(())
    }

    fn arguments(
        &self,
        current: &mut Current<'_>,
        instruction: &Instruction,
        arguments: &[Argument],
    ) -> Result<(), Error> {
        let mut entry = "ARG".to_owned();
        for Argument { name, value } in arguments {
            self.check_secret("ARG", &name.text, instruction);
            let value = match (self.options.build_args.get(&name.text), value) {
                (Some(given), _) => Some(given.clone()),
                (None, Some(word)) => {
                    Some(self.expand(&current.state, instruction, word, self.lexer())?.text)
                }
                (None, None) => self.global.get(&name.text).map(str::to_owned),
            };
            if let Some(value) = &value {
                if !OUTSIDE.contains(&name.text.as_str()) {
                    current.state.env.set(&name.text, value);
                }
                entry.extend([" ", &name.text, "=", value]);
            } else {
                entry.extend([" ", &name.text]);
            }
            current.state.arguments.set(&name.text, value.as_deref().unwrap_or_default());
        }
        self.commit(current, instruction, entry, true)
    }

    /// The plan, with the target's configuration.
    pub(super) fn finish(mut self, graph: &Graph<'_>, target: usize, epoch: Option<i64>) -> Plan {
        let Done { state, .. } = self.done.get(&target).expect("the target is needed");
        let (mut image, root) = (state.image.clone(), state.root);
        let config = image.config.get_or_insert_default();
        config.env = state.image_env.list();
        config.labels.extend(self.options.labels.clone());
        if let Some(platform) = &self.options.target_platform {
            image.os = platform.os.clone();
            image.architecture = platform.architecture.clone();
            image.variant = platform.variant.clone().unwrap_or_default();
        }
        let root = root.map(|root| self.as_layers(root, target));
        Plan {
            vertices: std::mem::take(&mut self.vertices),
            root,
            image,
            platform: graph.nodes[target].platform.clone(),
            stages: self.done.into_values().map(|done| done.stage).collect(),
            epoch,
            proxies: arguments::proxies(self.options),
            warnings: Vec::new(),
        }
    }
}

/// What an image hands on: nothing of when and by what it was made.
fn inherited(image: ImageConfig) -> ImageConfig {
    ImageConfig {
        created: None,
        comment: String::new(),
        docker_version: String::new(),
        container: String::new(),
        container_config: None,
        ..image
    }
}
