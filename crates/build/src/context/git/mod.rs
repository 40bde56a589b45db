//! Repositories: for `ADD`, and as contexts of builds.
//!
//! They are fetched by the `git` program, which sees nothing of this machine: no configuration, no keys but those of an agent
//! that it is given, no terminal to ask at, no hooks. It speaks HTTP, SSH and its own protocol, and no others, and so do the
//! repositories inside of others. Passwords in addresses reach it by the environment only: they are in no argument that
//! other users can see, in no file, and in no error.
//!
//! [`resolve`] finds out which commit is meant, and [`fetch`] brings its files. Dropping a future cancels it: `git` and all that it
//! has started are killed.

mod address;
mod checkout;
mod command;
mod error;
mod reference;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use dockerfile::plan::Git;
use registry::Proxies;

pub use error::Error;
pub use reference::Resolved;

use address::Address;
use checkout::Checkout;
use command::Runner;

/// Told what `git` has to say, line by line.
pub type Log = Arc<dyn Fn(&str) + Send + Sync>;

/// How repositories are reached.
#[derive(Clone)]
pub struct Options {
    /// Proxies between this machine and servers of HTTP.
    pub proxies: Proxies,
    /// The socket of an agent that has keys for SSH; without it there are none.
    pub ssh_agent: Option<PathBuf>,
    /// For how long one command of `git` may take.
    pub limit: Duration,
    /// Whether repositories may be folders of this machine (`file:///…`): for tests.
    pub allows_files: bool,
    /// Where goes what `git` says.
    pub log: Option<Log>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            proxies: Proxies::from_environment(),
            ssh_agent: None,
            limit: Duration::from_secs(1800),
            allows_files: false,
            log: None,
        }
    }
}

/// Finds out which commit is meant. Nothing is asked where the reference is a whole commit already.
///
/// # Errors
/// When the server cannot be reached, knows no such reference, or it is not what its checksum says.
pub async fn resolve(git: &Git, options: &Options) -> Result<Resolved, Error> {
    let address = Address::of(git, options)?;
    if let Some(resolved) = reference::without_asking(git)? {
        return Ok(resolved);
    }
    let runner = Runner::new(&address, options, Path::new("/"));
    let wanted = match git.reference.as_str() {
        "" => reference::default_branch(&runner, &address).await?,
        named => named.to_owned(),
    };
    reference::ask(&runner, &address, &wanted, git.checksum.as_deref()).await
}

/// Brings the files of a commit into an empty folder: those of the whole repository or of one folder in it, with those of
/// submodules unless they are skipped, and with `.git` only where it is kept and the whole repository is wanted.
///
/// Files are 0644 or 0755 and belong to root.
///
/// # Errors
/// When it cannot be had, or has no such folder. The folder may then have anything in it.
pub async fn fetch(git: &Git, resolved: &Resolved, folder: &Path, options: &Options) -> Result<(), Error> {
    let address = Address::of(git, options)?;
    let checkout = Checkout::begin(git, folder)?;
    let runner = Runner::new(&address, options, checkout.path());
    runner.run("initialize", &["init", "--quiet", "--template=", resolved.format()]).await?;
    runner.run("initialize", &["remote", "add", "--", "origin", address.plain()]).await?;
    bring(&runner, &address, resolved).await?;
    verify(&runner, git, resolved).await?;
    let commit = format!("{}^{{commit}}", resolved.object);
    runner.run("check out", &["checkout", "--quiet", "--detach", &commit]).await?;
    if !git.skips_submodules && checkout.has_submodules() {
        let update = ["submodule", "update", "--init", "--recursive", "--depth=1"];
        runner.run("update submodules of", &update).await?;
    }
    if let Some(name) = resolved.name().filter(|_| checkout.keeps_git()) {
        runner.run("name the commit of", &["update-ref", name, &resolved.object]).await?;
    }
    let work = tokio::task::spawn_blocking(move || checkout.finish());
    work.await.map_err(|_| Error::Cancelled)?
}

/// Fetches as little as the server allows: the commit alone, else the reference, else everything.
async fn bring(runner: &Runner<'_>, address: &Address, resolved: &Resolved) -> Result<(), Error> {
    let mut failure = None;
    for wanted in resolved.wanted() {
        for depth in [Some("--depth=1"), None] {
            let arguments = ["fetch", "--quiet", "--no-tags"].into_iter().chain(depth);
            let arguments: Vec<&str> = arguments.chain(["--", "origin", wanted]).collect();
            match runner.run("fetch remote", &arguments).await {
                Ok(_) if has(runner, &resolved.object).await => return Ok(()),
                // It is another one by now.
                Ok(_) => break,
                Err(error) if error.is_about_depth() => failure = Some(error),
                Err(error) => {
                    failure = Some(error);
                    break;
                }
            }
        }
        if failure.as_ref().is_some_and(|error| !error.is_refusal()) {
            break;
        }
    }
    match failure {
        Some(error) if !error.is_refusal() => Err(error),
        _ => bring_all(runner, address, resolved).await,
    }
}

async fn bring_all(runner: &Runner<'_>, address: &Address, resolved: &Resolved) -> Result<(), Error> {
    let mut arguments = vec!["fetch", "--quiet", "--tags"];
    if runner.folder().join(".git/shallow").exists() {
        arguments.push("--unshallow");
    }
    arguments.extend(["--", "origin"]);
    runner.run("fetch remote", &arguments).await?;
    if has(runner, &resolved.object).await {
        return Ok(());
    }
    Err(Error::NoCommit { url: address.shown().to_owned(), commit: resolved.object.clone() })
}

async fn has(runner: &Runner<'_>, object: &str) -> bool {
    let commit = format!("{object}^{{commit}}");
    runner.run("look into", &["cat-file", "-e", &commit]).await.is_ok()
}

/// What was asked for by its whole name is only now known to be what the checksum says.
async fn verify(runner: &Runner<'_>, git: &Git, resolved: &Resolved) -> Result<(), Error> {
    let Some(checksum) = &git.checksum else { return Ok(()) };
    let commit = format!("{}^{{commit}}", resolved.object);
    let commit = runner.run("look into", &["rev-parse", "--verify", "--end-of-options", &commit]).await?;
    reference::compare(checksum, &resolved.object, Some(commit.trim()))
}
