//! Versioned durable records: a small typed layer over one SQLite file.
//!
//! A [`Store`] holds JSON documents of several kinds. Each kind is a Rust type that implements [`Record`]; its version is
//! stored beside each document, so that a newer program can read what an older one wrote and an older one refuses what it
//! does not know, by name.
//!
//! It is *not* a cache and knows no relations: owners keep their live objects in memory and write records through.
//!
//! # Durability
//!
//! The file is in WAL mode with `synchronous = NORMAL`: a commit survives the end of the process at any moment, and costs
//! no `fsync`. After a power cut the newest commits may be missing, never half there. [`Store::checkpoint`] moves the log
//! into the file with the `fsync`s this takes; owners call it where nobody waits.
//!
//! The log has room on the disk before it is written, so that a full disk does not keep records from being removed or states
//! from being changed: half a mebibyte between two checkpoints.
//!
//! # Disk
//!
//! The path given to [`Store::open`], and `<path>-wal` beside it. The file is locked for as long as the store is open, so
//! that a second process cannot open it.

mod error;
mod record;
mod reserve;
mod store;

pub use error::Error;
pub use record::{Record, UpgradeError};
pub use store::{Store, Transaction};
