//! `ounce build --check`: builds a second time, elsewhere, and compares.

use std::fs;
use std::path::PathBuf;

use ounce_build::again::{self, Again, How};
use ounce_build::compare::{CompareError, Difference, difference};
use ounce_build::{Built, Recipe, Request};
use ounce_oci::Store;
use serde::Serialize;

use crate::causes::by_cause;
use crate::commands::{Context, home};
use crate::failure::{Failure, Kind, shown};

/// What the second build showed.
#[derive(Debug, Serialize)]
pub(super) struct Checked {
    reproducible: bool,
    /// What the second build gave.
    digest: String,
    #[serde(flatten)]
    how: How,
    #[serde(skip_serializing_if = "Option::is_none")]
    difference: Option<Difference>,
}

/// A folder that goes with its value.
struct Bench(PathBuf);

impl Bench {
    fn new() -> Result<Self, Failure> {
        let folder = home("XDG_CACHE_HOME", ".cache")?
            .join("check")
            .join(std::process::id().to_string());
        // What a killed process of the same number left.
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir_all(&folder).map_err(|error| {
            Failure::new(Kind::Host, format!("making {}: {error}", folder.display()))
        })?;
        Ok(Self(folder))
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Builds what was built once more, and compares.
///
/// # Errors
/// The second build fails. That it gave something else is no error here.
pub(super) fn check(
    context: &Context,
    request: &Request,
    recipe: &Recipe,
    built: &Built,
    store: &Store,
    make: &Make<'_>,
) -> Result<Checked, Failure> {
    context
        .output
        .note("building once more, elsewhere, to compare");
    let bench = Bench::new()?;
    let second = Store::open(bench.0.join("store"))?;
    let again = again::elsewhere(request, recipe, &bench.0).map_err(|error| {
        let what = format!("copying the sources to {}: {error}", bench.0.display());
        by_cause(Kind::Input, std::io::Error::other(what))
    })?;
    let (again, other) = match build(make, &again, built, &second) {
        Ok(other) => (again, other),
        // What lies outside the project is not beside its copy.
        Err(failure) if again.how == How::Elsewhere => {
            let why = format!("a copy of them does not build: {}", failure.source);
            let again = again::in_place(request, &bench.0, why);
            let other = build(make, &again, built, &second)?;
            (again, other)
        }
        Err(failure) => return Err(failure),
    };
    let difference = compare(built, &other, store, &second)?;
    let same = built.descriptor.digest() == other.descriptor.digest();
    Ok(Checked {
        reproducible: same,
        digest: other.descriptor.digest().to_string(),
        how: again.how,
        difference,
    })
}

/// Plans and builds a request, without a word.
pub(super) type Make<'a> = dyn Fn(&Request, &Store) -> Result<Built, Failure> + 'a;

fn build(make: &Make<'_>, again: &Again, built: &Built, store: &Store) -> Result<Built, Failure> {
    let mut request = again.request.clone();
    request.reference = Some(built.reference.clone());
    make(&request, store)
}

fn compare(
    one: &Built,
    other: &Built,
    first: &Store,
    second: &Store,
) -> Result<Option<Difference>, Failure> {
    if one.descriptor.digest() == other.descriptor.digest() {
        return Ok(None);
    }
    let images = first.images_of(&one.reference)?;
    let others = second.images_of(&other.reference)?;
    for (image, other) in images.iter().zip(&others) {
        if let Some(found) = difference(image, other)? {
            return Ok(Some(found));
        }
    }
    Ok(None)
}

impl From<CompareError> for Failure {
    fn from(error: CompareError) -> Self {
        by_cause(Kind::Input, error)
    }
}

impl Checked {
    /// The second build in a line.
    pub(super) fn text(&self) -> String {
        let how = match &self.how {
            How::Elsewhere => "made again from a copy of the sources in another folder".into(),
            How::InPlace { why } => format!(
                "made again from the start, but in the same folder: {}",
                shown(why)
            ),
            How::Packed => "a ready program, packed again".to_owned(),
        };
        format!("reproducible: {how}, the same {}\n", self.digest)
    }

    /// The answer "no" if the second build gave something else.
    ///
    /// # Errors
    /// It did.
    pub(super) fn answer(&self, built: &Built) -> Result<(), Failure> {
        if self.reproducible {
            return Ok(());
        }
        let mut failure = Failure::new(
            Kind::No,
            format!(
                "{} is not reproducible: {} was built first, and {} then",
                built.reference,
                built.descriptor.digest(),
                self.digest
            ),
        );
        if let Some(found) = &self.difference {
            let place = format!(
                "the first difference, for {}: {}",
                found.platform, found.place
            );
            failure = failure.hint(place);
            for line in &found.what {
                failure = failure.hint(line.clone());
            }
        }
        let on_build_scripts = "what makes programs differ: a time, a folder's name or what git \
                                says, put in by a build script or a macro";
        Err(match self.how {
            How::Packed => failure,
            _ => failure.hint(on_build_scripts),
        })
    }
}
