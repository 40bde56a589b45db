//! A record of what builds have kept, as engines tell it.

use api::{Filters, Time};
use serde_json::Value;

use crate::format::{Cell, Row};
use crate::text::decimal_size;

/// A record of the engine.
#[derive(Clone, Debug)]
pub(super) struct Record(pub(super) Value);

impl Record {
    fn text(&self, key: &str) -> String {
        match &self.0[key] {
            Value::String(text) => text.clone(),
            Value::Null => String::new(),
            other => other.to_string(),
        }
    }

    fn flag(&self, key: &str) -> bool {
        self.0[key].as_bool().unwrap_or(false)
    }

    pub(super) fn id(&self) -> String {
        self.text("ID")
    }

    pub(super) fn size(&self) -> i64 {
        self.0["Size"].as_i64().unwrap_or(0)
    }

    pub(super) fn is_shared(&self) -> bool {
        self.flag("Shared")
    }

    pub(super) fn is_reclaimable(&self) -> bool {
        !self.flag("InUse")
    }

    /// Newer engines have several, older ones one.
    fn parents(&self) -> Vec<String> {
        match &self.0["Parents"] {
            Value::Array(parents) => {
                parents.iter().filter_map(|parent| parent.as_str().map(str::to_owned)).collect()
            }
            _ => Some(self.text("Parent")).filter(|parent| !parent.is_empty()).into_iter().collect(),
        }
    }

    fn created(&self) -> String {
        match self.text("CreatedAt").parse::<Time>() {
            Ok(time) => time.0.strftime("%Y-%m-%d %H:%M:%S%.f +0000 UTC").to_string(),
            Err(_) => self.text("CreatedAt"),
        }
    }

    fn last_used(&self) -> String {
        let time: Option<jiff::Timestamp> = self.text("LastUsedAt").parse().ok();
        let now = jiff::Timestamp::now().as_second();
        time.map(|time| crate::when::ago(now - time.as_second())).unwrap_or_default()
    }

    fn is_mutable(&self) -> bool {
        self.text("Type") == "exec.cachemount"
    }

    /// Whether the filters are for it. Each of them is known, and those of switches are right.
    pub(super) fn matches(&self, filters: &Filters) -> bool {
        let is = |key: &str, value: bool| filters.flag(key, value) == Ok(value);
        filters.matches_prefix("id", &self.id())
            && filters.matches_exactly("type", &self.text("Type"))
            && filters.matches_exactly("description", &self.text("Description"))
            && filters.values("parents").all(|parent| self.parents().iter().any(|other| other == parent))
            && is("inuse", !self.is_reclaimable())
            && is("mutable", self.is_mutable())
            && is("shared", self.is_shared())
    }

    /// All that is known of it, a line for each.
    pub(super) fn details(&self) -> String {
        let mut out = String::new();
        let mut line = |key: &str, value: &str| {
            if !value.is_empty() {
                out.push_str(&format!("{:<14}{value}\n", format!("{key}:")));
            }
        };
        line("ID", &self.id());
        line("Parents", &self.parents().join(", "));
        line("Created at", &self.created());
        line("Mutable", &self.is_mutable().to_string());
        line("Reclaimable", &self.is_reclaimable().to_string());
        line("Shared", &self.is_shared().to_string());
        line("Size", &human(self.size()));
        line("Description", &self.text("Description"));
        line("Usage count", &self.text("UsageCount"));
        line("Last used", &self.last_used());
        line("Type", &self.text("Type"));
        out
    }
}

/// A size as all lists show it.
pub(super) fn human(size: i64) -> String {
    decimal_size(size as f64, 4)
}

impl Row for Record {
    const TYPE: &'static str = "*commands.diskusageContext";
    const FIELDS: &'static [(&'static str, &'static str)] = &[
        ("CreatedAt", "CREATED AT"),
        ("Description", "DESCRIPTION"),
        ("ID", "ID"),
        ("LastUsedAt", "LAST ACCESSED"),
        ("Mutable", "MUTABLE"),
        ("Parents", "PARENTS"),
        ("Reclaimable", "RECLAIMABLE"),
        ("Shared", "SHARED"),
        ("Size", "SIZE"),
        ("Type", "TYPE"),
        ("UsageCount", "USAGE COUNT"),
    ];

    fn field(&self, name: &str) -> Cell {
        let json = |value: Value| Cell::Json(value.to_string());
        match name {
            "CreatedAt" => Cell::Text(self.created()),
            "LastUsedAt" => Cell::Text(self.last_used()),
            "Mutable" => json(self.is_mutable().into()),
            "Parents" => Cell::Text(self.parents().join(",")),
            "Reclaimable" => json(self.is_reclaimable().into()),
            "Shared" => json(self.is_shared().into()),
            // What others have too is not theirs alone.
            "Size" => {
                Cell::Text(format!("{}{}", human(self.size()), if self.is_shared() { "*" } else { "" }))
            }
            other => Cell::Text(self.text(other)),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn records_of_old_and_new_engines_are_read() {
        let record = |value: Value| Record(value).details();
        let old = record(json!({
            "ID": "abc", "Parent": "p", "Type": "regular", "Description": "RUN make", "InUse": true, "Shared": false,
            "Size": 1500, "CreatedAt": "2026-11-21T02:01:20.5Z", "LastUsedAt": null, "UsageCount": 2,
        }));
        assert_eq!(
            old,
            "ID:           abc\nParents:      p\nCreated at:   2026-11-21 02:01:20.5 +0000 UTC\nMutable:      false\n\
             Reclaimable:  false\nShared:       false\nSize:         1.5kB\nDescription:  RUN make\nUsage count:  2\n\
             Type:         regular\n"
        );
        let new = record(json!({"ID": "abc", "Parents": ["p", "q"], "Type": "exec.cachemount", "Size": 0}));
        assert!(new.contains("Parents:      p, q\n") && new.contains("Mutable:      true\n"), "{new}");
    }
}
