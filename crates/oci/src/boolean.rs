//! Truth values as Go writes them, which Docker's files, flags and options took over.

/// Reads a truth value; `None` for what is none.
pub fn parse(text: &str) -> Option<bool> {
    match text {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Some(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Some(false),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_go_takes_is_a_truth_value() {
        for text in ["1", "t", "T", "true", "TRUE", "True"] {
            assert_eq!(parse(text), Some(true), "{text}");
        }
        for text in ["0", "f", "F", "false", "FALSE", "False"] {
            assert_eq!(parse(text), Some(false), "{text}");
        }
        for text in ["", "tRUE", "yes", "on", "2", " 1", "true "] {
            assert_eq!(parse(text), None, "{text}");
        }
    }
}
