//! What trials of earlier runs said, so that a proof that was broken off goes
//! on where it was: a file of one line a trial, which only grows.

use std::collections::HashMap;
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use ounce_oci::Digest;

use crate::reduce::Set;
use crate::scratch::HostError;

/// Most bytes of a journal that are read.
const LONGEST: u64 = 256 << 20;

/// A journal that is open.
#[derive(Debug)]
pub struct Journal {
    path: PathBuf,
    file: File,
    known: HashMap<Digest, Result<(), String>>,
}

impl Journal {
    /// Opens the journal at `path`, or makes it. A last line that was cut is left out.
    ///
    /// # Errors
    /// It cannot be read or written.
    pub fn open(path: &Path) -> Result<Self, HostError> {
        let at = |step| HostError::at(step, path);
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder).map_err(at("making the folder of"))?;
        }
        let mut file = OpenOptions::new()
            .read(true)
            .append(true)
            .create(true)
            .open(path)
            .map_err(at("opening"))?;
        let mut text = Vec::new();
        (&mut file)
            .take(LONGEST)
            .read_to_end(&mut text)
            .map_err(at("reading"))?;
        let whole = text.iter().rposition(|byte| *byte == b'\n');
        if let Some(cut) = whole.map_or(Some(0), |end| (end + 1 < text.len()).then_some(end + 1)) {
            file.set_len(cut as u64).map_err(at("cutting"))?;
            text.truncate(cut);
        }
        let text = String::from_utf8_lossy(&text);
        Ok(Self {
            path: path.to_owned(),
            file,
            known: text.lines().filter_map(line).collect(),
        })
    }

    /// How many trials it knows.
    pub fn len(&self) -> usize {
        self.known.len()
    }

    /// Whether it knows none.
    pub fn is_empty(&self) -> bool {
        self.known.is_empty()
    }

    /// What a trial of this set said: nothing that is wrong, or what.
    pub fn get(&self, set: &Set) -> Option<&Result<(), String>> {
        self.known.get(&key(set))
    }

    /// Notes what a trial said.
    ///
    /// # Errors
    /// The disk refuses.
    pub fn note(&mut self, set: &Set, said: Result<(), String>) -> Result<(), HostError> {
        let key = key(set);
        let word = match &said {
            Ok(()) => "passes".to_owned(),
            Err(why) => format!("fails {}", why.replace(['\n', '\r'], " ")),
        };
        let written = self.file.write_all(format!("{key} {word}\n").as_bytes());
        self.known.insert(key, said);
        written.map_err(HostError::at("writing", &self.path))
    }

    /// Takes it away: the proof is done.
    ///
    /// # Errors
    /// The host refuses.
    pub fn remove(self) -> io::Result<()> {
        std::fs::remove_file(self.path)
    }
}

fn key(set: &Set) -> Digest {
    Digest::of(&set.to_bytes())
}

fn line(text: &str) -> Option<(Digest, Result<(), String>)> {
    let (key, word) = text.split_once(' ')?;
    let said = match word.split_once(' ') {
        None if word == "passes" => Ok(()),
        Some(("fails", why)) => Err(why.to_owned()),
        _ => return None,
    };
    Some((key.parse().ok()?, said))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_journal_knows_what_it_was_told_and_forgets_a_line_that_was_cut() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("deep/journal");
        let sets: Vec<_> = (1..4).map(Set::full).collect();
        let mut journal = Journal::open(&path).unwrap();
        journal.note(&sets[0], Ok(())).unwrap();
        journal
            .note(&sets[1], Err("exit\ncode 1".to_owned()))
            .unwrap();
        journal.note(&sets[2], Ok(())).unwrap();
        drop(journal);
        let length = std::fs::metadata(&path).unwrap().len();
        let file = OpenOptions::new().write(true).open(&path).unwrap();
        file.set_len(length - 1).unwrap();
        let mut journal = Journal::open(&path).unwrap();
        assert_eq!(journal.get(&sets[0]), Some(&Ok(())));
        assert_eq!(journal.get(&sets[1]), Some(&Err("exit code 1".to_owned())));
        assert_eq!(journal.get(&sets[2]), None);
        journal.note(&sets[2], Ok(())).unwrap();
        assert_eq!(Journal::open(&path).unwrap().len(), 3);
        journal.remove().unwrap();
        assert!(!path.exists());
    }
}
