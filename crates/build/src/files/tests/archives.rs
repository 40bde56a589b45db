//! Archives that are unpacked.

use super::*;

fn archive(entries: &[(&str, &str)]) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    for (path, text) in entries {
        let mut header = tar::Header::new_gnu();
        header.set_mode(if path.ends_with('/') { 0o750 } else { 0o640 });
        header.set_mtime(4000);
        header.set_uid(7);
        header.set_gid(8);
        header.set_size(text.len() as u64);
        if path.ends_with('/') {
            header.set_entry_type(tar::EntryType::Directory);
        }
        builder.append_data(&mut header, path, text.as_bytes()).expect("an entry");
    }
    builder.into_inner().expect("an archive")
}

#[test]
fn archives_are_unpacked_over_whatever_is_there() {
    let bed = Bed::new();
    let tar = archive(&[
        ("d/", ""),
        ("d/new", "1"),
        ("d/f/", ""),
        ("d/f/x", "2"),
        ("g", "3"),
        ("l/", ""),
        ("l/y", "4"),
    ]);
    fs::write(bed.path("context/a.tar"), tar).expect("a file");
    bed.file("below/x/d/old", "0").file("below/x/d/f", "0").file("below/x/g/h", "0").link("below/x/l", "d");
    let mut asked = copy(&["a.tar"], "/x");
    asked.sources[0].unpacks = true;
    bed.copy(&asked).expect("copied");
    let expected = [
        ("x/", ""),
        ("x/d/", ""),
        ("x/d/old", "0"),
        ("x/d/new", "1"),
        ("x/d/f/", ""),
        ("x/d/f/x", "2"),
        ("x/g", "3"),
        ("x/l/", ""),
        ("x/l/y", "4"),
    ];
    assert_eq!(bed.merged(), entries(&expected));
    let d = bed.stat("upper/x/d");
    assert_eq!((d.uid(), d.gid(), d.mode() & 0o7777, d.mtime()), (7, 8, 0o750, 4000));
    assert_eq!(
        fs::read_dir(bed.folder.path()).expect("a folder").count(),
        4,
        "nothing is left of the unpacking"
    );
    let given = Copy { owner: Some("9".to_owned()), destination: "/y".to_owned(), ..asked.clone() };
    bed.copy(&given).expect("copied");
    assert_eq!((bed.stat("upper/y").uid(), bed.stat("upper/y/d/new").uid()), (9, 7));
    bed.copy(&copy(&["a.tar"], "/z/")).expect("copied");
    assert!(bed.path("upper/z/a.tar").is_file());
}

#[test]
fn archives_over_what_other_sources_made_are_merged() {
    let bed = Bed::new();
    fs::write(
        bed.path("context/a.tar"),
        archive(&[("f/", ""), ("f/x", "1"), ("d", "2"), ("e/", ""), ("e/n", "3")]),
    )
    .expect("a file");
    // The first source puts a file over nothing; the folder below under that name stays hidden.
    bed.file("context/s/f", "0")
        .file("context/s/d/in", "0")
        .file("context/s/e/m", "4")
        .file("below/e/k", "5");
    let mut asked = copy(&["s", "a.tar"], "/");
    asked.sources[1].unpacks = true;
    bed.copy(&asked).expect("copied");
    let expected =
        [("d", "2"), ("e/", ""), ("e/k", "5"), ("e/m", "4"), ("e/n", "3"), ("f/", ""), ("f/x", "1")];
    assert_eq!(bed.merged(), entries(&expected));
}
