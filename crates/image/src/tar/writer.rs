//! Headers of archives that are made here: ustar, and pax records for what does not fit. The same entry always has the
//! same bytes.

use super::header::{BLOCK, Kind, Time};

/// What a header says of an entry. Owners have no names: those of another machine would be wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct EntryHeader<'a> {
    pub(crate) path: &'a [u8],
    pub(crate) kind: Kind,
    pub(crate) mode: u32,
    /// Bytes of content that follow.
    pub(crate) size: u64,
    pub(crate) mtime: Time,
}

impl<'a> EntryHeader<'a> {
    /// A file of root's that everybody may read, from 1970.
    pub(crate) fn file(path: &'a [u8], size: u64) -> Self {
        Self { path, kind: Kind::Regular, mode: 0o644, size, mtime: Time::default() }
    }

    /// A folder of root's that everybody may read, from 1970. Its path ends with a slash.
    pub(crate) fn folder(path: &'a [u8]) -> Self {
        Self { path, kind: Kind::Directory, mode: 0o755, size: 0, mtime: Time::default() }
    }

    /// The blocks before the content.
    pub(crate) fn blocks(&self) -> Vec<u8> {
        let mut records = Vec::new();
        if self.path.len() > NAME_LEN {
            pax_record(&mut records, "path", self.path);
        }
        if self.size > MAX_OCTAL {
            pax_record(&mut records, "size", self.size.to_string().as_bytes());
        }
        let mut blocks = Vec::with_capacity(3 * BLOCK);
        if !records.is_empty() {
            let header = Self { path: b"PaxHeaders/entry", size: records.len() as u64, ..self.clone() };
            blocks.extend(header.block(PAX));
            blocks.extend(&records);
            pad(&mut blocks);
        }
        blocks.extend(self.block(self.type_flag()));
        blocks
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
        put(108, &octal::<8>(0));
        put(116, &octal::<8>(0));
        put(124, &octal::<12>(self.size.min(MAX_OCTAL)));
        put(136, &octal::<12>(u64::try_from(self.mtime.seconds).unwrap_or(0).min(MAX_OCTAL)));
        put(148, b"        ");
        put(156, &[type_flag]);
        put(257, b"ustar\x0000");
        put(329, &octal::<8>(0));
        put(337, &octal::<8>(0));
        let sum: u32 = block.iter().map(|byte| u32::from(*byte)).sum();
        block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        block
    }
}

/// Bytes that a name may have in a header.
const NAME_LEN: usize = 100;
/// The largest number of eleven octal digits.
const MAX_OCTAL: u64 = 0o777_7777_7777;
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
fn pax_record(records: &mut Vec<u8>, key: &str, value: &[u8]) {
    let rest = key.len() + value.len() + 3;
    let mut length = rest + digits(rest);
    if digits(length) != digits(rest) {
        length = rest + digits(length);
    }
    records.extend(format!("{length} {key}=").as_bytes());
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
}
