//! What `omitempty` leaves out.

/// Whether a value is its type's zero value.
pub(crate) fn empty<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

/// Whether a list is absent or has no items.
pub(crate) fn empty_list<T>(value: &Option<Vec<T>>) -> bool {
    value.as_ref().is_none_or(Vec::is_empty)
}

/// Whether a map is absent or has no entries.
pub(crate) fn empty_map<K, V>(value: &Option<std::collections::BTreeMap<K, V>>) -> bool {
    value.as_ref().is_none_or(std::collections::BTreeMap::is_empty)
}
