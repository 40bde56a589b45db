//! Words of `ENV`, `LABEL` and `ARG`, in which quotes and escapes keep blanks together, and lists in JSON.

use super::instruction::{Argument, Pair};
use super::line::{Part, Word};
use crate::error::{Error, Problem};

/// Splits at blanks that are neither quoted nor escaped. Quotes and escapes stay in the words.
fn quoted_words(part: Part<'_>, escape: char) -> Vec<Word> {
    let text = part.text();
    let mut words = Vec::new();
    let (mut start, mut quote, mut has_end) = (None, None, false);
    let mut chars = text.char_indices();
    while let Some((at, char)) = chars.next() {
        match (quote, char) {
            (None, blank) if blank.is_whitespace() => {
                words.extend(start.take().map(|start| part.sub(start, at).word()));
                continue;
            }
            (None, open @ ('\'' | '"')) => quote = Some(open),
            (Some(open), close) if open == close => quote = None,
            (None | Some('"'), char) if char == escape => has_end = chars.next().is_none(),
            _ => {}
        }
        start.get_or_insert(at);
    }
    // At the end of the line the escape character means nothing.
    let end = text.len() - if has_end { escape.len_utf8() } else { 0 };
    words.extend(start.filter(|start| *start < end).map(|start| part.sub(start, end).word()));
    words
}

/// `name=value …`, or the old form `name value with blanks`.
pub(crate) fn pairs(name: &'static str, part: Part<'_>, escape: char) -> Result<Vec<Pair>, Error> {
    let words = quoted_words(part, escape);
    let first = words.first().ok_or(Problem::NoArgument(name))?;
    if !first.text.contains('=') {
        let (key, value) = part.split_blank();
        let value = value.ok_or_else(|| Error::new(Problem::NoValue(name)).at(key.span()))?;
        return Ok(vec![Pair { name: key.word(), value: value.word(), is_legacy: true }]);
    }
    words.into_iter().map(|word| pair(name, word)).collect()
}

fn pair(name: &'static str, word: Word) -> Result<Pair, Error> {
    let span = word.span;
    let Some((key, value)) = word.text.split_once('=') else {
        return Err(Error::new(Problem::NoAssignment(word.text)).at(span));
    };
    if key.is_empty() {
        return Err(Error::from(Problem::BlankName(name)).at(span));
    }
    let at = |text: &str| Word { text: text.to_owned(), span };
    Ok(Pair { name: at(key), value: at(value), is_legacy: false })
}

/// `name` and `name=value`.
pub(crate) fn arguments(part: Part<'_>, escape: char) -> Result<Vec<Argument>, Error> {
    let words = quoted_words(part, escape);
    if words.is_empty() {
        return Err(Problem::NoArgument("ARG").into());
    }
    let argument = |word: Word| {
        let span = word.span;
        let at = |text: &str| Word { text: text.to_owned(), span };
        match word.text.split_once('=') {
            Some(("", _)) => Err(Error::from(Problem::BlankName("ARG")).at(span)),
            Some((name, value)) => Ok(Argument { name: at(name), value: Some(at(value)) }),
            None => Ok(Argument { name: word, value: None }),
        }
    };
    words.into_iter().map(argument).collect()
}

/// A list of texts in JSON. Another list is an error; anything else is no list.
pub(crate) fn json_list(part: Part<'_>) -> Result<Option<Vec<String>>, Error> {
    let text = part.text().trim_start();
    if !text.starts_with('[') {
        return Ok(None);
    }
    let Ok(values) = serde_json::from_str::<Vec<serde_json::Value>>(text) else { return Ok(None) };
    let string = |value| match value {
        serde_json::Value::String(text) => Ok(text),
        _ => Err(Error::new(Problem::NotStrings).at(part.span())),
    };
    values.into_iter().map(string).collect::<Result<_, _>>().map(Some)
}

/// A list in JSON, or words that blanks separate.
pub(crate) fn list(part: Part<'_>) -> Result<Vec<Word>, Error> {
    Ok(match json_list(part)? {
        Some(texts) => texts.into_iter().map(|text| Word { text, span: part.span() }).collect(),
        None => part.words(),
    })
}

#[cfg(test)]
mod tests {
    use super::super::line::Line;
    use super::*;

    fn split(text: &str) -> Vec<String> {
        quoted_words(Line::of(text).whole(), '\\').into_iter().map(|word| word.text).collect()
    }

    #[test]
    fn words_keep_quotes_and_escapes() {
        for (text, expected) in [
            (r#"a="b c" d\ e 'f g'  h"#, vec![r#"a="b c""#, r"d\ e", "'f g'", "h"]),
            (r#""a\" b" 'c\' d"#, vec![r#""a\" b""#, r"'c\'", "d"]),
            (r#"'a" b' c"#, vec![r#"'a" b'"#, "c"]),
            ("a\\", vec!["a"]),
            ("a \\", vec!["a"]),
            ("'a b", vec!["'a b"]),
            ("  ", vec![]),
        ] {
            assert_eq!(split(text), expected, "{text}");
        }
    }

    #[test]
    fn lists_in_json_are_told_from_other_texts() {
        let read = |text: &str| json_list(Line::of(text).whole()).map_err(|error| error.to_string());
        assert_eq!(read(r#"["a", "b\u0041"]"#), Ok(Some(vec!["a".into(), "bA".into()])));
        assert_eq!(read("[]"), Ok(Some(vec![])));
        for text in ["a", r#"["a""#, "['a']", r#"["a"] b"#, r#"["a",]"#, "[a]", "", "{}"] {
            assert_eq!(read(text), Ok(None), "{text}");
        }
        for text in ["[1]", r#"["a", null]"#, r#"["a", ["b"]]"#, r#"[{"a": "b"}]"#] {
            assert!(read(text).unwrap_err().contains("strings only"), "{text}");
        }
    }
}
