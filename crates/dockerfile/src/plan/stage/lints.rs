//! Checks of instructions as they are planned.

use std::collections::BTreeSet;

use oci::ImageConfig;

use super::super::graph::Node;
use super::super::state::State;
use super::{Builder, Current, checks};
use crate::config::Port;
use crate::lint::Rule;
use crate::suggest::{Case, nearest};
use crate::syntax::{Command, Instruction, Kind, Word};

impl Builder<'_> {
    pub(super) fn check_platform(&self, node: &Node, config: &ImageConfig) {
        let wanted = &node.platform;
        if config.os != wanted.os || config.architecture != wanted.architecture {
            let detail = format!(
                "Base image {} was pulled with platform {:?}, expected {:?} for current build",
                node.base_name,
                config.platform().to_string(),
                wanted.to_string()
            );
            self.linter.warn(Rule::InvalidBaseImagePlatform, node.lines, &node.comments, detail);
        }
    }

    pub(super) fn undefined(&self, state: &State, instruction: &Instruction, unmatched: &BTreeSet<String>) {
        let is_declared = |name: &String| state.arguments.get(name).is_some();
        for name in unmatched.iter().filter(|name| !self.linter.is_full() && !is_declared(name)) {
            let likely = nearest(name, state.env.names(), Case::Sensitive)
                .map(|likely| format!(" (did you mean ${likely}?)"));
            let detail = format!("Usage of undefined variable '${name}'{}", likely.unwrap_or_default());
            self.warn(Rule::UndefinedVar, instruction, detail);
        }
    }

    pub(in crate::plan) fn warn(&self, rule: Rule, instruction: &Instruction, detail: String) {
        self.linter.warn(rule, instruction.lines, &instruction.comments, detail);
    }

    pub(super) fn check_secret(&self, kind: &str, name: &str, instruction: &Instruction) {
        if checks::is_secret(name) {
            let detail = format!("Do not use ARG or ENV instructions for sensitive data ({kind} {name:?})");
            self.warn(Rule::SecretsUsedInArgOrEnv, instruction, detail);
        }
    }

    pub(super) fn check_before(&self, current: &mut Current<'_>, instruction: &Instruction) {
        let keyword = &instruction.keyword.text;
        match &instruction.kind {
            Kind::Cmd(command) | Kind::Entrypoint(command) => {
                let has_shell = current.state.config().shell.as_ref().is_some_and(|shell| !shell.is_empty());
                if matches!(command, Command::Shell(_)) && !has_shell {
                    let detail = format!(
                        "JSON arguments recommended for {keyword} to prevent unintended behavior related to OS signals"
                    );
                    self.warn(Rule::JsonArgsRecommended, instruction, detail);
                }
            }
            Kind::Env(pairs) | Kind::Label(pairs) if pairs.iter().any(|pair| pair.is_legacy) => {
                let detail = format!(
                    "\"{keyword} key=value\" should be used instead of legacy \"{keyword} key value\" format"
                );
                self.warn(Rule::LegacyKeyValueFormat, instruction, detail);
            }
            Kind::Expose(words) => self.check_ports(current, instruction, words),
            _ => {}
        }
        self.check_once(current, instruction);
    }

    pub(super) fn check_ports(&self, current: &Current<'_>, instruction: &Instruction, words: &[Word]) {
        let expand = |word: &Word| {
            self.lexer().expand(&word.text, &|name| current.state.variable(name), self.budget).ok()
        };
        for text in words.iter().filter_map(expand).flat_map(|found| found.words) {
            let Ok(port) = Port::parse(&text) else { continue };
            if port.has_capitals {
                let detail = format!("Defined protocol '{text}' in EXPOSE instruction should be lowercase");
                self.warn(Rule::ExposeProtoCasing, instruction, detail);
            }
            if port.has_host {
                let detail = format!(
                    "EXPOSE instruction should not define an IP address or host-port mapping, found '{text}'"
                );
                self.warn(Rule::ExposeInvalidFormat, instruction, detail);
            }
        }
    }

    fn check_once(&self, current: &mut Current<'_>, instruction: &Instruction) {
        let keyword = &instruction.keyword.text;
        if let Kind::Cmd(_) | Kind::Entrypoint(_) | Kind::Healthcheck(..) = instruction.kind
            && let Some(before) = current.last.insert(instruction.kind.name(), instruction.lines)
        {
            // The earlier one is the one that does nothing.
            let detail = format!(
                "Multiple {keyword} instructions should not be used in the same stage because only the last one will be used"
            );
            self.linter.warn(Rule::MultipleInstructionsDisallowed, before, &instruction.comments, detail);
        }
    }
}
