//! What goes from inside of what stays: each step asked for by its name, planned
//! here as data, and written only if the tests pass with it.

mod copies;
mod spare;
mod symbols;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::{Path, PathBuf};

use ounce_oci::layer::Patch;
use ounce_rootfs::python::bytecode::without_docstrings;
use ounce_rootfs::tree::{ContentId, NodeKind};
use serde::{Deserialize, Serialize};

use crate::files::Files;
use crate::keep::{Kept, Reason};
use crate::survey::Survey;

pub use symbols::strip;

/// Largest file that is looked into.
const FILE_BYTES: u64 = 1 << 30;

/// A way to make what stays smaller.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Step {
    /// Folders of tests in Python packages.
    Tests,
    /// Translations into languages that the image's environment does not name.
    Locales,
    /// Files with the same content become one with several names.
    Duplicates,
    /// Symbols and debug sections of ELF files.
    Symbols,
    /// Docstrings of compiled Python.
    Docstrings,
}

impl Step {
    /// All of them, in the order in which they are taken.
    pub const ALL: [Self; 5] = [
        Self::Tests,
        Self::Locales,
        Self::Duplicates,
        Self::Symbols,
        Self::Docstrings,
    ];

    /// As it is written.
    pub fn name(self) -> &'static str {
        match self {
            Self::Tests => "tests",
            Self::Locales => "locales",
            Self::Duplicates => "duplicates",
            Self::Symbols => "symbols",
            Self::Docstrings => "docstrings",
        }
    }
}

/// What steps change of a kept set.
#[derive(Debug, Clone, Default)]
pub struct Changes {
    /// Files that are written otherwise.
    pub patches: HashMap<ContentId, Patch>,
    /// Files that become a further name of another one.
    pub same: HashMap<ContentId, ContentId>,
    /// Places that go.
    gone: BTreeMap<PathBuf, Step>,
    /// Which step a patch is of.
    steps: HashMap<ContentId, Step>,
}

impl Changes {
    /// What these steps change. `variables` is the image's environment.
    pub fn plan(
        steps: &[Step],
        (survey, kept): (&Survey, &Kept),
        files: &mut dyn Files,
        variables: &[String],
    ) -> Self {
        let mut changes = Self::default();
        for step in Step::ALL.into_iter().filter(|step| steps.contains(step)) {
            match step {
                Step::Tests => changes.leave_out(kept, step, &spare::tests),
                Step::Locales => {
                    let languages = spare::languages(variables);
                    changes.leave_out(kept, step, &|place| spare::locale(place, &languages));
                }
                Step::Duplicates => {
                    let there = changes.contents(survey, kept);
                    changes.same = copies::same(survey, &there, files);
                }
                Step::Symbols => changes.patch(survey, kept, files, step, &|head| {
                    head.starts_with(b"\x7fELF")
                }),
                Step::Docstrings => {
                    // A magic number of Python's ends so (PEP 3147).
                    changes.patch(survey, kept, files, step, &|head| head.ends_with(b"\r\n"));
                }
            }
        }
        changes
    }

    /// Whether nothing is changed.
    pub fn is_empty(&self) -> bool {
        self.patches.is_empty() && self.same.is_empty() && self.gone.is_empty()
    }

    /// What is left of a kept set.
    #[must_use]
    pub fn rest(&self, kept: &Kept) -> Kept {
        let places = kept.iter().map(|(place, _)| place);
        let left: Vec<_> = places
            .filter(|place| !self.gone.contains_key(*place))
            .map(Path::to_owned)
            .collect();
        kept.only(&left)
    }

    /// How many bytes each step saves.
    pub fn saved(&self, survey: &Survey, kept: &Kept) -> BTreeMap<Step, u64> {
        let mut saved = BTreeMap::new();
        let mut left = HashSet::new();
        let mut went = HashMap::new();
        for (place, id) in files_of(survey, kept) {
            match self.gone.get(place) {
                Some(step) => {
                    went.insert(id, *step);
                }
                None => {
                    left.insert(id);
                }
            }
        }
        let whole = |id: ContentId| survey.tree.content(id).bytes;
        went.retain(|id, _| !left.contains(id));
        for (id, step) in went {
            *saved.entry(step).or_default() += whole(id);
        }
        for id in left {
            let bytes = whole(id);
            if self.same.contains_key(&id) {
                *saved.entry(Step::Duplicates).or_default() += bytes;
            } else if let (Some(patch), Some(step)) = (self.patches.get(&id), self.steps.get(&id)) {
                *saved.entry(*step).or_default() += bytes.saturating_sub(patch.bytes);
            }
        }
        saved
    }

    /// The contents that are left, each with its first place, in the order of these.
    fn contents<'a>(&self, survey: &Survey, kept: &'a Kept) -> Vec<(&'a Path, ContentId)> {
        let mut seen = HashSet::new();
        files_of(survey, kept)
            .filter(|(place, _)| !self.gone.contains_key(*place))
            .filter(|(_, id)| !self.same.contains_key(id) && seen.insert(*id))
            .collect()
    }

    /// Lets places go that `is` one of, but what the test touched and what lies above it.
    fn leave_out(&mut self, kept: &Kept, step: Step, is: &dyn Fn(&Path) -> bool) {
        let needed = |reason: &Reason| {
            matches!(
                reason,
                Reason::Touched { .. } | Reason::Tried { .. } | Reason::Configured
            )
        };
        let all: Vec<_> = kept.iter().filter(|(place, _)| is(place)).collect();
        let stays: HashSet<&Path> = all
            .iter()
            .filter(|(_, reason)| needed(reason))
            .flat_map(|(place, _)| place.ancestors())
            .collect();
        let goes = all.iter().filter(|(place, _)| !stays.contains(place));
        self.gone
            .extend(goes.map(|(place, _)| ((*place).to_owned(), step)));
    }

    /// Writes files otherwise whose first four bytes are such.
    fn patch(
        &mut self,
        survey: &Survey,
        kept: &Kept,
        files: &mut dyn Files,
        step: Step,
        is: &dyn Fn(&[u8]) -> bool,
    ) {
        for (place, id) in self.contents(survey, kept) {
            let bytes = survey.tree.content(id).bytes;
            if bytes > FILE_BYTES || !files.read(place, 4).is_ok_and(|head| is(&head)) {
                continue;
            }
            let Ok(file) = files.read(place, FILE_BYTES) else {
                continue;
            };
            let patch = match step {
                Step::Docstrings => without_docstrings(&file).map(|new| Patch {
                    bytes: new.len() as u64,
                    start: new,
                }),
                _ => strip(&file),
            };
            if let Some(patch) = patch {
                self.patches.insert(id, patch);
                self.steps.insert(id, step);
            }
        }
    }
}

fn files_of<'a>(survey: &Survey, kept: &'a Kept) -> impl Iterator<Item = (&'a Path, ContentId)> {
    kept.iter()
        .filter_map(|(place, _)| match survey.tree.get(place)?.kind {
            NodeKind::File(id) => Some((place, id)),
            _ => None,
        })
}
