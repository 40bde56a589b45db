//! Instructions as they are written; variables in them are not replaced yet.

use super::heredoc::Heredoc;
use super::line::Word;
use crate::source::Lines;

/// An instruction and its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Instruction {
    /// Its name as it is written.
    pub keyword: Word,
    /// What it says.
    pub kind: Kind,
    /// Its lines, with those of its heredocs.
    pub lines: Lines,
    /// The logical line.
    pub code: String,
    /// Comments right before it.
    pub comments: Vec<String>,
}

/// What an instruction says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `ADD`
    Add(Box<Add>),
    /// `ARG`: names, and values for when none is given.
    Arg(Vec<Argument>),
    /// `CMD`
    Cmd(Command),
    /// `COPY`
    Copy(Box<Copy>),
    /// `ENTRYPOINT`
    Entrypoint(Command),
    /// `ENV`
    Env(Vec<Pair>),
    /// `EXPOSE`: ports, ranges of them, with or without protocol; sorted.
    Expose(Vec<Word>),
    /// `FROM`, which begins a stage.
    From(From),
    /// `HEALTHCHECK`
    Healthcheck(HealthCommand, HealthOptions),
    /// `LABEL`
    Label(Vec<Pair>),
    /// `MAINTAINER`
    Maintainer(String),
    /// `ONBUILD`: an instruction, with its heredocs.
    OnBuild(String),
    /// `RUN`
    Run(Box<Run>),
    /// `SHELL`
    Shell(Vec<String>),
    /// `STOPSIGNAL`
    StopSignal(Word),
    /// `USER`
    User(Word),
    /// `VOLUME`: paths.
    Volume(Vec<Word>),
    /// `WORKDIR`
    Workdir(Word),
}

impl Kind {
    /// The name of the instruction, in capitals.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Add(_) => "ADD",
            Self::Arg(_) => "ARG",
            Self::Cmd(_) => "CMD",
            Self::Copy(_) => "COPY",
            Self::Entrypoint(_) => "ENTRYPOINT",
            Self::Env(_) => "ENV",
            Self::Expose(_) => "EXPOSE",
            Self::From(_) => "FROM",
            Self::Healthcheck(..) => "HEALTHCHECK",
            Self::Label(_) => "LABEL",
            Self::Maintainer(_) => "MAINTAINER",
            Self::OnBuild(_) => "ONBUILD",
            Self::Run(_) => "RUN",
            Self::Shell(_) => "SHELL",
            Self::StopSignal(_) => "STOPSIGNAL",
            Self::User(_) => "USER",
            Self::Volume(_) => "VOLUME",
            Self::Workdir(_) => "WORKDIR",
        }
    }
}

/// All instructions, in capitals.
pub(crate) const NAMES: [&str; 18] = [
    "ADD",
    "ARG",
    "CMD",
    "COPY",
    "ENTRYPOINT",
    "ENV",
    "EXPOSE",
    "FROM",
    "HEALTHCHECK",
    "LABEL",
    "MAINTAINER",
    "ONBUILD",
    "RUN",
    "SHELL",
    "STOPSIGNAL",
    "USER",
    "VOLUME",
    "WORKDIR",
];

/// A command in one of its two forms.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// A JSON list: program and arguments.
    Exec(Vec<String>),
    /// A text for the shell.
    Shell(String),
}

/// `FROM`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct From {
    /// An image or another stage.
    pub base: Word,
    /// `AS`, as it is written.
    pub keyword: Option<Word>,
    /// The stage's name, as it is written.
    pub name: Option<Word>,
    /// `--platform`
    pub platform: Option<Word>,
}

/// What `ADD` and `COPY` have in common.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transfer {
    /// Paths, for `ADD` also addresses.
    pub sources: Vec<Word>,
    /// Files that are written below the instruction.
    pub files: Vec<Heredoc>,
    /// Where to.
    pub destination: Word,
    /// `--chown`
    pub chown: Option<Word>,
    /// `--chmod`
    pub chmod: Option<Word>,
    /// `--link`
    pub link: bool,
    /// `--exclude`
    pub exclude: Vec<Word>,
}

/// `COPY`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Copy {
    /// What and where to.
    pub transfer: Transfer,
    /// `--from`: a stage, an image or a named context.
    pub from: Option<Word>,
    /// `--parents`
    pub parents: bool,
}

/// `ADD`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Add {
    /// What and where to.
    pub transfer: Transfer,
    /// `--checksum`
    pub checksum: Option<Word>,
    /// `--keep-git-dir`
    pub keep_git_dir: Option<bool>,
    /// `--unpack`
    pub unpack: Option<bool>,
}

/// `RUN`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Run {
    /// What is run.
    pub command: Command,
    /// Texts that are written below the instruction.
    pub files: Vec<Heredoc>,
    /// `--mount`, each as it is written; [`crate::mount::Mount`] is what it means.
    pub mounts: Vec<Word>,
    /// `--network`
    pub network: Network,
    /// `--security`
    pub security: Security,
}

/// The network that a command has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Network {
    /// The build's.
    #[default]
    Default,
    /// None.
    None,
    /// The host's.
    Host,
}

/// What a command may do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Security {
    /// What a container may.
    #[default]
    Sandbox,
    /// Everything.
    Insecure,
}

/// A name and a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pair {
    /// The name.
    pub name: Word,
    /// The value.
    pub value: Word,
    /// Whether a blank separates them.
    pub is_legacy: bool,
}

/// A variable that the build can be given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Argument {
    /// The name.
    pub name: Word,
    /// The value for when none is given.
    pub value: Option<Word>,
}

/// What checks a container's health.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HealthCommand {
    /// Nothing does.
    None,
    /// A command.
    Run(Command),
}

/// How often it is checked. Times are in nanoseconds, 0 is the default.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HealthOptions {
    /// From one check to the next.
    pub interval: i64,
    /// After which a check has failed.
    pub timeout: i64,
    /// In which failures do not count.
    pub start_period: i64,
    /// From one check to the next in the start period.
    pub start_interval: i64,
    /// Failures in a row that make it unhealthy.
    pub retries: i64,
}
