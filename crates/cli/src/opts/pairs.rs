//! `key=value` options.

use std::collections::BTreeMap;

use crate::flag::{InvalidValue, Value};

/// Splits each `key=value`; a key alone has an empty value, and a later one replaces an earlier one.
pub(crate) fn pairs_to_map(pairs: &[String]) -> BTreeMap<String, String> {
    pairs
        .iter()
        .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .collect()
}

const SYSCTLS: &[&str] = &[
    "kernel.msgmax",
    "kernel.msgmnb",
    "kernel.msgmni",
    "kernel.sem",
    "kernel.shmall",
    "kernel.shmmax",
    "kernel.shmmni",
    "kernel.shm_rmid_forced",
];
const SYSCTL_PREFIXES: &[&str] = &["net.", "fs.mqueue."];

/// `--sysctl`: only kernel parameters that have a value per container.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(crate) struct Sysctls(pub(crate) BTreeMap<String, String>);

impl Value for Sysctls {
    fn set(&mut self, text: &str) -> Result<(), InvalidValue> {
        let refused = || InvalidValue(format!("sysctl '{text}' is not allowed"));
        let (key, value) = text.split_once('=').ok_or_else(refused)?;
        if !SYSCTLS.contains(&key) && !SYSCTL_PREFIXES.iter().any(|prefix| key.starts_with(prefix)) {
            return Err(refused());
        }
        self.0.insert(key.to_owned(), value.to_owned());
        Ok(())
    }
    fn kind(&self) -> &'static str {
        "map"
    }
    fn default_text(&self) -> Option<String> {
        Some("map[]".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sysctls_of_the_host_are_refused() {
        let mut sysctls = Sysctls::default();
        assert!(sysctls.set("net.core.somaxconn=1024").is_ok());
        assert!(sysctls.set("kernel.shmmax=1").is_ok());
        assert_eq!(sysctls.set("vm.swappiness=1").unwrap_err().0, "sysctl 'vm.swappiness=1' is not allowed");
        assert_eq!(sysctls.set("foo").unwrap_err().0, "sysctl 'foo' is not allowed");
    }

    #[test]
    fn pairs_keep_the_last_value() {
        let map = pairs_to_map(&["a=1".into(), "b".into(), "a=2=3".into()]);
        assert_eq!(
            map.into_iter().collect::<Vec<_>>(),
            [("a".into(), "2=3".into()), ("b".into(), String::new())]
        );
    }
}
