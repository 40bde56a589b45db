//! Files of web servers, honest and hostile.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use build::context::http::{self, Context, Fetched, Progress};
use dockerfile::plan::Http;
use oci::Digest;
use registry::{Condition, Config, Registry};
use tempfile::TempDir;
use testkit::web::{Answer, Asked, Server};

const CONTENT: &[u8] = b"the content";
const MODIFIED: &str = "Sun, 06 Nov 1994 08:49:37 GMT";

fn client() -> Registry {
    Registry::new(Config { idle_timeout: Duration::from_secs(5), ..Config::default() })
}

fn http(url: String, name: &str) -> Http {
    Http { url, name: name.to_owned(), checksum: None }
}

fn silent() -> Progress {
    Arc::new(|_, _| {})
}

fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).expect("list").map(|entry| entry.expect("a name").file_name());
    entries.map(|name| name.to_string_lossy().into_owned()).collect()
}

async fn fetch(http: &Http, folder: &TempDir) -> Result<Fetched, String> {
    let fetched = http::fetch(&client(), http, &Condition::default(), folder.path(), silent()).await;
    fetched.map(Option::unwrap).map_err(|error| {
        assert_eq!(names(folder.path()), Vec::<String>::new(), "something is left");
        error.to_string()
    })
}

#[tokio::test]
async fn file_comes_with_time_and_mode_and_its_progress_is_told() {
    let content = vec![7; 3 << 20];
    let answer = Answer::ok(content.clone()).with_header("Last-Modified", MODIFIED);
    let server = Server::start(move |asked| match asked.target.as_str() {
        "/moved?x=y" => Answer::redirect("/there/b.tar"),
        _ => answer.clone(),
    });
    let folder = tempfile::tempdir().unwrap();
    let told = Arc::new(Mutex::new(Vec::new()));
    let log = Arc::clone(&told);
    let progress: Progress = Arc::new(move |count, total| log.lock().unwrap().push((count, total)));
    let wanted = http(server.url("/moved?x=y"), "moved");
    let none = Condition::default();
    let fetched = http::fetch(&client(), &wanted, &none, folder.path(), progress).await.unwrap().unwrap();
    assert_eq!(
        (fetched.name.as_str(), fetched.size, fetched.digest),
        ("moved", 3 << 20, Digest::of(&content))
    );
    let meta = fs::metadata(folder.path().join("moved")).unwrap();
    assert_eq!((meta.mode(), meta.uid(), meta.gid(), meta.mtime()), (0o100_600, 0, 0, 784_111_777));
    assert_eq!(fs::read(folder.path().join("moved")).unwrap(), content);
    let told = told.lock().unwrap();
    assert_eq!(told.last(), Some(&(3 << 20, Some(3 << 20))));
    assert!(told.is_sorted());
}

#[tokio::test]
async fn file_without_a_time_is_of_1970() {
    let server = Server::start(|_| Answer::ok(CONTENT).with_header("Last-Modified", "yesterday"));
    let folder = tempfile::tempdir().unwrap();
    let fetched = fetch(&http(server.url("/"), "__unnamed__"), &folder).await.unwrap();
    assert_eq!((fetched.modified, &fetched.condition), (None, &Condition::default()));
    assert_eq!(fs::metadata(folder.path().join("__unnamed__")).unwrap().mtime(), 0);
}

#[tokio::test]
async fn name_stays_in_the_folder() {
    let server = Server::start(|_| Answer::ok(CONTENT));
    for (name, made) in
        [("../../evil", "evil"), ("..", "download"), ("/etc/evil", "evil"), ("a\nb", "download")]
    {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(fetch(&http(server.url("/x"), name), &folder).await.unwrap().name, made);
        assert_eq!(names(folder.path()), [made]);
    }
}

#[tokio::test]
async fn checksum_is_verified() {
    let server = Server::start(|_| Answer::ok(CONTENT));
    let mut sha512 = oci::Hasher::new(oci::Algorithm::Sha512);
    sha512.update(CONTENT);
    for right in [Digest::of(CONTENT), sha512.finish()] {
        let folder = tempfile::tempdir().unwrap();
        let wanted = Http { checksum: Some(right.to_string()), ..http(server.url("/a"), "a") };
        assert_eq!(fetch(&wanted, &folder).await.unwrap().digest, Digest::of(CONTENT));
    }
    let folder = tempfile::tempdir().unwrap();
    let (wrong, is) = (Digest::of(b"other"), Digest::of(CONTENT));
    let with_secret = server.url("/a?token=secret").replace("http://", "http://u:secret@");
    let wanted = Http { checksum: Some(wrong.to_string()), ..http(with_secret, "a") };
    let expected = format!("digest mismatch for {}: {is} (expected: {wrong})", server.url("/a"));
    assert_eq!(fetch(&wanted, &folder).await.unwrap_err(), expected);
    let wanted = Http { checksum: Some("sha256:x".to_owned()), ..http(server.url("/a"), "a") };
    let error = fetch(&wanted, &folder).await.unwrap_err();
    assert!(error.starts_with("invalid checksum \"sha256:x\": "), "{error}");
}

#[tokio::test]
async fn what_is_not_to_be_had_is_an_error() {
    let server = Server::start(|asked| match asked.target.as_str() {
        "/missing" => Answer::new("404 Not Found", "no"),
        "/same" => Answer::new("304 Not Modified", ""),
        "/around" => Answer::redirect("/around"),
        _ => Answer::ok(vec![1; 100_000]).cut_off_by(10),
    });
    let folder = tempfile::tempdir().unwrap();
    let error = async |url: String| fetch(&http(url, "a"), &folder).await.unwrap_err();
    assert_eq!(error(server.url("/missing")).await, "invalid response status 404");
    assert_eq!(error(server.url("/same")).await, "invalid response status 304");
    assert!(error(server.url("/around")).await.contains("stopped after 10 redirects"));
    let cut = error(server.url("/cut")).await;
    assert!(cut.starts_with("Get \"http://127.0.0.1:"), "{cut}");
    let gone = server.url("/?secret").replace("http://", "http://u:secret@");
    drop(server);
    let refused = error(gone).await;
    assert!(refused.ends_with("connect: connection refused") && !refused.contains("secret"), "{refused}");
    assert!(error("ftp://host/a".to_owned()).await.contains("unsupported protocol scheme"));
}

#[tokio::test]
async fn file_that_is_there_already_stays() {
    let server = Server::start(|_| Answer::ok(CONTENT));
    let folder = tempfile::tempdir().unwrap();
    std::os::unix::fs::symlink("/etc/hostname", folder.path().join("a")).unwrap();
    let (wanted, none) = (http(server.url("/"), "a"), Condition::default());
    let error = http::fetch(&client(), &wanted, &none, folder.path(), silent()).await.unwrap_err();
    assert!(error.to_string().ends_with("File exists (os error 17)"), "{error}");
    assert!(fs::symlink_metadata(folder.path().join("a")).unwrap().is_symlink());
}

fn header(asked: &Asked, name: &str) -> String {
    asked.header(name).unwrap_or_default().to_owned()
}

#[tokio::test]
async fn file_that_did_not_change_does_not_come_again() {
    let by_tag = |asked: &Asked| match header(asked, "if-none-match").as_str() {
        "\"1\"" => Answer::new("304 Not Modified", ""),
        _ => Answer::ok(CONTENT).with_header("ETag", "\"1\"").with_header("Last-Modified", MODIFIED),
    };
    // It knows nothing of conditions.
    let always = |_: &Asked| Answer::ok(CONTENT).with_header("ETag", "W/\"2\"");
    let by_time = |asked: &Asked| match header(asked, "if-modified-since").as_str() {
        MODIFIED => Answer::new("304 Not Modified", ""),
        _ => Answer::ok(CONTENT)
            .with_header("Last-Modified", MODIFIED)
            .with_header("Date", "Sun, 06 Nov 1994 08:51:37 GMT"),
    };
    for server in [Server::start(by_tag), Server::start(always), Server::start(by_time)] {
        let folder = tempfile::tempdir().unwrap();
        let wanted = http(server.url("/"), "a");
        let first = fetch(&wanted, &folder).await.unwrap();
        assert_ne!(first.condition, Condition::default());
        let again = tempfile::tempdir().unwrap();
        let second = http::fetch(&client(), &wanted, &first.condition, again.path(), silent()).await.unwrap();
        assert_eq!((second, names(again.path())), (None, Vec::new()));
        let other = Condition { etag: Some("\"0\"".to_owned()), modified: None };
        let third = http::fetch(&client(), &wanted, &other, again.path(), silent()).await.unwrap();
        assert_eq!(third, Some(first));
    }
}

#[tokio::test]
async fn time_of_just_now_is_not_relied_on() {
    let server = Server::start(|_| {
        Answer::ok(CONTENT).with_header("Last-Modified", MODIFIED).with_header("Date", MODIFIED)
    });
    let folder = tempfile::tempdir().unwrap();
    let fetched = fetch(&http(server.url("/"), "a"), &folder).await.unwrap();
    assert!(fetched.modified.is_some() && fetched.condition == Condition::default());
}

#[tokio::test(flavor = "multi_thread")]
async fn fetch_that_is_dropped_leaves_nothing() {
    let server = Server::start(|_| Answer::ok(vec![1; 64 << 20]));
    let folder = tempfile::tempdir().unwrap();
    let (began, mut beginning) = tokio::sync::mpsc::unbounded_channel();
    let progress: Progress = Arc::new(move |_, _| {
        let _ = began.send(());
        std::thread::sleep(Duration::from_millis(5));
    });
    let (client, wanted) = (client(), http(server.url("/"), "a"));
    let none = Condition::default();
    tokio::select! {
        _ = beginning.recv() => {}
        fetched = http::fetch(&client, &wanted, &none, folder.path(), progress) => panic!("{fetched:?}"),
    }
    let is_gone =
        testkit::eventually(Duration::from_secs(10), || names(folder.path()).is_empty().then_some(()));
    assert!(is_gone.is_some(), "{:?}", names(folder.path()));
}

fn tar() -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    for (name, content) in [("Dockerfile", "FROM scratch"), ("d/f", "x")] {
        let mut header = tar::Header::new_gnu();
        header.set_size(content.len() as u64);
        header.set_mode(0o644);
        builder.append_data(&mut header, name, content.as_bytes()).unwrap();
    }
    builder.into_inner().unwrap()
}

#[tokio::test]
async fn context_is_a_dockerfile_or_an_archive() {
    let server = Server::start(|asked| match asked.target.as_str() {
        "/text" => Answer::ok("FROM a").with_header("Content-Type", "text/plain; charset=utf-8"),
        "/unknown" => Answer::ok("FROM a"),
        "/tar" => Answer::ok(tar()),
        "/gzip" => Answer::ok(gzip(&tar())).with_header("Content-Type", "application/x-gzip"),
        "/page" => Answer::ok("<p>").with_header("Content-Type", "text/html"),
        "/empty" => Answer::ok(""),
        "/cut" => Answer::ok(tar()[..700].to_vec()),
        "/broken" => Answer::ok(tar()[..700].to_vec()).cut_off_by(3000),
        "/junk" => Answer::ok([0xff, 0, 1, 2].repeat(200)),
        _ => Answer::new("404 Not Found", ""),
    });
    let folder = tempfile::tempdir().unwrap();
    let get = async |path: &str| {
        let context = http::fetch_context(&client(), &server.url(path), folder.path(), silent()).await;
        context.map_err(|error| error.to_string().replace(&server.url(""), "URL"))
    };
    assert_eq!(get("/text").await, Ok(Context::Dockerfile(b"FROM a".to_vec())));
    assert_eq!(get("/unknown").await, Ok(Context::Dockerfile(b"FROM a".to_vec())));
    assert_eq!(names(folder.path()), Vec::<String>::new());
    for path in ["/tar", "/gzip"] {
        assert_eq!(get(path).await, Ok(Context::Archive));
        assert_eq!(fs::read(folder.path().join("d/f")).unwrap(), b"x");
        fs::remove_dir_all(folder.path().join("d")).unwrap();
    }
    for (path, error) in [
        ("/page", "error detecting content type for remote URL/page: unsupported Content-Type \"text/html\""),
        ("/empty", "error detecting content type for remote URL/empty: empty response"),
        (
            "/none",
            "error downloading remote context URL/none: failed to GET URL/none with status 404 Not Found",
        ),
        ("/cut", "unexpected end of archive"),
        ("/junk", "invalid tar header at byte 0"),
    ] {
        assert_eq!(get(path).await, Err(error.to_owned()));
    }
    let broken = get("/broken").await.unwrap_err();
    assert!(
        broken.starts_with("error downloading remote context URL/broken: Get \"URL/broken\""),
        "{broken}"
    );
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    std::io::Write::write_all(&mut encoder, bytes).unwrap();
    encoder.finish().unwrap()
}
