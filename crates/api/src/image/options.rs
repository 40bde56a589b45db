//! Parameters of the requests about images.

use crate::Filters;
use crate::query::{Error, Query, QueryWriter};

/// Parameters of `GET /images/json`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ListOptions {
    /// Whether intermediate images are listed too.
    pub all: bool,
    /// Only those that match.
    pub filters: Filters,
    /// Whether shared sizes are computed (API 1.42).
    pub shared_size: bool,
    /// Whether manifests are listed (API 1.47).
    pub manifests: bool,
}

impl ListOptions {
    /// Reads the parameters.
    ///
    /// # Errors
    /// Where the filters are not understood.
    pub fn from_query(query: &Query<'_>) -> Result<Self, Error> {
        Ok(Self {
            all: query.flag("all"),
            filters: query.filters()?,
            shared_size: query.flag("shared-size"),
            manifests: query.flag("manifests"),
        })
    }

    /// Writes the parameters.
    pub fn to_query(&self) -> String {
        QueryWriter::new()
            .flag("all", self.all)
            .filters(&self.filters)
            .flag("shared-size", self.shared_size)
            .flag("manifests", self.manifests)
            .finish()
    }
}

/// Parameters of `POST /images/create`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PullOptions {
    /// The repository, with or without tag or digest.
    pub from_image: String,
    /// The tag or digest; empty with no tag in `from_image` is all tags.
    pub tag: String,
    /// `os[/arch[/variant]]`; empty is the host's.
    pub platform: String,
    /// What an image is imported from: a URL or `-` for the body.
    pub from_src: String,
    /// The name of an imported image.
    pub repo: String,
    /// The comment of an imported image.
    pub message: String,
    /// Dockerfile instructions for an imported image.
    pub changes: Vec<String>,
}

impl PullOptions {
    /// Reads the parameters.
    pub fn from_query(query: &Query<'_>) -> Self {
        Self {
            from_image: query.text("fromImage"),
            tag: query.text("tag"),
            platform: query.text("platform"),
            from_src: query.text("fromSrc"),
            repo: query.text("repo"),
            message: query.text("message"),
            changes: query.all("changes"),
        }
    }

    /// Writes the parameters.
    pub fn to_query(&self) -> String {
        let writer = QueryWriter::new()
            .text("fromImage", &self.from_image)
            .text("tag", &self.tag)
            .text("platform", &self.platform)
            .text("fromSrc", &self.from_src)
            .text("repo", &self.repo)
            .text("message", &self.message);
        self.changes.iter().fold(writer, |writer, change| writer.text("changes", change)).finish()
    }
}

/// Parameters of `POST /images/{name}/push`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PushOptions {
    /// The tag; empty is all tags of the repository.
    pub tag: String,
    /// Only this platform, a JSON object (API 1.46).
    pub platform: String,
}

impl PushOptions {
    /// Reads the parameters.
    pub fn from_query(query: &Query<'_>) -> Self {
        Self { tag: query.text("tag"), platform: query.text("platform") }
    }

    /// Writes the parameters.
    pub fn to_query(&self) -> String {
        QueryWriter::new().text("tag", &self.tag).text("platform", &self.platform).finish()
    }
}

/// Parameters of `DELETE /images/{name}`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RemoveOptions {
    /// Whether it is removed although stopped containers use it, or it has several names.
    pub force: bool,
    /// Whether untagged parents stay.
    pub no_prune: bool,
    /// Only these platforms, each a JSON object (API 1.50).
    pub platforms: Vec<String>,
}

impl RemoveOptions {
    /// Reads the parameters.
    pub fn from_query(query: &Query<'_>) -> Self {
        Self {
            force: query.flag("force"),
            no_prune: query.flag("noprune"),
            platforms: query.all("platforms"),
        }
    }

    /// Writes the parameters.
    pub fn to_query(&self) -> String {
        let writer = QueryWriter::new().flag("force", self.force).flag("noprune", self.no_prune);
        self.platforms.iter().fold(writer, |writer, platform| writer.text("platforms", platform)).finish()
    }
}

/// Parameters of `POST /images/load`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoadOptions {
    /// Whether progress is left out. Without the parameter it is.
    pub quiet: bool,
    /// Only these platforms, each a JSON object (API 1.48).
    pub platforms: Vec<String>,
}

impl Default for LoadOptions {
    fn default() -> Self {
        Self { quiet: true, platforms: Vec::new() }
    }
}

impl LoadOptions {
    /// Reads the parameters.
    pub fn from_query(query: &Query<'_>) -> Self {
        Self { quiet: query.flag_or("quiet", true), platforms: query.all("platform") }
    }

    /// Writes the parameters.
    pub fn to_query(&self) -> String {
        let writer = QueryWriter::new().unless("quiet", self.quiet);
        self.platforms.iter().fold(writer, |writer, platform| writer.text("platform", platform)).finish()
    }
}

/// Parameters of `GET /images/get` and `GET /images/{name}/get`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SaveOptions {
    /// The images, unless the path names one.
    pub names: Vec<String>,
    /// Only these platforms, each a JSON object (API 1.48).
    pub platforms: Vec<String>,
}

impl SaveOptions {
    /// Reads the parameters.
    pub fn from_query(query: &Query<'_>) -> Self {
        Self { names: query.all("names"), platforms: query.all("platform") }
    }

    /// Writes the parameters.
    pub fn to_query(&self) -> String {
        let writer = self.names.iter().fold(QueryWriter::new(), |writer, name| writer.text("names", name));
        self.platforms.iter().fold(writer, |writer, platform| writer.text("platform", platform)).finish()
    }
}

/// Parameters of `POST /images/{name}/tag`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TagOptions {
    /// The new repository.
    pub repo: String,
    /// The new tag; empty is `latest`.
    pub tag: String,
}

impl TagOptions {
    /// Reads the parameters.
    pub fn from_query(query: &Query<'_>) -> Self {
        Self { repo: query.text("repo"), tag: query.text("tag") }
    }

    /// Writes the parameters.
    pub fn to_query(&self) -> String {
        QueryWriter::new().text("repo", &self.repo).text("tag", &self.tag).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_survive_a_query_string() {
        let load = LoadOptions { quiet: false, platforms: vec![r#"{"os":"linux"}"#.into()] };
        assert_eq!(LoadOptions::from_query(&Query::parse(&load.to_query())), load);
        assert_eq!(LoadOptions::from_query(&Query::parse("")), LoadOptions::default());

        let pull = PullOptions {
            from_image: "localhost:5000/a/b".into(),
            tag: "1".into(),
            platform: "linux/arm64".into(),
            changes: vec!["CMD a".into(), "ENV b=c".into()],
            ..PullOptions::default()
        };
        assert_eq!(PullOptions::from_query(&Query::parse(&pull.to_query())), pull);
    }
}
