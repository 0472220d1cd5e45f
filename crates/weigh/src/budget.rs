//! Whether an image keeps within a budget, and what is heavy if it does not.

use ounce_oci::ByteSize;
use serde::Serialize;

use crate::Weight;

/// Contributors that are told.
const TOLD: usize = 8;

/// The answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Verdict {
    /// Whether what is pulled is no more than the budget.
    pub within: bool,
    /// The budget.
    pub budget_bytes: ByteSize,
    /// What is pulled.
    pub pulled_bytes: ByteSize,
    /// How much it is over; 0 when it is within.
    pub over_bytes: ByteSize,
    /// What takes the most of what is pulled, heaviest first.
    pub heaviest: Vec<Contributor>,
    /// Bytes of symbols and debug information in the program, not compressed:
    /// the first to go.
    pub strippable_bytes: ByteSize,
}

/// Something that takes pulled bytes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Contributor {
    /// What it is.
    pub what: Part,
    /// Its compressed bytes.
    pub bytes: ByteSize,
}

/// What a [`Contributor`] is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Part {
    /// A file, by its path.
    File(String),
    /// All files that upper layers hide.
    Hidden,
    /// Manifest and configuration.
    Documents,
    /// Headers of files, folders and links in the layers.
    Overhead,
}

/// Checks what is pulled of an image against a budget.
pub fn check(weight: &Weight, budget: ByteSize) -> Verdict {
    let part = |what, bytes| Contributor { what, bytes };
    let files = weight.largest.iter();
    let mut heaviest: Vec<_> = files
        .map(|file| part(Part::File(file.path.clone()), file.compressed_bytes))
        .collect();
    let documents = weight.manifest_bytes.0 + weight.config_bytes.0;
    heaviest.push(part(Part::Documents, ByteSize(documents)));
    heaviest.push(part(Part::Overhead, weight.overhead_bytes));
    heaviest.push(part(Part::Hidden, weight.waste.compressed_bytes));
    heaviest.retain(|one| one.bytes.0 > 0);
    heaviest.sort_by_key(|one| std::cmp::Reverse(one.bytes));
    heaviest.truncate(TOLD);
    let facts = weight.program.as_ref().and_then(|it| it.elf.as_ref());
    Verdict {
        within: weight.pulled_bytes <= budget,
        budget_bytes: budget,
        pulled_bytes: weight.pulled_bytes,
        over_bytes: ByteSize(weight.pulled_bytes.0.saturating_sub(budget.0)),
        heaviest,
        strippable_bytes: ByteSize(facts.map_or(0, |it| it.symbol_bytes + it.debug_bytes)),
    }
}
