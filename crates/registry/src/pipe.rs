//! Bytes from a connection to a thread that blocks, a bounded number of them ahead.
//!
//! A near registry fills buffers of hundreds of kilobytes, a far one some of a few: what waits is counted in bytes.

use std::io::{self, Read};
use std::sync::Arc;

use bytes::{Buf as _, Bytes};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};

/// Bytes that may wait.
const WAITING: u32 = 1 << 20;
/// Pieces that may wait, however small they are.
const PIECES: usize = 64;

/// A pipe.
pub(crate) fn pipe() -> (Sender, Receiver) {
    let (sender, receiver) = mpsc::channel(PIECES);
    let room = Arc::new(Semaphore::new(WAITING as usize));
    (Sender { room, sender }, Receiver { receiver, current: None, is_done: false })
}

enum Piece {
    /// Bytes, with the room that they take.
    Bytes(Bytes, OwnedSemaphorePermit),
    /// All of it was sent. A stream without it was cut off.
    End,
}

/// The end at the connection.
pub(crate) struct Sender {
    room: Arc<Semaphore>,
    sender: mpsc::Sender<Piece>,
}

impl Sender {
    /// Sends bytes once there is room; `false` when the other end is gone.
    pub(crate) async fn send(&self, bytes: Bytes) -> bool {
        // What is larger than all the room goes alone.
        let size = u32::try_from(bytes.len()).unwrap_or(WAITING).min(WAITING);
        tokio::select! {
            () = self.sender.closed() => false,
            permit = Arc::clone(&self.room).acquire_many_owned(size) => match permit {
                Ok(permit) => self.sender.send(Piece::Bytes(bytes, permit)).await.is_ok(),
                Err(_) => false,
            },
        }
    }

    /// Tells the other end, if it is still there, that this was all.
    pub(crate) async fn finish(self) {
        let _ = self.sender.send(Piece::End).await;
    }
}

/// The end at the thread.
pub(crate) struct Receiver {
    receiver: mpsc::Receiver<Piece>,
    current: Option<(Bytes, OwnedSemaphorePermit)>,
    is_done: bool,
}

impl Read for Receiver {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            if let Some((bytes, _)) = self.current.as_mut().filter(|(bytes, _)| !bytes.is_empty()) {
                let count = buffer.len().min(bytes.len());
                bytes.copy_to_slice(&mut buffer[..count]);
                return Ok(count);
            }
            if self.is_done {
                return Ok(0);
            }
            self.current = None;
            match self.receiver.blocking_recv() {
                Some(Piece::Bytes(bytes, permit)) => self.current = Some((bytes, permit)),
                Some(Piece::End) => self.is_done = true,
                None => return Err(io::Error::new(io::ErrorKind::ConnectionAborted, "download was cut off")),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn piece(length: usize) -> Bytes {
        Bytes::from(vec![7; length])
    }

    #[tokio::test]
    async fn bytes_arrive_in_order_and_an_end_that_is_not_told_is_an_error() {
        let (sender, mut receiver) = pipe();
        let reading = tokio::task::spawn_blocking(move || {
            let mut all = Vec::new();
            receiver.read_to_end(&mut all).map(|_| all)
        });
        for text in ["one ", "", "two"] {
            assert!(sender.send(Bytes::from_static(text.as_bytes())).await);
        }
        sender.finish().await;
        assert_eq!(reading.await.unwrap().unwrap(), b"one two");
        let (sender, mut receiver) = pipe();
        drop(sender);
        let read = tokio::task::spawn_blocking(move || receiver.read(&mut [0]));
        assert_eq!(read.await.unwrap().unwrap_err().kind(), io::ErrorKind::ConnectionAborted);
    }

    #[tokio::test]
    async fn no_more_waits_than_there_is_room_for() {
        let (sender, mut receiver) = pipe();
        let half = WAITING as usize / 2;
        assert!(sender.send(piece(half)).await && sender.send(piece(half)).await);
        let third = sender.send(piece(1));
        tokio::pin!(third);
        assert!(
            tokio::time::timeout(Duration::from_millis(50), &mut third).await.is_err(),
            "there is no room"
        );
        let reading = tokio::task::spawn_blocking(move || {
            receiver.read_exact(&mut vec![0; half + 1]).unwrap();
            receiver
        });
        assert!(third.await);
        drop(reading.await.unwrap());
        assert!(!sender.send(piece(3 * half)).await, "nobody reads any more");
    }

    #[tokio::test]
    async fn sender_that_waits_for_room_is_told_that_nobody_reads() {
        let (sender, receiver) = pipe();
        assert!(sender.send(piece(2 * WAITING as usize)).await, "what is too large goes alone");
        let waiting = tokio::spawn(async move { sender.send(piece(1)).await });
        tokio::time::sleep(Duration::from_millis(20)).await;
        drop(receiver);
        assert!(!waiting.await.unwrap());
    }
}
