//! `ounce login`: tells a registry who one is, and keeps it where docker or podman
//! find it too.

use std::io::{self, BufRead as _, IsTerminal as _, Read as _, Write as _};
use std::process::ExitCode;

use ounce_oci::registry::Secret;
use ratatui::crossterm::terminal::{disable_raw_mode, enable_raw_mode};
use serde::Serialize;

use super::Context;
use crate::arguments::registry::{LoginArguments, LogoutArguments};
use crate::failure::{Failure, Kind};

#[derive(Serialize)]
struct Document {
    schema: &'static str,
    host: String,
    username: String,
    kept_in: String,
}

/// Most bytes of a password: some tokens have some thousands.
const MOST_BYTES: u64 = 64 << 10;

/// Asks, verifies, keeps.
pub(crate) fn run(context: &Context, arguments: LoginArguments) -> Result<ExitCode, Failure> {
    let host = host(&arguments.host)?;
    let is_terminal = io::stdin().is_terminal();
    let usage = |why: &str, hint: &str| Err(Failure::new(Kind::Usage, why).hint(hint));
    if !arguments.password_stdin && !is_terminal {
        return usage(
            "there is no terminal to ask for the password",
            "ounce login HOST --username NAME --password-stdin < FILE",
        );
    }
    let user = match arguments.username {
        Some(user) => user,
        None if is_terminal && !arguments.password_stdin => ask_user()?,
        None => {
            return usage(
                "the user's name is missing",
                "ounce login HOST --username NAME --password-stdin < FILE",
            );
        }
    };
    if user.is_empty() || user.contains(':') {
        return usage(
            "a user's name is not empty and has no colon",
            "--username NAME",
        );
    }
    let password = match arguments.password_stdin {
        true => {
            let mut text = String::new();
            io::stdin().take(MOST_BYTES).read_to_string(&mut text)?;
            text.trim_end_matches(['\r', '\n']).to_owned()
        }
        false => ask_password()?,
    };
    if password.is_empty() {
        return usage(
            "the password is empty",
            "--password-stdin reads it from stdin",
        );
    }
    let secret = Secret::new(password);
    let registry = context.registry(&arguments.network);
    let is_asked_for = registry.log_in(&host, &user, &secret)?;
    if !is_asked_for {
        context.output.note(&format!(
            "{host} lets everybody in: it has not looked at the password"
        ));
    }
    let credentials = &registry.options().credentials;
    let kept_in = credentials
        .keep(&host, &user, &secret)
        .map_err(|error| Failure::from(ounce_oci::registry::RegistryError::from(error)))?;
    if context.output.json {
        context.output.document(&Document {
            schema: "ounce.login/1",
            host,
            username: user,
            kept_in,
        })?;
    } else {
        context
            .output
            .note(&format!("logged in to {host} as {user}; kept in {kept_in}"));
    }
    Ok(ExitCode::SUCCESS)
}

/// `ounce logout`: forgets it.
pub(crate) fn forget(context: &Context, arguments: LogoutArguments) -> Result<ExitCode, Failure> {
    let host = host(&arguments.host)?;
    let network = crate::arguments::registry::NetworkOptions {
        authfile: arguments.authfile,
        ..Default::default()
    };
    let registry = context.registry(&network);
    let places = registry
        .options()
        .credentials
        .forget(&host)
        .map_err(|error| Failure::from(ounce_oci::registry::RegistryError::from(error)))?;
    context.output.note(&format!(
        "logged out of {host}; forgotten by {}",
        places.join(", ")
    ));
    Ok(ExitCode::SUCCESS)
}

/// The host alone, as people write it in several ways.
fn host(text: &str) -> Result<String, Failure> {
    let rest = text.split_once("://").map_or(text, |(_, rest)| rest);
    let host = rest.split('/').next().unwrap_or_default();
    // What no image's name can begin with is no host.
    let is_host = format!("{host}/x").parse::<ounce_oci::Reference>().is_ok();
    match is_host && !host.is_empty() {
        true => Ok(host.to_owned()),
        false => Err(
            Failure::new(Kind::Usage, format!("{text:?} is no registry"))
                .hint("ounce login HOST[:PORT]"),
        ),
    }
}

fn ask_user() -> Result<String, Failure> {
    let mut stderr = io::stderr();
    write!(stderr, "user name: ")?;
    stderr.flush()?;
    let mut line = String::new();
    io::stdin().lock().read_line(&mut line)?;
    Ok(line.trim().to_owned())
}

/// Gives the terminal its ways back, whatever happens.
struct Raw;

impl Drop for Raw {
    fn drop(&mut self) {
        let _ = disable_raw_mode();
    }
}

/// Reads a line without showing it.
fn ask_password() -> Result<String, Failure> {
    let mut stderr = io::stderr();
    write!(stderr, "password: ")?;
    stderr.flush()?;
    enable_raw_mode()?;
    let raw = Raw;
    let mut bytes = Vec::new();
    for byte in io::stdin().lock().bytes() {
        match byte? {
            b'\r' | b'\n' => break,
            // Ctrl-C, Ctrl-D.
            3 | 4 => {
                drop(raw);
                writeln!(stderr)?;
                return Err(Failure::new(Kind::Usage, "given up"));
            }
            // Backspace takes a whole letter, which may have several bytes.
            8 | 127 => while bytes.pop().is_some_and(|byte| byte & 0xC0 == 0x80) {},
            byte => bytes.push(byte),
        }
    }
    drop(raw);
    writeln!(stderr)?;
    String::from_utf8(bytes)
        .map_err(|_| Failure::new(Kind::Usage, "the password is not valid UTF-8"))
}
