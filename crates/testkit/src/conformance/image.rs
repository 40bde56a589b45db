//! Images, out of archives as `docker save` writes them.

use std::collections::BTreeMap;
use std::io::Read;

use flate2::read::GzDecoder;
use serde_json::{Value, json};
use tar::{Archive, EntryType};

use super::tree::Tree;

/// An image.
#[derive(Debug)]
pub(super) struct Image {
    pub(super) config: Value,
    pub(super) tree: Tree,
}

impl Image {
    /// An image without files, of what an engine tells of it.
    pub(super) fn without_layers(inspected: &Value, history: &Value) -> Self {
        let entry = |entry: &Value| json!({"created_by": entry["CreatedBy"], "comment": entry["Comment"], "empty_layer": true});
        // The newest is told first.
        let history: Vec<Value> = history.as_array().into_iter().flatten().rev().map(entry).collect();
        let config = json!({
            "config": inspected["Config"], "author": inspected["Author"], "history": history,
        });
        Self { config, tree: Tree::default() }
    }
}

enum Member {
    File(Vec<u8>),
    /// What an archive has twice, some engines write as a link.
    Link(String),
}

/// A whole archive in memory.
struct Saved(BTreeMap<String, Member>);

/// All images of an archive, by their tags.
pub(super) fn read(archive: &[u8]) -> BTreeMap<String, Image> {
    let saved = Saved::read(archive);
    let manifest: Value = serde_json::from_slice(saved.find("manifest.json")).expect("a list of images");
    let mut images = BTreeMap::new();
    for entry in manifest.as_array().expect("a list of images") {
        for tag in texts(&entry["RepoTags"]) {
            images.insert(tag, saved.image(entry));
        }
    }
    images
}

impl Saved {
    fn read(archive: &[u8]) -> Self {
        let mut members = BTreeMap::new();
        for entry in Archive::new(archive).entries().expect("an archive of images") {
            let mut entry = entry.expect("an entry of an archive");
            let name = entry.path().expect("a name").to_string_lossy().into_owned();
            let link =
                entry.link_name().expect("a target").map(|target| target.to_string_lossy().into_owned());
            let member = match (entry.header().entry_type(), link) {
                (EntryType::Symlink, Some(target)) => Member::Link(beside(&name, &target)),
                (EntryType::Link, Some(target)) => Member::Link(target),
                _ => {
                    let mut content = Vec::new();
                    entry.read_to_end(&mut content).expect("a member of an archive");
                    Member::File(content)
                }
            };
            members.insert(name, member);
        }
        Self(members)
    }

    fn find(&self, name: &str) -> &[u8] {
        match self.0.get(name) {
            Some(Member::File(content)) => content,
            Some(Member::Link(target)) => self.find(target),
            None => panic!("the archive has no {name}, but {:?}", self.0.keys()),
        }
    }

    fn image(&self, entry: &Value) -> Image {
        let config = entry["Config"].as_str().expect("the name of a configuration");
        let mut tree = Tree::default();
        for layer in texts(&entry["Layers"]) {
            tree.apply(&decompressed(self.find(&layer)));
        }
        Image { config: serde_json::from_slice(self.find(config)).expect("a configuration"), tree }
    }
}

fn decompressed(layer: &[u8]) -> Vec<u8> {
    if !layer.starts_with(&[0x1f, 0x8b]) {
        return layer.to_vec();
    }
    let mut bytes = Vec::new();
    GzDecoder::new(layer).read_to_end(&mut bytes).expect("a compressed layer");
    bytes
}

/// Where a symbolic link of an archive leads to.
fn beside(name: &str, target: &str) -> String {
    let folder = name.rsplit_once('/').map_or("", |(folder, _)| folder);
    let mut parts: Vec<&str> = folder.split('/').filter(|part| !part.is_empty()).collect();
    for part in target.split('/') {
        if part == ".." {
            parts.pop();
        } else {
            parts.push(part);
        }
    }
    parts.join("/")
}

/// A list of texts; `null` is an empty one.
pub(super) fn texts(value: &Value) -> Vec<String> {
    value.as_array().into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::archive::{Image as Archived, Layer};

    #[test]
    fn saved_image_is_read() {
        let archived = Archived::new(json!({"User": "7"}), Layer::new().file("a", 0o644, b"1"));
        let images = read(&archived.docker_archive("x:1"));
        let image = &images["x:1"];
        assert_eq!(image.config["config"]["User"], "7");
        assert_eq!(image.tree.changes(&Tree::default()), ["/a f 0644 0:0 \"1\""]);
    }

    #[test]
    fn links_of_archives_are_followed() {
        assert_eq!(beside("b/layer.tar", "../a/layer.tar"), "a/layer.tar");
        assert_eq!(beside("layer.tar", "a"), "a");
    }
}
