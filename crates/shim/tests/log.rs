//! What the writer of a log puts down, its reader finds again: across rotations, compression, cuts and crashes.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::path::Path;
use std::time::Duration;

use shim::Log;
use shim::log::compress::InPlace;
use shim::log::follow::{Follow, stream};
use shim::log::{Batch, Progress, ReadOptions, Reader, Render, Stream, Writer};

const SECOND: i64 = 1_000_000_000;

fn json(directory: &Path, max_size: Option<u64>, max_files: u32, compress: bool) -> Log {
    let attributes = BTreeMap::new();
    Log::JsonFile { path: directory.join("log"), max_size, max_files, compress, attributes }
}

fn local(directory: &Path, max_size: Option<u64>, max_files: u32, compress: bool) -> Log {
    Log::Local { path: directory.join("log"), max_size, max_files, compress }
}

/// Both formats, with and without compression.
fn logs(directory: &Path, max_size: Option<u64>, max_files: u32) -> Vec<Log> {
    let mut logs = Vec::new();
    for (index, compress) in [false, true].into_iter().enumerate() {
        for (name, make) in [("json", json as fn(&Path, _, _, _) -> Log), ("local", local)] {
            let directory = directory.join(format!("{name}{index}"));
            fs::create_dir(&directory).unwrap();
            logs.push(make(&directory, max_size, max_files, compress));
        }
    }
    logs
}

fn writer(log: &Log) -> Writer {
    Writer::open(log, Box::new(InPlace)).unwrap().unwrap()
}

fn read(reader: &mut Reader) -> Vec<(Stream, i64, String)> {
    let mut found = Vec::new();
    let mut batch = Batch::default();
    while reader.next_batch(&mut batch).unwrap() == Progress::Read {
        found.extend(
            batch
                .iter()
                .map(|entry| (entry.stream, entry.time, String::from_utf8(entry.data.to_vec()).unwrap())),
        );
    }
    found
}

fn texts(log: &Log, options: ReadOptions) -> Vec<String> {
    let entries = read(&mut Reader::open(log, options).unwrap());
    entries.into_iter().map(|(_, _, text)| text).collect()
}

/// Lines `0` to `count`, line `n` written at second `n`, odd ones to standard error.
fn write_lines(log: &Log, range: std::ops::Range<i64>) {
    let mut writer = writer(log);
    for number in range {
        let stream = if number % 2 == 0 { Stream::Stdout } else { Stream::Stderr };
        writer.write(stream, format!("line {number}\n").as_bytes(), number * SECOND).unwrap();
    }
}

fn lines(range: std::ops::Range<i64>) -> Vec<String> {
    range.map(|number| format!("line {number}\n")).collect()
}

#[test]
fn records_come_back_in_order_with_stream_and_time() {
    let directory = tempfile::tempdir().unwrap();
    for log in logs(directory.path(), None, 1) {
        write_lines(&log, 0..2);
        let found = read(&mut Reader::open(&log, ReadOptions::default()).unwrap());
        let expected =
            [(Stream::Stdout, 0, "line 0\n".to_owned()), (Stream::Stderr, SECOND, "line 1\n".to_owned())];
        assert_eq!(found, expected);
    }
}

#[test]
fn rotated_and_compressed_files_are_read_from_the_oldest() {
    let directory = tempfile::tempdir().unwrap();
    for log in logs(directory.path(), Some(500), 5) {
        write_lines(&log, 0..1000);
        let found = texts(&log, ReadOptions::default());
        assert!(found.len() > 15 && found.len() < 200, "some were rotated away: {} left", found.len());
        assert_eq!(found, lines(1000 - found.len() as i64..1000));
    }
}

#[test]
fn rotation_respects_size_within_one_write() {
    let directory = tempfile::tempdir().unwrap();
    let log = json(directory.path(), Some(10_000), 4, false);
    let text: String = (0..1000).map(|number| format!("line {number}\n")).collect();
    writer(&log).write(Stream::Stdout, text.as_bytes(), 0).unwrap();
    for name in ["log.1", "log.2", "log.3"] {
        let length = fs::metadata(directory.path().join(name)).unwrap().len();
        assert!((10_000..10_100).contains(&length), "{name} has {length} bytes");
    }
}

#[test]
fn tail_counts_from_the_end_across_files() {
    let directory = tempfile::tempdir().unwrap();
    for log in logs(directory.path(), Some(500), 1000) {
        write_lines(&log, 0..100);
        for count in [0, 1, 2, 9, 10, 50, 99, 100, 1000] {
            let options = ReadOptions { tail: Some(count), ..ReadOptions::default() };
            let first = (100 - count as i64).max(0);
            assert_eq!(texts(&log, options), lines(first..100), "tail {count} of {log:?}");
        }
    }
}

#[test]
fn tail_of_a_long_file_is_found_across_blocks() {
    let directory = tempfile::tempdir().unwrap();
    for log in logs(directory.path(), None, 1) {
        write_lines(&log, 0..20_000);
        let options = ReadOptions { tail: Some(12_345), ..ReadOptions::default() };
        assert_eq!(texts(&log, options), lines(20_000 - 12_345..20_000));
    }
}

#[test]
fn since_until_and_streams_select() {
    let directory = tempfile::tempdir().unwrap();
    for log in logs(directory.path(), Some(500), 1000) {
        write_lines(&log, 0..100);
        let options =
            ReadOptions { since: Some(20 * SECOND), until: Some(29 * SECOND), ..ReadOptions::default() };
        assert_eq!(texts(&log, options), lines(20..30));
        let options = ReadOptions { stdout: false, ..options };
        assert_eq!(texts(&log, options).len(), 5);
        let mut reader = Reader::open(&log, options).unwrap();
        let mut batch = Batch::default();
        assert_eq!(reader.next_batch(&mut batch).unwrap(), Progress::Read);
        assert_eq!(reader.next_batch(&mut batch).unwrap(), Progress::Finished);
    }
}

#[test]
fn long_line_comes_back_whole() {
    let directory = tempfile::tempdir().unwrap();
    for log in logs(directory.path(), None, 1) {
        let line = format!("{}\n", "äöü€".repeat(20_000));
        writer(&log).write(Stream::Stdout, line.as_bytes(), 0).unwrap();
        let found = texts(&log, ReadOptions::default());
        assert!(found.len() > 10);
        assert_eq!(found.concat(), line);
    }
}

#[test]
fn unfinished_line_is_written_at_the_end() {
    let directory = tempfile::tempdir().unwrap();
    for log in logs(directory.path(), None, 1) {
        let mut writer = writer(&log);
        writer.write(Stream::Stdout, b"prompt> ", 0).unwrap();
        assert!(texts(&log, ReadOptions::default()).is_empty());
        writer.finish(Stream::Stdout, 0).unwrap();
        assert_eq!(texts(&log, ReadOptions::default()), ["prompt> "]);
    }
}

#[test]
fn torn_record_is_removed_when_the_log_is_continued() {
    let directory = tempfile::tempdir().unwrap();
    for log in logs(directory.path(), None, 1) {
        write_lines(&log, 0..3);
        let (Log::JsonFile { path, .. } | Log::Local { path, .. }) = &log else { unreachable!() };
        let whole = fs::metadata(path).unwrap().len();
        let torn = fs::File::options().write(true).open(path).unwrap();
        torn.set_len(whole - 3).unwrap();
        assert_eq!(texts(&log, ReadOptions { tail: Some(1), ..ReadOptions::default() }).len().min(1), 1);
        write_lines(&log, 3..5);
        assert_eq!(texts(&log, ReadOptions::default()), ["line 0\n", "line 1\n", "line 3\n", "line 4\n"]);
    }
}

#[test]
fn damaged_json_line_is_passed_over() {
    let directory = tempfile::tempdir().unwrap();
    let log = json(directory.path(), None, 1, false);
    write_lines(&log, 0..1);
    let mut file = fs::File::options().append(true).open(directory.path().join("log")).unwrap();
    file.write_all(b"\0\0\0\n").unwrap();
    write_lines(&log, 1..2);
    assert_eq!(texts(&log, ReadOptions::default()), lines(0..2));
}

#[test]
fn damaged_local_file_is_an_error_that_says_where() {
    let directory = tempfile::tempdir().unwrap();
    let log = local(directory.path(), None, 1, false);
    fs::write(directory.path().join("log"), b"\0\0\0\x02\xff\xff\0\0\0\x02").unwrap();
    let mut reader = Reader::open(&log, ReadOptions::default()).unwrap();
    let error = reader.next_batch(&mut Batch::default()).unwrap_err();
    assert!(error.to_string().ends_with("log is damaged at byte 0"), "{error}");
}

#[test]
fn log_not_written_yet_is_empty_and_no_log_is_an_error() {
    let directory = tempfile::tempdir().unwrap();
    let log = json(directory.path(), None, 1, false);
    assert!(texts(&log, ReadOptions::default()).is_empty());
    let error = Reader::open(&Log::None, ReadOptions::default()).unwrap_err();
    assert_eq!(error.to_string(), "configured logging driver does not support reading");
}

#[test]
fn reader_goes_on_where_rotation_has_left_it_behind() {
    let directory = tempfile::tempdir().unwrap();
    for log in logs(directory.path(), Some(500), 100) {
        let mut reader = Reader::open(&log, ReadOptions::default()).unwrap();
        let mut found = read(&mut reader);
        for round in 0..20 {
            write_lines(&log, round * 13..(round + 1) * 13);
            found.extend(read(&mut reader));
        }
        let found: Vec<String> = found.into_iter().map(|(_, _, text)| text).collect();
        assert_eq!(found, lines(0..260), "{log:?}");
    }
}

#[test]
fn reader_notices_that_a_single_file_began_again() {
    let directory = tempfile::tempdir().unwrap();
    let log = json(directory.path(), Some(500), 1, false);
    write_lines(&log, 0..7);
    let mut reader = Reader::open(&log, ReadOptions::default()).unwrap();
    assert_eq!(read(&mut reader).len(), 7);
    write_lines(&log, 7..9);
    let found = read(&mut reader);
    assert!(found.is_empty() || found.last().unwrap().2 == "line 8\n");
    assert_eq!(read(&mut reader).last().or(found.last()).unwrap().2, "line 8\n");
}

#[test]
fn full_disk_drops_records_and_goes_on_later() {
    let directory = tempfile::tempdir().unwrap();
    let mount = directory.path().join("small");
    fs::create_dir(&mount).unwrap();
    let options = Some(c"size=64k");
    rustix::mount::mount("tmpfs", &mount, "tmpfs", rustix::mount::MountFlags::empty(), options).unwrap();
    let log = json(&mount, None, 1, false);
    let mut writer = writer(&log);
    let line = format!("{}\n", "x".repeat(1000));
    let failures = (0..100).filter(|_| writer.write(Stream::Stdout, line.as_bytes(), 0).is_err()).count();
    assert!(failures > 20, "{failures}");
    assert!(writer.dropped() > 20_000);
    let kept = texts(&log, ReadOptions::default());
    assert_eq!(kept.len() + failures, 100, "what was kept is whole");
    fs::File::options().write(true).open(mount.join("log")).unwrap().set_len(0).unwrap();
    drop(writer);
    let mut writer = self::writer(&log);
    writer.write(Stream::Stdout, b"again\n", 0).unwrap();
    assert_eq!(texts(&log, ReadOptions::default()), ["again\n"]);
    drop(writer);
    rustix::mount::unmount(&mount, rustix::mount::UnmountFlags::empty()).unwrap();
}

async fn receive(mut pieces: tokio::sync::mpsc::Receiver<Result<Vec<u8>, shim::log::LogError>>) -> Vec<u8> {
    let mut all = Vec::new();
    while let Some(piece) = pieces.recv().await {
        all.extend(piece.unwrap());
    }
    all
}

#[tokio::test(flavor = "multi_thread")]
async fn stream_ends_at_the_end_of_the_log() {
    let directory = tempfile::tempdir().unwrap();
    for log in logs(directory.path(), None, 1) {
        write_lines(&log, 0..10);
        let options = ReadOptions::default();
        let pieces = stream::<std::future::Ready<()>>(log, options, Render::default(), Follow::No);
        assert_eq!(receive(pieces).await, lines(0..10).concat().as_bytes());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn followed_stream_sees_everything_written_until_the_end() {
    let directory = tempfile::tempdir().unwrap();
    for log in logs(directory.path(), Some(5000), 1000) {
        write_lines(&log, 0..10);
        let (end, ended) = tokio::sync::oneshot::channel::<()>();
        let options = ReadOptions { tail: Some(5), ..ReadOptions::default() };
        let ended = async move { drop(ended.await) };
        let pieces = stream(log.clone(), options, Render::default(), Follow::Until(ended));
        let received = tokio::spawn(receive(pieces));
        tokio::time::sleep(Duration::from_millis(50)).await;
        let write = move || {
            for round in 1..50 {
                write_lines(&log, round * 10..(round + 1) * 10);
            }
        };
        tokio::task::spawn_blocking(write).await.unwrap();
        end.send(()).unwrap();
        let received = tokio::time::timeout(Duration::from_secs(10), received).await.unwrap().unwrap();
        assert_eq!(String::from_utf8(received).unwrap(), lines(5..500).concat());
    }
}
