//! What an instruction copied, kept with its result: to tell later what is different, and what need not be copied again.

use std::collections::BTreeMap;

use super::picture::{Hash, Picture, What, below, put};

/// Begins the form in bytes; its last byte is the version.
const MAGIC: &[u8; 8] = b"cortenR\x01";

/// Paths and digests of all that an instruction copied.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Record {
    pub(super) matches: Vec<Copied>,
}

/// One file or folder that was named, with all that is in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Copied {
    /// Where it came from.
    pub(super) source: Vec<u8>,
    /// The folder of the layer that its files went to. An archive's went elsewhere.
    pub(super) place: Option<Vec<u8>>,
    pub(super) folders: Vec<CopiedFolder>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct CopiedFolder {
    pub(super) path: Vec<u8>,
    pub(super) hash: Hash,
    /// Names in the layer, sorted.
    pub(super) files: Vec<(Vec<u8>, Hash)>,
}

impl Copied {
    /// All of a picture. A single file may have got another name.
    pub(super) fn of(
        source: Vec<u8>,
        place: Option<Vec<u8>>,
        picture: &Picture,
        name: Option<&[u8]>,
    ) -> Self {
        let folders = picture.folders.iter().map(|folder| {
            let files = folder.entries.iter().filter(|entry| !matches!(entry.what, What::Folder));
            let files = files.map(|entry| (name.unwrap_or(entry.name.as_bytes()).to_vec(), entry.hash));
            CopiedFolder { path: folder.path.clone(), hash: folder.hash, files: files.collect() }
        });
        Self { source, place, folders: folders.collect() }
    }

    /// Hashes by paths; a single file has none of its own.
    fn listing(&self) -> impl Iterator<Item = (Vec<u8>, &Hash)> {
        self.folders.iter().flat_map(|folder| {
            let at = below(&self.source, &folder.path);
            let is_file = folder.hash == Hash::default();
            let own = (!is_file && !folder.path.is_empty()).then(|| (at.clone(), &folder.hash));
            let files = folder
                .files
                .iter()
                .map(move |(name, hash)| (if is_file { at.clone() } else { below(&at, name) }, hash));
            own.into_iter().chain(files)
        })
    }
}

impl Record {
    /// What is different now: `"src/main.c" was changed (and 2 more)`; nothing where all is the same.
    pub fn difference(&self, now: &Self) -> Option<String> {
        let listing = |record: &Self| -> BTreeMap<Vec<u8>, Hash> {
            record.matches.iter().flat_map(Copied::listing).map(|(path, hash)| (path, *hash)).collect()
        };
        let (old, new) = (listing(self), listing(now));
        let changed = new.iter().filter_map(|(path, hash)| match old.get(path) {
            None => Some((path, "is new")),
            Some(known) if known != hash => Some((path, "was changed")),
            Some(_) => None,
        });
        let gone = old.keys().filter(|path| !new.contains_key(*path)).map(|path| (path, "is gone"));
        let mut found: Vec<_> = changed.chain(gone).collect();
        found.sort_unstable();
        let (path, what) = found.first()?;
        let more = if found.len() > 1 { format!(" (and {} more)", found.len() - 1) } else { String::new() };
        Some(format!("{:?} {what}{more}", String::from_utf8_lossy(path)))
    }

    /// A form to be kept.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = MAGIC.to_vec();
        put_count(&mut bytes, self.matches.len());
        for copied in &self.matches {
            put(&mut bytes, &copied.source);
            bytes.push(u8::from(copied.place.is_some()));
            put(&mut bytes, copied.place.as_deref().unwrap_or_default());
            put_count(&mut bytes, copied.folders.len());
            for folder in &copied.folders {
                put(&mut bytes, &folder.path);
                bytes.extend(folder.hash);
                put_count(&mut bytes, folder.files.len());
                for (name, hash) in &folder.files {
                    put(&mut bytes, name);
                    bytes.extend(hash);
                }
            }
        }
        bytes
    }

    /// Reads what [`Record::to_bytes`] made; nothing where it is damaged.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let mut rest = bytes.strip_prefix(MAGIC)?;
        let matches = many(&mut rest, |rest| {
            let source = take_text(rest)?;
            let has_place = take(rest, 1)? == [1];
            let place = Some(take_text(rest)?).filter(|_| has_place);
            let folders = many(rest, |rest| {
                let (path, hash) = (take_text(rest)?, take_hash(rest)?);
                let files = many(rest, |rest| Some((take_text(rest)?, take_hash(rest)?)))?;
                Some(CopiedFolder { path, hash, files })
            })?;
            Some(Copied { source, place, folders })
        })?;
        rest.is_empty().then_some(Self { matches })
    }
}

fn put_count(bytes: &mut Vec<u8>, count: usize) {
    bytes.extend(u32::try_from(count).expect("no list is that long").to_le_bytes());
}

fn take<'a>(rest: &mut &'a [u8], count: usize) -> Option<&'a [u8]> {
    let (taken, after) = rest.split_at_checked(count)?;
    *rest = after;
    Some(taken)
}

fn take_count(rest: &mut &[u8]) -> Option<usize> {
    let bytes = take(rest, 4)?.try_into().expect("four bytes");
    usize::try_from(u32::from_le_bytes(bytes)).ok()
}

fn take_text(rest: &mut &[u8]) -> Option<Vec<u8>> {
    let count = take_count(rest)?;
    take(rest, count).map(<[u8]>::to_vec)
}

fn take_hash(rest: &mut &[u8]) -> Option<Hash> {
    take(rest, 32)?.try_into().ok()
}

/// A list; its length is not believed before its entries are there.
fn many<T>(rest: &mut &[u8], mut one: impl FnMut(&mut &[u8]) -> Option<T>) -> Option<Vec<T>> {
    let count = take_count(rest)?;
    let mut found = Vec::new();
    for _ in 0..count {
        found.push(one(rest)?);
    }
    Some(found)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn record(files: &[(&str, u8)]) -> Record {
        let files = files.iter().map(|(name, byte)| (name.as_bytes().to_vec(), [*byte; 32])).collect();
        let folder = CopiedFolder { path: b"in".to_vec(), hash: [9; 32], files };
        let copied = Copied { source: b"src".to_vec(), place: Some(b"app".to_vec()), folders: vec![folder] };
        Record { matches: vec![copied] }
    }

    #[test]
    fn differences_are_told_by_path() {
        let old = record(&[("a", 1), ("b", 2)]);
        assert_eq!(old.difference(&old), None);
        for (now, expected) in [
            (record(&[("a", 1), ("b", 3)]), r#""src/in/b" was changed"#),
            (record(&[("a", 1), ("b", 2), ("c", 2)]), r#""src/in/c" is new"#),
            (record(&[("b", 2)]), r#""src/in/a" is gone"#),
            (record(&[("c", 1)]), r#""src/in/a" is gone (and 2 more)"#),
        ] {
            assert_eq!(old.difference(&now).as_deref(), Some(expected));
        }
    }

    #[test]
    fn single_files_are_told_by_the_name_they_have_in_the_tree() {
        let single = |byte| {
            let folder =
                CopiedFolder { path: vec![], hash: [0; 32], files: vec![(b"renamed".to_vec(), [byte; 32])] };
            Record {
                matches: vec![Copied { source: b"a/b".to_vec(), place: Some(vec![]), folders: vec![folder] }],
            }
        };
        assert_eq!(single(1).difference(&single(2)).as_deref(), Some(r#""a/b" was changed"#));
    }

    #[test]
    fn bytes_are_read_back_and_damage_is_seen() {
        let record = record(&[("a", 1), ("b", 2)]);
        let bytes = record.to_bytes();
        assert_eq!(Record::from_bytes(&bytes), Some(record));
        for length in 0..bytes.len() {
            assert_eq!(Record::from_bytes(&bytes[..length]), None, "{length}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = Record::from_bytes(&[MAGIC, bytes.as_slice()].concat());
        }
    }
}
