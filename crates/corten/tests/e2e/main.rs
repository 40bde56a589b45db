//! End-to-end tests: real clients, a real engine, real containers.
//!
//! Every scenario is a function that takes a `Bed` and is run with the `docker` client and with Corten's own command
//! line. `CORTEN_TEST_ENGINE=reference` and `DOCKER_HOST` choose another engine (see `testkit`). What only Corten
//! does is in `extras`.

mod build;
mod build_cli;
mod commit;
mod confinement;
mod conformance;
mod disk;
mod download;
mod events;
mod exec;
mod extras;
mod files;
mod health;
mod hostile;
mod images;
mod input;
mod inspect;
mod interactive;
mod lifecycle;
mod limits;
mod links;
mod login;
mod logs;
mod manifest;
mod mounts;
mod names;
mod namespaces;
mod network;
mod networks;
mod ports;
mod project;
mod prune;
mod ps;
mod pull;
mod push;
mod registries;
mod restart;
mod run;
mod save;
mod search;
mod servers;
mod usage;
mod versions;
mod volumes;
mod websocket;

/// The binary under test.
const CORTEN: &str = env!("CARGO_BIN_EXE_corten");
