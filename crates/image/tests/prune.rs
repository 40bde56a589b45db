//! Images that nobody uses are removed, and nothing else.

mod support;

use image::{ImageStore, Removed, Unused, Users};
use oci::{Digest, Reference};
use support::{Archive, Scratch, no_users};

/// One image that lost its name to another, which is younger, has a label and a second name.
fn store(scratch: &Scratch) -> ImageStore {
    let store = scratch.open();
    scratch.load(&store, Archive::new("app:1").file("a", &[1; 5000]).created("2020-01-01T00:00:00Z"));
    scratch.load(&store, Archive::new("app:1").file("b", &[2; 7000]).label("keep", "yes"));
    store.tag("app:1", &Reference::parse("other:2").unwrap()).unwrap();
    store
}

fn dangling() -> Unused {
    Unused { dangling_only: true, ..Unused::default() }
}

#[test]
fn only_images_without_a_tag_go_if_nothing_else_is_asked_for() {
    let scratch = Scratch::new();
    let store = store(&scratch);
    let before = store.disk_size().unwrap();
    let pruned = store.prune(&dangling(), &no_users).unwrap();
    assert!(matches!(&pruned.removed[..], [Removed::Image(_), Removed::Layer(_)]), "{pruned:?}");
    assert_eq!(pruned.reclaimed, before - store.disk_size().unwrap());
    assert!(pruned.reclaimed > 10_000, "the tree and the archive of the layer: {pruned:?}");
    assert_eq!(store.images().unwrap().len(), 1);
    assert_eq!(store.prune(&dangling(), &no_users).unwrap(), image::Pruned::default());
}

#[test]
fn images_go_with_all_their_names() {
    let scratch = Scratch::new();
    let store = store(&scratch);
    let pruned = store.prune(&Unused::default(), &no_users).unwrap();
    let names = pruned.removed.iter().filter(|it| matches!(it, Removed::Untagged(..))).count();
    assert_eq!(names, 2);
    assert!(store.images().unwrap().is_empty());
    assert_eq!(scratch.files(), Vec::<String>::new());
}

#[test]
fn images_of_containers_stay_with_all_their_names() {
    let scratch = Scratch::new();
    let store = store(&scratch);
    let used = store.resolve("app:1").unwrap().id;
    let users = |id: &Digest| {
        let stopped = (*id == used).then(|| "c1".to_owned());
        Users { running: None, stopped }
    };
    store.prune(&Unused::default(), &users).unwrap();
    assert_eq!(store.image(&used).unwrap().repo_tags.len(), 2);
    assert_eq!(store.images().unwrap().len(), 1);
}

#[test]
fn filters_choose_by_label_and_age() {
    let scratch = Scratch::new();
    let store = store(&scratch);
    let labelled = Unused { labels: vec!["keep=no".into()], ..Unused::default() };
    assert!(store.prune(&labelled, &no_users).unwrap().removed.is_empty());
    let until = Some("2022-01-01T00:00:00Z".parse().unwrap());
    store.prune(&Unused { until, ..Unused::default() }, &no_users).unwrap();
    assert!(store.resolve("app:1").is_ok());
    assert_eq!(store.images().unwrap().len(), 1);
    let without = Unused { without_labels: vec!["keep".into()], ..Unused::default() };
    assert!(store.prune(&without, &no_users).unwrap().removed.is_empty());
}

#[test]
fn shared_size_is_that_of_layers_which_others_have_too() {
    let scratch = Scratch::new();
    let store = scratch.open();
    scratch.load(&store, Archive::new("one:1").file("base", &[1; 4000]).layer().file("x", b"12345"));
    let alone = store.shared_size(&store.resolve("one:1").unwrap());
    scratch.load(&store, Archive::new("two:1").file("base", &[1; 4000]).layer().file("y", b"1"));
    let image = store.resolve("one:1").unwrap();
    assert_eq!((alone, store.shared_size(&image), image.size), (0, 4000, 4005));
}
