//! Weights as documents, and weights side by side.

use std::borrow::Borrow;

use ounce_oci::ByteSize;
use serde::Serialize;

use crate::Weight;
use crate::bases::{self, Beside};
use crate::budget::Verdict;
use crate::cost::{Cost, cost};
use crate::difference::Difference;
use crate::inventory::Inventory;

/// Names this form of the document. A field more does not change it; a field
/// that goes or means something else does.
pub const SCHEMA: &str = "ounce.weigh/1";

/// What `ounce weigh --json` prints.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Document {
    /// [`SCHEMA`].
    pub schema: &'static str,
    /// The images, in the order they were named.
    pub images: Vec<Named>,
    /// Side by side, when there is more than one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub comparison: Option<Comparison>,
    /// What the second has otherwise than the first, when that is asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub difference: Option<Difference>,
    /// Every file of each image, when they are asked for.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub files: Vec<Inventory>,
    /// The answer about a budget, for each image, when there is one.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub budget: Vec<Verdict>,
}

/// An image's weight under the name it was asked for.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Named {
    /// As the user wrote it.
    pub name: String,
    /// What it weighs.
    #[serde(flatten)]
    pub weight: Weight,
    /// What moving it costs.
    pub cost: Option<Cost>,
    /// The usual bases beside it.
    pub bases: Vec<Beside>,
}

impl Document {
    /// Makes the document of weights and their names.
    pub fn new(weights: Vec<(String, Weight)>, budget: Option<ByteSize>) -> Self {
        let all: Vec<&Weight> = weights.iter().map(|(_, weight)| weight).collect();
        let check = |budget| all.iter().map(move |it| crate::budget::check(it, budget));
        Self {
            schema: SCHEMA,
            comparison: (all.len() > 1).then(|| compare(&all)),
            difference: None,
            files: Vec::new(),
            budget: budget.into_iter().flat_map(check).collect(),
            images: weights
                .into_iter()
                .map(|(name, weight)| Named {
                    name,
                    bases: bases::beside(&weight),
                    cost: cost(weight.pulled_bytes.0),
                    weight,
                })
                .collect(),
        }
    }
}

/// Images side by side, all against the first.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Comparison {
    /// One row a measure.
    pub rows: Vec<Row>,
}

/// One measure of all images.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Row {
    /// Which: the field of [`Weight`] it comes from.
    pub measure: &'static str,
    /// Its value, image by image.
    pub values: Vec<u64>,
    /// How many times the first image's value it is; none where that is 0.
    pub ratios: Vec<Option<f64>>,
}

/// Puts weights side by side, against the first.
pub fn compare<W: Borrow<Weight>>(weights: &[W]) -> Comparison {
    let row = |measure, value: fn(&Weight) -> u64| {
        let values: Vec<u64> = weights
            .iter()
            .map(|weight| value(weight.borrow()))
            .collect();
        let first = values.first().copied().unwrap_or(0);
        let ratio = |&value: &u64| (first > 0).then(|| value as f64 / first as f64);
        Row {
            measure,
            ratios: values.iter().map(ratio).collect(),
            values,
        }
    };
    Comparison {
        rows: vec![
            row("pulled_bytes", |weight| weight.pulled_bytes.0),
            row("unpacked_bytes", |weight| weight.unpacked_bytes.0),
            row("waste_bytes", |weight| weight.waste.bytes.0),
            row("duplicate_bytes", |weight| weight.duplicates.share.bytes.0),
            row("packages", |weight| weight.packages.len() as u64),
            row("executables", |weight| weight.surface.executables.count),
            row("shells", |weight| weight.surface.shells.count),
            row("layers", |weight| weight.layers.len() as u64),
            row("files", |weight| weight.files),
            row("set_id_files", |weight| weight.set_id_files),
        ],
    }
}
