//! `images --tree`: each image with the platforms that its name stands for.

use api::image::{ImageProperties, ImageSummary, ManifestSummary, Platform};

use crate::terminal;
use crate::text::{decimal_size, ellipsis, short_id};

/// The manifests of images, as they are called in the API.
const IMAGE: &str = "image";

const WARNING: &str =
    "WARNING: This is an experimental feature. The output may change and shouldn't be depended on.";
const UNTAGGED: &str = "<untagged>";
/// Blanks between columns.
const SPACING: usize = 3;
/// The column of names is no narrower; other columns go instead.
const NARROWEST: usize = 12;

/// All images, the newest first.
pub(super) fn tree(images: Vec<ImageSummary>, style: Style) -> String {
    let mut images: Vec<Node> = images.iter().map(Node::of).collect();
    images.sort_by_key(|image| std::cmp::Reverse(image.created));
    let in_use = images.iter().flat_map(|image| &image.children).any(|child| child.details.in_use);
    let columns = Columns::fit(&images, in_use, style);
    let mut out = format!("{}\n{}\n\n", style.paint(&[93], WARNING), legend(style));
    columns.titles(&mut out);
    let is_spaced = images.iter().any(|image| !image.children.is_empty());
    for image in &images {
        columns.image(&mut out, image);
        columns.children(&mut out, &image.children);
        out.push_str(if is_spaced { "\n" } else { "" });
    }
    out
}

/// For whom it is drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Style {
    /// The width of the terminal; `None` where it is none, and then there are no colours.
    terminal: Option<usize>,
}

impl Style {
    /// As standard output is.
    pub(super) fn of_stdout() -> Self {
        let size = terminal::size(rustix::stdio::stdout()).filter(|_| terminal::stdout_is_terminal());
        Self { terminal: size.map(|(_, columns)| usize::from(columns)) }
    }

    fn width(self) -> usize {
        self.terminal.filter(|width| *width > 0).unwrap_or(80).max(20)
    }

    /// In these colours (ECMA-48, "Select Graphic Rendition").
    fn paint(self, codes: &[u8], text: &str) -> String {
        if self.terminal.is_none() || codes.is_empty() {
            return text.to_owned();
        }
        let begin: String = codes.iter().map(|code| format!("\x1b[{code}m")).collect();
        format!("{begin}{text}\x1b[0m")
    }

    /// The mark of what is in use.
    fn chip(self) -> String {
        match self.terminal {
            Some(_) => "\x1b[38;5;0m\x1b[48;5;14m U \x1b[0m".to_owned(),
            None => "U".to_owned(),
        }
    }

    fn chip_width(self) -> usize {
        if self.terminal.is_some() { 3 } else { 1 }
    }
}

struct Details {
    id: String,
    disk_usage: String,
    content_size: String,
    in_use: bool,
}

/// An image, with all its names.
struct Node {
    names: Vec<String>,
    details: Details,
    children: Vec<Child>,
    created: i64,
}

/// The image of one platform.
struct Child {
    platform: String,
    is_available: bool,
    details: Details,
}

impl Node {
    fn of(image: &ImageSummary) -> Self {
        let manifests = image.manifests.as_deref().unwrap_or_default();
        let children: Vec<Child> = manifests.iter().filter_map(Child::of).collect();
        let content: i64 = manifests.iter().map(|manifest| manifest.size.content).sum();
        let in_use = image.containers > 0 || children.iter().any(|child| child.details.in_use);
        let mut names = image.repo_tags.clone();
        names.sort_by_key(|name| std::cmp::Reverse(name.len()));
        let details = Details {
            id: image.id.clone(),
            disk_usage: decimal_size(image.size as f64, 3),
            content_size: decimal_size(content as f64, 3),
            in_use,
        };
        Self { names, details, children, created: image.created }
    }
}

impl Child {
    fn of(manifest: &ManifestSummary) -> Option<Self> {
        let ImageProperties { platform, containers, .. } =
            manifest.image_data.as_ref().filter(|_| manifest.kind == IMAGE)?;
        let details = Details {
            id: manifest.id.clone(),
            disk_usage: decimal_size(manifest.size.total as f64, 3),
            content_size: decimal_size(manifest.size.content as f64, 3),
            in_use: !containers.is_empty(),
        };
        Some(Self { platform: platform_text(platform), is_available: manifest.available, details })
    }
}

/// `linux/arm/v7`
fn platform_text(platform: &Platform) -> String {
    if platform.os.is_empty() {
        return "unknown".to_owned();
    }
    let parts = [platform.os.as_str(), &platform.architecture, &platform.variant];
    parts.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join("/")
}

/// What the mark means, at the right edge.
fn legend(style: Style) -> String {
    const PLAIN: &str = " Info -> ";
    let header = match style.terminal {
        Some(_) => {
            let letter = style.paint(&[106], &style.paint(&[30], "i"));
            style.paint(&[1], &format!("{letter} {}", style.paint(&[96], "Info → ")))
        }
        None => PLAIN.to_owned(),
    };
    let width = PLAIN.len() + 1 + style.chip_width() + " In Use ".len();
    let blanks = " ".repeat(style.width().saturating_sub(width));
    format!("{blanks}{header} {} In Use ", style.chip())
}

/// A column after that of the names: its title, its width, and on which side the blanks are.
#[derive(Clone, Copy)]
struct Column {
    title: &'static str,
    width: usize,
    side: Side,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Side {
    Left,
    Right,
}

struct Columns {
    names: usize,
    others: Vec<Column>,
    /// Whether anything has the mark.
    in_use: bool,
    style: Style,
}

impl Columns {
    /// The columns that there is room for, and for the names no more than they need.
    fn fit(images: &[Node], in_use: bool, style: Style) -> Self {
        let all = [
            Column { title: "ID", width: 12, side: Side::Right },
            Column { title: "DISK USAGE", width: 10, side: Side::Left },
            Column { title: "CONTENT SIZE", width: 12, side: Side::Left },
            Column { title: "EXTRA", width: "EXTRA".len(), side: Side::Right },
        ];
        let mut left = style.width();
        let mut others = Vec::new();
        for column in all {
            let taken = column.width + SPACING;
            if left < taken + NARROWEST {
                break;
            }
            left -= taken;
            others.push(column);
        }
        let names = images.iter().flat_map(|image| &image.names).map(String::len);
        let platforms = images.iter().flat_map(|image| &image.children);
        // As wide as docker's, which counts the bytes of the branches.
        let platforms = platforms.map(|child| child.platform.len() + "└─ ".len());
        let widest = names.chain(platforms).chain(["IMAGE".len()]).max().unwrap_or_default();
        Self { names: left.min(widest), others, in_use, style }
    }

    fn titles(&self, out: &mut String) {
        self.first(out, &[39, 1], "IMAGE");
        for column in &self.others {
            out.push_str(&" ".repeat(SPACING));
            self.cell(out, *column, &[39, 1], column.title);
        }
        out.push('\n');
    }

    fn image(&self, out: &mut String, image: &Node) {
        match image.names.split_last() {
            None => self.first(out, &[39, 2], UNTAGGED),
            Some((last, before)) => {
                for name in before {
                    let name = match self.style.terminal {
                        Some(width) => ellipsis(name, width),
                        None => name.clone(),
                    };
                    out.push_str(&format!("{}\n", self.style.paint(&[34, 1], &name)));
                }
                self.first(out, &[34, 1], last);
            }
        }
        self.details(out, &[39], &image.details);
    }

    fn children(&self, out: &mut String, children: &[Child]) {
        for (number, child) in children.iter().enumerate() {
            let colours: &[u8] = if child.is_available { &[39] } else { &[39, 2] };
            let branch = if number + 1 == children.len() { "└─" } else { "├─" };
            self.first(out, colours, &format!("{branch} {}", child.platform));
            self.details(out, colours, &child.details);
        }
    }

    /// The first cell of a line.
    fn first(&self, out: &mut String, colours: &[u8], text: &str) {
        self.cell(out, Column { title: "", width: self.names, side: Side::Right }, colours, text);
    }

    /// The others, to the end of the line.
    fn details(&self, out: &mut String, colours: &[u8], details: &Details) {
        for column in &self.others {
            out.push_str(&" ".repeat(SPACING));
            match column.title {
                "ID" => self.cell(out, *column, colours, short_id(&details.id)),
                "DISK USAGE" => self.cell(out, *column, colours, &details.disk_usage),
                "CONTENT SIZE" => self.cell(out, *column, colours, &details.content_size),
                _ => self.mark(out, column.width, details.in_use),
            }
        }
        out.push('\n');
    }

    fn mark(&self, out: &mut String, width: usize, is_used: bool) {
        let mut rest = width;
        if self.in_use && is_used {
            out.push_str(&self.style.chip());
            rest -= self.style.chip_width();
        }
        out.push_str(&" ".repeat(rest));
    }

    fn cell(&self, out: &mut String, column: Column, colours: &[u8], text: &str) {
        let length = text.chars().count();
        if length > column.width {
            out.push_str(&self.style.paint(colours, &ellipsis(text, column.width)));
            return;
        }
        let blanks = " ".repeat(column.width - length);
        let text = self.style.paint(colours, text);
        out.push_str(&match column.side {
            Side::Left => format!("{blanks}{text}"),
            Side::Right => format!("{text}{blanks}"),
        });
    }
}

#[cfg(test)]
mod tests {
    use api::image::{ManifestSizes, UnpackedSize};

    use super::*;

    fn manifest(architecture: &str, available: bool, containers: &[&str]) -> ManifestSummary {
        let platform =
            Platform { os: "linux".into(), architecture: architecture.into(), ..Platform::default() };
        ManifestSummary {
            id: format!("sha256:{}", "c".repeat(64)),
            available,
            size: ManifestSizes { content: 1000, total: 3000 },
            kind: "image".into(),
            image_data: Some(ImageProperties {
                platform,
                size: UnpackedSize { unpacked: 2000 },
                containers: containers.iter().map(|&id| id.to_owned()).collect(),
            }),
            ..ManifestSummary::default()
        }
    }

    fn image(tags: &[&str], manifests: Vec<ManifestSummary>) -> ImageSummary {
        ImageSummary {
            id: format!("sha256:{}", "a".repeat(64)),
            repo_tags: tags.iter().map(|&tag| tag.to_owned()).collect(),
            size: 6000,
            containers: -1,
            manifests: Some(manifests),
            ..ImageSummary::default()
        }
    }

    fn shown(images: Vec<ImageSummary>) -> String {
        let text = tree(images, Style { terminal: None });
        text.lines().skip(3).map(|line| format!("{}\n", line.trim_end())).collect()
    }

    #[test]
    fn platforms_are_branches() {
        let manifests = vec![manifest("amd64", true, &["x"]), manifest("arm64", false, &[])];
        insta::assert_snapshot!(
            shown(vec![image(&["app:1", "a/longer/name:2"], manifests), image(&[], Vec::new())]), @r"
        IMAGE                ID             DISK USAGE   CONTENT SIZE   EXTRA
        a/longer/name:2
        app:1                aaaaaaaaaaaa          6kB            2kB   U
        ├─ linux/amd64       cccccccccccc          3kB            1kB   U
        └─ linux/arm64       cccccccccccc          3kB            1kB

        <untagged>           aaaaaaaaaaaa          6kB             0B
        ");
    }

    #[test]
    fn narrow_terminal_has_fewer_columns() {
        let text = tree(vec![image(&["app:1"], Vec::new())], Style { terminal: Some(45) });
        assert!(text.contains("\x1b[39m\x1b[1mDISK USAGE\x1b[0m"), "{text}");
        assert!(!text.contains("CONTENT SIZE"), "{text}");
        assert!(text.contains("\x1b[34m\x1b[1mapp:1\x1b[0m"), "{text}");
    }
}
