//! Instructions of Dockerfiles. Pure: nothing is read, written or run.
//!
//! So far those that change an image's configuration and no files, for `commit --change` and `import --change`:
//! [`Instruction::parse_all`] reads them, [`Changes::apply`] applies one. Their texts are [`lines`] whose words are
//! taken apart by [`words`], with variables in them replaced by those of the image.

mod apply;
mod instruction;
pub mod lines;
pub mod words;

pub use apply::{Changes, apply_all};
pub use instruction::{Command, HealthCommand, HealthOptions, Instruction};

/// Why an instruction is none.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Not an instruction, or none that can be used here.
    #[error("{0} is not a valid change command")]
    NotAChange(String),
    /// It has nothing after its name.
    #[error("{0} requires at least one argument")]
    NoArgument(&'static str),
    /// It has not exactly one thing after its name.
    #[error("{0} requires exactly one argument")]
    NotOneArgument(&'static str),
    /// A name without a value.
    #[error("{0} must have two arguments")]
    NoValue(&'static str),
    /// A word in a list of assignments is none.
    #[error("Syntax error - can't find = in {0:?}. Must be of the form: name=value")]
    NoAssignment(String),
    /// A name that is empty.
    #[error("{0} names can not be blank")]
    BlankName(&'static str),
    /// A word that does not end.
    #[error("unexpected end of statement while looking for matching {0}")]
    Unterminated(&'static str),
    /// Something in `${…}` that means nothing.
    #[error("unsupported modifier ({0}) in substitution")]
    Modifier(String),
    /// `${…}` within `${…}`, too many times.
    #[error("too many substitutions within each other")]
    TooDeep,
    /// A variable that has to be set, with the message for when it is not.
    #[error("{name}: {message}")]
    Unset {
        /// The variable.
        name: String,
        /// What the instruction says of it.
        message: String,
    },
    /// A port that is none.
    #[error("invalid containerPort: {0}")]
    Port(String),
    /// A volume without a path.
    #[error("VOLUME specified can not be an empty string")]
    EmptyVolume,
    /// An instruction that cannot be a trigger.
    #[error("{0}")]
    Trigger(String),
    /// A health check that cannot be one.
    #[error("{0}")]
    Healthcheck(String),
}
