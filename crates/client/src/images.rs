//! Images.

use api::Filters;
use api::auth::{self, AuthConfig};
use api::image::{
    DeleteItem, HistoryItem, ImageInspect, ImageSummary, ListOptions, LoadOptions, PruneResponse,
    PullOptions, PushOptions, RemoveOptions, SaveOptions, SearchOptions, SearchResult, TagOptions,
};
use api::query::QueryWriter;
use bytes::Bytes;
use futures_util::Stream;
use http::{HeaderName, HeaderValue, Method, header};

use crate::connection::{Call, Client, image_path};
use crate::{ByteStream, Error, Lines};

fn path(image: &str, verb: &str) -> String {
    format!("/images/{}/{verb}", image_path(image))
}

/// All methods fail with [`Error::Daemon`] if the engine refuses, and with [`Error::Connect`] or
/// [`Error::Transport`] if it cannot be reached.
#[allow(clippy::missing_errors_doc, reason = "said once, above")]
impl Client {
    /// The images that match.
    pub async fn images(&self, options: &ListOptions) -> Result<Vec<ImageSummary>, Error> {
        self.json(Call::get("/images/json", &options.to_query())).await
    }

    /// Looks for images in a registry.
    pub async fn search_images(
        &self,
        options: &SearchOptions,
        auth: &AuthConfig,
    ) -> Result<Vec<SearchResult>, Error> {
        let mut call = Call::get("/images/search", &options.to_query());
        if let Ok(value) = HeaderValue::from_str(&auth.encode()) {
            call = call.header(HeaderName::from_static(AUTH_HEADER), value);
        }
        self.json(call).await
    }

    /// Everything about one image.
    pub async fn inspect_image(&self, image: &str) -> Result<ImageInspect, Error> {
        self.json(Call::get(&path(image, "json"), "")).await
    }

    /// The same as the engine's own JSON, for this platform (a JSON object) unless it is empty.
    pub async fn inspect_image_raw(&self, image: &str, platform: &str) -> Result<Bytes, Error> {
        let query = QueryWriter::new().text("platform", platform).finish();
        self.bytes(Call::get(&path(image, "json"), &query)).await
    }

    /// The steps an image was made by, for this platform (a JSON object) unless it is empty.
    pub async fn image_history(&self, image: &str, platform: &str) -> Result<Vec<HistoryItem>, Error> {
        let query = QueryWriter::new().text("platform", platform).finish();
        self.json(Call::get(&path(image, "history"), &query)).await
    }

    /// Gives an image a further name.
    pub async fn tag_image(&self, image: &str, options: &TagOptions) -> Result<(), Error> {
        self.empty(Call::post(&path(image, "tag"), &options.to_query())).await
    }

    /// Removes a name of an image, and the image with its last name.
    pub async fn remove_image(&self, image: &str, options: &RemoveOptions) -> Result<Vec<DeleteItem>, Error> {
        let path = format!("/images/{}", image_path(image));
        self.json(Call::new(Method::DELETE, &path, &options.to_query())).await
    }

    /// Removes unused images.
    pub async fn prune_images(&self, filters: &Filters) -> Result<PruneResponse, Error> {
        let query = QueryWriter::new().filters(filters).finish();
        self.json(Call::post("/images/prune", &query)).await
    }

    /// Pulls an image; the lines are progress messages.
    pub async fn pull_image(&self, options: &PullOptions, auth: Option<&AuthConfig>) -> Result<Lines, Error> {
        let mut call = Call::post("/images/create", &options.to_query());
        if let Some(value) = auth.and_then(|auth| HeaderValue::from_str(&auth.encode()).ok()) {
            call = call.header(HeaderName::from_static(AUTH_HEADER), value);
        }
        let response = self.send(&call).await?.into_response();
        Ok(Lines::new(ByteStream::new(call, response)))
    }

    /// Makes an image of a tar, or of what is at the URL in the options; the lines are progress messages.
    pub async fn import_image<S>(&self, options: &PullOptions, archive: Option<S>) -> Result<Lines, Error>
    where
        S: Stream<Item = std::io::Result<Bytes>> + Send + Sync + 'static,
    {
        let call = Call::post("/images/create", &options.to_query());
        let response = match archive {
            Some(archive) => {
                let call =
                    call.clone().header(header::CONTENT_TYPE, HeaderValue::from_static("application/x-tar"));
                self.send_stream(&call, archive).await?.into_response()
            }
            None => self.send(&call).await?.into_response(),
        };
        Ok(Lines::new(ByteStream::new(call, response)))
    }

    /// Saves images; the stream is a tar.
    pub async fn save_images(&self, options: &SaveOptions) -> Result<ByteStream, Error> {
        let call = Call::get("/images/get", &options.to_query());
        let response = self.send(&call).await?.into_response();
        Ok(ByteStream::new(call, response))
    }

    /// Pushes an image; the lines are progress messages.
    pub async fn push_image(
        &self,
        image: &str,
        options: &PushOptions,
        auth: &AuthConfig,
    ) -> Result<Lines, Error> {
        let mut call = Call::post(&path(image, "push"), &options.to_query());
        // Unlike for a pull, some engines want the header even of those who have no account.
        if let Ok(value) = HeaderValue::from_str(&auth.encode()) {
            call = call.header(HeaderName::from_static(AUTH_HEADER), value);
        }
        let response = self.send(&call).await?.into_response();
        Ok(Lines::new(ByteStream::new(call, response)))
    }

    /// Loads images from an archive; the lines are progress messages.
    pub async fn load_images<S>(&self, options: &LoadOptions, archive: S) -> Result<Lines, Error>
    where
        S: Stream<Item = std::io::Result<Bytes>> + Send + Sync + 'static,
    {
        let call = Call::post("/images/load", &options.to_query())
            .header(header::CONTENT_TYPE, HeaderValue::from_static("application/x-tar"));
        let response = self.send_stream(&call, archive).await?.into_response();
        Ok(Lines::new(ByteStream::new(call, response)))
    }
}

/// [`auth::HEADER`] in the lower case that HTTP libraries use.
const AUTH_HEADER: &str = "x-registry-auth";
const _: () = assert!(auth::HEADER.len() == AUTH_HEADER.len());
