//! `login` and `logout`.

use std::io::{BufRead, Read, Write};

use api::auth::AuthConfig;

use crate::app::App;
use crate::command::{Arity, Leaf};
use crate::credentials::{DOCKER_HUB, host_of};
use crate::failure::{Failure, io_text};
use crate::flag::{Changed, Flag, NoOptions, Options};
use crate::terminal::{self, HiddenInput};

/// Finds out whether a registry knows somebody, and remembers it.
pub(crate) struct Login;

#[derive(Default)]
pub(crate) struct LoginFlags {
    password: Changed<String>,
    password_stdin: bool,
    username: Changed<String>,
}

impl Options for LoginFlags {
    const FLAGS: &'static [Flag<Self>] = &[
        Flag::lettered('p', "password", "Password or personal access token", |o| &mut o.password),
        Flag::new("password-stdin", "Read the password or token from standard input", |o| {
            &mut o.password_stdin
        }),
        Flag::lettered('u', "username", "Name of the user", |o| &mut o.username),
    ];
}

impl Leaf for Login {
    type Options = LoginFlags;
    const NAME: &'static str = "login";
    const ABOUT: &'static str = "Authenticate to a registry";
    const USAGE: &'static str = "[OPTIONS] [SERVER]";
    const ARITY: Arity = Arity::AtMost(1);

    fn run(app: &App, flags: LoginFlags, arguments: Vec<String>) -> Result<(), Failure> {
        let address = match arguments.first().map(String::as_str) {
            None | Some("" | "docker.io") => DOCKER_HUB,
            Some(address) => address,
        };
        let given = given(&flags)?;
        let stored = match given {
            (None, None) => {
                app.config().stored(address)?.filter(|it| !it.username.is_empty() && !it.password.is_empty())
            }
            _ => None,
        };
        if let Some(auth) = stored.clone() {
            eprintln!("Authenticating with existing credentials... [Username: {}]\n", auth.username);
            match log_in(app, auth) {
                Ok(()) => return Ok(()),
                Err(Failure::Engine(client::Error::Daemon { status: 401, .. })) => {
                    eprintln!("Stored credentials invalid or expired");
                }
                Err(failure) => {
                    let text = failure.text().unwrap_or_default();
                    eprintln!("Login did not succeed, error: {text}");
                }
            }
        }
        let (username, password) = asked(app, given, &stored.unwrap_or_default().username)?;
        let serveraddress = address.to_owned();
        log_in(app, AuthConfig { username, password, serveraddress, ..AuthConfig::default() })
    }
}

/// Name and password, as far as they are given.
type Given = (Option<String>, Option<String>);

fn given(flags: &LoginFlags) -> Result<Given, Failure> {
    let (username, password) = (flags.username.given(), flags.password.given());
    if flags.password_stdin && password.is_some() {
        return Err(Failure::message(
            "conflicting options: cannot specify both --password and --password-stdin",
        ));
    }
    if flags.password_stdin && username.is_none() {
        return Err(Failure::message("the --password-stdin option requires --username to be set"));
    }
    if username.as_deref() == Some("") {
        return Err(Failure::message("username is empty"));
    }
    if password.as_deref() == Some("") {
        return Err(Failure::message("password is empty"));
    }
    if password.is_some() {
        eprintln!("WARNING! Using --password via the CLI is insecure. Use --password-stdin.");
    }
    let password = if flags.password_stdin { Some(secret_from_stdin()?) } else { password };
    Ok((username, password))
}

fn secret_from_stdin() -> Result<String, Failure> {
    let mut text = String::new();
    let read = std::io::stdin().lock().read_to_string(&mut text);
    read.map_err(|error| Failure::message(format!("read /dev/stdin: {}", io_text(&error))))?;
    let secret = text.strip_suffix("\r\n").or_else(|| text.strip_suffix(['\n', '\r'])).unwrap_or(&text);
    if secret.trim().is_empty() {
        return Err(Failure::message("password is empty"));
    }
    Ok(secret.to_owned())
}

/// Asks for what is not given.
fn asked(app: &App, given: Given, known: &str) -> Result<(String, String), Failure> {
    let (username, password) = match given {
        (Some(username), Some(password)) => return Ok((username, password)),
        other => other,
    };
    if !terminal::stdin_is_terminal() {
        return Err(Failure::message("Error: Cannot perform an interactive login from a non TTY device"));
    }
    let username = match username {
        Some(username) => username,
        None => {
            let prompt =
                if known.is_empty() { "Username: ".to_owned() } else { format!("Username ({known}): ") };
            let typed = ask(app, &prompt)?;
            if typed.is_empty() { known.to_owned() } else { typed }
        }
    };
    if username.is_empty() {
        return Err(Failure::message("Error: Non-null Username Required"));
    }
    let password = match password {
        Some(password) => password,
        None => {
            let typed = ask_hidden(app, "Password: ");
            app.line("")?;
            typed?
        }
    };
    if password.is_empty() {
        return Err(Failure::message("Error: Password Required"));
    }
    Ok((username, password))
}

fn ask(app: &App, prompt: &str) -> Result<String, Failure> {
    app.print(prompt)?;
    let _ = std::io::stdout().flush();
    let mut line = String::new();
    std::io::stdin().lock().read_line(&mut line).map_err(|error| unreadable(&error))?;
    Ok(line.trim().to_owned())
}

/// The same without showing what is typed, where that is a terminal's to show.
fn ask_hidden(app: &App, prompt: &str) -> Result<String, Failure> {
    let Some(hidden) = HiddenInput::begin() else { return ask(app, prompt) };
    app.print(prompt)?;
    let _ = std::io::stdout().flush();
    let line = hidden.read_line().map_err(|error| unreadable(&error))?;
    Ok(line.trim().to_owned())
}

fn unreadable(error: &std::io::Error) -> Failure {
    Failure::message(format!("read /dev/stdin: {}", io_text(error)))
}

fn log_in(app: &App, mut auth: AuthConfig) -> Result<(), Failure> {
    let client = app.client()?;
    let answer = app.block_on(client.login(&auth))?;
    if !answer.identity_token.is_empty() {
        auth.password = String::new();
        auth.identitytoken = answer.identity_token;
    }
    app.config().place(&auth.serveraddress).store(&auth).map_err(|failure| {
        Failure::message(format!("error saving credentials: {}", failure.text().unwrap_or_default()))
    })?;
    match answer.status.is_empty() {
        true => Ok(()),
        false => app.line(&answer.status),
    }
}

/// Forgets what `login` remembered.
pub(crate) struct Logout;

impl Leaf for Logout {
    type Options = NoOptions;
    const NAME: &'static str = "logout";
    const ABOUT: &'static str = "Log out from a registry";
    const USAGE: &'static str = "[SERVER]";
    const ARITY: Arity = Arity::AtMost(1);

    fn run(app: &App, _: NoOptions, arguments: Vec<String>) -> Result<(), Failure> {
        let (shown, addresses) = match arguments.first().map(String::as_str) {
            None | Some("") => (DOCKER_HUB.to_owned(), vec![DOCKER_HUB.to_owned()]),
            Some(address) => {
                // Older versions kept them under these.
                let host = host_of(address);
                let forms = [
                    address.to_owned(),
                    host.to_owned(),
                    format!("http://{host}"),
                    format!("https://{host}"),
                ];
                (host.to_owned(), forms.to_vec())
            }
        };
        app.line(&format!("Removing login credentials for {shown}"))?;
        let erase = |address: &String| {
            let failure = app.config().place(address).erase(address).err()?;
            Some(format!("{address}: {}", failure.text().unwrap_or_default()))
        };
        let failures: Vec<String> = addresses.iter().filter_map(erase).collect();
        if failures.len() == addresses.len() {
            eprintln!("WARNING: could not erase credentials:\n{}", failures.join("\n"));
        }
        Ok(())
    }
}
