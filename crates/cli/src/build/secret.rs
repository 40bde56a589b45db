//! `--secret` and `--ssh`: what steps may use and nobody keeps.

use std::collections::BTreeMap;
use std::os::unix::fs::FileTypeExt as _;
use std::path::{Path, PathBuf};

use api::build::Secret;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use client::Host;

use crate::failure::{Failure, io_text};
use crate::opts::{csv_fields, go};

/// The most bytes that a secret may have, as with BuildKit.
const LARGEST: u64 = 500 * 1024;

/// Where a secret's value is.
#[derive(Debug, PartialEq, Eq)]
enum Source {
    File(PathBuf),
    Variable(String),
}

/// Reads all secrets.
pub(super) fn secrets(specs: &[String]) -> Result<BTreeMap<String, Secret>, Failure> {
    let is_set = |name: &str| std::env::var_os(name).is_some();
    let mut found = BTreeMap::new();
    for spec in specs.iter().filter(|spec| !spec.is_empty()) {
        let (id, source) = parse(spec, is_set)
            .map_err(|reason| Failure::message(format!("invalid secret {spec}: {reason}")))?;
        let data = STANDARD.encode(read(&id, &source)?);
        found.insert(id, Secret { data });
    }
    Ok(found)
}

fn parse(spec: &str, is_set: impl Fn(&str) -> bool) -> Result<(String, Source), String> {
    let (mut id, mut file, mut variable, mut kind) =
        (String::new(), String::new(), String::new(), String::new());
    for field in csv_fields(spec)? {
        let Some((key, value)) = field.split_once('=') else {
            return Err(format!("invalid field '{field}' must be a key=value pair"));
        };
        let slot = match key.to_lowercase().as_str() {
            "type" if matches!(value, "file" | "env") => &mut kind,
            "type" => return Err(format!("unsupported secret type {}", go::quote(value))),
            "id" => &mut id,
            "source" | "src" => &mut file,
            "env" => &mut variable,
            key => return Err(format!("unexpected key '{key}' in '{field}'")),
        };
        value.clone_into(slot);
    }
    if id.is_empty() {
        return Err("secret missing ID".to_owned());
    }
    if kind == "env" && variable.is_empty() {
        variable = std::mem::take(&mut file);
    }
    let source = match (file.is_empty(), variable.is_empty()) {
        (false, _) => Source::File(file.into()),
        (true, false) => Source::Variable(variable),
        (true, true) if is_set(&id) => Source::Variable(id.clone()),
        (true, true) => Source::File(PathBuf::from(&id)),
    };
    Ok((id, source))
}

fn read(id: &str, source: &Source) -> Result<Vec<u8>, Failure> {
    use std::os::unix::ffi::OsStringExt as _;
    let data = match source {
        // One that is not set is empty, as with BuildKit.
        Source::Variable(name) => std::env::var_os(name).unwrap_or_default().into_vec(),
        Source::File(path) => read_file(path).map_err(|error| {
            Failure::message(format!("failed to stat {}: {}", path.display(), io_text(&error)))
        })?,
    };
    match data.len() as u64 > LARGEST {
        true => Err(Failure::message(format!("secret {id} is too large: it may have {LARGEST} bytes"))),
        false => Ok(data),
    }
}

/// Reads no more than is needed to see that it is too much.
fn read_file(path: &Path) -> std::io::Result<Vec<u8>> {
    use std::io::Read as _;
    let mut data = Vec::new();
    std::fs::File::open(path)?.take(LARGEST + 1).read_to_end(&mut data)?;
    Ok(data)
}

/// The sockets of SSH agents, by their names.
pub(super) fn agents(specs: &[String], host: &Host) -> Result<BTreeMap<String, String>, Failure> {
    let specs = || specs.iter().filter(|spec| !spec.is_empty());
    if specs().next().is_some() && !matches!(host, Host::Unix(_)) {
        return Err(Failure::message("--ssh is not supported: the engine is on another machine"));
    }
    specs().map(|spec| agent(spec, std::env::var("SSH_AUTH_SOCK").ok())).collect()
}

fn agent(spec: &str, usual: Option<String>) -> Result<(String, String), Failure> {
    let (name, socket) = match spec.split_once('=') {
        Some((name, socket)) => (name, socket.to_owned()),
        None => (spec, usual.unwrap_or_default()),
    };
    if socket.is_empty() {
        return Err(Failure::message("invalid empty ssh agent socket: make sure SSH_AUTH_SOCK is set"));
    }
    let failed =
        |error: std::io::Error| Failure::message(format!("--ssh {spec}: {socket}: {}", io_text(&error)));
    let kind = std::fs::metadata(&socket).map_err(failed)?.file_type();
    if !kind.is_socket() {
        let reason = "is not the socket of an agent; keys are not supported, add them to an agent";
        return Err(Failure::message(format!("--ssh {spec}: {socket} {reason}")));
    }
    let path = std::path::absolute(&socket).map_err(failed)?;
    match path.into_os_string().into_string() {
        Ok(path) => Ok((name.to_owned(), path)),
        Err(_) => Err(Failure::message(format!("--ssh {spec}: the path is not UTF-8"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(spec: &str) -> Result<(String, Source), String> {
        parse(spec, |name| name == "TOKEN")
    }

    fn file(id: &str, path: &str) -> Result<(String, Source), String> {
        Ok((id.to_owned(), Source::File(path.into())))
    }

    fn variable(id: &str, name: &str) -> Result<(String, Source), String> {
        Ok((id.to_owned(), Source::Variable(name.to_owned())))
    }

    #[test]
    fn secrets_come_from_files_and_variables() {
        assert_eq!(of("id=a,src=/b"), file("a", "/b"));
        assert_eq!(of("type=file,id=a,source=b"), file("a", "b"));
        assert_eq!(of("id=a,env=B"), variable("a", "B"));
        assert_eq!(of("type=env,id=a,src=B"), variable("a", "B"));
        assert_eq!(of("id=TOKEN"), variable("TOKEN", "TOKEN"));
        assert_eq!(of("id=a"), file("a", "a"));
        assert_eq!(of("id=a,\"src=/b,c\""), file("a", "/b,c"));
    }

    #[test]
    fn what_is_no_secret_is_refused() {
        for (spec, message) in [
            ("src=/b", "secret missing ID"),
            ("a", "invalid field 'a' must be a key=value pair"),
            ("id=a,x=y", "unexpected key 'x' in 'x=y'"),
            ("id=a,type=vault", "unsupported secret type \"vault\""),
        ] {
            assert_eq!(of(spec).unwrap_err(), message);
        }
    }

    #[test]
    fn values_are_read_whole_or_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("s");
        std::fs::write(&path, b"\0\xff").unwrap();
        let spec = format!("id=a,src={}", path.display());
        assert_eq!(secrets(std::slice::from_ref(&spec)).unwrap()["a"].data, "AP8=");
        std::fs::write(&path, vec![0; LARGEST as usize + 1]).unwrap();
        let error = secrets(&[spec]).unwrap_err().to_string();
        assert_eq!(error, "secret a is too large: it may have 512000 bytes");
    }

    #[test]
    fn agents_are_sockets_and_no_keys() {
        let folder = tempfile::tempdir().unwrap();
        let (socket, key) = (folder.path().join("agent"), folder.path().join("id_rsa"));
        let _listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
        std::fs::write(&key, "key").unwrap();
        let text = socket.display().to_string();
        assert_eq!(agent("default", Some(text.clone())).unwrap(), ("default".to_owned(), text.clone()));
        assert_eq!(agent(&format!("git={text}"), None).unwrap(), ("git".to_owned(), text));
        let error = agent(&format!("git={}", key.display()), None).unwrap_err().to_string();
        assert!(error.contains("keys are not supported"), "{error}");
        let error = agent("default", None).unwrap_err().to_string();
        assert_eq!(error, "invalid empty ssh agent socket: make sure SSH_AUTH_SOCK is set");
        let error = agents(&["default".to_owned()], &Host::Tcp("far:1".into())).unwrap_err().to_string();
        assert_eq!(error, "--ssh is not supported: the engine is on another machine");
    }
}
