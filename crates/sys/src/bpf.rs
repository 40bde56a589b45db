//! eBPF device programs of version 2 control groups, by the `bpf(2)` system call.

use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use crate::process::last_error;
use crate::{Errno, Result};

/// One eBPF instruction (`struct bpf_insn`).
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Instruction {
    /// Class, operation and operand source.
    pub opcode: u8,
    /// The destination in the low, the source in the high four bits (on big-endian machines the other way round).
    pub registers: u8,
    /// Of a jump or a memory access.
    pub offset: i16,
    /// The constant operand.
    pub immediate: i32,
}

const PROG_LOAD: libc::c_int = 5;
const PROG_ATTACH: libc::c_int = 8;
const PROG_DETACH: libc::c_int = 9;
const PROG_GET_FD_BY_ID: libc::c_int = 13;
const PROG_QUERY: libc::c_int = 16;

const PROG_TYPE_CGROUP_DEVICE: u32 = 15;
const ATTACH_TYPE_CGROUP_DEVICE: u32 = 6;
const ALLOW_MULTI: u32 = 2;

/// The beginning of `union bpf_attr` for `BPF_PROG_LOAD`; the kernel takes what is left out as zero.
#[repr(C)]
#[derive(Default)]
struct LoadAttributes {
    program_type: u32,
    instruction_count: u32,
    instructions: u64,
    license: u64,
    log_level: u32,
    log_size: u32,
    log: u64,
    kernel_version: u32,
    flags: u32,
}

/// For `BPF_PROG_ATTACH` and `BPF_PROG_DETACH`.
#[repr(C)]
#[derive(Default)]
struct AttachAttributes {
    target: u32,
    program: u32,
    attach_type: u32,
    flags: u32,
}

/// For `BPF_PROG_QUERY`.
#[repr(C)]
#[derive(Default)]
struct QueryAttributes {
    target: u32,
    attach_type: u32,
    query_flags: u32,
    attach_flags: u32,
    ids: u64,
    count: u32,
    padding: u32,
}

/// For `BPF_PROG_GET_FD_BY_ID`.
#[repr(C)]
#[derive(Default)]
struct IdAttributes {
    id: u32,
    next: u32,
    flags: u32,
}

/// Loads a program of type `BPF_PROG_TYPE_CGROUP_DEVICE`. Needs `CAP_SYS_ADMIN`.
///
/// # Errors
/// The kernel's, `EINVAL` or `EACCES` where its verifier rejects the program.
pub fn load_device_program(instructions: &[Instruction]) -> Result<OwnedFd> {
    let license = c"Apache-2.0";
    let mut attributes = LoadAttributes {
        program_type: PROG_TYPE_CGROUP_DEVICE,
        instruction_count: u32::try_from(instructions.len()).map_err(|_| Errno::TOOBIG)?,
        instructions: instructions.as_ptr().addr() as u64,
        license: license.as_ptr().addr() as u64,
        ..LoadAttributes::default()
    };
    // SAFETY: the attributes are those of PROG_LOAD; the instructions and the terminated licence outlive the call.
    let descriptor = unsafe { bpf(PROG_LOAD, &mut attributes) }?;
    // SAFETY: PROG_LOAD returned a new descriptor that nothing else owns.
    Ok(unsafe { OwnedFd::from_raw_fd(descriptor) })
}

/// Attaches a device program to a group, beside those that are attached already: a device is open to the group's
/// processes only if all of them, and those of the groups above, allow it.
pub fn attach_device_program(group: BorrowedFd<'_>, program: BorrowedFd<'_>) -> Result<()> {
    let mut attributes = AttachAttributes { flags: ALLOW_MULTI, ..attachment(group, program) };
    // SAFETY: the attributes are those of PROG_ATTACH, and hold no pointers.
    unsafe { bpf(PROG_ATTACH, &mut attributes) }.map(drop)
}

/// Detaches a device program from a group.
pub fn detach_device_program(group: BorrowedFd<'_>, program: BorrowedFd<'_>) -> Result<()> {
    let mut attributes = attachment(group, program);
    // SAFETY: the attributes are those of PROG_DETACH, and hold no pointers.
    unsafe { bpf(PROG_DETACH, &mut attributes) }.map(drop)
}

/// The IDs of the device programs attached to the group itself, 64 at most, which is the kernel's own limit.
pub fn attached_device_programs(group: BorrowedFd<'_>) -> Result<Vec<u32>> {
    let mut ids = [0u32; 64];
    let mut attributes = QueryAttributes {
        target: group.as_raw_fd().cast_unsigned(),
        attach_type: ATTACH_TYPE_CGROUP_DEVICE,
        ids: ids.as_mut_ptr().expose_provenance() as u64,
        count: 64,
        ..QueryAttributes::default()
    };
    // SAFETY: the attributes are those of PROG_QUERY; `ids` has room for as many as `count` says and outlives the call.
    unsafe { bpf(PROG_QUERY, &mut attributes) }?;
    Ok(ids[..attributes.count as usize].to_vec())
}

/// Opens the loaded program that has this ID.
pub fn program_by_id(id: u32) -> Result<OwnedFd> {
    let mut attributes = IdAttributes { id, ..IdAttributes::default() };
    // SAFETY: the attributes are those of PROG_GET_FD_BY_ID, and hold no pointers.
    let descriptor = unsafe { bpf(PROG_GET_FD_BY_ID, &mut attributes) }?;
    // SAFETY: PROG_GET_FD_BY_ID returned a new descriptor that nothing else owns.
    Ok(unsafe { OwnedFd::from_raw_fd(descriptor) })
}

fn attachment(group: BorrowedFd<'_>, program: BorrowedFd<'_>) -> AttachAttributes {
    AttachAttributes {
        target: group.as_raw_fd().cast_unsigned(),
        program: program.as_raw_fd().cast_unsigned(),
        attach_type: ATTACH_TYPE_CGROUP_DEVICE,
        flags: 0,
    }
}

/// # Safety
/// `attributes` must be the beginning of `union bpf_attr` as the command reads and writes it, and the pointers in it valid.
unsafe fn bpf<T>(command: libc::c_int, attributes: &mut T) -> Result<libc::c_int> {
    // SAFETY: the pointer and the size are those of the exclusive reference; the rest is the caller's promise.
    let result = unsafe {
        libc::syscall(libc::SYS_bpf, command, std::ptr::from_mut(attributes), size_of::<T>() as libc::c_uint)
    };
    match libc::c_int::try_from(result) {
        Ok(result) if result >= 0 => Ok(result),
        _ => Err(last_error()),
    }
}
