//! Images made here, served by a small server of our own that can misbehave.

#![allow(dead_code, reason = "each test binary uses its own part")]

use std::collections::HashMap;
use std::io::Write;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::response::Response;
use image::ImageStore;
use image::manifest::media;
use oci::{Digest, Platform, Reference};
use registry::{Config, Credentials, Error, Progress, PullRequest, Pulled, Registry};

/// An image as a registry has it.
#[derive(Clone)]
pub(crate) struct TestImage {
    pub(crate) manifest: Vec<u8>,
    pub(crate) blobs: HashMap<String, Vec<u8>>,
    pub(crate) config: Digest,
}

/// A layer with one file, compressed with gzip.
pub(crate) fn layer(path: &str, content: &[u8]) -> (Vec<u8>, Digest) {
    let (tar, diff_id) = plain_layer(path, content);
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(&tar).unwrap();
    (encoder.finish().unwrap(), diff_id)
}

/// The same without compression. Manifests are not asked for media types that are true.
pub(crate) fn plain_layer(path: &str, content: &[u8]) -> (Vec<u8>, Digest) {
    let mut builder = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_gnu();
    header.set_size(content.len() as u64);
    header.set_mode(0o644);
    builder.append_data(&mut header, path, content).unwrap();
    let tar = builder.into_inner().unwrap();
    let diff_id = Digest::of(&tar);
    (tar, diff_id)
}

/// Bytes that do not compress.
pub(crate) fn noise(length: usize, seed: u64) -> Vec<u8> {
    let mut state = seed | 1;
    let step = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state as u8
    };
    std::iter::repeat_with(step).take(length).collect()
}

pub(crate) fn image(layers: &[(Vec<u8>, Digest)]) -> TestImage {
    image_for(&Platform::host().architecture, layers)
}

pub(crate) fn image_for(architecture: &str, layers: &[(Vec<u8>, Digest)]) -> TestImage {
    let mut blobs = HashMap::new();
    let config = serde_json::json!({
        "architecture": architecture, "os": "linux", "created": "2024-01-01T00:00:00Z",
        "config": {"Cmd": ["/a"]},
        "rootfs": {"type": "layers", "diff_ids": layers.iter().map(|(_, id)| id.to_string()).collect::<Vec<_>>()},
    });
    let config = serde_json::to_vec(&config).unwrap();
    let described: Vec<_> = layers
        .iter()
        .map(|(blob, _)| {
            let digest = Digest::of(blob);
            blobs.insert(digest.to_string(), blob.clone());
            serde_json::json!({"mediaType": "application/vnd.oci.image.layer.v1.tar+gzip", "digest": digest, "size": blob.len()})
        })
        .collect();
    let id = Digest::of(&config);
    let manifest = serde_json::json!({
        "schemaVersion": 2, "mediaType": media::OCI_MANIFEST,
        "config": {"mediaType": media::OCI_CONFIG, "digest": id, "size": config.len()},
        "layers": described,
    });
    blobs.insert(id.to_string(), config);
    TestImage { manifest: serde_json::to_vec(&manifest).unwrap(), blobs, config: id }
}

impl TestImage {
    /// What an honest registry would answer.
    pub(crate) fn answer(&self, path: &str) -> Response {
        if path == "/v2/" {
            return Response::new(Body::empty());
        }
        if path.contains("/manifests/") {
            let builder = Response::builder().header("content-type", media::OCI_MANIFEST);
            return builder.body(Body::from(self.manifest.clone())).unwrap();
        }
        let name = path.rsplit('/').next().unwrap();
        match self.blobs.get(name) {
            Some(blob) => Response::new(Body::from(blob.clone())),
            None => status(404, r#"{"errors":[{"code":"BLOB_UNKNOWN","message":"blob unknown"}]}"#),
        }
    }
}

pub(crate) fn status(code: u16, body: &str) -> Response {
    Response::builder().status(code).body(Body::from(body.to_owned())).unwrap()
}

/// Path and `Authorization` of a request.
pub(crate) type Seen = (String, Option<String>);

/// A server on the loopback address that answers as it is told; it ends with the test's runtime.
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    pub(crate) requests: Arc<Mutex<Vec<Seen>>>,
}

pub(crate) async fn serve(answer: impl Fn(&Request) -> Response + Clone + Send + Sync + 'static) -> Server {
    let requests = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&requests);
    let app = Router::new().fallback(move |request: Request| {
        let header = request.headers().get("authorization").map(|value| value.to_str().unwrap().to_owned());
        seen.lock().unwrap().push((request.uri().to_string(), header));
        let response = answer(&request);
        async move { response }
    });
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, app).await });
    Server { address, requests }
}

/// A store in a temporary folder, and a client with short limits.
pub(crate) struct Client {
    pub(crate) folder: tempfile::TempDir,
    pub(crate) store: ImageStore,
    pub(crate) registry: Registry,
    pub(crate) progress: Arc<Mutex<Vec<Progress>>>,
}

pub(crate) fn client() -> Client {
    let folder = tempfile::tempdir().unwrap();
    let store = ImageStore::open(&folder.path().join("image")).unwrap();
    let registry = Registry::new(Config {
        attempts: 3,
        connect_timeout: Duration::from_secs(2),
        idle_timeout: Duration::from_secs(1),
        backoff: Duration::from_millis(10),
        ..Config::default()
    });
    Client { folder, store, registry, progress: Arc::default() }
}

impl Client {
    pub(crate) async fn pull(&self, reference: &str) -> Result<Pulled, Error> {
        self.pull_as(reference, None, None).await
    }

    pub(crate) async fn pull_as(
        &self,
        reference: &str,
        credentials: Option<Credentials>,
        platform: Option<Platform>,
    ) -> Result<Pulled, Error> {
        let reference = Reference::parse(reference).unwrap();
        let seen = Arc::clone(&self.progress);
        let sink = Arc::new(move |progress| seen.lock().unwrap().push(progress));
        self.registry.pull(&self.store, PullRequest { reference, platform, credentials }, sink).await
    }

    /// What is in the store's folders.
    pub(crate) fn files(&self) -> Vec<String> {
        let mut found = Vec::new();
        for folder in ["blobs/sha256", "layers", "ingest", "partial"] {
            for entry in std::fs::read_dir(self.folder.path().join("image").join(folder)).unwrap() {
                found.push(format!("{folder}/{}", entry.unwrap().file_name().to_string_lossy()));
            }
        }
        found
    }

    /// Fails unless the store is as empty as at first.
    pub(crate) fn assert_empty(&self) {
        assert!(self.store.images().unwrap().is_empty());
        assert_eq!(self.files(), Vec::<String>::new());
    }

    pub(crate) fn statuses(&self) -> Vec<String> {
        self.progress.lock().unwrap().iter().map(|progress| progress.status.clone()).collect()
    }
}
