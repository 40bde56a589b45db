//! The options of a container: what `run` and `create` take, and the request that comes of it.

mod flags;
mod request;

pub(crate) use flags::{ContainerOptions, container_flags};
