//! The store as its users see it: bringing in, naming, listing, removing, snapshots, and what is on disk afterwards.

mod support;

use image::{Error, Filters, Force, ImageStore, Removed, Users};
use oci::{Digest, Platform, Reference};
use support::{Archive, Scratch, no_users};

fn hello(store: &ImageStore) -> image::Image {
    store.provide_builtin(&Reference::parse("hello-world").unwrap()).unwrap().unwrap()
}

#[test]
fn builtin_is_resolved_by_name_id_and_prefix() {
    let scratch = Scratch::new();
    let store = scratch.open();
    assert_eq!(store.resolve("hello-world").unwrap_err().to_string(), "No such image: hello-world:latest");
    let image = hello(&store);
    for text in [
        "hello-world",
        "hello-world:latest",
        "docker.io/library/hello-world",
        image.id.as_str(),
        image.id.short(),
    ] {
        assert_eq!(store.resolve(text).unwrap().id, image.id, "{text}");
    }
    assert_eq!(image.repo_tags[0].familiar(), "hello-world:latest");
    assert_eq!(Digest::of(&store.blob(&image.id).unwrap()), image.id);
    assert_eq!(image.config.config.as_ref().unwrap().cmd.as_deref().unwrap(), ["/hello"]);
    let other: Platform = "linux/s390x".parse().unwrap();
    assert!(
        store
            .resolve_for("hello-world", &other)
            .unwrap_err()
            .to_string()
            .contains("does not match the specified")
    );
    assert_eq!(store.resolve("bad name").unwrap_err().to_string(), "invalid reference format");
}

#[test]
fn builtin_layer_runs_from_its_tree() {
    let scratch = Scratch::new();
    let store = scratch.open();
    let image = hello(&store);
    let parts = store.prepare("c1", &image.id).unwrap();
    let output = std::process::Command::new(parts.lower[0].join("hello")).output().unwrap();
    assert!(String::from_utf8(output.stdout).unwrap().contains("Hello from Corten!"));
}

#[test]
fn store_opened_again_has_the_same_images() {
    let scratch = Scratch::new();
    let first = {
        let store = scratch.open();
        let image = hello(&store);
        store.tag("hello-world", &Reference::parse("other:1").unwrap()).unwrap();
        store.prepare("c1", &image.id).unwrap();
        store.settle().unwrap();
        store.resolve("other:1").unwrap()
    };
    let store = scratch.open();
    let again = store.resolve("other:1").unwrap();
    assert_eq!((again.id, again.repo_tags, again.size), (first.id, first.repo_tags, first.size));
    assert_eq!(store.snapshots(), ["c1"]);
    assert_eq!(store.open_snapshot("c1").unwrap().lower.len(), 2);
}

#[test]
fn tag_moves_from_one_image_to_another() {
    let scratch = Scratch::new();
    let store = scratch.open();
    let hello = hello(&store);
    let other = scratch.load(&store, Archive::new("app:1").file("a", b"x"));
    store.tag("hello-world", &Reference::parse("app:1").unwrap()).unwrap();
    assert_eq!(store.resolve("app:1").unwrap().id, hello.id);
    assert!(store.resolve(other[0].image.as_str()).unwrap().is_dangling());
    let with_digest = Reference::parse("app").unwrap().with_digest(hello.id.clone());
    assert!(matches!(store.tag("hello-world", &with_digest), Err(Error::TagWithDigest)));
}

#[test]
fn remove_last_name_deletes_image_layers_and_blobs() {
    let scratch = Scratch::new();
    let store = scratch.open();
    let image = hello(&store);
    store.tag("hello-world", &Reference::parse("other").unwrap()).unwrap();
    let removed = store.remove("other", Force::No, &no_users).unwrap();
    assert_eq!(removed, [Removed::Untagged(Reference::parse("other:latest").unwrap(), image.id.clone())]);
    let removed = store.remove("hello-world", Force::No, &no_users).unwrap();
    assert!(
        matches!(&removed[..], [Removed::Untagged(..), Removed::Image(id), Removed::Layer(_)] if *id == image.id)
    );
    assert!(store.resolve("hello-world").is_err());
    store.settle().unwrap();
    assert_eq!(scratch.files(), Vec::<String>::new());
}

#[test]
fn remove_in_use_is_a_conflict_in_dockers_words() {
    let scratch = Scratch::new();
    let store = scratch.open();
    let image = hello(&store);
    let id = image.id.short().to_owned();
    let container = "0123456789abcdef";
    let stopped = |_: &Digest| Users { running: None, stopped: Some(container.into()) };
    let running = |_: &Digest| Users { running: Some(container.into()), stopped: None };
    let refuse = |text: &str, force, users: &dyn Fn(&Digest) -> Users| {
        store.remove(text, force, users).unwrap_err().to_string()
    };
    assert_eq!(
        refuse("hello-world", Force::No, &stopped),
        format!(
            "conflict: unable to remove repository reference \"hello-world\" (must force) - container 0123456789ab is using its referenced image {id}"
        )
    );
    assert_eq!(
        refuse(&id, Force::No, &stopped),
        format!(
            "conflict: unable to delete {id} (must be forced) - image is being used by stopped container 0123456789ab"
        )
    );
    assert_eq!(
        refuse(&id, Force::Yes, &running),
        format!(
            "conflict: unable to delete {id} (cannot be forced) - image is being used by running container 0123456789ab"
        )
    );
    store.tag("hello-world", &Reference::parse("elsewhere/hello").unwrap()).unwrap();
    assert_eq!(
        refuse(&id, Force::No, &no_users),
        format!(
            "conflict: unable to delete {id} (must be forced) - image is referenced in multiple repositories"
        )
    );
    assert_eq!(store.remove(&id, Force::Yes, &no_users).unwrap().len(), 4);
}

#[test]
fn remove_of_image_under_a_snapshot_keeps_its_layers_until_that_goes() {
    let scratch = Scratch::new();
    let store = scratch.open();
    let image = hello(&store);
    let parts = store.prepare("c1", &image.id).unwrap();
    let stopped = |_: &Digest| Users { running: None, stopped: Some("c1".into()) };
    let removed = store.remove("hello-world", Force::Yes, &stopped).unwrap();
    assert_eq!(removed.len(), 2, "{removed:?}");
    assert!(parts.lower[0].join("hello").exists());
    store.settle().unwrap();
    drop(store);
    let store = scratch.open();
    assert!(parts.lower[0].join("hello").exists());
    store.remove_snapshot("c1").unwrap();
    assert_eq!(scratch.files(), Vec::<String>::new());
}

#[test]
fn snapshot_is_made_once_and_measured() {
    let scratch = Scratch::new();
    let store = scratch.open();
    let image = hello(&store);
    let parts = store.prepare("c1", &image.id).unwrap();
    assert!(matches!(store.prepare("c1", &image.id), Err(Error::SnapshotExists(_))));
    std::fs::create_dir(parts.upper.join("d")).unwrap();
    std::fs::write(parts.upper.join("d/a"), b"12345").unwrap();
    std::fs::hard_link(parts.upper.join("d/a"), parts.upper.join("b")).unwrap();
    let usage = store.usage("c1").unwrap();
    assert_eq!((usage.size, usage.inodes), (5, 3));
    assert_eq!(store.lower_size("c1").unwrap(), image.size);
    for bad in ["", "..", "a/b", "a\0", "../c1"] {
        assert!(matches!(store.prepare(bad, &image.id), Err(Error::SnapshotName(_))), "{bad:?}");
    }
    store.remove_snapshot("c1").unwrap();
    store.remove_snapshot("c1").unwrap();
    assert!(matches!(store.open_snapshot("c1"), Err(Error::SnapshotNotFound(_))));
}

#[test]
fn image_of_too_many_layers_is_refused_by_number() {
    let scratch = Scratch::new();
    let store = scratch.open();
    let mut archive = Archive::new("deep");
    for number in 0..500 {
        archive = archive.layer().file("number", number.to_string().as_bytes());
    }
    let loaded = scratch.load(&store, archive);
    let error = store.prepare("c1", &loaded[0].image).unwrap_err().to_string();
    assert!(error.contains("has 501 layers, more than the 499"), "{error}");
    assert!(store.snapshots().is_empty());
}

#[test]
fn image_with_one_layer_twice_has_it_once_in_its_overlay() {
    let scratch = Scratch::new();
    let store = scratch.open();
    let archive = Archive::new("twice").file("a", b"1").layer().file("b", b"2").layer().file("a", b"1");
    let loaded = scratch.load(&store, archive);
    let parts = store.prepare("c1", &loaded[0].image).unwrap();
    assert_eq!(parts.lower.len(), 3);
    assert!(parts.lower[0].join("a").exists() && parts.lower[1].join("b").exists());
}

#[test]
fn lowest_layer_of_every_snapshot_has_the_places_of_mounts() {
    let scratch = Scratch::new();
    let store = scratch.open();
    let image = hello(&store);
    let base = store.prepare("c1", &image.id).unwrap().lower.pop().unwrap();
    for folder in ["proc", "dev", "sys"] {
        assert!(base.join(folder).is_dir(), "{folder}");
    }
    for file in ["etc/hosts", "etc/hostname", "etc/resolv.conf", ".dockerenv"] {
        assert_eq!(std::fs::read(base.join(file)).unwrap(), b"", "{file}");
    }
}

#[test]
fn list_is_filtered_and_newest_first() {
    let scratch = Scratch::new();
    let store = scratch.open();
    let build = |name: &str, created: &str, label: &str| {
        scratch
            .load(&store, Archive::new(name).file("f", name.as_bytes()).created(created).label("kind", label))
    };
    build("a:1", "2020-01-01T00:00:00Z", "x");
    build("b:1", "2021-01-01T00:00:00Z", "y");
    build("c/d:2", "2022-01-01T00:00:00Z", "x");
    let names = |filters: &Filters| -> Vec<String> {
        store.list(filters).unwrap().iter().map(|image| image.repo_tags[0].familiar()).collect()
    };
    let text = |text: &str| vec![text.to_owned()];
    assert_eq!(names(&Filters::default()), ["c/d:2", "b:1", "a:1"]);
    assert_eq!(names(&Filters { before: text("b:1"), ..Filters::default() }), ["a:1"]);
    assert_eq!(names(&Filters { since: text("b:1"), ..Filters::default() }), ["c/d:2"]);
    assert_eq!(names(&Filters { labels: text("kind=x"), ..Filters::default() }), ["c/d:2", "a:1"]);
    assert_eq!(names(&Filters { without_labels: text("kind=x"), ..Filters::default() }), ["b:1"]);
    assert_eq!(names(&Filters { references: text("?:1"), ..Filters::default() }), ["b:1", "a:1"]);
    assert_eq!(names(&Filters { dangling: Some(true), ..Filters::default() }), Vec::<String>::new());
    let until = Some("2020-06-01T00:00:00Z".parse().unwrap());
    assert_eq!(names(&Filters { until, ..Filters::default() }), ["a:1"]);
    assert!(matches!(
        store.list(&Filters { before: text("nothing"), ..Filters::default() }),
        Err(Error::NotFound(_))
    ));
}

#[test]
fn history_is_newest_first_with_sizes_of_layers() {
    let scratch = Scratch::new();
    let store = scratch.open();
    let image = hello(&store);
    let history = store.history("hello-world").unwrap();
    assert_eq!(history.len(), 2);
    assert_eq!((history[0].id.as_ref(), history[0].size), (Some(&image.id), 0));
    assert_eq!((history[1].id.as_ref(), history[1].size), (None, image.size));
    assert_eq!(history[0].tags[0].familiar(), "hello-world:latest");
}

#[test]
fn half_made_things_are_gone_when_opened_again() {
    let scratch = Scratch::new();
    let root = {
        let store = scratch.open();
        hello(&store);
        store.settle().unwrap();
        scratch.root()
    };
    for folder in ["ingest/x/y", "layers/00", "snapshots/none/upper"] {
        std::fs::create_dir_all(root.join(folder)).unwrap();
    }
    let stray = "0".repeat(64);
    std::fs::write(root.join("blobs/sha256").join(&stray), b"stray").unwrap();
    let before = {
        let store = scratch.open();
        store.resolve("hello-world").unwrap()
    };
    assert!(!root.join("blobs/sha256").join(&stray).exists());
    assert!(!root.join("layers/00").exists() && !root.join("snapshots/none").exists());
    assert!(std::fs::read_dir(root.join("ingest")).unwrap().next().is_none());
    // What a record speaks of and is not there is not believed.
    std::fs::remove_dir_all(root.join("layers").join(before.layers[0].hex())).unwrap();
    let store = scratch.open();
    assert!(store.resolve("hello-world").is_err());
    assert!(hello(&store).id == before.id);
}
