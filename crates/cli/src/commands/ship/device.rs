//! `ounce ship FIRMWARE --to device`: reads files and the key, writes the folder.

use std::convert::Infallible;
use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use ounce_oci::signature::{Algorithm, PrivateKey, PublicKey};
use ounce_ota::Version;
use ounce_ota::esp::image::Chip;
use ounce_ota::pack::{KeyRelease, Sign};
use ounce_ship::channel::{self, Channel};
use ounce_ship::device::{self, DeviceError, Request};
use ounce_ship::shipment::Created;
use serde::Serialize;

use super::write;
use crate::arguments::device::DeviceOptions;
use crate::arguments::ship::ShipOptions;
use crate::commands::{Context, key};
use crate::failure::{Failure, Kind};

/// Most bytes of a file that is read: the largest flash there is on such a chip.
const MOST: u64 = 64 << 20;

/// How one comes to a key that devices verify by.
const NEW_KEY: &str = "ounce key new NAME --algorithm ed25519 makes one";

#[derive(Serialize)]
struct Document<'a> {
    schema: &'static str,
    target: &'static str,
    product: &'a str,
    version: String,
    channel: &'a str,
    /// What devices are built with to take these updates: 32 bytes.
    public_key: String,
    key: u8,
    folder: &'a Path,
    files: Vec<Written<'a>>,
    creates: &'a [Created],
    notes: &'a [String],
    next: &'a [String],
}

#[derive(Serialize)]
struct Written<'a> {
    path: &'a str,
    bytes: usize,
}

/// The key, as the packer takes it.
struct Signer(PrivateKey);

impl Sign for Signer {
    type Error = Infallible;

    fn sign(&mut self, message: &[u8]) -> Result<[u8; 64], Infallible> {
        // Ed25519 takes no random numbers and always gives 64 bytes; of another kind no signer is made.
        let signature = self.0.sign(message).unwrap_or_default();
        Ok(signature.try_into().unwrap_or([0; 64]))
    }
}

/// Ships a firmware.
pub(super) fn run(
    context: &Context,
    firmware: &str,
    options: &ShipOptions,
) -> Result<ExitCode, Failure> {
    let own = &options.device;
    let missing = |what: &str| {
        Failure::new(Kind::Usage, format!("--to device wants {what}")).hint(
            "ounce ship firmware.elf --to device --product lamp --firmware-version 1.0.0 \
             --key updates.key -o release",
        )
    };
    if options.apply || options.explain {
        let why = "--apply and --explain are for platforms that run images, not for a device";
        return Err(Failure::new(Kind::Usage, why)
            .hint("-o DIR writes what esptool flashes and servers serve"));
    }
    let product = own
        .product
        .as_deref()
        .ok_or_else(|| missing("--product NAME"))?;
    let version = own
        .firmware_version
        .ok_or_else(|| missing("--firmware-version 1.2.3"))?;
    let folder = options
        .output
        .as_deref()
        .ok_or_else(|| missing("--output DIR: it makes bytes, not text"))?;
    let key = own.key.as_deref().ok_or_else(|| missing("--key FILE"))?;
    let chip = match own.chip.as_str() {
        "none" => None,
        name => Some(
            Chip::ALL
                .into_iter()
                .find(|chip| chip.name() == name)
                .ok_or_else(|| {
                    let names: Vec<&str> = Chip::ALL.iter().map(|chip| chip.name()).collect();
                    Failure::new(Kind::Usage, format!("the chip {name:?} is not known"))
                        .hint(format!("{} are, and none for any other", names.join(", ")))
                })?,
        ),
    };
    if !key.exists() {
        let why = format!("there is no key {}", key.display());
        return Err(Failure::new(Kind::Input, why).hint(NEW_KEY));
    }
    let private = key::private(context.output, key, own.password_file.as_deref())?;
    let public = private.public();
    if public.algorithm() != Algorithm::Ed25519 {
        let why = format!(
            "{} is a key of {}, and devices verify ed25519",
            key.display(),
            public.algorithm()
        );
        return Err(Failure::new(Kind::Input, why).hint(NEW_KEY));
    }
    let keys = keys(context, own, product, &public)?;
    let bytes = read(Path::new(firmware))?;
    let index = folder.join(channel::index_file(&own.channel));
    let published = match index.try_exists() {
        Ok(false) => None,
        _ => Some(
            Channel::read(&read(&index)?).map_err(|error| failed(DeviceError::Channel(error)))?,
        ),
    };
    let from = match own.from.is_empty() {
        true => earlier(folder, product, version),
        false => own.from.clone(),
    };
    let olds: Vec<Vec<u8>> = from
        .iter()
        .map(|path| read(path))
        .collect::<Result<_, _>>()?;
    let boot_loader = own.boot_loader.as_deref().map(read).transpose()?;
    let request = Request {
        product,
        hardware: own.hardware,
        version,
        counter: own.counter,
        chip,
        firmware: &bytes,
        olds: olds.iter().map(Vec::as_slice).collect(),
        boot_loader: boot_loader.as_deref(),
        expires: own.expires,
        revokes: own.revoke.iter().fold(0, |mask, key| mask | 1 << key),
        key: own.key_number,
        channel: &own.channel,
        share: own.rollout,
        published: published.as_ref(),
        keys: own.keys_version.zip(keys.as_deref()),
    };
    let mut shipment = device::ship(&request, &mut Signer(private)).map_err(failed)?;
    let public_key = raw(&public.to_bytes());
    shipment.notes.push(format!(
        "devices verify by key {}: {public_key}",
        own.key_number
    ));
    // The index is the first, and written last: what it names is there.
    for file in shipment.files.iter().rev() {
        write::put(folder, file)?;
    }
    if context.output.json {
        let files = shipment.files.iter();
        context.output.document(&Document {
            schema: "ounce.ship.device/1",
            target: "device",
            product,
            version: version.to_string(),
            channel: &own.channel,
            public_key,
            key: own.key_number,
            folder,
            files: files
                .map(|file| Written {
                    path: &file.path,
                    bytes: file.contents.len(),
                })
                .collect(),
            creates: &shipment.creates,
            notes: &shipment.notes,
            next: &shipment.next,
        })?;
        return Ok(ExitCode::SUCCESS);
    }
    for note in &shipment.notes {
        context.output.note(&format!("note: {note}"));
    }
    let lines = shipment.files.iter().map(|file| {
        format!(
            "{:>9}  {}\n",
            file.contents.len(),
            folder.join(&file.path).display()
        )
    });
    context.output.text(&lines.collect::<String>())?;
    for command in &shipment.next {
        context
            .output
            .note(&format!("in {}: {command}", folder.display()));
    }
    Ok(ExitCode::SUCCESS)
}

/// The app images of earlier releases in the folder.
fn earlier(folder: &Path, product: &str, version: Version) -> Vec<PathBuf> {
    let names = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let names = names.filter_map(|entry| entry.file_name().into_string().ok());
    let found = channel::earlier(names.collect(), product, version);
    found.into_iter().map(|name| folder.join(name)).collect()
}

/// The record of keys, where one is asked for.
fn keys(
    context: &Context,
    own: &DeviceOptions,
    product: &str,
    signs: &PublicKey,
) -> Result<Option<Vec<u8>>, Failure> {
    // The last second of a day; records count days.
    let day = |end: u64| u16::try_from(end / 86_400).unwrap_or(u16::MAX);
    let (Some(version), Some(made)) = (own.keys_version, own.keys_made) else {
        return Ok(None);
    };
    let usage = |why: String, hint: &str| Err(Failure::new(Kind::Usage, why).hint(hint));
    if own.root_key.is_empty() || own.trust.is_empty() {
        return usage(
            "a record of keys is signed by --root-key NUMBER=FILE and names --trust NUMBER=FILE"
                .into(),
            "ounce key new root --algorithm ed25519 makes a root key, of which devices are built with the \
             public half",
        );
    }
    let mut named = Vec::new();
    for (number, file) in &own.trust {
        let key = key::public(file)?;
        let bytes = key.to_bytes();
        let Ok(bytes) = <[u8; 32]>::try_from(bytes.as_slice()) else {
            let why = format!("{} is no key of ed25519", file.display());
            return Err(Failure::new(Kind::Input, why));
        };
        named.push((*number, bytes));
    }
    let own_key = named.iter().find(|(number, _)| *number == own.key_number);
    if own_key.map(|(_, key)| key.as_slice()) != Some(signs.to_bytes().as_slice()) {
        return usage(
            format!(
                "the record does not name --key as number {}: no device would take the update",
                own.key_number
            ),
            "--trust NUMBER=FILE.pub with the public half of --key, and --key-number NUMBER",
        );
    }
    let mut roots = Vec::new();
    for (number, file) in &own.root_key {
        let root = key::private(context.output, file, own.password_file.as_deref())?;
        if root.public().algorithm() != Algorithm::Ed25519 {
            let why = format!("{} is no key of ed25519", file.display());
            return Err(Failure::new(Kind::Input, why));
        }
        roots.push((*number, Signer(root)));
    }
    let release = KeyRelease {
        product,
        version,
        issued: day(made),
        expires: own.keys_expire.map(day),
        keys: &named,
    };
    let record = release.sign(&mut roots);
    let record = record.map_err(|error| Failure::new(Kind::Usage, error))?;
    Ok(Some(record))
}

fn raw(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn read(path: &Path) -> Result<Vec<u8>, Failure> {
    let failed = |why: &dyn std::fmt::Display| {
        Failure::new(Kind::Input, format!("reading {}: {why}", path.display()))
    };
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(|error| failed(&error))?;
    file.take(MOST + 1)
        .read_to_end(&mut bytes)
        .map_err(|error| failed(&error))?;
    if bytes.len() as u64 > MOST {
        return Err(failed(&"it is larger than 64 MB, and no firmware"));
    }
    if bytes.is_empty() {
        return Err(failed(&"it is empty"));
    }
    Ok(bytes)
}

fn failed(error: DeviceError<Infallible>) -> Failure {
    let hint = error.hint();
    let failure = Failure::new(Kind::Input, error);
    hint.into_iter().fold(failure, Failure::hint)
}
