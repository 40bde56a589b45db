//! What most tests start with: an engine, a client, and the busybox image.

use std::path::Path;

use crate::cli::{Client, Command, Output};
use crate::engine::{Builder, Engine, Kind};
use crate::images::Base;

/// A private engine with busybox loaded, and the client the test is run with.
#[derive(Debug)]
pub struct Bed {
    /// The engine.
    pub engine: Engine,
    client: Client,
}

impl Bed {
    /// Starts the engine that the environment asks for.
    pub fn start(corten: &Path, client: Client) -> Self {
        Self::with(Builder::new(Kind::from_environment(), corten), client)
    }

    /// Starts this engine.
    pub fn with(builder: Builder, client: Client) -> Self {
        let engine = builder.start();
        engine.load(Base::Busybox);
        Self { engine, client }
    }

    /// The client the test is run with.
    pub fn client(&self) -> Client {
        self.client
    }

    /// A command that has not been started.
    pub fn cli<A: AsRef<std::ffi::OsStr>>(&self, arguments: impl IntoIterator<Item = A>) -> Command {
        self.engine.cli(self.client, arguments)
    }

    /// Runs a command to its end.
    pub fn run<A: AsRef<std::ffi::OsStr>>(&self, arguments: impl IntoIterator<Item = A>) -> Output {
        self.cli(arguments).run()
    }

    /// Runs a command that must succeed, and returns its standard output without white space at its ends.
    #[track_caller]
    pub fn ok<A: AsRef<std::ffi::OsStr>>(&self, arguments: impl IntoIterator<Item = A>) -> String {
        self.run(arguments).expect_ok().trimmed()
    }

    /// Runs a shell script in a new busybox container that is removed afterwards, and returns what it printed.
    #[track_caller]
    pub fn sh(&self, options: &[&str], script: &str) -> String {
        let head = ["run", "--rm"].into_iter().chain(options.iter().copied());
        self.ok(head.chain(["busybox", "sh", "-c", script]))
    }

    /// One field of a container's or image's inspection, by a Go template.
    #[track_caller]
    pub fn field(&self, object: &str, template: &str) -> String {
        self.ok(["inspect", "--format", template, object])
    }
}

/// Makes two tests of each scenario, a `fn(&Bed)`: `docker::<name>` and `corten::<name>`.
///
/// `CORTEN` is to be in scope: the path of the binary under test.
#[macro_export]
macro_rules! with_each_client {
    ($($name:ident),+ $(,)?) => {
        mod docker {
            $(#[test]
            fn $name() {
                super::$name(&$crate::Bed::start(super::CORTEN.as_ref(), $crate::Client::Docker));
            })+
        }
        mod corten {
            $(#[test]
            fn $name() {
                super::$name(&$crate::Bed::start(super::CORTEN.as_ref(), $crate::Client::Corten));
            })+
        }
    };
}
