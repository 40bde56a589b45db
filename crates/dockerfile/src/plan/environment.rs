//! Variables in the order in which they were set.

use std::collections::HashMap;

/// Variables, each of which is found at once: a file can have very many.
#[derive(Clone, Debug, Default)]
pub(super) struct Environment {
    values: Vec<(String, String)>,
    places: HashMap<String, usize>,
}

impl Environment {
    /// From `NAME=value`.
    pub(super) fn of(variables: &[String]) -> Self {
        let mut environment = Self::default();
        for variable in variables {
            let (name, value) = variable.split_once('=').unwrap_or((variable, ""));
            environment.set(name, value);
        }
        environment
    }

    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.places.get(name).map(|place| self.values[*place].1.as_str())
    }

    /// Sets a variable where it is, or at the end.
    pub(super) fn set(&mut self, name: &str, value: &str) {
        match self.places.get(name) {
            Some(place) => value.clone_into(&mut self.values[*place].1),
            None => {
                self.places.insert(name.to_owned(), self.values.len());
                self.values.push((name.to_owned(), value.to_owned()));
            }
        }
    }

    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.values.iter().map(|(name, _)| name.as_str())
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.values.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// As `NAME=value`.
    pub(super) fn list(&self) -> Vec<String> {
        self.values.iter().map(|(name, value)| format!("{name}={value}")).collect()
    }

    /// Bytes of all of them.
    pub(super) fn size(&self) -> usize {
        self.values.iter().map(|(name, value)| name.len() + value.len() + 1).sum()
    }
}
