//! How values are shown to people: sizes, ages, shortened texts, aligned columns.

mod columns;
mod units;

pub(crate) use columns::{Layout, align};
pub(crate) use units::{binary_size, decimal_size, significant};

/// The form of an image or container ID that is shown: no algorithm, twelve digits.
pub(crate) fn short_id(id: &str) -> &str {
    let digits = id.split_once(':').map_or(id, |(_, digits)| digits);
    digits.get(..12).unwrap_or(digits)
}

/// Cuts `text` to `width` characters, the last being an ellipsis if anything was cut.
pub(crate) fn ellipsis(text: &str, width: usize) -> String {
    if text.chars().count() <= width {
        return text.to_owned();
    }
    let mut cut: String = text.chars().take(width.saturating_sub(1)).collect();
    if width > 0 {
        cut.push('…');
    }
    cut
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_id_drops_algorithm_and_tail() {
        assert_eq!(short_id("sha256:b0f14a5ce55c20b4900046c5"), "b0f14a5ce55c");
        assert_eq!(short_id("abc"), "abc");
    }

    #[test]
    fn ellipsis_counts_characters() {
        assert_eq!(ellipsis("sh -c 'echo hi; exit 3'", 20), "sh -c 'echo hi; exi…");
        assert_eq!(ellipsis("äöü", 3), "äöü");
        assert_eq!(ellipsis("äöüx", 3), "äö…");
    }
}
