//! What becomes of an image that was built: it is pushed, saved, unpacked, and told to scripts.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, Read, Write as _};
use std::path::Path;

use api::ApiVersion;
use api::image::{Descriptor, ListOptions, RemoveOptions, SaveOptions};
use client::ByteStream;
use futures_util::stream;
use serde_json::json;
use tar::{Archive, EntryType};
use tokio_util::io::{StreamReader, SyncIoBridge};

use super::output::{ArchiveKind, Output, Place};
use super::{Build, Built};
use crate::failure::{Failure, io_text};
use crate::output_file::{self, OutputFile};
use crate::progress::Sink;

/// What images that are built have in registries.
const OCI_MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";

/// Since this version archives of images are OCI layouts too.
const OCI_ARCHIVES: ApiVersion = ApiVersion::new(1, 44);

/// Refuses what other engines cannot do.
pub(super) fn check_classic(outputs: &[Output], version: ApiVersion) -> Result<(), Failure> {
    let unsupported = |output: &&Output| match output {
        Output::Tar(_) | Output::Folder(_) => true,
        Output::Archive { kind, .. } => *kind == ArchiveKind::Oci && version < OCI_ARCHIVES,
        Output::Image { .. } => false,
    };
    match outputs.iter().find(unsupported) {
        None => Ok(()),
        Some(output) => {
            let kind = match output {
                Output::Folder(_) => "local",
                Output::Tar(_) => "tar",
                _ => "oci",
            };
            Err(Failure::message(format!(
                "--output type={kind} is not supported by this engine, only by Corten's"
            )))
        }
    }
}

/// What is to be done after the build.
pub(super) struct Export<'a> {
    outputs: &'a [Output],
    /// The images that were there before, where an image is only built for what is made of it.
    before: Option<BTreeSet<String>>,
}

impl<'a> Export<'a> {
    /// Checks the places of outputs, before anything is built.
    pub(super) async fn prepare(build: &Build<'_>, outputs: &'a [Output]) -> Result<Self, Failure> {
        for output in outputs {
            match output {
                Output::Archive { place: Place::File(path), .. } | Output::Tar(Place::File(path)) => {
                    output_file::check(path, "invalid output")?;
                }
                Output::Folder(path) if path.metadata().is_ok_and(|found| !found.is_dir()) => {
                    let path = path.display();
                    return Err(Failure::message(format!("invalid output: {path}: not a directory")));
                }
                _ => {}
            }
        }
        let is_passing = build.asked.tags.is_empty() && !outputs.iter().any(Output::keeps_image);
        let before = match is_passing {
            true => {
                let all = ListOptions { all: true, ..ListOptions::default() };
                Some(build.client.images(&all).await?.into_iter().map(|image| image.id).collect())
            }
            false => None,
        };
        Ok(Self { outputs, before })
    }

    /// Does it.
    pub(super) async fn finish(self, build: &Build<'_>, mut built: Built) -> Result<(), Failure> {
        let mut done = Ok(());
        for output in self.outputs {
            match export(build, &built, output).await {
                // What a registry has is what counts.
                Ok(pushed) => built.manifest = pushed.map(Box::new).or(built.manifest),
                Err(error) => {
                    done = Err(error);
                    break;
                }
            }
        }
        if self.before.is_some_and(|before| !before.contains(&built.id)) {
            remove(build, &built.id).await?;
        }
        done?;
        tell(build, &built)?;
        let to_stdout = self.outputs.iter().any(Output::is_to_stdout);
        if build.mode.is_quiet() && !to_stdout { build.app.line(&built.id) } else { Ok(()) }
    }
}

/// Does one; tells the manifest that a registry got.
async fn export(build: &Build<'_>, built: &Built, output: &Output) -> Result<Option<Descriptor>, Failure> {
    let done = match output {
        Output::Image { push: false, .. } => Ok(()),
        Output::Image { push: true, .. } => return push(build).await,
        Output::Archive { place, .. } => {
            let names = match build.asked.tags.as_slice() {
                [] => vec![built.id.clone()],
                tags => tags.to_vec(),
            };
            let content = build.client.save_images(&SaveOptions { names, platforms: Vec::new() }).await?;
            output_file::receive(content, path_of(place)).await
        }
        Output::Tar(place) => {
            output_file::receive(build.client.image_tree(&built.id).await?, path_of(place)).await
        }
        Output::Folder(path) => unpack(build.client.image_tree(&built.id).await?, path).await,
    };
    done.map(|()| None)
}

/// As [`output_file::receive`] wants it.
fn path_of(place: &Place) -> &str {
    match place {
        Place::Stdout => "",
        Place::File(path) => path,
    }
}

/// Pushes every name, and tells the manifest that they have.
async fn push(build: &Build<'_>) -> Result<Option<Descriptor>, Failure> {
    let mut pushed = None;
    let sink = match build.mode {
        super::Mode::Plain | super::Mode::Terminal => Sink::Stderr,
        _ => Sink::Nowhere,
    };
    for tag in &build.asked.tags {
        let reference = oci::Reference::parse(tag).map_err(|error| Failure::message(error.to_string()))?;
        let told = crate::commands::push(build.app, &reference.or_latest(), String::new(), sink).await?;
        pushed = told.as_ref().and_then(descriptor).or(pushed);
    }
    Ok(pushed)
}

/// The manifest that an engine says it has pushed.
fn descriptor(told: &serde_json::Value) -> Option<Descriptor> {
    Some(Descriptor {
        media_type: OCI_MANIFEST.to_owned(),
        digest: told["Digest"].as_str()?.to_owned(),
        size: told["Size"].as_i64()?,
        ..Descriptor::default()
    })
}

/// Removes an image that nobody asked for. One that got a name or a container in the meantime stays.
async fn remove(build: &Build<'_>, id: &str) -> Result<(), Failure> {
    let image = build.client.inspect_image(id).await?;
    if !image.repo_tags.is_empty() {
        return Ok(());
    }
    let options = RemoveOptions { no_prune: true, ..RemoveOptions::default() };
    match build.client.remove_image(id, &options).await {
        Err(error) if matches!(error.status(), Some(404 | 409)) => Ok(()),
        removed => Ok(removed.map(drop)?),
    }
}

/// Writes the files that scripts read.
fn tell(build: &Build<'_>, built: &Built) -> Result<(), Failure> {
    let flags = build.asked.flags;
    if !flags.iidfile.is_empty() {
        std::fs::write(&flags.iidfile, &built.id)
            .map_err(|error| Failure::message(format!("open {}: {}", flags.iidfile, io_text(&error))))?;
    }
    if !flags.metadata_file.is_empty() {
        let mut file = OutputFile::create(Path::new(&flags.metadata_file))?;
        file.writer().write_all(&metadata(built, &build.asked.tags)).map_err(|error| {
            Failure::message(format!("write {}: {}", flags.metadata_file, io_text(&error)))
        })?;
        file.persist()?;
    }
    Ok(())
}

/// What was built, as `buildx` tells it.
fn metadata(built: &Built, tags: &[String]) -> Vec<u8> {
    let digest = built.manifest.as_ref().map_or(&built.id, |manifest| &manifest.digest);
    let mut told = json!({
        "containerimage.config.digest": built.id,
        "containerimage.digest": digest,
    });
    if let Some(manifest) = &built.manifest {
        told["containerimage.descriptor"] = json!(manifest);
    }
    if !tags.is_empty() {
        let full = |tag: &String| match oci::Reference::parse(tag) {
            Ok(reference) => {
                let reference = reference.or_latest();
                format!("{}:{}", reference.name(), reference.tag().unwrap_or_default())
            }
            Err(_) => tag.clone(),
        };
        told["image.name"] = tags.iter().map(full).collect::<Vec<_>>().join(",").into();
    }
    serde_json::to_vec_pretty(&told).expect("a JSON value")
}

/// Unpacks a tree of files into a folder, while it comes.
async fn unpack(content: ByteStream, folder: &Path) -> Result<(), Failure> {
    let chunks = stream::try_unfold(content, async |mut content| {
        let next = content.next().await.map_err(io::Error::other)?;
        Ok::<_, io::Error>(next.map(|bytes| (bytes, content)))
    });
    let reader = SyncIoBridge::new(StreamReader::new(Box::pin(chunks)));
    let owned = folder.to_owned();
    let done = tokio::task::spawn_blocking(move || unpack_tar(reader, &owned)).await;
    let skipped = done
        .map_err(io::Error::other)
        .and_then(|done| done)
        .map_err(|error| Failure::message(format!("failed to copy to {}: {error}", folder.display())))?;
    for path in skipped {
        eprintln!("WARNING: {path} is a device and was left out");
    }
    Ok(())
}

/// Unpacks a tar; the library follows no link out of the folder. Who does not run as root owns what it unpacks. Returns
/// the devices that are in it, which nobody can want here.
fn unpack_tar(content: impl Read, folder: &Path) -> io::Result<Vec<String>> {
    let mut archive = Archive::new(content);
    archive.set_preserve_permissions(true);
    archive.set_preserve_ownerships(rustix::process::geteuid().is_root());
    archive.set_preserve_mtime(true);
    archive.set_overwrite(true);
    std::fs::create_dir_all(folder)?;
    let (mut skipped, mut folders) = (Vec::new(), Vec::new());
    for entry in archive.entries()? {
        let mut entry = entry?;
        match entry.header().entry_type() {
            EntryType::Block | EntryType::Char | EntryType::Fifo => {
                skipped.push(entry.path()?.display().to_string());
            }
            EntryType::Directory => {
                // What comes into a folder changes its time, and may not be allowed by its mode.
                let path = folder.join(entry.path()?.components().as_path());
                let header = entry.header();
                let (mode, time) = (header.mode()?, header.mtime()?);
                if entry.unpack_in(folder)? && path.symlink_metadata().is_ok_and(|found| found.is_dir()) {
                    set_mode(&path, 0o700 | mode)?;
                    folders.push((path, mode, time));
                }
            }
            _ => {
                entry.unpack_in(folder)?;
            }
        }
    }
    for (path, mode, time) in folders.into_iter().rev() {
        set_mode(&path, mode)?;
        let time = std::time::UNIX_EPOCH + std::time::Duration::from_secs(time);
        File::open(&path)?.set_modified(time)?;
    }
    Ok(skipped)
}

fn set_mode(path: &Path, mode: u32) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode & 0o7777))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};

    use tar::{Builder, Header};

    use super::*;

    fn entry(builder: &mut Builder<Vec<u8>>, kind: EntryType, name: &str, mode: u32, content: &[u8]) {
        let mut header = Header::new_gnu();
        header.set_entry_type(kind);
        header.set_mode(mode);
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(1_000_000);
        header.set_size(content.len() as u64);
        // The library's own way refuses paths that leave the folder.
        header.as_gnu_mut().unwrap().name[..name.len()].copy_from_slice(name.as_bytes());
        header.set_cksum();
        builder.append(&header, content).unwrap();
    }

    #[test]
    fn trees_are_unpacked_with_modes_and_times() {
        let mut builder = Builder::new(Vec::new());
        entry(&mut builder, EntryType::Directory, "./", 0o755, b"");
        entry(&mut builder, EntryType::Directory, "closed/", 0o500, b"");
        entry(&mut builder, EntryType::Regular, "closed/a", 0o4755, b"text");
        entry(&mut builder, EntryType::Fifo, "pipe", 0o644, b"");
        let folder = tempfile::tempdir().unwrap();
        let skipped = unpack_tar(builder.into_inner().unwrap().as_slice(), folder.path()).unwrap();
        assert_eq!(skipped, ["pipe"]);
        let file = folder.path().join("closed/a");
        assert_eq!(std::fs::read(&file).unwrap(), b"text");
        let (file, closed) = (file.metadata().unwrap(), folder.path().join("closed").metadata().unwrap());
        assert_eq!((file.permissions().mode() & 0o7777, file.mtime()), (0o4755, 1_000_000));
        assert_eq!((closed.permissions().mode() & 0o7777, closed.mtime()), (0o500, 1_000_000));
    }

    #[test]
    fn nothing_leaves_the_folder() {
        let folder = tempfile::tempdir().unwrap();
        let (inside, outside) = (folder.path().join("in"), folder.path().join("out"));
        std::fs::create_dir(&inside).unwrap();
        std::fs::create_dir(&outside).unwrap();
        symlink(&outside, inside.join("old")).unwrap();
        for name in ["../out/a", "old/a", "new/a"] {
            let mut builder = Builder::new(Vec::new());
            let mut link = Header::new_gnu();
            link.set_entry_type(EntryType::Symlink);
            link.set_size(0);
            builder.append_link(&mut link, "new", &outside).unwrap();
            entry(&mut builder, EntryType::Regular, name, 0o644, b"x");
            // It is left out or refused.
            let _ = unpack_tar(builder.into_inner().unwrap().as_slice(), &inside);
            assert_eq!(std::fs::read_dir(&outside).unwrap().count(), 0, "{name}");
        }
    }

    #[test]
    fn metadata_is_that_of_buildx() {
        let manifest = json!({"Tag": "1", "Digest": "sha256:2", "Size": 3});
        let built = Built { id: "sha256:1".into(), manifest: descriptor(&manifest).map(Box::new) };
        let told: serde_json::Value =
            serde_json::from_slice(&metadata(&built, &["a".into(), "r:5000/b:1".into()])).unwrap();
        assert_eq!(
            told,
            json!({
                "containerimage.config.digest": "sha256:1",
                "containerimage.digest": "sha256:2",
                "containerimage.descriptor": {"mediaType": OCI_MANIFEST, "digest": "sha256:2", "size": 3},
                "image.name": "docker.io/library/a:latest,r:5000/b:1",
            })
        );
        let built = Built { id: "sha256:1".into(), manifest: None };
        let told: serde_json::Value = serde_json::from_slice(&metadata(&built, &[])).unwrap();
        assert_eq!(told["containerimage.digest"], "sha256:1");
        assert_eq!(told.get("image.name"), None);
    }

    #[test]
    fn other_engines_make_no_trees() {
        let old = ApiVersion::new(1, 41);
        let error = check_classic(&[Output::Tar(Place::Stdout)], old).unwrap_err().to_string();
        assert_eq!(error, "--output type=tar is not supported by this engine, only by Corten's");
        let oci = Output::Archive { kind: ArchiveKind::Oci, names: vec![], place: Place::Stdout };
        assert!(check_classic(std::slice::from_ref(&oci), old).is_err());
        check_classic(&[oci], OCI_ARCHIVES).unwrap();
    }
}
