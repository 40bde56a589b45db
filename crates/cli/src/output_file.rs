//! Files that are there as a whole or not at all.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use crate::failure::{Failure, io_text};

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

fn failed(action: &str, path: &Path, error: &std::io::Error) -> Failure {
    Failure::message(format!("{action} {}: {}", path.display(), io_text(error)))
}

#[cfg(test)]
mod tests {
    use std::io::Write;

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
