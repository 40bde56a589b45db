//! The short form: `source:target[:options]`.

use std::path::PathBuf;

use super::{BindSource, MountSettings, MountSource, ReadOnlyReach, VolumeSource, absolute, is_propagation};
use crate::error::Error;

/// Reads one `-v` value. A source that is not an absolute path names a volume.
pub(super) fn parse(text: &str) -> Result<MountSettings, Error> {
    let invalid = || Error::invalid(format!("invalid volume specification: '{text}'"));
    let parts: Vec<&str> = text.split(':').collect();
    let (source, target, mode) = match parts[..] {
        [source, target] => (source, target, ""),
        [source, target, mode] if !mode.is_empty() => (source, target, mode),
        _ => return Err(invalid()),
    };
    if source.is_empty() || target.is_empty() {
        return Err(invalid());
    }
    let options = Options::parse(mode)?;
    let source = if source.starts_with('/') { bind(source, &options) } else { volume(source, &options)? };
    Ok(MountSettings {
        target: absolute(target)?,
        read_only: options.read_only,
        source,
        mode: mode.to_owned(),
    })
}

fn bind(source: &str, options: &Options) -> MountSource {
    MountSource::Bind(BindSource {
        path: PathBuf::from(source),
        propagation: options.propagation.clone().unwrap_or_else(|| "rprivate".to_owned()),
        recursive: true,
        read_only_reach: ReadOnlyReach::Recursive,
        create: true,
    })
}

fn volume(name: &str, options: &Options) -> Result<MountSource, Error> {
    if !super::is_volume_name(name) {
        return Err(Error::invalid(format!(
            "\"{name}\" includes invalid characters for a local volume name, only \"[a-zA-Z0-9][a-zA-Z0-9_.-]\" are \
             allowed. If you intended to pass a host directory, use absolute path"
        )));
    }
    Ok(MountSource::Volume(VolumeSource { name: name.to_owned(), anonymous: false, copy: options.copy }))
}

struct Options {
    read_only: bool,
    copy: bool,
    propagation: Option<String>,
}

impl Options {
    /// `z` and `Z` relabel for SELinux, and the consistency words are for other systems: like Docker, both are taken and
    /// have no effect here.
    fn parse(mode: &str) -> Result<Self, Error> {
        let mut options = Self { read_only: false, copy: true, propagation: None };
        for word in mode.split(',').filter(|_| !mode.is_empty()) {
            match word {
                "ro" => options.read_only = true,
                "rw" => options.read_only = false,
                "nocopy" => options.copy = false,
                "z" | "Z" | "consistent" | "cached" | "delegated" => {}
                word if is_propagation(word) => options.propagation = Some(word.to_owned()),
                _ => return Err(Error::invalid(format!("invalid mode: {mode}"))),
            }
        }
        Ok(options)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn absolute_source_is_a_bind_and_a_name_is_a_volume() {
        let mount = parse("/host:/in:ro,rshared").unwrap();
        assert!(mount.read_only);
        assert!(
            matches!(mount.source, MountSource::Bind(bind) if bind.propagation == "rshared" && bind.create)
        );
        let mount = parse("data:/in:nocopy").unwrap();
        assert!(matches!(mount.source, MountSource::Volume(volume) if volume.name == "data" && !volume.copy));
    }

    #[test]
    fn malformed_values_are_refused() {
        for text in [
            "",
            ":",
            "/a",
            "/a:",
            ":/b",
            "/a:/b:",
            "/a:/b:ro:x",
            "/a:b",
            "../x:/b",
            "/a:/b:sometimes",
            "/a:/",
        ] {
            assert!(matches!(parse(text), Err(Error::InvalidParameter { .. })), "{text}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused_without_panic(text in "[a-z/:.,\\PC]{0,40}") {
            if let Ok(mount) = parse(&text) {
                prop_assert!(mount.target.starts_with('/') && !mount.target.contains("/../"));
            }
        }
    }
}
