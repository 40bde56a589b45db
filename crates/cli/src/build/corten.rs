//! Corten's own way: one line says all, and events come back.

use api::build::{BuildRequest, ContextSource};
use bytes::Bytes;
use client::Lines;
use dockerfile::ignore::Matcher;
use futures_util::stream;

use super::archive::Source;
use super::context::Place;
use super::display::{Display, End, cancel};
use super::{Build, Built};
use crate::failure::Failure;
use crate::terminal::Signals;

/// The type of an archive that is not there.
type NoArchive = stream::Empty<std::io::Result<Bytes>>;

impl Build<'_> {
    /// Builds; `None` where the Dockerfile was only checked.
    pub(super) async fn corten(&self, signals: &mut Signals) -> Result<Option<Built>, Failure> {
        let request = self.asked.request(&self.context, self.client.host())?;
        let sent = tokio::select! {
            sent = self.send(request) => sent,
            number = signals.next() => cancel(number),
        };
        let lines = sent.map_err(|error| match error {
            Failure::Engine(error @ client::Error::Daemon { .. }) => {
                Failure::message(format!("ERROR: failed to build: {error}"))
            }
            error => error,
        })?;
        let display = Display::new(self.app, self.mode, self.check, self.asked.flags.explain);
        match display.follow(lines, signals).await? {
            End::Built(built) => Ok(Some(built)),
            End::Checked(0) => Ok(None),
            End::Checked(status) => Err(Failure::Exit(u8::try_from(status).unwrap_or(1))),
        }
    }

    /// Sends the folder's path; an engine that does not find it there, because it lives in another mount namespace,
    /// gets the files.
    async fn send(&self, mut request: BuildRequest) -> Result<Lines, Failure> {
        if request.context != ContextSource::Archive {
            let sent = self.client.build(&request, None::<NoArchive>, &self.credentials).await;
            match (sent, &self.context.place) {
                (Err(error), Place::Folder(_)) if error.is_not_found() => {}
                (sent, _) => return Ok(sent?),
            }
            request.context = ContextSource::Archive;
        }
        let lines = match &self.context.place {
            Place::Stdin(start) => {
                let archive = super::classic::stdin_stream(start.clone())?;
                self.client.build(&request, Some(archive), &self.credentials).await?
            }
            place => {
                let archive = self.source(place)?.stream();
                self.client.build(&request, Some(archive), &self.credentials).await?
            }
        };
        Ok(lines)
    }

    /// The files of the context. The Dockerfile goes in the request.
    fn source(&self, place: &Place) -> Result<Source, Failure> {
        let root = match place {
            Place::Folder(root) => Some(root.clone()),
            _ => None,
        };
        Ok(Source { root, matcher: self.matcher()?, always: Vec::new(), extra: Vec::new() })
    }

    /// What the context leaves out.
    pub(super) fn matcher(&self) -> Result<Matcher, Failure> {
        let text = self.context.ignore.as_deref().unwrap_or_default();
        Matcher::parse(text.as_bytes())
            .map_err(|error| Failure::message(format!("error reading .dockerignore: {error}")))
    }
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead as _, BufReader, Read as _, Write as _};
    use std::os::unix::net::{UnixListener, UnixStream};
    use std::path::{Path, PathBuf};
    use std::sync::{Arc, Mutex};

    use super::*;
    use crate::app::{App, GlobalOptions};
    use crate::build::tests::flags;

    /// A request: its first line and its body.
    type Heard = Arc<Mutex<Vec<(String, Vec<u8>)>>>;

    /// An engine that calls itself so, hears all requests, and answers builds in turn.
    struct Engine {
        socket: PathBuf,
        heard: Heard,
    }

    impl Engine {
        fn start(folder: &Path, name: &'static str, answers: Vec<(u16, String)>) -> Self {
            let socket = folder.join("engine.sock");
            let listener = UnixListener::bind(&socket).unwrap();
            let (heard, answers) = (Heard::default(), Arc::new(Mutex::new(answers.into_iter())));
            let log = Arc::clone(&heard);
            std::thread::spawn(move || {
                for stream in listener.incoming().map_while(Result::ok) {
                    let (log, answers) = (Arc::clone(&log), Arc::clone(&answers));
                    let mut next = move |line: &str| match line.contains("/build") {
                        true => answers.lock().unwrap().next().unwrap(),
                        false => (200, "[]".to_owned()),
                    };
                    std::thread::spawn(move || serve(stream, name, &log, &mut next));
                }
            });
            Self { socket, heard }
        }

        fn app(&self) -> App {
            let hosts = vec![format!("unix://{}", self.socket.display())];
            App::new(
                "corten".to_owned(),
                GlobalOptions { hosts, config: "/nowhere".into(), ..GlobalOptions::default() },
            )
        }

        fn builds(&self) -> Vec<(String, Vec<u8>)> {
            self.heard.lock().unwrap().iter().filter(|(line, _)| line.contains("/build")).cloned().collect()
        }
    }

    fn serve(stream: UnixStream, name: &str, log: &Heard, next: &mut dyn FnMut(&str) -> (u16, String)) {
        let mut reader = BufReader::new(stream.try_clone().unwrap());
        let mut writer = stream;
        while let Some((line, body)) = request(&mut reader) {
            log.lock().unwrap().push((line.clone(), body));
            let (status, body) = next(&line);
            let head =
                format!("HTTP/1.1 {status} X\r\nServer: {name}\r\nContent-Length: {}\r\n\r\n", body.len());
            writer.write_all(head.as_bytes()).and_then(|()| writer.write_all(body.as_bytes())).unwrap();
        }
    }

    fn request(reader: &mut BufReader<UnixStream>) -> Option<(String, Vec<u8>)> {
        let mut line = || {
            let mut text = String::new();
            reader.read_line(&mut text).unwrap();
            text.trim_end().to_owned()
        };
        let first = line();
        if first.is_empty() {
            return None;
        }
        let (mut length, mut is_chunked) = (0, false);
        loop {
            let header = line().to_lowercase();
            match header.split_once(": ") {
                Some(("content-length", value)) => length = value.parse().unwrap(),
                Some(("transfer-encoding", _)) => is_chunked = true,
                Some(_) => {}
                None => break,
            }
        }
        let mut body = Vec::new();
        if !is_chunked {
            reader.take(length).read_to_end(&mut body).unwrap();
            return Some((first, body));
        }
        loop {
            let mut size = String::new();
            reader.read_line(&mut size).unwrap();
            let size = u64::from_str_radix(size.trim_end(), 16).unwrap();
            reader.take(size).read_to_end(&mut body).unwrap();
            reader.read_line(&mut String::new()).unwrap();
            if size == 0 {
                return Some((first, body));
            }
        }
    }

    const BUILT: &str = "{\"event\":{\"vertex\":{\"id\":0,\"name\":\"[1/1] FROM scratch\",\"inputs\":[]}}}\n\
                         {\"event\":{\"started\":{\"id\":0,\"time\":1}}}\n\
                         {\"event\":{\"completed\":{\"id\":0,\"time\":2,\"error\":\"\"}}}\n\
                         {\"event\":{\"result\":{\"config\":\"sha256:c\",\"manifest\":{\"mediaType\":\"m/t\",\"digest\":\"sha256:m\",\"size\":5},\"names\":[\"a\"]}}}\n\
                         {\"aux\":{\"ID\":\"sha256:c\"}}\n";

    /// A folder with a context in `c`.
    fn place() -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        let context = folder.path().join("c");
        std::fs::create_dir(&context).unwrap();
        for (name, content) in
            [("Dockerfile", "FROM scratch\n"), (".dockerignore", "no\n"), ("no", ""), ("yes", "")]
        {
            std::fs::write(context.join(name), content).unwrap();
        }
        folder
    }

    fn run(engine: &Engine, words: &[&str], folder: &Path) -> Result<(), Failure> {
        let context = folder.join("c");
        super::super::run(&engine.app(), &flags(words), context.to_str().unwrap())
    }

    fn names(tar: &[u8]) -> Vec<String> {
        let mut archive = tar::Archive::new(tar);
        archive.entries().unwrap().map(|entry| entry.unwrap().path().unwrap().display().to_string()).collect()
    }

    #[test]
    fn local_engine_is_told_of_the_folder_and_files_for_scripts_are_written() {
        let folder = place();
        let engine = Engine::start(folder.path(), "Corten/1", vec![(200, BUILT.to_owned())]);
        let (id, metadata) = (folder.path().join("id"), folder.path().join("metadata"));
        let words = [
            "-t",
            "a",
            "--progress=plain",
            "--iidfile",
            id.to_str().unwrap(),
            "--metadata-file",
            metadata.to_str().unwrap(),
        ];
        run(&engine, &words, folder.path()).unwrap();
        let (line, body) = &engine.builds()[0];
        assert!(line.starts_with("POST /v") && line.contains("/build "), "{line}");
        let request: BuildRequest = serde_json::from_slice(body).unwrap();
        assert_eq!(request.dockerfile.as_deref(), Some("FROM scratch\n"));
        let ContextSource::Folder(found) = request.context else { panic!("{:?}", request.context) };
        assert_eq!(Path::new(&found.path), folder.path().join("c").canonicalize().unwrap());
        assert_eq!(std::fs::read_to_string(id).unwrap(), "sha256:c");
        let told: serde_json::Value = serde_json::from_slice(&std::fs::read(metadata).unwrap()).unwrap();
        assert_eq!(told["containerimage.digest"], "sha256:m");
        assert_eq!(told["containerimage.descriptor"]["mediaType"], "m/t");
    }

    #[test]
    fn engine_that_does_not_find_the_folder_gets_the_files() {
        let folder = place();
        let missing = (404, "{\"message\":\"no such folder\"}".to_owned());
        let engine = Engine::start(folder.path(), "Corten/1", vec![missing, (200, BUILT.to_owned())]);
        run(&engine, &["-q"], folder.path()).unwrap();
        let (_, body) = &engine.builds()[1];
        let end = body.iter().position(|byte| *byte == b'\n').unwrap();
        let request: BuildRequest = serde_json::from_slice(&body[..end]).unwrap();
        assert_eq!(request.context, ContextSource::Archive);
        assert_eq!(request.ignore.as_deref(), Some("no\n"));
        assert_eq!(names(&body[end + 1..]), [".dockerignore", "Dockerfile", "yes"]);
    }

    #[test]
    fn failure_is_told_as_buildx_does() {
        let folder = place();
        let failed = "{\"errorDetail\":{\"message\":\"it broke\"},\"error\":\"it broke\"}\n".to_owned();
        let engine = Engine::start(
            folder.path(),
            "Corten/1",
            vec![(200, failed), (400, "{\"message\":\"no\"}".into())],
        );
        let error = run(&engine, &["--progress=plain"], folder.path()).unwrap_err();
        assert_eq!(error.to_string(), "ERROR: failed to build: failed to solve: it broke");
        let error = run(&engine, &["--progress=plain"], folder.path()).unwrap_err();
        assert_eq!(error.to_string(), "ERROR: failed to build: Error response from daemon: no");
    }

    #[test]
    fn check_ends_with_its_own_code() {
        let folder = place();
        let checked = "{\"event\":{\"checked\":{\"text\":\"\",\"json\":{},\"status\":1}}}\n".to_owned();
        let engine = Engine::start(folder.path(), "Corten/1", vec![(200, checked)]);
        let error = run(&engine, &["--check"], folder.path()).unwrap_err();
        assert_eq!((error.code(), error.text()), (1, None));
        let request: BuildRequest = serde_json::from_slice(&engine.builds()[0].1).unwrap();
        assert!(request.check);
    }

    #[test]
    fn other_engines_get_parameters_and_a_tar() {
        let folder = place();
        let text =
            "{\"stream\":\"Step 1/1 : FROM scratch\\n\"}\n{\"aux\":{\"ID\":\"sha256:c\"}}\n".to_owned();
        let failed =
            "{\"errorDetail\":{\"code\":3,\"message\":\"code: 3\"},\"error\":\"code: 3\"}\n".to_owned();
        let engine = Engine::start(folder.path(), "Docker/28.0.0 (linux)", vec![(200, text), (200, failed)]);
        run(&engine, &["-q", "-t", "a", "--rm=false"], folder.path()).unwrap();
        let (line, body) = &engine.builds()[0];
        for part in ["dockerfile=Dockerfile", "t=a", "rm=0"] {
            assert!(line.contains(part), "{line}");
        }
        assert_eq!(names(body), [".dockerignore", "Dockerfile", "yes"]);
        let error = run(&engine, &["-q"], folder.path()).unwrap_err();
        assert_eq!((error.code(), error.to_string().as_str()), (3, "code: 3"));
        let error = run(&engine, &["--secret=id=x"], folder.path()).unwrap_err().to_string();
        assert_eq!(error, "--secret is not supported by this engine, only by Corten's");
    }
}
