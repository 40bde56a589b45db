//! Building images: what a build is asked for, and what it tells on its way.
//!
//! There are two ways to ask. Docker's clients send [`BuildOptions`] as parameters and a tar of the context as the body; they
//! get lines of text. Corten's own client sends a [`BuildRequest`] as the first line of the body, with
//! [`REQUEST_TYPE`] as its type, which can say where the context is on the engine's machine; it gets [`BuildEvent`]s.

mod event;
mod options;
mod request;

pub use event::{BuildEvent, BuildMessage};
pub use options::{BuildOptions, CachePruneOptions, CachePruneResponse};
pub use request::{BuildRequest, CacheOption, ContextSource, Limits, LocalFolder, REQUEST_TYPE, Secret};
