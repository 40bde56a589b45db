//! `--restart name[:count]`.

use api::container::RestartPolicy;

/// Reads a restart policy; its name is checked by the engine.
pub(crate) fn parse_restart_policy(text: &str) -> Result<RestartPolicy, String> {
    if text.is_empty() {
        return Ok(RestartPolicy::default());
    }
    let (name, count) = match text.split_once(':') {
        Some((_, "")) | None => (text.trim_end_matches(':'), "0"),
        Some((name, count)) => (name, count),
    };
    if name.is_empty() {
        return Err("invalid restart policy format: no policy provided before colon".to_owned());
    }
    let maximum_retry_count = count
        .parse()
        .map_err(|_| "invalid restart policy format: maximum retry count must be an integer".to_owned())?;
    Ok(RestartPolicy { name: name.to_owned(), maximum_retry_count })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn policies_have_an_optional_count() {
        let policy = parse_restart_policy("on-failure:3").unwrap();
        assert_eq!((policy.name.as_str(), policy.maximum_retry_count), ("on-failure", 3));
        assert_eq!(parse_restart_policy("always").unwrap().name, "always");
        assert!(parse_restart_policy(":3").is_err());
        assert_eq!(
            parse_restart_policy("on-failure:x").unwrap_err(),
            "invalid restart policy format: maximum retry count must be an integer"
        );
    }

    proptest! {
        #[test]
        fn any_text_never_panics(text in "[a-z:-]{0,12}[-+0-9:]{0,24}") {
            let _ = parse_restart_policy(&text);
        }

        #[test]
        fn policies_are_read_back(name in "[a-z-]{1,16}", count in 0u32..1 << 31) {
            let policy = parse_restart_policy(&format!("{name}:{count}")).unwrap();
            prop_assert_eq!((policy.name, policy.maximum_retry_count), (name, i64::from(count)));
        }
    }
}
