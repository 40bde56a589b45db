//! `system df`: what images, containers and volumes take of the disk.

use api::system::DiskUsage;
use api::volume::Volume;

use super::images::ImageRow;
use super::ps::ContainerRow;
use crate::app::App;
use crate::command::{Arity, Leaf};
use crate::failure::Failure;
use crate::flag::{Flag, Options};
use crate::format::{Cell, InspectFormat, Listing, Node, Row};
use crate::text::decimal_size;

/// Shows what is taken of the disk.
pub(crate) struct DiskUsageCommand;

#[derive(Default)]
pub(crate) struct DiskUsageFlags {
    format: String,
    verbose: bool,
}

impl Options for DiskUsageFlags {
    const FLAGS: &'static [Flag<Self>] = &[
        Flag::new("format", "Format of the output: 'table', 'json' or a Go template", |o| &mut o.format),
        Flag::lettered('v', "verbose", "Show every image, container and volume", |o| &mut o.verbose),
    ];
}

const TABLE: &str = "table {{.Type}}\\t{{.TotalCount}}\\t{{.Active}}\\t{{.Size}}\\t{{.Reclaimable}}";
const IMAGES: &str = "table {{.Repository}}\\t{{.Tag}}\\t{{.ID}}\\t{{.CreatedSince}}\\t{{.Size}}\\t{{.SharedSize}}\\t{{.UniqueSize}}\\t{{.Containers}}";
const CONTAINERS: &str = "table {{.ID}}\\t{{.Image}}\\t{{.Command}}\\t{{.LocalVolumes}}\\t{{.Size}}\\t{{.RunningFor}}\\t{{.Status}}\\t{{.Names}}";
const VOLUMES: &str = "table {{.Name}}\\t{{.Links}}\\t{{.Size}}";
const BUILD_CACHE: &str = "table {{.ID}}\\t{{.CacheType}}\\t{{.Size}}\\t{{.CreatedSince}}\\t{{.LastUsedSince}}\\t{{.UsageCount}}\\t{{.Shared}}";

impl Leaf for DiskUsageCommand {
    type Options = DiskUsageFlags;
    const NAME: &'static str = "df";
    const ABOUT: &'static str = "Show disk usage of images, containers and volumes";
    const USAGE: &'static str = "[OPTIONS]";
    const ARITY: Arity = Arity::None;

    fn run(app: &App, flags: DiskUsageFlags, _: Vec<String>) -> Result<(), Failure> {
        let client = app.client()?;
        let fetch = || app.block_on(client.disk_usage());
        if !flags.verbose {
            let listing = Listing::new(&flags.format, TABLE)?;
            return app.print(&listing.render(&totals(&fetch()?))?);
        }
        let now = jiff::Timestamp::now().as_second();
        match flags.format.as_str() {
            "" | "table" => app.print(&Details::new(fetch()?, true, now).tables()?),
            format => {
                let format =
                    InspectFormat::new(format).map_err(|error| Failure::message(error.to_string()))?;
                let node = Details::new(fetch()?, false, now).node();
                let text = match format {
                    InspectFormat::Template(template) => template
                        .render_object(&node, Some("formatter.diskUsageContext"))
                        .map_err(|error| Failure::message(error.to_string()))?,
                    _ => node.compact(),
                };
                app.line(&text)
            }
        }
    }
}

/// A line of the short form.
#[derive(Clone)]
struct Total {
    kind: &'static str,
    count: usize,
    active: usize,
    size: i64,
    reclaimable: i64,
    /// Whether the share of it is told.
    with_share: bool,
}

impl Row for Total {
    const TYPE: &'static str = "*formatter.diskUsageImagesContext";
    const FIELDS: &'static [(&'static str, &'static str)] = &[
        ("Active", "ACTIVE"),
        ("Reclaimable", "RECLAIMABLE"),
        ("Size", "SIZE"),
        ("TotalCount", "TOTAL"),
        ("Type", "TYPE"),
    ];

    fn field(&self, name: &str) -> Cell {
        Cell::Text(match name {
            "Type" => self.kind.to_owned(),
            "TotalCount" => self.count.to_string(),
            "Active" => self.active.to_string(),
            "Size" => human(self.size),
            "Reclaimable" if self.with_share && self.size > 0 => {
                format!("{} ({}%)", human(self.reclaimable), self.reclaimable * 100 / self.size)
            }
            "Reclaimable" => human(self.reclaimable),
            _ => String::new(),
        })
    }
}

fn human(size: i64) -> String {
    decimal_size(size as f64, 4)
}

fn totals(usage: &DiskUsage) -> [Total; 4] {
    [images(usage), containers(usage), volumes(usage), build_cache(usage)]
}

fn images(usage: &DiskUsage) -> Total {
    let images = usage.images.as_deref().unwrap_or_default();
    let active = images.iter().filter(|image| image.containers > 0);
    let needed: i64 =
        active.clone().map(|image| image.size - image.shared_size.max(0)).filter(|size| *size > 0).sum();
    Total {
        kind: "Images",
        count: images.len(),
        active: active.count(),
        size: usage.layers_size,
        reclaimable: usage.layers_size - needed,
        with_share: true,
    }
}

fn containers(usage: &DiskUsage) -> Total {
    let containers = usage.containers.as_deref().unwrap_or_default();
    let is_active = |state: &str| ["running", "paused", "restarting"].contains(&state);
    let size = |only_idle: bool| -> i64 {
        let counted = containers.iter().filter(|it| !only_idle || !is_active(&it.state));
        counted.map(|container| container.size_rw).sum()
    };
    Total {
        kind: "Containers",
        count: containers.len(),
        active: containers.iter().filter(|container| is_active(&container.state)).count(),
        size: size(false),
        reclaimable: size(true),
        with_share: true,
    }
}

fn volumes(usage: &DiskUsage) -> Total {
    let volumes = usage.volumes.as_deref().unwrap_or_default();
    let used = |volume: &&Volume| volume.usage_data.as_ref().is_some_and(|usage| usage.ref_count > 0);
    let size = |volume: &Volume| volume.usage_data.as_ref().map_or(0, |usage| usage.size.max(0));
    Total {
        kind: "Local Volumes",
        count: volumes.len(),
        active: volumes.iter().filter(used).count(),
        size: volumes.iter().map(size).sum(),
        reclaimable: volumes.iter().filter(|volume| !used(volume)).map(size).sum(),
        with_share: true,
    }
}

/// What builds keep; each record says by itself whether it is used.
fn build_cache(usage: &DiskUsage) -> Total {
    let records = usage.build_cache.as_deref().unwrap_or_default();
    let flag = |record: &&serde_json::Value, name: &str| record[name].as_bool().unwrap_or(false);
    let size = |record: &serde_json::Value| record["Size"].as_i64().unwrap_or(0);
    let own = || records.iter().filter(|record| !flag(record, "Shared"));
    Total {
        kind: "Build Cache",
        count: records.len(),
        active: records.iter().filter(|record| flag(record, "InUse")).count(),
        size: own().map(size).sum(),
        reclaimable: own().filter(|record| !flag(record, "InUse")).map(size).sum(),
        with_share: false,
    }
}

/// The long form.
struct Details {
    images: Vec<ImageRow>,
    containers: Vec<ContainerRow>,
    volumes: Vec<VolumeRow>,
    build_cache: Vec<CacheRow>,
    build_size: i64,
}

impl Details {
    fn new(usage: DiskUsage, truncate: bool, now: i64) -> Self {
        let build_size = build_cache(&usage).size;
        let containers = usage.containers.unwrap_or_default().into_iter().map(|mut container| {
            // Only what it has written is its own.
            container.size_root_fs = 0;
            ContainerRow::new(container, truncate, now)
        });
        Self {
            images: usage
                .images
                .unwrap_or_default()
                .into_iter()
                .map(|it| ImageRow::first(it, truncate, now))
                .collect(),
            containers: containers.collect(),
            volumes: usage.volumes.unwrap_or_default().into_iter().map(VolumeRow).collect(),
            build_cache: usage.build_cache.unwrap_or_default().into_iter().map(CacheRow).collect(),
            build_size,
        }
    }

    fn tables(&self) -> Result<String, Failure> {
        let mut out = String::from("Images space usage:\n\n");
        out += &Listing::new("", IMAGES)?.render(&self.images)?;
        out += "\nContainers space usage:\n\n";
        out += &Listing::new("", CONTAINERS)?.render(&self.containers)?;
        out += "\nLocal Volumes space usage:\n\n";
        out += &Listing::new("", VOLUMES)?.render(&self.volumes)?;
        out += &format!("\nBuild cache usage: {}\n\n", human(self.build_size));
        out += &Listing::new("", BUILD_CACHE)?.render(&self.build_cache)?;
        Ok(out)
    }

    fn node(&self) -> Node {
        fn list<R: Row>(rows: &[R]) -> Node {
            let fields = |row: &R| {
                let field = |(name, _): &(&str, &str)| {
                    ((*name).to_owned(), Node::String(row.field(name).into_text()))
                };
                Node::Map(R::FIELDS.iter().map(field).collect())
            };
            Node::List(rows.iter().map(fields).collect())
        }
        Node::Map(vec![
            ("Images".to_owned(), list(&self.images)),
            ("Containers".to_owned(), list(&self.containers)),
            ("Volumes".to_owned(), list(&self.volumes)),
            ("BuildCache".to_owned(), list(&self.build_cache)),
        ])
    }
}

#[derive(Clone)]
struct VolumeRow(Volume);

impl Row for VolumeRow {
    const TYPE: &'static str = "*formatter.volumeContext";
    const FIELDS: &'static [(&'static str, &'static str)] = &[
        ("Driver", "DRIVER"),
        ("Labels", "LABELS"),
        ("Links", "LINKS"),
        ("Mountpoint", "MOUNTPOINT"),
        ("Name", "VOLUME NAME"),
        ("Scope", "SCOPE"),
        ("Size", "SIZE"),
    ];

    fn field(&self, name: &str) -> Cell {
        let Self(volume) = self;
        let usage = volume.usage_data.as_ref();
        Cell::Text(match name {
            "Name" => volume.name.clone(),
            "Driver" => volume.driver.clone(),
            "Scope" => volume.scope.clone(),
            "Mountpoint" => volume.mountpoint.clone(),
            "Labels" => {
                let labels = volume.labels.iter().flatten().map(|(name, value)| format!("{name}={value}"));
                labels.collect::<Vec<_>>().join(",")
            }
            "Links" => usage.map_or("N/A".to_owned(), |usage| usage.ref_count.to_string()),
            "Size" => usage.map_or("N/A".to_owned(), |usage| human(usage.size)),
            _ => String::new(),
        })
    }
}

#[derive(Clone)]
struct CacheRow(serde_json::Value);

impl Row for CacheRow {
    const TYPE: &'static str = "*formatter.buildCacheContext";
    const FIELDS: &'static [(&'static str, &'static str)] = &[
        ("CacheType", "CACHE TYPE"),
        ("CreatedSince", "CREATED"),
        ("ID", "CACHE ID"),
        ("LastUsedSince", "LAST USED"),
        ("Shared", "SHARED"),
        ("Size", "SIZE"),
        ("UsageCount", "USAGE"),
    ];

    fn field(&self, name: &str) -> Cell {
        let Self(record) = self;
        let text = |key: &str| match &record[key] {
            serde_json::Value::String(text) => text.clone(),
            serde_json::Value::Null => String::new(),
            other => other.to_string(),
        };
        let since = |key: &str| {
            let time: Option<jiff::Timestamp> = text(key).parse().ok();
            let now = jiff::Timestamp::now().as_second();
            time.map(|time| crate::when::ago(now - time.as_second())).unwrap_or_default()
        };
        Cell::Text(match name {
            "CacheType" => text("Type"),
            "Size" => human(record["Size"].as_i64().unwrap_or(0)),
            "CreatedSince" => since("CreatedAt"),
            "LastUsedSince" => since("LastUsedAt"),
            other => text(other),
        })
    }
}

#[cfg(test)]
mod tests {
    use api::image::ImageSummary;

    use super::*;

    #[test]
    fn images_that_containers_use_are_not_reclaimable() {
        let image = |containers, size, shared_size| ImageSummary {
            containers,
            size,
            shared_size,
            ..ImageSummary::default()
        };
        let images = Some(vec![image(1, 100, 40), image(0, 90, 40)]);
        let total = images_total(DiskUsage { layers_size: 150, images, ..DiskUsage::default() });
        assert_eq!((total.0, total.1, total.2.as_str(), total.3.as_str()), (2, 1, "150B", "90B (60%)"));
    }

    fn images_total(usage: DiskUsage) -> (usize, usize, String, String) {
        let total = images(&usage);
        let text = |name| total.field(name).into_text();
        (total.count, total.active, text("Size"), text("Reclaimable"))
    }

    #[test]
    fn nothing_has_no_share() {
        let shares: Vec<String> = totals(&DiskUsage::default())
            .iter()
            .map(|total| total.field("Reclaimable").into_text())
            .collect();
        assert_eq!(shares, ["0B"; 4]);
    }
}
