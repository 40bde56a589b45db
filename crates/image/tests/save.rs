//! Images saved: what is in the archive, and that it is the same image elsewhere.

mod support;

use std::collections::BTreeMap;
use std::io::Read;

use image::{Force, ImageStore};
use oci::Reference;
use serde_json::Value;
use support::{Archive, Scratch, no_users};

fn saved(store: &ImageStore, names: &[&str]) -> Vec<u8> {
    let names: Vec<String> = names.iter().map(ToString::to_string).collect();
    let mut bytes = Vec::new();
    store.save(&names, &[]).unwrap().into_reader().read_to_end(&mut bytes).unwrap();
    bytes
}

/// The files of an archive; none is in it twice.
fn files(archive: &[u8]) -> BTreeMap<String, Vec<u8>> {
    let mut found = BTreeMap::new();
    for entry in tar::Archive::new(archive).entries().unwrap() {
        let mut entry = entry.unwrap();
        let path = entry.path().unwrap().to_str().unwrap().to_owned();
        let mut content = Vec::new();
        entry.read_to_end(&mut content).unwrap();
        assert!(found.insert(path.clone(), content).is_none(), "{path} is there twice");
    }
    found
}

fn document(files: &BTreeMap<String, Vec<u8>>, name: &str) -> Value {
    serde_json::from_slice(&files[name]).unwrap()
}

fn two_images(scratch: &Scratch) -> ImageStore {
    let store = scratch.open();
    let lower = || Archive::new("team/one:1").file("shared", &[7; 3000]);
    scratch.load(&store, lower().layer().file("a", b"1"));
    scratch.load(&store, Archive::new("team/one:2").file("shared", &[7; 3000]).layer().file("b", b"2"));
    store
}

#[test]
fn saved_image_is_the_same_in_another_store() {
    let (here, there) = (Scratch::new(), Scratch::new());
    let (store, other) = (two_images(&here), there.open());
    let archive = saved(&store, &["team/one:1"]);
    let loaded = other.load(&archive[..], &[]).unwrap();
    let image = store.resolve("team/one:1").unwrap();
    assert_eq!(loaded[0].image, image.id);
    assert_eq!(loaded[0].reference.as_ref().unwrap().familiar(), "team/one:1");
    let manifest = store.content(&image.id).unwrap().manifest;
    assert_eq!(other.resolve("team/one:1").unwrap().manifest, Some(manifest));
    assert_eq!(saved(&other, &["team/one:1"]), archive);
    assert_eq!(saved(&store, &["team/one:1"]), archive);
}

#[test]
fn builtin_image_keeps_its_manifest() {
    let scratch = Scratch::new();
    let store = scratch.open();
    let image = store.provide_builtin(&Reference::parse("hello-world").unwrap()).unwrap().unwrap();
    let content = store.content(&image.id).unwrap();
    assert_eq!(Some(content.manifest), image.manifest);
}

#[test]
fn archive_of_several_images_has_each_blob_once_and_every_name() {
    let scratch = Scratch::new();
    let store = two_images(&scratch);
    store.tag("team/one:1", &Reference::parse("other").unwrap()).unwrap();
    let files = files(&saved(&store, &["team/one", "other", "team/one:1"]));
    // Two manifests, two configurations, the shared layer and one of each image's own.
    assert_eq!(files.keys().filter(|path| path.len() > "blobs/sha256/".len()).count(), 7);
    let manifest = document(&files, "manifest.json");
    assert_eq!(manifest[0]["RepoTags"], serde_json::json!(["other:latest", "team/one:1"]));
    assert_eq!(manifest[1]["RepoTags"], serde_json::json!(["team/one:2"]));
    for item in manifest.as_array().unwrap() {
        let layers = item["Layers"].as_array().unwrap();
        assert!(
            layers.iter().chain([&item["Config"]]).all(|path| files.contains_key(path.as_str().unwrap()))
        );
    }
    let index = document(&files, "index.json");
    let names: Vec<&str> = index["manifests"]
        .as_array()
        .unwrap()
        .iter()
        .map(|entry| entry["annotations"]["io.containerd.image.name"].as_str().unwrap())
        .collect();
    assert_eq!(names, ["docker.io/library/other:latest", "docker.io/team/one:1", "docker.io/team/one:2"]);
    let repositories = document(&files, "repositories");
    assert_eq!(repositories["team/one"].as_object().unwrap().len(), 2);
    assert_eq!(document(&files, "oci-layout"), serde_json::json!({"imageLayoutVersion": "1.0.0"}));
}

#[test]
fn image_saved_by_its_id_has_no_name() {
    let scratch = Scratch::new();
    let store = two_images(&scratch);
    let id = store.resolve("team/one:1").unwrap().id;
    for name in [id.as_str(), id.short()] {
        let files = files(&saved(&store, &[name]));
        assert_eq!(document(&files, "manifest.json")[0]["RepoTags"], Value::Null);
        assert_eq!(document(&files, "index.json")["manifests"][0].get("annotations"), None);
    }
}

#[test]
fn unknown_name_is_an_error() {
    let scratch = Scratch::new();
    let store = two_images(&scratch);
    let error = |name: &str| store.save(&[name.to_owned()], &[]).unwrap_err().to_string();
    assert_eq!(error("team/one:3"), "reference does not exist");
    assert_eq!(error("team/two"), "No such image: team/two:latest");
    assert_eq!(error("Bad//name"), "invalid reference format");
}

#[test]
fn image_removed_while_it_is_saved_is_whole_in_the_archive_and_gone_afterwards() {
    let scratch = Scratch::new();
    let store = two_images(&scratch);
    let expected = saved(&store, &["team/one"]);
    let archive = store.save(&["team/one".into()], &[]).unwrap();
    store.remove("team/one:1", Force::No, &no_users).unwrap();
    store.remove("team/one:2", Force::No, &no_users).unwrap();
    let mut reader = archive.into_reader();
    let mut bytes = Vec::new();
    reader.read_to_end(&mut bytes).unwrap();
    assert!(bytes == expected, "the archive changed");
    drop(reader);
    assert_eq!(scratch.files(), Vec::<String>::new());
}

#[test]
fn blob_that_was_cut_off_ends_the_archive_with_an_error() {
    let scratch = Scratch::new();
    let store = two_images(&scratch);
    let image = store.resolve("team/one:1").unwrap();
    let content = store.content(&image.id).unwrap();
    let archive = store.save(&["team/one:1".into()], &[]).unwrap();
    let path = scratch.root().join("blobs/sha256").join(content.layers[0].blob.digest.hex());
    std::fs::OpenOptions::new().write(true).open(path).unwrap().set_len(100).unwrap();
    let error = archive.into_reader().read_to_end(&mut Vec::new()).unwrap_err();
    assert!(error.to_string().contains("has 100 bytes instead of"), "{error}");
}

#[test]
fn pushed_image_has_the_digest_and_is_known_to_be_in_the_repository() {
    let scratch = Scratch::new();
    let store = two_images(&scratch);
    let image = store.resolve("team/one:1").unwrap();
    let name = Reference::parse("r.example/team/one:1").unwrap();
    let content = store.content(&image.id).unwrap();
    store.set_pushed(&content, &name).unwrap();
    let found = store.image(&image.id).unwrap();
    let digest = &content.manifest.digest;
    assert_eq!(found.repo_digests[0].familiar(), format!("r.example/team/one@{digest}"));
    assert_eq!(found.tagged_at, image.tagged_at);
    assert_eq!(store.blob(digest).unwrap(), content.document);
    let other = store.resolve("team/one:2").unwrap();
    assert_eq!(store.repositories_with(&other.layers[0], "r.example"), ["team/one"]);
    assert!(store.repositories_with(&other.layers[1], "r.example").is_empty());
    assert!(store.repositories_with(&other.layers[0], "docker.io").is_empty());
}
