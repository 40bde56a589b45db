//! Finding images in registries.

use api::auth;
use api::image::{SearchOptions, SearchResult};
use http::StatusCode;
use registry::{FoundRepository, SearchRequest};

use super::Api;
use super::transfer::credentials;
use crate::error::Error;
use crate::http::{Call, Response, json};

const FILTERS: &[&str] = &["is-automated", "is-official", "stars"];

impl Api {
    pub(super) async fn search_images(&self, call: &Call) -> Result<Response, Error> {
        let SearchOptions { term, limit, filters } = SearchOptions::from_query(&call.query())?;
        let wanted = Wanted::new(&filters)?;
        let limit = u32::try_from(limit)
            .map_err(|_| Error::BadRequest(format!("invalid limit specified: {limit}")))?;
        if wanted.nothing {
            return Ok(json(StatusCode::OK, &Vec::<SearchResult>::new()));
        }
        let credentials = credentials(call.header(auth::HEADER));
        let found = self.registries.client().search(SearchRequest { term, limit, credentials }).await?;
        let results = found.into_iter().filter(|it| wanted.has(it)).map(result);
        Ok(json(StatusCode::OK, &results.collect::<Vec<_>>()))
    }
}

/// What the filters say.
#[derive(Debug, PartialEq, Eq)]
struct Wanted {
    /// Nothing is built by Docker Hub any more.
    nothing: bool,
    official: Option<bool>,
    stars: i64,
}

impl Wanted {
    fn new(filters: &api::Filters) -> Result<Self, Error> {
        filters.validate(FILTERS)?;
        let mut stars = 0;
        for text in filters.values("stars") {
            let invalid = |error| Error::BadRequest(format!("invalid filter 'stars={text}': {error}"));
            stars = stars.max(text.parse::<i64>().map_err(invalid)?);
        }
        let official = filters.contains("is-official").then(|| filters.flag("is-official", false));
        Ok(Self { nothing: filters.flag("is-automated", false)?, official: official.transpose()?, stars })
    }

    fn has(&self, found: &FoundRepository) -> bool {
        found.star_count >= self.stars && self.official.is_none_or(|wanted| wanted == found.is_official)
    }
}

fn result(found: FoundRepository) -> SearchResult {
    let FoundRepository { name, description, star_count, is_official } = found;
    SearchResult { star_count, is_official, name, is_automated: false, description }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wanted(pairs: &[(&str, &str)]) -> Result<Wanted, Error> {
        let mut filters = api::Filters::new();
        pairs.iter().for_each(|(key, value)| filters.add(*key, *value));
        Wanted::new(&filters)
    }

    #[test]
    fn filters_choose_among_what_is_found() {
        let found = FoundRepository {
            name: "a".into(),
            description: String::new(),
            star_count: 5,
            is_official: true,
        };
        let has = |pairs: &[(&str, &str)]| wanted(pairs).unwrap().has(&found);
        assert!(has(&[]) && has(&[("stars", "5")]) && has(&[("is-official", "true")]));
        assert!(!has(&[("stars", "3"), ("stars", "6")]) && !has(&[("is-official", "false")]));
        assert!(wanted(&[("is-automated", "true")]).unwrap().nothing);
        for (key, value) in [("stars", "x"), ("is-official", "x"), ("name", "x")] {
            assert!(wanted(&[(key, value)]).unwrap_err().to_string().contains("invalid filter"), "{key}");
        }
    }
}
