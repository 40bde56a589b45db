//! Health checks.

use std::time::Duration;

use testkit::{Bed, eventually, with_each_client};

use crate::CORTEN;

with_each_client!(
    check_that_succeeds_is_healthy,
    check_that_fails_is_unhealthy_after_its_retries,
    check_that_takes_too_long_fails,
    check_of_the_image_can_be_turned_off,
    state_follows_the_check,
);

const OFTEN: [&str; 2] = ["--health-interval", "200ms"];

fn becomes(bed: &Bed, state: &str) {
    let reached = eventually(Duration::from_secs(20), || {
        (bed.field("box", "{{.State.Health.Status}}") == state).then_some(())
    });
    assert!(reached.is_some(), "not {state}: {}", bed.field("box", "{{json .State.Health}}"));
}

fn start(bed: &Bed, options: &[&str]) {
    let head = ["run", "-d", "--name", "box"].into_iter().chain(OFTEN).chain(options.iter().copied());
    bed.ok(head.chain(["busybox", "sleep", "600"]));
}

fn check_that_succeeds_is_healthy(bed: &Bed) {
    start(bed, &["--health-cmd", "echo checked"]);
    becomes(bed, "healthy");
    let entry = bed.field("box", "{{with index .State.Health.Log 0}}{{.ExitCode}} {{.Output}}{{end}}");
    assert_eq!(entry, "0 checked");
    assert!(bed.ok(["ps", "--format", "{{.Status}}"]).ends_with("(healthy)"));
    assert_eq!(bed.ok(["ps", "-q", "-f", "health=healthy"]).lines().count(), 1);
}

fn check_that_fails_is_unhealthy_after_its_retries(bed: &Bed) {
    start(bed, &["--health-cmd", "echo bad; exit 1", "--health-retries", "3"]);
    becomes(bed, "unhealthy");
    let streak: u32 = bed.field("box", "{{.State.Health.FailingStreak}}").parse().expect("a number");
    assert!(streak >= 3, "{streak}");
    assert_eq!(bed.field("box", "{{.State.Status}}"), "running");
}

fn check_that_takes_too_long_fails(bed: &Bed) {
    start(bed, &["--health-cmd", "sleep 100", "--health-timeout", "300ms", "--health-retries", "1"]);
    becomes(bed, "unhealthy");
    let entry = bed.field("box", "{{with index .State.Health.Log 0}}{{.ExitCode}} {{.Output}}{{end}}");
    assert!(entry.starts_with("-1 Health check exceeded timeout (300ms)"), "{entry}");
}

fn check_of_the_image_can_be_turned_off(bed: &Bed) {
    let busybox = testkit::archive::Layer::new().directory("bin/", 0o755).file(
        "bin/sh",
        0o755,
        &std::fs::read("/bin/busybox").expect("busybox is installed"),
    );
    let config = serde_json::json!({
        "Cmd": ["/bin/sh", "-c", "while :; do read x < /dev/zero; done"],
        "Healthcheck": {"Test": ["CMD-SHELL", "exit 0"], "Interval": 200_000_000},
    });
    let image = testkit::archive::Image::new(config, busybox);
    bed.engine.load_archive(&image.docker_archive("checked:1"));
    bed.ok(["create", "--name", "off", "--no-healthcheck", "checked:1"]);
    assert_eq!(bed.field("off", "{{json .Config.Healthcheck.Test}}"), r#"["NONE"]"#);
    bed.ok(["run", "-d", "--name", "box", "--cpus", "0.2", "checked:1"]);
    becomes(bed, "healthy");
}

fn state_follows_the_check(bed: &Bed) {
    start(bed, &["--health-cmd", "test -e /ok", "--health-retries", "1"]);
    becomes(bed, "unhealthy");
    bed.ok(["exec", "box", "touch", "/ok"]);
    becomes(bed, "healthy");
    bed.ok(["exec", "box", "rm", "/ok"]);
    becomes(bed, "unhealthy");
}
