//! From what a test was seen to touch to what has to stay: links and folders on
//! the way, names in a listed folder, and the interpreters that the kernel opens
//! itself, which no watcher of system calls sees.

use std::path::Path;

use ounce_rootfs::tree::NodeKind;
use ounce_rootfs::{Script, Tree};

use crate::files::Files;
use crate::keep::{Kept, Reason};

/// A file that a test was seen to name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Seen<'a> {
    /// As the program wrote it, absolute.
    pub path: &'a Path,
    /// The folder that nothing in the path leads out of, if that is not the root;
    /// `path` lies in it.
    pub root: Option<&'a Path>,
    /// Whether a link at its end was followed.
    pub follow: bool,
    /// What was done with it.
    pub act: Act,
    /// In words, for reports: `opened`.
    pub how: &'static str,
}

/// What was done, as far as more has to stay for it than the path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Act {
    /// Anything else.
    Other,
    /// It was executed.
    Executed,
    /// Its names were read.
    Listed,
    /// A Python interpreter read its names. Its importer does so with every folder
    /// of its path, only to look names up, so in a folder of modules those names
    /// do not have to stay.
    ListedByPython,
}

/// Bytes of a program that are looked at for its interpreter.
const HEAD: u64 = 64 << 10;
/// How far into a program the name of its interpreter may stand.
const FARTHEST: u64 = 64 << 20;
/// Interpreters of interpreters that the kernel follows (`exec_binprm`: 5).
const DEPTH: usize = 6;

/// Keeps what was seen.
pub fn keep<'a>(
    kept: &mut Kept,
    tree: &Tree,
    files: &mut dyn Files,
    seen: impl Iterator<Item = Seen<'a>>,
) {
    for one in seen {
        let reason = Reason::Touched { how: one.how };
        let place = match one.root {
            Some(root) => {
                let path = one.path.strip_prefix(root).unwrap_or(one.path);
                kept.path(tree, root, Reason::Parent)
                    .and_then(|root| kept.walk(tree, &root, path, one.follow, reason))
            }
            None if one.follow => kept.path(tree, one.path, reason),
            None => kept.path_itself(tree, one.path, reason),
        };
        let Some(place) = place else {
            continue;
        };
        match one.act {
            Act::Other => {}
            Act::Executed => executed(kept, tree, files, &place, DEPTH),
            Act::ListedByPython if holds_modules(tree, &place) => {}
            Act::Listed | Act::ListedByPython => listed(kept, tree, &place),
        }
    }
}

/// Keeps every name of a folder: files whole, folders empty.
fn listed(kept: &mut Kept, tree: &Tree, folder: &Path) {
    let names: Vec<_> = tree.names(folder).map(|name| folder.join(name)).collect();
    for place in names {
        kept.insert(place, Reason::Listed);
    }
}

/// Whether Python modules lie directly in it.
fn holds_modules(tree: &Tree, folder: &Path) -> bool {
    tree.names(folder).any(|name| {
        let name = name.as_encoded_bytes();
        [
            &b".py"[..],
            b".pyc",
            b".so",
            b".pth",
            b".dist-info",
            b".egg-info",
        ]
        .iter()
        .any(|end| name.ends_with(end))
            || name == b"__pycache__"
    })
}

/// Keeps what the kernel opens itself when this file is executed.
pub fn executed(kept: &mut Kept, tree: &Tree, files: &mut dyn Files, place: &Path, depth: usize) {
    let is_file = matches!(tree.get(place), Some(node) if matches!(node.kind, NodeKind::File(_)));
    if depth == 0 || !is_file {
        return;
    }
    // A file that cannot be read could not be executed either.
    let Ok(head) = files.read(place, HEAD) else {
        return;
    };
    let (interpreter, how) = if let Some(script) = Script::read(&head) {
        (script.interpreter, "interpreter of `#!`")
    } else if let Some(interpreter) = interpreter(files, place, head) {
        (interpreter, "interpreter of the ELF file")
    } else {
        return;
    };
    let reason = Reason::Needed {
        by: place.to_owned(),
        how: how.to_owned(),
    };
    if let Some(place) = kept.path(tree, Path::new(&interpreter), reason) {
        executed(kept, tree, files, &place, depth - 1);
    }
}

/// The text of an ELF file's `PT_INTERP` (man 5 elf); nothing for a file that
/// has none or that the kernel would not execute.
fn interpreter(files: &mut dyn Files, place: &Path, mut head: Vec<u8>) -> Option<String> {
    let (offset, length) = interpreter_span(&head)?;
    let end = offset.checked_add(length)?;
    if end > head.len() as u64 {
        if end > FARTHEST {
            return None;
        }
        head = files.read(place, end).ok()?;
    }
    let text = head.get(offset as usize..end as usize)?;
    let text = text.split(|byte| *byte == 0).next()?;
    String::from_utf8(text.to_vec()).ok()
}

/// Where the text is.
fn interpreter_span(head: &[u8]) -> Option<(u64, u64)> {
    const PT_INTERP: u64 = 3;
    let number = |at: usize, width: usize| -> Option<u64> {
        let bytes = head.get(at..at.checked_add(width)?)?;
        let mut word = [0; 8];
        word[..width].copy_from_slice(bytes);
        Some(u64::from_le_bytes(word))
    };
    // Little-endian only, as all machines that ounce runs on.
    if !head.starts_with(b"\x7fELF") || *head.get(5)? != 1 {
        return None;
    }
    // e_phoff, e_phentsize, e_phnum; p_offset, p_filesz.
    let wide = *head.get(4)? == 2;
    let (table, size, count) = match wide {
        true => (number(32, 8)?, number(54, 2)?, number(56, 2)?),
        false => (number(28, 4)?, number(42, 2)?, number(44, 2)?),
    };
    for index in 0..count {
        let at = usize::try_from(table.checked_add(index * size)?).ok()?;
        if number(at, 4)? == PT_INTERP {
            return match wide {
                true => Some((number(at + 8, 8)?, number(at + 32, 8)?)),
                false => Some((number(at + 4, 4)?, number(at + 16, 4)?)),
            }
            // PATH_MAX, as the kernel has it.
            .filter(|(_, length)| *length <= 4096);
        }
    }
    None
}
