//! A picture of lines at the end of a terminal, drawn over the one before.

use super::terminal::Size;

/// A line of a picture: text without control characters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Row {
    pub(super) text: String,
    pub(super) style: Style,
}

/// How a line looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Style {
    Normal,
    Done,
    Failed,
    Canceled,
    Faint,
}

impl Style {
    fn code(self) -> &'static str {
        match self {
            Self::Normal => "",
            Self::Done => "\x1b[34m",
            Self::Failed => "\x1b[31m",
            Self::Canceled => "\x1b[33m",
            Self::Faint => "\x1b[2m",
        }
    }
}

/// Where the last picture is.
#[derive(Debug, Default)]
pub(super) struct Canvas {
    /// The width of each of its lines.
    widths: Vec<usize>,
    columns: usize,
}

const HIDE_CURSOR: &str = "\x1b[?25l\x1b[?7l";
const SHOW_CURSOR: &str = "\x1b[?7h\x1b[?25h";
const CLEAR_LINE: &str = "\x1b[K";
const CLEAR_BELOW: &str = "\x1b[J";

impl Canvas {
    /// What draws a picture over the last one. The cursor is below it before and after.
    pub(super) fn paint(&mut self, rows: &[Row], size: Size, with_colors: bool) -> String {
        let mut out = String::from(HIDE_CURSOR);
        match self.height(size) {
            0 => out.push('\r'),
            up => out.push_str(&format!("\x1b[{up}A\r")),
        }
        if self.columns != size.columns {
            // Lines may have been broken or put together.
            out.push_str(CLEAR_BELOW);
        }
        for row in rows {
            let code = if with_colors { row.style.code() } else { "" };
            let reset = if code.is_empty() { "" } else { "\x1b[0m" };
            out.push_str(&format!("{code}{}{reset}{CLEAR_LINE}\n", row.text));
        }
        out.push_str(CLEAR_BELOW);
        out.push_str(SHOW_CURSOR);
        self.widths = rows.iter().map(|row| width(&row.text)).collect();
        self.columns = size.columns;
        out
    }

    /// The lines that the last picture takes on a terminal that has this size now. What has left the screen at its top
    /// cannot be drawn over.
    fn height(&self, size: Size) -> usize {
        let columns = size.columns.max(1);
        let lines: usize = self.widths.iter().map(|width| width.div_ceil(columns).max(1)).sum();
        lines.min(size.rows.saturating_sub(1))
    }
}

/// The columns that a text takes.
pub(super) fn width(text: &str) -> usize {
    text.chars().map(char_width).sum()
}

/// The start of a text that takes no more than so many columns; what is cut is marked by an ellipsis.
pub(super) fn cut(text: &str, columns: usize) -> String {
    if width(text) <= columns {
        return text.to_owned();
    }
    let mut out = String::new();
    let mut taken = 1;
    for c in text.chars() {
        taken += char_width(c);
        if taken > columns {
            break;
        }
        out.push(c);
    }
    if columns > 0 {
        out.push('…');
    }
    out
}

/// The columns of a character, by the ranges of Unicode's East Asian Width and of marks that combine. That a terminal may
/// have another opinion of some costs nothing: lines are not wrapped while they are drawn.
fn char_width(c: char) -> usize {
    match c as u32 {
        0x300..=0x36f | 0x200b..=0x200f | 0x20d0..=0x20ff | 0xfe00..=0xfe0f | 0xfe20..=0xfe2f => 0,
        0x1100..=0x115f
        | 0x2e80..=0x303e
        | 0x3041..=0xa4cf
        | 0xac00..=0xd7a3
        | 0xf900..=0xfaff
        | 0xfe30..=0xfe6f
        | 0xff00..=0xff60
        | 0xffe0..=0xffe6
        | 0x1f300..=0x1f64f
        | 0x1f680..=0x1f6ff
        | 0x1f900..=0x1f9ff
        | 0x20000..=0x3fffd => 2,
        _ => 1,
    }
}

#[cfg(test)]
pub(super) mod screen {
    //! As much of a terminal as the pictures use.

    /// Lines of characters, and where the cursor is. Lines above the screen stay, but the cursor cannot go there.
    pub(in super::super) struct Screen {
        pub(in super::super) lines: Vec<String>,
        row: usize,
        column: usize,
        rows: usize,
    }

    impl Screen {
        pub(in super::super) fn new(rows: usize) -> Self {
            Self { lines: vec![String::new()], row: 0, column: 0, rows }
        }

        pub(in super::super) fn write(&mut self, text: &str) {
            let mut chars = text.chars();
            while let Some(c) = chars.next() {
                match c {
                    '\r' => self.column = 0,
                    '\n' => {
                        self.row += 1;
                        self.column = 0;
                        if self.row == self.lines.len() {
                            self.lines.push(String::new());
                        }
                    }
                    '\x1b' => {
                        assert_eq!(chars.next(), Some('['));
                        let rest: String = chars.by_ref().take_while(|c| !c.is_ascii_alphabetic()).collect();
                        // The letter was taken too; it follows from the text before.
                        let letter = text[..text.len() - chars.as_str().len()].chars().last().unwrap();
                        self.control(&rest, letter);
                    }
                    c => self.put(c),
                }
            }
        }

        fn control(&mut self, parameters: &str, letter: char) {
            match letter {
                'A' => {
                    let top = self.lines.len().saturating_sub(self.rows);
                    let up: usize = parameters.parse().unwrap();
                    self.row = self.row.saturating_sub(up).max(top);
                }
                'K' => self.lines[self.row] = self.lines[self.row].chars().take(self.column).collect(),
                'J' => {
                    self.control("", 'K');
                    let end = self.row + 1;
                    self.lines[end..].iter_mut().for_each(String::clear);
                }
                'm' | 'h' | 'l' => {}
                other => panic!("{other}"),
            }
        }

        fn put(&mut self, c: char) {
            let mut line: Vec<char> = self.lines[self.row].chars().collect();
            line.resize(line.len().max(self.column + 1), ' ');
            line[self.column] = c;
            self.column += 1;
            self.lines[self.row] = line.into_iter().collect();
        }

        /// What is seen, without blanks at the ends of lines and empty lines at the end.
        pub(in super::super) fn text(&self) -> String {
            let lines: Vec<&str> = self.lines.iter().map(|line| line.trim_end()).collect();
            lines.join("\n").trim_end().to_owned()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::screen::Screen;
    use super::*;

    const SIZE: Size = Size { columns: 20, rows: 5 };

    fn rows(texts: &[&str]) -> Vec<Row> {
        texts.iter().map(|text| Row { text: (*text).to_owned(), style: Style::Done }).collect()
    }

    #[test]
    fn pictures_replace_each_other() {
        let (mut canvas, mut screen) = (Canvas::default(), Screen::new(5));
        for picture in [&["one", "two", "three"][..], &["longer line", "x"], &["a", "b", "c"]] {
            screen.write(&canvas.paint(&rows(picture), SIZE, true));
            assert_eq!(screen.text(), picture.join("\n"));
        }
    }

    #[test]
    fn picture_that_is_too_high_scrolls_and_is_drawn_over_as_far_as_it_is_seen() {
        let (mut canvas, mut screen) = (Canvas::default(), Screen::new(5));
        screen.write(&canvas.paint(&rows(&["1", "2", "3", "4", "5", "6"]), SIZE, false));
        screen.write(&canvas.paint(&rows(&["a", "b"]), SIZE, false));
        assert_eq!(screen.text(), "1\n2\na\nb");
    }

    #[test]
    fn narrower_terminal_has_broken_the_lines() {
        let mut canvas = Canvas::default();
        canvas.paint(&rows(&["fifteen columns", "x"]), SIZE, false);
        let again = canvas.paint(&rows(&["x"]), Size { columns: 7, rows: 24 }, false);
        assert!(again.contains("\x1b[4A\r\x1b[J"), "{again:?}");
    }

    #[test]
    fn texts_are_cut_by_their_columns() {
        assert_eq!((width("héllo"), width("日本"), width("e\u{301}")), (5, 4, 1));
        assert_eq!(cut("hello", 5), "hello");
        assert_eq!(cut("hello!", 5), "hell…");
        assert_eq!(cut("日本語", 4), "日…");
        assert_eq!(cut("x", 0), "");
    }
}
