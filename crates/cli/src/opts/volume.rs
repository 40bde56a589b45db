//! `-v`: binds and anonymous volumes in their short form.

use std::path::{Component, Path, PathBuf};

/// What one `-v` asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum BindOrVolume {
    /// A bind or a named volume, `source:target[:options]`.
    Bind(String),
    /// A volume without a name at this path.
    Anonymous(String),
}

/// Reads one `-v`. Only its outline is checked here, the rest by the engine.
pub(crate) fn bind_or_volume(text: &str) -> Result<BindOrVolume, String> {
    if text.is_empty() {
        return Err("invalid empty volume spec".to_owned());
    }
    // One or two characters cannot be more than a path; the engine says what is wrong with it.
    let Some((source, rest)) = text.split_once(':').filter(|_| text.len() > 2) else {
        return Ok(BindOrVolume::Anonymous(text.to_owned()));
    };
    if text.split(':').any(str::is_empty) {
        return Err(format!("invalid spec: {text}: empty section between colons"));
    }
    Ok(BindOrVolume::Bind(match relative(source) {
        Some(absolute) => format!("{absolute}:{rest}"),
        None => text.to_owned(),
    }))
}

/// A source that begins with a dot is meant from the client's own directory.
fn relative(source: &str) -> Option<String> {
    if !source.starts_with('.') {
        return None;
    }
    let absolute = clean(&std::env::current_dir().ok()?.join(source));
    absolute.into_os_string().into_string().ok()
}

/// The path without `.` and `..`, by text alone.
fn clean(path: &Path) -> PathBuf {
    let mut out = PathBuf::new();
    for component in path.components() {
        match component {
            Component::CurDir => {}
            Component::ParentDir => {
                out.pop();
            }
            other => out.push(other),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn path_alone_is_an_anonymous_volume() {
        assert_eq!(bind_or_volume("/data"), Ok(BindOrVolume::Anonymous("/data".into())));
        assert_eq!(bind_or_volume("/a:/b:ro"), Ok(BindOrVolume::Bind("/a:/b:ro".into())));
        assert_eq!(bind_or_volume("name:/b"), Ok(BindOrVolume::Bind("name:/b".into())));
    }

    #[test]
    fn relative_source_becomes_absolute() {
        let here = std::env::current_dir().unwrap();
        let expected = format!("{}:/b", here.join("x").display());
        assert_eq!(bind_or_volume("./y/../x:/b"), Ok(BindOrVolume::Bind(expected)));
        assert_eq!(bind_or_volume(".:/b"), Ok(BindOrVolume::Bind(format!("{}:/b", here.display()))));
    }

    #[test]
    fn empty_parts_are_refused() {
        assert_eq!(bind_or_volume("").unwrap_err(), "invalid empty volume spec");
        assert_eq!(
            bind_or_volume("/a::ro").unwrap_err(),
            "invalid spec: /a::ro: empty section between colons"
        );
    }

    proptest! {
        #[test]
        fn any_text_never_panics(text in "[:./a]{0,12}") {
            let _ = bind_or_volume(&text);
        }
    }
}
