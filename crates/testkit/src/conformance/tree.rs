//! File systems, as the layers of an image make them, and how they differ.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt::Write;
use std::io::Read;

use serde_json::json;
use tar::{Archive, Entry, EntryType};

use crate::archive::digest;

/// Times before this one (July 2017) are those that cases set.
const LONG_AGO: u64 = 1_500_000_000;

/// Up to this many bytes of text are shown.
const SHOWN: usize = 80;

/// A file system: absolute paths without the root itself.
#[derive(Clone, Debug, Default)]
pub(super) struct Tree {
    nodes: BTreeMap<String, Node>,
    inodes: u64,
}

#[derive(Clone, Debug)]
struct Node {
    kind: char,
    mode: u32,
    owner: (u64, u64),
    /// What else there is to say of it.
    details: String,
    mtime: u64,
    inode: u64,
}

impl Tree {
    /// Puts a layer, a tar archive, on top.
    pub(super) fn apply(&mut self, layer: &[u8]) {
        self.apply_deletions(layer);
        let mut archive = Archive::new(layer);
        for entry in archive.entries().expect("a layer is an archive") {
            self.add(entry.expect("an entry of a layer"));
        }
    }

    /// Marks in a layer are about the layers below it, wherever in it they are.
    fn apply_deletions(&mut self, layer: &[u8]) {
        let mut archive = Archive::new(layer);
        for entry in archive.entries().expect("a layer is an archive") {
            let path = path(&entry.expect("an entry of a layer"));
            let (folder, name) = path.rsplit_once('/').unwrap_or_default();
            match name.strip_prefix(".wh.") {
                Some(".wh..opq") => self.remove_below(folder),
                Some(name) => self.remove(&format!("{folder}/{name}")),
                None => {}
            }
        }
    }

    fn add(&mut self, mut entry: Entry<'_, &[u8]>) {
        let path = path(&entry);
        if path.is_empty() || path.rsplit('/').next().is_some_and(|name| name.starts_with(".wh.")) {
            return;
        }
        let node = match entry.header().entry_type() {
            EntryType::Link => {
                let target = entry.link_name_bytes().expect("a link has a target");
                let target = absolute(&String::from_utf8_lossy(&target));
                self.nodes.get(&target).unwrap_or_else(|| panic!("{path} is a link to {target}")).clone()
            }
            _ => self.node(&mut entry),
        };
        self.add_parents(&path);
        if node.kind != 'd' {
            self.remove(&path);
        }
        self.nodes.insert(path, node);
    }

    fn node(&mut self, entry: &mut Entry<'_, &[u8]>) -> Node {
        self.inodes += 1;
        let header = entry.header().clone();
        let (kind, mut details) = match header.entry_type() {
            EntryType::Directory => ('d', String::new()),
            EntryType::Symlink => {
                let target = entry.link_name_bytes().expect("a link has a target");
                ('l', format!(" -> {}", quoted(&String::from_utf8_lossy(&target))))
            }
            EntryType::Fifo => ('p', String::new()),
            kind @ (EntryType::Char | EntryType::Block) => {
                let number =
                    |number: std::io::Result<Option<u32>>| number.expect("a number").unwrap_or_default();
                let (major, minor) = (number(header.device_major()), number(header.device_minor()));
                (if kind == EntryType::Char { 'c' } else { 'b' }, format!(" {major}:{minor}"))
            }
            _ => ('f', format!(" {}", content(entry))),
        };
        for (name, value) in attributes(entry) {
            write!(details, " {name}={value}").expect("memory");
        }
        Node {
            kind,
            mode: header.mode().expect("a mode") & 0o7777,
            owner: (header.uid().expect("an owner"), header.gid().expect("a group")),
            details,
            mtime: header.mtime().expect("a time"),
            inode: self.inodes,
        }
    }

    /// Folders that a layer does not name are made when it is unpacked.
    fn add_parents(&mut self, path: &str) {
        let (folder, _) = path.rsplit_once('/').expect("an absolute path");
        if folder.is_empty() || self.nodes.get(folder).is_some_and(|node| node.kind == 'd') {
            return;
        }
        self.add_parents(folder);
        self.remove(folder);
        self.inodes += 1;
        let (owner, details) = ((0, 0), String::new());
        let node = Node { kind: 'd', mode: 0o755, owner, details, mtime: u64::MAX, inode: self.inodes };
        self.nodes.insert(folder.to_owned(), node);
    }

    fn remove(&mut self, path: &str) {
        self.nodes.remove(path);
        self.remove_below(path);
    }

    fn remove_below(&mut self, path: &str) {
        let below = format!("{path}/");
        self.nodes.retain(|known, _| !known.starts_with(&below));
    }

    /// A line for each path that differs from `base`.
    pub(super) fn changes(&self, base: &Self) -> Vec<String> {
        let (own, below) = (self.lines(), base.lines());
        let mut changes = Vec::new();
        let paths: BTreeSet<&String> = own.keys().chain(below.keys()).copied().collect();
        let mut gone = None;
        for path in paths {
            match (own.get(path), below.get(path)) {
                (Some(line), known) if known != Some(line) => {
                    changes.push(format!("{} {line}", quoted(path)))
                }
                (None, _) if gone.as_ref().is_some_and(|gone| path.starts_with(gone)) => {}
                (None, _) => {
                    changes.push(format!("{} gone", quoted(path)));
                    gone = Some(format!("{path}/"));
                }
                _ => {}
            }
        }
        changes
    }

    fn lines(&self) -> HashMap<&String, String> {
        let mut first: HashMap<u64, &String> = HashMap::new();
        let mut lines = HashMap::new();
        for (path, node) in &self.nodes {
            let known = *first.entry(node.inode).or_insert(path);
            let line = if known == path { node.line(path) } else { format!("= {}", quoted(known)) };
            lines.insert(path, line);
        }
        lines
    }

    /// What is known of the content of each file whose name begins with `/random`.
    pub(super) fn random(&self) -> BTreeMap<&str, &str> {
        let random = self.nodes.iter().filter(|(path, _)| is_random(path));
        random.map(|(path, node)| (path.as_str(), node.details.as_str())).collect()
    }
}

impl Node {
    fn line(&self, path: &str) -> String {
        let Self { kind, mode, owner: (user, group), details, mtime, .. } = self;
        let details = if is_random(path) { " …" } else { details };
        let mode = if *kind == 'l' { String::new() } else { format!(" {mode:04o}") };
        let mut line = format!("{kind}{mode} {user}:{group}{details}");
        if *mtime < LONG_AGO {
            write!(line, " @{mtime}").expect("memory");
        }
        line
    }
}

fn is_random(path: &str) -> bool {
    path.starts_with("/random")
}

fn path(entry: &Entry<'_, &[u8]>) -> String {
    absolute(&String::from_utf8_lossy(&entry.path_bytes()))
}

/// Without `./`, with a slash in front and none behind; the root is empty.
fn absolute(path: &str) -> String {
    let parts = path.split('/').filter(|part| !matches!(*part, "" | "."));
    parts.fold(String::new(), |path, part| path + "/" + part)
}

fn content(entry: &mut Entry<'_, &[u8]>) -> String {
    let mut bytes = Vec::new();
    entry.read_to_end(&mut bytes).expect("the content of a file");
    match std::str::from_utf8(&bytes) {
        Ok(text) if text.len() <= SHOWN => json!(text).to_string(),
        _ => format!("{} bytes {}", bytes.len(), digest(&bytes)),
    }
}

fn attributes(entry: &mut Entry<'_, &[u8]>) -> BTreeMap<String, String> {
    let mut attributes = BTreeMap::new();
    for extension in entry.pax_extensions().expect("extensions of an entry").into_iter().flatten() {
        let extension = extension.expect("an extension of an entry");
        let key = String::from_utf8_lossy(extension.key_bytes());
        if let Some(name) = key.strip_prefix("SCHILY.xattr.") {
            let value = extension.value_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
            attributes.insert(name.to_owned(), value);
        }
    }
    attributes
}

/// As it is where that is one plain word.
fn quoted(text: &str) -> String {
    let is_plain = text.chars().all(|character| !character.is_whitespace() && !"\"\\".contains(character));
    if is_plain && !text.is_empty() { text.to_owned() } else { json!(text).to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::archive::Layer;

    fn tree(layers: &[&[u8]]) -> Tree {
        let mut tree = Tree::default();
        layers.iter().for_each(|layer| tree.apply(layer));
        tree
    }

    #[test]
    fn layers_are_put_on_each_other() {
        let below = Layer::new().directory("d/", 0o755).file("d/a", 0o644, b"1").file("x/y", 0o600, b"2");
        let above = Layer::new().file(".wh.x", 0o644, b"").file("./d/a", 0o755, b"1").symlink("d/l", "a b");
        let (below, above) = (below.finish(), above.finish());
        let (base, whole) = (tree(&[&below]), tree(&[&below, &above]));
        assert_eq!(whole.changes(&base), ["/d/a f 0755 0:0 \"1\"", "/d/l l 0:0 -> \"a b\"", "/x gone"],);
    }

    #[test]
    fn opaque_folder_hides_only_what_is_below() {
        let below = Layer::new().directory("d/", 0o755).file("d/a", 0o644, b"1");
        let above = Layer::new().file("d/b", 0o644, b"2").file("d/.wh..wh..opq", 0o644, b"");
        let whole = tree(&[&below.finish(), &above.finish()]);
        assert_eq!(whole.changes(&Tree::default()), ["/d d 0755 0:0", "/d/b f 0644 0:0 \"2\""]);
    }

    #[test]
    fn hard_links_are_shown_as_such() {
        let layer = Layer::new().file("a", 0o644, b"1").hard_link("b", "a").finish();
        assert_eq!(tree(&[&layer]).changes(&Tree::default()), ["/a f 0644 0:0 \"1\"", "/b = /a"]);
    }
}
