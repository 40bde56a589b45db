//! `save`: images into an archive.

use std::fs;
use std::io::Write;
use std::os::unix::fs::FileTypeExt;
use std::path::Path;

use api::image::SaveOptions;
use client::ByteStream;

use crate::app::App;
use crate::command::{Arity, Leaf};
use crate::failure::{Failure, io_text};
use crate::flag::{Flag, Options};
use crate::output_file::OutputFile;
use crate::terminal;

/// Saves images.
pub(crate) struct Save;

#[derive(Default)]
pub(crate) struct SaveFlags {
    output: String,
    platform: Vec<String>,
}

impl Options for SaveFlags {
    const FLAGS: &'static [Flag<Self>] = &[
        Flag::lettered('o', "output", "Write this file instead of standard output", |o| &mut o.output),
        Flag::hidden("platform", |o| &mut o.platform),
    ];
}

impl Leaf for Save {
    type Options = SaveFlags;
    const NAME: &'static str = "save";
    const ABOUT: &'static str = "Save one or more images to a tar archive (streamed to STDOUT by default)";
    const USAGE: &'static str = "[OPTIONS] IMAGE [IMAGE...]";
    const ARITY: Arity = Arity::AtLeast(1);
    const PATHS: &'static [&'static str] = &["image save", "save"];

    fn run(app: &App, flags: SaveFlags, names: Vec<String>) -> Result<(), Failure> {
        if !flags.platform.is_empty() {
            return Err(Failure::message("--platform is not supported by save"));
        }
        if flags.output.is_empty() && terminal::stdout_is_terminal() {
            return Err(Failure::message(
                "cowardly refusing to save to a terminal. Use the -o flag or redirect",
            ));
        }
        check_output(&flags.output)
            .map_err(|reason| Failure::message(format!("failed to save image: {reason}")))?;
        let client = app.client()?;
        let options = SaveOptions { names, ..SaveOptions::default() };
        app.block_on(async {
            let archive = client.save_images(&options).await?;
            match flags.output.as_str() {
                "" => copy(archive, &mut std::io::stdout().lock(), "/dev/stdout").await,
                path => {
                    let mut file = OutputFile::create(Path::new(path))?;
                    copy(archive, file.writer(), path).await?;
                    file.persist()
                }
            }
        })
    }
}

async fn copy(mut archive: ByteStream, out: &mut impl Write, name: &str) -> Result<(), Failure> {
    let failed = |error: std::io::Error| Failure::message(format!("write {name}: {}", io_text(&error)));
    while let Some(bytes) = archive.next().await? {
        out.write_all(&bytes).map_err(failed)?;
    }
    out.flush().map_err(failed)
}

/// Whether a file can be put there; nothing is asked of the engine if not.
fn check_output(path: &str) -> Result<(), String> {
    if path.is_empty() {
        return Ok(());
    }
    let folder = Path::new(path).parent().filter(|folder| !folder.as_os_str().is_empty());
    if let Some((folder, error)) = folder.and_then(|folder| Some((folder, fs::metadata(folder).err()?))) {
        return Err(format!("invalid output path: stat {}: {}", folder.display(), io_text(&error)));
    }
    let Ok(metadata) = fs::metadata(path) else { return Ok(()) };
    let kind = metadata.file_type();
    let found = if kind.is_dir() {
        "directory"
    } else if kind.is_char_device() {
        "character device file"
    } else if kind.is_block_device() {
        "block device file"
    } else if kind.is_fifo() {
        "named pipe (FIFO)"
    } else if kind.is_socket() {
        "socket"
    } else {
        return Ok(());
    };
    Err(format!("cannot write to a {found}"))
}
