//! Logical lines: those that a backslash joins are one, comments and blank lines are none.

/// The logical lines of a text.
pub fn logical(text: &str) -> Vec<String> {
    let mut lines = Vec::new();
    let mut current = String::new();
    for line in text.lines() {
        // Comments and blank lines are left out also in the middle of a joined line.
        let trimmed = line.trim();
        if trimmed.starts_with('#') || trimmed.is_empty() {
            continue;
        }
        let line = if current.is_empty() { line.trim_start() } else { line };
        match line.trim_end().strip_suffix('\\') {
            Some(begun) => current.push_str(begun),
            None => {
                current.push_str(line);
                lines.push(std::mem::take(&mut current).trim_end().to_owned());
            }
        }
    }
    if !current.trim().is_empty() {
        lines.push(current.trim_end().to_owned());
    }
    lines
}

/// The name of an instruction, in capitals, and what follows it.
pub fn split(line: &str) -> (String, &str) {
    let line = line.trim();
    let end = line.find(char::is_whitespace).unwrap_or(line.len());
    (line[..end].to_ascii_uppercase(), line[end..].trim())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_joined_by_a_backslash_and_comments_are_left_out() {
        let text = "CMD a \\\n  # no\n\n  b\n# no\nENV x=\\\n1\nUSER u\\";
        assert_eq!(logical(text), ["CMD a   b", "ENV x=1", "USER u"]);
        assert_eq!(split("  cmd  [\"a\"] "), ("CMD".to_owned(), "[\"a\"]"));
        assert_eq!(split("CMD"), ("CMD".to_owned(), ""));
    }
}
