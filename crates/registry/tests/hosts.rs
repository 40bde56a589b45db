//! Where a registry's content is looked for: mirrors, `hosts.toml`, proxies; and how patient the client is.

mod support;

use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use axum::body::Body;
use axum::extract::Request;
use axum::response::Response;
use image::manifest::media;
use oci::{Digest, Reference};
use registry::{Config, Credentials, Proxies, Registry, parse_mirror};
use support::{Client, Server, TestImage, client, image, layer, noise, serve, status};

fn path(request: &Request) -> &str {
    request.uri().path()
}

async fn honest(made: &TestImage) -> Server {
    let made = made.clone();
    serve(move |request| made.answer(path(request))).await
}

/// A client with these mirrors and proxies, and a folder for certificates.
fn client_with(certificates: &Path, mirrors: &[String], proxies: Proxies) -> Client {
    let Client { folder, store, progress, .. } = client();
    let registry = Registry::new(Config {
        attempts: 3,
        connect_timeout: Duration::from_secs(2),
        idle_timeout: Duration::from_secs(1),
        backoff: Duration::from_millis(10),
        certificates: certificates.into(),
        mirrors: mirrors.iter().map(|mirror| parse_mirror(mirror).unwrap()).collect(),
        proxies,
        ..Config::default()
    });
    Client { folder, store, registry, progress }
}

fn account() -> Option<Credentials> {
    Some(Credentials { username: "me".into(), password: "secret".into(), ..Credentials::default() })
}

fn paths(server: &Server) -> Vec<String> {
    server.requests.lock().unwrap().iter().map(|(path, _)| path.clone()).collect()
}

#[tokio::test]
async fn mirror_is_asked_before_docker_hub_and_gets_no_credentials() {
    let made = image(&[layer("a", b"1")]);
    let broken = serve(|_| status(500, "")).await;
    let mirror = honest(&made).await;
    let mirrors = [format!("http://{}", broken.address), format!("http://{}", mirror.address)];
    let client = client_with(Path::new("/nonexistent"), &mirrors, Proxies::default());
    let pulled = client.pull_as("some/app:1", account(), None).await.unwrap();
    assert_eq!(pulled.image, made.config);
    let found = client.store.resolve("some/app:1").unwrap();
    assert_eq!(found.repo_tags[0].to_string(), "docker.io/some/app:1");
    assert!(paths(&mirror).iter().any(|path| path == "/v2/some/app/manifests/1"));
    for server in [broken, mirror] {
        assert!(server.requests.lock().unwrap().iter().all(|(_, authorization)| authorization.is_none()));
    }
}

#[tokio::test]
async fn mirror_that_lies_is_left_for_the_next_one() {
    let made = image(&[layer("a", &noise(100_000, 9))]);
    let mut lying = made.clone();
    for (digest, blob) in &mut lying.blobs {
        if *digest != made.config.to_string() {
            blob[50] ^= 1;
        }
    }
    let (first, second) = (honest(&lying).await, honest(&made).await);
    let mirrors = [format!("http://{}", first.address), format!("http://{}", second.address)];
    let client = client_with(Path::new("/nonexistent"), &mirrors, Proxies::default());
    assert_eq!(client.pull("app:1").await.unwrap().image, made.config);
}

fn hosts_file(folder: &Path, registry: &str, content: &str) {
    let folder = folder.join(registry);
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join("hosts.toml"), content).unwrap();
}

#[tokio::test]
async fn hosts_file_names_where_the_content_is() {
    let made = image(&[layer("a", b"1")]);
    let digest = Digest::of(&made.manifest);
    let (first, second, by_digest) =
        (serve(|_| status(404, "")).await, honest(&made).await, honest(&made).await);
    let certificates = tempfile::tempdir().unwrap();
    let content = format!(
        "[host.\"http://{}\"]\ncapabilities = [\"pull\"]\n[host.\"http://{}\"]\n\
         [host.\"http://{}/v2/cache\"]\noverride_path = true\n",
        by_digest.address, first.address, second.address
    );
    hosts_file(certificates.path(), "r.invalid:5000", &content);
    let client = client_with(certificates.path(), &[], Proxies::default());
    client.pull_as("r.invalid:5000/app:1", account(), None).await.unwrap();
    let asked = paths(&second);
    assert!(asked.iter().any(|path| path == "/v2/cache/app/manifests/1?ns=r.invalid%3A5000"), "{asked:?}");
    assert!(second.requests.lock().unwrap().iter().all(|(_, authorization)| authorization.is_none()));
    assert_eq!(paths(&by_digest), Vec::<String>::new(), "it is not to be believed what a tag is");
    client.pull(&format!("r.invalid:5000/app@{digest}")).await.unwrap();
    assert!(!paths(&by_digest).is_empty());
}

#[tokio::test]
async fn hosts_file_that_cannot_be_used_is_named() {
    let certificates = tempfile::tempdir().unwrap();
    hosts_file(certificates.path(), "_default", "[host.\"https://m\"]\nrewrite = 1\n");
    let client = client_with(certificates.path(), &[], Proxies::default());
    let error = client.pull("r.invalid/app:1").await.unwrap_err().to_string();
    assert!(error.contains("_default/hosts.toml: rewrite is not supported"), "{error}");
}

#[tokio::test]
async fn proxy_is_asked_for_what_is_not_on_this_machine() {
    let made = image(&[layer("a", b"1")]);
    let proxy = honest(&made).await;
    let proxies = Proxies { http: format!("http://{}", proxy.address), ..Proxies::default() };
    let certificates = tempfile::tempdir().unwrap();
    hosts_file(certificates.path(), "r.invalid", "server = \"http://r.invalid\"\n");
    let client = client_with(certificates.path(), &[], proxies.clone());
    assert_eq!(client.pull("r.invalid/app:1").await.unwrap().image, made.config);
    let asked = paths(&proxy);
    assert!(asked.iter().all(|path| path.starts_with("http://r.invalid/v2/")), "{asked:?}");
    let local = honest(&made).await;
    client.pull(&format!("{}/app:1", local.address)).await.unwrap();
    assert_eq!(paths(&proxy).len(), asked.len());
}

#[tokio::test]
async fn busy_registry_is_asked_again_when_it_says() {
    let made = image(&[layer("a", b"1")]);
    let count = Arc::new(AtomicUsize::new(0));
    let expected = made.config.clone();
    let server = serve(move |request| {
        // The manifest, the configuration and the layer are each refused once.
        let is_first = path(request) != "/v2/" && count.fetch_add(1, Ordering::SeqCst).is_multiple_of(2);
        match is_first {
            true => Response::builder().status(429).header("retry-after", "1").body(Body::empty()).unwrap(),
            false => made.answer(path(request)),
        }
    })
    .await;
    let client = client();
    let begun = Instant::now();
    let pulled = client.pull(&format!("{}/app:1", server.address)).await.unwrap();
    assert_eq!(pulled.image, expected);
    assert!(begun.elapsed() >= Duration::from_secs(3), "it came back after {:?}", begun.elapsed());
    assert!(client.statuses().iter().any(|status| status == "Retrying in 1 second"));
}

#[tokio::test]
async fn registry_that_is_always_busy_is_given_up() {
    let server = serve(|request| match path(request) {
        "/v2/" => status(200, "{}"),
        _ => Response::builder().status(503).header("retry-after", "0").body(Body::empty()).unwrap(),
    })
    .await;
    let client = client();
    let error = client.pull(&format!("{}/app:1", server.address)).await.unwrap_err().to_string();
    assert_eq!(error, "received unexpected HTTP status: 503 Service Unavailable");
    assert_eq!(server.requests.lock().unwrap().len(), 4, "a ping and three attempts");
    client.assert_empty();
}

#[tokio::test]
async fn content_is_described_without_a_pull() {
    let made = image(&[layer("a", b"1")]);
    let digest = Digest::of(&made.manifest);
    let server = honest(&made).await;
    let client = client();
    let name = Reference::parse(&format!("{}/app", server.address)).unwrap();
    let found = client.registry.describe(&name, None).await.unwrap();
    assert_eq!(
        (found.descriptor.digest, found.descriptor.media_type.as_str(), found.descriptor.size),
        (digest, media::OCI_MANIFEST, made.manifest.len() as u64)
    );
    assert_eq!((found.platforms[0].os.as_str(), found.platforms.len()), ("linux", 1));
    assert!(!paths(&server).iter().any(|path| {
        path.contains(&made.blobs.keys().find(|it| **it != made.config.to_string()).unwrap()[7..])
    }));
    client.assert_empty();
}

/// A server of one image that honours ranges and notes where they begin.
async fn ranged(made: &TestImage) -> (Server, Arc<Mutex<Vec<usize>>>) {
    let made = made.clone();
    let starts = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&starts);
    let server = serve(move |request| {
        let config = made.config.to_string();
        if !path(request).contains("/blobs/") || path(request).ends_with(&config) {
            return made.answer(path(request));
        }
        let blob = &made.blobs[path(request).rsplit('/').next().unwrap()];
        let range = request.headers().get("range").map(|range| range.to_str().unwrap().to_owned());
        let from: usize = range.as_deref().map_or(0, |range| range[6..range.len() - 1].parse().unwrap());
        seen.lock().unwrap().push(from);
        let builder = Response::builder();
        let builder = match range {
            Some(_) => builder
                .status(206)
                .header("content-range", format!("bytes {from}-{}/{}", blob.len() - 1, blob.len())),
            None => builder,
        };
        builder.body(Body::from(blob[from..].to_vec())).unwrap()
    })
    .await;
    (server, starts)
}

fn leave_partial(client: &Client, blob: &[u8], digest: &str) {
    let folder = client.folder.path().join("image/partial");
    fs::write(folder.join(digest.replace(':', "-")), blob).unwrap();
}

fn layer_of(made: &TestImage) -> (String, Vec<u8>) {
    let is_layer = |(digest, _): &(&String, &Vec<u8>)| **digest != made.config.to_string();
    let (digest, blob) = made.blobs.iter().find(is_layer).unwrap();
    (digest.clone(), blob.clone())
}

#[tokio::test]
async fn download_goes_on_where_an_earlier_engine_was_cut_off() {
    let made = image(&[layer("a", &noise(500_000, 11))]);
    let (digest, blob) = layer_of(&made);
    let (server, starts) = ranged(&made).await;
    let client = client();
    leave_partial(&client, &blob[..300_000], &digest);
    client.pull(&format!("{}/app:1", server.address)).await.unwrap();
    assert_eq!(*starts.lock().unwrap(), [300_000]);
    let stored = client.folder.path().join("image/blobs/sha256").join(&digest[7..]);
    assert!(fs::read(stored).unwrap() == blob);
    assert!(!client.files().iter().any(|file| file.starts_with("partial/")));
}

#[tokio::test]
async fn whole_blob_that_was_left_needs_no_download() {
    let made = image(&[layer("a", &noise(50_000, 13))]);
    let (digest, blob) = layer_of(&made);
    let (server, starts) = ranged(&made).await;
    let client = client();
    leave_partial(&client, &blob, &digest);
    client.pull(&format!("{}/app:1", server.address)).await.unwrap();
    assert!(starts.lock().unwrap().is_empty());
}

#[tokio::test]
async fn what_was_left_and_is_damaged_is_fetched_again() {
    let made = image(&[layer("a", &noise(500_000, 12))]);
    let (digest, blob) = layer_of(&made);
    let (server, starts) = ranged(&made).await;
    for left in [vec![0; 300_000], vec![0; blob.len() + 5], [&blob[..1000], &[7; 1000]].concat()] {
        starts.lock().unwrap().clear();
        let client = client();
        leave_partial(&client, &left, &digest);
        client.pull(&format!("{}/app:1", server.address)).await.unwrap();
        assert_eq!(starts.lock().unwrap().last(), Some(&0), "{} bytes were left", left.len());
    }
}

#[tokio::test]
async fn pull_that_ends_with_the_engine_leaves_what_it_has() {
    let made = image(&[layer("a", &noise(500_000, 14))]);
    let (digest, blob) = layer_of(&made);
    let stalling = made.clone();
    let server = serve(move |request| {
        if !path(request).ends_with(&layer_of(&stalling).0) {
            return stalling.answer(path(request));
        }
        let begun =
            futures_util::stream::iter([Ok::<_, std::io::Error>(layer_of(&stalling).1[..200_000].to_vec())]);
        Response::new(Body::from_stream(futures_util::StreamExt::chain(
            begun,
            futures_util::stream::pending(),
        )))
    })
    .await;
    let client = client();
    let file = client.folder.path().join("image/partial").join(digest.replace(':', "-"));
    let name = format!("{}/app:1", server.address);
    let pull = client.pull(&name);
    let written = async {
        while fs::metadata(&file).map_or(0, |metadata| metadata.len()) < 200_000 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::select! {
        ended = pull => panic!("the pull ended: {ended:?}"),
        () = written => client.store.keep_partial_blobs(),
    }
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert!(fs::read(&file).unwrap() == blob[..200_000]);
}
