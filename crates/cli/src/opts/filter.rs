//! `--filter key=value`.

use api::Filters;

use crate::flag::{InvalidValue, Value};

/// The filters given so far.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(crate) struct FilterFlag(pub(crate) Filters);

impl Value for FilterFlag {
    fn set(&mut self, text: &str) -> Result<(), InvalidValue> {
        if text.is_empty() {
            return Ok(());
        }
        let (key, value) = text
            .split_once('=')
            .ok_or_else(|| InvalidValue("bad format of filter (expected name=value)".to_owned()))?;
        self.0.add(key.trim().to_lowercase(), value.trim());
        Ok(())
    }
    fn kind(&self) -> &'static str {
        "filter"
    }
}
