//! Archives for contexts, of the lines in an `archive` section.

use std::io::Write;

use tar::{EntryType, Header};

use super::words::words;
use crate::archive::Compression;

/// Makes a tar archive, compressed as `compression` says: `gzip`, `zstd` or nothing.
pub(super) fn pack(lines: &str, compression: Option<&str>) -> Vec<u8> {
    let mut bytes = Vec::new();
    for line in lines.lines().filter(|line| !line.trim().is_empty()) {
        append(&mut bytes, &words(line));
    }
    bytes.extend_from_slice(&[0; 1024]);
    match compression {
        None => bytes,
        Some("gzip") => Compression::Gzip.apply(&bytes),
        Some("zstd") => Compression::Zstd.apply(&bytes),
        Some(other) => panic!("archives are not made with {other:?}"),
    }
}

/// `file NAME MODE CONTENT`, `dir NAME MODE`, `fifo NAME MODE`, `link NAME -> TARGET` or `hardlink NAME -> TARGET`, and
/// `owner=` and `mtime=`.
fn append(archive: &mut Vec<u8>, words: &[String]) {
    let (kind, name) = (words[0].as_str(), words[1].as_str());
    let entry_type = match kind {
        "file" => EntryType::Regular,
        "dir" => EntryType::Directory,
        "fifo" => EntryType::Fifo,
        "link" => EntryType::Symlink,
        "hardlink" => EntryType::Link,
        other => panic!("archives have no {other:?}"),
    };
    let (mode, target) = match kind {
        "link" => (0o777, words[3].as_str()),
        "hardlink" => (0o644, words[3].as_str()),
        _ => (octal(&words[2]), ""),
    };
    let content = if kind == "file" { words[3].as_bytes() } else { b"" };
    let mut header = Header::new_ustar();
    header.set_entry_type(entry_type);
    header.set_mode(mode);
    header.set_size(content.len() as u64);
    header.set_mtime(1_714_564_800);
    header.set_uid(0);
    header.set_gid(0);
    for word in &words[2..] {
        if let Some((user, group)) = word.strip_prefix("owner=").and_then(|owner| owner.split_once(':')) {
            header.set_uid(user.parse().expect("a user's number"));
            header.set_gid(group.parse().expect("a group's number"));
        } else if let Some(seconds) = word.strip_prefix("mtime=") {
            header.set_mtime(seconds.parse().expect("seconds since 1970"));
        }
    }
    // `Header::set_path` refuses names that a case may be about.
    let old = header.as_old_mut();
    old.name[..name.len()].copy_from_slice(name.as_bytes());
    old.linkname[..target.len()].copy_from_slice(target.as_bytes());
    header.set_cksum();
    archive.write_all(header.as_bytes()).and_then(|()| archive.write_all(content)).expect("memory");
    archive.resize(archive.len().next_multiple_of(512), 0);
}

pub(super) fn octal(text: &str) -> u32 {
    u32::from_str_radix(text, 8).unwrap_or_else(|_| panic!("{text:?} are no permissions"))
}
