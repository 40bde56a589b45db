//! Images.

mod descriptor;
mod history;
mod inspect;
mod options;
mod progress;
mod search;
mod summary;

pub use descriptor::{Descriptor, Platform};
pub use history::{DeleteItem, HistoryItem, PruneResponse};
pub use inspect::{ImageConfig, ImageInspect, Metadata, RootFs};
pub use options::{
    ListOptions, LoadOptions, PullOptions, PushOptions, RemoveOptions, SaveOptions, TagOptions,
};
pub use progress::{ErrorDetail, ProgressDetail, ProgressMessage};
pub use search::{SearchOptions, SearchResult};
pub use summary::{
    AttestationProperties, ImageProperties, ImageSummary, ManifestSizes, ManifestSummary, UnpackedSize,
};
