//! Builds of cases, and what comes of them.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use tempfile::TempDir;

use super::case::{Area, Case};
use super::context;
use super::describe::{describe, describe_random};
use super::image::{self, Image};
use crate::bed::Bed;
use crate::cli::{Client, Command, Output};
use crate::engine::Kind;
use crate::images::Base;

/// Debian's client, which asks BuildKit without a plugin.
pub const DEBIAN_CLIENT: &str = "/usr/bin/docker";

/// What has come of a case.
#[derive(Debug)]
pub(super) struct Seen {
    /// As in an expectation.
    pub(super) lines: Vec<String>,
    /// What an error says.
    pub(super) said: Option<String>,
}

/// How an engine is asked to build.
pub(super) struct Builder<'a> {
    bed: &'a Bed,
}

/// A case that was built.
enum Built {
    Failed(String),
    Once,
    Twice,
}

impl<'a> Builder<'a> {
    pub(super) fn new(bed: &'a Bed) -> Self {
        Self { bed }
    }

    /// Whether the client and the engine speak while a build runs, which Docker's classic client and API do not.
    fn has_session(&self) -> bool {
        let is_asked = std::env::var("DOCKER_BUILDKIT").is_ok_and(|value| value == "1");
        self.bed.client() == Client::Corten || self.bed.engine.kind() == Kind::Reference || is_asked
    }

    /// Whether it can ask for what a case needs.
    fn can(&self, case: &Case) -> bool {
        !case.needs_session || self.has_session()
    }

    /// Builds those cases of an area that are wanted and that it can build, in order.
    pub(super) fn build<'c>(&self, area: &'c Area, wanted: impl Fn(&Case) -> bool) -> Vec<(&'c Case, Seen)> {
        let cases: Vec<&Case> = area.cases.iter().filter(|case| wanted(case) && self.can(case)).collect();
        let built: Vec<Built> = cases.iter().map(|case| self.case(case)).collect();
        let images = Images::of(self.bed, &cases, &built);
        let seen = |(case, built): (&'c Case, Built)| (case, images.seen(case, built));
        cases.into_iter().zip(built).map(seen).collect()
    }

    fn case(&self, case: &Case) -> Built {
        let folder = TempDir::new().expect("create a temporary directory");
        context::write(folder.path(), &case.items);
        for before in &case.before {
            let file = TempDir::new().expect("create a temporary directory");
            let path = file.path().join("Dockerfile");
            fs::write(&path, &before.dockerfile).expect("write a Dockerfile");
            let arguments = ["-f".to_owned(), path.display().to_string()];
            self.command(folder.path(), &before.name, &arguments).run().expect_ok();
        }
        let output = self.command(folder.path(), &tag(case, 1), &case.arguments).run();
        if output.status != 0 {
            return Built::Failed(said(&output));
        }
        let Some(again) = &case.again else { return Built::Once };
        context::write(folder.path(), &again.items);
        let output = self.command(folder.path(), &tag(case, 2), &again.arguments).run();
        if output.status == 0 { Built::Twice } else { Built::Failed(said(&output)) }
    }

    fn command(&self, folder: &Path, tag: &str, arguments: &[String]) -> Command {
        let Bed { engine, .. } = self.bed;
        let given = ["build", "-t", tag].into_iter().chain(arguments.iter().map(String::as_str)).chain(["."]);
        let command = match (engine.kind(), self.bed.client()) {
            (Kind::Reference, Client::Docker) => {
                engine.command_of(Path::new(DEBIAN_CLIENT), given).env("DOCKER_BUILDKIT", "1")
            }
            (_, Client::Docker) if !self.has_session() => {
                engine.cli(Client::Docker, given).env("DOCKER_BUILDKIT", "0")
            }
            (_, client) => engine.cli(client, given),
        };
        command.directory(folder)
    }
}

fn tag(case: &Case, number: usize) -> String {
    format!("{}:{number}", case.name)
}

/// All that a client has said, from its standard error where there is something.
fn said(output: &Output) -> String {
    let text = format!("{}\n{}", output.text(), output.stderr);
    assert!(!text.trim().is_empty(), "{} failed without a word", output.command);
    text
}

/// The images of an area.
struct Images {
    base: Image,
    built: BTreeMap<String, Image>,
}

impl Images {
    fn of(bed: &Bed, cases: &[&Case], built: &[Built]) -> Self {
        let base = fs::read(Base::Busybox.archive()).expect("read the archive of busybox");
        let base = image::read(&base).remove(Base::Busybox.tag()).expect("busybox in its archive");
        let tags = cases.iter().zip(built).flat_map(|(case, built)| {
            let count = match built {
                Built::Failed(_) => 0,
                Built::Once => 1,
                Built::Twice => 2,
            };
            (1..=count).map(|number| tag(case, number))
        });
        Self { base, built: fetch(bed, tags) }
    }

    fn find(&self, case: &Case, number: usize) -> &Image {
        let tag = tag(case, number);
        self.built.get(&tag).unwrap_or_else(|| panic!("{tag} is not among the saved images"))
    }

    fn seen(&self, case: &Case, built: Built) -> Seen {
        let lines = match built {
            Built::Failed(said) => return Seen { lines: vec!["fails".to_owned()], said: Some(said) },
            Built::Once => describe(self.find(case, 1), &self.base),
            Built::Twice => {
                let (first, second) = (self.find(case, 1), self.find(case, 2));
                let mut lines = describe(second, &self.base);
                lines.extend(describe_random(first, second));
                lines
            }
        };
        Seen { lines, said: None }
    }
}

/// Saves all images at once, but for those without layers, which some engines do not save: what they are is asked for.
fn fetch(bed: &Bed, tags: impl Iterator<Item = String>) -> BTreeMap<String, Image> {
    let http = bed.engine.http();
    let mut images = BTreeMap::new();
    let mut saved = Vec::new();
    for tag in tags {
        let inspected = http.get(&format!("/images/{tag}/json")).expect(200).json();
        if inspected["RootFS"]["Layers"].as_array().is_some_and(|layers| !layers.is_empty()) {
            saved.push(format!("names={tag}"));
        } else {
            let history = http.get(&format!("/images/{tag}/history")).expect(200).json();
            images.insert(tag, Image::without_layers(&inspected, &history));
        }
    }
    if !saved.is_empty() {
        let path = format!("/images/get?{}", saved.join("&"));
        images.extend(image::read(&http.get(&path).expect(200).body));
    }
    images
}
