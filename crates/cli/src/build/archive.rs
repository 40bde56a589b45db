//! The tar of a context for engines that cannot read the folder: sorted, without what is ignored, all owned by root.

use std::collections::HashMap;
use std::ffi::OsString;
use std::fs::{self, File, Metadata};
use std::io::{self, Read, Write};
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};

use bytes::Bytes;
use dockerfile::ignore::{Matched, Matcher};
use futures_util::Stream;
use tar::{Builder, EntryType, Header};
use tokio::sync::mpsc;

use crate::failure::io_text;

/// How much is sent at once.
const CHUNK: usize = 256 * 1024;
/// How many chunks may wait for the engine.
const WAITING: usize = 4;
/// The one extended attribute that Docker's contexts have.
const CAPABILITY: &str = "security.capability";
/// How a tar names it.
const CAPABILITY_RECORD: &str = "SCHILY.xattr.security.capability";

/// A context that becomes a tar.
#[derive(Debug, Default)]
pub(super) struct Source {
    /// The folder; `None` is an empty context.
    pub(super) root: Option<PathBuf>,
    /// What is left out.
    pub(super) matcher: Matcher,
    /// Files that are sent although they are left out, by their paths in the folder.
    pub(super) always: Vec<PathBuf>,
    /// Files that come last, in the place of those of the same name.
    pub(super) extra: Vec<(String, Vec<u8>)>,
}

impl Source {
    /// The tar, as it is made. An error of the file system ends it.
    pub(super) fn stream(self) -> impl Stream<Item = io::Result<Bytes>> + Send + Sync + 'static {
        let (sender, mut receiver) = mpsc::channel(WAITING);
        // It ends by itself: when all is written, or when nobody reads any more.
        tokio::task::spawn_blocking(move || {
            let mut out = Chunks { sender: sender.clone(), buffer: Vec::with_capacity(CHUNK) };
            if let Err(error) = self.write(&mut out).and_then(|()| out.flush()) {
                let _ = sender.blocking_send(Err(error));
            }
        });
        futures_util::stream::poll_fn(move |context| receiver.poll_recv(context))
    }

    fn write(&self, out: &mut dyn Write) -> io::Result<()> {
        let mut writer =
            Writer { source: self, builder: Builder::new(out), linked: HashMap::new(), pending: Vec::new() };
        if let Some(root) = &self.root {
            writer.folder(root, Path::new(""), &Matched::default())?;
        }
        for (name, content) in &self.extra {
            let mut header = Header::new_gnu();
            header.set_uid(0);
            header.set_gid(0);
            header.set_mtime(jiff::Timestamp::now().as_second().unsigned_abs());
            header.set_mode(0o600);
            header.set_size(content.len() as u64);
            writer.builder.append_data(&mut header, name, content.as_slice())?;
        }
        writer.builder.finish()
    }
}

/// Collects bytes and sends them.
struct Chunks {
    sender: mpsc::Sender<io::Result<Bytes>>,
    buffer: Vec<u8>,
}

impl Write for Chunks {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.buffer.extend_from_slice(bytes);
        if self.buffer.len() >= CHUNK {
            self.flush()?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        let chunk = std::mem::replace(&mut self.buffer, Vec::with_capacity(CHUNK));
        if chunk.is_empty() {
            return Ok(());
        }
        self.sender.blocking_send(Ok(chunk.into())).map_err(|_| io::ErrorKind::BrokenPipe.into())
    }
}

struct Writer<'a> {
    source: &'a Source,
    builder: Builder<&'a mut dyn Write>,
    /// Files with several names, and the first of them.
    linked: HashMap<(u64, u64), PathBuf>,
    /// Ignored folders on the way to where we are, which are sent if something in them is.
    pending: Vec<(PathBuf, PathBuf)>,
}

impl Writer<'_> {
    /// Writes what is in a folder.
    fn folder(&mut self, path: &Path, name: &Path, matched: &Matched) -> io::Result<()> {
        let mut names: Vec<OsString> = fs::read_dir(path)
            .and_then(|entries| entries.map(|entry| entry.map(|entry| entry.file_name())).collect())
            .map_err(|error| at(path, &error))?;
        names.sort_unstable();
        names.iter().try_for_each(|child| self.entry(&path.join(child), &name.join(child), matched))
    }

    fn entry(&mut self, path: &Path, name: &Path, matched: &Matched) -> io::Result<()> {
        if self.source.extra.iter().any(|(extra, _)| Path::new(extra) == name) {
            return Ok(());
        }
        let metadata = match fs::symlink_metadata(path) {
            Ok(metadata) => metadata,
            // It went while we looked.
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(at(path, &error)),
        };
        let text = name.to_string_lossy();
        let (ignored, matched) = self.source.matcher.below(matched, &text);
        let is_wanted = |always: &PathBuf| always == name;
        if ignored && !self.source.always.iter().any(is_wanted) {
            let leads_on = |always: &PathBuf| always.starts_with(name);
            let hides =
                self.source.matcher.hides_all_below(&text) && !self.source.always.iter().any(leads_on);
            if !metadata.is_dir() || hides {
                return Ok(());
            }
            self.pending.push((path.to_owned(), name.to_owned()));
            let depth = self.pending.len();
            self.folder(path, name, &matched)?;
            // Whatever was sent in it has taken it away.
            self.pending.truncate(depth - 1);
            return Ok(());
        }
        self.send_pending()?;
        self.append(path, name, &metadata)?;
        if metadata.is_dir() { self.folder(path, name, &matched) } else { Ok(()) }
    }

    fn send_pending(&mut self) -> io::Result<()> {
        for (path, name) in std::mem::take(&mut self.pending) {
            let metadata = fs::symlink_metadata(&path).map_err(|error| at(&path, &error))?;
            self.append(&path, &name, &metadata)?;
        }
        Ok(())
    }

    fn append(&mut self, path: &Path, name: &Path, metadata: &Metadata) -> io::Result<()> {
        let kind = metadata.file_type();
        if kind.is_socket() {
            return Ok(());
        }
        let mut header = header(metadata);
        if kind.is_file() {
            return self.file(path, name, metadata, header);
        }
        if kind.is_symlink() {
            let target = fs::read_link(path).map_err(|error| at(path, &error))?;
            header.set_entry_type(EntryType::Symlink);
            return self.builder.append_link(&mut header, name, target);
        }
        let (kind, name) = match () {
            () if kind.is_dir() => (EntryType::Directory, name.join("")),
            () if kind.is_fifo() => (EntryType::Fifo, name.to_owned()),
            () if kind.is_block_device() => (EntryType::Block, name.to_owned()),
            () => (EntryType::Char, name.to_owned()),
        };
        header.set_entry_type(kind);
        if matches!(kind, EntryType::Block | EntryType::Char) {
            header.set_device_major(rustix::fs::major(metadata.rdev()))?;
            header.set_device_minor(rustix::fs::minor(metadata.rdev()))?;
        }
        self.builder.append_data(&mut header, name, io::empty())
    }

    fn file(&mut self, path: &Path, name: &Path, metadata: &Metadata, mut header: Header) -> io::Result<()> {
        header.set_entry_type(EntryType::Regular);
        if metadata.nlink() > 1 {
            let first =
                self.linked.entry((metadata.dev(), metadata.ino())).or_insert_with(|| name.to_owned());
            if first != name {
                let first = first.clone();
                header.set_entry_type(EntryType::Link);
                return self.builder.append_link(&mut header, name, first);
            }
        }
        let file = File::open(path).map_err(|error| match error.kind() {
            io::ErrorKind::PermissionDenied => {
                io::Error::other(format!("no permission to read from '{}'", path.display()))
            }
            _ => at(path, &error),
        })?;
        if let Some(value) = capability(path) {
            self.builder.append_pax_extensions([(CAPABILITY_RECORD, value.as_slice())])?;
        }
        header.set_size(metadata.len());
        self.builder.append_data(&mut header, name, Exactly { file, left: metadata.len(), path })
    }
}

fn header(metadata: &Metadata) -> Header {
    let mut header = Header::new_gnu();
    header.set_mode(metadata.mode() & 0o7777);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(metadata.mtime().max(0).unsigned_abs());
    header.set_size(0);
    header
}

/// The capabilities of a program, if it has any.
fn capability(path: &Path) -> Option<Vec<u8>> {
    // The kernel gives no more than this for it.
    let mut value = vec![0; 64];
    let length = rustix::fs::lgetxattr(path, CAPABILITY, value.as_mut_slice()).ok()?;
    value.truncate(length);
    Some(value)
}

/// As many bytes of a file as it had when its header was written: what comes later would be taken for another header.
struct Exactly<'a> {
    file: File,
    left: u64,
    path: &'a Path,
}

impl Read for Exactly<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let most = usize::try_from(self.left).unwrap_or(usize::MAX).min(buffer.len());
        if most == 0 {
            return Ok(0);
        }
        let count = self.file.read(&mut buffer[..most]).map_err(|error| at(self.path, &error))?;
        if count == 0 {
            let path = self.path.display();
            return Err(io::Error::other(format!("{path}: the file became shorter while it was read")));
        }
        self.left -= count as u64;
        Ok(count)
    }
}

fn at(path: &Path, error: &io::Error) -> io::Error {
    io::Error::other(format!("{}: {}", path.display(), io_text(error)))
}

#[cfg(test)]
mod tests {
    use std::os::unix::ffi::OsStrExt as _;
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    use super::*;

    fn tree(files: &[&str]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for file in files {
            let path = folder.path().join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(&path, file).unwrap();
        }
        folder
    }

    fn source(folder: &Path, ignore: &str) -> Source {
        Source {
            root: Some(folder.to_owned()),
            matcher: Matcher::parse(ignore.as_bytes()).unwrap(),
            always: vec!["Dockerfile".into(), ".dockerignore".into()],
            extra: Vec::new(),
        }
    }

    fn packed(source: &Source) -> Vec<u8> {
        let mut bytes = Vec::new();
        source.write(&mut bytes).unwrap();
        bytes
    }

    fn names(source: &Source) -> String {
        let bytes = packed(source);
        let mut archive = tar::Archive::new(bytes.as_slice());
        let names = archive.entries().unwrap().map(|entry| {
            let entry = entry.unwrap();
            String::from_utf8(entry.path_bytes().into_owned()).unwrap()
        });
        names.collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn ignored_files_are_left_out_in_order() {
        let folder =
            tree(&["b", "a/y", "a/x", "Dockerfile", ".dockerignore", "keep/no", "keep/yes/z", "gone/x"]);
        let ignore = "a/y\n*file\n.docker*\nkeep\n!keep/yes\ngone\n!gone/nothing\n";
        assert_eq!(
            names(&source(folder.path(), ignore)),
            ".dockerignore Dockerfile a/ a/x b keep/ keep/yes/ keep/yes/z"
        );
    }

    #[test]
    fn dockerfile_in_an_ignored_folder_is_sent() {
        let folder = tree(&["sub/x/Dockerfile", "sub/a", "b"]);
        let mut source = source(folder.path(), "*");
        source.always = vec!["sub/x/Dockerfile".into()];
        assert_eq!(names(&source), "sub/ sub/x/ sub/x/Dockerfile");
    }

    #[test]
    fn entries_keep_mode_links_and_content_and_belong_to_root() {
        let folder = tree(&["a"]);
        let root = folder.path();
        fs::set_permissions(root.join("a"), fs::Permissions::from_mode(0o4751)).unwrap();
        fs::hard_link(root.join("a"), root.join("b")).unwrap();
        symlink("../out", root.join("l")).unwrap();
        std::os::unix::fs::chown(root.join("a"), Some(7), Some(8)).unwrap();
        fs::set_permissions(root.join("a"), fs::Permissions::from_mode(0o4751)).unwrap();
        let _socket = std::os::unix::net::UnixListener::bind(root.join("s")).unwrap();
        let mut source = source(root, "");
        source.extra = vec![("e".into(), b"extra".to_vec())];
        let bytes = packed(&source);
        let mut archive = tar::Archive::new(bytes.as_slice());
        let mut told = Vec::new();
        for entry in archive.entries().unwrap() {
            let mut entry = entry.unwrap();
            let mut content = String::new();
            entry.read_to_string(&mut content).unwrap();
            let header = entry.header();
            assert_eq!((header.uid().unwrap(), header.gid().unwrap()), (0, 0));
            let name = entry.path().unwrap().display().to_string();
            let link = entry.link_name().unwrap().map(|link| link.display().to_string()).unwrap_or_default();
            told.push(format!(
                "{name} {:?} {:o} {link}{content}",
                header.entry_type(),
                header.mode().unwrap()
            ));
        }
        assert_eq!(
            told,
            ["a Regular 4751 a", "b Link 4751 a", "l Symlink 777 ../out", "e Regular 600 extra"]
        );
    }

    #[test]
    fn file_that_shrinks_is_an_error() {
        let folder = tree(&["a"]);
        let path = folder.path().join("a");
        let file = File::open(&path).unwrap();
        let mut content = Vec::new();
        let error = Exactly { file, left: 9, path: &path }.read_to_end(&mut content).unwrap_err();
        assert!(error.to_string().ends_with("the file became shorter while it was read"), "{error}");
    }

    #[test]
    fn names_that_are_long_or_no_text_are_kept() {
        let folder = tempfile::tempdir().unwrap();
        let long = "x".repeat(200);
        fs::create_dir(folder.path().join(&long)).unwrap();
        let odd = std::ffi::OsStr::from_bytes(b"\xff\xfe");
        fs::write(folder.path().join(&long).join(odd), "").unwrap();
        let bytes = packed(&source(folder.path(), ""));
        let mut archive = tar::Archive::new(bytes.as_slice());
        let last =
            archive.entries().unwrap().map(|entry| entry.unwrap().path_bytes().into_owned()).last().unwrap();
        assert_eq!(last, [long.as_bytes(), b"/\xff\xfe"].concat());
    }
}
