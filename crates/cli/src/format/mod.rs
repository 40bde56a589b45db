//! `--format`: Go templates over the rows of a list or over an object's JSON.

mod functions;
mod inspect;
mod json;
mod list;
mod template;
pub(crate) mod whitespace;

pub(crate) use inspect::{InspectFormat, pretty};
pub(crate) use json::Node;
pub(crate) use list::{Cell, Listing, Row};
