//! Files at addresses of HTTP: for `ADD`, and as contexts of builds.
//!
//! [`fetch`] brings the file of an `ADD` if it is another one than before, [`fetch_context`] a context.
//! Dropping a future cancels it: the connection is closed, and what is not whole is removed.

mod date;
mod error;
mod remote;
mod save;

use std::path::Path;
use std::sync::Arc;

use dockerfile::plan::Http;
use jiff::Timestamp;
use oci::Digest;
use registry::{Condition, Download, Registry, Source};

pub use error::Error;
pub use remote::{Context, fetch_context};

/// Told, on another thread, how many bytes have come, and of how many if the server says.
pub type Progress = Arc<dyn Fn(u64, Option<u64>) + Send + Sync>;

/// A file that has come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fetched {
    /// Its name in the folder.
    pub name: String,
    /// The SHA-256 of its content.
    pub digest: Digest,
    /// Its length in bytes.
    pub size: u64,
    /// When the server says it was changed; its time in the folder is 1970 without.
    pub modified: Option<Timestamp>,
    /// What to ask with the next time; all `None` where the server gives nothing that can be relied on.
    pub condition: Condition,
}

/// Brings a file into a folder, where it belongs to root, who alone may read it, and has the time that the server says; `None`
/// where it is the one that `known` was told for.
///
/// # Errors
/// When it cannot be had, is not what its checksum says, or cannot be written. Nothing is left in the folder then. A checksum is
/// not looked at where there is `None`: whoever has the file has its digest.
pub async fn fetch(
    client: &Registry,
    http: &Http,
    known: &Condition,
    folder: &Path,
    progress: Progress,
) -> Result<Option<Fetched>, Error> {
    let wanted = http.checksum.as_deref().map(checksum).transpose()?;
    let source = Source::parse(&http.url)?;
    let download = client.download(&source, known).await?;
    if is_unchanged(&download, known) {
        return Ok(None);
    }
    if !(200..300).contains(&download.status()) {
        return Err(Error::Status(download.status()));
    }
    let modified = download.header("last-modified").and_then(date::parse);
    let condition = condition_of(&download, modified);
    let name = safe_name(&http.name);
    let target = save::Target { path: folder.join(&name), modified, url: source.to_string(), wanted };
    let total = download.length();
    let saving = move |reader: &mut (dyn std::io::Read + Send)| {
        save::save(reader, &target, &|count| progress(count, total))
    };
    let saved = download.consume(saving).await??;
    Ok(Some(Fetched { name, digest: saved.digest, size: saved.size, modified, condition }))
}

fn checksum(text: &str) -> Result<Digest, Error> {
    text.parse().map_err(|source| Error::InvalidChecksum { text: text.to_owned(), source })
}

/// Some servers send all of it again, with the tag that they were asked with.
fn is_unchanged(download: &Download, known: &Condition) -> bool {
    let is_asked = *known != Condition::default();
    let strong = |tag: &str| tag.trim_start_matches("W/").to_owned();
    let tag = download.header("etag").map(strong);
    let is_there = (200..300).contains(&download.status());
    let is_same = tag.is_some() && tag == known.etag.as_deref().map(strong);
    is_asked && (download.status() == 304 || is_there && is_same)
}

/// What the next question can be asked with. A time alone tells files apart only if nothing can have changed since within the
/// same second (RFC 9110, section 8.8.2.2).
fn condition_of(download: &Download, modified: Option<Timestamp>) -> Condition {
    let text = |name: &str| download.header(name).map(str::to_owned);
    if let Some(etag) = text("etag") {
        return Condition { etag: Some(etag), modified: None };
    }
    let age = |date: Timestamp, modified: Timestamp| date.duration_since(modified).as_secs();
    let date = download.header("date").and_then(date::parse);
    let is_old = date.zip(modified).is_some_and(|(date, modified)| age(date, modified) >= 60);
    Condition { etag: None, modified: text("last-modified").filter(|_| is_old) }
}

/// A name that is one in the folder, and can be shown.
fn safe_name(name: &str) -> String {
    let last = name.trim().trim_end_matches('/').rsplit('/').next().unwrap_or_default();
    let is_name = !matches!(last, "" | "." | "..") && !last.chars().any(char::is_control) && last.len() < 256;
    if is_name { last.to_owned() } else { "download".to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_stay_in_the_folder() {
        for (name, safe) in [
            ("a.tar", "a.tar"),
            (" a b ", "a b"),
            ("../../etc/passwd", "passwd"),
            ("..", "download"),
            ("a/..", "download"),
            ("", "download"),
            ("/", "download"),
            ("a\0b", "download"),
            ("a\nb", "download"),
            ("__unnamed__", "__unnamed__"),
        ] {
            assert_eq!(safe_name(name), safe, "{name:?}");
        }
        assert_eq!(safe_name(&"x".repeat(300)), "download");
    }
}
