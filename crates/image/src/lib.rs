//! Images: content-addressed blobs, names, unpacked layers, and the writable layers of containers.
//!
//! [`ImageStore`] is the whole of it. It finds, lists, names and removes images; it brings them in from archives
//! ([`ImageStore::load`]), from this program itself ([`builtin`]) or piece by piece from elsewhere ([`Ingest`], which
//! `registry` uses); and it makes the parts of a container's overlay mount ([`ImageStore::prepare`]). It is *not* a
//! registry client and mounts nothing.
//!
//! Images leave it as [`Content`], all that a registry or an archive wants of them, or as an [`Archive`] of several.
//!
//! # Disk
//!
//! Everything is in the one folder given to [`ImageStore::open`], which other users cannot enter:
//!
//! | path | what |
//! |---|---|
//! | `blobs/<algorithm>/<hex>` | manifests, indexes and configurations, byte for byte, and layers as they came |
//! | `layers/<hex>/diff` | the tree of the layer with this diffID, with overlayfs's whiteouts |
//! | `snapshots/<id>/{upper,work}` | a container's writable layer |
//! | `partial/` | beginnings of blobs whose download the end of an engine cut off; never trusted |
//! | `ingest/` | what is not whole yet, or no longer needed; emptied when the store is opened |
//! | `base/` | the lowest layer of every container: places for its own mounts |
//! | `quarantine/` | what a check found damaged; nothing is deleted here |
//! | `metadata.db` | records of images, names, layers and snapshots |
//!
//! A layer is kept once, however many images share it and at whatever place in them: trees are by diffID, not by chain.
//! Beside its tree the bytes it came as are kept, so that it can be saved and pushed again with the same digests.
//!
//! A name that stands for an index has the images of all its platforms that are here: one that is meant where no platform
//! is asked for, that of this machine if it is among them, and others.

pub mod archive;
pub mod builtin;
mod check;
mod checkpoints;
mod compressed;
mod content;
mod error;
mod filter;
#[cfg(feature = "fuzzing")]
pub mod fuzzing;
mod gzip;
mod image;
mod index;
mod ingest;
mod kept;
mod layer;
mod layout;
mod listed;
mod load;
mod made;
pub mod manifest;
mod open;
mod partial;
mod prune;
mod record;
mod remove;
mod save;
mod select;
mod snapshot;
mod store;
mod stream_digest;
mod tar;
mod tree;
mod usage;
mod workspace;

pub use check::{CheckProgress, Checked, Finding, Outcome, Repair, Subject};
pub use compressed::CompressedLayer;
pub use content::{Content, LayerContent};
pub use error::{Error, ErrorKind, Result};
pub use filter::Filters;
pub use image::{HistoryItem, Image};
pub use ingest::{Draft, Ingest};
pub use kept::Kept;
pub use layer::LayerError;
pub use listed::{ListedManifest, Listing, ManifestKind};
pub use load::{ArchiveError, Loaded, LoadingLayer};
pub use made::NewImage;
pub use partial::PartialBlob;
pub use prune::{Pruned, Unused};
pub use remove::{Force, Removed, Users};
pub use save::{Archive, ArchiveReader};
pub use select::{IndexContent, Selection};
pub use snapshot::{MAX_LOWER_LAYERS, OverlayParts, Usage, measure};
pub use store::ImageStore;
pub use tar::TarError;
pub use tree::{Change, ChangeKind, TreeError, write_root};
pub use usage::{DiskUsage, ImageUsage};
