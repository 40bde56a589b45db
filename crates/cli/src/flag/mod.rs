//! Command-line flags by the rules of Go's pflag, which `docker` users and scripts rely on.
//!
//! A command's flags are a constant table that binds each flag to a field of its options struct. Building the
//! table costs nothing at start-up; help, completion and man pages are made from the same table.

mod help;
mod parse;
mod value;

pub(crate) use help::{Info, describe, usages};
pub(crate) use parse::{Arguments, FlagError, parse};
pub(crate) use value::{Changed, Element, InvalidValue, List, Mapping, Strings, Value};

/// The options of one command: a struct whose fields are bound to flags.
pub(crate) trait Options: Default + 'static {
    /// The flags, in any order.
    const FLAGS: &'static [Flag<Self>];
    /// Whether flags may follow the first argument. Commands that run a program say no.
    const INTERSPERSED: bool = true;
}

/// The options of a command that has none.
#[derive(Default)]
pub(crate) struct NoOptions;

impl Options for NoOptions {
    const FLAGS: &'static [Flag<Self>] = &[];
}

/// One flag of the options struct `O`.
pub(crate) struct Flag<O> {
    pub(crate) long: &'static str,
    pub(crate) short: Option<char>,
    pub(crate) usage: &'static str,
    pub(crate) hidden: bool,
    pub(crate) slot: for<'a> fn(&'a mut O) -> &'a mut dyn Value,
}

impl<O> Flag<O> {
    /// A flag with a long name only, stored in the field that `slot` names.
    pub(crate) const fn new(
        long: &'static str,
        usage: &'static str,
        slot: for<'a> fn(&'a mut O) -> &'a mut dyn Value,
    ) -> Self {
        Self { long, short: None, usage, hidden: false, slot }
    }

    /// A flag that also has a one-letter name.
    pub(crate) const fn lettered(
        short: char,
        long: &'static str,
        usage: &'static str,
        slot: for<'a> fn(&'a mut O) -> &'a mut dyn Value,
    ) -> Self {
        Self { long, short: Some(short), usage, hidden: false, slot }
    }

    /// A flag that the help does not show: an alias kept for scripts, or one that has no effect here.
    pub(crate) const fn hidden(long: &'static str, slot: for<'a> fn(&'a mut O) -> &'a mut dyn Value) -> Self {
        Self { long, short: None, usage: "", hidden: true, slot }
    }
}
