//! Asks the kernel what a system call filter does to system calls, without making them.
//!
//! A child process loads a *shield* first: a filter that turns every marked system call into an error no kernel returns. Then it
//! loads the filter in question and tries each call, marked by its sixth argument. Of two filters the kernel obeys the stricter,
//! and of two errors the one of the filter loaded last: a call that the filter in question allows fails with the shield's error,
//! and one that it refuses with its own. Nothing is executed either way.

use std::io;
use std::mem::offset_of;
use std::sync::atomic::{AtomicI32, Ordering};

use crate::process::last_error;
use crate::seccomp::{self, Instruction};
use crate::{Errno, Result};

/// By which instruction a system call is tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Entry {
    /// The machine's own.
    Native,
    /// `int 0x80`: i386's, on x86-64.
    I386,
}

/// A system call to try.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Call {
    /// How it is entered.
    pub entry: Entry,
    /// Its number.
    pub number: u32,
    /// Its first arguments; the sixth is the mark.
    pub arguments: [u64; 5],
}

/// What the filter does to a system call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// It lets it through.
    Allowed,
    /// It returns this error.
    Refused(i32),
    /// The process ended at it (of `SIGSYS`), and whatever came later was not tried.
    Ended,
}

/// The shield's error, which is none of the kernel's.
const SHIELDED: u16 = 4000;
/// The sixth argument of calls that are tried. It fits into a register of i386.
const MARK: u32 = 0x5eed_cafe;

/// What the filter (with the `SECCOMP_FILTER_FLAG_*` of `flags`) says to each call, in a child process that ends afterwards.
///
/// # Errors
/// The filter could not be loaded, or no child could be made.
pub fn probe(filter: &[Instruction], flags: u32, calls: &[Call]) -> Result<Vec<Answer>> {
    const PENDING: i32 = i32::MIN;
    let shared = Shared::new(calls.len() + 1)?;
    let slots = shared.slots();
    slots.iter().for_each(|slot| slot.store(PENDING, Ordering::Relaxed));
    // SAFETY: the child makes system calls only: it neither allocates nor takes a lock that another thread may hold.
    let child = unsafe { libc::fork() };
    match child {
        -1 => return Err(last_error()),
        0 => run_child(filter, flags, calls, slots),
        _ => wait_for(child)?,
    }
    match slots[calls.len()].load(Ordering::Relaxed) {
        0 => {}
        PENDING => return Err(Errno::CHILD),
        error => return Err(Errno::from_raw_os_error(error)),
    }
    let answers = slots[..calls.len()].iter().map(|slot| match slot.load(Ordering::Relaxed) {
        PENDING => Answer::Ended,
        error if error == i32::from(SHIELDED) => Answer::Allowed,
        error => Answer::Refused(error),
    });
    Ok(answers.collect())
}

fn run_child(filter: &[Instruction], flags: u32, calls: &[Call], slots: &[AtomicI32]) -> ! {
    let (loaded, answers) = slots.split_last().expect("there is one slot more than calls");
    // Without privileges a filter needs this; it also keeps the shield's promise simple.
    // SAFETY: the call takes plain numbers and touches no memory.
    unsafe { libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) };
    let outcome = seccomp::load(&shield(), 0).and_then(|()| seccomp::load(filter, flags));
    loaded.store(outcome.err().map_or(0, Errno::raw_os_error), Ordering::Relaxed);
    if outcome.is_ok() {
        for (call, answer) in calls.iter().zip(answers) {
            answer.store(attempt(call), Ordering::Relaxed);
        }
    }
    // SAFETY: the call does not return, or the filter forbids it and it does nothing.
    unsafe { libc::syscall(libc::SYS_exit_group, 0) };
    // Then the signal of a fault remains.
    std::process::abort()
}

/// `if the sixth argument is the mark, fail; else allow`, on any interface.
fn shield() -> [Instruction; 4] {
    let sixth = u32::try_from(offset_of!(libc::seccomp_data, args)).expect("a small struct") + 5 * 8;
    let operation = |code, constant| Instruction { code, jump_true: 0, jump_false: 0, constant };
    [
        operation(0x20, sixth),
        Instruction { code: 0x15, jump_true: 0, jump_false: 1, constant: MARK },
        operation(0x06, 0x0005_0000 | u32::from(SHIELDED)),
        operation(0x06, 0x7fff_0000),
    ]
}

/// The error of a marked call.
fn attempt(call: &Call) -> i32 {
    match call.entry {
        Entry::Native => attempt_native(call),
        Entry::I386 => attempt_i386(call),
    }
}

fn attempt_native(call: &Call) -> i32 {
    let [a, b, c, d, e] = call.arguments.map(u64::cast_signed);
    // SAFETY: the shield is loaded, so that no call with this mark is executed, whatever its number and arguments.
    let result = unsafe { libc::syscall(i64::from(call.number), a, b, c, d, e, i64::from(MARK)) };
    if result == -1 { last_error().raw_os_error() } else { 0 }
}

#[cfg(target_arch = "x86_64")]
fn attempt_i386(call: &Call) -> i32 {
    let [a, b, c, d, e] = call.arguments.map(|argument| argument as u32);
    let registers: [u32; 7] = [call.number, a, b, c, d, e, MARK];
    let result: i32;
    // SAFETY: as for native calls. The two registers that the compiler keeps for itself are restored, all others that the
    // kernel changes on this way are declared.
    unsafe {
        std::arch::asm!(
            "push rbx",
            "push rbp",
            "mov eax, [rdi]",
            "mov ebx, [rdi + 4]",
            "mov ecx, [rdi + 8]",
            "mov edx, [rdi + 12]",
            "mov esi, [rdi + 16]",
            "mov ebp, [rdi + 24]",
            "mov edi, [rdi + 20]",
            "int 0x80",
            "pop rbp",
            "pop rbx",
            inout("rdi") registers.as_ptr() => _,
            out("eax") result,
            out("ecx") _,
            out("edx") _,
            out("esi") _,
            out("r8") _,
            out("r9") _,
            out("r10") _,
            out("r11") _,
        );
    }
    -result
}

#[cfg(not(target_arch = "x86_64"))]
fn attempt_i386(_call: &Call) -> i32 {
    Errno::NOSYS.raw_os_error()
}

fn wait_for(child: libc::pid_t) -> Result<()> {
    loop {
        // SAFETY: no status is asked for; the child is this function's own.
        match unsafe { libc::waitpid(child, std::ptr::null_mut(), 0) } {
            -1 if io::Error::last_os_error().kind() == io::ErrorKind::Interrupted => {}
            -1 => return Err(last_error()),
            _ => return Ok(()),
        }
    }
}

/// Memory that parent and child both see.
struct Shared {
    start: *mut libc::c_void,
    count: usize,
}

impl Shared {
    fn new(count: usize) -> Result<Self> {
        // SAFETY: a new anonymous mapping, at a place of the kernel's choice, touches no existing memory.
        let start = unsafe {
            libc::mmap(
                std::ptr::null_mut(),
                count * size_of::<AtomicI32>(),
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_SHARED | libc::MAP_ANONYMOUS,
                -1,
                0,
            )
        };
        if start == libc::MAP_FAILED { Err(last_error()) } else { Ok(Self { start, count }) }
    }

    fn slots(&self) -> &[AtomicI32] {
        // SAFETY: the mapping is page aligned, zeroed, long enough, lives as long as `self`, and both processes access it
        // atomically only.
        unsafe { std::slice::from_raw_parts(self.start.cast::<AtomicI32>(), self.count) }
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        // SAFETY: the mapping is this value's own, and no reference to it outlives the value.
        unsafe { libc::munmap(self.start, self.count * size_of::<AtomicI32>()) };
    }
}
