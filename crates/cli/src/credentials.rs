//! Credentials for registries: in the configuration file, or in the keeping of a program that the file names.

use std::io::Write;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use api::auth::AuthConfig;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::failure::{Failure, io_text};
use crate::output_file::OutputFile;

/// The address under which Docker Hub's credentials are kept.
pub(crate) const DOCKER_HUB: &str = "https://index.docker.io/v1/";

/// What keepers call the user whose secret is an identity token.
const TOKEN_USER: &str = "<token>";
/// What they say of an address that they do not know.
const NOT_FOUND: &str = "credentials not found in native keychain";

/// An address without its scheme and path.
pub(crate) fn host_of(address: &str) -> &str {
    let rest = address.split_once("://").map_or(address, |(_, rest)| rest);
    rest.split('/').next().unwrap_or(rest)
}

/// A program that keeps credentials: `docker-credential-<name>`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Keeper(pub(crate) String);

/// What is said to a keeper, and by it.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Kept {
    #[serde(rename = "ServerURL", default)]
    server_url: String,
    username: String,
    secret: String,
}

impl Keeper {
    /// What it has for an address.
    pub(crate) fn find(&self, address: &str) -> Result<Option<AuthConfig>, Failure> {
        let said = match self.ask("get", address.as_bytes()) {
            Ok(said) => said,
            Err(said) if said.trim() == NOT_FOUND => return Ok(None),
            Err(said) => return Err(failed("getting", &said)),
        };
        let kept: Kept =
            serde_json::from_slice(&said).map_err(|error| failed("getting", &error.to_string()))?;
        let serveraddress = address.to_owned();
        Ok(Some(match kept.username.as_str() {
            TOKEN_USER => AuthConfig { identitytoken: kept.secret, serveraddress, ..AuthConfig::default() },
            _ => AuthConfig {
                username: kept.username,
                password: kept.secret,
                serveraddress,
                ..AuthConfig::default()
            },
        }))
    }

    fn store(&self, auth: &AuthConfig) -> Result<(), Failure> {
        let (username, secret) = match auth.identitytoken.as_str() {
            "" => (auth.username.clone(), auth.password.clone()),
            token => (TOKEN_USER.to_owned(), token.to_owned()),
        };
        let kept = Kept { server_url: auth.serveraddress.clone(), username, secret };
        let text = serde_json::to_vec(&kept).expect("a struct of strings");
        self.ask("store", &text).map(drop).map_err(|said| failed("storing", &said))
    }

    fn erase(&self, address: &str) -> Result<(), Failure> {
        match self.ask("erase", address.as_bytes()) {
            Ok(_) => Ok(()),
            Err(said) if said.trim() == NOT_FOUND => Ok(()),
            Err(said) => Err(failed("erasing", &said)),
        }
    }

    /// What the program says; what it says when it fails is the error.
    fn ask(&self, verb: &str, input: &[u8]) -> Result<Vec<u8>, String> {
        let program = format!("docker-credential-{}", self.0);
        let mut child = Command::new(&program)
            .arg(verb)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|error| format!("exec: \"{program}\": {}", io_text(&error)))?;
        let mut pipe = child.stdin.take().expect("standard input is a pipe");
        // A program that ends without having read says more by how it ends.
        let _ = pipe.write_all(input);
        drop(pipe);
        let output = child.wait_with_output().map_err(|error| format!("{program}: {}", io_text(&error)))?;
        match output.status.success() {
            true => Ok(output.stdout),
            false => Err(String::from_utf8_lossy(&output.stdout).trim().to_owned()),
        }
    }
}

fn failed(what: &str, said: &str) -> Failure {
    Failure::message(format!("error {what} credentials - err: {said}"))
}

/// Where the credentials for one address are kept.
#[derive(Debug)]
pub(crate) struct Place {
    pub(crate) keeper: Option<Keeper>,
    /// The configuration file.
    pub(crate) file: PathBuf,
}

impl Place {
    /// Keeps credentials for their address.
    pub(crate) fn store(&self, auth: &AuthConfig) -> Result<(), Failure> {
        let Some(keeper) = &self.keeper else {
            let is_changed = change(&self.file, |auths| {
                auths.insert(auth.serveraddress.clone(), entry(auth));
            })?;
            if is_changed && !auth.password.is_empty() {
                warn_unencrypted(&self.file);
            }
            return Ok(());
        };
        keeper.store(auth)?;
        // An empty entry says that there are some.
        change(&self.file, |auths| {
            auths.insert(auth.serveraddress.clone(), Value::Object(Map::new()));
        })
        .map(drop)
    }

    /// Forgets those for an address. That there are none is no error.
    pub(crate) fn erase(&self, address: &str) -> Result<(), Failure> {
        if let Some(keeper) = &self.keeper {
            keeper.erase(address)?;
        }
        change(&self.file, |auths| {
            auths.remove(address);
        })
        .map(drop)
    }
}

fn entry(auth: &AuthConfig) -> Value {
    let mut entry = Map::new();
    let mut put = |name: &str, value: String| entry.insert(name.to_owned(), Value::String(value));
    if !auth.username.is_empty() {
        put("auth", STANDARD.encode(format!("{}:{}", auth.username, auth.password)));
    }
    for (name, token) in [("identitytoken", &auth.identitytoken), ("registrytoken", &auth.registrytoken)] {
        if !token.is_empty() {
            put(name, token.clone());
        }
    }
    Value::Object(entry)
}

fn warn_unencrypted(file: &Path) {
    eprintln!(
        "\nWARNING! Your credentials are stored unencrypted in '{}'.\nConfigure a credential helper to remove this warning. See\nhttps://docs.docker.com/go/credential-store/\n",
        file.display()
    );
}

/// Changes the credentials in the configuration file and nothing else in it. Returns whether anything was changed.
fn change(file: &Path, change: impl FnOnce(&mut Map<String, Value>)) -> Result<bool, Failure> {
    let before = read(file)?;
    let mut root = before.clone();
    let auths = root.entry("auths").or_insert_with(|| Value::Object(Map::new()));
    let Value::Object(auths) = auths else {
        return Err(Failure::message(format!("{}: \"auths\" is not an object", file.display())));
    };
    let was_empty = auths.is_empty();
    change(auths);
    if was_empty && auths.is_empty() || root == before {
        return Ok(false);
    }
    write(file, &Value::Object(root))?;
    Ok(true)
}

fn read(file: &Path) -> Result<Map<String, Value>, Failure> {
    let failed = |reason: String| Failure::message(format!("{}: {reason}", file.display()));
    match std::fs::read(file) {
        Ok(bytes) => serde_json::from_slice(&bytes).map_err(|error| failed(error.to_string())),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Map::new()),
        Err(error) => Err(failed(io_text(&error))),
    }
}

/// Writes the file as docker does, through a link where it is one.
fn write(file: &Path, content: &Value) -> Result<(), Failure> {
    let failed = |error: std::io::Error| Failure::message(format!("{}: {}", file.display(), io_text(&error)));
    let target = std::fs::canonicalize(file).unwrap_or_else(|_| file.to_owned());
    if let Some(folder) = target.parent() {
        use std::os::unix::fs::DirBuilderExt;
        std::fs::DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(failed)?;
    }
    let mut bytes = Vec::new();
    let formatter = serde_json::ser::PrettyFormatter::with_indent(b"\t");
    let mut serializer = serde_json::Serializer::with_formatter(&mut bytes, formatter);
    content.serialize(&mut serializer).expect("a JSON value");
    let mut output = OutputFile::create(&target)?;
    if let Ok(before) = std::fs::metadata(&target) {
        // Whoever had the file keeps it, with the mode they gave it. Only root can give it to somebody else.
        let _ = std::os::unix::fs::fchown(&*output.writer(), Some(before.uid()), Some(before.gid()));
        output.writer().set_permissions(before.permissions()).map_err(failed)?;
    }
    output.writer().write_all(&bytes).map_err(failed)?;
    output.persist()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn auth(address: &str) -> AuthConfig {
        AuthConfig {
            username: "me".into(),
            password: "a:b".into(),
            serveraddress: address.into(),
            ..AuthConfig::default()
        }
    }

    #[test]
    fn other_contents_of_the_file_stay() {
        let folder = std::env::temp_dir().join(format!("corten-cli-credentials-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let file = folder.join("config.json");
        std::fs::write(&file, r#"{"psFormat":"x","auths":{"one:1":{"auth":"eA==","other":1}}}"#).unwrap();
        let place = Place { keeper: None, file: file.clone() };
        place.store(&auth("two:2")).unwrap();
        let stored = std::fs::read_to_string(&file).unwrap();
        place.erase("two:2").unwrap();
        place.erase("three:3").unwrap();
        let erased = read(&file).unwrap();
        std::fs::remove_dir_all(&folder).unwrap();
        assert!(stored.contains("\t\t\"two:2\": {\n\t\t\t\"auth\": \"bWU6YTpi\"\n\t\t}"), "{stored}");
        let expected = serde_json::json!({"psFormat": "x", "auths": {"one:1": {"auth": "eA==", "other": 1}}});
        assert_eq!(Value::Object(erased), expected);
    }

    #[test]
    fn host_is_without_scheme_and_path() {
        assert_eq!(host_of(DOCKER_HUB), "index.docker.io");
        assert_eq!(host_of("localhost:5000"), "localhost:5000");
        assert_eq!(host_of("http://[::1]:5000/v2/"), "[::1]:5000");
    }
}
