//! Names of images: `[domain/]path[:tag][@digest]`, with Docker's defaults.
//!
//! The grammar is the one of the distribution project; what is left out is completed as Docker does: `docker.io` for the
//! domain and `library/` before a path of one component there. [`Reference::familiar`] leaves those out again.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::digest::{Digest, DigestError};

const DEFAULT_DOMAIN: &str = "docker.io";
const LEGACY_DOMAIN: &str = "index.docker.io";
const OFFICIAL_PREFIX: &str = "library/";
const MAX_PATH_LEN: usize = 255;
const MAX_TAG_LEN: usize = 128;

/// Why a text names no image. The texts are Docker's.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReferenceError {
    /// It does not follow the grammar.
    #[error("invalid reference format")]
    Format,
    /// Nothing is left of the name.
    #[error("repository name must have at least one component")]
    Empty,
    /// The path has upper-case letters.
    #[error("invalid reference format: repository name ({0}) must be lowercase")]
    Uppercase(String),
    /// The path is too long.
    #[error("repository name must not be more than {MAX_PATH_LEN} characters")]
    TooLong,
    /// It looks like the ID of an image.
    #[error("invalid repository name ({0}), cannot specify 64-byte hexadecimal strings")]
    Identifier(String),
    /// The tag does not follow the grammar.
    #[error("invalid tag format")]
    Tag,
    /// The digest is malformed or of an unknown algorithm.
    #[error(transparent)]
    Digest(#[from] DigestError),
}

/// The name of an image: a repository, and optionally a tag, a digest, or both.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Reference {
    domain: String,
    path: String,
    tag: Option<String>,
    digest: Option<Digest>,
}

impl Reference {
    /// Parses what a person typed, and completes it: `debian` is `docker.io/library/debian`. A missing tag stays missing.
    ///
    /// # Errors
    /// When the text is no reference, or has the form of an image ID.
    pub fn parse(text: &str) -> Result<Self, ReferenceError> {
        if is_identifier(text) {
            return Err(ReferenceError::Identifier(text.into()));
        }
        let (domain, rest) = split_domain(text);
        let (name, digest) = match rest.split_once('@') {
            Some((name, digest)) => (name, Some(digest)),
            None => (rest.as_str(), None),
        };
        let (path, tag) = match name.split_once(':') {
            Some((path, tag)) => (path, Some(tag)),
            None => (name, None),
        };
        check_path(path)?;
        if !is_domain(&domain) || !tag.is_none_or(is_tag) {
            return Err(ReferenceError::Format);
        }
        let digest = digest.map(parse_digest).transpose()?;
        Ok(Self { domain, path: path.into(), tag: tag.map(Into::into), digest })
    }

    /// The registry's host, and its port where one is written: `docker.io`, `localhost:5000`, `[::1]:5000`.
    pub fn domain(&self) -> &str {
        &self.domain
    }

    /// The repository inside the registry: `library/debian`.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// The tag, where one is written.
    pub fn tag(&self) -> Option<&str> {
        self.tag.as_deref()
    }

    /// The digest, where one is written.
    pub fn digest(&self) -> Option<&Digest> {
        self.digest.as_ref()
    }

    /// Domain and path: `docker.io/library/debian`.
    pub fn name(&self) -> String {
        format!("{}/{}", self.domain, self.path)
    }

    /// The name as people write it: `debian`.
    pub fn familiar_name(&self) -> String {
        if self.domain != DEFAULT_DOMAIN {
            return self.name();
        }
        match self.path.strip_prefix(OFFICIAL_PREFIX) {
            Some(last) if !last.contains('/') => last.into(),
            _ => self.path.clone(),
        }
    }

    /// The whole reference as people write it: `debian:12`.
    pub fn familiar(&self) -> String {
        self.with_suffix(self.familiar_name())
    }

    /// This reference with the tag `latest` if it has neither tag nor digest.
    #[must_use]
    pub fn or_latest(mut self) -> Self {
        if self.tag.is_none() && self.digest.is_none() {
            self.tag = Some("latest".into());
        }
        self
    }

    /// The same repository with this tag and no digest.
    ///
    /// # Errors
    /// [`ReferenceError::Tag`] when `tag` is no tag.
    pub fn with_tag(&self, tag: &str) -> Result<Self, ReferenceError> {
        if !is_tag(tag) {
            return Err(ReferenceError::Tag);
        }
        Ok(Self { tag: Some(tag.into()), digest: None, ..self.clone() })
    }

    /// The same repository with this digest and no tag.
    #[must_use]
    pub fn with_digest(&self, digest: Digest) -> Self {
        Self { tag: None, digest: Some(digest), ..self.clone() }
    }

    /// The same reference with this digest as well.
    #[must_use]
    pub fn and_digest(&self, digest: Digest) -> Self {
        Self { digest: Some(digest), ..self.clone() }
    }

    /// The repository alone.
    #[must_use]
    pub fn repository(&self) -> Self {
        Self { tag: None, digest: None, ..self.clone() }
    }

    /// Whether it is nothing but a repository.
    pub fn is_name_only(&self) -> bool {
        self.tag.is_none() && self.digest.is_none()
    }

    fn with_suffix(&self, mut text: String) -> String {
        if let Some(tag) = &self.tag {
            text.push(':');
            text.push_str(tag);
        }
        if let Some(digest) = &self.digest {
            text.push('@');
            text.push_str(digest.as_str());
        }
        text
    }
}

impl fmt::Display for Reference {
    /// The complete form: `docker.io/library/debian:12`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.with_suffix(self.name()))
    }
}

impl FromStr for Reference {
    type Err = ReferenceError;

    fn from_str(text: &str) -> Result<Self, ReferenceError> {
        Self::parse(text)
    }
}

impl Serialize for Reference {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Reference {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).map_err(|error| serde::de::Error::custom(format_args!("{error}: {text:?}")))
    }
}

/// Whether `text` is a whole image ID without its algorithm.
pub fn is_identifier(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
}

/// Domain and remainder, with Docker's defaults for both.
fn split_domain(text: &str) -> (String, String) {
    let (domain, rest) = match text.split_once('/') {
        Some((LEGACY_DOMAIN, rest)) => (DEFAULT_DOMAIN, rest),
        Some((first, rest)) if looks_like_domain(first) => (first, rest),
        _ => (DEFAULT_DOMAIN, text),
    };
    // The remainder's own text decides: a digest has no slash, so its presence does not matter.
    if domain == DEFAULT_DOMAIN && !rest.contains('/') {
        return (domain.into(), format!("{OFFICIAL_PREFIX}{rest}"));
    }
    (domain.into(), rest.into())
}

fn looks_like_domain(first: &str) -> bool {
    first == "localhost" || first.contains(['.', ':']) || first.bytes().any(|b| b.is_ascii_uppercase())
}

fn is_domain(domain: &str) -> bool {
    let (host, port) = match domain.strip_prefix('[') {
        Some(rest) => match rest.split_once(']') {
            Some((address, port)) if is_bracketed(address) => ("v6", port),
            _ => return false,
        },
        None => domain.split_at(domain.find(':').unwrap_or(domain.len())),
    };
    host.split('.').all(is_domain_component) && is_port_suffix(port)
}

fn is_bracketed(address: &str) -> bool {
    !address.is_empty() && address.bytes().all(|b| b.is_ascii_hexdigit() || b == b':')
}

fn is_port_suffix(text: &str) -> bool {
    match text.strip_prefix(':') {
        Some(port) => !port.is_empty() && port.bytes().all(|b| b.is_ascii_digit()),
        None => text.is_empty(),
    }
}

fn is_domain_component(component: &str) -> bool {
    !component.is_empty()
        && !component.starts_with('-')
        && !component.ends_with('-')
        && component.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
}

fn check_path(path: &str) -> Result<(), ReferenceError> {
    if path.is_empty() || path == OFFICIAL_PREFIX {
        return Err(ReferenceError::Format);
    }
    if path.split('/').all(is_path_component) {
        return if path.len() > MAX_PATH_LEN { Err(ReferenceError::TooLong) } else { Ok(()) };
    }
    if path.bytes().any(|b| b.is_ascii_uppercase()) {
        return Err(ReferenceError::Uppercase(path.into()));
    }
    Err(ReferenceError::Format)
}

/// Runs of lower-case letters and digits, parted by one of `.`, `_`, `__` or any number of `-`.
fn is_path_component(component: &str) -> bool {
    let is_alphanumeric = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    let mut rest = component;
    loop {
        let run = rest.len() - rest.trim_start_matches(is_alphanumeric).len();
        if run == 0 {
            return false;
        }
        rest = &rest[run..];
        if rest.is_empty() {
            return true;
        }
        let separator = rest.len() - rest.trim_start_matches(|c| !is_alphanumeric(c)).len();
        let (text, after) = rest.split_at(separator);
        if !matches!(text, "." | "_" | "__") && !text.bytes().all(|b| b == b'-') {
            return false;
        }
        rest = after;
    }
}

fn is_tag(tag: &str) -> bool {
    let is_word = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
    (1..=MAX_TAG_LEN).contains(&tag.len())
        && is_word(tag.as_bytes()[0])
        && tag.bytes().all(|b| is_word(b) || b == b'.' || b == b'-')
}

/// A digest after `@`; one that is not even of the general form makes the whole reference malformed.
fn parse_digest(text: &str) -> Result<Digest, ReferenceError> {
    text.parse().map_err(|error| match error {
        DigestError::Format => ReferenceError::Format,
        DigestError::Length if text.rsplit(':').next().is_none_or(|hex| hex.len() < 32) => {
            ReferenceError::Format
        }
        other => ReferenceError::Digest(other),
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const HEX: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    fn parse(text: &str) -> Reference {
        Reference::parse(text).unwrap_or_else(|error| panic!("{text}: {error}"))
    }

    #[test]
    fn reference_short_name_is_completed() {
        for (text, full, familiar) in [
            ("debian", "docker.io/library/debian", "debian"),
            ("debian:12", "docker.io/library/debian:12", "debian:12"),
            ("user/app", "docker.io/user/app", "user/app"),
            ("library/debian", "docker.io/library/debian", "debian"),
            ("docker.io/debian", "docker.io/library/debian", "debian"),
            ("index.docker.io/library/debian", "docker.io/library/debian", "debian"),
            ("localhost/app", "localhost/app", "localhost/app"),
            ("localhost:5000/app:1", "localhost:5000/app:1", "localhost:5000/app:1"),
            ("[::1]:5000/a/b", "[::1]:5000/a/b", "[::1]:5000/a/b"),
            ("[fe80::1]/a", "[fe80::1]/a", "[fe80::1]/a"),
            ("UPPER/app", "UPPER/app", "UPPER/app"),
            ("reg.example.com/a__b/c--d.e", "reg.example.com/a__b/c--d.e", "reg.example.com/a__b/c--d.e"),
            ("docker.io/library/a/b", "docker.io/library/a/b", "library/a/b"),
        ] {
            assert_eq!(parse(text).to_string(), full, "{text}");
            assert_eq!(parse(text).familiar(), familiar, "{text}");
        }
    }

    #[test]
    fn reference_tag_and_digest_are_both_kept() {
        let reference = parse(&format!("debian:12@sha256:{HEX}"));
        assert_eq!(reference.tag(), Some("12"));
        assert_eq!(reference.digest().unwrap().hex(), HEX);
        assert_eq!(reference.familiar(), format!("debian:12@sha256:{HEX}"));
        assert_eq!(reference.clone().or_latest(), reference);
        assert_eq!(parse("debian").or_latest().familiar(), "debian:latest");
        assert_eq!(reference.repository().familiar(), "debian");
    }

    #[test]
    fn reference_malformed_is_refused_in_dockers_words() {
        let message = |text: &str| Reference::parse(text).unwrap_err().to_string();
        for text in [
            "",
            ":",
            ":tag",
            "a:",
            "a@",
            "a:b:c",
            "-a",
            "a-",
            "a..b",
            "a___b",
            "a/",
            "/a",
            "a//b",
            "a b",
            "é",
            "a/../b",
            "a:-tag",
            "a@sha256:ab",
            "[::1/a",
            "[]/a",
            "ex-.com/a",
            "host:port/a",
            "a\n",
            "http://example.com/a",
        ] {
            assert_eq!(message(text), "invalid reference format", "{text:?}");
        }
        assert_eq!(
            message("Debian"),
            "invalid reference format: repository name (library/Debian) must be lowercase"
        );
        assert_eq!(message("a/B"), "invalid reference format: repository name (a/B) must be lowercase");
        assert_eq!(
            message(HEX),
            format!("invalid repository name ({HEX}), cannot specify 64-byte hexadecimal strings")
        );
        assert_eq!(message(&format!("a@sha256:{}", &HEX[1..])), "invalid checksum digest length");
        assert_eq!(message(&format!("a@md6:{HEX}")), "unsupported digest algorithm");
        assert_eq!(
            message(&format!("e.io/{}", "a".repeat(256))),
            "repository name must not be more than 255 characters"
        );
        assert_eq!(message(&format!("a:{}", "t".repeat(129))), "invalid reference format");
    }

    proptest! {
        #[test]
        fn reference_any_text_never_panics_and_accepted_ones_roundtrip(text in "[ -~é]{0,40}|[a-z0-9.:/@_-]{0,60}") {
            if let Ok(reference) = Reference::parse(&text) {
                prop_assert_eq!(Reference::parse(&reference.to_string()).unwrap(), reference.clone());
                prop_assert!(!reference.path().split('/').any(|part| part == ".." || part == "." || part.is_empty()));
                prop_assert!(!reference.to_string().contains('\0'));
            }
        }

        #[test]
        fn reference_valid_parts_are_accepted(
            path in "[a-z0-9]{1,8}((\\.|_|__|-{1,3})[a-z0-9]{1,5}){0,2}(/[a-z0-9]{1,5}){0,3}",
            tag in "[A-Za-z0-9_][A-Za-z0-9_.-]{0,20}",
        ) {
            prop_assume!(!is_identifier(&path));
            let reference = parse(&format!("r.example:5000/{path}:{tag}"));
            prop_assert_eq!(reference.path(), path.as_str());
            prop_assert_eq!(reference.tag(), Some(tag.as_str()));
            prop_assert_eq!(reference.domain(), "r.example:5000");
        }
    }
}
