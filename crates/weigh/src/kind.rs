//! What kind of file it is, by its path and its first bytes: so that one sees at
//! a glance what an image is made of and which part nobody runs.

use std::path::Path;

use serde::Serialize;

/// Kinds of files. Where a file serves a package (documentation, a cache), that
/// counts before what its bytes are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum FileKind {
    /// An ELF program.
    Program,
    /// A shared library or a loadable module.
    Library,
    /// A WebAssembly module or component.
    Wasm,
    /// What only compilers and linkers read: headers, archives, object files.
    Development,
    /// Debug information that stands in files of its own.
    Debug,
    /// A script with a `#!` line, or of a shell.
    Script,
    /// Python's source.
    Python,
    /// Python's compiled bytecode.
    Bytecode,
    /// JavaScript, TypeScript and their source maps.
    Javascript,
    /// Java archives and classes.
    Java,
    /// Manual pages, info files, licences and examples.
    Documentation,
    /// Translations and definitions of locales.
    Locale,
    /// Time zones.
    TimeZone,
    /// Certificates.
    Certificate,
    /// Tests that a package brought along.
    Test,
    /// Downloads and indexes of package managers and compilers.
    Cache,
    /// Logs and temporary files.
    Leftover,
    /// Records of package managers.
    PackageRecord,
    /// Pictures, fonts, sound, film.
    Media,
    /// Compressed archives.
    Archive,
    /// Text: settings, data.
    Text,
    /// All else.
    Data,
    /// Nothing in it.
    Empty,
}

impl FileKind {
    /// As people call it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Program => "programs",
            Self::Library => "shared libraries",
            Self::Wasm => "WebAssembly",
            Self::Development => "headers, static libraries",
            Self::Debug => "debug information",
            Self::Script => "scripts",
            Self::Python => "Python source",
            Self::Bytecode => "Python bytecode",
            Self::Javascript => "JavaScript",
            Self::Java => "Java",
            Self::Documentation => "documentation",
            Self::Locale => "locales",
            Self::TimeZone => "time zones",
            Self::Certificate => "certificates",
            Self::Test => "tests",
            Self::Cache => "caches",
            Self::Leftover => "logs, temporary files",
            Self::PackageRecord => "package records",
            Self::Media => "pictures, fonts, media",
            Self::Archive => "archives",
            Self::Text => "text",
            Self::Data => "data",
            Self::Empty => "empty files",
        }
    }

    /// Whether a service hardly ever needs it at run time. Bytecode is not
    /// among them: without it a Python program starts several times slower.
    pub fn is_dispensable(self) -> bool {
        matches!(
            self,
            Self::Development
                | Self::Debug
                | Self::Documentation
                | Self::Test
                | Self::Cache
                | Self::Leftover
        )
    }

    /// Tells it from a path without leading slash and the first bytes.
    pub fn of(path: &Path, head: &[u8], is_empty: bool) -> Self {
        let text = path.to_string_lossy();
        let text: &str = &text;
        by_place(text)
            .or_else(|| is_empty.then_some(Self::Empty))
            .or_else(|| by_head(text, head))
            .or_else(|| by_extension(text))
            .unwrap_or_else(|| {
                let is_text = !head.contains(&0) && std::str::from_utf8(trim(head)).is_ok();
                if is_text { Self::Text } else { Self::Data }
            })
    }
}

/// The head may end within a character.
fn trim(head: &[u8]) -> &[u8] {
    match std::str::from_utf8(head) {
        Err(error) if error.error_len().is_none() => &head[..error.valid_up_to()],
        _ => head,
    }
}

fn by_place(text: &str) -> Option<FileKind> {
    let within = |folder: &str| {
        text.strip_prefix(folder)
            .is_some_and(|rest| rest.starts_with('/'))
    };
    let any = |folders: &[&str]| folders.iter().any(|folder| within(folder));
    let passes = |part: &str| text.contains(part);
    Some(if any(&["usr/lib/debug"]) || text.ends_with(".debug") {
        FileKind::Debug
    } else if any(&[
        "usr/share/doc",
        "usr/share/man",
        "usr/share/info",
        "usr/share/lintian",
    ]) || any(&[
        "usr/local/share/man",
        "usr/local/share/doc",
        "usr/share/gtk-doc",
    ]) {
        FileKind::Documentation
    } else if any(&["usr/share/locale", "usr/share/i18n", "usr/lib/locale"]) {
        FileKind::Locale
    } else if any(&["usr/share/zoneinfo"]) {
        FileKind::TimeZone
    } else if any(&[
        "etc/ssl/certs",
        "usr/share/ca-certificates",
        "etc/ca-certificates",
    ]) {
        FileKind::Certificate
    } else if any(&[
        "var/cache",
        "var/lib/apt/lists",
        "root/.cache",
        "etc/apk/cache",
    ]) || passes("/.cache/")
        || passes("/.npm/_cacache/")
        || passes("/.cargo/registry/")
        || passes("/go/pkg/mod/cache/")
    {
        FileKind::Cache
    } else if any(&["tmp", "var/tmp", "var/log"]) {
        FileKind::Leftover
    } else if any(&[
        "var/lib/dpkg",
        "lib/apk/db",
        "usr/lib/apk/db",
        "var/lib/rpm",
    ]) || passes(".dist-info/")
        || passes(".egg-info/")
    {
        FileKind::PackageRecord
    } else if any(&["usr/include", "usr/local/include"]) {
        FileKind::Development
    } else if passes("-packages/") && (passes("/tests/") || passes("/test/"))
        || passes("/lib/python3") && passes("/test/")
        || passes("node_modules/") && (passes("/test/") || passes("/__tests__/"))
    {
        FileKind::Test
    } else {
        return None;
    })
}

fn by_head(text: &str, head: &[u8]) -> Option<FileKind> {
    let starts = |magic: &[u8]| head.starts_with(magic);
    Some(if starts(b"\x7fELF") {
        // e_type, two bytes at 16: 1 object, 2 program, 3 program or library.
        let kind = head.get(16..18).map(|two| [two[0], two[1]]);
        let file = text.rsplit('/').next().unwrap_or(text);
        match kind {
            Some([1, 0] | [0, 1]) => FileKind::Development,
            Some([3, 0] | [0, 3]) if file.contains(".so") => FileKind::Library,
            _ => FileKind::Program,
        }
    } else if starts(b"\0asm") {
        FileKind::Wasm
    } else if starts(b"#!") {
        FileKind::Script
    } else if starts(b"!<arch>\n") {
        FileKind::Development
    } else if starts(&[0xca, 0xfe, 0xba, 0xbe]) {
        FileKind::Java
    } else if starts(b"-----BEGIN CERT") {
        FileKind::Certificate
    } else if starts(&[0x89, b'P', b'N', b'G']) || starts(&[0xff, 0xd8, 0xff]) {
        FileKind::Media
    } else if starts(&[0x1f, 0x8b]) || starts(&[0x28, 0xb5, 0x2f, 0xfd]) || starts(b"\xfd7zXZ") {
        FileKind::Archive
    } else {
        return None;
    })
}

fn by_extension(text: &str) -> Option<FileKind> {
    let name = text.rsplit('/').next().unwrap_or(text);
    let (_, extension) = name.rsplit_once('.')?;
    Some(match extension {
        "py" | "pyi" | "pyx" => FileKind::Python,
        "pyc" | "pyo" => FileKind::Bytecode,
        "js" | "mjs" | "cjs" | "ts" | "map" => FileKind::Javascript,
        "h" | "hpp" | "a" | "o" | "la" | "pc" | "cmake" => FileKind::Development,
        "jar" | "class" | "war" => FileKind::Java,
        "md" | "rst" | "html" if text.contains("node_modules/") => FileKind::Documentation,
        "mo" => FileKind::Locale,
        "pem" | "crt" => FileKind::Certificate,
        "gif" | "svg" | "webp" | "ico" | "ttf" | "otf" | "woff" | "woff2" | "mp3" | "mp4" => {
            FileKind::Media
        }
        "zip" | "whl" | "egg" | "gz" | "xz" | "bz2" | "zst" | "tar" | "tgz" => FileKind::Archive,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn place_counts_before_bytes_and_bytes_before_the_extension() {
        let elf = |kind: u8| {
            let mut head = b"\x7fELF\x02\x01\x01".to_vec();
            head.resize(16, 0);
            head.extend([kind, 0]);
            head
        };
        for (path, head, kind) in [
            (
                "usr/share/doc/a/copyright",
                b"x".to_vec(),
                FileKind::Documentation,
            ),
            ("usr/bin/a", elf(2), FileKind::Program),
            ("usr/bin/pie", elf(3), FileKind::Program),
            ("usr/lib/liba.so.1", elf(3), FileKind::Library),
            ("usr/lib/a.o", elf(1), FileKind::Development),
            ("usr/lib/debug/.build-id/a", elf(3), FileKind::Debug),
            (
                "usr/bin/run.py",
                b"#!/usr/bin/python3\n".to_vec(),
                FileKind::Script,
            ),
            ("app/a.py", b"import os\n".to_vec(), FileKind::Python),
            (
                "app/__pycache__/a.cpython-311.pyc",
                vec![0xa7, 0x0d],
                FileKind::Bytecode,
            ),
            (
                "usr/lib/python3/dist-packages/n/tests/a.py",
                b"x".to_vec(),
                FileKind::Test,
            ),
            ("var/lib/apt/lists/x", b"x".to_vec(), FileKind::Cache),
            ("etc/hosts", "grün".as_bytes()[..3].to_vec(), FileKind::Text),
            ("opt/blob", vec![0, 1, 2], FileKind::Data),
        ] {
            assert_eq!(FileKind::of(Path::new(path), &head, false), kind, "{path}");
        }
        assert_eq!(FileKind::of(Path::new("opt/x"), b"", true), FileKind::Empty);
        assert_eq!(
            FileKind::of(Path::new("var/log/x"), b"", true),
            FileKind::Leftover
        );
    }
}
