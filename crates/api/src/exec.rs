//! Further processes in a running container.

use serde::{Deserialize, Serialize};

use crate::omit;

/// The body of `POST /containers/{id}/exec`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct ExecCreateRequest {
    /// `[name|uid][:[group|gid]]`; empty is the container's.
    pub user: String,
    /// Whether it runs with all capabilities.
    pub privileged: bool,
    /// Whether it has a terminal.
    pub tty: bool,
    /// Rows and columns of the terminal.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub console_size: Option<[u32; 2]>,
    /// Whether standard input is connected.
    pub attach_stdin: bool,
    /// Whether standard error is connected.
    pub attach_stderr: bool,
    /// Whether standard output is connected.
    pub attach_stdout: bool,
    /// Not used; see [`ExecStartRequest::detach`].
    pub detach: bool,
    /// The keys that detach; empty is the engine's default.
    pub detach_keys: String,
    /// Variables in addition to the container's.
    pub env: Option<Vec<String>>,
    /// The directory; empty is the container's.
    pub working_dir: String,
    /// Program and arguments.
    pub cmd: Option<Vec<String>>,
}

/// The body of `POST /exec/{id}/start`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct ExecStartRequest {
    /// Whether the answer does not wait for the process.
    pub detach: bool,
    /// Whether it has a terminal: output is not framed.
    pub tty: bool,
    /// Rows and columns of the terminal (API 1.42).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub console_size: Option<[u32; 2]>,
}

/// The answer to `GET /exec/{id}/json`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ExecInspect {
    /// The exec ID.
    #[serde(rename = "ID")]
    pub id: String,
    /// Whether it runs.
    #[serde(rename = "Running")]
    pub running: bool,
    /// Its exit code; null before its end.
    #[serde(rename = "ExitCode")]
    pub exit_code: Option<i64>,
    /// What runs.
    #[serde(rename = "ProcessConfig")]
    pub process_config: ProcessConfig,
    /// Whether standard input is connected.
    #[serde(rename = "OpenStdin")]
    pub open_stdin: bool,
    /// Whether standard error is connected.
    #[serde(rename = "OpenStderr")]
    pub open_stderr: bool,
    /// Whether standard output is connected.
    #[serde(rename = "OpenStdout")]
    pub open_stdout: bool,
    /// Whether it can be removed.
    #[serde(rename = "CanRemove")]
    pub can_remove: bool,
    /// The container.
    #[serde(rename = "ContainerID")]
    pub container_id: String,
    /// The bytes that detach; base64 on the wire.
    #[serde(rename = "DetachKeys", with = "base64_bytes")]
    pub detach_keys: Option<Vec<u8>>,
    /// Process ID as the host sees it.
    #[serde(rename = "Pid")]
    pub pid: i64,
}

/// What an exec runs.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ProcessConfig {
    /// Whether it has a terminal.
    pub tty: bool,
    /// The program.
    pub entrypoint: String,
    /// Its arguments.
    pub arguments: Vec<String>,
    /// Whether it runs with all capabilities.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub privileged: Option<bool>,
    /// As whom it runs.
    #[serde(skip_serializing_if = "omit::empty")]
    pub user: String,
}

mod base64_bytes {
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    pub(super) fn serialize<S: Serializer>(
        bytes: &Option<Vec<u8>>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        bytes.as_ref().map(|bytes| STANDARD.encode(bytes)).serialize(serializer)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<Vec<u8>>, D::Error> {
        let text = Option::<String>::deserialize(deserializer)?;
        text.map(|text| STANDARD.decode(text)).transpose().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn detach_keys_are_base64_on_the_wire() {
        let inspect = ExecInspect { detach_keys: Some(vec![16, 17]), ..ExecInspect::default() };
        let text = serde_json::to_string(&inspect).unwrap();
        assert!(text.contains(r#""DetachKeys":"EBE=""#), "{text}");
        assert_eq!(crate::json::from_slice::<ExecInspect>(text.as_bytes()).unwrap(), inspect);
    }
}
