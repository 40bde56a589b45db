//! Platforms that images are made for: `os/architecture[/variant]`, normalised as containerd does.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Why a text names no platform. The texts are containerd's, which Docker shows.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PlatformError {
    /// A part is empty or has characters that no platform has.
    #[error(
        "{0:?} is an invalid component of {1:?}: platform specifier component must match \"^[A-Za-z0-9_.-]+$\": invalid argument"
    )]
    Component(String, String),
    /// One word that is neither an operating system nor an architecture.
    #[error("{0:?}: unknown operating system or architecture: invalid argument")]
    Unknown(String),
    /// More than three parts.
    #[error("{0:?}: cannot parse platform specifier: invalid argument")]
    Parts(String),
}

/// An operating system, an architecture and its variant, in normal form: `amd64`, never `x86_64`; `arm64` without `v8`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Platform {
    /// Go's name of the operating system.
    pub os: String,
    /// Go's name of the architecture.
    pub architecture: String,
    /// The variant, without the one that goes without saying.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub variant: Option<String>,
}

impl Platform {
    /// The normal form of these parts.
    pub fn new(os: &str, architecture: &str, variant: Option<&str>) -> Self {
        let (architecture, variant) = normalise(architecture, variant.unwrap_or_default());
        let os = os.to_ascii_lowercase();
        let os = if os == "macos" { "darwin".into() } else { os };
        Self { os, architecture, variant: (!variant.is_empty()).then_some(variant) }
    }

    /// The platform of this machine.
    pub fn host() -> Self {
        Self::new("linux", std::env::consts::ARCH, None)
    }

    /// How well an image for `self` serves a wish for `wanted`: `None` not at all, 0 exactly, more is worse.
    ///
    /// As containerd's `Only`: a later ARM core runs what was built for earlier ones, a later x86-64 level likewise, and
    /// 64-bit machines run their 32-bit predecessors' programs.
    pub fn distance(&self, wanted: &Self) -> Option<u32> {
        if self.os != wanted.os {
            return None;
        }
        let mine = (self.architecture.as_str(), self.variant.as_deref());
        candidates(wanted)
            .iter()
            .position(|(architecture, variant)| {
                mine.0 == *architecture && mine.1.unwrap_or_default() == variant.as_str()
            })
            .map(|position| position as u32)
    }

    /// Whether an image for `self` serves a wish for `wanted`.
    pub fn satisfies(&self, wanted: &Self) -> bool {
        self.distance(wanted).is_some()
    }
}

impl Default for Platform {
    fn default() -> Self {
        Self::host()
    }
}

impl fmt::Display for Platform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.os, self.architecture)?;
        match &self.variant {
            Some(variant) => write!(f, "/{variant}"),
            None => Ok(()),
        }
    }
}

impl FromStr for Platform {
    type Err = PlatformError;

    fn from_str(text: &str) -> Result<Self, PlatformError> {
        let parts: Vec<&str> = text.split('/').collect();
        for part in &parts {
            let is_valid = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b'-');
            if part.is_empty() || !part.bytes().all(is_valid) {
                return Err(PlatformError::Component((*part).into(), text.into()));
            }
        }
        match parts[..] {
            [os] if is_known_os(os) => Ok(Self::new(os, std::env::consts::ARCH, None)),
            [architecture] if is_known_architecture(architecture) => {
                Ok(Self::new("linux", architecture, None))
            }
            [_] => Err(PlatformError::Unknown(text.into())),
            [os, architecture] => Ok(Self::new(os, architecture, None)),
            [os, architecture, variant] => Ok(Self::new(os, architecture, Some(variant))),
            _ => Err(PlatformError::Parts(text.into())),
        }
    }
}

/// Architecture and variant in normal form.
fn normalise(architecture: &str, variant: &str) -> (String, String) {
    let (architecture, variant) = (architecture.to_ascii_lowercase(), variant.to_ascii_lowercase());
    let (architecture, variant) = match (architecture.as_str(), variant.as_str()) {
        ("x86_64" | "x86-64" | "amd64", "v1") => ("amd64", ""),
        ("x86_64" | "x86-64", other) => ("amd64", other),
        ("x86" | "i386" | "i486" | "i586" | "i686", _) => ("386", ""),
        ("aarch64" | "arm64", "8" | "v8") => ("arm64", ""),
        ("aarch64", other) => ("arm64", other),
        ("armhf", _) => ("arm", "v7"),
        ("armel", _) => ("arm", "v6"),
        ("arm", "" | "7") => ("arm", "v7"),
        ("arm", "5") => ("arm", "v5"),
        ("arm", "6") => ("arm", "v6"),
        ("arm", "8") => ("arm", "v8"),
        (architecture, variant) => (architecture, variant),
    };
    (architecture.into(), variant.into())
}

/// What runs on `wanted`, the best first.
fn candidates(wanted: &Platform) -> Vec<(&str, String)> {
    let variant = wanted.variant.clone().unwrap_or_default();
    let mut found = vec![(wanted.architecture.as_str(), variant.clone())];
    match wanted.architecture.as_str() {
        "amd64" => {
            let level = variant.strip_prefix('v').and_then(|level| level.parse::<u32>().ok()).unwrap_or(1);
            found.extend((2..level).rev().map(|lower| ("amd64", format!("v{lower}"))));
            if level > 1 {
                found.push(("amd64", String::new()));
            }
            found.push(("386", String::new()));
        }
        "arm64" => {
            if !variant.is_empty() {
                found.push(("arm64", String::new()));
            }
            found.extend((5..=8).rev().map(|core| ("arm", format!("v{core}"))));
        }
        "arm" => {
            let core =
                variant.strip_prefix('v').and_then(|core| core.parse::<u32>().ok()).unwrap_or(7).min(9);
            found.extend((5..core).rev().map(|lower| ("arm", format!("v{lower}"))));
        }
        _ => {}
    }
    found
}

fn is_known_os(os: &str) -> bool {
    let known = [
        "aix",
        "android",
        "darwin",
        "dragonfly",
        "freebsd",
        "hurd",
        "illumos",
        "ios",
        "js",
        "linux",
        "macos",
        "nacl",
        "netbsd",
        "openbsd",
        "plan9",
        "solaris",
        "wasip1",
        "windows",
        "zos",
    ];
    known.contains(&os.to_ascii_lowercase().as_str())
}

fn is_known_architecture(architecture: &str) -> bool {
    let known = [
        "386", "amd64", "arm", "arm64", "loong64", "mips", "mips64", "mips64le", "mipsle", "ppc64",
        "ppc64le", "riscv64", "s390x", "wasm",
    ];
    known.contains(&normalise(architecture, "").0.as_str())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parse(text: &str) -> Platform {
        text.parse().unwrap()
    }

    #[test]
    fn platform_spellings_have_one_normal_form() {
        for (text, normal) in [
            ("linux/x86_64", "linux/amd64"),
            ("Linux/AMD64/v1", "linux/amd64"),
            ("linux/amd64/v3", "linux/amd64/v3"),
            ("linux/aarch64", "linux/arm64"),
            ("linux/arm64/v8", "linux/arm64"),
            ("linux/arm", "linux/arm/v7"),
            ("linux/arm/6", "linux/arm/v6"),
            ("linux/armhf", "linux/arm/v7"),
            ("linux/i386", "linux/386"),
            ("arm64", "linux/arm64"),
            ("windows/amd64", "windows/amd64"),
        ] {
            assert_eq!(parse(text).to_string(), normal, "{text}");
        }
        assert_eq!(parse("linux"), Platform::host());
    }

    #[test]
    fn platform_malformed_is_refused() {
        let message = |text: &str| text.parse::<Platform>().unwrap_err().to_string();
        assert_eq!(message("vax"), "\"vax\": unknown operating system or architecture: invalid argument");
        assert_eq!(message("a/b/c/d"), "\"a/b/c/d\": cannot parse platform specifier: invalid argument");
        assert!(message("linux/").starts_with("\"\" is an invalid component of \"linux/\""));
        assert!(message("li nux/arm").contains("invalid argument"));
    }

    #[test]
    fn platform_nearest_compatible_image_is_preferred() {
        let wanted = parse("linux/arm/v7");
        assert_eq!(parse("linux/arm/v7").distance(&wanted), Some(0));
        assert_eq!(parse("linux/arm/v6").distance(&wanted), Some(1));
        assert_eq!(parse("linux/arm/v8").distance(&wanted), None);
        assert_eq!(parse("linux/arm64").distance(&wanted), None);
        assert!(parse("linux/386").satisfies(&parse("linux/amd64")));
        assert!(!parse("linux/amd64/v3").satisfies(&parse("linux/amd64")));
        assert!(parse("linux/amd64").satisfies(&parse("linux/amd64/v3")));
        assert!(!parse("windows/amd64").satisfies(&parse("linux/amd64")));
    }

    proptest! {
        #[test]
        fn platform_any_text_never_panics_and_accepted_ones_are_stable(text in "[ -~]{0,30}|[a-z0-9_/.]{0,20}") {
            if let Ok(platform) = text.parse::<Platform>() {
                prop_assert_eq!(parse(&platform.to_string()), platform.clone());
                prop_assert_eq!(platform.distance(&platform), Some(0));
            }
        }
    }
}
