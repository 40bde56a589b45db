//! What a container has in its files: what it changed, and all of them.

use std::io::Write;
use std::os::fd::OwnedFd;

use image::{Change, TreeError};

use crate::engine::Engine;
use crate::error::Error;

/// The files of a container, about to be written as a tar. What shows them goes with it.
#[derive(Debug)]
pub struct Export {
    root: OwnedFd,
}

impl Export {
    /// Writes the tar, on a thread that may block.
    ///
    /// # Errors
    /// When a file cannot be read, or `out` fails.
    pub fn write(self, out: &mut dyn Write) -> Result<(), TreeError> {
        image::write_root(self.root, out)
    }
}

impl Engine {
    /// What a container changed in the files of its image.
    ///
    /// # Errors
    /// When there is no such container, or its files cannot be read.
    pub async fn changes(&self, reference: &str) -> Result<Vec<Change>, Error> {
        let (images, id) = (self.images().clone(), self.find(reference)?.id().to_owned());
        let changes = tokio::task::spawn_blocking(move || images.changes(&id)).await;
        Ok(changes.expect("comparing does not panic")?)
    }

    /// All files of a container, without what is mounted in it. It may run meanwhile.
    ///
    /// # Errors
    /// When there is no such container, or its layers cannot be shown together.
    pub async fn export(&self, reference: &str) -> Result<Export, Error> {
        let container = self.find(reference)?;
        let (images, id) = (self.images().clone(), container.id().to_owned());
        let open = move || {
            let layers = images.open_snapshot(&id)?.for_reading();
            let root = sys::overlay::read(&layers).and_then(|root| root.open_directory("/"));
            root.map_err(|errno| Error::file("read the layers of container", &id)(errno.into()))
        };
        let root = tokio::task::spawn_blocking(open).await.expect("opening does not panic")?;
        self.shared.tell(&container.settings, &container.published().name, "export", []);
        Ok(Export { root })
    }
}
