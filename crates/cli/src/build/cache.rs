//! `--cache-from` and `--cache-to`: where results of builds are, and where they go.

use std::collections::BTreeMap;
use std::path::Path;

use api::build::CacheOption;
use client::Host;

use super::context;
use crate::failure::{Failure, io_text};
use crate::opts::csv_fields;

/// `--cache-from`.
pub(super) fn sources(specs: &[String], host: &Host) -> Result<Vec<CacheOption>, Failure> {
    let find = |path: &Path| Ok(path.to_owned());
    options("--cache-from", specs, |flag, option| placed(flag, option, "src", host, &find))
}

/// `--cache-to`. Folders that are not there are made, so that they belong to whoever asks.
pub(super) fn targets(specs: &[String], host: &Host) -> Result<Vec<CacheOption>, Failure> {
    let make = |path: &Path| std::fs::create_dir_all(path).map(|()| path.to_owned());
    options("--cache-to", specs, |flag, option| placed(flag, option, "dest", host, &make))
}

/// The images that `--cache-from` names, which is all that other engines understand.
pub(super) fn images(specs: &[String]) -> Result<Vec<String>, Failure> {
    let found = options("--cache-from", specs, |_, option| Ok(Some(option)))?;
    let image = |option: CacheOption| match (option.kind.as_str(), option.attributes.get("ref")) {
        ("registry", Some(name)) if option.attributes.len() == 1 => Ok(name.clone()),
        (kind, _) => Err(Failure::message(format!(
            "--cache-from type={kind} is not supported by this engine, only images are"
        ))),
    };
    found.into_iter().map(image).collect()
}

/// A folder, found or made.
type Find<'a> = &'a dyn Fn(&Path) -> std::io::Result<std::path::PathBuf>;

/// An option with the folder that an attribute names; `None` for one where results are looked for in vain.
fn placed(
    flag: &str,
    option: CacheOption,
    name: &str,
    host: &Host,
    find: Find<'_>,
) -> Result<Option<CacheOption>, Failure> {
    let path = match option.attributes.get(name) {
        Some(path) if option.kind == "local" => Path::new(path),
        _ => return Ok(Some(option)),
    };
    let failed = |reason: &str| Failure::message(format!("{flag} {name}={}: {reason}", path.display()));
    if !matches!(host, Host::Unix(_)) {
        return Err(failed("is not supported: the engine is on another machine"));
    }
    let found = find(path).and_then(|path| path.canonicalize());
    match found {
        Ok(path) if !path.is_dir() => Err(failed("not a directory")),
        Ok(path) => Ok(Some(CacheOption { folder: Some(context::folder(&path)?), ..option })),
        // A cache that is not there yet is looked for in vain, which is no failure.
        Err(error) if flag == "--cache-from" && error.kind() == std::io::ErrorKind::NotFound => {
            eprintln!(
                "WARNING: local cache import at {} not found due to err: {}",
                path.display(),
                io_text(&error)
            );
            Ok(None)
        }
        Err(error) => Err(failed(&io_text(&error))),
    }
}

/// All options, as `complete` makes them; without those of which it makes nothing.
fn options(
    flag: &str,
    specs: &[String],
    complete: impl Fn(&str, CacheOption) -> Result<Option<CacheOption>, Failure>,
) -> Result<Vec<CacheOption>, Failure> {
    let mut found = Vec::new();
    for spec in specs.iter().filter(|spec| !spec.is_empty()) {
        let failed = |reason: String| Failure::message(format!("{flag} {spec}: {reason}"));
        for option in parse(spec).map_err(failed)? {
            found.extend(complete(flag, option)?);
        }
    }
    Ok(found)
}

/// Names of images, or attributes of which one is the type.
fn parse(spec: &str) -> Result<Vec<CacheOption>, String> {
    let fields = csv_fields(spec)?;
    if !spec.contains('=') {
        return Ok(fields.into_iter().map(of_image).collect());
    }
    let mut attributes = BTreeMap::new();
    for field in fields {
        let (name, value) = field.split_once('=').ok_or_else(|| format!("invalid value {field}"))?;
        attributes.insert(name.trim().to_lowercase(), value.to_owned());
    }
    let kind = attributes.remove("type").filter(|kind| !kind.is_empty());
    let kind = kind.ok_or_else(|| format!("type required for {}", crate::opts::go::quote(spec)))?;
    Ok(vec![CacheOption { kind, attributes, folder: None }])
}

fn of_image(name: String) -> CacheOption {
    CacheOption { kind: "registry".to_owned(), attributes: [("ref".to_owned(), name)].into(), folder: None }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn here() -> Host {
        Host::Unix("/run/x.sock".into())
    }

    fn words(specs: &[&str]) -> Vec<String> {
        specs.iter().map(|spec| (*spec).to_owned()).collect()
    }

    #[test]
    fn images_and_attributes_are_read() {
        let found = sources(&words(&["user/app:1,b", "type=registry,REF=c", ""]), &here()).unwrap();
        let names: Vec<&str> = found.iter().map(|option| option.attributes["ref"].as_str()).collect();
        assert_eq!(names, ["user/app:1", "b", "c"]);
        assert!(found.iter().all(|option| option.kind == "registry"));
        let message = |spec: &str| sources(&words(&[spec]), &here()).unwrap_err().to_string();
        assert_eq!(message("ref=a"), "--cache-from ref=a: type required for \"ref=a\"");
        assert_eq!(message("type=registry,x"), "--cache-from type=registry,x: invalid value x");
    }

    #[test]
    fn folders_are_made_where_results_go_and_only_warned_of_where_they_are_to_be() {
        let place = tempfile::tempdir().unwrap();
        let dest = place.path().join("a/b");
        let spec = format!("type=local,dest={}", dest.display());
        let far = Host::Tcp("far:1".into());
        assert!(targets(&words(&[&spec]), &far).unwrap_err().to_string().contains("on another machine"));
        assert!(!dest.exists());
        let found = targets(&words(&[&spec]), &here()).unwrap();
        assert!(Path::new(&found[0].folder.as_ref().unwrap().path).ends_with("a/b"));
        let missing = format!("type=local,src={}/none", place.path().display());
        assert_eq!(sources(&words(&[&missing, "b"]), &here()).unwrap().len(), 1);
    }

    #[test]
    fn other_engines_are_told_of_images_only() {
        assert_eq!(images(&words(&["type=registry,ref=c:1", "d,e"])).unwrap(), ["c:1", "d", "e"]);
        let error = images(&words(&["type=local,src=x"])).unwrap_err().to_string();
        assert_eq!(error, "--cache-from type=local is not supported by this engine, only images are");
    }
}
