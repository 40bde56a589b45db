//! Reading and writing of JSON bodies.

use serde::{Serialize, de::DeserializeOwned};

use crate::lenient::Lenient;

/// Why a body was not understood.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum Error {
    /// The body ends before the value does, or there is none.
    #[error("invalid JSON: got EOF while reading request body")]
    Eof,
    /// Not JSON, or a field has the wrong type.
    #[error("invalid JSON: {0}")]
    Invalid(String),
    /// There is more after the value.
    #[error("unexpected content after JSON")]
    Trailing,
}

/// Reads one value as Go's decoder does: unknown fields are skipped, `null` is the zero value of any type.
///
/// # Errors
/// Where the text is not exactly one JSON value of the expected shape. The message names the field.
pub fn from_slice<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Error> {
    let mut deserializer = serde_json::Deserializer::from_slice(bytes);
    let value = T::deserialize(Lenient(&mut deserializer)).map_err(|error| explain::<T>(bytes, &error))?;
    deserializer.end().map_err(|_| Error::Trailing)?;
    Ok(value)
}

/// Reads a value that was parsed before, with the same leniency.
///
/// # Errors
/// Where it has not the expected shape.
pub fn from_value<T: DeserializeOwned>(value: serde_json::Value) -> Result<T, Error> {
    T::deserialize(Lenient(value)).map_err(|error| Error::Invalid(error.to_string()))
}

/// Writes a value as dockerd does: compact, with a newline at the end.
pub fn to_line<T: Serialize + ?Sized>(value: &T) -> Vec<u8> {
    let mut line = serde_json::to_vec(value).expect("the models have string keys only");
    line.push(b'\n');
    line
}

/// Reads again, now keeping track of the field, to name it.
fn explain<T: DeserializeOwned>(bytes: &[u8], error: &serde_json::Error) -> Error {
    if error.is_eof() {
        return Error::Eof;
    }
    let mut deserializer = serde_json::Deserializer::from_slice(bytes);
    match serde_path_to_error::deserialize::<_, T>(Lenient(&mut deserializer)) {
        Err(traced) if error.is_data() => Error::Invalid(format!("{}: {}", traced.path(), traced.inner())),
        _ => Error::Invalid(error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::container::CreateRequest;

    #[test]
    fn null_for_any_field_is_its_zero_value() {
        let text =
            br#"{"Hostname":null,"Tty":null,"Env":null,"ExposedPorts":{"80/tcp":null},"StopTimeout":null,
            "HostConfig":{"Memory":null,"ConsoleSize":null,"LogConfig":null,"Binds":["a:b",null]}}"#;
        let request: CreateRequest = CreateRequest::from_slice(text).unwrap();
        assert_eq!(request.config.hostname, "");
        assert_eq!(request.config.env, None);
        assert!(request.config.exposed_ports.unwrap().contains_key("80/tcp"));
        let host = request.host_config.unwrap();
        assert_eq!((host.memory, host.console_size), (0, [0, 0]));
        assert_eq!(host.binds.unwrap(), ["a:b", ""]);
    }

    #[test]
    fn wrong_type_is_named_with_its_field() {
        let error = CreateRequest::from_slice(br#"{"HostConfig":{"Memory":"1g"}}"#).unwrap_err();
        assert!(
            error.to_string().starts_with("invalid JSON: HostConfig.Memory: invalid type: string"),
            "{error}"
        );
    }

    #[test]
    fn list_in_place_of_a_structure_is_refused() {
        for (text, field) in
            [("[]", ""), (r#"{"HostConfig":{"LogConfig":["json-file"]}}"#, "HostConfig.LogConfig: ")]
        {
            let error = CreateRequest::from_slice(text.as_bytes()).unwrap_err().to_string();
            assert!(error.contains(&format!("{field}invalid type: sequence")), "{error}");
        }
    }

    #[test]
    fn fraction_is_written_as_it_was_read() {
        let text = r#"{"ClusterVolumeSpec":{"a":-2.0979726735048781e-168}}"#;
        let request: crate::volume::CreateRequest = from_slice(text.as_bytes()).unwrap();
        let again: crate::volume::CreateRequest = from_slice(&to_line(&request)).unwrap();
        assert_eq!(to_line(&again), to_line(&request));
    }

    #[test]
    fn trailing_text_is_refused() {
        assert!(matches!(CreateRequest::from_slice(b"{} x"), Err(Error::Trailing)));
        assert!(CreateRequest::from_slice(b"{} \n").is_ok());
    }

    #[test]
    fn cut_text_is_refused_as_eof() {
        assert!(matches!(CreateRequest::from_slice(br#"{"Image":"#), Err(Error::Eof)));
        assert!(matches!(CreateRequest::from_slice(b""), Err(Error::Eof)));
    }
}
