//! Who we are to a registry: docker's and podman's credential files, and the
//! helper programs that they name.
//!
//! Read are `auths` (by repository, then by host), `credHelpers` and
//! `credsStore` of docker's `config.json` and of podman's `auth.json`
//! (containers-auth.json(5)). A helper is a program `docker-credential-NAME`
//! that is spoken to over its standard streams (docker's "Credential helper
//! protocol"). Writing changes one entry and keeps all else; the new file takes
//! the old one's place in one step and is readable by its owner only.

use std::fmt;
use std::fs::{self, OpenOptions};
use std::io::{self, ErrorKind, Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::remote::{docker_key, plain_host};
use crate::lock::Lock;

/// What must not be shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Takes it in.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    pub(crate) fn text(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(secret)")
    }
}

/// A way to say who one is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Credential {
    /// User and password.
    Basic(String, Secret),
    /// A token that others are had for (OAuth 2's refresh token).
    Identity(Secret),
}

/// A credential file or a helper is of no use.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CredentialError {
    /// The file cannot be read or written.
    #[error("{action} {path}")]
    File {
        /// `reading`, `writing`.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// It is not what it should be.
    #[error("{path} is no file of credentials: {why}")]
    Content {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        why: String,
    },
    /// A helper did not do it.
    #[error("the credential helper {program} failed: {why}")]
    Helper {
        /// The program.
        program: String,
        /// What went wrong; never what it printed on its stdout.
        why: String,
    },
    /// There is nothing to take away.
    #[error("nobody is logged in to {host}")]
    NotLoggedIn {
        /// The registry.
        host: String,
    },
}

impl CredentialError {
    /// What to do about it.
    pub fn hint(&self) -> &'static str {
        match self {
            Self::File { .. } => "look at its owner and mode, or name another one: --authfile FILE",
            Self::Content { .. } => "mend it, or name another one: --authfile FILE",
            Self::Helper { .. } => {
                "install it, or take its name out of the file: credsStore, credHelpers"
            }
            Self::NotLoggedIn { .. } => "`ounce login HOST` logs in",
        }
    }
}

/// Files of credentials, in the order in which they are looked through.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Credentials {
    /// Those that are read; what is not there is passed by.
    pub files: Vec<PathBuf>,
    /// The one that a first login is written to.
    pub default: Option<PathBuf>,
}

/// Most bytes of such a file, and of a helper's answer.
const MOST_BYTES: u64 = 4 << 20;

/// How long a helper may take: some ask the user.
const HELPER_TIMEOUT: Duration = Duration::from_secs(120);

/// What a helper answers.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Answered {
    username: String,
    secret: String,
}

/// The user's name of which a helper's secret is a refresh token.
const TOKEN_USER: &str = "<token>";

impl Credentials {
    /// What there is for a repository of a registry.
    pub(crate) fn find(
        &self,
        host: &str,
        repository: &str,
    ) -> Result<Option<Credential>, CredentialError> {
        for path in &self.files {
            let Some(file) = read(path)? else {
                continue;
            };
            if let Some(found) = find_in(path, &file, host, repository)? {
                return Ok(Some(found));
            }
        }
        Ok(None)
    }

    /// Where a login to `host` is written to: the file that knows it, else the default.
    fn target(&self, host: &str) -> Result<Option<PathBuf>, CredentialError> {
        for path in &self.files {
            if let Some(file) = read(path)?
                && (helper_for(&file, host).is_some() || !keys_of(&file, host).is_empty())
            {
                return Ok(Some(path.clone()));
            }
        }
        Ok(self.default.clone().or_else(|| self.files.first().cloned()))
    }

    /// Keeps user and password, and says where.
    ///
    /// # Errors
    /// A file that is no file of credentials, a disk or a helper that refuses.
    pub fn keep(&self, host: &str, user: &str, secret: &Secret) -> Result<String, CredentialError> {
        let host = plain_host(host);
        let path = self.target(&host)?.unwrap_or_default();
        change(&path, |file| {
            if let Some(helper) = helper_for(file, &host) {
                let input = json!({
                    "ServerURL": docker_key(&host),
                    "Username": user,
                    "Secret": secret.text(),
                });
                call(&helper, "store", &input.to_string())?;
                return Ok((false, format!("the credential helper {helper}")));
            }
            let auth = BASE64_STANDARD.encode(format!("{user}:{}", secret.text()));
            let keys = keys_of(file, &host);
            let key = keys.first().cloned().unwrap_or_else(|| docker_key(&host));
            let auths = file.entry("auths").or_insert_with(|| json!({}));
            let Some(auths) = auths.as_object_mut() else {
                return Err(content(&path, "auths is no object"));
            };
            auths.insert(key, json!({ "auth": auth }));
            Ok((true, path.display().to_string()))
        })
    }

    /// Forgets who we are to `host`, in every file, and says where it stood.
    ///
    /// # Errors
    /// As [`Credentials::keep`]; nobody was logged in.
    pub fn forget(&self, host: &str) -> Result<Vec<String>, CredentialError> {
        let host = plain_host(host);
        let mut places = Vec::new();
        for path in &self.files {
            let Some(file) = read(path)? else {
                continue;
            };
            if let Some(helper) = helper_for(&file, &host)
                && call(&helper, "get", &docker_key(&host))?.is_some()
            {
                call(&helper, "erase", &docker_key(&host))?;
                places.push(format!("the credential helper {helper}"));
            }
            if keys_of(&file, &host).is_empty() {
                continue;
            }
            change(path, |file| {
                let keys = keys_of(file, &host);
                if let Some(auths) = file.get_mut("auths").and_then(Value::as_object_mut) {
                    auths.retain(|key, _| !keys.contains(key));
                }
                Ok((!keys.is_empty(), ()))
            })?;
            places.push(path.display().to_string());
        }
        match places.is_empty() {
            true => Err(CredentialError::NotLoggedIn { host }),
            false => Ok(places),
        }
    }
}

/// The program that knows about a host, by this file.
fn helper_for(file: &Map<String, Value>, host: &str) -> Option<String> {
    let named = file.get("credHelpers").and_then(Value::as_object);
    let of_host = named.and_then(|named| {
        let found = named.iter().find(|(key, _)| plain_host(key) == host);
        found.and_then(|(_, helper)| helper.as_str())
    });
    let helper = of_host.or_else(|| file.get("credsStore")?.as_str())?;
    (!helper.is_empty()).then(|| helper.to_owned())
}

/// The keys of `auths` that mean the whole host.
fn keys_of(file: &Map<String, Value>, host: &str) -> Vec<String> {
    let auths = file.get("auths").and_then(Value::as_object);
    let keys = auths.into_iter().flat_map(Map::keys);
    keys.filter(|key| key_means(key, host, ""))
        .cloned()
        .collect()
}

/// Whether a key of `auths` means this host and this part of its repositories. A
/// key with a scheme is docker's and has the path of an API behind it.
fn key_means(key: &str, host: &str, part: &str) -> bool {
    if plain_host(key) != host {
        return false;
    }
    let has_scheme = key.contains("://");
    let path = key.split_once("://").map_or(key, |(_, rest)| rest);
    let path = path.split_once('/').map_or("", |(_, path)| path);
    match has_scheme || matches!(path, "v1" | "v1/" | "v2" | "v2/") {
        true => part.is_empty(),
        false => path == part,
    }
}

fn find_in(
    path: &Path,
    file: &Map<String, Value>,
    host: &str,
    repository: &str,
) -> Result<Option<Credential>, CredentialError> {
    // A helper that is named for this very host goes before what is written.
    let named = file.get("credHelpers").is_some();
    if let (true, Some(helper)) = (named, helper_for(file, host))
        && file.get("credsStore").and_then(Value::as_str) != Some(&helper)
    {
        return call(&helper, "get", &docker_key(host));
    }
    let auths = file.get("auths").and_then(Value::as_object);
    // From the repository upward to the host.
    let mut part = repository;
    loop {
        let entry = auths
            .into_iter()
            .flatten()
            .find(|(key, _)| key_means(key, host, part));
        if let Some((key, entry)) = entry
            && let Some(found) = credential(path, key, entry)?
        {
            return Ok(Some(found));
        }
        if part.is_empty() {
            break;
        }
        part = part.rsplit_once('/').map_or("", |(front, _)| front);
    }
    match helper_for(file, host) {
        Some(helper) => call(&helper, "get", &docker_key(host)),
        None => Ok(None),
    }
}

/// `{"auth": base64("USER:PASSWORD"), "identitytoken": …}`; an empty entry, which
/// docker writes beside a helper, says nothing.
fn credential(
    path: &Path,
    key: &str,
    entry: &Value,
) -> Result<Option<Credential>, CredentialError> {
    let text = |name: &str| {
        entry
            .get(name)
            .and_then(Value::as_str)
            .filter(|text| !text.is_empty())
    };
    if let Some(token) = text("identitytoken") {
        return Ok(Some(Credential::Identity(Secret::new(token))));
    }
    if let (Some(user), Some(password)) = (text("username"), text("password")) {
        return Ok(Some(Credential::Basic(
            user.to_owned(),
            Secret::new(password),
        )));
    }
    let Some(auth) = text("auth") else {
        return Ok(None);
    };
    let broken = || {
        content(
            path,
            format!("auth of {key} is not base64 of USER:PASSWORD"),
        )
    };
    let bytes = BASE64_STANDARD.decode(auth.trim()).map_err(|_| broken())?;
    let text = String::from_utf8(bytes).map_err(|_| broken())?;
    let (user, password) = text.split_once(':').ok_or_else(broken)?;
    // Some versions of docker left zeros behind it.
    let password = password.trim_end_matches('\0');
    Ok(Some(Credential::Basic(
        user.to_owned(),
        Secret::new(password),
    )))
}

fn content(path: &Path, why: impl Into<String>) -> CredentialError {
    CredentialError::Content {
        path: path.to_owned(),
        why: why.into(),
    }
}

/// Reads such a file; `None` where there is none.
fn read(path: &Path) -> Result<Option<Map<String, Value>>, CredentialError> {
    let file_error = |source| CredentialError::File {
        action: "reading",
        path: path.to_owned(),
        source,
    };
    let file = match crate::blobs::open_plain(path) {
        Ok(file) => file,
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
            return Ok(None);
        }
        Err(error) => return Err(file_error(error)),
    };
    let mut bytes = Vec::new();
    file.take(MOST_BYTES)
        .read_to_end(&mut bytes)
        .map_err(file_error)?;
    if bytes.iter().all(u8::is_ascii_whitespace) {
        return Ok(Some(Map::new()));
    }
    // What serde says would quote a secret where a comma is missing beside it.
    match serde_json::from_slice(&bytes) {
        Ok(Value::Object(file)) => Ok(Some(file)),
        Ok(_) => Err(content(path, "it is no JSON object")),
        Err(error) => Err(content(
            path,
            format!(
                "no JSON at line {}, column {}",
                error.line(),
                error.column()
            ),
        )),
    }
}

/// How long another process that writes the same file is waited for.
const LOCK_TIMEOUT: Duration = Duration::from_secs(10);

/// Changes a file of credentials, or makes it.
fn change<T>(
    path: &Path,
    change: impl FnOnce(&mut Map<String, Value>) -> Result<(bool, T), CredentialError>,
) -> Result<T, CredentialError> {
    let file_error = |source| CredentialError::File {
        action: "writing",
        path: path.to_owned(),
        source,
    };
    // Where it is a link, as of people who keep their settings elsewhere, the
    // link stays.
    let real = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let folder = match real.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    if !folder.is_dir() {
        fs::create_dir_all(folder).map_err(file_error)?;
    }
    let _lock = Lock::folder(folder, LOCK_TIMEOUT)
        .map_err(|error| file_error(io::Error::other(error.to_string())))?;
    let mut file = read(&real)?.unwrap_or_default();
    let (is_changed, result) = change(&mut file)?;
    if !is_changed {
        return Ok(result);
    }
    let mut text =
        serde_json::to_string_pretty(&file).map_err(|error| file_error(io::Error::other(error)))?;
    text.push('\n');
    let temporary = folder.join(format!(".ounce-auth-{}", std::process::id()));
    let written = (|| {
        // What a process of this number, now dead, may have left.
        let _ = fs::remove_file(&temporary);
        let mut file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&temporary)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        fs::rename(&temporary, &real)
    })();
    if let Err(source) = written {
        let _ = fs::remove_file(&temporary);
        return Err(file_error(source));
    }
    Ok(result)
}

/// Asks a helper; `None` where it knows nothing of the registry.
fn call(helper: &str, action: &str, input: &str) -> Result<Option<Credential>, CredentialError> {
    let program = format!("docker-credential-{helper}");
    let failed = |why: String| CredentialError::Helper {
        program: program.clone(),
        why,
    };
    let is_name = helper
        .bytes()
        .all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte));
    if !is_name {
        return Err(failed("its name is not one".to_owned()));
    }
    let mut child = Command::new(&program)
        .arg(action)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::inherit())
        .spawn()
        .map_err(|error| failed(error.to_string()))?;
    if let Some(mut stdin) = child.stdin.take() {
        // One that does not read its input says so by its end.
        let _ = stdin.write_all(input.as_bytes());
    }
    let stdout = child.stdout.take();
    let reader = std::thread::spawn(move || {
        let mut answer = Vec::new();
        if let Some(stdout) = stdout {
            let _ = stdout.take(MOST_BYTES).read_to_end(&mut answer);
        }
        answer
    });
    let begun = Instant::now();
    let status = loop {
        match child
            .try_wait()
            .map_err(|error| failed(error.to_string()))?
        {
            Some(status) => break status,
            None if begun.elapsed() > HELPER_TIMEOUT => {
                let _ = child.kill();
                let _ = child.wait();
                return Err(failed(format!(
                    "it takes longer than {} s",
                    HELPER_TIMEOUT.as_secs()
                )));
            }
            None => std::thread::sleep(Duration::from_millis(5)),
        }
    };
    let answer = reader.join().unwrap_or_default();
    if !status.success() {
        // The words of docker's helpers (credentials.ErrCredentialsNotFound).
        let text = String::from_utf8_lossy(&answer);
        return match action {
            "get" | "erase" if text.contains("not found") || text.contains("no credentials") => {
                Ok(None)
            }
            _ => Err(failed(status.to_string())),
        };
    }
    if action != "get" {
        return Ok(None);
    }
    let answered: Answered = serde_json::from_slice(&answer)
        .map_err(|_| failed("what it says is not what the protocol has".to_owned()))?;
    let secret = Secret::new(answered.secret);
    Ok(Some(match answered.username.as_str() {
        TOKEN_USER => Credential::Identity(secret),
        _ => Credential::Basic(answered.username, secret),
    }))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn basic(user: &str, password: &str) -> Option<Credential> {
        Some(Credential::Basic(user.to_owned(), Secret::new(password)))
    }

    fn files(texts: &[&str]) -> (tempfile::TempDir, Credentials) {
        let folder = tempfile::tempdir().unwrap();
        let mut credentials = Credentials::default();
        for (at, text) in texts.iter().enumerate() {
            let path = folder.path().join(format!("{at}.json"));
            fs::write(&path, text).unwrap();
            credentials.files.push(path);
        }
        (folder, credentials)
    }

    #[test]
    fn what_is_nearest_to_the_repository_goes_first() {
        // a:b, c:d, e:f, g:h:i
        let (_folder, credentials) = files(&[
            r#"{"auths": {"r.example": {"auth": "YTpi"}, "r.example/team": {"auth": "Yzpk"}}}"#,
            r#"{"auths": {"https://index.docker.io/v1/": {"auth": "ZTpm"}, "r.example/x": {"auth": "ZTpm"},
                "https://s.example:5000/v2/": {"auth": "ZzpoOmk="}, "empty.example": {}}}"#,
        ]);
        for (host, repository, found) in [
            ("r.example", "team/app", basic("c", "d")),
            ("r.example", "teams/app", basic("a", "b")),
            ("r.example", "x", basic("a", "b")),
            ("docker.io", "library/alpine", basic("e", "f")),
            ("s.example:5000", "x", basic("g", "h:i")),
            ("s.example", "x", None),
            ("empty.example", "x", None),
        ] {
            assert_eq!(
                credentials.find(host, repository).unwrap(),
                found,
                "{host}/{repository}"
            );
        }
    }

    #[test]
    fn a_damaged_file_is_told_by_its_path_and_shows_no_secret() {
        for text in [
            "[]",
            r#"{"auths": {"r.example": {"auth": "secret secret"}}}"#,
            r#"{"auths": {"r.example": {"auth": "c2VjcmV0"}}}"#,
            r#"{"auths": {"r.example": {"auth": "secret" "x"}}}"#,
        ] {
            let (folder, credentials) = files(&[text]);
            let error = credentials.find("r.example", "x").unwrap_err();
            let shown = format!("{error} {error:?}");
            assert!(shown.contains(folder.path().to_str().unwrap()), "{shown}");
            assert!(
                !shown.contains("secret") && !shown.contains("c2Vj"),
                "{shown}"
            );
        }
    }

    #[test]
    fn a_login_keeps_all_else_and_is_its_owners_alone() {
        let (folder, mut credentials) =
            files(&[r#"{"detachKeys": "ctrl-x", "auths": {"o.example": {"auth": "YTpi"}}}"#]);
        let path = credentials.files[0].clone();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        credentials.default = Some(folder.path().join("deep/auth.json"));
        credentials
            .keep("o.example", "u", &Secret::new("p:q"))
            .unwrap();
        assert_eq!(
            credentials.find("o.example", "x").unwrap(),
            basic("u", "p:q")
        );
        assert_eq!(
            fs::metadata(&path).unwrap().permissions().mode() & 0o777,
            0o600
        );
        assert!(fs::read_to_string(&path).unwrap().contains("ctrl-x"));
        // One that no file knows yet goes to the default.
        credentials
            .keep("n.example", "n", &Secret::new("m"))
            .unwrap();
        let new = folder.path().join("deep/auth.json");
        assert_eq!(
            fs::metadata(&new).unwrap().permissions().mode() & 0o777,
            0o600
        );
        credentials.files.push(new);
        assert_eq!(credentials.find("n.example", "x").unwrap(), basic("n", "m"));
        assert_eq!(credentials.forget("o.example").unwrap().len(), 1);
        assert_eq!(credentials.find("o.example", "x").unwrap(), None);
        assert!(fs::read_to_string(&path).unwrap().contains("ctrl-x"));
        assert!(matches!(
            credentials.forget("o.example"),
            Err(CredentialError::NotLoggedIn { .. })
        ));
    }

    #[test]
    fn a_helper_whose_name_is_a_path_is_not_run() {
        let (_folder, credentials) = files(&[r#"{"credsStore": "../../bin/sh"}"#]);
        let error = credentials.find("r.example", "x").unwrap_err();
        assert!(matches!(error, CredentialError::Helper { .. }), "{error}");
    }
}
