//! `import` of what is at a URL, which the engine fetches.

use serde_json::Value;
use testkit::archive::Compression;
use testkit::web::{Answer, Server};
use testkit::{Bed, with_each_client};

use crate::CORTEN;
use crate::images::on_busybox;

with_each_client!(
    image_is_made_of_a_tar_at_a_url,
    redirects_are_followed_and_not_for_ever,
    what_is_not_there_is_an_error,
    download_that_is_cut_off_leaves_nothing,
    progress_is_told_to_the_client,
);

/// A root file system with a shell.
fn root() -> Vec<u8> {
    Compression::Gzip.apply(&on_busybox(Value::Null, Vec::new()).layers[0])
}

fn image_is_made_of_a_tar_at_a_url(bed: &Bed) {
    let server = Server::start(|_| Answer::ok(root()));
    let url = server.url("/root.tar.gz");
    let text = bed.ok(["import", "--change", "CMD echo made", &url, "made:1"]);
    let id = text.lines().last().expect("a line");
    assert_eq!(bed.field("made:1", "{{.Id}}"), id);
    assert_eq!(bed.field("made:1", "{{.Comment}}"), format!("Imported from {url}"));
    assert_eq!(bed.ok(["run", "--rm", "made:1"]), "made");
    assert_eq!(server.asked().len(), 1);
}

fn redirects_are_followed_and_not_for_ever(bed: &Bed) {
    let server = Server::start(|asked| match asked.target.as_str() {
        "/root" => Answer::ok(root()),
        "/moved" => Answer::redirect("/root"),
        _ => Answer::redirect("/again"),
    });
    bed.ok(["import", &server.url("/moved"), "made:1"]);
    bed.field("made:1", "{{.Id}}");
    let before = server.asked().len();
    bed.run(["import", &server.url("/again")]).expect_code(1).expect_stderr("stopped after 10 redirects");
    assert!(server.asked().len() - before < 20);
}

fn what_is_not_there_is_an_error(bed: &Bed) {
    let server = Server::start(|_| Answer::new("404 Not Found", "no such file"));
    let url = server.url("/root.tar");
    let text = format!("failed to GET {url} with status 404 Not Found");
    bed.run(["import", &url]).expect_code(1).expect_stderr(&text);
    drop(server);
    bed.run(["import", &url]).expect_code(1).expect_stderr("connection refused");
    let answer =
        bed.engine.http().request("POST", "/images/create?fromSrc=ftp%3A%2F%2Fa%2Fb", "text/plain", b"");
    assert!(answer.status >= 400 && answer.message().contains("unsupported protocol scheme \"ftp\""));
}

fn download_that_is_cut_off_leaves_nothing(bed: &Bed) {
    let before = bed.ok(["images", "-aq", "--no-trunc"]);
    let server = Server::start(|asked| match asked.target.as_str() {
        "/cut" => Answer::ok(&root()[..1000]).cut_off_by(1000),
        _ => Answer::ok("this is no tar".repeat(1000)),
    });
    for path in ["/cut", "/text"] {
        bed.run(["import", &server.url(path), "made:1"]).expect_code(1);
    }
    assert_eq!(bed.ok(["images", "-aq", "--no-trunc"]), before);
}

fn progress_is_told_to_the_client(bed: &Bed) {
    let server = Server::start(|_| Answer::ok(root()));
    let source = server.url("/root").replace(':', "%3A").replace('/', "%2F");
    let path = format!("/images/create?fromSrc={source}&repo=made");
    let answer = bed.engine.http().request("POST", &path, "text/plain", b"").expect(200);
    let text = answer.text();
    let messages: Vec<Value> =
        text.lines().map(|line| serde_json::from_str(line).expect("a message")).collect();
    assert_eq!(messages[0]["status"], format!("Downloading from {}", server.url("/root")));
    let length = root().len();
    let importing: Vec<&Value> = messages.iter().filter(|it| it["status"] == "Importing").collect();
    assert!(importing.iter().any(|it| it["progressDetail"]["total"] == length), "{text}");
    let last = messages.last().expect("a message");
    assert_eq!(last["status"], bed.field("made", "{{.Id}}"));
}
