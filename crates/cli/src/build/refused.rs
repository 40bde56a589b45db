//! What is not there is refused by its name, before anything is read or sent.

use super::BuildFlags;
use crate::failure::Failure;
use crate::opts::go;

/// Refuses flags that no engine is asked for.
pub(super) fn check(flags: &BuildFlags) -> Result<(), Failure> {
    let refused = [
        ("--squash", flags.squash, "build in stages, and copy what is to stay"),
        ("--compress", flags.compress, "contexts are sent as they are"),
        ("--isolation", !matches!(flags.isolation.as_str(), "" | "default"), "it is for Windows"),
        ("--security-opt", !flags.security_opt.0.is_empty(), "steps have the profiles of the engine"),
        ("--policy", !flags.policy.is_empty(), "sources are not checked by policies"),
        ("--resource", !flags.resources.is_empty(), "use --memory, --cpu-quota and their kin"),
        ("--builder", !matches!(flags.builder.as_str(), "" | "default"), "the engine is the builder"),
        ("--attest", !flags.attest.is_empty(), NO_ATTESTATIONS),
        ("--provenance", is_asked_for(&flags.provenance), NO_ATTESTATIONS),
        ("--sbom", is_asked_for(&flags.sbom), NO_ATTESTATIONS),
        ("--disable-content-trust=false", flags.content_trust.given() == Some(false), "use digests"),
    ];
    if let Some((name, _, reason)) = refused.iter().find(|(_, given, _)| *given) {
        return Err(Failure::message(format!("{name} is not supported: {reason}")));
    }
    // What may be used of the network is the engine's to say, by `--network`.
    match flags.allow.iter().find(|name| *name != "network.host") {
        Some(name) => Err(Failure::message(format!("--allow {name} is not supported"))),
        None => Ok(()),
    }
}

const NO_ATTESTATIONS: &str = "images are built without attestations";

/// Only `false` asks for what there is.
fn is_asked_for(value: &str) -> bool {
    !value.is_empty() && go::parse_bool(value) != Ok(false) && value != "disabled=true"
}

/// Refuses what only Corten's engine can do.
pub(super) fn check_classic(flags: &BuildFlags) -> Result<(), Failure> {
    let refused = [
        ("--annotation", !flags.annotations.is_empty()),
        ("--build-context", !flags.build_contexts.is_empty()),
        ("--cache-to", !flags.cache_to.is_empty()),
        ("--call=check", flags.check || is_check(&flags.call)),
        ("--explain", flags.explain),
        ("--no-cache-filter", !flags.no_cache_filter.0.is_empty()),
        ("--progress=rawjson", flags.progress == "rawjson"),
        ("--secret", !flags.secrets.is_empty()),
        ("--ssh", !flags.ssh.is_empty()),
    ];
    match refused.iter().find(|(_, given)| *given) {
        Some((name, _)) => {
            Err(Failure::message(format!("{name} is not supported by this engine, only by Corten's")))
        }
        None => Ok(()),
    }
}

fn is_check(call: &str) -> bool {
    matches!(call.split(',').next(), Some("check" | "lint"))
}

/// How the result of a check is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum CheckFormat {
    Text,
    Json,
}

/// Whether the Dockerfile is only checked (`--check`, `--call`).
pub(super) fn check_format(flags: &BuildFlags) -> Result<Option<CheckFormat>, Failure> {
    let mut parts = flags.call.split(',');
    let method = parts.next().unwrap_or_default();
    let mut format = CheckFormat::Text;
    match method {
        "check" | "lint" => {}
        "" | "build" if parts.clone().next().is_none() => return Ok(flags.check.then_some(format)),
        "" | "build" => return Err(Failure::message(format!("invalid call function: {}", flags.call))),
        other => return Err(Failure::message(format!("--call={other} is not supported"))),
    }
    for part in parts {
        format = match part {
            "format=json" => CheckFormat::Json,
            "format=text" | "format=" => CheckFormat::Text,
            other => return Err(Failure::message(format!("--call={method},{other} is not supported"))),
        };
    }
    Ok(Some(format))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::build::tests::flags;

    #[test]
    fn what_is_not_there_is_refused_by_name() {
        for (words, expected) in [
            (&["--squash"][..], "--squash is not supported: "),
            (&["--provenance", "mode=max"], "--provenance is not supported: "),
            (&["--sbom=true"], "--sbom is not supported: "),
            (&["--attest", "type=sbom"], "--attest is not supported: "),
            (&["--builder", "b"], "--builder is not supported: "),
            (&["--allow", "security.insecure"], "--allow security.insecure is not supported"),
        ] {
            let error = check(&flags(words)).unwrap_err().to_string();
            assert!(error.starts_with(expected), "{error}");
        }
        let accepted = ["--provenance=false", "--sbom=0", "--rm=false", "--load", "--allow=network.host"];
        check(&flags(&accepted)).unwrap();
    }

    #[test]
    fn other_engines_are_not_asked_for_what_they_ignore() {
        for (word, name) in [
            ("--secret=id=a", "--secret"),
            ("--ssh=default", "--ssh"),
            ("--build-context=a=b", "--build-context"),
            ("--cache-to=type=inline", "--cache-to"),
            ("--explain", "--explain"),
            ("--check", "--call=check"),
            ("--progress=rawjson", "--progress=rawjson"),
        ] {
            let error = check_classic(&flags(&[word])).unwrap_err().to_string();
            assert_eq!(error, format!("{name} is not supported by this engine, only by Corten's"));
        }
        check_classic(&flags(&["--no-cache", "-t", "a", "--progress=plain"])).unwrap();
    }

    #[test]
    fn calls_are_checks_builds_or_refused() {
        let of = |words: &[&str]| check_format(&flags(words)).map_err(|error| error.to_string());
        assert_eq!(of(&[]), Ok(None));
        assert_eq!(of(&["--call=build"]), Ok(None));
        assert_eq!(of(&["--check"]), Ok(Some(CheckFormat::Text)));
        assert_eq!(of(&["--call", "check,format=json"]), Ok(Some(CheckFormat::Json)));
        assert_eq!(of(&["--call", "outline"]), Err("--call=outline is not supported".to_owned()));
        assert_eq!(
            of(&["--call", "lint,ignorestatus=true"]),
            Err("--call=lint,ignorestatus=true is not supported".to_owned())
        );
    }
}
