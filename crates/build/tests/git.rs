//! Repositories, honest and hostile, by a real `git`: from folders, a server of its own protocol, and a web server.

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::Path;
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use build::context::git::{self, Options, Resolved};
use dockerfile::plan::Git;
use registry::Proxies;
use tempfile::TempDir;
use testkit::git::{Daemon, Repository};
use testkit::web::{Answer, Server};

fn run(program: &str, arguments: &[&str]) -> Vec<u8> {
    let output = Command::new(program).args(arguments).output().expect("run a program");
    assert!(output.status.success(), "{program} {arguments:?}");
    output.stdout
}

fn options() -> Options {
    let limit = Duration::from_secs(60);
    Options { proxies: Proxies::default(), allows_files: true, limit, ..Options::default() }
}

fn git(remote: String, reference: &str) -> Git {
    Git { remote, reference: reference.to_owned(), ..Git::default() }
}

async fn fetch_with(git: &Git, options: &Options) -> Result<(Resolved, TempDir), String> {
    let folder = tempfile::tempdir().expect("a folder");
    let told = |error: git::Error| error.to_string();
    let resolved = git::resolve(git, options).await.map_err(told)?;
    git::fetch(git, &resolved, folder.path(), options).await.map_err(told)?;
    Ok((resolved, folder))
}

async fn fetch(git: &Git) -> Result<(Resolved, TempDir), String> {
    fetch_with(git, &options()).await
}

/// All names in a folder.
fn names(folder: &Path) -> Vec<String> {
    let mut all = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(next) = folders.pop() {
        for entry in fs::read_dir(&next).expect("list").map(|entry| entry.expect("a name")) {
            all.push(entry.path().strip_prefix(folder).expect("it is inside").display().to_string());
            if entry.file_type().expect("a type").is_dir() {
                folders.push(entry.path());
            }
        }
    }
    all.sort();
    all
}

#[tokio::test]
async fn every_kind_of_reference_stands_for_its_commit() {
    let repository = Repository::new();
    let first = repository.git(&["rev-parse", "HEAD"]);
    repository.git(&["tag", "light"]);
    repository.git(&["tag", "--annotate", "--message", "m", "heavy"]);
    let heavy = repository.git(&["rev-parse", "heavy"]);
    repository.git(&["update-ref", "refs/pull/1/head", &first]);
    repository.write("second", "2");
    let second = repository.commit("second");
    repository.git(&["branch", "light"]);
    for (reference, name, commit) in [
        ("", "refs/heads/main", &second),
        ("main", "refs/heads/main", &second),
        ("light", "refs/heads/light", &second),
        ("refs/tags/light", "refs/tags/light", &first),
        ("heavy", "refs/tags/heavy", &first),
        ("refs/pull/1/head", "refs/pull/1/head", &first),
        ("pull/1/head", "refs/pull/1/head", &first),
        (&first, &first, &first),
        (&heavy, &heavy, &heavy),
    ] {
        let (resolved, folder) = fetch(&git(repository.url(), reference)).await.unwrap();
        assert_eq!((resolved.reference.as_str(), resolved.commit()), (name, commit.as_str()), "{reference}");
        assert_eq!(folder.path().join("second").exists(), *commit == second, "{reference}");
        assert_eq!(fs::read_to_string(folder.path().join("d/inner/f")).unwrap(), "inner");
        assert!(!folder.path().join(".git").exists(), "{reference}");
    }
    let error = fetch(&git(repository.url(), "none")).await.unwrap_err();
    assert!(error.starts_with("repository does not contain ref none, output:"), "{error}");
    let missing = "0123456789012345678901234567890123456789";
    let error = fetch(&git(repository.url(), missing)).await.unwrap_err();
    assert!(error.contains(missing), "{error}");
    let error = fetch(&git("file:///nonexistent".to_owned(), "")).await.unwrap_err();
    assert!(
        error.contains("git stderr:\nfatal: '/nonexistent' does not appear to be a git repository"),
        "{error}"
    );
    assert!(error.ends_with("exit status: 128"), "{error}");
}

#[tokio::test]
async fn modes_do_not_depend_on_the_umask() {
    let repository = Repository::new();
    repository.write("tool", "#!/bin/sh");
    repository.git(&["add", "tool"]);
    repository.git(&["update-index", "--chmod=+x", "tool"]);
    repository.git(&["commit", "--quiet", "--message", "m"]);
    rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o077));
    let (_, folder) = fetch(&git(repository.url(), "")).await.unwrap();
    let mode = |name: &str| fs::metadata(folder.path().join(name)).unwrap().mode() & 0o7777;
    assert_eq!((mode("Dockerfile"), mode("tool"), mode("d")), (0o644, 0o755, 0o755));
}

#[tokio::test]
async fn folder_in_a_repository_is_all_there_is() {
    let repository = Repository::new();
    symlink("d/inner", repository.path().join("inside")).unwrap();
    symlink("/etc", repository.path().join("outside")).unwrap();
    symlink("../../../../../../../../etc", repository.path().join("above")).unwrap();
    repository.commit("links");
    let of = |folder: &str| Git { folder: folder.to_owned(), ..git(repository.url(), "") };
    for (folder, expected) in [
        ("d", vec!["inner", "inner/f"]),
        ("/d/inner/", vec!["f"]),
        ("./d/./inner", vec!["f"]),
        ("inside", vec!["f"]),
        // From the repository's own root there is no way up.
        ("../../d/inner", vec!["f"]),
    ] {
        let (_, made) = fetch(&of(folder)).await.unwrap_or_else(|error| panic!("{folder}: {error}"));
        assert_eq!(names(made.path()), expected, "{folder}");
    }
    for folder in ["none", "Dockerfile", "outside", "above", ".git", ".git/objects", "../../../etc"] {
        let error = fetch(&of(folder)).await.err().unwrap_or_else(|| panic!("{folder} is there"));
        assert!(error.starts_with(&format!("failed to open subdir {folder}: ")), "{error}");
    }
}

#[tokio::test]
async fn git_folder_is_kept_where_it_is_wanted() {
    let repository = Repository::new();
    repository.git(&["tag", "--annotate", "--message", "m", "v1"]);
    let wanted = Git { keeps_git_dir: true, ..git(repository.url(), "v1") };
    let (resolved, folder) = fetch(&wanted).await.unwrap();
    let told = |arguments: &[&str]| {
        let at = folder.path().display().to_string();
        let all = ["-c", "safe.directory=*", "-C", &at].iter().chain(arguments).copied().collect::<Vec<_>>();
        String::from_utf8(run("git", &all)).unwrap().trim().to_owned()
    };
    assert_eq!(told(&["status", "--porcelain"]), "");
    assert_eq!(told(&["rev-parse", "HEAD"]), resolved.commit());
    assert_eq!(told(&["describe"]), "v1");
    assert_eq!(told(&["remote", "get-url", "origin"]), repository.url());
    for gone in [".git/FETCH_HEAD", ".git/logs", ".git/hooks"] {
        assert!(!folder.path().join(gone).exists(), "{gone}");
    }
    let part = Git { folder: "d".to_owned(), ..wanted };
    assert_eq!(names(fetch(&part).await.unwrap().1.path()), ["inner", "inner/f"]);
}

#[tokio::test]
async fn checksum_is_the_beginning_of_the_commit_or_tag() {
    let repository = Repository::new();
    repository.git(&["tag", "--annotate", "--message", "m", "v1"]);
    let (commit, tag) = (repository.git(&["rev-parse", "HEAD"]), repository.git(&["rev-parse", "v1"]));
    let with = |reference: &str, checksum: &str| Git {
        checksum: Some(checksum.to_owned()),
        ..git(repository.url(), reference)
    };
    for (reference, checksum) in [
        ("main", &commit[..]),
        ("main", &commit[..7].to_uppercase()),
        ("v1", &tag[..7]),
        ("v1", &commit[..7]),
        (&commit, &commit[..7]),
    ] {
        fetch(&with(reference, checksum)).await.unwrap_or_else(|error| panic!("{reference}: {error}"));
    }
    for (reference, actual) in
        [("main", commit.clone()), ("v1", format!("{tag} or {commit}")), (&commit, commit.clone())]
    {
        let error = fetch(&with(reference, "0000")).await.unwrap_err();
        assert_eq!(error, format!("expected checksum to match 0000, got {actual}"));
    }
    let by_commit = Git { by_commit: true, ..with("main", &commit) };
    assert_eq!(fetch(&by_commit).await.unwrap().0.commit(), commit);
}

#[tokio::test]
async fn commit_is_the_one_that_was_resolved_although_the_branch_went_on() {
    let repository = Repository::new();
    let daemon = Daemon::start(repository.path().parent().expect("a parent"));
    let name = repository.path().file_name().expect("a name").to_string_lossy().into_owned();
    for remote in [repository.url(), daemon.url(&name)] {
        let wanted = git(remote, "main");
        let resolved = git::resolve(&wanted, &options()).await.unwrap();
        repository.write("later", "");
        repository.commit("later");
        let folder = tempfile::tempdir().unwrap();
        git::fetch(&wanted, &resolved, folder.path(), &options()).await.unwrap();
        assert!(!folder.path().join("later").exists());
        fs::remove_file(repository.path().join("later")).unwrap();
        repository.commit("gone");
    }
}

#[tokio::test]
async fn submodules_come_along_unless_they_are_skipped() {
    let (inner, middle, outer) = (Repository::new(), Repository::new(), Repository::new());
    middle.add_submodule(&inner.url(), "inner");
    middle.commit("submodule");
    let relative = format!("../{}", middle.path().file_name().unwrap().to_string_lossy());
    outer.git(&["remote", "add", "origin", &outer.url()]);
    outer.add_submodule(&relative, "sub/middle");
    outer.commit("submodule");
    let (_, folder) = fetch(&git(outer.url(), "")).await.unwrap();
    assert_eq!(fs::read_to_string(folder.path().join("sub/middle/inner/d/inner/f")).unwrap(), "inner");
    assert!(names(folder.path()).iter().all(|name| !name.ends_with(".git")), "{:?}", names(folder.path()));
    let skipping = Git { skips_submodules: true, ..git(outer.url(), "") };
    let (_, folder) = fetch(&skipping).await.unwrap();
    assert!(
        folder.path().join("sub/middle").is_dir() && !folder.path().join("sub/middle/Dockerfile").exists()
    );
}

#[tokio::test]
async fn files_of_this_machine_are_in_no_repository() {
    let (secret, repository) = (Repository::new(), Repository::new());
    let name = repository.path().file_name().unwrap().to_string_lossy().into_owned();
    let daemon = Daemon::start(repository.path().parent().unwrap());
    let strict = Options { allows_files: false, ..options() };
    let error = fetch_with(&git(secret.url(), ""), &strict).await.unwrap_err();
    assert!(error.ends_with("unsupported protocol \"file\""), "{error}");
    fetch_with(&git(daemon.url(&name), ""), &strict).await.unwrap();
    repository.add_submodule(&secret.url(), "stolen");
    repository.commit("submodule");
    for url in [secret.url(), secret.path().display().to_string(), "ext::sh -c touch% /tmp/evil".to_owned()] {
        repository.git(&["config", "--file", ".gitmodules", "submodule.stolen.url", &url]);
        repository.commit(&url);
        let error = fetch_with(&git(daemon.url(&name), ""), &strict).await.unwrap_err();
        assert!(error.contains("not allowed"), "{url}: {error}");
    }
}

#[tokio::test]
async fn password_reaches_the_server_and_nobody_else() {
    let repository = Repository::new();
    repository.git(&["update-server-info"]);
    let root = repository.path().join(".git");
    let server = Server::start(move |asked| {
        let path = asked.target.split('?').next().unwrap_or_default().trim_start_matches("/r.git/");
        match asked.header("authorization") {
            Some("Basic dXNlcjpzM2NyZXQ=") => match fs::read(root.join(path)) {
                Ok(content) => Answer::ok(content),
                Err(_) => Answer::new("404 Not Found", ""),
            },
            _ => Answer::new("401 Unauthorized", "").with_header("WWW-Authenticate", "Basic realm=\"r\""),
        }
    });
    let with_password = |password: &str| server.url("/r.git").replace("://", &format!("://user:{password}@"));
    let log = Arc::new(Mutex::new(String::new()));
    let heard = Arc::clone(&log);
    let options = Options {
        allows_files: false,
        log: Some(Arc::new(move |line| heard.lock().unwrap().push_str(line))),
        ..options()
    };
    let wanted = Git { keeps_git_dir: true, ..git(with_password("s3cret"), "main") };
    let (_, folder) = fetch_with(&wanted, &options).await.unwrap();
    let config = fs::read_to_string(folder.path().join(".git/config")).unwrap();
    assert!(config.contains(&server.url("/r.git")), "{config}");
    for name in names(folder.path()) {
        let content = fs::read(folder.path().join(&name)).unwrap_or_default();
        assert!(!content.windows(6).any(|bytes| bytes == b"s3cret"), "{name}");
    }
    let error = fetch_with(&git(with_password("wr0ng"), "main"), &options).await.unwrap_err();
    assert!(error.contains("Authentication failed") || error.contains("could not read Username"), "{error}");
    assert!(error.contains("http://xxxxx:xxxxx@127.0.0.1"), "{error}");
    let log = log.lock().unwrap();
    assert!(!log.is_empty(), "it is told");
    for secret in ["s3cret", "wr0ng", "dXNlcjp"] {
        assert!(!error.contains(secret) && !log.contains(secret), "{secret}: {error} {log}");
    }
}

#[tokio::test]
async fn password_does_not_follow_to_another_server() {
    let ask = || Answer::new("401 Unauthorized", "").with_header("WWW-Authenticate", "Basic realm=\"r\"");
    let other = Server::start(move |_| ask());
    let target = other.url("/r.git/info/refs?service=git-upload-pack");
    let server = Server::start(move |asked| match asked.header("authorization") {
        Some(_) => Answer::redirect(target.clone()),
        None => ask(),
    });
    let remote = server.url("/r.git").replace("://", "://user:s3cret@");
    git::resolve(&git(remote, "main"), &options()).await.unwrap_err();
    assert!(server.asked().iter().any(|asked| asked.header("authorization").is_some()));
    let asked = other.asked();
    assert!(
        !asked.is_empty() && asked.iter().all(|asked| asked.header("authorization").is_none()),
        "{asked:?}"
    );
}

#[tokio::test]
async fn folder_that_is_missing_is_not_taken_for_a_missing_program() {
    let repository = Repository::new();
    let wanted = git(repository.url(), "main");
    let resolved = git::resolve(&wanted, &options()).await.unwrap();
    let error = git::fetch(&wanted, &resolved, Path::new("/nonexistent"), &options()).await.unwrap_err();
    assert!(error.to_string().starts_with("open folder \"/nonexistent\": No such file"), "{error}");
}

#[tokio::test]
async fn what_looks_like_an_option_is_none() {
    let repository = Repository::new();
    let canary = repository.path().with_extension("canary");
    let upload = format!("--upload-pack=touch {}", canary.display());
    for wanted in [
        git(repository.url(), &upload),
        git(upload.clone(), "main"),
        git(format!("ssh://-oProxyCommand=touch%20{}/x", canary.display()), "main"),
        git(format!("git@-oProxyCommand=touch:{}", canary.display()), "main"),
    ] {
        let resolved = Resolved { reference: upload.clone(), object: upload.clone(), tagged: None };
        let folder = tempfile::tempdir().unwrap();
        git::resolve(&wanted, &options()).await.unwrap_err();
        git::fetch(&wanted, &resolved, folder.path(), &options()).await.unwrap_err();
    }
    assert!(!canary.exists());
}

/// A server that takes connections and says nothing.
fn silent() -> (TcpListener, Git) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("git://{}/r.git", listener.local_addr().expect("an address"));
    (listener, git(url, "main"))
}

#[tokio::test]
async fn server_that_says_nothing_is_given_up() {
    let (_listener, wanted) = silent();
    let options = Options { limit: Duration::from_millis(500), ..options() };
    let error = git::resolve(&wanted, &options).await.unwrap_err().to_string();
    assert!(error.ends_with("git did not end within 0 seconds"), "{error}");
}

#[tokio::test]
async fn git_is_killed_when_nobody_waits_for_it() {
    let (listener, wanted) = silent();
    let (accepted, connection) = tokio::sync::oneshot::channel();
    let waiting = std::thread::spawn(move || {
        let (stream, _) = listener.accept().expect("git comes");
        let _ = accepted.send(());
        stream.set_read_timeout(Some(Duration::from_secs(20))).expect("a limit");
        // It ends when nobody has the other end any more.
        let begun = Instant::now();
        std::io::copy(&mut &stream, &mut std::io::sink()).map(|_| begun.elapsed())
    });
    let options = options();
    tokio::select! {
        _ = connection => {}
        resolved = git::resolve(&wanted, &options) => panic!("{resolved:?}"),
    }
    let ended = waiting.join().expect("no panic");
    assert!(ended.is_ok_and(|time| time < Duration::from_secs(10)), "git lives on");
}
