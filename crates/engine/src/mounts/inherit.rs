//! `--volumes-from`: mounts of other containers.

use super::{MountSettings, MountSource};
use crate::error::Error;

/// The mounts that a container takes over, the last one at each place. `mounts_of` tells those of a container.
///
/// # Errors
///
/// [`Error::InvalidParameter`] for a malformed entry, and what `mounts_of` reports.
pub(crate) fn inherited(
    asked: &[String],
    mounts_of: impl Fn(&str) -> Result<Vec<MountSettings>, Error>,
) -> Result<Vec<MountSettings>, Error> {
    let mut taken: Vec<MountSettings> = Vec::new();
    for text in asked {
        let (container, read_only) = parse(text)?;
        for mount in mounts_of(container)?.into_iter().filter_map(|mount| take(mount, read_only)) {
            taken.retain(|other| other.target != mount.target);
            taken.push(mount);
        }
    }
    Ok(taken)
}

/// Reads `container[:mode]`.
fn parse(text: &str) -> Result<(&str, bool), Error> {
    if text.is_empty() {
        return Err(Error::invalid("volumes-from specification cannot be an empty string"));
    }
    let (container, mode) = text.split_once(':').unwrap_or((text, ""));
    let mut read_only = false;
    for word in mode.split(',').filter(|_| !mode.is_empty()) {
        match word {
            "ro" => read_only = true,
            "rw" | "z" | "Z" | "consistent" | "cached" | "delegated" => {}
            // Propagation and copying are settled by the other container.
            _ => return Err(Error::invalid(format!("invalid mode: {mode}"))),
        }
    }
    Ok((container, read_only))
}

/// A mount as the other container has it, but for what only concerns its own creation. A file system in memory is nobody
/// else's.
fn take(mut mount: MountSettings, read_only: bool) -> Option<MountSettings> {
    mount.read_only |= read_only;
    mount.mode = String::new();
    match &mut mount.source {
        MountSource::Bind(_) => {}
        MountSource::Volume(volume) => volume.copy = false,
        MountSource::Tmpfs { .. } => return None,
    }
    Some(mount)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mounts::VolumeSource;

    fn volume(target: &str, name: &str) -> MountSettings {
        let source = VolumeSource { name: name.to_owned(), anonymous: true, copy: true };
        MountSettings {
            target: target.to_owned(),
            read_only: false,
            source: MountSource::Volume(source),
            mode: "z".to_owned(),
        }
    }

    fn of(container: &str) -> Result<Vec<MountSettings>, Error> {
        let tmpfs = MountSource::Tmpfs { options: Vec::new(), listed: true };
        let memory = MountSettings { source: tmpfs, ..volume("/memory", "") };
        Ok(vec![volume("/data", container), volume(&format!("/{container}"), "own"), memory])
    }

    #[test]
    fn later_container_wins_and_memory_is_not_shared() {
        let mounts = inherited(&["a".to_owned(), "b:ro".to_owned()], of).unwrap();
        let seen: Vec<_> = mounts.iter().map(|mount| (mount.target.as_str(), mount.read_only)).collect();
        assert_eq!(seen, [("/a", false), ("/data", true), ("/b", true)]);
        let is_taken = |mount: &MountSettings| match &mount.source {
            MountSource::Volume(volume) => !volume.copy && volume.anonymous && mount.mode.is_empty(),
            _ => false,
        };
        assert!(mounts.iter().all(is_taken));
    }

    #[test]
    fn mode_other_than_access_is_refused() {
        for text in ["", "a:nocopy", "a:shared", "a:ro,x"] {
            assert!(
                matches!(inherited(&[text.to_owned()], of), Err(Error::InvalidParameter { .. })),
                "{text}"
            );
        }
    }
}
