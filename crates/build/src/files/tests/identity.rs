//! What identifies files, and what is kept of them.

use super::*;

#[test]
fn digests_are_of_contents_and_not_of_times() {
    let bed = Bed::new();
    bed.file("context/d/a", "1").file("context/d/in/b", "2").link("context/d/l", "a");
    let asked = copy(&["d"], "/x");
    let digest = bed.digest(&asked);
    bed.age("context/d/a", 1).age("context/d/in", 2).age("context/d", 3).chown("context/d/a", 5, 5);
    bed.chmod("context/d", 0o700);
    assert_eq!(bed.digest(&asked), digest);
    let mut seen = vec![digest.clone()];
    let changes: [&dyn Fn(&Bed); 7] = [
        &|bed| {
            bed.file("context/d/a", "3");
        },
        &|bed| {
            bed.chmod("context/d/a", 0o600);
        },
        &|bed| {
            bed.chmod("context/d/in", 0o700);
        },
        &|bed| fs::rename(bed.path("context/d/in/b"), bed.path("context/d/in/c")).expect("renamed"),
        &|bed| {
            bed.file("context/d/in/b", "2");
        },
        &|bed| {
            fs::remove_file(bed.path("context/d/l")).expect("removed");
            bed.link("context/d/l", "b");
        },
        &|bed| {
            let name = CString::new("user.x").expect("a name");
            rustix::fs::setxattr(bed.path("context/d/a"), &*name, b"x", XattrFlags::empty())
                .expect("an attribute");
        },
    ];
    for (index, change) in changes.iter().enumerate() {
        change(&bed);
        let now = bed.digest(&asked);
        assert!(!seen.contains(&now), "change {index}");
        seen.push(now);
    }
    let octal = Copy { mode: Some(Mode::Octal(0o644)), ..asked.clone() };
    let before = bed.digest(&octal);
    bed.chmod("context/d/a", 0o755);
    assert_eq!(bed.digest(&octal), before);
}

#[test]
fn owners_make_a_difference_where_they_are_kept() {
    let bed = Bed { origin: Origin::Layers, ..Bed::new() };
    bed.file("context/d/a", "1");
    let asked = copy(&["d"], "/x");
    let given = Copy { owner: Some("5".to_owned()), ..asked.clone() };
    let (kept, changed) = (bed.digest(&asked), bed.digest(&given));
    bed.chown("context/d/a", 5, 5);
    assert_ne!(bed.digest(&asked), kept);
    assert_eq!(bed.digest(&given), changed);
}

#[test]
fn files_are_named_by_digests_and_folders_are_not() {
    let bed = Bed::new();
    bed.file("context/a1", "1").file("context/d1/x", "1");
    let digests = || (bed.digest(&copy(&["a*"], "/x/")), bed.digest(&copy(&["d*"], "/x/")));
    let before = digests();
    fs::rename(bed.path("context/a1"), bed.path("context/a2")).expect("renamed");
    fs::rename(bed.path("context/d1"), bed.path("context/d2")).expect("renamed");
    let after = digests();
    assert_ne!(before.0, after.0);
    assert_eq!(before.1, after.1);
}

#[test]
fn memory_spares_reading_and_notices_changes() {
    let bed = Bed::new();
    bed.file("context/d/a", "old").file("context/d/b", "same");
    let asked = copy(&["d"], "/x");
    let memory = Memory::default();
    let first = bed.look(&asked, &memory).expect("looked").digest().clone();
    memory.save(&bed.path("memory")).expect("saved");
    assert!(!bed.path("memory").exists(), "files that were just changed are not remembered");
    std::thread::sleep(Duration::from_millis(3100));
    assert_eq!(*bed.look(&asked, &memory).expect("looked").digest(), first);
    memory.save(&bed.path("memory")).expect("saved");
    let memory = Memory::load(&bed.path("memory"));
    assert_eq!(*bed.look(&asked, &memory).expect("looked").digest(), first);
    bed.file("context/d/a", "new");
    assert_ne!(*bed.look(&asked, &memory).expect("looked").digest(), first);
    bed.file("context/d/a", "old");
    assert_eq!(*bed.look(&asked, &memory).expect("looked").digest(), first);
}

#[test]
fn unchanged_files_of_an_earlier_result_are_not_copied() {
    let bed = Bed::new();
    bed.file("context/d/a", "1")
        .file("context/d/in/b", "2")
        .file("context/d/in/c", "3")
        .chmod("context/d/in/c", 0o600);
    let asked = copy(&["d"], "/x");
    let record = bed.copy(&asked).expect("copied");
    let record = Record::from_bytes(&record.to_bytes()).expect("read back");
    bed.file("context/d/in/b", "changed").age("context/d/a", 77).dir("again");
    let now = bed.look(&asked, &Memory::default()).expect("looked").record();
    assert_eq!(record.difference(&now).as_deref(), Some(r#""d/in/b" was changed"#));
    let previous = Previous { tree: &bed.path("upper"), record: &record };
    bed.copy_with(&asked, "again", Some(&previous)).expect("copied");
    let same =
        |path: &str| bed.stat(&format!("upper/{path}")).ino() == bed.stat(&format!("again/{path}")).ino();
    // Its time is another one, its contents are other ones, it is the same.
    assert_eq!((same("x/a"), same("x/in/b"), same("x/in/c")), (false, false, true));
    assert_eq!(bed.stat("again/x/a").mtime(), 77);
    assert_eq!(fs::read_to_string(bed.path("again/x/in/b")).expect("read"), "changed");
    assert_eq!(fs::read_to_string(bed.path("upper/x/in/b")).expect("read"), "2");
    assert_eq!(bed.stat("context/d/in/c").nlink(), 1);
}

#[test]
fn nothing_is_younger_than_what_is_asked_for_and_no_earlier_result_is_made_older() {
    let mut bed = Bed::new();
    bed.file("context/d/young", "1").file("context/d/old", "2").dir("context/d/in").dir("again");
    bed.age("context/d/young", 3000).age("context/d/old", 1000).age("context/d/in", 3000);
    let asked = copy(&["d"], "/x");
    let record = bed.copy(&asked).expect("copied");
    bed.latest = Some(2000);
    let previous = Previous { tree: &bed.path("upper"), record: &record };
    bed.copy_with(&asked, "again", Some(&previous)).expect("copied");
    for (path, time) in [("again/x/young", 2000), ("again/x/old", 1000), ("again/x/in", 2000)] {
        assert_eq!(bed.stat(path).mtime(), time, "{path}");
    }
    let (young, old) = (bed.stat("upper/x/young"), bed.stat("upper/x/old"));
    assert_eq!((young.mtime(), young.nlink(), old.nlink()), (3000, 1, 2));
}
