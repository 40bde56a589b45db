//! Users and groups, looked up in the container's own `/etc/passwd` and `/etc/group`.
//!
//! Those files are hostile input: they are read with a bound, only where they are regular files, and lines that do not
//! parse are skipped. A number is a number, whatever the files say.

use oci::user::{self, MAX_FILE, MAX_ID, Passwd, groups, number};
use rustix::fs::OFlags;
use shim::User;
use sys::Errno;
use sys::root::Root;

use crate::error::{Error, Step};

/// Who a process runs as.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Identity {
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    pub(crate) groups: Vec<u32>,
    pub(crate) home: String,
}

/// Looks up a user as written on a command line.
///
/// # Errors
/// Names that are not there, numbers out of range, files that cannot be read.
pub(crate) fn look_up(root: &Root, user: &User) -> Result<Identity, Error> {
    let passwd = read(root, "etc/passwd")?;
    let group = read(root, "etc/group")?;
    resolve(user, &passwd, &group)
}

/// The home directory of a user that is known by number.
///
/// # Errors
/// As [`look_up`].
pub(crate) fn home(root: &Root, uid: u32) -> Result<String, Error> {
    let passwd = read(root, "etc/passwd")?;
    let entry = user::passwd(&passwd).find(|entry| entry.uid == i64::from(uid));
    Ok(home_of(entry.as_ref()))
}

fn home_of(entry: Option<&Passwd<'_>>) -> String {
    entry.map(|entry| entry.home).filter(|home| !home.is_empty()).unwrap_or("/").to_owned()
}

fn read(root: &Root, path: &str) -> Result<String, Error> {
    // NONBLOCK: a FIFO in the image must not hang the start.
    let file = match root.open(path, OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY) {
        Err(Errno::NOENT | Errno::NOTDIR) => return Ok(String::new()),
        result => result.step_with(|| format!("open /{path}"))?,
    };
    let bytes = sys::file::read_bounded(file, MAX_FILE).step_with(|| format!("read /{path}"))?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

fn resolve(user: &User, passwd: &str, group: &str) -> Result<Identity, Error> {
    let (name, group_name) = match user.user.split_once(':') {
        Some((name, group)) => (name, Some(group).filter(|group| !group.is_empty())),
        None => (user.user.as_str(), None),
    };
    let number = if name.is_empty() { Some(0) } else { number(name) };
    let entry = user::passwd(passwd).find(|entry| match number {
        Some(uid) => entry.uid == uid,
        None => entry.name == name,
    });
    let uid = match (&entry, number) {
        (Some(entry), _) => entry.uid,
        (None, Some(uid)) => uid,
        (None, None) => {
            let text = format!("unable to find user {name}: no matching entries in passwd file");
            return Err(Error::User(text));
        }
    };
    let (gid, mut ids) = match group_name {
        Some(name) => (group_id(name, group)?, Vec::new()),
        None => (entry.as_ref().map_or(0, |entry| entry.gid), memberships(entry.as_ref(), group)),
    };
    // The primary group belongs to the list too: without it, negative group permissions could be evaded.
    ids.insert(0, gid);
    for name in &user.additional_groups {
        ids.push(group_id(name, group)?);
    }
    let mut listed = Vec::new();
    for id in ids {
        let id = checked(id)?;
        if !listed.contains(&id) {
            listed.push(id);
        }
    }
    Ok(Identity { uid: checked(uid)?, gid: checked(gid)?, groups: listed, home: home_of(entry.as_ref()) })
}

fn checked(id: i64) -> Result<u32, Error> {
    user::checked(id).ok_or_else(|| Error::User(format!("uids and gids must be in range 0-{MAX_ID}")))
}

fn group_id(name: &str, group: &str) -> Result<i64, Error> {
    if let Some(gid) = number(name) {
        return Ok(gid);
    }
    groups(group)
        .find(|entry| entry.name == name)
        .map(|entry| entry.gid)
        .ok_or_else(|| Error::User(format!("unable to find group {name}: no matching entries in group file")))
}

fn memberships(entry: Option<&Passwd<'_>>, group: &str) -> Vec<i64> {
    let Some(entry) = entry else { return Vec::new() };
    groups(group)
        .filter(|group| group.members.split(',').any(|member| member.trim() == entry.name))
        .map(|group| group.gid)
        .collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const PASSWD: &str = "root:x:0:0:root:/root:/bin/sh\nann:x:1000:1001::/home/ann:/bin/sh\n\
                          7:x:4000:4001::/tricky:\nbroken line\nnegative:x:-5:0::/:\n";
    const GROUP: &str = "root:x:0:\nann:x:1001:\nwheel:x:10:root,ann\nvideo:x:44:ann\n12:x:5000:\n";

    fn user(text: &str) -> Result<Identity, Error> {
        resolve(&User { user: text.to_owned(), additional_groups: Vec::new() }, PASSWD, GROUP)
    }

    #[test]
    fn name_brings_its_groups_and_home() {
        let found = user("ann").expect("found");
        assert_eq!((found.uid, found.gid, found.home.as_str()), (1000, 1001, "/home/ann"));
        assert_eq!(found.groups, [1001, 10, 44]);
    }

    #[test]
    fn empty_is_root_with_its_groups() {
        let found = user("").expect("found");
        assert_eq!((found.uid, found.gid, found.home.as_str()), (0, 0, "/root"));
        assert_eq!(found.groups, [0, 10]);
    }

    #[test]
    fn number_is_a_number_even_where_a_name_looks_like_it() {
        let found = user("7").expect("found");
        assert_eq!((found.uid, found.gid, found.home.as_str()), (7, 0, "/"));
        assert_eq!(user("1000:12").expect("found").gid, 12);
    }

    #[test]
    fn explicit_group_replaces_memberships() {
        let found = user("ann:video").expect("found");
        assert_eq!((found.gid, found.groups.as_slice()), (44, [44].as_slice()));
    }

    #[test]
    fn unknown_names_are_worded_as_docker_words_them() {
        let text = user("bob").expect_err("unknown").to_string();
        assert_eq!(text, "unable to find user bob: no matching entries in passwd file");
        let text = user("ann:bobs").expect_err("unknown").to_string();
        assert_eq!(text, "unable to find group bobs: no matching entries in group file");
    }

    #[test]
    fn ids_out_of_range_are_refused() {
        for text in ["-1", "2147483648", "0:4294967295", "99999999999999999999", "negative"] {
            let error = user(text).expect_err(text).to_string();
            assert_eq!(error, "uids and gids must be in range 0-2147483647", "{text}");
        }
        assert_eq!(user("2147483647").expect("the last").uid, 2_147_483_647);
    }

    #[test]
    fn additional_groups_follow_the_others() {
        let asked = User { user: "ann".to_owned(), additional_groups: vec!["wheel".into(), "777".into()] };
        let found = resolve(&asked, PASSWD, GROUP).expect("found");
        assert_eq!(found.groups, [1001, 10, 44, 777]);
    }

    #[test]
    fn fifo_in_place_of_a_file_is_refused_without_waiting() {
        let directory = tempfile::tempdir().expect("directory");
        std::fs::create_dir(directory.path().join("etc")).expect("directory");
        let root = Root::at(directory.path()).expect("root");
        let etc = root.locate("etc").expect("etc");
        let fifo = rustix::fs::FileType::Fifo;
        rustix::fs::mknodat(&etc, "passwd", fifo, rustix::fs::Mode::RUSR, 0).expect("fifo");
        look_up(&root, &User::default()).expect_err("no regular file");
    }

    proptest! {
        #[test]
        fn any_files_and_any_user_give_an_answer(passwd in ".{0,200}", group in ".{0,200}", text in ".{0,20}") {
            let asked = User { user: text, additional_groups: Vec::new() };
            if let Ok(found) = resolve(&asked, &passwd, &group) {
                prop_assert!(i64::from(found.uid) <= MAX_ID && i64::from(found.gid) <= MAX_ID);
                prop_assert_eq!(found.groups[0], found.gid);
            }
        }
    }
}
