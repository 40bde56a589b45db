//! The builder as the server sees it.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use dockerfile::plan::Remote;
use image::ImageStore;
use registry::{InFlight, Registry};
use tokio::sync::Semaphore;

use crate::cache::{Cache, CacheFilter, CacheRecord, Pruned};
use crate::context::{git, http};
use crate::error::Error;
use crate::exchange;
use crate::execute::CacheFolders;
use crate::host::Host;
use crate::output::{self, Built};
use crate::progress::Progress;
use crate::request::{Context, Request};
use crate::solve;
use crate::work::{Work, WorkFolder, make_folder};

/// Builds images. Clones are one builder.
#[derive(Clone)]
pub struct Builder {
    shared: Arc<Shared>,
}

/// What all builds have in common.
pub(crate) struct Shared {
    pub(crate) images: Arc<ImageStore>,
    pub(crate) cache: Cache,
    pub(crate) work: Work,
    pub(crate) folder: PathBuf,
    /// Where secrets are while commands use them.
    pub(crate) secrets: Work,
    /// Who makes which result.
    pub(crate) turns: InFlight,
    /// The folders of cache mounts.
    pub(crate) caches: CacheFolders,
    /// Commands that may run at the same time.
    pub(crate) commands: Arc<Semaphore>,
}

/// The part of the disk that results of builds may take which no image has.
const SHARE: u64 = 10;

/// For how long files of contexts are remembered whose builds find nothing new.
const MEMORY: Duration = Duration::from_secs(90 * 24 * 60 * 60);

impl Shared {
    /// Removes the results that were not used for longest, where all take more than their share of the disk.
    fn collect(&self) -> Result<(), Error> {
        let disk = rustix::fs::statvfs(&self.folder)
            .map_err(|errno| Error::io("look at the disk of", &self.folder)(errno.into()))?;
        let keep = disk.f_blocks * disk.f_frsize / SHARE;
        self.prune(&CacheFilter { keep, ..CacheFilter::default() }).map(drop)
    }

    /// Results and folders of cache mounts.
    fn records(&self) -> Result<Vec<CacheRecord>, Error> {
        let mut records = self.cache.records();
        records.extend(self.caches.records()?);
        records.sort_by(|one, other| (one.last_used, &one.id).cmp(&(other.last_used, &other.id)));
        Ok(records)
    }

    /// Removes results, with the lists of their files, and folders of cache mounts.
    fn prune(&self, filter: &CacheFilter) -> Result<Pruned, Error> {
        let going = filter.choose(&self.records()?);
        if going.is_empty() {
            return Ok(Pruned::default());
        }
        let mut pruned = self.cache.release_all(&going)?;
        self.forget_listings()?;
        let folders = self.caches.remove(&going)?;
        pruned.ids.extend(folders.ids);
        pruned.reclaimed += folders.reclaimed;
        Ok(pruned)
    }

    /// Removes the lists of files of results that are no longer there.
    fn forget_listings(&self) -> Result<(), Error> {
        let known = self.cache.names();
        forget(&self.folder.join("listings"), |name, _| !known.contains(name))
    }

    /// Removes what is known of the files of contexts that were not built for long, and what a killed engine left there.
    fn forget_contexts(&self) -> Result<(), Error> {
        let is_old = |path: &Path| {
            let modified = std::fs::metadata(path).and_then(|file| file.modified()).ok();
            modified.and_then(|time| time.elapsed().ok()).is_some_and(|age| age > MEMORY)
        };
        forget(&self.folder.join("contexts"), |name, path| name.len() != 64 || is_old(path))
    }
}

/// Removes files of a folder, by name and path.
fn forget(folder: &Path, is_to_go: impl Fn(&str, &Path) -> bool) -> Result<(), Error> {
    for entry in std::fs::read_dir(folder).map_err(Error::io("read folder", folder))? {
        let path = entry.map_err(Error::io("read folder", folder))?.path();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        if is_to_go(name, &path) {
            match std::fs::remove_file(&path) {
                // Somebody else was faster.
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
                result => result.map_err(Error::io("remove", &path))?,
            }
        }
    }
    Ok(())
}

impl Builder {
    /// Opens the builder whose files are in `folder`; what must not survive a reboot is in `run`.
    ///
    /// # Errors
    /// When its files or the image store cannot be read or written.
    pub fn open(folder: &Path, run: &Path, images: Arc<ImageStore>) -> Result<Self, Error> {
        for folder in [folder, &folder.join("empty"), &folder.join("listings"), &folder.join("contexts")] {
            make_folder(folder)?;
        }
        let work = Work::open(&folder.join("work"))?;
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        let shared = Shared {
            cache: Cache::open(Arc::clone(&images))?,
            images,
            caches: CacheFolders::open(folder.join("caches"), work.clone())?,
            work,
            folder: folder.to_owned(),
            secrets: Work::open(&run.join("secrets"))?,
            turns: InFlight::default(),
            commands: Arc::new(Semaphore::new(processors.max(2) * 2)),
        };
        shared.forget_listings()?;
        shared.forget_contexts()?;
        Ok(Self { shared: Arc::new(shared) })
    }

    /// Builds an image; `host` runs its commands and pulls its bases. Dropping the future cancels the build.
    ///
    /// # Errors
    /// Why there is none. Results of steps that succeeded are kept.
    pub async fn build(
        &self,
        request: Request,
        host: Arc<dyn Host>,
        progress: Progress,
    ) -> Result<Built, Error> {
        let shared = Arc::clone(&self.shared);
        let built = Self::solve_and_export(&shared, request, host, &progress).await;
        // Off everybody's way.
        tokio::task::spawn_blocking(move || {
            if let Err(error) = shared.cache.save().and_then(|()| shared.collect()) {
                tracing::warn!(%error, "cannot bring the results of builds in order");
            }
        });
        built
    }

    async fn solve_and_export(
        shared: &Arc<Shared>,
        request: Request,
        host: Arc<dyn Host>,
        progress: &Progress,
    ) -> Result<Built, Error> {
        let solved = solve::solve(shared, Arc::new(request), Arc::clone(&host), progress).await?;
        let solved = Arc::new(solved);
        let built = output::image(shared, Arc::clone(&solved), progress).await?;
        exchange::export(shared, host.as_ref(), &solved, progress).await?;
        Ok(built)
    }

    /// A new, empty folder, for files that a client sends.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn work_folder(&self) -> Result<WorkFolder, Error> {
        self.shared.work.folder()
    }

    /// Fetches the context of a build that is at an address or in a repository, and the Dockerfile where that is all there is.
    ///
    /// # Errors
    /// When `remote` is no address, or what is there cannot be had.
    pub async fn fetch_context(
        &self,
        remote: &str,
        client: &Registry,
        ssh_agent: Option<PathBuf>,
    ) -> Result<(Context, Option<Vec<u8>>), Error> {
        let folder = self.shared.work.folder()?;
        let found = Remote::of_context(remote)
            .map_err(|error| Error::Dockerfile { error: Box::new(error), excerpt: String::new() })?;
        let mut dockerfile = None;
        match found {
            None => return Err(Error::Remote(remote.to_owned())),
            Some(Remote::Git(git)) => {
                let proxies = client.proxies_with_passwords().clone();
                let options = git::Options { proxies, ssh_agent, ..git::Options::default() };
                let resolved = git::resolve(&git, &options).await?;
                git::fetch(&git, &resolved, folder.path(), &options).await?;
            }
            Some(Remote::Http(http)) => {
                let found =
                    http::fetch_context(client, &http.url, folder.path(), Arc::new(|_, _| {})).await?;
                if let http::Context::Dockerfile(text) = found {
                    dockerfile = Some(text);
                }
            }
        }
        let path = folder.path().to_owned();
        Ok((Context::work(folder).map_err(Error::io("open", path))?, dockerfile))
    }

    /// What is kept of earlier builds, the least recently used first. Blocks.
    ///
    /// # Errors
    /// When the folders of cache mounts cannot be read.
    pub fn records(&self) -> Result<Vec<CacheRecord>, Error> {
        self.shared.records()
    }

    /// Removes what is kept of earlier builds. Blocks.
    ///
    /// # Errors
    /// When the image store cannot be written.
    pub fn prune(&self, filter: &CacheFilter) -> Result<Pruned, Error> {
        self.shared.prune(filter)
    }
}
