//! `top`: the processes of a container.

use crate::app::App;
use crate::command::{Arity, Leaf};
use crate::failure::Failure;
use crate::flag::{Flag, Options};
use crate::text::{Layout, align};

/// Shows the processes of a container.
pub(crate) struct Top;

/// What follows the container belongs to `ps`.
#[derive(Default)]
pub(crate) struct TopOptions;

impl Options for TopOptions {
    const FLAGS: &'static [Flag<Self>] = &[];
    const INTERSPERSED: bool = false;
}

const LAYOUT: Layout = Layout { minimum: 20, padding: 3 };

impl Leaf for Top {
    type Options = TopOptions;
    const NAME: &'static str = "top";
    const ABOUT: &'static str = "Display the running processes of a container";
    const USAGE: &'static str = "CONTAINER [ps OPTIONS]";
    const ARITY: Arity = Arity::AtLeast(1);
    const PATHS: &'static [&'static str] = &["container top", "top"];

    fn run(app: &App, _: TopOptions, arguments: Vec<String>) -> Result<(), Failure> {
        let client = app.client()?;
        let answer = app.block_on(client.top_container(&arguments[0], &arguments[1..].join(" ")))?;
        let mut text = answer.titles.join("\t");
        text.push('\n');
        for process in &answer.processes {
            text.push_str(&process.join("\t"));
            text.push('\n');
        }
        app.print(&align(&text, LAYOUT))
    }
}
