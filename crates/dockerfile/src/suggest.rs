//! What was probably meant by a word that is unknown.

/// A word with as many edits or more is another word.
const TOO_FAR: usize = 3;
/// Longer words are not compared.
const MAX_LENGTH: usize = 64;

/// Whether upper and lower case are different.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Case {
    Sensitive,
    Ignored,
}

/// The likeliest of `known`, in the case of `word`; nothing when the word itself is among them.
pub(crate) fn nearest<'a>(
    word: &str,
    known: impl IntoIterator<Item = &'a str>,
    case: Case,
) -> Option<String> {
    let fold = |text: &str| if case == Case::Ignored { text.to_lowercase() } else { text.to_owned() };
    let folded = fold(word);
    let mut best: Option<(usize, String)> = None;
    for candidate in known {
        let candidate = fold(candidate);
        if candidate == folded {
            return None;
        }
        let distance = distance(&folded, &candidate);
        if distance < best.as_ref().map_or(TOO_FAR, |(nearest, _)| *nearest) {
            best = Some((distance, candidate));
        }
    }
    best.map(
        |(_, found)| {
            if case == Case::Ignored && word == word.to_uppercase() { found.to_uppercase() } else { found }
        },
    )
}

/// Insertions, deletions and replacements from one word to the other (Levenshtein).
fn distance(from: &str, to: &str) -> usize {
    let (from, to): (Vec<char>, Vec<char>) = (from.chars().collect(), to.chars().collect());
    if from.len().max(to.len()) > MAX_LENGTH || from.len().abs_diff(to.len()) >= TOO_FAR {
        return TOO_FAR;
    }
    let mut row: Vec<usize> = (0..=to.len()).collect();
    for (line, a) in from.iter().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], line + 1);
        for (column, b) in to.iter().enumerate() {
            let replaced = diagonal + usize::from(a != b);
            diagonal = row[column + 1];
            row[column + 1] = replaced.min(diagonal + 1).min(row[column] + 1);
        }
    }
    row[to.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nearest_word_has_fewer_than_three_edits() {
        for (word, expected) in [
            ("RUNN", Some("RUN")),
            ("COPYY", Some("COPY")),
            ("frm", Some("from")),
            ("zzzzz", None),
            ("RUN", None),
            ("", None),
        ] {
            let known = ["ADD1", "COPY", "FROM", "RUN"];
            assert_eq!(nearest(word, known, Case::Ignored).as_deref(), expected, "{word}");
        }
        assert_eq!(nearest("Base", ["base"], Case::Sensitive).as_deref(), Some("base"));
        assert_eq!(nearest(&"x".repeat(9999), ["base"], Case::Sensitive), None);
    }

    #[test]
    fn distance_counts_edits() {
        for (from, to, expected) in
            [("", "ab", 2), ("kitten", "sitten", 1), ("flaw", "lawn", 2), ("a", "a", 0)]
        {
            assert_eq!(distance(from, to), expected, "{from} {to}");
        }
    }
}
