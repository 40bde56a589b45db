//! The context of a build and its Dockerfile: where they are, in `docker`'s words where they are not.

use std::fs::File;
use std::io::Read as _;
use std::os::fd::AsFd as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use api::build::LocalFolder;
use dockerfile::syntax::text;

use crate::failure::{Failure, io_text};
use crate::opts::go;

/// The name that a Dockerfile has.
const DOCKERFILE: &str = "Dockerfile";
const IGNORE_FILE: &str = ".dockerignore";
/// As much of standard input as is needed to see what it is.
const SNIFFED: usize = 1024;

/// What is built.
#[derive(Debug)]
pub(super) struct Context {
    pub(super) place: Place,
    /// What `-f` names in a context that the engine reads; else the name for messages.
    pub(super) name: String,
    /// The Dockerfile; `None` where it is in a context that the engine reads.
    pub(super) dockerfile: Option<String>,
    /// The path of the Dockerfile in a local context, if it is in it.
    pub(super) inside: Option<PathBuf>,
    /// What the file with ignored patterns says.
    pub(super) ignore: Option<String>,
}

/// Where a context is.
#[derive(Debug)]
pub(super) enum Place {
    /// There is only a Dockerfile.
    Empty,
    /// A folder of this machine, without links in its path.
    Folder(PathBuf),
    /// A tar that comes from standard input, of which this was read already.
    Stdin(Vec<u8>),
    /// Somewhere the engine gets it from.
    Remote(String),
}

impl Context {
    /// Finds the context that an argument names and the Dockerfile that `-f` names; `file` is empty without it.
    pub(super) fn find(argument: &str, file: &str) -> Result<Self, Failure> {
        if argument == "-" && file == "-" {
            let reason = "can't use stdin for both build context and dockerfile";
            return Err(Failure::message(format!("invalid argument: {reason}")));
        }
        if argument == "-" {
            return from_stdin(file).map_err(|reason| {
                Failure::message(format!("unable to prepare context from STDIN: {reason}"))
            });
        }
        if std::fs::metadata(argument).is_ok() {
            return local(Path::new(argument), file)
                .map_err(|reason| Failure::message(format!("unable to prepare context: {reason}")));
        }
        if !is_remote(argument) {
            let path = go::quote(argument);
            return Err(Failure::message(format!("unable to prepare context: path {path} not found")));
        }
        let dockerfile = if file == "-" { Some(stdin_text()?) } else { None };
        let name = if matches!(file, "" | "-") { DOCKERFILE } else { file };
        Ok(Self {
            place: Place::Remote(argument.to_owned()),
            name: name.to_owned(),
            dockerfile,
            inside: None,
            ignore: None,
        })
    }
}

/// Whether it is a repository or an address.
pub(super) fn is_remote(text: &str) -> bool {
    let starts = ["http://", "https://", "git://", "ssh://", "git@", "github.com/"];
    starts.iter().any(|start| text.starts_with(start))
}

/// A folder as the engine of this machine is told of it.
pub(super) fn folder(path: &Path) -> Result<LocalFolder, Failure> {
    let failed = |reason: &str| Failure::message(format!("{}: {reason}", path.display()));
    let metadata = std::fs::metadata(path).map_err(|error| failed(&io_text(&error)))?;
    let text = path.to_str().ok_or_else(|| failed("the path is not UTF-8"))?.to_owned();
    Ok(LocalFolder { path: text, device: metadata.dev(), inode: metadata.ino() })
}

fn local(argument: &Path, file: &str) -> Result<Context, String> {
    let root = argument.canonicalize().map_err(|error| {
        format!("unable to evaluate symlinks in context path: {}", failed(argument, &error))
    })?;
    if !root.is_dir() {
        return Err(format!("context must be a directory: {}", root.display()));
    }
    if file == "-" {
        let dockerfile = stdin_text().map_err(|error| error.to_string())?;
        let ignore = read_if_there(&root.join(IGNORE_FILE))?;
        return Ok(Context {
            place: Place::Folder(root),
            name: DOCKERFILE.to_owned(),
            dockerfile: Some(dockerfile),
            inside: None,
            ignore,
        });
    }
    let path = dockerfile_path(&root, file)?;
    let bytes = std::fs::read(&path)
        .map_err(|error| format!("unable to read Dockerfile: {}", failed(&path, &error)))?;
    let mut own = path.clone().into_os_string();
    own.push(IGNORE_FILE);
    let ignore = match read_if_there(Path::new(&own))? {
        Some(text) => Some(text),
        None => read_if_there(&root.join(IGNORE_FILE))?,
    };
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let inside = path.strip_prefix(&root).ok().map(Path::to_owned);
    Ok(Context { place: Place::Folder(root), name, dockerfile: Some(text(&bytes)), inside, ignore })
}

/// The Dockerfile without links in its path: what `-f` names from here, or the usual one in the context.
fn dockerfile_path(root: &Path, file: &str) -> Result<PathBuf, String> {
    let path = match file {
        "" => {
            let usual = root.join(DOCKERFILE);
            let other = root.join(DOCKERFILE.to_lowercase());
            if usual.symlink_metadata().is_err() && other.symlink_metadata().is_ok() { other } else { usual }
        }
        file => std::path::absolute(file)
            .map_err(|error| format!("unable to get absolute path to Dockerfile: {}", io_text(&error)))?,
    };
    path.canonicalize().map_err(|error| {
        let missing =
            path.ancestors().filter(|part| part.symlink_metadata().is_err()).last().unwrap_or(&path);
        format!("unable to evaluate symlinks in Dockerfile path: lstat {}", failed(missing, &error))
    })
}

fn failed(path: &Path, error: &std::io::Error) -> String {
    format!("{}: {}", path.display(), io_text(error))
}

fn read_if_there(path: &Path) -> Result<Option<String>, String> {
    match std::fs::read(path) {
        Ok(bytes) => Ok(Some(text(&bytes))),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(format!("open {}", failed(path, &error))),
    }
}

fn stdin_text() -> Result<String, Failure> {
    let mut bytes = Vec::new();
    std::io::stdin().lock().read_to_end(&mut bytes).map_err(|error| {
        Failure::message(format!("failed to read Dockerfile from STDIN: {}", io_text(&error)))
    })?;
    Ok(text(&bytes))
}

/// A tar is the context, anything else is a Dockerfile.
fn from_stdin(file: &str) -> Result<Context, String> {
    // The library's buffer would keep what comes after the start.
    let mut stdin: File =
        rustix::stdio::stdin().as_fd().try_clone_to_owned().map_err(|error| io_text(&error))?.into();
    let mut start = Vec::new();
    let limit = SNIFFED as u64;
    (&mut stdin)
        .take(limit)
        .read_to_end(&mut start)
        .map_err(|error| format!("failed to peek context header from STDIN: {}", io_text(&error)))?;
    if is_archive(&start) {
        let name = if file.is_empty() { DOCKERFILE } else { file };
        return Ok(Context {
            place: Place::Stdin(start),
            name: name.to_owned(),
            dockerfile: None,
            inside: None,
            ignore: None,
        });
    }
    if !file.is_empty() {
        return Err("ambiguous Dockerfile source: both stdin and flag correspond to Dockerfiles".to_owned());
    }
    stdin.read_to_end(&mut start).map_err(|error| io_text(&error))?;
    Ok(Context {
        place: Place::Empty,
        name: DOCKERFILE.to_owned(),
        dockerfile: Some(text(&start)),
        inside: None,
        ignore: None,
    })
}

/// By the first bytes of compressed files, or as a tar.
fn is_archive(start: &[u8]) -> bool {
    let magics: [&[u8]; 4] = [b"\x1f\x8b\x08", b"BZh", b"\xfd7zXZ\0", b"\x28\xb5\x2f\xfd"];
    magics.iter().any(|magic| start.starts_with(magic)) || is_tar(start)
}

/// Whether it begins with the header of a tar, whose sum has to be right.
fn is_tar(start: &[u8]) -> bool {
    let Some(block) = start.get(..512) else { return false };
    let mut header = tar::Header::new_old();
    header.as_mut_bytes().copy_from_slice(block);
    let is_zero = block.iter().all(|byte| *byte == 0);
    let Ok(said) = header.cksum() else { return false };
    header.set_cksum();
    !is_zero && header.cksum().is_ok_and(|right| right == said)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(result: Result<Context, Failure>) -> String {
        result.unwrap_err().to_string()
    }

    #[test]
    fn missing_contexts_and_dockerfiles_are_told_in_the_known_words() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().canonicalize().unwrap();
        let path = root.to_str().unwrap();
        assert_eq!(
            message(Context::find("nowhere", "")),
            "unable to prepare context: path \"nowhere\" not found"
        );
        assert_eq!(
            message(Context::find(path, "")),
            format!(
                "unable to prepare context: unable to evaluate symlinks in Dockerfile path: lstat \
                 {path}/Dockerfile: no such file or directory"
            )
        );
        let missing = format!("{path}/no/such/file");
        assert!(message(Context::find(path, &missing)).contains(&format!("lstat {path}/no: no such file")));
        std::fs::write(root.join("file"), "").unwrap();
        assert_eq!(
            message(Context::find(&format!("{path}/file"), "")),
            format!("unable to prepare context: context must be a directory: {path}/file")
        );
    }

    #[test]
    fn dockerfiles_are_read_with_what_they_ignore() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        std::fs::write(root.join("dockerfile"), "FROM scratch\n").unwrap();
        std::fs::write(root.join(".dockerignore"), "a\n").unwrap();
        let path = root.to_str().unwrap();
        let found = Context::find(path, "").unwrap();
        assert_eq!((found.name.as_str(), found.inside), ("dockerfile", Some("dockerfile".into())));
        assert_eq!(found.dockerfile.as_deref(), Some("FROM scratch\n"));
        assert_eq!(found.ignore.as_deref(), Some("a\n"));
        std::fs::write(root.join("x.Dockerfile"), "FROM x\n").unwrap();
        std::fs::write(root.join("x.Dockerfile.dockerignore"), "b\n").unwrap();
        let found = Context::find(path, &format!("{path}/x.Dockerfile")).unwrap();
        assert_eq!((found.name.as_str(), found.ignore.as_deref()), ("x.Dockerfile", Some("b\n")));
        let other = tempfile::tempdir().unwrap();
        let found = Context::find(other.path().to_str().unwrap(), &format!("{path}/x.Dockerfile")).unwrap();
        assert_eq!(found.inside, None);
    }

    #[test]
    fn archives_are_known_by_their_start() {
        let mut builder = tar::Builder::new(Vec::new());
        let mut header = tar::Header::new_gnu();
        header.set_size(0);
        builder.append_data(&mut header, "a", std::io::empty()).unwrap();
        let tar = builder.into_inner().unwrap();
        assert!(is_archive(&tar[..SNIFFED]));
        assert!(is_archive(b"\x1f\x8b\x08rest"));
        assert!(!is_archive(b"FROM scratch\n"));
        assert!(!is_archive(&[0; 1024]));
        assert!(!is_archive("FROM x # ä\n".repeat(100).as_bytes()));
    }

    #[test]
    fn remotes_are_known_by_their_start() {
        for text in ["https://x/y.tar", "git@github.com:a/b", "github.com/a/b", "git://x/y", "ssh://git@x/y"]
        {
            assert!(is_remote(text), "{text}");
        }
        for text in ["x", "./https", "ftp://x"] {
            assert!(!is_remote(text), "{text}");
        }
    }
}
