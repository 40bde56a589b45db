//! Variables that are there before any stage: automatic ones, and `ARG` before the first `FROM`.

use std::collections::{BTreeMap, BTreeSet};

use oci::{ContainerConfig, ImageConfig, Platform, Reference};

use super::Options;
use crate::Dockerfile;
use crate::error::{Error, PlanProblem, Problem};
use crate::expand::{Budget, Expansion, Lexer};
use crate::lint::{Linter, Rule};
use crate::syntax::{Argument, Instruction, Kind, Word};

/// Where programs are looked for, where an image does not say.
pub(super) const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Names with values.
#[derive(Clone, Debug, Default)]
pub(super) struct Global {
    pub(super) values: BTreeMap<String, String>,
    /// Those that are declared, with or without a value.
    pub(super) declared: BTreeSet<String>,
}

impl Global {
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.values.get(name).map(String::as_str)
    }

    /// All names that `FROM` can use.
    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.values.keys().chain(&self.declared).map(String::as_str)
    }

    pub(super) fn has(&self, name: &str) -> bool {
        self.values.contains_key(name) || self.declared.contains(name)
    }
}

/// Replaces the variables of a word of `FROM` or of an `ARG` before it.
pub(super) fn expand(
    file: &Dockerfile,
    word: &Word,
    global: &Global,
    budget: &Budget,
) -> Result<Expansion, Error> {
    let lexer = Lexer::new(file.directives.escape_character());
    lexer
        .expand(&word.text, &|name| global.get(name), budget)
        .map_err(|problem| Error::new(Problem::Word { word: word.text.clone(), problem }).at(word.span))
}

/// Automatic variables and those of the file.
pub(super) fn global(
    file: &Dockerfile,
    options: &Options,
    linter: &Linter,
    budget: &Budget,
) -> Result<Global, Error> {
    let automatic = automatic(file, options);
    check_defaults(file, &automatic, linter, budget);
    declared(file, automatic, &options.build_args, budget)
}

fn declared(
    file: &Dockerfile,
    mut global: Global,
    given: &BTreeMap<String, String>,
    budget: &Budget,
) -> Result<Global, Error> {
    for instruction in &file.global {
        for argument in arguments(instruction) {
            let name = &argument.name.text;
            let value = match (given.get(name), &argument.value) {
                (Some(given), _) => Some(given.clone()),
                (None, Some(word)) => {
                    let found = expand(file, word, &global, budget);
                    Some(found.map_err(|error| error.in_lines(instruction.lines))?.text)
                }
                (None, None) => None,
            };
            global.values.extend(value.map(|value| (name.clone(), value)));
            global.declared.insert(name.clone());
        }
    }
    Ok(global)
}

fn arguments(instruction: &Instruction) -> &[Argument] {
    match &instruction.kind {
        Kind::Arg(arguments) => arguments,
        _ => &[],
    }
}

fn automatic(file: &Dockerfile, options: &Options) -> Global {
    let build = &options.build_platform;
    let target = options.target_platform.as_ref().unwrap_or(build);
    let last = || file.stages.last().map(crate::syntax::Stage::name).unwrap_or_default();
    let stage = if options.target.is_empty() { last() } else { options.target.clone() };
    let variant = |platform: &Platform| platform.variant.clone().unwrap_or_default();
    let values = [
        ("BUILDPLATFORM", build.to_string()),
        ("BUILDOS", build.os.clone()),
        ("BUILDOSVERSION", String::new()),
        ("BUILDARCH", build.architecture.clone()),
        ("BUILDVARIANT", variant(build)),
        ("TARGETPLATFORM", target.to_string()),
        ("TARGETOS", target.os.clone()),
        ("TARGETOSVERSION", String::new()),
        ("TARGETARCH", target.architecture.clone()),
        ("TARGETVARIANT", variant(target)),
        ("TARGETSTAGE", if stage.is_empty() { "default".to_owned() } else { stage }),
    ];
    let given = |name: &str| options.build_args.get(name).cloned();
    let values = values.into_iter().map(|(name, value)| (name.to_owned(), given(name).unwrap_or(value)));
    Global { values: values.collect(), declared: BTreeSet::new() }
}

/// Whether each base is a name also when no arguments are given.
fn check_defaults(file: &Dockerfile, automatic: &Global, linter: &Linter, budget: &Budget) {
    // What is wrong with them is seen again when they are used.
    let Ok(global) = declared(file, automatic.clone(), &BTreeMap::new(), budget) else { return };
    for stage in &file.stages {
        let Ok(base) = expand(file, &stage.from.base, &global, budget) else { return };
        // A stage's name is one of an image too, but for its case.
        if Reference::parse(&base.text.to_lowercase()).is_err() {
            let detail = format!(
                "Default value for ARG {} results in empty or invalid base image name",
                stage.from.base.text
            );
            linter.warn(Rule::InvalidDefaultArgInFrom, stage.lines, &stage.comments, detail);
        }
    }
}

/// `SOURCE_DATE_EPOCH`: seconds since 1970.
pub(super) fn epoch(global: &Global, options: &Options) -> Result<Option<i64>, Error> {
    let name = "SOURCE_DATE_EPOCH";
    let given = options.build_args.get(name).map(String::as_str).or_else(|| global.get(name));
    match given.filter(|text| !text.is_empty()) {
        None => Ok(None),
        Some(text) => {
            let bad = || Error::new(PlanProblem::Epoch(text.to_owned()).into());
            text.parse().map(Some).map_err(|_| bad())
        }
    }
}

/// Proxies among the arguments, by any case of their names.
pub(super) fn proxies(options: &Options) -> Vec<(String, String)> {
    let is_proxy = |name: &str| {
        let name = name.to_ascii_lowercase();
        ["http_proxy", "https_proxy", "ftp_proxy", "no_proxy", "all_proxy"].contains(&name.as_str())
    };
    let proxies = options.build_args.iter().filter(|(name, _)| is_proxy(name));
    proxies.map(|(name, value)| (name.clone(), value.clone())).collect()
}

/// The configuration of `scratch`.
pub(super) fn empty_image(platform: &Platform) -> ImageConfig {
    ImageConfig {
        architecture: platform.architecture.clone(),
        os: platform.os.clone(),
        variant: platform.variant.clone().unwrap_or_default(),
        config: Some(ContainerConfig {
            working_dir: "/".to_owned(),
            env: vec![format!("PATH={PATH}")],
            ..ContainerConfig::default()
        }),
        ..ImageConfig::default()
    }
}
