//! Registries that have certificates of their own, or ask for a password.

use std::fs;
use std::path::{Path, PathBuf};

use testkit::certificates::{Authority, Issued};
use testkit::images::Base;
use testkit::registry::{Builder, PASSWORD, Registry, USER};
use testkit::{Bed, with_each_client};

use crate::CORTEN;

with_each_client!(
    registry_of_a_known_authority_is_trusted,
    registry_of_an_unknown_authority_is_refused,
    certificate_for_another_host_is_refused,
    certificate_of_a_client_is_shown,
    password_opens_a_registry,
    wrong_password_is_refused,
    password_is_shown_nowhere,
);

const CERTIFICATES: &str = "/etc/docker/certs.d";

/// The folder of one registry's certificates, where every engine looks for it; removed when dropped.
struct Folder(PathBuf);

impl Folder {
    fn of(registry: &Registry) -> Self {
        let folder = Path::new(CERTIFICATES).join(registry.address());
        // The test that was the last to need the parent may be removing it just now.
        let is_there = (0..5).any(|_| fs::create_dir_all(&folder).is_ok());
        assert!(is_there, "create {}", folder.display());
        Self(folder)
    }

    fn trust(&self, authority: &Authority) {
        fs::copy(authority.certificate(), self.0.join("ca.crt")).expect("copy a certificate");
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // A panic here would hide the one that the test may be ending with.
        let _ = fs::remove_dir_all(&self.0);
        // Fails while there are others in it.
        let _ = fs::remove_dir(CERTIFICATES);
    }
}

/// The address of the engine's bridge: one of the machine's own that no engine takes for the loopback.
fn server(bed: &Bed, authority: &Authority) -> (Builder, Issued) {
    let certificate = authority.server(bed.engine.gateway().into());
    (Builder::at(bed.engine.gateway()).tls(&certificate), certificate)
}

fn push(registry: &Registry) -> String {
    registry.push(&format!("docker-archive:{}", Base::Busybox.archive().display()), "team/busybox:1")
}

/// Writes the clients' configuration, as `login` does.
pub(crate) fn log_in(bed: &Bed, registry: &Registry, password: &str) {
    let folder = bed.engine.directory().join("config");
    fs::create_dir_all(&folder).expect("create the clients' folder");
    let account = serde_json::json!({"username": USER, "password": password});
    let text = serde_json::json!({"auths": {registry.address(): account}}).to_string();
    fs::write(folder.join("config.json"), text).expect("write the clients' configuration");
}

fn registry_of_a_known_authority_is_trusted(bed: &Bed) {
    let authority = Authority::new();
    let registry = server(bed, &authority).0.start();
    let reference = push(&registry);
    let folder = Folder::of(&registry);
    folder.trust(&authority);
    assert_eq!(bed.ok(["run", "--rm", "--pull", "always", "-q", &reference, "echo", "pulled"]), "pulled");
}

fn registry_of_an_unknown_authority_is_refused(bed: &Bed) {
    let authority = Authority::new();
    let registry = server(bed, &authority).0.start();
    let reference = push(&registry);
    bed.run(["pull", &reference]).expect_code(1).expect_stderr("certificate");
    let folder = Folder::of(&registry);
    folder.trust(&Authority::new());
    bed.run(["pull", &reference]).expect_code(1).expect_stderr("certificate");
    fs::write(folder.0.join("ca.crt"), "no certificate").expect("write a file");
    bed.run(["pull", &reference]).expect_code(1).expect_stderr("certificate");
    bed.run(["inspect", &reference]).expect_code(1);
}

fn certificate_for_another_host_is_refused(bed: &Bed) {
    let authority = Authority::new();
    let other = authority.server("192.0.2.1".parse().expect("an address"));
    let registry = Builder::at(bed.engine.gateway()).tls(&other).start();
    let reference = push(&registry);
    let folder = Folder::of(&registry);
    folder.trust(&authority);
    let output = bed.run(["pull", &reference]).expect_code(1);
    assert!(output.stderr.contains("certificate") && output.stderr.contains("192.0.2.1"), "{output:?}");
}

fn certificate_of_a_client_is_shown(bed: &Bed) {
    let (authority, clients) = (Authority::new(), Authority::new());
    let ours = clients.client("engine");
    let registry = server(bed, &authority).0.clients_of(&clients.certificate(), &ours).start();
    let reference = push(&registry);
    let folder = Folder::of(&registry);
    folder.trust(&authority);
    bed.run(["pull", &reference]).expect_code(1).expect_stderr("certificate");
    authority.client("stranger").copy_to(&folder.0);
    bed.run(["pull", &reference]).expect_code(1).expect_stderr("certificate");
    ours.copy_to(&folder.0);
    bed.ok(["pull", &reference]);
}

fn password_opens_a_registry(bed: &Bed) {
    let registry = Builder::at([127, 0, 0, 1].into()).with_account().start();
    let reference = push(&registry);
    bed.run(["pull", &reference]).expect_code(1).expect_stderr("no basic auth credentials");
    log_in(bed, &registry, PASSWORD);
    assert_eq!(bed.ok(["run", "--rm", "--pull", "always", "-q", &reference, "echo", "pulled"]), "pulled");
}

fn wrong_password_is_refused(bed: &Bed) {
    let registry = Builder::at([127, 0, 0, 1].into()).with_account().start();
    let reference = push(&registry);
    log_in(bed, &registry, "wrong");
    bed.run(["pull", &reference]).expect_code(1).expect_stderr("unauthorized");
    bed.run(["inspect", &reference]).expect_code(1);
}

fn password_is_shown_nowhere(bed: &Bed) {
    let registry = Builder::at([127, 0, 0, 1].into()).with_account().start();
    let reference = push(&registry);
    log_in(bed, &registry, PASSWORD);
    let mut said = bed.run(["pull", &reference]).expect_ok().text();
    bed.ok(["run", "--name", "box", &reference, "true"]);
    drop(registry);
    // The registry is gone: an error is told too.
    let failed = bed.run(["pull", &reference]).expect_code(1);
    said += &(failed.text() + &failed.stderr);
    said += &bed.ok(["events", "--since", "1h", "--until", "0s", "--format", "{{json .}}"]);
    for command in [["inspect", &reference], ["inspect", "box"], ["history", &reference]] {
        said += &bed.ok(command);
    }
    said += &bed.engine.log();
    // As it is, and as base64 has it within `tester:correct horse` and within the header of a request.
    for secret in [PASSWORD, "dGVzdGVyOmNvcnJlY3QgaG9yc2U", "Y29ycmVjdCBob3JzZ"] {
        assert!(!said.contains(secret), "{secret} is in: {said}");
    }
}
