//! Which commit is meant.

use dockerfile::plan::Git;

use super::Error;
use super::address::Address;
use super::command::Runner;

/// What a reference stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resolved {
    /// Its whole name, `refs/heads/main`; the commit itself where that was asked for.
    pub reference: String,
    /// The commit, or the tag that has a text of its own.
    pub object: String,
    /// The commit that such a tag stands for.
    pub tagged: Option<String>,
}

impl Resolved {
    /// The commit.
    pub fn commit(&self) -> &str {
        self.tagged.as_deref().unwrap_or(&self.object)
    }

    /// What to fetch, the least first.
    pub(super) fn wanted(&self) -> Vec<&str> {
        self.name().into_iter().chain([self.object.as_str()]).collect()
    }

    /// What it is called in a `.git` that is kept, if it has a name.
    pub(super) fn name(&self) -> Option<&str> {
        Some(self.reference.as_str()).filter(|name| !is_commit(name))
    }

    /// How the repository names its commits.
    pub(super) fn format(&self) -> &'static str {
        if self.object.len() == 64 { "--object-format=sha256" } else { "--object-format=sha1" }
    }
}

/// Whether it is the whole name of a commit.
fn is_commit(text: &str) -> bool {
    matches!(text.len(), 40 | 64) && text.bytes().all(|it| matches!(it, b'0'..=b'9' | b'a'..=b'f'))
}

/// What can be known without asking anybody.
pub(super) fn without_asking(git: &Git) -> Result<Option<Resolved>, Error> {
    let checksum = git.checksum.as_deref();
    if let Some(text) = checksum
        && (text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_hexdigit()))
    {
        return Err(Error::InvalidChecksum(text.to_owned()));
    }
    let named = |reference: &str, object: &str| {
        Some(Resolved { reference: reference.to_owned(), object: object.to_owned(), tagged: None })
    };
    if is_commit(&git.reference) {
        if let Some(checksum) = checksum {
            compare(checksum, &git.reference, None)?;
        }
        return Ok(named(&git.reference, &git.reference));
    }
    if !git.by_commit {
        return Ok(None);
    }
    let refused = |text: String| Err(Error::ByCommit(text));
    match checksum {
        None => refused("fetch-by-commit requires a checksum or a commit SHA ref".to_owned()),
        Some(text) if !is_commit(text) => {
            refused(format!("fetch-by-commit requires a full commit SHA checksum, got {text:?}"))
        }
        Some(text) => Ok(named(text, text)),
    }
}

/// Fails unless one of them begins with the checksum.
pub(super) fn compare(checksum: &str, object: &str, commit: Option<&str>) -> Result<(), Error> {
    let checksum = checksum.to_ascii_lowercase();
    let commit = commit.filter(|commit| *commit != object);
    if object.starts_with(&checksum) || commit.is_some_and(|commit| commit.starts_with(&checksum)) {
        return Ok(());
    }
    let actual = commit.map_or_else(|| object.to_owned(), |commit| format!("{object} or {commit}"));
    Err(Error::Checksum { expected: checksum, actual })
}

/// The branch that the server has checked out.
pub(super) async fn default_branch(runner: &Runner<'_>, address: &Address) -> Result<String, Error> {
    let arguments = ["ls-remote", "--symref", "--", address.plain(), "HEAD"];
    let listed = runner.run("fetch default branch of", &arguments).await?;
    let found = listed.lines().filter_map(|line| line.strip_prefix("ref: ")?.strip_suffix("\tHEAD"));
    let branch = found.into_iter().next().filter(|branch| branch.starts_with("refs/heads/"));
    branch.map(str::to_owned).ok_or_else(|| Error::NoDefault(address.shown().to_owned()))
}

/// Asks the server.
pub(super) async fn ask(
    runner: &Runner<'_>,
    address: &Address,
    reference: &str,
    checksum: Option<&str>,
) -> Result<Resolved, Error> {
    let tag = format!("{reference}^{{}}");
    let arguments = ["ls-remote", "--", address.plain(), reference, &tag];
    let listed = runner.run("fetch remote", &arguments).await?;
    let resolved = choose(&listed, reference).ok_or_else(|| Error::NoReference {
        reference: reference.to_owned(),
        output: address.clean(&listed),
    })?;
    if let Some(checksum) = checksum {
        compare(checksum, &resolved.object, resolved.tagged.as_deref())?;
    }
    Ok(resolved)
}

/// Whole names come first, then branches, then tags, as with `git checkout`.
fn choose(listed: &str, reference: &str) -> Option<Resolved> {
    let below = |prefix: &str| format!("{prefix}{}", reference.strip_prefix(prefix).unwrap_or(reference));
    let of = |name: &str| {
        let mut found = listed.lines().filter_map(|line| line.split_once('\t'));
        found
            .find(|(object, listed)| *listed == name && is_commit(object))
            .map(|(object, _)| object.to_owned())
    };
    let (whole, branch, tag) = (below("refs/"), below("refs/heads/"), below("refs/tags/"));
    let named = |name: &str| of(name).map(|object| (name.to_owned(), object));
    let (reference, object) = named(&whole).or_else(|| named(&branch)).or_else(|| named(&tag))?;
    let tagged = of(&format!("{reference}^{{}}")).filter(|_| reference.starts_with("refs/tags/"));
    Some(Resolved { reference, object, tagged })
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: &str = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
    const B: &str = "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb";
    const C: &str = "cccccccccccccccccccccccccccccccccccccccc";

    #[test]
    fn whole_names_win_over_branches_and_branches_over_tags() {
        let listed =
            format!("{A}\trefs/heads/v1\n{B}\trefs/tags/v1\n{C}\trefs/tags/v1^{{}}\n{B}\trefs/pull/1/head\n");
        let chosen = |reference: &str| {
            let found = choose(&listed, reference)?;
            let (object, commit) = (found.object.clone(), found.commit().to_owned());
            Some((found.reference, object, commit))
        };
        let of = |reference: &str, object: &str, commit: &str| {
            Some((reference.to_owned(), object.to_owned(), commit.to_owned()))
        };
        assert_eq!(chosen("v1"), of("refs/heads/v1", A, A));
        assert_eq!(chosen("refs/tags/v1"), of("refs/tags/v1", B, C));
        assert_eq!(chosen("tags/v1"), of("refs/tags/v1", B, C));
        assert_eq!(chosen("pull/1/head"), of("refs/pull/1/head", B, B));
        assert_eq!(chosen("v"), None);
        assert_eq!(choose("--upload-pack=x\trefs/heads/v1\n", "v1"), None);
    }

    #[test]
    fn commits_need_no_question() {
        let git = |reference: &str, checksum: Option<&str>, by_commit| Git {
            reference: reference.to_owned(),
            checksum: checksum.map(str::to_owned),
            by_commit,
            ..Git::default()
        };
        let told = |git: &Git| {
            without_asking(git).map(|found| found.map(|it| it.object)).map_err(|error| error.to_string())
        };
        assert_eq!(told(&git(A, None, false)), Ok(Some(A.to_owned())));
        assert_eq!(told(&git(A, Some("AAA"), false)), Ok(Some(A.to_owned())));
        assert_eq!(told(&git("main", Some(A), false)), Ok(None));
        assert_eq!(told(&git("main", Some(A), true)), Ok(Some(A.to_owned())));
        for (git, error) in [
            (git(A, Some("b"), false), format!("expected checksum to match b, got {A}")),
            (
                git("a", Some("xyz"), false),
                "invalid checksum xyz for Git URL, expected hex commit hash".into(),
            ),
            (git("a", None, true), "fetch-by-commit requires a checksum or a commit SHA ref".into()),
            (
                git("a", Some("ab"), true),
                "fetch-by-commit requires a full commit SHA checksum, got \"ab\"".into(),
            ),
        ] {
            assert_eq!(told(&git), Err(error));
        }
    }
}
