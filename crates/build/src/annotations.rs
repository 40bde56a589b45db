//! `--annotation`: what the manifest of an image says besides.

use std::collections::BTreeMap;

use oci::Platform;

use crate::error::Error;

/// The annotations of an image's manifest, of `[type[platform]:]key=value` as `buildx` reads it. An image that is built has a
/// manifest and no index: what would be in one is refused by its name.
///
/// # Errors
/// [`Error::Annotation`].
pub fn annotations(given: &[String], platform: &Platform) -> Result<BTreeMap<String, String>, Error> {
    let mut found = BTreeMap::new();
    for text in given.iter().filter(|text| !text.is_empty()) {
        let (name, value) = text
            .split_once('=')
            .ok_or_else(|| Error::Annotation(format!("invalid annotation {text:?}, expected key=value")))?;
        let (types, key) = name.split_once(':').unwrap_or(("manifest", name));
        if key.is_empty() {
            return Err(Error::Annotation(format!("invalid annotation {text:?}, expected key=value")));
        }
        for kind in types.split(',') {
            if is_of_manifest(kind, platform)? {
                found.insert(key.to_owned(), value.to_owned());
            }
        }
    }
    Ok(found)
}

/// Whether a type stands for the manifest of the image; one for the manifest of another platform is of no image here.
fn is_of_manifest(text: &str, platform: &Platform) -> Result<bool, Error> {
    let invalid = || {
        let expected = "expected type and optional platform in square brackets";
        Error::Annotation(format!("invalid annotation type {text:?}, {expected}"))
    };
    let (kind, wanted) = match text.split_once('[') {
        Some((kind, rest)) => (kind, Some(rest.strip_suffix(']').ok_or_else(invalid)?)),
        None => (text, None),
    };
    if kind.is_empty() || !kind.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'-') {
        return Err(invalid());
    }
    match kind {
        "manifest" => {}
        "index" | "index-descriptor" | "manifest-descriptor" => {
            let reason = "images are built without an index";
            return Err(Error::Annotation(format!("--annotation {kind}: is not supported: {reason}")));
        }
        other => return Err(Error::Annotation(format!("unknown annotation type {other:?}"))),
    }
    let Some(wanted) = wanted else { return Ok(true) };
    let wanted: Platform =
        wanted.parse().map_err(|error| Error::Annotation(format!("invalid platform {wanted:?}: {error}")))?;
    Ok(wanted == *platform)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(texts: &[&str]) -> Result<Vec<String>, String> {
        let given: Vec<String> = texts.iter().map(|text| (*text).to_owned()).collect();
        let found =
            annotations(&given, &"linux/amd64".parse().unwrap()).map_err(|error| error.to_string())?;
        Ok(found.into_iter().map(|(key, value)| format!("{key}={value}")).collect())
    }

    #[test]
    fn annotations_are_those_of_the_manifest() {
        let given = ["a=1", "manifest:b=x:y=z", "manifest[linux/amd64]:c=", "manifest[linux/arm64]:d=4", ""];
        assert_eq!(of(&given).unwrap(), ["a=1", "b=x:y=z", "c="]);
        assert_eq!(of(&["a=1", "a=2"]).unwrap(), ["a=2"]);
    }

    #[test]
    fn what_is_none_is_refused() {
        for (text, message) in [
            ("a", "invalid annotation \"a\", expected key=value"),
            ("=a", "invalid annotation \"=a\", expected key=value"),
            ("x:a=1", "unknown annotation type \"x\""),
            (
                "Manifest:a=1",
                "invalid annotation type \"Manifest\", expected type and optional platform in square brackets",
            ),
            ("manifest,index:a=1", "--annotation index: is not supported: images are built without an index"),
            (
                "manifest-descriptor:a=1",
                "--annotation manifest-descriptor: is not supported: images are built without an index",
            ),
        ] {
            assert_eq!(of(&[text]).unwrap_err(), message, "{text}");
        }
        assert!(of(&["manifest[/]:a=1"]).is_err());
    }
}
