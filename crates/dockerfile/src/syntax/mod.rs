//! A Dockerfile as it is written: directives, stages, and instructions with their places.

mod directive;
mod flags;
mod health;
mod heredoc;
mod instruction;
mod line;
mod parse;
mod reader;
#[cfg(test)]
mod tests;
mod words;

pub use directive::Directives;
pub use directive::check_of_comment;
pub use heredoc::Heredoc;
pub use instruction::{
    Add, Argument, Command, Copy, From, HealthCommand, HealthOptions, Instruction, Kind, Network, Pair, Run,
    Security, Transfer,
};
pub use line::Word;
use reader::Reader;

use crate::error::{Error, Problem};
use crate::source::Lines;

/// Stages that a file may have.
const MAX_STAGES: usize = 10_000;

/// A file that is a Dockerfile.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dockerfile {
    /// Its text; bytes that were not UTF-8 are replaced.
    pub source: String,
    /// Its directives.
    pub directives: Directives,
    /// `ARG` before the first `FROM`.
    pub global: Vec<Instruction>,
    /// Its stages, at least one.
    pub stages: Vec<Stage>,
    /// Last lines of instructions that have a blank line in the middle.
    pub empty_continuations: Vec<u32>,
}

/// From one `FROM` to the next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stage {
    /// What it begins with.
    pub from: From,
    /// `FROM` as it is written.
    pub keyword: Word,
    /// Its lines.
    pub lines: Lines,
    /// The logical line of `FROM`.
    pub code: String,
    /// Comments right before it.
    pub comments: Vec<String>,
    /// What it consists of.
    pub instructions: Vec<Instruction>,
}

impl Stage {
    /// Its name in small letters; an empty one where it has none.
    pub fn name(&self) -> String {
        self.from.name.as_ref().map(|name| name.text.to_lowercase()).unwrap_or_default()
    }
}

impl Dockerfile {
    /// Reads a file.
    ///
    /// # Errors
    /// The first thing in it that cannot be understood.
    pub fn parse(source: &[u8]) -> Result<Self, Error> {
        if source.is_empty() {
            return Err(Problem::EmptyFile.into());
        }
        let mut file = Self {
            source: text(source),
            directives: Directives::default(),
            global: Vec::new(),
            stages: Vec::new(),
            empty_continuations: Vec::new(),
        };
        let text = std::mem::take(&mut file.source);
        let mut reader = Reader::new(&text);
        while let Some(logical) = reader.logical()? {
            if logical.has_empty_continuation {
                file.empty_continuations.push(logical.line.lines.last);
            }
            file.add(parse::instruction(logical, &mut reader)?)?;
        }
        file.directives = reader.directives.found;
        file.source = text;
        match (file.stages.is_empty(), file.global.is_empty()) {
            (true, true) => Err(Problem::NoInstructions.into()),
            (true, false) => Err(Problem::NoStages.into()),
            _ => Ok(file),
        }
    }

    fn add(&mut self, instruction: Instruction) -> Result<(), Error> {
        let Instruction { keyword, kind, lines, code, comments } = instruction;
        if let Kind::From(from) = kind {
            if self.stages.len() == MAX_STAGES {
                return Err(Error::new(Problem::TooManyStages).in_lines(lines));
            }
            self.stages.push(Stage { from, keyword, lines, code, comments, instructions: Vec::new() });
            return Ok(());
        }
        let list = match self.stages.last_mut() {
            Some(stage) => &mut stage.instructions,
            None if matches!(kind, Kind::Arg(_)) => &mut self.global,
            None => return Err(Error::new(Problem::NoStage).at(keyword.span).in_lines(lines)),
        };
        list.push(Instruction { keyword, kind, lines, code, comments });
        Ok(())
    }
}

/// The text of a file: bytes that are not UTF-8 are replaced, and a byte order mark is left out.
pub fn text(source: &[u8]) -> String {
    reader::decode(source).into_owned()
}

/// Reads instructions that need no stage.
///
/// # Errors
/// The first one that cannot be understood.
pub fn instructions(text: &str) -> Result<Vec<Instruction>, Error> {
    let mut reader = Reader::new(text);
    let mut found = Vec::new();
    while let Some(logical) = reader.logical()? {
        found.push(parse::instruction(logical, &mut reader)?);
    }
    Ok(found)
}
