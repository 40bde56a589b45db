//! Pulling images from registries.

use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::Arc;

use api::auth::{self, AuthConfig};
use api::image::{ProgressMessage, PullOptions};
use api::system::{IndexInfo, RegistryConfig};
use base64::Engine as _;
use engine::Engine;
use futures_util::{StreamExt as _, stream};
use oci::{Platform, Reference};
use registry::{Credentials, Progress, PullRequest, Pulled, Registry};
use tokio::sync::mpsc;

use super::Api;
use super::images::tell;
use crate::error::Error;
use crate::http::{Call, Response, json_lines};

/// Which registries may be spoken to, and how.
#[derive(Clone, Debug, Default)]
pub struct Registries {
    insecure: Vec<String>,
    client: Registry,
}

impl Registries {
    /// All registries; those in `insecure` (`host[:port]` or `address/length`) may lack TLS.
    pub fn new(insecure: Vec<String>) -> Self {
        let config = registry::Config { insecure: insecure.clone(), ..registry::Config::default() };
        Self { insecure, client: Registry::new(config) }
    }

    /// What `info` says of them.
    pub(super) fn describe(&self) -> RegistryConfig {
        let (networks, hosts): (Vec<String>, Vec<String>) =
            self.insecure.iter().cloned().partition(|entry| entry.contains('/'));
        let loopback = ["::1/128", "127.0.0.0/8"].map(str::to_owned);
        let docker =
            IndexInfo { name: "docker.io".to_owned(), secure: true, official: true, ..IndexInfo::default() };
        let insecure =
            hosts.into_iter().map(|name| (name.clone(), IndexInfo { name, ..IndexInfo::default() }));
        let index_configs: BTreeMap<_, _> = insecure.chain([("docker.io".to_owned(), docker)]).collect();
        RegistryConfig {
            insecure_registry_cidrs: loopback.into_iter().chain(networks).collect(),
            index_configs,
            mirrors: Vec::new(),
        }
    }
}

impl Api {
    /// What fails before the first real message is a status; what fails later is told in the body.
    pub(super) async fn pull_image(&self, call: Call) -> Result<Response, Error> {
        let options = PullOptions::from_query(&call.query());
        let request = PullRequest {
            reference: reference(&options)?,
            platform: platform(&options)?,
            credentials: credentials(call.header(auth::HEADER)),
        };
        let mut pulling = Pulling::begin(&self.engine, &self.registries.client, request);
        let mut first = Vec::new();
        // The first message only says that the pull begins.
        while first.len() < 2 {
            match pulling.step().await {
                Step::Message(message) => first.push(message),
                Step::Failed(error) if first.len() < 2 => return Err(error.into()),
                Step::Failed(error) => first.push(ProgressMessage::error(error.to_string())),
                Step::Done => break,
            }
        }
        let rest = stream::unfold(pulling, async |mut pulling| {
            let message = match pulling.step().await {
                Step::Message(message) => message,
                Step::Failed(error) => ProgressMessage::error(error.to_string()),
                Step::Done => return None,
            };
            Some((message, pulling))
        });
        Ok(json_lines(stream::iter(first).chain(rest)))
    }
}

type Work = Pin<Box<dyn Future<Output = Result<Pulled, registry::Error>> + Send>>;

/// A pull under way; dropping it cancels it.
struct Pulling {
    work: Option<Work>,
    messages: mpsc::UnboundedReceiver<Progress>,
    failure: Option<registry::Error>,
    name: String,
    engine: Engine,
}

enum Step {
    Message(ProgressMessage),
    Failed(registry::Error),
    Done,
}

impl Pulling {
    fn begin(engine: &Engine, client: &Registry, request: PullRequest) -> Self {
        let (sender, messages) = mpsc::unbounded_channel();
        let sink = Arc::new(move |progress| {
            // Nobody listens once the client has left, and then the pull is being dropped.
            let _ = sender.send(progress);
        });
        let (client, images) = (client.clone(), Arc::clone(engine.images()));
        let name = request.reference.familiar();
        let work = Box::pin(async move { client.pull(&images, request, sink).await });
        Self { work: Some(work), messages, failure: None, name, engine: engine.clone() }
    }

    async fn step(&mut self) -> Step {
        if let Some(work) = &mut self.work {
            tokio::select! {
                biased;
                Some(progress) = self.messages.recv() => return Step::Message(message(progress)),
                result = work => self.finish(result),
            }
        }
        match self.messages.try_recv() {
            Ok(progress) => Step::Message(message(progress)),
            Err(_) => self.failure.take().map_or(Step::Done, Step::Failed),
        }
    }

    fn finish(&mut self, result: Result<Pulled, registry::Error>) {
        self.work = None;
        match result {
            Ok(pulled) => tell(&self.engine, "pull", &pulled.image, &self.name),
            Err(error) => self.failure = Some(error),
        }
    }
}

fn message(progress: Progress) -> ProgressMessage {
    let signed = |bytes: u64| i64::try_from(bytes).unwrap_or(i64::MAX);
    match (progress.id, progress.detail) {
        (None, _) => ProgressMessage::status(progress.status),
        (Some(id), None) => ProgressMessage { id, ..ProgressMessage::status(progress.status) },
        (Some(id), Some(detail)) if detail.current == 0 && detail.total == 0 => {
            ProgressMessage::layer(id, progress.status)
        }
        (Some(id), Some(detail)) => {
            ProgressMessage::layer_progress(id, progress.status, signed(detail.current), signed(detail.total))
        }
    }
}

fn reference(options: &PullOptions) -> Result<Reference, Error> {
    if !options.from_src.is_empty() {
        return Err(Error::Unsupported("importing images"));
    }
    if options.from_image.is_empty() {
        return Err(Error::BadRequest("bad parameter: fromImage is required".to_owned()));
    }
    let reference = Reference::parse(&options.from_image)?;
    let reference = match options.tag.as_str() {
        "" => reference,
        tag if tag.contains(':') => {
            let digest =
                tag.parse().map_err(|error| Error::BadRequest(format!("invalid digest {tag}: {error}")))?;
            reference.with_digest(digest)
        }
        tag => reference.with_tag(tag)?,
    };
    match reference.is_name_only() {
        true => Err(Error::Unsupported("pulling all tags of a repository")),
        false => Ok(reference),
    }
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

/// As in dockerd a header that cannot be read counts as none.
fn credentials(header: Option<&str>) -> Option<Credentials> {
    let config = AuthConfig::decode(header?).unwrap_or_default();
    if config.is_empty() {
        return None;
    }
    let AuthConfig { username, password, auth, identitytoken, registrytoken, .. } = config;
    let (username, password) = match username.is_empty() {
        false => (username, password),
        true => name_and_password(&auth).unwrap_or_default(),
    };
    Some(Credentials { username, password, identity_token: identitytoken, registry_token: registrytoken })
}

fn name_and_password(auth: &str) -> Option<(String, String)> {
    let text = base64::engine::general_purpose::STANDARD.decode(auth).ok()?;
    let text = String::from_utf8(text).ok()?;
    text.split_once(':').map(|(name, password)| (name.to_owned(), password.to_owned()))
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
    fn all_tags_are_refused_by_name() {
        let error = reference(&options("debian", "")).unwrap_err();
        assert!(error.to_string().contains("all tags"), "{error}");
        assert!(reference(&options("debian:12", "")).is_ok());
    }

    #[test]
    fn import_is_refused_by_name() {
        let import = PullOptions { from_src: "-".into(), ..PullOptions::default() };
        assert!(reference(&import).unwrap_err().to_string().contains("importing"));
    }

    #[test]
    fn credentials_are_read_from_either_form() {
        let header = AuthConfig { auth: "bWU6c2VjcmV0".into(), ..AuthConfig::default() }.encode();
        let found = credentials(Some(&header)).unwrap();
        assert_eq!((found.username.as_str(), found.password.as_str()), ("me", "secret"));
        assert_eq!(credentials(None), None);
        assert_eq!(credentials(Some("e30=")), None);
    }

    #[test]
    fn progress_of_a_layer_has_a_bar() {
        let detail = registry::Detail { current: 1, total: 2 };
        let progress =
            Progress { status: "Downloading".into(), detail: Some(detail), id: Some("abc".into()) };
        assert!(message(progress).progress.starts_with("[====="));
    }
}
