//! The daemon: an engine, its API, the sockets on which it is served, and the signals that end it.
//!
//! The order of a start is also what makes it safe: settings, then the lock on the data root, the pid file, the sockets
//! (clients may connect from now on and wait), then the engine, then answers. The end goes the other way. Containers run on
//! in any case.

mod arguments;
mod config_file;
mod listen;
mod pidfile;
mod settings;

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use engine::Engine;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tokio_util::task::TaskTracker;
use tracing_subscriber::EnvFilter;

pub use arguments::Arguments;
pub use config_file::ConfigFileError;
pub use listen::ListenError;
pub use pidfile::PidfileError;
pub use settings::{Settings, SettingsError};

use crate::http;
use crate::routes::Api;

/// How long answers that are on their way may take once the daemon is asked to end.
const GRACE: Duration = Duration::from_secs(2);
/// What memory is taken from before the engine: as systemd's unit for dockerd has it.
const OOM_SCORE_ADJUST: &str = "-500";
/// Stacks of threads: the deepest calls are those that parse JSON.
const STACK: usize = 1024 * 1024;

/// Why the daemon did not start.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A flag or the configuration file is wrong.
    #[error(transparent)]
    Settings(#[from] SettingsError),
    /// A folder could not be made.
    #[error("make folder {}: {source}", path.display())]
    Folder {
        /// Which.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// Another engine uses the data root.
    #[error("the data root {} is in use by another engine", .0.display())]
    DataRootInUse(PathBuf),
    /// The data root could not be locked.
    #[error("lock {}: {source}", path.display())]
    Lock {
        /// The lock file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// The pid file could not be written.
    #[error(transparent)]
    Pidfile(#[from] PidfileError),
    /// A socket could not be opened.
    #[error(transparent)]
    Listen(#[from] ListenError),
    /// The builder could not be opened.
    #[error("open the builder: {0}")]
    Builder(#[from] build::Error),
    /// The engine could not be opened.
    #[error("{}", chain(.0))]
    Engine(#[from] engine::OpenError),
    /// Threads or signal handlers could not be set up.
    #[error("start the daemon: {0}")]
    Runtime(#[source] io::Error),
}

/// An error and its causes, in one line.
fn chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |cause| cause.source());
    causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}

/// Lets the kernel take ordinary processes before the engine when memory runs out.
fn protect_from_the_killer() {
    match std::fs::write("/proc/self/oom_score_adj", OOM_SCORE_ADJUST) {
        // Inside a container of less privilege there is nothing to be done.
        Err(error) if error.kind() != io::ErrorKind::PermissionDenied => {
            tracing::warn!(%error, "cannot set oom_score_adj");
        }
        _ => {}
    }
}

/// Runs the daemon until a signal ends it. Must be called before any thread is started.
///
/// # Errors
/// Where it could not start.
pub fn run(arguments: Arguments) -> Result<(), Error> {
    let settings = Settings::new(arguments)?;
    if settings.validate_only {
        println!("configuration OK");
        return Ok(());
    }
    start_logging(&settings);
    protect_from_the_killer();
    let folders = [&settings.engine.lib, &settings.engine.run];
    for path in folders {
        std::fs::create_dir_all(path).map_err(|source| Error::Folder { path: path.clone(), source })?;
    }
    let _lock = lock(settings.engine.lib.join("engine.lock"))?;
    let _pidfile = pidfile::Pidfile::write(&settings.pidfile)?;
    // Large blocks go back to the kernel at once, and few threads share few arenas: an idle engine stays small.
    sys::allocator::map_blocks_above(256 * 1024);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .thread_stack_size(STACK)
        .thread_keep_alive(Duration::from_secs(2))
        .enable_all()
        .build()
        .map_err(Error::Runtime)?;
    let result = runtime.block_on(serve(settings));
    // Work that blocks on a file must not keep a daemon from ending that was told to.
    runtime.shutdown_timeout(GRACE);
    result
}

fn lock(path: PathBuf) -> Result<sys::file::ProcessLock, Error> {
    match sys::file::ProcessLock::try_acquire(&path) {
        Ok(lock) => Ok(lock),
        Err(sys::Errno::WOULDBLOCK) => Err(Error::DataRootInUse(path.parent().unwrap_or(&path).to_owned())),
        Err(errno) => Err(Error::Lock { path, source: errno.into() }),
    }
}

async fn serve(settings: Settings) -> Result<(), Error> {
    let mut signals = Signals::new().map_err(Error::Runtime)?;
    let sockets = listen::open_all(&settings.hosts, &settings.group)?;
    let (stop, stopped) = watch::channel(false);
    let connections = TaskTracker::new();
    let engine = Engine::open(settings.engine).await?;
    let images = engine.images().clone();
    let (lib, run) = (engine.config().lib.join("build"), engine.config().run.join("build"));
    let builder = build::Builder::open(&lib, &run, Arc::clone(&images))?;
    let api = Arc::new(Api::new(engine, settings.registries, builder));
    sys::allocator::release_unused();
    let mut serving = tokio::task::JoinSet::new();
    let mut names = Vec::new();
    for listen::Socket { acceptor, name, guard } in sockets {
        tracing::info!(socket = %name, "serving");
        names.push(guard);
        serving.spawn(http::serve(acceptor, Arc::clone(&api), connections.clone(), stopped.clone()));
    }
    signals.wait_for_end().await;
    tracing::info!("ending; containers run on");
    images.keep_partial_blobs();
    stop.send_replace(true);
    serving.join_all().await;
    connections.close();
    // A client that follows a log or waits for events would keep the daemon for ever.
    let _ = tokio::time::timeout(GRACE, connections.wait()).await;
    Ok(())
}

struct Signals {
    terminate: tokio::signal::unix::Signal,
    interrupt: tokio::signal::unix::Signal,
    hangup: tokio::signal::unix::Signal,
}

impl Signals {
    fn new() -> io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hangup: signal(SignalKind::hangup())?,
        })
    }

    async fn wait_for_end(&mut self) {
        loop {
            tokio::select! {
                _ = self.terminate.recv() => return,
                _ = self.interrupt.recv() => return,
                _ = self.hangup.recv() => tracing::warn!("settings cannot be reloaded; restart the engine, containers run on"),
            }
        }
    }
}

fn start_logging(settings: &Settings) {
    let filter = EnvFilter::builder().with_default_directive(settings.log_level.into()).parse_lossy("");
    let subscriber = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(io::stderr)
        .with_ansi(false)
        .with_target(settings.log_level >= tracing::level_filters::LevelFilter::DEBUG)
        .finish();
    // Only a test that runs two daemons in one process has one already.
    let _ = tracing::subscriber::set_global_default(subscriber);
}
