//! Pushes to a small registry of our own, which can misbehave.

mod support;

use std::collections::{BTreeMap, HashMap};
use std::io::Read;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::response::Response;
use futures_util::StreamExt;
use oci::{Digest, Platform, Reference};
use registry::{Credentials, Error, PushRequest, Pushed};
use support::{Client, client, image, layer, noise, serve, status};

/// What goes wrong, once each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    /// The first bytes of an upload are kept, and then the answer is an error.
    CutUpload(usize),
    /// The same, and the upload is forgotten.
    LostUpload(usize),
    /// This status for the next request of this method.
    Answer(&'static str, u16),
}

#[derive(Default)]
struct State {
    blobs: HashMap<String, Vec<u8>>,
    uploads: BTreeMap<usize, Vec<u8>>,
    manifests: HashMap<String, (String, Vec<u8>)>,
    /// Method, path with query, credentials, range.
    requests: Vec<(String, String, bool, String)>,
    faults: Vec<Fault>,
    /// Where uploads go, if not here.
    elsewhere: Option<String>,
    begun: usize,
}

#[derive(Clone)]
struct Fake {
    address: SocketAddr,
    state: Arc<Mutex<State>>,
}

impl Fake {
    async fn start() -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let fake = Self { address: listener.local_addr().unwrap(), state: Arc::default() };
        let served = fake.clone();
        let app = Router::new().fallback(move |request: Request| {
            let fake = served.clone();
            async move { fake.answer(request).await }
        });
        tokio::spawn(async move { axum::serve(listener, app).await });
        fake
    }

    fn name(&self, path: &str) -> String {
        format!("{}/{path}", self.address)
    }

    fn fault(&self, fault: Fault) {
        self.state.lock().unwrap().faults.push(fault);
    }

    fn requests(&self, method: &str) -> Vec<String> {
        let state = self.state.lock().unwrap();
        state.requests.iter().filter(|it| it.0 == method).map(|it| it.1.clone()).collect()
    }

    async fn answer(&self, request: Request) -> Response {
        let (parts, mut body) = request.into_parts();
        let header = |name: &str| {
            parts.headers.get(name).and_then(|it| it.to_str().ok()).unwrap_or_default().to_owned()
        };
        let method = parts.method.as_str().to_owned();
        let path = parts.uri.path_and_query().unwrap().to_string();
        let entry =
            (method.clone(), path.clone(), !header("authorization").is_empty(), header("content-range"));
        let fault = {
            let mut state = self.state.lock().unwrap();
            state.requests.push(entry);
            let meets = |fault: &Fault| match fault {
                Fault::Answer(other, _) => *other == method && path != "/v2/",
                _ => method == "PATCH",
            };
            let at = state.faults.iter().position(meets);
            at.map(|at| state.faults.remove(at))
        };
        let limit = match fault {
            Some(Fault::Answer(_, code)) => return status(code, ""),
            Some(Fault::CutUpload(limit) | Fault::LostUpload(limit)) => limit,
            None => usize::MAX,
        };
        let content = read(&mut body, limit).await;
        let mut state = self.state.lock().unwrap();
        if fault.is_none() {
            return state.answer(&method, &path, &header("content-type"), content);
        }
        let upload = path.rsplit('/').next().unwrap().split('?').next().unwrap().parse::<usize>().unwrap();
        match fault {
            Some(Fault::LostUpload(_)) => drop(state.uploads.remove(&upload)),
            _ => state.uploads.get_mut(&upload).unwrap().extend(content),
        }
        status(502, "")
    }
}

async fn read(body: &mut Body, limit: usize) -> Vec<u8> {
    let mut content = Vec::new();
    let mut stream = std::mem::take(body).into_data_stream();
    while let Some(Ok(chunk)) = stream.next().await {
        content.extend_from_slice(&chunk);
        if content.len() >= limit {
            content.truncate(limit);
            break;
        }
    }
    content
}

impl State {
    fn answer(&mut self, method: &str, path: &str, content_type: &str, content: Vec<u8>) -> Response {
        let (path, query) = path.split_once('?').unwrap_or((path, ""));
        let query: HashMap<String, String> =
            url::form_urlencoded::parse(query.as_bytes()).into_owned().collect();
        let last = path.rsplit('/').next().unwrap();
        let unknown = |code: &str| status(404, &format!(r#"{{"errors":[{{"code":"{code}"}}]}}"#));
        if path == "/v2/" {
            return status(200, "{}");
        }
        if path.contains("/manifests/") {
            let digest = Digest::of(&content).to_string();
            self.manifests.insert(last.to_owned(), (content_type.to_owned(), content));
            return created(&digest);
        }
        if !path.contains("/uploads/") {
            return match self.blobs.get(last) {
                Some(_) => status(200, ""),
                None => unknown("BLOB_UNKNOWN"),
            };
        }
        if method == "POST" {
            if let Some(digest) = query.get("mount").filter(|digest| self.blobs.contains_key(*digest)) {
                return created(digest);
            }
            self.begun += 1;
            self.uploads.insert(self.begun, Vec::new());
            return self.progress(path, self.begun, 202);
        }
        let number: usize = last.parse().unwrap();
        let Some(upload) = self.uploads.get_mut(&number) else { return unknown("BLOB_UPLOAD_UNKNOWN") };
        let folder = path.strip_suffix(last).unwrap();
        match (method, query.get("digest")) {
            ("GET", _) => self.progress(folder, number, 204),
            ("PATCH", _) => {
                upload.extend(content);
                self.progress(folder, number, 202)
            }
            ("PUT", Some(digest)) => {
                upload.extend(content);
                let content = self.uploads.remove(&number).unwrap();
                if Digest::of(&content).to_string() != *digest {
                    return status(400, r#"{"errors":[{"code":"DIGEST_INVALID","message":"bad digest"}]}"#);
                }
                self.blobs.insert(digest.clone(), content);
                created(digest)
            }
            _ => status(405, ""),
        }
    }

    fn progress(&self, folder: &str, number: usize, code: u16) -> Response {
        let last = self.uploads[&number].len().saturating_sub(1);
        let location = match &self.elsewhere {
            Some(other) => format!("{other}{folder}{number}?state=x%2Fy"),
            None => format!("{folder}{number}?state=x%2Fy"),
        };
        let builder = Response::builder().status(code).header("location", location);
        builder.header("range", format!("0-{last}")).body(Body::empty()).unwrap()
    }
}

fn created(digest: &str) -> Response {
    let builder = Response::builder().status(201).header("docker-content-digest", digest);
    builder.body(Body::empty()).unwrap()
}

/// A store with one image of these layers, which came from another registry, under a name in `fake`.
async fn stored(fake: &Fake, name: &str, layers: &[Vec<u8>]) -> (Client, Vec<u8>) {
    let layers: Vec<_> = layers.iter().map(|content| layer("file", content)).collect();
    let source = image(&layers);
    let manifest = source.manifest.clone();
    let server = serve(move |request| source.answer(request.uri().path())).await;
    let client = client();
    let origin = format!("{}/origin:1", server.address);
    client.pull(&origin).await.unwrap();
    client.store.tag(&origin, &Reference::parse(&fake.name(name)).unwrap()).unwrap();
    (client, manifest)
}

async fn push(client: &Client, name: &str) -> Result<Vec<Pushed>, Error> {
    let account = Credentials { username: "me".into(), password: "secret".into(), ..Credentials::default() };
    let reference = Reference::parse(name).unwrap();
    let seen = Arc::clone(&client.progress);
    seen.lock().unwrap().clear();
    let sink = Arc::new(move |progress| seen.lock().unwrap().push(progress));
    client
        .registry
        .push(&client.store, PushRequest { platform: None, reference, credentials: Some(account) }, sink)
        .await
}

#[tokio::test]
async fn pushed_image_is_as_it_was_pulled() {
    let fake = Fake::start().await;
    let (client, manifest) = stored(&fake, "app:1", &[noise(9 << 20, 1), noise(1000, 2)]).await;
    let pushed = push(&client, &fake.name("app:1")).await.unwrap();
    let digest = Digest::of(&manifest);
    assert_eq!(pushed, [Pushed { tag: "1".into(), digest: digest.clone(), size: manifest.len() as u64 }]);
    {
        let state = fake.state.lock().unwrap();
        assert_eq!(state.manifests["1"].1, manifest);
        assert_eq!(state.blobs.len(), 3);
        assert!(state.uploads.is_empty());
    }
    let found = client.store.resolve(&fake.name("app:1")).unwrap();
    let expected = format!("{}@{digest}", fake.name("app"));
    assert!(found.repo_digests.iter().any(|name| name.familiar() == expected));
    let statuses = client.statuses();
    assert_eq!(statuses[0], format!("The push refers to repository [{}]", fake.name("app")));
    assert_eq!(statuses.iter().filter(|status| *status == "Pushed").count(), 2);
    assert_eq!(statuses[statuses.len() - 2], format!("1: digest: {digest} size: {}", manifest.len()));
}

#[tokio::test]
async fn second_push_sends_no_blob_again() {
    let fake = Fake::start().await;
    let (client, _) = stored(&fake, "app:1", &[noise(1000, 1), noise(1000, 2)]).await;
    push(&client, &fake.name("app:1")).await.unwrap();
    let begun = fake.requests("POST").len();
    push(&client, &fake.name("app:1")).await.unwrap();
    assert_eq!(fake.requests("POST").len(), begun);
    assert_eq!(client.statuses().iter().filter(|status| *status == "Layer already exists").count(), 2);
}

#[tokio::test]
async fn blob_of_another_repository_is_taken_over() {
    let fake = Fake::start().await;
    let (client, _) = stored(&fake, "first/app:1", &[noise(1000, 1)]).await;
    push(&client, &fake.name("first/app:1")).await.unwrap();
    client.store.tag(&fake.name("first/app:1"), &Reference::parse(&fake.name("second:1")).unwrap()).unwrap();
    // This registry tells of every blob; one that keeps repositories apart would not.
    let blobs = std::mem::take(&mut fake.state.lock().unwrap().blobs);
    let hidden = fake.clone();
    fake.fault(Fault::Answer("HEAD", 404));
    fake.fault(Fault::Answer("HEAD", 404));
    hidden.state.lock().unwrap().blobs = blobs;
    push(&client, &fake.name("second:1")).await.unwrap();
    assert!(client.statuses().contains(&"Mounted from first/app".to_owned()), "{:?}", client.statuses());
    let mounts = fake.requests("POST").into_iter().filter(|path| path.contains("from=first%2Fapp")).count();
    assert_eq!(mounts, 1);
}

#[tokio::test]
async fn upload_goes_on_where_it_broke_off() {
    let fake = Fake::start().await;
    let (client, _) = stored(&fake, "app:1", &[noise(9 << 20, 1)]).await;
    fake.fault(Fault::CutUpload(3 << 20));
    fake.fault(Fault::CutUpload(2 << 20));
    push(&client, &fake.name("app:1")).await.unwrap();
    let state = fake.state.lock().unwrap();
    let ranges: Vec<&str> =
        state.requests.iter().filter(|it| it.0 == "PATCH").map(|it| it.3.as_str()).collect();
    let size = state.blobs.values().map(Vec::len).max().unwrap();
    let range = |from: usize| format!("{from}-{}", size - 1);
    assert_eq!(ranges, ["", &range(3 << 20), &range(5 << 20)]);
}

#[tokio::test]
async fn upload_that_the_registry_forgot_begins_again() {
    let fake = Fake::start().await;
    let (client, _) = stored(&fake, "app:1", &[noise(9 << 20, 1)]).await;
    fake.fault(Fault::LostUpload(1 << 20));
    push(&client, &fake.name("app:1")).await.unwrap();
    assert_eq!(fake.state.lock().unwrap().blobs.len(), 2);
}

#[tokio::test]
async fn registry_that_is_busy_is_asked_again_and_not_for_ever() {
    let fake = Fake::start().await;
    let (client, _) = stored(&fake, "app:1", &[noise(1000, 1)]).await;
    for (method, code) in [("HEAD", 503), ("POST", 429), ("PUT", 500)] {
        fake.fault(Fault::Answer(method, code));
    }
    push(&client, &fake.name("app:1")).await.unwrap();
    for _ in 0..20 {
        fake.fault(Fault::Answer("PUT", 500));
    }
    let error = push(&client, &fake.name("app:1")).await.unwrap_err();
    assert_eq!(error.to_string(), "received unexpected HTTP status: 500 Internal Server Error");
}

#[tokio::test]
async fn refusal_is_told_at_once() {
    let fake = Fake::start().await;
    let (client, _) = stored(&fake, "app:1", &[noise(1000, 1)]).await;
    for (code, text) in [
        (403, "denied: requested access to the resource is denied"),
        (401, "unauthorized: authentication required"),
    ] {
        fake.fault(Fault::Answer("POST", code));
        fake.fault(Fault::Answer("POST", code));
        assert_eq!(push(&client, &fake.name("app:1")).await.unwrap_err().to_string(), text);
        fake.state.lock().unwrap().faults.clear();
    }
    assert!(fake.state.lock().unwrap().manifests.is_empty());
}

#[tokio::test]
async fn upload_on_another_host_gets_no_credentials() {
    let (fake, other) = (Fake::start().await, Fake::start().await);
    let (client, _) = stored(&fake, "app:1", &[noise(1000, 1)]).await;
    let account = Credentials { username: "me".into(), password: "secret".into(), ..Credentials::default() };
    // A registry that wants a password, and sends uploads elsewhere.
    let target = format!("http://{}", other.address);
    let server = {
        let fake = fake.clone();
        fake.state.lock().unwrap().elsewhere = Some(target);
        serve(move |request| {
            let path = request.uri().path_and_query().unwrap().to_string();
            if request.headers().get("authorization").is_none() {
                let builder = Response::builder().status(401).header("www-authenticate", "Basic realm=\"x\"");
                return builder.body(Body::empty()).unwrap();
            }
            fake.state.lock().unwrap().answer(request.method().as_str(), &path, "", Vec::new())
        })
        .await
    };
    let name = format!("{}/app:1", server.address);
    client.store.tag(&fake.name("app:1"), &Reference::parse(&name).unwrap()).unwrap();
    let reference = Reference::parse(&name).unwrap();
    let sink = Arc::new(|_| {});
    let request = PushRequest { platform: None, reference, credentials: Some(account) };
    // The other host knows nothing of these uploads; what matters is what it was sent.
    client.registry.push(&client.store, request, sink).await.unwrap_err();
    let state = other.state.lock().unwrap();
    assert!(state.requests.iter().any(|it| it.0 == "PUT"), "{:?}", state.requests);
    assert!(state.requests.iter().all(|it| !it.2), "credentials were sent: {:?}", state.requests);
}

#[tokio::test]
async fn registry_that_takes_nothing_is_left_in_bounded_time() {
    let (client, manifest) = stored(&Fake::start().await, "unused:1", &[noise(16 << 20, 1)]).await;
    drop(manifest);
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let app = Router::new().fallback(|request: Request| async move {
        match request.method().as_str() {
            "GET" => status(200, "{}"),
            "HEAD" => status(404, ""),
            "POST" => {
                let builder = Response::builder().status(202).header("location", "/v2/app/blobs/uploads/1");
                builder.body(Body::empty()).unwrap()
            }
            _ => {
                let _kept_unread = request;
                std::future::pending().await
            }
        }
    });
    tokio::spawn(async move { axum::serve(listener, app).await });
    let name = format!("{address}/app:1");
    let source = client.store.images().unwrap()[0].repo_tags[0].to_string();
    client.store.tag(&source, &Reference::parse(&name).unwrap()).unwrap();
    let begun = Instant::now();
    let error = push(&client, &name).await.unwrap_err();
    assert!(error.to_string().contains("took nothing for too long"), "{error}");
    assert!(begun.elapsed() < Duration::from_secs(20), "took {:?}", begun.elapsed());
}

#[tokio::test]
async fn what_is_not_there_is_not_pushed() {
    let fake = Fake::start().await;
    let (client, manifest) = stored(&fake, "app:1", &[noise(1000, 1)]).await;
    let name = fake.name("app");
    let error = async |name: &str| push(&client, name).await.unwrap_err().to_string();
    assert_eq!(error(&format!("{name}:2")).await, format!("tag does not exist: {name}:2"));
    let other = fake.name("other");
    assert_eq!(error(&other).await, format!("An image does not exist locally with the tag: {other}"));
    let by_digest = format!("{name}@{}", Digest::of(&manifest));
    assert_eq!(error(&by_digest).await, "cannot push a digest reference");
    assert!(fake.state.lock().unwrap().requests.is_empty());
}

#[tokio::test]
async fn repository_is_pushed_with_all_its_tags() {
    let fake = Fake::start().await;
    let (client, _) = stored(&fake, "app:1", &[noise(1000, 1)]).await;
    client.store.tag(&fake.name("app:1"), &Reference::parse(&fake.name("app:2")).unwrap()).unwrap();
    let pushed = push(&client, &fake.name("app")).await.unwrap();
    assert_eq!(pushed.iter().map(|it| it.tag.as_str()).collect::<Vec<_>>(), ["1", "2"]);
    assert_eq!(fake.state.lock().unwrap().manifests.len(), 2);
}

#[tokio::test]
async fn image_without_a_manifest_gets_one_that_is_always_the_same() {
    let fake = Fake::start().await;
    let tar = {
        let (blob, _) = layer("file", b"x");
        let mut tar = Vec::new();
        flate2::read::GzDecoder::new(&blob[..]).read_to_end(&mut tar).unwrap();
        tar
    };
    let config = serde_json::json!({
        "architecture": Platform::host().architecture, "os": "linux",
        "rootfs": {"type": "layers", "diff_ids": [Digest::of(&tar).to_string()]},
    });
    let config = serde_json::to_vec(&config).unwrap();
    let manifest = serde_json::to_vec(&serde_json::json!([
        {"Config": "config.json", "RepoTags": [fake.name("app:1")], "Layers": ["layer.tar"]}
    ]));
    let mut builder = tar::Builder::new(Vec::new());
    for (name, content) in
        [("config.json", &config), ("layer.tar", &tar), ("manifest.json", &manifest.unwrap())]
    {
        let mut header = tar::Header::new_gnu();
        header.set_size(content.len() as u64);
        builder.append_data(&mut header, name, &content[..]).unwrap();
    }
    let archive = builder.into_inner().unwrap();
    let mut digests = Vec::new();
    for _ in 0..2 {
        let client = client();
        client.store.load(&archive[..], &[]).unwrap();
        digests.push(push(&client, &fake.name("app:1")).await.unwrap()[0].digest.clone());
    }
    assert_eq!(digests[0], digests[1]);
    {
        let state = fake.state.lock().unwrap();
        let (kind, document) = &state.manifests["1"];
        assert_eq!(kind, image::manifest::media::OCI_MANIFEST);
        assert_eq!(Digest::of(document), digests[0]);
        let document: serde_json::Value = serde_json::from_slice(document).unwrap();
        let sent = &document["layers"][0];
        assert_eq!(sent["mediaType"], image::manifest::media::OCI_LAYER_GZIP);
        let blob = &state.blobs[sent["digest"].as_str().unwrap()];
        let mut content = Vec::new();
        flate2::read::GzDecoder::new(&blob[..]).read_to_end(&mut content).unwrap();
        assert!(content == tar, "what was sent is the layer");
    }
    // Where the registry has the result it is not made again, and nothing of it stays here.
    let client = client();
    client.store.load(&archive[..], &[]).unwrap();
    push(&client, &fake.name("app:1")).await.unwrap();
    assert!(client.statuses().iter().any(|status| status == "Compressing"));
    push(&client, &fake.name("app:1")).await.unwrap();
    assert!(!client.statuses().iter().any(|status| status == "Compressing"), "{:?}", client.statuses());
    let files = client.files();
    assert!(!files.iter().any(|file| file.starts_with("ingest/")), "{files:?}");
}
