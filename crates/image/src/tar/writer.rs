//! Headers of archives that are made here: ustar, and pax records for what does not fit. The same entry always has the
//! same bytes.

use super::header::{BLOCK, Kind, Time};
use super::sparse::Segment;

/// What a header says of an entry. Owners have no names: those of another machine would be wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct EntryHeader<'a> {
    pub(crate) path: &'a [u8],
    pub(crate) kind: Kind,
    pub(crate) mode: u32,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    /// Bytes of content that follow.
    pub(crate) size: u64,
    pub(crate) mtime: Time,
    /// What a link leads to.
    pub(crate) link: &'a [u8],
    /// Major and minor number of a device.
    pub(crate) device: (u32, u32),
    /// Extended attributes, in order.
    pub(crate) xattrs: &'a [(Vec<u8>, Vec<u8>)],
    /// The length of a file with holes; the content then begins with its map ([`sparse_map`]).
    pub(crate) real_size: Option<u64>,
}

impl<'a> EntryHeader<'a> {
    /// A file of root's that everybody may read, from 1970.
    pub(crate) fn file(path: &'a [u8], size: u64) -> Self {
        Self {
            path,
            kind: Kind::Regular,
            mode: 0o644,
            uid: 0,
            gid: 0,
            size,
            mtime: Time::default(),
            link: b"",
            device: (0, 0),
            xattrs: &[],
            real_size: None,
        }
    }

    /// A folder of root's that everybody may read, from 1970. Its path ends with a slash.
    pub(crate) fn folder(path: &'a [u8]) -> Self {
        Self { kind: Kind::Directory, mode: 0o755, ..Self::file(path, 0) }
    }

    /// The blocks before the content.
    pub(crate) fn blocks(&self) -> Vec<u8> {
        let records = self.records();
        let mut blocks = Vec::with_capacity(3 * BLOCK);
        if !records.is_empty() {
            let header = Self::file(b"PaxHeaders/entry", records.len() as u64);
            blocks.extend(header.block(PAX));
            blocks.extend(&records);
            pad(&mut blocks);
        }
        match self.real_size {
            None => blocks.extend(self.block(self.type_flag())),
            // Readers that know nothing of holes do not take it for the file itself.
            Some(_) => {
                let path = b"GNUSparseFile.0/entry";
                blocks.extend(Self { path, ..self.clone() }.block(self.type_flag()));
            }
        }
        blocks
    }

    /// Pax records for what does not fit into the header, by keyword.
    fn records(&self) -> Vec<u8> {
        let mut records = Vec::new();
        if let Some(size) = self.real_size {
            pax_record(&mut records, b"GNU.sparse.major", b"1");
            pax_record(&mut records, b"GNU.sparse.minor", b"0");
            pax_record(&mut records, b"GNU.sparse.name", self.path);
            pax_record(&mut records, b"GNU.sparse.realsize", size.to_string().as_bytes());
        }
        for (name, value) in self.xattrs {
            pax_record(&mut records, &[b"SCHILY.xattr.", &name[..]].concat(), value);
        }
        if self.gid > MAX_ID {
            pax_record(&mut records, b"gid", self.gid.to_string().as_bytes());
        }
        if self.link.len() > NAME_LEN {
            pax_record(&mut records, b"linkpath", self.link);
        }
        if let Some(time) = self.long_time() {
            pax_record(&mut records, b"mtime", time.as_bytes());
        }
        if self.path.len() > NAME_LEN && self.real_size.is_none() {
            pax_record(&mut records, b"path", self.path);
        }
        if self.size > MAX_OCTAL {
            pax_record(&mut records, b"size", self.size.to_string().as_bytes());
        }
        if self.uid > MAX_ID {
            pax_record(&mut records, b"uid", self.uid.to_string().as_bytes());
        }
        records
    }

    /// The time as a decimal number, where it is no whole number of seconds that fits.
    fn long_time(&self) -> Option<String> {
        let Time { seconds, nanoseconds } = self.mtime;
        if nanoseconds == 0 && u64::try_from(seconds).is_ok_and(|seconds| seconds <= MAX_OCTAL) {
            return None;
        }
        let total = i128::from(seconds) * 1_000_000_000 + i128::from(nanoseconds);
        let sign = if total < 0 { "-" } else { "" };
        let total = total.unsigned_abs();
        let text = format!("{sign}{}.{:09}", total / 1_000_000_000, total % 1_000_000_000);
        Some(text.trim_end_matches('0').trim_end_matches('.').to_owned())
    }

    fn type_flag(&self) -> u8 {
        match self.kind {
            Kind::Regular => b'0',
            Kind::HardLink => b'1',
            Kind::Symlink => b'2',
            Kind::Character => b'3',
            Kind::Block => b'4',
            Kind::Directory => b'5',
            Kind::Fifo => b'6',
        }
    }

    fn block(&self, type_flag: u8) -> [u8; BLOCK] {
        let mut block = [0; BLOCK];
        let mut put = |at: usize, bytes: &[u8]| block[at..at + bytes.len()].copy_from_slice(bytes);
        put(0, &self.path[..self.path.len().min(NAME_LEN)]);
        put(100, &octal::<8>(u64::from(self.mode)));
        put(108, &octal::<8>(u64::from(self.uid.min(MAX_ID))));
        put(116, &octal::<8>(u64::from(self.gid.min(MAX_ID))));
        put(124, &octal::<12>(self.size.min(MAX_OCTAL)));
        put(136, &octal::<12>(u64::try_from(self.mtime.seconds).unwrap_or(0).min(MAX_OCTAL)));
        put(148, b"        ");
        put(156, &[type_flag]);
        put(157, &self.link[..self.link.len().min(NAME_LEN)]);
        put(257, b"ustar\x0000");
        put(329, &octal::<8>(u64::from(self.device.0)));
        put(337, &octal::<8>(u64::from(self.device.1)));
        let sum: u32 = block.iter().map(|byte| u32::from(*byte)).sum();
        block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        block
    }
}

/// Where the contents of a file with holes go, as text before them, in whole blocks.
pub(crate) fn sparse_map(segments: &[Segment]) -> Vec<u8> {
    let mut map = format!("{}\n", segments.len()).into_bytes();
    for Segment { offset, length } in segments {
        map.extend(format!("{offset}\n{length}\n").as_bytes());
    }
    pad(&mut map);
    map
}

/// Bytes that a name may have in a header.
const NAME_LEN: usize = 100;
/// The largest number of eleven octal digits.
const MAX_OCTAL: u64 = 0o777_7777_7777;
/// The largest number of seven.
const MAX_ID: u32 = 0o777_7777;
/// The type flag of a header with pax records for the next one.
const PAX: u8 = b'x';

/// The two empty blocks at an archive's end.
pub(crate) const END: [u8; 2 * BLOCK] = [0; 2 * BLOCK];

/// Bytes that are missing to whole blocks.
pub(crate) fn padding(size: u64) -> usize {
    (size.next_multiple_of(BLOCK as u64) - size) as usize
}

fn pad(bytes: &mut Vec<u8>) {
    bytes.resize(bytes.len().next_multiple_of(BLOCK), 0);
}

/// Octal digits and a NUL.
fn octal<const N: usize>(number: u64) -> [u8; N] {
    let mut field = [0; N];
    let mut rest = number;
    for digit in field[..N - 1].iter_mut().rev() {
        *digit = b'0' + (rest & 7) as u8;
        rest >>= 3;
    }
    field
}

/// `<length> <key>=<value>\n`, where the length counts itself.
fn pax_record(records: &mut Vec<u8>, key: &[u8], value: &[u8]) {
    let rest = key.len() + value.len() + 3;
    let mut length = rest + digits(rest);
    if digits(length) != digits(rest) {
        length = rest + digits(length);
    }
    records.extend(format!("{length} ").as_bytes());
    records.extend(key);
    records.push(b'=');
    records.extend(value);
    records.push(b'\n');
}

fn digits(number: usize) -> usize {
    number.max(1).ilog10() as usize + 1
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tar::TarReader;

    fn read_back(header: &EntryHeader<'_>) -> (Vec<u8>, Kind, u64) {
        let mut bytes = header.blocks();
        assert_eq!(bytes.len() % BLOCK, 0);
        bytes.extend(vec![7; header.size as usize + padding(header.size)]);
        bytes.extend(END);
        let mut reader = TarReader::new(&bytes[..]);
        let entry = reader.next_entry().unwrap().unwrap();
        let mut size = 0;
        reader
            .copy_contents(|piece| -> Result<(), crate::layer::LayerError> {
                size += piece.len() as u64;
                Ok(())
            })
            .unwrap();
        assert!(reader.next_entry().unwrap().is_none());
        (entry.path, entry.kind, size)
    }

    #[test]
    fn header_is_read_as_it_was_written_for_names_of_any_length() {
        for length in [1, 99, 100, 101, 255, 980, 990, 1000, 4000] {
            let path = vec![b'a'; length];
            let header = EntryHeader::file(&path, 513);
            assert_eq!(read_back(&header), (path.clone(), Kind::Regular, 513), "{length}");
        }
        assert_eq!(read_back(&EntryHeader::folder(b"blobs/")).1, Kind::Directory);
    }

    #[test]
    fn header_of_a_file_too_long_for_octal_digits_has_its_length_beside_it() {
        let blocks = EntryHeader::file(b"big", 9 << 30).blocks();
        let text = String::from_utf8_lossy(&blocks[BLOCK..2 * BLOCK]).into_owned();
        assert!(text.starts_with("19 size=9663676416\n"), "{text}");
    }

    #[test]
    fn everything_about_a_file_is_read_as_it_was_written() {
        let xattrs =
            vec![(b"security.capability".to_vec(), vec![1, 0, b'\n', 0xff]), (b"user.a".to_vec(), vec![])];
        let long = vec![b'l'; 255];
        let header = EntryHeader {
            kind: Kind::Symlink,
            mode: 0o4751,
            uid: 4_000_000_000,
            gid: 0o777_7777,
            mtime: Time { seconds: -2, nanoseconds: 500_000_000 },
            link: &long,
            xattrs: &xattrs,
            ..EntryHeader::file("ü/ñ".as_bytes(), 0)
        };
        let bytes = [header.blocks(), END.to_vec()].concat();
        let entry = TarReader::new(&bytes[..]).next_entry().unwrap().unwrap();
        assert_eq!(
            (entry.kind, entry.mode, entry.uid, entry.gid),
            (Kind::Symlink, 0o4751, 4_000_000_000, 0o777_7777)
        );
        assert_eq!((entry.mtime, &entry.link, &entry.xattrs), (header.mtime, &long, &xattrs));
        assert_eq!(entry.path, "ü/ñ".as_bytes());
    }

    #[test]
    fn device_has_its_numbers() {
        let header =
            EntryHeader { kind: Kind::Block, device: (8, 1_048_575), ..EntryHeader::file(b"sda", 0) };
        let bytes = [header.blocks(), END.to_vec()].concat();
        let entry = TarReader::new(&bytes[..]).next_entry().unwrap().unwrap();
        assert_eq!((entry.kind, entry.device), (Kind::Block, (8, 1_048_575)));
    }

    #[test]
    fn file_with_holes_is_read_with_its_holes() {
        let segments = vec![Segment { offset: 4096, length: 3 }, Segment { offset: 1 << 40, length: 2 }];
        let map = sparse_map(&segments);
        let path = vec![b'n'; 120];
        let real_size = Some((1 << 40) + 2);
        let header = EntryHeader { real_size, ..EntryHeader::file(&path, map.len() as u64 + 5) };
        let mut bytes = [header.blocks(), map, b"abcde".to_vec()].concat();
        pad(&mut bytes);
        bytes.extend(END);
        let mut reader = TarReader::new(&bytes[..]);
        let entry = reader.next_entry().unwrap().unwrap();
        assert_eq!((entry.path, Some(entry.size), entry.sparse), (path, real_size, Some(segments)));
        assert!(reader.next_entry().unwrap().is_none());
    }
}
