//! What a flag can hold: how its text is read, what the help calls it, and its default.

use std::collections::BTreeMap;

use thiserror::Error;

use crate::opts::go;

/// Why a flag's value was refused, in the words `docker` uses.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{0}")]
pub(crate) struct InvalidValue(pub(crate) String);

impl From<String> for InvalidValue {
    fn from(reason: String) -> Self {
        Self(reason)
    }
}

/// The storage behind a flag.
pub(crate) trait Value {
    /// Reads one occurrence of the flag.
    fn set(&mut self, text: &str) -> Result<(), InvalidValue>;
    /// The name of the value in the help (`string`, `list`), empty for a switch.
    fn kind(&self) -> &'static str;
    /// The default as the help shows it, when it is worth showing.
    fn default_text(&self) -> Option<String> {
        None
    }
    /// The text a flag without `=value` stands for. Only switches have one.
    fn implied(&self) -> Option<&'static str> {
        None
    }
}

impl Value for bool {
    fn set(&mut self, text: &str) -> Result<(), InvalidValue> {
        *self = go::parse_bool(text)?;
        Ok(())
    }
    fn kind(&self) -> &'static str {
        ""
    }
    fn default_text(&self) -> Option<String> {
        self.then(|| "true".to_owned())
    }
    fn implied(&self) -> Option<&'static str> {
        Some("true")
    }
}

impl Value for String {
    fn set(&mut self, text: &str) -> Result<(), InvalidValue> {
        text.clone_into(self);
        Ok(())
    }
    fn kind(&self) -> &'static str {
        "string"
    }
    fn default_text(&self) -> Option<String> {
        (!self.is_empty()).then(|| format!("\"{self}\""))
    }
}

impl Value for i64 {
    fn set(&mut self, text: &str) -> Result<(), InvalidValue> {
        *self = go::parse_int(text)?;
        Ok(())
    }
    fn kind(&self) -> &'static str {
        "int"
    }
    fn default_text(&self) -> Option<String> {
        (*self != 0).then(|| self.to_string())
    }
}

impl Value for u64 {
    fn set(&mut self, text: &str) -> Result<(), InvalidValue> {
        *self = go::parse_uint(text, u64::MAX)?;
        Ok(())
    }
    fn kind(&self) -> &'static str {
        "uint"
    }
}

impl Value for u16 {
    fn set(&mut self, text: &str) -> Result<(), InvalidValue> {
        *self = u16::try_from(go::parse_uint(text, u64::from(u16::MAX))?).expect("limited above");
        Ok(())
    }
    fn kind(&self) -> &'static str {
        "uint16"
    }
    fn default_text(&self) -> Option<String> {
        Some(self.to_string())
    }
}

impl Value for Vec<String> {
    fn set(&mut self, text: &str) -> Result<(), InvalidValue> {
        self.push(text.to_owned());
        Ok(())
    }
    fn kind(&self) -> &'static str {
        "list"
    }
}

/// A flag that may be repeated, each occurrence a list with commas.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(crate) struct Strings(pub(crate) Vec<String>);

impl Value for Strings {
    fn set(&mut self, text: &str) -> Result<(), InvalidValue> {
        if !text.is_empty() {
            self.0.extend(text.split(',').map(str::to_owned));
        }
        Ok(())
    }
    fn kind(&self) -> &'static str {
        "strings"
    }
}

/// A value that remembers whether it was given at all; the default is shown as that of the inner value.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(crate) struct Changed<T> {
    pub(crate) value: T,
    pub(crate) changed: bool,
}

impl<T: Clone> Changed<T> {
    /// The value, if the flag was given.
    pub(crate) fn given(&self) -> Option<T> {
        self.changed.then(|| self.value.clone())
    }
}

impl<T: Value> Value for Changed<T> {
    fn set(&mut self, text: &str) -> Result<(), InvalidValue> {
        self.value.set(text)?;
        self.changed = true;
        Ok(())
    }
    fn kind(&self) -> &'static str {
        self.value.kind()
    }
    fn default_text(&self) -> Option<String> {
        self.value.default_text()
    }
    fn implied(&self) -> Option<&'static str> {
        self.value.implied()
    }
}

/// An element of a [`List`]: parsed when the flag is read, so that the error names the flag.
pub(crate) trait Element: Sized {
    /// What the help calls it.
    const KIND: &'static str;
    /// Whether the help shows the empty list as `(default [])`.
    const SHOW_EMPTY: bool = false;
    /// Reads one element.
    fn read(text: &str) -> Result<Self, InvalidValue>;
}

/// A flag that may be repeated, each occurrence checked.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct List<T>(pub(crate) Vec<T>);

impl<T> Default for List<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<T: Element> Value for List<T> {
    fn set(&mut self, text: &str) -> Result<(), InvalidValue> {
        self.0.push(T::read(text)?);
        Ok(())
    }
    fn kind(&self) -> &'static str {
        T::KIND
    }
    fn default_text(&self) -> Option<String> {
        T::SHOW_EMPTY.then(|| "[]".to_owned())
    }
}

/// A `key=value` flag that may be repeated.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(crate) struct Mapping(pub(crate) BTreeMap<String, String>);

impl Value for Mapping {
    fn set(&mut self, text: &str) -> Result<(), InvalidValue> {
        let (key, value) = text.split_once('=').unwrap_or((text, ""));
        self.0.insert(key.to_owned(), value.to_owned());
        Ok(())
    }
    fn kind(&self) -> &'static str {
        "map"
    }
    fn default_text(&self) -> Option<String> {
        Some("map[]".to_owned())
    }
}
