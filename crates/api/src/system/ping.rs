//! The headers of `/_ping`, which clients read before anything else.

/// What the headers of `/_ping` say.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ping {
    /// `Api-Version`: the newest API version.
    pub api_version: String,
    /// `Ostype`: `linux`.
    pub os_type: String,
    /// `Docker-Experimental`.
    pub experimental: bool,
    /// `Builder-Version`: `1` is the classic builder, `2` is BuildKit; empty is none.
    pub builder_version: String,
    /// `Swarm`: `inactive`, `active/manager`, ….
    pub swarm: String,
}
