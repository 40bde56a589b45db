//! `COPY` and `ADD`.

use oci::Digest;
use serde::Serialize;

use super::graph::Command;
use super::mode::Mode;
use super::operation::{Input, Operation, Role, VertexId};
use super::remote::{self, Remote};
use super::run::uppercase;
use super::stage::{Builder, Current};
use crate::config;
use crate::error::{Error, PlanProblem};
use crate::expand::Lexer;
use crate::ignore::clean;
use crate::lint::Rule;
use crate::syntax::{Heredoc, Kind, Transfer, Word};

/// Permissions of files that are written in the Dockerfile.
const FILE_MODE: u32 = 0o644;

/// Files that are copied into a root file system.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Copy {
    /// What, in order.
    pub sources: Vec<CopySource>,
    /// Where to: an absolute path; with a slash at its end it is a folder.
    pub destination: String,
    /// `user[:group]` of what is copied; none: the superuser.
    pub owner: Option<String>,
    /// Permissions of what is copied; none: those it has.
    pub mode: Option<Mode>,
    /// Patterns of what is left out.
    pub exclude: Vec<String>,
    /// Whether it is done beside what is below it, so that it holds whatever that is.
    pub is_link: bool,
}

/// One source. Its files come from the input with the source's number ([`Role::Source`]); without one there are none.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct CopySource {
    /// Which files of the input.
    pub selection: Selection,
    /// Whether an archive is unpacked.
    pub unpacks: bool,
}

impl Copy {
    /// With the names of what is selected instead of paths.
    pub(super) fn by_name(&self) -> Self {
        let by_name = |source: &CopySource| match &source.selection {
            Selection::Pattern(path) => {
                let name = path.rsplit('/').next().unwrap_or_default().to_owned();
                CopySource { selection: Selection::Pattern(name), ..*source }
            }
            _ => source.clone(),
        };
        Self { sources: self.sources.iter().map(by_name).collect(), ..self.clone() }
    }
}

/// Which files of an input are copied.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Selection {
    /// Those that match a pattern (`*`, `?`, `[…]` within parts): a file, or what is in a folder. Links on the way are
    /// followed within the input.
    Pattern(String),
    /// Those that match a pattern, with the folders above them from `root` on (`--parents`).
    Parents {
        /// The folder whose parts are left out.
        root: String,
        /// The pattern below it; without a wildcard it has to be there.
        pattern: String,
    },
    /// The one file of the input, by its name.
    File(String),
    /// All of the input.
    All,
}

/// An instruction with its variables replaced.
struct Copying<'a> {
    command: &'a Command,
    transfer: &'a Transfer,
    is_add: bool,
    has_parents: bool,
    owner: Option<String>,
    mode: Option<String>,
    checksum: Option<String>,
    keeps_git_dir: Option<bool>,
    unpacks: Option<bool>,
    sources: Vec<String>,
    destination: String,
}

/// Plans a `COPY` or an `ADD`.
pub(super) fn plan(
    builder: &mut Builder<'_>,
    current: &mut Current<'_>,
    command: &Command,
) -> Result<VertexId, Error> {
    let instruction = &command.instruction;
    let copying = read(builder, current, command)?;
    copying.check_checksum()?;
    let mode = copying.mode()?;
    let (sources, inputs) = copying.all(builder, current)?;
    let operation = Copy {
        sources,
        destination: absolute(&current.state.folder(), &copying.destination),
        owner: copying.owner.clone(),
        mode,
        exclude: copying.transfer.exclude.iter().map(|word| word.text.clone()).collect(),
        is_link: copying.transfer.link,
    };
    let lookup = |name: &str| current.state.variable(name);
    let shown = builder.lexer().expand(&instruction.code, &lookup, builder.budget);
    let shown = shown.map_or_else(|_| instruction.code.clone(), |found| found.text);
    let name = current.name(&uppercase(&shown), command.is_trigger);
    let vertex = builder.change(current, instruction, Operation::Copy(Box::new(operation)), inputs, name);
    builder.commit(current, instruction, copying.history(), false)?;
    Ok(vertex)
}

fn read<'a>(
    builder: &Builder<'_>,
    current: &Current<'_>,
    command: &'a Command,
) -> Result<Copying<'a>, Error> {
    let expand = |word: &Word| {
        Ok::<_, Error>(builder.expand(&current.state, &command.instruction, word, builder.lexer())?.text)
    };
    // A flag whose variables come to nothing is as good as none.
    let filled = |word: &Option<Word>| {
        let text = word.as_ref().map(expand).transpose()?;
        Ok::<_, Error>(text.filter(|text| !text.is_empty()))
    };
    let (transfer, add) = match &command.instruction.kind {
        Kind::Add(add) => (&add.transfer, Some(add)),
        Kind::Copy(copy) => (&copy.transfer, None),
        other => unreachable!("{} copies nothing", other.name()),
    };
    Ok(Copying {
        command,
        transfer,
        is_add: add.is_some(),
        has_parents: matches!(&command.instruction.kind, Kind::Copy(copy) if copy.parents),
        owner: filled(&transfer.chown)?,
        mode: filled(&transfer.chmod)?,
        checksum: add.map(|add| filled(&add.checksum)).transpose()?.flatten(),
        keeps_git_dir: add.and_then(|add| add.keep_git_dir),
        unpacks: add.and_then(|add| add.unpack),
        sources: transfer.sources.iter().map(expand).collect::<Result<_, _>>()?,
        destination: expand(&transfer.destination)?,
    })
}

/// An absolute path that keeps what says that it is a folder.
fn absolute(folder: &str, path: &str) -> String {
    let whole = config::join(folder, path);
    let is_folder = matches!(path, "" | "." | "..")
        || path.ends_with('/')
        || path.ends_with("/.")
        || path.ends_with("/..");
    if is_folder && whole != "/" { format!("{whole}/") } else { whole }
}

impl Copying<'_> {
    /// A checksum is for a single thing that comes from elsewhere.
    fn check_checksum(&self) -> Result<(), Error> {
        if self.checksum.is_none() {
            return Ok(());
        }
        let [source] = self.sources.as_slice() else {
            return Err(Error::new(PlanProblem::ChecksumOfSeveral.into()));
        };
        match remote::parse(source) {
            Ok(None) => Err(Error::new(PlanProblem::ChecksumOfLocal.into())),
            _ => Ok(()),
        }
    }

    fn mode(&self) -> Result<Option<Mode>, Error> {
        let span = self.transfer.chmod.as_ref().map(|word| word.span).unwrap_or_default();
        let mode = self.mode.as_deref().map(Mode::parse).transpose();
        mode.map_err(|problem| Error::new(problem.into()).at(span))
    }

    fn history(&self) -> String {
        let name = if self.is_add { "ADD" } else { "COPY" }.to_owned();
        let words = [
            Some(name),
            self.has_parents.then(|| "--parents".to_owned()),
            self.owner.as_ref().map(|owner| format!("--chown={owner}")),
            self.mode.as_ref().map(|mode| format!("--chmod={mode}")),
        ];
        let files = self.transfer.files.iter().map(|file| format!("<<{}", file.name));
        let words = words.into_iter().flatten().chain(self.sources.iter().cloned()).chain(files);
        let words: Vec<String> = words.chain([self.destination.clone(), "# buildkit".to_owned()]).collect();
        words.join(" ")
    }

    fn all(
        &self,
        builder: &mut Builder<'_>,
        current: &Current<'_>,
    ) -> Result<(Vec<CopySource>, Vec<Input>), Error> {
        let (mut sources, mut inputs) = (Vec::new(), Vec::new());
        for (source, word) in self.sources.iter().zip(&self.transfer.sources) {
            let (source, vertex) =
                self.source(builder, current, source).map_err(|error| error.at(word.span))?;
            inputs.extend(vertex.map(|vertex| Input { role: Role::Source(sources.len()), vertex }));
            sources.push(source);
        }
        for file in &self.transfer.files {
            let vertex = self.file(builder, current, file)?;
            inputs.push(Input { role: Role::Source(sources.len()), vertex });
            sources.push(CopySource { selection: Selection::File(file.name.clone()), unpacks: false });
        }
        Ok((sources, inputs))
    }

    fn source(
        &self,
        builder: &mut Builder<'_>,
        current: &Current<'_>,
        source: &str,
    ) -> Result<(CopySource, Option<VertexId>), Error> {
        let problem = |problem: PlanProblem| Error::new(problem.into());
        match remote::parse(source).map_err(problem)? {
            Some(Remote::Git(_)) if !self.is_add => Err(problem(PlanProblem::CopyGit)),
            Some(Remote::Http(_)) if !self.is_add => Err(problem(PlanProblem::CopyUrl)),
            Some(Remote::Git(git)) => {
                let operation = Operation::Git(self.git(git).map_err(problem)?);
                let vertex =
                    builder.shared(operation, format!("ADD {source}"), Some(self.command.instruction.lines));
                Ok((CopySource { selection: Selection::All, unpacks: false }, Some(vertex)))
            }
            Some(Remote::Http(mut http)) => {
                if let Some(checksum) = &self.checksum {
                    let digest: Result<Digest, _> = checksum.parse();
                    digest.map_err(|error| problem(PlanProblem::Checksum(error.to_string())))?;
                }
                http.checksum = self.checksum.clone();
                let selection = Selection::File(http.name.clone());
                let lines = Some(self.command.instruction.lines);
                let vertex = builder.shared(Operation::Http(http), format!("ADD {source}"), lines);
                Ok((CopySource { selection, unpacks: self.unpacks.unwrap_or(false) }, Some(vertex)))
            }
            None => self.local(builder, current, source),
        }
    }

    fn git(&self, mut git: remote::Git) -> Result<remote::Git, PlanProblem> {
        if let Some(keeps) = self.keeps_git_dir {
            git.keeps_git_dir = keeps;
        }
        match (&git.checksum, &self.checksum) {
            (Some(own), Some(given)) if own != given => {
                return Err(PlanProblem::Checksum(format!("checksum mismatch {given:?} != {own:?}")));
            }
            (None, Some(given)) => git.checksum = Some(given.clone()),
            _ => {}
        }
        Ok(git)
    }

    /// Files of the context, a stage or an image.
    fn local(
        &self,
        builder: &mut Builder<'_>,
        current: &Current<'_>,
        source: &str,
    ) -> Result<(CopySource, Option<VertexId>), Error> {
        let vertex = match self.command.origins.first().and_then(Option::as_ref) {
            None => {
                self.check_ignored(builder, source);
                Some(builder.context())
            }
            Some(origin) => {
                let later = || {
                    let from = match &self.command.instruction.kind {
                        Kind::Copy(copy) => copy.from.clone().unwrap_or_default(),
                        _ => Word::default(),
                    };
                    let stage = current.node.name.clone();
                    Error::new(PlanProblem::CopyFromLater { from: from.text, stage }.into()).at(from.span)
                };
                builder.origin(origin, self.command.instruction.lines, later)?
            }
        };
        let selection =
            if self.has_parents { parents(source) } else { Selection::Pattern(config::join("/", source)) };
        Ok((CopySource { selection, unpacks: self.unpacks.unwrap_or(self.is_add) }, vertex))
    }

    fn check_ignored(&self, builder: &Builder<'_>, source: &str) {
        let Some(ignore) = builder.options.ignore.as_ref().filter(|ignore| !ignore.has_exceptions()) else {
            return;
        };
        let path = clean(source);
        let is_root = matches!(path.as_str(), "." | "/");
        let is_ignored = if is_root { ignore.is_everything() } else { ignore.is_ignored(&path) };
        if is_ignored {
            let name = if self.is_add { "Add" } else { "Copy" };
            let detail = format!("Attempting to {name} file {path:?} that is excluded by .dockerignore");
            builder.warn(Rule::CopyIgnoredFile, &self.command.instruction, detail);
        }
    }

    /// A file that is written below the instruction.
    fn file(
        &self,
        builder: &mut Builder<'_>,
        current: &Current<'_>,
        file: &Heredoc,
    ) -> Result<VertexId, Error> {
        let name = file_name(&file.name)?;
        let mut content = file.text();
        if file.expand {
            let word = Word { text: content, span: self.transfer.destination.span };
            let found = builder.expand(&current.state, &self.command.instruction, &word, Lexer::content())?;
            content = found.text;
        }
        let operation = Operation::File { name, content, mode: FILE_MODE };
        Ok(builder.shared(operation, "preparing inline document".to_owned(), None))
    }
}

/// The name of a heredoc, where that can be the name of a file.
pub(super) fn file_name(name: &str) -> Result<String, Error> {
    let is_name = !matches!(name, "" | "." | "..") && !name.contains(['/', '\0']);
    is_name.then(|| name.to_owned()).ok_or_else(|| Error::new(PlanProblem::FileName(name.to_owned()).into()))
}

/// `/./` is where the folders begin that are kept.
fn parents(source: &str) -> Selection {
    let (root, pattern) = source.split_once("/./").unwrap_or(("/", source));
    let pattern = config::join("/", pattern);
    Selection::Parents { root: config::join("/", root), pattern: pattern.trim_start_matches('/').to_owned() }
}
