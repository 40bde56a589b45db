//! Parameters of builds, as Docker's clients send them.

use std::collections::BTreeMap;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::request::Limits;
use crate::Filters;
use crate::container::Ulimit;
use crate::query::{Error, Query, QueryWriter};

/// Parameters of `POST /build`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct BuildOptions {
    /// Path of the Dockerfile in the context; empty: `Dockerfile`.
    pub dockerfile: String,
    /// Names of the image.
    pub tags: Vec<String>,
    /// Whether only the ID is told.
    pub quiet: bool,
    /// Whether nothing is taken from the cache.
    pub no_cache: bool,
    /// Whether newer versions of the bases are looked for.
    pub pull: bool,
    /// Limits of commands.
    pub limits: Limits,
    /// `--build-arg`; one without a value is not there.
    pub build_args: BTreeMap<String, Option<String>>,
    /// `--label`.
    pub labels: BTreeMap<String, String>,
    /// Images whose layers may be taken.
    pub cache_from: Vec<String>,
    /// `default`, `none`, `host`, `bridge`, or the name of a network.
    pub network: String,
    /// `name:address`.
    pub extra_hosts: Vec<String>,
    /// Whether all new layers become one.
    pub squash: bool,
    /// The stage to build.
    pub target: String,
    /// A git repository or an address of the context, or `client-session`.
    pub remote: String,
    /// By which it can be cancelled.
    pub build_id: String,
    /// `os/arch`; empty: the engine's.
    pub platform: String,
    /// `1` or empty: these options; `2`: BuildKit.
    pub version: String,
    /// How containers are isolated, on Windows.
    pub isolation: String,
    /// `--security-opt`.
    pub security_opt: Vec<String>,
    /// `outputs`, as JSON.
    pub outputs: String,
    /// Whether containers of steps stay after a build that succeeds (`rm=0`).
    pub keeps_containers: bool,
    /// Whether containers of steps go also after a build that fails (`forcerm`).
    pub always_removes: bool,
}

impl BuildOptions {
    /// Reads the parameters.
    ///
    /// # Errors
    /// Where a number or a JSON value is not understood.
    pub fn from_query(query: &Query<'_>) -> Result<Self, Error> {
        Ok(Self {
            dockerfile: query.text("dockerfile"),
            tags: query.all("t").into_iter().filter(|tag| !tag.is_empty()).collect(),
            quiet: query.flag("q"),
            no_cache: query.flag("nocache"),
            pull: query.flag("pull"),
            limits: limits(query)?,
            build_args: json(query, "buildargs")?,
            labels: json(query, "labels")?,
            cache_from: json(query, "cachefrom")?,
            network: query.text("networkmode"),
            extra_hosts: extra_hosts(query)?,
            squash: query.flag("squash"),
            target: query.text("target"),
            remote: query.text("remote"),
            build_id: query.text("buildid"),
            platform: query.text("platform"),
            version: query.text("version"),
            isolation: query.text("isolation"),
            security_opt: query.all("securityopt").into_iter().filter(|text| !text.is_empty()).collect(),
            outputs: query.text("outputs"),
            keeps_containers: !query.text("rm").is_empty() && !query.flag("rm"),
            always_removes: query.flag("forcerm"),
        })
    }

    /// Writes the parameters that Corten's client sends to other engines.
    pub fn to_query(&self) -> String {
        let limits = &self.limits;
        let mut writer = QueryWriter::new()
            .text("dockerfile", &self.dockerfile)
            .flag("q", self.quiet)
            .flag("nocache", self.no_cache)
            .text("pull", if self.pull { "1" } else { "" })
            .text("rm", if self.keeps_containers { "0" } else { "1" })
            .flag("forcerm", self.always_removes)
            .text("networkmode", &self.network)
            .text("target", &self.target)
            .text("remote", &self.remote)
            .text("buildid", &self.build_id)
            .text("platform", &self.platform)
            .text("cpusetcpus", &limits.cpuset_cpus)
            .text("cpusetmems", &limits.cpuset_mems)
            .text("cgroupparent", &limits.cgroup_parent)
            .text("buildargs", &to_json(&self.build_args))
            .text("labels", &to_json(&self.labels))
            .text("cachefrom", &to_json(&self.cache_from))
            .text("ulimits", &to_json(&limits.ulimits));
        for (name, value) in [
            ("memory", limits.memory),
            ("memswap", limits.memory_swap),
            ("cpushares", limits.cpu_shares),
            ("cpuperiod", limits.cpu_period),
            ("cpuquota", limits.cpu_quota),
            ("shmsize", limits.shm_size),
        ] {
            writer = writer.text(name, &if value == 0 { String::new() } else { value.to_string() });
        }
        let each = |writer: QueryWriter, name, values: &[String]| {
            values.iter().fold(writer, |writer, value| writer.text(name, value))
        };
        each(each(writer, "t", &self.tags), "extrahosts", &self.extra_hosts).finish()
    }
}

fn limits(query: &Query<'_>) -> Result<Limits, Error> {
    let ulimits: Vec<Ulimit> = json(query, "ulimits")?;
    Ok(Limits {
        memory: query.number("memory")?.unwrap_or_default(),
        memory_swap: query.number("memswap")?.unwrap_or_default(),
        cpu_shares: query.number("cpushares")?.unwrap_or_default(),
        cpu_period: query.number("cpuperiod")?.unwrap_or_default(),
        cpu_quota: query.number("cpuquota")?.unwrap_or_default(),
        cpuset_cpus: query.text("cpusetcpus"),
        cpuset_mems: query.text("cpusetmems"),
        shm_size: query.number("shmsize")?.unwrap_or_default(),
        ulimits,
        cgroup_parent: query.text("cgroupparent"),
    })
}

/// Some clients send JSON, others a parameter for each.
fn extra_hosts(query: &Query<'_>) -> Result<Vec<String>, Error> {
    match query.find("extrahosts") {
        Some(text) if text.starts_with('[') => json(query, "extrahosts"),
        Some(text) if text.starts_with('{') => {
            let hosts: BTreeMap<String, String> = json(query, "extrahosts")?;
            Ok(hosts.into_iter().map(|(name, address)| format!("{name}:{address}")).collect())
        }
        _ => Ok(query.all("extrahosts").into_iter().filter(|text| !text.is_empty()).collect()),
    }
}

/// A parameter that is JSON; `null`, empty and absent are the zero value, as in Go.
fn json<T: DeserializeOwned + Default>(query: &Query<'_>, name: &'static str) -> Result<T, Error> {
    let text = query.find(name).unwrap_or_default();
    if matches!(text, "" | "null") {
        return Ok(T::default());
    }
    crate::json::from_slice(text.as_bytes()).map_err(|source| Error::Json { name, source })
}

fn to_json<T: Serialize>(value: &T) -> String {
    serde_json::to_string(value).expect("keys are texts")
}

/// Parameters of `POST /build/prune`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CachePruneOptions {
    /// Whether what could still be of use goes too.
    pub all: bool,
    /// Only what matches: `until`, `id`, `type`, `unused-for`, ….
    pub filters: Filters,
    /// Bytes that may stay: `reserved-space` and, before API 1.48, `keep-storage`.
    pub keep: Option<i64>,
    /// Bytes that may be used in all (`max-used-space`).
    pub max_used: Option<i64>,
    /// Bytes of the disk that are to be free (`min-free-space`).
    pub min_free: Option<i64>,
}

impl CachePruneOptions {
    /// Reads the parameters.
    ///
    /// # Errors
    /// Where a number or the filters are not understood.
    pub fn from_query(query: &Query<'_>) -> Result<Self, Error> {
        let keep = query.number("reserved-space")?;
        Ok(Self {
            all: query.flag("all"),
            filters: query.filters()?,
            keep: if keep.is_some() { keep } else { query.number("keep-storage")? },
            max_used: query.number("max-used-space")?,
            min_free: query.number("min-free-space")?,
        })
    }

    /// Writes the parameters.
    pub fn to_query(&self) -> String {
        let number = |value: Option<i64>| value.map(|value| value.to_string()).unwrap_or_default();
        QueryWriter::new()
            .flag("all", self.all)
            .filters(&self.filters)
            .text("keep-storage", &number(self.keep))
            .text("reserved-space", &number(self.keep))
            .text("max-used-space", &number(self.max_used))
            .text("min-free-space", &number(self.min_free))
            .finish()
    }
}

/// The answer to `POST /build/prune`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct CachePruneResponse {
    /// IDs of what is gone.
    pub caches_deleted: Option<Vec<String>>,
    /// Bytes.
    pub space_reclaimed: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_read_as_docker_s_clients_write_them() {
        let text = "t=a&t=b%3A1&q=1&nocache=1&pull=1&memory=1048576&shmsize=64&cpuquota=5&ulimits=\
                    %5B%7B%22Name%22%3A%22nofile%22%2C%22Hard%22%3A9%2C%22Soft%22%3A8%7D%5D&buildargs=\
                    %7B%22A%22%3A%22b%22%2C%22C%22%3Anull%7D&labels=null&cachefrom=%5B%22x%22%5D&\
                    extrahosts=%5B%22h%3A1.2.3.4%22%5D&dockerfile=d&target=s&rm=1";
        let options = BuildOptions::from_query(&Query::parse(text)).unwrap();
        assert_eq!(options.tags, ["a", "b:1"]);
        assert!(options.quiet && options.no_cache && options.pull && !options.squash);
        assert_eq!(
            (options.limits.memory, options.limits.shm_size, options.limits.cpu_quota),
            (1 << 20, 64, 5)
        );
        assert_eq!(options.limits.ulimits[0].hard, 9);
        assert_eq!(options.build_args, [("A".into(), Some("b".into())), ("C".into(), None)].into());
        assert!(options.labels.is_empty());
        assert_eq!((&options.cache_from[0][..], &options.extra_hosts[0][..]), ("x", "h:1.2.3.4"));
    }

    #[test]
    fn what_is_written_is_read() {
        let options = BuildOptions {
            dockerfile: "d".into(),
            tags: vec!["a".into(), "b".into()],
            pull: true,
            build_args: [("A".to_owned(), Some("b c".to_owned()))].into(),
            extra_hosts: vec!["h:1".into()],
            limits: Limits { memory: 7, memory_swap: -1, ..Limits::default() },
            ..BuildOptions::default()
        };
        assert_eq!(BuildOptions::from_query(&Query::parse(&options.to_query())).unwrap(), options);
    }

    #[test]
    fn malformed_json_is_named() {
        let error = BuildOptions::from_query(&Query::parse("buildargs=%7B")).unwrap_err();
        assert!(error.to_string().starts_with("invalid value for buildargs"), "{error}");
    }
}
