//! Lists of images in the making: what `manifest` keeps beside the configuration file, as `docker` does, until it is pushed.
//!
//! ```text
//! <configuration folder>/manifests/<name of the list>/<name of the image>
//! ```
//!
//! In these names `:` is `-` and `/` is `_`. Each file is one [`Entry`].

mod entry;
mod list;
mod store;

pub(crate) use entry::{Entry, Platform};
pub(crate) use list::list_document;
pub(crate) use store::{Store, not_found};
