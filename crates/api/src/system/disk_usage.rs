//! What images, containers and volumes take of the disk.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::container::ContainerSummary;
use crate::image::ImageSummary;
use crate::volume::Volume;

/// The answer to `GET /system/df`; null for what was not asked for. Sizes are bytes.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct DiskUsage {
    /// What all images take.
    pub layers_size: i64,
    /// The images, with what they share and how many containers use them.
    pub images: Option<Vec<ImageSummary>>,
    /// The containers, with what they have written.
    pub containers: Option<Vec<ContainerSummary>>,
    /// The volumes, with what they take and how many containers use them.
    pub volumes: Option<Vec<Volume>>,
    /// What builds have kept.
    pub build_cache: Option<Vec<Value>>,
}
