//! Registries that lie, stall, or lead astray: each pull ends in bounded time with a clear error and nothing stored.

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use axum::body::Body;
use axum::extract::Request;
use axum::response::Response;
use image::manifest::media;
use oci::Digest;
use support::{client, image, layer, noise, serve, status};

/// Pulls from a server that answers like this, expects failure, and returns the error's text.
async fn refused(answer: impl Fn(&Request) -> Response + Clone + Send + Sync + 'static) -> String {
    let server = serve(answer).await;
    let client = client();
    let begun = Instant::now();
    let error = client.pull(&format!("{}/app:1", server.address)).await.unwrap_err();
    assert!(begun.elapsed() < Duration::from_secs(20), "took {:?}", begun.elapsed());
    client.assert_empty();
    error.to_string()
}

fn path(request: &Request) -> &str {
    request.uri().path()
}

#[tokio::test]
async fn blob_with_flipped_byte_is_refused() {
    let mut good = image(&[layer("a", &noise(300_000, 1))]);
    let manifest = String::from_utf8(good.manifest.clone()).unwrap();
    let digest = good
        .blobs
        .keys()
        .find(|digest| manifest.matches(*digest).count() == 1 && **digest != good.config.to_string())
        .unwrap()
        .clone();
    let blob = good.blobs.get_mut(&digest).unwrap();
    let middle = blob.len() / 2;
    blob[middle] ^= 1;
    let error = refused(move |request| good.answer(path(request))).await;
    assert!(error.contains(&format!("filesystem layer verification failed for digest {digest}")), "{error}");
}

#[tokio::test]
async fn config_and_manifest_with_flipped_byte_are_refused() {
    let good = image(&[layer("a", b"x")]);
    let mut bad = good.clone();
    bad.blobs.get_mut(good.config.as_str()).unwrap()[5] ^= 1;
    let error = refused(move |request| bad.answer(path(request))).await;
    assert!(error.contains("image config verification failed"), "{error}");

    let announced = Digest::of(b"something else").to_string();
    let error = refused(move |request| {
        let mut response = good.answer(path(request));
        response.headers_mut().insert("docker-content-digest", announced.parse().unwrap());
        response
    })
    .await;
    assert!(error.contains("manifest verification failed"), "{error}");
}

#[tokio::test]
async fn layer_whose_diff_id_does_not_match_is_refused() {
    let (blob, _) = layer("a", b"x");
    let lying = image(&[(blob, Digest::of(b"other"))]);
    let error = refused(move |request| lying.answer(path(request))).await;
    assert!(error.contains("layer verification failed: the configuration lists"), "{error}");
}

#[tokio::test]
async fn layer_that_leaves_its_root_is_refused() {
    let mut tar = vec![0u8; 512];
    tar[..9].copy_from_slice(b"../canary");
    tar[100..107].copy_from_slice(b"0000644");
    tar[124..135].copy_from_slice(b"00000000000");
    tar[156] = b'0';
    tar[148..156].fill(b' ');
    let sum: u32 = tar.iter().map(|byte| u32::from(*byte)).sum();
    tar[148..155].copy_from_slice(format!("{sum:06o}\0").as_bytes());
    tar.resize(2048, 0);
    let hostile = image(&[(tar.clone(), Digest::of(&tar))]);
    let error = refused(move |request| hostile.answer(path(request))).await;
    assert!(error.contains("\"../canary\" in archive: it leaves the archive's root"), "{error}");
}

#[tokio::test]
async fn manifest_that_is_also_an_index_or_schema_1_or_huge_is_refused() {
    let both = r#"{"schemaVersion":2,"layers":[],"manifests":[]}"#;
    let error = refused(move |_| status(200, both)).await;
    assert!(error.starts_with("ambiguous manifest"), "{error}");
    let error = refused(move |request| {
        let mut response = status(200, r#"{"schemaVersion":1,"name":"a","fsLayers":[]}"#);
        let kind = if path(request) == "/v2/" { "text/plain" } else { media::DOCKER_SCHEMA1_SIGNED };
        response.headers_mut().insert("content-type", kind.parse().unwrap());
        response
    })
    .await;
    assert!(error.contains("schema 1 support has been removed"), "{error}");
    let error = refused(move |request| {
        if path(request) == "/v2/" {
            return status(200, "");
        }
        // A gigabyte, if anybody read it.
        let pieces = futures_util::stream::repeat_with(|| Ok::<_, std::io::Error>(vec![b' '; 1 << 20]));
        Response::new(Body::from_stream(futures_util::StreamExt::take(pieces, 1024)))
    })
    .await;
    assert!(error.contains("manifest exceeds the limit of 4194304 bytes"), "{error}");
}

#[tokio::test]
async fn registry_that_hangs_is_given_up_with_a_clear_error() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let held = tokio::spawn(async move {
        let mut connections = Vec::new();
        while let Ok((connection, _)) = listener.accept().await {
            connections.push(connection);
        }
    });
    let client = client();
    let begun = Instant::now();
    let error = client.pull(&format!("{address}/app:1")).await.unwrap_err().to_string();
    held.abort();
    assert!(begun.elapsed() < Duration::from_secs(10), "took {:?}", begun.elapsed());
    assert!(error.contains("timeout") || error.contains("i/o timeout"), "{error}");
    client.assert_empty();
}

#[tokio::test]
async fn layer_that_stalls_in_the_middle_is_given_up() {
    let good = image(&[layer("a", &noise(300_000, 2))]);
    let error = refused(move |request| {
        let config = good.config.to_string();
        if !path(request).contains("/blobs/") || path(request).ends_with(&config) {
            return good.answer(path(request));
        }
        let begun = futures_util::stream::iter([Ok::<_, std::io::Error>(vec![0x1f, 0x8b, 8, 0])]);
        Response::new(Body::from_stream(futures_util::StreamExt::chain(
            begun,
            futures_util::stream::pending(),
        )))
    })
    .await;
    assert!(error.contains("timeout"), "{error}");
}

#[tokio::test]
async fn layer_cut_off_twice_is_completed_by_range() {
    let good = image(&[layer("a", &noise(600_000, 3))]);
    let expected = good.config.clone();
    let count = Arc::new(AtomicUsize::new(0));
    let server = serve(move |request| {
        let config = good.config.to_string();
        if !path(request).contains("/blobs/") || path(request).ends_with(&config) {
            return good.answer(path(request));
        }
        let blob = &good.blobs[path(request).rsplit('/').next().unwrap()];
        let range = request.headers().get("range").map(|range| range.to_str().unwrap().to_owned());
        let from: usize = range.as_deref().map_or(0, |range| range[6..range.len() - 1].parse().unwrap());
        let rest = blob[from..].to_vec();
        let cut = if count.fetch_add(1, Ordering::SeqCst) < 2 { rest.len() / 2 } else { rest.len() };
        let mut builder = Response::builder().header("content-length", rest.len());
        if range.is_some() {
            let range = format!("bytes {from}-{}/{}", blob.len() - 1, blob.len());
            builder = builder.status(206).header("content-range", range);
        }
        let pieces = [Ok(rest[..cut].to_vec()), Err(std::io::Error::other("cut"))];
        let pieces = pieces.into_iter().take(if cut == rest.len() { 1 } else { 2 });
        builder.body(Body::from_stream(futures_util::stream::iter(pieces.collect::<Vec<_>>()))).unwrap()
    })
    .await;
    let client = client();
    let pulled = client.pull(&format!("{}/app:1", server.address)).await.unwrap();
    assert_eq!(pulled.image, expected);
    let blobs = server.requests.lock().unwrap().iter().filter(|(path, _)| path.contains("/blobs/")).count();
    assert_eq!(blobs, 4, "the configuration, and the layer three times");
}

#[tokio::test]
async fn endless_redirects_end() {
    let error = refused(|request| {
        let next = format!("{}x", request.uri().path());
        Response::builder().status(307).header("location", next).body(Body::empty()).unwrap()
    })
    .await;
    assert!(error.contains("stopped after 10 redirects"), "{error}");
}

#[tokio::test]
async fn endless_demands_for_tokens_end() {
    let server = Arc::new(std::sync::OnceLock::<String>::new());
    let realm = Arc::clone(&server);
    let answer = move |request: &Request| {
        if path(request) == "/token" {
            return status(200, r#"{"token":"never-enough"}"#);
        }
        let challenge = format!("Bearer realm=\"http://{}/token\",service=\"s\"", realm.get().unwrap());
        Response::builder().status(401).header("www-authenticate", challenge).body(Body::empty()).unwrap()
    };
    let running = serve(answer).await;
    server.set(running.address.to_string()).unwrap();
    let client = client();
    let error = client.pull(&format!("{}/app:1", running.address)).await.unwrap_err().to_string();
    assert_eq!(error, "unauthorized: authentication required");
    assert!(running.requests.lock().unwrap().len() < 12);
    client.assert_empty();
}

#[tokio::test]
async fn cancelled_pull_leaves_nothing() {
    let good = image(&[layer("a", &noise(300_000, 4)), layer("b", &noise(300_000, 5))]);
    let server = serve(move |request| {
        let config = good.config.to_string();
        if !path(request).contains("/blobs/") || path(request).ends_with(&config) {
            return good.answer(path(request));
        }
        let blob = good.blobs[path(request).rsplit('/').next().unwrap()][..1000].to_vec();
        let begun = futures_util::stream::iter([Ok::<_, std::io::Error>(blob)]);
        Response::new(Body::from_stream(futures_util::StreamExt::chain(
            begun,
            futures_util::stream::pending(),
        )))
    })
    .await;
    let client = client();
    let reference = format!("{}/app:1", server.address);
    let ended = tokio::time::timeout(Duration::from_millis(300), client.pull(&reference)).await;
    assert!(ended.is_err(), "the pull ended by itself: {ended:?}");
    let begun = Instant::now();
    while !client.files().is_empty() && begun.elapsed() < Duration::from_secs(2) {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    client.assert_empty();
}
