//! Logging in to registries and out of them; both clients share one configuration file.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use serde_json::Value;
use testkit::registry::{Builder, PASSWORD, Registry, USER};
use testkit::{Bed, Command, with_each_client};

use crate::CORTEN;

with_each_client!(
    login_is_remembered_and_logout_forgets,
    wrong_password_is_not_remembered,
    helper_keeps_the_credentials,
    password_is_asked_for_on_a_terminal,
    interrupt_at_the_password_gives_the_terminal_back,
    flags_that_make_no_sense_are_refused,
    login_goes_on_with_what_is_stored,
);

fn with_account() -> Registry {
    Builder::at([127, 0, 0, 1].into()).with_account().start()
}

fn folder(bed: &Bed) -> PathBuf {
    let folder = bed.engine.directory().join("config");
    fs::create_dir_all(&folder).expect("create the clients' folder");
    folder
}

fn configuration(bed: &Bed) -> Value {
    let text = fs::read(folder(bed).join("config.json")).expect("read the clients' configuration");
    serde_json::from_slice(&text).expect("JSON")
}

fn push(bed: &Bed, registry: &Registry) -> testkit::cli::Output {
    let reference = registry.reference("busybox:1");
    bed.ok(["tag", "busybox", &reference]);
    bed.run(["push", &reference])
}

fn log_in(bed: &Bed, registry: &Registry, password: &str) -> testkit::cli::Output {
    bed.cli(["login", "-u", USER, "--password-stdin", &registry.address()])
        .stdin(format!("{password}\n"))
        .run()
}

fn login_is_remembered_and_logout_forgets(bed: &Bed) {
    let registry = with_account();
    let file = folder(bed).join("config.json");
    fs::write(&file, r#"{"psFormat": "{{.ID}}"}"#).expect("write a configuration");
    fs::set_permissions(&file, fs::Permissions::from_mode(0o640)).expect("set its mode");
    push(bed, &registry).expect_code(1).expect_stderr("no basic auth credentials");
    let output = log_in(bed, &registry, PASSWORD).expect_ok();
    assert_eq!(output.text(), "Login Succeeded\n");
    output.expect_stderr("WARNING! Your credentials are stored unencrypted in '");
    let stored = configuration(bed);
    assert_eq!(stored["auths"][registry.address()]["auth"], "dGVzdGVyOmNvcnJlY3QgaG9yc2U=");
    assert_eq!(stored["psFormat"], "{{.ID}}");
    let mode = fs::metadata(&file).expect("the configuration").permissions().mode();
    assert_eq!(mode & 0o777, 0o640);
    push(bed, &registry).expect_ok();
    let reference = registry.reference("busybox:1");
    bed.ok(["rmi", &reference]);
    assert_eq!(bed.ok(["run", "--rm", "-q", &reference, "echo", "pulled"]), "pulled");
    let text = bed.ok(["logout", &registry.address()]);
    assert_eq!(text, format!("Removing login credentials for {}", registry.address()));
    assert!(configuration(bed)["auths"].get(registry.address()).is_none());
    bed.run(["pull", &reference]).expect_code(1).expect_stderr("no basic auth credentials");
}

fn wrong_password_is_not_remembered(bed: &Bed) {
    let registry = with_account();
    let output = log_in(bed, &registry, "wrong").expect_code(1);
    assert!(output.stderr.contains("401 Unauthorized") && !output.stderr.contains("wrong"), "{output:?}");
    assert!(
        !folder(bed).join("config.json").exists()
            || configuration(bed)["auths"].get(registry.address()).is_none()
    );
    push(bed, &registry).expect_code(1);
}

/// A program that keeps what it is given in a file beside it.
const HELPER: &str = r#"#!/bin/sh
file="$(dirname "$0")/kept"
case "$1" in
store) cat > "$file";;
get) cat > /dev/null; [ -e "$file" ] && cat "$file" || { echo "credentials not found in native keychain"; exit 1; };;
erase) cat > /dev/null; rm -f "$file";;
esac
"#;

fn helper_keeps_the_credentials(bed: &Bed) {
    let registry = with_account();
    let programs = tempfile::tempdir().expect("create a directory");
    let program = programs.path().join("docker-credential-test");
    fs::write(&program, HELPER).expect("write a program");
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).expect("make it executable");
    let path = format!("{}:{}", programs.path().display(), std::env::var("PATH").unwrap_or_default());
    let text = serde_json::json!({"credHelpers": {registry.address(): "test"}}).to_string();
    fs::write(folder(bed).join("config.json"), text).expect("write a configuration");
    let run = |arguments: &[&str]| bed.cli(arguments).env("PATH", &path).stdin(PASSWORD).run();
    let address = registry.address();
    let output = run(&["login", "-u", USER, "--password-stdin", &address]).expect_ok();
    assert!(!output.stderr.contains("unencrypted"), "{output:?}");
    assert_eq!(configuration(bed)["auths"][&address], serde_json::json!({}));
    let kept: Value = serde_json::from_slice(&fs::read(programs.path().join("kept")).expect("what was kept"))
        .expect("JSON");
    assert_eq!(kept, serde_json::json!({"ServerURL": address, "Username": USER, "Secret": PASSWORD}));
    let reference = registry.reference("busybox:1");
    bed.ok(["tag", "busybox", &reference]);
    run(&["push", &reference]).expect_ok();
    run(&["logout", &address]).expect_ok();
    assert!(!programs.path().join("kept").exists());
    run(&["push", &reference]).expect_code(1).expect_stderr("no basic auth credentials");
}

fn password_is_asked_for_on_a_terminal(bed: &Bed) {
    let registry = with_account();
    let mut session = bed.cli(["login", &registry.address()]).pty();
    session.expect("Username: ");
    session.send_line(USER);
    session.expect("Password: ");
    session.send_line(PASSWORD);
    session.expect("Login Succeeded");
    let (code, screen) = session.finish();
    assert_eq!(code, 0);
    assert!(!screen.contains(PASSWORD), "{screen}");
    push(bed, &registry).expect_ok();
}

fn interrupt_at_the_password_gives_the_terminal_back(bed: &Bed) {
    let login = bed.cli(["login", "-u", USER, "localhost:1"]).prepare();
    let script =
        "trap 'echo told' INT; \"$@\"; echo; stty -a | tr ' ;' '\\n\\n' | grep -x -e -*echo; echo end";
    let mut shell =
        Command::new("sh").args(["-c", script, "sh"]).arg(login.get_program()).args(login.get_args());
    for (name, value) in login.get_envs() {
        shell = shell.env(name, value.expect("nothing is taken away"));
    }
    let mut session = shell.pty();
    session.expect("Password: ");
    session.send([3]);
    session.expect("end");
    let (_, screen) = session.finish();
    assert!(screen.contains("told"), "the shell was not interrupted: {screen}");
    assert!(screen.lines().any(|line| line.trim() == "echo"), "{screen}");
}

fn flags_that_make_no_sense_are_refused(bed: &Bed) {
    let login = |flags: &[&str]| {
        bed.cli(["login"].iter().chain(flags)).arg("localhost:1").run().expect_code(1).stderr
    };
    let text = login(&["-u", "a", "-p", "b", "--password-stdin"]);
    assert!(text.contains("cannot specify both --password and --password-stdin"), "{text}");
    let text = login(&["--password-stdin"]);
    assert!(text.contains("the --password-stdin option requires --username to be set"), "{text}");
    let text = login(&[]);
    assert!(text.contains("Cannot perform an interactive login from a non TTY device"), "{text}");
}

fn login_goes_on_with_what_is_stored(bed: &Bed) {
    let registry = with_account();
    log_in(bed, &registry, PASSWORD).expect_ok();
    let output = bed.run(["login", &registry.address()]).expect_ok();
    assert!(output.text().contains("Login Succeeded"), "{output:?}");
    output.expect_stderr(&format!("Authenticating with existing credentials... [Username: {USER}]"));
}
