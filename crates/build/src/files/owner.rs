//! Owners by name, as the root file system knows them.

use oci::user::{self, MAX_FILE};
use rustix::fs::OFlags;
use sys::Errno;
use sys::root::Root;

use super::error::{Error, write};

/// Numbers of a user and a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Owner {
    pub(super) uid: u32,
    pub(super) gid: u32,
}

/// The superuser.
pub(super) const SUPERUSER: Owner = Owner { uid: 0, gid: 0 };

/// Reads `user[:group]`. Without a group it is that of the user, or has the user's number.
///
/// # Errors
/// A name that is not there, a number out of range, files that cannot be read.
pub(super) fn look_up(below: Option<&Root>, text: &str) -> Result<Owner, Error> {
    let (name, group) = text.split_once(':').map_or((text, None), |(name, group)| (name, Some(group)));
    let user = match number(name) {
        Some(uid) => (uid, uid),
        None => find_user(below, name)?,
    };
    let gid = match group {
        None | Some("") => user.1,
        Some(group) => match number(group) {
            Some(gid) => gid,
            None => find_group(below, group)?,
        },
    };
    let checked = |id| user::checked(id).ok_or(Error::Range);
    Ok(Owner { uid: checked(user.0)?, gid: checked(gid)? })
}

/// The superuser's name is known without a file.
fn number(name: &str) -> Option<i64> {
    if matches!(name, "" | "root") { Some(0) } else { user::number(name) }
}

fn find_user(below: Option<&Root>, name: &str) -> Result<(i64, i64), Error> {
    let text = read(below, "etc/passwd")?;
    let found = user::passwd(&text).find(|entry| entry.name == name).map(|entry| (entry.uid, entry.gid));
    found.ok_or_else(|| Error::User { name: name.to_owned() })
}

fn find_group(below: Option<&Root>, name: &str) -> Result<i64, Error> {
    let text = read(below, "etc/group")?;
    let found = user::groups(&text).find(|entry| entry.name == name).map(|entry| entry.gid);
    found.ok_or_else(|| Error::Group { name: name.to_owned() })
}

fn read(below: Option<&Root>, path: &str) -> Result<String, Error> {
    let Some(root) = below else { return Ok(String::new()) };
    let failed = write("read", path.as_bytes());
    // NONBLOCK: a FIFO in the image must not hang the build.
    let bytes = match root.open(path, OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY) {
        Err(Errno::NOENT | Errno::NOTDIR) => return Ok(String::new()),
        result => result.and_then(|file| sys::file::read_bounded(file, MAX_FILE)).map_err(failed)?,
    };
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn owners_are_looked_up_below() {
        let folder = tempfile::tempdir().expect("a folder");
        fs::create_dir(folder.path().join("etc")).expect("a folder");
        fs::write(folder.path().join("etc/passwd"), "ann:x:1000:1001::/:\n7:x:4000:1::/:\n").expect("a file");
        fs::write(folder.path().join("etc/group"), "video:x:44:ann\n").expect("a file");
        let root = Root::at(folder.path()).expect("a root");
        for (text, uid, gid) in [
            ("ann", 1000, 1001),
            ("ann:video", 1000, 44),
            ("ann:5", 1000, 5),
            ("7", 7, 7),
            ("7:", 7, 7),
            ("root", 0, 0),
            (":video", 0, 44),
        ] {
            assert_eq!(look_up(Some(&root), text).expect(text), Owner { uid, gid }, "{text}");
        }
        let told = |text| look_up(Some(&root), text).expect_err("refused").to_string();
        assert!(told("bob").ends_with("can't find uid for user bob: no such user: bob"));
        assert!(told("ann:bobs").ends_with("can't find gid for group bobs: no such group: bobs"));
        for text in ["-1", "0:2147483648"] {
            assert_eq!(told(text), "uids and gids must be in range 0-2147483647");
        }
        assert!(matches!(look_up(None, "ann"), Err(Error::User { .. })));
    }
}
