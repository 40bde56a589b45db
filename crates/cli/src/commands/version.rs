//! `version`, and the line of `--version`.

use api::system::{ComponentVersion, Version};
use serde_json::json;

use crate::app::App;
use crate::command::{Arity, Leaf};
use crate::failure::Failure;
use crate::flag::{Flag, Options};
use crate::format::{InspectFormat, Node};
use crate::text::{Layout, align};

const FORMAT: &str = "How to show it:\n'json':             JSON\n'TEMPLATE':         Go template";

/// The version of this program.
pub(crate) const VERSION: &str = env!("CARGO_PKG_VERSION");

/// Shows the versions of client and engine.
pub(crate) struct VersionCommand;

#[derive(Default)]
pub(crate) struct VersionOptions {
    format: String,
}

impl Options for VersionOptions {
    const FLAGS: &'static [Flag<Self>] = &[Flag::lettered('f', "format", FORMAT, |o| &mut o.format)];
}

impl Leaf for VersionCommand {
    type Options = VersionOptions;
    const NAME: &'static str = "version";
    const ABOUT: &'static str = "Show the version information of client and engine";
    const USAGE: &'static str = "[OPTIONS]";
    const ARITY: Arity = Arity::None;

    fn run(app: &App, options: VersionOptions, _: Vec<String>) -> Result<(), Failure> {
        let format = InspectFormat::named("version", &options.format)
            .map_err(|error| Failure::coded(format!("template parsing error: {error}"), 64))?;
        let answer = app.client().and_then(|client| {
            let version = app.block_on(client.engine_version())?;
            Ok((version, client.version().to_string()))
        });
        let (server, api_version, error) = match answer {
            Ok((version, api_version)) => (Some(version), api_version, None),
            Err(error) => (None, api::ApiVersion::NEWEST.to_string(), Some(error)),
        };
        let client = Client { api_version, context: app.context_name() };
        let text = match &format {
            InspectFormat::Indented => {
                align(&pretty(&client, server.as_ref()), Layout { minimum: 20, padding: 1 })
            }
            InspectFormat::Json => format!("{}\n", object(&client, server.as_ref()).compact()),
            InspectFormat::Template(template) => {
                match template.render_object(&object(&client, server.as_ref()), Some("system.versionInfo")) {
                    Ok(text) => format!("{text}\n"),
                    Err(error) => {
                        app.print("\n")?;
                        return Err(Failure::message(error.to_string()));
                    }
                }
            }
        };
        app.print(&text)?;
        error.map_or(Ok(()), Err)
    }
}

struct Client {
    api_version: String,
    context: String,
}

/// The parts in the order in which they are shown, which is that of the fields of `docker`'s structs.
fn object(client: &Client, server: Option<&Version>) -> Node {
    let text = json!([
        ["Version", VERSION],
        ["ApiVersion", client.api_version],
        ["DefaultAPIVersion", api::ApiVersion::NEWEST.to_string()],
        ["GitCommit", ""],
        ["GoVersion", ""],
        ["Os", std::env::consts::OS],
        ["Arch", architecture()],
        ["BuildTime", ""],
        ["Context", client.context],
    ]);
    let pairs: Vec<(String, String)> = serde_json::from_value(text).expect("pairs of strings");
    let own = Node::Map(pairs.into_iter().map(|(key, value)| (key, Node::String(value))).collect());
    let server = server.map_or(Node::Null, |version| {
        let json = serde_json::to_string(version).expect("API models are always JSON");
        serde_json::from_str(&json).expect("written just now")
    });
    Node::Map(vec![("Client".to_owned(), own), ("Server".to_owned(), server)])
}

fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

fn pretty(client: &Client, server: Option<&Version>) -> String {
    let newest = api::ApiVersion::NEWEST.to_string();
    let downgraded = match client.api_version == newest {
        true => String::new(),
        false => format!(" (downgraded from {newest})"),
    };
    let mut out = format!(
        "Client:\n Version:\t{VERSION}\n API version:\t{}{downgraded}\n OS/Arch:\t{}/{}\n Context:\t{}\n",
        client.api_version,
        std::env::consts::OS,
        architecture(),
        client.context
    );
    if let Some(server) = server {
        let name = &server.platform.name;
        out.push_str(&format!("\nServer:{}{name}\n", if name.is_empty() { "" } else { " " }));
        server.components.iter().for_each(|component| push_component(&mut out, component));
    }
    out
}

fn push_component(out: &mut String, component: &ComponentVersion) {
    let details = component.details.clone().unwrap_or_default();
    let detail = |name: &str| details.get(name).map_or("", String::as_str);
    out.push_str(&format!(" {}:\n  Version:\t{}\n", component.name, component.version));
    if component.name != "Engine" {
        for (key, value) in &details {
            out.push_str(&format!("  {key}:\t{value}\n"));
        }
        return;
    }
    out.push_str(&format!(
        "  API version:\t{} (minimum version {})\n  Go version:\t{}\n  Git commit:\t{}\n  Built:\t{}\n  \
         OS/Arch:\t{}/{}\n  Experimental:\t{}\n",
        detail("ApiVersion"),
        detail("MinAPIVersion"),
        detail("GoVersion"),
        detail("GitCommit"),
        built(detail("BuildTime")),
        detail("Os"),
        detail("Arch"),
        detail("Experimental")
    ));
}

/// Build times are shown as C's `asctime` has them.
fn built(time: &str) -> String {
    match time.parse::<jiff::Timestamp>() {
        Ok(time) => time.strftime("%a %b %e %H:%M:%S %Y").to_string(),
        Err(_) => time.to_owned(),
    }
}
