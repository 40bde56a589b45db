//! The files of containers: what was changed, and all of them.

use api::container::{Change, ChangeKind};
use http::StatusCode;

use super::Api;
use super::chunks::written;
use crate::error::Error;
use crate::http::{Response, json, stream};

impl Api {
    /// As in dockerd nothing is `null`, not an empty list.
    pub(super) async fn changes(&self, id: &str) -> Result<Response, Error> {
        let changes = self.engine.changes(id).await?;
        let changes: Vec<Change> = changes.into_iter().map(change).collect();
        Ok(json(StatusCode::OK, &Some(changes).filter(|changes| !changes.is_empty())))
    }

    /// What fails after the first byte ends the connection, so that the client sees that it was cut.
    pub(super) async fn export(&self, id: &str) -> Result<Response, Error> {
        let export = self.engine.export(id).await?;
        Ok(stream("application/octet-stream", written(move |out| export.write(out))))
    }
}

fn change(change: image::Change) -> Change {
    let kind = match change.kind {
        image::ChangeKind::Modified => ChangeKind::Modified,
        image::ChangeKind::Added => ChangeKind::Added,
        image::ChangeKind::Deleted => ChangeKind::Deleted,
    };
    Change { kind, path: String::from_utf8_lossy(&change.path).into_owned() }
}
