//! What a build is asked for, in both ways.

use std::collections::BTreeMap;
use std::io::{BufRead as _, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use api::build::{BuildOptions, BuildRequest, CacheOption, ContextSource, LocalFolder};
use base64::Engine as _;
use build::{
    CacheFolder, CacheOptions, CacheSource, Context, Entry, NamedSource, NoCache, Request, Secret, WorkFolder,
};
use dockerfile::ignore::Matcher;
use dockerfile::lint::Report;
use dockerfile::plan::Options;
use oci::{Platform, Reference};

use super::super::Api;
use crate::error::Error;
use crate::http::{Call, Reader, read_with};

/// The most that the line of a request may have: secrets and Dockerfiles are in it.
const MAX_REQUEST: u64 = 32 << 20;
/// The most that a Dockerfile or a file with ignored patterns may have.
const MAX_FILE: u64 = 16 << 20;

/// A build, and how its client wants to be told of it.
pub(super) struct Asked {
    pub(super) request: Request,
    pub(super) style: Style,
    /// By which it can be cancelled.
    pub(super) id: String,
    /// The result of a check, where only that is wanted.
    pub(super) report: Option<Report>,
}

/// How a client is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Style {
    Classic { quiet: bool },
    Own,
}

impl Api {
    /// Docker's way: parameters, and a tar as the body.
    pub(super) async fn read_classic(&self, call: Call) -> Result<Asked, Error> {
        let prepared = self.prepare_classic(&call).await;
        let mut reader = call.into_body().into_reader();
        let read = move || {
            read_with(&mut reader, |reader| {
                let Classic { options, tags, platform, fetched, folder } = prepared?;
                let (context, text) = match fetched {
                    Some(fetched) => fetched,
                    None => (unpacked(reader, folder)?, None),
                };
                let (name, dockerfile) = match text {
                    Some(text) => ("Dockerfile".to_owned(), text),
                    None => dockerfile(&context, &options.dockerfile)?,
                };
                let ignore = ignore(&context, &name)?;
                Ok::<_, Error>((options, tags, platform, name, dockerfile, context.without(ignore)))
            })
        };
        let (options, tags, platform, name, dockerfile, context) =
            tokio::task::spawn_blocking(read).await??;
        let request = Request {
            name,
            dockerfile,
            context: Some(Arc::new(context)),
            target: options.target,
            // One without a value is that of the client's environment, which has none.
            build_args: options
                .build_args
                .into_iter()
                .filter_map(|(name, value)| Some((name, value?)))
                .collect(),
            labels: options.labels,
            // As in dockerd, images that are not here are passed over.
            cache_from: options.cache_from.into_iter().map(CacheSource::Image).collect(),
            tags,
            platform,
            no_cache: if options.no_cache { NoCache::All } else { NoCache::Nothing },
            pull: options.pull,
            network: options.network,
            extra_hosts: options.extra_hosts,
            limits: options.limits,
            ..Request::default()
        };
        let style = Style::Classic { quiet: options.quiet };
        Ok(Asked { request, style, id: options.build_id, report: None })
    }

    /// Reads the parameters, and fetches a context that is elsewhere.
    async fn prepare_classic(&self, call: &Call) -> Result<Classic, Error> {
        let options = BuildOptions::from_query(&call.query())?;
        check(&options)?;
        let tags = options.tags.iter().map(|tag| reference(tag)).collect::<Result<_, _>>()?;
        let platform = platform(&options.platform)?;
        let fetched = match options.remote.as_str() {
            "" => None,
            remote => Some(self.builder.fetch_context(remote, self.registries.client(), None).await?),
        };
        let folder = self.builder.work_folder()?;
        Ok(Classic { options, tags, platform, fetched, folder })
    }

    /// Corten's way: a line that says everything, and then, maybe, a tar.
    pub(super) async fn read_own(&self, call: Call) -> Result<Asked, Error> {
        let mut reader = call.into_body().into_reader();
        let read = move || Ok::<_, Error>((read_with(&mut reader, asked)?, reader));
        let (asked, mut reader) = tokio::task::spawn_blocking(read).await??;
        let fetched = self.fetch_remotes(&asked).await;
        let folder = self.builder.work_folder();
        let read = move || read_with(&mut reader, |reader| asked_of(asked, reader, folder?, fetched?));
        tokio::task::spawn_blocking(read).await?
    }

    /// Fetches contexts that are elsewhere; the build's own has no name.
    async fn fetch_remotes(&self, asked: &BuildRequest) -> Result<Fetched, Error> {
        let own = [(String::new(), &asked.context)];
        let named = asked.contexts.iter().map(|(name, source)| (name.clone(), source));
        let mut fetched = Fetched::new();
        for (name, source) in own.into_iter().chain(named) {
            if let ContextSource::Remote(remote) = source {
                let agent = asked.ssh.get("default").map(PathBuf::from);
                let found = self.builder.fetch_context(remote, self.registries.client(), agent).await?;
                fetched.insert(name, found);
            }
        }
        Ok(fetched)
    }
}

/// What is known of a classic build before its body is read.
struct Classic {
    options: BuildOptions,
    tags: Vec<Reference>,
    platform: Option<Platform>,
    fetched: Option<(Context, Option<Vec<u8>>)>,
    folder: WorkFolder,
}

/// The line that says everything.
fn asked(reader: &mut Reader) -> Result<BuildRequest, Error> {
    let mut line = Vec::new();
    let cut = |error: std::io::Error| Error::BadRequest(format!("read the request body: {error}"));
    reader.by_ref().take(MAX_REQUEST).read_until(b'\n', &mut line).map_err(cut)?;
    Ok(api::json::from_slice(&line)?)
}

/// Contexts that were fetched, and Dockerfiles that were found instead of files.
type Fetched = BTreeMap<String, (Context, Option<Vec<u8>>)>;

fn asked_of(
    asked: BuildRequest,
    body: &mut dyn Read,
    folder: WorkFolder,
    mut fetched: Fetched,
) -> Result<Asked, Error> {
    let given = asked.ignore.as_deref().map(|text| matcher(text.as_bytes())).transpose()?;
    let mut found = None;
    let context = match &asked.context {
        ContextSource::Empty => None,
        ContextSource::Remote(_) => {
            let (context, text) = fetched.remove("").ok_or(build::Error::NoContext)?;
            found = text;
            let ignore =
                given.clone().map_or_else(|| ignore(&context, &asked.name), |given| Ok(Some(given)))?;
            Some(context.without(ignore))
        }
        ContextSource::Archive => {
            let context = unpacked(body, folder)?;
            let ignore =
                given.clone().map_or_else(|| ignore(&context, &asked.name), |given| Ok(Some(given)))?;
            Some(context.without(ignore))
        }
        ContextSource::Folder(folder) => Some(context_folder(folder)?.without(given.clone())),
        ContextSource::Image(_) | ContextSource::Layout { .. } => {
            return Err(Error::BadRequest("the context must be files and not an image".to_owned()));
        }
    };
    let (name, dockerfile) = match (asked.dockerfile.clone().map(String::into_bytes).or(found), &context) {
        (Some(text), _) => (asked.name.clone(), text),
        (None, Some(context)) => dockerfile(context, &asked.name)?,
        (None, None) => return Err(Error::Build(build::Error::NoContext)),
    };
    let report = asked.check.then(|| report(&asked, &name, &dockerfile, given)).transpose()?;
    let request = request(asked, name, dockerfile, context, fetched)?;
    Ok(Asked { request, style: Style::Own, id: String::new(), report })
}

fn request(
    asked: BuildRequest,
    name: String,
    dockerfile: Vec<u8>,
    context: Option<Context>,
    mut fetched: Fetched,
) -> Result<Request, Error> {
    let secret = |(name, secret): (String, api::build::Secret)| {
        let value = base64::engine::general_purpose::STANDARD.decode(&secret.data);
        value
            .map(|value| (name.clone(), Secret(value)))
            .map_err(|_| Error::BadRequest(format!("secret {name} is not base64")))
    };
    let named = |(name, source): (String, ContextSource)| {
        let source = match source {
            ContextSource::Remote(_) => {
                let (context, _) = fetched.remove(&name).ok_or(build::Error::NoContext)?;
                NamedSource::Files(Arc::new(context))
            }
            ContextSource::Image(image) => {
                let name = image.strip_prefix("docker-image://").unwrap_or(&image);
                NamedSource::Image(name.to_owned())
            }
            ContextSource::Layout { folder, entry } => {
                NamedSource::Layout { folder: cache_folder(&folder)?, entry: entry_of(entry)? }
            }
            ContextSource::Folder(folder) => NamedSource::Files(Arc::new(context_folder(&folder)?)),
            ContextSource::Empty | ContextSource::Archive => {
                return Err(Error::BadRequest(format!(
                    "context {name} must be a folder, an image or a remote"
                )));
            }
        };
        Ok::<_, Error>((name, source))
    };
    let platform = platform(&asked.platform)?;
    let of_image = platform.clone().unwrap_or_else(Platform::host);
    let annotations = build::annotations(&asked.annotations, &of_image)?;
    let (from, to) = (asked.cache_from.into_iter(), asked.cache_to.into_iter());
    Ok(Request {
        name,
        dockerfile,
        context: context.map(Arc::new),
        contexts: asked.contexts.into_iter().map(named).collect::<Result<BTreeMap<_, _>, _>>()?,
        tags: asked.tags.iter().map(|tag| reference(tag)).collect::<Result<_, _>>()?,
        platform,
        no_cache: match (asked.no_cache, asked.no_cache_filter) {
            (true, _) => NoCache::All,
            (false, stages) if stages.is_empty() => NoCache::Nothing,
            (false, stages) => NoCache::Stages(stages),
        },
        secrets: asked.secrets.into_iter().map(secret).collect::<Result<_, _>>()?,
        ssh: asked.ssh.into_iter().map(|(name, socket)| (name, PathBuf::from(socket))).collect(),
        target: asked.target,
        build_args: asked.build_args,
        labels: asked.labels,
        annotations,
        cache_from: from.map(|option| Ok(cache(option)?.source()?)).collect::<Result<_, Error>>()?,
        cache_to: to.map(|option| Ok(cache(option)?.target()?)).collect::<Result<_, Error>>()?,
        pull: asked.pull,
        network: asked.network,
        extra_hosts: asked.extra_hosts,
        limits: asked.limits,
        explain: asked.explain,
    })
}

/// A place of results, with its folder.
fn cache(option: CacheOption) -> Result<CacheOptions, Error> {
    let folder = option.folder.as_ref().map(cache_folder).transpose()?;
    Ok(CacheOptions { kind: option.kind, attributes: option.attributes, folder })
}

/// What checks find.
fn report(
    asked: &BuildRequest,
    name: &str,
    dockerfile: &[u8],
    ignore: Option<Matcher>,
) -> Result<Report, Error> {
    let options = Options {
        target: asked.target.clone(),
        build_args: asked.build_args.clone(),
        build_platform: Platform::host(),
        target_platform: platform(&asked.platform)?,
        ignore,
        ..Options::default()
    };
    Ok(dockerfile::plan::check(name, dockerfile, &options))
}

/// Refuses what this builder does not do, by name.
fn check(options: &BuildOptions) -> Result<(), Error> {
    let unsupported = |what: &str| Err(Error::Build(build::Error::Unsupported(what.to_owned())));
    match options.version.as_str() {
        "" | "1" => {}
        "2" => return unsupported("building with BuildKit's protocol"),
        other => return Err(Error::BadRequest(format!("invalid version {other}"))),
    }
    if options.squash {
        return unsupported("squash");
    }
    if !options.security_opt.is_empty() {
        return unsupported("security-opt of a build");
    }
    if options.remote == "client-session" {
        return unsupported("a context of a session");
    }
    if !matches!(options.outputs.as_str(), "" | "null" | "[]") {
        return unsupported("outputs of a classic build");
    }
    match options.isolation.to_ascii_lowercase().as_str() {
        "" | "default" => Ok(()),
        other => Err(Error::BadRequest(format!("Unsupported isolation: \"{other}\""))),
    }
}

/// A name that an image is given.
fn reference(tag: &str) -> Result<Reference, Error> {
    let bad = |source| build::Error::Tag { name: tag.to_owned(), source };
    let reference = Reference::parse(tag).map_err(bad)?;
    if reference.digest().is_some() {
        return Err(Error::BadRequest("refusing to create a tag with a digest reference".to_owned()));
    }
    Ok(reference.or_latest())
}

fn platform(text: &str) -> Result<Option<Platform>, Error> {
    let parse =
        |text: &str| text.parse().map_err(|error: oci::PlatformError| Error::BadRequest(error.to_string()));
    (!text.is_empty()).then(|| parse(text)).transpose()
}

/// Files in a folder of this machine, if it is the one that the client sees there.
fn context_folder(folder: &LocalFolder) -> Result<Context, Error> {
    let path = absolute(folder)?;
    Context::folder(path, (folder.device, folder.inode)).map_err(|_| missing(path))
}

/// Results or images in a folder of this machine, if it is the one that the client sees there.
fn cache_folder(folder: &LocalFolder) -> Result<CacheFolder, Error> {
    let path = absolute(folder)?;
    CacheFolder::open(path.to_owned(), (folder.device, folder.inode)).map_err(|_| missing(path))
}

/// A digest, or a tag, which has no colon where it is of an image.
fn entry_of(text: String) -> Result<Entry, Error> {
    if !text.contains(':') {
        return Ok(Entry::Tag(text));
    }
    let digest = text.parse().map_err(|error| Error::BadRequest(format!("digest {text}: {error}")))?;
    Ok(Entry::Digest(digest))
}

fn absolute(folder: &LocalFolder) -> Result<&Path, Error> {
    let path = Path::new(&folder.path);
    if path.is_absolute() { Ok(path) } else { Err(missing(path)) }
}

fn missing(path: &Path) -> Error {
    Error::NoContext(format!("there is no such folder here: {}", path.display()))
}

fn unpacked(body: &mut dyn Read, folder: WorkFolder) -> Result<Context, Error> {
    build::archive::unpack(body, folder.path())
        .map_err(|error| Error::BadRequest(format!("read the build context: {error}")))?;
    Context::work(folder).map_err(|error| unreadable("the build context", &error))
}

/// The Dockerfile of a context, with the name that it has there.
fn dockerfile(context: &Context, name: &str) -> Result<(String, Vec<u8>), Error> {
    let names: &[&str] = if name.is_empty() { &["Dockerfile", "dockerfile"] } else { &[name] };
    for name in names {
        if let Some(content) = read(context, name)? {
            return Ok(((*name).to_owned(), content));
        }
    }
    Err(Error::BadRequest(format!("Cannot locate specified Dockerfile: {}", names[0])))
}

/// The patterns of a Dockerfile of this name: those that are for it only go before those for all.
fn ignore(context: &Context, dockerfile: &str) -> Result<Option<Matcher>, Error> {
    let own = read(context, &format!("{dockerfile}.dockerignore"))?;
    let content = own.map_or_else(|| read(context, ".dockerignore"), |own| Ok(Some(own)))?;
    content.map(|content| matcher(&content)).transpose()
}

fn matcher(content: &[u8]) -> Result<Matcher, Error> {
    Matcher::parse(content)
        .map_err(|error| Error::BadRequest(format!("error reading .dockerignore: {error}")))
}

fn read(context: &Context, name: &str) -> Result<Option<Vec<u8>>, Error> {
    context.read(name, MAX_FILE).map_err(|error| unreadable(name, &error))
}

fn unreadable(what: &str, error: &std::io::Error) -> Error {
    Error::BadRequest(format!("failed to read {what}: {error}"))
}
