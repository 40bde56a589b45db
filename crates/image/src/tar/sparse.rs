//! Files with holes: where their contents go.

use super::header::{BLOCK, parse_octal_or_binary};
use super::{TarError, printable};

/// A run of contents.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Segment {
    /// Where in the file it begins.
    pub(crate) offset: u64,
    /// Its length in bytes.
    pub(crate) length: u64,
}

/// The pairs of octal numbers in a part of an old GNU header. A pair whose field is empty ends the map.
pub(crate) fn parse_gnu(field: &[u8], map: &mut Vec<Segment>) -> Option<()> {
    for pair in field.chunks_exact(24) {
        if pair[0] == 0 || pair[12] == 0 {
            break;
        }
        let offset = parse_octal_or_binary(&pair[..12])?;
        let length = parse_octal_or_binary(&pair[12..])?;
        map.push(Segment { offset, length });
    }
    Some(())
}

/// Reads version 1.0's map, which is text before the contents, padded to whole blocks. `next` yields those blocks.
pub(crate) fn parse_text(
    name: &[u8],
    mut next: impl FnMut() -> Result<[u8; BLOCK], TarError>,
) -> Result<Vec<Segment>, TarError> {
    let bad = || TarError::Sparse(printable(name));
    let mut block = next()?;
    let mut at = 0;
    let mut number = || -> Result<u64, TarError> {
        let mut value = 0u64;
        loop {
            if at == BLOCK {
                (block, at) = (next()?, 0);
            }
            at += 1;
            match block[at - 1] {
                b'\n' => return Ok(value),
                digit @ b'0'..=b'9' => {
                    let digit = u64::from(digit - b'0');
                    value =
                        value.checked_mul(10).and_then(|value| value.checked_add(digit)).ok_or_else(bad)?;
                }
                _ => return Err(bad()),
            }
        }
    };
    let count = number()?;
    // 16 bytes a segment in memory: as bounded as every other extension.
    if count > super::MAX_EXTENSION / 16 {
        return Err(TarError::ExtensionTooBig(count.saturating_mul(16)));
    }
    (0..count).map(|_| Ok(Segment { offset: number()?, length: number()? })).collect()
}

/// Segments must be in order, apart, inside the file, and have as many bytes as are stored.
pub(crate) fn check(map: &[Segment], real_size: u64, stored: u64) -> Option<()> {
    let mut end = 0u64;
    let mut total = 0u64;
    for segment in map {
        if segment.offset < end {
            return None;
        }
        end = segment.offset.checked_add(segment.length)?;
        total = total.checked_add(segment.length)?;
    }
    (end <= real_size && total == stored && i64::try_from(real_size).is_ok()).then_some(())
}
