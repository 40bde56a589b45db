//! Loading images from archives.

use std::time::{Duration, Instant};

use api::image::{LoadOptions, ProgressMessage};
use engine::Engine;
use futures_util::{StreamExt as _, stream};
use image::{Loaded, LoadingLayer};
use oci::Digest;
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};

use super::Api;
use super::image_shape::bytes;
use super::images::{platforms, tell};
use crate::error::Error;
use crate::http::{Call, Reader, Response, json_lines, read_with};

/// How often a client is told how far a layer is.
const INTERVAL: Duration = Duration::from_millis(100);

impl Api {
    /// Loading takes time, and what fails then is told in the body. The answer begins with the first message, when the whole
    /// archive was read: many clients send all of it before they listen.
    pub(super) async fn load_images(&self, call: Call) -> Result<Response, Error> {
        let options = LoadOptions::from_query(&call.query());
        let platforms = platforms(&options.platforms, &call, 48)?;
        let engine = self.engine.clone();
        let mut reader = call.into_body().into_reader();
        let (sender, mut receiver) = unbounded_channel();
        let work = tokio::task::spawn_blocking(move || {
            let mut meter = Meter { sender: sender.clone(), last: None };
            let mut progress = |layer: LoadingLayer<'_>| {
                if !options.quiet {
                    meter.tell(layer);
                }
            };
            let load = |reader: &mut Reader| engine.images().load_with(reader, &platforms, &mut progress);
            let loaded = read_with(&mut reader, load);
            let messages = match loaded {
                Ok(loaded) => tell_loaded(&engine, loaded),
                Err(error) => vec![ProgressMessage::error(error.to_string())],
            };
            for message in messages {
                // Nobody listens once the client has left.
                let _ = sender.send(message);
            }
        });
        let Some(first) = receiver.recv().await else {
            work.await?;
            return Ok(json_lines(stream::empty::<ProgressMessage>()));
        };
        let rest = stream::unfold(receiver, async |mut receiver| Some((receiver.recv().await?, receiver)));
        let end = stream::once(work)
            .filter_map(async |ended| ended.err().map(|error| ProgressMessage::error(error.to_string())));
        Ok(json_lines(stream::iter([first]).chain(rest).chain(end)))
    }
}

/// Tells how far layers are, now and then.
struct Meter {
    sender: UnboundedSender<ProgressMessage>,
    last: Option<(Digest, Instant)>,
}

impl Meter {
    fn tell(&mut self, LoadingLayer { layer, current, total }: LoadingLayer<'_>) {
        let is_due = match &self.last {
            Some((before, told)) => before != layer || told.elapsed() >= INTERVAL,
            None => true,
        };
        if is_due || current == total {
            self.last = Some((layer.clone(), Instant::now()));
            let message =
                ProgressMessage::layer_progress(layer.short(), "Loading layer", bytes(current), bytes(total));
            // Nobody listens once the client has left.
            let _ = self.sender.send(message);
        }
    }
}

/// Tells everybody of the images, and the client of their names.
fn tell_loaded(engine: &Engine, loaded: Vec<Loaded>) -> Vec<ProgressMessage> {
    let mut messages = Vec::new();
    for Loaded { image, reference, replaced } in loaded {
        let name = reference.map(|reference| reference.familiar());
        if let (Some(name), Some(old)) = (&name, replaced.filter(|old| *old != image)) {
            messages.push(ProgressMessage::stream(format!(
                "The image {name} already exists, renaming the old one with ID {old} to empty string\n"
            )));
        }
        let text = match &name {
            Some(name) => format!("Loaded image: {name}\n"),
            None => format!("Loaded image ID: {image}\n"),
        };
        messages.push(ProgressMessage::stream(text));
        tell(engine, "load", &image, name.as_deref().unwrap_or(image.as_str()));
    }
    messages
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_layer_has_a_first_and_a_last_message() {
        let (sender, mut receiver) = unbounded_channel();
        let mut meter = Meter { sender, last: None };
        for layer in [Digest::of(b"one"), Digest::of(b"two")] {
            for current in 1..=100 {
                meter.tell(LoadingLayer { layer: &layer, current, total: 100 });
            }
        }
        drop(meter);
        let mut seen = Vec::new();
        while let Ok(message) = receiver.try_recv() {
            assert_eq!(message.status, "Loading layer");
            seen.push((message.id, message.progress_detail.unwrap().current));
        }
        let ids = [Digest::of(b"one"), Digest::of(b"two")].map(|layer| layer.short().to_owned());
        for id in ids {
            let of_layer: Vec<i64> = seen.iter().filter(|(it, _)| *it == id).map(|(_, at)| *at).collect();
            assert_eq!((of_layer.first(), of_layer.last()), (Some(&1), Some(&100)));
        }
    }
}
