//! Numbers that keep engines on one machine apart.

use std::fs::{self, File};
use std::net::Ipv4Addr;
use std::path::Path;

const LOCKS: &str = "/run/lock/corten-test";
const SLOTS: u16 = 1024;

/// A number that no other engine under test holds, and the names that follow from it.
#[derive(Debug)]
pub struct Slot {
    number: u16,
    _lock: File,
}

impl Slot {
    /// Takes a free number; it is given back when the slot is dropped or the process ends.
    pub fn acquire() -> Self {
        fs::create_dir_all(LOCKS).expect("tests run as root and can write below /run/lock");
        let first = (std::process::id() as u16).wrapping_mul(7) % SLOTS;
        (0..SLOTS)
            .map(|offset| (first + offset) % SLOTS)
            .find_map(|number| Some(Self { number, _lock: lock(number)? }))
            .expect("fewer than 1024 engines are under test at once")
    }

    /// The name of the bridge.
    pub fn bridge(&self) -> String {
        format!("ctest{}", self.number)
    }

    /// The cgroup below which the engine makes those of its containers.
    pub fn cgroup_parent(&self) -> String {
        format!("/ctest{}", self.number)
    }

    /// The bridge's own address, the first of a /24.
    pub fn gateway(&self) -> Ipv4Addr {
        let [high, low] = self.number.to_be_bytes();
        Ipv4Addr::new(10, 204 + high, low, 1)
    }

    /// The bridge's address and prefix length, as `--bip` wants them.
    pub fn bip(&self) -> String {
        format!("{}/24", self.gateway())
    }
}

fn lock(number: u16) -> Option<File> {
    let file = File::create(Path::new(LOCKS).join(number.to_string())).expect("create a lock file");
    file.try_lock().ok()?;
    Some(file)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_held_together_differ() {
        let (one, other) = (Slot::acquire(), Slot::acquire());
        assert_ne!(one.bridge(), other.bridge());
        assert_ne!(one.gateway(), other.gateway());
    }

    #[test]
    fn bridge_name_fits_the_kernel() {
        let longest = Slot { number: SLOTS - 1, _lock: File::open("/dev/null").unwrap() };
        assert!(longest.bridge().len() < 16);
        assert_eq!(longest.bip(), "10.207.255.1/24");
    }
}
