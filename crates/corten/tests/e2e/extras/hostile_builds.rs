//! Builds that try to reach what is outside of their context and their layers. A canary tells whether they did.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{MetadataExt as _, symlink};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use rustix::fs::{CWD, RenameFlags, renameat_with};
use testkit::web::{Answer, Server};
use testkit::{Bed, Client, Command, with_each_client};

use crate::CORTEN;
use crate::project::{Project, seen};

with_each_client!(
    links_lead_nowhere_outside_of_the_context,
    ancestors_of_mounts_that_are_replaced_lead_nowhere,
    cache_that_is_changed_by_others_leads_nowhere,
    names_of_files_at_addresses_stay_in_their_folder,
    addresses_and_references_of_repositories_are_no_options,
    dockerfile_that_is_a_link_is_read_in_the_context,
);

const SECRET: &str = "nobody may see this";

/// A tree outside of all contexts.
struct Canary {
    folder: tempfile::TempDir,
    before: BTreeMap<PathBuf, String>,
}

impl Canary {
    /// With places that a build may take for its own: empty folders and files.
    fn new() -> Self {
        let folder = tempfile::TempDir::with_prefix("canary-").expect("a temporary folder");
        let path = folder.path();
        fs::create_dir_all(path.join("b/c/d")).expect("make folders");
        for (name, text) in [("file", SECRET), ("b/file", SECRET), ("b/empty", ""), ("b/c/empty", "")] {
            fs::write(path.join(name), text).expect("write a file");
        }
        symlink("b", path.join("link")).expect("make a link");
        let before = state(path);
        Self { folder, before }
    }

    fn path(&self) -> &str {
        self.folder.path().to_str().expect("a temporary folder has an ordinary name")
    }

    #[track_caller]
    fn expect_unchanged(&self) {
        assert_eq!(state(self.folder.path()), self.before);
    }
}

/// All that there is, with times and contents.
fn state(folder: &Path) -> BTreeMap<PathBuf, String> {
    let mut found = BTreeMap::new();
    let mut waiting = vec![folder.to_owned()];
    while let Some(path) = waiting.pop() {
        let it = fs::symlink_metadata(&path).expect("it is there");
        if it.is_dir() {
            waiting.extend(fs::read_dir(&path).expect("list").map(|entry| entry.expect("an entry").path()));
        }
        let content = if it.is_file() { fs::read(&path).expect("read") } else { Vec::new() };
        let times = (it.mtime(), it.mtime_nsec(), it.ctime(), it.ctime_nsec());
        let text = format!("{:o} {}:{} {} {times:?} {content:?}", it.mode(), it.uid(), it.gid(), it.ino());
        found.insert(path, text);
    }
    found
}

/// Does something again and again until it is dropped.
struct Again {
    is_over: Arc<AtomicBool>,
    thread: Option<JoinHandle<u64>>,
}

impl Again {
    fn start(act: impl Fn(u64) + Send + 'static) -> Self {
        let is_over = Arc::new(AtomicBool::new(false));
        let over = Arc::clone(&is_over);
        let thread = std::thread::spawn(move || {
            let mut times = 0;
            while !over.load(Ordering::Relaxed) {
                act(times);
                times += 1;
            }
            times
        });
        Self { is_over, thread: Some(thread) }
    }

    fn end(mut self) -> u64 {
        self.is_over.store(true, Ordering::Relaxed);
        self.thread.take().expect("it is ended once").join().expect("it does not panic")
    }
}

impl Drop for Again {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::Relaxed);
    }
}

/// A context in which a file and two folders are exchanged with links to a canary, without pause.
fn restless(canary: &Canary, dockerfile: &str) -> (Project, Again) {
    let project = Project::new(dockerfile)
        .file(".dockerignore", "spare\n")
        .file("tree/file", "mine")
        .file("tree/b/file", "mine")
        .file("tree/b/c/file", "mine")
        .file("whole/b/file", "mine")
        .file("spare/nothing", "")
        .link("spare/file", &format!("{}/file", canary.path()))
        .link("spare/b", &format!("{}/b", canary.path()))
        .link("spare/whole", canary.path());
    let path = project.path().to_owned();
    let pairs = [("tree/file", "spare/file"), ("tree/b", "spare/b"), ("whole", "spare/whole")];
    let again = Again::start(move |times| {
        let (one, other) = pairs[times as usize % pairs.len()];
        // The own files are there most of the time, or no build would succeed.
        for _ in 0..2 {
            let (one, other) = (path.join(one), path.join(other));
            renameat_with(CWD, one, CWD, other, RenameFlags::EXCHANGE).expect("exchange");
        }
        std::thread::sleep(Duration::from_micros(times % 7 * 300));
    });
    (project, again)
}

/// Builds again and again what is changed meanwhile; whatever comes of it has nothing of the canary.
fn build_restlessly(bed: &Bed, dockerfile: &str, places: &str) {
    const ROUNDS: u32 = 25;
    let canary = Canary::new();
    let (project, again) = restless(&canary, dockerfile);
    let mut made = 0;
    for _ in 0..ROUNDS {
        let output = project.run(bed, &["-t", "made", "--no-cache"]);
        if output.status == 0 {
            made += 1;
            let found = seen(bed, "made", &format!("grep -r '{SECRET}' {places}; true"));
            assert_eq!(found, "");
        }
    }
    let times = again.end();
    println!("{made} of {ROUNDS} builds succeeded while files were exchanged {times} times");
    canary.expect_unchanged();
    assert!(made > 0, "no build succeeded");
}

/// Docker's client reads contexts itself.
fn start() -> Bed {
    Bed::start(CORTEN.as_ref(), Client::Corten)
}

#[test]
fn copied_files_that_are_exchanged_lead_nowhere() {
    let dockerfile = "FROM busybox\nCOPY tree /tree\nCOPY tree/b /b\nCOPY tree/file tree/b/file /files/\nADD whole/b /c\n\
                      COPY --parents tree/**/file whole /parents/\nCOPY tree/f* whole/b/file /wild/\n";
    build_restlessly(&start(), dockerfile, "/tree /b /files /c /parents /wild");
}

#[test]
fn copied_context_that_is_changed_leads_nowhere() {
    build_restlessly(&start(), "FROM busybox\nCOPY . /all/\n", "/all");
}

#[test]
fn mounted_files_that_are_exchanged_lead_nowhere() {
    let dockerfile = "FROM busybox\nRUN --mount=type=bind,source=tree/b,target=/b --mount=type=bind,source=tree,target=/tree,rw \
                      --mount=type=bind,source=whole,target=/whole mkdir /seen; cp -r /b /tree /whole /seen/; \
                      for n in $(seq 200); do cat /tree/b/file /whole/file; done > /seen/cat; true\n";
    build_restlessly(&start(), dockerfile, "/seen");
}

#[test]
fn result_of_a_command_is_not_found_by_files_that_it_did_not_see() {
    let bed = start();
    let project = Project::new(
        "FROM busybox\nRUN --mount=type=bind,target=/c --mount=type=cache,id=w,target=/w touch /w/begun; \
         while [ ! -e /w/go ]; do sleep 0.05; done; cp /c/file /copy\n",
    )
    .file("file", "before")
    .file(".dockerignore", "Dockerfile\n");
    let caches = bed.engine.data_root().join("build/caches");
    let cache = || {
        let mut found = fs::read_dir(&caches).into_iter().flatten().flatten();
        found.find_map(|entry| Some(entry.path().join("data")).filter(|data| data.join("begun").exists()))
    };
    let path = project.path().to_str().expect("a temporary folder has an ordinary name");
    let running = bed.cli(["build", "-t", "made", path]).spawn();
    let wait = Duration::from_secs(30);
    let data = testkit::eventually(wait, cache).expect("the command runs");
    // Without ignored files a command sees the folder itself; then it sees what is written now.
    project.write("file", "after");
    fs::write(data.join("go"), "").expect("write a file");
    running.finish().expect_ok();
    for text in ["before", "after"] {
        project.write("file", text);
        project.build(&bed, "made", &[]);
        assert_eq!(seen(&bed, "made", "cat /copy"), text);
    }
}

fn links_lead_nowhere_outside_of_the_context(bed: &Bed) {
    let canary = Canary::new();
    let far = format!("{}{}", "../".repeat(30), canary.path().trim_start_matches('/'));
    let file = format!("{}/file", canary.path());
    let project = Project::new("")
        .file("own", "mine")
        .link("absolute", &file)
        .link("folder", canary.path())
        .link("far", &far)
        .link("root", "/");
    let look = format!("grep -r '{SECRET}' /x; true");
    for source in
        ["absolute", "folder/file", "folder", "far/file", "far", "root/proc/1/environ", "/../../etc/passwd"]
    {
        for instruction in [
            format!("COPY {source} /x/"),
            format!("ADD {source} /x/"),
            format!("COPY --parents {source} /x/"),
            format!("RUN --mount=type=bind,source={source},target=/m cat /m /m/file"),
            format!("RUN --mount=type=cache,from=files,source={source},target=/m cat /m /m/file"),
        ] {
            project.write(
                "Dockerfile",
                &format!("FROM scratch AS files\nCOPY . /\nFROM busybox\n{instruction}\n"),
            );
            let output = project.run(bed, &["-t", "made"]);
            let text = format!("{}{}", output.text(), output.stderr);
            assert!(!text.contains(SECRET), "{instruction}: {text}");
            // A link that is named with its parents is copied as one.
            let is_link = instruction.contains("--parents") && output.status == 0;
            assert!(output.status != 0 || is_link && seen(bed, "made", &look).is_empty(), "{instruction}");
        }
    }
    // As links they may be anywhere, and lead to what is there in the container.
    project.write("Dockerfile", "FROM busybox\nCOPY . /x/\nCOPY root/own /y\n");
    project.build(bed, "made", &[]);
    let expected = format!("{file}\n{far}\nmine");
    assert_eq!(
        seen(bed, "made", "readlink /x/absolute; readlink /x/far; cat /y; cat /x/absolute 2>/dev/null; true"),
        expected
    );
    canary.expect_unchanged();
}

fn ancestors_of_mounts_that_are_replaced_lead_nowhere(bed: &Bed) {
    let canary = Canary::new();
    let outside = canary.path();
    for mount in [
        "type=cache,target=/a/b/c/d",
        "type=tmpfs,target=/a/b/c/d",
        "type=bind,source=file,target=/a/b/empty",
        "type=bind,source=file,target=/a/b/c/empty",
        "type=bind,from=busybox,source=/etc,target=/a/b/c/d,rw",
    ] {
        for script in [
            format!("mv /a /moved && ln -s {outside} /a"),
            format!("mv /a/b /moved && ln -s {outside}/b /a/b"),
            format!("mv /a /moved && mkdir /a && ln -s {outside}/link /a/b"),
            format!("mv /a /moved && ln -s ../../../../../../../../../..{outside} /a"),
            format!("mv /a /moved && ln -s /proc/1/root{outside} /a"),
        ] {
            let dockerfile = format!("FROM busybox\nRUN --mount={mount} {script} && touch /done\n");
            let project = Project::new(&dockerfile).file("file", "mine");
            project.build(bed, "made", &[]);
            assert_eq!(seen(bed, "made", "ls /done"), "/done", "{dockerfile}");
            canary.expect_unchanged();
        }
    }
    // The next command has its mounts behind such a link.
    let project = Project::new(&format!(
        "FROM busybox\nRUN ln -s {outside} /a && ln -s /a/b/file /f\nRUN --mount=type=cache,target=/a/b/c/d touch /a/b/c/d/new \
         /a/b/beside\nRUN --mount=type=bind,source=Dockerfile,target=/f cat /f > /seen\nWORKDIR /a/work\nCOPY Dockerfile /a/b/copied\n"
    ));
    project.build(bed, "made", &[]);
    let listed = seen(bed, "made", &format!("cd {outside} && find . | sort"));
    assert_eq!(
        listed.lines().filter(|line| line.ends_with("/copied") || line.ends_with("/work")).count(),
        2,
        "{listed}"
    );
    canary.expect_unchanged();
}

fn cache_that_is_changed_by_others_leads_nowhere(bed: &Bed) {
    let canary = Canary::new();
    let outside = canary.path();
    let project = Project::new(&format!(
        "FROM busybox AS restless\nRUN --mount=type=cache,id=r,target=/r cd /r && rm -rf d l end && mkdir d && ln -s {outside}/b l; \
         until [ -e end ]; do mv d x; mv l d; mv x l; done; touch /done\n\
         FROM busybox AS user\nARG N\nRUN --mount=type=cache,id=r,target=/r --mount=type=tmpfs,target=/r/d/c/d \
         --mount=type=bind,source=file,target=/r/d/empty touch /r/d/c/d/new; true\n\
         FROM busybox AS last\nRUN --mount=type=cache,id=r,target=/r touch /r/end\n"
    ))
    .file("file", "mine");
    let path = project.path().to_str().expect("a temporary folder has an ordinary name");
    let build = |words: &[&str]| {
        let words = ["build"].iter().chain(words).copied().chain([path]);
        bed.cli(words).env("DOCKER_BUILDKIT", "0")
    };
    let running = build(&["--target", "restless"]).spawn();
    for number in 0..15 {
        // It may find a link that leads to nothing in its root.
        build(&["--target", "user", "--build-arg", &format!("N={number}")]).run();
    }
    build(&["--target", "last", "--no-cache"]).run().expect_ok();
    running.finish().expect_ok();
    canary.expect_unchanged();
}

fn names_of_files_at_addresses_stay_in_their_folder(bed: &Bed) {
    let server = Server::start(|asked| match asked.target.as_str() {
        "/moved" => Answer::redirect("/a/..%2f..%2f..%2fevil3"),
        "/told" => {
            Answer::ok("told").with_header("Content-Disposition", "attachment; filename=\"../../../evil\"")
        }
        "/dots" => Answer::ok("dots").with_header("Content-Disposition", "attachment; filename=\"..\""),
        _ => Answer::ok("text"),
    });
    let data = bed.engine.data_root();
    let places = ["", "build", "image", "image/layers", "image/snapshots"].map(|place| data.join(place));
    let evil = || -> Vec<String> {
        places.iter().flat_map(|place| names(place)).filter(|name| name.contains("evil")).collect()
    };
    let before = names(data);
    for path in
        ["/told", "/dots", "/x/..%2f..%2fevil2", "/%2e%2e", "/x/%2e%2e%2f", "/moved", "/..", "/x/..;/..%00"]
    {
        let project =
            Project::new(&format!("FROM busybox\nRUN mkdir -p /1/2/3\nADD {} /1/2/3/\n", server.url(path)));
        let output = project.run(bed, &["-t", "made"]);
        if output.status == 0 {
            let found = seen(bed, "made", "find /1 ! -path '/1/2/3/*'; ls / | grep -c evil; true");
            assert_eq!(found, "/1\n/1/2\n/1/2/3\n0", "{path}");
        }
        assert_eq!((names(data), evil()), (before.clone(), Vec::new()), "{path}");
    }
}

fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).expect("list a folder");
    let mut names: Vec<String> =
        entries.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

fn addresses_and_references_of_repositories_are_no_options(bed: &Bed) {
    let canary = Canary::new();
    let touch = format!("touch${{IFS}}{}/new", canary.path());
    for address in [
        format!("https://127.0.0.1:1/x.git#--upload-pack={touch}"),
        format!("git://127.0.0.1:1/x.git#-c{touch}"),
        format!("ssh://-oProxyCommand={touch}/x.git"),
        format!("git@-oProxyCommand={touch}:x.git"),
        format!("git://-oProxyCommand={touch}/x.git"),
        format!("https://127.0.0.1:1/--upload-pack={touch}.git"),
        format!("file://{}/x.git", canary.path()),
        format!("ext::sh -c {touch}.git"),
    ] {
        let escaped = address.replace('$', "\\$");
        let project = Project::new(&format!("FROM busybox\nADD [\"{escaped}\", \"/x\"]\n"));
        assert!(!project.fails(bed, &[]).contains(SECRET), "{address}");
        let query: String = address.bytes().map(|byte| format!("%{byte:02x}")).collect();
        let answer =
            bed.engine.http().request("POST", &format!("/build?remote={query}"), "application/x-tar", b"");
        assert!(answer.status >= 400 || answer.text().contains("error"), "{address}: {}", answer.text());
        canary.expect_unchanged();
    }
}

fn dockerfile_that_is_a_link_is_read_in_the_context(bed: &Bed) {
    let canary = Canary::new();
    let outside = canary.path();
    let folder = tempfile::tempdir().expect("a temporary folder");
    symlink(format!("{outside}/file"), folder.path().join("Dockerfile")).expect("make a link");
    symlink("real", folder.path().join("Inside")).expect("make a link");
    fs::write(folder.path().join("real"), "FROM busybox\nLABEL read=yes\n").expect("write a file");
    symlink(format!("{outside}/file"), folder.path().join("real.dockerignore")).expect("make a link");
    let tar = Command::new("tar").args(["-cf", "-", "."]).directory(folder.path()).run().expect_ok().stdout;
    let post = |query: &str| {
        bed.engine.http().request("POST", &format!("/build?{query}"), "application/x-tar", &tar)
    };
    for query in ["", "dockerfile=../../../../../etc/passwd", "dockerfile=/etc/passwd"] {
        let answer = post(query);
        assert!(answer.status >= 400, "{query}: {}", answer.text());
        assert!(!answer.text().contains(SECRET) && !answer.text().contains("root:"), "{}", answer.text());
    }
    let answer = post("dockerfile=Inside&t=made");
    assert!(answer.text().contains("Successfully tagged made"), "{}", answer.text());
    assert_eq!(bed.field("made", "{{.Config.Labels.read}}"), "yes");
    canary.expect_unchanged();
}
