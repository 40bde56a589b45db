//! Checks that need no variables.

use std::collections::BTreeSet;

use crate::Dockerfile;
use crate::lint::{Linter, Rule};
use crate::source::Lines;
use crate::syntax::{Instruction, Kind, Stage};

/// Checks of names, case and comments in a whole file.
pub(in crate::plan) fn file(file: &Dockerfile, linter: &Linter) {
    for line in &file.empty_continuations {
        linter.warn(Rule::NoEmptyContinuation, Lines::one(*line), &[], "Empty continuation line".to_owned());
    }
    for instruction in &file.global {
        descriptions(instruction, linter);
    }
    for stage in &file.stages {
        self::stage(stage, linter);
        for instruction in &stage.instructions {
            descriptions(instruction, linter);
            if let Kind::Maintainer(_) = instruction.kind {
                let detail = "Maintainer instruction is deprecated in favor of using label".to_owned();
                linter.warn(Rule::MaintainerDeprecated, instruction.lines, &instruction.comments, detail);
            }
        }
    }
    names(file, linter);
    case(file, linter);
}

fn stage(stage: &Stage, linter: &Linter) {
    let warn = |rule, detail| linter.warn(rule, stage.lines, &stage.comments, detail);
    let (Some(keyword), Some(name)) = (&stage.from.keyword, &stage.from.name) else { return };
    if name.text != name.text.to_lowercase() {
        warn(Rule::StageNameCasing, format!("Stage name '{}' should be lowercase", name.text));
    }
    let (from, keyword) = (&stage.keyword.text, &keyword.text);
    // A mixed `From` is found elsewhere.
    let matches = match () {
        () if *from == from.to_lowercase() => *keyword == keyword.to_lowercase(),
        () if *from == from.to_uppercase() => *keyword == keyword.to_uppercase(),
        () => true,
    };
    if !matches {
        warn(Rule::FromAsCasing, format!("'{keyword}' and '{from}' keywords' casing do not match"));
    }
    description("FROM", &[name.text.to_lowercase()], stage.lines, &stage.comments, linter);
}

fn descriptions(instruction: &Instruction, linter: &Linter) {
    if let Kind::Arg(arguments) = &instruction.kind {
        let names: Vec<String> = arguments.iter().map(|argument| argument.name.text.clone()).collect();
        description("ARG", &names, instruction.lines, &instruction.comments, linter);
    }
}

/// A comment right before it begins with its name.
fn description(kind: &str, names: &[String], lines: Lines, comments: &[String], linter: &Linter) {
    let Some(first) = comments.last().and_then(|comment| comment.split(' ').next()) else { return };
    if names.iter().any(|name| name == first) {
        return;
    }
    let example = match names {
        [name] => name,
        _ => "<arg_key>",
    };
    let detail = format!("Comment for {kind} should follow the format: `# {example} <description>`");
    linter.warn(Rule::InvalidDefinitionDescription, lines, comments, detail);
}

fn names(file: &Dockerfile, linter: &Linter) {
    let mut seen = BTreeSet::new();
    for stage in file.stages.iter().filter(|stage| stage.from.name.is_some()) {
        let name = stage.name();
        let warn = |rule, detail| linter.warn(rule, stage.lines, &[], detail);
        if ["context", "scratch"].contains(&name.as_str()) {
            let detail = format!("Stage name should not use the same name as reserved stage {name:?}");
            warn(Rule::ReservedStageName, detail);
        }
        if !seen.insert(name.clone()) {
            let detail = format!("Duplicate stage name {name:?}, stage names should be unique");
            warn(Rule::DuplicateStageName, detail);
        }
    }
}

/// Names of instructions have the case of most of them.
fn case(file: &Dockerfile, linter: &Linter) {
    let keywords = file.stages.iter().flat_map(|stage| {
        let own = stage.instructions.iter().map(|instruction| (&instruction.keyword.text, instruction.lines));
        std::iter::once((&stage.keyword.text, stage.lines)).chain(own)
    });
    let keywords: Vec<_> = keywords.collect();
    let count = |fold: fn(&str) -> String| keywords.iter().filter(|(text, _)| **text == fold(text)).count();
    let is_lower = count(str::to_lowercase) > count(str::to_uppercase);
    let (fold, name): (fn(&str) -> String, _) =
        if is_lower { (str::to_lowercase, "lowercase") } else { (str::to_uppercase, "uppercase") };
    for (text, lines) in keywords.into_iter().filter(|(text, _)| **text != fold(text)) {
        let detail = format!("Command '{text}' should match the case of the command majority ({name})");
        linter.warn(Rule::ConsistentInstructionCasing, lines, &[], detail);
    }
}

/// Whether a variable's name says that it is a secret.
pub(super) fn is_secret(name: &str) -> bool {
    const SECRET: [&str; 10] = [
        "apikey",
        "auth",
        "credential",
        "credentials",
        "key",
        "password",
        "pword",
        "passwd",
        "secret",
        "token",
    ];
    const PUBLIC: [&str; 3] = ["public", "file", "version"];
    let name = name.to_lowercase();
    let has = |words: &[&str]| name.split('_').any(|part| words.contains(&part));
    has(&SECRET) && !has(&PUBLIC)
}
