//! Query strings, read and written by Docker's rules.

use std::borrow::Cow;

use form_urlencoded::Serializer;

/// A value in a query string was not understood.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum Error {
    /// Not a number.
    #[error("invalid value for {name}: {value:?} is not a number")]
    Number {
        /// The parameter.
        name: &'static str,
        /// What was sent.
        value: String,
    },
    /// A required parameter is missing or empty.
    #[error("bad parameter: {0} is required")]
    Missing(&'static str),
    /// Not one of the values that are known.
    #[error("invalid {name}: {value:?}")]
    Unknown {
        /// The parameter.
        name: &'static str,
        /// What was sent.
        value: String,
    },
    /// Not a point in time.
    #[error("invalid value for {name}: {value:?} is not a time")]
    Time {
        /// The parameter.
        name: &'static str,
        /// What was sent.
        value: String,
    },
    /// Not filters.
    #[error(transparent)]
    Filters(#[from] crate::filters::Error),
    /// A JSON parameter has the wrong shape.
    #[error("invalid value for {name}: {source}")]
    Json {
        /// The parameter.
        name: &'static str,
        /// Why.
        source: crate::json::Error,
    },
}

/// The parameters of a request. The first of several values counts, as in Go.
#[derive(Clone, Debug, Default)]
pub struct Query<'a>(Vec<(Cow<'a, str>, Cow<'a, str>)>);

impl<'a> Query<'a> {
    /// Splits and decodes a query string (without the question mark).
    pub fn parse(text: &'a str) -> Self {
        Self(form_urlencoded::parse(text.as_bytes()).collect())
    }

    /// The value, where the parameter is there.
    pub fn find(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_ref())
    }

    /// Whether the parameter is there, with or without a value.
    pub fn contains(&self, name: &str) -> bool {
        self.find(name).is_some()
    }

    /// All values of a parameter.
    pub fn all(&self, name: &str) -> Vec<String> {
        self.0.iter().filter(|(key, _)| key == name).map(|(_, value)| value.to_string()).collect()
    }

    /// The value, or the empty string.
    pub fn text(&self, name: &str) -> String {
        self.find(name).unwrap_or_default().to_owned()
    }

    /// False for an empty value, `0`, `no`, `false` and `none`; true for everything else.
    pub fn flag(&self, name: &str) -> bool {
        self.flag_or(name, false)
    }

    /// As [`Query::flag`], with what counts where the parameter is not there.
    pub fn flag_or(&self, name: &str, default: bool) -> bool {
        self.find(name).map_or(default, |value| {
            let value = value.trim();
            !["", "0", "no", "false", "none"].iter().any(|no| value.eq_ignore_ascii_case(no))
        })
    }

    /// A whole number; `None` where the parameter is not there or empty.
    ///
    /// # Errors
    /// Where the value is not a number.
    pub fn number<T: std::str::FromStr>(&self, name: &'static str) -> Result<Option<T>, Error> {
        match self.find(name).map(str::trim) {
            None | Some("") => Ok(None),
            Some(value) => {
                value.parse().map(Some).map_err(|_| Error::Number { name, value: value.to_owned() })
            }
        }
    }

    /// The filters in the parameter `filters`.
    ///
    /// # Errors
    /// Where they are not understood.
    pub fn filters(&self) -> Result<crate::Filters, Error> {
        Ok(crate::Filters::parse(self.find("filters").unwrap_or_default())?)
    }

    /// A point in time: seconds since 1970 with an optional fraction, or RFC 3339. `None` where it is not there, empty or 0.
    ///
    /// # Errors
    /// Where it is none of these.
    pub fn time(&self, name: &'static str) -> Result<Option<crate::Time>, Error> {
        let value = self.find(name).unwrap_or_default();
        if value.is_empty() || value == "0" {
            return Ok(None);
        }
        let time = crate::time::parse_seconds(value).or_else(|| value.parse().ok());
        time.map(Some).ok_or_else(|| Error::Time { name, value: value.to_owned() })
    }
}

/// Writes a query string.
#[derive(Default)]
pub struct QueryWriter(String);

impl QueryWriter {
    /// An empty one.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a parameter; an empty value is left out.
    #[must_use]
    pub fn text(mut self, name: &str, value: &str) -> Self {
        if !value.is_empty() {
            self.push(name, value);
        }
        self
    }

    /// Adds `name=1` where the flag is set.
    #[must_use]
    pub fn flag(self, name: &str, value: bool) -> Self {
        self.text(name, if value { "1" } else { "" })
    }

    /// Adds `name=0` where the flag is not set: for parameters whose default is true.
    #[must_use]
    pub fn unless(self, name: &str, value: bool) -> Self {
        self.text(name, if value { "" } else { "0" })
    }

    /// Adds a parameter where there is a value.
    #[must_use]
    pub fn optional(self, name: &str, value: Option<impl ToString>) -> Self {
        match value {
            Some(value) => self.text(name, &value.to_string()),
            None => self,
        }
    }

    /// Adds filters, where there are any.
    #[must_use]
    pub fn filters(self, filters: &crate::Filters) -> Self {
        self.text("filters", &filters.to_parameter())
    }

    /// The query string, without the question mark.
    pub fn finish(self) -> String {
        self.0
    }

    fn push(&mut self, name: &str, value: &str) {
        self.0 = Serializer::new(std::mem::take(&mut self.0)).append_pair(name, value).finish();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_follow_dockers_words() {
        let query = Query::parse("a=1&b=0&c=False&d=&e=NONE&f=yes&g");
        let set: Vec<bool> =
            ["a", "b", "c", "d", "e", "f", "g"].iter().map(|name| query.flag(name)).collect();
        assert_eq!(set, [true, false, false, false, false, true, false]);
        assert!(query.flag_or("missing", true));
    }

    #[test]
    fn number_with_letters_is_refused_by_name() {
        let error = Query::parse("t=5s").number::<i64>("t").unwrap_err();
        assert_eq!(error.to_string(), "invalid value for t: \"5s\" is not a number");
        assert_eq!(Query::parse("t=-1").number::<i64>("t"), Ok(Some(-1)));
        assert_eq!(Query::parse("t=").number::<i64>("t"), Ok(None));
    }

    #[test]
    fn time_is_read_as_seconds_or_rfc_3339() {
        let query = Query::parse("a=1700000000.5&b=2023-11-14T22:13:20Z&c=0&d=soon&e=1700000000.000000001");
        assert_eq!(query.time("a").unwrap().unwrap().to_string(), "2023-11-14T22:13:20.5Z");
        assert_eq!(query.time("b").unwrap().unwrap().as_second(), 1_700_000_000);
        assert_eq!(query.time("c").unwrap(), None);
        assert_eq!(query.time("e").unwrap().unwrap().to_string(), "2023-11-14T22:13:20.000000001Z");
        assert!(query.time("d").is_err());
    }

    #[test]
    fn written_query_is_read_back() {
        let text =
            QueryWriter::new().text("name", "a b&c=d/é").flag("all", true).unless("quiet", true).finish();
        let query = Query::parse(&text);
        assert_eq!(query.text("name"), "a b&c=d/é");
        assert!(query.flag("all"));
        assert!(!query.contains("quiet"));
    }
}
