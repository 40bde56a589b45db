//! `COPY` and `ADD`, from what they name to what is in the layer.

use std::ffi::CString;
use std::fs::File;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use dockerfile::ignore::Matcher;
use dockerfile::plan::{Copy, CopySource, Mode, Selection};
use oci::Digest;
use sys::root::Root;

use super::content;
use super::earlier::Earlier;
use super::error::{Error, absolute, read, text};
use super::look::{Look, Matter, Matters, open_folder};
use super::memory::Memory;
use super::picture::{Picture, Stamp, Time, What, put};
use super::record::{Copied, Record};
use super::resolve::Found;
use super::source::{self, Kind, Match};
use super::target::{Make, Place, Target, split};
use super::unpack::{self, Staging};
use super::wildcard::has_wildcards;
use super::write::{Copier, Settings};
use super::{Origin, Previous, Request, Tree, owner};

/// The form of what digests are made of. With another one, nothing that was made before is found.
const VERSION: u32 = 1;
/// Permissions of folders that are made on the way to others.
const FOLDER_MODE: u32 = 0o755;

/// What an instruction copies, as it was looked at.
#[derive(Debug)]
pub struct Selected {
    digest: Digest,
    /// Of each source.
    sources: Vec<Vec<Named>>,
}

/// A file or folder that is named, with all that is in it.
#[derive(Debug)]
struct Named {
    found: Match,
    picture: Picture,
}

impl Selected {
    /// Finds what an instruction names, and what that contains.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::Pattern`], [`Error::Filter`], [`Error::Socket`]; [`Error::Changed`] for what others write
    /// to without pause.
    pub fn look(request: &Request<'_>, memory: &Memory) -> Result<Self, Error> {
        let copy = request.copy;
        let mut sources = Vec::with_capacity(copy.sources.len());
        for (source, tree) in copy.sources.iter().zip(request.sources) {
            sources.push(match tree {
                Some(tree) => look_at(copy, source, tree, memory)?,
                None => nothing(&source.selection)?,
            });
        }
        let mut bytes = VERSION.to_le_bytes().to_vec();
        for named in &sources {
            bytes.extend(b"source");
            named.iter().for_each(|named| named.put(&mut bytes));
        }
        Ok(Self { digest: Digest::of(&bytes), sources })
    }

    /// The digest of all that makes a difference to the result: the same files have the same one, whatever their times.
    pub fn digest(&self) -> &Digest {
        &self.digest
    }

    /// Whether nothing was written to any of it between two looks, not even the same.
    pub fn is_same(&self, other: &Self) -> bool {
        self.digest == other.digest && self.stamps().eq(other.stamps())
    }

    fn stamps(&self) -> impl Iterator<Item = &Stamp> {
        self.sources.iter().flatten().flat_map(|named| named.picture.stamps())
    }

    /// What there is to copy, to be compared with what was copied before.
    pub fn record(&self) -> Record {
        let named = self.sources.iter().flatten();
        Record { matches: named.map(|named| named.copied(None, None)).collect() }
    }

    /// Copies everything into the upper folder of a layer, which is over what `below` shows, and tells what was copied.
    ///
    /// The request is to be the one that was looked at.
    ///
    /// # Errors
    /// [`Error::Changed`] where something is not what it was; it is to be looked at again then, and copied to an empty folder.
    /// [`Error::NotFolder`] and [`Error::IsFolder`] for what is in the way, [`Error::User`], [`Error::Group`] and
    /// [`Error::Range`] for owners, [`Error::Whiteout`], [`Error::Archive`], and what the system says.
    pub fn copy(
        &self,
        request: &Request<'_>,
        below: Option<&Root>,
        upper: &Path,
        previous: Option<&Previous<'_>>,
    ) -> Result<Record, Error> {
        let copy = request.copy;
        let below = below.filter(|_| !copy.is_link);
        let settings = Settings {
            owner: copy.owner.as_deref().map(|owner| owner::look_up(below, owner)).transpose()?,
            mode: copy.mode.as_ref(),
            earlier: previous.and_then(|previous| Earlier::new(previous.tree, previous.record)),
            latest: request.latest.map(|seconds| Time { seconds, nanoseconds: 0 }),
            umask: umask(),
        };
        let copying = Copying { copy, target: Target::new(upper, below)?, upper, settings };
        let mut record = Record::default();
        for ((named, source), tree) in self.sources.iter().zip(&copy.sources).zip(request.sources) {
            for named in named {
                record.matches.push(match tree {
                    Some(tree) => copying.named(named, source, tree)?,
                    None => copying.empty(named)?,
                });
            }
        }
        copying.target.finish()?;
        Ok(record)
    }
}

impl Named {
    fn put(&self, bytes: &mut Vec<u8>) {
        match self.found.kind {
            // Its name makes no difference: what is in it is copied.
            Kind::Folder => bytes.push(b'd'),
            Kind::File => {
                bytes.push(b'f');
                put(bytes, self.found.name.as_bytes());
            }
        }
        self.picture.put(bytes);
    }

    fn copied(&self, place: Option<Vec<u8>>, name: Option<&[u8]>) -> Copied {
        Copied::of(self.found.path.clone(), place, &self.picture, name)
    }
}

/// What is named in an empty tree.
fn nothing(selection: &Selection) -> Result<Vec<Named>, Error> {
    let path = match selection {
        Selection::All => "/",
        Selection::File(name) => name,
        Selection::Pattern(path) => path,
        Selection::Parents { root, pattern } if has_wildcards(pattern) => root,
        Selection::Parents { pattern, .. } => pattern,
    };
    if has_wildcards(path) {
        return Ok(Vec::new());
    }
    if !path.trim_start_matches('/').is_empty() {
        return Err(Error::NotFound { path: absolute(path.as_bytes()) });
    }
    let found = Match { name: "".into(), path: Vec::new(), kind: Kind::Folder, asked: "/".to_owned() };
    Ok(vec![Named { found, picture: Picture::default() }])
}

fn look_at(copy: &Copy, source: &CopySource, tree: &Tree<'_>, memory: &Memory) -> Result<Vec<Named>, Error> {
    let filters = filters(copy, &source.selection)?;
    let matter = |matters: bool| if matters { Matter::Matters } else { Matter::No };
    let matters = Matters {
        owner: matter(copy.owner.is_none() && tree.origin == Origin::Layers),
        permissions: matter(!matches!(copy.mode, Some(Mode::Octal(_)))),
    };
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    let now = i64::try_from(now).unwrap_or(i64::MAX);
    let mut all = Vec::new();
    for found in source::find(tree, &source.selection)? {
        let (folder, name) = match found.kind {
            Kind::Folder => (found.path.as_slice(), None),
            Kind::File => {
                let (folder, name) = split(&found.path);
                (folder, Some(CString::new(name).expect("a path has no zero")))
            }
        };
        let gone = |_| Error::Changed { path: text(&found.path) };
        let opened = open_folder(tree.root.as_fd(), folder).map_err(gone)?;
        let look = Look {
            folder: opened.as_fd(),
            path: folder,
            ignore: tree.ignore,
            filters: &filters,
            memory,
            matters,
            now,
        };
        let picture = match &name {
            Some(name) => Some(look.single(name)?),
            None => look.picture()?,
        };
        let not_found = || Error::NotFound { path: found.asked.clone() };
        let picture = picture.ok_or_else(not_found)?;
        all.push(Named { found, picture });
    }
    check_required(&source.selection, &all)?;
    Ok(all)
}

/// `--parents` without wildcards names something that has to be there.
fn check_required(selection: &Selection, found: &[Named]) -> Result<(), Error> {
    let Selection::Parents { root, pattern } = selection else { return Ok(()) };
    let is_required = !pattern.is_empty() && !has_wildcards(root) && !has_wildcards(pattern);
    let is_found = found.iter().any(|named| {
        named.found.kind == Kind::File
            || named.picture.folders.iter().any(|folder| !folder.entries.is_empty())
    });
    if is_required && !is_found {
        let root = root.trim_end_matches('/');
        return Err(Error::NotFound { path: format!("{root}/{pattern}") });
    }
    Ok(())
}

/// What is left out, by paths from the folder on that is named.
fn filters(copy: &Copy, selection: &Selection) -> Result<Vec<Matcher>, Error> {
    let new =
        |flag, patterns: &[String]| Matcher::new(patterns).map_err(|source| Error::Filter { flag, source });
    let mut filters = Vec::new();
    if let Selection::Parents { pattern, .. } = selection
        && !pattern.is_empty()
    {
        filters.push(new("--parents", &["**".to_owned(), format!("!{pattern}")])?);
    }
    if !copy.exclude.is_empty() {
        filters.push(new("--exclude", &copy.exclude)?);
    }
    Ok(filters)
}

/// An instruction that is being done.
struct Copying<'a> {
    copy: &'a Copy,
    target: Target<'a>,
    upper: &'a Path,
    settings: Settings<'a>,
}

impl Copying<'_> {
    fn named(&self, named: &Named, source: &CopySource, tree: &Tree<'_>) -> Result<Copied, Error> {
        let (folder, _) = match named.found.kind {
            Kind::Folder => (named.found.path.as_slice(), b"".as_slice()),
            Kind::File => split(&named.found.path),
        };
        let changed = |_| Error::Changed { path: text(&named.found.path) };
        let opened = open_folder(tree.root.as_fd(), folder).map_err(changed)?;
        if source.unpacks && self.unpack(named, &opened)? {
            return Ok(named.copied(None, None));
        }
        let (place, name) = self.place(named)?;
        let copier = Copier {
            target: &self.target,
            picture: &named.picture,
            source: opened.as_fd(),
            path: folder,
            origin: tree.origin,
            place,
            name,
            settings: &self.settings,
        };
        copier.copy()?;
        let name = copier.name.as_ref().map(|name| name.as_bytes());
        Ok(named.copied(Some(copier.place.path.clone()), name))
    }

    /// Of an empty tree, there is nothing but the folder that it is copied to.
    fn empty(&self, named: &Named) -> Result<Copied, Error> {
        let (place, _) = self.place(named)?;
        Ok(named.copied(Some(place.path), None))
    }

    fn make(&self) -> Make {
        let permissions = match self.copy.mode {
            Some(Mode::Octal(mode)) => mode & 0o777,
            _ => FOLDER_MODE,
        };
        Make { permissions, owner: self.settings.owner }
    }

    /// The folder that something is copied to, which is made, and what it is called there.
    fn place(&self, named: &Named) -> Result<(Place, Option<CString>), Error> {
        let destination = &self.copy.destination;
        let folder = &destination[..destination.rfind('/').map_or(0, |at| at + 1)];
        let above = self.target.resolve(folder)?;
        self.target.folder(&above.path, self.make())?;
        let mut found = self.target.resolve(destination)?;
        let is_folder = matches!(found.end, Found::Folder(_));
        let name = match named.found.kind {
            Kind::Folder => None,
            Kind::File if is_folder => Some(named.found.name.clone()),
            Kind::File => found.path.pop(),
        };
        let place = self.target.folder(&found.path, self.make())?;
        let name = name.map(|name| CString::new(name.into_vec()).expect("a path has no zero"));
        Ok((place, name))
    }

    /// Unpacks a file that is an archive.
    fn unpack(&self, named: &Named, folder: &OwnedFd) -> Result<bool, Error> {
        let [entry] = named.picture.folders.first().map_or(&[][..], |folder| &folder.entries) else {
            return Ok(false);
        };
        let What::File { stamp, .. } = &entry.what else { return Ok(false) };
        if named.found.kind != Kind::File {
            return Ok(false);
        }
        let path = &named.found.path;
        let file = content::open(folder.as_fd(), &entry.name).map_err(read("open", path))?;
        let is_same = |file: &File| Ok(content::stamp_of(file).map_err(read("read", path))? == *stamp);
        let changed = || Error::Changed { path: text(path) };
        let mut file = File::from(file);
        if !is_same(&file)? {
            return Err(changed());
        }
        if !unpack::is_archive(&mut file, path)? {
            return Ok(false);
        }
        let found = self.target.resolve(&self.copy.destination)?;
        let place = self.target.folder(&found.path, Make { permissions: FOLDER_MODE, ..self.make() })?;
        Staging::beside(self.upper)?.unpack(&mut file, path, &self.target, &place)?;
        if is_same(&file)? { Ok(true) } else { Err(changed()) }
    }
}

/// Permissions that the system takes from what this process makes; all, where it does not tell.
fn umask() -> u32 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("Umask:"));
    line.and_then(|mask| u32::from_str_radix(mask.trim(), 8).ok()).unwrap_or(0o777)
}
