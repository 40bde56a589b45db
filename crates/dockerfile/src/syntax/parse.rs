//! From logical lines to instructions.

use super::flags::{Checked, Flags, Takes};
use super::health;
use super::heredoc::Heredoc;
use super::instruction::{
    Add, Command, Copy, From, Instruction, Kind, NAMES, Network, Run, Security, Transfer,
};
use super::line::{Line, Part, Word};
use super::reader::{Logical, Reader};
use super::words;
use crate::error::{Error, MountProblem, Problem};
use crate::mount;
use crate::suggest::{Case, nearest};

const TRANSFER: [(&str, Takes); 4] =
    [("chown", Takes::Text), ("chmod", Takes::Text), ("link", Takes::Boolean), ("exclude", Takes::Texts)];

/// One instruction: its name, its flags, what follows them, and its heredocs.
struct Statement<'a> {
    name: &'static str,
    flags: Flags,
    rest: Part<'a>,
    files: Vec<Heredoc>,
    escape: char,
}

/// Reads an instruction; its heredocs follow in `reader`.
pub(crate) fn instruction(logical: Logical, reader: &mut Reader<'_>) -> Result<Instruction, Error> {
    let mut lines = logical.line.lines;
    let located = |error: Error| Error { in_syntax: true, ..error }.in_lines(logical.line.lines);
    let whole = logical.line.whole().trim();
    let (keyword, rest) = whole.split_blank();
    let rest = rest.unwrap_or(whole.sub(whole.text().len(), whole.text().len()));
    let name = known(keyword).map_err(located)?;
    let mut files = heredocs(&logical.line, name, rest, reader.escape()).map_err(located)?;
    reader.heredocs(&mut files, &mut lines)?;
    let (flags, rest) = Flags::split(rest, reader.escape());
    let statement = Statement { name, flags, rest, files, escape: reader.escape() };
    let kind = statement.kind(whole.text()).map_err(located)?;
    Ok(Instruction {
        keyword: keyword.word(),
        kind,
        lines,
        code: whole.text().to_owned(),
        comments: logical.comments,
    })
}

/// The instruction of this name, in capitals.
fn known(keyword: Part<'_>) -> Result<&'static str, Error> {
    let text = keyword.text();
    let found = NAMES.into_iter().find(|name| name.eq_ignore_ascii_case(text));
    found.ok_or_else(|| {
        let hint = nearest(text, NAMES, Case::Ignored);
        Error::new(Problem::UnknownInstruction(text.to_owned())).at(keyword.span()).hint(hint)
    })
}

/// The heredocs that an instruction begins, without their contents. A list in JSON begins none.
fn heredocs(line: &Line, name: &str, rest: Part<'_>, escape: char) -> Result<Vec<Heredoc>, Error> {
    if name == "ONBUILD" {
        let (inner, rest) = rest.trim().split_blank();
        let name = inner.text().to_ascii_uppercase();
        return match rest {
            Some(rest) if name != "ONBUILD" => heredocs(line, &name, rest, escape),
            _ => Ok(Vec::new()),
        };
    }
    if !matches!(name, "RUN" | "COPY" | "ADD") {
        return Ok(Vec::new());
    }
    let (_, words) = Flags::split(rest, escape);
    let is_list = words::json_list(words)?.is_some();
    Ok(if is_list { Vec::new() } else { Heredoc::all_of(&line.text) })
}

impl Statement<'_> {
    fn kind(mut self, code: &str) -> Result<Kind, Error> {
        Ok(match self.name {
            "ADD" => Kind::Add(Box::new(self.add()?)),
            "COPY" => Kind::Copy(Box::new(self.copy()?)),
            "RUN" => Kind::Run(Box::new(self.run()?)),
            "FROM" => Kind::From(self.from()?),
            "HEALTHCHECK" => health::parse(self.flags, self.rest)?,
            _ => {
                std::mem::take(&mut self.flags).check(&[])?;
                self.flagless(code)?
            }
        })
    }

    /// Those that have no flags.
    fn flagless(self, code: &str) -> Result<Kind, Error> {
        let (name, rest, escape) = (self.name, self.rest, self.escape);
        Ok(match name {
            "ARG" => Kind::Arg(words::arguments(rest, escape)?),
            "CMD" => Kind::Cmd(command(rest)?),
            "ENTRYPOINT" => Kind::Entrypoint(command(rest)?),
            "ENV" => Kind::Env(words::pairs(name, rest, escape)?),
            "EXPOSE" => Kind::Expose(self.ports()?),
            "LABEL" => Kind::Label(words::pairs(name, rest, escape)?),
            "MAINTAINER" => Kind::Maintainer(self.one()?.text),
            "ONBUILD" => Kind::OnBuild(self.trigger(code)?),
            "SHELL" => Kind::Shell(self.shell()?),
            "STOPSIGNAL" => Kind::StopSignal(self.one()?),
            "USER" => Kind::User(self.one()?),
            "VOLUME" => Kind::Volume(self.volumes()?),
            _ => Kind::Workdir(self.one()?),
        })
    }

    /// All that follows, blanks included, is one argument.
    fn one(&self) -> Result<Word, Error> {
        if self.rest.is_empty() {
            Err(Problem::NotOneArgument(self.name).into())
        } else {
            Ok(self.rest.word())
        }
    }

    fn at_least_one(&self, words: Vec<Word>) -> Result<Vec<Word>, Error> {
        if words.is_empty() { Err(Problem::NoArgument(self.name).into()) } else { Ok(words) }
    }

    fn ports(&self) -> Result<Vec<Word>, Error> {
        let mut ports = self.at_least_one(self.rest.words())?;
        ports.sort_by(|a, b| a.text.cmp(&b.text));
        Ok(ports)
    }

    fn volumes(&self) -> Result<Vec<Word>, Error> {
        let mut paths = self.at_least_one(words::list(self.rest)?)?;
        for path in &mut paths {
            path.text = path.text.trim().to_owned();
            if path.text.is_empty() {
                return Err(Error::new(Problem::EmptyVolume).at(path.span));
            }
        }
        Ok(paths)
    }

    fn shell(&self) -> Result<Vec<String>, Error> {
        match words::json_list(self.rest)? {
            Some(words) if !words.is_empty() => Ok(words),
            None if !self.rest.is_empty() => {
                Err(Error::new(Problem::NotJson(self.name)).at(self.rest.span()))
            }
            _ => Err(Problem::NoArgument(self.name).into()),
        }
    }

    /// The trigger as it is written. Whether it is an instruction is seen when it is one.
    fn trigger(&self, code: &str) -> Result<String, Error> {
        let (name, rest) = self.rest.split_blank();
        match name.text().to_ascii_uppercase().as_str() {
            "" => return Err(Problem::NoArgument(self.name).into()),
            "ONBUILD" => return Err(Error::new(Problem::ChainedTrigger).at(name.span())),
            other @ ("MAINTAINER" | "FROM") => {
                return Err(Error::new(Problem::Trigger(other.to_owned())).at(name.span()));
            }
            other @ ("ENV" | "LABEL") => {
                let name = if other == "ENV" { "ENV" } else { "LABEL" };
                rest.map(|rest| words::pairs(name, rest, self.escape)).transpose()?;
            }
            _ => {}
        }
        let mut text = code[self.name.len()..].trim_start().to_owned();
        for file in &self.files {
            text = format!("{text}\n{}{}", file.content, file.name);
        }
        Ok(text)
    }

    fn from(self) -> Result<From, Error> {
        let words = self.rest.words();
        let (base, keyword, name) = match words.as_slice() {
            [base] => (base, None, None),
            [base, keyword, name] if keyword.text.eq_ignore_ascii_case("as") => {
                if !is_stage_name(&name.text.to_lowercase()) {
                    return Err(Error::new(Problem::StageName(name.text.clone())).at(name.span));
                }
                (base, Some(keyword.clone()), Some(name.clone()))
            }
            _ => return Err(Problem::FromArguments.into()),
        };
        let flags = self.flags.check(&[("platform", Takes::Text)])?;
        Ok(From { base: base.clone(), keyword, name, platform: flags.filled("platform") })
    }

    /// Sources and destination.
    fn transfer(&self, flags: &Checked, mut words: Vec<Word>) -> Result<Transfer, Error> {
        let destination = words.pop().unwrap_or_default();
        if Heredoc::parse(&destination.text).is_some() {
            return Err(Error::new(Problem::HeredocDestination(self.name)).at(destination.span));
        }
        let (mut sources, mut files) = (Vec::new(), Vec::new());
        for word in words {
            match Heredoc::parse(&word.text) {
                Some(heredoc) => files.push(self.with_content(heredoc)),
                None => sources.push(word),
            }
        }
        Ok(Transfer {
            sources,
            files,
            destination,
            chown: flags.filled("chown"),
            chmod: flags.filled("chmod"),
            link: flags.boolean("link").unwrap_or_default(),
            exclude: flags.texts("exclude"),
        })
    }

    /// Of two with the same name, the last one counts.
    fn with_content(&self, heredoc: Heredoc) -> Heredoc {
        let read = self.files.iter().rev().find(|read| read.name == heredoc.name);
        let content = read.map(|read| read.content.clone()).unwrap_or_default();
        Heredoc { content, ..heredoc }
    }

    fn two_words(&self) -> Result<Vec<Word>, Error> {
        let words = words::list(self.rest)?;
        if words.len() < 2 { Err(Problem::NoDestination(self.name).into()) } else { Ok(words) }
    }

    fn copy(mut self) -> Result<Copy, Error> {
        let words = self.two_words()?;
        let known = [&TRANSFER[..], &[("from", Takes::Text), ("parents", Takes::Boolean)]].concat();
        let flags = std::mem::take(&mut self.flags).check(&known)?;
        let transfer = self.transfer(&flags, words)?;
        let parents = flags.boolean("parents").unwrap_or_default();
        Ok(Copy { transfer, from: flags.filled("from"), parents })
    }

    fn add(mut self) -> Result<Add, Error> {
        let words = self.two_words()?;
        let own = [("checksum", Takes::Text), ("keep-git-dir", Takes::Boolean), ("unpack", Takes::Boolean)];
        let flags = std::mem::take(&mut self.flags).check(&[&TRANSFER[..], &own].concat())?;
        Ok(Add {
            transfer: self.transfer(&flags, words)?,
            checksum: flags.filled("checksum"),
            keep_git_dir: flags.boolean("keep-git-dir"),
            unpack: flags.boolean("unpack"),
        })
    }

    fn run(mut self) -> Result<Run, Error> {
        let known = [
            ("mount", Takes::Texts),
            ("network", Takes::Text),
            ("security", Takes::Text),
            ("device", Takes::Texts),
        ];
        let flags = std::mem::take(&mut self.flags).check(&known)?;
        if let Some(device) = flags.texts("device").pop() {
            return Err(Error::new(Problem::Unsupported("RUN --device")).at(device.span));
        }
        let command = command(self.rest)?;
        let mounts = flags.texts("mount");
        for word in &mounts {
            let problem = |problem: MountProblem| Error::from(Problem::from(problem)).at(word.span);
            mount::check_unexpanded(&word.text).map_err(problem)?;
        }
        let (network, security) = (network(&flags)?, security(&flags)?);
        Ok(Run { command, files: self.files, mounts, network, security })
    }
}

fn command(rest: Part<'_>) -> Result<Command, Error> {
    let list = words::json_list(rest)?;
    Ok(list.map_or_else(|| Command::Shell(rest.text().to_owned()), Command::Exec))
}

fn network(flags: &Checked) -> Result<Network, Error> {
    let Some(word) = flags.text("network") else { return Ok(Network::Default) };
    Ok(match word.text.as_str() {
        "default" => Network::Default,
        "none" => Network::None,
        "host" => Network::Host,
        _ => return Err(Error::new(Problem::Network(word.text)).at(word.span)),
    })
}

fn security(flags: &Checked) -> Result<Security, Error> {
    let Some(word) = flags.text("security") else { return Ok(Security::Sandbox) };
    Ok(match word.text.as_str() {
        "sandbox" => Security::Sandbox,
        "insecure" => Security::Insecure,
        _ => return Err(Error::new(Problem::Security(word.text)).at(word.span)),
    })
}

/// A letter, then letters, digits and `-_.`, all of them small.
fn is_stage_name(name: &str) -> bool {
    let is_part = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-_.".contains(&byte);
    name.starts_with(|char: char| char.is_ascii_lowercase()) && name.bytes().all(is_part)
}
