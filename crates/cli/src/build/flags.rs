//! The flags of `build`: those of `docker build` and of `docker buildx build`.

use oci::Reference;

use crate::flag::{Changed, Element, Flag, InvalidValue, List, Options, Strings, Value};
use crate::opts::{AddHost, EnvVar, LabelFlag, MemoryBytes, MemorySwap, Ulimits};

/// The flags as they were given.
#[derive(Default)]
pub(crate) struct BuildFlags {
    pub(super) add_hosts: List<AddHost>,
    pub(super) allow: Vec<String>,
    pub(super) annotations: Vec<String>,
    pub(super) attest: Vec<String>,
    pub(super) build_args: List<EnvVar>,
    pub(super) build_contexts: Vec<String>,
    pub(super) builder: String,
    pub(super) cache_from: Vec<String>,
    pub(super) cache_to: Vec<String>,
    pub(super) call: String,
    pub(super) cgroup_parent: String,
    pub(super) check: bool,
    pub(super) compress: bool,
    pub(super) content_trust: Changed<bool>,
    pub(super) cpu_period: i64,
    pub(super) cpu_quota: i64,
    pub(super) cpu_shares: i64,
    pub(super) cpuset_cpus: String,
    pub(super) cpuset_mems: String,
    pub(super) explain: bool,
    pub(super) file: String,
    pub(super) force_rm: bool,
    pub(super) iidfile: String,
    pub(super) isolation: String,
    pub(super) labels: List<LabelFlag>,
    pub(super) load: bool,
    pub(super) memory: MemoryBytes,
    pub(super) memory_swap: MemorySwap,
    pub(super) metadata_file: String,
    pub(super) network: Network,
    pub(super) no_cache: bool,
    pub(super) no_cache_filter: Strings,
    pub(super) outputs: Vec<String>,
    pub(super) platforms: Strings,
    pub(super) policy: Vec<String>,
    pub(super) progress: String,
    pub(super) provenance: String,
    pub(super) pull: bool,
    pub(super) push: bool,
    pub(super) quiet: bool,
    pub(super) resources: Vec<String>,
    pub(super) rm: Changed<bool>,
    pub(super) sbom: String,
    pub(super) secrets: Vec<String>,
    pub(super) security_opt: Strings,
    pub(super) shm_size: MemoryBytes,
    pub(super) squash: bool,
    pub(super) ssh: Vec<String>,
    pub(super) tags: List<Tag>,
    pub(super) target: String,
    pub(super) ulimits: Ulimits,
}

const ADD_HOST: &str = "Add a host name and its address (\"host:ip\")";
const ANNOTATION: &str = "Add an annotation to the image (\"[type:]key=value\")";
const BUILD_ARG: &str = "Set a build argument; without a value it takes that of the environment";
const BUILD_CONTEXT: &str = "Further context (\"name=path\", \"name=docker-image://image\",\n\"name=oci-layout://path[:tag]\" or \"name=URL\")";
const CACHE_FROM: &str = "Where results of earlier builds are (\"image\", \"type=local,src=path\")";
const CACHE_TO: &str = "Where results are kept for later builds (\"type=inline\", \"type=local,dest=path\")";
const CALL: &str = "What is done with the Dockerfile (\"build\", \"check\")";
const CGROUP_PARENT: &str = "Parent cgroup of the \"RUN\" instructions";
const EXPLAIN: &str = "Tell for every step whether its result was in the cache, and why not";
const FILE: &str = "Name of the Dockerfile (default: \"PATH/Dockerfile\")";
const NETWORK: &str = "Network of the \"RUN\" instructions (\"default\", \"none\", \"host\")";
const OUTPUT: &str = "Where the result goes (\"type=local,dest=path\", \"type=tar\", \"type=oci\",\n\
                      \"type=docker\", \"type=image\", \"type=registry\", a folder, or \"-\" for a tar)";
const PROGRESS: &str =
    "How progress is shown (\"auto\", \"plain\", \"tty\", \"rawjson\", \"quiet\", \"none\")";
const QUIET: &str = "Show no progress and print the image's ID";
const SECRET: &str = "Secret for the build (\"id=name[,src=path|,env=NAME]\")";
const SSH: &str = "SSH agent for the build (\"default\" or \"name[=socket]\")";
const SWAP: &str = "Limit of memory and swap together: -1 for no limit";

impl Options for BuildFlags {
    const FLAGS: &'static [Flag<Self>] = &[
        Flag::new("add-host", ADD_HOST, |o| &mut o.add_hosts),
        Flag::hidden("allow", |o| &mut o.allow),
        Flag::new("annotation", ANNOTATION, |o| &mut o.annotations),
        Flag::hidden("attest", |o| &mut o.attest),
        Flag::new("build-arg", BUILD_ARG, |o| &mut o.build_args),
        Flag::new("build-context", BUILD_CONTEXT, |o| &mut o.build_contexts),
        Flag::hidden("builder", |o| &mut o.builder),
        Flag::new("cache-from", CACHE_FROM, |o| &mut o.cache_from),
        Flag::new("cache-to", CACHE_TO, |o| &mut o.cache_to),
        Flag::new("call", CALL, |o| &mut o.call),
        Flag::new("cgroup-parent", CGROUP_PARENT, |o| &mut o.cgroup_parent),
        Flag::new("check", "Check the Dockerfile and build nothing", |o| &mut o.check),
        Flag::hidden("compress", |o| &mut o.compress),
        Flag::new("cpu-period", "Microseconds of a period of the scheduler", |o| &mut o.cpu_period),
        Flag::new("cpu-quota", "Microseconds of processor time in a period", |o| &mut o.cpu_quota),
        Flag::lettered('c', "cpu-shares", "Relative weight of processor time", |o| &mut o.cpu_shares),
        Flag::new("cpuset-cpus", "Processors that may be used (0-3, 0,1)", |o| &mut o.cpuset_cpus),
        Flag::new("cpuset-mems", "Memory nodes that may be used (0-3, 0,1)", |o| &mut o.cpuset_mems),
        Flag::hidden("disable-content-trust", |o| &mut o.content_trust),
        Flag::new("explain", EXPLAIN, |o| &mut o.explain),
        Flag::lettered('f', "file", FILE, |o| &mut o.file),
        Flag::new("force-rm", "Remove containers of steps also when one fails", |o| &mut o.force_rm),
        Flag::new("iidfile", "Write the image's ID to this file", |o| &mut o.iidfile),
        Flag::hidden("isolation", |o| &mut o.isolation),
        Flag::new("label", "Set a label of the image", |o| &mut o.labels),
        Flag::new("load", "Shorthand for \"--output=type=docker\"", |o| &mut o.load),
        Flag::lettered('m', "memory", "Limit of memory", |o| &mut o.memory),
        Flag::new("memory-swap", SWAP, |o| &mut o.memory_swap),
        Flag::new("metadata-file", "Write what was built, as JSON, to this file", |o| &mut o.metadata_file),
        Flag::new("network", NETWORK, |o| &mut o.network),
        Flag::new("no-cache", "Take nothing from the cache", |o| &mut o.no_cache),
        Flag::new("no-cache-filter", "Take nothing of these stages from the cache", |o| {
            &mut o.no_cache_filter
        }),
        Flag::lettered('o', "output", OUTPUT, |o| &mut o.outputs),
        Flag::new("platform", "Platform of the image (os[/arch[/variant]])", |o| &mut o.platforms),
        Flag::hidden("policy", |o| &mut o.policy),
        Flag::hidden("print", |o| &mut o.call),
        Flag::new("progress", PROGRESS, |o| &mut o.progress),
        Flag::hidden("provenance", |o| &mut o.provenance),
        Flag::new("pull", "Look for newer versions of all images that are used", |o| &mut o.pull),
        Flag::new("push", "Shorthand for \"--output=type=registry\"", |o| &mut o.push),
        Flag::lettered('q', "quiet", QUIET, |o| &mut o.quiet),
        Flag::hidden("resource", |o| &mut o.resources),
        Flag::new("rm", "Remove containers of steps after a build (default true)", |o| &mut o.rm),
        Flag::hidden("sbom", |o| &mut o.sbom),
        Flag::new("secret", SECRET, |o| &mut o.secrets),
        Flag::hidden("security-opt", |o| &mut o.security_opt),
        Flag::new("shm-size", "Size of \"/dev/shm\"", |o| &mut o.shm_size),
        Flag::hidden("squash", |o| &mut o.squash),
        Flag::new("ssh", SSH, |o| &mut o.ssh),
        Flag::lettered('t', "tag", "Name of the image (\"name[:tag]\")", |o| &mut o.tags),
        Flag::new("target", "Stage to build", |o| &mut o.target),
        Flag::new("ulimit", "Limit of the processes of \"RUN\" instructions", |o| &mut o.ulimits),
    ];
}

/// `--tag`: the name of an image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Tag(pub(crate) String);

impl Element for Tag {
    const KIND: &'static str = "list";

    fn read(text: &str) -> Result<Self, InvalidValue> {
        Reference::parse(text).map_err(|error| InvalidValue(error.to_string()))?;
        Ok(Self(text.to_owned()))
    }
}

/// `--network`, which is `default` where it is not given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Network(pub(crate) String);

impl Default for Network {
    fn default() -> Self {
        Self("default".to_owned())
    }
}

impl Value for Network {
    fn set(&mut self, text: &str) -> Result<(), InvalidValue> {
        text.clone_into(&mut self.0);
        Ok(())
    }
    fn kind(&self) -> &'static str {
        "string"
    }
    fn default_text(&self) -> Option<String> {
        Some(format!("\"{}\"", self.0))
    }
}
