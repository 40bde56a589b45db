//! The fixed 512-byte header of an entry.

use super::{TarError, printable};

/// Length of headers and unit of length of contents.
pub(crate) const BLOCK: usize = 512;

/// What an entry is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A file with contents.
    Regular,
    /// A further name for an earlier file.
    HardLink,
    /// A symbolic link.
    Symlink,
    /// A character device.
    Character,
    /// A block device.
    Block,
    /// A folder.
    Directory,
    /// A named pipe.
    Fifo,
}

/// A moment: seconds and nanoseconds since 1970.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Time {
    pub(crate) seconds: i64,
    pub(crate) nanoseconds: u32,
}

/// A header block as it is.
pub(crate) struct Header([u8; BLOCK]);

impl Header {
    /// `None` where the checksum is wrong.
    pub(crate) fn new(block: [u8; BLOCK]) -> Option<Self> {
        let stored = parse_octal(&block[148..156])?;
        let blank = |at: usize, byte: u8| if (148..156).contains(&at) { b' ' } else { byte };
        let bytes = || block.iter().enumerate().map(|(at, byte)| blank(at, *byte));
        let unsigned: u64 = bytes().map(u64::from).sum();
        // Some old programs summed signed bytes.
        let signed: i64 = bytes().map(|byte| i64::from(byte as i8)).sum();
        let is_right = stored == unsigned || i64::try_from(stored) == Ok(signed);
        (is_right || cfg!(feature = "fuzzing")).then_some(Self(block))
    }

    pub(crate) fn type_flag(&self) -> u8 {
        self.0[156]
    }

    fn is_ustar(&self) -> bool {
        &self.0[257..263] == b"ustar\0"
    }

    fn is_gnu(&self) -> bool {
        &self.0[257..265] == b"ustar  \0"
    }

    pub(crate) fn name(&self) -> Vec<u8> {
        let name = until_nul(&self.0[..100]);
        let prefix = until_nul(&self.0[345..500]);
        if !self.is_ustar() || prefix.is_empty() {
            return name.to_vec();
        }
        [prefix, b"/", name].concat()
    }

    pub(crate) fn link(&self) -> Vec<u8> {
        until_nul(&self.0[157..257]).to_vec()
    }

    pub(crate) fn size(&self) -> Result<u64, TarError> {
        self.number("size", 124..136)
    }

    pub(crate) fn mode(&self) -> Result<u32, TarError> {
        // Only the permission bits count; some programs write the file type as well.
        Ok((self.number("mode", 100..108)? & 0o7777) as u32)
    }

    pub(crate) fn uid(&self) -> Result<u32, TarError> {
        self.small("uid", 108..116)
    }

    pub(crate) fn gid(&self) -> Result<u32, TarError> {
        self.small("gid", 116..124)
    }

    pub(crate) fn mtime(&self) -> Result<Time, TarError> {
        let seconds = parse_number(&self.0[136..148]).ok_or_else(|| self.bad("mtime"))?;
        Ok(Time { seconds: i64::try_from(seconds).map_err(|_| self.bad("mtime"))?, nanoseconds: 0 })
    }

    /// Major and minor number; 0 for what is no device.
    pub(crate) fn device(&self) -> Result<(u32, u32), TarError> {
        if !self.is_ustar() && !self.is_gnu() {
            return Ok((0, 0));
        }
        Ok((self.small("devmajor", 329..337)?, self.small("devminor", 337..345)?))
    }

    /// The map of an old GNU sparse file (four pairs), whether it goes on, and the file's real length.
    pub(crate) fn gnu_sparse(&self) -> (&[u8], bool, Option<u64>) {
        (&self.0[386..482], self.0[482] != 0, parse_octal_or_binary(&self.0[483..495]))
    }

    fn small(&self, field: &'static str, range: std::ops::Range<usize>) -> Result<u32, TarError> {
        u32::try_from(self.number(field, range)?).map_err(|_| self.bad(field))
    }

    fn number(&self, field: &'static str, range: std::ops::Range<usize>) -> Result<u64, TarError> {
        parse_octal_or_binary(&self.0[range]).ok_or_else(|| self.bad(field))
    }

    fn bad(&self, field: &'static str) -> TarError {
        TarError::Number { field, name: printable(&self.name()) }
    }
}

/// Whether a block is the header of an entry.
pub(crate) fn is_header(block: [u8; BLOCK]) -> bool {
    block.iter().any(|byte| *byte != 0) && Header::new(block).is_some()
}

/// The bytes before the first NUL.
pub(crate) fn until_nul(bytes: &[u8]) -> &[u8] {
    bytes.split(|byte| *byte == 0).next().unwrap_or_default()
}

/// A number that is not negative, in octal digits or in GNU's binary form.
pub(crate) fn parse_octal_or_binary(field: &[u8]) -> Option<u64> {
    parse_number(field).and_then(|number| u64::try_from(number).ok())
}

fn parse_number(field: &[u8]) -> Option<i128> {
    let first = *field.first()?;
    if first & 0x80 == 0 {
        return parse_octal(field).map(i128::from);
    }
    // Two's complement in the remaining bits; nothing wider than 64 bits means anything.
    let start = if first & 0x40 == 0 { i128::from(first & 0x3f) } else { i128::from(first & 0x3f) - 0x40 };
    let value = field[1..]
        .iter()
        .try_fold(start, |value, byte| value.checked_mul(256).map(|value| value | i128::from(*byte)))?;
    (i128::from(i64::MIN)..=i128::from(u64::MAX)).contains(&value).then_some(value)
}

/// Octal digits with spaces or NULs around them; nothing at all is 0.
fn parse_octal(field: &[u8]) -> Option<u64> {
    let text = field.trim_ascii_start();
    let end = text.iter().position(|byte| matches!(byte, 0 | b' ')).unwrap_or(text.len());
    text[..end].iter().try_fold(0u64, |value, byte| match byte {
        b'0'..=b'7' => value.checked_mul(8)?.checked_add(u64::from(byte - b'0')),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn number_in_octal_or_binary_is_read() {
        assert_eq!(parse_number(b"0000644\0"), Some(0o644));
        assert_eq!(parse_number(b"   644 \0"), Some(0o644));
        assert_eq!(parse_number(b"\0\0\0\0"), Some(0));
        assert_eq!(parse_number(&[0x80, 0, 0, 0, 0, 0, 1, 0]), Some(256));
        assert_eq!(parse_number(&[0xff; 12]), Some(-1));
        assert_eq!(parse_number(b"12x"), None);
        assert_eq!(parse_number(&[0xbf; 12]), None);
        assert_eq!(parse_number(b""), None);
    }
}
