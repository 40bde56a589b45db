//! Contexts of builds at addresses of HTTP, by the rules of dockerd: a text is a Dockerfile, anything else an archive.

use std::io::{Cursor, Read};
use std::path::{Path, PathBuf};

use registry::{Condition, Registry, Source};

use super::{Error, Progress};
use crate::archive;

/// Bytes that are looked at to tell what it is.
const PREAMBLE: u64 = 100;
/// Bytes that a Dockerfile may have.
const MAX_DOCKERFILE: u64 = 16 << 20;
const OCTETS: &str = "application/octet-stream";

/// What was found at the address of a context.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Context {
    /// A Dockerfile; there are no other files.
    Dockerfile(Vec<u8>),
    /// An archive, which is unpacked.
    Archive,
}

/// Brings a context: an archive is unpacked into the folder as it comes.
///
/// # Errors
/// When it cannot be had, is of no kind that a context is of, or cannot be unpacked. The folder may then have anything in it.
pub async fn fetch_context(
    client: &Registry,
    url: &str,
    folder: &Path,
    progress: Progress,
) -> Result<Context, Error> {
    let source = Source::parse(url)?;
    let url = source.to_string();
    let failed = |source: registry::Error| Error::Context { url: url.clone(), source };
    let download = client.download(&source, &Condition::default()).await.map_err(failed)?;
    let download = download.succeeded().map_err(failed)?;
    let content_type = download.header("content-type").unwrap_or_default().to_owned();
    let total = download.length();
    let incoming = Incoming { url: url.clone(), content_type, folder: folder.to_owned() };
    let received = download
        .consume(move |reader| incoming.receive(&mut Counted { reader, count: 0, total, progress }))
        .await;
    received.map_err(failed)?
}

struct Incoming {
    url: String,
    content_type: String,
    folder: PathBuf,
}

impl Incoming {
    fn receive(&self, reader: &mut dyn Read) -> Result<Context, Error> {
        let failed = |source| Error::Read { url: self.url.clone(), source };
        let mut preamble = Vec::new();
        (&mut *reader).take(PREAMBLE).read_to_end(&mut preamble).map_err(failed)?;
        let kind = kind_of(&self.content_type, &preamble)
            .map_err(|reason| Error::Content { url: self.url.clone(), reason })?;
        let mut whole = Cursor::new(preamble).chain(reader);
        match kind {
            Kind::Archive => {
                archive::unpack(&mut whole, &self.folder)?;
                Ok(Context::Archive)
            }
            Kind::Text => {
                let mut text = Vec::new();
                whole.take(MAX_DOCKERFILE + 1).read_to_end(&mut text).map_err(failed)?;
                if text.len() as u64 > MAX_DOCKERFILE {
                    return Err(Error::TooBig { url: self.url.clone(), limit: MAX_DOCKERFILE });
                }
                Ok(Context::Dockerfile(text))
            }
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Text,
    Archive,
}

/// What the server says, or what it looks like where the server does not know.
fn kind_of(content_type: &str, preamble: &[u8]) -> Result<Kind, String> {
    if preamble.is_empty() {
        return Err("empty response".to_owned());
    }
    let essence = content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    let found = match essence.as_str() {
        "" | OCTETS => sniff(preamble),
        other => other,
    };
    match found.strip_prefix("application/").map(|kind| kind.trim_start_matches("x-")) {
        Some("tar" | "octet-stream" | "gzip" | "bzip" | "bzip2" | "xz" | "zstd") => Ok(Kind::Archive),
        None if found == "text/plain" => Ok(Kind::Text),
        _ => Err(format!(
            "unsupported Content-Type {:?}",
            if content_type.is_empty() { found } else { content_type }
        )),
    }
}

/// Texts, pages and the rest apart, as browsers tell them (mimesniff.spec.whatwg.org, sections 7.1 and 5).
fn sniff(start: &[u8]) -> &'static str {
    let text = start.trim_ascii_start().to_ascii_lowercase();
    let is_page = ["<!doctype html", "<html", "<head", "<body", "<script", "<title", "<!--"];
    if is_page.iter().any(|tag| text.starts_with(tag.as_bytes())) {
        return "text/html";
    }
    if text.starts_with(b"<?xml") {
        return "text/xml";
    }
    let is_binary = |byte: &u8| matches!(byte, 0..=8 | 0x0b | 0x0e..=0x1a | 0x1c..=0x1f);
    if start.iter().any(is_binary) { OCTETS } else { "text/plain" }
}

/// Tells of what is read.
struct Counted<'a> {
    reader: &'a mut (dyn Read + Send),
    count: u64,
    total: Option<u64>,
    progress: Progress,
}

impl Read for Counted<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let read = self.reader.read(buffer)?;
        if read > 0 {
            self.count += read as u64;
            (self.progress)(self.count, self.total);
        }
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kind_is_what_the_server_says_or_what_it_looks_like() {
        let (text, binary) = (&b"FROM scratch\nCOPY \xc3\xa9 /\n"[..], &b"\x1f\x8b\x08\0\0"[..]);
        for (content_type, start, kind) in [
            ("text/plain", binary, Kind::Text),
            ("text/plain; charset=utf-8", text, Kind::Text),
            ("", text, Kind::Text),
            (OCTETS, text, Kind::Text),
            (OCTETS, binary, Kind::Archive),
            ("", binary, Kind::Archive),
            ("application/x-tar", text, Kind::Archive),
            ("application/gzip", binary, Kind::Archive),
            ("application/x-bzip2", binary, Kind::Archive),
            ("Application/X-XZ", binary, Kind::Archive),
        ] {
            assert_eq!(kind_of(content_type, start), Ok(kind), "{content_type:?} {start:?}");
        }
        for (content_type, start, reason) in [
            ("text/html", text, "unsupported Content-Type \"text/html\""),
            ("application/json", text, "unsupported Content-Type \"application/json\""),
            ("", &b" \n<!DOCTYPE html><p>"[..], "unsupported Content-Type \"text/html\""),
            ("text/plain", b"", "empty response"),
        ] {
            assert_eq!(kind_of(content_type, start), Err(reason.to_owned()), "{content_type:?} {start:?}");
        }
    }
}
