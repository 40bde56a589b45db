//! Containers.

use api::container::{
    AttachOptions, Change, CommitOptions, ContainerInspect, ContainerSummary, CreateOptions, CreateRequest,
    CreateResponse, ListOptions, LogsOptions, PruneResponse, RemoveOptions, ResizeOptions, StopOptions,
    TopResponse, WaitCondition, WaitResponse,
};
use api::query::QueryWriter;
use api::{Filters, IdResponse, Time};
use bytes::Bytes;
use http::Method;

use crate::connection::{Call, Client, collect, segment};
use crate::{ByteStream, Error, Hijacked};

/// A `wait` that the engine has accepted: it cannot miss the end any more.
pub struct Waiting {
    call: Call,
    response: http::Response<hyper::body::Incoming>,
}

impl Waiting {
    /// Waits for the end.
    ///
    /// # Errors
    /// If the connection breaks, or the answer is not understood.
    pub async fn finish(self) -> Result<WaitResponse, Error> {
        let body = collect(&self.call, self.response).await?;
        api::json::from_slice(&body)
            .map_err(|error| Error::Answer { path: self.call.path, reason: error.to_string() })
    }
}

fn path(container: &str, verb: &str) -> String {
    format!("/containers/{}/{verb}", segment(container))
}

/// All methods fail with [`Error::Daemon`] if the engine refuses, and with [`Error::Connect`] or
/// [`Error::Transport`] if it cannot be reached.
#[allow(clippy::missing_errors_doc, reason = "said once, above")]
impl Client {
    /// The containers that match.
    pub async fn containers(&self, options: &ListOptions) -> Result<Vec<ContainerSummary>, Error> {
        self.json(Call::get("/containers/json", &options.to_query())).await
    }

    /// Makes a container.
    pub async fn create_container(
        &self,
        options: &CreateOptions,
        request: &CreateRequest,
    ) -> Result<CreateResponse, Error> {
        self.json(Call::post("/containers/create", &options.to_query()).json(request)).await
    }

    /// Everything about one container.
    pub async fn inspect_container(&self, container: &str) -> Result<ContainerInspect, Error> {
        self.json(Call::get(&path(container, "json"), "")).await
    }

    /// The same as the engine's own JSON.
    pub async fn inspect_container_raw(&self, container: &str, size: bool) -> Result<Bytes, Error> {
        let query = QueryWriter::new().flag("size", size).finish();
        self.bytes(Call::get(&path(container, "json"), &query)).await
    }

    /// Starts a container.
    pub async fn start_container(&self, container: &str) -> Result<(), Error> {
        self.empty(Call::post(&path(container, "start"), "")).await
    }

    /// Stops a container.
    pub async fn stop_container(&self, container: &str, options: &StopOptions) -> Result<(), Error> {
        self.empty(Call::post(&path(container, "stop"), &options.to_query())).await
    }

    /// Stops a container if it runs, and starts it.
    pub async fn restart_container(&self, container: &str, options: &StopOptions) -> Result<(), Error> {
        self.empty(Call::post(&path(container, "restart"), &options.to_query())).await
    }

    /// Sends a signal, by name or number; empty is the engine's default.
    pub async fn kill_container(&self, container: &str, signal: &str) -> Result<(), Error> {
        let query = QueryWriter::new().text("signal", signal).finish();
        self.empty(Call::post(&path(container, "kill"), &query)).await
    }

    /// Freezes a container.
    pub async fn pause_container(&self, container: &str) -> Result<(), Error> {
        self.empty(Call::post(&path(container, "pause"), "")).await
    }

    /// Lets a frozen container go on.
    pub async fn unpause_container(&self, container: &str) -> Result<(), Error> {
        self.empty(Call::post(&path(container, "unpause"), "")).await
    }

    /// Gives a container another name.
    pub async fn rename_container(&self, container: &str, name: &str) -> Result<(), Error> {
        let query = QueryWriter::new().text("name", name).finish();
        self.empty(Call::post(&path(container, "rename"), &query)).await
    }

    /// Removes a container.
    pub async fn remove_container(&self, container: &str, options: RemoveOptions) -> Result<(), Error> {
        let path = format!("/containers/{}", segment(container));
        self.empty(Call::new(Method::DELETE, &path, &options.to_query())).await
    }

    /// Begins to wait: returns once the engine has accepted, so that a start after it cannot be missed.
    pub async fn wait_container(&self, container: &str, condition: WaitCondition) -> Result<Waiting, Error> {
        let call = Call::post(&path(container, "wait"), &condition.to_query());
        let response = self.send(&call).await?.into_response();
        Ok(Waiting { call, response })
    }

    /// The logs, as a stream.
    pub async fn container_logs(&self, container: &str, options: &LogsOptions) -> Result<ByteStream, Error> {
        let query = QueryWriter::new()
            .flag("stdout", options.stdout)
            .flag("stderr", options.stderr)
            .flag("follow", options.follow)
            .flag("timestamps", options.timestamps)
            .flag("details", options.details)
            .optional("since", options.since.map(unix_time))
            .optional("until", options.until.map(unix_time))
            .optional("tail", options.tail)
            .finish();
        let call = Call::get(&path(container, "logs"), &query);
        let response = self.send(&call).await?.into_response();
        Ok(ByteStream::new(call, response))
    }

    /// Attaches to the standard streams.
    pub async fn attach_container(
        &self,
        container: &str,
        options: &AttachOptions,
    ) -> Result<Hijacked, Error> {
        self.hijack(Call::post(&path(container, "attach"), &options.to_query())).await
    }

    /// Tells the terminal its size.
    pub async fn resize_container(&self, container: &str, options: ResizeOptions) -> Result<(), Error> {
        self.empty(Call::post(&path(container, "resize"), &options.to_query())).await
    }

    /// The processes, as `ps` with these arguments shows them.
    pub async fn top_container(&self, container: &str, arguments: &str) -> Result<TopResponse, Error> {
        let query = QueryWriter::new().text("ps_args", arguments).finish();
        self.json(Call::get(&path(container, "top"), &query)).await
    }

    /// What a container changed in the files of its image.
    pub async fn container_changes(&self, container: &str) -> Result<Vec<Change>, Error> {
        let changes: Option<Vec<Change>> = self.json(Call::get(&path(container, "changes"), "")).await?;
        Ok(changes.unwrap_or_default())
    }

    /// Makes an image of a container.
    pub async fn commit_container(&self, options: &CommitOptions) -> Result<IdResponse, Error> {
        self.json(Call::post("/commit", &options.to_query())).await
    }

    /// All files of a container; the stream is a tar.
    pub async fn export_container(&self, container: &str) -> Result<ByteStream, Error> {
        let call = Call::get(&path(container, "export"), "");
        let response = self.send(&call).await?.into_response();
        Ok(ByteStream::new(call, response))
    }

    /// Removes all containers that do not run.
    pub async fn prune_containers(&self, filters: &Filters) -> Result<PruneResponse, Error> {
        let query = QueryWriter::new().filters(filters).finish();
        self.json(Call::post("/containers/prune", &query)).await
    }
}

/// Engines of all versions read times as seconds with a fraction.
pub(crate) fn unix_time(time: Time) -> String {
    format!("{}.{:09}", time.0.as_second(), time.0.subsec_nanosecond())
}
