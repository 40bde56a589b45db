//! What an archive may say of blobs, and what is made of it.

mod support;

use std::io::{Read as _, Write as _};

use image::ImageStore;
use support::{Archive, Scratch, no_users, pack};

/// Longer than any document may be, so that it is known for a layer by that.
const LARGE: usize = 17 << 20;

fn saved(store: &ImageStore, name: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    store.save(&[name.to_owned()], &[]).unwrap().into_reader().read_to_end(&mut bytes).unwrap();
    bytes
}

/// The paths of an archive's blobs, with where they begin and how long they are.
fn blobs(archive: &[u8]) -> Vec<(String, usize, usize)> {
    let mut files = tar::Archive::new(archive);
    let entries = files.entries().unwrap().map(Result::unwrap);
    let entries = entries.map(|entry| {
        let path = entry.path().unwrap().display().to_string();
        (path, usize::try_from(entry.raw_file_position()).unwrap(), usize::try_from(entry.size()).unwrap())
    });
    entries.filter(|(path, _, size)| path.starts_with("blobs/") && *size > 0).collect()
}

#[test]
fn blob_that_is_not_what_it_is_called_is_refused() {
    let here = Scratch::new();
    let store = here.open();
    here.load(&store, Archive::new("app:1").file("f", b"x"));
    let archive = saved(&store, "app:1");
    let all = blobs(&archive);
    assert_eq!(all.len(), 3, "manifest, configuration, layer");
    for (path, at, size) in all {
        let there = Scratch::new();
        let mut damaged = archive.clone();
        damaged[at + size - 1] ^= 1;
        let error = there.open().load(&damaged[..], &[]).unwrap_err();
        let chain = std::iter::successors(Some(&error as &dyn std::error::Error), |it| it.source());
        let told: Vec<String> = chain.map(ToString::to_string).collect();
        let name = path.rsplit_once('/').unwrap().1;
        assert!(told.iter().any(|text| text.contains(name)), "{path}: {told:?}");
        assert_eq!(there.files(), Vec::<String>::new(), "{path}");
    }
}

#[test]
fn archive_is_loaded_however_it_is_compressed() {
    let here = Scratch::new();
    let store = here.open();
    here.load(&store, Archive::new("app:1").file("f", b"x"));
    let archive = saved(&store, "app:1");
    let mut bzip2 = bzip2::write::BzEncoder::new(Vec::new(), bzip2::Compression::fast());
    bzip2.write_all(&archive).unwrap();
    let mut xz = lzma_rust2::XzWriter::new(Vec::new(), lzma_rust2::XzOptions::with_preset(0)).unwrap();
    xz.write_all(&archive).unwrap();
    let zstd = zstd::encode_all(&archive[..], 1).unwrap();
    for compressed in [archive.clone(), bzip2.finish().unwrap(), xz.finish().unwrap(), zstd] {
        let there = Scratch::new();
        let store = there.open();
        store.load(&compressed[..], &[]).unwrap();
        assert_eq!(saved(&store, "app:1"), archive);
    }
}

/// What is passed over for its name is not used for anything else: a layer of another digest algorithm has the same bytes.
#[test]
fn stored_layer_is_not_taken_for_another_one() {
    let here = Scratch::new();
    let store = here.open();
    here.load(&store, Archive::new("app:1").file("f", &vec![7; LARGE]));
    let before = saved(&store, "app:1");
    let (path, at, size) = blobs(&before).into_iter().find(|(_, _, size)| *size > LARGE).unwrap();
    let layer = &before[at..at + size];
    let mut hasher = oci::Hasher::new(oci::Algorithm::Sha512);
    hasher.update(layer);
    let config = serde_json::json!({
        "architecture": oci::Platform::host().architecture, "os": "linux",
        "rootfs": {"type": "layers", "diff_ids": [hasher.finish()]},
    });
    let manifest = serde_json::json!([{"Config": "c.json", "RepoTags": ["app:2"], "Layers": [path]}]);
    let (config, manifest) = (config.to_string(), manifest.to_string());
    let other = pack(&[
        (path, layer),
        ("c.json".into(), config.as_bytes()),
        ("manifest.json".into(), manifest.as_bytes()),
    ]);
    let error = store.load(&other[..], &[]).unwrap_err().to_string();
    assert!(error.contains("verification failed"), "{error}");
    assert_eq!(saved(&store, "app:1"), before);
}

#[test]
fn entries_of_one_name_are_limited_too() {
    let here = Scratch::new();
    let archive = pack(&vec![("x".to_owned(), &b""[..]); 100_001]);
    let error = here.open().load(&archive[..], &[]).unwrap_err().to_string();
    assert!(error.contains("more than 100000 files"), "{error}");
    assert_eq!(here.files(), Vec::<String>::new());
}

#[test]
fn layer_that_is_here_is_not_read_again() {
    let here = Scratch::new();
    let store = here.open();
    let image = here.load(&store, Archive::new("app:1").file("f", &vec![7; LARGE]));
    let mut other = saved(&store, "app:1");
    let (_, at, size) = blobs(&other).into_iter().find(|(_, _, size)| *size > LARGE).unwrap();
    other[at..at + size].fill(0);
    let again = store.load(&other[..], &[]).unwrap();
    assert_eq!(again[0].image, image[0].image);
    let folder = &store.layer_trees(&store.resolve("app:1").unwrap().layers)[0];
    let content = std::fs::read(folder.join("f")).unwrap();
    assert!(content.iter().all(|byte| *byte == 7), "what is stored stays");
    store.remove("app:1", image::Force::No, &no_users).unwrap();
    assert!(store.load(&other[..], &[]).is_err(), "now it would have been needed");
}
