//! `RUN --mount`: what a command sees beside its root.

use serde::Serialize;

use crate::error::MountProblem as Problem;
use crate::error::{Error, Problem as AnyProblem};
use crate::suggest::{Case, nearest};

const KEYS: [&str; 19] = [
    "type",
    "from",
    "source",
    "target",
    "readonly",
    "id",
    "sharing",
    "required",
    "size",
    "mode",
    "uid",
    "gid",
    "src",
    "dst",
    "destination",
    "ro",
    "rw",
    "readwrite",
    "env",
];

/// A mount with its variables replaced.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Mount {
    /// What it is.
    pub kind: MountKind,
    /// A stage, an image or a named context; empty for the build's context.
    pub from: String,
    /// The path in there; the name of a secret.
    pub source: String,
    /// Where it is seen; relative to the working directory.
    pub target: String,
    /// Whether it cannot be written.
    pub is_read_only: bool,
    /// Bytes that a temporary file system may have; 0 is no limit.
    pub size: i64,
    /// The name of a cache, a secret or a socket.
    pub id: String,
    /// Who else has a cache at the same time.
    pub sharing: Option<Sharing>,
    /// Whether the build fails without it.
    pub is_required: bool,
    /// The variable that has a secret.
    pub env: Option<String>,
    /// Permissions.
    pub mode: Option<u32>,
    /// Owner.
    pub uid: Option<u32>,
    /// Group.
    pub gid: Option<u32>,
}

/// What a mount is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum MountKind {
    /// Files of the context, a stage or an image.
    #[default]
    Bind,
    /// A folder that outlives the build.
    Cache,
    /// A folder in memory.
    Tmpfs,
    /// A secret, as a file or variable.
    Secret,
    /// The socket of an SSH agent.
    Ssh,
}

impl MountKind {
    const ALL: [(&str, Self); 5] = [
        ("bind", Self::Bind),
        ("cache", Self::Cache),
        ("tmpfs", Self::Tmpfs),
        ("secret", Self::Secret),
        ("ssh", Self::Ssh),
    ];

    fn name(self) -> &'static str {
        Self::ALL.iter().find(|(_, kind)| *kind == self).map_or("", |(name, _)| name)
    }

    fn is_file(self) -> bool {
        matches!(self, Self::Secret | Self::Ssh)
    }
}

/// Who else has a cache at the same time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Sharing {
    /// Anybody.
    #[default]
    Shared,
    /// Nobody; each has a cache of its own.
    Private,
    /// Nobody; others wait.
    Locked,
}

impl Sharing {
    const ALL: [(&str, Self); 3] =
        [("shared", Self::Shared), ("private", Self::Private), ("locked", Self::Locked)];
}

/// What can be said of a mount while its variables are not replaced yet.
pub(crate) fn check_unexpanded(text: &str) -> Result<(), Problem> {
    for field in fields(text)? {
        let Some((key, value)) = field.split_once('=') else { continue };
        // Which stage it needs has to be known before variables are.
        if key.eq_ignore_ascii_case("from") && value.find('$').is_some_and(|at| at + 1 != value.len()) {
            return Err(Problem::VariableInFrom(key.to_ascii_lowercase()));
        }
    }
    Ok(())
}

/// The stage, image or named context that a mount needs.
pub fn from_of(text: &str) -> Option<String> {
    let fields = fields(text).ok()?;
    let is_from = |key: &str| key.eq_ignore_ascii_case("from");
    let mut values = fields.iter().filter_map(|field| field.split_once('=')).filter(|(key, _)| is_from(key));
    values.next_back().map(|(_, value)| value.to_owned()).filter(|value| !value.is_empty())
}

impl Mount {
    /// Reads a mount; `expand` replaces variables in values.
    ///
    /// # Errors
    /// A key or value that cannot be, a combination of them that cannot, or variables that cannot be replaced.
    pub fn parse(text: &str, expand: &mut dyn FnMut(&str) -> Result<String, Error>) -> Result<Self, Error> {
        let problem = |problem: Problem| Error::new(AnyProblem::Mount(problem));
        let mut mount = Self::default();
        let mut is_read_only = None;
        for field in fields(text).map_err(problem)? {
            match field.split_once('=') {
                None => mount.word(&field, &mut is_read_only).map_err(problem)?,
                Some((key, value)) => {
                    let value = expand(value)?;
                    mount.pair(&key.to_ascii_lowercase(), value, &field, &mut is_read_only)?;
                }
            }
        }
        let default = !matches!(mount.kind, MountKind::Cache | MountKind::Tmpfs);
        mount.is_read_only = is_read_only.unwrap_or(default);
        mount.check().map_err(problem)?;
        Ok(mount)
    }

    /// A key without a value.
    fn word(&mut self, field: &str, is_read_only: &mut Option<bool>) -> Result<(), Problem> {
        match field.to_ascii_lowercase().as_str() {
            "readonly" | "ro" => *is_read_only = Some(true),
            "readwrite" | "rw" => *is_read_only = Some(false),
            "required" if self.kind.is_file() => self.is_required = true,
            "required" => return Err(self.not_of_kind("required")),
            _ => return Err(Problem::NoValue(field.to_owned())),
        }
        Ok(())
    }

    fn pair(
        &mut self,
        key: &str,
        value: String,
        field: &str,
        is_read_only: &mut Option<bool>,
    ) -> Result<(), Error> {
        let problem = |problem: Problem| Error::new(AnyProblem::Mount(problem));
        match key {
            "type" => self.kind = known(&value, &MountKind::ALL, Problem::Type)?,
            "from" => self.from = value,
            "source" | "src" => self.source = value,
            "target" | "dst" | "destination" => self.target = value,
            "readonly" | "ro" => *is_read_only = Some(boolean(key, &value).map_err(problem)?),
            "readwrite" | "rw" => *is_read_only = Some(!boolean(key, &value).map_err(problem)?),
            "required" if self.kind.is_file() => self.is_required = boolean(key, &value).map_err(problem)?,
            "size" if self.kind == MountKind::Tmpfs => {
                let bad = || problem(Problem::Value { key: key.to_owned(), value: value.clone() });
                self.size = bytes(&value).ok_or_else(bad)?;
            }
            "required" | "size" => return Err(problem(self.not_of_kind(key))),
            "id" => self.id = value,
            "sharing" => self.sharing = Some(known(&value, &Sharing::ALL, Problem::Sharing)?),
            "mode" => self.mode = Some(number("mode", value, 8).map_err(problem)?),
            "uid" => self.uid = Some(number("uid", value, 10).map_err(problem)?),
            "gid" => self.gid = Some(number("gid", value, 10).map_err(problem)?),
            "env" => self.env = Some(value),
            _ => {
                let unknown = Problem::UnknownKey { key: key.to_owned(), field: field.to_owned() };
                return Err(problem(unknown).hint(nearest(key, KEYS, Case::Sensitive)));
            }
        }
        Ok(())
    }

    fn not_of_kind(&self, key: &str) -> Problem {
        Problem::KeyOfOtherType { key: key.to_owned(), kind: self.kind.name() }
    }

    /// What cannot be together.
    fn check(&self) -> Result<(), Problem> {
        let kind = self.kind.name();
        if matches!(self.kind, MountKind::Bind | MountKind::Tmpfs) {
            let owner = [("mode", self.mode), ("uid", self.uid), ("gid", self.gid)];
            if let Some((key, _)) = owner.into_iter().find(|(_, value)| value.is_some()) {
                return Err(Problem::NotAllowed { key, kind });
            }
        }
        if self.kind == MountKind::Secret {
            self.check_secret()?;
        }
        if self.kind == MountKind::Ssh && !self.source.is_empty() {
            return Err(Problem::SshSource);
        }
        if self.sharing.is_some() && self.kind != MountKind::Cache {
            return Err(Problem::SharingOfOtherType(kind));
        }
        Ok(())
    }

    fn check_secret(&self) -> Result<(), Problem> {
        if !self.from.is_empty() {
            return Err(Problem::SecretFrom);
        }
        if self.sharing.is_some() {
            return Err(Problem::SecretSharing);
        }
        match (self.source.is_empty(), self.id.is_empty()) {
            (false, false) => Err(Problem::SecretSourceAndId),
            (true, true) if self.target.is_empty() => Err(Problem::SecretWithoutName),
            _ => Ok(()),
        }
    }
}

fn known<T: Copy>(
    value: &str,
    all: &[(&'static str, T)],
    problem: fn(String) -> Problem,
) -> Result<T, Error> {
    let found = all.iter().find(|(name, _)| name.eq_ignore_ascii_case(value)).map(|(_, known)| *known);
    found.ok_or_else(|| {
        let names = all.iter().map(|(name, _)| *name);
        Error::new(AnyProblem::Mount(problem(value.to_owned()))).hint(nearest(value, names, Case::Sensitive))
    })
}

fn boolean(key: &str, value: &str) -> Result<bool, Problem> {
    let problem = || Problem::Value { key: key.to_owned(), value: value.to_owned() };
    oci::boolean::parse(value).ok_or_else(problem)
}

fn number(key: &'static str, value: String, radix: u32) -> Result<u32, Problem> {
    let is_number = value.bytes().all(|byte| byte.is_ascii_digit());
    let read = is_number.then(|| u32::from_str_radix(&value, radix).ok()).flatten();
    read.ok_or(Problem::Number { key, value })
}

/// `64m`, `1.5GiB`: as Docker reads sizes of memory.
fn bytes(text: &str) -> Option<i64> {
    let end = text.rfind(|char: char| char.is_ascii_digit() || char == '.')? + 1;
    let (number, unit) = text.split_at(end);
    let unit = unit.strip_prefix(' ').unwrap_or(unit).to_ascii_lowercase();
    let unit = unit.strip_suffix("ib").or_else(|| unit.strip_suffix('b')).unwrap_or(&unit);
    let power = match unit {
        "" => 0,
        "k" => 1,
        "m" => 2,
        "g" => 3,
        "t" => 4,
        "p" => 5,
        _ => return None,
    };
    let number: f64 = number.parse().ok().filter(|number: &f64| *number >= 0.0)?;
    let bytes = number * 1024_f64.powi(power);
    (bytes < i64::MAX as f64).then_some(bytes as i64)
}

/// Fields that commas separate; in quotes, a comma is an ordinary character and two quotes are one.
fn fields(text: &str) -> Result<Vec<String>, Problem> {
    let mut fields = Vec::new();
    let mut rest = text;
    loop {
        let (field, after) = match rest.strip_prefix('"') {
            Some(quoted) => quoted_field(quoted)?,
            None => plain_field(rest)?,
        };
        fields.push(field);
        match after {
            Some(after) => rest = after,
            None => return Ok(fields),
        }
    }
}

/// A field, and what follows the comma after it.
type Field<'a> = (String, Option<&'a str>);

fn plain_field(text: &str) -> Result<Field<'_>, Problem> {
    let (field, after) = text.split_once(',').map_or((text, None), |(field, after)| (field, Some(after)));
    if field.contains('"') {
        return Err(Problem::Csv("bare \" in non-quoted-field"));
    }
    Ok((field.to_owned(), after))
}

fn quoted_field(text: &str) -> Result<Field<'_>, Problem> {
    let mut field = String::new();
    let mut rest = text;
    loop {
        let (piece, after) =
            rest.split_once('"').ok_or(Problem::Csv("extraneous or missing \" in quoted-field"))?;
        field.push_str(piece);
        match after.chars().next() {
            None => return Ok((field, None)),
            Some(',') => return Ok((field, Some(&after[1..]))),
            Some('"') => {
                field.push('"');
                rest = &after[1..];
            }
            Some(_) => return Err(Problem::Csv("extraneous or missing \" in quoted-field")),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parse(text: &str) -> Result<Mount, String> {
        Mount::parse(text, &mut |value| Ok(value.replace("$X", "x"))).map_err(|error| error.to_string())
    }

    #[test]
    fn mounts_are_read_with_their_defaults() {
        let bind = Mount { target: "/a".into(), is_read_only: true, ..Mount::default() };
        let cache = Mount { kind: MountKind::Cache, target: "/a".into(), ..Mount::default() };
        for (text, expected) in [
            ("target=/a", bind.clone()),
            ("type=bind,dst=/a,rw", Mount { is_read_only: false, ..bind.clone() }),
            ("destination=/a,readwrite=false", bind.clone()),
            ("target=/a,from=s,src=b", Mount { from: "s".into(), source: "b".into(), ..bind.clone() }),
            ("type=cache,target=/a", cache.clone()),
            ("TYPE=CACHE,target=/a,ro=1", Mount { is_read_only: true, ..cache.clone() }),
            (
                "type=cache,target=/a,id=$X,sharing=locked,uid=1,gid=2,mode=0700",
                Mount {
                    id: "x".into(),
                    sharing: Some(Sharing::Locked),
                    uid: Some(1),
                    gid: Some(2),
                    mode: Some(0o700),
                    ..cache
                },
            ),
            (
                "type=tmpfs,target=/a,size=1.5k",
                Mount { kind: MountKind::Tmpfs, size: 1536, is_read_only: false, ..bind.clone() },
            ),
            (
                "type=secret,id=s,required,env=E",
                Mount {
                    kind: MountKind::Secret,
                    id: "s".into(),
                    is_required: true,
                    env: Some("E".into()),
                    is_read_only: true,
                    ..Mount::default()
                },
            ),
            ("type=ssh", Mount { kind: MountKind::Ssh, is_read_only: true, ..Mount::default() }),
            ("\"target=/a,b\",ro", Mount { target: "/a,b".into(), ..bind }),
        ] {
            assert_eq!(parse(text), Ok(expected), "{text}");
        }
    }

    #[test]
    fn mounts_that_cannot_be_are_refused() {
        for (text, expected) in [
            ("type=bnd", "unsupported mount type \"bnd\" (did you mean bind?)"),
            ("type=cache,sharing=lock", "unsupported sharing value \"lock\" (did you mean locked?)"),
            ("target", "invalid field 'target' must be a key=value pair"),
            ("trget=/a", "unexpected key 'trget' in 'trget=/a' (did you mean target?)"),
            ("zzzzzzz=/a", "unexpected key 'zzzzzzz' in 'zzzzzzz=/a'"),
            ("required", "unexpected key 'required' for mount type 'bind'"),
            ("type=cache,required=true", "unexpected key 'required' for mount type 'cache'"),
            ("size=1", "unexpected key 'size' for mount type 'bind'"),
            ("type=tmpfs,size=x", "invalid value for size: x"),
            ("ro=maybe", "invalid value for ro: maybe"),
            ("type=cache,mode=9", "invalid value 9 for mode"),
            ("type=cache,uid=+1", "invalid value +1 for uid"),
            ("type=cache,gid=", "invalid value  for gid"),
            ("uid=1", "uid not allowed for \"bind\" type mounts"),
            ("type=tmpfs,mode=1", "mode not allowed for \"tmpfs\" type mounts"),
            ("sharing=shared", "invalid cache sharing set for bind mount"),
            ("type=secret", "invalid secret mount. one of source, target required"),
            ("type=secret,id=a,source=b", "both source and id can't be set"),
            ("type=secret,id=a,from=b", "secret mount should not have a from"),
            ("type=secret,id=a,sharing=shared", "secret mount should not define sharing"),
            ("type=ssh,source=a", "ssh does not support source"),
            ("a\"b", "failed to parse csv mounts: bare \" in non-quoted-field"),
            ("\"a", "failed to parse csv mounts: extraneous or missing \" in quoted-field"),
        ] {
            assert_eq!(parse(text), Err(expected.to_owned()), "{text}");
        }
    }

    #[test]
    fn stage_of_a_mount_has_no_variables() {
        assert_eq!(from_of("type=bind,FROM=a,target=/b").as_deref(), Some("a"));
        assert_eq!(from_of("target=/b,from="), None);
        let error = check_unexpanded("from=$x").unwrap_err().to_string();
        assert_eq!(error, "'from' doesn't support variable expansion, define alias stage instead");
        assert_eq!(check_unexpanded("from=a$"), Ok(()));
    }

    #[test]
    fn sizes_are_read_as_docker_does() {
        for (text, expected) in [
            ("1", Some(1)),
            ("2kb", Some(2048)),
            ("1 MiB", Some(1 << 20)),
            ("1g", Some(1 << 30)),
            ("", None),
            ("k", None),
            ("1x", None),
            ("-1", None),
            ("9999999p", None),
        ] {
            assert_eq!(bytes(text), expected, "{text}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_read_without_panic(text in "[a-z=,\"$ ]{0,40}|type=(bind|cache|secret|ssh),[a-z=,\"]{0,20}") {
            let _ = (parse(&text), check_unexpanded(&text), from_of(&text));
        }
    }
}
