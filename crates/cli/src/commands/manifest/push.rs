//! `manifest push`: a list goes to its registry.

use futures_util::{StreamExt, TryStreamExt, stream};
use image::manifest::Descriptor;
use oci::{Digest, Reference};
use registry::{Mounted, Writer};

use super::remote::{Remote, failure};
use super::{parse, store};
use crate::app::App;
use crate::command::{Arity, Leaf};
use crate::failure::Failure;
use crate::flag::{Flag, Options};
use crate::manifests::{Entry, list_document};

/// Pushes a list.
pub(super) struct Push;

#[derive(Default)]
pub(super) struct PushFlags {
    insecure: bool,
    purge: bool,
}

impl Options for PushFlags {
    const FLAGS: &'static [Flag<Self>] = &[
        Flag::new("insecure", "Also reach the registry without trusted encryption", |o| &mut o.insecure),
        Flag::lettered('p', "purge", "Forget the list here once it is pushed", |o| &mut o.purge),
    ];
}

impl Leaf for Push {
    type Options = PushFlags;
    const NAME: &'static str = "push";
    const ABOUT: &'static str = "Push a manifest list to a repository";
    const USAGE: &'static str = "[OPTIONS] MANIFEST_LIST";
    const ARITY: Arity = Arity::Exactly(1);

    fn run(app: &App, flags: PushFlags, arguments: Vec<String>) -> Result<(), Failure> {
        let target = parse(&arguments[0])?;
        let store = store(app);
        let entries = store.existing_list(&target)?;
        let plan = Plan::new(target, &entries)?;
        let remote = Remote::of(app, &plan.target, flags.insecure);
        app.block_on(plan.run(app, &remote))?;
        match flags.purge {
            true => store.remove(&plan.target),
            false => Ok(()),
        }
    }
}

/// All that goes to the registry, decided before anything does.
struct Plan {
    target: Reference,
    /// What the repository must have first, from others of its registry.
    blobs: Vec<Blob>,
    /// Manifests from other repositories.
    manifests: Vec<(Descriptor, Vec<u8>)>,
    list: (Descriptor, String),
}

struct Blob {
    digest: Digest,
    source: String,
    /// Layers of these systems need not be in any registry.
    is_windows: bool,
}

impl Plan {
    fn new(target: Reference, entries: &[Entry]) -> Result<Self, Failure> {
        if entries.is_empty() {
            return Err(Failure::message(format!("{target} not found")));
        }
        entries.iter().try_for_each(check_platform)?;
        let list = list_document(&target, entries)?;
        let mut plan = Self { target, blobs: Vec::new(), manifests: Vec::new(), list };
        for entry in entries {
            plan.add(entry)?;
        }
        Ok(plan)
    }

    /// An image of another repository has to be brought into this one.
    fn add(&mut self, entry: &Entry) -> Result<(), Failure> {
        let name = entry.name()?;
        if name.path() == self.target.path() {
            return Ok(());
        }
        let is_windows = entry.descriptor.platform.as_ref().is_some_and(|it| it.os == "windows");
        for digest in entry.blobs()? {
            if !self.blobs.iter().any(|blob| blob.digest == digest) {
                self.blobs.push(Blob { digest, source: name.path().to_owned(), is_windows });
            }
        }
        self.manifests.push((entry.remote_descriptor()?, entry.bytes()?));
        Ok(())
    }

    async fn run(&self, app: &App, remote: &Remote<'_>) -> Result<(), Failure> {
        let mut sources: Vec<String> = self.blobs.iter().map(|blob| blob.source.clone()).collect();
        sources.sort();
        sources.dedup();
        let writer = remote.registry().writer(&self.target, &sources, remote.credentials()).await;
        let writer = writer.map_err(|error| failure(&self.target, error))?;
        let mounts = self.blobs.iter().map(|blob| self.mount(&writer, blob));
        stream::iter(mounts).buffer_unordered(PARALLEL).try_collect::<()>().await?;
        for (descriptor, document) in &self.manifests {
            let name = self.target.with_digest(descriptor.digest.clone());
            put(&writer, &name, descriptor, document).await?;
            app.line(&format!("Pushed ref {name} with digest: {}", descriptor.digest))?;
        }
        let (descriptor, document) = &self.list;
        put(&writer, &self.target, descriptor, document.as_bytes()).await?;
        app.line(descriptor.digest.as_str())
    }

    async fn mount(&self, writer: &Writer<'_>, blob: &Blob) -> Result<(), Failure> {
        let Blob { digest, source, is_windows } = blob;
        let target = &self.target;
        match writer.mount(digest, source).await {
            Ok(Mounted::Yes) => Ok(()),
            Ok(Mounted::No) if *is_windows => Ok(()),
            Ok(Mounted::No) => Err(Failure::message(format!("error mounting {source}@{digest} to {target}"))),
            Err(error) => {
                Err(Failure::message(format!("failed to mount blob {source}@{digest} to {target}: {error}")))
            }
        }
    }
}

/// Blobs that the registry takes over at the same time.
const PARALLEL: usize = 5;

fn check_platform(entry: &Entry) -> Result<(), Failure> {
    let platform = entry.descriptor.platform.as_ref();
    match platform.is_some_and(|it| !it.os.is_empty() && !it.architecture.is_empty()) {
        true => Ok(()),
        false => Err(Failure::message(format!(
            "manifest {} must have an OS and Architecture to be pushed to a registry",
            entry.reference
        ))),
    }
}

async fn put(
    writer: &Writer<'_>,
    name: &Reference,
    descriptor: &Descriptor,
    document: &[u8],
) -> Result<(), Failure> {
    let failed = |error| Failure::message(format!("failed to put manifest {name}: {error}"));
    writer.put(name, descriptor, document).await.map_err(failed)
}
