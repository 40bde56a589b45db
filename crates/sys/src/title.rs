//! What `ps` shows of this process.

use std::fs;
use std::io::{self, ErrorKind};
use std::os::unix::fs::FileExt;

/// The number of the field in `/proc/<pid>/stat` that has the address of the arguments, counted after the name; see
/// proc_pid_stat(5), `arg_start`.
const ARGUMENTS_START: usize = 45;

/// Writes other arguments over those that the process was started with, as far as there is room.
///
/// Arguments that were taken from the environment before keep their value.
///
/// # Errors
/// `/proc` cannot be read, or the memory not be written.
pub fn set_arguments(arguments: &[&str]) -> io::Result<()> {
    let stat = fs::read_to_string("/proc/self/stat")?;
    let mut fields = stat.rsplit_once(") ").map(|(_, rest)| rest.split(' ')).ok_or(ErrorKind::InvalidData)?;
    let mut address = |number: usize| -> io::Result<u64> {
        fields.nth(number).and_then(|text| text.parse().ok()).ok_or_else(|| ErrorKind::InvalidData.into())
    };
    let start = address(ARGUMENTS_START)?;
    let end = address(0)?;
    let room = usize::try_from(end.saturating_sub(start)).unwrap_or_default();
    let mut text = arguments.join("\0").into_bytes();
    text.resize(room, 0);
    if let Some(last) = text.last_mut() {
        *last = 0;
    }
    let memory = fs::File::options().write(true).open("/proc/self/mem")?;
    memory.write_all_at(&text, start)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_are_replaced_and_never_grow() {
        let before = fs::read("/proc/self/cmdline").unwrap();
        set_arguments(&["a", "b"]).unwrap();
        let after = fs::read("/proc/self/cmdline").unwrap();
        assert!(after.starts_with(b"a\0b\0"), "{after:?}");
        set_arguments(&[&"x".repeat(before.len() + 100)]).unwrap();
        let long = fs::read("/proc/self/cmdline").unwrap();
        assert_eq!(long.len(), before.len());
        assert!(long.starts_with(b"xxx") && long.ends_with(b"\0"));
    }
}
