//! Base images, made once from Debian's packages and kept outside the repository.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Stdio;

use serde_json::json;

use crate::archive::{Image, Layer, digest};
use crate::cli::Command;

/// A change of a recipe below needs a new number, so that caches are not used beyond it.
const RECIPES: u32 = 1;

const PATH: &str = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// The base images there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Base {
    /// Debian's static busybox with all its applets; some 2 MB.
    Busybox,
    /// Debian bookworm, `minbase`.
    Debian,
    /// Debian bookworm with Python 3.
    Python,
    /// Debian bookworm with nginx, which serves Debian's page on port 80 and logs to `/var/log/nginx/access.log`.
    Nginx,
    /// Debian bookworm with a Redis server on port 6379.
    Redis,
}

impl Base {
    /// Every base image.
    pub const ALL: [Self; 5] = [Self::Busybox, Self::Debian, Self::Python, Self::Nginx, Self::Redis];

    /// The name and tag in the archive.
    pub fn tag(self) -> &'static str {
        match self {
            Self::Busybox => "busybox:latest",
            Self::Debian => "debian:bookworm",
            Self::Python => "python:3",
            Self::Nginx => "nginx:latest",
            Self::Redis => "redis:latest",
        }
    }

    /// The archive, in the format of `docker save`; it is made where it is not cached.
    pub fn archive(self) -> PathBuf {
        let directory = cache();
        fs::create_dir_all(&directory)
            .unwrap_or_else(|error| panic!("create {}: {error}", directory.display()));
        let path = directory.join(format!("{}.tar", self.key()));
        if !path.exists() {
            make_once(&path, || self.make());
        }
        path
    }

    fn key(self) -> String {
        match self {
            Self::Busybox => format!("busybox-{RECIPES}-{}", &digest(&busybox())["sha256:".len()..][..12]),
            Self::Debian => format!("debian-{RECIPES}"),
            Self::Python => format!("python-{RECIPES}"),
            Self::Nginx => format!("nginx-{RECIPES}"),
            Self::Redis => format!("redis-{RECIPES}"),
        }
    }

    fn make(self) -> Vec<u8> {
        let image = match self {
            Self::Busybox => Image::new(json!({"Env": [PATH], "Cmd": ["sh"]}), busybox_root(&busybox())),
            Self::Debian => {
                Image::new(json!({"Env": [PATH], "Cmd": ["bash"]}), Layer::from_tar(bootstrap("")))
            }
            Self::Python => Image::new(
                json!({"Env": [PATH, "LANG=C.UTF-8"], "Cmd": ["python3"]}),
                Layer::from_tar(bootstrap("python3")),
            ),
            Self::Nginx => Image::new(
                json!({
                    "Env": [PATH], "ExposedPorts": {"80/tcp": {}}, "StopSignal": "SIGQUIT",
                    "Cmd": ["nginx", "-g", "daemon off;"],
                }),
                Layer::from_tar(bootstrap("nginx-light")),
            ),
            Self::Redis => Image::new(
                json!({
                    "Env": [PATH], "ExposedPorts": {"6379/tcp": {}}, "User": "redis", "WorkingDir": "/var/lib/redis",
                    "Cmd": ["redis-server", "--bind", "*", "--protected-mode", "no"],
                }),
                Layer::from_tar(bootstrap("redis-server")),
            ),
        };
        image.docker_archive(self.tag())
    }
}

/// The directory of the cache.
pub fn cache() -> PathBuf {
    std::env::var_os("CORTEN_TEST_CACHE").map_or_else(|| "/var/cache/corten-test".into(), PathBuf::from)
}

/// Writes `path` unless another process has done so meanwhile.
fn make_once(path: &Path, make: impl FnOnce() -> Vec<u8>) {
    let lock = File::create(path.with_extension("lock")).expect("create a lock file");
    lock.lock().expect("lock the cache");
    if path.exists() {
        return;
    }
    let unfinished = path.with_extension("unfinished");
    fs::write(&unfinished, make()).expect("write a base image");
    fs::rename(&unfinished, path).expect("put a base image in its place");
}

fn busybox() -> Vec<u8> {
    fs::read("/bin/busybox").expect("the package busybox-static is installed")
}

fn busybox_root(binary: &[u8]) -> Layer {
    let directories = ["bin/", "etc/", "home/", "root/", "usr/", "usr/bin/", "var/", "dev/", "proc/", "sys/"];
    let layer = directories.into_iter().fold(Layer::new(), |layer, name| layer.directory(name, 0o755));
    let layer = layer
        .directory("tmp/", 0o1777)
        .file(
            "etc/passwd",
            0o644,
            b"root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/home:/bin/false\n\
              tester:x:1000:1000:tester:/home:/bin/sh\n",
        )
        .file(
            "etc/group",
            0o644,
            b"root:x:0:\ndaemon:x:1:tester\nmail:x:8:tester\nnogroup:x:65534:\ntester:x:1000:\n",
        )
        .file("bin/busybox", 0o755, binary);
    let applets = Command::new("/bin/busybox").arg("--list").run().expect_ok().text();
    applets
        .lines()
        .filter(|applet| *applet != "busybox")
        .fold(layer, |layer, applet| layer.symlink(&format!("bin/{applet}"), "busybox"))
}

/// The root of a Debian system with these packages besides the smallest set, as a tar archive.
fn bootstrap(packages: &str) -> Vec<u8> {
    let mut command = std::process::Command::new("mmdebstrap");
    command.args(["--quiet", "--variant=minbase", "--format=tar"]);
    for excluded in ["/usr/share/doc/*", "/usr/share/man/*", "/usr/share/locale/*", "/usr/share/info/*"] {
        command.arg(format!("--dpkgopt=path-exclude={excluded}"));
    }
    if !packages.is_empty() {
        command.arg(format!("--include={packages}"));
    }
    let output = command
        .args(["bookworm", "-"])
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()
        .expect("the package mmdebstrap is installed");
    assert!(output.status.success(), "mmdebstrap ended with {}", output.status);
    output.stdout
}
