//! `--mount type=bind,src=…,dst=…`.

use api::StringMap;
use api::container::{BindOptions, DriverConfig, ImageOptions, Mount, TmpfsOptions, VolumeOptions};

use super::csv::csv_fields;
use super::go;
use super::quantity::parse_size;
use crate::flag::{InvalidValue, Value};

/// The mounts given so far.
#[derive(Debug, Default, Clone, PartialEq)]
pub(crate) struct MountFlag(pub(crate) Vec<Mount>);

impl Value for MountFlag {
    fn set(&mut self, text: &str) -> Result<(), InvalidValue> {
        self.0.push(parse(text).map_err(InvalidValue)?);
        Ok(())
    }
    fn kind(&self) -> &'static str {
        "mount"
    }
}

fn parse(text: &str) -> Result<Mount, String> {
    let mut mount = Mount { kind: "volume".to_owned(), ..Mount::default() };
    for field in csv_fields(text)? {
        apply(&mut mount, &field)?;
    }
    check(&mount)?;
    Ok(mount)
}

fn apply(mount: &mut Mount, field: &str) -> Result<(), String> {
    let (key, given) = match field.split_once('=') {
        Some((key, value)) => (key.to_lowercase(), Some(value)),
        None => (field.to_lowercase(), None),
    };
    let is_switch = matches!(key.as_str(), "readonly" | "ro" | "volume-nocopy" | "bind-nonrecursive");
    if given.is_none() && !is_switch {
        return Err(format!("invalid field '{field}' must be a key=value pair"));
    }
    let value = given.unwrap_or("true");
    let switch = || go::parse_bool(value).map_err(|_| format!("invalid value for {key}: {value}"));
    match key.as_str() {
        "type" => mount.kind = value.to_lowercase(),
        "source" | "src" => mount.source = source(value),
        "target" | "dst" | "destination" => mount.target = value.to_owned(),
        "readonly" | "ro" => mount.read_only = switch()?,
        "consistency" => mount.consistency = value.to_lowercase(),
        "bind-propagation" => bind(mount).propagation = value.to_lowercase(),
        "bind-nonrecursive" => bind(mount).non_recursive = switch()?,
        "bind-recursive" => bind_recursive(bind(mount), value)?,
        "volume-subpath" => volume(mount).subpath = value.to_owned(),
        "volume-nocopy" => volume(mount).no_copy = switch()?,
        "volume-label" => insert(volume(mount).labels.get_or_insert_default(), value),
        "volume-driver" => driver(mount).name = value.to_owned(),
        "volume-opt" => insert(driver(mount).options.get_or_insert_default(), value),
        "image-subpath" => {
            mount.image_options.get_or_insert_with(ImageOptions::default).subpath = value.to_owned();
        }
        "tmpfs-size" => {
            tmpfs(mount).size_bytes =
                parse_size(value).map_err(|_| format!("invalid value for {key}: {value}"))?;
        }
        "tmpfs-mode" => {
            tmpfs(mount).mode =
                u32::from_str_radix(value, 8).map_err(|_| format!("invalid value for {key}: {value}"))?;
        }
        _ => return Err(format!("unexpected key '{key}' in '{field}'")),
    }
    Ok(())
}

/// A source that begins with a dot is meant from the client's own directory.
fn source(value: &str) -> String {
    if value != "." && !value.starts_with("./") && value != ".." && !value.starts_with("../") {
        return value.to_owned();
    }
    std::path::absolute(value)
        .ok()
        .and_then(|path| path.into_os_string().into_string().ok())
        .unwrap_or_else(|| value.to_owned())
}

fn bind(mount: &mut Mount) -> &mut BindOptions {
    mount.bind_options.get_or_insert_with(BindOptions::default)
}

fn volume(mount: &mut Mount) -> &mut VolumeOptions {
    mount.volume_options.get_or_insert_with(VolumeOptions::default)
}

fn driver(mount: &mut Mount) -> &mut DriverConfig {
    volume(mount).driver_config.get_or_insert_with(DriverConfig::default)
}

fn tmpfs(mount: &mut Mount) -> &mut TmpfsOptions {
    mount.tmpfs_options.get_or_insert_with(TmpfsOptions::default)
}

fn insert(map: &mut StringMap, pair: &str) {
    let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
    map.insert(key.to_owned(), value.to_owned());
}

fn bind_recursive(options: &mut BindOptions, value: &str) -> Result<(), String> {
    match value {
        "enabled" => {}
        "disabled" => options.non_recursive = true,
        "writable" => options.read_only_non_recursive = true,
        "readonly" => options.read_only_force_recursive = true,
        _ => {
            return Err(format!(
                "invalid value for bind-recursive: {value} (must be \"enabled\", \"disabled\", \"writable\", or \"readonly\")"
            ));
        }
    }
    Ok(())
}

fn check(mount: &Mount) -> Result<(), String> {
    if mount.kind.is_empty() {
        return Err("type is required".to_owned());
    }
    if mount.target.is_empty() {
        return Err("target is required".to_owned());
    }
    let groups = [
        ("volume", mount.volume_options.is_some()),
        ("bind", mount.bind_options.is_some()),
        ("tmpfs", mount.tmpfs_options.is_some()),
        ("image", mount.image_options.is_some()),
    ];
    if let Some((group, _)) = groups.iter().find(|(group, used)| *used && mount.kind != *group) {
        return Err(format!("cannot mix '{group}-*' options with mount type '{}'", mount.kind));
    }
    mount.bind_options.as_ref().map_or(Ok(()), |options| check_recursion(options, mount.read_only))
}

fn check_recursion(options: &BindOptions, read_only: bool) -> Result<(), String> {
    let needs = |value: &str, what: &str| {
        Err(format!("option 'bind-recursive={value}' requires '{what}' to be specified in conjunction"))
    };
    if options.read_only_non_recursive && !read_only {
        return needs("writable", "readonly");
    }
    if options.read_only_force_recursive && !read_only {
        return needs("readonly", "readonly");
    }
    if options.read_only_force_recursive && options.propagation != "rprivate" {
        return needs("readonly", "bind-propagation=rprivate");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn fields_have_their_synonyms() {
        let mount = parse("type=bind,src=/a,dst=/b,ro").unwrap();
        assert_eq!((mount.kind.as_str(), mount.source.as_str(), mount.target.as_str()), ("bind", "/a", "/b"));
        assert!(mount.read_only);
        assert_eq!(parse("TYPE=bind,\"source=/a,b\",destination=/b").unwrap().source, "/a,b");
        assert_eq!(parse("target=/b").unwrap().kind, "volume");
        let mount = parse("type=tmpfs,target=/t,tmpfs-size=1m,tmpfs-mode=1770").unwrap();
        let options = mount.tmpfs_options.unwrap();
        assert_eq!((options.size_bytes, options.mode), (1 << 20, 0o1770));
        let mount = parse("target=/v,volume-label=a=b,volume-driver=d,volume-opt=o=1,volume-nocopy").unwrap();
        let options = mount.volume_options.unwrap();
        assert!(options.no_copy);
        assert_eq!(options.driver_config.unwrap().name, "d");
    }

    #[test]
    fn bad_mounts_are_refused_in_the_known_words() {
        for (text, message) in [
            ("", "EOF"),
            ("type=bind", "target is required"),
            ("type=,target=/a", "type is required"),
            ("foo", "invalid field 'foo' must be a key=value pair"),
            ("target=/b,", "invalid field '' must be a key=value pair"),
            ("type=bind,src=/a,target=/b,x=1", "unexpected key 'x' in 'x=1'"),
            ("type=bind, src=/a,target=/b", "unexpected key ' src' in ' src=/a'"),
            ("type=bind,source=/a,dst=/b,readonly=maybe", "invalid value for readonly: maybe"),
            ("type=tmpfs,target=/a,tmpfs-size=x", "invalid value for tmpfs-size: x"),
            ("type=tmpfs,target=/a,tmpfs-mode=9", "invalid value for tmpfs-mode: 9"),
            (
                "type=bind,src=/a,target=/b,tmpfs-size=1m",
                "cannot mix 'tmpfs-*' options with mount type 'bind'",
            ),
            ("target=/b,bind-propagation=x", "cannot mix 'bind-*' options with mount type 'volume'"),
            (
                "type=bind,src=/a,target=/b,bind-recursive=readonly",
                "option 'bind-recursive=readonly' requires 'readonly' to be specified in conjunction",
            ),
        ] {
            assert_eq!(parse(text).unwrap_err(), message);
        }
    }

    proptest! {
        #[test]
        fn any_text_never_panics(text in "[a-z=,\"/ \n-]{0,30}") {
            let _ = parse(&text);
        }

        #[test]
        fn quoted_fields_are_read_back(source in "[ -~]{1,20}") {
            let quoted = format!("src={source}").replace('"', "\"\"");
            let text = format!("type=bind,\"{quoted}\",dst=/b");
            prop_assume!(!source.starts_with('.'));
            prop_assert_eq!(parse(&text).unwrap().source, source);
        }
    }
}
