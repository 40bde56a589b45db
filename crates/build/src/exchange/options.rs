//! What `--cache-from` and `--cache-to` say. What is not supported is refused by its name.

use std::collections::BTreeMap;

use oci::{Digest, Reference};

use super::{CacheFolder, CachePlace, CacheSource, CacheTarget, Entry};
use crate::error::Error;

/// The tag of a manifest in a folder where none is said.
const LATEST: &str = "latest";

/// One `--cache-from` or `--cache-to`.
#[derive(Debug, Default)]
pub struct CacheOptions {
    /// `registry`, `inline`, `local`.
    pub kind: String,
    /// The rest.
    pub attributes: BTreeMap<String, String>,
    /// The folder of `src` and `dest`.
    pub folder: Option<CacheFolder>,
}

/// Attributes that say how a cache is written, and the only value that they can have.
const FIXED: [(&str, &str); 4] = [
    ("oci-mediatypes", "true"),
    ("image-manifest", "true"),
    ("compression", "gzip"),
    ("force-compression", "false"),
];

impl CacheOptions {
    /// As a `--cache-from`.
    ///
    /// # Errors
    /// [`Error::CacheOption`].
    pub fn source(self) -> Result<CacheSource, Error> {
        let mut given = Given { flag: "cache-from", options: self };
        let source = match given.options.kind.as_str() {
            "registry" => CacheSource::Registry(given.reference()?),
            "local" => {
                let folder = given.folder("src")?;
                let tag = given.take("tag").unwrap_or_else(|| LATEST.to_owned());
                let entry = given.digest()?.map_or(Entry::Tag(tag), Entry::Digest);
                CacheSource::Folder { folder, entry }
            }
            _ => return Err(given.unknown()),
        };
        given.done().map(|()| source)
    }

    /// As a `--cache-to`.
    ///
    /// # Errors
    /// [`Error::CacheOption`].
    pub fn target(self) -> Result<CacheTarget, Error> {
        let mut given = Given { flag: "cache-to", options: self };
        let place = match given.options.kind.as_str() {
            "inline" => None,
            "registry" => Some(CachePlace::Registry(given.reference()?)),
            "local" => {
                let folder = given.folder("dest")?;
                let tag = given.take("tag").unwrap_or_else(|| LATEST.to_owned());
                Some(CachePlace::Folder { folder, tag })
            }
            _ => return Err(given.unknown()),
        };
        let all = match given.take("mode").as_deref() {
            None | Some("min") => false,
            Some("max") if place.is_some() => true,
            Some(other) => return Err(given.error(format!("mode {other} is not supported"))),
        };
        let ignores_errors = match given.take("ignore-error").as_deref() {
            None | Some("false") => false,
            Some("true") => true,
            Some(other) => return Err(given.error(format!("invalid value for ignore-error: {other}"))),
        };
        let target = match place {
            None => CacheTarget::Inline,
            Some(place) => {
                given.fixed()?;
                CacheTarget::Place { place, all, ignores_errors }
            }
        };
        given.done().map(|()| target)
    }
}

/// What is still to be looked at.
struct Given {
    flag: &'static str,
    options: CacheOptions,
}

impl Given {
    fn take(&mut self, name: &str) -> Option<String> {
        self.options.attributes.remove(name)
    }

    fn error(&self, reason: String) -> Error {
        Error::CacheOption { flag: self.flag, kind: self.options.kind.clone(), reason }
    }

    fn unknown(&self) -> Error {
        self.error("is not supported".to_owned())
    }

    fn reference(&mut self) -> Result<Reference, Error> {
        let name = self.take("ref").ok_or_else(|| self.error("ref is required".to_owned()))?;
        let reference =
            Reference::parse(&name).map_err(|error| self.error(format!("ref {name}: {error}")))?;
        match reference.digest() {
            Some(_) if self.flag == "cache-to" => {
                Err(self.error(format!("ref {name}: a digest cannot be written to")))
            }
            _ => Ok(reference.or_latest()),
        }
    }

    fn digest(&mut self) -> Result<Option<Digest>, Error> {
        let Some(text) = self.take("digest") else { return Ok(None) };
        text.parse().map(Some).map_err(|error| self.error(format!("digest {text}: {error}")))
    }

    fn folder(&mut self, name: &str) -> Result<CacheFolder, Error> {
        self.take(name);
        self.options.folder.take().ok_or_else(|| self.error(format!("{name} is required")))
    }

    fn fixed(&mut self) -> Result<(), Error> {
        for (name, only) in FIXED {
            if let Some(value) = self.take(name).filter(|value| value != only) {
                return Err(self.error(format!("{name}={value} is not supported")));
            }
        }
        Ok(())
    }

    fn done(&self) -> Result<(), Error> {
        match self.options.attributes.keys().next() {
            Some(name) => Err(self.error(format!("{name} is not supported"))),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(kind: &str, attributes: &[(&str, &str)]) -> CacheOptions {
        let attributes =
            attributes.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        CacheOptions { kind: kind.to_owned(), attributes, folder: None }
    }

    #[test]
    fn places_are_read() {
        let source = options("registry", &[("ref", "app")]).source().unwrap();
        assert!(
            matches!(source, CacheSource::Registry(name) if name.to_string() == "docker.io/library/app:latest")
        );
        let target = options("registry", &[("ref", "r:5000/a:b"), ("mode", "max"), ("ignore-error", "true")]);
        assert!(matches!(
            target.target().unwrap(),
            CacheTarget::Place { place: CachePlace::Registry(_), all: true, ignores_errors: true }
        ));
        let target = options("inline", &[]).target().unwrap();
        assert!(matches!(target, CacheTarget::Inline));
        let fixed =
            [("ref", "a"), ("oci-mediatypes", "true"), ("compression", "gzip"), ("image-manifest", "true")];
        options("registry", &fixed).target().unwrap();
    }

    #[test]
    fn what_is_not_supported_is_named() {
        let message = |error: Error| error.to_string();
        for (given, expected) in [
            (options("gha", &[]), "--cache-to type=gha: is not supported"),
            (options("registry", &[]), "--cache-to type=registry: ref is required"),
            (options("local", &[]), "--cache-to type=local: dest is required"),
            (options("inline", &[("mode", "max")]), "--cache-to type=inline: mode max is not supported"),
            (options("inline", &[("ref", "a")]), "--cache-to type=inline: ref is not supported"),
            (
                options("registry", &[("ref", "a"), ("compression", "zstd")]),
                "--cache-to type=registry: compression=zstd is not supported",
            ),
            (
                options("registry", &[("ref", "a"), ("registry.insecure", "true")]),
                "--cache-to type=registry: registry.insecure is not supported",
            ),
        ] {
            assert_eq!(message(given.target().unwrap_err()), expected);
        }
        for (given, expected) in [
            (options("inline", &[]), "--cache-from type=inline: is not supported"),
            (options("s3", &[]), "--cache-from type=s3: is not supported"),
            (
                options("registry", &[("ref", "a"), ("mode", "max")]),
                "--cache-from type=registry: mode is not supported",
            ),
        ] {
            assert_eq!(message(given.source().unwrap_err()), expected);
        }
    }
}
