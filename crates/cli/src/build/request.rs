//! What an engine is asked for.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use api::build::{BuildOptions, BuildRequest, ContextSource, Limits};
use client::Host;

use super::BuildFlags;
use super::cache;
use super::context::{self, Context, Place};
use super::secret;
use crate::failure::Failure;
use crate::opts::pairs_to_map;

/// What was given by flags and the environment, checked.
pub(super) struct Asked<'a> {
    pub(super) flags: &'a BuildFlags,
    /// All names, also those of outputs.
    pub(super) tags: Vec<String>,
    pub(super) platform: String,
    pub(super) is_check: bool,
}

impl<'a> Asked<'a> {
    pub(super) fn new(flags: &'a BuildFlags, names: &[String], is_check: bool) -> Result<Self, Failure> {
        let mut tags: Vec<String> = flags.tags.0.iter().map(|tag| tag.0.clone()).collect();
        for name in names {
            oci::Reference::parse(name)
                .map_err(|error| Failure::message(format!("invalid tag {name:?}: {error}")))?;
            tags.push(name.clone());
        }
        Ok(Self { flags, tags, platform: platform(&flags.platforms.0)?, is_check })
    }

    /// The request for Corten's engine. The context is the folder where the engine can read it, else an archive.
    pub(super) fn request(&self, context: &Context, host: &Host) -> Result<BuildRequest, Failure> {
        let flags = self.flags;
        Ok(BuildRequest {
            name: context.name.clone(),
            dockerfile: context.dockerfile.clone(),
            ignore: context.ignore.clone(),
            context: source(context, host)?,
            contexts: contexts(&flags.build_contexts, host)?,
            target: flags.target.clone(),
            build_args: self
                .arguments()
                .into_iter()
                .filter_map(|(name, value)| Some((name, value?)))
                .collect(),
            labels: self.labels(),
            annotations: annotations(&flags.annotations)?,
            tags: self.tags.clone(),
            platform: self.platform.clone(),
            no_cache: flags.no_cache,
            no_cache_filter: flags.no_cache_filter.0.clone(),
            pull: flags.pull,
            network: flags.network.0.clone(),
            extra_hosts: self.hosts(),
            limits: self.limits(),
            secrets: secret::secrets(&flags.secrets)?,
            ssh: secret::agents(&flags.ssh, host)?,
            cache_from: cache::sources(&flags.cache_from, host)?,
            cache_to: cache::targets(&flags.cache_to, host)?,
            check: self.is_check,
            explain: flags.explain,
        })
    }

    /// The parameters for other engines; `dockerfile` is its path in the archive.
    pub(super) fn options(&self, dockerfile: &str, remote: &str) -> Result<BuildOptions, Failure> {
        let flags = self.flags;
        Ok(BuildOptions {
            dockerfile: dockerfile.to_owned(),
            tags: self.tags.clone(),
            no_cache: flags.no_cache,
            pull: flags.pull,
            limits: self.limits(),
            build_args: self.arguments(),
            labels: self.labels(),
            cache_from: cache::images(&flags.cache_from)?,
            network: flags.network.0.clone(),
            extra_hosts: self.hosts(),
            target: flags.target.clone(),
            remote: remote.to_owned(),
            platform: self.platform.clone(),
            keeps_containers: flags.rm.given() == Some(false),
            always_removes: flags.force_rm,
            ..BuildOptions::default()
        })
    }

    /// By name; one without a value is not set here.
    fn arguments(&self) -> BTreeMap<String, Option<String>> {
        let pair = |text: &str| match text.split_once('=') {
            Some((name, value)) => (name.to_owned(), Some(value.to_owned())),
            None => (text.to_owned(), None),
        };
        self.flags.build_args.0.iter().map(|argument| pair(&argument.0)).collect()
    }

    fn labels(&self) -> BTreeMap<String, String> {
        let labels: Vec<String> = self.flags.labels.0.iter().map(|label| label.0.clone()).collect();
        pairs_to_map(&labels)
    }

    fn hosts(&self) -> Vec<String> {
        self.flags.add_hosts.0.iter().map(|host| host.0.clone()).collect()
    }

    fn limits(&self) -> Limits {
        let flags = self.flags;
        Limits {
            memory: flags.memory.0,
            memory_swap: flags.memory_swap.0,
            cpu_shares: flags.cpu_shares,
            cpu_period: flags.cpu_period,
            cpu_quota: flags.cpu_quota,
            cpuset_cpus: flags.cpuset_cpus.clone(),
            cpuset_mems: flags.cpuset_mems.clone(),
            shm_size: flags.shm_size.0,
            ulimits: flags.ulimits.0.values().cloned().collect(),
            cgroup_parent: flags.cgroup_parent.clone(),
        }
    }
}

/// The one platform, of the flag or of the environment.
fn platform(given: &[String]) -> Result<String, Failure> {
    let platform = match given {
        [] => std::env::var("DOCKER_DEFAULT_PLATFORM").unwrap_or_default(),
        [platform] => platform.clone(),
        _ => {
            return Err(Failure::message(
                "--platform is not supported with several platforms: build each by itself",
            ));
        }
    };
    crate::commands::check_platform(&platform)?;
    Ok(platform)
}

fn source(context: &Context, host: &Host) -> Result<ContextSource, Failure> {
    match (&context.place, host) {
        (Place::Empty, _) => Ok(ContextSource::Empty),
        (Place::Remote(address), _) => Ok(ContextSource::Remote(address.clone())),
        (Place::Folder(path), Host::Unix(_)) => context::folder(path).map(ContextSource::Folder),
        (Place::Folder(_) | Place::Stdin(_), _) => Ok(ContextSource::Archive),
    }
}

/// `--build-context`, by name.
fn contexts(specs: &[String], host: &Host) -> Result<BTreeMap<String, ContextSource>, Failure> {
    let of = |spec: &String| {
        let failed = |reason: &str| Failure::message(format!("--build-context {spec}: {reason}"));
        let pair = spec.split_once('=').filter(|(name, value)| !name.is_empty() && !value.is_empty());
        let (name, value) = pair.ok_or_else(|| failed("expected name=value"))?;
        Ok((name.to_owned(), named_context(value, host, &failed)?))
    };
    specs.iter().map(of).collect()
}

fn named_context(
    value: &str,
    host: &Host,
    failed: &dyn Fn(&str) -> Failure,
) -> Result<ContextSource, Failure> {
    if let Some(image) = value.strip_prefix("docker-image://") {
        oci::Reference::parse(image).map_err(|error| failed(&error.to_string()))?;
        return Ok(ContextSource::Image(value.to_owned()));
    }
    if value.starts_with("target:") {
        return Err(failed("is not supported"));
    }
    if context::is_remote(value) {
        return Ok(ContextSource::Remote(value.to_owned()));
    }
    if !matches!(host, Host::Unix(_)) {
        return Err(failed("is not supported: the engine is on another machine"));
    }
    if let Some(layout) = value.strip_prefix("oci-layout://") {
        return self::layout(layout, failed);
    }
    let path = Path::new(value).canonicalize().map_err(|error| failed(&crate::failure::io_text(&error)))?;
    match path.is_dir() {
        true => context::folder(&path).map(ContextSource::Folder),
        false => Err(failed("not a directory")),
    }
}

/// `path[:tag][@digest]`.
fn layout(text: &str, failed: &dyn Fn(&str) -> Failure) -> Result<ContextSource, Failure> {
    // A path may have the sign too.
    let (place, digest) = match text.rsplit_once('@') {
        Some((place, digest)) if digest.contains(':') && !digest.contains('/') => (place, Some(digest)),
        _ => (text, None),
    };
    let (path, tag) = match place.rsplit_once(':') {
        Some((path, tag)) if !tag.contains('/') => (path, tag),
        _ => (place, "latest"),
    };
    if let Some(digest) = digest {
        digest.parse::<oci::Digest>().map_err(|error| failed(&format!("digest {digest}: {error}")))?;
    }
    let entry = digest.unwrap_or(tag).to_owned();
    let path = Path::new(path).canonicalize().map_err(|error| failed(&crate::failure::io_text(&error)))?;
    match path.is_dir() {
        true => Ok(ContextSource::Layout { folder: context::folder(&path)?, entry }),
        false => Err(failed("not a directory")),
    }
}

/// `--annotation`, each with a key and a value.
fn annotations(given: &[String]) -> Result<Vec<String>, Failure> {
    match given.iter().find(|text| !text.contains('=')) {
        Some(text) => Err(Failure::message(format!("invalid annotation {text:?}, expected key=value"))),
        None => Ok(given.to_vec()),
    }
}

/// The paths in a context that are always sent to other engines: the Dockerfile and the file with ignored patterns.
pub(super) fn always_sent(inside: Option<&PathBuf>) -> Vec<PathBuf> {
    inside.cloned().into_iter().chain([PathBuf::from(".dockerignore")]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::build::tests::flags;

    fn here() -> Host {
        Host::Unix("/run/x.sock".into())
    }

    fn there() -> Host {
        Host::Tcp("far:1".into())
    }

    fn asked(flags: &BuildFlags) -> Asked<'_> {
        Asked::new(flags, &[], false).unwrap()
    }

    fn context(place: Place) -> Context {
        let dockerfile = Some("FROM x\n".to_owned());
        Context { place, name: "Dockerfile".into(), dockerfile, inside: None, ignore: Some("a".into()) }
    }

    const WORDS: &[&str] = &[
        "-t",
        "a",
        "-t=b:1",
        "--build-arg=A=1",
        "--build-arg",
        "NOT_SET_HERE",
        "--label",
        "l=1",
        "--target=t",
        "--no-cache",
        "--no-cache-filter=x,y",
        "--pull",
        "--network=none",
        "--add-host=h:1.2.3.4",
        "-m",
        "1m",
        "--memory-swap=-1",
        "--shm-size=2k",
        "--ulimit=nofile=1:2",
        "-c3",
        "--cpuset-cpus=0",
        "--cgroup-parent=/c",
        "--platform=linux/amd64",
    ];

    #[test]
    fn request_says_what_the_flags_say() {
        let flags = flags(&[WORDS, &["--annotation=k=v", "--cache-to=type=inline", "--explain"]].concat());
        let folder = tempfile::tempdir().unwrap();
        let request = asked(&flags).request(&context(Place::Folder(folder.path().into())), &here()).unwrap();
        assert_eq!(request.tags, ["a", "b:1"]);
        assert_eq!(request.build_args, [("A".to_owned(), "1".to_owned())].into());
        assert_eq!(request.labels, [("l".to_owned(), "1".to_owned())].into());
        assert_eq!((request.target.as_str(), request.network.as_str()), ("t", "none"));
        assert!(request.no_cache && request.pull && request.explain && !request.check);
        assert_eq!(
            (request.no_cache_filter, request.extra_hosts),
            (vec!["x".into(), "y".into()], vec!["h:1.2.3.4".into()])
        );
        let limits = request.limits;
        assert_eq!(
            (limits.memory, limits.memory_swap, limits.shm_size, limits.cpu_shares),
            (1 << 20, -1, 2048, 3)
        );
        assert_eq!(
            (limits.ulimits[0].soft, limits.cpuset_cpus.as_str(), limits.cgroup_parent.as_str()),
            (1, "0", "/c")
        );
        assert_eq!((request.platform.as_str(), request.annotations), ("linux/amd64", vec!["k=v".into()]));
        assert_eq!((request.dockerfile.as_deref(), request.ignore.as_deref()), (Some("FROM x\n"), Some("a")));
        let ContextSource::Folder(found) = request.context else { panic!() };
        assert_eq!(found.path, folder.path().to_str().unwrap());
        assert_ne!(found.inode, 0);
    }

    #[test]
    fn context_of_a_far_engine_is_sent() {
        let flags = flags(&[]);
        let of = |place, host: Host| asked(&flags).request(&context(place), &host).unwrap().context;
        assert_eq!(of(Place::Folder("/".into()), there()), ContextSource::Archive);
        assert_eq!(of(Place::Stdin(vec![]), here()), ContextSource::Archive);
        assert_eq!(of(Place::Empty, there()), ContextSource::Empty);
        assert_eq!(of(Place::Remote("git://x".into()), here()), ContextSource::Remote("git://x".into()));
    }

    #[test]
    fn options_say_what_other_engines_understand() {
        let flags =
            flags(&[WORDS, &["--rm=false", "--cache-from=type=registry,ref=c:1", "--cache-from=d"]].concat());
        let options = asked(&flags).options("sub/D", "").unwrap();
        assert_eq!(
            options.build_args,
            [("A".to_owned(), Some("1".to_owned())), ("NOT_SET_HERE".to_owned(), None)].into()
        );
        assert_eq!((options.dockerfile.as_str(), options.quiet), ("sub/D", false));
        assert!(options.keeps_containers && !options.always_removes);
        assert_eq!(options.cache_from, ["c:1", "d"]);
    }

    #[test]
    fn named_contexts_are_folders_images_and_addresses() {
        let folder = tempfile::tempdir().unwrap();
        let of = |spec: &str, host: Host| {
            let found = contexts(&[spec.to_owned()], &host).map_err(|error| error.to_string())?;
            Ok::<_, String>(found.into_values().next().unwrap())
        };
        let path = format!("a={}", folder.path().display());
        assert!(matches!(of(&path, here()), Ok(ContextSource::Folder(_))));
        assert!(of(&path, there()).unwrap_err().ends_with("the engine is on another machine"));
        let image = "docker-image://alpine:3";
        assert_eq!(of(&format!("a={image}"), there()), Ok(ContextSource::Image(image.into())));
        assert_eq!(of("a=https://x/y.git", there()), Ok(ContextSource::Remote("https://x/y.git".into())));
        let digest = oci::Digest::of(b"").to_string();
        let (alone, after) = (format!("@{digest}"), format!(":1@{digest}"));
        for (end, expected) in [("", "latest"), (":1.2", "1.2"), (&alone, &digest), (&after, &digest)] {
            let spec = format!("a=oci-layout://{}{end}", folder.path().display());
            let Ok(ContextSource::Layout { entry, .. }) = of(&spec, here()) else { panic!("{spec}") };
            assert_eq!(entry, expected);
        }
        assert_eq!(of("a=target:x", here()), Err("--build-context a=target:x: is not supported".into()));
        assert_eq!(of("a", here()), Err("--build-context a: expected name=value".into()));
        assert_eq!(
            of("a=/nowhere", here()),
            Err("--build-context a=/nowhere: no such file or directory".into())
        );
    }

    #[test]
    fn several_platforms_are_refused() {
        let error = platform(&["linux/amd64".into(), "linux/arm64".into()]).unwrap_err().to_string();
        assert!(error.starts_with("--platform is not supported with several"), "{error}");
        assert!(annotations(&["x".into()]).is_err());
    }
}
