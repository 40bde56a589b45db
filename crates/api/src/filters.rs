//! Filters: keys with sets of values.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Filters of a list, of events or of a prune.
///
/// Written as `{"status":{"running":true}}`; also read as `{"status":["running"]}`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Filters(BTreeMap<String, BTreeMap<String, bool>>);

/// Why filters are refused.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum Error {
    /// Neither of the two forms.
    #[error("invalid filter")]
    Malformed,
    /// A key that is not known.
    #[error("invalid filter '{0}'")]
    Key(String),
    /// A value that is not understood.
    #[error("invalid filter '{key}={value:?}'")]
    Value {
        /// The key.
        key: String,
        /// All of its values.
        value: Vec<String>,
    },
}

impl Filters {
    /// No filters.
    pub fn new() -> Self {
        Self::default()
    }

    /// Reads a parameter; an empty one is no filters.
    ///
    /// # Errors
    /// Where it has neither of the two forms.
    pub fn parse(text: &str) -> Result<Self, Error> {
        if text.is_empty() {
            return Ok(Self::default());
        }
        if let Ok(filters) = crate::json::from_slice(text.as_bytes()) {
            return Ok(Self(filters));
        }
        let lists: BTreeMap<String, Vec<String>> =
            crate::json::from_slice(text.as_bytes()).map_err(|_| Error::Malformed)?;
        let set = |values: Vec<String>| values.into_iter().map(|value| (value, true)).collect();
        Ok(Self(lists.into_iter().map(|(key, values)| (key, set(values))).collect()))
    }

    /// The parameter's value; empty for no filters.
    pub fn to_parameter(&self) -> String {
        match self.is_empty() {
            true => String::new(),
            false => serde_json::to_string(&self.0).expect("a map with string keys"),
        }
    }

    /// Adds a value.
    pub fn add(&mut self, key: impl Into<String>, value: impl Into<String>) {
        self.0.entry(key.into()).or_default().insert(value.into(), true);
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether the key is there, with or without values.
    pub fn contains(&self, key: &str) -> bool {
        self.0.contains_key(key)
    }

    /// The keys, sorted.
    pub fn keys(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }

    /// The values of a key, sorted.
    pub fn values(&self, key: &str) -> impl Iterator<Item = &str> {
        self.0.get(key).into_iter().flat_map(|values| values.keys().map(String::as_str))
    }

    /// Refuses keys that are not accepted.
    ///
    /// # Errors
    /// The first key that is not in `accepted`.
    pub fn validate(&self, accepted: &[&str]) -> Result<(), Error> {
        match self.keys().find(|key| !accepted.contains(key)) {
            Some(key) => Err(Error::Key(key.to_owned())),
            None => Ok(()),
        }
    }

    /// Whether one of the values is `text`; true where the key has no values.
    pub fn matches_exactly(&self, key: &str, text: &str) -> bool {
        self.0.get(key).is_none_or(|values| values.is_empty() || values.get(text).copied().unwrap_or(false))
    }

    /// Whether `text` is one of the values or begins with one; true where the key has no values.
    pub fn matches_prefix(&self, key: &str, text: &str) -> bool {
        self.matches_exactly(key, text) || self.values(key).any(|value| text.starts_with(value))
    }

    /// Whether all values (`name` or `name=value`) are in the map; true where the key has no values.
    pub fn matches_map(&self, key: &str, map: &BTreeMap<String, String>) -> bool {
        self.values(key).all(|wanted| has(map, wanted))
    }

    /// Whether all of `label` and none of `label!` are among the labels.
    pub fn matches_labels(&self, labels: &BTreeMap<String, String>) -> bool {
        self.matches_map("label", labels) && !self.values("label!").any(|unwanted| has(labels, unwanted))
    }

    /// The value of a key that is true or false.
    ///
    /// # Errors
    /// Where the key has no value, several that differ, or another one.
    pub fn flag(&self, key: &str, default: bool) -> Result<bool, Error> {
        let Some(values) = self.0.get(key) else { return Ok(default) };
        let has = |text: &str| values.get(text).copied().unwrap_or(false);
        match (has("1") || has("true"), has("0") || has("false")) {
            (true, false) => Ok(true),
            (false, true) => Ok(false),
            _ => Err(Error::Value { key: key.to_owned(), value: values.keys().cloned().collect() }),
        }
    }
}

/// Whether `name` or `name=value` is in the map.
fn has(map: &BTreeMap<String, String>, wanted: &str) -> bool {
    match wanted.split_once('=') {
        Some((name, value)) => map.get(name).is_some_and(|found| found == value),
        None => map.contains_key(wanted),
    }
}

impl<K: Into<String>, V: Into<String>> FromIterator<(K, V)> for Filters {
    fn from_iter<I: IntoIterator<Item = (K, V)>>(pairs: I) -> Self {
        let mut filters = Self::default();
        pairs.into_iter().for_each(|(key, value)| filters.add(key, value));
        filters
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms_mean_the_same() {
        let new = Filters::parse(r#"{"status":["running","paused"]}"#).unwrap();
        let old = Filters::parse(r#"{"status":{"running":true,"paused":true}}"#).unwrap();
        assert_eq!(new, old);
        assert_eq!(old.to_parameter(), r#"{"status":{"paused":true,"running":true}}"#);
    }

    #[test]
    fn other_forms_are_refused() {
        for text in ["[]", "x", r#"{"a":1}"#, r#"{"a":[1]}"#, "{} {}"] {
            assert_eq!(Filters::parse(text), Err(Error::Malformed), "{text}");
        }
    }

    #[test]
    fn unknown_key_is_named() {
        let filters: Filters = [("label", "a"), ("colour", "red")].into_iter().collect();
        assert_eq!(filters.validate(&["label"]).unwrap_err().to_string(), "invalid filter 'colour'");
    }

    #[test]
    fn map_matches_by_name_and_by_value() {
        let map = BTreeMap::from([("a".to_owned(), "1".to_owned())]);
        let matches =
            |value: &str| [("label", value)].into_iter().collect::<Filters>().matches_map("label", &map);
        assert!(matches("a") && matches("a=1") && !matches("a=2") && !matches("b"));
        assert!(Filters::new().matches_map("label", &map));
    }

    #[test]
    fn labels_match_by_all_wanted_and_no_unwanted() {
        let labels = BTreeMap::from([("a".to_owned(), "1".to_owned()), ("b".to_owned(), String::new())]);
        let matches =
            |pairs: &[(&str, &str)]| pairs.iter().copied().collect::<Filters>().matches_labels(&labels);
        assert!(matches(&[]) && matches(&[("label", "a=1"), ("label", "b"), ("label!", "c")]));
        assert!(!matches(&[("label", "a"), ("label!", "b")]) && !matches(&[("label!", "a=1")]));
        assert!(matches(&[("label!", "a=2")]));
    }

    #[test]
    fn flag_takes_words_and_digits() {
        let flag =
            |value: &str| [("dangling", value)].into_iter().collect::<Filters>().flag("dangling", false);
        assert_eq!((flag("1"), flag("false")), (Ok(true), Ok(false)));
        assert!(flag("maybe").is_err());
    }
}
