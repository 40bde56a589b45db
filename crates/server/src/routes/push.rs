//! Pushing images to registries.

use api::auth;
use api::image::PushOptions;
use engine::events::Kind;
use oci::Reference;
use registry::PushRequest;

use super::Api;
use super::images::platform_from_json;
use super::transfer::{Transfer, credentials};
use crate::error::Error;
use crate::http::{Call, Response, json_lines};

/// Since this version of the API single platforms of an image can be asked for; what older clients send is ignored.
const PLATFORM_VERSION: u16 = 46;

impl Api {
    /// Only a name that is none is a status; what fails later is told in the body, as by dockerd.
    pub(super) fn push_image(&self, name: &str, call: &Call) -> Result<Response, Error> {
        let options = PushOptions::from_query(&call.query());
        let is_asked = call.version().at_least(PLATFORM_VERSION) && !options.platform.is_empty();
        let platform = is_asked.then(|| platform_from_json(&options.platform)).transpose()?;
        let reference = Reference::parse(name)?;
        let reference = if options.tag.is_empty() { reference } else { reference.with_tag(&options.tag)? };
        let credentials = credentials(call.header(auth::HEADER));
        let (engine, client) = (self.engine.clone(), self.registries.client().clone());
        let transfer = Transfer::begin(|progress| async move {
            let request = PushRequest { reference: reference.clone(), platform, credentials };
            let pushed = client.push(engine.images(), request, progress).await?;
            for tag in pushed.iter().filter_map(|pushed| reference.with_tag(&pushed.tag).ok()) {
                let attributes = [("name".to_owned(), tag.familiar_name())].into_iter().collect();
                engine.events().publish(Kind::Image, "push", &tag.familiar(), attributes);
            }
            Ok(())
        });
        Ok(json_lines(transfer.into_messages()))
    }
}
