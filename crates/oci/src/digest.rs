//! Content digests: `algorithm:hex`, as the OCI image specification writes them.

use std::fmt;
use std::io::{self, Read, Write};
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A hash algorithm that content may be named by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Algorithm {
    /// SHA-256, what nearly everything uses.
    Sha256,
    /// SHA-512, which the specification also registers.
    Sha512,
}

impl Algorithm {
    /// Its name in a digest.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Sha256 => "sha256",
            Self::Sha512 => "sha512",
        }
    }

    /// The number of hexadecimal digits of its hashes.
    pub fn hex_len(self) -> usize {
        match self {
            Self::Sha256 => 64,
            Self::Sha512 => 128,
        }
    }
}

/// Why a text is no digest. The texts are those that Docker's clients show.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DigestError {
    /// Not of the form `algorithm:hex`.
    #[error("invalid checksum digest format")]
    Format,
    /// The algorithm is not one that is registered.
    #[error("unsupported digest algorithm")]
    Algorithm,
    /// The hash has the wrong number of digits for its algorithm.
    #[error("invalid checksum digest length")]
    Length,
}

/// The digest of some content: `sha256:` and 64 lowercase hexadecimal digits, or `sha512:` and 128.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Digest {
    text: Box<str>,
}

impl Digest {
    /// The SHA-256 digest of `content`.
    pub fn of(content: &[u8]) -> Self {
        let mut hasher = Hasher::new(Algorithm::Sha256);
        hasher.update(content);
        hasher.finish()
    }

    /// The SHA-256 digest with these 64 lowercase hexadecimal digits.
    ///
    /// # Errors
    /// As for parsing.
    pub fn from_sha256_hex(hex: &str) -> Result<Self, DigestError> {
        format!("sha256:{hex}").parse()
    }

    /// The hash algorithm.
    pub fn algorithm(&self) -> Algorithm {
        if self.text.starts_with("sha512:") { Algorithm::Sha512 } else { Algorithm::Sha256 }
    }

    /// The hash without its algorithm.
    pub fn hex(&self) -> &str {
        &self.text[self.algorithm().as_str().len() + 1..]
    }

    /// The first 12 digits of the hash, as tables show it.
    pub fn short(&self) -> &str {
        &self.hex()[..12]
    }

    /// `algorithm:hex`.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether `content` has this digest.
    pub fn verifies(&self, content: &[u8]) -> bool {
        let mut hasher = Hasher::new(self.algorithm());
        hasher.update(content);
        hasher.finish() == *self
    }
}

impl FromStr for Digest {
    type Err = DigestError;

    fn from_str(text: &str) -> Result<Self, DigestError> {
        let (name, hex) = text.split_once(':').ok_or(DigestError::Format)?;
        if !is_algorithm_name(name) || hex.is_empty() || !hex.bytes().all(|b| b.is_ascii_alphanumeric()) {
            return Err(DigestError::Format);
        }
        let algorithm = match name {
            "sha256" => Algorithm::Sha256,
            "sha512" => Algorithm::Sha512,
            _ => return Err(DigestError::Algorithm),
        };
        if hex.len() != algorithm.hex_len() {
            return Err(DigestError::Length);
        }
        if !hex.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')) {
            return Err(DigestError::Format);
        }
        Ok(Self { text: text.into() })
    }
}

/// Whether `name` has the form of an algorithm: letters and digits, parted by one of `+._-`.
fn is_algorithm_name(name: &str) -> bool {
    name.split(['+', '.', '_', '-']).all(|component| {
        component.starts_with(|c: char| c.is_ascii_alphabetic())
            && component.bytes().all(|b| b.is_ascii_alphanumeric())
    })
}

impl TryFrom<String> for Digest {
    type Error = DigestError;

    fn try_from(text: String) -> Result<Self, DigestError> {
        text.parse()
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl Serialize for Digest {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.text)
    }
}

impl<'de> Deserialize<'de> for Digest {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(|error| serde::de::Error::custom(format_args!("{error}: {text:?}")))
    }
}

/// Computes a digest of bytes as they stream by.
#[derive(Clone)]
pub struct Hasher {
    algorithm: Algorithm,
    // Twice as fast as code without assembler where the processor has no instructions for it.
    context: ring::digest::Context,
}

impl Hasher {
    /// A hasher that has seen nothing.
    pub fn new(algorithm: Algorithm) -> Self {
        let kind = match algorithm {
            Algorithm::Sha256 => &ring::digest::SHA256,
            Algorithm::Sha512 => &ring::digest::SHA512,
        };
        Self { algorithm, context: ring::digest::Context::new(kind) }
    }

    /// Adds the next bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        self.context.update(bytes);
    }

    /// The digest of all bytes added.
    pub fn finish(self) -> Digest {
        let hash = self.context.finish();
        let name = self.algorithm.as_str();
        let mut text = String::with_capacity(name.len() + 1 + self.algorithm.hex_len());
        text.push_str(name);
        text.push(':');
        for byte in hash.as_ref() {
            for nibble in [byte >> 4, byte & 15] {
                text.push(char::from(b"0123456789abcdef"[usize::from(nibble)]));
            }
        }
        Digest { text: text.into() }
    }
}

impl fmt::Debug for Hasher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Hasher({})", self.algorithm.as_str())
    }
}

impl Write for Hasher {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A reader that hashes and counts what is read through it.
#[derive(Debug)]
pub struct HashingReader<R> {
    inner: R,
    hasher: Hasher,
    count: u64,
}

impl<R: Read> HashingReader<R> {
    /// Hashes what is read from `inner`.
    pub fn new(inner: R, algorithm: Algorithm) -> Self {
        Self { inner, hasher: Hasher::new(algorithm), count: 0 }
    }

    /// Number of bytes read so far.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// The digest of what was read, the number of bytes, and the reader.
    pub fn finish(self) -> (Digest, u64, R) {
        (self.hasher.finish(), self.count, self.inner)
    }
}

impl<R: Read> Read for HashingReader<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buffer)?;
        self.hasher.update(&buffer[..read]);
        self.count += read as u64;
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EMPTY: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    #[test]
    fn digest_of_nothing_is_the_known_constant() {
        assert_eq!(Digest::of(b"").as_str(), EMPTY);
        let parsed: Digest = EMPTY.parse().unwrap();
        assert_eq!(parsed.short(), "e3b0c44298fc");
        assert!(parsed.verifies(b"") && !parsed.verifies(b"x"));
    }

    #[test]
    fn sha512_digest_roundtrips() {
        let mut hasher = Hasher::new(Algorithm::Sha512);
        hasher.update(b"abc");
        let digest = hasher.finish();
        assert!(digest.as_str().starts_with("sha512:ddaf35a193617aba"));
        assert_eq!(digest.as_str().parse::<Digest>().unwrap(), digest);
        assert!(digest.verifies(b"abc"));
    }

    #[test]
    fn malformed_digest_is_refused_by_kind() {
        let parse = |text: &str| text.parse::<Digest>().unwrap_err();
        assert_eq!(parse("sha256"), DigestError::Format);
        assert_eq!(parse("sha256:"), DigestError::Format);
        assert_eq!(parse(&EMPTY.to_uppercase()), DigestError::Algorithm);
        assert_eq!(parse("sha256:ab"), DigestError::Length);
        assert_eq!(parse("md5:d41d8cd98f00b204e9800998ecf8427e"), DigestError::Algorithm);
        assert_eq!(parse(&EMPTY.replace('e', "E")), DigestError::Format);
        assert_eq!(parse("sha256:../../../etc/passwd"), DigestError::Format);
    }

    #[test]
    fn hashing_reader_counts_and_hashes_what_passes() {
        let mut reader = HashingReader::new(&b"abc"[..], Algorithm::Sha256);
        io::copy(&mut reader, &mut io::sink()).unwrap();
        let (digest, count, _) = reader.finish();
        assert_eq!((digest, count), (Digest::of(b"abc"), 3));
    }
}
