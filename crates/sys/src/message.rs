//! Packets with file descriptors between two processes.

use std::io::{IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, SocketFlags, SocketType, recvmsg, sendmsg, socketpair,
};

use crate::{Errno, Result};

/// As many descriptors as one packet may carry here.
const MAX_DESCRIPTORS: usize = 4;

/// A pair of connected sockets that keep packets apart.
///
/// # Errors
/// As `socketpair(2)`.
pub fn pair() -> Result<(OwnedFd, OwnedFd)> {
    socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)
}

/// Sends one packet.
///
/// # Errors
/// `EPIPE` where the other end is closed; no signal is raised.
pub fn send(socket: impl AsFd, bytes: &[u8], descriptors: &[BorrowedFd<'_>]) -> Result<()> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_DESCRIPTORS))];
    let mut ancillary = SendAncillaryBuffer::new(&mut space);
    if !descriptors.is_empty() && !ancillary.push(SendAncillaryMessage::ScmRights(descriptors)) {
        return Err(Errno::INVAL);
    }
    loop {
        match sendmsg(&socket, &[IoSlice::new(bytes)], &mut ancillary, SendFlags::NOSIGNAL) {
            Err(Errno::INTR) => {}
            result => return result.map(|_| ()),
        }
    }
}

/// Receives one packet of at most `limit` bytes; an empty one is the end of the connection.
///
/// # Errors
/// `EMSGSIZE` where the packet was longer.
pub fn receive(socket: impl AsFd, limit: usize) -> Result<(Vec<u8>, Vec<OwnedFd>)> {
    let mut bytes = vec![0; limit];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_DESCRIPTORS))];
    let mut ancillary = RecvAncillaryBuffer::new(&mut space);
    let received = loop {
        match recvmsg(&socket, &mut [IoSliceMut::new(&mut bytes)], &mut ancillary, RecvFlags::CMSG_CLOEXEC) {
            Err(Errno::INTR) => {}
            result => break result?,
        }
    };
    if received.flags.intersects(ReturnFlags::TRUNC | ReturnFlags::CTRUNC) {
        return Err(Errno::MSGSIZE);
    }
    bytes.truncate(received.bytes);
    let descriptors = ancillary
        .drain()
        .filter_map(|message| match message {
            RecvAncillaryMessage::ScmRights(descriptors) => Some(descriptors),
            _ => None,
        })
        .flatten()
        .collect();
    Ok((bytes, descriptors))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packet_carries_bytes_and_descriptors() {
        let (left, right) = pair().expect("pair");
        let (inner, _other) = pair().expect("pair");
        send(&left, b"hello", &[inner.as_fd()]).expect("sent");
        let (bytes, descriptors) = receive(&right, 64).expect("received");
        assert_eq!((bytes.as_slice(), descriptors.len()), (b"hello".as_slice(), 1));
    }

    #[test]
    fn closed_end_is_an_empty_packet() {
        let (left, right) = pair().expect("pair");
        drop(left);
        assert!(receive(&right, 64).expect("received").0.is_empty());
    }

    #[test]
    fn too_long_packet_is_refused() {
        let (left, right) = pair().expect("pair");
        send(&left, &[1; 100], &[]).expect("sent");
        assert_eq!(receive(&right, 10).expect_err("longer"), Errno::MSGSIZE);
    }
}
