//! Words of a line, and bytes in text.

/// Splits at white space. A backslash takes the next character as it is; what is in double quotes is a JSON string.
pub(super) fn words(line: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut rest = line.trim_start();
    while !rest.is_empty() {
        let (word, after) = next_word(rest);
        words.push(word);
        rest = after.trim_start();
    }
    words
}

fn next_word(text: &str) -> (String, &str) {
    let mut word = String::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next().filter(|first| !first.is_whitespace()) {
        if first == '"' {
            let end = closing_quote(rest);
            word += &serde_json::from_str::<String>(&rest[..end]).expect("a string in quotes");
            rest = &rest[end..];
            continue;
        }
        rest = &rest[first.len_utf8()..];
        let literal = if first == '\\' { rest.chars().next().expect("something is escaped") } else { first };
        if first == '\\' {
            rest = &rest[literal.len_utf8()..];
        }
        word.push(literal);
    }
    (word, rest)
}

fn closing_quote(text: &str) -> usize {
    let mut is_escaped = false;
    for (position, byte) in text.bytes().enumerate().skip(1) {
        match byte {
            b'"' if !is_escaped => return position + 1,
            b'\\' => is_escaped = !is_escaped,
            _ => is_escaped = false,
        }
    }
    panic!("a quote is not closed in {text:?}");
}

/// The bytes that `\n`, `\r`, `\t`, `\\` and `\x00` stand for; line ends stand for nothing.
pub(super) fn unescape(text: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let [first, after @ ..] = rest {
        rest = after;
        match (first, after) {
            (b'\n', _) => {}
            (b'\\', [b'x', high, low, ..]) => {
                let digits = [*high, *low];
                let digits = std::str::from_utf8(&digits).expect("two digits");
                bytes.push(u8::from_str_radix(digits, 16).expect("two hexadecimal digits"));
                rest = &after[3..];
            }
            (b'\\', [letter, ..]) => {
                bytes.push(match letter {
                    b'n' => b'\n',
                    b'r' => b'\r',
                    b't' => b'\t',
                    b'\\' => b'\\',
                    other => panic!("\\{} stands for nothing", *other as char),
                });
                rest = &after[1..];
            }
            _ => bytes.push(*first),
        }
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_split_with_escapes_and_quotes() {
        assert_eq!(words(r#"file a\ b 0644 "x\n\"y\"" z=1"#), ["file", "a b", "0644", "x\n\"y\"", "z=1"]);
        assert!(words("  ").is_empty());
    }

    #[test]
    fn escapes_stand_for_bytes() {
        assert_eq!(unescape("a\\n\n\\xef\\\\\\t\n"), b"a\n\xef\\\t");
    }
}
