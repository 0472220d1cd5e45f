//! A firmware on microcontrollers: the flash of a new device, and signed updates for those that are out.
//!
//! The firmware is an ELF, an app image of ESP-IDF, or for other chips any bytes. What comes out is a
//! folder that any server of files can serve: nothing on that side has to be trusted, since devices
//! verify the signature.

use object::read::elf::{FileHeader, ProgramHeader as _};
use object::{Endianness, elf};
use ounce_ota::esp::image::Chip;
use ounce_ota::pack::esp_image::{self, ImageFault, Segment, chip_of};
use ounce_ota::pack::flash::{self, FlashFault};
use ounce_ota::pack::{Bundle, PackError, Release, Sign, digest, partitions};
use ounce_ota::{Digest, Version};
use serde::Serialize;

use crate::Shipment;
use crate::channel::{Channel, ChannelError, SCHEMA, file_name, index_file};
use crate::shipment::{Created, File};

/// Bytes of flash that a new device has: 4 MB.
pub const FLASH_BYTES: usize = 4 << 20;

/// What is shipped, and how.
#[derive(Debug, Clone)]
pub struct Request<'a> {
    /// The product's name, as devices know it.
    pub product: &'a str,
    /// The lowest and highest revision of the hardware it is for.
    pub hardware: (u32, u32),
    /// Its version.
    pub version: Version,
    /// Its anti-rollback counter.
    pub counter: u32,
    /// The chip; `None`: another than ESP32, of which updates are made, and no flash.
    pub chip: Option<Chip>,
    /// The firmware.
    pub firmware: &'a [u8],
    /// What devices run now: for each a delta is made.
    pub olds: Vec<&'a [u8]>,
    /// The boot loader, to stand on a new device's flash.
    pub boot_loader: Option<&'a [u8]>,
    /// When the update expires, in seconds since 1970.
    pub expires: Option<u64>,
    /// Keys that it revokes, a bit each.
    pub revokes: u32,
    /// The number of the key that signs.
    pub key: u8,
    /// The channel that it is published in.
    pub channel: &'a str,
    /// How many of 10,000 devices are to take it.
    pub share: u16,
    /// What the channel has already.
    pub published: Option<&'a Channel>,
    /// The record of keys that it comes with, as root keys have signed it, and its version.
    pub keys: Option<(u16, &'a [u8])>,
}

/// A firmware that cannot be shipped.
#[derive(Debug, thiserror::Error)]
pub enum DeviceError<E: core::error::Error + 'static> {
    /// An ELF that cannot be read, or is for another processor.
    #[error("the firmware's ELF: {0}")]
    Elf(String),
    /// An ELF whose parts cannot be laid out on the flash.
    #[error("the firmware cannot be laid out as an image for {chip}")]
    Layout {
        /// The chip.
        chip: &'static str,
        /// Why not.
        #[source]
        source: ImageFault,
    },
    /// Not an ELF, and not an app image that the boot loader would start.
    #[error(
        "the firmware is neither an ELF nor a whole app image for {chip}, with its checksum and hash"
    )]
    NoImage {
        /// The chip.
        chip: &'static str,
    },
    /// An ELF is a program for a loader, not what stands on the flash of a chip that is not told.
    #[error("the firmware is an ELF, and the chip is not told")]
    NoChip,
    /// The flash of a new device.
    #[error("the flash of a new device")]
    Flash(#[source] FlashFault),
    /// The channel cannot take it.
    #[error(transparent)]
    Channel(#[from] ChannelError),
    /// The updates.
    #[error("making the update")]
    Pack(#[source] PackError<E>),
}

impl<E: core::error::Error> DeviceError<E> {
    /// What to do about it.
    pub fn hint(&self) -> Option<&'static str> {
        Some(match self {
            Self::NoImage { .. } => {
                "give the ELF itself, or what esptool elf2image makes of it; --chip none takes any bytes"
            }
            Self::NoChip => "name it: --chip esp32c3; or give the bytes that stand on the flash",
            Self::Layout { .. } => {
                "link it with the script of esp-hal or ESP-IDF, which puts each mapped part into pages of its own"
            }
            Self::Channel(error) => error.hint(),
            Self::Flash(FlashFault::Image { .. }) => "the slots of a 4 MB flash have 1,984 KB each",
            _ => return None,
        })
    }
}

/// What a server of files tells devices; the bundles are signed, this is not.
#[derive(Debug, Serialize)]
struct Index<'a> {
    schema: &'static str,
    product: &'a str,
    channel: &'a str,
    version: String,
    counter: u32,
    hardware: [u32; 2],
    digest: String,
    image_bytes: usize,
    /// How many of 10,000 devices are to take it; see docs/ota.md.
    share: u16,
    #[serde(skip_serializing_if = "Option::is_none")]
    expires: Option<u64>,
    key: u8,
    /// What names the keys, where root keys do.
    #[serde(skip_serializing_if = "Option::is_none")]
    keys: Option<ListedKeys>,
    whole: Listed,
    deltas: Vec<Listed>,
}

#[derive(Debug, Serialize)]
struct ListedKeys {
    file: String,
    bytes: usize,
    version: u16,
}

#[derive(Debug, Serialize)]
struct Listed {
    file: String,
    bytes: usize,
    /// What the device must run for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    base: Option<String>,
}

/// The files of a release: the flash of a new device, the bundles, and the index of its channel.
///
/// # Errors
/// The firmware is none for the chip, does not fit, or the signer fails.
pub fn ship<S: Sign>(
    request: &Request<'_>,
    signer: &mut S,
) -> Result<Shipment, DeviceError<S::Error>> {
    let image = image(request.firmware, request.chip)?;
    let digest_of_image = hex(&digest(&image));
    if let Some(channel) = request.published {
        channel.admit(
            request.product,
            request.version,
            request.counter,
            &digest_of_image,
        )?;
    }
    let release = Release {
        product: request.product,
        hardware: request.hardware,
        version: request.version,
        counter: request.counter,
        expires: request.expires,
        revokes: request.revokes,
        key: request.key,
        image: &image,
    };
    let name = format!("{}-{}", file_name(request.product), request.version);
    let mut shipment = Shipment::default();
    let whole = release.whole(signer).map_err(DeviceError::Pack)?;
    let mut deltas = Vec::new();
    for old in &request.olds {
        let old = self::image(old, request.chip)?;
        let base = hex(&digest(&old));
        if base == digest_of_image {
            continue;
        }
        let made = release.delta(&old, signer).map_err(DeviceError::Pack)?;
        // Where the delta is larger, the whole image is what is sent.
        if made.bytes.len() >= whole.bytes.len() {
            let note = format!(
                "no delta from {}: it would be larger than the image",
                &base[..12]
            );
            shipment.notes.push(note);
            continue;
        }
        deltas.push((format!("{name}-from-{}.ota", &base[..12]), base, made));
    }
    if let Some(chip) = request.chip {
        let table = partitions::four_megabytes();
        let known = release.known();
        let flash = flash::esp32(
            chip,
            FLASH_BYTES,
            &table,
            request.boot_loader,
            known,
            &image,
        );
        let flash = flash.map_err(DeviceError::Flash)?;
        shipment
            .files
            .push(bytes(format!("{name}-flash.bin"), flash));
        let table = partitions::encode(&table)
            .map_err(FlashFault::Table)
            .map_err(DeviceError::Flash)?;
        shipment
            .files
            .push(bytes("partition-table.bin".to_owned(), table));
        shipment.creates.push(Created::new(
            "flash",
            format!("{name}-flash.bin"),
            "all of a new device",
        ));
        let chip = chip.name();
        shipment.next.push(format!(
            "esptool --chip {chip} write-flash 0 {name}-flash.bin"
        ));
        if request.boot_loader.is_none() {
            shipment.notes.push(
                "the flash has no boot loader: flash ESP-IDF's, built with rollback enabled, or give \
                 --boot-loader"
                    .to_owned(),
            );
        }
    }
    let listed = |file: &str, bundle: &Bundle, base: Option<String>| Listed {
        file: file.to_owned(),
        bytes: bundle.bytes.len(),
        base,
    };
    let index = Index {
        schema: SCHEMA,
        product: request.product,
        channel: request.channel,
        version: request.version.to_string(),
        counter: request.counter,
        hardware: [request.hardware.0, request.hardware.1],
        digest: digest_of_image,
        image_bytes: image.len(),
        share: request.share,
        expires: request.expires,
        key: request.key,
        keys: request.keys.map(|(version, record)| ListedKeys {
            file: keys_name(request.product, version),
            bytes: record.len(),
            version,
        }),
        whole: listed(&format!("{name}.ota"), &whole, None),
        deltas: deltas
            .iter()
            .map(|(file, base, made)| listed(file, made, Some(base.clone())))
            .collect(),
    };
    let text = serde_json::to_string_pretty(&index).unwrap_or_default() + "\n";
    let path = index_file(request.channel);
    shipment.files.insert(0, File::text(path.clone(), text));
    shipment
        .creates
        .push(Created::new("channel", path, "what devices ask for"));
    shipment.creates.push(Created::new(
        "update",
        format!("{name}.ota"),
        "the whole image, for any device",
    ));
    for (file, base, _) in &deltas {
        let purpose = format!("for devices that run {}", &base[..12]);
        shipment
            .creates
            .push(Created::new("update", file.clone(), purpose));
    }
    if let Some((version, record)) = request.keys {
        let file = keys_name(request.product, version);
        shipment.files.push(bytes(file.clone(), record.to_vec()));
        shipment.creates.push(Created::new(
            "keys",
            file,
            "who may sign, for devices with root keys",
        ));
    }
    shipment.files.push(bytes(format!("{name}.bin"), image));
    shipment
        .files
        .push(bytes(format!("{name}.ota"), whole.bytes));
    shipment.files.extend(
        deltas
            .into_iter()
            .map(|(file, _, made)| bytes(file, made.bytes)),
    );
    Ok(shipment)
}

fn keys_name(product: &str, version: u16) -> String {
    format!("{}-keys-{version}.bin", file_name(product))
}

fn bytes(path: String, contents: Vec<u8>) -> File {
    File {
        path,
        contents,
        is_program: false,
        is_shown: false,
    }
}

fn hex(digest: &Digest) -> String {
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// What stands in the slot: the app image, or the bytes themselves.
fn image<E: core::error::Error>(
    firmware: &[u8],
    chip: Option<Chip>,
) -> Result<Vec<u8>, DeviceError<E>> {
    let is_elf = firmware.starts_with(&elf::ELFMAG);
    let Some(chip) = chip else {
        return match is_elf {
            true => Err(DeviceError::NoChip),
            false => Ok(firmware.to_vec()),
        };
    };
    if is_elf {
        let (entry, segments) = segments(firmware).map_err(DeviceError::Elf)?;
        let chip_name = chip.name();
        return esp_image::encode(chip, entry, &segments).map_err(|source| DeviceError::Layout {
            chip: chip_name,
            source,
        });
    }
    match chip_of(firmware) == Some(chip) {
        true => Ok(firmware.to_vec()),
        false => Err(DeviceError::NoImage { chip: chip.name() }),
    }
}

/// The entry and what is loaded of an ELF of 32 bits.
fn segments(firmware: &[u8]) -> Result<(u32, Vec<Segment>), String> {
    let told = |error: object::Error| error.to_string();
    let header = elf::FileHeader32::<Endianness>::parse(firmware)
        .map_err(|_| "it is not one of 32 bits".to_owned())?;
    let endian = header.endian().map_err(told)?;
    let machine = header.e_machine(endian);
    if ![elf::EM_RISCV, elf::EM_XTENSA].contains(&machine) {
        return Err(format!("it is for another processor, number {machine}"));
    }
    let mut segments: Vec<Segment> = Vec::new();
    for part in header.program_headers(endian, firmware).map_err(told)? {
        if part.p_type(endian) != elf::PT_LOAD || part.p_filesz(endian) == 0 {
            continue;
        }
        let bytes = part
            .data(endian, firmware)
            .map_err(|()| "a segment ends behind the file")?;
        segments.push(Segment {
            address: part.p_vaddr(endian),
            bytes: bytes.to_vec(),
        });
    }
    // Parts that follow each other in memory are one.
    segments.sort_by_key(|segment| segment.address);
    let mut joined: Vec<Segment> = Vec::new();
    for mut segment in segments {
        match joined.last_mut() {
            Some(last) if last.address as usize + last.bytes.len() == segment.address as usize => {
                last.bytes.append(&mut segment.bytes);
            }
            _ => joined.push(segment),
        }
    }
    Ok((header.e_entry(endian), joined))
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use super::*;

    /// An ELF of 32 bits for RISC-V with these segments.
    fn elf(parts: &[(u32, Vec<u8>)]) -> Vec<u8> {
        let mut file = vec![0; 52];
        file[..16].copy_from_slice(b"\x7fELF\x01\x01\x01\0\0\0\0\0\0\0\0\0");
        let mut put = |at: usize, bytes: &[u8]| file[at..at + bytes.len()].copy_from_slice(bytes);
        put(16, &2u16.to_le_bytes());
        put(18, &243u16.to_le_bytes());
        put(20, &1u32.to_le_bytes());
        put(24, &0x4200_0020u32.to_le_bytes());
        put(28, &52u32.to_le_bytes());
        put(40, &52u16.to_le_bytes());
        put(42, &32u16.to_le_bytes());
        put(44, &(parts.len() as u16).to_le_bytes());
        let mut at = 52 + 32 * parts.len() as u32;
        for (address, bytes) in parts {
            let length = bytes.len() as u32;
            for word in [1, at, *address, *address, length, length, 5, 4] {
                file.extend_from_slice(&u32::to_le_bytes(word));
            }
            at += length;
        }
        for (_, bytes) in parts {
            file.extend_from_slice(bytes);
        }
        file
    }

    fn firmware(seed: u8) -> Vec<u8> {
        let noise = |length: u32| {
            (0..length)
                .map(|n| ((n * n) >> 3) as u8 ^ (n >> 8) as u8)
                .collect()
        };
        let mut code: Vec<u8> = noise(60_000);
        code[30_000] ^= seed;
        elf(&[
            (0x4200_0020, code),
            (0x3C01_0020, noise(4_000)),
            (0x3FC8_0000, noise(700)),
        ])
    }

    fn request<'a>(firmware: &'a [u8], olds: Vec<&'a [u8]>) -> Request<'a> {
        Request {
            product: "lamp",
            hardware: (1, 2),
            version: Version {
                major: 1,
                minor: 2,
                patch: 3,
            },
            counter: 4,
            chip: Some(Chip::Esp32C3),
            firmware,
            olds,
            boot_loader: None,
            expires: None,
            revokes: 0,
            key: 0,
            channel: "stable",
            share: 10_000,
            published: None,
            keys: None,
        }
    }

    fn signed(_: &[u8]) -> Result<[u8; 64], Infallible> {
        Ok([7; 64])
    }

    #[test]
    fn an_elf_becomes_a_flash_an_image_and_updates() {
        let (old, new) = (firmware(1), firmware(2));
        let shipment = ship(&request(&new, vec![&old]), &mut signed).unwrap();
        let names: Vec<&str> = shipment
            .files
            .iter()
            .map(|file| file.path.as_str())
            .collect();
        assert_eq!(names.len(), 6, "{names:?}");
        assert_eq!(
            &names[..5],
            [
                "stable.json",
                "lamp-1.2.3-flash.bin",
                "partition-table.bin",
                "lamp-1.2.3.bin",
                "lamp-1.2.3.ota",
            ]
        );
        let file = |path: &str| &shipment.file(path).unwrap().contents;
        let image = file("lamp-1.2.3.bin");
        assert_eq!(chip_of(image), Some(Chip::Esp32C3));
        let flash = file("lamp-1.2.3-flash.bin");
        assert_eq!(flash.len(), FLASH_BYTES);
        assert!(flash[0x1_0000..].starts_with(image));
        assert!(partitions::decode(&flash[0x8000..]).is_ok());
        let delta = file(names[5]);
        assert!(delta.len() < 1_000, "{} bytes", delta.len());
        let index: serde_json::Value = serde_json::from_slice(file("stable.json")).unwrap();
        assert_eq!(index["deltas"][0]["file"], names[5]);
        assert_eq!(index["whole"]["bytes"], file("lamp-1.2.3.ota").len());
    }

    #[test]
    fn an_image_that_is_one_already_stays_as_it_is() {
        let first = ship(&request(&firmware(1), Vec::new()), &mut signed).unwrap();
        let image = &first.file("lamp-1.2.3.bin").unwrap().contents;
        let again = ship(&request(image, Vec::new()), &mut signed).unwrap();
        assert_eq!(&again.file("lamp-1.2.3.bin").unwrap().contents, image);
    }

    #[test]
    fn what_is_no_firmware_for_the_chip_is_refused() {
        let fails = |request: &Request<'_>| ship(request, &mut signed).unwrap_err();
        let new = firmware(1);
        let noise = request(b"\xE9 some bytes", Vec::new());
        assert!(matches!(fails(&noise), DeviceError::NoImage { .. }));
        let none = Request {
            chip: None,
            ..request(&new, Vec::new())
        };
        assert!(matches!(fails(&none), DeviceError::NoChip));
        for end in [10, 60, 100, new.len() - 1] {
            let cut = request(&new[..end], Vec::new());
            assert!(matches!(fails(&cut), DeviceError::Elf(_)), "{end}");
        }
        let mut other = new.clone();
        other[18] = 40;
        assert!(matches!(
            fails(&request(&other, Vec::new())),
            DeviceError::Elf(_)
        ));
        let large = elf(&[(0x4200_0020, vec![1; 2 << 20])]);
        assert!(matches!(
            fails(&request(&large, Vec::new())),
            DeviceError::Flash(FlashFault::Image { .. })
        ));
    }

    #[test]
    fn a_version_is_not_given_to_two_programs_and_a_program_no_delta_against_itself() {
        let (old, new) = (firmware(1), firmware(2));
        let first = ship(&request(&old, vec![&old]), &mut signed).unwrap();
        let index = &first.file("stable.json").unwrap().contents;
        assert!(!String::from_utf8_lossy(index).contains("-from-"));
        let channel = Channel::read(index).unwrap();
        let again = |firmware| Request {
            published: Some(&channel),
            ..request(firmware, Vec::new())
        };
        assert!(ship(&again(&old), &mut signed).is_ok());
        let refused = ship(&again(&new), &mut signed).unwrap_err();
        assert!(matches!(
            refused,
            DeviceError::Channel(ChannelError::Changed { .. })
        ));
    }

    #[test]
    fn other_chips_take_any_bytes() {
        let whatever = Request {
            chip: None,
            ..request(b"bytes of a firmware", Vec::new())
        };
        let shipment = ship(&whatever, &mut signed).unwrap();
        assert_eq!(
            shipment.file("lamp-1.2.3.bin").unwrap().contents,
            b"bytes of a firmware"
        );
        assert!(shipment.file("lamp-1.2.3-flash.bin").is_none());
    }
}
