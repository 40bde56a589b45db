//! Finds the program, with the messages of Go's `os/exec`, which Docker's clients tell apart.

use std::ffi::CString;

use rustix::fs::{Access, AtFlags, CWD, FileType};
use sys::Errno;

use crate::error::{Error, Reason};

/// The program's path, as the user it will run as, in the root it will run in.
///
/// # Errors
/// [`Error::CommandNotFound`] and [`Error::NotExecutable`].
pub(crate) fn find(name: &str, environment: &[String]) -> Result<CString, Error> {
    if name.contains('/') {
        return match check(name) {
            Ok(()) => c_string(name),
            Err(errno) => Err(refusal(name, errno)),
        };
    }
    let path = environment.iter().rev().find_map(|variable| variable.strip_prefix("PATH="));
    let directories = path.unwrap_or_default().split(':').filter(|directory| !directory.is_empty());
    for directory in directories.filter(|_| !name.is_empty()) {
        let candidate = format!("{directory}/{name}");
        if directory.starts_with('/') && check(&candidate).is_ok() {
            return c_string(&candidate);
        }
    }
    Err(Error::CommandNotFound(format!("exec: {name:?}: executable file not found in $PATH")))
}

fn c_string(path: &str) -> Result<CString, Error> {
    CString::new(path).map_err(|_| Error::invalid("process.args", "a string with a NUL byte"))
}

fn check(path: &str) -> Result<(), Errno> {
    let stat = rustix::fs::stat(path)?;
    if FileType::from_raw_mode(stat.st_mode) == FileType::Directory {
        return Err(Errno::ISDIR);
    }
    rustix::fs::accessat(CWD, path, Access::EXEC_OK, AtFlags::EACCESS)
}

fn refusal(name: &str, errno: Errno) -> Error {
    match errno {
        Errno::NOENT | Errno::NOTDIR => {
            Error::CommandNotFound(format!("exec: {name:?}: stat {name}: {}", Reason(errno)))
        }
        errno => Error::NotExecutable(format!("exec: {name:?}: {}", Reason(errno))),
    }
}

/// What a failed `execve` of a program that was found means.
pub(crate) fn execution_failure(path: &str, errno: Errno) -> Error {
    let text = format!("exec {path}: {}", Reason(errno));
    match errno {
        // The program's interpreter is missing.
        Errno::NOENT => Error::CommandNotFound(text),
        _ => Error::NotExecutable(text),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use shim::FailureKind;

    use super::*;

    fn refused(name: &str, path: &str) -> (FailureKind, String) {
        let error = find(name, &[format!("PATH={path}")]).expect_err("refused");
        (error.kind(), error.to_string())
    }

    #[test]
    fn name_is_looked_up_in_the_path() {
        let found = find("sh", &["PATH=/nowhere:/bin".to_owned()]).expect("found");
        assert_eq!(found.as_c_str(), c"/bin/sh");
    }

    #[test]
    fn missing_name_is_worded_as_docker_words_it() {
        let (kind, text) = refused("no-such", "/bin");
        assert_eq!(kind, FailureKind::CommandNotFound);
        assert_eq!(text, r#"exec: "no-such": executable file not found in $PATH"#);
    }

    #[test]
    fn missing_path_is_worded_as_docker_words_it() {
        let (kind, text) = refused("/no/such", "/bin");
        assert_eq!(kind, FailureKind::CommandNotFound);
        assert_eq!(text, r#"exec: "/no/such": stat /no/such: no such file or directory"#);
    }

    #[test]
    fn directory_and_plain_file_cannot_be_executed() {
        let directory = tempfile::tempdir().expect("directory");
        let name = directory.path().to_str().expect("text");
        let (kind, text) = refused(name, "");
        assert_eq!((kind, text), (FailureKind::NotExecutable, format!("exec: {name:?}: is a directory")));
        let file = directory.path().join("file");
        std::fs::write(&file, "").expect("write");
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o644)).expect("mode");
        let name = file.to_str().expect("text");
        let (kind, text) = refused(name, "");
        assert_eq!((kind, text), (FailureKind::NotExecutable, format!("exec: {name:?}: permission denied")));
    }

    #[test]
    fn empty_name_and_relative_directories_find_nothing() {
        assert_eq!(refused("", "/bin").0, FailureKind::CommandNotFound);
        assert_eq!(refused("sh", "bin:.:").0, FailureKind::CommandNotFound);
    }
}
