//! File systems in memory.

use api::container::TmpfsOptions;

use super::{MountSettings, MountSource, absolute};
use crate::error::Error;

/// What holds unless the options say otherwise; Docker's.
const DEFAULTS: [&str; 3] = ["noexec", "nosuid", "nodev"];

/// Reads one `--tmpfs` value: a path, and mount options separated by commas.
pub(super) fn parse(target: &str, text: &str) -> Result<MountSettings, Error> {
    let given: Vec<&str> = text.split(',').filter(|word| !word.is_empty()).collect();
    for word in &given {
        check(word)?;
    }
    let read_only = given.contains(&"ro");
    let source = MountSource::Tmpfs { options: with_defaults(&given), listed: false };
    Ok(MountSettings { target: absolute(target)?, read_only, source, mode: text.to_owned() })
}

/// Mount options for the long form.
pub(super) fn options(options: Option<&TmpfsOptions>) -> Result<Vec<String>, Error> {
    let mut given = Vec::new();
    if let Some(options) = options {
        if options.size_bytes < 0 {
            return Err(Error::invalid("invalid mount config for type \"tmpfs\": size must be positive"));
        }
        if options.size_bytes > 0 {
            given.push(format!("size={}", options.size_bytes));
        }
        if options.mode != 0 {
            given.push(format!("mode={:o}", options.mode));
        }
        given.extend(options.options.iter().flatten().map(|option| option.join("=")));
    }
    let given: Vec<&str> = given.iter().map(String::as_str).collect();
    for word in &given {
        check(word)?;
    }
    Ok(with_defaults(&given))
}

fn with_defaults(given: &[&str]) -> Vec<String> {
    let overridden = |default: &&str| given.contains(&default.trim_start_matches("no"));
    let defaults =
        DEFAULTS.iter().copied().filter(|default| !overridden(default) && !given.contains(default));
    defaults.chain(given.iter().copied()).map(str::to_owned).collect()
}

fn check(word: &str) -> Result<(), Error> {
    let known = match word.split_once('=') {
        Some((name, value)) => {
            matches!(name, "size" | "mode" | "uid" | "gid" | "nr_inodes" | "nr_blocks" | "mpol")
                && !value.is_empty()
        }
        None => matches!(
            word,
            "ro" | "rw"
                | "exec"
                | "noexec"
                | "suid"
                | "nosuid"
                | "dev"
                | "nodev"
                | "sync"
                | "async"
                | "dirsync"
                | "remount"
                | "mand"
                | "nomand"
                | "atime"
                | "noatime"
                | "diratime"
                | "nodiratime"
                | "relatime"
                | "norelatime"
                | "strictatime"
                | "nostrictatime"
                | "private"
                | "rprivate"
                | "tmpcopyup"
        ),
    };
    if known { Ok(()) } else { Err(Error::invalid(format!("invalid tmpfs option [\"{word}\"]"))) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options_of(text: &str) -> Vec<String> {
        match parse("/t", text).unwrap().source {
            MountSource::Tmpfs { options, .. } => options,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn defaults_hold_unless_overridden() {
        assert_eq!(options_of(""), ["noexec", "nosuid", "nodev"]);
        assert_eq!(options_of("exec,size=64m"), ["nosuid", "nodev", "exec", "size=64m"]);
    }

    #[test]
    fn unknown_option_is_refused_by_name() {
        let error = parse("/t", "size=1m,foo=bar").unwrap_err();
        assert_eq!(error.to_string(), "invalid tmpfs option [\"foo=bar\"]");
    }

    #[test]
    fn long_form_gives_size_and_octal_mode() {
        let asked = TmpfsOptions { size_bytes: 4096, mode: 0o1770, ..TmpfsOptions::default() };
        assert_eq!(options(Some(&asked)).unwrap()[3..], ["size=4096", "mode=1770"]);
    }
}
