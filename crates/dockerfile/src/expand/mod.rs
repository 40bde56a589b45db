//! Words by the rules of a shell without commands: quotes, escapes, and variables in all of their forms.
//!
//! A value that is put in is not looked at again: what it has of quotes and variables stays. Depth, length and time are
//! bounded ([`Budget`]), so that no text of a client can exhaust the stack, the memory or a processor.

mod lexer;
mod pattern;

pub use lexer::{Expansion, Lexer, Quotes};

use std::cell::Cell;

use crate::error::ExpandProblem;

/// What the variables of one build may come to, in bytes.
const TEXT: u64 = 32 << 20;
/// Steps that patterns of one build may take.
const STEPS: u64 = 1 << 24;

/// What the variables of one build may still take. `ENV a=$a$a` doubles a text with each line.
#[derive(Debug)]
pub struct Budget {
    text: Cell<u64>,
    steps: Cell<u64>,
}

impl Default for Budget {
    fn default() -> Self {
        Self::new(TEXT, STEPS)
    }
}

impl Budget {
    fn new(text: u64, steps: u64) -> Self {
        Self { text: Cell::new(text), steps: Cell::new(steps) }
    }

    /// Takes bytes of text.
    ///
    /// # Errors
    /// When there are not as many.
    pub(crate) fn text(&self, bytes: usize) -> Result<(), ExpandProblem> {
        take(&self.text, bytes as u64).ok_or(ExpandProblem::TooLong)
    }

    pub(crate) fn steps(&self, steps: u64) -> Result<(), ExpandProblem> {
        take(&self.steps, steps).ok_or(ExpandProblem::TooCostly)
    }
}

fn take(from: &Cell<u64>, count: u64) -> Option<()> {
    from.set(from.get().checked_sub(count)?);
    Some(())
}
