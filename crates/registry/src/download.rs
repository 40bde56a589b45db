//! Files that are somewhere on the network.

use std::fmt;
use std::io::Read;

use reqwest::Response;
use reqwest::header::{ACCEPT_ENCODING, IF_MODIFIED_SINCE, IF_NONE_MATCH};
use url::Url;

use crate::Registry;
use crate::error::Error;
use crate::network::{Capabilities, Host, Security, Trust};
use crate::pipe::{Sender, pipe};
use crate::session::network_error;
use crate::tls::{self, Purpose};

/// Where a file is: an address of HTTP, with TLS or without. It is shown without what may be secret in it.
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

/// What a file is known by, so that it need not come again where it is the same still (RFC 9110, section 13).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Condition {
    /// Its `ETag`.
    pub etag: Option<String>,
    /// Its `Last-Modified`.
    pub modified: Option<String>,
}

impl Registry {
    /// Asks for a file. The answer, whatever its status, is there once the server begins with it. Its bytes are as they are
    /// sent, and as the server keeps them, unless it compresses what nobody wants compressed.
    ///
    /// Dropping the future, and the answer, closes the connection.
    ///
    /// # Errors
    /// When the server cannot be reached or leads elsewhere too often, or to where it is not encrypted any more.
    pub async fn download(&self, source: &Source, condition: &Condition) -> Result<Download, Error> {
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
        let mut request = client.get(url).header(ACCEPT_ENCODING, "identity");
        if let Some(etag) = &condition.etag {
            request = request.header(IF_NONE_MATCH, etag);
        }
        if let Some(modified) = &condition.modified {
            request = request.header(IF_MODIFIED_SINCE, modified);
        }
        let shown = source.to_string();
        let response = request.send().await.map_err(|error| network_error("Get", &shown, &error))?;
        Ok(Download { response, shown })
    }
}

/// A server's answer, whose body is still to come.
#[derive(Debug)]
pub struct Download {
    response: Response,
    shown: String,
}

impl Download {
    /// The status code.
    pub fn status(&self) -> u16 {
        self.response.status().as_u16()
    }

    /// Fails unless the status is one of success.
    ///
    /// # Errors
    /// [`Error::Download`].
    pub fn succeeded(self) -> Result<Self, Error> {
        match self.response.status() {
            status if status.is_success() => Ok(self),
            status => Err(Error::Download { url: self.shown, status: status.to_string() }),
        }
    }

    /// A header, where there is one that is text.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.response.headers().get(name)?.to_str().ok()
    }

    /// Bytes that are announced.
    pub fn length(&self) -> Option<u64> {
        self.response.content_length()
    }

    /// Gives the body to `consume`, on a thread that may block. A body that breaks off is an error of its reader.
    ///
    /// Dropping the future closes the connection, which `consume` learns by such an error; it is not waited for.
    ///
    /// # Errors
    /// When the connection breaks off and `consume` fails.
    pub async fn consume<T, E>(
        self,
        consume: impl FnOnce(&mut (dyn Read + Send)) -> Result<T, E> + Send + 'static,
    ) -> Result<Result<T, E>, Error>
    where
        T: Send + 'static,
        E: Send + 'static,
    {
        let (sender, mut receiver) = pipe();
        let consuming = tokio::task::spawn_blocking(move || consume(&mut receiver));
        let sent = self.send(sender).await;
        let consumed = consuming.await.map_err(|_| Error::Cancelled)?;
        match (sent, consumed) {
            // The other side knows only that the stream broke.
            (Err(error), Err(_)) => Err(error),
            (_, consumed) => Ok(consumed),
        }
    }

    /// Sends the body on, until it ends or nobody wants more of it.
    async fn send(mut self, sender: Sender) -> Result<(), Error> {
        loop {
            let next = self.response.chunk().await;
            let Some(chunk) = next.map_err(|error| network_error("Get", &self.shown, &error))? else { break };
            if !sender.send(chunk).await {
                // The other side has an error to tell.
                return Ok(());
            }
        }
        sender.finish().await;
        Ok(())
    }
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
