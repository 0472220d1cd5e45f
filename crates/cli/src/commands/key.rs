//! `ounce key`: makes a pair of keys to sign images with; and how the other
//! commands read keys.

use std::fs;
use std::io::{Read as _, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use ounce_oci::signature::key::KEY_LIMIT;
use ounce_oci::signature::{Algorithm, KeyError, PrivateKey, PublicKey};
use serde::Serialize;

use super::Context;
use crate::arguments::supply::{AlgorithmChoice, KeyArguments, KeyNewArguments, KeyVerb};
use crate::failure::{Failure, Kind};
use crate::output::Output;

/// What cosign and podman read a key's password from.
const PASSWORD: &str = "COSIGN_PASSWORD";

#[derive(Serialize)]
struct Document {
    schema: &'static str,
    algorithm: String,
    fingerprint: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    private_file: Option<PathBuf>,
    #[serde(skip_serializing_if = "Option::is_none")]
    public_file: Option<PathBuf>,
    public: String,
}

/// Makes a pair, or prints the public half of one.
pub(crate) fn run(context: &Context, arguments: KeyArguments) -> Result<ExitCode, Failure> {
    match arguments.verb {
        KeyVerb::New(arguments) => new(context, &arguments),
        KeyVerb::Public(arguments) => {
            let key = private(
                context.output,
                &arguments.file,
                arguments.password_file.as_deref(),
            )?;
            tell(context, &key.public(), None)
        }
    }
}

fn new(context: &Context, arguments: &KeyNewArguments) -> Result<ExitCode, Failure> {
    let algorithm = match arguments.algorithm {
        AlgorithmChoice::Ecdsa => Algorithm::EcdsaP256,
        AlgorithmChoice::Ed25519 => Algorithm::Ed25519,
    };
    let password = match arguments.encrypt || arguments.password_file.is_some() {
        false => None,
        true => {
            let given = password(arguments.password_file.as_deref())?;
            let missing = || {
                Failure::new(Kind::Usage, "--encrypt wants a password")
                    .hint(format!("set {PASSWORD}, or give --password-file FILE"))
            };
            Some(given.ok_or_else(missing)?)
        }
    };
    let with = |suffix: &str| {
        let mut name = arguments.name.clone().into_os_string();
        name.push(suffix);
        PathBuf::from(name)
    };
    let (private_file, public_file) = (with(".key"), with(".pub"));
    for file in [&private_file, &public_file] {
        if file.symlink_metadata().is_ok() {
            let what = format!("{} is there already", file.display());
            return Err(Failure::new(Kind::Usage, what)
                .hint("a key that is lost cannot be had again: choose another name"));
        }
    }
    let key = PrivateKey::generate(algorithm)?;
    write_new(&private_file, 0o600, &key.to_pem(password.as_deref())?)?;
    let public = key.public();
    write_new(&public_file, 0o644, &public.to_pem())?;
    tell(context, &public, Some((private_file, public_file)))
}

/// Never over a file that is there: it may be the only copy of a key.
fn write_new(path: &Path, mode: u32, text: &str) -> Result<(), Failure> {
    let written = fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(mode)
        .open(path)
        .and_then(|mut file| {
            file.write_all(text.as_bytes())?;
            file.sync_all()
        });
    written
        .map_err(|error| Failure::new(Kind::Host, format!("writing {}: {error}", path.display())))
}

fn tell(
    context: &Context,
    public: &PublicKey,
    files: Option<(PathBuf, PathBuf)>,
) -> Result<ExitCode, Failure> {
    if context.output.json {
        let (private_file, public_file) = files.unzip();
        context.output.document(&Document {
            schema: "ounce.key/1",
            algorithm: public.algorithm().to_string(),
            fingerprint: public.fingerprint().to_string(),
            private_file,
            public_file,
            public: public.to_pem(),
        })?;
    } else if let Some((private, public_file)) = files {
        context.output.text(&format!(
            "{}: sign with it, and keep it secret\n{}: give it to whoever verifies\n",
            private.display(),
            public_file.display()
        ))?;
    } else {
        context.output.text(&public.to_pem())?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Reads a private key; one that others may read is told of.
///
/// # Errors
/// The file cannot be read, or holds no such key.
pub(crate) fn private(
    output: Output,
    path: &Path,
    password_file: Option<&Path>,
) -> Result<PrivateKey, Failure> {
    let text = read(path)?;
    if let Ok(data) = fs::metadata(path)
        && data.permissions().mode() & 0o077 != 0
    {
        let path = path.display();
        output.note(&format!(
            "note: others than you may read {path}: chmod 600 {path}"
        ));
    }
    let sealed = text.contains("-----BEGIN ENCRYPTED ");
    let password = if sealed {
        password(password_file)?
    } else {
        None
    };
    PrivateKey::from_pem(&text, password.as_deref()).map_err(|error| at(path, error))
}

/// Reads a public key.
///
/// # Errors
/// As [`private`].
pub(crate) fn public(path: &Path) -> Result<PublicKey, Failure> {
    PublicKey::from_pem(&read(path)?).map_err(|error| at(path, error))
}

#[derive(Debug, thiserror::Error)]
#[error("reading the key {}", path.display())]
struct Unread {
    path: PathBuf,
    #[source]
    source: KeyError,
}

fn at(path: &Path, source: KeyError) -> Failure {
    let hint = source.hint();
    let path = path.to_owned();
    let failure = Failure::new(Kind::Input, Unread { path, source });
    hint.into_iter().fold(failure, Failure::hint)
}

fn read(path: &Path) -> Result<String, Failure> {
    let failed = |error: &dyn std::fmt::Display| {
        Failure::new(
            Kind::Input,
            format!("reading the key {}: {error}", path.display()),
        )
        .hint("ounce key new NAME makes a pair: NAME.key and NAME.pub")
    };
    let mut text = String::new();
    let file = fs::File::open(path).map_err(|error| failed(&error))?;
    file.take(KEY_LIMIT + 1)
        .read_to_string(&mut text)
        .map_err(|error| failed(&error))?;
    if text.len() as u64 > KEY_LIMIT {
        return Err(failed(&"it is longer than 64 KiB"));
    }
    Ok(text)
}

/// The password of an encrypted key, from a file's first line or the environment.
fn password(file: Option<&Path>) -> Result<Option<Vec<u8>>, Failure> {
    let Some(file) = file else {
        return Ok(std::env::var_os(PASSWORD).map(|text| text.into_encoded_bytes()));
    };
    let text = fs::read(file).map_err(|error| {
        let what = format!("reading the password {}: {error}", file.display());
        Failure::new(Kind::Input, what)
    })?;
    let line = text.split(|byte| *byte == b'\n').next().unwrap_or_default();
    Ok(Some(line.strip_suffix(b"\r").unwrap_or(line).to_vec()))
}

impl From<KeyError> for Failure {
    fn from(error: KeyError) -> Self {
        let kind = match error {
            KeyError::Random => Kind::Host,
            _ => Kind::Input,
        };
        let hint = error.hint();
        hint.into_iter()
            .fold(Failure::new(kind, error), Failure::hint)
    }
}
