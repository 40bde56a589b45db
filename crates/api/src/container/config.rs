//! The part of a container's configuration that does not depend on the host.

use serde::{Deserialize, Deserializer, Serialize};

use crate::{StringMap, StringSet, omit};

/// A command: one string, or a list of arguments. A single string is read as a list of one.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct StrSlice(pub Vec<String>);

impl<'de> Deserialize<'de> for StrSlice {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Arguments;
        impl<'de> serde::de::Visitor<'de> for Arguments {
            type Value = StrSlice;

            fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                formatter.write_str("a string or a list of strings")
            }

            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<StrSlice, E> {
                Ok(StrSlice(vec![text.to_owned()]))
            }

            fn visit_seq<A: serde::de::SeqAccess<'de>>(self, mut access: A) -> Result<StrSlice, A::Error> {
                let mut arguments = Vec::new();
                while let Some(argument) = access.next_element()? {
                    arguments.push(argument);
                }
                Ok(StrSlice(arguments))
            }

            fn visit_unit<E: serde::de::Error>(self) -> Result<StrSlice, E> {
                Ok(StrSlice::default())
            }
        }
        deserializer.deserialize_any(Arguments)
    }
}

impl std::ops::Deref for StrSlice {
    type Target = Vec<String>;

    fn deref(&self) -> &Vec<String> {
        &self.0
    }
}

impl From<Vec<String>> for StrSlice {
    fn from(arguments: Vec<String>) -> Self {
        Self(arguments)
    }
}

/// What runs and as whom.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Config {
    /// The host name; empty for the short ID.
    pub hostname: String,
    /// The NIS domain name.
    pub domainname: String,
    /// `[name|uid][:[group|gid]]`.
    pub user: String,
    /// Whether the client that starts it is attached to standard input.
    pub attach_stdin: bool,
    /// Whether it is attached to standard output.
    pub attach_stdout: bool,
    /// Whether it is attached to standard error.
    pub attach_stderr: bool,
    /// Ports that are meant to be published, `port/protocol`.
    #[serde(skip_serializing_if = "omit::empty_map")]
    pub exposed_ports: Option<StringSet>,
    /// Whether the process has a terminal.
    pub tty: bool,
    /// Whether standard input stays open.
    pub open_stdin: bool,
    /// Whether standard input is closed when the first client that attached to it leaves.
    pub stdin_once: bool,
    /// `NAME=value`; `NAME` alone removes a variable of the image.
    pub env: Option<Vec<String>>,
    /// Arguments of the entry point, or the command where there is none.
    pub cmd: Option<StrSlice>,
    /// How the container's health is checked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub healthcheck: Option<Healthcheck>,
    /// Whether the command is escaped already (Windows).
    #[serde(skip_serializing_if = "omit::empty")]
    pub args_escaped: bool,
    /// The image as the client wrote it.
    pub image: String,
    /// Paths that are volumes.
    pub volumes: Option<StringSet>,
    /// The directory in which the command runs.
    pub working_dir: String,
    /// The program that gets the command as arguments.
    pub entrypoint: Option<StrSlice>,
    /// Whether there is no network.
    #[serde(skip_serializing_if = "omit::empty")]
    pub network_disabled: bool,
    /// MAC address (up to API 1.43; later in the endpoint's settings).
    #[serde(skip_serializing_if = "omit::empty")]
    pub mac_address: String,
    /// Triggers of the image's Dockerfile.
    pub on_build: Option<Vec<String>>,
    /// Labels.
    pub labels: Option<StringMap>,
    /// The signal that asks the container to end, by name or number.
    #[serde(skip_serializing_if = "omit::empty")]
    pub stop_signal: String,
    /// Seconds between that signal and `SIGKILL`; -1 waits for ever.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stop_timeout: Option<i64>,
    /// The shell of the shell forms.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub shell: Option<StrSlice>,
}

/// How the health of a container is checked. Durations are nanoseconds; 0 is "as in the image, else the default".
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Healthcheck {
    /// `[]` inherits, `["NONE"]` disables, `["CMD", …]` executes, `["CMD-SHELL", text]` runs the shell.
    #[serde(skip_serializing_if = "omit::empty_list")]
    pub test: Option<Vec<String>>,
    /// Time between two checks.
    #[serde(skip_serializing_if = "omit::empty")]
    pub interval: i64,
    /// Time after which a check has failed.
    #[serde(skip_serializing_if = "omit::empty")]
    pub timeout: i64,
    /// Time in which failures do not count.
    #[serde(skip_serializing_if = "omit::empty")]
    pub start_period: i64,
    /// Time between two checks during the start period (API 1.44).
    #[serde(skip_serializing_if = "omit::empty")]
    pub start_interval: i64,
    /// Failures in a row after which the container is unhealthy.
    #[serde(skip_serializing_if = "omit::empty")]
    pub retries: i64,
}
