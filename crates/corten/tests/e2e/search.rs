//! `search`, of registries that have it and of one that has not.

use std::fs;
use std::time::Instant;

use serde_json::json;
use testkit::registry::Registry;
use testkit::web::{Answer, Server};
use testkit::{Bed, Client, with_each_client};

use crate::CORTEN;

with_each_client!(
    results_are_listed_in_a_table,
    results_are_filtered,
    words_and_limit_reach_the_registry,
    password_is_shown_to_the_registry,
    registry_without_a_search_is_an_error,
    refusal_of_the_registry_is_told,
);

/// A registry that speaks of searches and of nothing else.
fn registry() -> Server {
    Server::start(|asked| match asked.target.split('?').next() {
        Some("/v1/_ping") => Answer::ok("{}"),
        Some("/v1/search") => Answer::ok(results()),
        _ => Answer::new("404 Not Found", ""),
    })
}

fn results() -> String {
    let long = format!("first\nsecond {}", "word ".repeat(20));
    let found = json!([
        {"name": "debian", "description": long, "star_count": 4000, "is_official": true},
        {"name": "team/debian", "description": null, "star_count": 12, "is_official": false},
        {"name": "nobody/debian", "description": "a <b> & c", "star_count": 0, "is_automated": true},
    ]);
    json!({"query": "debian", "num_results": 3, "page": 1, "results": found}).to_string()
}

fn searches(server: &Server) -> Vec<String> {
    let asked = server.asked().into_iter().map(|it| it.target);
    asked.filter(|target| target.starts_with("/v1/search")).collect()
}

fn results_are_listed_in_a_table(bed: &Bed) {
    let server = registry();
    let term = format!("{}/debian", server.address());
    let forms: [&[&str]; 4] = [
        &[],
        &["--no-trunc"],
        &["--format", "json"],
        &["--format", "{{.Name}}={{.StarCount}} {{.IsOfficial}}"],
    ];
    for form in forms {
        let arguments: Vec<&str> = ["search"].iter().chain(form).copied().chain([term.as_str()]).collect();
        let texts = [Client::Docker, Client::Corten]
            .map(|client| bed.engine.cli(client, &arguments).run().expect_ok().text());
        assert_eq!(texts[0], texts[1], "{form:?}");
        assert_eq!(texts[0].lines().filter(|line| line.contains("debian")).count(), 3, "{}", texts[0]);
    }
    let table = bed.ok(["search", &term]);
    let mut lines = table.lines();
    assert_eq!(
        lines.next().map(|line| line.split_whitespace().collect::<Vec<_>>()),
        Some(vec!["NAME", "DESCRIPTION", "STARS", "OFFICIAL"])
    );
    assert!(lines.next().is_some_and(|line| line.contains("first second") && line.ends_with("[OK]")));
}

fn results_are_filtered(bed: &Bed) {
    let server = registry();
    let term = format!("{}/debian", server.address());
    let names = |filters: &[&str]| {
        let head = ["search", "--format", "{{.Name}}"].iter();
        let flags = filters.iter().flat_map(|filter| ["--filter", filter]);
        bed.ok(head.copied().chain(flags).chain([term.as_str()])).replace('\n', " ")
    };
    assert_eq!(names(&["is-official=true"]), "debian");
    assert_eq!(names(&["is-official=false"]), "team/debian nobody/debian");
    assert_eq!(names(&["stars=12"]), "debian team/debian");
    assert_eq!(names(&["stars=1", "stars=13"]), "debian");
    assert_eq!(names(&["is-official=false", "stars=1"]), "team/debian");
    bed.run(["search", "--filter", "stars=many", &term])
        .expect_code(1)
        .expect_stderr("nvalid filter 'stars=many'");
    bed.run(["search", "--filter", "colour=red", &term])
        .expect_code(1)
        .expect_stderr("nvalid filter 'colour'");
}

fn words_and_limit_reach_the_registry(bed: &Bed) {
    let server = registry();
    let term = format!("{}/team/two words&n=1", server.address());
    bed.ok(["search", &term]);
    bed.ok(["search", "--limit", "100", &term]);
    let expected = |limit: u32| format!("/v1/search?q=team%2Ftwo+words%26n%3D1&n={limit}");
    assert_eq!(searches(&server), [expected(25), expected(100)]);
    let refused = bed.run(["search", "--limit", "101", &term]).expect_code(1);
    refused.expect_stderr("101 is outside the range of [1, 100]");
    bed.run(["search", &format!("http://{term}")]).expect_code(1).expect_stderr("nvalid repository name");
    assert_eq!(searches(&server).len(), 2);
}

fn password_is_shown_to_the_registry(bed: &Bed) {
    let server = registry();
    let folder = bed.engine.directory().join("config");
    fs::create_dir_all(&folder).expect("create the clients' folder");
    let account = json!({"auth": "bWU6c2VjcmV0"});
    let text = json!({"auths": {server.address(): account}}).to_string();
    fs::write(folder.join("config.json"), text).expect("write the clients' configuration");
    bed.ok(["search", &format!("{}/debian", server.address())]);
    let asked = server.asked();
    let search = asked.iter().find(|it| it.target.starts_with("/v1/search")).expect("a search");
    assert_eq!(search.header("authorization"), Some("Basic bWU6c2VjcmV0"));
}

fn registry_without_a_search_is_an_error(bed: &Bed) {
    let registry = Registry::start();
    let begun = Instant::now();
    bed.run(["search", &registry.reference("debian")])
        .expect_code(1)
        .expect_stderr("Unexpected status code 404");
    assert!(begun.elapsed().as_secs() < 30);
}

fn refusal_of_the_registry_is_told(bed: &Bed) {
    let server = Server::start(|asked| match asked.target.as_str() {
        "/v1/_ping" => Answer::ok("{}"),
        _ => Answer::new("503 Service Unavailable", "later"),
    });
    let term = format!("{}/debian", server.address());
    bed.run(["search", &term]).expect_code(1).expect_stderr("Unexpected status code 503");
    let malformed = Server::start(|_| Answer::ok("<html>"));
    bed.run(["search", &format!("{}/debian", malformed.address())])
        .expect_code(1)
        .expect_stderr("search results");
}
