//! The current log file, and what happens when it is full or the disk is.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use super::LogError;
use super::compress::{Compressor, SUFFIX, with_suffix};

/// When files are rotated, and what becomes of them.
#[derive(Debug)]
pub(super) struct Rotation {
    /// Bytes after which the file is rotated.
    pub(super) max_size: Option<u64>,
    /// Files kept, the current one included; at least 1.
    pub(super) max_files: u32,
    /// Compresses rotated files, where that is asked for.
    pub(super) compressor: Option<Box<dyn Compressor>>,
}

/// The current file, open for appending.
#[derive(Debug)]
pub(super) struct RotatingFile {
    path: PathBuf,
    file: File,
    length: u64,
    rotation: Rotation,
}

impl RotatingFile {
    /// Opens the file or makes it, mode 0640.
    pub(super) fn open(path: &Path, rotation: Rotation) -> Result<Self, LogError> {
        let file = open_current(path).map_err(LogError::io("open", path))?;
        let length = file.metadata().map_err(LogError::io("examine", path))?.len();
        Ok(Self { path: path.into(), file, length, rotation })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn file(&self) -> &File {
        &self.file
    }

    pub(super) fn length(&self) -> u64 {
        self.length
    }

    /// Cuts off what is behind `length`.
    pub(super) fn cut(&mut self, length: u64) -> Result<(), LogError> {
        self.file.set_len(length).map_err(LogError::io("truncate", &self.path))?;
        self.length = length;
        Ok(())
    }

    /// How many more bytes may be appended before the file is due for rotation.
    pub(super) fn room(&self) -> u64 {
        self.rotation.max_size.map_or(u64::MAX, |max| max.saturating_sub(self.length))
    }

    /// Appends whole records, all or none of them: what a full disk tears is cut off again.
    pub(super) fn append(&mut self, records: &[u8]) -> Result<(), LogError> {
        let result = self.file.write_all_at(records, self.length);
        match result {
            Ok(()) => self.length += records.len() as u64,
            // A record that cannot be removed stays torn; readers skip it.
            Err(_) => drop(self.file.set_len(self.length)),
        }
        result.map_err(LogError::io("write", &self.path))
    }

    /// Moves every file on by one, drops the oldest and begins a new one.
    pub(super) fn rotate(&mut self) -> Result<(), LogError> {
        let kept = self.rotation.max_files.saturating_sub(1);
        if kept == 0 {
            return self.cut(0);
        }
        if let Some(compressor) = &mut self.rotation.compressor {
            compressor.wait();
        }
        for index in (1..kept).rev() {
            self.shift(index)?;
        }
        let first = numbered(&self.path, 1);
        fs::rename(&self.path, &first).map_err(LogError::io("rotate", &self.path))?;
        self.file = open_current(&self.path).map_err(LogError::io("open", &self.path))?;
        self.length = 0;
        match &mut self.rotation.compressor {
            Some(compressor) => compressor.start(&first).map_err(LogError::io("compress", &first)),
            None => Ok(()),
        }
    }

    /// Moves rotated file `index` on, in either form, and removes the other form of what it becomes.
    fn shift(&self, index: u32) -> Result<(), LogError> {
        let old = numbered(&self.path, index);
        let new = numbered(&self.path, index + 1);
        for (from, to, stale) in [
            (with_suffix(&old, SUFFIX), with_suffix(&new, SUFFIX), new.clone()),
            (old, new.clone(), with_suffix(&new, SUFFIX)),
        ] {
            match fs::rename(&from, to) {
                Ok(()) => remove_if_there(&stale)?,
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(source) => return Err(LogError::Io { action: "rotate", path: from, source }),
            }
        }
        Ok(())
    }
}

/// The path of a rotated file; 1 is the newest.
pub(super) fn numbered(path: &Path, index: u32) -> PathBuf {
    with_suffix(path, &format!(".{index}"))
}

fn open_current(path: &Path) -> io::Result<File> {
    File::options().read(true).write(true).create(true).truncate(false).mode(0o640).open(path)
}

fn remove_if_there(path: &Path) -> Result<(), LogError> {
    match fs::remove_file(path) {
        Err(source) if source.kind() != io::ErrorKind::NotFound => {
            Err(LogError::Io { action: "remove", path: path.into(), source })
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::super::compress::InPlace;
    use super::*;

    fn rotation(max_files: u32, compressor: Option<Box<dyn Compressor>>) -> Rotation {
        Rotation { max_size: Some(10), max_files, compressor }
    }

    fn names(directory: &Path) -> Vec<String> {
        let entries = fs::read_dir(directory).unwrap();
        let mut names: Vec<_> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    fn rotate_five_times(file: &mut RotatingFile) {
        for number in 0..5 {
            file.append(format!("file {number}\n").as_bytes()).unwrap();
            file.rotate().unwrap();
        }
    }

    #[test]
    fn oldest_file_is_dropped() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("log");
        let mut file = RotatingFile::open(&path, rotation(3, None)).unwrap();
        rotate_five_times(&mut file);
        assert_eq!(names(directory.path()), ["log", "log.1", "log.2"]);
        assert_eq!(fs::read(directory.path().join("log.1")).unwrap(), b"file 4\n");
        assert_eq!(fs::read(directory.path().join("log.2")).unwrap(), b"file 3\n");
    }

    #[test]
    fn compressed_files_move_on_too() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("log");
        let mut file = RotatingFile::open(&path, rotation(3, Some(Box::new(InPlace)))).unwrap();
        rotate_five_times(&mut file);
        assert_eq!(names(directory.path()), ["log", "log.1.gz", "log.2.gz"]);
    }

    #[test]
    fn single_file_begins_again() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("log");
        let mut file = RotatingFile::open(&path, rotation(1, None)).unwrap();
        rotate_five_times(&mut file);
        assert_eq!(names(directory.path()), ["log"]);
        assert_eq!(fs::metadata(&path).unwrap().len(), 0);
    }

    #[test]
    fn existing_file_is_continued() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("log");
        fs::write(&path, "old\n").unwrap();
        let mut file = RotatingFile::open(&path, rotation(2, None)).unwrap();
        assert_eq!(file.room(), 6);
        file.append(b"new\n").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"old\nnew\n");
    }
}
