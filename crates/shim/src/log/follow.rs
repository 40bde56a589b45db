//! A log as a stream of rendered pieces for an asynchronous reader.

use std::future::Future;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::pin::pin;

use rustix::fs::inotify::{self, CreateFlags, WatchFlags};
use tokio::io::unix::AsyncFd;
use tokio::sync::mpsc;

use super::{Batch, LogError, Progress, ReadOptions, Reader, Render, render};
use crate::config::Log;
use crate::readiness::readable;

/// Pieces that are read ahead of whoever takes them.
const AHEAD: usize = 8;

/// What follows the present end of the log.
#[derive(Debug)]
pub enum Follow<F> {
    /// Nothing: the stream ends there.
    No,
    /// What the container writes until it has ended, which the future tells. Everything written before is read then.
    Until(F),
}

/// Reads a log in a task of its own; the channel ends with the log, or after an error.
///
/// Has to be called inside a tokio runtime. Files are read in its blocking threads, ahead of the receiver by a few pieces.
/// Dropping the receiver ends the task.
pub fn stream<F>(
    log: Log,
    options: ReadOptions,
    rendering: Render,
    follow: Follow<F>,
) -> mpsc::Receiver<Result<Vec<u8>, LogError>>
where
    F: Future<Output = ()> + Send + 'static,
{
    let (sender, receiver) = mpsc::channel(AHEAD);
    tokio::spawn(async move {
        if let Err(error) = run(log, options, rendering, follow, &sender).await {
            // The receiver may have gone.
            let _ = sender.send(Err(error)).await;
        }
    });
    receiver
}

type Pieces = mpsc::Sender<Result<Vec<u8>, LogError>>;

async fn run<F>(
    log: Log,
    options: ReadOptions,
    rendering: Render,
    follow: Follow<F>,
    pieces: &Pieces,
) -> Result<(), LogError>
where
    F: Future<Output = ()> + Send,
{
    let Follow::Until(ended) = follow else {
        let reader = open(log, options).await?;
        drain(reader, rendering, pieces.clone()).await?;
        return Ok(());
    };
    // Watched before the first read, so that nothing written after that goes unnoticed.
    let watch = Watch::new(&log)?;
    let mut reader = Some(open(log, options).await?);
    let mut ended = pin!(ended);
    let mut last = false;
    while let Some(present) = reader.take() {
        reader = drain(present, rendering, pieces.clone()).await?;
        if last || reader.is_none() {
            break;
        }
        tokio::select! {
            () = &mut ended => last = true,
            () = pieces.closed() => break,
            result = watch.changed() => result?,
        }
    }
    Ok(())
}

async fn open(log: Log, options: ReadOptions) -> Result<Reader, LogError> {
    blocking(move || Reader::open(&log, options)).await
}

/// Sends everything up to the present end; `None` where nothing more is to come.
async fn drain(mut reader: Reader, rendering: Render, pieces: Pieces) -> Result<Option<Reader>, LogError> {
    blocking(move || {
        let mut batch = Batch::default();
        loop {
            match reader.next_batch(&mut batch)? {
                Progress::Read => {
                    let mut piece = Vec::with_capacity(batch.text_length() + 16 * batch.iter().len());
                    render(batch.iter(), rendering, &mut piece);
                    if pieces.blocking_send(Ok(piece)).is_err() {
                        return Ok(None);
                    }
                }
                Progress::AtEnd => return Ok(Some(reader)),
                Progress::Finished => return Ok(None),
            }
        }
    })
    .await
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    match tokio::task::spawn_blocking(work).await {
        Ok(value) => value,
        Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
        Err(_) => std::future::pending().await,
    }
}

/// Tells when the directory of a log has changed.
struct Watch {
    path: std::path::PathBuf,
    inotify: AsyncFd<OwnedFd>,
}

impl Watch {
    fn new(log: &Log) -> Result<Self, LogError> {
        let path = match log {
            Log::None => return Err(LogError::NotKept),
            Log::JsonFile { path, .. } | Log::Local { path, .. } => path.parent().unwrap_or(Path::new(".")),
        };
        let create = || -> io::Result<AsyncFd<OwnedFd>> {
            let inotify = inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK)?;
            let events = WatchFlags::MODIFY | WatchFlags::CREATE | WatchFlags::MOVED_TO | WatchFlags::ONLYDIR;
            inotify::add_watch(&inotify, path, events)?;
            readable(inotify)
        };
        Ok(Self { path: path.into(), inotify: create().map_err(LogError::io("watch", path))? })
    }

    /// Waits for a change since the last call.
    async fn changed(&self) -> Result<(), LogError> {
        let wait = async {
            let mut guard = self.inotify.readable().await?;
            let mut space = [MaybeUninit::uninit(); 4096];
            let mut events = inotify::Reader::new(self.inotify.get_ref(), &mut space);
            loop {
                match events.next() {
                    Ok(_) => {}
                    Err(rustix::io::Errno::AGAIN) => break guard.clear_ready(),
                    Err(error) => return Err(io::Error::from(error)),
                }
            }
            Ok(())
        };
        wait.await.map_err(LogError::io("watch", &self.path))
    }
}
