//! The Debian packages that building and testing need.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Stdio;

use anyhow::{Context, Result, bail};

use crate::tools::{command, is_installed, run};

/// Package, and what it is for.
const NEEDED: [(&str, &str); 19] = [
    ("gcc", "C parts of dependencies"),
    ("libc6-dev", "C parts of dependencies"),
    ("g++", "the fuzzer"),
    ("gcc-multilib", "the probe of 32-bit system calls"),
    ("libseccomp-dev", "the oracle for system call filters"),
    ("docker.io", "the reference engine, and a client where there is no other"),
    ("mmdebstrap", "base images"),
    ("busybox-static", "base images"),
    ("docker-registry", "pulling"),
    ("curl", "the benchmark's yardstick for downloads"),
    ("skopeo", "filling the registry"),
    ("openssl", "certificates of a registry"),
    ("git", "sources of builds"),
    ("bzip2", "archives to fuzz with"),
    ("xz-utils", "archives to fuzz with"),
    ("nftables", "looking at the firewall"),
    ("iproute2", "looking at the network"),
    ("procps", "looking at processes"),
    ("ca-certificates", "Debian's mirrors"),
];

/// What only the benchmark needs.
pub(crate) const FOR_BENCH: [(&str, &str); 1] = [("podman", "the benchmark's yardstick for images")];

/// Stops packages from starting services while they are installed; dpkg asks it.
const POLICY: &str = "/usr/sbin/policy-rc.d";

/// Installs what is missing of what everything needs, and of `more`.
pub(crate) fn install(more: &[(&str, &str)]) -> Result<()> {
    let needed = || NEEDED.iter().chain(more);
    let missing: Vec<&str> = needed().map(|(name, _)| *name).filter(|name| !is_present(name)).collect();
    if missing.is_empty() {
        return Ok(());
    }
    eprintln!("These Debian packages are needed and will be installed:");
    for (name, purpose) in needed().filter(|(name, _)| missing.contains(name)) {
        eprintln!("  {name:16} {purpose}");
    }
    if !is_installed("apt-get") {
        bail!("there is no apt-get here; install the equivalents of these packages: {}", missing.join(" "));
    }
    let _quiet = Policy::deny_services()?;
    run(command("apt-get").args(["update", "-qq"]))?;
    run(command("apt-get")
        .env("DEBIAN_FRONTEND", "noninteractive")
        .args(["install", "-y", "-qq", "--no-install-recommends"])
        .args(missing))
}

fn is_present(package: &str) -> bool {
    let query = command("dpkg-query").args(["-W", "-f=${Status}", package]).stderr(Stdio::null()).output();
    query.is_ok_and(|output| output.stdout == b"install ok installed")
}

/// The policy file, while packages are installed; nothing where the machine has one already.
struct Policy {
    is_own: bool,
}

impl Policy {
    fn deny_services() -> Result<Self> {
        if Path::new(POLICY).exists() {
            return Ok(Self { is_own: false });
        }
        let guard = Self { is_own: true };
        fs::write(POLICY, "#!/bin/sh\nexit 101\n").with_context(|| format!("write {POLICY}"))?;
        fs::set_permissions(POLICY, fs::Permissions::from_mode(0o755))
            .with_context(|| format!("chmod {POLICY}"))?;
        Ok(guard)
    }
}

impl Drop for Policy {
    fn drop(&mut self) {
        if self.is_own {
            // It is missing only when it could not be written.
            let _ = fs::remove_file(POLICY);
        }
    }
}
