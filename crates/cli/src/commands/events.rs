//! `events`: what happens, as it happens.

use api::event::{Event, EventOptions};
use jiff::Timestamp;
use jiff::tz::TimeZone;

use crate::app::App;
use crate::command::{Arity, Leaf};
use crate::failure::Failure;
use crate::flag::{Flag, Options};
use crate::format::{InspectFormat, Node};
use crate::opts::FilterFlag;
use crate::when;

const FORMAT: &str = "How to show each event:\n'json':             JSON\n'TEMPLATE':         Go template";

/// Shows events.
pub(crate) struct Events;

#[derive(Default)]
pub(crate) struct EventsFlags {
    filter: FilterFlag,
    format: String,
    since: String,
    until: String,
}

impl Options for EventsFlags {
    const FLAGS: &'static [Flag<Self>] = &[
        Flag::lettered('f', "filter", "Show only those that match", |o| &mut o.filter),
        Flag::new("format", FORMAT, |o| &mut o.format),
        Flag::new("since", "Begin with events of this time", |o| &mut o.since),
        Flag::new("until", "End with events of this time", |o| &mut o.until),
    ];
}

impl Leaf for Events {
    type Options = EventsFlags;
    const NAME: &'static str = "events";
    const ABOUT: &'static str = "Get real time events from the server";
    const USAGE: &'static str = "[OPTIONS]";
    const ARITY: Arity = Arity::None;
    const PATHS: &'static [&'static str] = &["system events", "events"];

    fn run(app: &App, flags: EventsFlags, _: Vec<String>) -> Result<(), Failure> {
        let format = InspectFormat::new(&flags.format)
            .map_err(|error| Failure::coded(format!("Error parsing format: {error}"), 64))?;
        let options = EventOptions {
            since: when::parse(&flags.since).map_err(Failure::message)?,
            until: when::parse(&flags.until).map_err(Failure::message)?,
            filters: flags.filter.0.clone(),
        };
        let client = app.client()?;
        app.block_on(async {
            let mut events = client.events(&options).await?;
            while let Some(line) = events.next_raw().await? {
                let text = show(&format, &line)?;
                app.line(&text)?;
            }
            Ok(())
        })
    }
}

fn show(format: &InspectFormat, line: &[u8]) -> Result<String, Failure> {
    let unreadable = |error: &dyn std::fmt::Display| Failure::message(format!("unreadable event: {error}"));
    match format {
        InspectFormat::Indented => {
            let event: Event = api::json::from_slice(line).map_err(|error| unreadable(&error))?;
            Ok(plain(&event))
        }
        InspectFormat::Json => {
            let node: Node = serde_json::from_slice(line).map_err(|error| unreadable(&error))?;
            Ok(node.compact())
        }
        InspectFormat::Template(template) => {
            let node: Node = serde_json::from_slice(line).map_err(|error| unreadable(&error))?;
            template
                .render_object(&capitalised(node), Some("*events.Message"))
                .map_err(|error| Failure::message(error.to_string()))
        }
    }
}

/// Templates use Go's names of the fields, which begin with a capital.
fn capitalised(node: Node) -> Node {
    let Node::Map(entries) = node else { return node };
    let rename = |key: String| match key.as_str() {
        "status" => "Status".to_owned(),
        "id" => "ID".to_owned(),
        "from" => "From".to_owned(),
        "scope" => "Scope".to_owned(),
        "time" => "Time".to_owned(),
        "timeNano" => "TimeNano".to_owned(),
        _ => key,
    };
    Node::Map(entries.into_iter().map(|(key, value)| (rename(key), value)).collect())
}

/// The line for people: time, kind, action, object, and what is known of it.
fn plain(event: &Event) -> String {
    let nanoseconds =
        if event.time_nano != 0 { event.time_nano.into() } else { i128::from(event.time) * 1_000_000_000 };
    let time = match Timestamp::from_nanosecond(nanoseconds) {
        Ok(time) if nanoseconds != 0 => {
            let zoned = time.to_zoned(TimeZone::system());
            let offset =
                if zoned.offset().is_zero() { "Z".to_owned() } else { zoned.strftime("%:z").to_string() };
            format!("{}{offset} ", zoned.strftime("%Y-%m-%dT%H:%M:%S.%9f"))
        }
        _ => String::new(),
    };
    let attributes: Vec<String> =
        event.actor.attributes.iter().map(|(key, value)| format!("{key}={value}")).collect();
    let tail = if attributes.is_empty() { String::new() } else { format!(" ({})", attributes.join(", ")) };
    format!("{time}{} {} {}{tail}", event.kind, event.action, event.actor.id)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINE: &[u8] = br#"{"status":"tag","id":"sha256:83","Type":"image","Action":"tag","Actor":{"ID":"sha256:83","Attributes":{"name":"bb:latest"}},"scope":"local","time":1795226479,"timeNano":1795226479942792010}"#;

    #[test]
    fn event_is_shown_in_all_forms() {
        let shown = |format: &str| show(&InspectFormat::new(format).unwrap(), LINE).unwrap();
        assert!(shown("").ends_with(" image tag sha256:83 (name=bb:latest)"), "{}", shown(""));
        assert_eq!(shown("json").as_bytes(), LINE);
        assert_eq!(
            shown("{{.Action}} {{.Actor.Attributes.name}} {{.TimeNano}}"),
            "tag bb:latest 1795226479942792010"
        );
    }
}
