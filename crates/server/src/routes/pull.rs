//! Pulling images from registries.

use std::collections::BTreeMap;

use api::auth;
use api::image::PullOptions;
use api::system::{IndexInfo, RegistryConfig};
use oci::{Platform, Reference};
use registry::{Proxies, PullRequest, Registry};

use super::Api;
use super::images::tell;
use super::transfer::{Transfer, credentials};
use crate::error::Error;
use crate::http::{Call, Response};

/// Which registries may be spoken to, and how.
#[derive(Clone, Debug, Default)]
pub struct Registries {
    insecure: Vec<String>,
    mirrors: Vec<String>,
    client: Registry,
}

impl Registries {
    /// All registries; those in `insecure` (`host[:port]` or `address/length`) may lack TLS, and docker.io is looked for at
    /// `mirrors` first. Proxies that are not named are those of the environment.
    ///
    /// # Errors
    /// In dockerd's words, where a mirror is none.
    pub fn new(insecure: Vec<String>, mirrors: &[String], proxies: Proxies) -> Result<Self, String> {
        let urls = mirrors.iter().map(|text| registry::parse_mirror(text)).collect::<Result<Vec<_>, _>>()?;
        let mirrors = urls.iter().map(ToString::to_string).collect();
        let proxies = Proxies::from_environment().overridden(proxies);
        let config = registry::Config {
            insecure: insecure.clone(),
            mirrors: urls,
            proxies,
            ..registry::Config::default()
        };
        Ok(Self { insecure, mirrors, client: Registry::new(config) })
    }

    /// The proxies to reach them by, without passwords.
    pub(super) fn proxies(&self) -> Proxies {
        self.client.proxies()
    }

    /// The client that speaks to them.
    pub(super) fn client(&self) -> &Registry {
        &self.client
    }

    /// What `info` says of them.
    pub(super) fn describe(&self) -> RegistryConfig {
        let (networks, hosts): (Vec<String>, Vec<String>) =
            self.insecure.iter().cloned().partition(|entry| entry.contains('/'));
        let loopback = ["::1/128", "127.0.0.0/8"].map(str::to_owned);
        let docker = IndexInfo {
            name: "docker.io".to_owned(),
            mirrors: self.mirrors.clone(),
            secure: true,
            official: true,
        };
        let insecure =
            hosts.into_iter().map(|name| (name.clone(), IndexInfo { name, ..IndexInfo::default() }));
        let index_configs: BTreeMap<_, _> = insecure.chain([("docker.io".to_owned(), docker)]).collect();
        RegistryConfig {
            insecure_registry_cidrs: loopback.into_iter().chain(networks).collect(),
            index_configs,
            mirrors: self.mirrors.clone(),
            ..RegistryConfig::default()
        }
    }
}

impl Api {
    /// What fails before the first real message is a status; what fails later is told in the body.
    pub(super) async fn pull_image(&self, call: Call) -> Result<Response, Error> {
        let mut options = PullOptions::from_query(&call.query());
        if !call.version().at_least(32) {
            options.platform.clear();
        }
        if options.from_image.is_empty() && !options.from_src.is_empty() {
            return self.import_image(call, options).await;
        }
        let request = PullRequest {
            reference: reference(&options)?,
            platform: platform(&options)?,
            credentials: credentials(call.header(auth::HEADER)),
        };
        let (engine, client) = (self.engine.clone(), self.registries.client.clone());
        let transfer = Transfer::begin(|progress| async move {
            let name = request.reference.familiar();
            let pulled = match request.reference.is_name_only() {
                true => client.pull_all(engine.images(), request, progress).await?,
                false => vec![client.pull(engine.images(), request, progress).await?],
            };
            pulled.iter().for_each(|pulled| tell(&engine, "pull", &pulled.image, &name));
            Ok(())
        });
        // The first message only says that the pull begins.
        transfer.into_response(2).await
    }
}

fn reference(options: &PullOptions) -> Result<Reference, Error> {
    if options.from_image.is_empty() {
        return Err(Error::BadRequest("bad parameter: fromImage is required".to_owned()));
    }
    let reference = Reference::parse(&options.from_image)?;
    Ok(match options.tag.as_str() {
        "" => reference,
        tag if tag.contains(':') => {
            let digest =
                tag.parse().map_err(|error| Error::BadRequest(format!("invalid digest {tag}: {error}")))?;
            reference.with_digest(digest)
        }
        tag => reference.with_tag(tag)?,
    })
}

fn platform(options: &PullOptions) -> Result<Option<Platform>, Error> {
    if options.platform.is_empty() {
        return Ok(None);
    }
    options
        .platform
        .parse()
        .map(Some)
        .map_err(|error: oci::PlatformError| Error::BadRequest(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(from_image: &str, tag: &str) -> PullOptions {
        PullOptions { from_image: from_image.into(), tag: tag.into(), ..PullOptions::default() }
    }

    #[test]
    fn tag_may_be_a_digest() {
        let digest = format!("sha256:{}", "a".repeat(64));
        let reference = reference(&options("debian", &digest)).unwrap();
        assert_eq!(reference.familiar(), format!("debian@{digest}"));
    }

    #[test]
    fn name_without_a_tag_is_all_tags() {
        assert!(reference(&options("debian", "")).unwrap().is_name_only());
        assert!(!reference(&options("debian:12", "")).unwrap().is_name_only());
    }
}
