//! Builds images from Dockerfiles.

pub mod context;
pub mod files;
