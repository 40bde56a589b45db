//! Parameters of the requests about containers.

use crate::query::{Error, Query, QueryWriter};
use crate::{Filters, Time};

/// Parameters of `POST /commit`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommitOptions {
    /// The container.
    pub container: String,
    /// The image's name; empty for none.
    pub repo: String,
    /// The tag, unless it is in `repo`.
    pub tag: String,
    /// Who makes it.
    pub author: String,
    /// A note.
    pub comment: String,
    /// Whether the container is frozen meanwhile.
    pub pause: bool,
    /// Dockerfile instructions, each one or several lines.
    pub changes: Vec<String>,
}

impl Default for CommitOptions {
    fn default() -> Self {
        Self::from_query(&Query::default())
    }
}

impl CommitOptions {
    /// Reads the parameters.
    pub fn from_query(query: &Query<'_>) -> Self {
        Self {
            container: query.text("container"),
            repo: query.text("repo"),
            tag: query.text("tag"),
            author: query.text("author"),
            comment: query.text("comment"),
            pause: query.text("pause").is_empty() || query.flag("pause"),
            changes: query.all("changes"),
        }
    }

    /// Writes the parameters.
    pub fn to_query(&self) -> String {
        let writer = QueryWriter::new()
            .text("container", &self.container)
            .text("repo", &self.repo)
            .text("tag", &self.tag)
            .text("author", &self.author)
            .text("comment", &self.comment)
            .unless("pause", self.pause);
        self.changes.iter().fold(writer, |writer, change| writer.text("changes", change)).finish()
    }
}

/// Parameters of `GET /containers/json`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ListOptions {
    /// Whether those that do not run are listed too.
    pub all: bool,
    /// At most this many, the newest first, running or not; 0 is no limit.
    pub limit: usize,
    /// Whether sizes are computed.
    pub size: bool,
    /// Only those that match.
    pub filters: Filters,
}

impl ListOptions {
    /// Reads the parameters.
    ///
    /// # Errors
    /// Where one is not understood.
    pub fn from_query(query: &Query<'_>) -> Result<Self, Error> {
        Ok(Self {
            all: query.flag("all"),
            limit: query.number::<i64>("limit")?.and_then(|limit| limit.try_into().ok()).unwrap_or(0),
            size: query.flag("size"),
            filters: query.filters()?,
        })
    }

    /// Writes the parameters.
    pub fn to_query(&self) -> String {
        QueryWriter::new()
            .flag("all", self.all)
            .optional("limit", (self.limit > 0).then_some(self.limit))
            .flag("size", self.size)
            .filters(&self.filters)
            .finish()
    }
}

/// Parameters of `POST /containers/create`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CreateOptions {
    /// The container's name; empty for one that the engine draws.
    pub name: String,
    /// `os[/arch[/variant]]` of the image; empty is the host's (API 1.41).
    pub platform: String,
}

impl CreateOptions {
    /// Reads the parameters.
    pub fn from_query(query: &Query<'_>) -> Self {
        Self { name: query.text("name"), platform: query.text("platform") }
    }

    /// Writes the parameters.
    pub fn to_query(&self) -> String {
        QueryWriter::new().text("name", &self.name).text("platform", &self.platform).finish()
    }
}

/// Parameters of `POST /containers/{id}/stop` and `…/restart`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StopOptions {
    /// Seconds until `SIGKILL`; -1 waits for ever, `None` is the container's own.
    pub timeout: Option<i64>,
    /// The signal by name or number; empty is the container's own (API 1.42).
    pub signal: String,
}

impl StopOptions {
    /// Reads the parameters.
    ///
    /// # Errors
    /// Where one is not understood.
    pub fn from_query(query: &Query<'_>) -> Result<Self, Error> {
        Ok(Self { timeout: query.number("t")?, signal: query.text("signal") })
    }

    /// Writes the parameters.
    pub fn to_query(&self) -> String {
        QueryWriter::new().optional("t", self.timeout).text("signal", &self.signal).finish()
    }
}

/// Parameters of `DELETE /containers/{id}`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RemoveOptions {
    /// Whether it is killed first where it runs.
    pub force: bool,
    /// Whether its anonymous volumes are removed too.
    pub volumes: bool,
    /// Whether only the link of this name is removed.
    pub link: bool,
}

impl RemoveOptions {
    /// Reads the parameters.
    pub fn from_query(query: &Query<'_>) -> Self {
        Self { force: query.flag("force"), volumes: query.flag("v"), link: query.flag("link") }
    }

    /// Writes the parameters.
    pub fn to_query(self) -> String {
        QueryWriter::new().flag("force", self.force).flag("v", self.volumes).flag("link", self.link).finish()
    }
}

/// Parameters of `GET /containers/{id}/logs`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LogsOptions {
    /// Whether standard output is wanted.
    pub stdout: bool,
    /// Whether standard error is wanted.
    pub stderr: bool,
    /// Whether the answer goes on until the container ends.
    pub follow: bool,
    /// Whether each line begins with its time.
    pub timestamps: bool,
    /// Whether each line begins with the attributes that were logged with it.
    pub details: bool,
    /// Only lines from then on.
    pub since: Option<Time>,
    /// Only lines up to then.
    pub until: Option<Time>,
    /// Only so many of the last lines; `None` is all.
    pub tail: Option<u64>,
}

impl LogsOptions {
    /// Reads the parameters. A `tail` that is no number is all lines, as in dockerd.
    ///
    /// # Errors
    /// Where a time is not understood.
    pub fn from_query(query: &Query<'_>) -> Result<Self, Error> {
        Ok(Self {
            stdout: query.flag("stdout"),
            stderr: query.flag("stderr"),
            follow: query.flag("follow"),
            timestamps: query.flag("timestamps"),
            details: query.flag("details"),
            since: query.time("since")?,
            until: query.time("until")?,
            tail: query.find("tail").and_then(|lines| lines.parse().ok()),
        })
    }

    /// Writes the parameters.
    pub fn to_query(&self) -> String {
        QueryWriter::new()
            .flag("stdout", self.stdout)
            .flag("stderr", self.stderr)
            .flag("follow", self.follow)
            .flag("timestamps", self.timestamps)
            .flag("details", self.details)
            .optional("since", self.since)
            .optional("until", self.until)
            .optional("tail", self.tail)
            .finish()
    }
}

/// Parameters of `POST /containers/{id}/attach`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AttachOptions {
    /// Whether output that was logged before is sent first.
    pub logs: bool,
    /// Whether the connection stays for what comes.
    pub stream: bool,
    /// Whether what the client sends goes to standard input.
    pub stdin: bool,
    /// Whether standard output is wanted.
    pub stdout: bool,
    /// Whether standard error is wanted.
    pub stderr: bool,
    /// The keys that detach (`ctrl-p,ctrl-q`); `None` is the engine's default, empty is never.
    pub detach_keys: Option<String>,
}

impl AttachOptions {
    /// Reads the parameters.
    pub fn from_query(query: &Query<'_>) -> Self {
        Self {
            logs: query.flag("logs"),
            stream: query.flag("stream"),
            stdin: query.flag("stdin"),
            stdout: query.flag("stdout"),
            stderr: query.flag("stderr"),
            detach_keys: query.find("detachKeys").filter(|keys| !keys.is_empty()).map(str::to_owned),
        }
    }

    /// Writes the parameters.
    pub fn to_query(&self) -> String {
        QueryWriter::new()
            .flag("logs", self.logs)
            .flag("stream", self.stream)
            .flag("stdin", self.stdin)
            .flag("stdout", self.stdout)
            .flag("stderr", self.stderr)
            .text("detachKeys", self.detach_keys.as_deref().unwrap_or_default())
            .finish()
    }
}

/// Parameters of `POST /containers/{id}/resize` and `POST /exec/{id}/resize`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ResizeOptions {
    /// Rows.
    pub height: u16,
    /// Columns.
    pub width: u16,
}

impl ResizeOptions {
    /// Reads the parameters.
    ///
    /// # Errors
    /// Where one is missing or not a number.
    pub fn from_query(query: &Query<'_>) -> Result<Self, Error> {
        Ok(Self {
            height: query.number("h")?.ok_or(Error::Missing("h"))?,
            width: query.number("w")?.ok_or(Error::Missing("w"))?,
        })
    }

    /// Writes the parameters.
    pub fn to_query(self) -> String {
        QueryWriter::new().optional("h", Some(self.height)).optional("w", Some(self.width)).finish()
    }
}

/// What `POST /containers/{id}/wait` waits for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum WaitCondition {
    /// That it does not run; at once where it does not.
    #[default]
    NotRunning,
    /// That it ends the next time.
    NextExit,
    /// That it is removed.
    Removed,
}

impl WaitCondition {
    /// Reads the parameter `condition`.
    ///
    /// # Errors
    /// Where it is none of the three.
    pub fn from_query(query: &Query<'_>) -> Result<Self, Error> {
        match query.find("condition").unwrap_or_default() {
            "" | "not-running" => Ok(Self::NotRunning),
            "next-exit" => Ok(Self::NextExit),
            "removed" => Ok(Self::Removed),
            value => Err(Error::Unknown { name: "condition", value: value.to_owned() }),
        }
    }

    /// The parameter's value.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::NotRunning => "not-running",
            Self::NextExit => "next-exit",
            Self::Removed => "removed",
        }
    }

    /// Writes the parameters.
    pub fn to_query(self) -> String {
        QueryWriter::new().text("condition", self.as_str()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_survive_a_query_string() {
        let list = ListOptions {
            all: true,
            limit: 3,
            size: true,
            filters: [("label", "a=b&c"), ("status", "running")].into_iter().collect(),
        };
        assert_eq!(ListOptions::from_query(&Query::parse(&list.to_query())).unwrap(), list);

        let logs = LogsOptions {
            stdout: true,
            follow: true,
            since: Some(Time::from_nanoseconds(1_700_000_000_000_000_001)),
            tail: Some(0),
            ..LogsOptions::default()
        };
        assert_eq!(LogsOptions::from_query(&Query::parse(&logs.to_query())).unwrap(), logs);

        let stop = StopOptions { timeout: Some(-1), signal: "SIGINT".into() };
        assert_eq!(StopOptions::from_query(&Query::parse(&stop.to_query())).unwrap(), stop);
        assert_eq!(StopOptions::from_query(&Query::parse("")).unwrap().timeout, None);
    }

    #[test]
    fn tail_all_is_no_limit() {
        assert_eq!(LogsOptions::from_query(&Query::parse("tail=all")).unwrap().tail, None);
    }

    #[test]
    fn resize_without_height_is_refused() {
        assert_eq!(ResizeOptions::from_query(&Query::parse("w=80")), Err(Error::Missing("h")));
    }

    #[test]
    fn unknown_wait_condition_is_refused() {
        let error = WaitCondition::from_query(&Query::parse("condition=never")).unwrap_err();
        assert_eq!(error.to_string(), "invalid condition: \"never\"");
    }
}
