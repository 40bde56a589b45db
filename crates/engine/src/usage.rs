//! What volumes take of the disk, and who uses images.

use std::collections::HashMap;
use std::fs;
use std::path::Path;

use api::volume::{UsageData, Volume};
use jiff::Timestamp;

use crate::engine::Engine;
use crate::error::Error;

impl Engine {
    /// All volumes, by name, with what they take and how many containers use them. Walks their files.
    ///
    /// # Errors
    /// When a folder cannot be read.
    pub async fn volumes_usage(&self) -> Result<Vec<Volume>, Error> {
        let shared = std::sync::Arc::clone(&self.shared);
        let measure = move || {
            let volumes = shared.volumes.all()?;
            volumes
                .into_iter()
                .map(|(name, links)| volume(name.clone(), links, &shared.volumes.path(&name)))
                .collect()
        };
        tokio::task::spawn_blocking(measure).await.expect("measuring does not panic")
    }

    /// The containers of each image, by the images' IDs.
    pub fn container_ids_of_images(&self) -> HashMap<String, Vec<String>> {
        let mut users: HashMap<String, Vec<String>> = HashMap::new();
        for container in self.shared.index().all() {
            users.entry(container.settings.image_id.clone()).or_default().push(container.id().to_owned());
        }
        users
    }
}

fn volume(name: String, links: usize, path: &Path) -> Result<Volume, Error> {
    let size = image::measure(path)?.size;
    let metadata = fs::metadata(path).map_err(Error::file("read folder", path))?;
    let made =
        metadata.created().or_else(|_| metadata.modified()).map_err(Error::file("read folder", path))?;
    let seconds = Timestamp::try_from(made).map_or(0, Timestamp::as_second);
    let number = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
    Ok(Volume {
        created_at: Timestamp::from_second(seconds).unwrap_or_default().to_string(),
        driver: "local".to_owned(),
        mountpoint: path.to_string_lossy().into_owned(),
        name,
        scope: "local".to_owned(),
        usage_data: Some(UsageData { ref_count: number(links as u64), size: number(size) }),
        ..Volume::default()
    })
}
