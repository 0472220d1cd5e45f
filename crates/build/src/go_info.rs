//! What a Go program says of its build (package debug/buildinfo): the compiler,
//! the module and the settings. Ounce reads which Arm it is for, and tells the
//! rest as labels.

use std::collections::BTreeMap;

const MARK: &[u8] = b"\xff Go buildinf:";
/// The mark stands at a multiple of this in the file.
const ALIGNED: usize = 16;

/// Build information, as a program holds it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct GoInfo {
    version: String,
    /// Words between tabs, a line each.
    lines: String,
}

impl GoInfo {
    /// Since Go 1.18 the strings stand behind 32 bytes of head, each after its
    /// length; older programs hold pointers, and are not read.
    pub(crate) fn read(program: &[u8]) -> Option<Self> {
        let at = (0..program.len())
            .step_by(ALIGNED)
            .find(|at| program[*at..].starts_with(MARK))?;
        let head = &program[at..];
        if head.get(15)? & 2 == 0 {
            return None;
        }
        let (version, rest) = string(head.get(32..)?)?;
        let (lines, _) = string(rest)?;
        // Sixteen bytes of mark stand before and after.
        let lines = lines
            .get(16..lines.len().checked_sub(16)?)
            .unwrap_or_default();
        Some(Self {
            version: String::from_utf8_lossy(version).into_owned(),
            lines: String::from_utf8_lossy(lines).into_owned(),
        })
    }

    /// A setting of the build, as `GOARM`.
    pub(crate) fn setting(&self, name: &str) -> Option<&str> {
        self.lines.lines().find_map(|line| {
            let setting = line.strip_prefix("build\t")?;
            setting.strip_prefix(name)?.strip_prefix('=')
        })
    }

    /// Labels that tell it.
    pub(crate) fn labels(&self) -> BTreeMap<String, String> {
        let mut module = self.lines.lines().find_map(|line| {
            let mut words = line.strip_prefix("mod\t")?.split('\t');
            Some((words.next()?, words.next().unwrap_or_default()))
        });
        let path = self
            .lines
            .lines()
            .find_map(|line| line.strip_prefix("path\t"));
        let mut labels = BTreeMap::new();
        let text = format!("{} {}", self.version, path.unwrap_or_default());
        labels.insert("io.ounce.go".to_owned(), text.trim().to_owned());
        let version = module.take().map(|(_, version)| version);
        if let Some(version) = version.filter(|version| version.starts_with('v')) {
            let key = "org.opencontainers.image.version".to_owned();
            labels.insert(key, version.to_owned());
        }
        if let Some(revision) = self.setting("vcs.revision") {
            let key = "org.opencontainers.image.revision".to_owned();
            labels.insert(key, revision.to_owned());
        }
        labels
    }
}

/// A string after its length as a varint (LEB128), and what follows.
fn string(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let mut length = 0_usize;
    for (index, byte) in bytes.iter().take(5).enumerate() {
        length |= usize::from(byte & 0x7f) << (7 * index);
        if *byte < 0x80 {
            return bytes.get(index + 1..)?.split_at_checked(length);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn program(lines: &str) -> Vec<u8> {
        let mut bytes = vec![0; 48];
        bytes.extend_from_slice(MARK);
        bytes.extend_from_slice(&[8, 2]);
        bytes.resize(48 + 32, 0);
        let lines = format!("{}{lines}{}", "x".repeat(16), "y".repeat(16));
        for text in ["go1.27.3", &lines] {
            let length = text.len();
            bytes.extend([(length & 0x7f) as u8 | 0x80, (length >> 7) as u8]);
            bytes.extend_from_slice(text.as_bytes());
        }
        bytes
    }

    #[test]
    fn what_a_program_says_becomes_settings_and_labels() {
        let text = "path\texample.com/a/cmd/b\nmod\texample.com/a\tv1.2.3\t\n\
                    build\tGOARM=6\nbuild\tvcs.revision=abc\n";
        let info = GoInfo::read(&program(text)).unwrap();
        assert_eq!(info.setting("GOARM"), Some("6"));
        let labels = info.labels();
        assert_eq!(labels["io.ounce.go"], "go1.27.3 example.com/a/cmd/b");
        assert_eq!(labels["org.opencontainers.image.version"], "v1.2.3");
        assert_eq!(labels["org.opencontainers.image.revision"], "abc");
    }

    #[test]
    fn bytes_that_are_cut_or_lie_are_no_build_information() {
        let whole = program("build\tGOARM=6\n");
        for length in 0..whole.len() {
            let _ = GoInfo::read(&whole[..length]);
        }
        let mut long = whole.clone();
        long[48 + 32..48 + 37].fill(0xff);
        assert_eq!(GoInfo::read(&long), None);
        assert_eq!(GoInfo::read(b""), None);
    }
}
