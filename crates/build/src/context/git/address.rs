//! Addresses of repositories, and what is secret in them.

use dockerfile::plan::Git;
use url::Url;

use super::{Error, Options};

/// Where a repository is.
pub(super) struct Address {
    plain: String,
    shown: String,
    login: Option<Login>,
    secrets: Vec<String>,
}

/// Who one is to a server of HTTP.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Login {
    /// To which server, and to no other that it may lead to.
    pub(super) server: String,
    pub(super) user: String,
    pub(super) password: String,
}

impl Address {
    /// Checks that it is one that may be asked, and that nothing of it can be taken for an option of `git` or `ssh`.
    pub(super) fn of(git: &Git, options: &Options) -> Result<Self, Error> {
        if git.reference.starts_with('-') || git.reference.chars().any(|it| it.is_control() || it == ' ') {
            return Err(Error::Reference(git.reference.clone()));
        }
        let remote = git.remote.as_str();
        if remote.starts_with('-') || remote.chars().any(|it| it.is_control() || it == ' ') {
            return Err(refused(&redacted(remote), "it is no address"));
        }
        if remote.contains("://") { Self::of_url(remote, options) } else { Self::of_scp(remote) }
    }

    fn of_url(remote: &str, options: &Options) -> Result<Self, Error> {
        let shown = redacted(remote);
        let url = Url::parse(remote).map_err(|error| refused(&shown, &error.to_string()))?;
        let host = url.host_str().unwrap_or_default();
        match url.scheme() {
            "http" | "https" | "git" | "ssh" if host.is_empty() => {
                return Err(refused(&shown, "it has no host"));
            }
            "http" | "https" | "git" | "ssh" => {}
            "file" if options.allows_files => return Ok(Self::without_secrets(remote)),
            other => return Err(refused(&shown, &format!("unsupported protocol {other:?}"))),
        }
        if host.starts_with('-') || url.username().starts_with('-') || url.path().starts_with("/-") {
            return Err(refused(&shown, "it looks like an option"));
        }
        match url.scheme() {
            "http" | "https" => Self::of_http(url, shown),
            _ => Ok(Self { shown, secrets: secrets(&url), ..Self::without_secrets(remote) }),
        }
    }

    /// User and password go another way.
    fn of_http(mut url: Url, shown: String) -> Result<Self, Error> {
        let secrets = secrets(&url);
        let server = url.origin().ascii_serialization();
        let (user, password) = (decoded(url.username()), decoded(url.password().unwrap_or_default()));
        if user.chars().chain(password.chars()).any(char::is_control) {
            return Err(refused(&shown, "no user and no password has such characters"));
        }
        // Both fail only for addresses without a host.
        let _ = url.set_username("");
        let _ = url.set_password(None);
        let has_login = !user.is_empty() || !password.is_empty();
        let login = has_login.then_some(Login { server, user, password });
        Ok(Self { plain: url.into(), shown, login, secrets })
    }

    fn of_scp(remote: &str) -> Result<Self, Error> {
        let (user, rest) = remote.split_once('@').ok_or_else(|| refused(remote, "it is no address"))?;
        let (host, path) = rest.split_once(':').ok_or_else(|| refused(remote, "it has no path"))?;
        if [user, host, path].iter().any(|part| part.is_empty() || part.starts_with('-')) {
            return Err(refused(remote, "it looks like an option"));
        }
        Ok(Self::without_secrets(remote))
    }

    fn without_secrets(remote: &str) -> Self {
        Self { plain: remote.to_owned(), shown: remote.to_owned(), login: None, secrets: Vec::new() }
    }

    /// What `git` is called with.
    pub(super) fn plain(&self) -> &str {
        &self.plain
    }

    /// What may be shown.
    pub(super) fn shown(&self) -> &str {
        &self.shown
    }

    pub(super) fn login(&self) -> Option<&Login> {
        self.login.as_ref()
    }

    /// A text of `git`, without anything secret.
    pub(super) fn clean(&self, text: &str) -> String {
        self.secrets.iter().fold(text.to_owned(), |text, secret| text.replace(secret, "xxxxx"))
    }
}

fn refused(url: &str, reason: &str) -> Error {
    Error::Address { url: url.to_owned(), reason: reason.to_owned() }
}

/// The address with `xxxxx` instead of user and password.
fn redacted(remote: &str) -> String {
    let Some((scheme, rest)) = remote.split_once("://") else { return remote.to_owned() };
    let (authority, path) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
    match authority.rsplit_once('@') {
        Some((user, host)) if user.contains(':') => format!("{scheme}://xxxxx:xxxxx@{host}{path}"),
        // That is whom one is at the server, and no secret.
        Some(_) if matches!(scheme, "ssh" | "git") => remote.to_owned(),
        Some((_, host)) => format!("{scheme}://xxxxx@{host}{path}"),
        None => remote.to_owned(),
    }
}

/// As they are written and as they are meant.
fn secrets(url: &Url) -> Vec<String> {
    let password = url.password().into_iter();
    // A token may be in the user's place.
    let is_token = matches!(url.scheme(), "http" | "https") && url.password().is_none();
    let user = Some(url.username()).filter(|_| is_token);
    let written = password.chain(user).filter(|it| !it.is_empty());
    let both = |it: &str| [it.to_owned(), decoded(it)];
    written.flat_map(both).collect()
}

fn decoded(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let digits = bytes.get(at + 1..at + 3).filter(|_| bytes[at] == b'%');
        let digits = digits.and_then(|digits| std::str::from_utf8(digits).ok());
        let code = digits.and_then(|digits| u8::from_str_radix(digits, 16).ok());
        out.push(code.unwrap_or(bytes[at]));
        at += if code.is_some() { 3 } else { 1 };
    }
    String::from_utf8_lossy(&out).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(remote: &str) -> Result<Address, Error> {
        Address::of(&Git { remote: remote.to_owned(), ..Git::default() }, &Options::default())
    }

    #[test]
    fn password_is_apart_from_the_address() {
        let address = of("https://us%65r:s%40cret@h.example:8443/a.git").unwrap();
        assert_eq!(address.plain(), "https://h.example:8443/a.git");
        assert_eq!(address.shown(), "https://xxxxx:xxxxx@h.example:8443/a.git");
        let login = Login {
            server: "https://h.example:8443".to_owned(),
            user: "user".to_owned(),
            password: "s@cret".to_owned(),
        };
        assert_eq!(address.login(), Some(&login));
        assert_eq!(address.clean("fatal: s@cret and s%40cret"), "fatal: xxxxx and xxxxx");
        let token = of("https://token@h/a.git").unwrap();
        assert_eq!((token.shown(), token.clean("token")), ("https://xxxxx@h/a.git", "xxxxx".to_owned()));
        assert!(of("https://h/a.git").unwrap().login().is_none());
    }

    #[test]
    fn users_of_ssh_are_shown() {
        for remote in ["ssh://git@h/a.git", "git@h:a/b.git", "git://h/a"] {
            let address = of(remote).unwrap();
            assert_eq!((address.plain(), address.shown()), (remote, remote));
        }
        assert_eq!(of("ssh://u:secret@h/a").unwrap().shown(), "ssh://xxxxx:xxxxx@h/a");
    }

    #[test]
    fn other_protocols_and_options_are_refused() {
        for remote in [
            "file:///etc",
            "ext::sh -c true",
            "fd::17",
            "ftp://h/a.git",
            "/etc/a.git",
            "--upload-pack=touch x",
            "-u@h:a",
            "git@-oProxyCommand:a",
            "git@h:-a",
            "ssh://-oProxyCommand=x/a",
            "ssh://-oProxyCommand@h/a",
            "https://h/a\nb.git",
            "https://u:secret@h:x/a.git",
            "https://u:secret%0ahost=evil@h/a.git",
        ] {
            let error = of(remote).err().unwrap_or_else(|| panic!("{remote} is taken"));
            assert!(error.to_string().starts_with("invalid git remote"), "{error}");
            assert!(!error.to_string().contains("secret"), "{error}");
        }
        for reference in ["--upload-pack=touch", "-x", "a\nb"] {
            let git = Git { remote: "https://h/a.git".into(), reference: reference.into(), ..Git::default() };
            assert!(
                matches!(Address::of(&git, &Options::default()), Err(Error::Reference(_))),
                "{reference}"
            );
        }
    }
}
