//! The engine itself, and what happens in it.

use api::auth::{AuthConfig, LoginResponse};
use api::event::EventOptions;
use api::query::QueryWriter;
use api::system::{DiskUsage, Info, Ping, Version};
use bytes::Bytes;

use crate::connection::{Call, Client};
use crate::containers::unix_time;
use crate::{ByteStream, Error, Lines};

/// All methods fail with [`Error::Daemon`] if the engine refuses, and with [`Error::Connect`] or
/// [`Error::Transport`] if it cannot be reached.
#[allow(clippy::missing_errors_doc, reason = "said once, above")]
impl Client {
    /// What images, containers and volumes take of the disk.
    pub async fn disk_usage(&self) -> Result<DiskUsage, Error> {
        self.json(Call::get("/system/df", "")).await
    }

    /// Asks whether the engine is there, and what it is.
    pub async fn ping(&self) -> Result<Ping, Error> {
        let call = Call::get("/_ping", "");
        let reply = self.send(&call).await?;
        let headers = reply.response.headers().clone();
        reply.collect(&call).await?;
        let text = |name: &str| {
            headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned()
        };
        Ok(Ping {
            api_version: text("api-version"),
            os_type: text("ostype"),
            experimental: text("docker-experimental") == "true",
            builder_version: text("builder-version"),
            swarm: text("swarm"),
        })
    }

    /// Asks a registry, through the engine, whether it knows somebody.
    pub async fn login(&self, auth: &AuthConfig) -> Result<LoginResponse, Error> {
        self.json(Call::post("/auth", "").json(auth)).await
    }

    /// The versions of the engine and its parts.
    pub async fn engine_version(&self) -> Result<Version, Error> {
        self.json(Call::get("/version", "")).await
    }

    /// What the engine and its host are and can.
    pub async fn info(&self) -> Result<Info, Error> {
        self.json(Call::get("/info", "")).await
    }

    /// The same as the engine's own JSON.
    pub async fn info_raw(&self) -> Result<Bytes, Error> {
        self.bytes(Call::get("/info", "")).await
    }

    /// Verifies everything the engine keeps; the lines are progress messages, the last one has the report.
    pub async fn check_system(&self, repair: bool) -> Result<Lines, Error> {
        let call = Call::post("/system/check", &QueryWriter::new().flag("repair", repair).finish());
        let response = self.send(&call).await?.into_response();
        Ok(Lines::new(ByteStream::new(call, response)))
    }

    /// What occupies the disk, as the engine's own JSON.
    pub async fn disk_usage_raw(&self) -> Result<Bytes, Error> {
        self.bytes(Call::get("/system/df", "")).await
    }

    /// Any object that the engine names by a path, as its own JSON: `/networks/x`, `/volumes/y`.
    pub async fn object_raw(&self, path: &str) -> Result<Bytes, Error> {
        self.bytes(Call::get(path, "")).await
    }

    /// What happens, as it happens; the lines are events.
    pub async fn events(&self, options: &EventOptions) -> Result<Lines, Error> {
        let query = QueryWriter::new()
            .optional("since", options.since.map(unix_time))
            .optional("until", options.until.map(unix_time))
            .filters(&options.filters)
            .finish();
        let call = Call::get("/events", &query);
        let response = self.send(&call).await?.into_response();
        Ok(Lines::new(ByteStream::new(call, response)))
    }
}
