//! Doing what there is no result of: making layers.

mod cache_folders;
mod caches;
mod copy;
mod epoch;
mod layer;
mod mounts;
mod run;
mod stubs;

pub(crate) use cache_folders::CacheFolders;
pub(crate) use copy::{Looked, Memories, copy, digest_of, make_folder};
pub use layer::WritableLayer;
pub(crate) use run::run;
