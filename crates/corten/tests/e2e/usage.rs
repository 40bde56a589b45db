//! `system df`.

use serde_json::{Value, json};
use testkit::archive::{Image, Layer};
use testkit::{Bed, with_each_client};

use crate::CORTEN;

with_each_client!(
    totals_have_a_line_for_each_kind,
    details_name_everything,
    images_tell_what_they_share_and_who_uses_them,
    containers_and_volumes_tell_their_sizes,
    removing_frees_what_was_told,
    types_are_chosen_by_new_clients,
);

/// Two images on the same layer.
fn two_images(bed: &Bed) {
    let base = || Layer::new().file("base", 0o644, &vec![b'b'; 3_000_000]);
    for name in ["one", "two"] {
        let mut image = Image::new(json!({"Cmd": ["/none"]}), base());
        image.layers.push(Layer::new().file(name, 0o644, &vec![b'u'; 1_000_000]).finish());
        bed.engine.load_archive(&image.docker_archive(&format!("{name}:1")));
    }
}

fn usage(bed: &Bed) -> Value {
    bed.engine.http().get("/v1.41/system/df").expect(200).json()
}

fn image<'a>(usage: &'a Value, name: &str) -> &'a Value {
    let images = usage["Images"].as_array().expect("a list");
    images.iter().find(|image| image["RepoTags"][0] == name).expect("the image")
}

fn number(value: &Value) -> i64 {
    value.as_i64().expect("a number")
}

fn totals_have_a_line_for_each_kind(bed: &Bed) {
    bed.ok(["run", "--name", "box", "-v", "/data", "busybox", "sh", "-c", "head -c 10000 /dev/zero > /file"]);
    let table = bed.ok(["system", "df"]);
    let lines: Vec<&str> = table.lines().collect();
    let titles: Vec<&str> = lines[0].split_whitespace().collect();
    assert_eq!(titles, ["TYPE", "TOTAL", "ACTIVE", "SIZE", "RECLAIMABLE"]);
    let starts: Vec<&str> = lines[1..].iter().map(|line| line.split("  ").next().expect("a kind")).collect();
    assert_eq!(starts, ["Images", "Containers", "Local Volumes", "Build Cache"]);
    let format = "{{.Type}} {{.TotalCount}} {{.Active}}";
    let lines = bed.ok(["system", "df", "--format", format]);
    assert_eq!(lines, "Images 1 1\nContainers 1 0\nLocal Volumes 1 1\nBuild Cache 0 0");
    let sizes = bed.ok(["system", "df", "--format", "{{.Type}}: {{.Size}} {{.Reclaimable}}"]);
    assert!(sizes.contains("Containers: 10kB 10kB (100%)"), "{sizes}");
    let line = bed.ok(["system", "df", "--format", "json"]);
    let first: Value = serde_json::from_str(line.lines().next().expect("a line")).expect("JSON");
    assert_eq!((&first["Type"], &first["TotalCount"]), (&json!("Images"), &json!("1")));
}

fn details_name_everything(bed: &Bed) {
    bed.ok(["run", "--name", "box", "-v", "kept:/data", "busybox", "true"]);
    let text = bed.ok(["system", "df", "-v"]);
    let sections = [
        "Images space usage:",
        "Containers space usage:",
        "Local Volumes space usage:",
        "Build cache usage: 0B",
    ];
    assert!(sections.iter().all(|section| text.contains(section)), "{text}");
    for titles in [
        &["REPOSITORY", "TAG", "IMAGE ID", "CREATED", "SIZE", "SHARED SIZE", "UNIQUE SIZE", "CONTAINERS"][..],
        &["CONTAINER ID", "IMAGE", "COMMAND", "LOCAL VOLUMES", "SIZE", "CREATED", "STATUS", "NAMES"],
        &["VOLUME NAME", "LINKS", "SIZE"],
        &["CACHE ID", "CACHE TYPE", "SIZE", "CREATED", "LAST USED", "USAGE", "SHARED"],
    ] {
        let is_it = |line: &str| {
            line.split("  ").map(str::trim).filter(|it| !it.is_empty()).eq(titles.iter().copied())
        };
        assert!(text.lines().any(is_it), "{titles:?} in {text}");
    }
    let row: Vec<&str> =
        text.lines().find(|line| line.starts_with("kept ")).expect("a volume").split_whitespace().collect();
    assert_eq!(row, ["kept", "1", "0B"]);
    let format = "{{range .Volumes}}{{.Name}} {{.Links}}{{end}} {{range .Containers}}{{.Names}}{{end}}";
    assert_eq!(bed.ok(["system", "df", "-v", "--format", format]), "kept 1 box");
}

fn images_tell_what_they_share_and_who_uses_them(bed: &Bed) {
    two_images(bed);
    bed.ok(["create", "--name", "box", "one:1"]);
    let usage = usage(bed);
    let (one, two, busybox) =
        (image(&usage, "one:1"), image(&usage, "two:1"), image(&usage, "busybox:latest"));
    assert_eq!((number(&one["Containers"]), number(&two["Containers"])), (1, 0));
    assert_eq!(one["SharedSize"], two["SharedSize"]);
    assert!(number(&one["SharedSize"]) >= 3_000_000, "{one}");
    assert!(number(&one["Size"]) - number(&one["SharedSize"]) >= 1_000_000, "{one}");
    assert_eq!(number(&busybox["SharedSize"]), 0);
    assert_eq!(usage["BuilderSize"].as_i64().unwrap_or_default(), 0);
}

fn containers_and_volumes_tell_their_sizes(bed: &Bed) {
    let script = "head -c 50000 /dev/zero > /file; head -c 70000 /dev/zero > /data/file";
    bed.ok(["run", "--name", "box", "-v", "kept:/data", "busybox", "sh", "-c", script]);
    let before = usage(bed);
    let volume = |usage: &Value| usage["Volumes"][0].clone();
    assert_eq!(
        (number(&before["Containers"][0]["SizeRw"]), before["Containers"][0]["Names"][0].clone()),
        (50_000, json!("/box"))
    );
    assert_eq!(volume(&before)["Name"], "kept");
    assert_eq!(volume(&before)["UsageData"], json!({"RefCount": 1, "Size": 70_000}));
    bed.ok(["rm", "box"]);
    let after = usage(bed);
    assert_eq!(after["Containers"], json!([]));
    assert_eq!(volume(&after)["UsageData"], json!({"RefCount": 0, "Size": 70_000}));
}

fn removing_frees_what_was_told(bed: &Bed) {
    let none = number(&usage(bed)["LayersSize"]);
    two_images(bed);
    let both = usage(bed);
    let one = image(&both, "one:1");
    let unique = number(&one["Size"]) - number(&one["SharedSize"]);
    bed.ok(["rmi", "one:1"]);
    let left = usage(bed);
    assert_eq!(number(&both["LayersSize"]) - number(&left["LayersSize"]), unique);
    let two = image(&left, "two:1");
    assert_eq!(number(&two["SharedSize"]), 0);
    bed.ok(["rmi", "two:1"]);
    assert_eq!(number(&left["LayersSize"]) - number(&two["Size"]), none);
    assert_eq!(number(&usage(bed)["LayersSize"]), none);
}

fn types_are_chosen_by_new_clients(bed: &Bed) {
    // Older engines know no types.
    if bed.engine.http().get("/v1.42/_ping").status != 200 {
        return;
    }
    let usage = bed.engine.http().get("/v1.42/system/df?type=volume&type=container").expect(200).json();
    assert_eq!(
        (&usage["Images"], &usage["Volumes"], &usage["Containers"]),
        (&Value::Null, &json!([]), &json!([]))
    );
    bed.engine.http().get("/v1.42/system/df?type=x").expect(400);
}
