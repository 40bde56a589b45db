//! Starting another program without copying this process.
//!
//! `posix_spawn` is used because it shares the address space until `execve`: its cost does not grow with the caller's memory.

use std::ffi::CStr;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

/// A program to start in a session of its own, with nothing open but what is named here.
#[derive(Debug)]
pub struct Program<'a> {
    /// The executable.
    pub path: &'a CStr,
    /// Its arguments, the zeroth included.
    pub arguments: &'a [&'a CStr],
    /// Its environment, `NAME=value` each.
    pub environment: &'a [&'a CStr],
    /// Its descriptors by number, which must be 0, 1, 2, … without a gap: everything above is closed.
    pub descriptors: &'a [BorrowedFd<'a>],
}

/// Starts the program with no signal blocked and `SIGPIPE` at its default, and returns its process ID.
///
/// The caller is suspended until the program was executed.
///
/// # Errors
/// What `posix_spawn` reports: no memory, too many processes, or why the program could not be executed.
pub fn spawn(program: &Program<'_>) -> io::Result<i32> {
    let descriptors = above(program.descriptors)?;
    let mut actions = FileActions::new()?;
    for (number, descriptor) in descriptors.iter().enumerate() {
        actions.add_dup2(descriptor.as_raw_fd(), number as RawFd)?;
    }
    actions.add_close_from(descriptors.len() as RawFd)?;
    let attributes = Attributes::new_session()?;
    let arguments = pointers(program.arguments);
    let environment = pointers(program.environment);
    let mut pid = 0;
    // SAFETY: both vectors end with a null pointer and their strings outlive the call; `actions` and `attributes` are
    // initialised; the path is a C string.
    check(unsafe {
        libc::posix_spawn(
            &mut pid,
            program.path.as_ptr(),
            &actions.0,
            &attributes.0,
            arguments.as_ptr(),
            environment.as_ptr(),
        )
    })?;
    Ok(pid)
}

/// Takes a descriptor that this process was started with, by its number, which is closed in favour of a new one.
///
/// To be called once for a number, before anything else is opened.
///
/// # Errors
/// `EBADF` where it is not open.
pub fn inherited(number: RawFd) -> io::Result<OwnedFd> {
    // SAFETY: the call takes integers only, and reports a number that is not open.
    let copy = unsafe { libc::fcntl(number, libc::F_DUPFD_CLOEXEC, number + 1) };
    if copy < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the call takes an integer; that nobody owns `number` is what the caller sees to.
    unsafe { libc::close(number) };
    // SAFETY: the kernel has just made this descriptor; nobody else owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(copy) })
}

/// Copies of the descriptors whose numbers are above all targets, so that no `dup2` closes the source of a later one.
fn above(descriptors: &[BorrowedFd<'_>]) -> io::Result<Vec<OwnedFd>> {
    let lowest = descriptors.len() as RawFd;
    let copy = |descriptor: &BorrowedFd<'_>| rustix::io::fcntl_dupfd_cloexec(descriptor.as_fd(), lowest);
    Ok(descriptors.iter().map(copy).collect::<Result<_, _>>()?)
}

fn pointers(strings: &[&CStr]) -> Vec<*mut libc::c_char> {
    let pointers = strings.iter().map(|string| string.as_ptr().cast_mut());
    pointers.chain([std::ptr::null_mut()]).collect()
}

fn check(error: libc::c_int) -> io::Result<()> {
    if error == 0 { Ok(()) } else { Err(io::Error::from_raw_os_error(error)) }
}

struct FileActions(libc::posix_spawn_file_actions_t);

impl FileActions {
    fn new() -> io::Result<Self> {
        let mut actions = MaybeUninit::uninit();
        // SAFETY: the pointer is to writable memory of the right type, which the call initialises.
        check(unsafe { libc::posix_spawn_file_actions_init(actions.as_mut_ptr()) })?;
        // SAFETY: initialised by the call above, which succeeded.
        Ok(Self(unsafe { actions.assume_init() }))
    }

    fn add_dup2(&mut self, from: RawFd, to: RawFd) -> io::Result<()> {
        // SAFETY: `self.0` is initialised; descriptors are plain numbers to this call.
        check(unsafe { libc::posix_spawn_file_actions_adddup2(&mut self.0, from, to) })
    }

    fn add_close_from(&mut self, first: RawFd) -> io::Result<()> {
        // SAFETY: as above.
        check(unsafe { libc::posix_spawn_file_actions_addclosefrom_np(&mut self.0, first) })
    }
}

impl Drop for FileActions {
    fn drop(&mut self) {
        // SAFETY: initialised, and destroyed only here.
        unsafe { libc::posix_spawn_file_actions_destroy(&mut self.0) };
    }
}

struct Attributes(libc::posix_spawnattr_t);

impl Attributes {
    fn new_session() -> io::Result<Self> {
        let mut attributes = MaybeUninit::uninit();
        // SAFETY: the pointer is to writable memory of the right type, which the call initialises.
        check(unsafe { libc::posix_spawnattr_init(attributes.as_mut_ptr()) })?;
        // SAFETY: initialised by the call above, which succeeded.
        let mut attributes = Self(unsafe { attributes.assume_init() });
        let flags = libc::POSIX_SPAWN_SETSID
            | libc::POSIX_SPAWN_SETSIGMASK as libc::c_short
            | libc::POSIX_SPAWN_SETSIGDEF as libc::c_short;
        let mut set = MaybeUninit::uninit();
        // SAFETY: `attributes` is initialised; `set` is initialised by sigemptyset before it is read.
        unsafe {
            check(libc::posix_spawnattr_setflags(&mut attributes.0, flags))?;
            libc::sigemptyset(set.as_mut_ptr());
            let mut set: libc::sigset_t = set.assume_init();
            check(libc::posix_spawnattr_setsigmask(&mut attributes.0, &set))?;
            libc::sigaddset(&mut set, libc::SIGPIPE);
            check(libc::posix_spawnattr_setsigdefault(&mut attributes.0, &set))?;
        }
        Ok(attributes)
    }
}

impl Drop for Attributes {
    fn drop(&mut self) {
        // SAFETY: initialised, and destroyed only here.
        unsafe { libc::posix_spawnattr_destroy(&mut self.0) };
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;
    use std::os::fd::AsFd;

    use super::*;

    fn wait(pid: i32) -> i32 {
        let pid = rustix::process::Pid::from_raw(pid).unwrap();
        let (_, status) =
            rustix::process::waitpid(Some(pid), rustix::process::WaitOptions::empty()).unwrap().unwrap();
        status.exit_status().unwrap_or(-1)
    }

    #[test]
    fn spawn_gives_exactly_the_named_descriptors() {
        let null = std::fs::File::options().read(true).write(true).open("/dev/null").unwrap();
        let (mut reader, writer) = std::io::pipe().unwrap();
        let descriptors = [null.as_fd(), writer.as_fd(), null.as_fd()];
        let script = c"cd /proc/self/fd; echo *; kill -s PIPE $$";
        let program = Program {
            path: c"/bin/sh",
            arguments: &[c"sh", c"-c", script],
            environment: &[],
            descriptors: &descriptors,
        };
        let pid = spawn(&program).unwrap();
        drop(writer);
        let mut output = String::new();
        reader.read_to_string(&mut output).unwrap();
        // The shell's own descriptor of the directory it lists may be the one after.
        assert!(output.starts_with("0 1 2"), "{output}");
        assert!(output.split_whitespace().count() <= 4, "{output}");
        assert_eq!(wait(pid), -1, "SIGPIPE is at its default");
    }

    #[test]
    fn spawn_of_a_missing_program_is_an_error() {
        let program = Program { path: c"/no/such", arguments: &[c"x"], environment: &[], descriptors: &[] };
        assert_eq!(spawn(&program).unwrap_err().kind(), io::ErrorKind::NotFound);
    }
}
