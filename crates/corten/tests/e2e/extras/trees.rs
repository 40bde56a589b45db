//! Images of several platforms, with all that is under their names. Debian's engine tells nothing of that.

use serde_json::{Value, json};
use testkit::registry::Registry;
use testkit::{Bed, Client, with_each_client};

use crate::CORTEN;
use crate::manifest::{image, push};

with_each_client!(
    tree_shows_the_platforms_of_each_image,
    platforms_are_one_entry_with_their_manifests,
    image_without_an_index_has_a_manifest_of_its_own,
    manifests_are_told_since_1_47,
);

/// A list of three platforms in the registry, of which two are here.
fn pulled(bed: &Bed, registry: &Registry) -> String {
    let list = registry.reference("team/app:all");
    let images = ["amd64", "arm64", "riscv64"].map(|it| push(registry, it, &format!("team/app:{it}")));
    let create = ["manifest", "create", "--insecure", list.as_str()].into_iter();
    bed.ok(create.chain(images.iter().map(String::as_str)));
    bed.ok(["manifest", "push", "--purge", "--insecure", &list]);
    for architecture in ["arm64", "amd64"] {
        bed.ok(["pull", "-q", "--platform", &format!("linux/{architecture}"), &list]);
    }
    list
}

fn listed(bed: &Bed, path: &str) -> Vec<Value> {
    match bed.engine.http().get(path).expect(200).json() {
        Value::Array(list) => list,
        other => panic!("{other} is no list"),
    }
}

/// Without colours.
fn plain(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('\u{1b}') {
        out.push_str(before);
        rest = after.split_once('m').map_or("", |(_, rest)| rest);
    }
    out + rest
}

fn tree_shows_the_platforms_of_each_image(bed: &Bed) {
    let alike = |arguments: &[&str]| {
        let texts = [Client::Docker, Client::Corten]
            .map(|client| plain(&bed.engine.cli(client, arguments).run().expect_ok().text()));
        assert_eq!(texts[0], texts[1]);
        texts[0].clone()
    };
    alike(&["images", "--tree"]);
    let registry = Registry::start();
    let list = pulled(bed, &registry);
    let text = alike(&["image", "ls", "--tree"]);
    let branches: Vec<&str> = text.lines().filter(|line| line.contains("─ linux/")).collect();
    assert_eq!(
        branches.iter().filter(|line| line.contains("├─") || line.contains("└─")).count(),
        4,
        "{text}"
    );
    for architecture in ["amd64", "arm64", "riscv64"] {
        assert!(branches.iter().any(|line| line.contains(&format!("linux/{architecture} "))), "{text}");
    }
    assert_eq!(text.matches(&list).count(), 1, "{text}");
    assert!(!branches.iter().any(|line| line.ends_with(" U    ")), "{text}");
    bed.ok(["create", "--platform", "linux/arm64", &list]);
    let text = alike(&["images", "--tree", &list]);
    let used: Vec<&str> = text.lines().filter(|line| line.ends_with(" U    ")).collect();
    assert!(used.len() == 2 && used[0].starts_with(&list) && used[1].contains("linux/arm64"), "{text}");
    let coloured = [Client::Docker, Client::Corten]
        .map(|client| bed.engine.cli(client, ["images", "--tree"]).pty().finish());
    assert_eq!(coloured[0], coloured[1]);
    assert!(coloured[0].1.contains('\u{1b}'));
    bed.run(["images", "--tree", "-q"])
        .expect_code(1)
        .expect_stderr("--quiet is not yet supported with --tree");
}

fn platforms_are_one_entry_with_their_manifests(bed: &Bed) {
    let registry = Registry::start();
    let list = pulled(bed, &registry);
    let filters = json!({"reference": [list]}).to_string().replace('"', "%22");
    let path = format!("/v1.50/images/json?manifests=1&filters={filters}");
    let entries = listed(bed, &path);
    assert_eq!(entries.len(), 1, "{entries:?}");
    let manifests = entries[0]["Manifests"].as_array().expect("manifests").clone();
    let platforms: Vec<&str> = manifests
        .iter()
        .map(|it| it["ImageData"]["Platform"]["architecture"].as_str().expect("an architecture"))
        .collect();
    assert_eq!(platforms, ["amd64", "arm64", "riscv64"]);
    let available: Vec<&Value> = manifests.iter().map(|it| &it["Available"]).collect();
    assert_eq!(available, [true, true, false]);
    for manifest in &manifests[..2] {
        assert_eq!(
            (&manifest["Kind"], &manifest["ID"]),
            (&json!("image"), &manifest["Descriptor"]["digest"])
        );
        let number = |value: &Value| value.as_i64().filter(|it| *it > 0).expect("a size");
        let [content, total] = ["Content", "Total"].map(|name| number(&manifest["Size"][name]));
        assert_eq!(total - content, number(&manifest["ImageData"]["Size"]["Unpacked"]));
    }
    assert_eq!(manifests[2]["Size"], json!({"Content": 0, "Total": 0}));
    let index = &entries[0]["Descriptor"];
    assert_eq!(index["mediaType"], "application/vnd.oci.image.index.v1+json");
    assert_eq!(entries[0]["Id"], image("amd64").id());
    // The other platform alone is an entry of its own where nobody asks for manifests.
    assert_eq!(listed(bed, &path.replace("manifests=1&", "")).len(), 2);
    let container = bed.ok(["create", &list]);
    let inspected =
        bed.engine.http().get(&format!("/v1.50/images/{list}/json?manifests=1")).expect(200).json();
    assert_eq!(inspected["Manifests"][0]["ImageData"]["Containers"], json!([container]));
    assert_eq!(inspected["Manifests"].as_array().map(Vec::len), Some(3));
}

fn image_without_an_index_has_a_manifest_of_its_own(bed: &Bed) {
    let entries = listed(bed, "/v1.50/images/json?manifests=true");
    assert_eq!(entries.len(), 1);
    let manifests = entries[0]["Manifests"].as_array().expect("manifests").clone();
    assert_eq!(manifests.len(), 1);
    assert_eq!((&manifests[0]["Kind"], &manifests[0]["Available"]), (&json!("image"), &json!(true)));
    assert_eq!(manifests[0]["ImageData"]["Platform"]["os"], "linux");
}

fn manifests_are_told_since_1_47(bed: &Bed) {
    let http = bed.engine.http();
    let asked = |path: &str| http.get(path).expect(200).json();
    assert_eq!(asked("/v1.46/images/json?manifests=1")[0].get("Manifests"), None);
    assert!(asked("/v1.47/images/json?manifests=1")[0].get("Manifests").is_some());
    assert_eq!(asked("/v1.50/images/json")[0].get("Manifests"), None);
    assert_eq!(asked("/v1.47/images/busybox/json?manifests=1").get("Manifests"), None);
    assert!(asked("/v1.48/images/busybox/json?manifests=1").get("Manifests").is_some());
    let platform = "%7B%22os%22:%22linux%22,%22architecture%22:%22amd64%22%7D";
    let both = http.get(&format!("/v1.50/images/busybox/json?manifests=1&platform={platform}"));
    assert!(both.expect(400).message().contains("manifests and platform options cannot both be set"));
    assert_eq!(asked(&format!("/v1.49/images/busybox/json?platform={platform}"))["Architecture"], "amd64");
    let other = platform.replace("amd64", "riscv64");
    http.get(&format!("/v1.49/images/busybox/json?platform={other}")).expect(404);
}
