//! A wheel, installed (PEP 427, "Binary distribution format" of the packaging
//! specifications): its files with the place each gets, every one verified
//! against the wheel's own `RECORD`. Nothing of it is executed.

use std::collections::BTreeMap;

use ounce_oci::{Digest, Platform};
use ounce_rootfs::elf::Elf;

use super::zip::{Zip, ZipError, is_plain};

/// A file to be installed, and where: relative to the folder of packages.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Installed {
    pub(crate) place: Place,
    pub(crate) executable: bool,
    pub(crate) bytes: Vec<u8>,
}

/// Where a file goes.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Place {
    /// Among the packages.
    Packages(String),
    /// A program that is called by name.
    Scripts(String),
    /// Beneath the interpreter's prefix.
    Prefix(String),
}

/// What a wheel brings.
#[derive(Debug)]
pub(crate) struct Wheel {
    /// As its metadata calls it.
    pub(crate) name: String,
    pub(crate) version: String,
    pub(crate) files: Vec<Installed>,
    /// What it makes programs of: the name, and `module:function`.
    pub(crate) scripts: Vec<(String, String)>,
}

/// What of a wheel is left out.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Keep {
    /// Folders of tests, type stubs and sources of compiled modules.
    pub(crate) tests: bool,
}

/// Why a wheel is refused.
#[derive(Debug, thiserror::Error)]
pub enum WheelError {
    /// The archive.
    #[error(transparent)]
    Zip(#[from] ZipError),
    /// Its name is no wheel's.
    #[error("its name is no wheel's: NAME-VERSION-PYTHON-ABI-PLATFORM.whl")]
    Name,
    /// A part that every wheel has.
    #[error("{0} is missing in it")]
    Missing(String),
    /// A part that cannot be read.
    #[error("{0} in it is not readable text")]
    Text(String),
    /// Another form of wheels.
    #[error("it is a wheel of version {0}, and 1.x is known")]
    Version(String),
    /// A file that its own list does not name.
    #[error("{0:?} is in it, and its RECORD does not say so")]
    Unrecorded(String),
    /// A file that its own list names.
    #[error("its RECORD names {0:?}, which is not in it")]
    Absent(String),
    /// A file that is not the one that was recorded.
    #[error("{0:?} in it is not what its RECORD says")]
    Content(String),
    /// A digest that is not known.
    #[error("its RECORD has {digest:?} for {file:?}, and only sha256 is taken")]
    Digest {
        /// Of which.
        file: String,
        /// As written.
        digest: String,
    },
    /// Compiled for something else.
    #[error("{file:?} in it is for {found}, and {wanted} is wanted")]
    Platform {
        /// Which.
        file: String,
        /// What it is for.
        found: String,
        /// What is wanted.
        wanted: String,
    },
}

/// Reads a wheel whose file is called `file_name`.
///
/// # Errors
/// Anything that is not as it must be; the wheel is refused whole.
pub(crate) fn read(
    file_name: &str,
    bytes: &[u8],
    platform: &Platform,
    keep: Keep,
) -> Result<Wheel, WheelError> {
    let zip = Zip::read(bytes)?;
    let stem = file_name.strip_suffix(".whl").ok_or(WheelError::Name)?;
    let parts: Vec<&str> = stem.split('-').collect();
    let ([name, version, ..], 5 | 6) = (&parts[..], parts.len()) else {
        return Err(WheelError::Name);
    };
    let info = folder(&zip, name, version, ".dist-info")
        .ok_or_else(|| WheelError::Missing(format!("{name}-{version}.dist-info")))?;
    let data = format!("{}.data/", info.trim_end_matches(".dist-info"));
    let text = |part: &str| -> Result<String, WheelError> {
        let path = format!("{info}/{part}");
        let file = zip.files.iter().find(|file| file.name == path);
        let file = file.ok_or_else(|| WheelError::Missing(path.clone()))?;
        String::from_utf8(zip.content(file)?).map_err(|_| WheelError::Text(path))
    };
    let head = text("WHEEL")?;
    let wheel_version = field(&head, "Wheel-Version").unwrap_or_default();
    if wheel_version.split('.').next() != Some("1") {
        return Err(WheelError::Version(wheel_version.to_owned()));
    }
    let metadata = text("METADATA")?;
    let mut recorded = record(&text("RECORD")?)?;
    let scripts = match text("entry_points.txt") {
        Ok(text) => console_scripts(&text),
        Err(WheelError::Missing(_)) => Vec::new(),
        Err(error) => return Err(error),
    };
    let mut files = Vec::new();
    let own = |name: &str| {
        ["RECORD", "RECORD.jws", "RECORD.p7s"]
            .iter()
            .any(|own| name == format!("{info}/{own}"))
    };
    for file in &zip.files {
        let bytes = zip.content(file)?;
        match recorded.remove(&file.name) {
            Some(Some(digest)) if digest == base64url(&Digest::of(&bytes)) => {}
            // Its own line has no digest: it would be its own.
            Some(None) if own(&file.name) => {}
            None if own(&file.name) => {}
            Some(_) => return Err(WheelError::Content(file.name.clone())),
            None => return Err(WheelError::Unrecorded(file.name.clone())),
        }
        if own(&file.name) {
            continue;
        }
        // Of an extension for another machine only the import would tell.
        if bytes.starts_with(b"\x7fELF") {
            let facts = Elf::read(&bytes).ok();
            let found = facts.and_then(|facts| facts.platform);
            if !found.as_ref().is_some_and(|found| platform.accepts(found)) {
                return Err(WheelError::Platform {
                    file: file.name.clone(),
                    found: found.map_or("another machine".to_owned(), |found| found.to_string()),
                    wanted: platform.to_string(),
                });
            }
        }
        let place = match file.name.strip_prefix(&data) {
            None => Place::Packages(file.name.clone()),
            Some(inner) => match inner.split_once('/') {
                Some(("purelib" | "platlib", rest)) => Place::Packages(rest.to_owned()),
                Some(("scripts", rest)) => Place::Scripts(rest.to_owned()),
                Some(("data", rest)) => Place::Prefix(rest.to_owned()),
                // Only a compiler would want them.
                Some(("headers", _)) => continue,
                _ => return Err(ZipError::Name(file.name.clone()).into()),
            },
        };
        if is_wanted(&place, &info, keep) {
            files.push(Installed {
                place,
                executable: file.executable,
                bytes,
            });
        }
    }
    if let Some((file, _)) = recorded.into_iter().find(|(file, _)| !own(file)) {
        return Err(WheelError::Absent(file));
    }
    let list = installed_record(&files, &info);
    files.push(Installed {
        place: Place::Packages(format!("{info}/RECORD")),
        executable: false,
        bytes: list.into_bytes(),
    });
    Ok(Wheel {
        name: field(&metadata, "Name").unwrap_or(name).to_owned(),
        version: field(&metadata, "Version").unwrap_or(version).to_owned(),
        files,
        scripts,
    })
}

/// The one folder at the top that belongs to a distribution; names are alike
/// but for case and `-`, `_`, `.` (PEP 503).
fn folder(zip: &Zip<'_>, name: &str, version: &str, ending: &str) -> Option<String> {
    let plain = |text: &str| text.to_ascii_lowercase().replace(['-', '.'], "_");
    let mut found = zip.files.iter().filter_map(|file| {
        let top = file.name.split_once('/')?.0;
        let (its_name, its_version) = top.strip_suffix(ending)?.rsplit_once('-')?;
        let fits = plain(its_name) == plain(name) && plain(its_version) == plain(version);
        fits.then(|| top.to_owned())
    });
    let first = found.next()?;
    found.all(|other| other == first).then_some(first)
}

/// The first value of a field, in the form of mails.
fn field<'t>(text: &'t str, name: &str) -> Option<&'t str> {
    text.lines()
        .take_while(|line| !line.is_empty())
        .find_map(|line| {
            let (key, value) = line.split_once(':')?;
            key.eq_ignore_ascii_case(name).then(|| value.trim())
        })
}

/// The group `console_scripts` of an `entry_points.txt` (Entry points specification).
fn console_scripts(text: &str) -> Vec<(String, String)> {
    let mut of_console = false;
    let mut found = Vec::new();
    for line in text.lines().map(str::trim) {
        if let Some(group) = line.strip_prefix('[').and_then(|it| it.strip_suffix(']')) {
            of_console = group.trim() == "console_scripts";
        } else if let Some((name, object)) = line.split_once('=')
            && of_console
            && !line.starts_with(['#', ';'])
        {
            // Extras behind it say what must be installed, and it is.
            let object = object.split('[').next().unwrap_or_default();
            found.push((name.trim().to_owned(), object.trim().to_owned()));
        }
    }
    found
}

/// Digests by name, as `RECORD` has them: `name,sha256=DIGEST,LENGTH`.
fn record(text: &str) -> Result<BTreeMap<String, Option<String>>, WheelError> {
    let mut found = BTreeMap::new();
    for line in text.lines().filter(|line| !line.trim().is_empty()) {
        let fields = fields(line);
        let [name, digest, ..] = &fields[..] else {
            return Err(WheelError::Text("RECORD".to_owned()));
        };
        if !is_plain(name) {
            return Err(ZipError::Name(name.clone()).into());
        }
        let digest = match digest.as_str() {
            "" => None,
            digest => match digest.strip_prefix("sha256=") {
                Some(digest) => Some(digest.trim_end_matches('=').to_owned()),
                None => {
                    return Err(WheelError::Digest {
                        file: name.clone(),
                        digest: digest.to_owned(),
                    });
                }
            },
        };
        found.insert(name.clone(), digest);
    }
    Ok(found)
}

/// A line of comma-separated values (RFC 4180).
fn fields(line: &str) -> Vec<String> {
    let mut fields = vec![String::new()];
    let mut quoted = false;
    let mut chars = line.trim_end_matches('\r').chars().peekable();
    while let Some(c) = chars.next() {
        let last = fields.len() - 1;
        match c {
            '"' if quoted && chars.peek() == Some(&'"') => {
                chars.next();
                fields[last].push('"');
            }
            '"' => quoted = !quoted,
            ',' if !quoted => fields.push(String::new()),
            c => fields[last].push(c),
        }
    }
    fields
}

/// What the installed files are, for `importlib.metadata` and scanners.
fn installed_record(files: &[Installed], info: &str) -> String {
    let mut lines: Vec<String> = files
        .iter()
        .filter_map(|file| match &file.place {
            Place::Packages(path) => {
                let name = match path.contains([',', '"']) {
                    true => format!("\"{}\"", path.replace('"', "\"\"")),
                    false => path.clone(),
                };
                let digest = base64url(&Digest::of(&file.bytes));
                Some(format!("{name},sha256={digest},{}\n", file.bytes.len()))
            }
            _ => None,
        })
        .collect();
    lines.push(format!("{info}/RECORD,,\n"));
    lines.sort();
    lines.concat()
}

/// URL-safe Base64 without padding (RFC 4648, section 5).
fn base64url(digest: &Digest) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let hex = digest.hex();
    let bits = hex
        .bytes()
        .filter_map(|digit| char::from(digit).to_digit(16))
        .flat_map(|digit| (0..4).rev().map(move |bit| digit >> bit & 1))
        .collect::<Vec<_>>();
    bits.chunks(6)
        .map(|six| {
            let value = six.iter().fold(0, |value, bit| value << 1 | bit) << (6 - six.len());
            char::from(ALPHABET[value as usize & 63])
        })
        .collect()
}

/// Whether a file is of use when the program runs.
fn is_wanted(place: &Place, info: &str, keep: Keep) -> bool {
    let (Place::Packages(path) | Place::Scripts(path) | Place::Prefix(path)) = place;
    let parts: Vec<&str> = path.split('/').collect();
    let name = parts.last().copied().unwrap_or_default();
    // Compiled anew: whose they are and of what, nobody says.
    if parts.contains(&"__pycache__") || name.ends_with(".pyc") {
        return false;
    }
    if keep.tests || path.starts_with(&format!("{info}/")) {
        return true;
    }
    let endings = [".pyi", ".pyx", ".pxd", ".c", ".cpp", ".h", ".hpp"];
    let of_tests = parts
        .iter()
        .skip(1)
        .take(parts.len().saturating_sub(2))
        .any(|part| matches!(*part, "tests" | "test"));
    !of_tests && !endings.iter().any(|ending| name.ends_with(ending))
}

#[cfg(test)]
pub(crate) mod tests {
    use super::super::zip::tests::zip;
    use super::*;

    /// A wheel with these files and what else belongs to one.
    pub(crate) fn wheel(name: &str, version: &str, files: &[(&str, &[u8])]) -> Vec<u8> {
        let info = format!("{name}-{version}.dist-info");
        let metadata = format!("Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n\ntext\n");
        let mut all: Vec<(String, Vec<u8>)> = files
            .iter()
            .map(|(name, bytes)| ((*name).to_owned(), bytes.to_vec()))
            .collect();
        let head = b"Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n";
        all.push((format!("{info}/METADATA"), metadata.into_bytes()));
        all.push((format!("{info}/WHEEL"), head.to_vec()));
        let mut record = String::new();
        for (name, bytes) in &all {
            let digest = base64url(&Digest::of(bytes));
            record += &format!("{name},sha256={digest},{}\n", bytes.len());
        }
        record += &format!("{info}/RECORD,,\n");
        all.push((format!("{info}/RECORD"), record.into_bytes()));
        let written: Vec<_> = all
            .iter()
            .map(|(name, bytes)| (name.as_str(), 0o100_644, bytes.as_slice()))
            .collect();
        zip(&written)
    }

    fn platform() -> Platform {
        "linux/amd64".parse().unwrap()
    }

    fn places(wheel: &Wheel) -> Vec<&Place> {
        wheel.files.iter().map(|file| &file.place).collect()
    }

    #[test]
    fn files_get_their_places_and_a_list() {
        let bytes = wheel(
            "My.Pkg",
            "1.0",
            &[
                ("my/__init__.py", b"a = 1\n"),
                ("my/__pycache__/__init__.cpython-311.pyc", b"x"),
                ("my/tests/test_a.py", b""),
                ("my/py.pyi", b""),
                ("My.Pkg-1.0.data/scripts/my", b"#!python\n"),
                ("My.Pkg-1.0.data/data/share/x", b""),
                ("My.Pkg-1.0.data/headers/x.h", b""),
            ],
        );
        let read = read(
            "my_pkg-1.0-py3-none-any.whl",
            &bytes,
            &platform(),
            Keep::default(),
        );
        let read = read.unwrap();
        assert_eq!(
            (read.name.as_str(), read.version.as_str()),
            ("My.Pkg", "1.0")
        );
        let packages = |path: &str| Place::Packages(path.to_owned());
        assert_eq!(
            places(&read),
            [
                &Place::Prefix("share/x".to_owned()),
                &Place::Scripts("my".to_owned()),
                &packages("My.Pkg-1.0.dist-info/METADATA"),
                &packages("My.Pkg-1.0.dist-info/WHEEL"),
                &packages("my/__init__.py"),
                &packages("My.Pkg-1.0.dist-info/RECORD"),
            ]
        );
        let list = String::from_utf8(read.files.last().unwrap().bytes.clone()).unwrap();
        let line = format!(
            "my/__init__.py,sha256={},6\n",
            base64url(&Digest::of(b"a = 1\n"))
        );
        assert!(list.contains(&line), "{list}");
        assert!(!list.contains("tests") && !list.contains("pyc"), "{list}");
    }

    #[test]
    fn a_record_that_lies_is_found_out() {
        let good = wheel("a", "1", &[("a.py", b"one\n")]);
        let refused = |bytes: &[u8]| {
            let read = read("a-1-py3-none-any.whl", bytes, &platform(), Keep::default());
            read.unwrap_err().to_string()
        };
        let with = |files: &[(&str, &[u8])], record: &str| {
            let mut all: Vec<_> = files
                .iter()
                .map(|(name, bytes)| (*name, 0o100_644, *bytes))
                .collect();
            all.push(("a-1.dist-info/METADATA", 0, b"Name: a\nVersion: 1\n"));
            all.push(("a-1.dist-info/WHEEL", 0, b"Wheel-Version: 1.0\n"));
            all.push(("a-1.dist-info/RECORD", 0, record.as_bytes()));
            zip(&all)
        };
        let digest = |bytes: &[u8]| base64url(&Digest::of(bytes));
        let own = format!(
            "a-1.dist-info/METADATA,sha256={},\na-1.dist-info/WHEEL,sha256={},\n",
            digest(b"Name: a\nVersion: 1\n"),
            digest(b"Wheel-Version: 1.0\n")
        );
        let one: &[(&str, &[u8])] = &[("a.py", b"one\n")];
        let other = format!("{own}a.py,sha256={},4\n", digest(b"two\n"));
        assert_eq!(
            refused(&with(one, &other)),
            "\"a.py\" in it is not what its RECORD says"
        );
        assert!(refused(&with(one, &own)).contains("its RECORD does not say so"));
        let more = format!("{own}b.py,sha256={},4\n", digest(b""));
        assert!(refused(&with(&[], &more)).contains("its RECORD names \"b.py\""));
        let weak = format!("{own}a.py,md5=abc,4\n");
        assert!(refused(&with(one, &weak)).contains("only sha256 is taken"));
        let bare = format!("{own}a.py,,\n");
        assert!(refused(&with(one, &bare)).contains("not what its RECORD says"));
        let up = format!("{own}../a.py,,\n");
        assert!(refused(&with(&[], &up)).contains("leads elsewhere"));
        assert!(refused(&good[..good.len() - 1]).contains("no zip archive"));
    }

    #[test]
    fn what_is_no_wheel_or_for_another_machine_is_refused() {
        let bytes = wheel("a", "1", &[]);
        for name in ["a-1.tar.gz", "a.whl", "a-1-py3.whl"] {
            let error = read(name, &bytes, &platform(), Keep::default()).unwrap_err();
            assert!(matches!(error, WheelError::Name), "{error}");
        }
        let error = read("b-1-py3-none-any.whl", &bytes, &platform(), Keep::default());
        assert!(matches!(error, Err(WheelError::Missing(_))));
        // ELF, 64 bits, little-endian, ET_DYN, EM_X86_64, and nothing more.
        let own = b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0\x03\0\x3e\0\x01\0\0\0".to_vec();
        let bytes = wheel("a", "1", &[("a.so", &own)]);
        let other = "linux/s390x".parse().unwrap();
        let error = read("a-1-cp311-cp311-x.whl", &bytes, &other, Keep::default()).unwrap_err();
        assert!(
            error.to_string().contains("linux/s390x is wanted"),
            "{error}"
        );
    }

    #[test]
    fn digests_are_written_as_wheels_write_them() {
        // RFC 4648 and FIPS 180-2: the digest of nothing.
        assert_eq!(
            base64url(&Digest::of(b"")),
            "47DEQpj8HBSa-_TImW-5JCeuQeRkm5NMpJWZG3hSuFU"
        );
        assert_eq!(fields("\"a,\"\"b\",x,"), ["a,\"b", "x", ""]);
    }
}
