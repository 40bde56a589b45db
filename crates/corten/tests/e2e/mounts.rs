//! Bind mounts, tmpfs, read-only roots, devices.

use std::fs;

use testkit::{Bed, with_each_client};

use crate::CORTEN;

with_each_client!(
    bind_mount_is_shared_with_the_host,
    read_only_bind_mount_refuses_writes,
    bind_mount_of_a_file_replaces_it,
    missing_source_of_v_is_made,
    missing_source_of_mount_is_refused,
    mount_into_a_link_stays_in_the_root,
    tmpfs_has_its_options,
    tmpfs_by_mount_has_its_options,
    read_only_root_refuses_writes_but_not_mounts,
    device_is_usable_and_others_are_not,
    device_permissions_are_enforced,
    relative_target_is_refused,
    mounts_are_not_in_the_host_mount_table,
);

fn bind_mount_is_shared_with_the_host(bed: &Bed) {
    let shared = bed.engine.directory().join("shared");
    fs::create_dir(&shared).expect("create a directory");
    fs::write(shared.join("in"), "from host").expect("write a file");
    let volume = format!("{}:/mnt/a", shared.display());
    assert_eq!(bed.sh(&["-v", &volume], "cat /mnt/a/in; echo -n back > /mnt/a/out"), "from host");
    assert_eq!(fs::read_to_string(shared.join("out")).expect("the container wrote it"), "back");
    let mount = format!("type=bind,source={},target=/mnt/b", shared.display());
    assert_eq!(bed.sh(&["--mount", &mount], "cat /mnt/b/out"), "back");
}

fn read_only_bind_mount_refuses_writes(bed: &Bed) {
    let shared = bed.engine.directory().join("shared");
    fs::create_dir(&shared).expect("create a directory");
    let volume = format!("{}:/mnt:ro", shared.display());
    let mount = format!("type=bind,src={},dst=/mnt,readonly", shared.display());
    for options in [["-v", &volume], ["--mount", &mount]] {
        let head = ["run", "--rm"].into_iter().chain(options);
        let output = bed.run(head.chain(["busybox", "touch", "/mnt/x"])).expect_code(1);
        output.expect_stderr("Read-only file system");
    }
}

fn bind_mount_of_a_file_replaces_it(bed: &Bed) {
    let file = bed.engine.directory().join("file");
    fs::write(&file, "replaced").expect("write a file");
    let volume = format!("{}:/etc/passwd", file.display());
    assert_eq!(bed.sh(&["-v", &volume], "cat /etc/passwd"), "replaced");
    let volume = format!("{}:/new/deep/file", file.display());
    assert_eq!(bed.sh(&["-v", &volume], "cat /new/deep/file"), "replaced");
}

fn missing_source_of_v_is_made(bed: &Bed) {
    let missing = bed.engine.directory().join("made/by/engine");
    let volume = format!("{}:/mnt", missing.display());
    bed.sh(&["-v", &volume], "touch /mnt/x");
    assert!(missing.join("x").exists());
}

fn missing_source_of_mount_is_refused(bed: &Bed) {
    let output =
        bed.run(["run", "--rm", "--mount", "type=bind,src=/no/such/source,dst=/mnt", "busybox", "true"]);
    output.expect_code(125).expect_stderr("bind source path does not exist: /no/such/source");
    assert_eq!(bed.ok(["ps", "-aq"]), "");
}

fn mount_into_a_link_stays_in_the_root(bed: &Bed) {
    let link =
        testkit::archive::Layer::new().symlink("escape", "/../../../../tmp").symlink("up", "../../../etc");
    let mut image = testkit::archive::Image::new(serde_json::json!({"Cmd": ["true"]}), link);
    let busybox = testkit::archive::Layer::new().directory("bin/", 0o755).file(
        "bin/busybox",
        0o755,
        &fs::read("/bin/busybox").expect("busybox is installed"),
    );
    image.layers.push(busybox.finish());
    bed.engine.load_archive(&image.docker_archive("links:latest"));
    let name = format!("corten-escape-{}", std::process::id());
    let volume = format!("{}:/escape/{name}", bed.engine.directory().display());
    bed.ok(["run", "--rm", "-v", &volume, "links", "/bin/busybox", "test", "-d", &format!("/tmp/{name}")]);
    assert!(!std::path::Path::new("/tmp").join(&name).exists(), "the mount point was made on the host");
}

fn tmpfs_has_its_options(bed: &Bed) {
    let script = "grep ' /scratch ' /proc/mounts; stat -c %a /scratch; touch /scratch/x && echo written";
    let text = bed.sh(&["--tmpfs", "/scratch:size=64k,mode=700"], script);
    let mut lines = text.lines();
    let mount = lines.next().expect("a mount");
    for option in ["tmpfs", "rw", "nosuid", "nodev", "noexec", "size=64k"] {
        assert!(mount.contains(option), "{option} in {mount}");
    }
    assert_eq!(lines.collect::<Vec<_>>(), ["700", "written"]);
}

fn tmpfs_by_mount_has_its_options(bed: &Bed) {
    let options = ["--mount", "type=tmpfs,dst=/scratch,tmpfs-size=128k,tmpfs-mode=1770"];
    let text = bed.sh(&options, "grep ' /scratch ' /proc/mounts; stat -c %a /scratch");
    assert!(text.contains("size=128k") && text.ends_with("\n1770"), "{text}");
}

fn read_only_root_refuses_writes_but_not_mounts(bed: &Bed) {
    let output = bed.run(["run", "--rm", "--read-only", "busybox", "touch", "/x"]).expect_code(1);
    output.expect_stderr("Read-only file system");
    assert_eq!(bed.sh(&["--read-only", "--tmpfs", "/t"], "touch /t/x /dev/shm/y && echo ok"), "ok");
}

fn device_is_usable_and_others_are_not(bed: &Bed) {
    let script = "head -c 3 /dev/nil | wc -c; stat -c %t:%T /dev/nil";
    assert_eq!(bed.sh(&["--device", "/dev/zero:/dev/nil"], script), "3\n1:5");
    // 1:4 is /dev/port, which exists on every PC and is not in the default list.
    let script = "mknod /dev/port c 1 4 && head -c 1 /dev/port";
    bed.run(["run", "--rm", "busybox", "sh", "-c", script])
        .expect_code(1)
        .expect_stderr("Operation not permitted");
    let output = bed.run(["run", "--rm", "--device", "/dev/no-such", "busybox", "true"]);
    assert_ne!(output.status, 0);
    output.expect_stderr("error gathering device information while adding custom device \"/dev/no-such\"");
}

fn device_permissions_are_enforced(bed: &Bed) {
    // Reading the kernel's log may need a capability besides.
    let script = "exec 3< /dev/k && echo readable; exec 4> /dev/k";
    let output = bed.run([
        "run",
        "--rm",
        "--cap-add",
        "SYSLOG",
        "--device",
        "/dev/kmsg:/dev/k:r",
        "busybox",
        "sh",
        "-c",
        script,
    ]);
    assert_eq!(output.trimmed(), "readable");
    assert_ne!(output.status, 0);
    output.expect_stderr("Operation not permitted");
}

fn relative_target_is_refused(bed: &Bed) {
    let output = bed.run(["run", "--rm", "-v", "/tmp:relative", "busybox", "true"]).expect_code(125);
    output.expect_stderr("mount path must be absolute");
}

fn mounts_are_not_in_the_host_mount_table(bed: &Bed) {
    let before = fs::read_to_string("/proc/self/mountinfo").expect("read the mount table");
    bed.ok([
        "run",
        "-d",
        "-v",
        "/etc:/host-etc:ro",
        "--tmpfs",
        "/scratch-of-test",
        "busybox",
        "sleep",
        "600",
    ]);
    let after = fs::read_to_string("/proc/self/mountinfo").expect("read the mount table");
    assert!(!after.contains("/scratch-of-test") && !after.contains("/host-etc"), "{before}\n---\n{after}");
}
