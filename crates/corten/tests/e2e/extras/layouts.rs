//! OCI image layouts, in every compression.

use serde_json::json;
use testkit::archive::{Compression, Image, Layer};
use testkit::{Bed, with_each_client};

use crate::CORTEN;

with_each_client!(oci_layouts_are_loaded, zstandard_archive_is_loaded, hello_world_needs_no_registry);

fn image(text: &str) -> Image {
    let layer = Layer::new().directory("bin/", 0o755).file(
        "bin/sh",
        0o755,
        &std::fs::read("/bin/busybox").expect("busybox is installed"),
    );
    let mut image = Image::new(json!({"Cmd": ["/bin/sh", "-c", "read x < /text; echo $x"]}), layer);
    image.layers.push(Layer::new().file("text", 0o644, text.as_bytes()).finish());
    image
}

fn oci_layouts_are_loaded(bed: &Bed) {
    for compression in Compression::ALL {
        let text = format!("{compression:?}");
        let tag = format!("oci:{}", text.to_lowercase());
        let archive =
            image(&format!("{text}\n")).oci_layout(&format!("docker.io/library/{tag}"), compression);
        let output = bed.cli(["load"]).stdin(archive).run().expect_ok();
        assert!(output.text().contains(&format!("Loaded image: {tag}")), "{}", output.text());
        assert_eq!(bed.ok(["run", "--rm", &tag]), text);
        assert_eq!(bed.field(&tag, "{{.Id}}"), image(&format!("{text}\n")).id());
    }
}

fn zstandard_archive_is_loaded(bed: &Bed) {
    let bytes = Compression::Zstd.apply(&image("packed\n").docker_archive("packed:zstd"));
    bed.cli(["load"]).stdin(bytes).run().expect_ok();
    assert_eq!(bed.ok(["run", "--rm", "packed:zstd"]), "packed");
}

fn hello_world_needs_no_registry(bed: &Bed) {
    let text = bed.ok(["run", "--rm", "hello-world"]);
    assert!(text.contains("Hello from"), "{text}");
}
