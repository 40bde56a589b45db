//! `ADD` of repositories and of files at addresses, and contexts that are repositories. Docker's classic builder adds no
//! repositories.

use testkit::git::{Daemon, Repository};
use testkit::web::{Answer, Server};
use testkit::{Bed, with_each_client};

use crate::CORTEN;
use crate::project::{Project, seen};

with_each_client!(
    repository_is_added_as_its_address_says,
    repository_that_went_on_is_added_again,
    what_is_no_part_of_a_repository_is_told,
    repository_is_a_context,
    checksum_of_a_file_at_an_address_is_verified,
);

/// With the tag `v1`, a commit after it, and the branch `other`; and a server for it.
struct Served {
    repository: Repository,
    daemon: Daemon,
    first: String,
    second: String,
}

impl Served {
    fn start() -> Self {
        let repository = Repository::new();
        repository.write("file", "first");
        repository.write("d/Dockerfile", "FROM busybox\nCOPY inner/f /f\n");
        let first = repository.commit("first");
        repository.git(&["tag", "v1"]);
        repository.write("file", "second");
        let second = repository.commit("second");
        repository.git(&["checkout", "-q", "-b", "other"]);
        repository.write("file", "other");
        repository.commit("other");
        repository.git(&["checkout", "-q", "main"]);
        let daemon = Daemon::start(repository.path());
        Self { repository, daemon, first, second }
    }

    fn url(&self, fragment: &str) -> String {
        self.daemon.url(&format!(".git{fragment}"))
    }
}

fn repository_is_added_as_its_address_says(bed: &Bed) {
    let served = Served::start();
    let Served { first, second, .. } = &served;
    let plain = served.url("");
    let project = Project::new(&format!(
        "FROM busybox\nADD {plain} /main/\nADD {plain}#v1 /tag/\nADD {plain}#other /branch/\nADD {plain}#{first} /commit/\n\
         ADD {plain}#main:d/inner /folder/\nADD --keep-git-dir=true {plain} /kept/\nADD --checksum={second} {plain}#main \
         /checked/\nADD --chown=7:8 {plain}#v1:d /owned/\n"
    ));
    project.build(bed, "made", &[]);
    let script = "for n in main tag branch commit kept checked; do cat /$n/file; echo; done; cat /folder/f; echo; ls /folder; \
                  cat /kept/.git/HEAD; ls -A /main | grep -c git; stat -c %u:%g /owned/inner/f";
    let expected = format!("second\nfirst\nother\nfirst\nsecond\nsecond\ninner\nf\n{second}\n0\n7:8");
    assert_eq!(seen(bed, "made", script), expected);
    // A commit is what it is, whoever has committed what since.
    assert_eq!(project.build(bed, "again", &[]), bed.field("made", "{{.Id}}"));
}

fn repository_that_went_on_is_added_again(bed: &Bed) {
    let served = Served::start();
    let plain = served.url("");
    let uuid = "cat /proc/sys/kernel/random/uuid";
    let project = Project::new(&format!(
        "FROM busybox AS tag\nADD {plain}#v1 /tag/\nRUN {uuid} > /tag/id\nFROM busybox AS branch\nADD {plain}#main /main/\n\
         RUN {uuid} > /main/id\nFROM busybox\nCOPY --from=tag /tag /tag\nCOPY --from=branch /main /main\n"
    ));
    let build = || {
        project.build(bed, "made", &[]);
        let seen = seen(bed, "made", "cat /tag/id /main/id /main/file");
        seen.lines().map(str::to_owned).collect::<Vec<_>>()
    };
    let before = build();
    assert_eq!(build(), before);
    served.repository.write("file", "third");
    served.repository.commit("third");
    let after = build();
    assert_eq!((&after[0], after[2].as_str()), (&before[0], "third"));
    assert_ne!(after[1], before[1]);
}

fn what_is_no_part_of_a_repository_is_told(bed: &Bed) {
    let served = Served::start();
    let wrong = "0".repeat(40);
    for (line, word) in [
        (format!("ADD {} /x", served.url("#no-such-branch")), "no-such-branch"),
        (format!("ADD {} /x", served.url("#main:no/such/folder")), "no/such/folder"),
        (format!("ADD --checksum={wrong} {} /x", served.url("#main")), "checksum"),
        (format!("ADD {} /x", served.daemon.url("missing.git")), "missing.git"),
    ] {
        let text = Project::new(&format!("FROM busybox\n{line}\n")).fails(bed, &["-t", "made"]);
        assert!(text.contains(word), "{line}: {text}");
        bed.run(["inspect", "made"]).expect_code(1);
    }
}

fn repository_is_a_context(bed: &Bed) {
    let served = Served::start();
    // Docker's client fetches what has this scheme itself.
    let build = |words: &[&str], fragment: &str| {
        let url = served.url(fragment);
        let words = ["build", "-t", "made"].iter().chain(words).copied().chain([url.as_str()]);
        bed.cli(words).env("DOCKER_BUILDKIT", "0").run().expect_ok();
    };
    build(&[], "#main:d");
    assert_eq!(seen(bed, "made", "cat /f"), "inner");
    build(&["-f", "d/Other"], {
        served.repository.write("d/Other", "FROM busybox\nCOPY file d/inner /\n");
        served.repository.commit("another Dockerfile");
        "#main"
    });
    assert_eq!(seen(bed, "made", "cat /file /f"), "secondinner");
    let remote = served.url("%23v1:d");
    let answer = bed.engine.http().request(
        "POST",
        &format!("/build?t=by-engine&remote={remote}"),
        "application/x-tar",
        b"",
    );
    assert!(answer.text().contains("Successfully tagged by-engine"), "{}", answer.text());
    assert_eq!(seen(bed, "by-engine", "cat /f"), "inner");
}

fn checksum_of_a_file_at_an_address_is_verified(bed: &Bed) {
    let server = Server::start(|_| Answer::ok("text\n"));
    let url = server.url("/some/file.txt");
    let right = testkit::archive::digest(b"text\n");
    let project =
        Project::new(&format!("FROM busybox\nADD --checksum={right} --chmod=751 {url} /a/\nADD {url} /b\n"));
    project.build(bed, "made", &[]);
    assert_eq!(seen(bed, "made", "cat /a/file.txt /b; stat -c %a /a/file.txt /b"), "text\ntext\n751\n600");
    let wrong = testkit::archive::digest(b"other");
    let text = Project::new(&format!("FROM busybox\nADD --checksum={wrong} {url} /a\n")).fails(bed, &[]);
    assert!(text.contains(&wrong) && text.contains(&right), "{text}");
}
