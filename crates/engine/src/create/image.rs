//! What a request leaves open is taken from the image.

use std::collections::HashSet;

use api::container::{Config, Healthcheck, StrSlice};
use oci::ImageConfig;

use crate::error::Error;

/// Completes `config` from the image.
///
/// # Errors
///
/// [`Error::InvalidParameter`] for a variable without a name.
pub(super) fn complete(config: &mut Config, image: &ImageConfig) -> Result<(), Error> {
    let defaults = image.config.clone().unwrap_or_default();
    command(config, &defaults);
    let asked = config.env.take().unwrap_or_default();
    config.env = Some(environment(defaults.env, asked)?);
    take_over(&mut config.user, defaults.user);
    take_over(&mut config.working_dir, defaults.working_dir);
    take_over(&mut config.stop_signal, defaults.stop_signal);
    config.stop_timeout = config.stop_timeout.or(defaults.stop_timeout);
    config.shell = config.shell.take().or_else(|| defaults.shell.map(StrSlice));
    let labels = config.labels.get_or_insert_default();
    for (name, value) in defaults.labels {
        labels.entry(name).or_insert(value);
    }
    for port in defaults.exposed_ports.iter() {
        config.exposed_ports.get_or_insert_default().entry(port.to_owned()).or_default();
    }
    for path in defaults.volumes.iter() {
        config.volumes.get_or_insert_default().entry(path.to_owned()).or_default();
    }
    config.healthcheck = healthcheck(config.healthcheck.take(), defaults.healthcheck);
    Ok(())
}

/// An entry point of the request drops the image's command: its arguments were meant for another program.
fn command(config: &mut Config, defaults: &oci::ContainerConfig) {
    if is_empty(&config.entrypoint) {
        if is_empty(&config.cmd) {
            config.cmd = defaults.cmd.clone().map(StrSlice);
        }
        // `--entrypoint ""` is sent as one empty word, and means: none at all.
        let cleared = config.entrypoint.as_ref().is_some_and(|words| words.len() == 1 && words[0].is_empty());
        config.entrypoint = if cleared { None } else { defaults.entrypoint.clone().map(StrSlice) };
    }
}

fn is_empty(words: &Option<StrSlice>) -> bool {
    words.as_ref().is_none_or(|words| words.is_empty() || (words.len() == 1 && words[0].is_empty()))
}

fn take_over(field: &mut String, default: String) {
    if field.is_empty() {
        *field = default;
    }
}

/// The request's variables, of which a later one replaces an earlier one in place, then the image's others. A bare name
/// removes a variable.
fn environment(image: Vec<String>, asked: Vec<String>) -> Result<Vec<String>, Error> {
    let mut variables: Vec<String> = Vec::new();
    let mut names = HashSet::new();
    for variable in asked {
        let (name, has_value) = match variable.split_once('=') {
            Some((name, _)) => (name, true),
            None => (variable.as_str(), false),
        };
        if name.is_empty() || variable.contains('\0') {
            return Err(Error::invalid(format!("invalid environment variable: {variable}")));
        }
        names.insert(name.to_owned());
        let place = variables.iter().position(|other| other.split('=').next() == Some(name));
        match (place, has_value) {
            (Some(place), true) => variables[place] = variable,
            (Some(place), false) => drop(variables.remove(place)),
            (None, true) => variables.push(variable),
            (None, false) => {}
        }
    }
    let is_other = |variable: &String| variable.split('=').next().is_some_and(|name| !names.contains(name));
    variables.extend(image.into_iter().filter(is_other));
    Ok(variables)
}

/// The request's check, completed field by field; `NONE` stays, so that `inspect` shows it.
fn healthcheck(asked: Option<Healthcheck>, image: Option<oci::Healthcheck>) -> Option<Healthcheck> {
    let image = image.map(|check| Healthcheck {
        test: check.test,
        interval: check.interval,
        timeout: check.timeout,
        start_period: check.start_period,
        start_interval: check.start_interval,
        retries: check.retries,
    });
    let (Some(mut asked), Some(image)) = (asked.clone(), image.clone()) else { return asked.or(image) };
    if asked.test.as_ref().is_none_or(Vec::is_empty) {
        asked.test = image.test;
    }
    let fields = [
        (&mut asked.interval, image.interval),
        (&mut asked.timeout, image.timeout),
        (&mut asked.start_period, image.start_period),
        (&mut asked.start_interval, image.start_interval),
        (&mut asked.retries, image.retries),
    ];
    for (field, default) in fields {
        if *field == 0 {
            *field = default;
        }
    }
    Some(asked)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(words: &[&str]) -> Vec<String> {
        words.iter().map(|&word| word.to_owned()).collect()
    }

    fn completed(config: Config, defaults: oci::ContainerConfig) -> Config {
        let mut config = config;
        let image = ImageConfig { config: Some(defaults), ..ImageConfig::default() };
        complete(&mut config, &image).unwrap();
        config
    }

    fn image() -> oci::ContainerConfig {
        oci::ContainerConfig {
            entrypoint: Some(words(&["/entry"])),
            cmd: Some(words(&["default"])),
            env: words(&["A=1", "B=2"]),
            ..oci::ContainerConfig::default()
        }
    }

    #[test]
    fn request_without_command_takes_the_images() {
        let config = completed(Config::default(), image());
        assert_eq!(
            (config.entrypoint.unwrap().0, config.cmd.unwrap().0),
            (words(&["/entry"]), words(&["default"]))
        );
    }

    #[test]
    fn entry_point_of_the_request_drops_the_images_command() {
        let asked = Config { entrypoint: Some(words(&["/mine"]).into()), ..Config::default() };
        let config = completed(asked, image());
        assert_eq!((config.entrypoint.unwrap().0, config.cmd), (words(&["/mine"]), None));
    }

    #[test]
    fn empty_entry_point_clears_the_images() {
        let asked = Config {
            entrypoint: Some(words(&[""]).into()),
            cmd: Some(words(&["sh"]).into()),
            ..Config::default()
        };
        let config = completed(asked, image());
        assert_eq!((config.entrypoint, config.cmd.unwrap().0), (None, words(&["sh"])));
    }

    #[test]
    fn variables_are_replaced_in_place_and_removed_by_a_bare_name() {
        let asked = Config { env: Some(words(&["B=3", "C=4", "A"])), ..Config::default() };
        assert_eq!(completed(asked, image()).env.unwrap(), ["B=3", "C=4"]);
    }

    #[test]
    fn variable_without_a_name_is_refused() {
        let error = environment(Vec::new(), words(&["=x"])).unwrap_err();
        assert_eq!(error.to_string(), "invalid environment variable: =x");
    }

    #[test]
    fn health_check_is_completed_field_by_field() {
        let from_image =
            oci::Healthcheck { test: Some(words(&["CMD", "t"])), retries: 7, ..Default::default() };
        let asked = Healthcheck { interval: 5, ..Healthcheck::default() };
        let merged = healthcheck(Some(asked), Some(from_image)).unwrap();
        assert_eq!((merged.test.unwrap(), merged.interval, merged.retries), (words(&["CMD", "t"]), 5, 7));
    }
}
