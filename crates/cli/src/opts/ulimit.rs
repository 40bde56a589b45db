//! `--ulimit name=soft[:hard]`.

use std::collections::BTreeMap;

use api::container::Ulimit;

use super::go;
use crate::flag::{InvalidValue, Value};

const NAMES: &[&str] = &[
    "core",
    "cpu",
    "data",
    "fsize",
    "locks",
    "memlock",
    "msgqueue",
    "nice",
    "nofile",
    "nproc",
    "rss",
    "rtprio",
    "rttime",
    "sigpending",
    "stack",
];

/// The limits by name; a later one replaces an earlier one.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(crate) struct Ulimits(pub(crate) BTreeMap<String, Ulimit>);

impl Value for Ulimits {
    fn set(&mut self, text: &str) -> Result<(), InvalidValue> {
        let limit = parse(text)?;
        self.0.insert(limit.name.clone(), limit);
        Ok(())
    }
    fn kind(&self) -> &'static str {
        "ulimit"
    }
    fn default_text(&self) -> Option<String> {
        Some("[]".to_owned())
    }
}

fn parse(text: &str) -> Result<Ulimit, InvalidValue> {
    let (name, values) =
        text.split_once('=').ok_or_else(|| InvalidValue(format!("invalid ulimit argument: {text}")))?;
    if !NAMES.contains(&name) {
        return Err(InvalidValue(format!("invalid ulimit type: {name}")));
    }
    let parts: Vec<&str> = values.split(':').collect();
    if parts.len() > 2 {
        return Err(InvalidValue(format!(
            "too many limit value arguments - {values}, can only have up to two, `soft[:hard]`"
        )));
    }
    let soft = decimal(parts[0])?;
    let hard = parts.get(1).map_or(Ok(soft), |hard| decimal(hard))?;
    let rule = "ulimit soft limit must be less than or equal to hard limit";
    if hard != -1 && soft == -1 {
        return Err(InvalidValue(format!("{rule}: soft: -1 (unlimited), hard: {hard}")));
    }
    if hard != -1 && soft > hard {
        return Err(InvalidValue(format!("{rule}: {soft} > {hard}")));
    }
    Ok(Ulimit { name: name.to_owned(), soft, hard })
}

/// Only decimal: a leading zero is no octal number here.
fn decimal(text: &str) -> Result<i64, InvalidValue> {
    match text.parse() {
        Ok(number) => Ok(number),
        Err(_) => go::parse_int(text).and_then(|_| {
            Err(InvalidValue(format!("strconv.ParseInt: parsing {}: invalid syntax", go::quote(text))))
        }),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn soft_alone_is_also_the_hard_limit() {
        assert_eq!(parse("nofile=1024"), Ok(Ulimit { name: "nofile".into(), soft: 1024, hard: 1024 }));
        assert_eq!(parse("nofile=5:-1"), Ok(Ulimit { name: "nofile".into(), soft: 5, hard: -1 }));
        assert_eq!(parse("core=-1"), Ok(Ulimit { name: "core".into(), soft: -1, hard: -1 }));
    }

    #[test]
    fn bad_limits_are_refused_in_the_known_words() {
        for (text, message) in [
            ("x", "invalid ulimit argument: x"),
            ("foo=1", "invalid ulimit type: foo"),
            ("nofile=", "strconv.ParseInt: parsing \"\": invalid syntax"),
            ("nofile=a", "strconv.ParseInt: parsing \"a\": invalid syntax"),
            (
                "nofile=1:2:3",
                "too many limit value arguments - 1:2:3, can only have up to two, `soft[:hard]`",
            ),
            ("nofile=5:3", "ulimit soft limit must be less than or equal to hard limit: 5 > 3"),
            (
                "nofile=-1:5",
                "ulimit soft limit must be less than or equal to hard limit: soft: -1 (unlimited), hard: 5",
            ),
        ] {
            assert_eq!(parse(text).unwrap_err().0, message);
        }
    }

    proptest! {
        #[test]
        fn any_text_never_panics(text in "(nofile|core|x)?=?[-+0-9:a]{0,24}") {
            let _ = parse(&text);
        }

        #[test]
        fn limits_are_read_back(soft in 0i64.., above in 0i64..1 << 20) {
            let hard = soft.saturating_add(above);
            let expected = Ulimit { name: "core".into(), soft, hard };
            prop_assert_eq!(parse(&format!("core={soft}:{hard}")), Ok(expected));
            if above > 0 && hard > soft {
                let swapped = format!("core={hard}:{soft}");
                prop_assert!(parse(&swapped).is_err());
            }
        }
    }
}
