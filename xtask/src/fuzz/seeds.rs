//! Inputs that fuzzing begins with: what real tools write, small.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Stdio;

use anyhow::{Context, Result, ensure};

use crate::tools::command;

const DIGEST: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

/// Every instruction and flag.
const DOCKERFILES: [&str; 5] = [
    "# syntax=docker/dockerfile:1\n# escape=`\n# check=skip=StageNameCasing;error=false\nARG V=1\nFROM --platform=$BUILDPLATFORM a:${V:-2} AS b\n\
     ARG TARGETARCH GIVEN\nENV A=\"b c\" D=$A\nRUN --mount=type=cache,target=/c,sharing=locked --network=none make `\n  all\n",
    "FROM a AS b\nRUN <<E cat <<-'F'\nx $y\nE\n\tz\n\tF\nFROM scratch\nCOPY --from=b --chown=1:2 --chmod=u=rwX --link --exclude=*.o /a ./b* /c/\n\
     COPY <<f /d\n$PATH\nf\nENTRYPOINT [\"/x\", \"y\"]\nCMD z\n",
    "FROM a\nADD --checksum=sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855 https://h/a.tar /b\n\
     ADD --keep-git-dir https://h/a.git#v1:d /e\nEXPOSE 80 8000-8010/udp\nVOLUME [\"/v\"]\nSTOPSIGNAL SIGINT\nLABEL a b c\n",
    "FROM a AS b\nONBUILD COPY . /x\nHEALTHCHECK --interval=5s --retries=3 CMD curl x\nSHELL [\"/bin/bash\", \"-c\"]\nUSER ${U:?no}\n\
     FROM b\nWORKDIR x\nMAINTAINER m\nHEALTHCHECK NONE\n",
    "FROM a AS s\nFROM b\nRUN --mount=type=secret,id=s,env=S --mount=type=ssh --mount=from=s,src=/a,dst=/b,rw \\\n# no\n\n  --security=sandbox [\"x\"]\n",
];

const EXPANSIONS: [&str; 4] = [
    "A=1\nP=/a/b.tar.gz\n${P#*/}${P##*/}${P%.*}${P%%.*}${P/a/o}${P//\\//:}",
    "A=1\n$A ${B:-x$A} ${B-y} ${A:+z} ${A+w} ${A:?no} ${A?no}",
    "a \"b $c\" 'd $e' f\\ g <<H",
    "A=a?b*c\n${A//\\?/\\*}${A#[a]}$$",
];

const IGNORED: [&str; 3] =
    ["a/b/c\n**/c\n!a/b\n", "dir/file.go\n*\n!**/*.go\n# x\n/dir/./x\n", "a\\b\n[a-c^]?\\*\n**/x**/y"];

/// Puts a target's seeds into its corpus, beside what earlier runs have found.
pub(super) fn write(target: &str, corpus: &Path) -> Result<()> {
    let seeds = match target {
        "manifest" => vec![manifest(), configuration()],
        "index" => vec![index()],
        "decompress" => vec![gzip(b"hello, hello, hello")?, zstd(b"hello")],
        "context_archive" => compressed(&archives()?)?,
        "dockerfile" => DOCKERFILES.iter().map(|text| text.as_bytes().to_vec()).collect(),
        "expand" => EXPANSIONS.iter().map(|text| text.as_bytes().to_vec()).collect(),
        "ignore" => IGNORED.iter().map(|text| text.as_bytes().to_vec()).collect(),
        _ => archives()?,
    };
    for (number, seed) in seeds.iter().enumerate() {
        let path = corpus.join(format!("seed-{number}"));
        fs::write(&path, seed).with_context(|| format!("write {}", path.display()))?;
    }
    Ok(())
}

fn manifest() -> Vec<u8> {
    let of_type =
        |media_type: &str| format!(r#"{{"mediaType":"{media_type}","digest":"{DIGEST}","size":7}}"#);
    let (config, layer) = (
        of_type("application/vnd.oci.image.config.v1+json"),
        of_type("application/vnd.oci.image.layer.v1.tar+gzip"),
    );
    let media_type = "application/vnd.oci.image.manifest.v1+json";
    format!(
        r#"{{"schemaVersion":2,"mediaType":"{media_type}","config":{config},"layers":[{layer}],"annotations":{{"a":"b"}}}}"#
    )
    .into_bytes()
}

fn configuration() -> Vec<u8> {
    let config = r#"{"Env":["A=b"],"Cmd":["sh"],"ExposedPorts":{"80/tcp":{}},"Volumes":{"/v":{}},"Healthcheck":{"Test":["NONE"]}}"#;
    let history = r#"[{"created":"2024-01-01T00:00:00Z","created_by":"RUN x","empty_layer":true}]"#;
    let rest = format!(r#""rootfs":{{"type":"layers","diff_ids":["{DIGEST}"]}},"history":{history}"#);
    format!(r#"{{"architecture":"amd64","os":"linux","config":{config},{rest}}}"#).into_bytes()
}

fn index() -> Vec<u8> {
    let platform =
        r#"{"architecture":"arm64","os":"linux","variant":"v8","os.version":"1","os.features":["x"]}"#;
    let of_type = "application/vnd.oci.image.manifest.v1+json";
    let entry = format!(r#"{{"mediaType":"{of_type}","digest":"{DIGEST}","size":7,"platform":{platform}}}"#);
    let media_type = "application/vnd.oci.image.index.v1+json";
    format!(r#"{{"schemaVersion":2,"mediaType":"{media_type}","manifests":[{entry}]}}"#).into_bytes()
}

/// A frame of one block that is not compressed: by RFC 8878, section 3.1.
fn zstd(content: &[u8; 5]) -> Vec<u8> {
    [&[0x28, 0xb5, 0x2f, 0xfd, 0x20, 5, 0x29, 0, 0][..], content].concat()
}

fn gzip(content: &[u8]) -> Result<Vec<u8>> {
    let folder = tempfile::tempdir().context("make a folder")?;
    let path = folder.path().join("content");
    fs::write(&path, content).context("write what is compressed")?;
    output(command("gzip").arg("-cn").arg(&path))
}

/// The archives as they are, and the first one in all forms.
fn compressed(archives: &[Vec<u8>]) -> Result<Vec<Vec<u8>>> {
    let folder = tempfile::tempdir().context("make a folder")?;
    let path = folder.path().join("archive");
    fs::write(&path, &archives[0]).context("write what is compressed")?;
    let mut seeds = archives.to_vec();
    for program in ["gzip", "bzip2", "xz"] {
        seeds.push(output(command(program).arg("-c").arg(&path))?);
    }
    Ok(seeds)
}

/// A tree with everything that has a form of its own in archives, in each of tar's formats.
fn archives() -> Result<Vec<Vec<u8>>> {
    let folder = tempfile::tempdir().context("make a folder")?;
    make_tree(folder.path()).context("make what is archived")?;
    let flags: [&[&str]; 5] = [
        &["--format=v7", "--exclude=long*", "--exclude=pipe"],
        &["--format=ustar", "--exclude=long*"],
        &["--format=gnu", "--sparse"],
        &["--format=pax", "--xattrs", "--sparse", "--sparse-version=1.0"],
        &["--format=pax", "--sparse", "--sparse-version=0.1"],
    ];
    let archive = |flags: &&[&str]| {
        let mut tar = command("tar");
        tar.args(["--create", "--blocking-factor=1", "--directory"]).arg(folder.path());
        output(tar.args(*flags).arg("."))
    };
    flags.iter().map(archive).collect()
}

fn make_tree(root: &Path) -> std::io::Result<()> {
    fs::create_dir_all(root.join("folder"))?;
    fs::write(root.join("folder/file"), "content")?;
    fs::write(root.join("folder/.wh.gone"), "")?;
    fs::write(root.join("folder/.wh..wh..opq"), "")?;
    fs::write(root.join(format!("long{}", "x".repeat(200))), "")?;
    fs::hard_link(root.join("folder/file"), root.join("linked"))?;
    symlink("../../etc", root.join("symlink"))?;
    let sparse = fs::File::create(root.join("sparse"))?;
    sparse.set_len(1 << 20)?;
    std::os::unix::fs::FileExt::write_at(&sparse, b"end", (1 << 20) - 3)?;
    make_pipe(&root.join("pipe"))
}

fn make_pipe(path: &Path) -> std::io::Result<()> {
    let status = command("mkfifo").arg(path).status()?;
    if status.success() { Ok(()) } else { Err(std::io::Error::other("mkfifo failed")) }
}

fn output(command: &mut std::process::Command) -> Result<Vec<u8>> {
    let output = command.stderr(Stdio::inherit()).output().with_context(|| format!("run {command:?}"))?;
    ensure!(output.status.success(), "{command:?} ended with {}", output.status);
    Ok(output.stdout)
}
