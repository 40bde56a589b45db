//! The file of one network's names: who writes it, and how it is followed.
//!
//! A file is lines of JSON. The first one has the format's version and the network's name; each of the others adds an
//! endpoint or removes one. Changes are appended, so that a start costs one small write however large the network is, and
//! a reader takes only what is new. When most of a file is history, it is replaced by a new one: a reader, which holds the
//! file open, finds that its own has no name any more.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use sys::file::{Durability, write_atomic};

use crate::table::{Endpoint, Table};

/// The version of the format. Readers take no other.
const VERSION: u32 = 1;
/// Lines of history that a file may have for each endpoint in it, and in any case.
const HISTORY: (usize, usize) = (1, 64);
/// Bytes of a file that are read; an engine's files are far shorter.
const MAX_FILE: u64 = 64 << 20;

/// A line.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Line<'a> {
    Table {
        version: u32,
        network: std::borrow::Cow<'a, str>,
    },
    Add {
        number: u32,
        #[serde(flatten)]
        endpoint: std::borrow::Cow<'a, Endpoint>,
    },
    Remove {
        number: u32,
    },
}

/// A file of names could not be written.
#[derive(Debug, thiserror::Error)]
#[error("write names to {path}: {source}")]
pub struct WriteError {
    path: PathBuf,
    source: io::Error,
}

/// The one writer of a file. The file goes with it.
#[derive(Debug)]
pub struct TableWriter {
    path: PathBuf,
    network: String,
    /// `None` after a failure: the next change writes everything.
    file: Option<File>,
    endpoints: BTreeMap<String, (u32, Endpoint)>,
    next_number: u32,
    /// Lines that a later one has undone, and those that do so.
    history: usize,
}

impl TableWriter {
    /// A writer of a network without endpoints. The file is made with the first of them.
    pub fn new(path: PathBuf, network: &str) -> Self {
        let network = network.to_owned();
        Self { path, network, file: None, endpoints: BTreeMap::new(), next_number: 1, history: 0 }
    }

    /// Where readers find it.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Whether nobody is in the network.
    pub fn is_empty(&self) -> bool {
        self.endpoints.is_empty()
    }

    /// Adds endpoints by their IDs, or gives them other names. The names hold when this returns.
    ///
    /// # Errors
    /// The file system's. What could not be written is written with the next change.
    pub fn set(&mut self, endpoints: impl IntoIterator<Item = (String, Endpoint)>) -> Result<(), WriteError> {
        let mut lines = Vec::new();
        for (id, endpoint) in endpoints {
            if self.endpoints.get(&id).is_some_and(|(_, present)| *present == endpoint) {
                continue;
            }
            self.take_out(&id, &mut lines);
            let number = self.next_number;
            self.next_number += 1;
            push(&mut lines, &Line::Add { number, endpoint: std::borrow::Cow::Borrowed(&endpoint) });
            self.endpoints.insert(id, (number, endpoint));
        }
        self.append(&lines)
    }

    /// Removes an endpoint by its ID; `false` where it is not there.
    ///
    /// # Errors
    /// As [`TableWriter::set`].
    pub fn remove(&mut self, id: &str) -> Result<bool, WriteError> {
        let mut lines = Vec::new();
        let found = self.take_out(id, &mut lines);
        self.append(&lines)?;
        Ok(found)
    }

    fn take_out(&mut self, id: &str, lines: &mut Vec<u8>) -> bool {
        let Some((number, _)) = self.endpoints.remove(id) else { return false };
        self.history += 2;
        push(lines, &Line::Remove { number });
        true
    }

    fn append(&mut self, lines: &[u8]) -> Result<(), WriteError> {
        let result = match &mut self.file {
            _ if lines.is_empty() => return Ok(()),
            Some(file) if self.history <= HISTORY.0 * self.endpoints.len() + HISTORY.1 => {
                // One call: a reader that comes in between sees whole lines, or a last one without an end.
                file.write_all(lines)
            }
            _ => self.replace(),
        };
        result.map_err(|source| {
            self.file = None;
            WriteError { path: self.path.clone(), source }
        })
    }

    fn replace(&mut self) -> io::Result<()> {
        let mut lines = Vec::new();
        let network = std::borrow::Cow::Borrowed(self.network.as_str());
        push(&mut lines, &Line::Table { version: VERSION, network });
        for (number, endpoint) in self.endpoints.values() {
            let endpoint = std::borrow::Cow::Borrowed(endpoint);
            push(&mut lines, &Line::Add { number: *number, endpoint });
        }
        write_atomic(&self.path, &lines, 0o600, Durability::Atomic)?;
        self.file = Some(OpenOptions::new().append(true).open(&self.path)?);
        self.history = 0;
        Ok(())
    }
}

impl Drop for TableWriter {
    /// A table that still has endpoints serves them while no engine runs.
    fn drop(&mut self) {
        if self.endpoints.is_empty() {
            // What is left is replaced by the next writer.
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

fn push(lines: &mut Vec<u8>, line: &Line<'_>) {
    serde_json::to_writer(&mut *lines, line).expect("a line has string keys only");
    lines.push(b'\n');
}

/// Follows a file that another process writes.
#[derive(Debug)]
pub struct TableReader {
    path: PathBuf,
    file: Option<File>,
    /// How far whole lines have been read.
    offset: u64,
    table: Table,
}

impl TableReader {
    /// A reader that has read nothing yet.
    pub fn new(path: PathBuf) -> Self {
        Self { path, file: None, offset: 0, table: Table::default() }
    }

    /// The file's path.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The table as it was read last.
    pub fn table(&self) -> &Table {
        &self.table
    }

    /// Reads what is new. Where nothing is, this is one system call.
    ///
    /// # Errors
    /// The file system's. A file that is not there, or of another version, has no names.
    pub fn refresh(&mut self) -> io::Result<()> {
        let length = match &self.file {
            None => return self.reopen(),
            Some(file) => {
                let metadata = file.metadata()?;
                if metadata.nlink() == 0 {
                    return self.reopen();
                }
                metadata.len()
            }
        };
        if length > self.offset { self.read_on() } else { Ok(()) }
    }

    /// Forgets everything until it is needed again.
    pub fn release(&mut self) {
        (self.file, self.offset, self.table) = (None, 0, Table::default());
    }

    fn reopen(&mut self) -> io::Result<()> {
        self.release();
        match File::open(&self.path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            opened => {
                self.file = Some(opened?);
                self.read_on()
            }
        }
    }

    fn read_on(&mut self) -> io::Result<()> {
        let Some(file) = &mut self.file else { return Ok(()) };
        file.seek(SeekFrom::Start(self.offset))?;
        let mut text = Vec::new();
        file.take(MAX_FILE.saturating_sub(self.offset)).read_to_end(&mut text)?;
        let whole = text.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
        self.offset += whole as u64;
        self.apply(&text[..whole]);
        Ok(())
    }

    /// Takes lines over. Those of a kind that this version does not know change nothing.
    fn apply(&mut self, text: &[u8]) {
        let mut added: BTreeMap<u32, Endpoint> = BTreeMap::new();
        let mut removed = Vec::new();
        for line in text.split(|byte| *byte == b'\n') {
            match serde_json::from_slice(line) {
                Ok(Line::Table { version: VERSION, network }) => self.table = Table::new(&network),
                Ok(Line::Add { number, endpoint }) => drop(added.insert(number, endpoint.into_owned())),
                Ok(Line::Remove { number }) if added.remove(&number).is_none() => removed.push(number),
                _ => {}
            }
        }
        if !self.table.network().is_empty() {
            self.table.change(added.into_iter().collect(), &removed);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn endpoint(last: u8, names: &[&str]) -> Endpoint {
        let names = names.iter().map(ToString::to_string).collect();
        Endpoint { ipv4: Some([10, 0, 0, last].into()), ipv6: None, names }
    }

    fn found(reader: &mut TableReader, name: &str) -> Vec<u8> {
        reader.refresh().unwrap();
        let found = reader.table().find(name);
        found.filter_map(|(ipv4, _)| ipv4).map(|address| address.octets()[3]).collect()
    }

    fn pair(folder: &tempfile::TempDir) -> (TableWriter, TableReader) {
        let path = folder.path().join("network");
        (TableWriter::new(path.clone(), "Lab"), TableReader::new(path))
    }

    #[test]
    fn reader_follows_what_is_written() {
        let folder = tempfile::tempdir().unwrap();
        let (mut writer, mut reader) = pair(&folder);
        assert!(found(&mut reader, "web").is_empty());
        writer.set([("a".into(), endpoint(2, &["web"]))]).unwrap();
        assert_eq!(found(&mut reader, "web"), [2]);
        assert_eq!(reader.table().network(), "lab");
        writer.set([("b".into(), endpoint(3, &["web", "db"]))]).unwrap();
        assert_eq!(found(&mut reader, "web"), [2, 3]);
        writer.set([("a".into(), endpoint(2, &["new"]))]).unwrap();
        assert_eq!(found(&mut reader, "web"), [3]);
        assert_eq!(found(&mut reader, "new"), [2]);
        assert!(writer.remove("b").unwrap());
        assert!(!writer.remove("b").unwrap());
        assert!(found(&mut reader, "db").is_empty());
        reader.release();
        assert_eq!(found(&mut reader, "new"), [2]);
    }

    #[test]
    fn file_is_replaced_when_it_is_mostly_history() {
        let folder = tempfile::tempdir().unwrap();
        let (mut writer, mut reader) = pair(&folder);
        writer.set([("stays".into(), endpoint(9, &["stays"]))]).unwrap();
        for round in 0..1000u32 {
            writer.set([("a".into(), endpoint((round % 100) as u8, &["web"]))]).unwrap();
            assert_eq!(found(&mut reader, "web"), [(round % 100) as u8]);
        }
        assert_eq!(found(&mut reader, "stays"), [9]);
        assert!(std::fs::metadata(writer.path()).unwrap().len() < 10_000);
    }

    #[test]
    fn next_writer_takes_over_from_one_that_was_killed() {
        let folder = tempfile::tempdir().unwrap();
        let (mut writer, mut reader) = pair(&folder);
        writer.set([("a".into(), endpoint(2, &["web"])), ("b".into(), endpoint(3, &["db"]))]).unwrap();
        assert_eq!(found(&mut reader, "db"), [3]);
        drop(writer);
        assert_eq!(found(&mut reader, "db"), [3]);
        let (mut writer, _) = pair(&folder);
        writer.set([("b".into(), endpoint(4, &["db"]))]).unwrap();
        assert_eq!(found(&mut reader, "db"), [4]);
        assert!(found(&mut reader, "web").is_empty());
    }

    #[test]
    fn file_of_an_empty_network_goes_with_its_writer() {
        let folder = tempfile::tempdir().unwrap();
        let (mut writer, mut reader) = pair(&folder);
        writer.set([("a".into(), endpoint(2, &["web"]))]).unwrap();
        assert_eq!(found(&mut reader, "web"), [2]);
        writer.remove("a").unwrap();
        assert!(writer.is_empty());
        drop(writer);
        assert!(found(&mut reader, "web").is_empty());
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    }

    #[test]
    fn line_without_an_end_waits_for_it() {
        let folder = tempfile::tempdir().unwrap();
        let (mut writer, mut reader) = pair(&folder);
        writer.set([("a".into(), endpoint(2, &["web"]))]).unwrap();
        let line = br#"{"add":{"number":7,"ipv4":"10.0.0.7","ipv6":null,"names":["late"]}}"#;
        let mut file = OpenOptions::new().append(true).open(writer.path()).unwrap();
        file.write_all(&line[..30]).unwrap();
        assert!(found(&mut reader, "late").is_empty());
        file.write_all(&line[30..]).unwrap();
        assert!(found(&mut reader, "late").is_empty());
        file.write_all(b"\n").unwrap();
        assert_eq!(found(&mut reader, "late"), [7]);
    }

    #[test]
    fn file_of_another_version_has_no_names() {
        let folder = tempfile::tempdir().unwrap();
        let (_, mut reader) = pair(&folder);
        let text = "{\"table\":{\"version\":2,\"network\":\"lab\"}}\n{\"add\":{\"number\":1,\"ipv4\":\"10.0.0.2\",\"names\":[\"web\"]}}\n";
        std::fs::write(reader.path(), text).unwrap();
        assert!(found(&mut reader, "web").is_empty());
    }

    proptest! {
        #[test]
        fn any_file_is_read_without_panic(text: Vec<u8>) {
            let folder = tempfile::tempdir().unwrap();
            let (_, mut reader) = pair(&folder);
            std::fs::write(reader.path(), [b"{\"table\":{\"version\":1,\"network\":\"x\"}}\n".as_slice(), &text, b"\n"].concat()).unwrap();
            reader.refresh().unwrap();
        }
    }
}
