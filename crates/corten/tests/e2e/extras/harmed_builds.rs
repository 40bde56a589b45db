//! Builds whose engine is killed, and builds whose disk is full, at random moments.
//!
//! Whatever happens to a build, the next one gives what it would have given on a new engine, and nothing stays but what it needs.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use testkit::engine::Builder;
use testkit::{Bed, Client, Command, Kind, eventually};

use super::faults::Random;
use crate::CORTEN;
use crate::disk::{Small, on};
use crate::project::{Project, seen};

/// Contexts that differ in one file, so that results of one are there while another is built.
const VARIANTS: usize = 3;
const NAME: &str = "harmed";

/// How many builds are harmed in each test.
fn rounds() -> usize {
    std::env::var("CORTEN_TEST_KILLS").map_or(6, |text| text.parse().expect("CORTEN_TEST_KILLS is a number"))
}

/// All that a build writes: layers of commands, of copies and of an archive, cache mounts, a file of the Dockerfile.
const DOCKERFILE: &str = r#"
FROM busybox AS tools
RUN --mount=type=cache,target=/cache,id=harmed set -e; echo x >> /cache/log; mkdir /tools; \
    for n in $(seq 20); do yes $n | head -c 50000 > /tools/$n; done
FROM busybox AS files
COPY tree /tree
RUN --mount=type=tmpfs,target=/scratch find /tree -type f | sort | xargs cat > /scratch/all \
 && sha256sum < /scratch/all > /sum
ADD files.tar.gz /added/
FROM busybox
WORKDIR /made/here
COPY --from=tools /tools /tools
COPY --from=files /tree /sum /files/
COPY --from=files /added /added
COPY <<TEXT /written
a file
TEXT
RUN --mount=type=bind,target=/context --mount=type=cache,target=/cache,id=other,sharing=locked \
    cat /context/tree/changing >> /cache/all && cp /context/tree/changing /seen && rm -r /tools/1 && ln /tools/2 /tools/link
CMD ["true"]
"#;

/// What a container of the image tells of its files: names, types, owners, modes, times and contents.
const LOOK: &str = "cd / && find /made /tools /files /added /written /seen -exec stat -c '%n %F %a %u:%g %Y' {} + | sort \
                    && [ /tools/2 -ef /tools/link ] && readlink /files/link \
                    && find /tools /files /added /written /seen -type f | sort | xargs sha256sum";

fn project(files: usize) -> Project {
    let mut project = Project::new(DOCKERFILE).file(".dockerignore", "Dockerfile\n");
    for number in 0..files {
        let text = format!("{number}\n").repeat(number);
        project = project.file(&format!("tree/d{}/f{number}", number % 17), &text);
    }
    project = project.link("tree/link", "d1/f1");
    Command::new("tar").args(["-czf", "files.tar.gz", "tree"]).directory(project.path()).run().expect_ok();
    project
}

/// A build, its variants, and what each gives on an engine that has no trouble.
struct Trial {
    project: Project,
    /// Its ID, and what is seen in a container.
    expected: Vec<(String, String)>,
    /// How long a build takes of which nothing is known.
    duration: Duration,
    /// What the engine has when there are no results.
    empty: BTreeSet<PathBuf>,
}

impl Trial {
    fn prepare(bed: &Bed, project: Project) -> Self {
        let mut trial =
            Self { project, expected: Vec::new(), duration: Duration::ZERO, empty: BTreeSet::new() };
        for variant in 0..VARIANTS {
            trial.choose(variant);
            let begin = Instant::now();
            trial.build(bed, &["--no-cache"]).run().expect_ok();
            trial.duration = begin.elapsed();
            trial.expected.push((bed.field(NAME, "{{.Id}}"), seen(bed, NAME, LOOK)));
            forget(bed);
        }
        let is_passing = |path: &PathBuf| path.parent().is_some_and(|folder| folder.ends_with("trash"));
        trial.empty = kept(bed).into_iter().filter(|path| !is_passing(path)).collect();
        trial
    }

    fn choose(&self, variant: usize) {
        self.project.write("tree/changing", &format!("{variant}"));
    }

    fn build(&self, bed: &Bed, options: &[&str]) -> Command {
        let path = self.project.path().to_str().expect("a temporary folder has an ordinary name");
        let words = ["build", "-t", NAME, "--build-arg", "SOURCE_DATE_EPOCH=1500000000"].into_iter();
        bed.cli(words.chain(options.iter().copied()).chain([path])).env("DOCKER_BUILDKIT", "0")
    }

    /// The next build gives what it should.
    fn expect(&self, bed: &Bed, variant: usize) {
        self.build(bed, &[]).run().expect_ok();
        let (id, look) = &self.expected[variant];
        let found = seen(bed, NAME, LOOK);
        let others: Vec<_> = found.lines().filter(|line| !look.lines().any(|known| known == *line)).collect();
        assert!(found == *look, "variant {variant} has other files: {others:?}");
        assert_eq!(bed.field(NAME, "{{.Id}}"), *id, "variant {variant} is another image");
    }

    /// Nothing is there any more once all results are given up.
    fn expect_nothing_left(&self, bed: &Bed) {
        forget(bed);
        let is_so = eventually(Duration::from_secs(10), || (kept(bed) == self.empty).then_some(()));
        let found = kept(bed);
        let more: Vec<_> = found.difference(&self.empty).collect();
        let less: Vec<_> = self.empty.difference(&found).collect();
        assert!(is_so.is_some(), "there is too much: {more:?}, and too little: {less:?}");
    }
}

/// Gives all images and results up.
fn forget(bed: &Bed) {
    bed.run(["rmi", NAME]);
    bed.ok(["image", "prune", "-f"]);
    bed.ok(["builder", "prune", "-af"]);
}

/// All that is kept on disk, down to single layers, blobs and folders of builds; but for what is known of contexts.
fn kept(bed: &Bed) -> BTreeSet<PathBuf> {
    let (data, run) = (bed.engine.data_root(), bed.engine.exec_root());
    let image =
        ["blobs/sha256", "layers", "ingest", "trash", "snapshots"].map(|name| data.join("image").join(name));
    let build = ["work", "caches", "listings", "empty"].map(|name| data.join("build").join(name));
    let rest = [data.join("containers"), data.join("trash"), run.join("build/secrets"), run.join("shim")];
    image.into_iter().chain(build).chain(rest).flat_map(|folder| entries(&folder)).collect()
}

fn entries(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    entries.flatten().map(|entry| entry.path()).collect()
}

/// Files that are only there while something else is written.
fn unfinished(bed: &Bed) -> Vec<PathBuf> {
    let build = bed.engine.data_root().join("build");
    let caches = entries(&build.join("caches")).into_iter().flat_map(|cache| entries(&cache));
    let is_new =
        |path: &PathBuf| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("new-"));
    let lists = ["contexts", "listings"].map(|name| entries(&build.join(name))).into_iter().flatten();
    let is_other = |path: &PathBuf| path.file_name().is_none_or(|name| name.len() != 64);
    caches.filter(is_new).chain(lists.filter(is_other)).collect()
}

/// Ends the engine in order, after which nothing of it is on the machine.
fn expect_no_traces(bed: &mut Bed) {
    bed.engine.cli(Client::Corten, ["system", "check"]).run().expect_ok();
    bed.engine.stop();
    let leaks: Vec<String> = bed.engine.leaks().iter().map(ToString::to_string).collect();
    assert!(leaks.is_empty(), "{}", leaks.join("\n"));
}

fn builds_under_random_kills_change_nothing(client: Client) {
    let mut bed = Bed::with(Builder::new(Kind::from_environment(), CORTEN.as_ref()).survivable(), client);
    let trial = Trial::prepare(&bed, project(200));
    let mut random = Random::new();
    let mut failed = 0;
    for round in 0..rounds() {
        let variant = random.below(VARIANTS as u64) as usize;
        trial.choose(variant);
        let running = trial.build(&bed, &[]).spawn();
        std::thread::sleep(Duration::from_micros(random.below(trial.duration.as_micros() as u64)));
        bed.engine.kill();
        failed += usize::from(running.finish().status != 0);
        bed.engine.launch();
        let left = unfinished(&bed);
        assert!(left.is_empty(), "round {round} left {left:?}");
        trial.expect(&bed, variant);
        // In other rounds the next build has results of this one, and of those before it.
        if random.below(3) > 0 {
            trial.expect_nothing_left(&bed);
        }
    }
    println!("{} kills within {:?}: {failed} builds failed", rounds(), trial.duration);
    assert!(failed > 0, "no build was hit");
    trial.expect_nothing_left(&bed);
    expect_no_traces(&mut bed);
}

/// Has what a file system had left, all but a little; gives it back when it is dropped.
struct Glutton(PathBuf);

impl Glutton {
    fn eat(disk: &Path, rest: u64) -> Self {
        let path = disk.join("glutton");
        let file = File::create(&path).expect("create a file");
        let chunk = [1_u8; 64 << 10];
        let mut at = 0;
        while let Some(room @ 1..) = free(disk).checked_sub(rest) {
            let count = usize::try_from(room).map_or(chunk.len(), |room| room.min(chunk.len()));
            match file.write_at(&chunk[..count], at) {
                Ok(count) => at += count as u64,
                // The build was faster.
                Err(_) => break,
            }
        }
        Self(path)
    }
}

impl Drop for Glutton {
    fn drop(&mut self) {
        fs::remove_file(&self.0).expect("remove a file");
    }
}

/// Bytes that a file system has left.
fn free(disk: &Path) -> u64 {
    let found = rustix::fs::statvfs(disk).expect("ask the file system");
    found.f_bavail * found.f_frsize
}

/// A build while somebody else takes the room that is left, a moment after it has begun, and has it until the end.
fn starved(bed: &Bed, disk: &Path, build: Command, moment: Duration, rest: u64) -> testkit::Output {
    let is_over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            std::thread::sleep(moment);
            let _glutton = Glutton::eat(disk, rest);
            eventually(Duration::from_secs(60), || is_over.load(Ordering::SeqCst).then_some(()))
        });
        let output = build.run();
        is_over.store(true, Ordering::SeqCst);
        // The engine answers on a full disk.
        bed.ok(["images", "-q"]);
        output
    })
}

fn builds_on_a_disk_that_fills_change_nothing(client: Client) {
    let disk = Small::mount(0);
    let mut bed = on(&disk, client);
    let trial = Trial::prepare(&bed, project(120));
    let mut random = Random::new();
    let mut failed = 0;
    for round in 0..rounds() {
        let variant = random.below(VARIANTS as u64) as usize;
        trial.choose(variant);
        let moment = Duration::from_micros(random.below(trial.duration.as_micros() as u64));
        let output = starved(&bed, &disk.0, trial.build(&bed, &[]), moment, random.below(1 << 20));
        if output.status == 0 {
            assert_eq!(bed.field(NAME, "{{.Id}}"), trial.expected[variant].0, "round {round}");
        } else {
            failed += 1;
            let text = format!("{}{}", output.text(), output.stderr).to_lowercase();
            let words = ["no space left on device", "non-zero code", "exit code:"];
            assert!(words.iter().any(|word| text.contains(word)), "round {round}: {text}");
        }
        trial.expect(&bed, variant);
        if random.below(3) > 0 {
            trial.expect_nothing_left(&bed);
        }
        let left = unfinished(&bed);
        assert!(left.is_empty(), "round {round} left {left:?}");
    }
    println!("{} full disks within {:?}: {failed} builds failed", rounds(), trial.duration);
    assert!(failed > 0, "no build was hit");
    trial.expect_nothing_left(&bed);
    expect_no_traces(&mut bed);
}

mod docker {
    #[test]
    fn builds_under_random_kills_change_nothing() {
        super::builds_under_random_kills_change_nothing(testkit::Client::Docker);
    }

    #[test]
    fn builds_on_a_disk_that_fills_change_nothing() {
        super::builds_on_a_disk_that_fills_change_nothing(testkit::Client::Docker);
    }
}

mod corten {
    #[test]
    fn builds_under_random_kills_change_nothing() {
        super::builds_under_random_kills_change_nothing(testkit::Client::Corten);
    }

    #[test]
    fn builds_on_a_disk_that_fills_change_nothing() {
        super::builds_on_a_disk_that_fills_change_nothing(testkit::Client::Corten);
    }
}
