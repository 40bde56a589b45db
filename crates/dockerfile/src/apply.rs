//! Instructions applied to a configuration.

use std::collections::BTreeMap;

use oci::{ContainerConfig, Healthcheck};

use crate::instruction::{Command, HealthCommand, HealthOptions, Instruction};
use crate::{Error, words};

/// The shell of commands in their shell form, where the configuration names none.
const SHELL: [&str; 2] = ["/bin/sh", "-c"];
/// Ports that a single range may have: all there are.
const MAX_PORT: u32 = 65_535;

/// A configuration that is being changed.
#[derive(Debug)]
pub struct Changes<'a> {
    config: &'a mut ContainerConfig,
    /// Whether the command is one of these instructions'.
    has_command: bool,
}

/// Applies all instructions of a text.
///
/// # Errors
/// The first one that is malformed, or that has a value that cannot be. What came before it is applied.
pub fn apply_all(config: &mut ContainerConfig, text: &str) -> Result<(), Error> {
    let instructions = Instruction::parse_all(text)?;
    let mut changes = Changes::new(config);
    instructions.into_iter().try_for_each(|instruction| changes.apply(instruction))
}

impl<'a> Changes<'a> {
    /// Begins with `config`.
    pub fn new(config: &'a mut ContainerConfig) -> Self {
        Self { config, has_command: false }
    }

    /// Applies one instruction.
    ///
    /// # Errors
    /// A value that cannot be.
    pub fn apply(&mut self, instruction: Instruction) -> Result<(), Error> {
        match instruction {
            Instruction::Cmd(command) => {
                self.config.cmd = Some(self.command(command));
                self.has_command = true;
            }
            Instruction::Entrypoint(command) => {
                self.config.entrypoint = Some(self.command(command));
                // The image's command was meant for another program.
                if !self.has_command {
                    self.config.cmd = None;
                }
            }
            Instruction::Env(pairs) => self.env(pairs)?,
            Instruction::Expose(ports) => self.expose(&ports)?,
            Instruction::Healthcheck(check, options) => {
                self.config.healthcheck = Some(self.healthcheck(check, options));
            }
            Instruction::Label(pairs) => {
                let pairs = self.expand_pairs(pairs)?;
                self.config.labels.extend(pairs);
            }
            Instruction::OnBuild(trigger) => self.config.on_build.push(trigger),
            Instruction::StopSignal(signal) => self.config.stop_signal = self.expand(&signal)?,
            Instruction::User(user) => self.config.user = self.expand(&user)?,
            Instruction::Volume(paths) => self.volume(&paths)?,
            Instruction::Workdir(path) => {
                let path = self.expand(&path)?;
                self.config.working_dir = join(&self.config.working_dir, &path);
            }
        }
        Ok(())
    }

    fn command(&self, command: Command) -> Vec<String> {
        match command {
            Command::Exec(words) => words,
            Command::Shell(text) => {
                let default = || SHELL.map(str::to_owned).to_vec();
                let mut words = self.config.shell.clone().unwrap_or_else(default);
                words.push(text);
                words
            }
        }
    }

    fn expand(&self, word: &str) -> Result<String, Error> {
        let variables: BTreeMap<&str, &str> =
            self.config.env.iter().filter_map(|variable| variable.split_once('=')).collect();
        words::expand(word, &|name| variables.get(name).copied())
    }

    /// All of them with the variables from before the first one.
    fn expand_pairs(&self, pairs: Vec<(String, String)>) -> Result<Vec<(String, String)>, Error> {
        pairs.iter().map(|(name, value)| Ok((self.expand(name)?, self.expand(value)?))).collect()
    }

    fn env(&mut self, pairs: Vec<(String, String)>) -> Result<(), Error> {
        for (name, value) in self.expand_pairs(pairs)? {
            let variable = format!("{name}={value}");
            let is_same = |other: &&mut String| other.split('=').next() == Some(name.as_str());
            match self.config.env.iter_mut().find(is_same) {
                Some(other) => *other = variable,
                None => self.config.env.push(variable),
            }
        }
        Ok(())
    }

    fn expose(&mut self, ports: &[String]) -> Result<(), Error> {
        for port in ports {
            // A variable can have several.
            for port in words::split(&self.expand(port)?) {
                self.config.exposed_ports.0.extend(port_range(&port)?);
            }
        }
        Ok(())
    }

    fn volume(&mut self, paths: &[String]) -> Result<(), Error> {
        for path in paths {
            let path = self.expand(path)?.trim().to_owned();
            if path.is_empty() {
                return Err(Error::EmptyVolume);
            }
            self.config.volumes.0.insert(path);
        }
        Ok(())
    }

    fn healthcheck(&self, check: HealthCommand, options: HealthOptions) -> Healthcheck {
        let test = match check {
            HealthCommand::None => vec!["NONE".to_owned()],
            HealthCommand::Run(Command::Exec(words)) => [vec!["CMD".to_owned()], words].concat(),
            HealthCommand::Run(Command::Shell(text)) => vec!["CMD-SHELL".to_owned(), text],
        };
        let HealthOptions { interval, timeout, start_period, start_interval, retries } = options;
        Healthcheck { test: Some(test), interval, timeout, start_period, start_interval, retries }
    }
}

/// `80`, `80/udp`, `8000-8010/tcp`.
fn port_range(text: &str) -> Result<Vec<String>, Error> {
    let bad = || Error::Port(text.to_owned());
    let (numbers, protocol) = text.split_once('/').unwrap_or((text, "tcp"));
    let protocol = protocol.to_ascii_lowercase();
    if !["tcp", "udp", "sctp"].contains(&protocol.as_str()) {
        return Err(bad());
    }
    let (first, last) = numbers.split_once('-').unwrap_or((numbers, numbers));
    let number = |text: &str| text.parse::<u32>().ok().filter(|port| *port <= MAX_PORT).ok_or_else(bad);
    let (first, last) = (number(first)?, number(last)?);
    if first > last {
        return Err(bad());
    }
    Ok((first..=last).map(|port| format!("{port}/{protocol}")).collect())
}

/// A path from a folder, without `.`, `..` and empty parts.
fn join(folder: &str, path: &str) -> String {
    let whole = if path.starts_with('/') { path.to_owned() } else { format!("{folder}/{path}") };
    let mut parts: Vec<&str> = Vec::new();
    for part in whole.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()),
            other => parts.push(other),
        }
    }
    format!("/{}", parts.join("/"))
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

    #[test]
    fn entry_point_drops_the_command_unless_it_was_set_before() {
        let words = |words: &[&str]| Some(words.iter().map(|&word| word.to_owned()).collect::<Vec<_>>());
        let config = changed(r#"ENTRYPOINT ["/e"]"#);
        assert_eq!((config.entrypoint, config.cmd), (words(&["/e"]), None));
        let config = changed("CMD [\"a\"]\nENTRYPOINT e x");
        assert_eq!((config.entrypoint, config.cmd), (words(&["/bin/sh", "-c", "e x"]), words(&["a"])));
    }

    #[test]
    fn variables_are_replaced_and_expanded_with_those_before() {
        let config = changed("ENV A=2 B=$A PATH=\"$PATH:/x\"\nLABEL n=${B}$C");
        assert_eq!(config.env, ["PATH=/bin:/x", "A=2", "B=1"]);
        assert_eq!(config.labels["n"], "1");
    }

    #[test]
    fn ports_have_protocols_and_ranges() {
        let config = changed("EXPOSE 80 53/UDP 8000-8002");
        let ports: Vec<_> = config.exposed_ports.iter().collect();
        assert_eq!(ports, ["53/udp", "80/tcp", "8000/tcp", "8001/tcp", "8002/tcp"]);
        for port in ["x", "70000", "9-8", "80/x"] {
            assert_eq!(
                apply_all(&mut base(), &format!("EXPOSE {port}")),
                Err(Error::Port(port.to_owned())),
                "{port}"
            );
        }
    }

    #[test]
    fn the_rest_is_taken_over() {
        let text = "WORKDIR a/../b\nUSER u:g\nVOLUME [\"/v w\"]\nVOLUME /x /y\nSTOPSIGNAL SIGINT\nONBUILD RUN x\n\
                    HEALTHCHECK --retries=3 CMD [\"t\"]";
        let config = changed(text);
        assert_eq!((config.working_dir.as_str(), config.user.as_str()), ("/w/b", "u:g"));
        assert_eq!(config.volumes.iter().collect::<Vec<_>>(), ["/v w", "/x", "/y"]);
        assert_eq!(
            (config.stop_signal.as_str(), &config.on_build[..]),
            ("SIGINT", &["RUN x".to_owned()][..])
        );
        let check = config.healthcheck.unwrap();
        assert_eq!((check.test.unwrap(), check.retries), (vec!["CMD".to_owned(), "t".to_owned()], 3));
        assert_eq!(apply_all(&mut base(), "VOLUME [\" \"]"), Err(Error::EmptyVolume));
    }
}
