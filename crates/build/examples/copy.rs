//! How long a `COPY` of many files takes: looked at and copied for the first time, unchanged, with one file touched.
//!
//! `cargo run --release -p corten-build --example copy -- [files] [bytes] [files in a folder]`

use std::fs::{self, File};
use std::path::Path;
use std::time::{Duration, Instant};

use build::files::{Memory, Origin, Previous, Record, Request, Selected, Tree};
use dockerfile::plan::{Copy, CopySource, Selection};
use sys::root::Root;

fn main() {
    let mut numbers = std::env::args().skip(1).map(|number| number.parse::<usize>().expect("a number"));
    let files = numbers.next().unwrap_or(50_000);
    let bytes = numbers.next().unwrap_or(4096);
    let per_folder = numbers.next().unwrap_or(100);
    let folder = tempfile::tempdir_in(".").expect("a folder");
    let context = folder.path().join("context");
    for file in 0..files {
        let path = context.join(format!("folder{}/file{file}", file / per_folder));
        if file % per_folder == 0 {
            fs::create_dir_all(path.parent().expect("a folder above")).expect("folders");
        }
        let content: Vec<u8> = (0..bytes).map(|at| (at * (file + 7) / 3) as u8).collect();
        fs::write(path, content).expect("a file");
    }
    // What was just written is not remembered.
    std::thread::sleep(Duration::from_secs(4));
    let memory = folder.path().join("memory");
    let first = step("first time", folder.path(), &context, &memory, "first", None);
    step("unchanged", folder.path(), &context, &memory, "", None);
    File::open(context.join("folder0/file0"))
        .expect("a file")
        .set_modified(std::time::SystemTime::now())
        .expect("a time");
    fs::write(context.join("folder0/file1"), "touched").expect("a file");
    let tree = folder.path().join("first");
    let previous = Previous { tree: &tree, record: &first };
    step("one touched", folder.path(), &context, &memory, "second", Some(&previous));
    step("no previous", folder.path(), &context, &memory, "third", None);
}

fn step(
    what: &str,
    folder: &Path,
    context: &Path,
    memory: &Path,
    upper: &str,
    previous: Option<&Previous<'_>>,
) -> Record {
    let source = CopySource { selection: Selection::Pattern("/".to_owned()), unpacks: false };
    let copy = Copy {
        sources: vec![source],
        destination: "/app".to_owned(),
        owner: None,
        mode: None,
        exclude: Vec::new(),
        is_link: false,
    };
    let start = Instant::now();
    let root = Root::at(context).expect("a root");
    let tree = Tree { root: &root, ignore: None, origin: Origin::Context };
    let request = Request { copy: &copy, sources: &[Some(tree)], latest: None };
    let known = Memory::load(memory);
    let loaded = start.elapsed();
    let selected = Selected::look(&request, &known).expect("looked");
    let looked = start.elapsed();
    known.save(memory).expect("saved");
    let saved = start.elapsed();
    let mut record = Record::default();
    if !upper.is_empty() {
        let upper = folder.join(upper);
        fs::create_dir(&upper).expect("a folder");
        record = selected.copy(&request, None, &upper, previous).expect("copied");
    }
    let copied = start.elapsed();
    let bytes = record.to_bytes();
    record = Record::from_bytes(&bytes).expect("read back");
    let kept = start.elapsed();
    println!(
        "{what}: memory {loaded:?}, look {:?}, save {:?}, copy {:?}, record {} bytes {:?}; all {kept:?}",
        looked - loaded,
        saved - looked,
        copied - saved,
        bytes.len(),
        kept - copied,
    );
    record
}
