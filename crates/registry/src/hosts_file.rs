//! `hosts.toml`, containerd's way to say where a registry's content is (containerd, "Registry Configuration - Host
//! Configuration").
//!
//! It is in the folder of the registry's certificates, or in `_default` there, and names hosts in the order in which they
//! are tried, before the registry itself.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use toml::{Table, Value};
use url::Url;

use crate::Config;
use crate::error::Error;
use crate::network::{Capabilities, Host, Security, Trust, own_host, security_of};

/// The options of a host, and of the file for the registry itself.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Options {
    capabilities: Option<Vec<String>>,
    skip_verify: bool,
    override_path: bool,
    ca: Option<Value>,
    client: Option<Value>,
}

/// What containerd knows and is not done here.
const UNSUPPORTED: [&str; 3] = ["header", "dial_timeout", "rewrite"];
const KNOWN: [&str; 5] = ["capabilities", "skip_verify", "override_path", "ca", "client"];

/// The hosts of a registry; `None` where there is no file.
pub(crate) fn read(config: &Config, domain: &str) -> Result<Option<Vec<Host>>, Error> {
    for folder in [domain, "_default"] {
        let path = config.certificates.join(folder).join("hosts.toml");
        let text = match fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if is_absent(&error) => continue,
            Err(error) => return Err(Error::HostsFile { path, reason: error.to_string() }),
        };
        let hosts = parse(config, domain, &text, path.parent().unwrap_or(&path));
        return hosts.map(Some).map_err(|reason| Error::HostsFile { path, reason });
    }
    Ok(None)
}

fn is_absent(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}

fn parse(config: &Config, domain: &str, text: &str, folder: &Path) -> Result<Vec<Host>, String> {
    let mut table: Table = text.parse().map_err(|error: toml::de::Error| error.message().to_owned())?;
    let server = match table.remove("server") {
        None => None,
        Some(Value::String(server)) => Some(server),
        Some(_) => return Err("server is no text".to_owned()),
    };
    let mut hosts = Vec::new();
    match table.remove("host") {
        None => {}
        Some(Value::Table(entries)) => {
            for (name, entry) in entries {
                let Value::Table(entry) = entry else { return Err(format!("host {name:?} is no table")) };
                let reader = Reader { config, folder, domain };
                hosts.push(reader.host(&name, entry)?);
            }
        }
        Some(_) => return Err("host is no table".to_owned()),
    }
    let reader = Reader { config, folder, domain };
    let own = match server {
        Some(server) => reader.host(&server, table)?,
        None => {
            let own = own_host(config, domain).map_err(|error| error.to_string())?;
            reader.with_options(own, &options(table)?)?
        }
    };
    let is_own = own_host(config, domain).is_ok_and(|it| it.authority() == own.authority());
    let own = Host { is_own, namespace: (!is_own).then(|| domain.to_owned()), ..own };
    if !hosts.iter().any(|host: &Host| host.bases == own.bases) {
        hosts.push(own);
    }
    Ok(hosts)
}

fn options(table: Table) -> Result<Options, String> {
    if let Some(key) = table.keys().find(|key| UNSUPPORTED.contains(&key.as_str())) {
        return Err(format!("{key} is not supported"));
    }
    if let Some(key) = table.keys().find(|key| !KNOWN.contains(&key.as_str())) {
        return Err(format!("unknown key {key:?}"));
    }
    table.try_into().map_err(|error: toml::de::Error| error.message().to_owned())
}

struct Reader<'a> {
    config: &'a Config,
    folder: &'a Path,
    domain: &'a str,
}

impl Reader<'_> {
    fn host(&self, name: &str, table: Table) -> Result<Host, String> {
        let options = options(table)?;
        let text = if name.contains("://") { name.to_owned() } else { format!("https://{name}") };
        let mut base = Url::parse(&text).map_err(|error| format!("host {name:?}: {error}"))?;
        if !matches!(base.scheme(), "http" | "https") || !base.username().is_empty() {
            return Err(format!("host {name:?} is no address of a registry"));
        }
        let path = base.path().trim_end_matches('/').to_owned();
        let is_whole = options.override_path || path.ends_with("/v2");
        base.set_path(&if is_whole { format!("{path}/") } else { format!("{path}/v2/") });
        let security = security_of(self.config, &base);
        let host = Host {
            bases: vec![base],
            security,
            capabilities: Capabilities::ALL,
            is_own: false,
            namespace: Some(self.domain.to_owned()),
            trust: Trust::default(),
        };
        let own = own_host(self.config, self.domain).ok();
        let is_own = own.is_some_and(|own| own.authority() == host.authority());
        self.with_options(Host { is_own, ..host }, &options)
    }

    fn with_options(&self, mut host: Host, options: &Options) -> Result<Host, String> {
        if let Some(named) = &options.capabilities {
            host.capabilities = capabilities(named)?;
        }
        if options.skip_verify {
            host.security = Security::Insecure;
        }
        host.trust = Trust {
            authorities: options.ca.as_ref().map_or(Ok(Vec::new()), |ca| self.paths("ca", ca))?,
            clients: options.client.as_ref().map_or(Ok(Vec::new()), |client| self.clients(client))?,
        };
        Ok(host)
    }

    /// One path or several. Those that are not absolute are in the file's folder.
    fn paths(&self, key: &str, value: &Value) -> Result<Vec<PathBuf>, String> {
        match value {
            Value::String(path) => Ok(vec![self.folder.join(path)]),
            Value::Array(paths) => {
                let path = |value: &Value| value.as_str().map(|path| self.folder.join(path));
                paths.iter().map(path).collect::<Option<_>>().ok_or_else(|| format!("{key} is no path"))
            }
            _ => Err(format!("{key} is no path")),
        }
    }

    /// A path, a list of paths, or a list of pairs of certificate and key.
    fn clients(&self, value: &Value) -> Result<Vec<(PathBuf, Option<PathBuf>)>, String> {
        let Value::Array(entries) = value else {
            return Ok(self.paths("client", value)?.into_iter().map(|path| (path, None)).collect());
        };
        let mut found = Vec::new();
        for entry in entries {
            let mut paths = self.paths("client", entry)?.into_iter();
            let certificate = paths.next().ok_or("client is an empty pair")?;
            found.push((certificate, paths.next().filter(|path| path != self.folder)));
        }
        Ok(found)
    }
}

fn capabilities(names: &[String]) -> Result<Capabilities, String> {
    let mut found = Capabilities { pull: false, resolve: false, push: false };
    for name in names {
        match name.to_ascii_lowercase().as_str() {
            "pull" => found.pull = true,
            "resolve" => found.resolve = true,
            "push" => found.push = true,
            _ => return Err(format!("unknown capability {name:?}")),
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hosts(text: &str) -> Result<Vec<Host>, String> {
        parse(&Config::default(), "r.example", text, Path::new("/certs/r.example"))
    }

    fn bases(text: &str) -> Vec<String> {
        hosts(text).unwrap().iter().map(|host| host.bases[0].to_string()).collect()
    }

    #[test]
    fn hosts_come_in_the_order_of_the_file_before_the_registry() {
        let text = r#"
            server = "https://upstream.example"
            [host."https://z.example:5000"]
              capabilities = ["pull", "resolve"]
            [host."http://127.0.0.1:9/v2/cache"]
              override_path = true
            [host."a.example/prefix"]
              skip_verify = true
        "#;
        assert_eq!(
            bases(text),
            [
                "https://z.example:5000/v2/",
                "http://127.0.0.1:9/v2/cache/",
                "https://a.example/prefix/v2/",
                "https://upstream.example/v2/"
            ]
        );
        let found = hosts(text).unwrap();
        assert_eq!(found[0].capabilities, Capabilities { pull: true, resolve: true, push: false });
        assert_eq!(found[2].security, Security::Insecure);
        assert!(found.iter().all(|host| !host.is_own && host.namespace.as_deref() == Some("r.example")));
    }

    #[test]
    fn registry_itself_is_the_last_and_may_have_the_credentials() {
        let found = hosts(r#"[host."https://m.example"]"#).unwrap();
        assert_eq!(found.len(), 2);
        assert!(found[1].is_own && found[1].namespace.is_none());
        let found = hosts(r#"server = "https://r.example""#).unwrap();
        assert!(found.len() == 1 && found[0].is_own);
    }

    #[test]
    fn certificates_are_paths_in_the_folder_or_absolute() {
        let found = hosts(
            r#"
            [host."https://m.example"]
              ca = ["own.pem", "/etc/other.pem"]
              client = [["c.pem", "c.key"], ["d.pem", ""]]
        "#,
        )
        .unwrap();
        let trust = &found[0].trust;
        assert_eq!(trust.authorities, [Path::new("/certs/r.example/own.pem"), Path::new("/etc/other.pem")]);
        assert_eq!(trust.clients[0].1.as_deref(), Some(Path::new("/certs/r.example/c.key")));
        assert!(trust.clients[1].1.as_ref().is_none_or(|path| path.ends_with("r.example")));
    }

    #[test]
    fn what_cannot_be_done_is_named() {
        for (text, word) in [
            ("[host.\"https://m\"]\nrewrite = 1", "rewrite"),
            ("[host.\"https://m\".header]\nx = \"y\"", "header"),
            ("colour = 1", "colour"),
            ("[host.\"ftp://m\"]", "ftp://m"),
            ("[host.\"https://m\"]\ncapabilities = [\"fly\"]", "fly"),
            ("server = 1", "server"),
            ("host = [", ""),
        ] {
            let error = hosts(text).unwrap_err();
            assert!(error.contains(word), "{text}: {error}");
        }
    }
}
