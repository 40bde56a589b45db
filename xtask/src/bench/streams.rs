//! Output of 200 MB, byte for byte: as it comes, and from the log.

use std::fs;
use std::io::Read;
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use testkit::Command;

use super::figures::Table;
use super::runs::remove_all;
use super::{Bench, Contender};

const SIZE: usize = 200_000_000;
const LINE: usize = 100;

/// Adds the lines about output.
pub(super) fn measure(bench: &Bench, table: &mut Table) -> Result<()> {
    let [attached, read] = ["run, 200 MB of output", "logs, 200 MB"];
    if !bench.wants(attached) && !bench.wants(read) {
        return Ok(());
    }
    let content = content();
    let file = bench.corten.directory().join("content");
    fs::write(&file, &content).context("write the content")?;
    let volume = format!("{}:/content:ro", file.display());
    // The whole output is to be in the log, whatever an engine's defaults for rotation are.
    let options =
        ["run", "--name", "box", "--log-opt", "max-size=1g", "-v", &volume, "busybox", "cat", "/content"];
    let mut rates = <[[String; 3]; 2]>::default();
    for contender in Contender::ALL {
        rates[0][contender as usize] = rate(through(&bench.command(contender, &options), &content)?);
        rates[1][contender as usize] = rate(through(&bench.command(contender, &["logs", "box"]), &content)?);
        remove_all(bench);
    }
    for (name, rates) in [attached, read].into_iter().zip(rates) {
        let row = table.add(name, "600 MB/s");
        Contender::ALL.into_iter().zip(rates).fold(row, |row, (contender, rate)| row.cell(contender, rate));
    }
    Ok(())
}

/// Lines that all differ.
fn content() -> Vec<u8> {
    let mut content = Vec::with_capacity(SIZE);
    for number in 0..SIZE / LINE {
        let start = content.len();
        content.extend_from_slice(format!("{number:012} ").as_bytes());
        content.resize(start + LINE - 1, b'a' + (number % 26) as u8);
        content.push(b'\n');
    }
    content
}

/// Runs a command and compares all of its output; returns how long it took.
fn through(command: &Command, expected: &[u8]) -> Result<Duration> {
    let start = Instant::now();
    let mut child = command
        .prepare()
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .with_context(|| format!("run {command}"))?;
    let mut pipe = child.stdout.take().context("standard output is a pipe")?;
    let mut buffer = vec![0; 1 << 20];
    let mut position = 0;
    loop {
        let count = pipe.read(&mut buffer).context("read the output")?;
        if count == 0 {
            break;
        }
        let matches = expected.get(position..position + count) == Some(&buffer[..count]);
        ensure!(matches, "{command}: the output differs after {position} bytes");
        position += count;
    }
    let took = start.elapsed();
    let status = child.wait().context("wait for the client")?;
    ensure!(status.success() && position == expected.len(), "{command}: {status} after {position} bytes");
    Ok(took)
}

fn rate(took: Duration) -> String {
    format!("{:.0} MB/s", SIZE as f64 / 1e6 / took.as_secs_f64())
}
