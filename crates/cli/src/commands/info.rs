//! `info`: what the engine and its host are and can.

use api::system::Info;

use super::version::VERSION;
use crate::app::App;
use crate::command::{Arity, Leaf};
use crate::failure::Failure;
use crate::flag::{Flag, Options};
use crate::format::{InspectFormat, Node};
use crate::text::binary_size;

const FORMAT: &str = "How to show it:\n'json':             JSON\n'TEMPLATE':         Go template";

/// Shows what the engine is.
pub(crate) struct InfoCommand;

#[derive(Default)]
pub(crate) struct InfoOptions {
    format: String,
}

impl Options for InfoOptions {
    const FLAGS: &'static [Flag<Self>] = &[Flag::lettered('f', "format", FORMAT, |o| &mut o.format)];
}

impl Leaf for InfoCommand {
    type Options = InfoOptions;
    const NAME: &'static str = "info";
    const ABOUT: &'static str = "Display system-wide information";
    const USAGE: &'static str = "[OPTIONS]";
    const ARITY: Arity = Arity::None;
    const PATHS: &'static [&'static str] = &["system info", "info"];

    fn run(app: &App, options: InfoOptions, _: Vec<String>) -> Result<(), Failure> {
        let format = InspectFormat::new(&options.format)
            .map_err(|error| Failure::coded(format!("template parsing error: {error}"), 64))?;
        if let InspectFormat::Indented = format {
            return show(app);
        }
        let client = app.client()?;
        let bytes = app.block_on(client.info_raw())?;
        let node: Node = serde_json::from_slice(&bytes)
            .map_err(|error| Failure::message(format!("unreadable answer of the daemon: {error}")))?;
        let node = with_client(app, node);
        match format {
            InspectFormat::Template(template) => {
                match template.render_object(&node, Some("system.dockerInfo")) {
                    Ok(text) => app.line(&text),
                    Err(error) => {
                        app.print("\n")?;
                        Err(Failure::message(error.to_string()))
                    }
                }
            }
            _ => app.line(&node.compact()),
        }
    }
}

fn with_client(app: &App, node: Node) -> Node {
    let Node::Map(mut entries) = node else { return node };
    let text = |text: &str| Node::String(text.to_owned());
    entries.push((
        "ClientInfo".to_owned(),
        Node::Map(vec![
            ("Debug".to_owned(), Node::Bool(app.debug())),
            ("Version".to_owned(), text(VERSION)),
            ("Context".to_owned(), text(&app.context_name())),
            ("Plugins".to_owned(), Node::List(Vec::new())),
            ("Warnings".to_owned(), Node::Null),
        ]),
    ));
    Node::Map(entries)
}

fn show(app: &App) -> Result<(), Failure> {
    app.print(&format!(
        "Client:\n Version:    {VERSION}\n Context:    {}\n Debug Mode: {}\n\nServer:\n",
        app.context_name(),
        app.debug()
    ))?;
    let answer = app.client().and_then(|client| Ok(app.block_on(client.info())?));
    match answer {
        Ok(info) => {
            app.print(&server(&info, app.debug()))?;
            info.warnings.iter().flatten().for_each(|warning| eprintln!("{warning}"));
            Ok(())
        }
        Err(error) => {
            eprintln!("ERROR: {error}");
            Err(Failure::message("errors pretty printing info"))
        }
    }
}

fn server(info: &Info, debug: bool) -> String {
    let mut page = Page(String::new());
    page.counts(info);
    page.drivers(info);
    page.runtimes(info);
    page.host(info, debug);
    page.registries(info);
    page.0
}

/// The text, line by line.
struct Page(String);

impl Page {
    fn line(&mut self, indent: usize, text: &str) {
        self.0.push_str(&" ".repeat(indent));
        self.0.push_str(text);
        self.0.push('\n');
    }

    fn field(&mut self, indent: usize, name: &str, value: impl std::fmt::Display) {
        self.line(indent, &format!("{name}: {value}"));
    }

    fn known(&mut self, name: &str, value: &str) {
        if !value.is_empty() {
            self.field(1, name, value);
        }
    }

    fn list(&mut self, title: &str, lines: &[String]) {
        if !lines.is_empty() {
            self.line(1, &format!("{title}:"));
            lines.iter().for_each(|line| self.line(2, line));
        }
    }

    fn counts(&mut self, info: &Info) {
        self.field(1, "Containers", info.containers);
        self.field(2, "Running", info.containers_running);
        self.field(2, "Paused", info.containers_paused);
        self.field(2, "Stopped", info.containers_stopped);
        self.field(1, "Images", info.images);
    }

    fn drivers(&mut self, info: &Info) {
        self.known("Server Version", &info.server_version);
        self.known("Storage Driver", &info.driver);
        info.driver_status.iter().for_each(|[name, value]| self.field(2, name, value));
        self.known("Logging Driver", &info.logging_driver);
        self.known("Cgroup Driver", &info.cgroup_driver);
        self.known("Cgroup Version", &info.cgroup_version);
        self.line(1, "Plugins:");
        self.field(2, "Volume", info.plugins.volume.join(" "));
        self.field(2, "Network", info.plugins.network.join(" "));
        if let Some(authorization) = info.plugins.authorization.as_ref().filter(|list| !list.is_empty()) {
            self.field(2, "Authorization", authorization.join(" "));
        }
        self.field(2, "Log", info.plugins.log.join(" "));
        self.list("CDI spec directories", &info.cdi_spec_dirs);
    }

    fn runtimes(&mut self, info: &Info) {
        self.field(1, "Swarm", &info.swarm.local_node_state);
        if !info.runtimes.is_empty() {
            let names: Vec<&str> = info.runtimes.keys().map(String::as_str).collect();
            self.field(1, "Runtimes", names.join(" "));
            self.field(1, "Default Runtime", &info.default_runtime);
        }
        self.field(1, "Init Binary", &info.init_binary);
        self.field(1, "containerd version", &info.containerd_commit.id);
        self.field(1, "runc version", &info.runc_commit.id);
        self.field(1, "init version", &info.init_commit.id);
        if info.security_options.is_empty() {
            return;
        }
        self.line(1, "Security Options:");
        for option in &info.security_options {
            for part in option.split(',') {
                match part.split_once('=') {
                    Some(("name", name)) => self.line(2, name),
                    Some(("profile", profile)) => self.field(3, "Profile", profile),
                    None => self.line(2, part),
                    Some(_) => {}
                }
            }
        }
    }

    fn host(&mut self, info: &Info, debug: bool) {
        self.known("Kernel Version", &info.kernel_version);
        self.known("Operating System", &info.operating_system);
        self.known("OSType", &info.os_type);
        self.known("Architecture", &info.architecture);
        self.field(1, "CPUs", info.ncpu);
        self.field(1, "Total Memory", binary_size(info.mem_total as f64));
        self.known("Name", &info.name);
        self.known("ID", &info.id);
        self.field(1, "Docker Root Dir", &info.docker_root_dir);
        self.field(1, "Debug Mode", info.debug);
        if info.debug || debug {
            self.field(2, "File Descriptors", info.nfd);
            self.field(2, "Goroutines", info.ngoroutines);
            self.field(2, "System Time", &info.system_time);
            self.field(2, "EventsListeners", info.nevents_listener);
        }
        self.known("HTTP Proxy", &info.http_proxy);
        self.known("HTTPS Proxy", &info.https_proxy);
        self.known("No Proxy", &info.no_proxy);
        self.list("Labels", &info.labels);
        self.field(1, "Experimental", info.experimental_build);
    }

    fn registries(&mut self, info: &Info) {
        if let Some(config) = &info.registry_config {
            let insecure =
                config.index_configs.values().filter(|index| !index.secure).map(|index| index.name.clone());
            let lines: Vec<String> = insecure.chain(config.insecure_registry_cidrs.iter().cloned()).collect();
            self.list("Insecure Registries", &lines);
            self.list("Registry Mirrors", &config.mirrors);
        }
        self.field(1, "Live Restore Enabled", info.live_restore_enabled);
        self.known("Product License", &info.product_license);
        if let Some(pools) = info.default_address_pools.as_ref().filter(|pools| !pools.is_empty()) {
            self.line(1, "Default Address Pools:");
            pools.iter().for_each(|pool| self.line(3, &format!("Base: {}, Size: {}", pool.base, pool.size)));
        }
        if let Some(firewall) = &info.firewall_backend {
            self.field(1, "Firewall Backend", &firewall.driver);
            firewall.info.iter().flatten().for_each(|[name, value]| self.field(2, name, value));
        }
        self.line(0, "");
    }
}
