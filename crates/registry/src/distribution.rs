//! What a name stands for in its registry, without pulling it.

use image::manifest::{Descriptor, Document, PlatformSpec};
use oci::Reference;

use crate::blob::fetch_config;
use crate::error::Error;
use crate::manifest::{fetch, key_of};
use crate::network::Attempts;
use crate::session::{Access, Session};
use crate::{Credentials, Registry};

/// A manifest or index in a registry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Distribution {
    /// What it is.
    pub descriptor: Descriptor,
    /// The platforms that it is for.
    pub platforms: Vec<PlatformSpec>,
    /// Its bytes.
    pub document: Vec<u8>,
}

impl Registry {
    /// Asks a registry what a name stands for. Without tag and digest it is the tag `latest`.
    ///
    /// # Errors
    /// When the registry cannot be reached, refuses, or sends something that is not what it should be.
    pub async fn describe(
        &self,
        reference: &Reference,
        credentials: Option<Credentials>,
    ) -> Result<Distribution, Error> {
        let reference = reference.clone().or_latest();
        let mut attempts = Attempts::new(&self.config, &reference)?;
        while let Some(host) = attempts.next() {
            let credentials = credentials.clone();
            let found = async {
                let session =
                    Session::connect(&self.config, &host, &reference, credentials, Access::Pull).await?;
                self.describe_in(&session, &reference).await
            };
            match found.await {
                Err(error) => attempts.failed(&host, error)?,
                described => return described,
            }
        }
        Err(attempts.exhausted())
    }

    async fn describe_in(&self, session: &Session<'_>, reference: &Reference) -> Result<Distribution, Error> {
        let found = fetch(session, reference, &key_of(reference), reference.digest()).await?;
        let platforms = match &found.document {
            Document::Index(index) => {
                index.manifests.iter().filter_map(|entry| entry.platform.clone()).collect()
            }
            Document::Manifest(manifest) => {
                let config = fetch_config(session, &self.config, &manifest.config).await?;
                serde_json::from_slice(&config).into_iter().collect()
            }
        };
        Ok(Distribution { descriptor: found.descriptor, platforms, document: found.content })
    }
}
