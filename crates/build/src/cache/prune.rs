//! What the cache takes of the disk, and taking some of it back.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use jiff::Timestamp;
use oci::Digest;

use super::{Cache, Note};
use crate::error::Error;

/// A result, or the folder of a cache mount, as others see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CacheRecord {
    /// What it is called in the keys of others.
    pub id: Digest,
    /// The result below it.
    pub parent: Option<Digest>,
    /// `regular`, or `exec.cachemount` for the folder of a cache mount.
    pub kind: &'static str,
    /// What made it.
    pub description: String,
    /// Whether images have its layer.
    pub is_shared: bool,
    /// Whether a command has it now.
    pub is_in_use: bool,
    /// Bytes in its files.
    pub size: u64,
    /// When it was made.
    pub created: Timestamp,
    /// When it was used last.
    pub last_used: Timestamp,
    /// How often it was used.
    pub uses: u64,
}

/// What is to go.
#[derive(Clone, Debug, Default)]
pub struct CacheFilter {
    /// Also what other results are made of, and what images have.
    pub all: bool,
    /// Only what was not used since.
    pub unused_since: Option<Timestamp>,
    /// Only these, by whole keys or their beginnings.
    pub ids: Vec<String>,
    /// Only of these kinds.
    pub kinds: Vec<String>,
    /// Only what has one of these in its description.
    pub descriptions: Vec<String>,
    /// Only what images have, or only what they do not have.
    pub shared: Option<bool>,
    /// Bytes that may stay; the newest do.
    pub keep: u64,
}

/// What went.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pruned {
    /// Keys.
    pub ids: Vec<String>,
    /// Bytes.
    pub reclaimed: u64,
}

impl Cache {
    /// All results. One that has several keys is there once, by what it is called in the keys of others.
    pub(crate) fn records(&self) -> Vec<CacheRecord> {
        let entries = self.entries().clone();
        let mut records: BTreeMap<&Digest, CacheRecord> = BTreeMap::new();
        for entry in entries.values() {
            let note = &entry.note;
            match records.get_mut(&note.result) {
                Some(record) => {
                    record.last_used = record.last_used.max(note.last_used);
                    record.uses += note.uses;
                }
                None => {
                    records.insert(&note.result, self.record(note));
                }
            }
        }
        records.into_values().collect()
    }

    fn record(&self, note: &Note) -> CacheRecord {
        let layer = note.layer.as_ref();
        CacheRecord {
            id: note.result.clone(),
            parent: note.identity.base.clone(),
            kind: "regular",
            description: note.name.clone(),
            is_shared: layer.is_some_and(|layer| self.images.is_in_image(layer)),
            is_in_use: false,
            size: layer.map_or(0, |layer| self.images.layer_sizes(std::slice::from_ref(layer))[0]),
            created: note.created,
            last_used: note.last_used,
            uses: note.uses,
        }
    }

    /// Releases results.
    pub(crate) fn release_all(&self, going: &BTreeSet<Digest>) -> Result<Pruned, Error> {
        let (mut keys, mut ids) = (Vec::new(), BTreeSet::new());
        self.entries().retain(|key, entry| {
            let goes = going.contains(&entry.note.result);
            if goes {
                keys.push(key.to_string());
                ids.insert(entry.note.result.to_string());
            }
            !goes
        });
        if keys.is_empty() {
            return Ok(Pruned::default());
        }
        let reclaimed = self.images.release_kept(&keys)?;
        Ok(Pruned { ids: ids.into_iter().collect(), reclaimed })
    }
}

impl CacheFilter {
    /// What is to go of all that there is. What something else is made of stays with it.
    pub(crate) fn choose(&self, records: &[CacheRecord]) -> BTreeSet<Digest> {
        let mut total: u64 =
            records.iter().filter(|record| !record.is_shared).map(|record| record.size).sum();
        let mut going = BTreeSet::new();
        let mut leaves = Leaves::of(records);
        while let Some(record) = leaves.oldest() {
            if self.keep > 0 && total <= self.keep {
                break;
            }
            if self.takes(record) {
                total = total.saturating_sub(if record.is_shared { 0 } else { record.size });
                going.insert(record.id.clone());
                leaves.remove(record);
            }
        }
        going
    }

    fn takes(&self, record: &CacheRecord) -> bool {
        let is_named = self.ids.is_empty()
            || self
                .ids
                .iter()
                .any(|id| record.id.as_str().starts_with(id) || record.id.hex().starts_with(id));
        let is_old = self.unused_since.is_none_or(|since| record.last_used < since);
        let is_kind = self.kinds.is_empty() || self.kinds.iter().any(|kind| kind == record.kind);
        let is_described = self.descriptions.is_empty()
            || self.descriptions.iter().any(|text| record.description.contains(text));
        let is_shared = self.shared.is_none_or(|shared| shared == record.is_shared);
        let is_meant = is_named && is_old && is_kind && is_described && is_shared;
        is_meant && !record.is_in_use && (self.all || !record.is_shared)
    }
}

/// Results that no other is made of, the least recently used first.
struct Leaves<'a> {
    records: HashMap<&'a Digest, &'a CacheRecord>,
    /// How many results are made of each.
    children: HashMap<&'a Digest, usize>,
    leaves: BTreeSet<(Timestamp, &'a Digest)>,
}

impl<'a> Leaves<'a> {
    fn of(records: &'a [CacheRecord]) -> Self {
        let mut children: HashMap<&Digest, usize> = HashMap::new();
        for parent in records.iter().filter_map(|record| record.parent.as_ref()) {
            *children.entry(parent).or_default() += 1;
        }
        let is_leaf = |record: &&CacheRecord| !children.contains_key(&record.id);
        let leaves = records.iter().filter(is_leaf).map(|record| (record.last_used, &record.id)).collect();
        Self { records: records.iter().map(|record| (&record.id, record)).collect(), children, leaves }
    }

    /// The next one, which is a leaf no longer.
    fn oldest(&mut self) -> Option<&'a CacheRecord> {
        let (_, id) = self.leaves.pop_first()?;
        self.records.get(id).copied()
    }

    /// Takes one out, so that what it was made of may be a leaf.
    fn remove(&mut self, record: &'a CacheRecord) {
        let Some(parent) = &record.parent else { return };
        let Some(count) = self.children.get_mut(parent) else { return };
        *count -= 1;
        if let (0, Some(parent)) = (*count, self.records.get(parent)) {
            self.leaves.insert((parent.last_used, &parent.id));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(name: &str, parent: Option<&str>, used: i64) -> CacheRecord {
        let id = |name: &str| Digest::of(name.as_bytes());
        let time = Timestamp::from_second(used).unwrap();
        CacheRecord {
            id: id(name),
            parent: parent.map(id),
            kind: "regular",
            description: name.into(),
            is_shared: false,
            is_in_use: false,
            size: 1,
            created: time,
            last_used: time,
            uses: 0,
        }
    }

    #[test]
    fn what_is_made_of_something_goes_before_it_and_the_oldest_first() {
        let records = [
            record("a", None, 9),
            record("b", Some("a"), 1),
            record("c", Some("a"), 5),
            record("d", Some("gone"), 3),
        ];
        let mut leaves = Leaves::of(&records);
        let mut order = Vec::new();
        while let Some(record) = leaves.oldest() {
            order.push(record.description.as_str());
            leaves.remove(record);
        }
        assert_eq!(order, ["b", "d", "c", "a"]);
    }

    #[test]
    fn what_stays_keeps_what_it_is_made_of() {
        let records = [record("a", None, 1), record("b", Some("a"), 2)];
        let mut leaves = Leaves::of(&records);
        assert_eq!(leaves.oldest().map(|record| record.description.as_str()), Some("b"));
        assert!(leaves.oldest().is_none());
    }

    #[test]
    fn what_is_used_stays_and_the_oldest_go_until_the_rest_fits() {
        let mount = CacheRecord { kind: "exec.cachemount", ..record("mount", None, 3) };
        let used = CacheRecord { is_in_use: true, ..record("used", None, 0) };
        let records = [record("a", None, 1), record("b", Some("a"), 2), mount, used];
        let chosen = |filter: &CacheFilter| {
            let going = filter.choose(&records);
            let names = records.iter().filter(|record| going.contains(&record.id));
            names.map(|record| record.description.clone()).collect::<Vec<_>>().join(" ")
        };
        let filter = CacheFilter::default();
        assert_eq!(chosen(&filter), "a b mount");
        assert_eq!(chosen(&CacheFilter { keep: 3, ..filter.clone() }), "b");
        assert_eq!(chosen(&CacheFilter { keep: 4, ..filter.clone() }), "");
        assert_eq!(chosen(&CacheFilter { kinds: vec!["exec.cachemount".into()], ..filter }), "mount");
    }

    #[test]
    fn filter_takes_what_matches_only() {
        let one = CacheRecord { is_shared: true, ..record("a", None, 5) };
        let since = |second| Some(Timestamp::from_second(second).unwrap());
        assert!(!CacheFilter::default().takes(&one));
        let all = CacheFilter { all: true, ..CacheFilter::default() };
        assert!(all.takes(&one));
        assert!(!CacheFilter { unused_since: since(5), ..all.clone() }.takes(&one));
        assert!(CacheFilter { unused_since: since(6), ..all.clone() }.takes(&one));
        let id = one.id.hex()[..12].to_owned();
        assert!(CacheFilter { ids: vec![id], ..all.clone() }.takes(&one));
        assert!(!CacheFilter { ids: vec!["x".into()], ..all }.takes(&one));
    }
}
