//! The first difference between two images that should be one, explained: which
//! file, which bytes of it, in which part of the program, and what they are.

use std::collections::HashSet;
use std::io::{self, Read};

use ounce_oci::layer::{LayerError, ReadEntry, ReadKind, ReadLimits};
use ounce_oci::{Digest, Image};
use ounce_rootfs::elf;
use serde::Serialize;
use serde_json::Value;

/// Most bytes of a file whose difference is looked for; past it only that it
/// differs is told.
const MOST_BYTES: u64 = 1 << 30;
/// Bytes that are shown of each side.
const SHOWN: usize = 32;
/// Shortest text in a program: one in 10^6 runs of random bytes is as long.
const TEXT: usize = 14;

/// The first difference of two images.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Difference {
    /// The platform of the image that differs.
    pub platform: String,
    /// Where: `/app`, `configuration`, `layer 0`.
    pub place: String,
    /// What differs there, a sentence each.
    pub what: Vec<String>,
}

/// Layers could not be compared.
#[derive(Debug, thiserror::Error)]
pub enum CompareError {
    /// A layer cannot be read.
    #[error(transparent)]
    Layer(#[from] LayerError),
    /// A file in it cannot be read.
    #[error("reading a file of a layer")]
    Read(#[from] io::Error),
}

/// The first difference, or `None` if the images are the same to the byte.
///
/// # Errors
/// A layer of one of them cannot be read.
pub fn difference(first: &Image, second: &Image) -> Result<Option<Difference>, CompareError> {
    if first.digest == second.digest {
        return Ok(None);
    }
    let at = |place: String, what: Vec<String>| {
        Ok(Some(Difference {
            platform: first.platform.to_string(),
            place,
            what,
        }))
    };
    if first.layers.len() != second.layers.len() {
        let what = format!(
            "{} layers, then {}",
            first.layers.len(),
            second.layers.len()
        );
        return at("manifest".to_owned(), vec![what]);
    }
    for number in 0..first.layers.len() {
        if first.layers[number].digest == second.layers[number].digest {
            continue;
        }
        let Some((place, what)) = in_layer(first, second, number)? else {
            let what = "the same archive, compressed to other bytes".to_owned();
            return at(format!("layer {number}"), vec![what]);
        };
        return at(place, what);
    }
    let documents = [
        ("configuration", value(&first.config), value(&second.config)),
        ("manifest", value(&first.manifest), value(&second.manifest)),
    ];
    for (name, one, other) in documents {
        if let Some((path, one, other)) = differing(&one, &other, String::new()) {
            return at(
                name.to_owned(),
                vec![format!("{path} is {one}, then {other}")],
            );
        }
    }
    at(
        "manifest".to_owned(),
        vec!["it is written otherwise".to_owned()],
    )
}

fn value<T: Serialize>(document: &T) -> Value {
    serde_json::to_value(document).unwrap_or_default()
}

/// The first place at which two documents differ, and both values.
fn differing(one: &Value, other: &Value, path: String) -> Option<(String, String, String)> {
    match (one, other) {
        (Value::Object(a), Value::Object(b)) => {
            let mut keys: Vec<&String> = a.keys().chain(b.keys()).collect();
            keys.sort();
            keys.dedup();
            keys.into_iter().find_map(|key| {
                let null = Value::Null;
                let (a, b) = (a.get(key).unwrap_or(&null), b.get(key).unwrap_or(&null));
                differing(a, b, format!("{path}/{key}"))
            })
        }
        (Value::Array(a), Value::Array(b)) if a.len() == b.len() => {
            let mut pairs = a.iter().zip(b).enumerate();
            pairs.find_map(|(at, (a, b))| differing(a, b, format!("{path}/{at}")))
        }
        _ if one == other => None,
        _ => Some((path, one.to_string(), other.to_string())),
    }
}

type Listed = Vec<(ReadEntry, Digest)>;

fn listed(image: &Image, number: usize) -> Result<Listed, CompareError> {
    let reader = image.open_layer(&image.layers[number], ReadLimits::default())?;
    let mut all = Vec::new();
    reader.for_each(|entry, content| {
        let mut content = ounce_oci::digest::Hashing::new(content);
        io::copy(&mut content, &mut io::sink())?;
        all.push((entry, content.into_digest().1));
        Ok::<(), CompareError>(())
    })?;
    Ok(all)
}

/// The first entry that differs, and how; `None` if all are the same.
fn in_layer(
    first: &Image,
    second: &Image,
    number: usize,
) -> Result<Option<(String, Vec<String>)>, CompareError> {
    let (one, other) = (listed(first, number)?, listed(second, number)?);
    for at in 0..one.len().max(other.len()) {
        let (a, b) = match (one.get(at), other.get(at)) {
            (Some(a), Some(b)) if a == b => continue,
            (Some(a), Some(b)) if a.0.path == b.0.path => (a, b),
            (a, b) => {
                let path = |side: Option<&(ReadEntry, Digest)>| {
                    side.map_or("the end".to_owned(), |(entry, _)| {
                        format!("/{}", entry.path.display())
                    })
                };
                let place = path(a.or(b));
                let what = format!("entry {at} is {}, then {}", path(a), path(b));
                return Ok(Some((place, vec![what])));
            }
        };
        let mut what = headers(&a.0, &b.0);
        if a.1 != b.1 && a.0.kind == ReadKind::File {
            let contents = (
                content(first, number, at, a.0.size)?,
                content(second, number, at, b.0.size)?,
            );
            what.extend(bytes(&contents.0, &contents.1));
        }
        return Ok(Some((format!("/{}", a.0.path.display()), what)));
    }
    Ok(None)
}

/// What differs in two entries of one path, contents aside.
fn headers(a: &ReadEntry, b: &ReadEntry) -> Vec<String> {
    let mut what = Vec::new();
    if a.kind != b.kind {
        what.push(format!("it is {:?}, then {:?}", a.kind, b.kind));
    }
    if a.mode != b.mode {
        what.push(format!("its mode is {:04o}, then {:04o}", a.mode, b.mode));
    }
    if (a.uid, a.gid) != (b.uid, b.gid) {
        what.push(format!(
            "it is {}:{}'s, then {}:{}'s",
            a.uid, a.gid, b.uid, b.gid
        ));
    }
    if a.mtime != b.mtime {
        what.push(format!("its time is {}, then {}", a.mtime, b.mtime));
    }
    if a.size != b.size {
        what.push(format!("it has {} bytes, then {}", a.size, b.size));
    }
    if a.xattrs != b.xattrs {
        what.push("its extended attributes differ".to_owned());
    }
    what
}

/// The content of one entry.
fn content(
    image: &Image,
    number: usize,
    wanted: usize,
    size: u64,
) -> Result<Vec<u8>, CompareError> {
    let mut found = Vec::new();
    if size > MOST_BYTES {
        return Ok(found);
    }
    let reader = image.open_layer(&image.layers[number], ReadLimits::default())?;
    let mut at = 0;
    reader.for_each(|_, content| {
        if at == wanted {
            content.take(MOST_BYTES).read_to_end(&mut found)?;
        }
        at += 1;
        Ok::<(), CompareError>(())
    })?;
    Ok(found)
}

/// Where two contents differ first, how much of them does, and what stands there.
fn bytes(a: &[u8], b: &[u8]) -> Vec<String> {
    let Some(at) = (0..a.len().max(b.len())).find(|at| a.get(*at) != b.get(*at)) else {
        return vec!["its content differs".to_owned()];
    };
    let mut what = Vec::new();
    let common = a.len().min(b.len());
    let differ = (at..common).filter(|at| a[*at] != b[*at]).count() + a.len().abs_diff(b.len());
    // From the end: what is the same there is moved, if lengths differ.
    let same_end = a.iter().rev().zip(b.iter().rev());
    let same_end = same_end
        .take_while(|(a, b)| a == b)
        .count()
        .min(common - at.min(common));
    let region = elf::region(a, at as u64).map_or(String::new(), |region| format!(", in {region}"));
    let (from, to) = (at, a.len() - same_end);
    what.push(match to.saturating_sub(from) {
        0 => format!("from byte {from} on bytes are inserted{region}"),
        1 => format!("byte {from} of {} differs{region}", a.len()),
        count => format!(
            "bytes {from} to {} of {} differ, {} of these {count}{region}",
            to - 1,
            a.len(),
            differ.min(count)
        ),
    });
    // A little before, so that a text can be told that began there.
    let from = at.saturating_sub(8);
    let part = |bytes: &[u8]| {
        let end = bytes.len().min(from + SHOWN);
        bytes
            .get(from..end)
            .unwrap_or_default()
            .escape_ascii()
            .to_string()
    };
    what.push(match texts(a, b) {
        Some((one, other)) => format!("a text in it is {one:?}, then {other:?}"),
        None => format!("there stands \"{}\", then \"{}\"", part(a), part(b)),
    });
    what
}

/// The longest texts that only one of two programs has, cut to where they begin to
/// differ: in a program the first bytes that differ are as a rule addresses, and
/// say nothing of why.
fn texts(a: &[u8], b: &[u8]) -> Option<(String, String)> {
    let (of_a, of_b): (HashSet<&[u8]>, HashSet<&[u8]>) = (runs(a).collect(), runs(b).collect());
    let one = runs(a)
        .filter(|run| !of_b.contains(run))
        .max_by_key(|run| run.len())?;
    let other = runs(b)
        .filter(|run| !of_a.contains(run))
        .max_by_key(|run| run.len())?;
    let same = one.iter().zip(other).take_while(|(a, b)| a == b).count();
    let from = same.saturating_sub(SHOWN / 2);
    let cut = |run: &[u8]| {
        let end = run.len().min(from + 3 * SHOWN);
        String::from_utf8_lossy(run.get(from..end).unwrap_or_default()).into_owned()
    };
    Some((cut(one), cut(other)))
}

/// Runs of printable characters that are too long to be chance.
fn runs(bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    bytes
        .split(|byte| !(b' '..=b'~').contains(byte))
        .filter(|run| run.len() >= TEXT)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn difference_of_bytes_is_told_with_its_range_and_what_stands_there() {
        let told = bytes(b"abc /home/anna/x def", b"abc /home/otto/x def");
        assert_eq!(told[0], "bytes 10 to 13 of 20 differ, 4 of these 4");
        assert_eq!(
            told[1],
            "a text in it is \"abc /home/anna/x def\", then \"abc /home/otto/x def\""
        );
        assert_eq!(
            bytes(b"abc", b"abXc")[0],
            "from byte 2 on bytes are inserted"
        );
        assert_eq!(bytes(b"abc", b"aXc")[0], "byte 1 of 3 differs");
        assert_eq!(bytes(b"", b"")[0], "its content differs");
        assert!(bytes(b"aa", b"aaa")[0].contains("inserted"));
        assert!(!bytes(b"aaa", b"aa").is_empty());
    }

    #[test]
    fn difference_of_documents_is_told_by_its_path() {
        let (a, b) = (
            serde_json::json!({"config": {"Env": ["A=1"], "User": "0"}}),
            serde_json::json!({"config": {"Env": ["A=2"], "User": "0"}}),
        );
        let told = differing(&a, &b, String::new()).unwrap();
        assert_eq!(told.0, "/config/Env/0");
        assert_eq!(differing(&a, &a, String::new()), None);
    }
}
