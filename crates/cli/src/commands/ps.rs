//! `ps`: the list of containers.

use api::container::{ContainerSummary, ListOptions, Port};

use crate::app::App;
use crate::command::{Arity, Leaf};
use crate::failure::Failure;
use crate::flag::{Flag, Options};
use crate::format::{Cell, Listing, Row};
use crate::opts::{FilterFlag, go};
use crate::text::{decimal_size, ellipsis, short_id};
use crate::when::{ago, local_text};

/// Lists containers.
pub(crate) struct Ps;

pub(crate) struct PsOptions {
    all: bool,
    filter: FilterFlag,
    format: String,
    last: i64,
    latest: bool,
    no_trunc: bool,
    quiet: bool,
    size: bool,
}

impl Default for PsOptions {
    fn default() -> Self {
        Self {
            all: false,
            filter: FilterFlag::default(),
            format: String::new(),
            last: -1,
            latest: false,
            no_trunc: false,
            quiet: false,
            size: false,
        }
    }
}

/// How the help of lists describes `--format`.
pub(crate) const LIST_FORMAT: &str = "How to show the list:\n'table':            Table with titles (default)\n\
    'table TEMPLATE':   Table by a Go template\n'json':             JSON, a line each\n'TEMPLATE':         Go template";

impl Options for PsOptions {
    const FLAGS: &'static [Flag<Self>] = &[
        Flag::lettered('a', "all", "Show all containers, not only those that run", |o| &mut o.all),
        Flag::lettered('f', "filter", "Show only those that match", |o| &mut o.filter),
        Flag::new("format", LIST_FORMAT, |o| &mut o.format),
        Flag::lettered('n', "last", "Show the n containers created last, in all states", |o| &mut o.last),
        Flag::lettered('l', "latest", "Show the container created last, in any state", |o| &mut o.latest),
        Flag::new("no-trunc", "Show everything in full length", |o| &mut o.no_trunc),
        Flag::lettered('q', "quiet", "Show only IDs", |o| &mut o.quiet),
        Flag::lettered('s', "size", "Show sizes", |o| &mut o.size),
    ];
}

const TABLE: &str =
    "table {{.ID}}\\t{{.Image}}\\t{{.Command}}\\t{{.RunningFor}}\\t{{.Status}}\\t{{.Ports}}\\t{{.Names}}";

impl Leaf for Ps {
    type Options = PsOptions;
    const NAME: &'static str = "ps";
    const ABOUT: &'static str = "List containers";
    const USAGE: &'static str = "[OPTIONS]";
    const ARITY: Arity = Arity::None;
    const PATHS: &'static [&'static str] = &["container ls", "container list", "container ps", "ps"];

    fn run(app: &App, options: PsOptions, _: Vec<String>) -> Result<(), Failure> {
        let listing = listing(app, &options)?;
        let limit = if options.latest && options.last < 0 { 1 } else { options.last };
        let request = ListOptions {
            all: options.all || limit > 0,
            limit: usize::try_from(limit).unwrap_or(0),
            size: options.size || (options.format != "json" && !options.quiet && listing.uses("Size")),
            filters: options.filter.0.clone(),
        };
        let client = app.client()?;
        let containers = app.block_on(client.containers(&request))?;
        let now = jiff::Timestamp::now().as_second();
        let rows: Vec<ContainerRow> = containers
            .into_iter()
            .map(|container| ContainerRow { container, truncate: !options.no_trunc, now })
            .collect();
        app.print(&listing.render(&rows)?)
    }
}

fn listing(app: &App, options: &PsOptions) -> Result<Listing, Failure> {
    let configured = match options.format.as_str() {
        "" if !options.quiet => app.config().ps_format.as_str(),
        format => format,
    };
    match (options.quiet, configured) {
        (true, "" | "table") => Listing::new("{{.ID}}", ""),
        (_, format) => {
            let size = if options.size { "\\t{{.Size}}" } else { "" };
            Listing::new(format, &format!("{TABLE}{size}"))
        }
    }
}

/// A container in the list.
#[derive(Clone)]
pub(crate) struct ContainerRow {
    container: ContainerSummary,
    truncate: bool,
    now: i64,
}

impl Row for ContainerRow {
    const TYPE: &'static str = "*formatter.ContainerContext";
    const FIELDS: &'static [(&'static str, &'static str)] = &[
        ("Command", "COMMAND"),
        ("CreatedAt", "CREATED AT"),
        ("ID", "CONTAINER ID"),
        ("Image", "IMAGE"),
        ("Labels", "LABELS"),
        ("LocalVolumes", "LOCAL VOLUMES"),
        ("Mounts", "MOUNTS"),
        ("Names", "NAMES"),
        ("Networks", "NETWORKS"),
        ("Platform", "PLATFORM"),
        ("Ports", "PORTS"),
        ("RunningFor", "CREATED"),
        ("Size", "SIZE"),
        ("State", "STATE"),
        ("Status", "STATUS"),
    ];
    const METHODS: &'static [&'static str] = &["Label"];

    fn field(&self, name: &str) -> Cell {
        let container = &self.container;
        Cell::Text(match name {
            "ID" if self.truncate => short_id(&container.id).to_owned(),
            "ID" => container.id.clone(),
            "Image" => self.image(),
            "Command" if self.truncate => go::quote(&ellipsis(&container.command, 20)),
            "Command" => go::quote(&container.command),
            "CreatedAt" => local_text(container.created),
            "RunningFor" => ago(self.now - container.created),
            "Ports" => ports(&container.ports),
            "State" => container.state.clone(),
            "Status" => container.status.clone(),
            "Size" => self.size(),
            "Labels" => self.labels(),
            "Mounts" => self.mounts(),
            "LocalVolumes" => {
                container.mounts.iter().filter(|mount| mount.driver == "local").count().to_string()
            }
            "Networks" => self.networks(),
            "Names" => self.names(),
            "Platform" => return self.platform(),
            _ => String::new(),
        })
    }

    fn method(&self, _: &str, key: &str) -> String {
        self.container.labels.get(key).cloned().unwrap_or_default()
    }
}

impl ContainerRow {
    pub(super) fn new(container: ContainerSummary, truncate: bool, now: i64) -> Self {
        Self { container, truncate, now }
    }

    fn image(&self) -> String {
        let (image, id) = (&self.container.image, &self.container.image_id);
        if image.is_empty() {
            return "<no image>".to_owned();
        }
        if !self.truncate {
            return image.clone();
        }
        if !id.is_empty() && short_id(id) == short_id(image) {
            return short_id(id).to_owned();
        }
        // A name with a tag needs no digest besides.
        match image.split_once('@') {
            Some((name, _)) if name.rsplit('/').next().is_some_and(|last| last.contains(':')) => {
                name.to_owned()
            }
            _ => image.clone(),
        }
    }

    fn size(&self) -> String {
        let own = decimal_size(self.container.size_rw as f64, 3);
        match self.container.size_root_fs {
            0 => own,
            all => format!("{own} (virtual {})", decimal_size(all as f64, 3)),
        }
    }

    fn labels(&self) -> String {
        let labels: Vec<String> =
            self.container.labels.iter().map(|(key, value)| format!("{key}={value}")).collect();
        labels.join(",")
    }

    fn mounts(&self) -> String {
        let name = |mount: &api::container::MountPoint| {
            let name = if mount.name.is_empty() { &mount.source } else { &mount.name };
            if self.truncate { ellipsis(name, 15) } else { name.clone() }
        };
        self.container.mounts.iter().map(name).collect::<Vec<_>>().join(",")
    }

    fn networks(&self) -> String {
        let networks =
            self.container.network_settings.as_ref().and_then(|settings| settings.networks.as_ref());
        networks.map(|networks| networks.keys().cloned().collect::<Vec<_>>().join(",")).unwrap_or_default()
    }

    /// The names without their slash; those that only links give are left out unless all is shown.
    fn names(&self) -> String {
        let names: Vec<&str> =
            self.container.names.iter().map(|name| name.strip_prefix('/').unwrap_or(name)).collect();
        match self.truncate.then(|| names.iter().find(|name| !name.contains('/'))).flatten() {
            Some(name) => (*name).to_owned(),
            None => names.join(","),
        }
    }

    fn platform(&self) -> Cell {
        let descriptor = self.container.image_manifest_descriptor.as_ref();
        match descriptor.and_then(|descriptor| descriptor.platform.as_ref()) {
            None => Cell::Json("null".to_owned()),
            Some(platform) => Cell::Json(serde_json::to_string(platform).expect("a platform is always JSON")),
        }
    }
}

/// Ports in a row are shown as a range: `0.0.0.0:80-82->80-82/tcp, 90/udp`.
pub(crate) fn ports(ports: &[Port]) -> String {
    let mut sorted: Vec<&Port> = ports.iter().collect();
    sorted.sort_by_key(|port| (port.private_port, &port.ip, port.public_port, &port.protocol));
    let (mut shown, mut mapped) = (Vec::new(), Vec::new());
    let mut groups: Vec<(&str, &str, u16, u16)> = Vec::new();
    for port in sorted {
        let current = port.private_port;
        if !port.ip.is_empty() && port.public_port != current {
            mapped.push(format!(
                "{}->{current}/{}",
                join_address(&port.ip, &port.public_port.to_string()),
                port.protocol
            ));
            continue;
        }
        let group = groups.iter_mut().find(|group| group.0 == port.ip && group.1 == port.protocol);
        match group {
            None => groups.push((&port.ip, &port.protocol, current, current)),
            Some(group) if group.3.checked_add(1) == Some(current) => group.3 = current,
            Some(group) => {
                shown.push(show_group(group));
                (group.2, group.3) = (current, current);
            }
        }
    }
    shown.extend(groups.iter().map(show_group));
    shown.extend(mapped);
    shown.join(", ")
}

fn show_group(&(ip, protocol, first, last): &(&str, &str, u16, u16)) -> String {
    let range = if first == last { first.to_string() } else { format!("{first}-{last}") };
    match ip {
        "" => format!("{range}/{protocol}"),
        ip => format!("{}->{range}/{protocol}", join_address(ip, &range)),
    }
}

/// An address and a port; IPv6 in brackets.
pub(crate) fn join_address(ip: &str, port: &str) -> String {
    if ip.contains(':') { format!("[{ip}]:{port}") } else { format!("{ip}:{port}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn port(ip: &str, public: u16, private: u16) -> Port {
        Port { ip: ip.into(), private_port: private, public_port: public, protocol: "tcp".into() }
    }

    #[test]
    fn ports_in_a_row_are_a_range() {
        assert_eq!(
            ports(&[port("", 0, 82), port("", 0, 80), port("", 0, 81), port("", 0, 90)]),
            "80-82/tcp, 90/tcp"
        );
        assert_eq!(
            ports(&[port("0.0.0.0", 80, 80), port("0.0.0.0", 81, 81), port("::", 8080, 90)]),
            "0.0.0.0:80-81->80-81/tcp, [::]:8080->90/tcp"
        );
    }

    #[test]
    fn row_shows_what_docker_shows() {
        let container = ContainerSummary {
            id: "a0678a6e76674e0bed66bea58c03b001e55da355d67acfa5a8d8558621cc0c0f".into(),
            names: vec!["/other/alias".into(), "/c2".into()],
            image: "bb".into(),
            command: "sh -c 'echo hi; exit 3'".into(),
            created: 1000,
            status: "Exited (3) 2 seconds ago".into(),
            size_rw: 0,
            size_root_fs: 1_984_158,
            labels: [("b".to_owned(), "2".to_owned()), ("a".to_owned(), "1".to_owned())].into(),
            ..ContainerSummary::default()
        };
        let rows = [ContainerRow { container, truncate: true, now: 1003 }];
        let listing = Listing::new("", &format!("{TABLE}\\t{{{{.Size}}}}\\t{{{{.Labels}}}}")).unwrap();
        insta::assert_snapshot!(listing.render(&rows).unwrap(), @r#"
        CONTAINER ID   IMAGE     COMMAND                  CREATED         STATUS                     PORTS     NAMES     SIZE                  LABELS
        a0678a6e7667   bb        "sh -c 'echo hi; exi…"   3 seconds ago   Exited (3) 2 seconds ago             c2        0B (virtual 1.98MB)   a=1,b=2
        "#);
    }
}
