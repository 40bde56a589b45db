//! The models against JSON that nobody foresaw: they read it or refuse it, and read again whatever they write.

use api::container::CreateRequest;
use api::json;
use api::query::Query;
use proptest::prelude::*;
use proptest::sample::Index;
use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Value, json};

fn any_value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        ".{0,12}".prop_map(Value::from),
        prop::sample::select(vec![
            "",
            "0",
            "80/tcp",
            "2024-02-30T00:00:00Z",
            "0001-01-01T00:00:00Z",
            "bridge"
        ])
        .prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 24, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map(".{0,6}", inner, 0..4)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

/// Every place in a document, as JSON pointers.
fn places(value: &Value, at: &str, found: &mut Vec<String>) {
    found.push(at.to_owned());
    match value {
        Value::Array(items) => {
            items.iter().enumerate().for_each(|(index, item)| places(item, &format!("{at}/{index}"), found));
        }
        Value::Object(fields) => fields.iter().for_each(|(name, field)| {
            let name = name.replace('~', "~0").replace('/', "~1");
            places(field, &format!("{at}/{name}"), found);
        }),
        _ => {}
    }
}

/// The document with other values in some places.
fn changed(mut document: Value, changes: Vec<(Index, Value)>) -> Value {
    for (index, value) in changes {
        let mut found = Vec::new();
        places(&document, "", &mut found);
        let place = &found[index.index(found.len())];
        *document.pointer_mut(place).expect("a place of this document") = value;
    }
    document
}

/// What a model makes of a document is read by it again, and is the same then.
fn check_with<T: Serialize>(document: &Value, read: impl Fn(&[u8]) -> Result<T, json::Error>) {
    let Ok(model) = read(document.to_string().as_bytes()) else { return };
    let text = |model: &T| String::from_utf8(json::to_line(model)).expect("JSON is text");
    let written = text(&model);
    let again = read(written.as_bytes()).unwrap_or_else(|error| {
        panic!("{error} in {written}, which was made of {document}");
    });
    assert_eq!(text(&again), written);
}

fn check<T: Serialize + DeserializeOwned>(document: &Value) {
    check_with::<T>(document, json::from_slice);
}

/// Every model, with any document.
fn check_all(document: &Value) {
    check_with(document, CreateRequest::from_slice);
    check::<api::container::ContainerInspect>(document);
    check::<api::container::ContainerSummary>(document);
    check::<api::container::HostConfig>(document);
    check::<api::container::Mount>(document);
    check::<api::image::ImageInspect>(document);
    check::<api::network::CreateRequest>(document);
    check::<api::network::ConnectRequest>(document);
    check::<api::network::NetworkInspect>(document);
    check::<api::volume::CreateRequest>(document);
    check::<api::volume::Volume>(document);
    check::<api::exec::ExecCreateRequest>(document);
    check::<api::exec::ExecStartRequest>(document);
    check::<api::event::Event>(document);
    check::<api::auth::AuthConfig>(document);
}

fn create_request() -> Value {
    json!({
        "Hostname": "h", "User": "1000:1000", "AttachStdin": true, "Tty": false, "OpenStdin": true,
        "Env": ["A=1", "B"], "Cmd": ["sh", "-c", "x"], "Entrypoint": "one", "Image": "busybox", "Labels": {"a": "b"},
        "ExposedPorts": {"80/tcp": {}}, "Volumes": {"/data": {}}, "StopTimeout": 3, "StopSignal": "TERM",
        "Healthcheck": {"Test": ["CMD", "true"], "Interval": 1_000_000_000, "Retries": 2},
        "HostConfig": {
            "Binds": ["/a:/b:ro"], "Memory": 67_108_864, "NanoCpus": 500_000_000, "PidsLimit": 10,
            "PortBindings": {"80/tcp": [{"HostIp": "127.0.0.1", "HostPort": "8080"}]},
            "RestartPolicy": {"Name": "on-failure", "MaximumRetryCount": 3}, "CapAdd": ["NET_ADMIN"],
            "Devices": [{"PathOnHost": "/dev/null", "PathInContainer": "/dev/x", "CgroupPermissions": "rwm"}],
            "Ulimits": [{"Name": "nofile", "Soft": 1, "Hard": 2}], "Tmpfs": {"/t": "size=1m"},
            "Mounts": [{"Type": "tmpfs", "Target": "/m", "TmpfsOptions": {"SizeBytes": 1, "Mode": 511}}],
            "LogConfig": {"Type": "json-file", "Config": {"max-size": "1m"}}, "Sysctls": {"a": "1"},
        },
        "NetworkingConfig": {"EndpointsConfig": {"net": {"Aliases": ["x"], "IPAMConfig": {"IPv4Address": "10.0.0.2"}}}},
    })
}

fn parse(text: &str) -> Value {
    serde_json::from_str(text).expect("a document of dockerd")
}

fn changes() -> impl Strategy<Value = Vec<(Index, Value)>> {
    prop::collection::vec((any::<Index>(), any_value()), 0..4)
}

proptest! {
    #[test]
    fn any_document_is_read_or_refused(document in any_value()) {
        check_all(&document);
    }

    #[test]
    fn any_text_is_read_or_refused(text in ".{0,80}") {
        let is_object = serde_json::from_str::<Value>(&text).is_ok_and(|value| value.is_object() || value.is_null());
        prop_assert!(is_object || CreateRequest::from_slice(text.as_bytes()).is_err());
    }

    #[test]
    fn changed_request_for_a_container_is_read_or_refused(changes in changes()) {
        check_with(&changed(create_request(), changes), CreateRequest::from_slice);
    }

    #[test]
    fn changed_host_configuration_is_read_or_refused(changes in changes()) {
        check::<api::container::HostConfig>(&changed(create_request()["HostConfig"].clone(), changes));
    }

    #[test]
    fn changed_inspection_is_read_or_refused(changes in changes()) {
        let container = parse(include_str!("dockerd-20.10/inspect.json"));
        check::<api::container::ContainerInspect>(&changed(container, changes.clone()));
        let image = parse(include_str!("dockerd-20.10/image.json"));
        check::<api::image::ImageInspect>(&changed(image, changes));
    }

    #[test]
    fn any_query_is_read_or_refused(text in "[a-z]{0,8}=[ -~]{0,20}(&[a-z]{0,8}=.{0,20}){0,3}") {
        check_query(&text);
    }

    #[test]
    fn any_value_of_a_known_parameter_is_read_or_refused(
        name in prop::sample::select(vec!["filters", "since", "until", "t", "h", "w", "tail", "limit", "condition", "signal"]),
        value in prop_oneof![
            ".{0,20}", "[-0-9.:TZe]{0,30}", any_value().prop_map(|value| value.to_string()),
        ],
    ) {
        let value: String = form_urlencoded::byte_serialize(value.as_bytes()).collect();
        check_query(&format!("{name}={value}"));
    }

    #[test]
    fn filters_are_read_back(
        pairs in prop::collection::vec((".{0,8}", ".{0,8}"), 0..6),
    ) {
        let mut filters = api::Filters::new();
        for (key, value) in &pairs {
            filters.add(key.as_str(), value.as_str());
        }
        prop_assert_eq!(api::Filters::parse(&filters.to_parameter()), Ok(filters.clone()));
        for (key, value) in &pairs {
            prop_assert!(filters.contains(key) && filters.values(key).any(|found| found == value));
        }
    }
}

/// Every reader of a query string. What it makes of it is its own affair; it must come back.
fn check_query(text: &str) {
    use api::container::{
        AttachOptions, CreateOptions, ListOptions, LogsOptions, RemoveOptions, ResizeOptions,
    };
    use api::container::{StopOptions, WaitCondition};
    let query = Query::parse(text);
    let _ =
        (ListOptions::from_query(&query), LogsOptions::from_query(&query), StopOptions::from_query(&query));
    let _ = (AttachOptions::from_query(&query), CreateOptions::from_query(&query));
    let _ = (RemoveOptions::from_query(&query), ResizeOptions::from_query(&query));
    let _ = (WaitCondition::from_query(&query), api::event::EventOptions::from_query(&query));
    let _ = api::network::ListOptions::from_query(&query);
}
