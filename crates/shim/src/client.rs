//! The engine's end of a control connection.

use std::collections::HashMap;
use std::future::Future;
use std::io;
use std::mem;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType};
use rustix::process::{Pid, PidfdFlags, WaitId, WaitIdOptions};
use tokio::io::Interest;
use tokio::net::UnixStream;
use tokio::sync::{Notify, mpsc, oneshot};

use crate::message::{Event, Failure, Message, Reply, Request, RequestBody};
use crate::readiness::readable;
use crate::wire::{Fill, FrameReader, FrameWriter, WireError};

/// The name of the control socket in the run directory.
pub const SOCKET_FILE: &str = "control.sock";

/// What a supervisor tells without being asked, in order. Ends when the connection is lost; no event is missed before.
pub type Events = mpsc::UnboundedReceiver<Event>;

/// Why a supervisor cannot be reached.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// Nobody listens: the supervisor has ended. Its exit record tells how the container did.
    #[error("no supervisor listens in {run_dir}")]
    Gone {
        /// Where its socket was looked for.
        run_dir: PathBuf,
    },
    /// Anything else.
    #[error("cannot connect to the supervisor in {run_dir}")]
    Io {
        /// Where its socket is.
        run_dir: PathBuf,
        /// What failed.
        source: io::Error,
    },
}

/// Why a request was not answered as hoped.
#[derive(Debug, thiserror::Error)]
pub enum RequestError {
    /// The supervisor refused or failed.
    #[error("{}", .0.message)]
    Failed(Failure),
    /// The connection was lost before the answer came.
    #[error("the supervisor has closed the connection")]
    Disconnected,
    /// The request could not be written down.
    #[error("cannot encode the request")]
    Encode(#[source] WireError),
}

/// A connection to one supervisor. Requests of any number of callers are pipelined and answered in order.
///
/// Dropping it closes the connection; the supervisor and its container go on.
#[derive(Debug)]
pub struct Client {
    connection: Arc<Connection>,
}

#[derive(Debug)]
struct Connection {
    socket: UnixStream,
    pid: i32,
    pidfd: Arc<OwnedFd>,
    state: Mutex<State>,
    /// Told when the socket did not take everything at once.
    unsent: Notify,
}

#[derive(Debug, Default)]
struct State {
    sequence: u64,
    writer: FrameWriter,
    waiting: HashMap<u64, oneshot::Sender<Result<Reply, RequestError>>>,
    closed: bool,
}

/// An answer that has not come yet. The request is under way whether or not this is awaited.
#[derive(Debug)]
pub struct PendingReply(oneshot::Receiver<Result<Reply, RequestError>>);

impl Future for PendingReply {
    type Output = Result<Reply, RequestError>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let received = Pin::new(&mut self.0).poll(context);
        received.map(|result| result.unwrap_or(Err(RequestError::Disconnected)))
    }
}

impl Client {
    /// Connects to the supervisor that was started with this run directory, by this engine or an earlier one.
    ///
    /// # Errors
    /// [`ConnectError::Gone`] when it has ended.
    pub async fn connect(run_dir: &Path) -> Result<(Self, Events), ConnectError> {
        let failed = |source: io::Error| match source.kind() {
            io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => {
                ConnectError::Gone { run_dir: run_dir.into() }
            }
            _ => ConnectError::Io { run_dir: run_dir.into(), source },
        };
        let socket = connect_in(run_dir).map_err(failed)?;
        let peer = rustix::net::sockopt::socket_peercred(&socket).map_err(|error| failed(error.into()))?;
        Self::over(socket, peer.pid.as_raw_nonzero().get(), Relation::Stranger).map_err(failed)
    }

    /// The connection to a supervisor that this process has just started.
    pub(crate) fn adopt(socket: std::os::unix::net::UnixStream, pid: i32) -> io::Result<(Self, Events)> {
        Self::over(socket, pid, Relation::Child)
    }

    fn over(
        socket: std::os::unix::net::UnixStream,
        pid: i32,
        relation: Relation,
    ) -> io::Result<(Self, Events)> {
        let process = Pid::from_raw(pid).ok_or(io::ErrorKind::NotFound)?;
        let connection = Arc::new(Connection {
            socket: UnixStream::from_std(socket)?,
            pid,
            pidfd: Arc::new(rustix::process::pidfd_open(process, PidfdFlags::empty())?),
            state: Mutex::default(),
            unsent: Notify::new(),
        });
        let (sender, events) = mpsc::unbounded_channel();
        // The task ends with the connection, which this client or the supervisor closes.
        tokio::spawn(serve(connection.clone(), sender, relation));
        Ok((Self { connection }, events))
    }

    /// Sends one request and waits for its answer. The request is under way even if the future is dropped.
    ///
    /// # Errors
    /// The supervisor's refusal, or the loss of the connection.
    pub async fn request(&self, body: RequestBody, descriptors: Vec<OwnedFd>) -> Result<Reply, RequestError> {
        self.send([(body, descriptors)]).remove(0).await
    }

    /// Sends several requests in one write; one answer each, in order. They are sent when this returns.
    pub fn send(&self, requests: impl IntoIterator<Item = (RequestBody, Vec<OwnedFd>)>) -> Vec<PendingReply> {
        let mut state = self.connection.lock();
        let replies = requests.into_iter().map(|(body, fds)| state.enqueue(body, fds)).collect();
        match state.writer.flush(self.connection.socket.as_fd()) {
            Ok(true) => {}
            Ok(false) => self.connection.unsent.notify_one(),
            Err(_) => state.stop_sending(),
        }
        replies
    }

    /// The supervisor's process ID.
    pub fn supervisor_pid(&self) -> i32 {
        self.connection.pid
    }

    /// The supervisor's process, immune to reuse of its ID; readable once it has ended.
    pub fn supervisor_pidfd(&self) -> BorrowedFd<'_> {
        self.connection.pidfd.as_fd()
    }

    /// The supervisor's process, to be waited for after this client is gone.
    pub fn supervisor(&self) -> Supervisor {
        Supervisor { pidfd: self.connection.pidfd.clone() }
    }

    /// Whether the connection has been lost.
    pub fn is_closed(&self) -> bool {
        self.connection.lock().closed
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        // The task that reads sees the end, and drops the socket.
        let _ = rustix::net::shutdown(&self.connection.socket, rustix::net::Shutdown::Both);
    }
}

/// The process of a supervisor.
#[derive(Debug)]
pub struct Supervisor {
    pidfd: Arc<OwnedFd>,
}

impl Supervisor {
    /// Waits for its end. Only then the container's file systems are unmounted, and written back.
    ///
    /// # Errors
    /// The process cannot be watched.
    pub async fn ended(&self) -> io::Result<()> {
        // The connection's task may watch the same descriptor, and epoll takes each once.
        let pidfd = Arc::new(self.pidfd.try_clone()?);
        drop(readable(pidfd)?.readable().await?);
        Ok(())
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Relation {
    Child,
    Stranger,
}

impl Connection {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn interest(&self) -> Interest {
        let state = self.lock();
        if state.writer.pending() > 0 { Interest::READABLE | Interest::WRITABLE } else { Interest::READABLE }
    }

    fn flush(&self) {
        let mut state = self.lock();
        let result = self.socket.try_io(Interest::WRITABLE, || {
            let done = state.writer.flush(self.socket.as_fd())?;
            if done { Ok(()) } else { Err(io::ErrorKind::WouldBlock.into()) }
        });
        match result {
            Err(error) if error.kind() != io::ErrorKind::WouldBlock => state.stop_sending(),
            _ => {}
        }
    }
}

impl State {
    fn enqueue(&mut self, body: RequestBody, descriptors: Vec<OwnedFd>) -> PendingReply {
        let (sender, receiver) = oneshot::channel();
        let reply = PendingReply(receiver);
        if self.closed {
            return reply;
        }
        self.sequence += 1;
        let sequence = self.sequence;
        let request = Request { sequence, descriptors: descriptors.len() as u32, body };
        match self.writer.push(&request, descriptors) {
            Ok(()) => drop(self.waiting.insert(sequence, sender)),
            Err(error) => drop(sender.send(Err(RequestError::Encode(error)))),
        }
        reply
    }

    /// Drops what was not sent. Answers to earlier requests may still be on their way: the end is for the reader to find.
    fn stop_sending(&mut self) {
        self.closed = true;
        self.writer = FrameWriter::default();
    }

    /// Lets everyone who waits know that nothing will come.
    fn close(&mut self) {
        self.stop_sending();
        mem::take(&mut self.waiting);
    }
}

/// Reads until the connection ends, then reaps the supervisor where it is a child.
async fn serve(connection: Arc<Connection>, events: mpsc::UnboundedSender<Event>, relation: Relation) {
    if let Err(error) = transfer(&connection, &events).await {
        tracing::debug!(pid = connection.pid, %error, "connection to supervisor lost");
    }
    connection.lock().close();
    drop(events);
    if relation == Relation::Child
        && let Err(error) = reap(&connection.pidfd).await
    {
        tracing::warn!(pid = connection.pid, %error, "cannot reap supervisor");
    }
}

async fn transfer(connection: &Connection, events: &mpsc::UnboundedSender<Event>) -> io::Result<()> {
    let mut reader = FrameReader::default();
    loop {
        let ready = tokio::select! {
            ready = connection.socket.ready(connection.interest()) => ready?,
            () = connection.unsent.notified() => continue,
        };
        if ready.is_writable() {
            connection.flush();
        }
        if ready.is_readable() && receive(connection, &mut reader, events)? == Fill::End {
            return Ok(());
        }
    }
}

fn receive(
    connection: &Connection,
    reader: &mut FrameReader,
    events: &mpsc::UnboundedSender<Event>,
) -> io::Result<Fill> {
    loop {
        let fill = connection.socket.try_io(Interest::READABLE, || {
            match reader.fill(connection.socket.as_fd())? {
                Fill::WouldBlock => Err(io::ErrorKind::WouldBlock.into()),
                fill => Ok(fill),
            }
        });
        match fill {
            Ok(Fill::End) => return Ok(Fill::End),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                reader.shrink();
                return Ok(Fill::WouldBlock);
            }
            Err(error) => return Err(error),
            Ok(_) => {}
        }
        while let Some(message) = reader.next_frame()? {
            dispatch(connection, events, message);
        }
    }
}

fn dispatch(connection: &Connection, events: &mpsc::UnboundedSender<Event>, message: Message) {
    match message {
        Message::Reply { sequence, result } => {
            if let Some(sender) = connection.lock().waiting.remove(&sequence) {
                // Who asked may have gone.
                let _ = sender.send(result.map_err(RequestError::Failed));
            }
        }
        // Likewise nobody may listen.
        Message::Event(event) => drop(events.send(event)),
    }
}

async fn reap(pidfd: &Arc<OwnedFd>) -> io::Result<()> {
    Supervisor { pidfd: pidfd.clone() }.ended().await?;
    rustix::process::waitid(WaitId::PidFd(pidfd.as_fd()), WaitIdOptions::EXITED)?;
    Ok(())
}

/// Connects by way of the directory's descriptor: the path may be longer than a socket address holds.
fn connect_in(run_dir: &Path) -> io::Result<std::os::unix::net::UnixStream> {
    use rustix::fs::{Mode, OFlags};
    let directory =
        rustix::fs::open(run_dir, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
    let address = SocketAddrUnix::new(format!("/proc/self/fd/{}/{SOCKET_FILE}", directory.as_raw_fd()))?;
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = rustix::net::socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
    rustix::net::connect(&socket, &address)?;
    Ok(socket.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::{State as ContainerState, Status};

    #[tokio::test]
    async fn answer_on_its_way_is_not_lost_by_a_request_that_cannot_be_sent() {
        let (ours, theirs) = std::os::unix::net::UnixStream::pair().unwrap();
        ours.set_nonblocking(true).unwrap();
        let own = std::process::id().cast_signed();
        let (client, _events) = Client::over(ours, own, Relation::Stranger).unwrap();
        let first = client.send([(RequestBody::State, Vec::new())]).remove(0);
        let mut reader = FrameReader::default();
        reader.fill(theirs.as_fd()).unwrap();
        let request: Request = reader.next_frame().unwrap().unwrap();
        let state = ContainerState {
            status: Status::Running,
            pid: 7,
            started_at: None,
            exit: None,
            execs: Vec::new(),
            services: Vec::new(),
        };
        let reply = Message::Reply { sequence: request.sequence, result: Ok(Reply::State(state)) };
        let mut writer = FrameWriter::default();
        writer.push(&reply, Vec::new()).unwrap();
        assert!(writer.flush(theirs.as_fd()).unwrap());
        drop(theirs);
        let second = client.send([(RequestBody::State, Vec::new())]).remove(0);
        assert!(matches!(first.await, Ok(Reply::State(state)) if state.pid == 7));
        assert!(matches!(second.await, Err(RequestError::Disconnected)));
    }
}
