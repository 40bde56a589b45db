//! The live view: a picture that is drawn anew several times a second, and a summary at the end.

use api::build::BuildEvent;

use super::View;
use super::canvas::Canvas;
use super::frame;
use super::logs::clean;
use super::report::{excerpt, failed_steps};
use super::trace::Trace;

/// Columns and rows of a terminal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in super::super) struct Size {
    pub(in super::super) columns: usize,
    pub(in super::super) rows: usize,
}

impl Default for Size {
    fn default() -> Self {
        Self { columns: 80, rows: 24 }
    }
}

/// The view.
pub(in super::super) struct Terminal {
    canvas: Canvas,
    size: Size,
    with_colors: bool,
}

impl Terminal {
    /// A view on a terminal of this size.
    pub(in super::super) fn new(size: Size, with_colors: bool) -> Self {
        Self { canvas: Canvas::default(), size, with_colors }
    }
}

impl View for Terminal {
    fn event(&mut self, _: &BuildEvent, _: &Trace, _: i64) -> Vec<u8> {
        // It is seen at the next tick.
        Vec::new()
    }

    fn tick(&mut self, trace: &Trace, now: i64, size: Size) -> Vec<u8> {
        self.size = size;
        if trace.steps.is_empty() {
            return Vec::new();
        }
        self.canvas.paint(&frame::live(trace, now, size), size, self.with_colors).into_bytes()
    }

    fn end(&mut self, trace: &Trace, now: i64) -> Vec<u8> {
        if trace.steps.is_empty() {
            return Vec::new();
        }
        let picture = frame::last(trace, now, self.size);
        let mut out = self.canvas.paint(&picture, self.size, self.with_colors).into_bytes();
        out.extend(failed_steps(trace, usize::MAX, |line| clean(line).into_bytes()));
        out.extend(excerpt(trace).into_bytes());
        out
    }
}

#[cfg(test)]
mod tests {
    use super::super::canvas::screen::Screen;
    use super::super::script::Script;
    use super::*;

    #[test]
    fn only_the_summary_stays() {
        let mut script =
            Script::new().vertices(&["[1/2] FROM x", "[2/2] RUN make"]).started(0).after(100).completed(0);
        script = script.started(1);
        for number in 0..30 {
            script = script.after(100).log(1, &format!("line {number}\r\n"));
        }
        let script = script.failed(1, "exit code: 2").excerpt("Dockerfile:2\n");
        let mut view = Terminal::new(Size::default(), true);
        let mut screen = Screen::new(24);
        screen.write(&String::from_utf8(script.play(&mut view)).unwrap());
        let text = screen.text();
        let (start, end) = text.split_once("3.000 line 29\n").unwrap();
        assert!(start.starts_with("[+] Building 3.1s (2/2) FINISHED\n => [1/2] FROM x  "), "{start}");
        assert!(start.contains("\n => ERROR [2/2] RUN make "), "{start}");
        assert!(start.contains("\n------\n > [2/2] RUN make:\n0.100 line 0\n"), "{start}");
        assert_eq!(start.matches("[+]").count(), 1);
        assert_eq!(end, "------\nDockerfile:2");
    }

    #[test]
    fn nothing_is_drawn_of_a_build_that_has_not_begun() {
        let mut view = Terminal::new(Size::default(), true);
        assert!(Script::new().play(&mut view).is_empty());
    }
}
