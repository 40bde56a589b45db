//! Devices: `--device`, cgroup rules, and limits per block device.

use api::container::{DeviceMapping, ThrottleDevice, WeightDevice};

use super::quantity::parse_size;
use crate::flag::{Element, InvalidValue};

/// Reads `host[:container][:rwm]`.
pub(crate) fn device_mapping(text: &str) -> Result<DeviceMapping, String> {
    let bad = || format!("bad format for path: {text}");
    let parts: Vec<&str> = text.split(':').collect();
    let (host, container, permissions) = match parts.as_slice() {
        ["", ..] => return Err(bad()),
        [host] => (*host, *host, "rwm"),
        [host, mode] if is_mode(mode) => (*host, *host, *mode),
        [host, container] => (*host, *container, "rwm"),
        [host, container, mode] => {
            if !is_mode(mode) {
                return Err(format!("bad mode specified: {mode}"));
            }
            (*host, *container, *mode)
        }
        _ => return Err(bad()),
    };
    if !container.starts_with('/') {
        return Err(format!("{container} is not an absolute path"));
    }
    Ok(DeviceMapping {
        path_on_host: host.to_owned(),
        path_in_container: container.to_owned(),
        cgroup_permissions: permissions.to_owned(),
    })
}

/// Each of `r`, `w` and `m` at most once, and at least one.
fn is_mode(text: &str) -> bool {
    !text.is_empty()
        && text.chars().enumerate().all(|(index, c)| "rwm".contains(c) && text.find(c) == Some(index))
}

/// Whether the device is named by a CDI specification: `vendor.com/class=name`.
pub(crate) fn is_cdi_device(text: &str) -> bool {
    let Some((kind, name)) = text.split_once('=') else { return false };
    let Some((vendor, class)) = kind.split_once('/') else { return false };
    let word = |text: &str, extra: &str| {
        text.starts_with(|c: char| c.is_ascii_alphabetic())
            && text.ends_with(|c: char| c.is_ascii_alphanumeric())
            && text.chars().all(|c| c.is_ascii_alphanumeric() || extra.contains(c))
    };
    let name_ok = name.starts_with(|c: char| c.is_ascii_alphanumeric())
        && name.ends_with(|c: char| c.is_ascii_alphanumeric())
        && name.chars().all(|c| c.is_ascii_alphanumeric() || "_-.:".contains(c));
    word(vendor, "_-.") && word(class, "_-") && name_ok
}

/// `--device-cgroup-rule "c 1:3 mr"`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct CgroupRule(pub(crate) String);

impl Element for CgroupRule {
    const KIND: &'static str = "list";

    fn read(text: &str) -> Result<Self, InvalidValue> {
        let number =
            |text: &str| text == "*" || (!text.is_empty() && text.bytes().all(|b| b.is_ascii_digit()));
        let valid = match text.split(' ').collect::<Vec<_>>().as_slice() {
            [kind, device, mode] => {
                matches!(*kind, "a" | "b" | "c")
                    && device.split_once(':').is_some_and(|(major, minor)| number(major) && number(minor))
                    && (1..=3).contains(&mode.len())
                    && mode.chars().all(|c| "rwm".contains(c))
            }
            _ => false,
        };
        match valid {
            true => Ok(Self(text.to_owned())),
            false => Err(InvalidValue(format!("invalid device cgroup format '{text}'"))),
        }
    }
}

fn split_device(text: &str) -> Result<(&str, &str), InvalidValue> {
    let (path, value) = text.split_once(':').ok_or_else(|| InvalidValue(format!("bad format: {text}")))?;
    if !path.starts_with("/dev/") {
        return Err(InvalidValue(format!("bad format for device path: {text}")));
    }
    Ok((path, value))
}

/// `--device-read-bps /dev/sda:1mb`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ThrottleByBytes(pub(crate) ThrottleDevice);

impl Element for ThrottleByBytes {
    const KIND: &'static str = "list";
    const SHOW_EMPTY: bool = true;

    fn read(text: &str) -> Result<Self, InvalidValue> {
        let (path, value) = split_device(text)?;
        let rate = parse_size(value).ok().and_then(|rate| u64::try_from(rate).ok()).ok_or_else(|| {
            InvalidValue(format!(
                "invalid rate for device: {text}. The correct format is <device-path>:<number>[<unit>]. \
                 Number must be a positive integer. Unit is optional and can be kb, mb, or gb"
            ))
        })?;
        Ok(Self(ThrottleDevice { path: path.to_owned(), rate }))
    }
}

/// `--device-read-iops /dev/sda:1000`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ThrottleByCount(pub(crate) ThrottleDevice);

impl Element for ThrottleByCount {
    const KIND: &'static str = "list";
    const SHOW_EMPTY: bool = true;

    fn read(text: &str) -> Result<Self, InvalidValue> {
        let (path, value) = split_device(text)?;
        let rate = value.parse().map_err(|_| {
            InvalidValue(format!(
                "invalid rate for device: {text}. The correct format is <device-path>:<number>. \
                 Number must be a positive integer"
            ))
        })?;
        Ok(Self(ThrottleDevice { path: path.to_owned(), rate }))
    }
}

/// `--blkio-weight-device /dev/sda:200`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct WeightByDevice(pub(crate) WeightDevice);

impl Element for WeightByDevice {
    const KIND: &'static str = "list";
    const SHOW_EMPTY: bool = true;

    fn read(text: &str) -> Result<Self, InvalidValue> {
        let (path, value) = split_device(text)?;
        let weight = value
            .parse()
            .ok()
            .filter(|weight| *weight == 0 || (10..=1000).contains(weight))
            .ok_or_else(|| InvalidValue(format!("invalid weight for device: {text}")))?;
        Ok(Self(WeightDevice { path: path.to_owned(), weight }))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn device_takes_target_and_permissions() {
        let read = |text| {
            device_mapping(text).map(|device| {
                [device.path_on_host, device.path_in_container, device.cgroup_permissions].join(" ")
            })
        };
        assert_eq!(read("/dev/null"), Ok("/dev/null /dev/null rwm".into()));
        assert_eq!(read("/dev/null:rw"), Ok("/dev/null /dev/null rw".into()));
        assert_eq!(read("/dev/null:/x:r"), Ok("/dev/null /x r".into()));
        for (text, message) in [
            ("a", "a is not an absolute path"),
            ("", "bad format for path: "),
            ("/a:/b:/c:/d", "bad format for path: /a:/b:/c:/d"),
            ("/dev/null:b", "b is not an absolute path"),
            ("/dev/null:/x:zz", "bad mode specified: zz"),
        ] {
            assert_eq!(read(text).unwrap_err(), message);
        }
    }

    #[test]
    fn rates_and_weights_are_checked() {
        assert_eq!(ThrottleByBytes::read("/dev/sda:1mb").unwrap().0.rate, 1 << 20);
        assert_eq!(ThrottleByBytes::read("x").unwrap_err().0, "bad format: x");
        assert_eq!(ThrottleByBytes::read("sda:1").unwrap_err().0, "bad format for device path: sda:1");
        assert!(ThrottleByCount::read("/dev/sda:1mb").is_err());
        assert!(WeightByDevice::read("/dev/sda:1").is_err());
        assert_eq!(WeightByDevice::read("/dev/sda:0").unwrap().0.weight, 0);
    }

    #[test]
    fn cgroup_rules_have_three_parts() {
        assert!(CgroupRule::read("c 1:3 mr").is_ok());
        assert!(CgroupRule::read("a *:* rwm").is_ok());
        assert_eq!(CgroupRule::read("x").unwrap_err().0, "invalid device cgroup format 'x'");
        assert!(CgroupRule::read("c 1:3 x").is_err());
    }

    #[test]
    fn cdi_names_are_told_from_paths() {
        assert!(is_cdi_device("vendor.com/class=name"));
        assert!(!is_cdi_device("/dev/x=y"));
    }

    proptest! {
        #[test]
        fn any_text_never_panics(text in "(/dev/|[a-z/: *=.0-9]){0,12}.{0,4}") {
            let _ = (is_cdi_device(&text), CgroupRule::read(&text), WeightByDevice::read(&text));
            let _ = (ThrottleByBytes::read(&text), ThrottleByCount::read(&text));
            if let Ok(device) = device_mapping(&text) {
                prop_assert!(device.path_in_container.starts_with('/') && !device.path_on_host.is_empty());
                prop_assert!(is_mode(&device.cgroup_permissions));
            }
        }

        #[test]
        fn mappings_are_read_back(host in "/[a-z/]{1,12}", container in "/[a-z/]{1,12}", mode in "(r|w|m|rw|rm|wm|rwm)") {
            let device = device_mapping(&format!("{host}:{container}:{mode}")).unwrap();
            let found = (device.path_on_host, device.path_in_container, device.cgroup_permissions);
            prop_assert_eq!(found, (host, container, mode));
        }
    }
}
