//! Files that are there as a whole or not at all.

use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};

use client::ByteStream;

use crate::failure::{Failure, io_text};
use crate::terminal;

/// What a pipe should hold: whoever reads it is woken as seldom as the system lets any user choose.
const PIPE: usize = 1 << 20;

/// A file in the making; it gets its name when it is complete, and goes when it is dropped before.
#[derive(Debug)]
pub(crate) struct OutputFile {
    file: File,
    unfinished: Option<PathBuf>,
    path: PathBuf,
}

impl OutputFile {
    /// Begins a file at `path`, beside the one that may be there. Only its owner may read it, as with docker.
    pub(crate) fn create(path: &Path) -> Result<Self, Failure> {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let unfinished = path.with_file_name(format!(".{name}.{}", std::process::id()));
        let file = rustix::fs::open(
            &unfinished,
            rustix::fs::OFlags::CREATE
                | rustix::fs::OFlags::WRONLY
                | rustix::fs::OFlags::TRUNC
                | rustix::fs::OFlags::NOFOLLOW
                | rustix::fs::OFlags::CLOEXEC,
            rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR,
        )
        .map_err(|error| failed("open", &unfinished, &error.into()))?;
        Ok(Self { file: file.into(), unfinished: Some(unfinished), path: path.to_owned() })
    }

    /// Where the content goes.
    pub(crate) fn writer(&mut self) -> &mut File {
        &mut self.file
    }

    /// Gives the file its name.
    pub(crate) fn persist(mut self) -> Result<(), Failure> {
        if let Some(unfinished) = self.unfinished.take() {
            fs::rename(&unfinished, &self.path).map_err(|error| {
                let failure = failed("rename", &unfinished, &error);
                let _ = fs::remove_file(&unfinished);
                failure
            })?;
        }
        Ok(())
    }
}

impl Drop for OutputFile {
    fn drop(&mut self) {
        if let Some(unfinished) = &self.unfinished {
            // The failure that the command ends with is worth more than this one.
            let _ = fs::remove_file(unfinished);
        }
    }
}

/// Refuses a terminal and what cannot be a file, before anything is asked of the engine. An empty path is standard output.
pub(crate) fn check(path: &str, context: &str) -> Result<(), Failure> {
    if path.is_empty() && terminal::stdout_is_terminal() {
        let message = "cowardly refusing to save to a terminal. Use the -o flag or redirect";
        return Err(Failure::message(message));
    }
    check_path(path).map_err(|reason| Failure::message(format!("{context}: {reason}")))
}

/// Writes what comes into a file, or to standard output where the path is empty.
pub(crate) async fn receive(content: ByteStream, path: &str) -> Result<(), Failure> {
    if path.is_empty() {
        let mut out = standard_output().map_err(|error| failed("open", Path::new("/dev/stdout"), &error))?;
        return copy(content, &mut out, "/dev/stdout").await;
    }
    let mut file = OutputFile::create(Path::new(path))?;
    copy(content, file.writer(), path).await?;
    file.persist()
}

/// Standard output without the library's buffer, which looks for ends of lines.
fn standard_output() -> std::io::Result<File> {
    let out = rustix::stdio::stdout().try_clone_to_owned()?;
    // What is no pipe has no size of that kind, and one that cannot grow serves as well.
    let _ = rustix::pipe::fcntl_setpipe_size(&out, PIPE);
    Ok(out.into())
}

async fn copy(mut content: ByteStream, out: &mut impl Write, name: &str) -> Result<(), Failure> {
    let failed = |error: std::io::Error| Failure::message(format!("write {name}: {}", io_text(&error)));
    while let Some(bytes) = content.next().await? {
        out.write_all(&bytes).map_err(failed)?;
    }
    out.flush().map_err(failed)
}

fn check_path(path: &str) -> Result<(), String> {
    if path.is_empty() {
        return Ok(());
    }
    let folder = Path::new(path).parent().filter(|folder| !folder.as_os_str().is_empty());
    if let Some((folder, error)) = folder.and_then(|folder| Some((folder, fs::metadata(folder).err()?))) {
        return Err(format!("invalid output path: stat {}: {}", folder.display(), io_text(&error)));
    }
    let Ok(metadata) = fs::metadata(path) else { return Ok(()) };
    let kind = metadata.file_type();
    let found = if kind.is_dir() {
        "directory"
    } else if kind.is_char_device() {
        "character device file"
    } else if kind.is_block_device() {
        "block device file"
    } else if kind.is_fifo() {
        "named pipe (FIFO)"
    } else if kind.is_socket() {
        "socket"
    } else {
        return Ok(());
    };
    Err(format!("cannot write to a {found}"))
}

fn failed(action: &str, path: &Path, error: &std::io::Error) -> Failure {
    Failure::message(format!("{action} {}: {}", path.display(), io_text(error)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn file_appears_only_when_it_is_complete() {
        let folder = std::env::temp_dir().join(format!("corten-cli-output-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let path = folder.join("out");
        drop(OutputFile::create(&path).unwrap());
        let left = fs::read_dir(&folder).unwrap().count();
        let mut file = OutputFile::create(&path).unwrap();
        file.writer().write_all(b"whole").unwrap();
        let before = path.exists();
        file.persist().unwrap();
        let content = fs::read(&path).unwrap();
        fs::remove_dir_all(&folder).unwrap();
        assert_eq!((left, before, &content[..]), (0, false, &b"whole"[..]));
    }
}
