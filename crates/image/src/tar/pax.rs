//! Pax extension headers: `length keyword=value\n` records that overrule the fixed header.

use super::TarError;
use super::header::Time;
use super::sparse::Segment;

/// What the extension headers said. Records that mean nothing to us are left out.
#[derive(Clone, Debug, Default)]
pub(crate) struct Extensions {
    pub(crate) path: Option<Vec<u8>>,
    pub(crate) link: Option<Vec<u8>>,
    pub(crate) size: Option<u64>,
    pub(crate) uid: Option<u32>,
    pub(crate) gid: Option<u32>,
    pub(crate) mtime: Option<Time>,
    pub(crate) xattrs: Vec<(Vec<u8>, Vec<u8>)>,
    pub(crate) sparse: PaxSparse,
}

/// GNU's sparse files as pax records: versions 0.0 and 0.1 carry the map here, 1.0 before the contents.
#[derive(Clone, Debug, Default)]
pub(crate) struct PaxSparse {
    pub(crate) major: Option<u64>,
    pub(crate) name: Option<Vec<u8>>,
    pub(crate) real_size: Option<u64>,
    pub(crate) map: Option<Vec<Segment>>,
    offset: Option<u64>,
}

impl Extensions {
    /// Applies the records of one extension header, later ones over earlier ones.
    pub(crate) fn apply(&mut self, mut records: &[u8]) -> Result<(), TarError> {
        while !records.is_empty() {
            // Some writers pad with NULs.
            if records.iter().all(|byte| *byte == 0) {
                return Ok(());
            }
            let (key, value, rest) = split_record(records)?;
            self.set(key, value)?;
            records = rest;
        }
        Ok(())
    }

    fn set(&mut self, key: &[u8], value: &[u8]) -> Result<(), TarError> {
        const XATTR: &[u8] = b"SCHILY.xattr.";
        match key {
            b"path" => self.path = bytes(value),
            b"linkpath" => self.link = bytes(value),
            b"size" => self.size = number(value)?,
            b"uid" => self.uid = small(value)?,
            b"gid" => self.gid = small(value)?,
            b"mtime" => self.mtime = time(value)?,
            _ if key.starts_with(b"GNU.sparse.") => self.sparse.set(&key[11..], value)?,
            _ if key.starts_with(XATTR) => {
                let name = key[XATTR.len()..].to_vec();
                self.xattrs.retain(|(other, _)| *other != name);
                self.xattrs.push((name, value.to_vec()));
            }
            _ => {}
        }
        Ok(())
    }
}

impl PaxSparse {
    fn set(&mut self, key: &[u8], value: &[u8]) -> Result<(), TarError> {
        match key {
            b"major" => self.major = number(value)?,
            b"name" => self.name = bytes(value),
            b"size" | b"realsize" => self.real_size = number(value)?,
            b"offset" => self.offset = number(value)?,
            b"numbytes" => {
                let offset = self.offset.take().ok_or(TarError::Pax("sparse length without offset"))?;
                let length = number(value)?.ok_or(TarError::Pax("empty sparse length"))?;
                self.map.get_or_insert_default().push(Segment { offset, length });
            }
            b"map" => self.map = Some(parse_map(value)?),
            _ => {}
        }
        Ok(())
    }
}

fn parse_map(value: &[u8]) -> Result<Vec<Segment>, TarError> {
    const BAD: TarError = TarError::Pax("malformed sparse map");
    if value.is_empty() {
        return Ok(Vec::new());
    }
    let numbers: Vec<u64> =
        value.split(|byte| *byte == b',').map(|text| number(text)?.ok_or(BAD)).collect::<Result<_, _>>()?;
    let (pairs, rest) = numbers.as_chunks::<2>();
    if !rest.is_empty() {
        return Err(BAD);
    }
    Ok(pairs.iter().map(|[offset, length]| Segment { offset: *offset, length: *length }).collect())
}

/// A keyword with its value, and what follows.
type Split<'a> = (&'a [u8], &'a [u8], &'a [u8]);

fn split_record(records: &[u8]) -> Result<Split<'_>, TarError> {
    let space = records.iter().take(20).position(|byte| *byte == b' ').ok_or(TarError::Pax("no length"))?;
    let length = number(&records[..space])?.ok_or(TarError::Pax("no length"))?;
    let length = usize::try_from(length).map_err(|_| TarError::Pax("length out of range"))?;
    if length <= space + 1 || length > records.len() {
        return Err(TarError::Pax("length out of range"));
    }
    let (record, rest) = records.split_at(length);
    let body = record[space + 1..].strip_suffix(b"\n").ok_or(TarError::Pax("no end of line"))?;
    let equals = body.iter().position(|byte| *byte == b'=').ok_or(TarError::Pax("no equals sign"))?;
    Ok((&body[..equals], &body[equals + 1..], rest))
}

/// An empty value takes an earlier one back.
fn bytes(value: &[u8]) -> Option<Vec<u8>> {
    (!value.is_empty()).then(|| value.to_vec())
}

fn number(value: &[u8]) -> Result<Option<u64>, TarError> {
    if value.is_empty() {
        return Ok(None);
    }
    let parsed = std::str::from_utf8(value).ok().filter(|text| text.bytes().all(|b| b.is_ascii_digit()));
    parsed.and_then(|text| text.parse().ok()).map(Some).ok_or(TarError::Pax("malformed number"))
}

fn small(value: &[u8]) -> Result<Option<u32>, TarError> {
    let narrow = |number| u32::try_from(number).map_err(|_| TarError::Pax("owner out of range"));
    number(value)?.map(narrow).transpose()
}

/// Seconds with an optional fraction; digits below nanoseconds are cut.
fn time(value: &[u8]) -> Result<Option<Time>, TarError> {
    const BAD: TarError = TarError::Pax("malformed time");
    if value.is_empty() {
        return Ok(None);
    }
    let text = std::str::from_utf8(value).map_err(|_| BAD)?;
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let seconds: i64 = whole.parse().map_err(|_| BAD)?;
    if !fraction.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(BAD);
    }
    let digits = fraction.bytes().chain(std::iter::repeat(b'0')).take(9);
    let nanoseconds = digits.fold(0, |value, digit| value * 10 + u32::from(digit - b'0'));
    if !whole.starts_with('-') || nanoseconds == 0 {
        return Ok(Some(Time { seconds, nanoseconds }));
    }
    let seconds = seconds.checked_sub(1).ok_or(BAD)?;
    Ok(Some(Time { seconds, nanoseconds: 1_000_000_000 - nanoseconds }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pax_records_overrule_by_keyword() {
        let mut extensions = Extensions::default();
        extensions.apply(b"12 path=a=b\n20 mtime=-1.2500000\n25 SCHILY.xattr.user.a=\0\n9 uid=70\n").unwrap();
        assert_eq!(extensions.path.as_deref(), Some(&b"a=b"[..]));
        assert_eq!(extensions.mtime, Some(Time { seconds: -2, nanoseconds: 750_000_000 }));
        assert_eq!(extensions.xattrs, [(b"user.a".to_vec(), vec![0])]);
        assert_eq!(extensions.uid, Some(70));
    }

    #[test]
    fn pax_malformed_is_refused() {
        for bad in
            [&b"5 a=b"[..], b"99 a=b\n", b"0 a=b\n", b"x a=b\n", b"6 ab\n ", b"18446744073709551616 a=b\n"]
        {
            assert!(Extensions::default().apply(bad).is_err(), "{bad:?}");
        }
        assert!(Extensions::default().apply(b"27 GNU.sparse.numbytes=100\n").is_err());
    }
}
