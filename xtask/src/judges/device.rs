//! Firmware for ESP32: esptool, Espressif's own, reads what `ship --to device` writes, and makes of the
//! same ELF what it makes.

use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

use super::{Bench, Case};
use crate::tool::{command, read};

const ESPTOOL: &str = "esptool==5.6.0";

/// Chips, and where each has mapped constants, mapped code and memory.
const CHIPS: [(&str, [u32; 3]); 4] = [
    ("esp32c3", [0x3C00_0020, 0x4201_0020, 0x3FC8_0000]),
    ("esp32s3", [0x3C00_0020, 0x4201_0020, 0x3FC8_8000]),
    ("esp32", [0x3F40_0020, 0x400D_0020, 0x3FFB_0000]),
    ("esp32c6", [0x4200_0020, 0x4201_0020, 0x4080_0000]),
];

pub(super) fn judge(case: &Case<'_>, bench: &mut Bench<'_>) {
    let folder = case.path("esptool");
    let mut good = false;
    bench.check("esptool installs by pip", &["python3", "pip3"], || {
        let quiet = ["install", "--quiet", "--disable-pip-version-check"];
        let mut pip = command(&["python3", "-m", "pip"]);
        pip.args(quiet)
            .args(["--root-user-action=ignore", "--target", &folder, ESPTOOL]);
        read(&mut pip)?;
        read(&mut case.ounce(&["key", "new", &case.path("device"), "--algorithm", "ed25519"]))?;
        good = true;
        Ok(())
    });
    for (chip, addresses) in CHIPS.iter().filter(|_| good) {
        bench.check(
            &format!("esptool calls an image for {chip} valid"),
            &[],
            || image(case, &folder, chip, addresses),
        );
    }
}

/// An ELF of 32 bits with a segment at each address.
fn elf(addresses: &[u32], machine: u16) -> Vec<u8> {
    let lengths = [5_001u32, 90_003, 777];
    let mut file = b"\x7fELF\x01\x01\x01\0\0\0\0\0\0\0\0\0".to_vec();
    let header: [u16; 18] = [
        2,
        machine,
        1,
        0, // type, machine, version
        0x20,
        0x4201, // entry
        52,
        0,
        0,
        0,
        0,
        0, // program headers, section headers, flags
        52,
        32,
        addresses.len() as u16,
        40,
        0,
        0,
    ];
    file.extend(header.iter().flat_map(|half| half.to_le_bytes()));
    let mut at = 52 + 32 * addresses.len() as u32;
    for (address, length) in addresses.iter().zip(lengths) {
        for word in [1, at, *address, *address, length, length, 5, 4] {
            file.extend_from_slice(&u32::to_le_bytes(word));
        }
        at += length;
    }
    for length in lengths.iter().take(addresses.len()) {
        file.extend((0..*length).map(|n| (n.wrapping_mul(n) >> 3) as u8));
    }
    file
}

fn esptool(folder: &str, words: &[&str]) -> Result<String> {
    let mut esptool = command(&["python3", "-m", "esptool"]);
    read(esptool.args(words).env("PYTHONPATH", folder))
}

fn image(case: &Case<'_>, folder: &str, chip: &str, addresses: &[u32]) -> Result<()> {
    let is_xtensa = ["esp32", "esp32s3"].contains(&chip);
    let firmware = case.path(&format!("{chip}.elf"));
    fs::write(&firmware, elf(addresses, if is_xtensa { 94 } else { 243 }))?;
    let release = case.path(&format!("release-{chip}"));
    let key = case.path("device.key");
    let text = read(&mut case.ounce(&[
        "--json",
        "ship",
        &firmware,
        "--to",
        "device",
        "--chip",
        chip,
        "--product",
        "lamp",
        "--firmware-version",
        "1.2.3",
        "--key",
        &key,
        "-o",
        &release,
    ]))?;
    let document: Value = serde_json::from_str(&text)?;
    ensure!(document["schema"] == "ounce.ship.device/1", "{document}");
    let own = format!("{release}/lamp-1.2.3.bin");
    let told = esptool(folder, &["--chip", chip, "image-info", &own])?;
    let valid = told.matches("(valid)").count();
    ensure!(valid == 2, "checksum and hash are to be valid:\n{told}");
    // What stands in the first slot of a new device, and at no other place.
    let flash = fs::read(format!("{release}/lamp-1.2.3-flash.bin"))?;
    let image = fs::read(&own)?;
    ensure!(flash.len() == 4 << 20, "a flash of {} bytes", flash.len());
    ensure!(
        flash[0x1_0000..].starts_with(&image),
        "the slot holds another image"
    );
    same_parts(&told, addresses).with_context(|| told.clone())?;
    ensure!(
        Path::new(&release).join("stable.json").is_file(),
        "no index"
    );
    Ok(())
}

/// Every part of the ELF is loaded to where it belongs.
fn same_parts(told: &str, addresses: &[u32]) -> Result<()> {
    for address in addresses {
        let shown = format!("{address:#010x}");
        ensure!(told.contains(&shown), "no segment is loaded to {shown}");
    }
    Ok(())
}
