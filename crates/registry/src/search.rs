//! Finding repositories, by the one part of the registry API's first version that is left.

use image::manifest::ManifestError;
use reqwest::header::AUTHORIZATION;
use reqwest::{Client, Response, StatusCode};
use serde::Deserialize;
use url::Url;

use crate::auth::{Asked, answer};
use crate::error::Error;
use crate::network::own_host;
use crate::session::{limited_body, network_error, ping};
use crate::tls::{self, Purpose};
use crate::{Credentials, Registry};

/// Bytes that an answer may have.
const MAX_ANSWER: u64 = 4 << 20;
/// Results that can be asked for at once, and those that are where nobody says how many.
const MAX_RESULTS: u32 = 100;
const USUAL_RESULTS: u32 = 25;
/// Where docker.io has its search.
const DOCKER_HUB: &str = "index.docker.io";
/// What a token has to be good for.
const SCOPE: &str = "registry:catalog:search";

/// What is looked for.
#[derive(Clone, Debug)]
pub struct SearchRequest {
    /// Words, after a registry and a slash where it is not docker.io: `debian`, `localhost:5000/debian`.
    pub term: String,
    /// How many results there may be, at most 100; 0 is 25.
    pub limit: u32,
    /// Who asks.
    pub credentials: Option<Credentials>,
}

/// A repository that was found.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct FoundRepository {
    /// Its name.
    #[serde(default)]
    pub name: String,
    /// What it is, in its owner's words.
    #[serde(default, deserialize_with = "or_default")]
    pub description: String,
    /// How many like it.
    #[serde(default, deserialize_with = "or_default")]
    pub star_count: i64,
    /// Whether it is one of docker.io's own.
    #[serde(default, deserialize_with = "or_default")]
    pub is_official: bool,
}

/// Registries write `null` where they know nothing.
fn or_default<'de, D: serde::Deserializer<'de>, T: Deserialize<'de> + Default>(it: D) -> Result<T, D::Error> {
    Option::deserialize(it).map(Option::unwrap_or_default)
}

#[derive(Deserialize)]
struct Answer {
    #[serde(default, deserialize_with = "or_default")]
    results: Vec<FoundRepository>,
}

impl Registry {
    /// Asks a registry for repositories.
    ///
    /// # Errors
    /// When the term or limit makes no sense, the registry cannot be reached in bounded time, refuses, or has no search.
    pub async fn search(&self, request: SearchRequest) -> Result<Vec<FoundRepository>, Error> {
        let search = Search::new(&request)?;
        let limit = self.config.idle_timeout;
        tokio::time::timeout(limit, self.answered(&search, request.credentials.as_ref()))
            .await
            .unwrap_or_else(|_| Err(Error::SearchTime { registry: search.registry.to_owned(), limit }))
    }

    async fn answered(
        &self,
        search: &Search<'_>,
        credentials: Option<&Credentials>,
    ) -> Result<Vec<FoundRepository>, Error> {
        let host = own_host(&self.config, search.host())?;
        let client = tls::client(&self.config, &host, Purpose::Requests)?;
        let mut last = Error::Host(search.registry.to_owned());
        for base in &host.bases {
            match self.ask(&client, base, search.url(base)?, credentials).await {
                Err(error @ Error::Network { .. }) => last = error,
                other => return search.results(other?).await,
            }
        }
        Err(last)
    }

    async fn ask(
        &self,
        client: &Client,
        base: &Url,
        url: Url,
        credentials: Option<&Credentials>,
    ) -> Result<Response, Error> {
        let mut request = client.get(url.clone());
        if let Some(header) = self.authorization(client, base, credentials).await? {
            request = request.header(AUTHORIZATION, header);
        }
        request.send().await.map_err(|error| network_error("Get", url.as_str(), &error))
    }

    /// A password is shown to the registry; for an identity token its second version gives a token.
    async fn authorization(
        &self,
        client: &Client,
        base: &Url,
        credentials: Option<&Credentials>,
    ) -> Result<Option<String>, Error> {
        let Some(credentials) = credentials else { return Ok(None) };
        let is_token = !credentials.identity_token.is_empty() || !credentials.registry_token.is_empty();
        if !is_token {
            return Ok(credentials.has_password().then(|| credentials.basic()));
        }
        let challenges = ping(client, base).await?;
        let asked = Asked { scopes: &[SCOPE.to_owned()], wants_identity: false };
        match challenges.is_empty() {
            true => Ok(None),
            false => {
                let granted = answer(&self.config, client, &challenges, Some(credentials), &asked).await?;
                Ok(Some(granted.header))
            }
        }
    }
}

/// A search that makes sense.
#[derive(Debug, PartialEq, Eq)]
struct Search<'a> {
    registry: &'a str,
    words: &'a str,
    limit: u32,
}

impl<'a> Search<'a> {
    fn new(request: &'a SearchRequest) -> Result<Self, Error> {
        let term = request.term.as_str();
        if term.contains("://") {
            return Err(Error::SearchTerm(term.to_owned()));
        }
        let limit = if request.limit == 0 { USUAL_RESULTS } else { request.limit };
        if limit > MAX_RESULTS {
            return Err(Error::SearchLimit { limit, most: MAX_RESULTS });
        }
        let (registry, words) = split(term);
        Ok(Self { registry, words, limit })
    }

    fn host(&self) -> &str {
        if self.registry == "docker.io" { DOCKER_HUB } else { self.registry }
    }

    /// Beside the root of the second version.
    fn url(&self, base: &Url) -> Result<Url, Error> {
        let mut url = base.join("/v1/search").map_err(|_| Error::Host(self.registry.to_owned()))?;
        url.query_pairs_mut().append_pair("q", self.words).append_pair("n", &self.limit.to_string());
        Ok(url)
    }

    async fn results(&self, response: Response) -> Result<Vec<FoundRepository>, Error> {
        match response.status() {
            StatusCode::OK => {}
            StatusCode::NOT_FOUND => return Err(Error::NoSearch(self.registry.to_owned())),
            status => return Err(Error::SearchStatus(status.as_u16())),
        }
        let body = limited_body(response, "search results", MAX_ANSWER).await?;
        let malformed = |source| ManifestError::Malformed { what: "search results", source };
        let answer: Answer =
            serde_json::from_slice(&body).map_err(|error| image::Error::from(malformed(error)))?;
        Ok(answer.results)
    }
}

/// The registry and the words of a term. docker.io's own images have a folder that nobody sees.
fn split(term: &str) -> (&str, &str) {
    let (registry, words) = match term.split_once('/') {
        Some((first, rest)) if first.contains(['.', ':']) || first == "localhost" => (first, rest),
        _ => ("docker.io", term),
    };
    match registry {
        "docker.io" | DOCKER_HUB => ("docker.io", words.strip_prefix("library/").unwrap_or(words)),
        other => (other, words),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn term_names_a_registry_or_not() {
        assert_eq!(split("debian"), ("docker.io", "debian"));
        assert_eq!(split("team/app"), ("docker.io", "team/app"));
        assert_eq!(split("library/debian"), ("docker.io", "debian"));
        assert_eq!(split("index.docker.io/library/debian"), ("docker.io", "debian"));
        assert_eq!(split("localhost/app"), ("localhost", "app"));
        assert_eq!(split("r.example:5000/team/app"), ("r.example:5000", "team/app"));
    }

    #[test]
    fn what_makes_no_sense_is_refused_before_anybody_is_asked() {
        let request = |term: &str, limit| SearchRequest { term: term.into(), limit, credentials: None };
        let error = Search::new(&request("https://r.example/a", 0)).unwrap_err().to_string();
        assert!(error.contains("should not have a scheme"), "{error}");
        let error = Search::new(&request("a", 101)).unwrap_err().to_string();
        assert_eq!(error, "limit 101 is outside the range of [1, 100]");
        assert_eq!(Search::new(&request("a", 0)).unwrap().limit, 25);
    }

    #[test]
    fn words_are_escaped_in_the_address() {
        let request = SearchRequest { term: "r.example/a b&n=9".into(), limit: 3, credentials: None };
        let base = Url::parse("https://r.example/v2/").unwrap();
        let url = Search::new(&request).unwrap().url(&base).unwrap();
        assert_eq!(url.as_str(), "https://r.example/v1/search?q=a+b%26n%3D9&n=3");
    }
}
