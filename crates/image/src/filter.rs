//! Lists of images, filtered as `docker image ls --filter` does.

use jiff::Timestamp;
use oci::Reference;

use crate::error::{Error, Result};
use crate::image::Image;
use crate::store::ImageStore;

/// Which images are wanted. Values of one filter are alternatives; all filters must agree (labels: each of them).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filters {
    /// Only images without (or with) a tag.
    pub dangling: Option<bool>,
    /// `name` or `name=value`; an image needs all of them.
    pub labels: Vec<String>,
    /// `name` or `name=value`; an image must have none of them.
    pub without_labels: Vec<String>,
    /// Made before these images.
    pub before: Vec<String>,
    /// Made after these images.
    pub since: Vec<String>,
    /// Made before this moment.
    pub until: Option<Timestamp>,
    /// Shell patterns for names, with or without the tag.
    pub references: Vec<String>,
    /// Also images that others were made from and that have no name.
    pub all: bool,
}

impl ImageStore {
    /// The images that pass the filters, the newest first. Where names are filtered, an image shows only those that match.
    ///
    /// # Errors
    /// [`Error::NotFound`] for an image in `before` or `since`; [`Error::Filter`] for a malformed pattern.
    pub fn list(&self, filters: &Filters) -> Result<Vec<Image>> {
        let before = self.moments(&filters.before)?.into_iter().min();
        let since = self.moments(&filters.since)?.into_iter().max();
        let mut found = Vec::new();
        for mut image in self.images()? {
            let created = image.created.unwrap_or(Timestamp::UNIX_EPOCH);
            let is_in_time = before.is_none_or(|moment| created < moment)
                && since.is_none_or(|moment| created > moment)
                && filters.until.is_none_or(|moment| created < moment);
            if is_in_time && self.passes(filters, &mut image)? {
                found.push(image);
            }
        }
        found.sort_by(|a, b| b.created.cmp(&a.created).then_with(|| a.id.cmp(&b.id)));
        Ok(found)
    }

    fn moments(&self, images: &[String]) -> Result<Vec<Timestamp>> {
        images.iter().map(|text| Ok(self.resolve(text)?.created.unwrap_or(Timestamp::UNIX_EPOCH))).collect()
    }

    fn passes(&self, filters: &Filters, image: &mut Image) -> Result<bool> {
        let has_label = |filter: &String| has_label(image, filter);
        if !filters.labels.iter().all(has_label) || filters.without_labels.iter().any(has_label) {
            return Ok(false);
        }
        let is_dangling = image.is_dangling();
        if filters.dangling.is_some_and(|wanted| wanted != is_dangling) {
            return Ok(false);
        }
        if !filters.references.is_empty() {
            keep_matching(&filters.references, &mut image.repo_tags)?;
            keep_matching(&filters.references, &mut image.repo_digests)?;
            return Ok(!image.repo_tags.is_empty() || !image.repo_digests.is_empty());
        }
        let is_intermediate = is_dangling && image.repo_digests.is_empty() && self.has_children(&image.id);
        Ok(filters.all || !is_intermediate)
    }
}

fn has_label(image: &Image, filter: &String) -> bool {
    let Some(config) = &image.config.config else { return false };
    match filter.split_once('=') {
        Some((name, value)) => config.labels.get(name).is_some_and(|found| found == value),
        None => config.labels.contains_key(filter),
    }
}

fn keep_matching(patterns: &[String], references: &mut Vec<Reference>) -> Result<()> {
    let mut kept = Vec::with_capacity(references.len());
    for reference in references.drain(..) {
        let mut matches = false;
        for pattern in patterns {
            matches |= familiar_match(pattern, &reference)
                .ok_or_else(|| Error::Filter { name: "reference", value: pattern.clone() })?;
        }
        if matches {
            kept.push(reference);
        }
    }
    *references = kept;
    Ok(())
}

/// Whether a pattern matches the familiar form of a reference, or its name alone. `None` for a malformed pattern.
fn familiar_match(pattern: &str, reference: &Reference) -> Option<bool> {
    let pattern: Vec<char> = pattern.chars().collect();
    let matches = |text: String| glob(&pattern, &text.chars().collect::<Vec<_>>());
    Some(matches(reference.familiar())? || matches(reference.familiar_name())?)
}

/// Go's `path.Match`: `*` and `?` never match `/`; `[a-z]`, `[^a]`; `\` takes the next character as it is.
fn glob(pattern: &[char], text: &[char]) -> Option<bool> {
    let Some((&first, rest)) = pattern.split_first() else { return Some(text.is_empty()) };
    match first {
        '*' => {
            for taken in 0..=text.len() {
                if glob(rest, &text[taken..])? {
                    return Some(true);
                }
                if text.get(taken) == Some(&'/') {
                    break;
                }
            }
            Some(false)
        }
        '[' => {
            let end = rest.iter().skip(1).position(|&c| c == ']')? + 1;
            let matched = text.first().is_some_and(|&c| c != '/' && in_class(&rest[..end], c));
            let after = glob(&rest[end + 1..], text.get(1..).unwrap_or_default())?;
            Some(matched && after)
        }
        '?' => Some(text.first().is_some_and(|&c| c != '/') && glob(rest, &text[1..])?),
        '\\' => {
            let (&literal, rest) = rest.split_first()?;
            Some(text.first() == Some(&literal) && glob(rest, &text[1..])?)
        }
        literal => Some(text.first() == Some(&literal) && glob(rest, &text[1..])?),
    }
}

fn in_class(class: &[char], c: char) -> bool {
    let (negated, mut class) = match class.split_first() {
        Some(('^', rest)) => (true, rest),
        _ => (false, class),
    };
    let mut found = false;
    while let Some(&low) = class.first() {
        let (high, used) = match class {
            [_, '-', high, ..] => (*high, 3),
            _ => (low, 1),
        };
        found |= (low..=high).contains(&c);
        class = &class[used..];
    }
    found != negated
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reference_pattern_matches_as_gos_path_match() {
        let matches =
            |pattern: &str, reference: &str| familiar_match(pattern, &Reference::parse(reference).unwrap());
        assert_eq!(matches("debian", "debian:12"), Some(true));
        assert_eq!(matches("debian:*", "debian:12"), Some(true));
        assert_eq!(matches("deb?an:1[0-3]", "debian:12"), Some(true));
        assert_eq!(matches("*", "debian:12"), Some(true));
        assert_eq!(matches("*", "user/app:1"), Some(false));
        assert_eq!(matches("*/*", "user/app:1"), Some(true));
        assert_eq!(matches("user/[^b]*", "user/app:1"), Some(true));
        assert_eq!(matches("ubuntu", "debian:12"), Some(false));
        assert_eq!(matches("[", "debian:12"), None);
        assert_eq!(matches("*.example.com:5000/*", "r.example.com:5000/a:1"), Some(true));
    }
}
