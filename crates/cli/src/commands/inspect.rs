//! `inspect`, for objects of one kind and for any.

use bytes::Bytes;
use client::Client;

use super::pull::platform_json;
use crate::app::App;
use crate::command::{Arity, Leaf};
use crate::failure::Failure;
use crate::flag::{Flag, Options};
use crate::format::{InspectFormat, Node, pretty};
use crate::opts::go;

const FORMAT: &str = "How to show it:\n'json':             JSON on one line\n'TEMPLATE':         Go template";
const KINDS: &[&str] =
    &["config", "container", "image", "network", "node", "plugin", "secret", "service", "task", "volume"];
/// Where a name without a kind is looked for, in this order.
const SEARCHED: &[&str] = &["container", "image", "network", "volume"];

/// Shows objects of any kind.
pub(crate) struct Inspect;

#[derive(Default)]
pub(crate) struct InspectOptions {
    format: String,
    size: bool,
    kind: String,
}

impl Options for InspectOptions {
    const FLAGS: &'static [Flag<Self>] = &[
        Flag::lettered('f', "format", FORMAT, |o| &mut o.format),
        Flag::lettered('s', "size", "Show sizes of containers", |o| &mut o.size),
        Flag::new("type", "Look only for objects of this type", |o| &mut o.kind),
    ];
}

impl Leaf for Inspect {
    type Options = InspectOptions;
    const NAME: &'static str = "inspect";
    const ABOUT: &'static str = "Return low-level information on Docker objects";
    const USAGE: &'static str = "[OPTIONS] NAME|ID [NAME|ID...]";
    const ARITY: Arity = Arity::AtLeast(1);

    fn run(app: &App, options: InspectOptions, names: Vec<String>) -> Result<(), Failure> {
        if !options.kind.is_empty() && !KINDS.contains(&options.kind.as_str()) {
            let kinds: Vec<String> = KINDS.iter().map(|kind| go::quote(kind)).collect();
            return Err(Failure::message(format!(
                "unknown type: {}: must be one of {}",
                go::quote(&options.kind),
                kinds.join(", ")
            )));
        }
        let kinds: Vec<&str> =
            if options.kind.is_empty() { SEARCHED.to_vec() } else { vec![options.kind.as_str()] };
        let client = app.client()?;
        inspect(app, &options.format, &names, |name, sized| {
            app.block_on(search(client, name, &kinds, options.size || sized))
        })
    }
}

/// Shows containers.
pub(crate) struct InspectContainer;

/// The flags of `container inspect`.
#[derive(Default)]
pub(crate) struct ContainerFlags {
    format: String,
    size: bool,
}

impl Options for ContainerFlags {
    const FLAGS: &'static [Flag<Self>] = &[
        Flag::lettered('f', "format", FORMAT, |o| &mut o.format),
        Flag::lettered('s', "size", "Show sizes", |o| &mut o.size),
    ];
}

impl Leaf for InspectContainer {
    type Options = ContainerFlags;
    const NAME: &'static str = "inspect";
    const ABOUT: &'static str = "Display detailed information on one or more containers";
    const USAGE: &'static str = "[OPTIONS] CONTAINER [CONTAINER...]";
    const ARITY: Arity = Arity::AtLeast(1);

    fn run(app: &App, options: ContainerFlags, names: Vec<String>) -> Result<(), Failure> {
        let client = app.client()?;
        inspect(app, &options.format, &names, |name, _| {
            Ok(app.block_on(client.inspect_container_raw(name, options.size))?)
        })
    }
}

/// Shows images.
pub(crate) struct InspectImage;

/// The flags of `image inspect`.
#[derive(Default)]
pub(crate) struct ImageFlags {
    format: String,
    platform: String,
}

impl Options for ImageFlags {
    const FLAGS: &'static [Flag<Self>] = &[
        Flag::lettered('f', "format", FORMAT, |o| &mut o.format),
        Flag::new("platform", "Show this platform (os[/arch[/variant]])", |o| &mut o.platform),
    ];
}

impl Leaf for InspectImage {
    type Options = ImageFlags;
    const NAME: &'static str = "inspect";
    const ABOUT: &'static str = "Display detailed information on one or more images";
    const USAGE: &'static str = "[OPTIONS] IMAGE [IMAGE...]";
    const ARITY: Arity = Arity::AtLeast(1);

    fn run(app: &App, options: ImageFlags, names: Vec<String>) -> Result<(), Failure> {
        let platform = platform_json(&options.platform)?;
        let client = app.client()?;
        inspect(app, &options.format, &names, |name, _| {
            Ok(app.block_on(client.inspect_image_raw(name, &platform))?)
        })
    }
}

/// Shows networks.
pub(crate) struct InspectNetwork;

/// The flags of `network inspect`.
#[derive(Default)]
pub(crate) struct NetworkFlags {
    format: String,
    verbose: bool,
}

impl Options for NetworkFlags {
    const FLAGS: &'static [Flag<Self>] = &[
        Flag::lettered('f', "format", FORMAT, |o| &mut o.format),
        Flag::lettered('v', "verbose", "Show what helps to find faults", |o| &mut o.verbose),
    ];
}

impl Leaf for InspectNetwork {
    type Options = NetworkFlags;
    const NAME: &'static str = "inspect";
    const ABOUT: &'static str = "Display detailed information on one or more networks";
    const USAGE: &'static str = "[OPTIONS] NETWORK [NETWORK...]";
    const ARITY: Arity = Arity::AtLeast(1);

    fn run(app: &App, flags: NetworkFlags, names: Vec<String>) -> Result<(), Failure> {
        let client = app.client()?;
        let options = api::network::InspectOptions { verbose: flags.verbose, scope: String::new() };
        inspect(app, &flags.format, &names, |name, _| {
            Ok(app.block_on(client.inspect_network_raw(name, &options))?)
        })
    }
}

/// Looks for the object, kind by kind.
async fn search(client: &Client, name: &str, kinds: &[&str], size: bool) -> Result<Bytes, Failure> {
    for kind in kinds {
        let result = match *kind {
            "container" => client.inspect_container_raw(name, size).await,
            "image" => client.inspect_image_raw(name, "").await,
            "network" => client.object_raw(&format!("/networks/{}", client::path_segment(name))).await,
            "volume" => client.object_raw(&format!("/volumes/{}", client::path_segment(name))).await,
            other => client.object_raw(&format!("/{other}s/{}", client::path_segment(name))).await,
        };
        match result {
            Err(error) if kinds.len() > 1 && may_be_elsewhere(&error) => {}
            other => return Ok(other?),
        }
    }
    Err(Failure::message(format!("Error: No such object: {name}")))
}

/// An engine without a kind of objects says 404 or 501, one that does not take part in a swarm 503, and a name that
/// cannot be one of that kind is a 400.
fn may_be_elsewhere(error: &client::Error) -> bool {
    matches!(error.status(), Some(400 | 404 | 501 | 503))
}

fn inspect(
    app: &App,
    format: &str,
    names: &[String],
    fetch: impl Fn(&str, bool) -> Result<Bytes, Failure>,
) -> Result<(), Failure> {
    let format = InspectFormat::new(format)
        .map_err(|error| Failure::coded(format!("template parsing error: {error}"), TEMPLATE_ERROR))?;
    let sized = format.uses("SizeRw") || format.uses("SizeRootFs");
    let (mut objects, mut out, mut errors) = (Vec::new(), String::new(), Vec::new());
    for name in names {
        let object = fetch(name, sized).and_then(|bytes| {
            serde_json::from_slice::<Node>(&bytes)
                .map_err(|error| Failure::message(format!("unable to read inspect data: {error}")))
        });
        match (object, &format) {
            (Err(error), _) => errors.push(error),
            (Ok(object), InspectFormat::Template(template)) => match template.render_object(&object, None) {
                Ok(text) => {
                    out.push_str(&text);
                    out.push('\n');
                }
                Err(error) => {
                    app.print(&format!("{out}\n"))?;
                    return Err(Failure::message(format!("template parsing error: {error}")));
                }
            },
            (Ok(object), _) => objects.push(object),
        }
    }
    match format {
        InspectFormat::Indented => app.line(&pretty(&Node::List(objects)))?,
        InspectFormat::Json => app.line(&Node::List(objects).compact())?,
        InspectFormat::Template(_) => app.print(&out)?,
    }
    app.report(errors)
}

/// The exit code for a template that cannot be parsed.
const TEMPLATE_ERROR: u8 = 64;
