//! Instructions that change a configuration, as they are written.

use crate::{Error, lines, words};

/// A command in one of its two forms.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// A JSON list: program and arguments.
    Exec(Vec<String>),
    /// A text for the shell.
    Shell(String),
}

/// An instruction; variables in it are not replaced yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Instruction {
    /// `CMD`
    Cmd(Command),
    /// `ENTRYPOINT`
    Entrypoint(Command),
    /// `ENV`: names and values.
    Env(Vec<(String, String)>),
    /// `EXPOSE`: ports, ranges of them, with or without protocol.
    Expose(Vec<String>),
    /// `HEALTHCHECK`
    Healthcheck(HealthCommand, HealthOptions),
    /// `LABEL`: names and values.
    Label(Vec<(String, String)>),
    /// `ONBUILD`: an instruction.
    OnBuild(String),
    /// `STOPSIGNAL`
    StopSignal(String),
    /// `USER`
    User(String),
    /// `VOLUME`: paths.
    Volume(Vec<String>),
    /// `WORKDIR`
    Workdir(String),
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

impl Instruction {
    /// Reads all instructions of a text.
    ///
    /// # Errors
    /// One that is none, cannot be used for a change, or is malformed.
    pub fn parse_all(text: &str) -> Result<Vec<Self>, Error> {
        lines::logical(text).iter().map(|line| Self::parse(line)).collect()
    }

    /// Reads one logical line.
    ///
    /// # Errors
    /// As [`Instruction::parse_all`].
    pub fn parse(line: &str) -> Result<Self, Error> {
        let (name, rest) = lines::split(line);
        Ok(match name.as_str() {
            "CMD" => Self::Cmd(command("CMD", rest)?),
            "ENTRYPOINT" => Self::Entrypoint(command("ENTRYPOINT", rest)?),
            "ENV" => Self::Env(assignments("ENV", rest)?),
            "EXPOSE" => Self::Expose(at_least_one("EXPOSE", words::split(rest))?),
            "HEALTHCHECK" => health(rest)?,
            "LABEL" => Self::Label(assignments("LABEL", rest)?),
            "ONBUILD" => Self::OnBuild(trigger(rest)?),
            "STOPSIGNAL" => Self::StopSignal(one("STOPSIGNAL", rest)?),
            "USER" => Self::User(one("USER", rest)?),
            "VOLUME" => {
                let paths = json_list(rest).unwrap_or_else(|| words::split(rest));
                Self::Volume(at_least_one("VOLUME", paths)?)
            }
            "WORKDIR" => Self::Workdir(one("WORKDIR", rest)?),
            _ => {
                return Err(Error::NotAChange(line.split_whitespace().next().unwrap_or_default().to_owned()));
            }
        })
    }
}

/// A list of texts in JSON; anything else is none.
fn json_list(text: &str) -> Option<Vec<String>> {
    text.starts_with('[').then(|| serde_json::from_str(text).ok()).flatten()
}

fn command(name: &'static str, rest: &str) -> Result<Command, Error> {
    match json_list(rest) {
        Some(words) => Ok(Command::Exec(words)),
        None if rest.is_empty() => Err(Error::NoArgument(name)),
        None => Ok(Command::Shell(rest.to_owned())),
    }
}

fn at_least_one(name: &'static str, words: Vec<String>) -> Result<Vec<String>, Error> {
    if words.is_empty() { Err(Error::NoArgument(name)) } else { Ok(words) }
}

/// All that follows, blanks included, is one argument.
fn one(name: &'static str, rest: &str) -> Result<String, Error> {
    if rest.is_empty() { Err(Error::NotOneArgument(name)) } else { Ok(rest.to_owned()) }
}

/// `name=value …`, or the old form `name value with blanks`.
fn assignments(name: &'static str, rest: &str) -> Result<Vec<(String, String)>, Error> {
    let words = at_least_one(name, words::split(rest))?;
    if !words[0].contains('=') {
        let (key, value) = rest.split_once(char::is_whitespace).ok_or(Error::NoValue(name))?;
        return Ok(vec![(key.to_owned(), value.trim_start().to_owned())]);
    }
    let pair = |word: String| {
        let (key, value) = word.split_once('=').ok_or_else(|| Error::NoAssignment(word.clone()))?;
        if key.is_empty() {
            return Err(Error::BlankName(name));
        }
        Ok((key.to_owned(), value.to_owned()))
    };
    words.into_iter().map(pair).collect()
}

fn trigger(rest: &str) -> Result<String, Error> {
    let (name, _) = lines::split(rest);
    match name.as_str() {
        "" => Err(Error::NoArgument("ONBUILD")),
        "ONBUILD" => Err(Error::Trigger("Chaining ONBUILD via `ONBUILD ONBUILD` isn't allowed".to_owned())),
        "MAINTAINER" | "FROM" => Err(Error::Trigger(format!("{name} isn't allowed as an ONBUILD trigger"))),
        _ => Ok(rest.to_owned()),
    }
}

fn health(rest: &str) -> Result<Instruction, Error> {
    let bad = |text: String| Error::Healthcheck(text);
    let mut options = HealthOptions::default();
    let mut rest = rest;
    while let Some(option) = rest.strip_prefix("--") {
        let end = option.find(char::is_whitespace).unwrap_or(option.len());
        let (name, value) = option[..end]
            .split_once('=')
            .ok_or_else(|| bad(format!("Missing a value on flag: {}", &option[..end])))?;
        set_option(&mut options, name, value)?;
        rest = option[end..].trim_start();
    }
    let (kind, command_text) = lines::split(rest);
    let check = match kind.as_str() {
        "" => return Err(Error::NoArgument("HEALTHCHECK")),
        "NONE" if command_text.is_empty() => HealthCommand::None,
        "NONE" => return Err(bad("HEALTHCHECK NONE takes no arguments".to_owned())),
        "CMD" => {
            let command = command("HEALTHCHECK CMD", command_text)
                .map_err(|_| bad("Missing command after HEALTHCHECK CMD".to_owned()))?;
            if command == Command::Exec(Vec::new()) {
                return Err(bad("Missing command after HEALTHCHECK CMD".to_owned()));
            }
            HealthCommand::Run(command)
        }
        other => return Err(bad(format!("Unknown type {other:?} in HEALTHCHECK (try CMD)"))),
    };
    Ok(Instruction::Healthcheck(check, options))
}

fn set_option(options: &mut HealthOptions, name: &str, value: &str) -> Result<(), Error> {
    let bad = |text: String| Error::Healthcheck(text);
    if name == "retries" {
        let retries = value.parse().map_err(|_| bad(format!("invalid value for --retries: {value:?}")))?;
        if retries < 0 {
            return Err(bad(format!("--retries cannot be negative ({retries})")));
        }
        options.retries = retries;
        return Ok(());
    }
    let field = match name {
        "interval" => &mut options.interval,
        "timeout" => &mut options.timeout,
        "start-period" => &mut options.start_period,
        "start-interval" => &mut options.start_interval,
        _ => return Err(bad(format!("unknown flag: {name}"))),
    };
    *field = match oci::duration::parse(value) {
        Err(error) => return Err(bad(error.to_string())),
        Ok(time) if time != 0 && time < 1_000_000 => {
            return Err(bad(format!("Interval \"--{name}\" cannot be less than 1ms")));
        }
        Ok(time) => time,
    };
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn text(line: &str) -> String {
        Instruction::parse(line).unwrap_err().to_string()
    }

    fn pairs(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn commands_have_two_forms() {
        let exec = Command::Exec(vec!["a".into(), "b c".into()]);
        assert_eq!(Instruction::parse(r#"cmd ["a", "b c"]"#), Ok(Instruction::Cmd(exec)));
        let shell = Command::Shell(r#"["a", b]"#.into());
        assert_eq!(Instruction::parse(r#"ENTRYPOINT ["a", b]"#), Ok(Instruction::Entrypoint(shell)));
        assert_eq!(text("CMD"), "CMD requires at least one argument");
    }

    #[test]
    fn assignments_have_two_forms() {
        assert_eq!(
            Instruction::parse(r#"ENV a=1 b="2 3""#),
            Ok(Instruction::Env(pairs(&[("a", "1"), ("b", "\"2 3\"")])))
        );
        assert_eq!(Instruction::parse("LABEL a b c"), Ok(Instruction::Label(pairs(&[("a", "b c")]))));
        assert_eq!(text("ENV a"), "ENV must have two arguments");
        assert_eq!(
            text("ENV a=1 b"),
            "Syntax error - can't find = in \"b\". Must be of the form: name=value"
        );
        assert_eq!(text("LABEL =x"), "LABEL names can not be blank");
    }

    #[test]
    fn health_check_has_options_before_its_command() {
        let line = "HEALTHCHECK --interval=5s --retries=2 CMD curl -f x";
        let options = HealthOptions { interval: 5_000_000_000, retries: 2, ..HealthOptions::default() };
        let command = HealthCommand::Run(Command::Shell("curl -f x".into()));
        assert_eq!(Instruction::parse(line), Ok(Instruction::Healthcheck(command, options)));
        assert_eq!(
            Instruction::parse("HEALTHCHECK none"),
            Ok(Instruction::Healthcheck(HealthCommand::None, HealthOptions::default()))
        );
        assert!(text("HEALTHCHECK RUN x").contains("Unknown type"));
        assert!(text("HEALTHCHECK --interval=x CMD y").contains("invalid duration"));
        assert!(text("HEALTHCHECK --often=1s CMD y").contains("unknown flag: often"));
    }

    #[test]
    fn what_makes_files_is_no_change() {
        for line in ["RUN true", "COPY a b", "FROM x", "nonsense"] {
            assert!(text(line).ends_with("is not a valid change command"), "{line}");
        }
        assert!(text("ONBUILD FROM x").contains("isn't allowed as an ONBUILD trigger"));
        assert!(text("ONBUILD ONBUILD RUN x").contains("Chaining ONBUILD"));
    }

    proptest! {
        #[test]
        fn any_line_is_read_without_panic(
            name in "CMD|ENV|LABEL|EXPOSE|HEALTHCHECK|ONBUILD|VOLUME|WORKDIR",
            rest in "\\PC{0,60}",
        ) {
            let _ = Instruction::parse_all(&format!("{name} {rest}"));
        }
    }
}
