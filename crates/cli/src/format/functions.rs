//! The functions `docker` adds to Go's templates.

use std::sync::Arc;

use gotmpl::{FuncMap, TemplateError, Value};

use super::json::Originals;

/// The functions for rendering values. `originals` gives `json` the engine's own key order.
pub(crate) fn for_values(originals: Arc<Originals>) -> FuncMap {
    let mut map = FuncMap::new();
    add(&mut map, "json", 1, move |args| Ok(text(&to_json(&args[0], &originals))));
    add(&mut map, "split", 2, |args| {
        let (whole, separator) = (string(&args[0])?, string(&args[1])?);
        Ok(Value::List(split(whole, separator).map(text).collect()))
    });
    add(&mut map, "join", 2, |args| {
        let Value::List(items) = &args[0] else { return Err(wrong_type("join", "list", &args[0])) };
        let items: Vec<String> = items.iter().map(ToString::to_string).collect();
        Ok(text(&items.join(string(&args[1])?)))
    });
    add(&mut map, "title", 1, |args| Ok(text(&title(string(&args[0])?))));
    add(&mut map, "lower", 1, |args| Ok(text(&string(&args[0])?.to_lowercase())));
    add(&mut map, "upper", 1, |args| Ok(text(&string(&args[0])?.to_uppercase())));
    add(&mut map, "pad", 3, |args| {
        let (before, after) = (length(&args[1])?, length(&args[2])?);
        let source = string(&args[0])?;
        Ok(text(&match source.is_empty() {
            true => String::new(),
            false => format!("{}{source}{}", " ".repeat(before), " ".repeat(after)),
        }))
    });
    add(&mut map, "truncate", 2, |args| {
        let (source, length) = (string(&args[0])?, length(&args[1])?);
        Ok(text(source.get(..length).unwrap_or(source)))
    });
    map
}

/// The functions for rendering a table's header, where a field is its own title.
pub(crate) fn for_headers() -> FuncMap {
    let mut map = FuncMap::new();
    for (name, arguments) in [
        ("json", 1),
        ("split", 2),
        ("join", 2),
        ("title", 1),
        ("lower", 1),
        ("upper", 1),
        ("pad", 3),
        ("truncate", 2),
    ] {
        add(&mut map, name, arguments, |args| Ok(args[0].clone()));
    }
    map
}

/// The names that a template may use besides Go's own.
pub(crate) const NAMES: &[&str] = &["json", "split", "join", "title", "lower", "upper", "pad", "truncate"];

/// Go's own functions.
pub(crate) const BUILT_IN: &[&str] = &[
    "and", "call", "html", "index", "slice", "js", "len", "not", "or", "print", "printf", "println",
    "urlquery", "eq", "ge", "gt", "le", "lt", "ne", "break", "continue",
];

fn add(
    map: &mut FuncMap,
    name: &'static str,
    arguments: usize,
    body: impl Fn(&[Value]) -> Result<Value, TemplateError> + Send + Sync + 'static,
) {
    map.insert(
        name.to_owned(),
        Arc::new(move |args: &[Value]| match args.len() == arguments {
            true => body(args),
            false => {
                Err(TemplateError::ArgCount { name: name.to_owned(), expected: arguments, got: args.len() })
            }
        }),
    );
}

fn text(text: &str) -> Value {
    Value::String(text.into())
}

fn string(value: &Value) -> Result<&str, TemplateError> {
    value.as_str().ok_or_else(|| TemplateError::TypeMismatch { expected: "string", got: value.type_name() })
}

fn length(value: &Value) -> Result<usize, TemplateError> {
    let number = value.as_int().ok_or_else(|| wrong_type("pad", "int", value))?;
    // Wider than any terminal is a mistake, and would only take memory.
    Ok(usize::try_from(number).unwrap_or(0).min(1 << 16))
}

fn wrong_type(_name: &str, expected: &'static str, value: &Value) -> TemplateError {
    TemplateError::TypeMismatch { expected, got: value.type_name() }
}

fn split<'a>(whole: &'a str, separator: &'a str) -> Box<dyn Iterator<Item = &'a str> + 'a> {
    match separator.is_empty() {
        true => Box::new(whole.split("").filter(|part| !part.is_empty())),
        false => Box::new(whole.split(separator)),
    }
}

fn title(words: &str) -> String {
    let mut start = true;
    words
        .chars()
        .flat_map(|c| {
            let upper = start && c.is_alphabetic();
            start = !(c.is_alphanumeric() || c == '_' || c == '\'');
            if upper { c.to_uppercase().collect::<Vec<char>>() } else { vec![c] }
        })
        .collect()
}

fn to_json(value: &Value, originals: &Originals) -> String {
    if let Some(json) = originals.of(value) {
        return json.to_owned();
    }
    match value {
        Value::Nil | Value::Function(_) => "null".to_owned(),
        Value::Bool(bool) => bool.to_string(),
        Value::Int(number) => number.to_string(),
        Value::Uint(number) => number.to_string(),
        Value::Float(number) => serde_json::json!(number).to_string(),
        Value::String(text) => quoted(text),
        Value::List(items) => {
            let items: Vec<String> = items.iter().map(|item| to_json(item, originals)).collect();
            format!("[{}]", items.join(","))
        }
        Value::Map(map) => {
            let entries: Vec<String> = map
                .iter()
                .filter(|(_, item)| !item.is_function())
                .map(|(key, item)| format!("{}:{}", quoted(key), to_json(item, originals)))
                .collect();
            format!("{{{}}}", entries.join(","))
        }
    }
}

fn quoted(text: &str) -> String {
    serde_json::to_string(text).expect("a string is always JSON")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn title_raises_first_letter_of_each_word() {
        assert_eq!(title("hello wide-world don't"), "Hello Wide-World Don't");
    }
}
