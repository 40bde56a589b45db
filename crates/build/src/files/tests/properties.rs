//! What holds for any files.

use super::*;

#[derive(Clone, Debug)]
enum Thing {
    File(u8),
    Folder,
    Link(String),
}

fn things() -> impl Strategy<Value = Vec<(String, Thing)>> {
    let name = "[ab](/[abc]){0,3}";
    let target = prop_oneof![
        "(\\.\\./){0,5}[ab](/[ab]){0,2}",
        "/[ab](/[abc]){0,2}",
        Just("..".to_owned()),
        Just("/".to_owned())
    ];
    let thing =
        prop_oneof![any::<u8>().prop_map(Thing::File), Just(Thing::Folder), target.prop_map(Thing::Link)];
    proptest::collection::vec((name, thing), 0..12)
}

fn make(root: &Path, things: &[(String, Thing)]) {
    for (path, thing) in things {
        let path = root.join(path);
        // Never through a link: what cannot be made there is left out.
        let is_plain =
            path.ancestors().skip(1).take_while(|above| *above != root).all(|above| !above.is_symlink());
        if !is_plain || fs::create_dir_all(path.parent().expect("a folder above")).is_err() {
            continue;
        }
        let _ = match thing {
            Thing::File(byte) if !path.is_symlink() => fs::write(path, [b'a' + byte % 26]),
            Thing::File(_) => Ok(()),
            Thing::Folder => fs::create_dir(path),
            Thing::Link(target) => symlink(target, path),
        };
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, ..ProptestConfig::default() })]

    #[test]
    fn any_tree_is_copied_whole_over_nothing(things in things()) {
        let bed = Bed::new();
        make(&bed.path("context"), &things);
        bed.copy(&copy(&[""], "/")).expect("copied");
        prop_assert_eq!(bed.upper(), listing(&bed.path("context")));
    }

    #[test]
    fn any_tree_over_any_other_touches_nothing_else(
        context in things(), below in things(), source in "[ab*?](/[abc*]){0,2}", destination in "/[ab](/[abc]){0,2}/?",
    ) {
        let bed = Bed::new();
        make(&bed.path("context"), &context);
        make(&bed.path("below"), &below);
        let (before, under) = (listing(&bed.path("context")), listing(&bed.path("below")));
        let copied = bed.copy(&copy(&[&source], &destination));
        bed.check_canary();
        prop_assert_eq!(listing(&bed.path("context")), before);
        prop_assert_eq!(listing(&bed.path("below")), under.clone());
        // Whatever was below is there, though maybe with other contents. What fails is thrown away.
        let merged = bed.merged();
        for path in under.into_keys().filter(|_| copied.is_ok()) {
            prop_assert!(merged.contains_key(&path), "{}", path);
        }
    }

    #[test]
    fn copy_over_an_earlier_result_is_as_a_clean_one(first in things(), second in things()) {
        let bed = Bed::new();
        make(&bed.path("context"), &first);
        let asked = copy(&[""], "/x");
        let record = bed.copy(&asked).expect("copied");
        fs::remove_dir_all(bed.path("context")).expect("removed");
        bed.dir("context").dir("again").dir("clean");
        make(&bed.path("context"), &second);
        bed.copy_with(&asked, "again", Some(&Previous { tree: &bed.path("upper"), record: &record })).expect("copied");
        bed.copy_with(&asked, "clean", None).expect("copied");
        prop_assert_eq!(listing(&bed.path("again")), listing(&bed.path("clean")));
    }
}
