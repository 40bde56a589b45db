//! podman on the same way with the same image: no engine's client, but what people compare with.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};
use tempfile::TempDir;

use super::images::run;
use crate::tools::command;

/// podman with a storage of its own, which goes with it.
pub(super) struct Podman(TempDir);

impl Podman {
    pub(super) fn new() -> Result<Self> {
        let folder = tempfile::tempdir().context("make a folder")?;
        let root = folder.path().display();
        let storage = format!(
            "[storage]\ndriver = \"overlay\"\nrunroot = \"{root}/run\"\ngraphroot = \"{root}/lib\"\n"
        );
        fs::write(folder.path().join("storage.conf"), storage).context("write podman's configuration")?;
        Ok(Self(folder))
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let folder = self.0.path();
        let mut podman = command("podman");
        podman.env("CONTAINERS_STORAGE_CONF", folder.join("storage.conf"));
        podman.env("TMPDIR", folder).arg("--tmpdir").arg(folder.join("tmp")).args(arguments);
        podman
    }

    fn timed(&self, arguments: &[&str]) -> Result<Duration> {
        let start = std::time::Instant::now();
        run(&mut self.command(arguments))?;
        Ok(start.elapsed())
    }

    /// Everything once: pull, pull again, push, save, load, load again, removal.
    pub(super) fn once(
        &self,
        source: &str,
        target: &str,
        name: &str,
        archive: &Path,
    ) -> Result<[Duration; 7]> {
        let archive = archive.to_str().context("a path in UTF-8")?;
        let saved = self.0.path().join("saved.tar");
        let saved = saved.to_str().context("a path in UTF-8")?;
        let pull = ["pull", "-q", "--tls-verify=false", source];
        let (first, again) = (self.timed(&pull)?, self.timed(&pull)?);
        run(&mut self.command(&["tag", source, target]))?;
        let push = self.timed(&["push", "-q", "--tls-verify=false", target])?;
        let save = self.timed(&["save", "-q", "-o", saved, source])?;
        run(&mut self.command(&["rmi", target]))?;
        let remove = self.timed(&["rmi", source])?;
        let load = ["load", "-q", "-i", archive];
        let (load, load_again) = (self.timed(&load)?, self.timed(&load)?);
        run(&mut self.command(&["rmi", name]))?;
        fs::remove_file(saved).context("remove the archive")?;
        Ok([first, again, push, save, load, load_again, remove])
    }
}

impl Drop for Podman {
    fn drop(&mut self) {
        // Its storage is a mount that a folder's removal does not pass.
        let _ = run(&mut self.command(&["system", "reset", "-f"]));
    }
}
