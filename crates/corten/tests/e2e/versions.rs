//! What clients of older versions of the API ask for and get.

use serde_json::{Value, json};
use testkit::{Bed, with_each_client};

use crate::CORTEN;
use crate::networks::{make, sleeper};

with_each_client!(
    old_requests_for_a_container_mean_what_they_meant,
    old_waits_end_with_their_headers,
    old_lists_and_images_have_what_they_had,
    answers_have_every_field_of_dockerd,
);

fn old_requests_for_a_container_mean_what_they_meant(bed: &Bed) {
    let http = bed.engine.http();
    let host_config = |version: &str, asked: Value| {
        let body = json!({"Image": "busybox", "Cmd": ["true"], "HostConfig": asked});
        let made = http.post(&format!("/v{version}/containers/create"), &body).expect(201).json();
        let id = made["Id"].as_str().expect("an ID");
        let shown = http.get(&format!("/containers/{id}/json")).expect(200).json();
        shown["HostConfig"].clone()
    };
    assert_eq!(host_config("1.24", json!({"AutoRemove": true}))["AutoRemove"], false);
    assert_eq!(host_config("1.25", json!({"AutoRemove": true}))["AutoRemove"], true);
    assert_eq!(host_config("1.39", json!({}))["IpcMode"], "shareable");
    assert_eq!(host_config("1.40", json!({}))["IpcMode"], "private");
    assert_eq!(host_config("1.41", json!({"PidsLimit": -1}))["PidsLimit"], Value::Null);
    let two = json!({"Image": "busybox", "NetworkingConfig": {"EndpointsConfig": {"a": {}, "b": {}}}});
    let refused = http.post("/v1.40/containers/create", &two).expect(400);
    assert!(refused.message().contains("network endpoints: "), "{}", refused.text());
}

fn old_waits_end_with_their_headers(bed: &Bed) {
    bed.ok(["run", "-d", "--name", "box", "busybox", "sh", "-c", "exit 7"]);
    let answer =
        bed.engine.http().post("/v1.29/containers/box/wait?condition=unknown", &Value::Null).expect(200);
    assert_eq!(answer.json()["StatusCode"], 7);
}

fn old_lists_and_images_have_what_they_had(bed: &Bed) {
    let http = bed.engine.http();
    let images = |query: &str| http.get(query).expect(200).json().as_array().expect("a list").len();
    assert_eq!(images("/v1.40/images/json?filter=busybox"), 1);
    assert_eq!(images("/v1.40/images/json?filter=nothing"), 0);
    assert_eq!(images("/v1.41/images/json?filter=nothing"), 1);
    let image = http.get("/v1.41/images/busybox/json").expect(200).json();
    assert_eq!(image["VirtualSize"], image["Size"]);
    assert!(image["ContainerConfig"].is_object(), "{image}");

    make(bed, "lab", 0, &[]);
    sleeper(bed, "box", "lab");
    let id = bed.field("box", "{{.Id}}");
    let shown = http.get("/v1.41/containers/box/json").expect(200).json();
    let aliases = shown["NetworkSettings"]["Networks"]["lab"]["Aliases"].to_string();
    assert!(aliases.contains(&id[..12]), "{aliases}");
    let listed = |version: &str| {
        let list = http.get(&format!("/v{version}/networks")).expect(200).json();
        let networks = list.as_array().expect("a list");
        let lab = networks.iter().find(|network| network["Name"] == "lab").expect("the network");
        lab["Containers"].as_object().is_some_and(|containers| containers.contains_key(&id))
    };
    assert!(listed("1.27") && !listed("1.28"));
}

/// Where the names of fields are data, or the field says something of Go or of a build.
const OPEN: [&str; 16] = [
    "BuildTime",
    "Components",
    "Config",
    "Data",
    "ExposedPorts",
    "Health",
    "IndexConfigs",
    "KernelMemory",
    "KernelMemoryTCP",
    "Labels",
    "LogConfig",
    "Networks",
    "Options",
    "Ports",
    "Runtimes",
    "Tmpfs",
];

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "bool",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "list",
        Value::Object(_) => "object",
    }
}

/// Says where `ours` lacks a field that `theirs` has, or has another type there.
fn differences(path: &str, theirs: &Value, ours: &Value, found: &mut Vec<String>) {
    if kind(theirs) != kind(ours) && !theirs.is_null() && !ours.is_null() {
        found.push(format!("{path}: {} in place of {}", kind(ours), kind(theirs)));
    }
    match (theirs, ours) {
        (Value::Object(theirs), Value::Object(ours)) => {
            for (name, theirs) in theirs.iter().filter(|(name, _)| !OPEN.contains(&name.as_str())) {
                match ours.get(name) {
                    Some(ours) => differences(&format!("{path}.{name}"), theirs, ours, found),
                    None => found.push(format!("{path}.{name}: missing")),
                }
            }
        }
        (Value::Array(theirs), Value::Array(ours)) => {
            if let (Some(theirs), Some(ours)) = (theirs.first(), ours.first()) {
                differences(&format!("{path}[0]"), theirs, ours, found);
            }
        }
        _ => {}
    }
}

fn answers_have_every_field_of_dockerd(bed: &Bed) {
    bed.ok([
        "run",
        "-d",
        "--name",
        "box",
        "-v",
        "/:/host:ro",
        "--tmpfs",
        "/t",
        "--ulimit",
        "nofile=100:200",
        "busybox",
        "sleep",
        "600",
    ]);
    let http = bed.engine.http();
    macro_rules! recorded {
        ($name:literal) => {
            serde_json::from_str(include_str!(concat!("../../../api/tests/dockerd-20.10/", $name, ".json")))
                .expect("a recorded answer")
        };
    }
    let answers: [(&str, Value); 7] = [
        ("/info", recorded!("info")),
        ("/version", recorded!("version")),
        ("/networks", recorded!("networks")),
        ("/images/json", recorded!("images")),
        ("/images/busybox/json", recorded!("image")),
        ("/containers/json?size=1", recorded!("list")),
        ("/containers/box/json", recorded!("inspect")),
    ];
    let mut found = Vec::new();
    for (path, theirs) in answers {
        let ours = http.get(&format!("/v1.41{path}")).expect(200).json();
        differences(path, &theirs, &ours, &mut found);
    }
    assert!(found.is_empty(), "{}", found.join("\n"));
}
