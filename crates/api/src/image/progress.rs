//! The messages of a pull or a load, one JSON object a line.

use serde::{Deserialize, Serialize};

use crate::omit;

/// One message.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ProgressMessage {
    /// Text that is printed as it is.
    #[serde(skip_serializing_if = "omit::empty")]
    pub stream: String,
    /// What is done: `Downloading`, `Pull complete`, ….
    #[serde(skip_serializing_if = "omit::empty")]
    pub status: String,
    /// How far it is; `{}` where that is not known.
    #[serde(rename = "progressDetail", skip_serializing_if = "Option::is_none")]
    pub progress_detail: Option<ProgressDetail>,
    /// The same, drawn: `[=====>     ]  1.2MB/3.4MB`.
    #[serde(skip_serializing_if = "omit::empty")]
    pub progress: String,
    /// To which layer it happens.
    #[serde(skip_serializing_if = "omit::empty")]
    pub id: String,
    /// Why it failed; the last message.
    #[serde(rename = "errorDetail", skip_serializing_if = "Option::is_none")]
    pub error_detail: Option<ErrorDetail>,
    /// The same as text.
    #[serde(skip_serializing_if = "omit::empty")]
    pub error: String,
    /// Data for programs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub aux: Option<serde_json::Value>,
}

/// How far something is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ProgressDetail {
    /// Units done.
    #[serde(skip_serializing_if = "omit::empty")]
    pub current: i64,
    /// Units in all; 0 where that is not known.
    #[serde(skip_serializing_if = "omit::empty")]
    pub total: i64,
    /// When it began, seconds since 1970 UTC.
    #[serde(skip_serializing_if = "omit::empty")]
    pub start: i64,
    /// Whether only the bar is shown.
    #[serde(skip_serializing_if = "omit::empty")]
    pub hidecounts: bool,
    /// The unit; empty is bytes.
    #[serde(skip_serializing_if = "omit::empty")]
    pub units: String,
}

/// Why something failed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ErrorDetail {
    /// An HTTP status, or 0.
    #[serde(skip_serializing_if = "omit::empty")]
    pub code: i64,
    /// The text for people.
    #[serde(skip_serializing_if = "omit::empty")]
    pub message: String,
}

impl ProgressMessage {
    /// A line about the whole.
    pub fn status(status: impl Into<String>) -> Self {
        Self { status: status.into(), ..Self::default() }
    }

    /// A line about one layer. dockerd sends an empty `progressDetail` with it, which makes clients redraw that line.
    pub fn layer(id: impl Into<String>, status: impl Into<String>) -> Self {
        Self {
            id: id.into(),
            status: status.into(),
            progress_detail: Some(ProgressDetail::default()),
            ..Self::default()
        }
    }

    /// A line about one layer, with how far it is.
    pub fn layer_progress(
        id: impl Into<String>,
        status: impl Into<String>,
        current: i64,
        total: i64,
    ) -> Self {
        let detail = ProgressDetail { current, total, ..ProgressDetail::default() };
        let progress = detail.bar();
        Self { progress, progress_detail: Some(detail), ..Self::layer(id, status) }
    }

    /// Text that is printed as it is.
    pub fn stream(text: impl Into<String>) -> Self {
        Self { stream: text.into(), ..Self::default() }
    }

    /// The message that says why it failed.
    pub fn error(message: impl Into<String>) -> Self {
        let message = message.into();
        let detail = ErrorDetail { message: message.clone(), ..ErrorDetail::default() };
        Self { error_detail: Some(detail), error: message, ..Self::default() }
    }
}

impl ProgressDetail {
    /// The bar as dockerd draws it, for a wide terminal.
    pub fn bar(&self) -> String {
        if self.current <= 0 && self.total <= 0 {
            return String::new();
        }
        let current = human_size(self.current);
        if self.total <= 0 {
            return format!("{current:>8}");
        }
        let filled = (self.current.max(0) as f64 / self.total as f64 * 50.0).min(50.0) as usize;
        let bar = format!("[{}>{}] ", "=".repeat(filled), " ".repeat(50 - filled));
        if self.current > self.total {
            return format!("{bar}{current:>8}");
        }
        format!("{bar}{current:>8}/{}", human_size(self.total))
    }
}

/// Four significant digits and a decimal unit: `1.234MB`.
fn human_size(bytes: i64) -> String {
    const UNITS: [&str; 6] = ["B", "kB", "MB", "GB", "TB", "PB"];
    let mut size = bytes as f64;
    let mut unit = 0;
    while size >= 1000.0 && unit + 1 < UNITS.len() {
        size /= 1000.0;
        unit += 1;
    }
    format!("{}{}", four_digits(size), UNITS[unit])
}

/// As C's `%.4g` for 0 to 1000.
fn four_digits(size: f64) -> String {
    let decimals = if size >= 100.0 {
        1
    } else if size >= 10.0 {
        2
    } else {
        3
    };
    let text = format!("{size:.decimals$}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn layer_line_has_an_empty_detail() {
        let text = serde_json::to_string(&ProgressMessage::layer("abc", "Waiting")).unwrap();
        assert_eq!(text, r#"{"status":"Waiting","progressDetail":{},"id":"abc"}"#);
    }

    #[test]
    fn bar_is_drawn_as_by_dockerd() {
        let detail = ProgressDetail { current: 1_234_567, total: 2_469_134, ..ProgressDetail::default() };
        let half = format!("[{}>{}]  1.235MB/2.469MB", "=".repeat(25), " ".repeat(25));
        assert_eq!(detail.bar(), half);
        let unknown = ProgressDetail { current: 512, ..ProgressDetail::default() };
        assert_eq!(unknown.bar(), "    512B");
        assert_eq!(ProgressDetail::default().bar(), "");
    }

    #[test]
    fn error_is_told_twice() {
        let text = serde_json::to_string(&ProgressMessage::error("no space")).unwrap();
        assert_eq!(text, r#"{"errorDetail":{"message":"no space"},"error":"no space"}"#);
    }
}
