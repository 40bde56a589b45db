//! Heredocs: `[fd]<<[-]WORD`, whose contents are the lines up to `WORD`.

use crate::expand::{Lexer, Quotes};

/// A text that is written below its instruction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Heredoc {
    /// The word that ends it; the name of the file for `COPY` and `ADD`.
    pub name: String,
    /// The file descriptor of a shell's redirection; 0 where none is named.
    pub descriptor: u32,
    /// Whether variables in it are replaced: no part of the word is quoted.
    pub expand: bool,
    /// Whether tabs at the start of its lines are left out.
    pub chomp: bool,
    /// The lines, as they are written.
    pub content: String,
}

impl Heredoc {
    /// Reads one word of an instruction. Anything else than the start of a heredoc is none.
    pub(crate) fn parse(word: &str) -> Option<Self> {
        let digits = word.find(|char: char| !char.is_ascii_digit())?;
        let rest = word[digits..].strip_prefix("<<")?;
        let (chomp, rest) = rest.strip_prefix('-').map_or((false, rest), |rest| (true, rest));
        let rest = rest.trim_start();
        if rest.is_empty() || rest.contains('<') {
            return None;
        }
        let name = single(&Lexer::heredoc(Quotes::Resolved), rest)?;
        let raw = single(&Lexer::heredoc(Quotes::Kept), rest)?;
        let quotes = |text: &str| text.chars().filter(|char| matches!(char, '\'' | '"')).count();
        let expand = quotes(&name) == quotes(&raw);
        let descriptor = word[..digits].parse().unwrap_or(0);
        Some(Self { name, descriptor, expand, chomp, content: String::new() })
    }

    /// The heredocs that a line of an instruction begins, in order.
    ///
    /// Quotes that do not match are the shell's affair: such a line begins none.
    pub(crate) fn all_of(line: &str) -> Vec<Self> {
        if !line.contains("<<") {
            return Vec::new();
        }
        let words = Lexer::raw().split(line).unwrap_or_default();
        words.iter().filter_map(|word| Self::parse(word)).collect()
    }

    /// Whether a line, without its line end, ends it.
    pub(crate) fn ends_with(&self, line: &str) -> bool {
        let line = if self.chomp { line.trim_start_matches('\t') } else { line };
        line == self.name
    }

    /// The contents that are meant: without leading tabs where `-` asks for that.
    pub fn text(&self) -> String {
        if !self.chomp {
            return self.content.clone();
        }
        self.content.split_inclusive('\n').map(|line| line.trim_start_matches('\t')).collect()
    }
}

fn single(lexer: &Lexer, text: &str) -> Option<String> {
    let mut words = lexer.split(text).ok()?;
    let word = words.pop()?;
    words.is_empty().then_some(word)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn starts_of_heredocs_are_read() {
        for (word, name, descriptor, expand, chomp) in [
            ("<<EOF", "EOF", 0, true, false),
            ("<<-EOF", "EOF", 0, true, true),
            ("<<'EOF'", "EOF", 0, false, false),
            ("<<\"E F\"", "E F", 0, false, false),
            ("3<<EOF", "EOF", 3, true, false),
            ("<< EOF", "EOF", 0, true, false),
            ("<<E'O'F", "EOF", 0, false, false),
            ("<<$x", "$x", 0, true, false),
        ] {
            let found = Heredoc::parse(word).unwrap_or_else(|| panic!("{word}"));
            let seen = (found.name.as_str(), found.descriptor, found.expand, found.chomp);
            assert_eq!(seen, (name, descriptor, expand, chomp), "{word}");
        }
        for word in ["<EOF", "<<<EOF", "<<", "<<-", "a<<EOF", "<<'EOF", "<<a b", "", "12"] {
            assert_eq!(Heredoc::parse(word), None, "{word}");
        }
    }

    #[test]
    fn lines_begin_heredocs_outside_of_quotes() {
        for (line, expected) in [
            ("RUN cat <<A <<-'B' > /x", vec!["A", "B"]),
            ("RUN echo \"<<A\"", vec![]),
            ("RUN echo '<<A' <<B", vec!["B"]),
            ("RUN echo it's <<B", vec![]),
            ("RUN 3<<A x", vec!["A"]),
            ("RUN cat <<A; echo", vec!["A;"]),
            ("RUN x << A", vec!["A"]),
            ("RUN echo \\<<A", vec![]),
        ] {
            let names: Vec<_> = Heredoc::all_of(line).into_iter().map(|heredoc| heredoc.name).collect();
            assert_eq!(names, expected, "{line}");
        }
    }

    #[test]
    fn tabs_are_left_out_only_where_asked_for() {
        let mut heredoc = Heredoc::parse("<<-E").unwrap();
        heredoc.content = "\t\ta\n b\tc\n".into();
        assert_eq!(heredoc.text(), "a\n b\tc\n");
        assert!(heredoc.ends_with("\tE") && !heredoc.ends_with(" E"));
        heredoc.chomp = false;
        assert_eq!(heredoc.text(), "\t\ta\n b\tc\n");
        assert!(!heredoc.ends_with("\tE"));
    }
}
