//! The options of a mount, in the words of mount(8) and the OCI specification.

use sys::mount::{Attributes, Change, Depth, Propagation};

use crate::error::Error;

/// What a list of options says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct MountOptions {
    /// Whether it is a bind mount, and how deep.
    pub(crate) bind: Option<Depth>,
    /// Attributes of the mount itself.
    pub(crate) change: Change,
    /// Attributes of it and of all below (`rro`, …).
    pub(crate) recursive: Change,
    /// How it propagates, and how deep that reaches.
    pub(crate) propagations: Vec<(Propagation, Depth)>,
    /// Options of the file system, flags without a value.
    pub(crate) data: Vec<(String, Option<String>)>,
    /// Whether a tmpfs gets a copy of what it hides.
    pub(crate) copy_up: bool,
    /// Whether the file system itself is read-only, where that differs from the mount.
    pub(crate) read_only: bool,
}

/// Options that say nothing.
const IGNORED: [&str; 8] =
    ["defaults", "silent", "loud", "remount", "mand", "nomand", "iversion", "noiversion"];

/// # Errors
/// Options that nobody here does.
pub(crate) fn parse(options: &[String]) -> Result<MountOptions, Error> {
    let mut parsed = MountOptions::default();
    for option in options {
        apply(&mut parsed, option)?;
    }
    Ok(parsed)
}

fn apply(parsed: &mut MountOptions, option: &str) -> Result<(), Error> {
    if let Some((change, read_only)) = attribute(option) {
        merge(&mut parsed.change, change);
        parsed.read_only = read_only.unwrap_or(parsed.read_only);
        return Ok(());
    }
    if let Some(entry) = propagation(option) {
        parsed.propagations.push(entry);
        return Ok(());
    }
    if let Some((change, _)) = option.strip_prefix('r').and_then(attribute) {
        merge(&mut parsed.recursive, change);
        return Ok(());
    }
    match option {
        "bind" => parsed.bind = parsed.bind.or(Some(Depth::Single)),
        "rbind" => parsed.bind = Some(Depth::Recursive),
        "tmpcopyup" => parsed.copy_up = true,
        "idmap" | "ridmap" => return Err(Error::unsupported(format!("the mount option {option:?}"))),
        _ if IGNORED.contains(&option) || option.is_empty() => {}
        _ => parsed.data.push(match option.split_once('=') {
            Some((key, value)) => (key.to_owned(), Some(value.to_owned())),
            None => (option.to_owned(), None),
        }),
    }
    Ok(())
}

/// What an option changes, and what it says of the file system's being read-only.
fn attribute(option: &str) -> Option<(Change, Option<bool>)> {
    let set = |attributes| Some((Change::set(attributes), None));
    let clear = |clear| Some((Change { clear, ..Change::default() }, None));
    match option {
        "ro" => Some((Change::set(Attributes::READ_ONLY), Some(true))),
        "rw" => Some((Change { clear: Attributes::READ_ONLY, ..Change::default() }, Some(false))),
        "nosuid" => set(Attributes::NO_SUID),
        "suid" => clear(Attributes::NO_SUID),
        "nodev" => set(Attributes::NO_DEVICES),
        "dev" => clear(Attributes::NO_DEVICES),
        "noexec" => set(Attributes::NO_EXEC),
        "exec" => clear(Attributes::NO_EXEC),
        "nodiratime" => set(Attributes::NO_DIRECTORY_ATIME),
        "diratime" => clear(Attributes::NO_DIRECTORY_ATIME),
        "nosymfollow" => set(Attributes::NO_SYMLINK_FOLLOW),
        "symfollow" => clear(Attributes::NO_SYMLINK_FOLLOW),
        "noatime" => access_time(Attributes::NO_ATIME),
        "strictatime" => access_time(Attributes::STRICT_ATIME),
        // These three end in the kernel's default, which is relatime.
        "relatime" | "atime" | "nostrictatime" | "norelatime" => access_time(Attributes::empty()),
        _ => None,
    }
}

/// mount_setattr(2): a choice of access times needs the whole mask cleared.
fn access_time(choice: Attributes) -> Option<(Change, Option<bool>)> {
    Some((Change { set: choice, clear: Attributes::ATIME_MASK, propagation: None }, None))
}

/// The later option wins.
fn merge(into: &mut Change, change: Change) {
    if change.clear.contains(Attributes::ATIME_MASK) {
        into.set.remove(Attributes::ATIME_MASK);
    }
    into.set.remove(change.clear);
    into.clear.remove(change.set.difference(Attributes::ATIME_MASK));
    into.set |= change.set;
    into.clear |= change.clear;
}

fn propagation(option: &str) -> Option<(Propagation, Depth)> {
    Some(match option {
        "private" => (Propagation::Private, Depth::Single),
        "rprivate" => (Propagation::Private, Depth::Recursive),
        "slave" => (Propagation::Slave, Depth::Single),
        "rslave" => (Propagation::Slave, Depth::Recursive),
        "shared" => (Propagation::Shared, Depth::Single),
        "rshared" => (Propagation::Shared, Depth::Recursive),
        "unbindable" => (Propagation::Unbindable, Depth::Single),
        "runbindable" => (Propagation::Unbindable, Depth::Recursive),
        _ => return None,
    })
}

/// The propagation that a configuration's `linux.rootfsPropagation` names.
///
/// # Errors
/// A word that is none.
pub(crate) fn root_propagation(word: Option<&str>) -> Result<Option<(Propagation, Depth)>, Error> {
    match word {
        None | Some("") => Ok(None),
        Some(word) => propagation(word).map(Some).ok_or_else(|| {
            Error::invalid("linux.rootfsPropagation", format!("{word:?} is no mount propagation"))
        }),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parsed(options: &[&str]) -> MountOptions {
        parse(&options.iter().map(|option| (*option).to_owned()).collect::<Vec<_>>()).expect("options")
    }

    #[test]
    fn flags_become_attributes_and_the_rest_is_data() {
        let options = parsed(&["nosuid", "noexec", "mode=755", "newinstance"]);
        assert_eq!(options.change.set, Attributes::NO_SUID | Attributes::NO_EXEC);
        let data = [("mode".to_owned(), Some("755".to_owned())), ("newinstance".to_owned(), None)];
        assert_eq!(options.data, data);
    }

    #[test]
    fn later_option_wins() {
        let options = parsed(&["ro", "rw"]);
        assert_eq!((options.change.set, options.read_only), (Attributes::empty(), false));
        assert_eq!(options.change.clear, Attributes::READ_ONLY);
        let options = parsed(&["rw", "ro"]);
        assert_eq!((options.change.set, options.read_only), (Attributes::READ_ONLY, true));
        assert_eq!(options.change.clear, Attributes::empty());
    }

    #[test]
    fn access_time_clears_the_mask() {
        let options = parsed(&["strictatime", "noatime"]);
        assert_eq!(options.change.set, Attributes::NO_ATIME);
        assert_eq!(options.change.clear, Attributes::ATIME_MASK);
    }

    #[test]
    fn recursive_form_is_told_from_propagation_and_plain_form() {
        let options = parsed(&["rbind", "rro", "rprivate", "relatime"]);
        assert_eq!(options.bind, Some(Depth::Recursive));
        assert_eq!(options.recursive.set, Attributes::READ_ONLY);
        assert_eq!(options.propagations, [(Propagation::Private, Depth::Recursive)]);
        assert!(options.data.is_empty());
        assert!(!options.read_only);
    }

    #[test]
    fn mapped_mount_is_refused_by_name() {
        let error = parse(&["idmap".to_owned()]).expect_err("refused");
        assert!(error.to_string().contains("idmap"), "{error}");
    }

    proptest! {
        #[test]
        fn set_and_cleared_attributes_never_meet(words in proptest::collection::vec(
            proptest::sample::select(vec!["ro", "rw", "suid", "nosuid", "dev", "nodev", "exec", "noexec",
                "atime", "noatime", "strictatime", "diratime", "nodiratime"]), 0..12)) {
            let options = parsed(&words);
            let both = options.change.set & options.change.clear;
            prop_assert!((both - Attributes::ATIME_MASK).is_empty());
        }
    }
}
