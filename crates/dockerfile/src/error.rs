//! Why a Dockerfile cannot be used. The texts are those of BuildKit, which people and tools match on.

use crate::quote::quoted;
use crate::source::{self, Lines, Span};

/// What is wrong, where, and what was probably meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error {
    /// What is wrong.
    pub problem: Problem,
    /// The lines of the instruction; none for what concerns no line.
    pub lines: Option<Lines>,
    /// The word within it.
    pub span: Option<Span>,
    /// The known word that is nearest to an unknown one.
    pub hint: Option<String>,
    /// Whether reading the instruction failed, not what it asks for.
    pub in_syntax: bool,
}

impl Error {
    /// A problem at no place.
    pub fn new(problem: Problem) -> Self {
        Self { problem, lines: None, span: None, hint: None, in_syntax: false }
    }

    /// At a word.
    pub(crate) fn at(mut self, span: Span) -> Self {
        self.span.get_or_insert(span);
        self
    }

    /// In these lines, unless it has some already.
    pub(crate) fn in_lines(mut self, lines: Lines) -> Self {
        self.lines.get_or_insert(lines);
        self
    }

    pub(crate) fn hint(mut self, hint: Option<String>) -> Self {
        self.hint = hint;
        self
    }

    /// The excerpt with the lines in question, and then the message.
    pub fn render(&self, file: &str, source: &str) -> String {
        let excerpt = self.lines.map(|lines| source::excerpt(file, source, lines, self.span));
        format!("{}{self}", excerpt.unwrap_or_default())
    }
}

impl From<Problem> for Error {
    fn from(problem: Problem) -> Self {
        Self::new(problem)
    }
}

impl std::error::Error for Error {}

impl std::fmt::Display for Error {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if let Some(lines) = self.lines.filter(|_| self.in_syntax) {
            write!(f, "dockerfile parse error on line {}: ", lines.first)?;
        }
        write!(f, "{}", self.problem)?;
        self.hint.as_ref().map_or(Ok(()), |hint| write!(f, " (did you mean {hint}?)"))
    }
}

/// What is wrong.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// There is no byte in it.
    #[error("the Dockerfile cannot be empty")]
    EmptyFile,
    /// Only comments and blank lines.
    #[error("file with no instructions")]
    NoInstructions,
    /// Only `ARG`.
    #[error("dockerfile contains no stages to build")]
    NoStages,
    /// A line is too long.
    #[error("dockerfile line greater than max allowed size of {0}")]
    LineTooLong(usize),
    /// A directive is there twice.
    #[error("only one {0} parser directive can be used")]
    RepeatedDirective(&'static str),
    /// An escape character that cannot be one.
    #[error("invalid escape token '{0}' does not match ` or \\")]
    EscapeToken(String),
    /// Options of `check` that are none.
    #[error("failed to parse check options: {0}")]
    CheckOptions(String),
    /// An instruction before the first `FROM`.
    #[error("no build stage in current context")]
    NoStage,
    /// Not an instruction.
    #[error("unknown instruction: {0}")]
    UnknownInstruction(String),
    /// Not an instruction that can be used for a change of a configuration.
    #[error("{0} is not a valid change command")]
    NotAChange(String),
    /// It has nothing after its name.
    #[error("{0} requires at least one argument")]
    NoArgument(&'static str),
    /// It has not exactly one thing after its name.
    #[error("{0} requires exactly one argument")]
    NotOneArgument(&'static str),
    /// Sources without a destination.
    #[error(
        "{0} requires at least two arguments, but only one was provided. Destination could not be determined"
    )]
    NoDestination(&'static str),
    /// A destination that is a heredoc.
    #[error("{0} cannot accept a heredoc as a destination")]
    HeredocDestination(&'static str),
    /// A heredoc without its last line.
    #[error("unterminated heredoc")]
    UnterminatedHeredoc,
    /// A heredoc with something else than a command for the shell.
    #[error("parsing produced an invalid run command: [{0}]")]
    HeredocCommand(String),
    /// A name without a value.
    #[error("{0} must have two arguments")]
    NoValue(&'static str),
    /// A word in a list of assignments is none.
    #[error("Syntax error - can't find = in {}. Must be of the form: name=value", quoted(.0))]
    NoAssignment(String),
    /// A name that is empty.
    #[error("{0} names can not be blank")]
    BlankName(&'static str),
    /// A list in JSON of something else than texts.
    #[error("when using JSON array syntax, arrays must be comprised of strings only")]
    NotStrings,
    /// No list in JSON where there has to be one.
    #[error("{0} requires the arguments to be in JSON form")]
    NotJson(&'static str),
    /// `FROM` with two or more than three words.
    #[error("FROM requires either one or three arguments")]
    FromArguments,
    /// A name that no stage can have.
    #[error("invalid name for build stage: {}, name can't start with a number or contain symbols", quoted(.0))]
    StageName(String),
    /// A flag that the instruction does not have.
    #[error("unknown flag: {0}")]
    UnknownFlag(String),
    /// A flag twice.
    #[error("duplicate flag specified: {0}")]
    RepeatedFlag(String),
    /// A flag without its value.
    #[error("missing a value on flag: {0}")]
    FlagWithoutValue(String),
    /// A flag that is neither true nor false.
    #[error("expecting boolean value for flag {flag}, not: {value}")]
    NotBoolean {
        /// The flag.
        flag: String,
        /// Its value.
        value: String,
    },
    /// An instruction that cannot be a trigger.
    #[error("{0} isn't allowed as an ONBUILD trigger")]
    Trigger(String),
    /// A trigger in a trigger.
    #[error("Chaining ONBUILD via `ONBUILD ONBUILD` isn't allowed")]
    ChainedTrigger,
    /// A trigger of an image that is more than one instruction.
    #[error("onbuild trigger should be a single expression")]
    TriggerNotSingle,
    /// A volume without a path.
    #[error("VOLUME specified can not be an empty string")]
    EmptyVolume,
    /// `HEALTHCHECK NONE` with more.
    #[error("HEALTHCHECK NONE takes no arguments")]
    HealthNone,
    /// `HEALTHCHECK CMD` with nothing.
    #[error("Missing command after HEALTHCHECK CMD")]
    HealthCommand,
    /// Neither of them.
    #[error("Unknown type {} in HEALTHCHECK (try CMD)", quoted(.0))]
    HealthType(String),
    /// A length of time that is none.
    #[error(transparent)]
    Duration(#[from] oci::duration::DurationError),
    /// A length of time that is too short.
    #[error("Interval {} cannot be less than 1ms", quoted(.0))]
    ShortInterval(&'static str),
    /// Not a number of retries.
    #[error("strconv.ParseInt: parsing {}: {reason}", quoted(.text))]
    Retries {
        /// What was given.
        text: String,
        /// Go's reason.
        reason: &'static str,
    },
    /// Retries below zero.
    #[error("--retries cannot be negative ({0})")]
    NegativeRetries(i64),
    /// A network that `RUN` does not know.
    #[error("invalid network mode {}", quoted(.0))]
    Network(String),
    /// A security mode that `RUN` does not know.
    #[error("security {} is not valid", quoted(.0))]
    Security(String),
    /// A mount that is none.
    #[error(transparent)]
    Mount(#[from] MountProblem),
    /// Variables or quotes that cannot be resolved, with the word.
    #[error("failed to process {}: {problem}", quoted(.word))]
    Word {
        /// The word.
        word: String,
        /// Why.
        problem: ExpandProblem,
    },
    /// Something that is not done here.
    #[error("{0} is not supported")]
    Unsupported(&'static str),
    /// More than any build needs.
    #[error("the Dockerfile has too many stages")]
    TooManyStages,
    /// Something is used before it can be, or cannot be at all.
    #[error(transparent)]
    Plan(#[from] PlanProblem),
}

/// Why a `--mount` is none.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MountProblem {
    /// Quotes that do not match.
    #[error("failed to parse csv mounts: {0}")]
    Csv(&'static str),
    /// A key that needs a value.
    #[error("invalid field '{0}' must be a key=value pair")]
    NoValue(String),
    /// A key that is unknown.
    #[error("unexpected key '{key}' in '{field}'")]
    UnknownKey {
        /// The key.
        key: String,
        /// All of the field.
        field: String,
    },
    /// A key that is not for this type.
    #[error("unexpected key '{key}' for mount type '{kind}'")]
    KeyOfOtherType {
        /// The key.
        key: String,
        /// The mount's type.
        kind: &'static str,
    },
    /// A value that is none for its key.
    #[error("invalid value for {key}: {value}")]
    Value {
        /// The key.
        key: String,
        /// Its value.
        value: String,
    },
    /// A number that is none.
    #[error("invalid value {value} for {key}")]
    Number {
        /// The key.
        key: &'static str,
        /// Its value.
        value: String,
    },
    /// Not a type.
    #[error("unsupported mount type {}", quoted(.0))]
    Type(String),
    /// Not a way of sharing.
    #[error("unsupported sharing value {}", quoted(.0))]
    Sharing(String),
    /// Sharing of something else than a cache.
    #[error("invalid cache sharing set for {0} mount")]
    SharingOfOtherType(&'static str),
    /// Owner or mode of something that has none.
    #[error("{key} not allowed for {} type mounts", quoted(.kind))]
    NotAllowed {
        /// The key.
        key: &'static str,
        /// The mount's type.
        kind: &'static str,
    },
    /// A variable in a name that has to be known before variables are.
    #[error("'{0}' doesn't support variable expansion, define alias stage instead")]
    VariableInFrom(String),
    /// A secret of a stage.
    #[error("secret mount should not have a from")]
    SecretFrom,
    /// A secret with a way of sharing.
    #[error("secret mount should not define sharing")]
    SecretSharing,
    /// A secret without a name.
    #[error("invalid secret mount. one of source, target required")]
    SecretWithoutName,
    /// A secret with two names.
    #[error("both source and id can't be set")]
    SecretSourceAndId,
    /// Sockets have no source.
    #[error("ssh does not support source")]
    SshSource,
    /// The root cannot be mounted on.
    #[error("invalid mount target {}", quoted(.0))]
    Target(String),
}

impl MountProblem {
    pub(crate) fn into_problem(self) -> Problem {
        Problem::Mount(self)
    }
}

/// Why variables in a text cannot be replaced.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ExpandProblem {
    /// A quote that does not end.
    #[error("unexpected end of statement while looking for matching {0}")]
    Unterminated(&'static str),
    /// `${` without its end.
    #[error("syntax error: missing '}}'")]
    NoBrace,
    /// `${x/pattern` without a replacement.
    #[error("syntax error: missing '/' in ${{}}")]
    NoSlash,
    /// `${` without a name.
    #[error("syntax error: bad substitution")]
    BadSubstitution,
    /// Something in `${…}` that means nothing.
    #[error("unsupported modifier ({0}) in substitution")]
    Modifier(String),
    /// A pattern that is none.
    #[error("invalid pattern ({pattern}) in substitution: invalid escape '\\{escaped}'")]
    Pattern {
        /// The pattern.
        pattern: String,
        /// The character that cannot be escaped.
        escaped: char,
    },
    /// A variable that has to be set, with the message for when it is not.
    #[error("{name}: {message}")]
    Unset {
        /// The variable.
        name: String,
        /// What the instruction says of it.
        message: String,
    },
    /// `${…}` within `${…}`, too many times.
    #[error("too many substitutions within each other")]
    TooDeep,
    /// More text than a build may have.
    #[error("variables expand to too much text")]
    TooLong,
    /// Patterns that take too long.
    #[error("patterns in substitutions take too long to match")]
    TooCostly,
}

/// What an instruction asks for and cannot have.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PlanProblem {
    /// No stage of the name that is to be built.
    #[error("target stage {} could not be found", quoted(.0))]
    NoTarget(String),
    /// `FROM` of nothing.
    #[error("base name ({0}) should not be blank")]
    BlankBase(String),
    /// A base that is no image's name.
    #[error("failed to parse stage name {}: {reason}", quoted(.name))]
    BaseName {
        /// What was given.
        name: String,
        /// Why not.
        reason: String,
    },
    /// An image that cannot be had.
    #[error("{name}: {reason}")]
    Image {
        /// Its name.
        name: String,
        /// Why not.
        reason: String,
    },
    /// A platform that is empty.
    #[error("empty platform value from expression {0}")]
    EmptyPlatform(String),
    /// A platform that is none.
    #[error("failed to parse platform {text}: {reason}")]
    Platform {
        /// What was given.
        text: String,
        /// Why not.
        reason: String,
    },
    /// A number that no stage has.
    #[error("invalid stage index {0}")]
    StageNumber(i64),
    /// A stage that needs itself.
    #[error("circular dependency detected on stage: {0}")]
    Circular(String),
    /// A stage that comes later.
    #[error("cannot copy from stage {}, it needs to be defined before current stage {}", quoted(.from), quoted(.stage))]
    CopyFromLater {
        /// The later one.
        from: String,
        /// The one that needs it.
        stage: String,
    },
    /// The same for a mount.
    #[error("cannot mount from stage {} to {}, stage needs to be defined before current command", quoted(.from), quoted(.target))]
    MountFromLater {
        /// The later one.
        from: String,
        /// Where it was to be.
        target: String,
    },
    /// A variable in `--from`.
    #[error(
        "variable expansion is not supported for --from, define a new stage with FROM using ARG from global scope as a workaround"
    )]
    VariableInFrom,
    /// A mode that is none.
    #[error("invalid chmod parameter: '{0}'. it should be octal string and between 0 and 07777")]
    Chmod(String),
    /// A mode by letters that is none.
    #[error("invalid mode: {0}")]
    SymbolicMode(String),
    /// A checksum of several things.
    #[error("checksum can't be specified for multiple sources")]
    ChecksumOfSeveral,
    /// A checksum of what comes from the context.
    #[error("checksum requires HTTP(S) or Git sources")]
    ChecksumOfLocal,
    /// A checksum that is none.
    #[error("{0}")]
    Checksum(String),
    /// `COPY` of an address.
    #[error("source can't be a URL for COPY")]
    CopyUrl,
    /// `COPY` of a repository.
    #[error("source can't be a git ref for COPY")]
    CopyGit,
    /// An address of a repository that cannot be used.
    #[error("{0}")]
    Git(String),
    /// The word of a heredoc that cannot be the name of a file.
    #[error("{} cannot be the name of a file", quoted(.0))]
    FileName(String),
    /// A port that is none.
    #[error("{0}")]
    Port(String),
    /// A signal that there is not.
    #[error("invalid signal: {0}")]
    Signal(String),
    /// A time that is none.
    #[error("invalid SOURCE_DATE_EPOCH: {0}")]
    Epoch(String),
    /// Warnings that are errors here.
    #[error("lint violation found for rules: {0}")]
    Lint(String),
}
