//! Files that lead elsewhere, or change meanwhile.

use super::*;

#[test]
fn links_that_are_named_are_followed_and_others_are_not() {
    let bed = Bed::new();
    bed.file("context/real/a", "1").link("context/l", "real").link("context/real/f", "a");
    bed.copy(&copy(&["l"], "/x")).expect("copied");
    bed.copy(&copy(&["l/f"], "/y/")).expect("copied");
    let expected = [("x/", ""), ("x/a", "1"), ("x/f", "-> a"), ("y/", ""), ("y/f", "1")];
    assert_eq!(bed.upper(), entries(&expected));
}

#[test]
fn destinations_with_links_stay_in_the_root() {
    for (link, target, destination, expected) in [
        ("below/app", "/srv", "/app/", vec![("srv/", ""), ("srv/a", "1")]),
        ("below/app", "../../../srv", "/app/x/", vec![("srv/", ""), ("srv/x/", ""), ("srv/x/a", "1")]),
        ("below/app", "/", "/app/", vec![("a", "1")]),
        (
            "below/d/app",
            "/proc/self/root/etc",
            "/d/app/",
            vec![
                ("proc/", ""),
                ("proc/self/", ""),
                ("proc/self/root/", ""),
                ("proc/self/root/etc/", ""),
                ("proc/self/root/etc/a", "1"),
                ("d/", ""),
            ],
        ),
        // A dangling link gives the name of the new file.
        ("below/app", "opt/file", "/app", vec![("opt/", ""), ("opt/file", "1")]),
    ] {
        let bed = Bed::new();
        bed.file("context/a", "1").link(link, target);
        bed.copy(&copy(&["a"], destination)).expect(destination);
        let mut expected = entries(&expected);
        if destination == "/d/app/" {
            expected.remove("d/");
            let upper: BTreeMap<_, _> = bed.upper().into_iter().filter(|(path, _)| path != "d/").collect();
            assert_eq!(upper, expected, "{target}");
        } else {
            assert_eq!(bed.upper(), expected, "{target}");
        }
        bed.check_canary();
    }
}

#[test]
fn absolute_links_of_the_image_to_the_outside_stay_inside() {
    let bed = Bed::new();
    let outside = bed.path("outside");
    let outside = outside.to_str().expect("text");
    bed.file("context/canary", "dead")
        .link("below/app", outside)
        .link("below/canary", &format!("{outside}/canary"));
    bed.link("context/in", outside).link("context/up", "../../outside/canary");
    bed.copy(&copy(&["canary"], "/app/")).expect("copied inside");
    bed.copy(&copy(&["canary"], "/canary")).expect("copied inside");
    assert!(bed.path(&format!("upper{outside}/canary")).is_file());
    for source in ["in", "in/canary", "up", "in/*"] {
        assert!(matches!(bed.copy(&copy(&[source], "/x")), Err(Error::NotFound { .. })), "{source}");
    }
    bed.check_canary();
}

#[test]
fn names_that_delete_are_refused() {
    let bed = Bed::new();
    bed.file("context/d/.wh.x", "").file("context/a", "");
    let text = "\"/y/.wh.x\" cannot be in a layer: names that begin with .wh. stand for deleted files";
    assert_eq!(bed.told(&copy(&["d"], "/y")), text);
    for destination in ["/.wh.a", "/.wh.a/", "/x/.wh..wh..opq"] {
        assert!(matches!(bed.copy(&copy(&["a"], destination)), Err(Error::Whiteout { .. })), "{destination}");
    }
}

#[test]
fn changes_between_look_and_copy_are_noticed() {
    let changes: [&dyn Fn(&Bed); 5] = [
        &|bed| {
            bed.file("context/d/a", "2");
        },
        &|bed| fs::remove_file(bed.path("context/d/a")).expect("removed"),
        &|bed| {
            fs::remove_file(bed.path("context/d/a")).expect("removed");
            bed.link("context/d/a", "../../outside/canary");
        },
        &|bed| {
            fs::rename(bed.path("context/d/in"), bed.path("context/d/out")).expect("renamed");
            bed.link("context/d/in", "../../outside");
        },
        &|bed| {
            fs::rename(bed.path("context/d"), bed.path("context/e")).expect("renamed");
            bed.link("context/d", "../outside");
        },
    ];
    for (index, change) in changes.iter().enumerate() {
        let bed = Bed::new();
        bed.file("context/d/a", "1").file("context/d/in/canary", "3");
        let root = Root::at(&bed.path("context")).expect("a root");
        let tree = Tree { root: &root, ignore: None, origin: Origin::Context };
        let asked = copy(&["d"], "/x");
        let request = Request { copy: &asked, sources: &[Some(tree)], latest: None };
        let selected = Selected::look(&request, &Memory::default()).expect("looked");
        change(&bed);
        let result = selected.copy(&request, None, &bed.path("upper"), None);
        assert!(matches!(result, Err(Error::Changed { .. })), "change {index}: {result:?}");
        bed.check_canary();
    }
}

#[test]
fn folder_that_is_swapped_for_a_link_while_it_is_copied_leads_nowhere() {
    let bed = Bed::new();
    bed.file("context/d/in/deep/canary", "inside").file("context/d/in/canary", "inside");
    bed.file("outside/deep/canary", "stolen");
    let (real, link) = (bed.path("context/d/in"), bed.path("context/link"));
    let spare = bed.path("context/spare");
    symlink(bed.path("outside"), &link).expect("a link");
    let ends = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !ends.load(Ordering::Relaxed) {
                for (from, to) in [(&real, &spare), (&link, &real), (&real, &link), (&spare, &real)] {
                    fs::rename(from, to).expect("renamed");
                }
            }
        });
        for _ in 0..400 {
            fs::remove_dir_all(bed.path("upper")).expect("removed");
            bed.dir("upper");
            for source in ["d", "d/in", "d/in/canary", "d/*"] {
                let _ = bed.copy(&copy(&[source], "/x/"));
            }
            let found = bed.upper();
            assert!(found.values().all(|text| text != "stolen" && text != "alive"), "{found:?}");
        }
        ends.store(true, Ordering::Relaxed);
    });
}
