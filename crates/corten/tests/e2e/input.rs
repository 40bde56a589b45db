//! Input that no proper client sends.

use serde_json::json;
use testkit::{Bed, Kind, with_each_client};

use crate::CORTEN;

with_each_client!(
    names_that_are_no_names_are_refused,
    body_that_is_no_json_is_refused,
    unknown_path_is_not_found,
    versions_outside_the_range_are_refused,
    bytes_that_are_no_http_are_refused,
    flags_with_bad_values_are_refused,
    engine_answers_after_an_aborted_request,
);

/// Percent-encoded as a path segment.
const BAD_NAMES: [&str; 12] = [
    "a%2fb",
    "..",
    "%2e%2e",
    "..%2f..%2fetc",
    "a%00b",
    "%00",
    "a%20b",
    "-leading",
    "%c3%bc",
    "a%0ab",
    "a:b",
    ".",
];

fn client_error(status: u16) -> bool {
    (400..500).contains(&status)
}

fn names_that_are_no_names_are_refused(bed: &Bed) {
    let http = bed.engine.http();
    let body = json!({"Image": "busybox"});
    let long = "x".repeat(1 << 20);
    for name in BAD_NAMES {
        let answer = http.post(&format!("/containers/create?name={name}"), &body);
        assert!(client_error(answer.status), "create {name}: {} {}", answer.status, answer.text());
        for (method, path) in [("GET", "json"), ("POST", "start"), ("GET", "logs?stdout=1")] {
            let answer = http.request(method, &format!("/containers/{name}/{path}"), "application/json", b"");
            // A path with dots is cleaned by a redirect, or not found.
            assert!(
                client_error(answer.status) || answer.status == 301,
                "{method} {name}: {}",
                answer.status
            );
        }
        let answer = http.get(&format!("/images/{name}/json"));
        assert!(client_error(answer.status) || answer.status == 301, "image {name}: {}", answer.status);
    }
    assert!(client_error(http.get(&format!("/containers/{long}/json")).status));
    assert!(client_error(http.get(&format!("/images/{long}/json")).status));
    assert!(client_error(http.post("/containers/create", &json!({"Image": long})).status));
    assert_eq!(http.get("/containers/json?all=1").expect(200).json(), json!([]));
}

fn body_that_is_no_json_is_refused(bed: &Bed) {
    let http = bed.engine.http();
    // Docker 20.10 still answered 500 to half a document.
    let is_expected = |status| client_error(status) || bed.engine.kind() == Kind::Reference && status == 500;
    let deep = format!("{}1{}", "[".repeat(100_000), "]".repeat(100_000));
    let mistyped = r#"{"Image":"busybox","HostConfig":{"Memory":"x"}}"#;
    for body in ["{", "[]", "\"text\"", "{\"Image\": 5}", mistyped, "", &deep] {
        let answer = http.request("POST", "/containers/create", "application/json", body.as_bytes());
        let shown = &body[..body.len().min(60)];
        assert!(is_expected(answer.status), "{shown}: {} {}", answer.status, answer.text());
        assert!(!answer.message().is_empty(), "{shown}: {}", answer.text());
    }
    let answer = http.request("POST", "/containers/create", "text/plain", br#"{"Image":"busybox"}"#);
    assert!(is_expected(answer.status), "{}", answer.status);
    assert_eq!(http.get("/containers/json?all=1").expect(200).json(), json!([]));
}

fn unknown_path_is_not_found(bed: &Bed) {
    let http = bed.engine.http();
    assert_eq!(http.get("/no/such/path").expect(404).message(), "page not found");
    assert_eq!(http.get("/v1.41/no-such").expect(404).message(), "page not found");
    assert_eq!(http.get("/containers/no-such/json").expect(404).message(), "No such container: no-such");
}

fn versions_outside_the_range_are_refused(bed: &Bed) {
    let http = bed.engine.http();
    let message = http.get("/v1.999/containers/json").expect(400).message();
    assert!(
        message.contains("client version 1.999 is too new. Maximum supported API version is "),
        "{message}"
    );
    let message = http.get("/v1.1/containers/json").expect(400).text();
    assert!(
        message.contains("client version 1.1 is too old. Minimum supported API version is "),
        "{message}"
    );
    http.get("/v1.24/containers/json").expect(200);
    http.get("/containers/json").expect(200);
}

fn bytes_that_are_no_http_are_refused(bed: &Bed) {
    let http = bed.engine.http();
    for bytes in
        [&b"\0\x01\x02garbage\r\n\r\n"[..], b"GET\r\n\r\n", b"GET /_ping HTTP/9.9\r\nHost: x\r\n\r\n"]
    {
        let status = http.raw(bytes).status;
        assert!(client_error(status) || status == 505, "{bytes:?}: {status}");
    }
    http.get("/_ping").expect(200);
}

fn flags_with_bad_values_are_refused(bed: &Bed) {
    for options in [
        ["-m", "much"],
        ["--cpus", "-1"],
        ["--pids-limit", "x"],
        ["--ulimit", "nonsense=1"],
        ["--mount", "type=nonsense,dst=/x"],
        ["--mount", "type=bind,src=/etc"],
        ["--restart", "sometimes"],
        ["--stop-signal", "NOSUCH"],
        ["--shm-size", "-1"],
        ["--pull", "sometimes"],
        ["--platform", "a/b/c/d/e"],
        ["-e", "=x"],
        ["--network", ""],
        ["--isolation", "nonsense"],
    ] {
        // An empty network is the default one to Docker.
        if options[1].is_empty() {
            continue;
        }
        let output = bed.run(["run", "--rm"].iter().chain(&options).chain(&["busybox", "true"]));
        assert_eq!(output.status, 125, "{options:?}: {output:?}");
    }
    assert_eq!(bed.ok(["ps", "-aq"]), "");
}

fn engine_answers_after_an_aborted_request(bed: &Bed) {
    use std::io::Write;
    for bytes in [
        &b"POST /images/load HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\nabc"[..],
        b"POST /containers/create HTTP/1.1\r\n",
    ] {
        let mut connection = std::os::unix::net::UnixStream::connect(bed.engine.socket()).expect("connect");
        connection.write_all(bytes).expect("send half a request");
    }
    assert_eq!(bed.sh(&[], "echo alive"), "alive");
}
