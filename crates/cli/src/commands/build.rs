//! `build`: an image of a Dockerfile.

use crate::app::App;
use crate::build::{self, BuildFlags};
use crate::command::{Arity, Leaf};
use crate::failure::Failure;

/// Builds an image.
pub(crate) struct Build;

impl Leaf for Build {
    type Options = BuildFlags;
    const NAME: &'static str = "build";
    const ABOUT: &'static str = "Build an image from a Dockerfile";
    const USAGE: &'static str = "[OPTIONS] PATH | URL | -";
    const ARITY: Arity = Arity::Exactly(1);
    const PATHS: &'static [&'static str] = &["build", "image build", "builder build", "buildx build"];

    fn run(app: &App, flags: BuildFlags, arguments: Vec<String>) -> Result<(), Failure> {
        build::run(app, &flags, &arguments[0])
    }
}
