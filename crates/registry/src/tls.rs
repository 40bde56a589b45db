//! HTTP clients for one registry, with the certificates that belong to it.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Once;

use reqwest::redirect::Policy;
use reqwest::{Certificate, Client, Identity};
use url::Url;

use crate::Config;
use crate::error::Error;
use crate::network::{Host, Security, Trust, security_of};

/// Where systems keep their certificate authorities.
const BUNDLES: [&str; 5] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
    "/etc/ssl/cert.pem",
];
const MAX_REDIRECTS: usize = 10;

/// For what a client is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// An answer, or the next part of one, is to come soon.
    Requests,
    /// The same, of a place that somebody named by its whole URL: if that is not encrypted, other places need not be.
    Downloads,
    /// The answer comes when all was sent, however long that takes; whoever sends watches.
    Uploads,
}

/// A client for one host.
pub(crate) fn client(config: &Config, host: &Host, purpose: Purpose) -> Result<Client, Error> {
    static PROVIDER: Once = Once::new();
    PROVIDER.call_once(|| {
        // Fails only where another one was installed before, which serves as well.
        let _ = rustls::crypto::ring::default_provider().install_default();
    });
    let mut certificates = system_certificates();
    let mut builder = Client::builder()
        .user_agent(concat!("corten/", env!("CARGO_PKG_VERSION")))
        .connect_timeout(config.connect_timeout)
        .redirect(redirects(config.clone(), purpose));
    if purpose != Purpose::Uploads {
        builder = builder.read_timeout(config.idle_timeout);
    }
    let mut own = Own::default();
    for name in host.folders() {
        let folder = config.certificates.join(name);
        if folder.is_dir() {
            own.add_folder(&folder)?;
        }
    }
    own.add(&host.trust)?;
    certificates.extend(own.authorities);
    for identity in own.identities {
        builder = builder.identity(identity);
    }
    builder = config.proxies.apply(builder);
    builder = match host.security {
        Security::Verified => builder.tls_certs_only(certificates),
        Security::Insecure => builder.tls_danger_accept_invalid_certs(true),
    };
    builder.build().map_err(Error::Client)
}

/// Follows few redirects, and none from TLS to plain HTTP. (The client itself drops credentials at another host.)
fn redirects(config: Config, purpose: Purpose) -> Policy {
    Policy::custom(move |attempt| {
        let came_secure = attempt.previous().last().is_some_and(|url| url.scheme() == "https");
        if attempt.previous().len() > MAX_REDIRECTS {
            return attempt.error(format!("stopped after {MAX_REDIRECTS} redirects"));
        }
        let is_insecure =
            |url: &Url| purpose == Purpose::Downloads || security_of(&config, url) == Security::Insecure;
        if attempt.url().scheme() != "https" && (came_secure || !is_insecure(attempt.url())) {
            let target = attempt.url().origin().ascii_serialization();
            return attempt.error(format!("refused redirect to {target}, which is not encrypted"));
        }
        attempt.follow()
    })
}

/// The system's authorities; none where it has no bundle, and then nothing verifies.
fn system_certificates() -> Vec<Certificate> {
    let named = std::env::var_os("SSL_CERT_FILE").map(PathBuf::from);
    let bundles = named.into_iter().chain(BUNDLES.iter().map(PathBuf::from));
    bundles
        .filter_map(|path| fs::read(path).ok())
        .find_map(|content| Certificate::from_pem_bundle(&content).ok())
        .unwrap_or_default()
}

#[derive(Default)]
struct Own {
    authorities: Vec<Certificate>,
    identities: Vec<Identity>,
}

impl Own {
    fn add(&mut self, trust: &Trust) -> Result<(), Error> {
        trust.authorities.iter().try_for_each(|path| self.add_authority(path))?;
        let mut clients = trust.clients.iter();
        clients.try_for_each(|(certificate, key)| self.add_client(certificate, key.as_deref()))
    }

    fn add_folder(&mut self, folder: &Path) -> Result<(), Error> {
        let entries = fs::read_dir(folder).map_err(|error| failed(folder, error.to_string()))?;
        for path in entries.flatten().map(|entry| entry.path()) {
            match path.extension().and_then(|extension| extension.to_str()) {
                Some("crt") => self.add_authority(&path)?,
                Some("cert") => self.add_client(&path, Some(&path.with_extension("key")))?,
                _ => {}
            }
        }
        Ok(())
    }

    fn add_authority(&mut self, path: &Path) -> Result<(), Error> {
        let found = Certificate::from_pem_bundle(&read(path)?);
        self.authorities.extend(found.map_err(|error| failed(path, error.to_string()))?);
        Ok(())
    }

    fn add_client(&mut self, certificate: &Path, key: Option<&Path>) -> Result<(), Error> {
        let mut both = key.map_or(Ok(Vec::new()), read)?;
        both.push(b'\n');
        both.extend(read(certificate)?);
        let identity = Identity::from_pem(&both);
        self.identities.push(identity.map_err(|error| failed(certificate, error.to_string()))?);
        Ok(())
    }
}

fn failed(path: &Path, reason: String) -> Error {
    Error::Certificates { path: path.into(), reason }
}

fn read(path: &Path) -> Result<Vec<u8>, Error> {
    fs::read(path).map_err(|error| failed(path, error.to_string()))
}
