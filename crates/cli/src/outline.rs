//! What of an archive of images has to be sent to an engine that has some of them.
//!
//! An archive in a file is looked into before it is sent: the layers of images that the engine has are left out. An engine
//! reads only those that it lacks. It can lack one of an image that it has, whose archive was damaged and put out of use: it
//! then says which file it misses, and the whole archive has to be sent.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{self, Read, Seek};
use std::ops::Range;

use image::manifest::MAX_CONFIG_SIZE;
use oci::Digest;
use serde::Deserialize;
use tar::EntryType;

const BLOCK: u64 = 512;

/// Where the parts of an archive are.
#[derive(Debug)]
pub(crate) struct Outline {
    images: Vec<Listed>,
    files: BTreeMap<String, Place>,
    end: u64,
}

/// An image in the archive.
#[derive(Debug)]
pub(crate) struct Listed {
    pub(crate) id: Digest,
    layers: Vec<String>,
}

#[derive(Clone, Debug)]
struct Place {
    /// With everything that belongs to the entry.
    whole: Range<u64>,
    content: Range<u64>,
}

/// An entry of `manifest.json`.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Item {
    config: String,
    #[serde(default)]
    layers: Vec<String>,
}

impl Outline {
    /// Looks into a file. `None` where it cannot be done: a pipe, a compressed archive, one without the list that Docker
    /// writes, or one that is malformed, which the engine is to say.
    pub(crate) fn of(mut file: &File) -> Option<Self> {
        let metadata = file.metadata().ok().filter(std::fs::Metadata::is_file)?;
        if file.stream_position().ok()? != 0 {
            return None;
        }
        let read = Self::read(file, metadata.len());
        file.rewind().ok()?;
        read.ok()
    }

    fn read(file: &File, end: u64) -> io::Result<Self> {
        let mut outline = Self { images: Vec::new(), files: BTreeMap::new(), end };
        let mut archive = tar::Archive::new(file);
        let mut from = 0;
        for entry in archive.entries_with_seek()? {
            let entry = entry?;
            let begin = entry.raw_file_position();
            let content = begin..begin + entry.size();
            let to = content.end.next_multiple_of(BLOCK);
            match entry.header().entry_type() {
                EntryType::Regular => {
                    let path = entry.path()?.to_string_lossy().into_owned();
                    outline.files.insert(path, Place { whole: from..to, content });
                }
                // Its size is not the one it has in the archive.
                EntryType::GNUSparse => return Err(io::ErrorKind::Unsupported.into()),
                // Others have no contents to leave out.
                _ => {}
            }
            from = to;
        }
        let items: Vec<Item> = serde_json::from_slice(&outline.document(file, "manifest.json")?)?;
        for Item { config, layers } in items {
            let id = Digest::of(&outline.document(file, &config)?);
            outline.images.push(Listed { id, layers });
        }
        Ok(outline)
    }

    fn document(&self, mut file: &File, path: &str) -> io::Result<Vec<u8>> {
        let place = self.files.get(path).ok_or(io::ErrorKind::NotFound)?;
        if place.content.end - place.content.start > MAX_CONFIG_SIZE {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        file.seek(io::SeekFrom::Start(place.content.start))?;
        let mut content = Vec::new();
        file.take(place.content.end - place.content.start).read_to_end(&mut content)?;
        Ok(content)
    }

    /// The images that the archive lists.
    pub(crate) fn images(&self) -> impl Iterator<Item = &Listed> {
        self.images.iter()
    }

    /// The parts to be sent to an engine that has the images that `has` says. `None` where that is everything.
    pub(crate) fn without(&self, has: impl Fn(&Digest) -> bool) -> Option<Vec<Range<u64>>> {
        let (known, new): (Vec<&Listed>, Vec<&Listed>) = self.images.iter().partition(|image| has(&image.id));
        let needed: BTreeSet<&String> = new.iter().flat_map(|image| &image.layers).collect();
        let layers = known.iter().flat_map(|image| &image.layers).filter(|path| !needed.contains(path));
        let mut left_out: Vec<Range<u64>> =
            layers.filter_map(|path| self.files.get(path)).map(|place| place.whole.clone()).collect();
        left_out.sort_by_key(|range| range.start);
        left_out.dedup();
        if left_out.is_empty() {
            return None;
        }
        let begins = std::iter::once(0).chain(left_out.iter().map(|range| range.end));
        let ends = left_out.iter().map(|range| range.start).chain([self.end]);
        Some(begins.zip(ends).map(|(begin, end)| begin..end).filter(|part| !part.is_empty()).collect())
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    fn archive(files: &[(&str, &[u8])]) -> (tempfile::NamedTempFile, Vec<u8>) {
        let mut builder = tar::Builder::new(Vec::new());
        for (path, content) in files {
            let mut header = tar::Header::new_gnu();
            header.set_size(content.len() as u64);
            builder.append_data(&mut header, path, *content).expect("memory takes everything");
        }
        let bytes = builder.into_inner().expect("memory takes everything");
        let mut file = tempfile::NamedTempFile::new().expect("a file");
        file.write_all(&bytes).expect("write");
        file.rewind().expect("rewind");
        (file, bytes)
    }

    fn paths(bytes: &[u8], parts: &[Range<u64>]) -> Vec<String> {
        let sent: Vec<u8> =
            parts.iter().flat_map(|part| &bytes[part.start as usize..part.end as usize]).copied().collect();
        let mut sent = tar::Archive::new(&sent[..]);
        let entries = sent.entries().expect("an archive").map(|entry| entry.expect("an entry"));
        entries.map(|entry| entry.path().expect("a path").display().to_string()).collect()
    }

    const MANIFEST: &[u8] = br#"[
        {"Config": "one.json", "RepoTags": ["one"], "Layers": ["shared", "first"]},
        {"Config": "two.json", "RepoTags": null, "Layers": ["shared", "second"]}
    ]"#;

    #[test]
    fn layers_of_images_that_are_there_are_left_out() {
        let long = format!("{}/layer", "l".repeat(200));
        let files: [(&str, &[u8]); 7] = [
            ("shared", b"0"),
            ("first", &[1; 1000]),
            (&long, b"with a header of its own"),
            ("one.json", b"1"),
            ("second", b""),
            ("two.json", b"2"),
            ("manifest.json", MANIFEST),
        ];
        let (file, bytes) = archive(&files);
        let outline = Outline::of(file.as_file()).expect("it can be looked into");
        let ids: Vec<&Digest> = outline.images().map(|image| &image.id).collect();
        assert_eq!(ids, [&Digest::of(b"1"), &Digest::of(b"2")]);
        assert_eq!(outline.without(|_| false), None);
        let first = outline.without(|id| *id == Digest::of(b"1")).expect("something is left out");
        assert_eq!(
            paths(&bytes, &first),
            ["shared", &long, "one.json", "second", "two.json", "manifest.json"]
        );
        let both = outline.without(|_| true).expect("something is left out");
        assert_eq!(paths(&bytes, &both), [&long, "one.json", "two.json", "manifest.json"]);
        assert_eq!(file.as_file().stream_position().expect("a position"), 0);
    }

    #[test]
    fn what_is_no_such_archive_is_sent_as_it_is() {
        let (empty, _) = archive(&[]);
        let (no_config, _) = archive(&[("manifest.json", MANIFEST)]);
        let mut text = tempfile::NamedTempFile::new().expect("a file");
        text.write_all(&[b'x'; 2000]).expect("write");
        text.rewind().expect("rewind");
        for file in [empty.as_file(), no_config.as_file(), text.as_file()] {
            assert!(Outline::of(file).is_none());
        }
        let (reader, _writer) = io::pipe().expect("a pipe");
        assert!(Outline::of(&File::from(std::os::fd::OwnedFd::from(reader))).is_none());
    }
}
