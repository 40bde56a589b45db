//! Layers that are made one after the other. Needs root: a deleted file is a device.

mod support;

use std::fs;
use std::io::Read as _;

use image::{Draft, Error, Force, ImageStore, Ingest, Kept};
use oci::{Digest, ImageConfig, Reference};
use rustix::fs::{CWD, FileType, Mode, makedev};
use support::{Archive, Scratch, no_users};

fn base(scratch: &Scratch) -> (ImageStore, Digest) {
    let store = scratch.open();
    let image = scratch
        .load(&store, Archive::new("base:1").file("old", b"old").file("kept", b"kept"))
        .remove(0)
        .image;
    (store, image)
}

/// A layer with one more file, over these.
fn with_file(ingest: &Ingest, id: &str, below: &[Digest], name: &str, content: &str) -> Digest {
    let parts = ingest.begin_layer(id, below).unwrap();
    fs::write(parts.upper.join(name), content).unwrap();
    ingest.finish_layer(id).unwrap()
}

fn commit(store: &ImageStore, ingest: Ingest, image: &Digest, layers: Vec<Digest>, name: &str) -> Digest {
    let mut config = ImageConfig::clone(&store.image(image).unwrap().config);
    config.rootfs.diff_ids = layers;
    let content = serde_json::to_vec(&config).unwrap();
    let id = Digest::of(&content);
    ingest.put_document("image config", &id, &content).unwrap();
    let references = vec![Reference::parse(name).unwrap()];
    ingest.commit(Draft { config: id.clone(), manifest: None, documents: Vec::new(), references }).unwrap();
    id
}

fn saved(store: &ImageStore, name: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    store.save(&[name.to_owned()], &[]).unwrap().into_reader().read_to_end(&mut bytes).unwrap();
    bytes
}

#[test]
fn layers_made_one_after_the_other_are_an_image_that_others_can_load() {
    let (here, there) = (Scratch::new(), Scratch::new());
    let (store, image) = base(&here);
    let ingest = store.ingest().unwrap();
    let mut layers = ingest.lease_image(&image).unwrap();
    layers.push(with_file(&ingest, "build-1", &layers, "new", "new"));
    let parts = ingest.begin_layer("build-2", &layers).unwrap();
    rustix::fs::mknodat(
        CWD,
        parts.upper.join("old"),
        FileType::CharacterDevice,
        Mode::empty(),
        makedev(0, 0),
    )
    .unwrap();
    layers.push(ingest.finish_layer("build-2").unwrap());
    let built = commit(&store, ingest, &image, layers.clone(), "built:1");
    assert_eq!(store.snapshots(), Vec::<String>::new());
    let folders = store.layer_trees(&store.image(&built).unwrap().layers);
    assert_eq!(fs::read(folders[1].join("new")).unwrap(), b"new");

    let archive = saved(&store, "built:1");
    let other = there.open();
    other.load(&archive[..], &[]).unwrap();
    assert_eq!(other.resolve("built:1").unwrap().id, built);
    let folders = other.layer_trees(&other.image(&built).unwrap().layers);
    assert_eq!(fs::read(folders[1].join("new")).unwrap(), b"new");
    assert!(fs::symlink_metadata(folders[0].join("old")).is_ok(), "what hides the old file");
    assert_eq!(saved(&store, "built:1"), archive);
    assert_eq!(saved(&other, "built:1"), archive);
}

#[test]
fn layer_with_files_of_an_earlier_one_is_what_its_digest_says() {
    let scratch = Scratch::new();
    let (store, image) = base(&scratch);
    let ingest = store.ingest().unwrap();
    let below = ingest.lease_image(&image).unwrap();
    let names = ["a", "b", "c", "d", "e"];
    let parts = ingest.begin_layer("first", &below).unwrap();
    for name in names {
        fs::write(parts.upper.join(name), name.repeat(700_000)).unwrap();
    }
    let mut earlier = ingest.finish_layer_like("first", None).unwrap();
    for changed in ["d", "a", "e", "none"] {
        let tree = &store.layer_trees(std::slice::from_ref(&earlier))[0];
        let (linked, copied) = (format!("linked-{changed}"), format!("copied-{changed}"));
        let parts = ingest.begin_layer(&linked, &below).unwrap();
        let copy = ingest.begin_layer(&copied, &below).unwrap();
        for name in names {
            let (from, to) = (tree.join(name), parts.upper.join(name));
            match name == changed {
                true => fs::write(&to, name.repeat(700_001)).unwrap(),
                false => fs::hard_link(&from, &to).unwrap(),
            }
            fs::copy(&to, copy.upper.join(name)).unwrap();
            let time = to.metadata().unwrap().modified().unwrap();
            fs::File::open(copy.upper.join(name)).unwrap().set_modified(time).unwrap();
        }
        let made = ingest.finish_layer_like(&linked, Some(&earlier)).unwrap();
        assert_eq!(made, ingest.finish_layer(&copied).unwrap(), "{changed} was changed");
        assert_eq!(made == earlier, changed == "none");
        earlier = made;
    }
    let layers = [below, vec![earlier]].concat();
    commit(&store, ingest, &image, layers, "built:1");
    assert!(!saved(&store, "built:1").is_empty(), "what is saved is verified");
}

#[test]
fn layer_without_a_change_is_empty() {
    let scratch = Scratch::new();
    let (store, image) = base(&scratch);
    let before = scratch.files();
    let ingest = store.ingest().unwrap();
    let layers = ingest.lease_image(&image).unwrap();
    ingest.begin_layer("build-1", &layers).unwrap();
    assert!(matches!(ingest.begin_layer("build-1", &layers), Err(Error::SnapshotExists(_))));
    let empty = "sha256:5f70bf18a086007016e948b04aed3b82103a36bea41755b6cddfaf10ace3c6ef";
    assert_eq!(ingest.finish_layer("build-1").unwrap().as_str(), empty);
    assert!(matches!(ingest.finish_layer("build-1"), Err(Error::SnapshotNotFound(_))));
    assert!(matches!(ingest.begin_layer("build-2", &[Digest::of(b"none")]), Err(Error::NotFound(_))));
    drop(ingest);
    assert_eq!(scratch.files(), before);
}

#[test]
fn layers_that_no_image_gets_go_with_what_held_them() {
    let scratch = Scratch::new();
    let (store, image) = base(&scratch);
    let before = scratch.files();
    let (ingest, other) = (store.ingest().unwrap(), store.ingest().unwrap());
    let layers = ingest.lease_image(&image).unwrap();
    let made = with_file(&ingest, "build-1", &layers, "new", "same");
    // The times of files are in a layer too.
    assert!(other.lease_layers(std::slice::from_ref(&made)));
    drop(ingest);
    assert!(other.lease_layers(std::slice::from_ref(&made)), "another one holds it");
    drop(other);
    assert!(!store.ingest().unwrap().lease_layers(&[made]));
    store.settle().unwrap();
    assert_eq!(scratch.files(), before);
}

#[test]
fn made_layer_that_was_changed_is_told_and_not_saved() {
    let scratch = Scratch::new();
    let (store, image) = base(&scratch);
    let ingest = store.ingest().unwrap();
    let mut layers = ingest.lease_image(&image).unwrap();
    layers.push(with_file(&ingest, "build-1", &layers, "new", "new"));
    let built = commit(&store, ingest, &image, layers, "built:1");
    let folder = store.layer_trees(&store.image(&built).unwrap().layers).remove(0);
    fs::write(folder.join("new"), "bad").unwrap();
    let error = store.save(&["built:1".into()], &[]).unwrap_err().to_string();
    assert!(error.contains("verification failed"), "{error}");
    store.remove("built:1", Force::No, &no_users).unwrap();
}

#[test]
fn layers_that_are_kept_survive_and_go_when_they_are_released() {
    let here = Scratch::new();
    let (store, image) = base(&here);
    let ingest = store.ingest().unwrap();
    let mut layers = ingest.lease_image(&image).unwrap();
    layers.push(with_file(&ingest, "build-1", &layers, "new", "new"));
    let kept = Kept { layers: layers.clone(), note: "one".into() };
    ingest.keep("key", kept.clone()).unwrap();
    assert!(ingest.keep("other", Kept { layers: vec![Digest::of(b"x")], ..kept.clone() }).is_err());
    drop((ingest, store));
    let store = here.open();
    assert_eq!(store.kept().unwrap(), [("key".to_owned(), kept)]);
    store.note(vec![("key".into(), "two".into()), ("gone".into(), "x".into())]).unwrap();
    assert_eq!(store.kept().unwrap()[0].1.note, "two");
    assert!(store.ingest().unwrap().lease_layers(&layers));
    assert_eq!(store.release_kept(&["key".to_owned()]).unwrap(), 3);
    assert!(store.kept().unwrap().is_empty() && !store.ingest().unwrap().lease_layers(&layers));
    assert!(store.image(&image).is_ok());
}

#[test]
fn what_is_kept_is_forgotten_with_a_lost_layer() {
    let here = Scratch::new();
    let (store, _) = base(&here);
    let ingest = store.ingest().unwrap();
    let layer = with_file(&ingest, "build-1", &[], "new", "new");
    ingest.keep("key", Kept { layers: vec![layer.clone()], note: String::new() }).unwrap();
    let tree = store.layer_tree(&layer);
    drop((ingest, store));
    fs::remove_dir_all(tree.parent().unwrap()).unwrap();
    assert!(here.open().kept().unwrap().is_empty());
}
