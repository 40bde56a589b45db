//! What is fuzzed: everything that a client's text goes through.

use std::collections::BTreeMap;

use oci::{ContainerConfig, Platform};

use crate::config::apply_all;
use crate::error::ExpandProblem;
use crate::expand::{Budget, Lexer};
use crate::ignore::Matcher;
use crate::plan::{BaseImage, Options, Outcome, check, plan};
use crate::{Dockerfile, Error};

/// Longer paths are cut: each of their parts is matched by itself.
const MAX_PATH: usize = 128;

/// Reads a file, plans it with images that have nothing, and checks it.
pub fn dockerfile(data: &[u8]) {
    let mut options = Options { build_platform: Platform::new("linux", "amd64", None), ..Options::default() };
    options.build_args.insert("GIVEN".into(), "value".into());
    match Dockerfile::parse(data) {
        Ok(file) => {
            if let Err(error) = planned(&file, options.clone()) {
                assert!(error.render("Dockerfile", &file.source).ends_with(&error.to_string()));
            }
        }
        Err(error) => assert!(error.lines.is_none_or(|lines| lines.first <= lines.last)),
    }
    let _ = check("Dockerfile", data, &options).text();
    let text = String::from_utf8_lossy(data);
    let _ = apply_all(&mut ContainerConfig::default(), &text);
}

fn planned(file: &Dockerfile, mut options: Options) -> Result<(), Error> {
    loop {
        match plan(file, &options)? {
            Outcome::Needs(images) => {
                options.images.extend(images.into_iter().map(|image| (image.request, BaseImage::default())));
            }
            Outcome::Plan(plan) => {
                for (at, vertex) in plan.vertices.iter().enumerate() {
                    assert!(vertex.inputs.iter().all(|input| input.vertex.0 < at), "inputs come first");
                }
                return Ok(());
            }
        }
    }
}

/// Replaces variables, which the first lines have as `NAME=value`, in the rest.
pub fn expand(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let mut rest = text.as_ref();
    let mut variables = BTreeMap::new();
    while let Some((line, after)) = rest.split_once('\n') {
        let Some((name, value)) = line.split_once('=') else { break };
        variables.insert(name, value);
        rest = after;
    }
    for lexer in [Lexer::new('\\'), Lexer::new('`'), Lexer::content()] {
        let found = lexer.expand(rest, &|name| variables.get(name).copied(), &Budget::default());
        if !rest.contains(['$', '\'', '"', '\\', '`']) {
            assert_eq!(found.map(|found| found.text), Ok::<_, ExpandProblem>(rest.to_owned()));
        }
    }
}

/// Matches the path of the first line with the patterns of the others.
pub fn ignore(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let (path, patterns) = text.split_once('\n').unwrap_or((&text, ""));
    let path: String = path.chars().take(MAX_PATH).collect();
    let Ok(matcher) = Matcher::parse(patterns.as_bytes()) else { return };
    if matcher.is_ignored(&path) && matcher.hides_all_below(&path) {
        assert!(matcher.is_ignored(&format!("{path}/x")), "what is hidden is ignored");
    }
}
