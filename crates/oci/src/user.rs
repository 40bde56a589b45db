//! The files in which a root file system has its users and groups.
//!
//! They are hostile input: lines that do not parse are skipped. A number is a number, whatever the files say.

/// The greatest number of a user or group: the kernel keeps -1 for "no change", and Docker refuses the whole upper half.
pub const MAX_ID: i64 = i32::MAX as i64;
/// As much of such a file as is read: more than any real one has, little enough to hold in memory.
pub const MAX_FILE: u64 = 16 * 1024 * 1024;

/// A line of `/etc/passwd`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Passwd<'a> {
    /// Name.
    pub name: &'a str,
    /// Number.
    pub uid: i64,
    /// Number of the primary group.
    pub gid: i64,
    /// Home folder.
    pub home: &'a str,
}

/// The users of an `/etc/passwd`.
pub fn passwd(text: &str) -> impl Iterator<Item = Passwd<'_>> {
    text.lines().filter_map(|line| {
        let mut fields = line.trim().split(':');
        let name = fields.next().filter(|name| !name.is_empty())?;
        let uid = fields.nth(1)?.parse().ok()?;
        let gid = fields.next()?.parse().ok()?;
        Some(Passwd { name, uid, gid, home: fields.nth(1).unwrap_or_default() })
    })
}

/// A line of `/etc/group`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Group<'a> {
    /// Name.
    pub name: &'a str,
    /// Number.
    pub gid: i64,
    /// Names of users, with commas between them.
    pub members: &'a str,
}

/// The groups of an `/etc/group`.
pub fn groups(text: &str) -> impl Iterator<Item = Group<'_>> {
    text.lines().filter_map(|line| {
        let mut fields = line.trim().split(':');
        let name = fields.next().filter(|name| !name.is_empty())?;
        let gid = fields.nth(1)?.parse().ok()?;
        Some(Group { name, gid, members: fields.next().unwrap_or_default() })
    })
}

/// A name of digits only, with or without a sign, is a number; one too large for any check stays out of range.
pub fn number(name: &str) -> Option<i64> {
    let digits = name.strip_prefix(['-', '+']).unwrap_or(name);
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    Some(name.parse().unwrap_or(i64::MAX))
}

/// A number that is one of a user or group.
pub fn checked(id: i64) -> Option<u32> {
    u32::try_from(id).ok().filter(|_| id <= MAX_ID)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn broken_lines_are_skipped() {
        let text =
            "root:x:0:0:root:/root:/bin/sh\nbroken line\n:x:1:1::/:\na:x:b:0::/:\nann:x:7:8::/home/ann";
        let found: Vec<_> =
            passwd(text).map(|entry| (entry.name, entry.uid, entry.gid, entry.home)).collect();
        assert_eq!(found, [("root", 0, 0, "/root"), ("ann", 7, 8, "/home/ann")]);
        let found: Vec<_> =
            groups("wheel:x:10:a,b\nbad:x\n").map(|group| (group.gid, group.members)).collect();
        assert_eq!(found, [(10, "a,b")]);
    }

    #[test]
    fn digits_are_numbers_and_the_upper_half_is_out_of_range() {
        assert_eq!((number("12"), number("-1"), number("a1"), number("-")), (Some(12), Some(-1), None, None));
        assert_eq!(number("99999999999999999999"), Some(i64::MAX));
        assert_eq!(
            (checked(0), checked(MAX_ID), checked(MAX_ID + 1), checked(-1)),
            (Some(0), Some(2_147_483_647), None, None)
        );
    }
}
