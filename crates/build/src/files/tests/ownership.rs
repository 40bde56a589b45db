//! Owners, modes and times.

use super::*;

#[test]
fn new_files_in_a_folder_that_gives_its_group_belong_to_the_superuser() {
    let bed = Bed::new();
    bed.file("context/a", "1").link("context/in/l", "x").file("context/in/f", "").dir("below/staff");
    bed.chown("below/staff", 0, 50).chmod("below/staff", 0o2775);
    bed.copy(&copy(&["a", "in"], "/staff/")).expect("copied");
    for path in ["upper/staff/a", "upper/staff/l", "upper/staff/f"] {
        assert_eq!(bed.stat(path).gid(), 0, "{path}");
    }
    bed.copy_with(&copy(&["in"], "/staff/"), "outside", None).expect("copied");
}

#[test]
fn modes_times_and_attributes_are_kept_and_owners_are_the_superusers() {
    let bed = Bed::new();
    bed.file("context/d/tool", "1").file("context/d/secret/key", "2").chmod("context/d/secret", 0o700);
    bed.chown("context/d/tool", 1000, 1000).chmod("context/d/tool", 0o4751).age("context/d/tool", 12345);
    let capability = CString::new("user.cap").expect("a name");
    rustix::fs::setxattr(bed.path("context/d/tool"), &*capability, b"v", XattrFlags::empty())
        .expect("an attribute");
    bed.age("context/d/secret", 777).age("context/d", 555);
    bed.copy(&copy(&["d"], "/x")).expect("copied");
    let tool = bed.stat("upper/x/tool");
    assert_eq!((tool.mode() & 0o7777, tool.uid(), tool.gid(), tool.mtime()), (0o4751, 0, 0, 12345));
    assert_eq!(tool.mtime_nsec(), 5);
    let mut value = [0; 4];
    assert_eq!(rustix::fs::getxattr(bed.path("upper/x/tool"), &*capability, &mut value[..]), Ok(1));
    assert_eq!((bed.mode("upper/x/secret"), bed.stat("upper/x/secret").mtime()), (0o700, 777));
    // The folder that is named gives its time only.
    assert_eq!((bed.mode("upper/x"), bed.stat("upper/x").mtime()), (0o755, 555));
}

#[test]
fn files_of_layers_keep_their_owners() {
    let bed = Bed { origin: Origin::Layers, ..Bed::new() };
    bed.file("context/d/a", "1").link("context/d/l", "a").dir("context/d/e");
    for path in ["context/d/a", "context/d/l", "context/d/e"] {
        bed.chown(path, 7, 8);
    }
    bed.chmod("context/d/a", 0o6755);
    bed.copy(&copy(&["d"], "/x")).expect("copied");
    for path in ["upper/x/a", "upper/x/l", "upper/x/e"] {
        assert_eq!((bed.stat(path).uid(), bed.stat(path).gid()), (7, 8), "{path}");
    }
    assert_eq!(bed.mode("upper/x/a"), 0o6755);
}

#[test]
fn owner_and_mode_that_are_asked_for_are_for_all_that_is_made() {
    let bed = Bed::new();
    bed.file("context/d/a", "1").dir("context/d/e").link("context/d/l", "a");
    bed.file("below/etc/passwd", "ann:x:1000:1001::/:\n");
    let asked =
        Copy { owner: Some("ann".to_owned()), mode: Some(Mode::Octal(0o750)), ..copy(&["d"], "/new/x/") };
    bed.copy(&asked).expect("copied");
    for path in ["upper/new", "upper/new/x", "upper/new/x/a", "upper/new/x/e", "upper/new/x/l"] {
        assert_eq!((bed.stat(path).uid(), bed.stat(path).gid()), (1000, 1001), "{path}");
        assert!(bed.stat(path).is_symlink() || bed.mode(path) == 0o750, "{path}");
    }
    let letters = Copy { mode: Some(Mode::Symbolic("a=rX,u+w".to_owned())), ..copy(&["d"], "/y") };
    bed.copy(&letters).expect("copied");
    assert_eq!((bed.mode("upper/y/a"), bed.mode("upper/y/e")), (0o644, 0o755));
    let unknown = Copy { owner: Some("bob".to_owned()), ..copy(&["d"], "/z") };
    assert!(bed.told(&unknown).ends_with("no such user: bob"));
}
