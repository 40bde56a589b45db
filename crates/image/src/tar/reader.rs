//! Entry by entry through an archive.

use std::io::{BufRead, Read};

use super::header::{BLOCK, Header, Kind, Time};
use super::pax::Extensions;
use super::sparse::{self, Segment};
use super::{MAX_EXTENSION, TarError, printable};

/// An entry, without its contents.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(crate) kind: Kind,
    /// As written: may be absolute, may have `..`.
    pub(crate) path: Vec<u8>,
    pub(crate) link: Vec<u8>,
    pub(crate) mode: u32,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    pub(crate) mtime: Time,
    pub(crate) device: (u32, u32),
    pub(crate) xattrs: Vec<(Vec<u8>, Vec<u8>)>,
    /// Length of the file, holes included.
    pub(crate) size: u64,
    /// Where its contents go, for a file with holes.
    pub(crate) sparse: Option<Vec<Segment>>,
}

/// Reads an archive from beginning to end.
#[derive(Debug)]
pub(crate) struct TarReader<R> {
    inner: R,
    position: u64,
    /// Bytes of the current entry's contents not yet read.
    remaining: u64,
    /// Bytes after them up to the next header.
    padding: u64,
    global: Extensions,
}

impl<R: BufRead> TarReader<R> {
    pub(crate) fn new(inner: R) -> Self {
        Self { inner, position: 0, remaining: 0, padding: 0, global: Extensions::default() }
    }

    /// The reader under it, at the byte after what has been read.
    pub(crate) fn into_inner(self) -> R {
        self.inner
    }

    /// The next entry; what was not read of the last one is skipped. `None` at the end of the archive.
    pub(crate) fn next_entry(&mut self) -> Result<Option<Entry>, TarError> {
        self.skip_contents()?;
        let mut extensions = self.global.clone();
        let mut extension_size = 0u64;
        loop {
            let Some(header) = self.next_header()? else { return Ok(None) };
            let flag = header.type_flag();
            if !matches!(flag, b'x' | b'X' | b'g' | b'L' | b'K') {
                return self.finish_entry(&header, extensions).map(Some);
            }
            let size = header.size()?;
            extension_size = extension_size.saturating_add(size);
            if extension_size > MAX_EXTENSION {
                return Err(TarError::ExtensionTooBig(extension_size));
            }
            let content = self.read_extension(size)?;
            match flag {
                b'g' => {
                    self.global.apply(&content)?;
                    extensions.apply(&content)?;
                }
                b'L' => extensions.path = Some(trim_nuls(content)),
                b'K' => extensions.link = Some(trim_nuls(content)),
                _ => extensions.apply(&content)?,
            }
        }
    }

    /// Passes on the contents of the current entry, piece by piece.
    pub(crate) fn copy_contents<E: From<TarError>>(
        &mut self,
        mut sink: impl FnMut(&[u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        while self.remaining > 0 {
            let available = self.inner.fill_buf().map_err(TarError::from_read)?;
            if available.is_empty() {
                return Err(TarError::Truncated.into());
            }
            let taken = available.len().min(usize::try_from(self.remaining).unwrap_or(usize::MAX));
            sink(&available[..taken])?;
            self.consume(taken);
        }
        Ok(())
    }

    fn consume(&mut self, taken: usize) {
        self.inner.consume(taken);
        self.position += taken as u64;
        self.remaining -= taken as u64;
    }

    fn skip_contents(&mut self) -> Result<(), TarError> {
        self.copy_contents(|_| Ok::<(), TarError>(()))?;
        let padding = std::mem::take(&mut self.padding);
        self.remaining = padding;
        match self.copy_contents(|_| Ok::<(), TarError>(())) {
            // What fills the last block is missing where a program did not end its archive, as docker's client does not when it
            // adds a Dockerfile to a context.
            Err(TarError::Truncated) if self.remaining == padding => {
                self.remaining = 0;
                Ok(())
            }
            result => result,
        }
    }

    /// `None` at the end: a block of zeroes, or no more bytes at all.
    fn next_header(&mut self) -> Result<Option<Header>, TarError> {
        if self.inner.fill_buf().map_err(TarError::from_read)?.is_empty() {
            return Ok(None);
        }
        let at = self.position;
        let block = self.read_block()?;
        if block.iter().all(|byte| *byte == 0) {
            return Ok(None);
        }
        Header::new(block).ok_or(TarError::Header(at)).map(Some)
    }

    fn read_block(&mut self) -> Result<[u8; BLOCK], TarError> {
        let mut block = [0; BLOCK];
        self.inner.read_exact(&mut block).map_err(TarError::from_read)?;
        self.position += BLOCK as u64;
        Ok(block)
    }

    fn read_extension(&mut self, size: u64) -> Result<Vec<u8>, TarError> {
        (self.remaining, self.padding) = (size, padding_of(size));
        let mut content = Vec::new();
        self.copy_contents(|piece| {
            content.extend_from_slice(piece);
            Ok::<(), TarError>(())
        })?;
        self.skip_contents()?;
        Ok(content)
    }

    fn finish_entry(&mut self, header: &Header, extensions: Extensions) -> Result<Entry, TarError> {
        let name =
            extensions.sparse.name.clone().or(extensions.path.clone()).unwrap_or_else(|| header.name());
        let flag = header.type_flag();
        let kind = kind_of(flag, &name)?;
        let stored = match extensions.size {
            Some(size) => size,
            None => header.size()?,
        };
        // Links, folders and devices have no contents, whatever some writers put into the field.
        let stored = if kind == Kind::Regular { stored } else { 0 };
        (self.remaining, self.padding) = (stored, padding_of(stored));
        let mut entry = Entry {
            kind,
            link: extensions.link.clone().unwrap_or_else(|| header.link()),
            mode: header.mode()?,
            uid: extensions.uid.map_or_else(|| header.uid(), Ok)?,
            gid: extensions.gid.map_or_else(|| header.gid(), Ok)?,
            mtime: extensions.mtime.map_or_else(|| header.mtime(), Ok)?,
            device: if matches!(kind, Kind::Character | Kind::Block) { header.device()? } else { (0, 0) },
            xattrs: extensions.xattrs.clone(),
            size: stored,
            sparse: None,
            path: name,
        };
        if kind == Kind::Regular {
            self.read_sparse_map(header, extensions, &mut entry)?;
        }
        Ok(entry)
    }

    fn read_sparse_map(
        &mut self,
        header: &Header,
        extensions: Extensions,
        entry: &mut Entry,
    ) -> Result<(), TarError> {
        let bad = |entry: &Entry| TarError::Sparse(printable(&entry.path));
        let (map, real_size) = if header.type_flag() == b'S' {
            (self.read_gnu_map(header, &entry.path)?, header.gnu_sparse().2)
        } else if extensions.sparse.major == Some(1) {
            let mut used = 0;
            let map = sparse::parse_text(&entry.path, || {
                used += BLOCK as u64;
                self.read_block()
            })?;
            self.remaining = self.remaining.checked_sub(used).ok_or_else(|| bad(entry))?;
            (map, extensions.sparse.real_size)
        } else if let Some(map) = extensions.sparse.map {
            (map, extensions.sparse.real_size)
        } else {
            return Ok(());
        };
        let real_size = real_size.ok_or_else(|| bad(entry))?;
        sparse::check(&map, real_size, self.remaining).ok_or_else(|| bad(entry))?;
        (entry.size, entry.sparse) = (real_size, Some(map));
        Ok(())
    }

    fn read_gnu_map(&mut self, header: &Header, name: &[u8]) -> Result<Vec<Segment>, TarError> {
        let bad = || TarError::Sparse(printable(name));
        let mut map = Vec::new();
        let (field, mut goes_on, _) = header.gnu_sparse();
        sparse::parse_gnu(field, &mut map).ok_or_else(bad)?;
        while goes_on {
            let block = self.read_block()?;
            sparse::parse_gnu(&block[..504], &mut map).ok_or_else(bad)?;
            goes_on = block[504] != 0;
            if map.len() as u64 * 16 > MAX_EXTENSION {
                return Err(TarError::ExtensionTooBig(map.len() as u64 * 16));
            }
        }
        Ok(map)
    }
}

fn kind_of(flag: u8, name: &[u8]) -> Result<Kind, TarError> {
    Ok(match flag {
        // In the oldest format a folder is a file whose name ends with a slash.
        0 | b'0' if name.ends_with(b"/") => Kind::Directory,
        0 | b'0' | b'7' | b'S' => Kind::Regular,
        b'1' => Kind::HardLink,
        b'2' => Kind::Symlink,
        b'3' => Kind::Character,
        b'4' => Kind::Block,
        b'5' => Kind::Directory,
        b'6' => Kind::Fifo,
        other => return Err(TarError::Unsupported { kind: char::from(other), name: printable(name) }),
    })
}

fn padding_of(size: u64) -> u64 {
    size.wrapping_neg() % BLOCK as u64
}

fn trim_nuls(mut content: Vec<u8>) -> Vec<u8> {
    let end = content.iter().position(|byte| *byte == 0).unwrap_or(content.len());
    content.truncate(end);
    content
}

/// Reads to the end, so that whoever hashes the bytes sees all of them.
pub(crate) fn drain(
    mut reader: impl Read,
    mut seen: impl FnMut(u64) -> Result<(), TarError>,
) -> Result<(), TarError> {
    let mut buffer = vec![0; 64 << 10];
    loop {
        match reader.read(&mut buffer).map_err(TarError::from_read)? {
            0 => return Ok(()),
            count => seen(count as u64)?,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read_all(archive: &[u8]) -> Result<Vec<(Entry, Vec<u8>)>, TarError> {
        let mut reader = TarReader::new(archive);
        let mut found = Vec::new();
        while let Some(entry) = reader.next_entry()? {
            let mut content = Vec::new();
            reader.copy_contents(|piece| {
                content.extend_from_slice(piece);
                Ok::<(), TarError>(())
            })?;
            found.push((entry, content));
        }
        Ok(found)
    }

    fn archive(names: &[&str]) -> Vec<u8> {
        let mut builder = tar::Builder::new(Vec::new());
        for name in names {
            let mut header = tar::Header::new_gnu();
            header.set_size(3);
            header.set_mode(0o4755);
            header.set_uid(3_000_000_000);
            builder.append_data(&mut header, name, &b"abc"[..]).unwrap();
        }
        builder.into_inner().unwrap()
    }

    #[test]
    fn entry_with_long_name_and_big_owner_is_read() {
        let long = "d/".repeat(150) + "file";
        let entries = read_all(&archive(&["a", &long])).unwrap();
        assert_eq!(entries[0].0.path, b"a");
        assert_eq!(entries[1].0.path, long.as_bytes());
        assert_eq!((entries[0].0.mode, entries[0].0.uid, entries[0].0.size), (0o4755, 3_000_000_000, 3));
        assert_eq!(entries[1].1, b"abc");
    }

    #[test]
    fn archive_cut_anywhere_but_at_an_entry_is_truncated() {
        let whole = archive(&["a", "b"]);
        for cut in [1, 511, 513, 514, 516, 1023, 1025, 1537] {
            assert!(matches!(read_all(&whole[..cut]), Err(TarError::Truncated)), "cut at {cut}");
        }
        for cut in [515, 1024] {
            assert_eq!(read_all(&whole[..cut]).unwrap().len(), 1, "cut at {cut}");
        }
    }

    #[test]
    fn extension_header_of_a_gigabyte_is_refused_without_reading_it() {
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(tar::EntryType::XHeader);
        header.set_size(1 << 30);
        header.set_cksum();
        assert!(matches!(read_all(header.as_bytes()), Err(TarError::ExtensionTooBig(_))));
    }

    proptest! {
        #[test]
        fn archive_with_bytes_changed_never_panics(changes in proptest::collection::vec((0usize..4096, any::<u8>()), 1..6)) {
            let long = "x".repeat(200);
            let mut bytes = archive(&["a", &long]);
            for (at, byte) in changes {
                let at = at % bytes.len();
                bytes[at] = byte;
            }
            // With sums that fit, so that the change is seen by what reads the fields.
            for block in bytes.chunks_exact_mut(512) {
                if block[257..262] == *b"ustar" {
                    let mut header = tar::Header::from_byte_slice(block).clone();
                    header.set_cksum();
                    block.copy_from_slice(header.as_bytes());
                }
            }
            let _ = read_all(&bytes);
        }
    }
}
