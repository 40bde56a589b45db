//! Images for several platforms: pulled one by one, kept under one name, pushed on, saved and removed.

mod support;

use std::collections::HashMap;
use std::io::Read;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::Request;
use axum::response::Response;
use image::manifest::media;
use image::{Force, Removed, Users};
use oci::{Digest, Platform, Reference};
use registry::{Error, Outcome, PushRequest, Pushed, Status};
use support::{Client, client, image_for, layer, noise, plain_layer, status};

/// A media type and what has it.
type Document = (String, Vec<u8>);

/// A registry of one index, which takes whatever is pushed.
#[derive(Clone, Default)]
struct Shelf {
    documents: Arc<Mutex<HashMap<String, Document>>>,
    blobs: Arc<Mutex<HashMap<String, Vec<u8>>>>,
}

const OTHER: &str = "s390x";

fn platform(architecture: &str) -> Platform {
    Platform::new("linux", architecture, None)
}

impl Shelf {
    /// With an image for this machine and one for another, under `tag`.
    fn with_index(tag: &str) -> (Self, Digest) {
        Self::with_layers(tag, layer)
    }

    fn with_layers(tag: &str, layer: fn(&str, &[u8]) -> (Vec<u8>, Digest)) -> (Self, Digest) {
        let shelf = Self::default();
        let host = Platform::host().architecture;
        let shared = layer("shared", &noise(2000, 1));
        let mut entries = Vec::new();
        for architecture in [host.as_str(), OTHER] {
            let made = image_for(architecture, &[shared.clone(), layer("own", architecture.as_bytes())]);
            let digest = Digest::of(&made.manifest);
            entries.push(serde_json::json!({
                "mediaType": media::OCI_MANIFEST, "digest": digest, "size": made.manifest.len(),
                "platform": {"os": "linux", "architecture": architecture},
            }));
            shelf.put(digest.as_str(), media::OCI_MANIFEST, made.manifest);
            shelf.blobs.lock().unwrap().extend(made.blobs);
        }
        let index = serde_json::json!({
            "schemaVersion": 2, "mediaType": media::OCI_INDEX, "manifests": entries,
            "annotations": {"kept": "byte for byte"},
        });
        let index = serde_json::to_vec_pretty(&index).unwrap();
        let digest = Digest::of(&index);
        shelf.put(digest.as_str(), media::OCI_INDEX, index.clone());
        shelf.put(tag, media::OCI_INDEX, index);
        (shelf, digest)
    }

    fn put(&self, key: &str, kind: &str, content: Vec<u8>) {
        self.documents.lock().unwrap().insert(key.into(), (kind.into(), content));
    }

    fn document(&self, key: &str) -> Option<Vec<u8>> {
        self.documents.lock().unwrap().get(key).map(|(_, content)| content.clone())
    }

    async fn serve(&self) -> String {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let shelf = self.clone();
        let app = Router::new().fallback(move |request: Request| {
            let shelf = shelf.clone();
            async move { shelf.answer(request).await }
        });
        tokio::spawn(async move { axum::serve(listener, app).await });
        address
    }

    async fn answer(&self, request: Request) -> Response {
        let (parts, body) = request.into_parts();
        let (path, query) = (parts.uri.path().to_owned(), parts.uri.query().unwrap_or_default().to_owned());
        let body = to_bytes(body, 1 << 20).await.unwrap().to_vec();
        let last = path.rsplit('/').next().unwrap();
        let created = || Response::builder().status(201).body(Body::empty()).unwrap();
        if path.ends_with("/tags/list") {
            return status(200, &self.tags(&query));
        }
        if path.contains("/manifests/") {
            if parts.method == "PUT" {
                let kind = parts.headers["content-type"].to_str().unwrap();
                self.put(Digest::of(&body).as_str(), kind, body.clone());
                self.put(last, kind, body);
                return created();
            }
            let Some((kind, content)) = self.documents.lock().unwrap().get(last).cloned() else {
                return status(404, r#"{"errors":[{"code":"MANIFEST_UNKNOWN"}]}"#);
            };
            return Response::builder().header("content-type", kind).body(Body::from(content)).unwrap();
        }
        if path.contains("/uploads/") {
            if parts.method == "POST" {
                let begun = Response::builder().status(202).header("location", format!("{path}1"));
                return begun.body(Body::empty()).unwrap();
            }
            self.blobs.lock().unwrap().insert(Digest::of(&body).to_string(), body);
            return created();
        }
        match self.blobs.lock().unwrap().get(last) {
            Some(blob) => Response::new(Body::from(blob.clone())),
            None if path == "/v2/" => status(200, "{}"),
            None => status(404, r#"{"errors":[{"code":"BLOB_UNKNOWN"}]}"#),
        }
    }

    fn tags(&self, _: &str) -> String {
        let documents = self.documents.lock().unwrap();
        let mut tags: Vec<&String> = documents.keys().filter(|key| !key.contains(':')).collect();
        tags.sort();
        serde_json::json!({"name": "app", "tags": tags}).to_string()
    }
}

async fn pull(client: &Client, name: &str, architecture: &str) -> registry::Pulled {
    client.pull_as(name, None, Some(platform(architecture))).await.unwrap()
}

async fn push(client: &Client, name: &str, wanted: Option<Platform>) -> Result<Vec<Pushed>, Error> {
    let reference = Reference::parse(name).unwrap();
    let seen = Arc::clone(&client.progress);
    seen.lock().unwrap().clear();
    let sink = Arc::new(move |progress| seen.lock().unwrap().push(progress));
    let request = PushRequest { reference, platform: wanted, credentials: None };
    client.registry.push(&client.store, request, sink).await
}

fn nobody(_: &Digest) -> Users {
    Users::default()
}

#[tokio::test]
async fn platforms_of_one_tag_are_here_at_once() {
    let (shelf, index) = Shelf::with_index("1");
    let client = client();
    let name = format!("{}/app:1", shelf.serve().await);
    let host = Platform::host();
    let other = pull(&client, &name, OTHER).await;
    assert_eq!(client.store.resolve(&name).unwrap().id, other.image, "it is all there is");
    let native = pull(&client, &name, &host.architecture).await;
    assert_eq!((&other.digest, &native.digest), (&index, &index));
    assert_eq!(client.store.resolve(&name).unwrap().id, native.image, "this machine's is meant");
    assert_eq!(client.store.resolve_for(&name, &platform(OTHER)).unwrap().id, other.image);
    for image in client.store.resolve_all(&name).unwrap() {
        assert_eq!(image.repo_tags[0].familiar(), name);
        assert!(image.repo_digests[0].familiar().ends_with(&format!("app@{index}")));
    }
    assert_eq!(client.store.blob(&index).unwrap(), shelf.document("1").unwrap());
    assert_eq!(pull(&client, &name, OTHER).await.status, Status::UpToDate);
    let error = client.store.resolve_for(&name, &platform("riscv64")).unwrap_err().to_string();
    assert!(error.contains("does not match the specified platform (linux/riscv64)"), "{error}");
}

#[tokio::test]
async fn names_keep_their_platforms_when_the_store_is_opened_again() {
    let (shelf, _) = Shelf::with_index("1");
    let client = client();
    let name = format!("{}/app:1", shelf.serve().await);
    pull(&client, &name, &Platform::host().architecture).await;
    let other = pull(&client, &name, OTHER).await;
    let Client { folder, store, .. } = client;
    store.settle().unwrap();
    drop(store);
    let again = loop {
        match image::ImageStore::open(&folder.path().join("image")) {
            Err(image::Error::Records(_)) => tokio::time::sleep(std::time::Duration::from_millis(10)).await,
            opened => break opened.unwrap(),
        }
    };
    assert_eq!(again.resolve_all(&name).unwrap().len(), 2);
    assert_eq!(again.resolve_for(&name, &platform(OTHER)).unwrap().id, other.image);
}

#[tokio::test]
async fn one_platform_goes_on_as_its_manifest_and_all_as_the_index() {
    let (shelf, index) = Shelf::with_index("1");
    let (client, target) = (client(), Shelf::default());
    let name = format!("{}/app:1", shelf.serve().await);
    let on = format!("{}/app:2", target.serve().await);
    pull(&client, &name, &Platform::host().architecture).await;
    client.store.tag(&name, &Reference::parse(&on).unwrap()).unwrap();
    let pushed = push(&client, &on, None).await.unwrap();
    let native = client.store.resolve(&on).unwrap().manifest.unwrap();
    assert_eq!(pushed[0].digest, native.digest);
    assert_eq!(target.document("2"), shelf.document(native.digest.as_str()));
    let told = client.progress.lock().unwrap().iter().find_map(|progress| match &progress.aux {
        Some(Outcome::Instead { original_index, selected_manifest, .. }) => {
            Some((original_index.digest.clone(), selected_manifest.digest.clone()))
        }
        _ => None,
    });
    assert_eq!(told, Some((index.clone(), native.digest)));

    pull(&client, &name, OTHER).await;
    client.store.tag(&name, &Reference::parse(&on).unwrap()).unwrap();
    let pushed = push(&client, &on, None).await.unwrap();
    assert_eq!(pushed[0].digest, index);
    assert_eq!(target.document("2"), shelf.document("1"));
    assert_eq!(
        target.blobs.lock().unwrap().len(),
        5,
        "two configurations, two own layers, one that is shared"
    );

    let single = push(&client, &on, Some(platform(OTHER))).await.unwrap();
    let other = client.store.resolve_for(&on, &platform(OTHER)).unwrap().manifest.unwrap();
    assert_eq!(
        (&single[0].digest, target.document("2")),
        (&other.digest, shelf.document(other.digest.as_str()))
    );
    let error = push(&client, &on, Some(platform("riscv64"))).await.unwrap_err().to_string();
    assert!(error.contains("does not provide the specified platform (linux/riscv64)"), "{error}");
}

#[tokio::test]
async fn plain_layers_of_an_index_are_pushed_as_its_manifests_name_them() {
    let (shelf, index) = Shelf::with_layers("1", plain_layer);
    let (source, client, target) = (client(), client(), Shelf::default());
    let name = format!("{}/app:1", shelf.serve().await);
    pull(&source, &name, &Platform::host().architecture).await;
    pull(&source, &name, OTHER).await;
    // An archive does not say that a registry has the same.
    let mut archive = Vec::new();
    let saved = source.store.save(std::slice::from_ref(&name), &[]).unwrap();
    saved.into_reader().read_to_end(&mut archive).unwrap();
    client.store.load(&archive[..], &[]).unwrap();
    let on = format!("{}/app:2", target.serve().await);
    client.store.tag(&name, &Reference::parse(&on).unwrap()).unwrap();
    let pushed = push(&client, &on, None).await.unwrap();
    assert_eq!(pushed[0].digest, index);
    assert_eq!(*target.blobs.lock().unwrap(), *shelf.blobs.lock().unwrap());
}

#[tokio::test]
async fn removal_of_a_platform_leaves_the_other_and_of_the_name_nothing() {
    let (shelf, _) = Shelf::with_index("1");
    let client = client();
    let name = format!("{}/app:1", shelf.serve().await);
    let native = pull(&client, &name, &Platform::host().architecture).await;
    let other = pull(&client, &name, OTHER).await;
    let removed = client.store.remove_platforms(&name, &[platform(OTHER)], Force::No, &nobody).unwrap();
    assert_eq!(removed[0], Removed::Image(other.image.clone()));
    assert!(!removed.iter().any(|item| matches!(item, Removed::Untagged(..))));
    assert_eq!(client.store.resolve_all(&name).unwrap().len(), 1);
    let error = client.store.remove_platforms(&name, &[platform(OTHER)], Force::No, &nobody).unwrap_err();
    assert!(error.to_string().contains("does not provide"), "{error}");
    // The one that is meant goes, and the other one takes its place.
    pull(&client, &name, OTHER).await;
    client.store.remove(native.image.as_str(), Force::No, &nobody).unwrap();
    assert_eq!(client.store.resolve(&name).unwrap().id, other.image);
    pull(&client, &name, &Platform::host().architecture).await;
    let removed = client.store.remove(&name, Force::No, &nobody).unwrap();
    let images = removed.iter().filter(|item| matches!(item, Removed::Image(_))).count();
    assert_eq!(images, 2);
    client.assert_empty();
}

#[tokio::test]
async fn name_stays_while_a_container_uses_another_of_its_platforms() {
    let (shelf, _) = Shelf::with_index("1");
    let client = client();
    let name = format!("{}/app:1", shelf.serve().await);
    pull(&client, &name, &Platform::host().architecture).await;
    let other = pull(&client, &name, OTHER).await;
    let users = |id: &Digest| {
        let running = (*id == other.image).then(|| "c".repeat(64));
        Users { running, stopped: None }
    };
    let error = client.store.remove(&name, Force::No, &users).unwrap_err().to_string();
    assert!(error.contains("container cccccccccccc is using its referenced image"), "{error}");
    let unused = image::Unused::default();
    client.store.prune(&unused, &users).unwrap();
    assert_eq!(client.store.resolve_all(&name).unwrap().len(), 2);
}

#[tokio::test]
async fn archive_has_all_platforms_or_those_asked_for() {
    let (shelf, index) = Shelf::with_index("1");
    let source = client();
    let name = format!("{}/app:1", shelf.serve().await);
    pull(&source, &name, &Platform::host().architecture).await;
    pull(&source, &name, OTHER).await;
    let save = |platforms: &[Platform]| {
        let mut bytes = Vec::new();
        let archive = source.store.save(std::slice::from_ref(&name), platforms).unwrap();
        archive.into_reader().read_to_end(&mut bytes).unwrap();
        bytes
    };
    let whole = client();
    whole.store.load(&save(&[])[..], &[]).unwrap();
    assert_eq!(whole.store.resolve_all(&name).unwrap().len(), 2);
    assert_eq!(whole.store.resolve(&name).unwrap().config.platform(), Platform::host());
    assert_eq!(whole.store.blob(&index).unwrap(), shelf.document("1").unwrap());
    let part = client();
    part.store.load(&save(&[])[..], &[platform(OTHER)]).unwrap();
    assert_eq!(part.store.resolve(&name).unwrap().config.platform(), platform(OTHER));
    let single = client();
    let damaged = source.folder.path().join("image/blobs/sha256").join(index.hex());
    single.store.load(&save(&[platform(OTHER)])[..], &[]).unwrap();
    assert_eq!(single.store.images().unwrap().len(), 1);
    assert_eq!(single.store.resolve(&name).unwrap().config.platform(), platform(OTHER));
    let error =
        source.store.save(std::slice::from_ref(&name), &[platform("riscv64")]).unwrap_err().to_string();
    assert!(error.contains("does not provide"), "{error}");
    // Without the index its images are saved all the same.
    std::fs::write(damaged, "{}").unwrap();
    let both = client();
    both.store.load(&save(&[])[..], &[]).unwrap();
    assert_eq!(both.store.images().unwrap().len(), 2);
    assert_eq!(both.store.resolve(&name).unwrap().config.platform(), Platform::host());
}

#[tokio::test]
async fn all_tags_are_pulled_except_those_for_other_platforms() {
    let (shelf, _) = Shelf::with_index("1");
    let host = Platform::host().architecture;
    let second = image_for(&host, &[layer("x", b"2")]);
    shelf.blobs.lock().unwrap().extend(second.blobs);
    shelf.put("2", media::OCI_MANIFEST, second.manifest);
    let foreign = serde_json::json!({"schemaVersion": 2, "mediaType": media::OCI_INDEX, "manifests": [
        {"mediaType": media::OCI_MANIFEST, "digest": Digest::of(b"none"), "size": 4,
         "platform": {"os": "linux", "architecture": OTHER}}]});
    shelf.put("3", media::OCI_INDEX, serde_json::to_vec(&foreign).unwrap());
    let client = client();
    let name = format!("{}/app", shelf.serve().await);
    let request = registry::PullRequest {
        reference: Reference::parse(&name).unwrap(),
        platform: None,
        credentials: None,
    };
    let pulled = client.registry.pull_all(&client.store, request, Arc::new(|_| {})).await.unwrap();
    assert_eq!(pulled.len(), 2);
    let mut tags: Vec<String> = Vec::new();
    for image in client.store.images().unwrap() {
        tags.extend(image.repo_tags.iter().map(Reference::familiar));
    }
    tags.sort();
    assert_eq!(tags, [format!("{name}:1"), format!("{name}:2")]);
}
