//! Builds images from Dockerfiles.
//!
//! ```text
//! Request ── dockerfile::plan ──> Plan ── solve ──> a result for each vertex ── output ──> image
//!                │                          │
//!        configurations of bases     cache: key -> layers
//!        (Host::pull)                execute: COPY into a new layer, RUN by Host::run
//! ```
//!
//! - [`solve`] goes through the vertices; each waits for its inputs only, so that independent stages run at the same time.
//! - A **key** is the digest of all that decides what a vertex does: its operation, and the keys of its inputs. Files that are
//!   copied or bound from a context or a stage count by what is in them, never by times.
//! - [`cache`] keeps layers by key in the image store ([`image::Kept`]), with notes from which [`cache::explain`] can tell why
//!   there was no result.
//! - [`execute`] makes layers: the folder that is written to becomes the layer, and its tar is only hashed.
//! - [`exchange`] finds results elsewhere and brings them there: registries, folders, images (`--cache-from`, `--cache-to`).
//! - [`Host`] is what a build needs of an engine: commands that run in containers, and images that are pulled. This crate
//!   knows no engine.
//! - [`context`] brings what is elsewhere: files by HTTP, with the client that [`registry`] has, and repositories by the `git`
//!   program; [`archive`] unpacks what comes as a tar.
//!
//! It is *not* a Dockerfile parser ([`dockerfile`]) and serves no HTTP.
//!
//! # Disk
//!
//! | path | what |
//! |---|---|
//! | `<lib>/build/work/` | files of builds that are under way; emptied at the start |
//! | `<lib>/build/caches/<name>/data` | folders of `RUN --mount=type=cache`; beside it, in `note`, when and by whom it was used |
//! | `<lib>/build/contexts/<name>` | what is known of files of contexts, so that they need not be read again; for 90 days |
//! | `<lib>/build/listings/<key>` | what a copy took, to tell what is different the next time and to link what is not |
//! | `<lib>/build/empty/` | the lowest layer where there is no other |
//! | `<run>/build/secrets/` | secrets while commands use them; emptied at the start |
//!
//! Results and folders of cache mounts take a tenth of the disk at the most, besides results that images have; then those go that were not used for longest.

mod annotations;
pub mod archive;
mod builder;
mod cache;
pub mod context;
mod error;
mod exchange;
mod execute;
pub mod files;
mod host;
mod key;
mod output;
mod progress;
mod request;
mod solve;
mod work;

pub use annotations::annotations;
pub use builder::Builder;
pub use cache::{CacheFilter, CacheRecord, Pruned};
pub use error::{Error, Failure};
pub use exchange::{CacheFolder, CacheOptions, CachePlace, CacheSource, CacheTarget, Entry};
pub use execute::WritableLayer;
pub use host::{Command, CommandBind, CommandEnd, CommandMount, Host};
pub use output::Built;
pub use progress::{Event, Progress};
pub use request::{Context, NamedSource, NoCache, Request, Secret};
pub use work::WorkFolder;
