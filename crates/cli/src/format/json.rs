//! JSON that keeps the order of its keys, so that what the engine sent is shown as it was sent.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use gotmpl::Value;
use serde::de::{MapAccess, SeqAccess, Visitor};
use serde::ser::{SerializeMap, SerializeSeq};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A JSON value with ordered keys.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Node {
    Null,
    Bool(bool),
    Number(serde_json::Number),
    String(String),
    List(Vec<Node>),
    Map(Vec<(String, Node)>),
}

impl Node {
    /// Compact JSON, as `json.Marshal` without HTML escapes prints it.
    pub(crate) fn compact(&self) -> String {
        serde_json::to_string(self).expect("the tree has only JSON values")
    }
}

/// Template values together with the JSON each map and list came from.
///
/// Templates see maps sorted, but `{{json .State}}` must print the keys in the engine's order: the printed form is
/// found by the identity of the shared map.
#[derive(Default)]
pub(crate) struct Originals(HashMap<usize, String>);

impl Originals {
    /// Converts `node`, remembering the JSON of each map and list in it.
    pub(crate) fn value(&mut self, key: &str, node: &Node) -> Value {
        match node {
            Node::Null => self.null(key),
            Node::Bool(bool) => Value::Bool(*bool),
            Node::Number(number) => number_value(number),
            Node::String(text) => Value::String(text.as_str().into()),
            Node::List(items) => {
                let list: Arc<[Value]> = items.iter().map(|item| self.value("", item)).collect();
                self.0.insert(address(&list), node.compact());
                Value::List(list)
            }
            Node::Map(entries) => {
                let map = Arc::new(
                    entries.iter().map(|(key, item)| (key.as_str().into(), self.value(key, item))).collect(),
                );
                self.0.insert(address(&map), node.compact());
                Value::Map(map)
            }
        }
    }

    /// The engine's nulls are Go's nil slices and maps, which templates print as empty ones.
    fn null(&mut self, key: &str) -> Value {
        if POINTERS.contains(&key) {
            return Value::Nil;
        }
        if MAPS.contains(&key) {
            let map = Arc::default();
            self.0.insert(address(&map), "null".to_owned());
            return Value::Map(map);
        }
        let list: Arc<[Value]> = Vec::new().into();
        self.0.insert(address(&list), "null".to_owned());
        Value::List(list)
    }

    /// Gives `value` a printed form of its own.
    pub(crate) fn with_root(&mut self, value: Value, json: String) -> Value {
        if let Value::Map(map) = &value {
            self.0.insert(address(map), json);
        }
        value
    }

    /// The JSON that a value came from, if it is a map or list made here.
    pub(crate) fn of(&self, value: &Value) -> Option<&str> {
        let address = match value {
            Value::List(list) => address(list),
            Value::Map(map) => address(map),
            _ => return None,
        };
        self.0.get(&address).map(String::as_str)
    }
}

/// Keys of inspected objects whose null is an absent pointer.
const POINTERS: &[&str] = &[
    "OomKillDisable",
    "PidsLimit",
    "MemorySwappiness",
    "Init",
    "Health",
    "Healthcheck",
    "IPAMConfig",
    "StopTimeout",
    "GraphDriver",
    "SizeRw",
    "SizeRootFs",
    "Platform",
];

/// Keys of inspected objects whose null is an absent map.
const MAPS: &[&str] = &[
    "Labels",
    "Volumes",
    "ExposedPorts",
    "PortBindings",
    "Ports",
    "Sysctls",
    "StorageOpt",
    "Tmpfs",
    "DriverOpts",
    "Annotations",
    "Networks",
    "Options",
    "Config",
    "Data",
];

fn address<T: ?Sized>(shared: &Arc<T>) -> usize {
    Arc::as_ptr(shared).cast::<()>() as usize
}

fn number_value(number: &serde_json::Number) -> Value {
    match (number.as_i64(), number.as_u64()) {
        (Some(signed), _) => Value::Int(signed),
        (None, Some(unsigned)) => Value::Uint(unsigned),
        (None, None) => Value::Float(number.as_f64().unwrap_or(0.0)),
    }
}

impl Serialize for Node {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Null => serializer.serialize_unit(),
            Self::Bool(bool) => serializer.serialize_bool(*bool),
            Self::Number(number) => number.serialize(serializer),
            Self::String(text) => serializer.serialize_str(text),
            Self::List(items) => {
                let mut list = serializer.serialize_seq(Some(items.len()))?;
                items.iter().try_for_each(|item| list.serialize_element(item))?;
                list.end()
            }
            Self::Map(entries) => {
                let mut map = serializer.serialize_map(Some(entries.len()))?;
                entries.iter().try_for_each(|(key, value)| map.serialize_entry(key, value))?;
                map.end()
            }
        }
    }
}

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(NodeVisitor)
    }
}

struct NodeVisitor;

impl<'de> Visitor<'de> for NodeVisitor {
    type Value = Node;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }
    fn visit_unit<E>(self) -> Result<Node, E> {
        Ok(Node::Null)
    }
    fn visit_bool<E>(self, bool: bool) -> Result<Node, E> {
        Ok(Node::Bool(bool))
    }
    fn visit_i64<E>(self, number: i64) -> Result<Node, E> {
        Ok(Node::Number(number.into()))
    }
    fn visit_u64<E>(self, number: u64) -> Result<Node, E> {
        Ok(Node::Number(number.into()))
    }
    fn visit_f64<E>(self, number: f64) -> Result<Node, E> {
        Ok(serde_json::Number::from_f64(number).map_or(Node::Null, Node::Number))
    }
    fn visit_str<E>(self, text: &str) -> Result<Node, E> {
        Ok(Node::String(text.to_owned()))
    }
    fn visit_string<E>(self, text: String) -> Result<Node, E> {
        Ok(Node::String(text))
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Node, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element()? {
            list.push(item);
        }
        Ok(Node::List(list))
    }
    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Node, A::Error> {
        let mut map = Vec::new();
        while let Some(entry) = entries.next_entry()? {
            map.push(entry);
        }
        Ok(Node::Map(map))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn order_and_numbers_survive_a_round_trip() {
        let text = r#"{"b":1,"a":[true,null,-3,18446744073709551615,1.5],"c":{"z":"é<","y":{}}}"#;
        let node: Node = serde_json::from_str(text).unwrap();
        assert_eq!(node.compact(), text);
    }

    #[test]
    fn originals_are_found_by_identity() {
        let node: Node = serde_json::from_str(r#"{"State":{"Status":"x","Pid":1},"Cmd":null}"#).unwrap();
        let mut originals = Originals::default();
        let value = originals.value("", &node);
        assert_eq!(originals.of(value.field("State").unwrap()), Some(r#"{"Status":"x","Pid":1}"#));
        assert_eq!(originals.of(value.field("Cmd").unwrap()), Some("null"));
    }
}
