//! `history`: the steps an image was made by.

use api::image::HistoryItem;
use jiff::Timestamp;

use super::ps::LIST_FORMAT;
use super::pull::platform_json;
use crate::app::App;
use crate::command::{Arity, Leaf};
use crate::failure::Failure;
use crate::flag::{Flag, Options};
use crate::format::{Cell, Listing, Row};
use crate::text::{decimal_size, ellipsis, short_id};
use crate::when::ago;

/// Shows the history of an image.
pub(crate) struct History;

pub(crate) struct HistoryOptions {
    format: String,
    human: bool,
    no_trunc: bool,
    platform: String,
    quiet: bool,
}

impl Default for HistoryOptions {
    fn default() -> Self {
        Self { format: String::new(), human: true, no_trunc: false, platform: String::new(), quiet: false }
    }
}

impl Options for HistoryOptions {
    const FLAGS: &'static [Flag<Self>] = &[
        Flag::new("format", LIST_FORMAT, |o| &mut o.format),
        Flag::lettered('H', "human", "Show sizes and dates in a readable form", |o| &mut o.human),
        Flag::new("no-trunc", "Show everything in full length", |o| &mut o.no_trunc),
        Flag::new("platform", "Show this platform (os[/arch[/variant]])", |o| &mut o.platform),
        Flag::lettered('q', "quiet", "Show only IDs", |o| &mut o.quiet),
    ];
}

const TABLE: &str = "table {{.ID}}\\t{{.CreatedSince}}\\t{{.CreatedBy}}\\t{{.Size}}\\t{{.Comment}}";
const TABLE_OF_NUMBERS: &str = "table {{.ID}}\\t{{.CreatedAt}}\\t{{.CreatedBy}}\\t{{.Size}}\\t{{.Comment}}";

impl Leaf for History {
    type Options = HistoryOptions;
    const NAME: &'static str = "history";
    const ABOUT: &'static str = "Show the history of an image";
    const USAGE: &'static str = "[OPTIONS] IMAGE";
    const ARITY: Arity = Arity::Exactly(1);
    const PATHS: &'static [&'static str] = &["image history", "history"];

    fn run(app: &App, options: HistoryOptions, arguments: Vec<String>) -> Result<(), Failure> {
        let platform = platform_json(&options.platform)?;
        let format = match options.format.as_str() {
            "" | "table" if options.quiet => "{{.ID}}",
            format => format,
        };
        let listing = Listing::new(format, if options.human { TABLE } else { TABLE_OF_NUMBERS })?;
        let client = app.client()?;
        let steps = app.block_on(client.image_history(&arguments[0], &platform))?;
        let now = Timestamp::now().as_second();
        let rows: Vec<StepRow> = steps
            .into_iter()
            .map(|step| StepRow { step, truncate: !options.no_trunc, human: options.human, now })
            .collect();
        app.print(&listing.render(&rows)?)
    }
}

#[derive(Clone)]
struct StepRow {
    step: HistoryItem,
    truncate: bool,
    human: bool,
    now: i64,
}

impl Row for StepRow {
    const TYPE: &'static str = "*image.historyContext";
    const FIELDS: &'static [(&'static str, &'static str)] = &[
        ("Comment", "COMMENT"),
        ("CreatedAt", "CREATED AT"),
        ("CreatedBy", "CREATED BY"),
        ("CreatedSince", "CREATED"),
        ("ID", "IMAGE"),
        ("Size", "SIZE"),
    ];

    fn field(&self, name: &str) -> Cell {
        let step = &self.step;
        let date =
            || Timestamp::from_second(step.created).map_or_else(|_| String::new(), |time| time.to_string());
        Cell::Text(match name {
            "ID" if self.truncate => short_id(&step.id).to_owned(),
            "ID" => step.id.clone(),
            "CreatedAt" => date(),
            "CreatedSince" if !self.human => date(),
            "CreatedSince" if step.created <= 0 => "N/A".to_owned(),
            "CreatedSince" => ago(self.now - step.created),
            "CreatedBy" if self.truncate => ellipsis(&step.created_by.replace('\t', " "), 45),
            "CreatedBy" => step.created_by.replace('\t', " "),
            "Size" if self.human => decimal_size(step.size as f64, 3),
            "Size" => step.size.to_string(),
            "Comment" => step.comment.clone(),
            _ => String::new(),
        })
    }
}
