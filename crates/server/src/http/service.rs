//! From a request to an answer: the version, the handler, the headers that every answer has.

use std::sync::Arc;

use api::ApiVersion;
use http::{HeaderName, HeaderValue, Method, Request, header};
use hyper::body::Incoming;

use super::{Body, Call, Response};
use crate::error::Error;

/// What does the work of a request.
pub trait Handler: Send + Sync + 'static {
    /// Answers a request. Dropping the future means that the client has left.
    fn handle(&self, call: Call) -> impl Future<Output = Result<Response, Error>> + Send;
}

/// Answers a request, whatever happens.
pub(super) async fn answer<H: Handler>(handler: Arc<H>, request: Request<Incoming>) -> Response {
    let is_head = request.method() == Method::HEAD;
    let mut response = match negotiate(request) {
        Ok(call) => handler.handle(call).await.unwrap_or_else(Error::into_response),
        Err(error) => error.into_response(),
    };
    if is_head {
        *response.body_mut() = Body::empty();
    }
    add_common_headers(&mut response);
    response
}

/// Takes the version off the path: `/v1.44/info` is `/info` in version 1.44; `/info` is the newest version.
fn negotiate(request: Request<Incoming>) -> Result<Call, Error> {
    let (parts, body) = request.into_parts();
    let (version, path_start) = match version_prefix(parts.uri.path()) {
        None => (ApiVersion::NEWEST, 0),
        Some((version, length)) => (check_version(version)?, length),
    };
    Ok(Call::new(parts, body, version, path_start))
}

/// The version in a path that begins with `/v<digits>.<digits>/`, and the length of that part.
fn version_prefix(path: &str) -> Option<(ApiVersion, usize)> {
    let rest = path.strip_prefix("/v")?;
    let end = rest.find('/')?;
    Some((rest[..end].parse().ok()?, end + 2))
}

fn check_version(version: ApiVersion) -> Result<ApiVersion, Error> {
    if version < ApiVersion::OLDEST {
        return Err(Error::VersionTooOld(version));
    }
    if version > ApiVersion::NEWEST {
        return Err(Error::VersionTooNew(version));
    }
    Ok(version)
}

fn add_common_headers(response: &mut Response) {
    const API_VERSION: HeaderName = HeaderName::from_static("api-version");
    const EXPERIMENTAL: HeaderName = HeaderName::from_static("docker-experimental");
    const OS_TYPE: HeaderName = HeaderName::from_static("ostype");
    const NEWEST: HeaderValue = HeaderValue::from_static("1.50");
    const SERVER: &str = concat!("Corten/", env!("CARGO_PKG_VERSION"), " (linux)");
    let headers = response.headers_mut();
    headers.insert(API_VERSION, NEWEST);
    headers.insert(EXPERIMENTAL, HeaderValue::from_static("false"));
    headers.insert(OS_TYPE, HeaderValue::from_static("linux"));
    headers.insert(header::SERVER, HeaderValue::from_static(SERVER));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn version_is_taken_off_the_path() {
        let (version, length) = version_prefix("/v1.44/containers/json").unwrap();
        assert_eq!(
            (version, &"/v1.44/containers/json"[length..]),
            (ApiVersion::new(1, 44), "/containers/json")
        );
    }

    #[test]
    fn path_without_version_stays() {
        for path in ["/info", "/volumes/v1.2", "/v1.44", "/vx/info", "/v/info", "/"] {
            assert_eq!(version_prefix(path), None, "{path}");
        }
    }

    #[test]
    fn newest_version_is_in_the_header() {
        let mut response = Response::new(Body::empty());
        add_common_headers(&mut response);
        assert_eq!(response.headers()["api-version"], ApiVersion::NEWEST.to_string().as_str());
    }
}
