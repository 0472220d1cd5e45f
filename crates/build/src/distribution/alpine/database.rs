//! apk's own records of what is installed, as it writes them, so that it and
//! every scanner see the base as any other Alpine.

use std::fmt::Write as _;

use ounce_oci::tar::{self, Fields};

use super::dependency::{Dependency, list_text};
use super::index::{Package, checksum_text};
use super::install::{Access, Installed};

/// Kinds of scripts in the order in which apk keeps them.
const SCRIPTS: [&str; 7] = [
    "pre-install",
    "post-install",
    "pre-deinstall",
    "post-deinstall",
    "pre-upgrade",
    "post-upgrade",
    "trigger",
];

/// `lib/apk/db/installed`.
pub(super) fn installed(packages: &[Installed]) -> String {
    let mut sorted: Vec<&Installed> = packages.iter().collect();
    sorted.sort_by_key(|one| {
        let name = &one.package().name;
        (name.to_lowercase(), name.clone())
    });
    let mut text = String::new();
    for one in sorted {
        text.push_str(&one.package().head());
        if !one.unpacked.replaces.is_empty() {
            let _ = writeln!(text, "r:{}", list_text(&one.unpacked.replaces));
        }
        if one.unpacked.replaces_priority != 0 {
            let _ = writeln!(text, "q:{}", one.unpacked.replaces_priority);
        }
        for folder in &one.folders {
            let _ = writeln!(text, "F:{}", folder.path);
            access('M', folder.access, 0o755, &mut text);
            for file in &folder.files {
                let _ = writeln!(text, "R:{}", file.name);
                access('a', file.access, 0o644, &mut text);
                if let Some(checksum) = &file.checksum {
                    let _ = writeln!(text, "Z:{}", checksum_text(checksum));
                }
            }
        }
        text.push('\n');
    }
    text
}

/// Written only where it is not the usual.
fn access(field: char, access: Access, usual_mode: u32, text: &mut String) {
    let Access { uid, gid, mode } = access;
    if (uid, gid, mode) != (0, 0, usual_mode) {
        let _ = writeln!(text, "{field}:{uid}:{gid}:{mode:o}");
    }
}

/// `lib/apk/db/scripts.tar`: each package's scripts, for when it is upgraded or
/// removed.
pub(super) fn scripts(packages: &[Installed]) -> Vec<u8> {
    let mut archive = Vec::new();
    for one in packages {
        let Package {
            name,
            version,
            identity,
            build_time,
            ..
        } = one.package();
        for kind in SCRIPTS {
            let mut scripts = one.unpacked.scripts.iter();
            let Some((_, text)) = scripts.find(|(known, _)| known == kind) else {
                continue;
            };
            let path = format!("{name}-{version}.{}.{kind}", checksum_text(identity));
            let fields = Fields {
                path: &path,
                kind: b'0',
                mode: 0o755,
                uid: 0,
                gid: 0,
                size: text.len() as u64,
                mtime: *build_time,
                link: "",
            };
            tar::emit(&fields, &mut archive);
            archive.extend_from_slice(text);
            tar::pad(text.len() as u64, &mut archive);
        }
    }
    archive.resize(archive.len() + 2 * tar::BLOCK, 0);
    archive
}

/// `lib/apk/db/triggers`: whose trigger is started by which folders.
pub(super) fn triggers(packages: &[Installed]) -> String {
    let mut text = String::new();
    for one in packages
        .iter()
        .filter(|one| !one.unpacked.triggers.is_empty())
    {
        let folders = one.unpacked.triggers.join(" ");
        let _ = writeln!(text, "{} {folders}", checksum_text(&one.package().identity));
    }
    text
}

/// `etc/apk/world`: what was asked for.
pub(super) fn world(world: &[Dependency]) -> String {
    let mut sorted: Vec<&Dependency> = world.iter().collect();
    sorted.sort_by_key(|one| (one.name.to_lowercase(), one.name.clone()));
    sorted.dedup();
    sorted.iter().map(|one| format!("{one}\n")).collect()
}
