//! Every compression that archives come in.

use std::io::{self, BufRead, Chain, Cursor, Read};

use bzip2::bufread::MultiBzDecoder;
use flate2::bufread::GzDecoder;
use lzma_rust2::XzReader;
use zstd::stream::read::Decoder as ZstdDecoder;

use crate::layer::{Compression, LayerError, MAGIC_LEN};

/// Kibibytes that an archive may want for its decompression with xz, which takes 65 MiB for the highest level (xz(1)).
const MAX_XZ: u32 = 160 << 10;

/// A stream and the bytes of its beginning that were looked at.
type Whole<R> = Chain<Cursor<Vec<u8>>, R>;

/// Decompresses what has any of the known beginnings; what has none goes through as it is.
pub(crate) enum Decoder<R: BufRead> {
    Plain(Whole<R>),
    Gzip(Box<Members<Whole<R>>>),
    Bzip2(MultiBzDecoder<Whole<R>>),
    Xz(Box<XzReader<Whole<R>>>),
    Zstd(ZstdDecoder<'static, Whole<R>>),
}

impl<R: BufRead> Decoder<R> {
    pub(crate) fn new(mut reader: R) -> Result<Self, LayerError> {
        let mut magic = Vec::with_capacity(MAGIC_LEN);
        reader.by_ref().take(MAGIC_LEN as u64).read_to_end(&mut magic).map_err(LayerError::Read)?;
        let compression = Compression::detect(&magic);
        let whole = Cursor::new(magic).chain(reader);
        Ok(match compression {
            Err(_) if whole.get_ref().0.get_ref().starts_with(b"BZh") => {
                Self::Bzip2(MultiBzDecoder::new(whole))
            }
            Err(_) => Self::Xz(Box::new(XzReader::new_mem_limit(whole, true, MAX_XZ))),
            Ok(Compression::None) => Self::Plain(whole),
            Ok(Compression::Gzip) => Self::Gzip(Box::new(Members::new(whole))),
            Ok(Compression::Zstd) => Self::Zstd(ZstdDecoder::with_buffer(whole).map_err(LayerError::Read)?),
        })
    }
}

impl<R: BufRead> Read for Decoder<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Plain(inner) => inner.read(buffer),
            Self::Gzip(inner) => inner.read(buffer),
            Self::Bzip2(inner) => inner.read(buffer),
            Self::Xz(inner) => inner.read(buffer),
            Self::Zstd(inner) => inner.read(buffer),
        }
    }
}

/// All members of a gzip file. What follows the last one is no part of it, as with gzip(1): tapes and some downloads end in
/// zeroes.
pub(crate) struct Members<R: BufRead>(Option<GzDecoder<R>>);

impl<R: BufRead> Members<R> {
    fn new(reader: R) -> Self {
        Self(Some(GzDecoder::new(reader)))
    }
}

impl<R: BufRead> Read for Members<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while let Some(member) = &mut self.0 {
            let read = member.read(buffer)?;
            if read > 0 || buffer.is_empty() {
                return Ok(read);
            }
            let mut rest = match self.0.take() {
                Some(member) => member.into_inner(),
                None => break,
            };
            if rest.fill_buf()?.first() == Some(&0x1f) {
                self.0 = Some(GzDecoder::new(rest));
            }
        }
        Ok(0)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    const TEXT: &[u8] = b"hello, hello, hello";

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    fn bzip2(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = bzip2::write::BzEncoder::new(Vec::new(), bzip2::Compression::fast());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    fn xz(bytes: &[u8]) -> Vec<u8> {
        let options = lzma_rust2::XzOptions::with_preset(0);
        let mut writer = lzma_rust2::XzWriter::new(Vec::new(), options).unwrap();
        writer.write_all(bytes).unwrap();
        writer.finish().unwrap()
    }

    fn zstd(bytes: &[u8]) -> Vec<u8> {
        zstd::encode_all(bytes, 1).unwrap()
    }

    fn decode(bytes: &[u8]) -> io::Result<Vec<u8>> {
        let mut out = Vec::new();
        Decoder::new(bytes).map_err(io::Error::other)?.read_to_end(&mut out)?;
        Ok(out)
    }

    #[test]
    fn every_compression_is_read_in_one_part_and_in_several() {
        assert_eq!(decode(TEXT).unwrap(), TEXT);
        assert_eq!(decode(b"").unwrap(), b"");
        for compress in [gzip, bzip2, xz, zstd] {
            assert_eq!(decode(&compress(TEXT)).unwrap(), TEXT);
            let parts = [compress(&TEXT[..7]), compress(&TEXT[7..])].concat();
            assert_eq!(decode(&parts).unwrap(), TEXT);
        }
    }

    #[test]
    fn what_is_cut_off_is_an_error_wherever() {
        for compress in [gzip, bzip2, xz, zstd] {
            let whole = compress(TEXT);
            for end in 10..whole.len() {
                assert!(decode(&whole[..end]).is_err(), "{end} of {} bytes", whole.len());
            }
        }
    }

    #[test]
    fn zeroes_after_gzip_are_no_part_of_it() {
        assert_eq!(decode(&[gzip(TEXT), vec![0; 700]].concat()).unwrap(), TEXT);
        assert!(decode(&[gzip(TEXT), vec![0x1f, 0, 0]].concat()).is_err(), "half a member");
    }

    #[test]
    fn memory_for_xz_is_bounded() {
        let mut options = lzma_rust2::XzOptions::with_preset(0);
        options.lzma_options.dict_size = 1 << 30;
        let small = xz(TEXT);
        let mut writer = lzma_rust2::XzWriter::new(Vec::new(), options).unwrap();
        writer.write_all(TEXT).unwrap();
        let large = writer.finish().unwrap();
        assert!(decode(&small).is_ok());
        assert!(decode(&large).unwrap_err().to_string().contains("memory"));
    }
}
