//! Volumes: there are none yet, and a list says so.

use api::volume::ListResponse;
use http::StatusCode;

use super::Api;
use crate::error::Error;
use crate::http::{Call, Response, json};

const FILTERS: &[&str] = &["dangling", "driver", "label", "name"];

impl Api {
    pub(super) fn list_volumes(&self, call: &Call) -> Result<Response, Error> {
        call.query().filters()?.validate(FILTERS)?;
        Ok(json(StatusCode::OK, &ListResponse::default()))
    }
}
