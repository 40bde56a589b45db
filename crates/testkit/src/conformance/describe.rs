//! What is to be known of an image, as lines.

use serde_json::Value;

use super::image::{Image, texts};
use super::tree::Tree;

const PATH: &str = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
const COMMENT: &str = "buildkit.dockerfile.v0";

/// The configuration, the history beyond that of `base`, and the paths that are not as in `base`, where the image is built on it.
pub(super) fn describe(image: &Image, base: &Image) -> Vec<String> {
    let below = |image: &Image| texts(&image.config["rootfs"]["diff_ids"]);
    let is_based = below(image).starts_with(&below(base));
    let mut lines = configuration(&image.config);
    let known = if is_based { entries(&base.config).len() } else { 0 };
    lines.extend(entries(&image.config).iter().skip(known).map(step));
    lines.extend(layers_problem(&image.config));
    let empty = Tree::default();
    lines.extend(image.tree.changes(if is_based { &base.tree } else { &empty }));
    lines
}

/// A line for each member that is there and says something.
fn configuration(image: &Value) -> Vec<String> {
    let members = image["config"].as_object().into_iter().flatten();
    let mut lines: Vec<String> = members
        .filter(|(_, value)| !is_nothing(value))
        .map(|(name, value)| match name.as_str() {
            "Env" => format!("Env {}", environment(value)),
            _ => format!("{name} {}", value.as_str().map_or_else(|| value.to_string(), str::to_owned)),
        })
        .collect();
    lines.extend(
        image["author"].as_str().filter(|author| !author.is_empty()).map(|author| format!("Author {author}")),
    );
    lines.sort();
    lines
}

fn environment(value: &Value) -> String {
    let word =
        |entry: String| if entry == PATH { "$PATH".to_owned() } else { Value::from(entry).to_string() };
    texts(value).into_iter().map(word).collect::<Vec<_>>().join(" ")
}

fn is_nothing(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => true,
        Value::Number(number) => number.as_i64() == Some(0),
        Value::String(text) => text.is_empty(),
        Value::Array(list) => list.is_empty(),
        Value::Object(members) => members.is_empty(),
        Value::Bool(true) => false,
    }
}

fn entries(image: &Value) -> &[Value] {
    image["history"].as_array().map_or(&[], Vec::as_slice)
}

fn step(entry: &Value) -> String {
    let kind = if is_empty_layer(entry) { "empty" } else { "layer" };
    let created_by = entry["created_by"].as_str().unwrap_or_default().replace('\n', "⏎");
    let comment = entry["comment"].as_str().unwrap_or_default();
    let comment = if comment == COMMENT { String::new() } else { format!(" (comment {comment:?})") };
    format!("{kind} {created_by}{comment}")
}

fn is_empty_layer(entry: &Value) -> bool {
    entry["empty_layer"].as_bool().unwrap_or_default()
}

/// Every entry of the history that is not empty has a layer.
fn layers_problem(image: &Value) -> Option<String> {
    let said = entries(image).iter().filter(|entry| !is_empty_layer(entry)).count();
    let layers = texts(&image["rootfs"]["diff_ids"]).len();
    (said != layers).then(|| format!("the history has {said} layers, the image {layers}"))
}

/// Which files with names of `/random` are those of the first build.
pub(super) fn describe_random(first: &Image, second: &Image) -> Vec<String> {
    let (before, after) = (first.tree.random(), second.tree.random());
    let line = |(path, content): (&&str, &&str)| match before.get(path) {
        Some(known) if known == content => format!("kept {path}"),
        _ => format!("made {path}"),
    };
    after.iter().map(line).collect()
}
