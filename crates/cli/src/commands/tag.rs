//! `tag`: a further name for an image.

use api::image::TagOptions;
use oci::Reference;

use crate::app::App;
use crate::command::{Arity, Leaf};
use crate::failure::Failure;
use crate::flag::NoOptions;
use crate::opts::go;

/// Names an image.
pub(crate) struct Tag;

impl Leaf for Tag {
    type Options = NoOptions;
    const NAME: &'static str = "tag";
    const ABOUT: &'static str = "Create a tag TARGET_IMAGE that refers to SOURCE_IMAGE";
    const USAGE: &'static str = "SOURCE_IMAGE[:TAG] TARGET_IMAGE[:TAG]";
    const ARITY: Arity = Arity::Exactly(2);
    const PATHS: &'static [&'static str] = &["image tag", "tag"];

    fn run(app: &App, _: NoOptions, arguments: Vec<String>) -> Result<(), Failure> {
        let target = &arguments[1];
        let reference = Reference::parse(target).map_err(|error| {
            Failure::message(format!(
                "Error parsing reference: {} is not a valid repository/tag: {error}",
                go::quote(target)
            ))
        })?;
        if reference.digest().is_some() {
            return Err(Failure::message("refusing to create a tag with a digest reference"));
        }
        let reference = reference.or_latest();
        let options =
            TagOptions { repo: reference.name(), tag: reference.tag().unwrap_or("latest").to_owned() };
        let client = app.client()?;
        Ok(app.block_on(client.tag_image(&arguments[0], &options))?)
    }
}
