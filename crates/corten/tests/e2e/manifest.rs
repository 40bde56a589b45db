//! `manifest`: what registries have under a name, and lists of images made here.

use std::fs;
use std::path::PathBuf;

use serde_json::{Value, json};
use testkit::archive::{Compression, Image, Layer};
use testkit::registry::{Builder, PASSWORD, Registry, free_port};
use testkit::{Bed, Client, with_each_client};

use crate::CORTEN;
use crate::images::on_busybox;
use crate::registries::log_in;

with_each_client!(
    manifest_is_shown_as_the_registry_has_it,
    list_is_made_and_pushed_and_pulled_by_platform,
    images_of_another_repository_are_taken_over,
    annotations_are_in_the_list,
    list_is_kept_until_it_is_purged_or_removed,
    what_cannot_be_in_a_list_is_refused,
    registry_without_encryption_is_read_on_demand_only,
    password_opens_a_registry_for_manifests,
    manifest_that_is_nowhere_is_an_error,
);

const OCI_MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const DOCKER_MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";

/// An image that tells for which architecture it claims to be.
pub(crate) fn image(architecture: &str) -> Image {
    let layer = Layer::new().file("architecture", 0o644, architecture.as_bytes());
    let config = json!({"Cmd": ["busybox", "cat", "/architecture"]});
    on_busybox(config, vec![layer.finish()]).for_architecture(architecture)
}

/// Brings an image to the registry without any of the clients. Returns its name there.
pub(crate) fn push(registry: &Registry, architecture: &str, name: &str) -> String {
    registry.push_archive("oci-archive", &image(architecture).oci_layout("any", Compression::Gzip), name)
}

/// The same in Docker's form.
fn push_as_docker(registry: &Registry, architecture: &str, name: &str) -> String {
    registry.push_archive("docker-archive", &image(architecture).docker_archive("any:1"), name)
}

fn other(bed: &Bed) -> Client {
    match bed.client() {
        Client::Docker => Client::Corten,
        Client::Corten => Client::Docker,
    }
}

/// What a command prints, which has to be the same with the other client.
#[track_caller]
fn alike(bed: &Bed, arguments: &[&str]) -> String {
    let own = bed.run(arguments).expect_ok().text();
    let others = bed.engine.cli(other(bed), arguments).run().expect_ok().text();
    assert_eq!(own, others, "{arguments:?}");
    own
}

#[track_caller]
fn parsed(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

fn kept(bed: &Bed) -> PathBuf {
    bed.engine.directory().join("config/manifests")
}

fn manifest_is_shown_as_the_registry_has_it(bed: &Bed) {
    let registry = Registry::start();
    let forms = [
        (push(&registry, "amd64", "team/oci:1"), OCI_MANIFEST, "OCIManifest"),
        (push_as_docker(&registry, "arm64", "team/docker:1"), DOCKER_MANIFEST, "SchemaV2Manifest"),
    ];
    for (reference, media_type, member) in forms {
        let text = alike(bed, &["manifest", "inspect", "--insecure", &reference]);
        assert!(text.contains("\n\t\"schemaVersion\": 2"), "{text}");
        assert_eq!(parsed(&text)["mediaType"], media_type);
        assert_eq!(parsed(&text)["layers"].as_array().map(Vec::len), Some(2));
        let verbose = alike(bed, &["manifest", "inspect", "--insecure", "-v", &reference]);
        let verbose = parsed(&verbose);
        assert_eq!(verbose["Ref"], reference);
        assert_eq!(verbose[member], parsed(&text));
        assert_eq!(verbose["Descriptor"]["platform"]["os"], "linux");
        let digest = verbose["Descriptor"]["digest"].as_str().expect("a digest");
        let by_digest = reference.replace(":1", &format!("@{digest}"));
        assert_eq!(alike(bed, &["manifest", "inspect", "--insecure", &by_digest]), text);
    }
}

fn list_is_made_and_pushed_and_pulled_by_platform(bed: &Bed) {
    let registry = Registry::start();
    let images = ["amd64", "arm64"].map(|it| push(&registry, it, &format!("team/app:{it}")));
    let list = registry.reference("team/app:all");
    let arguments = ["manifest", "create", "--insecure", &list, &images[0], &images[1]];
    assert_eq!(bed.ok(arguments), format!("Created manifest list {list}"));
    let local = alike(bed, &["manifest", "inspect", &list]);
    alike(bed, &["manifest", "inspect", "-v", &list]);
    alike(bed, &["manifest", "inspect", "-v", &list, &images[1]]);
    let digest = bed.ok(["manifest", "push", "--insecure", &list]);
    assert_eq!(digest, testkit::archive::digest(local.trim_end().as_bytes()));
    bed.engine.cli(other(bed), ["manifest", "rm", &list]).run().expect_ok();
    assert_eq!(alike(bed, &["manifest", "inspect", "--insecure", &list]), local);
    let verbose = alike(bed, &["manifest", "inspect", "--insecure", "-v", &list]);
    assert_eq!(parsed(&verbose).as_array().map(Vec::len), Some(2));
    for architecture in ["arm64", "amd64"] {
        bed.ok(["pull", "-q", "--platform", &format!("linux/{architecture}"), &list]);
        let id = image(architecture).id();
        assert_eq!(bed.field(&id, "{{.Architecture}}"), architecture);
    }
    assert_eq!(bed.ok(["run", "--rm", &list]), "amd64");
}

fn images_of_another_repository_are_taken_over(bed: &Bed) {
    let registry = Registry::start();
    let images =
        [push_as_docker(&registry, "amd64", "team/one:1"), push_as_docker(&registry, "arm64", "team/two:1")];
    let list = registry.reference("others/all:1");
    bed.ok(["manifest", "create", "--insecure", &list, &images[0], &images[1]]);
    let text = bed.ok(["manifest", "push", "--insecure", &list]);
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines.len(), 3, "{text}");
    let repository = registry.reference("others/all");
    for line in &lines[..2] {
        let (name, digest) = line.split_once(" with digest: ").expect("a digest");
        assert_eq!(name, format!("Pushed ref {repository}@{digest}"));
        bed.ok(["manifest", "inspect", "--insecure", &format!("{repository}@{digest}")]);
    }
    bed.ok(["pull", "-q", &list]);
    assert_eq!(bed.ok(["run", "--rm", &list]), "amd64");
}

fn annotations_are_in_the_list(bed: &Bed) {
    let registry = Registry::start();
    let image = push(&registry, "arm", "team/app:arm");
    let list = registry.reference("team/app:all");
    bed.ok(["manifest", "create", "--insecure", &list, &image]);
    let flags = ["--variant", "v7", "--os-features", "a,b", "--os-features=b", "--os-version", "1.2"];
    let arguments = ["manifest", "annotate"].into_iter().chain(flags);
    assert_eq!(bed.ok(arguments.chain([list.as_str(), &image])), "");
    let text = alike(bed, &["manifest", "inspect", &list]);
    let platform = json!({
        "architecture": "arm", "os": "linux", "os.version": "1.2", "os.features": ["a", "b"], "variant": "v7",
    });
    assert_eq!(parsed(&text)["manifests"][0]["platform"], platform);
    // What was changed stays when images are added, also by the other client.
    let second = push(&registry, "amd64", "team/app:amd64");
    let arguments = ["manifest", "create", "--insecure", "--amend", &list, &second, &image];
    bed.engine.cli(other(bed), arguments).run().expect_ok();
    bed.ok(["manifest", "push", "--insecure", &list]);
    bed.ok(["manifest", "rm", &list]);
    let text = alike(bed, &["manifest", "inspect", "--insecure", &list]);
    let manifests = parsed(&text)["manifests"].clone();
    let platforms: Vec<&Value> =
        manifests.as_array().expect("a list").iter().map(|it| &it["platform"]).collect();
    assert_eq!(platforms, [&json!({"architecture": "amd64", "os": "linux"}), &platform]);
}

fn list_is_kept_until_it_is_purged_or_removed(bed: &Bed) {
    let registry = Registry::start();
    let image = push(&registry, "amd64", "team/app:1");
    let list = registry.reference("team/app:all");
    let create = ["manifest", "create", "--insecure", &list, &image];
    bed.ok(create);
    let folder = list.replace(':', "-").replace('/', "_");
    let file = image.replace(':', "-").replace('/', "_");
    assert!(kept(bed).join(&folder).join(file).is_file());
    let refused = "refusing to amend an existing manifest list with no --amend flag";
    bed.run(create).expect_code(1).expect_stderr(refused);
    bed.ok(["manifest", "push", "--insecure", &list]);
    assert!(kept(bed).join(&folder).is_dir());
    bed.ok(["manifest", "push", "--insecure", "--purge", &list]);
    assert!(!kept(bed).join(&folder).exists());
    bed.ok(create);
    bed.ok(["manifest", "rm", &list]);
    assert!(!kept(bed).join(&folder).exists());
    bed.run(["manifest", "push", &list]).expect_code(1).expect_stderr(&format!("No such manifest: {list}"));
    let missing = registry.reference("team/app:none");
    let output = bed.run(["manifest", "rm", &list, &missing, "Bad//name"]).expect_code(1);
    let texts = [&list, &missing].map(|name| format!("No such manifest: {name}"));
    output.expect_stderr(&texts.join("\n")).expect_stderr("invalid reference format");
    let left = fs::read_dir(kept(bed)).expect("the folder of lists").count();
    assert_eq!(left, 0);
}

fn what_cannot_be_in_a_list_is_refused(bed: &Bed) {
    let registry = Registry::start();
    let image = push(&registry, "amd64", "team/app:1");
    let list = registry.reference("team/app:all");
    bed.ok(["manifest", "create", "--insecure", &list, &image]);
    let absent = registry.reference("team/app:absent");
    bed.run(["manifest", "annotate", "--os", "linux", &list, &absent])
        .expect_code(1)
        .expect_stderr(&format!("manifest for image {absent} does not exist in {list}"));
    bed.run(["manifest", "annotate", "--os", "linux", "--arch", "vax", &list, &image])
        .expect_code(1)
        .expect_stderr("manifest entry for image has unsupported os/arch combination: linux/vax");
    bed.run(["manifest", "inspect", &list, &absent])
        .expect_code(1)
        .expect_stderr(&format!("No such manifest: {absent}"));
    bed.ok(["manifest", "push", "--insecure", &list]);
    let outer = registry.reference("team/app:outer");
    bed.run(["manifest", "create", "--insecure", &outer, &list])
        .expect_code(1)
        .expect_stderr(&format!("{list} is a manifest list"));
    let elsewhere = Registry::start();
    let foreign = elsewhere.reference("team/app:all");
    bed.ok(["manifest", "create", "--insecure", &foreign, &image]);
    let text = "cannot use source images from a different registry than the target image";
    bed.run(["manifest", "push", "--insecure", &foreign]).expect_code(1).expect_stderr(&format!(
        "{text}: {} != {}",
        registry.address(),
        elsewhere.address()
    ));
    bed.run(["manifest", "create", &list]).expect_code(1).expect_stderr("requires at least 2 arguments");
}

fn registry_without_encryption_is_read_on_demand_only(bed: &Bed) {
    let registry = Registry::start();
    let image = push(&registry, "amd64", "team/app:1");
    let list = registry.reference("team/app:all");
    let missing = format!("no such manifest: {image}");
    bed.run(["manifest", "inspect", &image]).expect_code(1).expect_stderr(&missing);
    bed.run(["manifest", "create", &list, &image]).expect_code(1).expect_stderr(&missing);
    assert!(!kept(bed).join(list.replace(':', "-").replace('/', "_")).exists());
    bed.ok(["manifest", "create", "--insecure", &list, &image]);
}

fn password_opens_a_registry_for_manifests(bed: &Bed) {
    let registry = Builder::at([127, 0, 0, 1].into()).with_account().start();
    let image = push(&registry, "amd64", "team/app:1");
    let list = registry.reference("team/app:all");
    let inspect = ["manifest", "inspect", "--insecure", &image];
    bed.run(inspect).expect_code(1).expect_stderr("no basic auth credentials");
    log_in(bed, &registry, "wrong");
    bed.run(inspect).expect_code(1).expect_stderr(&format!("no such manifest: {image}"));
    log_in(bed, &registry, PASSWORD);
    bed.ok(inspect);
    bed.ok(["manifest", "create", "--insecure", &list, &image]);
    bed.ok(["manifest", "push", "--insecure", "-p", &list]);
    bed.ok(["manifest", "inspect", "--insecure", &list]);
}

fn manifest_that_is_nowhere_is_an_error(bed: &Bed) {
    let registry = Registry::start();
    push(&registry, "amd64", "team/app:1");
    for name in ["team/app:none", "none/at/all:1"] {
        let missing = registry.reference(name);
        bed.run(["manifest", "inspect", "--insecure", &missing])
            .expect_code(1)
            .expect_stderr(&format!("no such manifest: {missing}"));
    }
    let closed = format!("127.0.0.1:{}/app:1", free_port());
    bed.run(["manifest", "inspect", "--insecure", &closed])
        .expect_code(1)
        .expect_stderr("connection refused");
    bed.run(["manifest", "inspect", "Bad//name"]).expect_code(1).expect_stderr("invalid reference format");
}
