//! Images of tars that are somewhere on the network.

use std::fmt;

use image::{Image, ImageStore, NewImage};
use reqwest::Response;
use url::Url;

use crate::Registry;
use crate::error::Error;
use crate::network::{Capabilities, Host, Security, Trust};
use crate::pipe::{Sender, pipe};
use crate::progress::{Meter, Progress, ProgressSink};
use crate::session::network_error;
use crate::tls::{self, Purpose};

/// Where a tar is: an address of HTTP, with TLS or without. It is shown without what may be secret in it.
#[derive(Clone, Debug)]
pub struct Source(Url);

impl Source {
    /// Reads an address; without a scheme it is one of plain HTTP.
    ///
    /// # Errors
    /// [`Error::Url`].
    pub fn parse(text: &str) -> Result<Self, Error> {
        let whole = if text.contains("://") { text.to_owned() } else { format!("http://{text}") };
        let refused = |reason: String| Error::Url { url: without_secrets(text), reason };
        let url = Url::parse(&whole).map_err(|error| refused(error.to_string()))?;
        match url.scheme() {
            "http" | "https" => Ok(Self(url)),
            other => Err(refused(format!("unsupported protocol scheme {other:?}"))),
        }
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut url = self.0.clone();
        // Both fail only for addresses without a host, which HTTP's are not.
        let _ = url.set_username("");
        let _ = url.set_password(None);
        url.set_query(None);
        url.set_fragment(None);
        url.fmt(f)
    }
}

fn without_secrets(text: &str) -> String {
    let text = text.split(['?', '#']).next().unwrap_or_default();
    match (text.split_once("://"), text.rsplit_once('@')) {
        (Some((scheme, _)), Some((_, rest))) => format!("{scheme}://{rest}"),
        (None, Some((_, rest))) => rest.to_owned(),
        _ => text.to_owned(),
    }
}

impl Registry {
    /// Makes an image of the tar of a root file system at `source`, plain or compressed with gzip or zstd. The first message
    /// says that its server has it.
    ///
    /// Dropping the future cancels it: the connection is closed at once, and nothing is left in the store.
    ///
    /// # Errors
    /// When the server cannot be reached, refuses, or sends something that is no tar.
    pub async fn import(
        &self,
        store: &ImageStore,
        source: &Source,
        image: NewImage,
        progress: ProgressSink,
    ) -> Result<Image, Error> {
        let response = self.download(source).await?;
        progress(Progress::message(format!("Downloading from {source}")));
        let (sender, mut receiver) = pipe();
        let store = store.clone();
        let mut meter = Meter::of_all(&progress, "Importing", response.content_length().unwrap_or_default());
        let making = tokio::task::spawn_blocking(move || {
            store.import(&mut receiver, image, &mut |bytes| meter.add(bytes))
        });
        let sent = send(response, sender).await;
        let made = making.await.map_err(|_| Error::Cancelled)?;
        let image = match (sent, made) {
            // The other side knows only that the stream broke.
            (Err(error), Err(_)) => return Err(error),
            (_, made) => made?,
        };
        progress(Progress::message(image.id.to_string()));
        Ok(image)
    }

    async fn download(&self, source: &Source) -> Result<Response, Error> {
        let url = source.0.clone();
        let host = Host {
            bases: vec![url.clone()],
            security: Security::Verified,
            capabilities: Capabilities::ALL,
            is_own: true,
            namespace: None,
            trust: Trust::default(),
        };
        let client = tls::client(&self.config, &host, Purpose::Downloads)?;
        let sent = client.get(url).send().await;
        let response = sent.map_err(|error| network_error("Get", &source.to_string(), &error))?;
        let status = response.status();
        match status.is_success() {
            true => Ok(response),
            false => Err(Error::Download { url: source.to_string(), status: status.to_string() }),
        }
    }
}

/// Sends a body on, until it ends or nobody wants more of it.
async fn send(mut response: Response, sender: Sender) -> Result<(), Error> {
    let url = response.url().to_string();
    while let Some(chunk) = response.chunk().await.map_err(|error| network_error("Get", &url, &error))? {
        if !sender.send(chunk).await {
            // The other side has an error to tell.
            return Ok(());
        }
    }
    sender.finish().await;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn source_is_an_address_of_http() {
        let shown = |text: &str| Source::parse(text).map(|source| source.to_string());
        assert_eq!(shown("example.org/root.tar").unwrap(), "http://example.org/root.tar");
        assert_eq!(shown("https://u:secret@example.org/a?token=secret#b").unwrap(), "https://example.org/a");
        for text in ["ftp://u:secret@example.org/a?secret", "file:///etc/passwd", "http://"] {
            let error = shown(text).unwrap_err().to_string();
            assert!(error.starts_with("invalid URL") && !error.contains("secret"), "{error}");
        }
    }
}
