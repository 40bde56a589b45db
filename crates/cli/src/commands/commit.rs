//! `commit`: an image of a container.

use api::container::CommitOptions;

use super::pull;
use crate::app::App;
use crate::command::{Arity, Leaf};
use crate::failure::Failure;
use crate::flag::{Flag, Options};

/// Makes an image of a container.
pub(crate) struct Commit;

pub(crate) struct CommitFlags {
    author: String,
    change: Vec<String>,
    message: String,
    pause: bool,
}

impl Default for CommitFlags {
    fn default() -> Self {
        Self { author: String::new(), change: Vec::new(), message: String::new(), pause: true }
    }
}

impl Options for CommitFlags {
    const FLAGS: &'static [Flag<Self>] = &[
        Flag::lettered('a', "author", "Author, e.g. \"Ada Lovelace <ada@example.org>\"", |o| &mut o.author),
        Flag::lettered('c', "change", "Dockerfile instruction for the image", |o| &mut o.change),
        Flag::lettered('m', "message", "Note on the image", |o| &mut o.message),
        Flag::lettered('p', "pause", "Freeze the container meanwhile", |o| &mut o.pause),
    ];
    const INTERSPERSED: bool = false;
}

impl Leaf for Commit {
    type Options = CommitFlags;
    const NAME: &'static str = "commit";
    const ABOUT: &'static str = "Create a new image from a container's changes";
    const USAGE: &'static str = "[OPTIONS] CONTAINER [REPOSITORY[:TAG]]";
    const ARITY: Arity = Arity::Between(1, 2);
    const PATHS: &'static [&'static str] = &["container commit", "commit"];

    fn run(app: &App, flags: CommitFlags, arguments: Vec<String>) -> Result<(), Failure> {
        let mut options = CommitOptions {
            container: arguments[0].clone(),
            author: flags.author,
            comment: flags.message,
            changes: flags.change,
            pause: flags.pause,
            ..CommitOptions::default()
        };
        if let Some(name) = arguments.get(1) {
            (options.repo, options.tag) = pull::repository_and_tag(name)?;
        }
        let client = app.client()?;
        let made = app.block_on(client.commit_container(&options))?;
        app.line(&made.id)
    }
}
