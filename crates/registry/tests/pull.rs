//! Pulls from honest registries: our own small one and Debian's `docker-registry`.

mod support;

use std::collections::HashMap;
use std::os::unix::fs::MetadataExt;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::body::Body;
use axum::extract::Request;
use axum::response::Response;
use futures_util::{StreamExt as _, stream};
use oci::Digest;
use registry::{Credentials, ErrorKind, Status};
use support::{Server, client, image, layer, noise, serve, status};

#[tokio::test]
async fn image_is_pulled_with_dockers_messages_and_then_up_to_date() {
    let good = image(&[layer("a", b"1"), layer("b", &noise(500_000, 7)), layer("a", b"1")]);
    let (id, digest) = (good.config.clone(), Digest::of(&good.manifest));
    let server = serve(move |request: &Request| good.answer(request.uri().path())).await;
    let client = client();
    let name = format!("{}/some/app", server.address);
    let pulled = client.pull(&name).await.unwrap();
    assert_eq!(
        (pulled.image.clone(), pulled.digest.clone(), pulled.status),
        (id, digest.clone(), Status::Downloaded)
    );
    let image = client.store.resolve(&name).unwrap();
    assert_eq!(image.repo_tags[0].familiar(), format!("{name}:latest"));
    assert_eq!(image.repo_digests[0].familiar(), format!("{name}@{digest}"));
    assert_eq!(image.size, 500_002);
    assert_eq!(client.store.resolve(&format!("{name}@{digest}")).unwrap().id, image.id);
    let parts = client.store.prepare("c", &image.id).unwrap();
    assert_eq!(std::fs::read(parts.lower[0].join("a")).unwrap(), b"1");
    let statuses = client.statuses();
    assert_eq!(statuses[0], "Pulling from some/app");
    for status in ["Pulling fs layer", "Downloading", "Verifying Checksum", "Download complete", "Extracting"]
    {
        assert!(statuses.iter().any(|other| other == status), "{status} in {statuses:?}");
    }
    assert_eq!(statuses.iter().filter(|status| *status == "Pull complete").count(), 2);
    assert_eq!(statuses[statuses.len() - 2], format!("Digest: {digest}"));
    assert_eq!(statuses[statuses.len() - 1], format!("Status: Downloaded newer image for {name}:latest"));

    let again = client.pull(&name).await.unwrap();
    assert_eq!(again.status, Status::UpToDate);
    assert!(client.statuses().last().unwrap().starts_with("Status: Image is up to date for"));
    let by_digest = client.pull(&format!("{name}@{digest}")).await.unwrap();
    assert_eq!(by_digest.image, pulled.image);
}

#[tokio::test]
async fn refusals_are_worded_as_docker_words_them() {
    let message = async |code: u16, body: &'static str| {
        let server =
            serve(
                move |request: &Request| {
                    if request.uri().path() == "/v2/" { status(200, "{}") } else { status(code, body) }
                },
            )
            .await;
        let error = client().pull(&format!("{}/app:1", server.address)).await.unwrap_err();
        (error.to_string().replace(&server.address.to_string(), "r"), error.kind())
    };
    assert_eq!(
        message(404, r#"{"errors":[{"code":"MANIFEST_UNKNOWN","message":"manifest unknown","detail":{}}]}"#)
            .await,
        ("manifest for r/app:1 not found: manifest unknown: manifest unknown".into(), ErrorKind::NotFound)
    );
    assert_eq!(
        message(
            403,
            r#"{"errors":[{"code":"DENIED","message":"requested access to the resource is denied"}]}"#
        )
        .await
        .0,
        "pull access denied for r/app, repository does not exist or may require 'docker login': denied: requested access to the resource is denied"
    );
    assert_eq!(
        message(
            404,
            r#"{"errors":[{"code":"NAME_UNKNOWN","message":"repository name not known to registry"}]}"#
        )
        .await
        .0,
        "repository r/app not found: name unknown: repository name not known to registry"
    );
    assert_eq!(
        message(500, "oops").await,
        ("received unexpected HTTP status: 500 Internal Server Error".into(), ErrorKind::Unavailable)
    );
}

#[tokio::test]
async fn nobody_listening_is_connection_refused() {
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let error = client().pull(&format!("{free}/app:1")).await.unwrap_err().to_string();
    assert_eq!(error, format!("Get \"http://{free}/v2/\": dial tcp {free}: connect: connection refused"));
    let error = client().pull("no-such-host.invalid/app:1").await.unwrap_err().to_string();
    assert!(error.contains("dial tcp: lookup no-such-host.invalid"), "{error}");
}

/// A registry whose token service and storage are on other hosts (other ports count as such).
#[tokio::test]
async fn credentials_reach_the_token_service_and_no_storage() {
    let good = image(&[layer("a", b"1")]);
    let blobs = good.clone();
    let storage = serve(move |request: &Request| blobs.answer(request.uri().path())).await;
    let tokens = serve(|request: &Request| {
        let authorization = request.headers().get("authorization").and_then(|value| value.to_str().ok());
        // "user:secret"
        if authorization == Some("Basic dXNlcjpzZWNyZXQ=") {
            status(200, r#"{"access_token":"the-token"}"#)
        } else {
            status(401, r#"{"details":"incorrect username or password"}"#)
        }
    })
    .await;
    let (storage_address, token_address) = (storage.address, tokens.address);
    let server = serve(move |request: &Request| {
        let path = request.uri().path();
        if request.headers().get("authorization").is_none_or(|value| value != "Bearer the-token") {
            let challenge = format!("Bearer realm=\"http://{token_address}/token\",service=\"s\"");
            return Response::builder()
                .status(401)
                .header("www-authenticate", challenge)
                .body(Body::empty())
                .unwrap();
        }
        if path.contains("/blobs/") {
            let target = format!("http://{storage_address}{path}");
            return Response::builder().status(307).header("location", target).body(Body::empty()).unwrap();
        }
        good.answer(path)
    })
    .await;
    let name = format!("{}/app:1", server.address);
    let credentials = |password: &str| {
        Some(Credentials { username: "user".into(), password: password.into(), ..Credentials::default() })
    };
    let error = client().pull_as(&name, credentials("wrong"), None).await.unwrap_err();
    assert_eq!(error.to_string(), "unauthorized: incorrect username or password");
    assert_eq!(error.kind(), ErrorKind::Unauthorized);
    client().pull_as(&name, credentials("secret"), None).await.unwrap();
    let seen = tokens.requests.lock().unwrap().clone();
    assert!(seen.last().unwrap().0.contains("scope=repository%3Aapp%3Apull&account=user"), "{seen:?}");
    let stored = storage.requests.lock().unwrap().clone();
    assert_eq!(stored.len(), 2);
    assert!(stored.iter().all(|(_, authorization)| authorization.is_none()), "{stored:?}");
}

/// A registry of one image, whose layers come slowly: the first part at once, the rest after `pause` or never.
async fn slow(
    pause: Option<Duration>,
    is_slow: impl Fn(usize) -> bool + Clone + Send + Sync + 'static,
) -> Server {
    let image = image(&[layer("a", &noise(300_000, 4)), layer("b", &noise(300_000, 5))]);
    let image = Arc::new(image);
    let asked = Arc::new(Mutex::new(HashMap::<String, usize>::new()));
    serve(move |request| {
        let path = request.uri().path().to_owned();
        let name = path.rsplit('/').next().unwrap().to_owned();
        let layer = image.blobs.get(&name).filter(|_| name != image.config.as_str()).cloned();
        let Some(layer) = layer else { return image.answer(&path) };
        let count = {
            let mut asked = asked.lock().unwrap();
            let count = asked.entry(name).or_default();
            *count += 1;
            *count
        };
        if !is_slow(count) {
            return image.answer(&path);
        }
        let (first, rest) = (layer[..1000].to_vec(), layer[1000..].to_vec());
        let rest = async move {
            match pause {
                Some(pause) => tokio::time::sleep(pause).await,
                None => std::future::pending().await,
            }
            Ok::<_, std::io::Error>(rest)
        };
        Response::new(Body::from_stream(stream::iter([Ok(first)]).chain(stream::once(rest))))
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn pulls_at_the_same_time_bring_each_layer_once() {
    let server = slow(Some(Duration::from_millis(300)), |_| true).await;
    let client = client();
    let names: Vec<String> = (1..=3).map(|tag| format!("{}/app:{tag}", server.address)).collect();
    let (first, second, third) =
        tokio::join!(client.pull(&names[0]), client.pull(&names[1]), client.pull(&names[2]));
    let images = [first.unwrap().image, second.unwrap().image, third.unwrap().image];
    assert!(images.iter().all(|image| *image == images[0]));
    assert_eq!(client.store.image(&images[0]).unwrap().layers.len(), 2);
    let requests = server.requests.lock().unwrap();
    let blobs = requests.iter().filter(|(path, _)| path.contains("/blobs/")).count();
    assert!(blobs <= 2 + 3, "two layers, and a configuration for each: {requests:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn pull_that_waited_for_one_that_was_cancelled_brings_the_layer_itself() {
    let server = slow(None, |count| count == 1).await;
    let client = client();
    let name = format!("{}/app:1", server.address);
    let cancelled = tokio::time::timeout(Duration::from_millis(400), client.pull(&name));
    let other = async {
        tokio::time::sleep(Duration::from_millis(150)).await;
        client.pull(&name).await
    };
    let (cancelled, other) = tokio::join!(cancelled, other);
    assert!(cancelled.is_err(), "{cancelled:?}");
    assert_eq!(client.store.image(&other.unwrap().image).unwrap().layers.len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn image_pushed_by_skopeo_to_a_real_registry_is_pulled() {
    let folder = tempfile::tempdir().unwrap();
    let real = tokio::task::spawn_blocking(testkit::registry::Registry::start).await.unwrap();
    let real = Arc::new(real);
    let archive = folder.path().join("image.tar");
    std::fs::write(&archive, saved_image()).unwrap();
    let pusher = Arc::clone(&real);
    let source = format!("docker-archive:{}", archive.display());
    let name = tokio::task::spawn_blocking(move || pusher.push(&source, "app:1")).await.unwrap();
    let client = client();
    let pulled = client.pull(&name).await.unwrap();
    let image = client.store.resolve(&name).unwrap();
    assert_eq!(image.id, pulled.image);
    let tree = client.store.prepare("c", &image.id).unwrap().lower.remove(0);
    assert_eq!(std::fs::metadata(tree.join("bin/tool")).unwrap().mode() & 0o7777, 0o4755);
    // By a name that has to be looked up.
    let by_name = name.replace("127.0.0.1", "localhost");
    assert_eq!(client.pull(&by_name).await.unwrap().image, pulled.image);
    let error = client.pull(&name.replace(":1", ":2")).await;
    assert!(error.is_err());
    let missing = format!("{}/app:nothing", real.address());
    let error = client.pull(&missing).await.unwrap_err().to_string();
    assert_eq!(error, format!("manifest for {missing} not found: manifest unknown: manifest unknown"));
}

/// What `docker save` would write.
fn saved_image() -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_gnu();
    header.set_size(4);
    header.set_mode(0o4755);
    builder.append_data(&mut header, "bin/tool", &b"tool"[..]).unwrap();
    let layer = builder.into_inner().unwrap();
    let config = serde_json::json!({
        "architecture": oci::Platform::host().architecture, "os": "linux", "config": {},
        "rootfs": {"type": "layers", "diff_ids": [Digest::of(&layer)]},
    });
    let manifest =
        serde_json::json!([{"Config": "config.json", "RepoTags": ["app:1"], "Layers": ["layer.tar"]}]);
    let mut builder = tar::Builder::new(Vec::new());
    let files = [
        ("layer.tar", layer),
        ("config.json", serde_json::to_vec(&config).unwrap()),
        ("manifest.json", serde_json::to_vec(&manifest).unwrap()),
    ];
    for (path, content) in files {
        let mut header = tar::Header::new_gnu();
        header.set_size(content.len() as u64);
        header.set_mode(0o644);
        builder.append_data(&mut header, path, &content[..]).unwrap();
    }
    builder.into_inner().unwrap()
}
