//! Running `git` so that nothing of this machine has a say, and nothing is left of it.

use std::io;
use std::path::Path;
use std::process::{ExitStatus, Stdio};

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::io::{AsyncBufReadExt as _, AsyncRead, AsyncReadExt as _, BufReader};
use tokio::process::Child;

use super::address::Address;
use super::{Error, Log, Options};

/// Bytes that an answer may have.
const MAX_ANSWER: u64 = 4 << 20;
/// Bytes that are kept of what it says.
const MAX_SAID: usize = 16 << 10;
/// Bytes of one line of that.
const MAX_LINE: u64 = 8 << 10;

/// What every `git` is told.
const CONFIGURATION: [(&str, &str); 13] = [
    ("core.hooksPath", "/dev/null"),
    ("core.fsmonitor", "false"),
    ("core.autocrlf", "false"),
    ("core.logAllRefUpdates", "false"),
    ("init.defaultBranch", "master"),
    ("advice.detachedHead", "false"),
    ("gc.auto", "0"),
    ("maintenance.auto", "false"),
    ("transfer.bundleURI", "false"),
    ("credential.helper", ""),
    ("safe.directory", "*"),
    // A server that sends nothing for a minute.
    ("http.lowSpeedLimit", "1"),
    ("http.lowSpeedTime", "60"),
];

/// Hosts that nobody knows yet are taken for what they say; one that the machine knows has to be the same still. No key
/// of this machine's users is offered.
const SSH: &str = "ssh -F /dev/null -o BatchMode=yes -o ConnectTimeout=30 -o ServerAliveInterval=15 \
    -o StrictHostKeyChecking=accept-new -o UserKnownHostsFile=/dev/null -o IdentityFile=none";

/// Answers `git` when it asks for what belongs to a server (gitcredentials(7)).
const LOGIN: &str =
    r#"!f() { printf 'username=%s\npassword=%s\n' "$CORTEN_GIT_USER" "$CORTEN_GIT_PASSWORD"; }; f"#;

/// Runs `git` in one folder, for one repository.
pub(super) struct Runner<'a> {
    address: &'a Address,
    options: &'a Options,
    folder: &'a Path,
}

impl<'a> Runner<'a> {
    pub(super) fn new(address: &'a Address, options: &'a Options, folder: &'a Path) -> Self {
        Self { address, options, folder }
    }

    pub(super) fn folder(&self) -> &Path {
        self.folder
    }

    /// Runs it to its end, and returns what it answers.
    pub(super) async fn run(&self, action: &'static str, arguments: &[&str]) -> Result<String, Error> {
        let limit = self.options.limit;
        let ended = tokio::time::timeout(limit, self.run_to_end(action, arguments)).await;
        let url = || self.address.shown().to_owned();
        ended.unwrap_or_else(|_| Err(Error::Time { action, url: url(), limit }))
    }

    async fn run_to_end(&self, action: &'static str, arguments: &[&str]) -> Result<String, Error> {
        let mut running = Running::start(self.command(arguments))?;
        let (stdout, stderr) = (running.child.stdout.take(), running.child.stderr.take());
        let url = || self.address.shown().to_owned();
        let mut said = Said { address: self.address, log: self.options.log.as_ref(), text: String::new() };
        let (answer, heard) = tokio::join!(read_answer(stdout), said.listen(stderr));
        let answer = answer.map_err(Error::Start)?;
        heard.map_err(Error::Start)?;
        if answer.len() as u64 > MAX_ANSWER {
            return Err(Error::TooMuch { action, url: url(), limit: MAX_ANSWER });
        }
        let status = running.wait().await.map_err(Error::Start)?;
        match status.success() {
            true => Ok(String::from_utf8_lossy(&answer).into_owned()),
            false => Err(Error::Git { action, url: url(), stderr: said.text, status }),
        }
    }

    fn command(&self, arguments: &[&str]) -> std::process::Command {
        let mut command = std::process::Command::new("git");
        command.args(arguments).current_dir(self.folder);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command.env_clear().envs(self.environment());
        std::os::unix::process::CommandExt::process_group(&mut command, 0);
        sys::detach::set_umask(&mut command, 0o022);
        command
    }

    fn environment(&self) -> Vec<(String, String)> {
        let set = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        let mut all = vec![
            set("PATH", &std::env::var("PATH").unwrap_or_else(|_| "/usr/local/bin:/usr/bin:/bin".to_owned())),
            set("HOME", "/dev/null"),
            set("XDG_CONFIG_HOME", "/dev/null"),
            set("LC_ALL", "C"),
            set("GIT_CONFIG_NOSYSTEM", "1"),
            set("GIT_CONFIG_SYSTEM", "/dev/null"),
            set("GIT_CONFIG_GLOBAL", "/dev/null"),
            set("GIT_ATTR_NOSYSTEM", "1"),
            set("GIT_TEMPLATE_DIR", ""),
            set("GIT_TERMINAL_PROMPT", "0"),
            set("GIT_ASKPASS", "/bin/false"),
            set("GIT_PROTOCOL_FROM_USER", "0"),
            // It beats whatever a configuration allows, also for submodules.
            set(
                "GIT_ALLOW_PROTOCOL",
                if self.options.allows_files { "http:https:ssh:git:file" } else { "http:https:ssh:git" },
            ),
            set("GIT_SSH_VARIANT", "ssh"),
        ];
        let proxies = &self.options.proxies;
        let proxies =
            [("http_proxy", &proxies.http), ("https_proxy", &proxies.https), ("no_proxy", &proxies.without)];
        all.extend(
            proxies.iter().filter(|(_, value)| !value.is_empty()).map(|(name, value)| set(name, value)),
        );
        match &self.options.ssh_agent {
            Some(socket) => {
                all.push(set("SSH_AUTH_SOCK", &socket.to_string_lossy()));
                all.push(set("GIT_SSH_COMMAND", SSH));
            }
            None => all.push(set("GIT_SSH_COMMAND", &format!("{SSH} -o IdentityAgent=none"))),
        }
        if let Some(login) = self.address.login() {
            all.push(set("CORTEN_GIT_USER", &login.user));
            all.push(set("CORTEN_GIT_PASSWORD", &login.password));
        }
        all.extend(self.configuration());
        all
    }

    /// By the environment, which those have too that are started for submodules.
    fn configuration(&self) -> Vec<(String, String)> {
        let login = self.address.login();
        let login = login.map(|login| (format!("credential.{}.helper", login.server), LOGIN.to_owned()));
        let fixed = CONFIGURATION.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
        let pairs: Vec<(String, String)> = fixed.chain(login).collect();
        let count = ("GIT_CONFIG_COUNT".to_owned(), pairs.len().to_string());
        let numbered = pairs.into_iter().enumerate().flat_map(|(number, (key, value))| {
            [(format!("GIT_CONFIG_KEY_{number}"), key), (format!("GIT_CONFIG_VALUE_{number}"), value)]
        });
        std::iter::once(count).chain(numbered).collect()
    }
}

/// A `git`, and all that it has started: what is not over when this is dropped is killed.
struct Running {
    child: Child,
    group: Option<Pid>,
}

impl Running {
    fn start(command: std::process::Command) -> Result<Self, Error> {
        let child =
            tokio::process::Command::from(command).kill_on_drop(true).spawn().map_err(|error| match error
                .kind()
            {
                io::ErrorKind::NotFound => Error::NoProgram,
                _ => Error::Start(error),
            })?;
        let group = child.id().and_then(|id| Pid::from_raw(i32::try_from(id).ok()?));
        Ok(Self { child, group })
    }

    async fn wait(&mut self) -> io::Result<ExitStatus> {
        let status = self.child.wait().await?;
        // Its number may be another's from now on.
        self.group = None;
        Ok(status)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(group) = self.group {
            // It fails where all of it has ended.
            let _ = kill_process_group(group, Signal::KILL);
        }
    }
}

async fn read_answer(stdout: Option<impl AsyncRead + Unpin>) -> io::Result<Vec<u8>> {
    let mut answer = Vec::new();
    if let Some(stdout) = stdout {
        stdout.take(MAX_ANSWER + 1).read_to_end(&mut answer).await?;
    }
    Ok(answer)
}

/// What it says beside its answer.
struct Said<'a> {
    address: &'a Address,
    log: Option<&'a Log>,
    text: String,
}

impl Said<'_> {
    async fn listen(&mut self, stderr: Option<impl AsyncRead + Unpin>) -> io::Result<()> {
        let Some(stderr) = stderr else { return Ok(()) };
        let mut reader = BufReader::new(stderr);
        loop {
            let mut line = Vec::new();
            if (&mut reader).take(MAX_LINE).read_until(b'\n', &mut line).await? == 0 {
                return Ok(());
            }
            self.hear(&String::from_utf8_lossy(&line));
        }
    }

    fn hear(&mut self, line: &str) {
        let line = self.address.clean(line);
        if let Some(log) = self.log {
            log(line.trim_end());
        }
        self.text.push_str(&line);
        if self.text.len() > MAX_SAID {
            let start = self.text.ceil_char_boundary(self.text.len() - MAX_SAID / 2);
            self.text.drain(..start);
        }
    }
}
