//! What decides what a vertex does.

use std::collections::HashMap;

use dockerfile::plan::{Operation, Role};
use dockerfile::syntax::Network;
use oci::Digest;

use super::{Job, Outcome, Tree};
use crate::cache::Identity;

impl Job {
    /// The identity of a vertex by how its inputs were made; `None` where they are of a context, whose files have to be looked
    /// at.
    pub(super) fn definition(
        &self,
        operation: &Operation,
        inputs: &HashMap<Role, Outcome>,
    ) -> Option<Identity> {
        let mut keys = Vec::new();
        for (role, outcome) in inputs.iter().filter(|(role, _)| **role != Role::Base) {
            if matches!(outcome.tree, Tree::Context(_)) {
                return None;
            }
            keys.push((name_of(*role), outcome.key.clone()));
        }
        keys.sort();
        Some(self.identity(operation, operation, inputs, keys))
    }

    /// The identity of a vertex by the files that it takes.
    pub(super) fn by_content(
        &self,
        operation: &Operation,
        inputs: &HashMap<Role, Outcome>,
        files: Vec<(String, Digest)>,
    ) -> Identity {
        self.identity(operation, &operation.by_content(), inputs, files)
    }

    fn identity(
        &self,
        operation: &Operation,
        shown: &Operation,
        inputs: &HashMap<Role, Outcome>,
        files: Vec<(String, Digest)>,
    ) -> Identity {
        let is_apart = matches!(operation, Operation::Copy(copy) if copy.is_link);
        let base = inputs.get(&Role::Base).filter(|_| !is_apart).map(|base| base.key.clone());
        let mut settings = Vec::new();
        if let Some(network) = self.given_network(operation) {
            settings.push(("the network".to_owned(), network.to_owned()));
        }
        if let Some(epoch) = self.plan.epoch {
            settings.push(("SOURCE_DATE_EPOCH".to_owned(), epoch.to_string()));
        }
        let operation = serde_json::to_value(shown).expect("an operation has only texts and numbers");
        Identity { operation, base, inputs: files, settings }
    }

    /// The network of a command that does not say which, where the build says.
    fn given_network(&self, operation: &Operation) -> Option<&str> {
        let given = match self.request.network.as_str() {
            "" | "default" | "bridge" => return None,
            given => given,
        };
        let is_open = matches!(operation, Operation::Run(run) if run.network == Network::Default);
        is_open.then_some(given)
    }
}

/// What an input is called when it is told why there was no result.
pub(super) fn name_of(role: Role) -> String {
    match role {
        Role::Base => "what is below it".to_owned(),
        Role::Source(at) => format!("source {}", at + 1),
        Role::Mount(at) => format!("mount {}", at + 1),
    }
}
