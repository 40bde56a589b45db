//! The container's log, as its supervisor writes it.

use std::ffi::CString;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use shim::Log;
use shim::log::{Compressor, LogError, Stream, Writer, compress, now};

/// What a supervisor is called with to compress a file instead.
pub(super) const COMPRESS: &str = "--compress";

/// A log whose troubles do not stop the container.
#[derive(Debug)]
pub(super) struct ContainerLog {
    writer: Option<Writer>,
    /// Whether the last write failed: each trouble is told of once.
    troubled: bool,
}

impl ContainerLog {
    pub(super) fn open(log: &Log) -> Result<Self, LogError> {
        let writer = Writer::open(log, Box::new(ChildCompressor { child: None }))?;
        Ok(Self { writer, troubled: false })
    }

    pub(super) fn write(&mut self, stream: Stream, data: &[u8]) {
        if let Some(writer) = &mut self.writer {
            let result = writer.write(stream, data, now());
            self.judge(result);
        }
    }

    pub(super) fn finish(&mut self, stream: Stream) {
        if let Some(writer) = &mut self.writer {
            let result = writer.finish(stream, now());
            self.judge(result);
        }
    }

    pub(super) fn release(&mut self) {
        if let Some(writer) = &mut self.writer {
            writer.release();
        }
    }

    fn judge(&mut self, result: Result<(), LogError>) {
        let dropped = self.writer.as_ref().map_or(0, Writer::dropped);
        match result {
            Err(error) if !self.troubled => {
                self.troubled = true;
                let cause = std::error::Error::source(&error).map(|cause| format!(": {cause}"));
                super::complain(format_args!("log: {error}{}", cause.unwrap_or_default()));
            }
            Ok(()) if self.troubled => {
                self.troubled = false;
                super::complain(format_args!("log: written again; {dropped} bytes were dropped so far"));
            }
            _ => {}
        }
    }
}

/// Compresses in a process of its own, so that the container's output does not wait and no thread is needed.
#[derive(Debug)]
struct ChildCompressor {
    child: Option<OwnedFd>,
}

impl Compressor for ChildCompressor {
    fn start(&mut self, path: &Path) -> io::Result<()> {
        let path = CString::new(path.as_os_str().as_bytes())?;
        let option = CString::new(COMPRESS).expect("no NUL");
        let null = File::options().read(true).write(true).open("/dev/null")?;
        let stderr = io::stderr();
        let pid = sys::spawn::spawn(&sys::spawn::Program {
            path: c"/proc/self/exe",
            arguments: &[c"corten", c"shim", &option, &path],
            environment: &[],
            descriptors: &[null.as_fd(), null.as_fd(), stderr.as_fd()],
        })?;
        self.child = Some(sys::process::pidfd(pid)?);
        Ok(())
    }

    fn wait(&mut self) {
        if let Some(child) = self.child.take() {
            // Where the loop has reaped it, it has ended, which is all that matters.
            let _ = sys::process::wait(child);
        }
    }
}

/// What the child does.
pub(super) fn compress_file(path: &Path) -> io::Result<()> {
    compress::compress(path)
}
