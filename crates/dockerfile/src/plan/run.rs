//! `RUN`.

use serde::Serialize;

use super::copy::file_name;
use super::environment::Environment;
use super::graph::Command;
use super::operation::{Input, Operation, Role, VertexId};
use super::stage::{Builder, Current};
use crate::config;
use crate::error::{Error, ExpandProblem, MountProblem, PlanProblem, Problem};
use crate::expand::{Lexer, Quotes};
use crate::mount::{Mount, MountKind, Sharing};
use crate::syntax::{self, Heredoc, Network, Security, Word};

/// Where a script is seen that is run itself.
const SCRIPTS: &str = "/dev/pipes/";

/// A command, with all that it can see.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Run {
    /// Program and arguments.
    pub arguments: Vec<String>,
    /// `NAME=value`: the image's variables and those of `ARG`, without proxies.
    pub environment: Vec<String>,
    /// Where it runs.
    pub working_dir: String,
    /// `user[:group]`; empty: the superuser.
    pub user: String,
    /// Its network.
    pub network: Network,
    /// What it may do.
    pub security: Security,
    /// What it sees beside its root.
    pub mounts: Vec<RunMount>,
}

/// What a command sees beside its root. Files come from the input with the mount's number ([`Role::Mount`]).
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum RunMount {
    /// Files of the input; what is written to them is gone afterwards.
    Bind {
        /// Where they are in the input.
        source: String,
        /// Where they are seen.
        target: String,
        /// Whether they cannot be written.
        is_read_only: bool,
    },
    /// A folder that outlives the build; new, it has the files of the input, where there is one.
    Cache {
        /// Its name.
        id: String,
        /// Who else has it at the same time.
        sharing: Sharing,
        /// Where the files are in the input.
        source: String,
        /// Where it is seen.
        target: String,
        /// Whether it cannot be written.
        is_read_only: bool,
        /// Whose it is when it is new.
        owner: Owner,
    },
    /// A folder in memory.
    Tmpfs {
        /// Where it is seen.
        target: String,
        /// Bytes that it may have; 0 is no limit.
        size: i64,
    },
    /// A secret.
    Secret {
        /// Its name.
        id: String,
        /// The file that has it.
        target: Option<String>,
        /// The variable that has it.
        variable: Option<String>,
        /// Whether the build fails without it.
        is_required: bool,
        /// Whose the file is.
        owner: Owner,
    },
    /// The socket of an SSH agent.
    Ssh {
        /// Its name.
        id: String,
        /// Where it is seen; none: a place of its own, which is in `SSH_AUTH_SOCK`.
        target: Option<String>,
        /// Whether the build fails without it.
        is_required: bool,
        /// Whose it is.
        owner: Owner,
    },
}

/// Owner and permissions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Owner {
    /// User.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Permissions.
    pub mode: u32,
}

impl Owner {
    fn of(mount: &Mount, mode: u32) -> Self {
        Self { uid: mount.uid.unwrap_or(0), gid: mount.gid.unwrap_or(0), mode: mount.mode.unwrap_or(mode) }
    }
}

/// What is run, and the script that it needs.
struct Script {
    arguments: Vec<String>,
    file: Option<Operation>,
    /// Its first line, for people.
    summary: Option<String>,
}

/// The mounts of a command.
#[derive(Default)]
struct Mounts {
    mounts: Vec<RunMount>,
    inputs: Vec<Input>,
    /// Variables that have secrets.
    hidden: Vec<String>,
}

impl Mounts {
    fn add(&mut self, mount: RunMount, vertex: Option<VertexId>) {
        let role = Role::Mount(self.mounts.len());
        self.inputs.extend(vertex.map(|vertex| Input { role, vertex }));
        self.mounts.push(mount);
    }
}

impl Builder<'_> {
    /// Plans a `RUN`.
    pub(super) fn run(
        &mut self,
        current: &mut Current<'_>,
        command: &Command,
        run: &syntax::Run,
    ) -> Result<VertexId, Error> {
        let instruction = &command.instruction;
        let Script { arguments, file, summary } = script(current.state.config().shell.as_deref(), run)?;
        let Mounts { mounts, inputs, hidden } = self.mounts(current, command, run, file)?;
        let operation = Run {
            arguments,
            environment: current.state.env.list(),
            working_dir: current.state.folder(),
            user: current.state.user(),
            network: run.network,
            security: run.security,
            mounts,
        };
        self.take(current.state.env.size(), instruction.lines)?;
        let entry = format!("RUN {} # buildkit", history(current, &operation.arguments));
        let summary = summary.map(|summary| format!(" ({summary})")).unwrap_or_default();
        let shown = self.shown(current, &format!("{}{summary}", instruction.code), &hidden);
        let name = current.name(&shown, command.is_trigger);
        let vertex = self.change(current, instruction, Operation::Run(Box::new(operation)), inputs, name);
        self.commit(current, instruction, entry, false)?;
        Ok(vertex)
    }

    /// The mounts of a command, the one with its script first.
    fn mounts(
        &mut self,
        current: &Current<'_>,
        command: &Command,
        run: &syntax::Run,
        script: Option<Operation>,
    ) -> Result<Mounts, Error> {
        let mut found = Mounts::default();
        if let Some(file) = script {
            let vertex = self.shared(file, "preparing inline document".to_owned(), None);
            let (source, target) = ("/".to_owned(), SCRIPTS.trim_end_matches('/').to_owned());
            found.add(RunMount::Bind { source, target, is_read_only: true }, Some(vertex));
        }
        for (number, word) in run.mounts.iter().enumerate() {
            let mount = self.mount(current, command, word)?;
            found.hidden.extend(mount.env.clone());
            let vertex = self.mounted(command, number, &mount, word)?;
            let mount = planned(mount, &current.state.folder()).map_err(|error| error.at(word.span))?;
            found.add(mount, vertex);
        }
        Ok(found)
    }

    fn mount(&self, current: &Current<'_>, command: &Command, word: &Word) -> Result<Mount, Error> {
        let mut expand = |value: &str| {
            let value = Word { text: value.to_owned(), span: word.span };
            Ok(self.expand(&current.state, &command.instruction, &value, self.lexer())?.text)
        };
        Mount::parse(&word.text, &mut expand).map_err(|error| error.at(word.span))
    }

    /// The files of a mount.
    fn mounted(
        &mut self,
        command: &Command,
        number: usize,
        mount: &Mount,
        word: &Word,
    ) -> Result<Option<VertexId>, Error> {
        let origin = command.origins.get(number).and_then(Option::as_ref);
        let later = || {
            let (from, target) = (mount.from.clone(), mount.target.clone());
            Error::new(PlanProblem::MountFromLater { from, target }.into()).at(word.span)
        };
        match (mount.kind, origin) {
            (MountKind::Bind, None) => Ok(Some(self.context())),
            (MountKind::Bind | MountKind::Cache, Some(origin)) => {
                self.origin(origin, command.instruction.lines, later)
            }
            _ => Ok(None),
        }
    }

    /// An instruction with its variables replaced, for people; values of secrets are not known and not shown.
    fn shown(&self, current: &Current<'_>, code: &str, hidden: &[String]) -> String {
        let lookup = |name: &str| match hidden.iter().any(|secret| secret == name) {
            true => Some("****"),
            false => current.state.variable(name),
        };
        let lexer = Lexer::shown(self.file.directives.escape_character(), Quotes::Kept);
        let text = lexer
            .expand(code, &lookup, self.budget)
            .map_or_else(|_: ExpandProblem| code.to_owned(), |found| found.text);
        uppercase(&text)
    }
}

/// With the instruction's name in capitals.
pub(super) fn uppercase(code: &str) -> String {
    let end = code.find(' ').unwrap_or(code.len());
    format!("{}{}", code[..end].to_uppercase(), &code[end..])
}

/// Arguments in order with their present values, and then the command.
fn history(current: &Current<'_>, arguments: &[String]) -> String {
    let mut values = Environment::default();
    for (name, declared) in current.state.arguments.iter() {
        values.set(name, current.state.variable(name).unwrap_or(declared));
    }
    let values = values.list();
    let count = (!values.is_empty()).then(|| format!("|{}", values.len()));
    let words = count.into_iter().chain(values).chain(arguments.iter().cloned());
    words.collect::<Vec<_>>().join(" ")
}

/// What is run, with what is written below the instruction.
fn script(shell: Option<&[String]>, run: &syntax::Run) -> Result<Script, Error> {
    let command = match (&run.command, run.files.first()) {
        (command, None) => {
            return Ok(Script { arguments: config::arguments(shell, command), file: None, summary: None });
        }
        (syntax::Command::Shell(text), Some(first)) => (text, first),
        (syntax::Command::Exec(words), Some(_)) => {
            return Err(Problem::HeredocCommand(words.join(" ")).into());
        }
    };
    let (text, first) = command;
    if Heredoc::parse(text).is_none() {
        // The shell reads them itself.
        let whole = run
            .files
            .iter()
            .fold(text.clone(), |text, file| format!("{text}\n{}{}", file.content, file.name));
        let arguments = config::arguments(shell, &syntax::Command::Shell(whole));
        return Ok(Script { arguments, file: None, summary: None });
    }
    let content = first.text();
    let summary = Some(summary(&first.content));
    if content.starts_with("#!") {
        let name = file_name(&first.name)?;
        let arguments = config::arguments(shell, &syntax::Command::Shell(format!("{SCRIPTS}{name}")));
        let file = Some(Operation::File { name, content, mode: 0o755 });
        return Ok(Script { arguments, file, summary });
    }
    Ok(Script { arguments: config::arguments(shell, &syntax::Command::Shell(content)), file: None, summary })
}

fn summary(content: &str) -> String {
    let mut lines = content.trim().lines();
    let first = lines.next().unwrap_or_default().to_owned();
    if lines.next().is_some() { format!("{first}...") } else { first }
}

/// A mount with its defaults.
fn planned(mount: Mount, folder: &str) -> Result<RunMount, Error> {
    let target = config::join(folder, &mount.target);
    if target == "/" && !matches!(mount.kind, MountKind::Secret | MountKind::Ssh) {
        return Err(Error::new(MountProblem::Target(target).into_problem()));
    }
    let source = config::join("/", &mount.source);
    let is_read_only = mount.is_read_only;
    Ok(match mount.kind {
        MountKind::Bind => RunMount::Bind { source, target, is_read_only },
        MountKind::Cache => {
            let owner = Owner::of(&mount, 0o755);
            // Without a name it is the one for this place, as it is written.
            let id = if mount.id.is_empty() { crate::ignore::clean(&mount.target) } else { mount.id };
            let sharing = mount.sharing.unwrap_or_default();
            RunMount::Cache { id, sharing, source, target, is_read_only, owner }
        }
        MountKind::Tmpfs => RunMount::Tmpfs { target, size: mount.size },
        MountKind::Secret => secret(mount, folder),
        MountKind::Ssh => RunMount::Ssh {
            target: (!mount.target.is_empty()).then_some(target),
            is_required: mount.is_required,
            owner: Owner::of(&mount, 0o600),
            id: if mount.id.is_empty() { "default".to_owned() } else { mount.id },
        },
    })
}

fn secret(mount: Mount, folder: &str) -> RunMount {
    let owner = Owner::of(&mount, 0o400);
    let base = |path: &str| path.trim_end_matches('/').rsplit('/').next().unwrap_or_default().to_owned();
    let id = [&mount.source, &mount.id].into_iter().find(|name| !name.is_empty()).cloned();
    let id = id.unwrap_or_else(|| base(&mount.target));
    let target = match (mount.target.is_empty(), &mount.env) {
        (false, _) => Some(config::join(folder, &mount.target)),
        (true, Some(_)) => None,
        (true, None) => Some(format!("/run/secrets/{}", base(&id))),
    };
    RunMount::Secret { id, target, variable: mount.env, is_required: mount.is_required, owner }
}
