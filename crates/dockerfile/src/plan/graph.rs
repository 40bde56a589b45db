//! Stages and what they need of each other.

use std::collections::BTreeMap;

use oci::{ImageConfig, Platform, Reference};

use super::arguments::Global;
use super::from::FromReader;
use super::{ImageRequest, NamedContext, NeededImage, Options};
use crate::Dockerfile;
use crate::error::{Error, PlanProblem, Problem};
use crate::expand::{Budget, Lexer};
use crate::lint::Linter;
use crate::mount;
use crate::source::Lines;
use crate::suggest::{Case, nearest};
use crate::syntax::{self, Instruction, Kind, Word};

/// Bytes that a trigger has beside its text, about: many stages can have the same base.
const TRIGGER: usize = 256;
/// Images that are meant more often than others.
const COMMON: [&str; 7] = ["alpine", "busybox", "centos", "debian", "golang", "ubuntu", "fedora"];
/// A base that has no files.
const SCRATCH: &str = "scratch";

/// Where files come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Origin {
    Scratch,
    Stage(usize),
    Image(ImageRequest),
    Context(String),
}

/// An instruction with what it needs of elsewhere.
#[derive(Clone, Debug)]
pub(super) struct Command {
    pub(super) instruction: Instruction,
    pub(super) is_trigger: bool,
    /// `--from`, or one for each mount.
    pub(super) origins: Vec<Option<Origin>>,
}

/// A stage.
#[derive(Debug)]
pub(super) struct Node {
    pub(super) number: usize,
    /// In small letters; `stage-0` where it has none.
    pub(super) name: String,
    pub(super) base: Origin,
    /// `FROM`, with its variables replaced.
    pub(super) base_name: String,
    pub(super) platform: Platform,
    pub(super) lines: Lines,
    pub(super) comments: Vec<String>,
    pub(super) commands: Vec<Command>,
    pub(super) is_needed: bool,
    /// Whether a context of its name is there instead: none of its instructions count.
    is_replaced: bool,
}

/// All stages of a file.
#[derive(Debug)]
pub(super) struct Graph<'a> {
    pub(super) nodes: Vec<Node>,
    options: &'a Options,
    budget: &'a Budget,
    by_name: BTreeMap<String, usize>,
}

impl<'a> Graph<'a> {
    pub(super) fn new(
        file: &Dockerfile,
        options: &'a Options,
        global: &Global,
        linter: &Linter,
        budget: &'a Budget,
    ) -> Result<Self, Error> {
        let mut graph = Self { nodes: Vec::new(), options, budget, by_name: BTreeMap::new() };
        for stage in &file.stages {
            let reader = FromReader { file, stage, global, linter, budget };
            graph.add(&reader).map_err(|error| error.in_lines(stage.lines))?;
        }
        for (number, stage) in file.stages.iter().enumerate() {
            if graph.nodes[number].is_replaced {
                continue;
            }
            let commands = stage.instructions.iter().map(|instruction| {
                graph.command(instruction.clone(), false).map_err(|error| error.in_lines(instruction.lines))
            });
            graph.nodes[number].commands = commands.collect::<Result<_, _>>()?;
        }
        Ok(graph)
    }

    fn add(&mut self, reader: &FromReader<'_>) -> Result<(), Error> {
        let stage = reader.stage;
        let number = self.nodes.len();
        let base_name = reader.base()?;
        let own = reader.platform()?;
        let wanted = own.clone().unwrap_or_else(|| self.target_platform());
        let name = stage.name();
        let replacement = if name.is_empty() { None } else { self.context(&name, &wanted)? };
        let is_replaced = replacement.is_some();
        let base = match replacement {
            Some(context) => context,
            None => self.named(&base_name, &wanted).map_err(|error| error.at(stage.from.base.span))?,
        };
        let platform = match &base {
            Origin::Stage(base) => self.nodes[*base].platform.clone(),
            Origin::Scratch => self.target_platform(),
            _ => wanted,
        };
        let shown = if name.is_empty() { format!("stage-{number}") } else { name.clone() };
        self.nodes.push(Node {
            number,
            name: shown,
            base,
            base_name,
            platform,
            lines: stage.lines,
            comments: stage.comments.clone(),
            commands: Vec::new(),
            is_needed: false,
            is_replaced,
        });
        if !name.is_empty() {
            self.by_name.insert(name, number);
        }
        Ok(())
    }

    fn target_platform(&self) -> Platform {
        self.options.target_platform.clone().unwrap_or_else(|| self.options.build_platform.clone())
    }

    /// A context by the name that is given for it, with the platform or without.
    fn context(&self, name: &str, platform: &Platform) -> Result<Option<Origin>, Error> {
        if name.eq_ignore_ascii_case(SCRATCH) || name.eq_ignore_ascii_case("context") {
            return Ok(None);
        }
        let short = familiar(name);
        let names = [format!("{short}::{platform}"), short];
        let Some((found, context)) = names.iter().find_map(|name| self.options.contexts.get_key_value(name))
        else {
            return Ok(None);
        };
        Ok(Some(match context {
            NamedContext::Scratch => Origin::Scratch,
            NamedContext::Files => Origin::Context(found.clone()),
            NamedContext::Image(image) => self.image(image, platform)?,
        }))
    }

    fn image(&self, name: &str, platform: &Platform) -> Result<Origin, Error> {
        if name == SCRATCH {
            return Ok(Origin::Scratch);
        }
        let reference = Reference::parse(name).map_err(|reason| {
            Error::new(PlanProblem::BaseName { name: name.to_owned(), reason: reason.to_string() }.into())
                .hint(self.likely(name))
        })?;
        let reference = reference.or_latest().to_string();
        Ok(Origin::Image(ImageRequest { reference, platform: platform.clone() }))
    }

    /// What a name stands for that is no stage's.
    fn origin(&self, name: &str, platform: &Platform) -> Result<Origin, Error> {
        if name == SCRATCH {
            return Ok(Origin::Scratch);
        }
        match self.context(name, platform)? {
            Some(context) => Ok(context),
            None => self.image(name, platform),
        }
    }

    /// The stage that was probably meant.
    pub(super) fn likely(&self, name: &str) -> Option<String> {
        nearest(name, self.by_name.keys().map(String::as_str), Case::Sensitive)
    }

    /// The stage or image that was probably meant.
    pub(super) fn likely_image(&self, name: &str) -> Option<String> {
        nearest_image(name, self.by_name.keys().map(String::as_str))
    }

    /// An instruction with what it needs. All stages are known, so that a later one is told from an image.
    fn command(&self, instruction: Instruction, is_trigger: bool) -> Result<Command, Error> {
        let platform = self.target_platform();
        let origins = match &instruction.kind {
            Kind::Copy(copy) => {
                copy.from.iter().map(|from| self.copied(from, &platform)).collect::<Result<_, _>>()?
            }
            Kind::Run(run) => {
                run.mounts.iter().map(|word| self.mounted(word, &platform)).collect::<Result<_, _>>()?
            }
            _ => Vec::new(),
        };
        Ok(Command { instruction, is_trigger, origins })
    }

    fn copied(&self, from: &Word, platform: &Platform) -> Result<Option<Origin>, Error> {
        let expanded = Lexer::new('\\').expand(&from.text, &|_| None, &Budget::default());
        if expanded.map_or(true, |found| found.text != from.text) {
            return Err(Error::new(PlanProblem::VariableInFrom.into()).at(from.span));
        }
        if let Ok(number) = from.text.parse::<i64>() {
            let found = usize::try_from(number).ok().filter(|number| *number < self.nodes.len());
            let bad = || Error::new(PlanProblem::StageNumber(number).into()).at(from.span);
            return found.map(|number| Some(Origin::Stage(number))).ok_or_else(bad);
        }
        self.named(&from.text, platform).map(Some).map_err(|error| error.at(from.span))
    }

    fn mounted(&self, word: &Word, platform: &Platform) -> Result<Option<Origin>, Error> {
        let from = mount::from_of(&word.text);
        from.map(|from| self.named(&from, platform)).transpose().map_err(|error| error.at(word.span))
    }

    /// A stage, or what else has this name.
    fn named(&self, name: &str, platform: &Platform) -> Result<Origin, Error> {
        match self.by_name.get(&name.to_lowercase()) {
            Some(stage) => Ok(Origin::Stage(*stage)),
            None => self.origin(name, platform),
        }
    }

    /// The stage that is asked for.
    pub(super) fn target(&self, name: &str) -> Result<usize, Error> {
        if name.is_empty() {
            return Ok(self.nodes.len() - 1);
        }
        let by_number = || name.parse::<usize>().ok().filter(|number| *number < self.nodes.len());
        let found = self.by_name.get(&name.to_lowercase()).copied().or_else(by_number);
        found.ok_or_else(|| Error::new(PlanProblem::NoTarget(name.to_owned()).into()).hint(self.likely(name)))
    }

    /// Stages that an instruction of a stage needs, with its lines.
    fn needs(&self, number: usize) -> impl Iterator<Item = (usize, Lines)> {
        let origins = self.nodes[number].commands.iter().flat_map(|command| {
            command.origins.iter().flatten().map(|origin| (origin, command.instruction.lines))
        });
        origins.filter_map(|(origin, lines)| match origin {
            Origin::Stage(stage) => Some((*stage, lines)),
            _ => None,
        })
    }

    /// Looks for a stage that needs itself, without recursion: there can be many.
    pub(super) fn check_cycles(&self) -> Result<(), Error> {
        let mut is_done = vec![false; self.nodes.len()];
        let mut on_path = vec![false; self.nodes.len()];
        for start in 0..self.nodes.len() {
            let mut stack = vec![(start, false)];
            while let Some((stage, is_leaving)) = stack.pop() {
                if is_leaving {
                    on_path[stage] = false;
                    is_done[stage] = true;
                    continue;
                }
                if is_done[stage] {
                    continue;
                }
                on_path[stage] = true;
                stack.push((stage, true));
                for (needed, lines) in self.needs(stage) {
                    if on_path[needed] {
                        let problem = PlanProblem::Circular(self.nodes[needed].name.clone());
                        return Err(Error::new(problem.into()).in_lines(lines));
                    }
                    stack.push((needed, false));
                }
            }
        }
        Ok(())
    }

    /// Marks what the target needs, with triggers of bases; what comes back are images that are not known yet.
    pub(super) fn resolve(&mut self, target: usize) -> Result<Vec<NeededImage>, Error> {
        let mut missing = BTreeMap::new();
        let mut waiting: Vec<usize> =
            if self.options.all_stages { (0..self.nodes.len()).collect() } else { vec![target] };
        while let Some(number) = waiting.pop() {
            if std::mem::replace(&mut self.nodes[number].is_needed, true) {
                continue;
            }
            if let Origin::Image(request) = &self.nodes[number].base
                && !self.options.images.contains_key(request)
            {
                let node = &self.nodes[number];
                missing.entry(request.clone()).or_insert((node.lines, node.base_name.clone()));
            }
            self.add_triggers(number).map_err(|error| self.at_stage(error, number))?;
            waiting.extend(self.needs(number).map(|(needed, _)| needed));
            if let Origin::Stage(base) = self.nodes[number].base {
                waiting.push(base);
            }
        }
        let needed = missing.into_iter().map(|(request, (lines, name))| {
            let likely = self.likely_image(&name);
            NeededImage { request, name, lines, likely }
        });
        Ok(needed.collect())
    }

    /// What a trigger has done wrong is wrong with `FROM`.
    fn at_stage(&self, error: Error, number: usize) -> Error {
        Error { lines: Some(self.nodes[number].lines), span: None, in_syntax: false, ..error }
    }

    fn add_triggers(&mut self, number: usize) -> Result<(), Error> {
        if self.nodes[number].is_replaced {
            return Ok(());
        }
        let mut commands = Vec::new();
        for text in self.triggers(number) {
            let too_many = |problem| Error::new(Problem::Word { word: text.clone(), problem });
            self.budget.text(text.len() + TRIGGER).map_err(too_many)?;
            let mut found = syntax::instructions(&text)?;
            let mut instruction = match (found.pop(), found.is_empty()) {
                (Some(instruction), true) => instruction,
                _ => return Err(Problem::TriggerNotSingle.into()),
            };
            if let Kind::From(_) | Kind::OnBuild(_) = instruction.kind {
                return Err(Problem::Trigger(instruction.kind.name().to_owned()).into());
            }
            instruction.lines = self.nodes[number].lines;
            commands.push(self.command(instruction, true)?);
        }
        let own = std::mem::take(&mut self.nodes[number].commands);
        self.nodes[number].commands = commands.into_iter().chain(own).collect();
        Ok(())
    }

    /// Triggers of the base of a stage.
    fn triggers(&self, number: usize) -> Vec<String> {
        match &self.nodes[number].base {
            Origin::Stage(base) => {
                let commands = &self.nodes[*base].commands;
                let own = commands.iter().filter_map(|command| match &command.instruction.kind {
                    Kind::OnBuild(trigger) => Some(trigger.clone()),
                    _ => None,
                });
                own.collect()
            }
            Origin::Image(request) => {
                self.config(request).map(|config| config.on_build.clone()).unwrap_or_default()
            }
            _ => Vec::new(),
        }
    }

    fn config(&self, request: &ImageRequest) -> Option<&'a oci::ContainerConfig> {
        self.image_config(request).and_then(|config| config.config.as_ref())
    }

    pub(super) fn image_config(&self, request: &ImageRequest) -> Option<&'a ImageConfig> {
        self.options.images.get(request).map(|image| &image.config)
    }
}

/// The stage or well-known image that is nearest to a name.
pub(super) fn nearest_image<'n>(name: &str, stages: impl Iterator<Item = &'n str>) -> Option<String> {
    nearest(name, stages.filter(|stage| !stage.is_empty()).chain(COMMON), Case::Sensitive)
}

/// The shortest form of a name: without what goes without saying.
pub(super) fn familiar(name: &str) -> String {
    let familiar = Reference::parse(name).map_or_else(|_| name.to_owned(), |name| name.familiar());
    familiar.strip_suffix(":latest").map(str::to_owned).unwrap_or(familiar)
}
