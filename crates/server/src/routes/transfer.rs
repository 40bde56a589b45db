//! Pulls and pushes while they are under way: what a client is told, line by line.

use std::pin::Pin;
use std::sync::Arc;

use api::auth::AuthConfig;
use api::image::ProgressMessage;
use base64::Engine as _;
use futures_util::{Stream, StreamExt as _, stream};
use registry::{Credentials, Progress, ProgressSink};
use tokio::sync::mpsc;

use super::image_shape;
use crate::error::Error;
use crate::http::{Response, json_lines};

type Work = Pin<Box<dyn Future<Output = Result<(), registry::Error>> + Send>>;

/// A pull or push; dropping it cancels it.
pub(super) struct Transfer {
    work: Option<Work>,
    messages: mpsc::UnboundedReceiver<Progress>,
    failure: Option<registry::Error>,
}

/// What comes next.
enum Step {
    Message(ProgressMessage),
    Failed(registry::Error),
    Done,
}

impl Transfer {
    /// Begins what `work` makes of a place for its messages.
    pub(super) fn begin<F>(work: impl FnOnce(ProgressSink) -> F) -> Self
    where
        F: Future<Output = Result<(), registry::Error>> + Send + 'static,
    {
        let (sender, messages) = mpsc::unbounded_channel();
        let sink = Arc::new(move |progress| {
            // Nobody listens once the client has left, and then the transfer is being dropped.
            let _ = sender.send(progress);
        });
        Self { work: Some(Box::pin(work(sink))), messages, failure: None }
    }

    async fn step(&mut self) -> Step {
        if let Some(work) = &mut self.work {
            tokio::select! {
                biased;
                Some(progress) = self.messages.recv() => return Step::Message(message(progress)),
                result = work => {
                    self.work = None;
                    self.failure = result.err();
                }
            }
        }
        match self.messages.try_recv() {
            Ok(progress) => Step::Message(message(progress)),
            Err(_) => self.failure.take().map_or(Step::Done, Step::Failed),
        }
    }

    /// The answer that tells all of it. What fails before the first `opening` messages is an error of its own; what fails
    /// later is told in the body.
    pub(super) async fn into_response(mut self, opening: usize) -> Result<Response, Error> {
        let mut first = Vec::new();
        while first.len() < opening {
            match self.step().await {
                Step::Message(message) => first.push(message),
                Step::Failed(error) => return Err(error.into()),
                Step::Done => break,
            }
        }
        Ok(json_lines(stream::iter(first).chain(self.into_messages())))
    }

    /// All that is still to come; a failure is the last message.
    pub(super) fn into_messages(self) -> impl Stream<Item = ProgressMessage> + Send {
        stream::unfold(self, async |mut transfer| {
            let message = match transfer.step().await {
                Step::Message(message) => message,
                Step::Failed(error) => ProgressMessage::error(error.to_string()),
                Step::Done => return None,
            };
            Some((message, transfer))
        })
    }
}

fn message(progress: Progress) -> ProgressMessage {
    let aux = progress.aux.and_then(|pushed| serde_json::to_value(pushed).ok());
    let id = progress.id.unwrap_or_default();
    let message = match progress.detail {
        None => ProgressMessage { id, ..ProgressMessage::status(progress.status) },
        Some(detail) if detail.current == 0 && detail.total == 0 => {
            ProgressMessage::layer(id, progress.status)
        }
        Some(detail) => ProgressMessage::layer_progress(
            id,
            progress.status,
            image_shape::bytes(detail.current),
            image_shape::bytes(detail.total),
        ),
    };
    ProgressMessage { aux, ..message }
}

/// As in dockerd a header that cannot be read counts as none.
pub(super) fn credentials(header: Option<&str>) -> Option<Credentials> {
    from_config(AuthConfig::decode(header?).unwrap_or_default())
}

/// What a client knows of a user, as the registry client wants it.
pub(super) fn from_config(config: AuthConfig) -> Option<Credentials> {
    if config.is_empty() {
        return None;
    }
    let AuthConfig { username, password, auth, identitytoken, registrytoken, .. } = config;
    let (username, password) = match username.is_empty() {
        false => (username, password),
        true => name_and_password(&auth).unwrap_or_default(),
    };
    Some(Credentials { username, password, identity_token: identitytoken, registry_token: registrytoken })
}

fn name_and_password(auth: &str) -> Option<(String, String)> {
    let text = base64::engine::general_purpose::STANDARD.decode(auth).ok()?;
    let text = String::from_utf8(text).ok()?;
    text.split_once(':').map(|(name, password)| (name.to_owned(), password.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_are_read_from_either_form() {
        let header = AuthConfig { auth: "bWU6c2VjcmV0".into(), ..AuthConfig::default() }.encode();
        let found = credentials(Some(&header)).unwrap();
        assert_eq!((found.username.as_str(), found.password.as_str()), ("me", "secret"));
        assert_eq!(credentials(None), None);
        assert_eq!(credentials(Some("e30=")), None);
    }

    #[test]
    fn progress_of_a_layer_has_a_bar() {
        let detail = Some(registry::Detail { current: 1, total: 2 });
        let progress = Progress { status: "Downloading".into(), detail, id: Some("abc".into()), aux: None };
        assert!(message(progress).progress.starts_with("[====="));
    }

    #[test]
    fn end_of_a_push_is_data_for_programs() {
        let digest: oci::Digest = format!("sha256:{}", "a".repeat(64)).parse().unwrap();
        let aux = Some(registry::Pushed { tag: "1".into(), digest: digest.clone(), size: 7 });
        let detail = Some(registry::Detail::default());
        let progress =
            Progress { status: String::new(), detail, id: None, aux: aux.map(registry::Outcome::Pushed) };
        let text = serde_json::to_string(&message(progress)).unwrap();
        let aux = format!(r#"{{"Digest":"{digest}","Size":7,"Tag":"1"}}"#);
        assert_eq!(text, format!(r#"{{"progressDetail":{{}},"aux":{aux}}}"#));
    }
}
