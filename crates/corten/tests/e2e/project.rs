//! A folder with a Dockerfile, to build.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::Path;

use testkit::{Bed, Output};

/// A folder with a Dockerfile.
pub(crate) struct Project {
    folder: tempfile::TempDir,
}

impl Project {
    /// A folder with this Dockerfile and no more.
    pub(crate) fn new(dockerfile: &str) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        Self { folder }.file("Dockerfile", dockerfile)
    }

    /// Adds a file, with the folders above it.
    pub(crate) fn file(self, path: &str, content: &str) -> Self {
        self.write(path, content);
        self
    }

    /// Adds a link.
    pub(crate) fn link(self, path: &str, target: &str) -> Self {
        symlink(target, self.folder.path().join(path)).expect("make a link");
        self
    }

    /// Sets permissions.
    pub(crate) fn mode(self, path: &str, mode: u32) -> Self {
        let path = self.folder.path().join(path);
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("set permissions");
        self
    }

    /// Writes a file.
    pub(crate) fn write(&self, path: &str, content: &str) {
        let path = self.folder.path().join(path);
        fs::create_dir_all(path.parent().expect("it is in the folder")).expect("make a folder");
        fs::write(path, content).expect("write a file");
    }

    /// Where it is.
    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Builds it.
    pub(crate) fn run(&self, bed: &Bed, options: &[&str]) -> Output {
        let path = self.path().to_str().expect("a temporary folder has an ordinary name");
        let words = ["build"].into_iter().chain(options.iter().copied()).chain([path]);
        bed.cli(words).env("DOCKER_BUILDKIT", "0").run()
    }

    /// Builds it with this name, which must succeed, and tells the image's ID.
    #[track_caller]
    pub(crate) fn build(&self, bed: &Bed, name: &str, options: &[&str]) -> String {
        let options: Vec<&str> = ["-t", name].into_iter().chain(options.iter().copied()).collect();
        self.run(bed, &options).expect_ok();
        bed.field(name, "{{.Id}}")
    }

    /// Builds it, which must fail, and tells why.
    #[track_caller]
    pub(crate) fn fails(&self, bed: &Bed, options: &[&str]) -> String {
        let output = self.run(bed, options);
        assert_ne!(output.status, 0, "it was built: {}", output.text());
        format!("{}{}", output.text(), output.stderr)
    }
}

/// What a shell script prints in a container of an image.
#[track_caller]
pub(crate) fn seen(bed: &Bed, image: &str, script: &str) -> String {
    bed.ok(["run", "--rm", "--entrypoint", "/bin/sh", image, "-c", script])
}
