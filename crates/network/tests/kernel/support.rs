//! A machine made of a network namespace.

use std::fs::File;
use std::io::{ErrorKind, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::process::Command;
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use network::{Config, EndpointRequest, Networks, Sandbox};
use tempfile::TempDir;

/// Runs a test on a machine of its own, with nothing but a loopback interface.
pub(crate) fn on_machine(test: impl FnOnce() + Send) {
    thread::scope(|scope| {
        let thread = scope.spawn(|| {
            sys::netns::unshare().expect("a new network namespace (needs root)");
            run("ip", &["link", "set", "lo", "up"]);
            test();
        });
        if let Err(panic) = thread.join() {
            std::panic::resume_unwind(panic);
        }
    });
}

/// Runs `work` in another network namespace.
pub(crate) fn inside<T: Send>(netns: BorrowedFd<'_>, work: impl FnOnce() -> T + Send) -> T {
    thread::scope(|scope| {
        let thread = scope.spawn(|| {
            sys::netns::join(netns).expect("enter the namespace");
            work()
        });
        thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

/// Runs a command that has to succeed, and returns its output.
pub(crate) fn run(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output().expect("the command starts");
    assert!(output.status.success(), "{program} {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("UTF-8 output")
}

/// An engine's networks on this machine.
pub(crate) struct Engine {
    pub(crate) networks: Networks,
    pub(crate) config: Config,
    pub(crate) folder: TempDir,
}

impl Engine {
    pub(crate) fn new() -> Self {
        Self::with(|_| {})
    }

    pub(crate) fn with(change: impl FnOnce(&mut Config)) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let mut config = Config::new(folder.path().join("network"));
        // What the pool does shows up among the interfaces; its own tests switch it on.
        config.sandbox_pool = 0;
        change(&mut config);
        let networks = Networks::open(config.clone()).expect("open networks");
        networks.restore(Vec::new()).expect("restore");
        Self { networks, config, folder }
    }

    /// Ends this engine's life and starts the next one's, as after a crash.
    pub(crate) fn restart(self) -> (Networks, Config, TempDir) {
        drop(self.networks);
        let networks = Networks::open(self.config.clone()).expect("open networks again");
        (networks, self.config, self.folder)
    }

    pub(crate) fn container(&self, name: &str) -> Sandbox {
        self.networks.connect(request(name)).expect("connect")
    }
}

/// A request to join `bridge`.
pub(crate) fn request(name: &str) -> EndpointRequest {
    EndpointRequest {
        container_id: format!("{name:0>64}"),
        container_name: name.to_owned(),
        network: "bridge".to_owned(),
        ..EndpointRequest::default()
    }
}

/// The container's IPv4 address.
pub(crate) fn address(sandbox: &Sandbox) -> IpAddr {
    sandbox.endpoint.ipv4.expect("an IPv4 address").into()
}

/// A server that answers every connection with the client's address as it sees it, for as long as it lives.
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    stop: Option<mpsc::Sender<()>>,
    thread: Option<thread::JoinHandle<()>>,
}

impl Server {
    /// Listens in the namespace (`None`: here) on this address; port 0 takes any.
    pub(crate) fn start(netns: Option<BorrowedFd<'_>>, address: SocketAddr) -> Self {
        let bind = || TcpListener::bind(address).expect("listen");
        let listener = match netns {
            Some(netns) => inside(netns, bind),
            None => bind(),
        };
        listener.set_nonblocking(true).expect("non-blocking");
        let address = listener.local_addr().expect("an address");
        let (stop, stopped) = mpsc::channel();
        let thread = thread::spawn(move || serve(&listener, &stopped));
        Self { address, stop: Some(stop), thread: Some(thread) }
    }

    /// Listens on every IPv4 address of the sandbox.
    pub(crate) fn in_sandbox(sandbox: &Sandbox, port: u16) -> Self {
        Self::start(Some(sandbox.netns.as_fd()), SocketAddr::from(([0, 0, 0, 0], port)))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn serve(listener: &TcpListener, stopped: &mpsc::Receiver<()>) {
    while stopped.try_recv() == Err(mpsc::TryRecvError::Empty) {
        match listener.accept() {
            Ok((mut stream, peer)) => {
                let _ = stream.write_all(peer.ip().to_string().as_bytes());
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => thread::sleep(Duration::from_millis(2)),
            Err(error) => panic!("accept: {error}"),
        }
    }
}

/// Connects, and returns the address the server sees; `None` where it cannot be reached within two seconds. After one the
/// kernel tries a second time, so that a single packet may be lost.
pub(crate) fn ask(server: SocketAddr) -> Option<IpAddr> {
    let mut stream = TcpStream::connect_timeout(&server, Duration::from_secs(2)).ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    answer.parse().ok()
}

/// As [`ask`], from another namespace.
pub(crate) fn ask_from(netns: BorrowedFd<'_>, server: SocketAddr) -> Option<IpAddr> {
    inside(netns, || ask(server))
}

/// A second machine on the same wire: this one is 198.51.100.1 on `wire0`, the other 198.51.100.2.
pub(crate) struct Neighbour {
    pub(crate) netns: OwnedFd,
}

pub(crate) const HERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(198, 51, 100, 1));
pub(crate) const THERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(198, 51, 100, 2));

impl Neighbour {
    pub(crate) fn new() -> Self {
        let netns = thread::scope(|scope| {
            let thread = scope.spawn(|| {
                sys::netns::unshare().expect("a new network namespace");
                sys::netns::current().expect("its handle")
            });
            thread.join().expect("the thread ends")
        });
        let handle = format!("/proc/{}/fd/{}", std::process::id(), netns.as_raw_fd());
        run("ip", &["link", "add", "wire0", "type", "veth", "peer", "name", "wire1", "netns", &handle]);
        run("ip", &["address", "add", "198.51.100.1/24", "dev", "wire0"]);
        run("ip", &["link", "set", "wire0", "up"]);
        inside(netns.as_fd(), || {
            run("ip", &["link", "set", "lo", "up"]);
            run("ip", &["address", "add", "198.51.100.2/24", "dev", "wire1"]);
            run("ip", &["link", "set", "wire1", "up"]);
            await_carrier("wire1");
        });
        await_carrier("wire0");
        Self { netns }
    }

    /// Lets it send packets for `network` here.
    pub(crate) fn route_here(&self, network: &str) {
        inside(self.netns.as_fd(), || run("ip", &["route", "add", network, "via", "198.51.100.1"]));
    }
}

/// Waits until the kernel has noticed that a wire has two ends: what is sent before is lost, and on a busy machine that can
/// be a second after the ends are up.
fn await_carrier(interface: &str) {
    eventually("the interface to be in use", || {
        run("ip", &["-o", "link", "show", interface]).contains("state UP")
    });
}

/// The names of this machine's veth interfaces.
pub(crate) fn veths() -> Vec<String> {
    let text = run("ip", &["-o", "link", "show", "type", "veth"]);
    let name = |line: &str| {
        line.split_whitespace().nth(1).map(|name| name.split('@').next().unwrap_or(name).to_owned())
    };
    text.lines().filter_map(name).map(|name| name.trim_end_matches(':').to_owned()).collect()
}

/// Waits until `condition` holds, for 10 seconds at most: the kernel takes namespaces apart in its own time.
pub(crate) fn eventually(what: &str, condition: impl Fn() -> bool) {
    let start = Instant::now();
    while !condition() {
        assert!(start.elapsed() < Duration::from_secs(10), "{what}: not within 10 seconds");
        thread::sleep(Duration::from_millis(20));
    }
}

/// The inode that identifies a namespace.
pub(crate) fn identity(netns: BorrowedFd<'_>) -> u64 {
    use std::os::unix::fs::MetadataExt;
    let file = File::from(netns.try_clone_to_owned().expect("duplicate"));
    file.metadata().expect("metadata").ino()
}
