//! What every command works with: the engine's client, the configuration, the output.

use std::cell::OnceCell;
use std::future::Future;
use std::io::Write;

use client::Client;

use crate::config::{Config, Target};
use crate::failure::Failure;
use crate::flag::{Flag, Options};

/// The flags before the command.
#[derive(Default)]
pub(crate) struct GlobalOptions {
    pub(crate) config: String,
    pub(crate) context: String,
    pub(crate) debug: bool,
    pub(crate) hosts: Vec<String>,
    pub(crate) log_level: String,
    pub(crate) tls: bool,
    pub(crate) tls_ca: String,
    pub(crate) tls_cert: String,
    pub(crate) tls_key: String,
    pub(crate) tls_verify: bool,
    pub(crate) version: bool,
}

impl Options for GlobalOptions {
    const INTERSPERSED: bool = false;
    const FLAGS: &'static [Flag<Self>] = &[
        Flag::new("config", "Directory of the client's configuration files", |o| &mut o.config),
        Flag::lettered(
            'c',
            "context",
            "Context that names the engine (instead of DOCKER_HOST and of the default context)",
            |o| &mut o.context,
        ),
        Flag::lettered('D', "debug", "Show more of what happens", |o| &mut o.debug),
        Flag::lettered('H', "host", "Socket of the engine", |o| &mut o.hosts),
        Flag::lettered(
            'l',
            "log-level",
            "Least severity of messages (\"debug\", \"info\", \"warn\", \"error\", \"fatal\")",
            |o| &mut o.log_level,
        ),
        Flag::hidden("tls", |o| &mut o.tls),
        Flag::hidden("tlscacert", |o| &mut o.tls_ca),
        Flag::hidden("tlscert", |o| &mut o.tls_cert),
        Flag::hidden("tlskey", |o| &mut o.tls_key),
        Flag::hidden("tlsverify", |o| &mut o.tls_verify),
        Flag::lettered('v', "version", "Show the version and quit", |o| &mut o.version),
    ];
}

impl GlobalOptions {
    /// Refuses what is not supported, by name.
    pub(crate) fn check(&self) -> Result<(), Failure> {
        let refused = [
            ("--tls", self.tls),
            ("--tlsverify", self.tls_verify),
            ("--tlscacert", !self.tls_ca.is_empty()),
            ("--tlscert", !self.tls_cert.is_empty()),
            ("--tlskey", !self.tls_key.is_empty()),
        ];
        if let Some((name, _)) = refused.iter().find(|(_, given)| *given) {
            return Err(Failure::message(format!("{name} is not supported: this client does not speak TLS")));
        }
        let levels = ["", "trace", "debug", "info", "warn", "warning", "error", "fatal", "panic"];
        if !levels.contains(&self.log_level.to_lowercase().as_str()) {
            return Err(Failure::message(format!("Unable to parse logging level: {}", self.log_level)));
        }
        match self.hosts.len() {
            0 | 1 => Ok(()),
            _ => Err(Failure::message("Specify only one -H")),
        }
    }
}

/// One run of the command line.
pub(crate) struct App {
    program: String,
    global: GlobalOptions,
    runtime: OnceCell<tokio::runtime::Runtime>,
    config: OnceCell<Config>,
    client: OnceCell<Client>,
}

impl App {
    pub(crate) fn new(program: String, global: GlobalOptions) -> Self {
        Self { program, global, runtime: OnceCell::new(), config: OnceCell::new(), client: OnceCell::new() }
    }

    /// The name by which the program was called: `docker`, or else `corten`.
    pub(crate) fn program(&self) -> &str {
        &self.program
    }

    /// Whether messages for finding faults are shown.
    pub(crate) fn debug(&self) -> bool {
        self.global.debug || self.global.log_level.eq_ignore_ascii_case("debug")
    }

    /// Runs a future to its end.
    pub(crate) fn block_on<T>(&self, future: impl Future<Output = T>) -> T {
        self.runtime().block_on(future)
    }

    fn runtime(&self) -> &tokio::runtime::Runtime {
        self.runtime.get_or_init(|| {
            tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .expect("a process that has just begun can make an epoll descriptor")
        })
    }

    /// The client's configuration file; what cannot be read is reported once and taken as empty.
    pub(crate) fn config(&self) -> &Config {
        self.config.get_or_init(|| Config::load(&self.global.config))
    }

    /// Where the engine is, and whether it is ours to start.
    pub(crate) fn target(&self) -> Result<Target, Failure> {
        self.config().target(self.global.hosts.first().map(String::as_str), &self.global.context)
    }

    /// The client, connected to a running engine where that is ours to start.
    pub(crate) fn client(&self) -> Result<&Client, Failure> {
        if let Some(client) = self.client.get() {
            return Ok(client);
        }
        let target = self.target()?;
        let mut client = Client::new(target.host.clone());
        for (name, value) in &self.config().http_headers {
            client.add_header(name, value);
        }
        if let Some(version) = std::env::var("DOCKER_API_VERSION").ok().filter(|text| !text.is_empty()) {
            let version = version
                .trim_start_matches('v')
                .parse()
                .map_err(|_| Failure::message(format!("invalid DOCKER_API_VERSION: {version}")))?;
            client.set_version(version);
        }
        if target.ours {
            let socket = crate::autostart::connect(&target)?;
            self.block_on(client.adopt(socket))?;
        }
        Ok(self.client.get_or_init(|| client))
    }

    /// Prints on standard output.
    pub(crate) fn print(&self, text: &str) -> Result<(), Failure> {
        write_all(text.as_bytes())
    }

    /// Prints a line on standard output.
    pub(crate) fn line(&self, text: &str) -> Result<(), Failure> {
        write_all(format!("{text}\n").as_bytes())
    }

    /// Reports each error on standard error, and fails if there was any.
    pub(crate) fn report(&self, errors: Vec<Failure>) -> Result<(), Failure> {
        let texts: Vec<String> = errors.iter().filter_map(Failure::text).collect();
        match errors.is_empty() {
            true => Ok(()),
            false => Err(Failure::message(texts.join("\n"))),
        }
    }

    /// The name of the context in use.
    pub(crate) fn context_name(&self) -> String {
        self.config().context_name(self.global.hosts.first().map(String::as_str), &self.global.context)
    }
}

/// A reader that has gone away ends the program as `SIGPIPE` would.
const BROKEN_PIPE: u8 = 141;

fn write_all(bytes: &[u8]) -> Result<(), Failure> {
    let mut out = std::io::stdout().lock();
    out.write_all(bytes).and_then(|()| out.flush()).map_err(|error| match error.kind() {
        std::io::ErrorKind::BrokenPipe => Failure::Exit(BROKEN_PIPE),
        _ => Failure::message(format!("write /dev/stdout: {error}")),
    })
}
