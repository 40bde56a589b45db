//! `manifest annotate`: for what an image of a list is.

use super::{parse, store};
use crate::app::App;
use crate::command::{Arity, Leaf};
use crate::failure::Failure;
use crate::flag::{Flag, Options, Strings};
use crate::manifests::Platform;

/// Changes an image of a list.
pub(super) struct Annotate;

#[derive(Default)]
pub(super) struct AnnotateFlags {
    arch: String,
    os: String,
    os_features: Strings,
    os_version: String,
    variant: String,
}

impl Options for AnnotateFlags {
    const FLAGS: &'static [Flag<Self>] = &[
        Flag::new("arch", "Architecture", |o| &mut o.arch),
        Flag::new("os", "Operating system", |o| &mut o.os),
        Flag::new("os-features", "What the operating system must have", |o| &mut o.os_features),
        Flag::new("os-version", "Version of the operating system", |o| &mut o.os_version),
        Flag::new("variant", "Variant of the architecture", |o| &mut o.variant),
    ];
}

impl Leaf for Annotate {
    type Options = AnnotateFlags;
    const NAME: &'static str = "annotate";
    const ABOUT: &'static str = "Add additional information to a local image manifest";
    const USAGE: &'static str = "[OPTIONS] MANIFEST_LIST MANIFEST";
    const ARITY: Arity = Arity::Exactly(2);

    fn run(app: &App, flags: AnnotateFlags, arguments: Vec<String>) -> Result<(), Failure> {
        let named = |what: &str, text: &str| {
            parse(text).map_err(|error| {
                Failure::message(format!("annotate: error parsing name for {what} {text}: {error}"))
            })
        };
        let list = named("manifest list", &arguments[0])?;
        let image = named("manifest", &arguments[1])?;
        let store = store(app);
        let mut entry = store.find(&list, &image)?.ok_or_else(|| {
            Failure::message(format!(
                "manifest for image {} does not exist in {}",
                arguments[1], arguments[0]
            ))
        })?;
        let platform = entry.descriptor.platform.get_or_insert_default();
        flags.apply(platform);
        if !is_known(platform) {
            return Err(Failure::message(format!(
                "manifest entry for image has unsupported os/arch combination: {}/{}",
                flags.os, flags.arch
            )));
        }
        store.save(&list, &image, &entry)
    }
}

impl AnnotateFlags {
    /// What was given, and nothing else.
    fn apply(&self, platform: &mut Platform) {
        let given = [
            (&self.os, &mut platform.os),
            (&self.arch, &mut platform.architecture),
            (&self.variant, &mut platform.variant),
            (&self.os_version, &mut platform.os_version),
        ];
        for (value, place) in given {
            if !value.is_empty() {
                place.clone_from(value);
            }
        }
        for feature in &self.os_features.0 {
            if !platform.os_features.contains(feature) {
                platform.os_features.push(feature.clone());
            }
        }
    }
}

/// Architectures of each system, as docker accepts them.
const KNOWN: [(&str, &[&str]); 9] = [
    ("darwin", &["386", "amd64", "arm", "arm64"]),
    ("dragonfly", &["amd64"]),
    ("freebsd", &["386", "amd64", "arm"]),
    ("linux", &["386", "amd64", "arm", "arm64", "ppc64le", "mips64", "mips64le", "riscv64", "s390x"]),
    ("netbsd", &["386", "amd64", "arm"]),
    ("openbsd", &["386", "amd64", "arm"]),
    ("plan9", &["386", "amd64"]),
    ("solaris", &["amd64"]),
    ("windows", &["386", "amd64"]),
];

fn is_known(platform: &Platform) -> bool {
    KNOWN.iter().any(|(os, architectures)| {
        *os == platform.os && architectures.contains(&platform.architecture.as_str())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_given_is_changed() {
        let mut platform = Platform { os: "linux".into(), architecture: "arm".into(), ..Platform::default() };
        let flags = AnnotateFlags {
            variant: "v7".into(),
            os_features: Strings(vec!["a".into(), "b".into(), "a".into()]),
            ..AnnotateFlags::default()
        };
        flags.apply(&mut platform);
        assert_eq!((platform.os.as_str(), platform.variant.as_str()), ("linux", "v7"));
        assert_eq!(platform.os_features, ["a", "b"]);
        assert!(is_known(&platform));
        platform.architecture = "vax".into();
        assert!(!is_known(&platform));
    }
}
