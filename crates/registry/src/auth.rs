//! What registries want before they answer: nothing, a password, or a token from somewhere else.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde::Deserialize;
use url::Url;

use crate::Config;
use crate::error::{ApiError, Error};
use crate::network::{Security, security_of};
use crate::session::{limited_body, network_error};

/// Bytes that the answer of a token service may have.
const MAX_TOKEN_ANSWER: u64 = 1 << 20;

/// Who somebody is to a registry, as Docker's clients send it. Never shown in full.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Credentials {
    /// User name.
    pub username: String,
    /// Password.
    pub password: String,
    /// A token to get tokens with, instead of a password.
    pub identity_token: String,
    /// A token for the registry itself.
    pub registry_token: String,
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials").field("username", &self.username).finish_non_exhaustive()
    }
}

impl Credentials {
    pub(crate) fn has_password(&self) -> bool {
        !self.username.is_empty() && self.identity_token.is_empty()
    }

    pub(crate) fn basic(&self) -> String {
        format!("Basic {}", BASE64.encode(format!("{}:{}", self.username, self.password)))
    }
}

/// What a registry wants (RFC 9110, section 11.6.1).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Challenge {
    /// A user name and password.
    Basic,
    /// A token from `realm`.
    Bearer { realm: String, service: Option<String>, scope: Option<String>, error: Option<String> },
}

impl Challenge {
    /// All challenges of a `WWW-Authenticate` header that are known here.
    pub(crate) fn parse(header: &str) -> Vec<Self> {
        let mut found = Vec::new();
        let mut rest = header.trim_start();
        while !rest.is_empty() {
            let end = rest.find([' ', ',']).unwrap_or(rest.len());
            let (scheme, after) = rest.split_at(end);
            let (parameters, after) = parse_parameters(after);
            let value = |name: &str| {
                parameters
                    .iter()
                    .find(|(key, _)| key.eq_ignore_ascii_case(name))
                    .map(|(_, value)| value.clone())
            };
            if scheme.eq_ignore_ascii_case("basic") {
                found.push(Self::Basic);
            } else if let (true, Some(realm)) = (scheme.eq_ignore_ascii_case("bearer"), value("realm")) {
                let (service, scope, error) = (value("service"), value("scope"), value("error"));
                found.push(Self::Bearer { realm, service, scope, error });
            }
            // A comma that no parameter took, or nothing at all, would keep us here for ever.
            rest = after.trim_start_matches([' ', ',']);
        }
        found
    }
}

/// `name=value` pairs up to the next scheme, and what follows them.
fn parse_parameters(mut rest: &str) -> (Vec<(String, String)>, &str) {
    let mut found = Vec::new();
    loop {
        let text = rest.trim_start_matches([' ', ',']);
        let name_end = text.find(['=', ' ', ',']).unwrap_or(text.len());
        if name_end == 0 || !text[name_end..].starts_with('=') {
            // A word without a value is the next scheme; an equals sign without a name is skipped.
            return (found, if name_end == 0 { text.get(1..).unwrap_or_default() } else { text });
        }
        let (value, after) = parse_value(&text[name_end + 1..]);
        found.push((text[..name_end].to_owned(), value));
        rest = after;
    }
}

fn parse_value(text: &str) -> (String, &str) {
    let Some(quoted) = text.strip_prefix('"') else {
        let end = text.find([',', ' ']).unwrap_or(text.len());
        return (text[..end].to_owned(), &text[end..]);
    };
    let mut value = String::new();
    let mut characters = quoted.char_indices();
    while let Some((at, character)) = characters.next() {
        match character {
            '"' => return (value, &quoted[at + 1..]),
            '\\' => value.extend(characters.next().map(|(_, escaped)| escaped)),
            other => value.push(other),
        }
    }
    (value, "")
}

/// What is wanted of a registry.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Asked<'a> {
    /// What a token is to be good for.
    pub(crate) scopes: &'a [String],
    /// Whether a token that can be kept is wanted as well.
    pub(crate) wants_identity: bool,
}

/// What it gave.
pub(crate) struct Granted {
    /// The `Authorization` header.
    pub(crate) header: String,
    /// A token to get tokens with.
    pub(crate) identity: Option<String>,
}

impl Granted {
    fn header(header: String) -> Self {
        Self { header, identity: None }
    }
}

/// Answers a challenge. A token is asked for what is wanted, and for what the challenge names beside it.
pub(crate) async fn answer(
    config: &Config,
    client: &reqwest::Client,
    challenges: &[Challenge],
    credentials: Option<&Credentials>,
    asked: &Asked<'_>,
) -> Result<Granted, Error> {
    if let Some(token) = credentials.map(|given| &given.registry_token).filter(|token| !token.is_empty()) {
        return Ok(Granted::header(format!("Bearer {token}")));
    }
    let bearer = challenges.iter().find(|challenge| matches!(challenge, Challenge::Bearer { .. }));
    match bearer.or_else(|| challenges.first()) {
        Some(Challenge::Bearer { realm, service, scope, .. }) => {
            let realm = check_realm(config, realm)?;
            let mut scopes: Vec<&str> = asked.scopes.iter().map(String::as_str).collect();
            let is_new = |scope: &&str| !scope.is_empty() && !asked.scopes.iter().any(|other| other == scope);
            scopes.extend(scope.as_deref().filter(is_new));
            let service = service.as_deref();
            let wants_identity = asked.wants_identity;
            let request = TokenRequest { realm, service, scopes, wants_identity, credentials };
            request.send(client).await
        }
        Some(Challenge::Basic) => match credentials.filter(|given| given.has_password()) {
            Some(credentials) => Ok(Granted::header(credentials.basic())),
            None => Err(Error::Api(ApiError::new("UNAUTHORIZED", "no basic auth credentials"))),
        },
        None => Err(Error::Authentication("the registry wants none of the known kinds".into())),
    }
}

/// A token service may be on another host, as Docker Hub's is, but is reached by TLS unless it is as insecure as we were
/// told.
fn check_realm(config: &Config, realm: &str) -> Result<Url, Error> {
    let url = Url::parse(realm)
        .map_err(|error| Error::Authentication(format!("invalid realm {realm:?}: {error}")))?;
    match url.scheme() {
        "https" => Ok(url),
        "http" if security_of(config, &url) == Security::Insecure => Ok(url),
        _ => Err(Error::Authentication(format!("realm {realm:?} is not encrypted"))),
    }
}

struct TokenRequest<'a> {
    realm: Url,
    service: Option<&'a str>,
    scopes: Vec<&'a str>,
    wants_identity: bool,
    credentials: Option<&'a Credentials>,
}

#[derive(Deserialize)]
struct TokenAnswer {
    token: Option<String>,
    access_token: Option<String>,
    refresh_token: Option<String>,
}

impl TokenRequest<'_> {
    /// By the password or as nobody with `GET`, by an identity token as OAuth 2 says.
    async fn send(&self, client: &reqwest::Client) -> Result<Granted, Error> {
        let identity = self.credentials.filter(|given| !given.identity_token.is_empty());
        let (method, request) = match identity {
            Some(credentials) => ("Post", self.oauth(client, &credentials.identity_token)),
            None => ("Get", self.simple(client)),
        };
        let url = self.realm.to_string();
        let response = request.send().await.map_err(|error| network_error(method, &url, &error))?;
        let status = response.status();
        let body = limited_body(response, "token", MAX_TOKEN_ANSWER).await?;
        if !status.is_success() {
            return Err(refusal(status, &body));
        }
        let malformed = || Error::Authentication(format!("no token in the answer of {url}"));
        let answer: TokenAnswer = serde_json::from_slice(&body).map_err(|_| malformed())?;
        let token = answer.token.filter(|token| !token.is_empty()).or(answer.access_token);
        let token = token.filter(|token| !token.is_empty()).ok_or_else(malformed)?;
        let identity = answer.refresh_token.filter(|token| self.wants_identity && !token.is_empty());
        Ok(Granted { header: format!("Bearer {token}"), identity })
    }

    fn simple(&self, client: &reqwest::Client) -> reqwest::RequestBuilder {
        let mut url = self.realm.clone();
        url.query_pairs_mut().extend_pairs(self.service.map(|service| ("service", service)));
        if self.wants_identity {
            url.query_pairs_mut().append_pair("offline_token", "true").append_pair("client_id", "corten");
        }
        url.query_pairs_mut().extend_pairs(self.scopes.iter().map(|scope| ("scope", scope)));
        match self.credentials.filter(|given| given.has_password()) {
            Some(credentials) => {
                url.query_pairs_mut().append_pair("account", &credentials.username);
                client.get(url).header("Authorization", credentials.basic())
            }
            None => client.get(url),
        }
    }

    fn oauth(&self, client: &reqwest::Client, refresh: &str) -> reqwest::RequestBuilder {
        let mut form = url::form_urlencoded::Serializer::new(String::new());
        form.append_pair("grant_type", "refresh_token")
            .append_pair("refresh_token", refresh)
            .append_pair("client_id", "corten")
            .append_pair("scope", &self.scopes.join(" "));
        form.extend_pairs(self.service.map(|service| ("service", service)));
        client
            .post(self.realm.clone())
            .header("Content-Type", "application/x-www-form-urlencoded")
            .body(form.finish())
    }
}

fn refusal(status: reqwest::StatusCode, body: &[u8]) -> Error {
    #[derive(Deserialize)]
    struct Details {
        details: String,
    }
    if let Ok(Details { details }) = serde_json::from_slice(body) {
        return Error::Api(ApiError::new("UNAUTHORIZED", &details));
    }
    crate::session::api_error(status, &[], body)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn challenge_of_any_spelling_is_parsed() {
        let bearer = |scope: Option<&str>| Challenge::Bearer {
            realm: "https://a/token".into(),
            service: Some("s, t".into()),
            scope: scope.map(Into::into),
            error: None,
        };
        assert_eq!(Challenge::parse(r#"Basic realm="x""#), [Challenge::Basic]);
        assert_eq!(
            Challenge::parse(
                r#"Bearer realm="https://a/token",service="s, t",scope="repository:a:pull,push""#
            ),
            [bearer(Some("repository:a:pull,push"))]
        );
        assert_eq!(
            Challenge::parse(r#"basic realm=x, bearer realm="https://a/token", service="s, t""#),
            [Challenge::Basic, bearer(None)]
        );
        assert_eq!(Challenge::parse("Negotiate"), []);
        for odd in ["", ",,,", "=", "a=", "Bearer", "Bearer realm", "Bearer =\"", "\"", "Basic ,=,= x"] {
            let _ = Challenge::parse(odd);
        }
    }

    #[test]
    fn credentials_are_not_shown() {
        let credentials =
            Credentials { username: "u".into(), password: "secret".into(), ..Credentials::default() };
        assert!(!format!("{credentials:?}").contains("secret"));
    }

    #[test]
    fn realm_without_encryption_is_refused() {
        let config = Config::default();
        assert!(check_realm(&config, "https://auth.example/token").is_ok());
        assert!(check_realm(&config, "http://127.0.0.1:1/token").is_ok());
        assert!(check_realm(&config, "http://auth.example/token").is_err());
        assert!(check_realm(&config, "file:///etc/passwd").is_err());
    }
}
