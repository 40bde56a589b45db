//! A check finds what is damaged and nothing else, and a repair puts it out of use without losing what is whole.

mod support;

use std::fs;
use std::ops::ControlFlow;
use std::path::PathBuf;

use image::{Checked, Finding, ImageStore, Outcome, Repair, Subject};
use oci::Digest;
use support::{Archive, Scratch};

fn archive() -> Archive {
    Archive::new("app:1").file("below", &[1; 5000]).layer().file("above", b"content")
}

fn check(store: &ImageStore) -> Checked {
    store.check(&Repair::No, &mut |_| ControlFlow::Continue(())).unwrap()
}

fn repair(store: &ImageStore) -> Checked {
    store.check(&Repair::Yes { running: &|_| false }, &mut |_| ControlFlow::Continue(())).unwrap()
}

fn only(checked: Checked) -> Finding {
    let [finding] = <[Finding; 1]>::try_from(checked.findings).unwrap();
    finding
}

fn blob(scratch: &Scratch, digest: &Digest) -> PathBuf {
    scratch.root().join("blobs/sha256").join(digest.hex())
}

fn tree(scratch: &Scratch, diff_id: &Digest) -> PathBuf {
    scratch.root().join("layers").join(diff_id.hex()).join("diff")
}

/// Changes one bit, and neither length nor time.
fn flip(path: &std::path::Path) {
    let modified = fs::metadata(path).unwrap().modified().unwrap();
    let mut content = fs::read(path).unwrap();
    content[3] ^= 1;
    fs::write(path, content).unwrap();
    fs::File::open(path).unwrap().set_modified(modified).unwrap();
}

fn quarantined(scratch: &Scratch) -> Vec<String> {
    let Ok(entries) = fs::read_dir(scratch.root().join("quarantine")) else { return Vec::new() };
    entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

#[test]
fn sound_store_has_no_findings() {
    let scratch = Scratch::new();
    let store = scratch.open();
    scratch.load(&store, archive());
    let checked = check(&store);
    assert_eq!(checked.findings, Vec::new());
    assert_eq!((checked.blobs, checked.layers, checked.images), (3, 2, 1));
    assert!(checked.bytes > 5000);
    assert_eq!(repair(&store).findings, Vec::new());
    assert!(scratch.files().iter().all(|file| !file.starts_with("ingest")), "{:?}", scratch.files());
}

#[test]
fn damaged_tree_is_made_anew_from_its_archive() {
    let scratch = Scratch::new();
    let store = scratch.open();
    scratch.load(&store, archive());
    let layer = store.resolve("app:1").unwrap().layers[1].clone();
    let file = tree(&scratch, &layer).join("above");
    flip(&file);
    let finding = only(check(&store));
    assert_eq!(finding.subject, Subject::Layer(layer.clone()));
    assert_eq!(finding.problem, "/above has other content");
    assert_eq!((finding.images, finding.outcome), (vec!["app:1".to_owned()], Outcome::Told));
    assert_ne!(fs::read(&file).unwrap(), b"content");

    assert_eq!(only(repair(&store)).outcome, Outcome::Restored);
    assert_eq!(fs::read(&file).unwrap(), b"content");
    assert_eq!(quarantined(&scratch), [format!("layer-{}", layer.hex())]);
    assert_eq!(check(&store).findings, Vec::new());
    drop(store);
    assert_eq!(check(&scratch.open()).findings, Vec::new());
}

#[test]
fn lost_tree_is_made_anew() {
    let scratch = Scratch::new();
    let store = scratch.open();
    scratch.load(&store, archive());
    let layer = store.resolve("app:1").unwrap().layers[0].clone();
    fs::remove_dir_all(tree(&scratch, &layer)).unwrap();
    assert_eq!(only(check(&store)).problem, "is missing");
    assert_eq!(only(repair(&store)).outcome, Outcome::Restored);
    assert_eq!(fs::read(tree(&scratch, &layer).join("below")).unwrap(), [1; 5000]);
}

#[test]
fn tree_below_a_running_container_is_left_alone() {
    let scratch = Scratch::new();
    let store = scratch.open();
    scratch.load(&store, archive());
    let image = store.resolve("app:1").unwrap();
    store.prepare("c1", &image.id).unwrap();
    let file = tree(&scratch, &image.layers[1]).join("above");
    flip(&file);
    let checked =
        store.check(&Repair::Yes { running: &|id| id == "c1" }, &mut |_| ControlFlow::Continue(())).unwrap();
    let finding = only(checked);
    assert_eq!(finding.snapshots, ["c1"]);
    assert!(matches!(finding.outcome, Outcome::Kept(_)), "{finding:?}");
    assert_ne!(fs::read(&file).unwrap(), b"content");
    assert_eq!(quarantined(&scratch), Vec::<String>::new());
}

#[test]
fn damaged_archive_of_a_whole_layer_is_fetched_again_and_the_image_stays() {
    let scratch = Scratch::new();
    let store = scratch.open();
    scratch.load(&store, archive());
    // Archives that were loaded uncompressed have the digest of the layer.
    let layer = store.resolve("app:1").unwrap().layers[1].clone();
    fs::write(blob(&scratch, &layer), b"").unwrap();
    let finding = only(check(&store));
    assert_eq!(finding.subject, Subject::Blob(layer.clone()));
    assert!(finding.problem.ends_with(", 0 bytes"), "{finding:?}");
    assert_eq!(only(repair(&store)).outcome, Outcome::Quarantined);
    let image = store.resolve("app:1").unwrap();
    assert_eq!(check(&store).findings, Vec::new());
    assert!(matches!(store.content(&image.id), Err(image::Error::NoArchive(_))));

    assert!(!store.ingest().unwrap().lease_layer(&layer));
    scratch.load(&store, archive());
    assert!(store.content(&image.id).is_ok());
    drop(store);
    let store = scratch.open();
    assert!(store.content(&image.id).is_ok());
    assert_eq!(check(&store).findings, Vec::new());
}

#[test]
fn archive_that_was_lost_while_the_store_was_closed_is_fetched_again() {
    let scratch = Scratch::new();
    let store = scratch.open();
    scratch.load(&store, archive());
    store.settle().unwrap();
    let layer = store.resolve("app:1").unwrap().layers[1].clone();
    drop(store);
    fs::remove_file(blob(&scratch, &layer)).unwrap();
    let store = scratch.open();
    assert!(store.resolve("app:1").is_ok());
    scratch.load(&store, archive());
    assert!(blob(&scratch, &layer).exists());
}

#[test]
fn image_without_its_configuration_is_removed_and_can_be_had_again() {
    let scratch = Scratch::new();
    let store = scratch.open();
    scratch.load(&store, archive());
    scratch.load(&store, Archive::new("other:1").file("below", &[1; 5000]));
    let image = store.resolve("app:1").unwrap();
    flip(&blob(&scratch, &image.id));
    let finding = only(check(&store));
    assert_eq!(
        (&finding.subject, &finding.images[..]),
        (&Subject::Blob(image.id.clone()), &["app:1".to_owned()][..])
    );
    assert_eq!(only(repair(&store)).outcome, Outcome::ImagesRemoved);
    assert!(store.resolve("app:1").is_err());
    assert_eq!(check(&store).findings, Vec::new());
    store.resolve("other:1").unwrap();
    scratch.load(&store, archive());
    assert_eq!(store.resolve("app:1").unwrap().id, image.id);
    assert_eq!(check(&store).findings, Vec::new());
}

#[test]
fn layer_without_anything_to_make_it_from_takes_its_images_along_and_containers_stay() {
    let scratch = Scratch::new();
    let store = scratch.open();
    scratch.load(&store, archive());
    let image = store.resolve("app:1").unwrap();
    let layer = &image.layers[1];
    store.prepare("c1", &image.id).unwrap();
    fs::remove_file(blob(&scratch, layer)).unwrap();
    fs::remove_dir_all(tree(&scratch, layer)).unwrap();
    let outcomes: Vec<_> = repair(&store).findings.into_iter().map(|finding| finding.outcome).collect();
    assert_eq!(outcomes, [Outcome::Quarantined, Outcome::ImagesRemoved]);
    assert!(store.resolve("app:1").is_err());
    assert_eq!(store.snapshots(), ["c1"]);
    scratch.load(&store, archive());
    assert_eq!(fs::read(tree(&scratch, layer).join("above")).unwrap(), b"content");
    assert_eq!(check(&store).findings, Vec::new());
}

#[test]
fn snapshot_that_lost_its_folder_is_told() {
    let scratch = Scratch::new();
    let store = scratch.open();
    scratch.load(&store, archive());
    store.prepare("c1", &store.resolve("app:1").unwrap().id).unwrap();
    fs::remove_dir(scratch.root().join("snapshots/c1/work")).unwrap();
    let finding = only(repair(&store));
    assert_eq!(finding.subject, Subject::Snapshot("c1".into()));
    assert!(matches!(finding.outcome, Outcome::Kept(_)));
}

#[test]
fn check_ends_when_nobody_wants_it_any_more() {
    let scratch = Scratch::new();
    let store = scratch.open();
    scratch.load(&store, archive());
    let ended = store.check(&Repair::No, &mut |_| ControlFlow::Break(()));
    assert!(matches!(ended, Err(image::Error::Cancelled)));
}
