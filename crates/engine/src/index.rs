//! Finding containers by ID, name and prefix.

use std::collections::{BTreeMap, HashMap};
use std::ops::Bound;
use std::sync::Arc;

/// Why a reference names no single entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Miss {
    /// Nothing has that ID, name or prefix.
    NotFound,
    /// Several IDs begin so.
    Ambiguous,
}

/// Entries by ID and by name.
#[derive(Debug)]
pub(crate) struct Index<T> {
    by_id: BTreeMap<String, Arc<T>>,
    by_name: HashMap<String, String>,
}

impl<T> Default for Index<T> {
    fn default() -> Self {
        Self { by_id: BTreeMap::new(), by_name: HashMap::new() }
    }
}

impl<T> Index<T> {
    /// The ID of the container that has `name`.
    pub(crate) fn owner_of(&self, name: &str) -> Option<&str> {
        self.by_name.get(name).map(String::as_str)
    }

    /// Gives `name` to `id`, which need not be inserted yet. The caller has seen that it is free.
    pub(crate) fn reserve_name(&mut self, name: &str, id: &str) {
        self.by_name.insert(name.to_owned(), id.to_owned());
    }

    /// Frees `name`, if `id` has it.
    pub(crate) fn release_name(&mut self, name: &str, id: &str) {
        if self.owner_of(name) == Some(id) {
            self.by_name.remove(name);
        }
    }

    pub(crate) fn insert(&mut self, id: &str, entry: Arc<T>) {
        self.by_id.insert(id.to_owned(), entry);
    }

    /// Removes an entry and all of its names.
    pub(crate) fn remove(&mut self, id: &str) {
        self.by_id.remove(id);
        self.by_name.retain(|_, owner| owner != id);
    }

    /// Finds by whole ID, by name (a leading slash is allowed), then by the beginning of an ID.
    pub(crate) fn resolve(&self, reference: &str) -> Result<Arc<T>, Miss> {
        if let Some(entry) = self.by_id.get(reference) {
            return Ok(Arc::clone(entry));
        }
        let name = reference.strip_prefix('/').unwrap_or(reference);
        if let Some(entry) = self.by_name.get(name).and_then(|id| self.by_id.get(id)) {
            return Ok(Arc::clone(entry));
        }
        self.by_prefix(reference)
    }

    pub(crate) fn all(&self) -> Vec<Arc<T>> {
        self.by_id.values().cloned().collect()
    }

    fn by_prefix(&self, prefix: &str) -> Result<Arc<T>, Miss> {
        if prefix.is_empty() {
            return Err(Miss::NotFound);
        }
        let from = (Bound::Included(prefix), Bound::Unbounded);
        let mut matches = self.by_id.range::<str, _>(from).take_while(|(id, _)| id.starts_with(prefix));
        match (matches.next(), matches.next()) {
            (None, _) => Err(Miss::NotFound),
            (Some((_, entry)), None) => Ok(Arc::clone(entry)),
            (Some(_), Some(_)) => Err(Miss::Ambiguous),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn index() -> Index<u32> {
        let mut index = Index::default();
        for (id, name, value) in [("abc1", "web", 1), ("abc2", "db", 2), ("def3", "abc2", 3)] {
            index.reserve_name(name, id);
            index.insert(id, Arc::new(value));
        }
        index
    }

    #[test]
    fn whole_id_wins_over_name_and_name_over_prefix() {
        let index = index();
        assert_eq!(index.resolve("abc2"), Ok(Arc::new(2)));
        assert_eq!(index.resolve("/web"), Ok(Arc::new(1)));
        assert_eq!(index.resolve("d"), Ok(Arc::new(3)));
    }

    #[test]
    fn ambiguous_prefix_and_unknown_name_are_told_apart() {
        let index = index();
        assert_eq!(index.resolve("abc"), Err(Miss::Ambiguous));
        assert_eq!(index.resolve("zzz"), Err(Miss::NotFound));
        assert_eq!(index.resolve(""), Err(Miss::NotFound));
    }

    #[test]
    fn removed_entry_frees_its_names() {
        let mut index = index();
        index.remove("abc1");
        assert_eq!(index.owner_of("web"), None);
        assert_eq!(index.resolve("abc"), Ok(Arc::new(2)));
    }

    #[test]
    fn name_is_released_by_its_owner_only() {
        let mut index = index();
        index.release_name("web", "def3");
        assert_eq!(index.owner_of("web"), Some("abc1"));
    }
}
