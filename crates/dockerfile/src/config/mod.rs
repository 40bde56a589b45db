//! Instructions that change an image's configuration and no files.
//!
//! [`apply_all`] is for `commit --change` and `import --change`; a build's plan uses the same changes, with its own
//! variables and with entries for the history.

mod ports;

pub(crate) use ports::Port;

use std::collections::BTreeMap;

use oci::{ContainerConfig, Healthcheck, duration};

use crate::error::{Error, PlanProblem, Problem};
use crate::expand::{Budget, Expansion, Lexer};
use crate::ignore::clean;
use crate::quote::quoted_list;
use crate::syntax::{Command, HealthCommand, HealthOptions, Instruction, Kind, Pair, Word, instructions};

/// The shell of commands in their shell form, where the configuration names none.
const SHELL: [&str; 2] = ["/bin/sh", "-c"];

/// Ports that one instruction can have.
const MAX_PORTS: usize = 1 << 20;

/// Applies all instructions of a text.
///
/// # Errors
/// The first one that is malformed, that cannot be used for this, or that has a value that cannot be. What came before it
/// is applied.
pub fn apply_all(config: &mut ContainerConfig, text: &str) -> Result<(), Error> {
    let instructions = instructions(text).map_err(as_change)?;
    let (mut has_command, budget) = (false, Budget::default());
    for instruction in instructions {
        apply(config, &instruction, &mut has_command, &budget)?;
    }
    Ok(())
}

/// Errors of a change have no line: it is one.
fn as_change(error: Error) -> Error {
    let problem = match error.problem {
        Problem::UnknownInstruction(name) => Problem::NotAChange(name),
        other => other,
    };
    Error { in_syntax: false, problem, hint: None, ..error }
}

fn apply(
    config: &mut ContainerConfig,
    instruction: &Instruction,
    has_command: &mut bool,
    budget: &Budget,
) -> Result<(), Error> {
    let is_change = !matches!(
        instruction.kind,
        Kind::Add(_)
            | Kind::Arg(_)
            | Kind::Copy(_)
            | Kind::From(_)
            | Kind::Maintainer(_)
            | Kind::Run(_)
            | Kind::Shell(_)
    );
    if !is_change {
        return Err(Problem::NotAChange(instruction.keyword.text.clone()).into());
    }
    let env = config.env.clone();
    let variables: BTreeMap<&str, &str> =
        env.iter().filter_map(|variable| variable.split_once('=')).collect();
    let mut expander = |word: &Word| {
        Lexer::new('\\')
            .expand(&word.text, &|name| variables.get(name).copied(), budget)
            .map_err(|problem| Error::new(Problem::Word { word: word.text.clone(), problem }).at(word.span))
    };
    change(config, &instruction.kind, has_command, &mut expander).map(drop)
}

/// Replaces the variables of a word.
pub(crate) type Expander<'a> = dyn FnMut(&Word) -> Result<Expansion, Error> + 'a;

/// Changes a configuration. What comes back is the entry for the history; none for `ONBUILD`, and for what is no change.
///
/// `ENTRYPOINT` drops a command that is not of the same stage: it was meant for another program.
pub(crate) fn change(
    config: &mut ContainerConfig,
    kind: &Kind,
    has_command: &mut bool,
    expand: &mut Expander<'_>,
) -> Result<Option<String>, Error> {
    Ok(Some(match kind {
        Kind::Cmd(command) => {
            *has_command = true;
            let words = config.cmd.insert(arguments(config.shell.as_deref(), command));
            format!("CMD {}", quoted_list(words))
        }
        Kind::Entrypoint(command) => {
            let words = arguments(config.shell.as_deref(), command);
            let entry = format!("ENTRYPOINT {}", quoted_list(&words));
            config.entrypoint = Some(words).filter(|words| !words.is_empty());
            config.cmd = config.cmd.take().filter(|_| *has_command);
            entry
        }
        Kind::Env(pairs) => env(config, &expand_pairs(pairs, expand)?),
        Kind::Expose(words) => expose(config, words, expand)?,
        Kind::Healthcheck(command, options) => health(config, command, options),
        Kind::Label(pairs) => label(config, expand_pairs(pairs, expand)?),
        Kind::Shell(words) => {
            config.shell = Some(words.clone());
            format!("SHELL [{}]", words.join(" "))
        }
        Kind::StopSignal(word) => stop_signal(config, word, expand)?,
        Kind::User(word) => {
            config.user = expand(word)?.text;
            format!("USER {}", config.user)
        }
        Kind::Volume(words) => volume(config, words, expand)?,
        Kind::Workdir(word) => {
            config.working_dir = join(&config.working_dir, &expand(word)?.text);
            format!("WORKDIR {}", config.working_dir)
        }
        Kind::OnBuild(trigger) => {
            config.on_build.push(trigger.clone());
            return Ok(None);
        }
        Kind::Add(_) | Kind::Arg(_) | Kind::Copy(_) | Kind::From(_) | Kind::Maintainer(_) | Kind::Run(_) => {
            return Ok(None);
        }
    }))
}

/// What is run: for a text, the shell with it.
pub(crate) fn arguments(shell: Option<&[String]>, command: &Command) -> Vec<String> {
    match command {
        Command::Exec(words) => words.clone(),
        Command::Shell(text) => {
            let default = || SHELL.map(str::to_owned).to_vec();
            let mut words = shell.filter(|shell| !shell.is_empty()).map_or_else(default, <[String]>::to_vec);
            words.push(text.clone());
            words
        }
    }
}

/// All of them with the variables from before the first one.
pub(crate) fn expand_pairs(
    pairs: &[Pair],
    expand: &mut Expander<'_>,
) -> Result<Vec<(String, String)>, Error> {
    pairs.iter().map(|pair| Ok((expand(&pair.name)?.text, expand(&pair.value)?.text))).collect()
}

fn env(config: &mut ContainerConfig, pairs: &[(String, String)]) -> String {
    let mut entry = "ENV".to_owned();
    for (name, value) in pairs {
        set_env(&mut config.env, name, value);
        entry.extend([" ", name, "=", value]);
    }
    entry
}

/// Sets a variable where it is, or at the end.
fn set_env(env: &mut Vec<String>, name: &str, value: &str) {
    let variable = format!("{name}={value}");
    match env.iter_mut().find(|other| other.split('=').next() == Some(name)) {
        Some(other) => *other = variable,
        None => env.push(variable),
    }
}

fn label(config: &mut ContainerConfig, pairs: Vec<(String, String)>) -> String {
    let mut entry = "LABEL".to_owned();
    for (name, value) in pairs {
        entry.extend([" ", &name, "=", &value]);
        config.labels.insert(name, value);
    }
    entry
}

fn expose(config: &mut ContainerConfig, words: &[Word], expand: &mut Expander<'_>) -> Result<String, Error> {
    let mut ports = Vec::new();
    for word in words {
        // A variable can have several.
        for text in expand(word)?.words {
            let port = Port::parse(&text)
                .map_err(|text| Error::new(PlanProblem::Port(text).into()).at(word.span))?;
            ports.extend(port.all());
            // Each one is there once; more come of a range that is repeated.
            if ports.len() > MAX_PORTS {
                return Err(Error::new(PlanProblem::Port("too many ports".to_owned()).into()).at(word.span));
            }
        }
    }
    let entry = format!("EXPOSE [{}]", ports.join(" "));
    config.exposed_ports.0.extend(ports);
    Ok(entry)
}

fn volume(config: &mut ContainerConfig, words: &[Word], expand: &mut Expander<'_>) -> Result<String, Error> {
    let mut paths = Vec::new();
    for word in words {
        let path = expand(word)?.text;
        if path.trim().is_empty() {
            return Err(Error::new(Problem::EmptyVolume).at(word.span));
        }
        paths.push(path);
    }
    let entry = format!("VOLUME [{}]", paths.join(" "));
    config.volumes.0.extend(paths);
    Ok(entry)
}

fn stop_signal(
    config: &mut ContainerConfig,
    word: &Word,
    expand: &mut Expander<'_>,
) -> Result<String, Error> {
    let signal = expand(word)?.text;
    if oci::signal::parse(&signal).is_none() {
        return Err(Error::new(PlanProblem::Signal(signal).into()).at(word.span));
    }
    config.stop_signal = signal;
    Ok(format!("STOPSIGNAL {}", config.stop_signal))
}

fn health(config: &mut ContainerConfig, command: &HealthCommand, options: &HealthOptions) -> String {
    let test = match command {
        HealthCommand::None => vec!["NONE".to_owned()],
        HealthCommand::Run(Command::Exec(words)) => [vec!["CMD".to_owned()], words.clone()].concat(),
        HealthCommand::Run(Command::Shell(text)) => vec!["CMD-SHELL".to_owned(), text.clone()],
    };
    let HealthOptions { interval, timeout, start_period, start_interval, retries } = *options;
    let entry = format!(
        "HEALTHCHECK {{Test:[{}] Interval:{} Timeout:{} StartPeriod:{} StartInterval:{} Retries:{retries}}}",
        test.join(" "),
        duration::format(interval),
        duration::format(timeout),
        duration::format(start_period),
        duration::format(start_interval),
    );
    let test = Some(test);
    config.healthcheck = Some(Healthcheck { test, interval, timeout, start_period, start_interval, retries });
    entry
}

/// A path from a folder, absolute and without `.`, `..` and empty parts.
pub(crate) fn join(folder: &str, path: &str) -> String {
    if path.starts_with('/') { clean(path) } else { clean(&format!("/{folder}/{path}")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn base() -> ContainerConfig {
        ContainerConfig {
            env: vec!["PATH=/bin".into(), "A=1".into()],
            cmd: Some(vec!["old".into()]),
            working_dir: "/w".into(),
            ..ContainerConfig::default()
        }
    }

    fn changed(text: &str) -> ContainerConfig {
        let mut config = base();
        apply_all(&mut config, text).unwrap();
        config
    }

    fn refused(text: &str) -> String {
        apply_all(&mut base(), text).unwrap_err().to_string()
    }

    #[test]
    fn entry_point_drops_the_command_unless_it_was_set_before() {
        let words = |words: &[&str]| Some(words.iter().map(|&word| word.to_owned()).collect::<Vec<_>>());
        let config = changed(r#"ENTRYPOINT ["/e"]"#);
        assert_eq!((config.entrypoint, config.cmd), (words(&["/e"]), None));
        let config = changed("CMD [\"a\"]\nENTRYPOINT e x");
        assert_eq!((config.entrypoint, config.cmd), (words(&["/bin/sh", "-c", "e x"]), words(&["a"])));
        let config = changed("CMD []\nENTRYPOINT []");
        assert_eq!((config.entrypoint, config.cmd), (None, words(&[])));
        assert_eq!(changed("CMD").cmd, words(&["/bin/sh", "-c", ""]));
    }

    #[test]
    fn variables_are_replaced_and_expanded_with_those_before() {
        let config = changed("ENV A=2 B=$A PATH=\"$PATH:/x\"\nLABEL n=${B}$C");
        assert_eq!(config.env, ["PATH=/bin:/x", "A=2", "B=1"]);
        assert_eq!(config.labels["n"], "1");
    }

    #[test]
    fn the_rest_is_taken_over() {
        let text = "WORKDIR a/../b\nUSER u:g\nVOLUME [\"/v w\"]\nVOLUME /x /y\nSTOPSIGNAL SIGINT\nONBUILD RUN x\n\
                    HEALTHCHECK --retries=3 CMD [\"t\"]\nEXPOSE 80 53/UDP 8000-8002";
        let config = changed(text);
        assert_eq!((config.working_dir.as_str(), config.user.as_str()), ("/w/b", "u:g"));
        assert_eq!(config.volumes.iter().collect::<Vec<_>>(), ["/v w", "/x", "/y"]);
        let (signal, triggers) = (config.stop_signal.as_str(), config.on_build.join(";"));
        assert_eq!((signal, triggers.as_str()), ("SIGINT", "RUN x"));
        let check = config.healthcheck.unwrap();
        assert_eq!((check.test.unwrap(), check.retries), (vec!["CMD".to_owned(), "t".to_owned()], 3));
        let ports: Vec<_> = config.exposed_ports.iter().collect();
        assert_eq!(ports, ["53/udp", "80/tcp", "8000/tcp", "8001/tcp", "8002/tcp"]);
    }

    #[test]
    fn changes_that_cannot_be_are_refused() {
        for (text, expected) in [
            ("RUN true", "RUN is not a valid change command"),
            ("COPY a b", "COPY is not a valid change command"),
            ("from x", "from is not a valid change command"),
            ("nonsense", "nonsense is not a valid change command"),
            ("ENV a", "ENV must have two arguments"),
            ("VOLUME [\" \"]", "VOLUME specified can not be an empty string"),
            ("VOLUME $nothing", "VOLUME specified can not be an empty string"),
            ("EXPOSE x", "invalid containerPort: x"),
            ("STOPSIGNAL NOPE", "invalid signal: NOPE"),
            ("ENV a=${A", "failed to process \"${A\": syntax error: missing '}'"),
            ("LABEL =x", "LABEL names can not be blank"),
        ] {
            assert_eq!(refused(text), expected, "{text}");
        }
    }

    #[test]
    fn all_instructions_of_a_text_share_one_budget() {
        // Ten megabytes each, which count as they are read and as they are written.
        let one = format!("ENV a={}\nENV b={}\n", "x".repeat(1 << 15), "$a".repeat(320));
        assert!(apply_all(&mut base(), &one).is_ok());
        let both = format!("{one}ENV c={}\n", "$a".repeat(320));
        let refused = apply_all(&mut base(), &both).unwrap_err().to_string();
        assert!(refused.contains("variables expand to too much text"), "{refused}");
    }
}
