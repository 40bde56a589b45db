//! Which files are taken.

use super::*;

#[test]
fn wildcards_select_by_part() {
    let bed = Bed::new();
    for path in ["a.go", "b.go", "c.txt", "sub/d.go", "sub/e/f.go", ".h.go"] {
        bed.file(&format!("context/{path}"), path);
    }
    bed.link("context/s", "sub");
    for (pattern, expected) in [
        ("*.go", vec![".h.go", "a.go", "b.go"]),
        ("?.go", vec!["a.go", "b.go"]),
        ("[^a].go", vec!["b.go"]),
        ("*/*.go", vec!["d.go"]),
        // Not through a link on the way, but what is named may be one.
        ("s/*.go", vec!["d.go"]),
        ("[s]/*.go", vec![]),
        ("sub/e/*", vec!["f.go"]),
        ("*.none", vec![]),
    ] {
        fs::remove_dir_all(bed.path("upper")).expect("removed");
        bed.dir("upper").copy(&copy(&[pattern], "/x/")).expect(pattern);
        let found: Vec<String> = bed.upper().into_keys().filter(|path| path != "x/").collect();
        let expected: Vec<String> = expected.iter().map(|name| format!("x/{name}")).collect();
        assert_eq!(found, expected, "{pattern}");
    }
    assert!(bed.upper().is_empty(), "nothing is made for nothing");
    assert_eq!(bed.told(&copy(&["none"], "/x")), r#""/none": not found"#);
    assert_eq!(bed.told(&copy(&["[a"], "/x")), r#"syntax error in pattern "/[a""#);
}

#[test]
fn wildcards_of_folders_copy_what_is_in_them() {
    let bed = Bed::new();
    bed.file("context/p1/a", "1").file("context/p2/b", "2").file("context/p3", "3");
    bed.copy(&copy(&["p*"], "/x/")).expect("copied");
    assert_eq!(bed.upper(), entries(&[("x/", ""), ("x/a", "1"), ("x/b", "2"), ("x/p3", "3")]));
}

#[test]
fn ignored_files_are_not_there() {
    let bed = Bed {
        ignore: Some(
            Matcher::parse(b"*.md\nsecret\nbuild\n!build/keep/*.js\nempty\n!empty/x").expect("patterns"),
        ),
        ..Bed::new()
    };
    for path in ["a.md", "a.txt", "secret/key", "build/x", "build/keep/a.js", "build/keep/b", "empty/y"] {
        bed.file(&format!("context/{path}"), "");
    }
    bed.link("context/l", "secret/key").link("context/m", "a.md");
    bed.copy(&copy(&[""], "/x")).expect("copied");
    let found: Vec<String> = bed.upper().into_keys().collect();
    assert_eq!(found, ["x/", "x/a.txt", "x/build/", "x/build/keep/", "x/build/keep/a.js", "x/l", "x/m"]);
    for source in ["a.md", "secret", "secret/key", "l", "m", "empty", "build/x"] {
        assert!(matches!(bed.copy(&copy(&[source], "/y")), Err(Error::NotFound { .. })), "{source}");
    }
    bed.copy(&copy(&["*.md", "sec*"], "/z/")).expect("nothing is copied");
    bed.copy(&copy(&["build"], "/b")).expect("copied");
    assert!(bed.path("upper/b/keep/a.js").is_file() && !bed.path("upper/z").exists());
}

#[test]
fn excluded_files_are_left_out_by_paths_from_the_folder_that_is_named() {
    let bed = Bed::new();
    for path in ["d/a.md", "d/a.txt", "d/in/b.md", "d/only/c.md", "d/tmp/x", "d/tmp/keep"] {
        bed.file(&format!("context/{path}"), "");
    }
    let exclude = ["*.md", "only/*", "tmp", "!tmp/keep"].map(str::to_owned).to_vec();
    bed.copy(&Copy { exclude, ..copy(&["d"], "/x") }).expect("copied");
    let found: Vec<String> = bed.upper().into_keys().collect();
    assert_eq!(found, ["x/", "x/a.txt", "x/in/", "x/in/b.md", "x/only/", "x/tmp/", "x/tmp/keep"]);
}

#[test]
fn parents_are_kept_from_the_root_on() {
    let bed = Bed::new();
    for path in ["a/b/c/d/e/bay", "a/b/c/d/foo", "a/b2/c/d/e/bar", "a/z/y"] {
        bed.file(&format!("context/{path}"), "");
    }
    bed.chmod("context/a", 0o710).age("context/a/b", 999);
    for (root, pattern, expected) in [
        ("/", "a/b/c/d/foo", vec!["a/", "a/b/", "a/b/c/", "a/b/c/d/", "a/b/c/d/foo"]),
        ("/a/b", "c/d/e", vec!["c/", "c/d/", "c/d/e/", "c/d/e/bay"]),
        (
            "/a",
            "*/c/d/e/*",
            vec![
                "b/",
                "b/c/",
                "b/c/d/",
                "b/c/d/e/",
                "b/c/d/e/bay",
                "b2/",
                "b2/c/",
                "b2/c/d/",
                "b2/c/d/e/",
                "b2/c/d/e/bar",
            ],
        ),
        ("/a/b*", "c/**/e", vec!["c/", "c/d/", "c/d/e/", "c/d/e/bar", "c/d/e/bay"]),
        ("/a", "none*", vec![]),
    ] {
        fs::remove_dir_all(bed.path("upper")).expect("removed");
        bed.dir("upper").copy(&parents(root, pattern, "/out/")).expect(pattern);
        let found: Vec<String> = bed.upper().into_keys().filter(|path| path != "out/").collect();
        let expected: Vec<String> = expected.iter().map(|path| format!("out/{path}")).collect();
        assert_eq!(found, expected, "{root} {pattern}");
        assert!(bed.path("upper/out").is_dir());
    }
    let bed = Bed { folder: bed.folder, ..Bed::new() };
    bed.copy(&parents("/", "a/b/c/d/foo", "/p/")).expect("copied");
    assert_eq!((bed.mode("upper/p/a"), bed.stat("upper/p/a/b").mtime()), (0o710, 999));
    assert_eq!(bed.told(&parents("/a", "none/x", "/p/")), r#""/a/none/x": not found"#);
}
