//! Bytes from one file to another.

use std::os::fd::OwnedFd;

use rustix::fs::SeekFrom;
use sys::Errno;

/// Writes to a new file.
pub(super) fn write_all(file: &OwnedFd, bytes: &[u8]) -> Result<(), Errno> {
    write_at(file, bytes, 0)
}

fn write_at(file: &OwnedFd, mut bytes: &[u8], mut offset: u64) -> Result<(), Errno> {
    while !bytes.is_empty() {
        match rustix::io::pwrite(file, bytes, offset) {
            Ok(count) => {
                bytes = &bytes[count..];
                offset += count as u64;
            }
            Err(Errno::INTR) => {}
            Err(errno) => return Err(errno),
        }
    }
    Ok(())
}

/// Copies a file, if possible without its bytes; holes stay holes.
pub(super) fn large(source: &OwnedFd, copy: &OwnedFd, size: u64, buffer: &mut [u8]) -> Result<(), Errno> {
    if rustix::fs::ioctl_ficlone(copy, source).is_ok() {
        return Ok(());
    }
    let mut at = 0;
    while at < size {
        let begin = match rustix::fs::seek(source, SeekFrom::Data(at)) {
            Ok(begin) => begin,
            // Nothing but a hole up to the end.
            Err(Errno::NXIO) => break,
            Err(Errno::INVAL) => at,
            Err(errno) => return Err(errno),
        };
        let end = rustix::fs::seek(source, SeekFrom::Hole(begin)).unwrap_or(size).min(size);
        if begin >= end {
            break;
        }
        segment(source, copy, begin, end, buffer)?;
        at = end;
    }
    rustix::fs::ftruncate(copy, size)
}

/// Copies a part, within the kernel where it can.
fn segment(source: &OwnedFd, copy: &OwnedFd, begin: u64, end: u64, buffer: &mut [u8]) -> Result<(), Errno> {
    let (mut from, mut to) = (begin, begin);
    while from < end {
        let count = usize::try_from(end - from).unwrap_or(usize::MAX).min(1 << 30);
        match rustix::fs::copy_file_range(source, Some(&mut from), copy, Some(&mut to), count) {
            // It became shorter.
            Ok(0) => return Ok(()),
            Ok(_) | Err(Errno::INTR) => {}
            Err(Errno::NOSPC) => return Err(Errno::NOSPC),
            Err(_) => return by_hand(source, copy, from, end, buffer),
        }
    }
    Ok(())
}

fn by_hand(source: &OwnedFd, copy: &OwnedFd, mut at: u64, end: u64, buffer: &mut [u8]) -> Result<(), Errno> {
    while at < end {
        let room = usize::try_from(end - at).unwrap_or(usize::MAX).min(buffer.len());
        match rustix::io::pread(source, &mut buffer[..room], at) {
            Ok(0) => return Ok(()),
            Ok(count) => {
                write_at(copy, &buffer[..count], at)?;
                at += count as u64;
            }
            Err(Errno::INTR) => {}
            Err(errno) => return Err(errno),
        }
    }
    Ok(())
}
