//! Cases, as they are written.

use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::prelude::BASE64_STANDARD;

use super::archive;
use super::words::{unescape, words};

/// A file of cases.
#[derive(Debug)]
pub(super) struct Area {
    path: PathBuf,
    /// What is before the first case.
    head: String,
    pub(super) cases: Vec<Case>,
}

/// A Dockerfile, what is beside it, and what comes of it.
#[derive(Debug)]
pub(super) struct Case {
    pub(super) name: String,
    /// As it is written, without the expectation.
    text: String,
    /// What is in the context, the Dockerfile included.
    pub(super) items: Vec<Item>,
    /// Images that are built first.
    pub(super) before: Vec<Before>,
    /// Arguments of `build`.
    pub(super) arguments: Vec<String>,
    pub(super) again: Option<Again>,
    pub(super) needs_session: bool,
    /// What the error says: one of these.
    pub(super) matches: Vec<String>,
    pub(super) expectation: Option<Expectation>,
}

/// An image that is built first, from the same context.
#[derive(Debug)]
pub(super) struct Before {
    pub(super) name: String,
    pub(super) dockerfile: Vec<u8>,
}

/// A second build.
#[derive(Debug)]
pub(super) struct Again {
    pub(super) arguments: Vec<String>,
    /// What is changed before it.
    pub(super) items: Vec<Item>,
}

/// What comes of a case.
#[derive(Clone, Debug)]
pub(super) struct Expectation {
    /// Who says so.
    pub(super) source: String,
    pub(super) lines: Vec<String>,
}

/// Something in a context.
#[derive(Debug)]
pub(super) struct Item {
    pub(super) path: String,
    pub(super) kind: ItemKind,
    pub(super) mode: Option<u32>,
    pub(super) owner: Option<(u32, u32)>,
    pub(super) mtime: Option<i64>,
    /// Whether the file may open ports below 1024.
    pub(super) has_capability: bool,
}

#[derive(Debug)]
pub(super) enum ItemKind {
    File(Vec<u8>),
    Directory,
    Link(String),
    HardLink(String),
}

impl Area {
    pub(super) fn read(path: &Path) -> Self {
        let text =
            fs::read_to_string(path).unwrap_or_else(|error| panic!("read {}: {error}", path.display()));
        let mut parts =
            format!("\n{text}").split("\n=== ").map(str::to_owned).collect::<Vec<_>>().into_iter();
        let head = parts.next().unwrap_or_default().trim_start_matches('\n').to_owned();
        Self { path: path.to_owned(), head, cases: parts.map(|text| Case::parse(&text)).collect() }
    }

    pub(super) fn write(&self) {
        let mut text = self.head.clone();
        for case in &self.cases {
            write!(text, "\n=== {}", case.text).expect("memory");
            if let Some(expectation) = &case.expectation {
                writeln!(text, "--- expect {}", expectation.source).expect("memory");
                expectation.lines.iter().for_each(|line| writeln!(text, "{line}").expect("memory"));
            }
        }
        fs::write(&self.path, text).unwrap_or_else(|error| panic!("write {}: {error}", self.path.display()));
    }
}

impl Case {
    fn parse(text: &str) -> Self {
        let text = format!("{}\n", text.trim_end_matches('\n'));
        let (name, body) = text.split_once('\n').expect("a case has a first line");
        let mut sections = sections(body);
        let expectation = expectation(&mut sections);
        let given = text.split("\n--- expect ").next().unwrap_or_default();
        let mut case = Self {
            name: name.to_owned(),
            text: format!("{}\n", given.trim_end_matches('\n')),
            items: Vec::new(),
            before: Vec::new(),
            arguments: Vec::new(),
            again: None,
            needs_session: false,
            matches: Vec::new(),
            expectation,
        };
        for (header, body) in sections {
            case.section(&header, body);
        }
        case
    }

    fn section(&mut self, header: &str, body: String) {
        let (kind, rest) = header.split_once(' ').unwrap_or((header, ""));
        match kind {
            "match" => self.matches.push(rest.to_owned()),
            "needs" => self.needs_session = rest == "session",
            "build" => self.arguments = words(rest),
            "again" => self.again = Some(Again { arguments: words(rest), items: Vec::new() }),
            "before" => {
                self.before.push(Before { name: rest.to_owned(), dockerfile: body.into_bytes() });
            }
            _ => {
                let item = Item::parse(kind, rest, &body);
                match &mut self.again {
                    Some(again) => again.items.push(item),
                    None => self.items.push(item),
                }
            }
        }
    }

    /// Whether its expectation is recorded, and not written or amended by hand: the source is an engine's name and version
    /// and nothing else. One without an expectation is to be recorded.
    pub(super) fn is_recorded(&self) -> bool {
        self.expectation.as_ref().is_none_or(|expectation| expectation.source.split(' ').count() == 2)
    }
}

impl Item {
    fn parse(kind: &str, rest: &str, body: &str) -> Self {
        let given = match kind {
            "dockerfile" => format!("Dockerfile {rest}"),
            "dockerignore" => format!(".dockerignore {rest}"),
            _ => rest.to_owned(),
        };
        let words = words(&given);
        let flags = &words[1..];
        let has = |flag: &str| flags.iter().any(|word| word == flag);
        let value = |key: &str| flags.iter().find_map(|word| word.strip_prefix(key)?.strip_prefix('='));
        let target = || words.get(2).filter(|_| words[1] == "->").expect("a link has a target").clone();
        let mode =
            flags.iter().find(|word| word.len() >= 3 && word.bytes().all(|byte| byte.is_ascii_digit()));
        let kind = match kind {
            "dir" => ItemKind::Directory,
            "link" => ItemKind::Link(target()),
            "hardlink" => ItemKind::HardLink(target()),
            "archive" => {
                let compression = ["gzip", "zstd"].into_iter().find(|name| has(name));
                ItemKind::File(archive::pack(body, compression))
            }
            "file" | "dockerfile" | "dockerignore" if has("escaped") => ItemKind::File(unescape(body)),
            "file" if has("base64") => {
                ItemKind::File(BASE64_STANDARD.decode(body.trim()).expect("base64 in a case"))
            }
            "file" | "dockerfile" | "dockerignore" => ItemKind::File(body.as_bytes().to_vec()),
            other => panic!("a case has no section {other:?}"),
        };
        Self {
            path: words[0].clone(),
            kind,
            mode: mode.map(|mode| archive::octal(mode)),
            owner: value("owner").and_then(|owner| {
                let (user, group) = owner.split_once(':')?;
                Some((user.parse().ok()?, group.parse().ok()?))
            }),
            mtime: value("mtime").map(|seconds| seconds.parse().expect("seconds since 1970")),
            has_capability: has("capability"),
        }
    }
}

/// Headers without their dashes, and what is below them. The lines before the first header are the Dockerfile.
fn sections(body: &str) -> Vec<(String, String)> {
    let mut sections: Vec<(String, String)> = vec![("dockerfile".to_owned(), String::new())];
    for line in body.split_inclusive('\n') {
        match line.strip_prefix("--- ") {
            Some(header) => sections.push((header.trim_end_matches('\n').to_owned(), String::new())),
            None => sections.last_mut().expect("there is the Dockerfile").1 += line,
        }
    }
    if sections[0].1.is_empty() {
        sections.remove(0);
    }
    sections
}

fn expectation(sections: &mut Vec<(String, String)>) -> Option<Expectation> {
    let (header, body) = sections.pop_if(|(header, _)| header.starts_with("expect "))?;
    let source = header["expect ".len()..].to_owned();
    Some(Expectation { source, lines: body.lines().map(str::to_owned).collect() })
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "name\nFROM scratch\nCOPY . /\n--- file a\\ b 0640 owner=7:8\none\n\ntwo\n--- link l -> a\n\
                        --- build --target x\n--- match no\n--- again --no-cache\n--- dir d mtime=5\n\
                        --- expect written\nfails\n\n";

    #[test]
    fn case_is_read_with_all_sections() {
        let case = Case::parse(TEXT);
        assert_eq!((case.name.as_str(), case.items.len(), case.arguments.len()), ("name", 3, 2));
        assert!(
            matches!(&case.items[0].kind, ItemKind::File(content) if content == b"FROM scratch\nCOPY . /\n")
        );
        assert!(matches!(&case.items[1].kind, ItemKind::File(content) if content == b"one\n\ntwo\n"));
        let file = &case.items[1];
        assert_eq!((file.path.as_str(), file.mode, file.owner), ("a b", Some(0o640), Some((7, 8))));
        assert!(matches!(&case.items[2].kind, ItemKind::Link(target) if target == "a"));
        let again = case.again.as_ref().unwrap();
        assert_eq!((again.arguments[0].as_str(), again.items[0].mtime), ("--no-cache", Some(5)));
        assert!(!case.is_recorded());
        assert_eq!(case.expectation.unwrap().lines, ["fails"]);
    }

    #[test]
    fn area_is_written_as_it_was_read() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("area.txt");
        let text = "# head\n\n=== one\nFROM a\n--- expect x\nEnv\n\n=== two\nFROM b\n";
        fs::write(&path, text).unwrap();
        Area::read(&path).write();
        assert_eq!(fs::read_to_string(&path).unwrap(), text);
    }
}
