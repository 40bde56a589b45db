//! The files of containers: what was changed, and all of them; the files of images.

use api::container::{Change, ChangeKind};
use http::StatusCode;

use super::Api;
use super::chunks::{self, written};
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

    /// All files of an image; Corten's own, for outputs of builds.
    pub(super) async fn image_tree(&self, name: String) -> Result<Response, Error> {
        let images = self.engine.images().clone();
        let open = move || -> Result<_, Error> {
            let folders = images.layer_trees(&images.resolve(&name)?.layers);
            if folders.is_empty() {
                return Ok(None);
            }
            let root = sys::overlay::read(&folders).and_then(|root| root.open_directory("/"));
            Ok(Some(root.map_err(|errno| Error::Tree(errno.into()))?))
        };
        let root = tokio::task::spawn_blocking(open).await??;
        let write = move |out: &mut chunks::Outlet| match root {
            Some(root) => image::write_root(root, out),
            None => std::io::Write::write_all(out, &[0; 1024]).map_err(image::TreeError::Write),
        };
        Ok(stream("application/x-tar", written(write)))
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
