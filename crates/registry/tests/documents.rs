//! Manifests by themselves, searches, and tars from URLs: of honest servers and of others.

mod support;

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ::image::NewImage;
use ::image::manifest::{Descriptor, media};
use axum::body::{Body, Bytes};
use axum::extract::Request;
use axum::response::Response;
use futures_util::{StreamExt as _, stream};
use oci::{Digest, Reference};
use registry::{Error, Mounted, SearchRequest, Source};
use support::{TestImage, client, image_for, layer, serve, status};

fn reference(text: &str) -> Reference {
    Reference::parse(text).unwrap()
}

fn with_type(content: Vec<u8>, media_type: &str) -> Response {
    Response::builder().header("content-type", media_type).body(Body::from(content)).unwrap()
}

/// A list of two images, and the answers of a registry that has all three.
fn list() -> (Vec<TestImage>, impl Fn(&Request) -> Response + Clone + Send + Sync + 'static) {
    let images: Vec<TestImage> =
        ["amd64", "arm64"].map(|it| image_for(it, &[layer("a", it.as_bytes())])).into();
    let entries: Vec<Descriptor> = images
        .iter()
        .map(|it| Descriptor::new(media::OCI_MANIFEST, Digest::of(&it.manifest), it.manifest.len() as u64))
        .collect();
    let document =
        serde_json::json!({"schemaVersion": 2, "mediaType": media::OCI_INDEX, "manifests": entries});
    let (document, known) = (serde_json::to_vec(&document).unwrap(), images.clone());
    let answer = move |request: &Request| {
        let path = request.uri().path();
        let name = path.rsplit('/').next().unwrap();
        let is_named =
            |it: &&TestImage| Digest::of(&it.manifest).as_str() == name || it.blobs.contains_key(name);
        match known.iter().find(is_named) {
            Some(image) => image.answer(path),
            None if path.contains("/manifests/") => with_type(document.clone(), media::OCI_INDEX),
            None => Response::new(Body::empty()),
        }
    };
    (images, answer)
}

/// A body that never ends, in small pieces.
fn endless(pause: Duration) -> Body {
    let pieces = stream::repeat(()).then(move |()| async move {
        tokio::time::sleep(pause).await;
        Ok::<_, io::Error>(Bytes::from_static(b" "))
    });
    Body::from_stream(pieces)
}

#[tokio::test]
async fn images_of_a_list_are_described_in_its_order() {
    let (images, answer) = list();
    let server = serve(answer).await;
    let registry = client().registry;
    let name = reference(&format!("{}/app:all", server.address));
    let found = registry.look_up(&name, None).await.unwrap();
    assert!(found.is_list() && !found.is_encrypted());
    assert!(matches!(found.image().await, Err(Error::List(_))));
    let described = found.images().await.unwrap();
    let contents: Vec<&Vec<u8>> = described.iter().map(|it| &it.content).collect();
    assert_eq!(contents, images.iter().map(|it| &it.manifest).collect::<Vec<_>>());
    let digest = Digest::of(&images[1].manifest);
    assert_eq!(described[1].reference, name.and_digest(digest));
    let one = registry.look_up(&described[1].reference, None).await.unwrap().image().await.unwrap();
    assert_eq!(one.descriptor.platform.unwrap().architecture, "arm64");
}

#[tokio::test]
async fn what_is_not_what_its_digest_says_is_refused() {
    let (images, answer) = list();
    for flipped in [Digest::of(&images[1].manifest), images[1].config.clone()] {
        let honest = answer.clone();
        let (bad, digest) = (images[0].clone(), flipped.to_string());
        let server = serve(move |request| match request.uri().path() {
            path if path.ends_with(&digest) && path.contains("/manifests/") => bad.answer(path),
            path if path.ends_with(&digest) => {
                Response::new(Body::from(bad.blobs[bad.config.as_str()].clone()))
            }
            _ => honest(request),
        })
        .await;
        let registry = client().registry;
        let name = reference(&format!("{}/app:all", server.address));
        let found = registry.look_up(&name, None).await.unwrap();
        let error = found.images().await.unwrap_err().to_string();
        assert!(error.contains("verification failed") && error.contains(flipped.hex()), "{error}");
    }
}

#[tokio::test]
async fn what_is_too_big_is_refused() {
    let server = serve(|request| match request.uri().path() {
        "/v2/" => Response::new(Body::empty()),
        _ => with_type(vec![b' '; 5 << 20], media::OCI_MANIFEST),
    })
    .await;
    let registry = client().registry;
    let text = format!("{}/app", server.address);
    assert!(matches!(registry.look_up(&reference(&text), None).await, Err(Error::TooBig { .. })));
    let request = SearchRequest { term: text, limit: 0, credentials: None };
    assert!(matches!(registry.search(request).await, Err(Error::TooBig { .. })));
}

#[tokio::test]
async fn search_that_never_ends_is_given_up() {
    for pause in [Duration::from_millis(50), Duration::from_secs(3600)] {
        let server = serve(move |_| Response::new(endless(pause))).await;
        let begun = Instant::now();
        let request = SearchRequest { term: format!("{}/app", server.address), limit: 0, credentials: None };
        let error = client().registry.search(request).await.unwrap_err();
        assert!(begun.elapsed() < Duration::from_secs(10), "{error}");
    }
}

#[tokio::test]
async fn blob_that_is_not_taken_over_is_told_and_its_upload_is_given_up() {
    let server = serve(|request| match (request.method().as_str(), request.uri().path()) {
        ("POST", "/v2/app/blobs/uploads/") => {
            let location = "/v2/app/blobs/uploads/1";
            Response::builder().status(202).header("location", location).body(Body::empty()).unwrap()
        }
        ("DELETE", _) => status(204, ""),
        _ => Response::new(Body::empty()),
    })
    .await;
    let registry = client().registry;
    let name = reference(&format!("{}/app:1", server.address));
    let writer = registry.writer(&name, &["other".to_owned()], None).await.unwrap();
    let blob = Digest::of(b"x");
    assert_eq!(writer.mount(&blob, "other").await.unwrap(), Mounted::No);
    let paths: Vec<String> = server.requests.lock().unwrap().iter().map(|(path, _)| path.clone()).collect();
    let asked = format!("/v2/app/blobs/uploads/?mount={}&from=other", blob.as_str().replace(':', "%3A"));
    assert_eq!(paths[paths.len() - 2..], [asked, "/v2/app/blobs/uploads/1".to_owned()]);
}

#[tokio::test]
async fn import_that_is_given_up_or_stalls_leaves_nothing() {
    let server = serve(|_| Response::new(endless(Duration::from_secs(3600)))).await;
    let source = Source::parse(&format!("http://{}/root.tar", server.address)).unwrap();
    let client = client();
    let import = || client.registry.import(&client.store, &source, NewImage::default(), Arc::new(|_| {}));
    let begun = Instant::now();
    assert!(tokio::time::timeout(Duration::from_millis(200), import()).await.is_err());
    // The thread that unpacks sees the end a little later.
    while !client.files().is_empty() {
        assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", client.files());
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let error = import().await.unwrap_err().to_string();
    assert!(error.contains("sent nothing for too long"), "{error}");
    client.assert_empty();
}
