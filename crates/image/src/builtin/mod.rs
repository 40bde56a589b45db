//! The image that is inside this program, so that the first container needs no registry.

mod elf;

use oci::{ContainerConfig, Digest, History, ImageConfig, Reference, RootFs};

use crate::error::Result;
use crate::image::Image;
use crate::ingest::{Draft, Ingest};
use crate::manifest::{Descriptor, media, to_json};
use crate::store::ImageStore;

/// What the program says.
const GREETING: &str = "
Hello from Corten!
Your installation works: this text was printed by a program inside a container.

What just happened:
 1. The corten command asked the engine for the image \"hello-world\".
 2. The engine had it at hand: it is built in, so nothing was downloaded.
 3. The engine unpacked it, gave it its own namespaces, file system and limits,
    and a small supervisor started the one program in it.
 4. That program wrote this text, and the supervisor passed it on to you.

Now try something larger, for example a shell in a Debian container:
 $ corten run -it debian bash

";

const CREATED: &str = "2026-01-01T00:00:00Z";

/// Whether `reference` names the built-in image: `hello-world`, with the tag `latest` or none.
pub fn is_builtin(reference: &Reference) -> bool {
    reference.digest().is_none() && reference.clone().or_latest().familiar() == "hello-world:latest"
}

impl ImageStore {
    /// Brings in the built-in image if `reference` names it; `None` if it does not. For use when the store has no image of
    /// that name.
    ///
    /// # Errors
    /// When the store cannot be written.
    pub fn provide_builtin(&self, reference: &Reference) -> Result<Option<Image>> {
        if !is_builtin(reference) {
            return Ok(None);
        }
        let ingest = self.ingest()?;
        let draft = bring(&ingest, reference.clone().or_latest())?;
        ingest.commit(draft).map(Some)
    }
}

fn bring(ingest: &Ingest, name: Reference) -> Result<Draft> {
    let layer = layer();
    let diff_id = Digest::of(&layer);
    let config = to_json(&config(diff_id.clone()));
    let id = Digest::of(&config);
    let blob = Descriptor::new(media::OCI_LAYER, diff_id.clone(), layer.len() as u64);
    let manifest = to_json(&serde_json::json!({
        "schemaVersion": 2,
        "mediaType": media::OCI_MANIFEST,
        "config": Descriptor::new(media::OCI_CONFIG, id.clone(), config.len() as u64),
        "layers": [&blob],
    }));
    let descriptor = Descriptor::new(media::OCI_MANIFEST, Digest::of(&manifest), manifest.len() as u64);
    ingest.put_document("image config", &id, &config)?;
    ingest.put_document("manifest", &descriptor.digest, &manifest)?;
    if !ingest.lease_layer(&diff_id) {
        ingest.layer(&blob, &diff_id, &mut &layer[..], &mut |_| {})?;
    }
    let documents = vec![descriptor.digest.clone()];
    Ok(Draft { config: id, manifest: Some(descriptor), documents, references: vec![name] })
}

fn config(diff_id: Digest) -> ImageConfig {
    ImageConfig {
        architecture: oci::Platform::host().architecture,
        os: "linux".into(),
        created: Some(CREATED.into()),
        config: Some(ContainerConfig {
            env: vec!["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin".into()],
            cmd: Some(vec!["/hello".into()]),
            working_dir: "/".into(),
            ..ContainerConfig::default()
        }),
        rootfs: RootFs { diff_ids: vec![diff_id], ..RootFs::default() },
        history: vec![
            History {
                created: Some(CREATED.into()),
                created_by: "COPY hello / # corten".into(),
                ..History::default()
            },
            History {
                created: Some(CREATED.into()),
                created_by: "CMD [\"/hello\"]".into(),
                empty_layer: true,
                ..History::default()
            },
        ],
        ..ImageConfig::default()
    }
}

/// A tar with the one file.
fn layer() -> Vec<u8> {
    let program = elf::program(elf::Machine::host(), GREETING.as_bytes());
    let mut header = [0u8; 512];
    let mut put = |at: usize, text: &str| header[at..at + text.len()].copy_from_slice(text.as_bytes());
    put(0, "hello");
    put(100, "0000755");
    put(108, "0000000");
    put(116, "0000000");
    put(124, &format!("{:011o}", program.len()));
    put(136, &format!("{:011o}", 1_767_225_600)); // CREATED
    put(148, "        ");
    put(156, "0");
    put(257, "ustar\u{0}00");
    put(265, "root");
    put(297, "root");
    let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
    header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    let mut tar = header.to_vec();
    tar.extend_from_slice(&program);
    // Whole blocks, and two empty ones at the end.
    tar.resize(tar.len().next_multiple_of(512) + 1024, 0);
    tar
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn builtin_is_the_official_name_only() {
        let named = |text: &str| is_builtin(&Reference::parse(text).unwrap());
        assert!(
            named("hello-world") && named("hello-world:latest") && named("docker.io/library/hello-world")
        );
        assert!(
            !named("hello-world:linux") && !named("user/hello-world") && !named("localhost:5000/hello-world")
        );
    }

    #[test]
    fn builtin_layer_is_an_archive_that_others_read() {
        let layer = layer();
        let mut archive = tar::Archive::new(&layer[..]);
        let mut entries = archive.entries().unwrap();
        let entry = entries.next().unwrap().unwrap();
        assert_eq!(entry.path().unwrap().to_str(), Some("hello"));
        assert_eq!(entry.header().mode().unwrap(), 0o755);
        assert!(entries.next().is_none());
    }
}
