//! Images of tars that are somewhere on the network.

use image::{Image, ImageStore, NewImage};

use crate::Registry;
use crate::download::{Condition, Source};
use crate::error::Error;
use crate::progress::{Meter, Progress, ProgressSink};

impl Registry {
    /// Makes an image of the tar of a root file system at `source`, plain or compressed with gzip or zstd. The first message
    /// says that its server has it.
    ///
    /// Dropping the future cancels it: the connection is closed at once, and nothing is left in the store.
    ///
    /// # Errors
    /// When the server cannot be reached, refuses, or sends something that is no tar.
    pub async fn import(
        &self,
        store: &ImageStore,
        source: &Source,
        image: NewImage,
        progress: ProgressSink,
    ) -> Result<Image, Error> {
        let download = self.download(source, &Condition::default()).await?.succeeded()?;
        progress(Progress::message(format!("Downloading from {source}")));
        let store = store.clone();
        let mut meter = Meter::of_all(&progress, "Importing", download.length().unwrap_or_default());
        let made =
            download.consume(move |reader| store.import(reader, image, &mut |bytes| meter.add(bytes))).await;
        let image = made??;
        progress(Progress::message(image.id.to_string()));
        Ok(image)
    }
}
