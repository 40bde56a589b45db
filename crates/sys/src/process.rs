//! Processes: creation with `clone3`, pidfds, waiting, execution.

use std::ffi::{CStr, CString, c_int};
use std::fs;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::fs::MetadataExt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use rustix::process::{WaitId, WaitIdOptions};

use crate::mount::{Attributes, Change, Depth, DetachedMount};
use crate::namespace::Namespaces;
use crate::{Errno, Result};

/// What is left of a process when its code panicked before it could execute anything.
const PANICKED: i32 = 101;

/// The proof that a process has one thread, so that a copy of it made by [`spawn`] is whole.
///
/// It is checked again at each use, as nothing keeps the holder from starting a thread.
#[derive(Clone, Copy, Debug)]
pub struct SingleThreaded(());

impl SingleThreaded {
    /// Looks at the threads of the process.
    ///
    /// # Errors
    /// `EINVAL` where there is more than one; what `/proc` answers where it cannot be read.
    pub fn check() -> Result<Self> {
        // proc counts a link per thread besides `.` and the entry itself, which spares listing the directory.
        let tasks = fs::metadata("/proc/self/task").map_err(errno)?;
        if tasks.nlink() == 3 { Ok(Self(())) } else { Err(Errno::INVAL) }
    }
}

/// A child process that was made with [`spawn`].
#[derive(Debug)]
pub struct Child {
    /// Its process ID in the namespace of its parent.
    pub pid: i32,
    /// The descriptor that names it, also after it ended; readable once it did.
    pub pidfd: OwnedFd,
}

/// How a child is made.
#[derive(Clone, Copy, Debug, Default)]
pub struct SpawnOptions<'a> {
    /// The namespaces that are new to it.
    pub namespaces: Namespaces,
    /// A directory of cgroup v2 that it is born into.
    pub cgroup: Option<BorrowedFd<'a>>,
}

/// Makes a copy of this process that runs `child` and exits with what that returns.
///
/// Signal dispositions of the copy are the default ones, except for ignored signals; see [`reset_signals`]. Inside a
/// container, where `clone3` is refused, they are the caller's.
///
/// # Errors
/// `EINVAL` where the process has more than one thread, and whatever `clone3` reports.
pub fn spawn(_: SingleThreaded, options: SpawnOptions<'_>, child: impl FnOnce() -> i32) -> Result<Child> {
    SingleThreaded::check()?;
    let mut pidfd: RawFd = -1;
    let mut arguments = clone_arguments(options, &mut pidfd);
    // SAFETY: the arguments are initialised and outlive the call, without CLONE_VM the child has its own copy of the
    // memory, and with a single thread no lock of that copy is held by anyone else.
    let mut pid = unsafe {
        libc::syscall(libc::SYS_clone3, &raw mut arguments, std::mem::size_of::<libc::clone_args>())
    };
    if pid == -1 && last_error() == Errno::NOSYS && options.namespaces.is_empty() && options.cgroup.is_none()
    {
        // The filter of a container answers so to clone3, whose flags it cannot read. Dispositions are then inherited.
        let flags = libc::CLONE_PIDFD | libc::SIGCHLD;
        // SAFETY: as above; the null stack shares the parent's address, and the third argument is where the descriptor goes.
        pid = unsafe { libc::syscall(libc::SYS_clone, flags, 0, &raw mut pidfd, 0, 0) };
    }
    match pid {
        -1 => Err(last_error()),
        0 => {
            let code = catch_unwind(AssertUnwindSafe(child)).unwrap_or(PANICKED);
            exit_now(code)
        }
        pid => {
            // SAFETY: CLONE_PIDFD stored a descriptor that nobody else owns.
            let pidfd = unsafe { OwnedFd::from_raw_fd(pidfd) };
            Ok(Child { pid: i32::try_from(pid).expect("a process ID is an int"), pidfd })
        }
    }
}

fn clone_arguments(options: SpawnOptions<'_>, pidfd: &mut RawFd) -> libc::clone_args {
    const CLONE_CLEAR_SIGHAND: u64 = 0x1_0000_0000;
    const CLONE_INTO_CGROUP: u64 = 0x2_0000_0000;
    // SAFETY: all fields are integers, for which zero is valid.
    let mut arguments: libc::clone_args = unsafe { std::mem::zeroed() };
    arguments.flags = u64::from(options.namespaces.bits()) | libc::CLONE_PIDFD as u64 | CLONE_CLEAR_SIGHAND;
    arguments.pidfd = &raw mut *pidfd as u64;
    arguments.exit_signal = libc::SIGCHLD as u64;
    if let Some(cgroup) = options.cgroup {
        arguments.flags |= CLONE_INTO_CGROUP;
        arguments.cgroup = cgroup.as_raw_fd() as u64;
    }
    arguments
}

/// How a child ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// With this code.
    Exited(u8),
    /// By this signal.
    Killed(u8),
}

/// Waits until a child has ended, and reaps it.
///
/// # Errors
/// `ECHILD` where it is not a child of this process, or was reaped before.
pub fn wait(pidfd: impl AsFd) -> Result<Ended> {
    loop {
        match rustix::process::waitid(WaitId::PidFd(pidfd.as_fd()), WaitIdOptions::EXITED) {
            Err(Errno::INTR) => {}
            Err(error) => return Err(error),
            Ok(None) => unreachable!("waitid without NOHANG waits"),
            Ok(Some(status)) => return Ok(ended(&status)),
        }
    }
}

fn ended(status: &rustix::process::WaitIdStatus) -> Ended {
    match status.exit_status() {
        Some(code) => Ended::Exited((code & 0xff) as u8),
        None => Ended::Killed((status.terminating_signal().unwrap_or(0) & 0x7f) as u8),
    }
}

/// Reaps any child that has ended; `None` where none has.
///
/// # Errors
/// `ECHILD` where there is no child at all.
pub fn reap_any() -> Result<Option<(i32, Ended)>> {
    let mut status: c_int = 0;
    // SAFETY: `status` is a valid place for an int.
    let pid = unsafe { libc::waitpid(-1, &raw mut status, libc::WNOHANG) };
    match pid {
        -1 => Err(last_error()),
        0 => Ok(None),
        pid if libc::WIFSIGNALED(status) => Ok(Some((pid, Ended::Killed(libc::WTERMSIG(status) as u8)))),
        pid => Ok(Some((pid, Ended::Exited(libc::WEXITSTATUS(status) as u8)))),
    }
}

/// A descriptor for a running process.
///
/// # Errors
/// `ESRCH` where there is none.
pub fn pidfd(pid: i32) -> Result<OwnedFd> {
    let pid = rustix::process::Pid::from_raw(pid).ok_or(Errno::SRCH)?;
    rustix::process::pidfd_open(pid, rustix::process::PidfdFlags::empty())
}

/// Sends a signal, by number, real-time ones included.
///
/// # Errors
/// `ESRCH` where the process ended, `EINVAL` for a number that is no signal.
pub fn signal(pidfd: impl AsFd, signal: i32) -> Result<()> {
    let raw = pidfd.as_fd().as_raw_fd();
    // SAFETY: the call takes integers, and a null siginfo asks for the default one.
    let result = unsafe {
        libc::syscall(libc::SYS_pidfd_send_signal, raw, signal, std::ptr::null::<libc::siginfo_t>(), 0)
    };
    if result == 0 { Ok(()) } else { Err(last_error()) }
}

/// Sends a signal to a process by its ID; use [`signal`] wherever there is a descriptor.
///
/// # Errors
/// As `kill(2)`.
pub fn kill(pid: i32, signal: i32) -> Result<()> {
    // SAFETY: the call takes integers only.
    if unsafe { libc::kill(pid, signal) } == 0 { Ok(()) } else { Err(last_error()) }
}

/// Executes a program; returns only what went wrong.
pub fn execute(program: &CStr, arguments: &[CString], environment: &[CString]) -> Errno {
    let arguments = pointers(arguments);
    let environment = pointers(environment);
    // SAFETY: both arrays hold pointers to strings that outlive the call, and end with a null.
    unsafe { libc::execve(program.as_ptr(), arguments.as_ptr(), environment.as_ptr()) };
    last_error()
}

/// Executes the file behind a descriptor; returns only what went wrong.
pub fn execute_fd(program: BorrowedFd<'_>, arguments: &[CString], environment: &[CString]) -> Errno {
    let arguments = pointers(arguments);
    let environment = pointers(environment);
    // SAFETY: as in `execute`, and the empty path is a valid string.
    unsafe {
        libc::syscall(
            libc::SYS_execveat,
            program.as_raw_fd(),
            c"".as_ptr(),
            arguments.as_ptr(),
            environment.as_ptr(),
            libc::AT_EMPTY_PATH,
        )
    };
    last_error()
}

fn pointers(strings: &[CString]) -> Vec<*const libc::c_char> {
    strings.iter().map(|string| string.as_ptr()).chain([std::ptr::null()]).collect()
}

/// Gives every signal its default disposition and unblocks them all, as a program expects to find them.
pub fn reset_signals() {
    // The kernel's own structure: handler, flags, restorer and mask. All zero it is the default disposition.
    let default = [0_u64; 4];
    for signal in 1..=64 {
        // SAFETY: the structure is as long as the kernel reads and the default runs no code of ours. The C library's
        // wrapper would leave out the signals that it uses itself, which may have been ignored by who started this.
        unsafe {
            let none = std::ptr::null::<u64>();
            libc::syscall(libc::SYS_rt_sigaction, signal, default.as_ptr(), none, size_of::<u64>());
        }
    }
    // SAFETY: an all-zero set is a valid, empty one.
    unsafe {
        let empty: libc::sigset_t = std::mem::zeroed();
        libc::sigprocmask(libc::SIG_SETMASK, &raw const empty, std::ptr::null_mut());
    }
}

/// Marks all descriptors from `first` on to be closed by `execve`.
///
/// # Errors
/// `ENOSYS` before Linux 5.11.
pub fn close_from_on_exec(first: u32) -> Result<()> {
    // SAFETY: the call takes integers; with CLOEXEC no descriptor is closed under its owner.
    let result = unsafe { libc::syscall(libc::SYS_close_range, first, u32::MAX, libc::CLOSE_RANGE_CLOEXEC) };
    if result == 0 { Ok(()) } else { Err(last_error()) }
}

/// Makes `target` a copy of a descriptor that is kept by `execve`.
///
/// Meant for numbers 0 to 2 and for those that are passed on to a program. The descriptor that was `target` before is
/// closed, so nobody may own it.
///
/// # Errors
/// `EBADF` for a number that is out of range.
pub fn install(source: BorrowedFd<'_>, target: u32) -> Result<()> {
    let target = RawFd::try_from(target).map_err(|_| Errno::BADF)?;
    let result = if source.as_raw_fd() == target {
        // SAFETY: the call takes integers only.
        unsafe { libc::fcntl(target, libc::F_SETFD, 0) }
    } else {
        // SAFETY: as above; that nobody owns `target` is what the caller sees to.
        unsafe { libc::dup2(source.as_raw_fd(), target) }
    };
    if result == -1 { Err(last_error()) } else { Ok(()) }
}

/// Ends the process at once: no destructor, no handler, no flush.
pub fn exit_now(code: i32) -> ! {
    // SAFETY: always sound, it does not return.
    unsafe { libc::_exit(code) }
}

/// Executes this program anew from where nobody can write to it, unless that is so already.
///
/// A process of a container can be made to execute the runtime's own file (`#!/proc/self/exe`) and then open it for
/// writing. A read-only mount of the file, attached nowhere, makes that impossible and costs no copy.
///
/// # Errors
/// What keeps the mount from being made; nothing has changed then. Where it was not necessary it returns.
pub fn execute_protected(arguments: &[CString], environment: &[CString]) -> Result<()> {
    const PATH: &str = "/proc/self/exe";
    if rustix::fs::statvfs(PATH)?.f_flag.contains(rustix::fs::StatVfsMountFlags::RDONLY) || is_sealed(PATH)? {
        return Ok(());
    }
    let copy = DetachedMount::copy(Path::new(PATH), Depth::Single)?;
    copy.change(Change::set(Attributes::READ_ONLY), Depth::Single)?;
    Err(execute_fd(copy.as_fd(), arguments, environment))
}

fn is_sealed(path: &str) -> Result<bool> {
    let file = fs::File::open(path).map_err(errno)?;
    // Files that cannot be sealed answer EINVAL.
    Ok(rustix::fs::fcntl_get_seals(&file).is_ok_and(|seals| seals.contains(rustix::fs::SealFlags::WRITE)))
}

/// The error of the last call into libc.
pub(crate) fn last_error() -> Errno {
    Errno::from_io_error(&std::io::Error::last_os_error()).unwrap_or(Errno::IO)
}

/// The number of an error of the standard library; `EIO` for those without one.
pub fn errno(error: std::io::Error) -> Errno {
    Errno::from_io_error(&error).unwrap_or(Errno::IO)
}
