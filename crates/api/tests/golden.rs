//! The models against what dockerd 20.10 (API 1.41) really emits: everything it says must survive reading and writing.

use api::json;
use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;

/// Reads an answer into a model and returns what the model makes of it, beside the original.
fn round_trip<T: Serialize + DeserializeOwned>(text: &str) -> (Value, Value) {
    let model: T = json::from_slice(text.as_bytes()).expect("the model reads what dockerd emits");
    (serde_json::to_value(&model).unwrap(), serde_json::from_str(text).unwrap())
}

/// As [`round_trip`], where even the order of fields is the same.
fn assert_same_text<T: Serialize + DeserializeOwned>(text: &str) {
    let model: T = json::from_slice(text.as_bytes()).expect("the model reads what dockerd emits");
    assert_eq!(String::from_utf8(json::to_line(&model)).unwrap().trim_end(), text.trim_end());
}

fn remove(value: &mut Value, path: &[&str]) {
    let (last, parents) = path.split_last().expect("a path has a last part");
    let parent = parents.iter().fold(value, |value, part| match part.parse::<usize>() {
        Ok(index) => &mut value[index],
        Err(_) => &mut value[*part],
    });
    parent.as_object_mut().expect("the parent is an object").remove(*last).expect("the field is there");
}

#[test]
fn container_inspect_keeps_every_field() {
    let (mut ours, mut theirs) =
        round_trip::<api::container::ContainerInspect>(include_str!("dockerd-20.10/inspect.json"));
    // Left out when zero since API 1.42.
    remove(&mut theirs, &["HostConfig", "KernelMemory"]);
    remove(&mut theirs, &["HostConfig", "KernelMemoryTCP"]);
    // Since API 1.44 and 1.48.
    remove(&mut ours, &["NetworkSettings", "Networks", "none", "DNSNames"]);
    remove(&mut ours, &["NetworkSettings", "Networks", "none", "GwPriority"]);
    assert_eq!(ours, theirs);
}

#[test]
fn container_list_keeps_every_field() {
    let (mut ours, theirs) =
        round_trip::<Vec<api::container::ContainerSummary>>(include_str!("dockerd-20.10/list.json"));
    for (index, network) in [("0", "host"), ("1", "none")] {
        for field in ["DNSNames", "GwPriority"] {
            remove(&mut ours, &[index, "NetworkSettings", "Networks", network, field]);
        }
    }
    assert_eq!(ours, theirs);
}

#[test]
fn image_inspect_keeps_every_field() {
    let (ours, mut theirs) = round_trip::<api::image::ImageInspect>(include_str!("dockerd-20.10/image.json"));
    // Empty fields of the configuration are left out since API 1.50.
    let config = theirs["Config"].as_object_mut().unwrap();
    config.retain(|_, value| !matches!(value, Value::Null | Value::Bool(false)) && *value != "");
    assert_eq!(ours, theirs);
}

#[test]
fn image_list_keeps_every_field() {
    let (ours, mut theirs) =
        round_trip::<Vec<api::image::ImageSummary>>(include_str!("dockerd-20.10/images.json"));
    theirs[0]["RepoDigests"] = Value::Array(Vec::new());
    assert_eq!(ours, theirs);
}

#[test]
fn network_list_keeps_every_field() {
    let (mut ours, theirs) =
        round_trip::<Vec<api::network::NetworkInspect>>(include_str!("dockerd-20.10/networks.json"));
    for index in ["0", "1"] {
        remove(&mut ours, &[index, "EnableIPv4"]);
    }
    assert_eq!(ours, theirs);
}

#[test]
fn info_keeps_every_field() {
    let (mut ours, theirs) = round_trip::<api::system::Info>(include_str!("dockerd-20.10/info.json"));
    remove(&mut ours, &["CDISpecDirs"]);
    assert_eq!(ours, theirs);
}

#[test]
fn version_is_the_same_text() {
    assert_same_text::<api::system::Version>(include_str!("dockerd-20.10/version.json"));
}

#[test]
fn exec_inspect_is_the_same_text() {
    assert_same_text::<api::exec::ExecInspect>(include_str!("dockerd-20.10/exec.json"));
}

#[test]
fn history_and_top_are_the_same_text() {
    assert_same_text::<Vec<api::image::HistoryItem>>(include_str!("dockerd-20.10/history.json"));
    assert_same_text::<api::container::TopResponse>(include_str!("dockerd-20.10/top.json"));
}

#[test]
fn events_are_the_same_text() {
    for line in include_str!("dockerd-20.10/events.json").lines() {
        assert_same_text::<api::event::Event>(line);
    }
}
