//! Builds, and what they keep.

use std::collections::BTreeMap;

use api::auth::{self, AuthConfig};
use api::build::{BuildOptions, BuildRequest, CachePruneOptions, CachePruneResponse, REQUEST_TYPE};
use api::system::DiskUsage;
use bytes::Bytes;
use futures_util::{Stream, StreamExt as _, stream};
use http::{HeaderName, HeaderValue, header};

use crate::connection::{Call, Client, image_path};
use crate::{ByteStream, Error, Lines};

/// [`auth::CONFIG_HEADER`] in the lower case that HTTP libraries use.
const CONFIG_HEADER: &str = "x-registry-config";
const _: () = assert!(auth::CONFIG_HEADER.len() == CONFIG_HEADER.len());

/// Credentials for registries, by their addresses.
pub type Credentials = BTreeMap<String, AuthConfig>;

/// All methods fail with [`Error::Daemon`] if the engine refuses, and with [`Error::Connect`] or
/// [`Error::Transport`] if it cannot be reached.
#[allow(clippy::missing_errors_doc, reason = "said once, above")]
impl Client {
    /// What the engine calls itself (`Server`): `Docker/28.2.2 (linux)`.
    pub async fn engine_name(&self) -> Result<String, Error> {
        let call = Call::get("/_ping", "");
        let reply = self.send(&call).await?;
        let name = reply.response.headers().get(header::SERVER).and_then(|value| value.to_str().ok());
        let name = name.unwrap_or_default().to_owned();
        reply.collect(&call).await?;
        Ok(name)
    }

    /// Builds an image by Corten's own way. The lines are [`api::build::BuildMessage`]s. Dropping them cancels the build.
    pub async fn build<S>(
        &self,
        request: &BuildRequest,
        archive: Option<S>,
        credentials: &Credentials,
    ) -> Result<Lines, Error>
    where
        S: Stream<Item = std::io::Result<Bytes>> + Send + Sync + 'static,
    {
        let mut line = serde_json::to_vec(request).expect("requests are always JSON");
        line.push(b'\n');
        let line = Bytes::from(line);
        let call = with_credentials(Call::post("/build", ""), credentials)
            .header(header::CONTENT_TYPE, HeaderValue::from_static(REQUEST_TYPE));
        let response = match archive {
            Some(archive) => {
                let body = stream::once(async { Ok(line) }).chain(archive);
                self.send_stream(&call, body).await?
            }
            None => self.send(&Call { body: line, ..call.clone() }).await?,
        };
        Ok(Lines::new(ByteStream::new(call, response.into_response())))
    }

    /// Builds an image as Docker's clients do. The lines are progress messages. Dropping them cancels the build.
    pub async fn build_classic<S>(
        &self,
        options: &BuildOptions,
        archive: Option<S>,
        credentials: &Credentials,
    ) -> Result<Lines, Error>
    where
        S: Stream<Item = std::io::Result<Bytes>> + Send + Sync + 'static,
    {
        let call = with_credentials(Call::post("/build", &options.to_query()), credentials)
            .header(header::CONTENT_TYPE, HeaderValue::from_static("application/x-tar"));
        let response = match archive {
            Some(archive) => self.send_stream(&call, archive).await?,
            None => self.send(&call).await?,
        };
        Ok(Lines::new(ByteStream::new(call, response.into_response())))
    }

    /// Removes what builds have kept.
    pub async fn prune_build_cache(&self, options: &CachePruneOptions) -> Result<CachePruneResponse, Error> {
        self.json(Call::post("/build/prune", &options.to_query())).await
    }

    /// What builds have kept, as the engine's own records. Engines before API 1.42 are asked for all that is on the disk.
    pub async fn build_cache(&self) -> Result<Vec<serde_json::Value>, Error> {
        let usage: DiskUsage = self.json(Call::get("/system/df", "type=build-cache")).await?;
        Ok(usage.build_cache.unwrap_or_default())
    }

    /// The files of an image as a tar of its root. Only Corten has this.
    pub async fn image_tree(&self, image: &str) -> Result<ByteStream, Error> {
        let call = Call::get(&format!("/images/{}/tree", image_path(image)), "");
        let response = self.send(&call).await?.into_response();
        Ok(ByteStream::new(call, response))
    }
}

fn with_credentials(call: Call, credentials: &Credentials) -> Call {
    match HeaderValue::from_str(&auth::encode_config(credentials)) {
        Ok(mut value) => {
            value.set_sensitive(true);
            call.header(HeaderName::from_static(CONFIG_HEADER), value)
        }
        Err(_) => call,
    }
}
