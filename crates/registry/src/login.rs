//! Finding out whether a registry knows somebody.

use oci::Reference;
use reqwest::header::AUTHORIZATION;
use reqwest::{Client, StatusCode};
use url::Url;

use crate::auth::{Asked, Granted, answer};
use crate::error::Error;
use crate::network::own_host;
use crate::session::{network_error, ping};
use crate::tls::{self, Purpose};
use crate::{Credentials, Registry};

impl Registry {
    /// Asks the registry at `domain` whether it knows these credentials. The result is a token that can be kept in the
    /// place of the password, where the registry has such.
    ///
    /// # Errors
    /// When it does not, or cannot be reached.
    pub async fn login(&self, domain: &str, credentials: &Credentials) -> Result<Option<String>, Error> {
        // The same rules hold for what can be a registry's name here and in an image's.
        let name = Reference::parse(&format!("{domain}/any")).ok().filter(|name| name.domain() == domain);
        let name = name.ok_or_else(|| Error::Host(domain.to_owned()))?;
        let host = own_host(&self.config, name.domain())?;
        let client = tls::client(&self.config, &host, Purpose::Requests)?;
        let mut last = Error::Host(domain.to_owned());
        for base in host.bases {
            match ping(&client, &base).await {
                Ok(challenges) if challenges.is_empty() => return Ok(None),
                Ok(challenges) => {
                    let asked = Asked { scopes: &[], wants_identity: true };
                    let granted =
                        answer(&self.config, &client, &challenges, Some(credentials), &asked).await?;
                    return check(&client, &base, granted).await;
                }
                Err(error) => last = error,
            }
        }
        Err(last)
    }
}

async fn check(client: &Client, base: &Url, granted: Granted) -> Result<Option<String>, Error> {
    let request = client.get(base.clone()).header(AUTHORIZATION, granted.header);
    let response = request.send().await.map_err(|error| network_error("Get", base.as_str(), &error))?;
    match response.status() {
        StatusCode::OK => Ok(granted.identity),
        status => Err(Error::Login { url: base.to_string(), status: status.to_string() }),
    }
}
