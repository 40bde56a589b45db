//! Sources of `ADD` that are not in the context: repositories and files of other servers.

use serde::Serialize;

use crate::error::{Error, PlanProblem};

/// A repository at a commit, branch or tag.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Git {
    /// Its address, without what is after `#` and `?`.
    pub remote: String,
    /// A commit, branch or tag; empty: the default branch.
    pub reference: String,
    /// The folder in it; empty: all.
    pub folder: String,
    /// The commit, or the start of it, that it has to be.
    pub checksum: Option<String>,
    /// Whether `.git` stays.
    pub keeps_git_dir: bool,
    /// Whether submodules are left out.
    pub skips_submodules: bool,
    /// Whether the commit is fetched without its reference being compared.
    pub by_commit: bool,
}

/// A file at an address.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Http {
    /// The address.
    pub url: String,
    /// The name that the file gets.
    pub name: String,
    /// `algorithm:hex` that it has to have.
    pub checksum: Option<String>,
}

/// What is somewhere else.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Remote {
    /// A repository.
    Git(Git),
    /// A file.
    Http(Http),
}

impl Remote {
    /// Reads what a client names as the context of a build, which may also be `github.com/user/repository`. `None` for what is no
    /// address.
    ///
    /// # Errors
    /// When it is that of a repository, with options that cannot be.
    pub fn of_context(text: &str) -> Result<Option<Self>, Error> {
        let is_short = text.starts_with("github.com/");
        let whole = if is_short { format!("https://{text}") } else { text.to_owned() };
        let end = whole.find(['#', '?']).unwrap_or(whole.len());
        let remote = match is_short {
            true => git(&whole[..end], &whole[end..]).map(|git| Some(Self::Git(git))),
            false => parse(&whole),
        };
        remote.map_err(|problem| Error::new(problem.into()))
    }
}

/// Reads a source; a path is none.
pub(super) fn parse(source: &str) -> Result<Option<Remote>, PlanProblem> {
    if let Some((remote, options)) = repository(source) {
        return git(remote, options).map(|git| Some(Remote::Git(git)));
    }
    let is_http = source.starts_with("http://") || source.starts_with("https://");
    Ok(is_http
        .then(|| Remote::Http(Http { url: source.to_owned(), name: file_name(source), checksum: None })))
}

/// The address of a repository, and what follows it. Over HTTP its path ends with `.git`.
fn repository(source: &str) -> Option<(&str, &str)> {
    let end = source.find(['#', '?']).unwrap_or(source.len());
    let (remote, options) = source.split_at(end);
    let is_repository = match remote.split_once("://") {
        Some(("http" | "https", rest)) => {
            rest.split_once('/').is_some_and(|(_, path)| path.ends_with(".git"))
        }
        Some(("git" | "ssh", _)) => true,
        Some(_) => false,
        None => is_scp_like(remote),
    };
    is_repository.then_some((remote, options))
}

/// `user@host:path`, as `ssh` has it.
fn is_scp_like(remote: &str) -> bool {
    let Some((user, rest)) = remote.split_once('@') else { return false };
    let is_name = |text: &str| {
        !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte))
    };
    let host = rest.split_once(':');
    is_name(user)
        && host.is_some_and(|(host, path)| is_name(host) && !path.is_empty() && !path.starts_with('-'))
}

fn git(remote: &str, options: &str) -> Result<Git, PlanProblem> {
    let mut git = Git { remote: remote.to_owned(), ..Git::default() };
    let (query, fragment) = options.split_once('#').unwrap_or((options, ""));
    let (reference, folder) = fragment.split_once(':').unwrap_or((fragment, ""));
    git.reference = reference.to_owned();
    git.folder = folder.to_owned();
    let mut seen = Vec::new();
    for pair in query.trim_start_matches('?').split('&').filter(|pair| !pair.is_empty()) {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        if seen.contains(&key) {
            return Err(PlanProblem::Git(format!("query {key:?} has multiple values")));
        }
        seen.push(key);
        option(&mut git, key, &percent_decoded(value))?;
    }
    // What follows would be an option of git's.
    if git.reference.starts_with('-') {
        return Err(PlanProblem::Git(format!("invalid git ref: {:?}", git.reference)));
    }
    Ok(git)
}

fn option(git: &mut Git, key: &str, value: &str) -> Result<(), PlanProblem> {
    let problem = |text: String| Err(PlanProblem::Git(text));
    let is_switch = matches!(key, "submodules" | "keep-git-dir" | "fetch-by-commit");
    if value.is_empty() && !is_switch {
        return problem(format!("query {key:?} has no value"));
    }
    let prefixed =
        |prefix: &str| if value.starts_with(prefix) { value.to_owned() } else { format!("{prefix}{value}") };
    match key {
        "ref" => set(&mut git.reference, value.to_owned(), "ref")?,
        "tag" => set(&mut git.reference, prefixed("refs/tags/"), "ref")?,
        "branch" => set(&mut git.reference, prefixed("refs/heads/"), "ref")?,
        "subdir" => set(&mut git.folder, value.to_owned(), "subdir")?,
        "checksum" | "commit" => git.checksum = Some(value.to_owned()),
        "keep-git-dir" => git.keeps_git_dir = switch(key, value)?,
        "submodules" => git.skips_submodules = !switch(key, value)?,
        "fetch-by-commit" => git.by_commit = switch(key, value)?,
        _ => return problem(format!("unexpected query {key:?}")),
    }
    Ok(())
}

fn set(field: &mut String, value: String, key: &str) -> Result<(), PlanProblem> {
    if !field.is_empty() && *field != value {
        return Err(PlanProblem::Git(format!("{key} conflicts: {field:?} vs {value:?}")));
    }
    *field = value;
    Ok(())
}

fn switch(key: &str, value: &str) -> Result<bool, PlanProblem> {
    if value.is_empty() {
        return Ok(true);
    }
    let problem = || PlanProblem::Git(format!("invalid {key} value: {value:?}"));
    oci::boolean::parse(value).ok_or_else(problem)
}

/// The last part of an address's path; one that would lead elsewhere is none.
fn file_name(url: &str) -> String {
    let path = url.split_once("://").map_or(url, |(_, rest)| rest);
    let path = path.split(['?', '#']).next().unwrap_or_default();
    let path = path.split_once('/').map_or("", |(_, path)| path).trim_end_matches('/');
    let name = percent_decoded(path.rsplit('/').next().unwrap_or_default());
    let is_name = !matches!(name.as_str(), "" | "." | "..") && !name.contains(['/', '\0']);
    if is_name { name } else { "__unnamed__".to_owned() }
}

fn percent_decoded(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while let Some(byte) = bytes.get(at) {
        let digits = bytes.get(at + 1..at + 3).filter(|_| *byte == b'%');
        let code = digits.and_then(|digits| std::str::from_utf8(digits).ok());
        let decoded = code.and_then(|code| u8::from_str_radix(code, 16).ok());
        out.push(decoded.unwrap_or(*byte));
        at += if decoded.is_some() { 3 } else { 1 };
    }
    String::from_utf8_lossy(&out).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn git(source: &str) -> Git {
        match parse(source) {
            Ok(Some(Remote::Git(git))) => git,
            other => panic!("{source}: {other:?}"),
        }
    }

    #[test]
    fn sources_are_repositories_files_or_paths() {
        for source in [
            "https://h/a.git",
            "https://h/a.git#main:dir",
            "git://h/a",
            "ssh://git@h/a.git",
            "git@github.com:a/b.git",
            "git@h:b",
            "https://h/a.git?ref=x",
        ] {
            git(source);
        }
        for (source, name) in [
            ("https://h/a/b.tar.gz?x=/y", "b.tar.gz"),
            ("http://h", "__unnamed__"),
            ("http://h/", "__unnamed__"),
            ("http://h/a/..", "__unnamed__"),
            ("http://h/%2e%2e", "__unnamed__"),
            ("http://h/a%2Fb", "__unnamed__"),
            ("http://h/a%20b%", "a b%"),
            ("http://h/é%c3", "é\u{fffd}"),
        ] {
            let Ok(Some(Remote::Http(http))) = parse(source) else { panic!("{source}") };
            assert_eq!((http.url.as_str(), http.name.as_str()), (source, name));
        }
        for source in ["a", "./a@b:c", "a b@c:d", "/git@h:x", "github.com/a/b", "ftp://h/a", "C:\\a"] {
            assert_eq!(parse(source), Ok(None), "{source}");
        }
    }

    #[test]
    fn repositories_have_references_and_options() {
        let found = git("https://h/a.git#v1:sub/dir");
        assert_eq!(
            (found.remote.as_str(), found.reference.as_str(), found.folder.as_str()),
            ("https://h/a.git", "v1", "sub/dir")
        );
        let found = git("https://h/a.git?tag=v1&subdir=x&checksum=ab&keep-git-dir&submodules=false");
        assert_eq!((found.reference.as_str(), found.checksum.as_deref()), ("refs/tags/v1", Some("ab")));
        assert!(found.keeps_git_dir && found.skips_submodules);
        assert_eq!(git("https://h/a.git?branch=b").reference, "refs/heads/b");
    }

    #[test]
    fn contexts_may_be_named_as_on_github() {
        for (text, address, reference, folder) in [
            ("github.com/a/b", "https://github.com/a/b", "", ""),
            ("github.com/a/b#v1:c", "https://github.com/a/b", "v1", "c"),
            ("github.com/a/b.git?ref=v1", "https://github.com/a/b.git", "v1", ""),
            ("git://h/a#:c", "git://h/a", "", "c"),
            ("git@h:a/b#v1", "git@h:a/b", "v1", ""),
            ("https://h/a.git#v1", "https://h/a.git", "v1", ""),
        ] {
            let Ok(Some(Remote::Git(git))) = Remote::of_context(text) else { panic!("{text}") };
            assert_eq!((&*git.remote, &*git.reference, &*git.folder), (address, reference, folder), "{text}");
        }
        assert!(matches!(Remote::of_context("http://h/a.tar"), Ok(Some(Remote::Http(_)))));
        assert!(matches!(Remote::of_context("https://github.com/a/b"), Ok(Some(Remote::Http(_)))));
        for text in ["", "a/b", "client-session", "gitlab.com/a/b", "file:///a.git", "github.com"] {
            assert_eq!(Remote::of_context(text).unwrap(), None, "{text}");
        }
        assert!(Remote::of_context("github.com/a/b#--upload-pack=x").is_err());
    }

    #[test]
    fn repositories_that_cannot_be_are_refused() {
        for (source, expected) in [
            ("https://h/a.git?x=y", "unexpected query \"x\""),
            ("https://h/a.git?ref=", "query \"ref\" has no value"),
            ("https://h/a.git?ref=a&ref=b", "query \"ref\" has multiple values"),
            ("https://h/a.git?ref=a#b", "ref conflicts: \"b\" vs \"a\""),
            ("https://h/a.git?submodules=x", "invalid submodules value: \"x\""),
            ("https://h/a.git#--upload-pack=x", "invalid git ref: \"--upload-pack=x\""),
        ] {
            assert_eq!(parse(source).unwrap_err().to_string(), expected, "{source}");
        }
    }
}
