//! Images made of containers and of archives.

use api::IdResponse;
use api::container::{CommitOptions, Config};
use api::image::{ProgressMessage, PullOptions};
use engine::{Commit, Pause};
use futures_util::stream;
use http::StatusCode;
use image::NewImage;
use jiff::Timestamp;
use oci::{ContainerConfig, History, ImageConfig, Platform, Reference};
use registry::Source;

use super::Api;
use super::images::tell;
use super::transfer::Transfer;
use crate::error::Error;
use crate::http::{Call, Response, json, json_lines, read_with};

impl Api {
    pub(super) async fn commit(&self, mut call: Call) -> Result<Response, Error> {
        let options = CommitOptions::from_query(&call.query());
        let body = call.json_bytes().await?;
        let commit = Commit {
            reference: reference(&options.repo, &options.tag)?,
            author: options.author,
            comment: options.comment,
            changes: options.changes.join("\n"),
            pause: if options.pause { Pause::Yes } else { Pause::No },
            config: config(&body)?,
        };
        let id = self.engine.commit(&options.container, commit).await?.to_string();
        Ok(json(StatusCode::CREATED, &IdResponse { id }))
    }

    /// Makes an image of the tar in the body.
    pub(super) async fn import_image(&self, call: Call, options: PullOptions) -> Result<Response, Error> {
        if options.from_src != "-" {
            return self.import_from(options).await;
        }
        let image = new_image(options);
        let images = self.engine.images().clone();
        let mut reader = call.into_body().into_reader();
        let work = move || {
            read_with(&mut reader, |reader| Ok::<_, Error>(images.import(reader, image?, &mut |_| {})?))
        };
        let made = tokio::task::spawn_blocking(work).await??;
        tell(&self.engine, "import", &made.id, made.id.as_str());
        Ok(json_lines(stream::iter([ProgressMessage::status(made.id.to_string())])))
    }

    /// Makes an image of the tar at a URL.
    async fn import_from(&self, options: PullOptions) -> Result<Response, Error> {
        let source = Source::parse(&options.from_src)?;
        // What the URL has of secrets is not for the image's history.
        let image = new_image(PullOptions { from_src: source.to_string(), ..options })?;
        let (engine, client) = (self.engine.clone(), self.registries.client().clone());
        let transfer = Transfer::begin(|progress| async move {
            let made = client.import(engine.images(), &source, image, progress).await?;
            tell(&engine, "import", &made.id, made.id.as_str());
            Ok(())
        });
        transfer.into_response(1).await
    }
}

/// The configuration in a body; clients that want the container's send nothing, `null` or an empty object.
fn config(body: &[u8]) -> Result<Option<Config>, Error> {
    if matches!(body.trim_ascii(), b"" | b"null" | b"{}") {
        return Ok(None);
    }
    Ok(Some(api::json::from_slice(body)?))
}

/// The name of an image that is made.
fn reference(repo: &str, tag: &str) -> Result<Option<Reference>, Error> {
    if repo.is_empty() {
        return Ok(None);
    }
    let reference = Reference::parse(repo)?;
    if reference.digest().is_some() {
        return Err(Error::BadRequest("cannot import digest reference".to_owned()));
    }
    Ok(Some(if tag.is_empty() { reference.or_latest() } else { reference.with_tag(tag)? }))
}

fn new_image(options: PullOptions) -> Result<NewImage, Error> {
    let platform = match options.platform.as_str() {
        "" => Platform::host(),
        text => text.parse().map_err(|error: oci::PlatformError| Error::BadRequest(error.to_string()))?,
    };
    let mut config = ContainerConfig::default();
    engine::change(&mut config, &options.changes.join("\n"))?;
    let comment = match options.message.as_str() {
        "" => format!("Imported from {}", options.from_src),
        message => message.to_owned(),
    };
    let created = Some(Timestamp::now().to_string());
    let step = History { created: created.clone(), comment: comment.clone(), ..History::default() };
    let config = ImageConfig {
        architecture: platform.architecture,
        variant: platform.variant.unwrap_or_default(),
        os: platform.os,
        created,
        comment,
        docker_version: env!("CARGO_PKG_VERSION").to_owned(),
        config: Some(config),
        ..ImageConfig::default()
    };
    let references = reference(&options.repo, &options.tag)?.into_iter().collect();
    Ok(NewImage { config, step, parent: None, references })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn body_without_a_configuration_means_the_container_s() {
        for body in ["", "null\n", "{}", " {} "] {
            assert_eq!(config(body.as_bytes()).unwrap(), None, "{body:?}");
        }
        assert_eq!(config(br#"{"User":"u"}"#).unwrap().unwrap().user, "u");
        assert!(config(b"[").is_err());
    }

    #[test]
    fn name_is_given_in_one_or_two_parts() {
        let name = |repo, tag| reference(repo, tag).unwrap().map(|reference| reference.familiar());
        assert_eq!(name("", "x"), None);
        assert_eq!(name("a/b", "").as_deref(), Some("a/b:latest"));
        assert_eq!(name("a/b:1", "").as_deref(), Some("a/b:1"));
        assert_eq!(name("a/b", "2").as_deref(), Some("a/b:2"));
        let digest = format!("a@sha256:{}", "a".repeat(64));
        assert!(reference(&digest, "").unwrap_err().to_string().contains("cannot import digest reference"));
        assert!(reference("UPPER", "").is_err());
    }

    #[test]
    fn import_is_for_the_platform_that_is_asked_for() {
        let options = PullOptions {
            from_src: "-".into(),
            platform: "linux/arm64".into(),
            changes: vec!["CMD a".into(), "ENV b=c".into()],
            ..PullOptions::default()
        };
        let image = new_image(options).unwrap();
        let config = image.config.config.unwrap();
        assert_eq!(
            (image.config.architecture.as_str(), image.config.comment.as_str()),
            ("arm64", "Imported from -")
        );
        assert_eq!((config.cmd.unwrap().len(), &config.env[..]), (3, &["b=c".to_owned()][..]));
        assert!(new_image(PullOptions { changes: vec!["RUN x".into()], ..PullOptions::default() }).is_err());
    }
}
