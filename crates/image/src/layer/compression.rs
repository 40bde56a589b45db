//! Telling compressions apart by their first bytes.

use std::io::{self, BufRead, Read};

use flate2::bufread::MultiGzDecoder;
use zstd::stream::read::Decoder as ZstdDecoder;

use super::LayerError;
use crate::manifest::media;

/// Bytes needed to tell.
pub(crate) const MAGIC_LEN: usize = 6;

/// How a stream is compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Compression {
    None,
    Gzip,
    Zstd,
}

impl Compression {
    /// From the first bytes of a stream, of which there may be fewer than [`MAGIC_LEN`].
    pub(crate) fn detect(magic: &[u8]) -> Result<Self, LayerError> {
        match magic {
            [0x1f, 0x8b, 8, ..] => Ok(Self::Gzip),
            [0x28, 0xb5, 0x2f, 0xfd, ..] | [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..] => Ok(Self::Zstd),
            [b'B', b'Z', b'h', b'1'..=b'9', ..] => Err(LayerError::Compression("bzip2")),
            [0xfd, b'7', b'z', b'X', b'Z', 0, ..] => Err(LayerError::Compression("xz")),
            _ => Ok(Self::None),
        }
    }

    /// The media type of a layer that is compressed so.
    pub(crate) fn layer_type(self) -> &'static str {
        match self {
            Self::None => media::OCI_LAYER,
            Self::Gzip => media::OCI_LAYER_GZIP,
            Self::Zstd => media::OCI_LAYER_ZSTD,
        }
    }

    /// Detects it, and decompresses.
    pub(crate) fn decoder<'a, R: BufRead + Send + 'a>(
        mut reader: R,
    ) -> Result<Box<dyn Read + Send + 'a>, LayerError> {
        let mut magic = Vec::with_capacity(MAGIC_LEN);
        reader.by_ref().take(MAGIC_LEN as u64).read_to_end(&mut magic).map_err(LayerError::Read)?;
        let compression = Self::detect(&magic)?;
        let whole = io::Cursor::new(magic).chain(reader);
        Ok(match compression {
            Self::None => Box::new(whole),
            Self::Gzip => Box::new(MultiGzDecoder::new(whole)),
            Self::Zstd => Box::new(ZstdDecoder::with_buffer(whole).map_err(LayerError::Read)?),
        })
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn decode(bytes: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        Compression::decoder(bytes).unwrap().read_to_end(&mut out).unwrap();
        out
    }

    #[test]
    fn decoder_reads_plain_gzip_of_several_members_and_zstd_of_several_frames() {
        let gzip = |bytes: &[u8]| {
            let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
            encoder.write_all(bytes).unwrap();
            encoder.finish().unwrap()
        };
        let zstd = |bytes: &[u8]| zstd::encode_all(bytes, 1).unwrap();
        let skippable = [0x50, 0x2a, 0x4d, 0x18, 2, 0, 0, 0, 9, 9];
        assert_eq!(decode(b"hello"), b"hello");
        assert_eq!(decode(b""), b"");
        assert_eq!(decode(&[gzip(b"hel"), gzip(b"lo")].concat()), b"hello");
        assert_eq!(decode(&[zstd(b"hel"), skippable.to_vec(), zstd(b"lo")].concat()), b"hello");
        assert_eq!(decode(&[skippable.to_vec(), zstd(b"hello")].concat()), b"hello");
    }

    #[test]
    fn decoder_names_what_it_cannot_read() {
        let error = Compression::decoder(&b"\xfd7zXZ\0..."[..]).err().unwrap();
        assert_eq!(error.to_string(), "unsupported compression: xz");
    }
}
