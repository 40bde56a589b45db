//! `network ls`.

use api::network::{ListOptions, NetworkInspect};

use crate::app::App;
use crate::command::{Arity, Leaf};
use crate::commands::ps::LIST_FORMAT;
use crate::failure::Failure;
use crate::flag::{Flag, Options};
use crate::format::{Cell, Listing, Row};
use crate::opts::FilterFlag;
use crate::text::short_id;
use crate::when::local_text_exact;

/// Lists networks.
pub(super) struct List;

#[derive(Default)]
pub(super) struct ListFlags {
    filter: FilterFlag,
    format: String,
    no_trunc: bool,
    quiet: bool,
}

impl Options for ListFlags {
    const FLAGS: &'static [Flag<Self>] = &[
        Flag::lettered('f', "filter", "Show only those that match", |o| &mut o.filter),
        Flag::new("format", LIST_FORMAT, |o| &mut o.format),
        Flag::new("no-trunc", "Show everything in full length", |o| &mut o.no_trunc),
        Flag::lettered('q', "quiet", "Show only IDs", |o| &mut o.quiet),
    ];
}

const TABLE: &str = "table {{.ID}}\\t{{.Name}}\\t{{.Driver}}\\t{{.Scope}}";

impl Leaf for List {
    type Options = ListFlags;
    const NAME: &'static str = "ls";
    const ABOUT: &'static str = "List networks";
    const USAGE: &'static str = "[OPTIONS]";
    const ARITY: Arity = Arity::None;
    const PATHS: &'static [&'static str] = &["network ls", "network list"];

    fn run(app: &App, flags: ListFlags, _: Vec<String>) -> Result<(), Failure> {
        let format = match flags.format.as_str() {
            "" if !flags.quiet => app.config().networks_format.as_str(),
            format => format,
        };
        let listing = match (flags.quiet, format) {
            (true, "" | "table") => Listing::new("{{.ID}}", ""),
            (_, format) => Listing::new(format, TABLE),
        }?;
        let request = ListOptions { filters: flags.filter.0.clone() };
        let mut networks = app.block_on(app.client()?.networks(&request))?;
        networks.sort_by(|one, other| one.name.cmp(&other.name));
        let rows: Vec<NetworkRow> =
            networks.into_iter().map(|network| NetworkRow { network, truncate: !flags.no_trunc }).collect();
        app.print(&listing.render(&rows)?)
    }
}

#[derive(Clone)]
struct NetworkRow {
    network: NetworkInspect,
    truncate: bool,
}

impl Row for NetworkRow {
    const TYPE: &'static str = "*network.networkContext";
    const FIELDS: &'static [(&'static str, &'static str)] = &[
        ("CreatedAt", "CREATED AT"),
        ("Driver", "DRIVER"),
        ("ID", "NETWORK ID"),
        ("IPv4", "IPV4"),
        ("IPv6", "IPV6"),
        ("Internal", "INTERNAL"),
        ("Labels", "LABELS"),
        ("Name", "NAME"),
        ("Scope", "SCOPE"),
    ];
    const METHODS: &'static [&'static str] = &["Label"];

    fn field(&self, name: &str) -> Cell {
        let network = &self.network;
        Cell::Text(match name {
            "CreatedAt" => local_text_exact(network.created),
            "Driver" => network.driver.clone(),
            "ID" if self.truncate => short_id(&network.id).to_owned(),
            "ID" => network.id.clone(),
            "IPv4" => network.enable_ipv4.to_string(),
            "IPv6" => network.enable_ipv6.to_string(),
            "Internal" => network.internal.to_string(),
            "Labels" => {
                let labels = network.labels.iter().flatten();
                labels.map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join(",")
            }
            "Name" => network.name.clone(),
            "Scope" => network.scope.clone(),
            _ => String::new(),
        })
    }

    fn method(&self, _: &str, argument: &str) -> String {
        self.network.labels.as_ref().and_then(|labels| labels.get(argument)).cloned().unwrap_or_default()
    }
}
