//! Aligned columns by the rule of Go's `text/tabwriter`: a column is a run of consecutive lines that have a
//! tab-ended cell at that place, and is as wide as the widest of them.

/// How wide columns are.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Layout {
    /// The smallest width of a column, padding included.
    pub(crate) minimum: usize,
    /// Blanks after the widest cell.
    pub(crate) padding: usize,
}

impl Layout {
    /// What `docker`'s lists use.
    pub(crate) const LIST: Self = Self { minimum: 10, padding: 3 };
}

/// Replaces the tabs of `text` by blanks so that cells align.
pub(crate) fn align(text: &str, layout: Layout) -> String {
    let lines: Vec<Vec<&str>> = text.split('\n').map(|line| line.split('\t').collect()).collect();
    let mut widths: Vec<Vec<usize>> = lines.iter().map(|cells| vec![0; cells.len() - 1]).collect();
    measure(&lines, &mut widths, 0, 0..lines.len(), layout);
    let mut out = String::with_capacity(text.len() * 2);
    for (index, cells) in lines.iter().enumerate() {
        if index > 0 {
            out.push('\n');
        }
        for (column, cell) in cells.iter().enumerate() {
            out.push_str(cell);
            if let Some(width) = widths[index].get(column) {
                out.extend(std::iter::repeat_n(' ', width.saturating_sub(cell.chars().count())));
            }
        }
    }
    out
}

fn measure(
    lines: &[Vec<&str>],
    widths: &mut [Vec<usize>],
    column: usize,
    range: std::ops::Range<usize>,
    layout: Layout,
) {
    let mut index = range.start;
    while index < range.end {
        let run = lines[index..range.end].iter().take_while(|cells| cells.len() > column + 1).count();
        if run == 0 {
            index += 1;
            continue;
        }
        let block = index..index + run;
        let widest =
            lines[block.clone()].iter().map(|cells| cells[column].chars().count()).max().unwrap_or(0);
        // A column without any text takes no room, as in the original.
        let width = if widest == 0 && layout.minimum == 0 {
            0
        } else {
            (widest + layout.padding).max(layout.minimum)
        };
        for line in &mut widths[block.clone()] {
            line[column] = width;
        }
        measure(lines, widths, column + 1, block.clone(), layout);
        index = block.end;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn cells_align_to_the_widest_and_to_the_minimum() {
        let text = "CONTAINER ID\tIMAGE\tNAMES\na0678a6e7667\tbb\tc1\n";
        assert_eq!(
            align(text, Layout::LIST),
            "CONTAINER ID   IMAGE     NAMES\na0678a6e7667   bb        c1\n"
        );
    }

    #[test]
    fn line_without_cell_ends_the_column() {
        let text = "a\tb\nplain\nlonger than ten\tb";
        assert_eq!(align(text, Layout::LIST), "a         b\nplain\nlonger than ten   b");
    }

    #[test]
    fn text_without_tabs_is_unchanged() {
        assert_eq!(align("one\ntwo\n", Layout::LIST), "one\ntwo\n");
    }

    proptest! {
        #[test]
        fn any_text_keeps_its_lines(text in "[a\t\né]{0,40}") {
            let out = align(&text, Layout::LIST);
            prop_assert!(!out.contains('\t'));
            prop_assert_eq!(out.matches('\n').count(), text.matches('\n').count());
        }
    }
}
