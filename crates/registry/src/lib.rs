//! The client of image registries: what the distribution specification says, as Docker uses it.
//!
//! [`Registry::pull`] brings an image into an [`image::ImageStore`]: it finds out how the registry is reached and what
//! authentication it wants, chooses the manifest for a platform, and streams the layers, several at a time, through
//! hashing and decompression into their trees. Everything from the network is bounded in size and time and verified
//! before it is used.
//!
//! [`Registry::push`] brings an image to a registry: what is not there yet, several blobs at a time, and then the manifest
//! as it came or was made; an index too, where every image in it is here. Layers that are stored as plain tars are compressed
//! for it, unless the registry has what became of them before. An upload that broke off goes on where the registry says, or begins again.
//!
//! Credentials go to the registry they are for and to the token service it names, never after a redirect to another
//! host, nor to another host that is to take an upload.
//! Mirrors get none at all.
//! Plain HTTP is used with loopback addresses and with registries that are declared insecure, and with no others.
//!
//! [`Registry::search`] asks a registry what it has, [`Registry::look_up`] what a name stands for; [`Registry::download`] gets a
//! file that is at any URL, and [`Registry::import`] makes an image of such a tar; the same limits hold for both.
//!
//! Dropping the future of a pull cancels it: connections are closed at once, and what was not committed is removed. So it
//! is with a push; blobs that the registry has by then stay there, for it to collect or for the next push to find.
//!
//! # Files
//!
//! `/etc/docker/certs.d/<host>/` for `hosts.toml`, which says where else a registry's content is, certificate authorities (`*.crt`) and client certificates (`*.cert` with `*.key`),
//! and the system's bundle of certificate authorities. Nothing is written outside the image store.

mod auth;
mod blob;
mod distribution;
mod documents;
mod download;
mod error;
mod hosts_file;
mod import;
mod in_flight;
mod login;
mod manifest;
mod network;
mod pipe;
mod progress;
mod proxy;
mod pull;
mod push;
mod retry;
mod search;
mod session;
mod tls;
mod upload;

use std::path::PathBuf;
use std::time::Duration;

use url::Url;

pub use in_flight::{InFlight, Turn};

pub use auth::Credentials;
pub use distribution::Distribution;
pub use documents::{Found, ImageDocument, Mounted, Writer};
pub use download::{Condition, Download, Source};
pub use error::{ApiError, Error, ErrorKind};
pub use network::parse_mirror;
pub use progress::{Detail, Outcome, Progress, ProgressSink};
pub use proxy::Proxies;
pub use pull::{PullRequest, Pulled, Status};
pub use push::{PushRequest, Pushed};
pub use search::{FoundRepository, SearchRequest};

/// How registries are reached.
#[derive(Clone, Debug)]
pub struct Config {
    /// Hosts (`name` or `name:port`) and networks (`10.0.0.0/8`) that may be reached without verified TLS, or without any.
    pub insecure: Vec<String>,
    /// Mirrors of docker.io, asked before it, with paths that end in `/`: see [`parse_mirror`].
    pub mirrors: Vec<Url>,
    /// Proxies between this machine and registries.
    pub proxies: Proxies,
    /// Layers that are downloaded at the same time; at least 1.
    pub parallel_downloads: usize,
    /// Blobs that are uploaded at the same time; at least 1.
    pub parallel_uploads: usize,
    /// How often a download or upload is tried.
    pub attempts: u32,
    /// For how long a connection may take to be made.
    pub connect_timeout: Duration,
    /// For how long a registry may send nothing.
    pub idle_timeout: Duration,
    /// Before the second attempt; doubled for each further one.
    pub backoff: Duration,
    /// No pause between attempts is longer, whatever the registry asks for.
    pub longest_pause: Duration,
    /// Folder with a folder for each registry that has its own certificates.
    pub certificates: PathBuf,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            insecure: Vec::new(),
            mirrors: Vec::new(),
            proxies: Proxies::from_environment(),
            parallel_downloads: 3,
            parallel_uploads: 5,
            attempts: 5,
            connect_timeout: Duration::from_secs(15),
            idle_timeout: Duration::from_secs(60),
            backoff: Duration::from_secs(1),
            longest_pause: Duration::from_secs(60),
            certificates: "/etc/docker/certs.d".into(),
        }
    }
}

/// A client of any registry. Clones share what is on its way.
#[derive(Clone, Debug, Default)]
pub struct Registry {
    config: Config,
    in_flight: InFlight,
}

impl Registry {
    /// A client. Nothing is connected yet.
    pub fn new(config: Config) -> Self {
        Self { config, in_flight: InFlight::default() }
    }

    /// The proxies in use, without users and passwords.
    pub fn proxies(&self) -> Proxies {
        self.config.proxies.redacted()
    }

    /// The proxies in use, with their users and passwords: for programs that are to reach the same servers.
    pub fn proxies_with_passwords(&self) -> &Proxies {
        &self.config.proxies
    }
}
