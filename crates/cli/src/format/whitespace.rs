//! JSON as text: its white space changes, its words do not, as with Go's `json.Compact` and `json.Indent`.

/// Drops all white space between the words.
pub(crate) fn compact(json: &str) -> String {
    words(json).concat()
}

/// Levels that are indented; deeper ones stay where the last of these is, or a small text would become a huge one.
const MAX_DEPTH: usize = 100;

/// A line for each member, each level `indent` further to the right.
pub(crate) fn indent(json: &str, indent: &str) -> String {
    let mut out = String::with_capacity(json.len() * 2);
    let mut depth = 0usize;
    let mut is_empty = false;
    let line = |out: &mut String, depth: usize| {
        out.push('\n');
        out.push_str(&indent.repeat(depth.min(MAX_DEPTH)));
    };
    for word in words(json) {
        match word {
            "}" | "]" => {
                depth = depth.saturating_sub(1);
                if !is_empty {
                    line(&mut out, depth);
                }
            }
            _ if is_empty => line(&mut out, depth),
            _ => {}
        }
        is_empty = false;
        out.push_str(word);
        match word {
            "{" | "[" => (depth, is_empty) = (depth + 1, true),
            "," => line(&mut out, depth),
            ":" => out.push(' '),
            _ => {}
        }
    }
    out
}

/// The characters that Go's `json.Marshal` escapes, escaped. They are in strings only.
pub(crate) fn escaped(json: &str) -> String {
    let mut out = String::with_capacity(json.len());
    for character in json.chars() {
        match character {
            '<' | '>' | '&' | '\u{2028}' | '\u{2029}' => {
                out.push_str(&format!("\\u{:04x}", u32::from(character)))
            }
            other => out.push(other),
        }
    }
    out
}

/// Strings with their quotes, punctuation, numbers and names, one by one.
fn words(json: &str) -> Vec<&str> {
    let mut found = Vec::new();
    let mut rest = json.trim_start();
    while let Some(first) = rest.chars().next() {
        let length = match first {
            '{' | '}' | '[' | ']' | ',' | ':' => 1,
            '"' => string_length(rest),
            _ => rest
                .find(|it: char| it.is_ascii_whitespace() || "{}[],:\"".contains(it))
                .unwrap_or(rest.len()),
        };
        let (word, after) = rest.split_at(length);
        found.push(word);
        rest = after.trim_start();
    }
    found
}

fn string_length(text: &str) -> usize {
    let mut is_escaped = false;
    for (at, character) in text.char_indices().skip(1) {
        match character {
            '"' if !is_escaped => return at + 1,
            other => is_escaped = other == '\\' && !is_escaped,
        }
    }
    text.len()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn words_stay_as_they_are() {
        let text = " {\"a\" : [1.50, 1e3,{ } ,[\n]], \"b\\\" c\":\"\\u003c, :\", \"d\":null}\n";
        assert_eq!(compact(text), "{\"a\":[1.50,1e3,{},[]],\"b\\\" c\":\"\\u003c, :\",\"d\":null}");
        assert_eq!(
            indent(text, "\t"),
            "{\n\t\"a\": [\n\t\t1.50,\n\t\t1e3,\n\t\t{},\n\t\t[]\n\t],\n\t\"b\\\" c\": \"\\u003c, :\",\n\t\"d\": null\n}"
        );
        assert_eq!(escaped("{\"a\":\"<&>\"}"), "{\"a\":\"\\u003c\\u0026\\u003e\"}");
    }

    #[test]
    fn deep_text_does_not_grow_beyond_measure() {
        let deep = "[".repeat(100_000);
        assert!(indent(&deep, "\t").len() < deep.len() * (MAX_DEPTH + 3));
    }

    proptest! {
        #[test]
        fn any_text_has_an_end(text in ".{0,40}") {
            let _ = (compact(&text), indent(&text, " "));
        }

        #[test]
        fn indented_is_the_same_value(
            text in prop::collection::vec("[a-z\"\\\\ {}:,]{0,8}", 0..6),
        ) {
            let value = serde_json::json!({"list": text, "nested": {"empty": [], "none": {}}});
            let plain = value.to_string();
            prop_assert_eq!(compact(&indent(&plain, "   ")), plain.clone());
            prop_assert_eq!(serde_json::from_str::<serde_json::Value>(&indent(&plain, "\t")).unwrap(), value);
        }
    }
}
