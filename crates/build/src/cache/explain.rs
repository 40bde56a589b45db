//! Why there was no result: what is different from the most similar one that is there.

use serde_json::Value;

use super::note::{Identity, Note};

/// Differences of an operation that are told; the rest is counted.
const MAX_TOLD: usize = 3;

/// Says why none of these is a result of what has this identity.
pub(super) fn explain<'a>(identity: &Identity, notes: impl Iterator<Item = &'a Note>) -> String {
    let kind = kind_of(&identity.operation);
    let similar = notes.filter(|note| kind_of(&note.identity.operation) == kind);
    let best = similar.max_by_key(|note| (likeness(identity, &note.identity), note.last_used));
    match best {
        None => "it was never done before".to_owned(),
        Some(note) => difference(identity, &note.identity),
    }
}

/// `run`, `copy`, …
fn kind_of(operation: &Value) -> &str {
    operation.as_object().and_then(|fields| fields.keys().next()).map_or("", String::as_str)
}

fn likeness(one: &Identity, other: &Identity) -> (bool, usize) {
    let same = [one.base == other.base, one.inputs == other.inputs, one.settings == other.settings];
    (one.operation == other.operation, same.into_iter().filter(|same| *same).count())
}

fn difference(new: &Identity, old: &Identity) -> String {
    if new.operation != old.operation {
        if new.base != old.base {
            return "it was never done before on what is below it".to_owned();
        }
        let mut changes = Vec::new();
        compare(&new.operation, &old.operation, "", &mut changes);
        return told(changes);
    }
    if new.base != old.base {
        return "what is below it is another one".to_owned();
    }
    for (role, digest) in &new.inputs {
        if !old.inputs.iter().any(|(name, known)| name == role && known == digest) {
            return format!("the content of {role} is another one");
        }
    }
    if old.is_from_elsewhere() {
        return "its result came from elsewhere, and is only for builds that look there".to_owned();
    }
    match new.settings.iter().find(|setting| !old.settings.contains(setting)) {
        Some((name, value)) => format!("{name} is {value:?}"),
        None if new.settings != old.settings => "a setting is no longer there".to_owned(),
        None => "its result is no longer there".to_owned(),
    }
}

fn told(changes: Vec<String>) -> String {
    let rest = changes.len().saturating_sub(MAX_TOLD);
    let text = changes.into_iter().take(MAX_TOLD).collect::<Vec<_>>().join("; ");
    if rest == 0 { text } else { format!("{text}; and {rest} more") }
}

/// Tells the parts of two values that differ, by their place.
fn compare(new: &Value, old: &Value, place: &str, changes: &mut Vec<String>) {
    match (new, old) {
        (Value::Object(new), Value::Object(old)) => {
            for (name, value) in new {
                let place = if place.is_empty() { String::new() } else { format!("{place} ") };
                compare(value, old.get(name).unwrap_or(&Value::Null), &format!("{place}{name}"), changes);
            }
        }
        (Value::Array(new), Value::Array(old)) => {
            let added = new.iter().filter(|value| !old.contains(value));
            let gone = old.iter().filter(|value| !new.contains(value));
            changes.extend(added.map(|value| format!("{place} has {value}")));
            changes.extend(gone.map(|value| format!("{place} no longer has {value}")));
            if new != old && changes.is_empty() {
                changes.push(format!("{place} are in another order"));
            }
        }
        (new, old) if new != old => changes.push(format!("{place} is {new}, was {old}")),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use oci::Digest;
    use serde_json::json;

    use super::*;
    use crate::solve::Made;

    fn identity(operation: Value, base: &str, input: &str) -> Identity {
        Identity {
            operation,
            base: Some(Digest::of(base.as_bytes())),
            inputs: vec![("the context".into(), Digest::of(input.as_bytes()))],
            settings: Vec::new(),
        }
    }

    fn note(identity: Identity) -> Note {
        let made = Made { created: Timestamp::UNIX_EPOCH, layer: None, record: None };
        Note::new("x".into(), identity, Digest::of(b"r"), &made)
    }

    #[test]
    fn difference_from_the_most_similar_result_is_told() {
        let run = |words: &[&str]| json!({"run": {"arguments": words, "working_dir": "/"}});
        let notes =
            [note(identity(run(&["a"]), "base", "in")), note(identity(json!({"copy": {}}), "base", "in"))];
        let explained = |identity: &Identity| explain(identity, notes.iter());
        for (new, expected) in [
            (identity(json!({"make-folder": {}}), "base", "in"), "it was never done before"),
            (identity(run(&["a"]), "other", "in"), "what is below it is another one"),
            (identity(run(&["a"]), "base", "other"), "the content of the context is another one"),
            (
                identity(run(&["b"]), "base", "in"),
                "run arguments has \"b\"; run arguments no longer has \"a\"",
            ),
            (identity(run(&["b"]), "other", "in"), "it was never done before on what is below it"),
            (identity(run(&["a"]), "base", "in"), "its result is no longer there"),
        ] {
            assert_eq!(explained(&new), expected);
        }
    }
}
