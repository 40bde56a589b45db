//! What registries have under a name.

use api::auth::AuthConfig;
use oci::Reference;
use registry::{Config, Credentials, Error, Found, Registry};

use crate::app::App;
use crate::failure::Failure;
use crate::manifests::Entry;

/// A registry, as somebody wants it to be reached.
pub(super) struct Remote<'a> {
    app: &'a App,
    registry: Registry,
    is_insecure: bool,
    credentials: Option<Credentials>,
}

/// What a name stands for.
pub(super) enum Content {
    Image(Box<Entry>),
    List(Vec<Entry>),
}

impl<'a> Remote<'a> {
    /// The registry of `name`. One that is insecure may have a certificate that nobody vouches for, or none.
    pub(super) fn of(app: &'a App, name: &Reference, is_insecure: bool) -> Self {
        let insecure = if is_insecure { vec![name.domain().to_owned()] } else { Vec::new() };
        let registry = Registry::new(Config { insecure, ..Config::default() });
        let credentials = app.config().auth(name.domain()).map(credentials);
        Self { app, registry, is_insecure, credentials }
    }

    /// The image of this name.
    pub(super) fn image(&self, name: &Reference) -> Result<Entry, Failure> {
        self.app.block_on(async {
            let found = self.find(name).await?;
            let image = found.image().await.map_err(|error| failure(name, error))?;
            Entry::new(image)
        })
    }

    /// The image of this name, or all images of the list that it stands for.
    pub(super) fn content(&self, name: &Reference) -> Result<Content, Failure> {
        self.app.block_on(async {
            let found = self.find(name).await?;
            if !found.is_list() {
                let image = found.image().await.map_err(|error| failure(name, error))?;
                return Entry::new(image).map(|entry| Content::Image(Box::new(entry)));
            }
            let images = found.images().await.map_err(|error| failure(name, error))?;
            let entries: Result<_, _> = images.into_iter().map(Entry::new).collect();
            entries.map(Content::List)
        })
    }

    async fn find(&self, name: &Reference) -> Result<Found<'_>, Failure> {
        let found = self.registry.look_up(name, self.credentials.clone()).await;
        let found = found.map_err(|error| failure(name, error))?;
        // Even a registry on this machine is read without encryption only on demand, as with docker.
        match found.is_encrypted() || self.is_insecure {
            true => Ok(found),
            false => Err(no_such_manifest(name)),
        }
    }

    /// The client, for what is written.
    pub(super) fn registry(&self) -> &Registry {
        &self.registry
    }

    /// Who asks.
    pub(super) fn credentials(&self) -> Option<Credentials> {
        self.credentials.clone()
    }
}

fn credentials(auth: AuthConfig) -> Credentials {
    let AuthConfig { username, password, identitytoken, registrytoken, .. } = auth;
    Credentials { username, password, identity_token: identitytoken, registry_token: registrytoken }
}

fn no_such_manifest(name: &Reference) -> Failure {
    Failure::message(format!("no such manifest: {name}"))
}

/// Docker's words for what a registry says, and the registry's where docker has none.
pub(super) fn failure(name: &Reference, error: Error) -> Failure {
    match error {
        Error::ManifestUnknown { .. } | Error::NameUnknown { .. } => no_such_manifest(name),
        Error::Api(ref cause) if cause.code == "UNAUTHORIZED" && cause.message != NO_CREDENTIALS => {
            Failure::message(format!("no such manifest: {name}: {error}"))
        }
        Error::Status(_) => Failure::message(format!("no such manifest: {name}: {error}")),
        Error::Network { ref url, .. } if url.ends_with("/v2/") => {
            Failure::message(format!("failed to configure transport: error pinging v2 registry: {error}"))
        }
        other => Failure::message(other.to_string()),
    }
}

/// What the client itself says where a registry wants a password and there is none.
const NO_CREDENTIALS: &str = "no basic auth credentials";
