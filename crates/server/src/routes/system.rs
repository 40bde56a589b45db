//! The engine itself: ping, version, info, events.

use std::sync::Arc;

use api::event::{Event, EventOptions};
use api::system::{ComponentVersion, Info, PlatformName, Version};
use api::{ApiVersion, Time};
use bytes::Bytes;
use futures_util::stream;
use http::{HeaderValue, StatusCode, header};

use super::blocking::blocking;
use super::{Api, info_shape};
use crate::error::Error;
use crate::host::Host;
use crate::http::{Body, Call, Response, json, json_lines};

const VERSION: &str = env!("CARGO_PKG_VERSION");

/// What is said of the program and its host, and does not change.
pub(super) struct About {
    host: Host,
    arch: &'static str,
}

impl About {
    pub(super) fn of_host() -> Self {
        let arch = match std::env::consts::ARCH {
            "x86_64" => "amd64",
            "aarch64" => "arm64",
            other => other,
        };
        Self { host: Host::read(), arch }
    }
}

pub(super) fn ping() -> Response {
    let mut response = Response::new(Body::from(Bytes::from_static(b"OK")));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache, no-store, must-revalidate"));
    headers.insert(header::PRAGMA, HeaderValue::from_static("no-cache"));
    headers.insert("swarm", HeaderValue::from_static("inactive"));
    response
}

impl Api {
    pub(super) fn version(&self) -> Response {
        let About { host, arch } = &self.about;
        let details = [
            ("ApiVersion", ApiVersion::NEWEST.to_string()),
            ("Arch", (*arch).to_owned()),
            ("KernelVersion", host.kernel.clone()),
            ("MinAPIVersion", ApiVersion::OLDEST.to_string()),
            ("Os", "linux".to_owned()),
        ];
        let engine = ComponentVersion {
            name: "Engine".to_owned(),
            version: VERSION.to_owned(),
            details: Some(details.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()),
        };
        let version = Version {
            platform: PlatformName { name: "Corten".to_owned() },
            components: vec![engine],
            version: VERSION.to_owned(),
            api_version: ApiVersion::NEWEST.to_string(),
            min_api_version: ApiVersion::OLDEST.to_string(),
            os: "linux".to_owned(),
            arch: (*arch).to_owned(),
            kernel_version: host.kernel.clone(),
            ..Version::default()
        };
        json(StatusCode::OK, &version)
    }

    pub(super) async fn info(&self, call: &Call) -> Result<Response, Error> {
        let version = call.version();
        let engine = self.engine.clone();
        let info = blocking(move || Ok::<_, Error>(engine.info())).await?;
        let info = self.about.host.complete(info);
        let proxies = self.registries.proxies();
        let info = Info {
            http_proxy: proxies.http,
            https_proxy: proxies.https,
            no_proxy: proxies.without,
            server_version: VERSION.to_owned(),
            system_time: Time::now().to_string(),
            registry_config: Some(self.registries.describe()),
            index_server_address: "https://index.docker.io/v1/".to_owned(),
            ..info
        };
        Ok(json(StatusCode::OK, &info_shape::info(info, version)))
    }

    pub(super) fn events(&self, call: &Call) -> Result<Response, Error> {
        let query = call.query();
        let options = EventOptions::from_query(&query)?;
        if let (Some(since), Some(until)) = (options.since, options.until)
            && until < since
        {
            let message = format!(
                "`since` time ({}) cannot be after `until` time ({})",
                query.text("since"),
                query.text("until")
            );
            return Err(Error::BadRequest(message));
        }
        let listener = self.engine.events().listen(options)?;
        Ok(json_lines(stream::unfold(listener, async |mut listener| {
            let event: Arc<Event> = listener.next().await?;
            Some((event, listener))
        })))
    }
}
