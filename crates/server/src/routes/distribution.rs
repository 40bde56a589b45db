//! What registries have, without pulling it.

use api::auth;
use api::image::{Descriptor, Platform};
use http::StatusCode;
use image::manifest::PlatformSpec;
use oci::Reference;
use serde_json::json;

use super::Api;
use super::image_shape::bytes;
use super::transfer::credentials;
use crate::error::Error;
use crate::http::{Call, Response, json as json_response};

impl Api {
    pub(super) async fn distribution(&self, name: &str, call: &Call) -> Result<Response, Error> {
        let reference = Reference::parse(name)?;
        let credentials = credentials(call.header(auth::HEADER));
        let found = self.registries.client().describe(&reference, credentials).await?;
        let descriptor = Descriptor {
            media_type: found.descriptor.media_type,
            digest: found.descriptor.digest.to_string(),
            size: bytes(found.descriptor.size),
            ..Descriptor::default()
        };
        let platforms: Vec<Platform> = found.platforms.into_iter().map(platform).collect();
        Ok(json_response(StatusCode::OK, &json!({"Descriptor": descriptor, "Platforms": platforms})))
    }
}

pub(super) fn platform(spec: PlatformSpec) -> Platform {
    Platform {
        architecture: spec.architecture,
        os: spec.os,
        os_version: spec.os_version.unwrap_or_default(),
        os_features: spec.os_features,
        variant: spec.variant.unwrap_or_default(),
    }
}
