//! `--output`: where the result of a build goes.

use std::path::PathBuf;

use super::BuildFlags;
use crate::failure::Failure;
use crate::opts::csv_fields;
use crate::terminal;

/// One `--output`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Output {
    /// The engine keeps it; `names` are further names, each is pushed if `push` says so.
    Image { names: Vec<String>, push: bool },
    /// An archive of the image: what `save` writes.
    Archive { kind: ArchiveKind, names: Vec<String>, place: Place },
    /// The image's files, as a tar.
    Tar(Place),
    /// The image's files, in a folder.
    Folder(PathBuf),
}

/// The form of an archive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ArchiveKind {
    Docker,
    Oci,
}

/// Where a stream of bytes goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Place {
    Stdout,
    File(String),
}

impl Output {
    /// Whether the image itself is what is wanted, and not only something that is made of it.
    pub(super) fn keeps_image(&self) -> bool {
        matches!(self, Self::Image { .. })
    }

    /// Further names of the image.
    pub(super) fn names(&self) -> &[String] {
        match self {
            Self::Image { names, .. } | Self::Archive { names, .. } => names,
            _ => &[],
        }
    }

    pub(super) fn is_to_stdout(&self) -> bool {
        matches!(self, Self::Archive { place: Place::Stdout, .. } | Self::Tar(Place::Stdout))
    }
}

/// All outputs; an image where none is asked for.
pub(super) fn outputs(flags: &BuildFlags) -> Result<Vec<Output>, Failure> {
    let mut outputs = Vec::new();
    for text in &flags.outputs {
        outputs.push(
            parse(text).map_err(|reason| Failure::message(format!("invalid output {text}: {reason}")))?,
        );
    }
    if flags.load && !outputs.iter().any(Output::keeps_image) {
        outputs.push(Output::Image { names: Vec::new(), push: false });
    }
    if flags.push {
        if outputs.iter().any(|output| !output.keeps_image()) {
            return Err(Failure::message("--push and the other outputs cannot be used together"));
        }
        outputs = vec![Output::Image { names: names(&outputs), push: true }];
    }
    if outputs.is_empty() {
        outputs.push(Output::Image { names: Vec::new(), push: false });
    }
    check(flags, &outputs)?;
    Ok(outputs)
}

fn names(outputs: &[Output]) -> Vec<String> {
    outputs.iter().flat_map(Output::names).cloned().collect()
}

fn check(flags: &BuildFlags, outputs: &[Output]) -> Result<(), Failure> {
    let pushes = outputs.iter().any(|output| matches!(output, Output::Image { push: true, .. }));
    if pushes && flags.tags.0.is_empty() && names(outputs).is_empty() {
        return Err(Failure::message("tag is needed when pushing to registry"));
    }
    match outputs.iter().filter(|output| output.is_to_stdout()).count() {
        0 => {}
        1 if terminal::stdout_is_terminal() => {
            return Err(Failure::message("dest file is required. refusing to write to console"));
        }
        1 => {}
        _ => return Err(Failure::message("only one output can be written to standard output")),
    }
    Ok(())
}

fn parse(text: &str) -> Result<Output, String> {
    if text == "-" {
        return Ok(Output::Tar(Place::Stdout));
    }
    let fields = csv_fields(text)?;
    if fields.len() == 1 && fields[0] == text && !text.starts_with("type=") {
        return Ok(Output::Folder(text.into()));
    }
    let mut given = Given::default();
    for field in fields {
        given.add(&field)?;
    }
    given.output()
}

#[derive(Default)]
struct Given {
    kind: String,
    dest: String,
    names: Vec<String>,
    push: Option<bool>,
}

impl Given {
    fn add(&mut self, field: &str) -> Result<(), String> {
        let (key, value) = field.split_once('=').ok_or_else(|| format!("invalid value {field}"))?;
        match key.trim().to_lowercase().as_str() {
            "type" => value.clone_into(&mut self.kind),
            "dest" => value.clone_into(&mut self.dest),
            "name" => self.names.extend(value.split(',').map(str::to_owned)),
            "push" => self.push = Some(crate::opts::go::parse_bool(value).map_err(|error| error.0)?),
            other => return Err(format!("{other} is not supported")),
        }
        Ok(())
    }

    fn output(self) -> Result<Output, String> {
        let unused = |name: &str, given: bool| match given {
            true => Err(format!("{name} is not for type {}", self.kind)),
            false => Ok(()),
        };
        let dest = || (!self.dest.is_empty()).then(|| self.dest.clone());
        let file = || match self.dest.as_str() {
            "" | "-" => Place::Stdout,
            path => Place::File(path.to_owned()),
        };
        match self.kind.as_str() {
            "" => return Err("type is required for output".to_owned()),
            "image" | "registry" => unused("dest", dest().is_some())?,
            "docker" | "oci" => unused("push", self.push.is_some())?,
            "local" | "tar" => {
                unused("name", !self.names.is_empty())?;
                unused("push", self.push.is_some())?;
            }
            other => return Err(format!("type {other} is not supported")),
        }
        Ok(match self.kind.as_str() {
            "image" => Output::Image { push: self.push.unwrap_or(false), names: self.names },
            "registry" => Output::Image { push: self.push.unwrap_or(true), names: self.names },
            // Without a file it is for the engine itself.
            "docker" if self.dest.is_empty() => Output::Image { push: false, names: self.names },
            "docker" => Output::Archive { kind: ArchiveKind::Docker, place: file(), names: self.names },
            "oci" => Output::Archive { kind: ArchiveKind::Oci, place: file(), names: self.names },
            "tar" => Output::Tar(file()),
            _ => Output::Folder(dest().ok_or("dest is required for local output")?.into()),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::build::tests::flags;

    fn image(push: bool, names: &[&str]) -> Output {
        Output::Image { names: names.iter().map(|name| (*name).to_owned()).collect(), push }
    }

    #[test]
    fn outputs_are_read_in_all_forms() {
        let file = |path: &str| Place::File(path.to_owned());
        for (text, expected) in [
            ("-", Output::Tar(Place::Stdout)),
            ("out", Output::Folder("out".into())),
            ("type=local,dest=out", Output::Folder("out".into())),
            ("type=tar,dest=o.tar", Output::Tar(file("o.tar"))),
            ("type=tar", Output::Tar(Place::Stdout)),
            ("type=image", image(false, &[])),
            ("type=image,name=a,push=true", image(true, &["a"])),
            ("type=registry,\"name=a,b\"", image(true, &["a", "b"])),
            ("type=docker", image(false, &[])),
            (
                "type=docker,dest=d.tar",
                Output::Archive { kind: ArchiveKind::Docker, names: vec![], place: file("d.tar") },
            ),
            (
                "type=oci,dest=-,name=a",
                Output::Archive { kind: ArchiveKind::Oci, names: vec!["a".into()], place: Place::Stdout },
            ),
        ] {
            assert_eq!(parse(text), Ok(expected), "{text}");
        }
    }

    #[test]
    fn what_is_no_output_is_refused() {
        for (text, message) in [
            ("dest=a,x=y", "x is not supported"),
            ("dest=a,name=b", "type is required for output"),
            ("type=cacheonly", "type cacheonly is not supported"),
            ("type=local", "dest is required for local output"),
            ("type=local,dest=a,push=true", "push is not for type local"),
            ("type=image,dest=a", "dest is not for type image"),
            ("type=oci,tar=false", "tar is not supported"),
            ("type=image,push", "invalid value push"),
        ] {
            assert_eq!(parse(text).unwrap_err(), message, "{text}");
        }
    }

    #[test]
    fn shorthands_are_outputs() {
        let of = |words: &[&str]| outputs(&flags(words)).map_err(|error| error.to_string());
        assert_eq!(of(&[]), Ok(vec![image(false, &[])]));
        assert_eq!(of(&["--push", "-t", "a"]), Ok(vec![image(true, &[])]));
        assert_eq!(of(&["--load", "-o", "out"]), Ok(vec![Output::Folder("out".into()), image(false, &[])]));
        assert_eq!(of(&["--push"]), Err("tag is needed when pushing to registry".to_owned()));
        assert!(of(&["--push", "-t", "a", "-o", "out"]).is_err());
    }
}
