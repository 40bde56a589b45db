//! The files of lists in the making.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use oci::Reference;

use super::Entry;
use crate::failure::{Failure, io_text};

/// Lists in the making, in the folder of the client's configuration.
pub(crate) struct Store {
    root: PathBuf,
}

impl Store {
    /// Those in this folder, which need not be there.
    pub(crate) fn new(root: PathBuf) -> Self {
        Self { root }
    }

    /// All images of a list, in the order of their files' names; `None` where there is no such list.
    pub(crate) fn list(&self, list: &Reference) -> Result<Option<Vec<Entry>>, Failure> {
        let folder = self.folder(list);
        let files = match fs::read_dir(&folder) {
            Ok(files) => files,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(failed("open", &folder, &error)),
        };
        let paths: Result<Vec<PathBuf>, _> = files.map(|file| file.map(|file| file.path())).collect();
        let mut paths = paths.map_err(|error| failed("read", &folder, &error))?;
        paths.sort();
        let mut entries = Vec::with_capacity(paths.len());
        for path in paths {
            // What is gone meanwhile is no part of the list any more.
            entries.extend(read(&path)?);
        }
        Ok(Some(entries))
    }

    /// The same, where a list that is not there is an error.
    pub(crate) fn existing_list(&self, list: &Reference) -> Result<Vec<Entry>, Failure> {
        self.list(list)?.ok_or_else(|| not_found(list))
    }

    /// One image of a list.
    pub(crate) fn find(&self, list: &Reference, image: &Reference) -> Result<Option<Entry>, Failure> {
        read(&self.folder(list).join(file_name(image)))
    }

    /// Keeps an image of a list, in the place of what there is under its name.
    pub(crate) fn save(&self, list: &Reference, image: &Reference, entry: &Entry) -> Result<(), Failure> {
        let folder = self.folder(list);
        fs::create_dir_all(&folder).map_err(|error| failed("mkdir", &folder, &error))?;
        let (name, path) = (file_name(image), folder.join(file_name(image)));
        // It is written beside the lists: whatever is in a list's folder is an image to docker.
        let unfinished = self.root.join(format!(".{name}.{}", std::process::id()));
        fs::write(&unfinished, entry.json()).and_then(|()| fs::rename(&unfinished, &path)).map_err(|error| {
            let _ = fs::remove_file(&unfinished);
            failed("open", &path, &error)
        })
    }

    /// Forgets a list.
    pub(crate) fn remove(&self, list: &Reference) -> Result<(), Failure> {
        let folder = self.folder(list);
        match fs::remove_dir_all(&folder) {
            Err(error) if error.kind() != ErrorKind::NotFound => Err(failed("unlinkat", &folder, &error)),
            _ => Ok(()),
        }
    }

    fn folder(&self, list: &Reference) -> PathBuf {
        self.root.join(file_name(list))
    }
}

/// That there is no such list or image here.
pub(crate) fn not_found(name: &Reference) -> Failure {
    Failure::message(format!("No such manifest: {name}"))
}

fn read(path: &Path) -> Result<Option<Entry>, Failure> {
    match fs::read(path) {
        Ok(json) => Entry::parse(&json, &path.display().to_string()).map(Some),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(failed("open", path, &error)),
    }
}

fn file_name(name: &Reference) -> String {
    name.to_string().replace(':', "-").replace('/', "_")
}

fn failed(action: &str, path: &Path, error: &std::io::Error) -> Failure {
    Failure::message(format!("{action} {}: {}", path.display(), io_text(error)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_become_files_as_with_docker() {
        let name = |text: &str| file_name(&Reference::parse(text).unwrap());
        assert_eq!(name("alpine:3"), "docker.io_library_alpine-3");
        assert_eq!(name("localhost:5000/a/b:1"), "localhost-5000_a_b-1");
        let digest = "0".repeat(64);
        assert_eq!(name(&format!("x/y@sha256:{digest}")), format!("docker.io_x_y@sha256-{digest}"));
    }
}
