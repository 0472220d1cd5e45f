//! What is in an image as a bill of materials: SPDX 2.3 and CycloneDX 1.6, both
//! as JSON. The same image gives the same document: its time is the image's own.
//!
//! Only what package managers and programs record is listed. Licences are passed
//! on where they are already in SPDX's form, and not asserted otherwise.

use std::collections::BTreeSet;
use std::path::Path;

use ounce_rootfs::name;
use serde_json::{Value, json};

use crate::inventory::Inventory;
use crate::sizes::{PackageWeight, Weight};

/// Which form.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// SPDX 2.3.
    Spdx,
    /// CycloneDX 1.6.
    CycloneDx,
}

/// The bill of materials of an image that is called `name`; `created` is a time
/// as RFC 3339 writes it, in UTC.
pub fn document(form: Form, name: &str, created: &str, weight: &Weight) -> Value {
    match form {
        Form::Spdx => spdx(name, created, weight),
        Form::CycloneDx => cyclone(name, created, weight),
    }
}

/// Of an image's packages those of which something is left, when only the files
/// that `stays` names are; paths are from the root, without a leading slash. What
/// a program says it was built of is left with the program.
pub fn remaining(
    packages: Vec<PackageWeight>,
    inventory: &Inventory,
    stays: &dyn Fn(&Path) -> bool,
) -> Vec<PackageWeight> {
    let stays = |path: &str| stays(&name::read(path.trim_start_matches('/')));
    let left = inventory.files.iter().filter(|file| stays(&file.path));
    let left: BTreeSet<usize> = left.filter_map(|file| file.package).collect();
    let all = packages.into_iter().enumerate();
    all.filter(|(number, package)| match package.share.files {
        0 => stays(&package.record),
        _ => left.contains(number),
    })
    .map(|(_, package)| package)
    .collect()
}

/// A time as both forms take it, in UTC and in whole seconds; `None` for one
/// with another offset from UTC.
pub fn time(text: &str) -> Option<String> {
    let (seconds, rest) = text.split_at_checked("YYYY-MM-DDTHH:MM:SS".len())?;
    let well_formed = seconds
        .bytes()
        .zip(*b"0000-00-00T00:00:00")
        .all(|(byte, form)| match form {
            b'0' => byte.is_ascii_digit(),
            mark => byte == mark,
        });
    let offset = rest.strip_prefix('.').map_or(rest, |rest| {
        rest.trim_start_matches(|c: char| c.is_ascii_digit())
    });
    (well_formed && matches!(offset, "Z" | "+00:00")).then(|| format!("{seconds}Z"))
}

fn spdx(name: &str, created: &str, weight: &Weight) -> Value {
    let hex = weight.digest.trim_start_matches("sha256:");
    let image = "SPDXRef-image";
    let mut packages = vec![json!({
        "SPDXID": image,
        "name": name,
        "versionInfo": weight.digest,
        "downloadLocation": "NOASSERTION",
        "filesAnalyzed": false,
        "primaryPackagePurpose": "CONTAINER",
        "checksums": [{"algorithm": "SHA256", "checksumValue": hex}],
    })];
    let mut relationships = vec![json!({
        "spdxElementId": "SPDXRef-DOCUMENT",
        "relationshipType": "DESCRIBES",
        "relatedSpdxElement": image,
    })];
    for (number, package) in sorted(weight).into_iter().enumerate() {
        let id = format!("SPDXRef-package-{number}");
        let license = license(package).unwrap_or("NOASSERTION");
        packages.push(json!({
            "SPDXID": id,
            "name": package.name,
            "versionInfo": package.version,
            "downloadLocation": "NOASSERTION",
            "filesAnalyzed": false,
            "licenseDeclared": license,
            "licenseConcluded": "NOASSERTION",
            "copyrightText": "NOASSERTION",
            "sourceInfo": format!("recorded in {}", package.record),
            "externalRefs": [{
                "referenceCategory": "PACKAGE-MANAGER",
                "referenceType": "purl",
                "referenceLocator": package.url,
            }],
        }));
        relationships.push(json!({
            "spdxElementId": image,
            "relationshipType": "CONTAINS",
            "relatedSpdxElement": id,
        }));
    }
    json!({
        "spdxVersion": "SPDX-2.3",
        "dataLicense": "CC0-1.0",
        "SPDXID": "SPDXRef-DOCUMENT",
        "name": name,
        "documentNamespace": format!("urn:ounce:sbom:sha256:{hex}"),
        "creationInfo": {
            "created": created,
            "creators": [format!("Tool: ounce-{}", env!("CARGO_PKG_VERSION"))],
        },
        "packages": packages,
        "relationships": relationships,
    })
}

fn cyclone(name: &str, created: &str, weight: &Weight) -> Value {
    let hex = weight.digest.trim_start_matches("sha256:");
    let components: Vec<Value> = sorted(weight)
        .into_iter()
        .map(|package| {
            let mut component = json!({
                "type": "library",
                "bom-ref": format!("{}#{}", package.url, package.record),
                "name": package.name,
                "version": package.version,
                "purl": package.url,
                "evidence": {"occurrences": [{"location": package.record}]},
            });
            if let Some(license) = license(package) {
                component["licenses"] = json!([{"expression": license}]);
            }
            component
        })
        .collect();
    json!({
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {
            "timestamp": created,
            "tools": {"components": [{
                "type": "application",
                "name": "ounce",
                "version": env!("CARGO_PKG_VERSION"),
            }]},
            "component": {
                "type": "container",
                "bom-ref": weight.digest,
                "name": name,
                "version": weight.digest,
                "hashes": [{"alg": "SHA-256", "content": hex}],
            },
        },
        "components": components,
    })
}

/// By package URL and place, each once.
fn sorted(weight: &Weight) -> Vec<&PackageWeight> {
    let mut packages: Vec<_> = weight.packages.iter().collect();
    packages.sort_by(|a, b| (&a.url, &a.record).cmp(&(&b.url, &b.record)));
    packages.dedup_by(|a, b| a.url == b.url && a.record == b.record);
    packages
}

/// The licence, where it is one of SPDX's short identifiers: a list of words
/// such as "BSD License" says too little.
fn license(package: &PackageWeight) -> Option<&str> {
    const KNOWN: &[&str] = &[
        "0BSD",
        "AGPL-3.0-only",
        "AGPL-3.0-or-later",
        "Apache-2.0",
        "Artistic-2.0",
        "BSD-2-Clause",
        "BSD-3-Clause",
        "BSL-1.0",
        "CC0-1.0",
        "GPL-2.0-only",
        "GPL-2.0-or-later",
        "GPL-3.0-only",
        "GPL-3.0-or-later",
        "ISC",
        "LGPL-2.1-only",
        "LGPL-2.1-or-later",
        "LGPL-3.0-only",
        "LGPL-3.0-or-later",
        "MIT",
        "MIT-0",
        "MPL-2.0",
        "OpenSSL",
        "PSF-2.0",
        "Python-2.0",
        "Unlicense",
        "X11",
        "Zlib",
        "curl",
    ];
    let text = package.license.as_deref()?;
    let words = text.split_whitespace();
    let is_expression = words.enumerate().all(|(at, word)| match at % 2 {
        0 => KNOWN.contains(&word),
        _ => matches!(word, "AND" | "OR"),
    });
    (is_expression && text.split_whitespace().count() % 2 == 1).then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_cut_to_seconds_and_others_than_utc_left_out() {
        for (text, expected) in [
            (
                "2026-11-22T00:18:42.136012781Z",
                Some("2026-11-22T00:18:42Z"),
            ),
            ("1970-01-01T00:00:00Z", Some("1970-01-01T00:00:00Z")),
            ("2026-11-22T00:18:42+00:00", Some("2026-11-22T00:18:42Z")),
            ("2026-11-22T00:18:42+02:00", None),
            ("2026-11-22", None),
            ("yyyy-11-22T00:18:42Z", None),
        ] {
            assert_eq!(time(text).as_deref(), expected, "{text}");
        }
    }
}
