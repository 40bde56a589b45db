//! Log drivers and their options.

use std::collections::BTreeMap;

use api::container::LogConfig;
use shim::Log;

use crate::config::ContainerFiles;
use crate::error::Error;
use crate::settings::Settings;

/// What holds for containers that say nothing: bounded, so that no container can fill the disk with its log.
const DEFAULT_MAX_SIZE: u64 = 20 * 1024 * 1024;
const DEFAULT_MAX_FILES: u32 = 5;

const FILE_OPTIONS: &[&str] = &["max-size", "max-file", "compress", "mode", "max-buffer-size"];
const ATTRIBUTE_OPTIONS: &[&str] = &["labels", "env", "tag"];

/// Checks a log configuration.
///
/// # Errors
///
/// An unknown driver or option, or a value that cannot be read; each is named.
pub(crate) fn check(log: &LogConfig) -> Result<(), Error> {
    let no_options = BTreeMap::new();
    let options = log.config.as_ref().unwrap_or(&no_options);
    match log.driver.as_str() {
        "none" => Ok(()),
        driver @ ("json-file" | "local") => {
            let attributes = if driver == "json-file" { ATTRIBUTE_OPTIONS } else { &[] };
            for name in options.keys() {
                if !FILE_OPTIONS.contains(&name.as_str()) && !attributes.contains(&name.as_str()) {
                    return Err(Error::invalid(format!("unknown log opt '{name}' for {driver} log driver")));
                }
            }
            Rotation::parse(driver, options).map(drop)
        }
        other => Err(Error::invalid(format!(
            "error looking up logging plugin {other}: plugin \"{other}\" not found"
        ))),
    }
}

/// The log that the supervisor of a container writes.
///
/// # Errors
///
/// As [`check`].
pub(crate) fn log(settings: &Settings, name: &str, files: &ContainerFiles) -> Result<Log, Error> {
    let config = &settings.host_config.log_config;
    let options = config.config.clone().unwrap_or_default();
    let rotation = Rotation::parse(&config.driver, &options);
    Ok(match config.driver.as_str() {
        "none" => Log::None,
        "local" => {
            let Rotation { max_size, max_files, compress } = rotation?;
            Log::Local { path: files.local_log(), max_size, max_files, compress }
        }
        _ => {
            let Rotation { max_size, max_files, compress } = rotation?;
            let attributes = attributes(settings, name, &options);
            Log::JsonFile { path: files.json_log(&settings.id), max_size, max_files, compress, attributes }
        }
    })
}

struct Rotation {
    max_size: Option<u64>,
    max_files: u32,
    compress: bool,
}

impl Rotation {
    fn parse(driver: &str, options: &BTreeMap<String, String>) -> Result<Self, Error> {
        let max_size = match options.get("max-size").map(String::as_str) {
            None => Some(DEFAULT_MAX_SIZE),
            Some("-1") => None,
            Some(text) => Some(size(text).filter(|&size| size > 0).ok_or_else(|| bad("max-size", text))?),
        };
        let max_files = match options.get("max-file") {
            None => DEFAULT_MAX_FILES,
            Some(text) => {
                text.parse().ok().filter(|&count| count > 0).ok_or_else(|| bad("max-file", text))?
            }
        };
        let compress = match options.get("compress").map(String::as_str) {
            None => driver == "local",
            Some("true" | "1") => true,
            Some("false" | "0") => false,
            Some(text) => return Err(bad("compress", text)),
        };
        for option in ["mode", "max-buffer-size"] {
            check_delivery(option, options.get(option).map(String::as_str))?;
        }
        Ok(Self { max_size, max_files, compress })
    }
}

/// The supervisor always writes before it reads on, so no buffer of its own can overflow.
fn check_delivery(option: &str, value: Option<&str>) -> Result<(), Error> {
    match (option, value) {
        (_, None) | ("mode", Some("blocking")) => Ok(()),
        ("mode", Some("non-blocking")) => Err(Error::unsupported("log option mode=non-blocking")),
        (option, Some(text)) => Err(bad(option, text)),
    }
}

fn bad(option: &str, value: &str) -> Error {
    Error::invalid(format!("invalid value for log option {option}: {value:?}"))
}

/// A size as Docker writes it: `10m`, `1g`, `512k`, `100`, each also with a `b` at the end.
fn size(text: &str) -> Option<u64> {
    let lower = text.to_ascii_lowercase();
    let text = lower.strip_suffix("ib").or_else(|| lower.strip_suffix('b')).unwrap_or(&lower);
    let digits = text.trim_end_matches(|last: char| last.is_ascii_alphabetic());
    let unit: u64 = match &text[digits.len()..] {
        "" => 1,
        "k" => 1 << 10,
        "m" => 1 << 20,
        "g" => 1 << 30,
        "t" => 1 << 40,
        _ => return None,
    };
    digits.trim_end().parse::<u64>().ok()?.checked_mul(unit)
}

/// The labels and variables that the options select, and the tag.
fn attributes(
    settings: &Settings,
    name: &str,
    options: &BTreeMap<String, String>,
) -> BTreeMap<String, String> {
    let mut attributes = BTreeMap::new();
    let names = |option: &str| -> Vec<String> {
        options.get(option).map(|list| list.split(',').map(str::to_owned).collect()).unwrap_or_default()
    };
    let labels = settings.config.labels.clone().unwrap_or_default();
    for label in names("labels") {
        if let Some(value) = labels.get(&label) {
            attributes.insert(label, value.clone());
        }
    }
    let variables = settings.config.env.iter().flatten().filter_map(|variable| variable.split_once('='));
    let wanted = names("env");
    for (variable, value) in variables.filter(|(variable, _)| wanted.iter().any(|name| name == variable)) {
        attributes.insert(variable.to_owned(), value.to_owned());
    }
    if let Some(tag) = options.get("tag") {
        attributes.insert("tag".to_owned(), expand_tag(tag, settings, name));
    }
    attributes
}

/// The tag's template knows Docker's fields; anything else stays as written.
fn expand_tag(tag: &str, settings: &Settings, name: &str) -> String {
    let image_id = settings.image_id.strip_prefix("sha256:").unwrap_or(&settings.image_id);
    let fields = [
        ("{{.ID}}", settings.short_id()),
        ("{{.FullID}}", settings.id.as_str()),
        ("{{.Name}}", name),
        ("{{.ImageID}}", image_id.get(..12).unwrap_or(image_id)),
        ("{{.ImageFullID}}", settings.image_id.as_str()),
        ("{{.ImageName}}", settings.config.image.as_str()),
        ("{{.DaemonName}}", "corten"),
    ];
    fields.iter().fold(tag.to_owned(), |text, (field, value)| text.replace(field, value))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(driver: &str, options: &[(&str, &str)]) -> String {
        let config = options.iter().map(|&(name, value)| (name.to_owned(), value.to_owned())).collect();
        check(&LogConfig { driver: driver.to_owned(), config: Some(config) }).unwrap_err().to_string()
    }

    #[test]
    fn sizes_are_read_with_their_units() {
        for (text, bytes) in
            [("10m", 10 << 20), ("1g", 1 << 30), ("512kb", 512 << 10), ("100", 100), ("2MiB", 2 << 20)]
        {
            assert_eq!(size(text), Some(bytes), "{text}");
        }
        for bad in ["", "m", "1x", "-1", "1.5m", "99999999999999999999"] {
            assert_eq!(size(bad), None, "{bad}");
        }
    }

    #[test]
    fn log_is_bounded_unless_asked_otherwise() {
        let rotation = Rotation::parse("json-file", &BTreeMap::new()).unwrap();
        assert_eq!((rotation.max_size, rotation.max_files, rotation.compress), (Some(20 << 20), 5, false));
        let unlimited = [("max-size".to_owned(), "-1".to_owned())].into();
        assert_eq!(Rotation::parse("json-file", &unlimited).unwrap().max_size, None);
    }

    #[test]
    fn unknown_drivers_and_options_are_named() {
        assert_eq!(
            refused("syslogd", &[]),
            "error looking up logging plugin syslogd: plugin \"syslogd\" not found"
        );
        assert_eq!(
            refused("json-file", &[("colour", "red")]),
            "unknown log opt 'colour' for json-file log driver"
        );
        assert_eq!(refused("local", &[("labels", "a")]), "unknown log opt 'labels' for local log driver");
        assert_eq!(
            refused("json-file", &[("max-size", "big")]),
            "invalid value for log option max-size: \"big\""
        );
    }
}
