//! What is in a file: its bytes and its extended attributes.

use std::ffi::CStr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use ring::digest::{Context, SHA256};
use rustix::fs::{Mode, OFlags};
use sys::Errno;

use super::picture::{Hash, Stamp, hash_of, put};

/// Files up to this are read as a whole.
pub(super) const SMALL: usize = 128 << 10;

/// Reads a regular file that may be replaced by anything meanwhile.
///
/// # Errors
/// As `open(2)`: `ELOOP` where it is a link by now.
pub(super) fn open(folder: BorrowedFd<'_>, name: &CStr) -> Result<OwnedFd, Errno> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    rustix::fs::openat(folder, name, flags, Mode::empty())
}

pub(super) fn stamp_of(file: impl AsFd) -> Result<Stamp, Errno> {
    Ok(Stamp::of(&rustix::fs::fstat(file)?))
}

/// Reads a file of at most [`SMALL`] bytes to the beginning of a longer buffer, and tells its length.
pub(super) fn read_small(file: &OwnedFd, buffer: &mut [u8]) -> Result<usize, Errno> {
    loop {
        match rustix::io::pread(file, &mut *buffer, 0) {
            Err(Errno::INTR) => {}
            // Shorter than the system said only where it was cut meanwhile.
            result => return result,
        }
    }
}

/// The hash of what a file has, and whether it has attributes.
pub(super) fn hash(file: &OwnedFd, size: u64, buffer: &mut [u8]) -> Result<(Hash, bool), Errno> {
    let content = match usize::try_from(size) {
        Ok(size) if size <= SMALL => {
            let length = read_small(file, &mut buffer[..=size])?;
            hash_of(&buffer[..length])
        }
        _ => hash_large(file, buffer)?,
    };
    let attributes = sys::attributes::read(file.as_fd())?;
    Ok((with_attributes(&content, &attributes), !attributes.is_empty()))
}

/// The hash of contents together with that of attributes.
pub(super) fn with_attributes(content: &Hash, attributes: &[sys::attributes::Attribute]) -> Hash {
    if attributes.is_empty() {
        return *content;
    }
    let mut bytes = content.to_vec();
    for (name, value) in attributes {
        put(&mut bytes, name);
        put(&mut bytes, value);
    }
    hash_of(&bytes)
}

fn hash_large(file: &OwnedFd, buffer: &mut [u8]) -> Result<Hash, Errno> {
    let mut context = Context::new(&SHA256);
    let mut offset = 0;
    loop {
        match rustix::io::pread(file, &mut *buffer, offset) {
            Ok(0) => break,
            Ok(count) => {
                context.update(&buffer[..count]);
                offset += count as u64;
            }
            Err(Errno::INTR) => {}
            Err(errno) => return Err(errno),
        }
    }
    Ok(context.finish().as_ref().try_into().expect("a SHA-256 has 32 bytes"))
}
