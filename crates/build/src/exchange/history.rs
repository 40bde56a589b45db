//! Results that are known by the history of an image, as Docker's classic builder finds them.
//!
//! The history of the steps so far has to be that of the image, and the layers below have to be its layers. The image is here and
//! was named by whoever builds: its history is believed. Of a copy it says nothing that can be relied on; what it made is compared
//! with the image's layer instead.

use jiff::Timestamp;
use oci::{Digest, ImageConfig};

/// What an image says of a step: its layer, and when it was made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Step {
    /// None where nothing was changed.
    pub(super) layer: Option<Digest>,
    pub(super) created: Timestamp,
}

/// What an image has for the last entry of a history, where all before it and the layers below are its own.
pub(super) fn step(image: &ImageConfig, history: &[String], below: &[Digest]) -> Option<Step> {
    let at = history.len().checked_sub(1)?;
    let entry = image.history.get(at)?;
    let before = &image.history[..at];
    let count = before.iter().filter(|entry| !entry.empty_layer).count();
    let layers = &image.rootfs.diff_ids;
    if layers.get(..count)? != below {
        return None;
    }
    let is_same = |(theirs, ours): (&oci::History, &String)| meaning(&theirs.created_by) == meaning(ours);
    if !before.iter().chain([entry]).zip(history).all(is_same) {
        return None;
    }
    let layer = match entry.empty_layer {
        true => None,
        false => Some(layers.get(count)?.clone()),
    };
    let created = entry.created.as_deref().and_then(|text| text.parse().ok()).unwrap_or_else(Timestamp::now);
    Some(Step { layer, created })
}

/// What an entry says, in the way of either of Docker's builders: the kind of instruction, and the rest of it where that counts.
fn meaning(created_by: &str) -> (&str, &str) {
    let text = created_by.strip_suffix(" # buildkit").unwrap_or(created_by);
    if let Some(command) = text.strip_prefix("RUN ") {
        return ("RUN", command.trim());
    }
    let (text, is_classic) = match text.split_once("#(nop) ") {
        Some((_, instruction)) => (instruction.trim(), true),
        None => (text.trim(), false),
    };
    let (kind, rest) = text.split_once(' ').unwrap_or((text, ""));
    match kind {
        // What is copied is compared, and ports are of no meaning for what is made.
        "COPY" | "ADD" => ("COPY", ""),
        "EXPOSE" => ("EXPOSE", ""),
        kind if is_classic || is_instruction(kind) => (kind, rest.trim()),
        // The classic builder's commands.
        _ => ("RUN", text),
    }
}

fn is_instruction(word: &str) -> bool {
    let known = [
        "ENV",
        "LABEL",
        "CMD",
        "ENTRYPOINT",
        "WORKDIR",
        "USER",
        "VOLUME",
        "ARG",
        "SHELL",
        "STOPSIGNAL",
        "HEALTHCHECK",
        "MAINTAINER",
    ];
    known.contains(&word)
}

#[cfg(test)]
mod tests {
    use oci::{History, RootFs};

    use super::*;

    fn layer(name: &str) -> Digest {
        Digest::of(name.as_bytes())
    }

    fn image(history: &[(&str, bool)], layers: &[&str]) -> ImageConfig {
        let entry = |(created_by, empty_layer): &(&str, bool)| History {
            created: Some("2020-01-01T00:00:00Z".into()),
            created_by: (*created_by).to_owned(),
            empty_layer: *empty_layer,
            ..History::default()
        };
        let diff_ids = layers.iter().map(|name| layer(name)).collect();
        ImageConfig {
            history: history.iter().map(entry).collect(),
            rootfs: RootFs { diff_ids, ..RootFs::default() },
            ..ImageConfig::default()
        }
    }

    fn texts(texts: &[&str]) -> Vec<String> {
        texts.iter().map(|text| (*text).to_owned()).collect()
    }

    #[test]
    fn step_is_found_by_what_was_done_before_it() {
        let theirs = image(
            &[
                ("/bin/sh -c #(nop) ADD file:1 in / ", false),
                ("/bin/sh -c #(nop)  ENV A=1", true),
                ("/bin/sh -c #(nop) COPY file:2 in /x ", false),
                ("/bin/sh -c make", false),
                ("|1 B=2 /bin/sh -c true", true),
            ],
            &["base", "copied", "made"],
        );
        let ours = texts(&[
            "/bin/sh -c #(nop) ADD file:1 in / ",
            "ENV A=1",
            "COPY a /x # buildkit",
            "RUN /bin/sh -c make # buildkit",
            "RUN |1 B=2 /bin/sh -c true # buildkit",
        ]);
        let below = ["base", "copied", "made"].map(layer);
        let found =
            |count: usize, below: &[Digest]| step(&theirs, &ours[..count], below).map(|step| step.layer);
        assert_eq!(found(3, &below[..1]), Some(Some(layer("copied"))));
        assert_eq!(found(4, &below[..2]), Some(Some(layer("made"))));
        assert_eq!(found(5, &below), Some(None));
        // Other layers below, and more than the image has.
        assert_eq!(found(4, &below[..1]), None);
        assert_eq!(found(4, &[layer("base"), layer("other")]), None);
        let more = [ours.clone(), texts(&["RUN x"])].concat();
        assert_eq!(step(&theirs, &more, &below), None);
        // A command that is another one, here or before.
        for (at, text) in [(3, "RUN /bin/sh -c other # buildkit"), (1, "ENV A=2")] {
            let mut other = ours[..4].to_vec();
            other[at] = text.to_owned();
            assert_eq!(step(&theirs, &other, &below[..2]), None, "{text}");
        }
    }

    #[test]
    fn history_that_lies_about_its_layers_is_no_harm() {
        let theirs = image(&[("RUN a", false), ("RUN b", false)], &["one"]);
        assert_eq!(step(&theirs, &texts(&["RUN a", "RUN b"]), &[layer("one")]), None);
        assert_eq!(step(&theirs, &[], &[]), None);
    }

    #[test]
    fn both_ways_of_writing_mean_the_same() {
        for (classic, other) in [
            ("/bin/sh -c #(nop)  CMD [\"sh\"]", "CMD [\"sh\"]"),
            ("/bin/sh -c #(nop) WORKDIR /w", "WORKDIR /w"),
            ("/bin/sh -c echo  x", "RUN /bin/sh -c echo  x # buildkit"),
            ("/bin/sh -c #(nop)  EXPOSE 80", "EXPOSE map[80/tcp:{}]"),
        ] {
            assert_eq!(meaning(classic), meaning(other));
        }
        assert_ne!(meaning("RUN ENV A=1"), meaning("ENV A=1"));
        assert_ne!(meaning("USER a"), meaning("USER b"));
    }
}
