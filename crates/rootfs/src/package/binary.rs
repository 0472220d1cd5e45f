//! What programs say they were built of: Go's build information and the section
//! of cargo-auditable.

use std::io::Read;
use std::path::Path;

use object::{Object as _, ObjectSection as _};
use serde::Deserialize;

use super::{Manager, Package};

/// Most bytes of an unpacked crate list.
const LIST_BYTES: u64 = 8 << 20;
/// Go's mark at the start of its build information (package debug/buildinfo).
const GO_MARK: &[u8] = b"\xff Go buildinf:";

/// The packages that a program names; none where it names none.
pub(super) fn packages(path: &Path, data: &[u8]) -> Vec<Package> {
    if !data.starts_with(b"\x7fELF") {
        return Vec::new();
    }
    let Ok(file) = object::File::parse(data) else {
        return Vec::new();
    };
    let section = |name: &str| file.section_by_name(name)?.data().ok();
    if let Some(list) = section(".dep-v0") {
        return cargo(path, list);
    }
    if let Some(info) = section(".go.buildinfo") {
        return go(path, info);
    }
    Vec::new()
}

fn package(manager: Manager, path: &Path, name: &str, version: &str) -> Package {
    Package {
        manager,
        name: name.to_owned(),
        version: version.to_owned(),
        architecture: None,
        license: None,
        record: path.to_owned(),
        files: Vec::new(),
    }
}

#[derive(Deserialize)]
struct Crates {
    packages: Vec<Crate>,
}

#[derive(Deserialize)]
struct Crate {
    name: String,
    version: String,
    kind: Option<String>,
}

fn cargo(path: &Path, list: &[u8]) -> Vec<Package> {
    let mut json = Vec::new();
    let mut unpacked = flate2::read::ZlibDecoder::new(list).take(LIST_BYTES);
    if unpacked.read_to_end(&mut json).is_err() {
        return Vec::new();
    }
    let crates: Crates = match serde_json::from_slice(&json) {
        Ok(crates) => crates,
        Err(_) => return Vec::new(),
    };
    crates
        .packages
        .iter()
        // What only ran while it was built is not in it.
        .filter(|one| one.kind.as_deref() != Some("build"))
        .map(|one| package(Manager::Cargo, path, &one.name, &one.version))
        .collect()
}

/// Since Go 1.18 the strings stand behind the 32 bytes of the header, each
/// after its length as a varint; older programs hold pointers and are left out.
fn go(path: &Path, info: &[u8]) -> Vec<Package> {
    let inline = info.starts_with(GO_MARK) && info.get(15).is_some_and(|flags| flags & 2 != 0);
    let Some(rest) = info.get(32..).filter(|_| inline) else {
        return Vec::new();
    };
    let Some((version, rest)) = string(rest) else {
        return Vec::new();
    };
    let Some((modules, _)) = string(rest) else {
        return Vec::new();
    };
    let version = String::from_utf8_lossy(version);
    let version = version.strip_prefix("go").unwrap_or(&version);
    let mut found = vec![package(Manager::Go, path, "stdlib", version)];
    // Sixteen bytes of mark stand before and after the list.
    let modules = modules
        .get(16..modules.len().saturating_sub(16))
        .unwrap_or_default();
    for line in String::from_utf8_lossy(modules).lines() {
        let mut words = line.split('\t');
        match (words.next(), words.next(), words.next()) {
            (Some("mod" | "dep"), Some(name), Some(version)) => {
                found.push(package(Manager::Go, path, name, version));
            }
            // The module before is replaced by this one.
            (Some("=>"), Some(name), Some(version)) => {
                found.pop();
                found.push(package(Manager::Go, path, name, version));
            }
            _ => {}
        }
    }
    found
}

/// A string after its length as a varint (LEB128), and what follows.
fn string(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let mut length = 0usize;
    for (index, &byte) in bytes.iter().take(5).enumerate() {
        length |= usize::from(byte & 0x7f) << (7 * index);
        if byte < 0x80 {
            return bytes.get(index + 1..)?.split_at_checked(length);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn go_modules_are_read_and_replaced_ones_replaced() {
        let mark = "0123456789abcdef";
        let modules = format!(
            "{mark}path\tx\nmod\texample.org/x\t(devel)\t\ndep\ta\tv1.0.0\th1:\ndep\tb\tv2\n=>\tc\tv3\n{mark}"
        );
        let mut info = GO_MARK.to_vec();
        info.extend([8, 2]);
        info.resize(32, 0);
        info.push(8);
        info.extend(b"go1.22.1");
        info.extend([
            (modules.len() & 0x7f) as u8 | 0x80,
            (modules.len() >> 7) as u8,
        ]);
        info.extend(modules.as_bytes());
        let found = go(Path::new("app"), &info);
        let names: Vec<_> = found
            .iter()
            .map(|one| (&*one.name, &*one.version))
            .collect();
        assert_eq!(
            names,
            [
                ("stdlib", "1.22.1"),
                ("example.org/x", "(devel)"),
                ("a", "v1.0.0"),
                ("c", "v3")
            ]
        );
        for end in 0..info.len() {
            go(Path::new("app"), &info[..end]);
        }
    }

    #[test]
    fn crates_that_only_built_are_left_out() {
        let json = br#"{"packages":[{"name":"a","version":"1.0.0","source":"crates.io"},
            {"name":"cc","version":"1","source":"crates.io","kind":"build"}]}"#;
        let mut encoder =
            flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::default());
        std::io::Write::write_all(&mut encoder, json).unwrap();
        let list = encoder.finish().unwrap();
        let found = cargo(Path::new("app"), &list);
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].name, "a");
        assert!(cargo(Path::new("app"), &list[..list.len() / 2]).is_empty());
    }
}
