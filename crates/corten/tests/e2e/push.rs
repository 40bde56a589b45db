//! Pushing to a real registry.

use serde_json::json;
use testkit::archive::{Image, Layer};
use testkit::registry::{Builder, PASSWORD, Registry, free_port};
use testkit::{Bed, with_each_client};

use crate::CORTEN;
use crate::images::on_busybox;
use crate::registries::log_in;

with_each_client!(
    pushed_image_is_pulled_again_and_runs,
    push_of_what_is_there_sends_no_layer,
    layer_of_another_repository_is_mounted,
    all_tags_are_pushed,
    quiet_push_prints_the_reference,
    image_that_is_not_here_is_not_pushed,
    password_opens_a_registry_for_pushes,
    wrong_password_pushes_nothing,
    registry_that_is_not_there_is_an_error,
);

fn sample(text: &str) -> Image {
    let upper = Layer::new().file("text", 0o600, text.as_bytes()).hard_link("twin", "text");
    on_busybox(json!({"Cmd": ["busybox", "cat", "/twin"]}), vec![upper.finish()])
}

/// Loads an image under a name in the registry.
fn load(bed: &Bed, registry: &Registry, name: &str) -> String {
    let reference = registry.reference(name);
    bed.engine.load_archive(&sample(name).docker_archive(&reference));
    reference
}

fn pushed_image_is_pulled_again_and_runs(bed: &Bed) {
    let registry = Registry::start();
    let reference = load(bed, &registry, "team/app:1");
    let text = bed.ok(["push", &reference]);
    let repository = registry.reference("team/app");
    assert!(text.starts_with(&format!("The push refers to repository [{repository}]")), "{text}");
    assert_eq!(text.matches(": Pushed").count(), 2, "{text}");
    let last = text.lines().last().expect("a line");
    let (digest, size) =
        last.strip_prefix("1: digest: ").and_then(|rest| rest.split_once(" size: ")).expect("a digest");
    assert!(digest.starts_with("sha256:") && size.parse::<u32>().is_ok(), "{last}");
    assert_eq!(bed.field(&reference, "{{json .RepoDigests}}"), format!("[\"{repository}@{digest}\"]"));
    bed.ok(["rmi", &reference]);
    assert!(bed.ok(["pull", &reference]).contains(&format!("Digest: {digest}")));
    assert_eq!(bed.ok(["run", "--rm", &reference]), "team/app:1");
    assert_eq!(bed.field(&reference, "{{.Id}}"), sample("team/app:1").id());
}

fn push_of_what_is_there_sends_no_layer(bed: &Bed) {
    let registry = Registry::start();
    let reference = load(bed, &registry, "app:1");
    let first = bed.ok(["push", &reference]);
    let second = bed.ok(["push", &reference]);
    assert_eq!(second.matches(": Layer already exists").count(), 2, "{second}");
    assert_eq!(second.lines().last(), first.lines().last());
}

fn layer_of_another_repository_is_mounted(bed: &Bed) {
    let registry = Registry::start();
    let first = load(bed, &registry, "team/first:1");
    bed.ok(["push", &first]);
    let second = registry.reference("other/second:1");
    bed.ok(["tag", &first, &second]);
    let text = bed.ok(["push", &second]);
    assert_eq!(text.matches(": Mounted from team/first").count(), 2, "{text}");
    bed.ok(["rmi", &first, &second]);
    bed.ok(["pull", &second]);
}

fn all_tags_are_pushed(bed: &Bed) {
    let registry = Registry::start();
    let reference = load(bed, &registry, "app:1");
    let repository = registry.reference("app");
    bed.ok(["tag", &reference, &format!("{repository}:2")]);
    let text = bed.ok(["push", "-a", &repository]);
    assert!(text.contains("1: digest: sha256:") && text.contains("2: digest: sha256:"), "{text}");
    bed.ok(["rmi", &reference, &format!("{repository}:2")]);
    bed.ok(["pull", &format!("{repository}:2")]);
    bed.run(["push", "-a", &reference]).expect_code(1).expect_stderr("tag can't be used with --all-tags/-a");
}

fn quiet_push_prints_the_reference(bed: &Bed) {
    let registry = Registry::start();
    let reference = load(bed, &registry, "app:latest");
    let name = registry.reference("app");
    assert_eq!(bed.ok(["push", "-q", &name]), reference);
    assert!(bed.ok(["push", &name]).starts_with("Using default tag: latest\n"));
}

fn image_that_is_not_here_is_not_pushed(bed: &Bed) {
    let registry = Registry::start();
    let name = registry.reference("none");
    let output = bed.run(["push", &format!("{name}:1")]).expect_code(1);
    output.expect_stderr(&format!("An image does not exist locally with the tag: {name}"));
    let there = load(bed, &registry, "app:1");
    let missing = registry.reference("app:2");
    bed.run(["push", &missing]).expect_code(1).expect_stderr(&format!("tag does not exist: {missing}"));
    bed.run(["push", "Bad//name"]).expect_code(1).expect_stderr("invalid reference format");
    bed.run(["push", &format!("{there}@sha256:{}", "0".repeat(64))]).expect_code(1);
}

fn password_opens_a_registry_for_pushes(bed: &Bed) {
    let registry = Builder::at([127, 0, 0, 1].into()).with_account().start();
    let reference = load(bed, &registry, "app:1");
    bed.run(["push", &reference]).expect_code(1).expect_stderr("no basic auth credentials");
    log_in(bed, &registry, PASSWORD);
    let text = bed.ok(["push", &reference]);
    assert!(text.contains("1: digest: sha256:"), "{text}");
    bed.ok(["rmi", &reference]);
    bed.ok(["pull", &reference]);
}

fn wrong_password_pushes_nothing(bed: &Bed) {
    let registry = Builder::at([127, 0, 0, 1].into()).with_account().start();
    let reference = load(bed, &registry, "app:1");
    log_in(bed, &registry, "wrong");
    bed.run(["push", &reference]).expect_code(1).expect_stderr("unauthorized");
    assert_eq!(bed.field(&reference, "{{json .RepoDigests}}"), "[]");
}

fn registry_that_is_not_there_is_an_error(bed: &Bed) {
    let reference = format!("127.0.0.1:{}/app:1", free_port());
    bed.ok(["tag", "busybox", &reference]);
    bed.run(["push", &reference]).expect_code(1).expect_stderr("connection refused");
}
