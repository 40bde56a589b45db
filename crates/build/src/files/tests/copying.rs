//! What a copy makes.

use super::*;

#[test]
fn folder_copies_what_is_in_it() {
    let bed = Bed::new();
    bed.file("context/src/a", "1").file("context/src/in/b", "2").link("context/src/l", "/etc/passwd");
    bed.copy(&copy(&["src"], "/app")).expect("copied");
    let expected =
        [("app/", ""), ("app/a", "1"), ("app/in/", ""), ("app/in/b", "2"), ("app/l", "-> /etc/passwd")];
    assert_eq!(bed.upper(), entries(&expected));
}

#[test]
fn file_goes_into_a_folder_or_gets_the_name_of_the_destination() {
    for (destination, expected) in [
        ("/b", vec![("b", "1")]),
        ("/b/", vec![("b/", ""), ("b/a", "1")]),
        ("/x/y/b", vec![("x/", ""), ("x/y/", ""), ("x/y/b", "1")]),
        ("/", vec![("a", "1")]),
        ("/there", vec![("there/", ""), ("there/a", "1")]),
    ] {
        let bed = Bed::new();
        bed.file("context/a", "1").file("below/there/old", "0");
        bed.copy(&copy(&["a"], destination)).expect(destination);
        assert_eq!(bed.upper(), entries(&expected), "{destination}");
    }
}

#[test]
fn folders_that_are_below_come_as_they_are() {
    let bed = Bed::new();
    bed.file("context/a", "1").file("below/etc/conf/old", "0");
    bed.chmod("below/etc", 0o2750).chown("below/etc", 5, 6).chmod("below/etc", 0o2750);
    bed.age("below/etc/conf", 1000).age("below/etc", 2000);
    let name = CString::new("user.mark").expect("a name");
    rustix::fs::setxattr(bed.path("below/etc"), &*name, b"x", XattrFlags::empty()).expect("an attribute");
    bed.copy(&copy(&["a"], "/etc/conf/")).expect("copied");
    let etc = bed.stat("upper/etc");
    assert_eq!((etc.mode() & 0o7777, etc.uid(), etc.gid(), etc.mtime()), (0o2750, 5, 6, 2000));
    assert_eq!(bed.stat("upper/etc/conf").mtime(), 1000);
    let mut value = [0; 4];
    assert_eq!(rustix::fs::getxattr(bed.path("upper/etc"), &*name, &mut value[..]), Ok(1));
    let expected = [("etc/", ""), ("etc/conf/", ""), ("etc/conf/a", "1"), ("etc/conf/old", "0")];
    assert_eq!(bed.merged(), entries(&expected));
}

#[test]
fn later_sources_see_what_earlier_ones_made() {
    let bed = Bed::new();
    bed.file("context/one/x", "1")
        .link("context/one/l", "sub")
        .file("context/two/x", "2")
        .dir("context/two/sub");
    bed.file("context/two/sub/z", "3").file("context/a", "4");
    bed.copy(&copy(&["one", "two", "a"], "/app")).expect("copied");
    let expected = [
        ("app/", ""),
        ("app/a", "4"),
        ("app/l", "-> sub"),
        ("app/sub/", ""),
        ("app/sub/z", "3"),
        ("app/x", "2"),
    ];
    assert_eq!(bed.upper(), entries(&expected));
    let bed = Bed::new();
    bed.file("context/one/x", "1").dir("context/two/x").file("context/x", "2");
    assert_eq!(bed.told(&copy(&["one", "two"], "/app")), "cannot copy to non-directory: /app/x");
    assert_eq!(bed.told(&copy(&["two", "x"], "/b/")), "cannot replace to directory /b/x with file");
}

#[test]
fn linked_copies_see_nothing_below() {
    let bed = Bed::new();
    bed.file("context/a", "1").link("below/app", "srv").dir("below/srv").chmod("below/srv", 0o700);
    let linked = |destination| Copy { is_link: true, ..copy(&["a"], destination) };
    bed.copy(&linked("/app/")).expect("copied");
    bed.copy(&linked("/srv/")).expect("copied");
    let expected = [("app/", ""), ("app/a", "1"), ("srv/", ""), ("srv/a", "1")];
    assert_eq!((bed.upper(), bed.mode("upper/srv")), (entries(&expected), 0o755));
}

#[test]
fn kinds_that_clash_are_refused_or_replaced() {
    // What is below, what is copied, where to; what a container sees then, or is told.
    let refused = |text: &str| Err(text.to_owned());
    type Case<'a> = (&'a str, &'a str, &'a str, Result<Vec<(&'a str, &'a str)>, String>);
    let cases: Vec<Case<'_>> = vec![
        ("f", "a", "/f", Ok(vec![("f", "1")])),
        ("f", "a", "/f/", refused("cannot copy to non-directory: /f")),
        ("f", "a", "/f/g", refused("cannot copy to non-directory: /f")),
        ("f", "d", "/f", refused("cannot copy to non-directory: /f")),
        ("d/x/", "d", "/d", refused("cannot replace to directory /d/x with file")),
        ("l>f", "a", "/l", Ok(vec![("l", "-> f"), ("f", "1")])),
        ("l>e/", "a", "/l", Ok(vec![("l", "-> e/"), ("e", "1")])),
        ("e/l>.", "a", "/e/l", Ok(vec![("e/", ""), ("e/a", "1"), ("e/l", "-> .")])),
        ("e/a>f", "a", "/e", Ok(vec![("e/", ""), ("e/a", "1")])),
        ("e/a/", "a", "/e/", refused("cannot replace to directory /e/a with file")),
        ("d/y", "d", "/d", refused("cannot copy to non-directory: /d/y")),
        ("d/y>..", "d", "/d", refused("cannot copy to non-directory: /d/y")),
        ("d/x>y", "d", "/d", Ok(vec![("d/", ""), ("d/x", "2"), ("d/y/", "")])),
        ("e/", "d", "/e", Ok(vec![("e/", ""), ("e/x", "2"), ("e/y/", "")])),
    ];
    for (there, source, destination, expected) in cases {
        let bed = Bed::new();
        bed.file("context/a", "1").file("context/d/x", "2").dir("context/d/y");
        match there.split_once('>') {
            Some((link, target)) => bed.link(&format!("below/{link}"), target),
            None if there.ends_with('/') => bed.dir(&format!("below/{there}")),
            None => bed.file(&format!("below/{there}"), "0"),
        };
        let case = format!("{there} {source} {destination}");
        match (bed.copy(&copy(&[source], destination)), expected) {
            (Ok(_), Ok(expected)) => {
                assert_eq!(bed.merged(), entries(&expected), "{case}");
            }
            (Err(error), Err(text)) => assert_eq!(error.to_string(), text, "{case}"),
            (found, expected) => panic!("{case}: {found:?}, expected {expected:?}"),
        }
    }
}

#[test]
fn special_files_are_copied_and_sockets_are_not() {
    let bed = Bed::new();
    bed.dir("context/d");
    rustix::fs::mknodat(CWD, bed.path("context/d/pipe"), FileType::Fifo, rustix::fs::Mode::RUSR, 0)
        .expect("a pipe");
    let null = rustix::fs::makedev(1, 3);
    rustix::fs::mknodat(
        CWD,
        bed.path("context/d/null"),
        FileType::CharacterDevice,
        rustix::fs::Mode::RUSR,
        null,
    )
    .expect("a device");
    let _socket = std::os::unix::net::UnixListener::bind(bed.path("context/d/socket")).expect("a socket");
    bed.copy(&copy(&["d"], "/x")).expect("copied");
    assert_eq!(bed.upper().into_keys().collect::<Vec<_>>(), ["x/", "x/null", "x/pipe"]);
    let (pipe, device) = (bed.stat("upper/x/pipe"), bed.stat("upper/x/null"));
    assert!(pipe.file_type().is_fifo() && device.file_type().is_char_device() && device.rdev() == null);
    assert_eq!(pipe.mode() & 0o777, 0o400);
    assert_eq!(bed.told(&copy(&["d/socket"], "/y")), r#""d/socket" is a socket"#);
}

#[test]
fn names_of_one_file_stay_names_of_one_file() {
    let bed = Bed::new();
    bed.file("context/d/a", "1").dir("context/d/in").file("below/x/in/c", "old");
    fs::hard_link(bed.path("context/d/a"), bed.path("context/d/in/b")).expect("a link");
    fs::hard_link(bed.path("context/d/a"), bed.path("context/d/in/c")).expect("a link");
    bed.age("context/d/in", 4321);
    bed.copy(&copy(&["d"], "/x")).expect("copied");
    let first = bed.stat("upper/x/a");
    assert_eq!(
        (first.nlink(), bed.stat("upper/x/in/b").ino(), bed.stat("upper/x/in/c").ino()),
        (3, first.ino(), first.ino())
    );
    assert_eq!(bed.stat("upper/x/in").mtime(), 4321);
}

#[test]
fn large_files_keep_their_holes() {
    let bed = Bed::new();
    let path = bed.path("context/big");
    let file = fs::File::create(&path).expect("a file");
    file.set_len(64 << 20).expect("a hole");
    std::os::unix::fs::FileExt::write_all_at(&file, b"end", (32 << 20) + 7).expect("written");
    bed.copy(&copy(&["big"], "/big")).expect("copied");
    assert_eq!(fs::read(&path).expect("read"), fs::read(bed.path("upper/big")).expect("read"));
    assert!(bed.stat("upper/big").blocks() < 1000);
}

#[test]
fn empty_trees_have_a_root_only() {
    let bed = Bed::new();
    let done = |asked: &Copy| {
        let request = Request { copy: asked, sources: &[None], latest: None };
        let selected = Selected::look(&request, &Memory::default())?;
        selected.copy(&request, None, &bed.path("upper"), None)
    };
    done(&copy(&[""], "/x")).expect("copied");
    done(&copy(&["*"], "/y")).expect("copied");
    assert_eq!(bed.upper(), entries(&[("x/", "")]));
    assert!(matches!(done(&copy(&["a"], "/x")), Err(Error::NotFound { .. })));
}

#[test]
fn folders_are_made_where_they_are_missing() {
    let bed = Bed::new();
    bed.dir("below/there")
        .link("below/l", "there")
        .file("below/file", "")
        .file("below/etc/passwd", "ann:x:5:6::/:\n");
    let below = Root::at(&bed.path("below")).expect("a root");
    let make = |path: &str, user: &str| {
        let folder = MakeFolder { path: path.to_owned(), user: user.to_owned(), mode: 0o755 };
        make_folder(&folder, Some(&below), &bed.path("upper"))
    };
    make("/there", "ann").expect("made");
    make("/l", "ann").expect("made");
    assert!(bed.upper().is_empty());
    make("/l/new/er", "ann").expect("made");
    assert_eq!(bed.upper(), entries(&[("there/", ""), ("there/new/", ""), ("there/new/er/", "")]));
    for (path, owner) in
        [("upper/there", (0, 0)), ("upper/there/new", (5, 6)), ("upper/there/new/er", (5, 6))]
    {
        assert_eq!(
            (bed.stat(path).uid(), bed.stat(path).gid(), bed.mode(path)),
            (owner.0, owner.1, 0o755),
            "{path}"
        );
    }
    make("/x", "nobody-knows").expect("made");
    assert_eq!(bed.stat("upper/x").uid(), 0);
    assert!(matches!(make("/file/x", ""), Err(Error::NotFolder { .. })));
    assert!(matches!(make("/file", ""), Err(Error::NotFolder { .. })));
}
