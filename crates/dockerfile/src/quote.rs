//! Texts as Go's `%q` writes them, which messages and history entries have.

use std::fmt::Write as _;

/// A text in double quotes.
pub(crate) fn quoted(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for char in text.chars() {
        match char {
            '"' | '\\' => out.extend(['\\', char]),
            '\x07' => out.push_str("\\a"),
            '\x08' => out.push_str("\\b"),
            '\x0c' => out.push_str("\\f"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\x0b' => out.push_str("\\v"),
            ' '..='~' => out.push(char),
            other => unusual(&mut out, other),
        }
    }
    out.push('"');
    out
}

fn unusual(out: &mut String, char: char) {
    let code = u32::from(char);
    let _ = match code {
        0..0x80 => write!(out, "\\x{code:02x}"),
        _ if is_printable(char) => write!(out, "{char}"),
        0x80..0x1_0000 => write!(out, "\\u{code:04x}"),
        _ => write!(out, "\\U{code:08x}"),
    };
}

/// A letter before it, because an accent alone is escaped and one after a letter is not.
fn is_printable(char: char) -> bool {
    format!("a{char}").escape_debug().count() == 2
}

/// A list of texts: `["a" "b"]`.
pub(crate) fn quoted_list(texts: &[String]) -> String {
    let texts: Vec<String> = texts.iter().map(|text| quoted(text)).collect();
    format!("[{}]", texts.join(" "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_quoted_as_go_does() {
        for (text, expected) in [
            ("a b", r#""a b""#),
            ("\"\\", r#""\"\\""#),
            ("\n\t\x01\x7f", r#""\n\t\x01\x7f""#),
            ("ä€😀", "\"ä€😀\""),
            ("'", r#""'""#),
            ("\u{feff}", r#""\ufeff""#),
        ] {
            assert_eq!(quoted(text), expected, "{text:?}");
        }
        assert_eq!(quoted_list(&["a".into(), "b c".into()]), r#"["a" "b c"]"#);
        assert_eq!(quoted_list(&[]), "[]");
    }
}
