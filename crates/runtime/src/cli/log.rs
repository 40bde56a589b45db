//! Messages, in the forms that callers read.

use std::fs;
use std::io::Write;
use std::path::PathBuf;

use super::arguments::{Global, LogFormat};

/// Where messages go, and in which form.
pub(super) struct Log {
    file: Option<PathBuf>,
    format: LogFormat,
}

impl Log {
    pub(super) fn new(global: &Global) -> Self {
        Self { file: global.log.clone(), format: global.log_format }
    }

    /// Writes to the file that the caller looks into, and for people to standard error.
    pub(super) fn error(&self, message: &str) {
        eprintln!("{message}");
        let Some(path) = &self.file else { return };
        let line = self.line(message);
        let written = fs::OpenOptions::new()
            .append(true)
            .create(true)
            .open(path)
            .and_then(|mut file| file.write_all(line.as_bytes()));
        if let Err(error) = written {
            eprintln!("cannot write the log {path:?}: {error}");
        }
    }

    fn line(&self, message: &str) -> String {
        let time = jiff::Timestamp::now().to_string();
        match self.format {
            LogFormat::Json => {
                let line = serde_json::json!({ "level": "error", "msg": message, "time": time });
                format!("{line}\n")
            }
            LogFormat::Text => format!("time={time:?} level=error msg={message:?}\n"),
        }
    }
}
