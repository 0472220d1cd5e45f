//! Bases of Alpine's packages: where these come from, and what is said of them.

use ounce_build::distribution::alpine::signed::Keys;
use ounce_build::distribution::alpine::{self, AlpineError, Kind, ScriptNote, Source};
use ounce_build::distribution::cache::Cache;
use ounce_build::distribution::files::Files;
use ounce_build::distribution::lock::LockedBase;
use ounce_build::settings::AlpineSettings;
use ounce_oci::Platform;

use super::{Making, Progress};
use crate::arguments::bases::PackageOptions;
use crate::failure::{Failure, shown};

/// The flags of packages as settings.
pub(crate) fn settings(options: &PackageOptions) -> AlpineSettings {
    AlpineSettings {
        mirror: options.mirror.clone(),
        release: options.suite.clone(),
        repositories: (!options.components.is_empty()).then(|| options.components.clone()),
        keys: options.keyring.clone(),
        packages: (!options.packages.is_empty()).then(|| options.packages.clone()),
    }
}

/// What is not told, as a lock has it.
pub(super) fn as_locked(settings: AlpineSettings, from: &str) -> AlpineSettings {
    let release = || Some(alpine::release_of(from).to_owned());
    AlpineSettings {
        release: settings.release.or_else(release),
        repositories: settings
            .repositories
            .or_else(|| Some(alpine::repositories_of(from))),
        packages: settings
            .packages
            .or_else(|| Some(alpine::packages_of(from))),
        ..settings
    }
}

/// Of what a lock must be to hold for these settings.
pub(super) fn origin(settings: &AlpineSettings, locked_from: &str) -> String {
    let packages = settings.packages.clone();
    let settings = as_locked(settings.clone(), locked_from);
    alpine::origin(
        settings.release.as_deref().unwrap_or_default(),
        &settings.repositories.unwrap_or_default(),
        &packages.unwrap_or_default(),
    )
}

/// apk's name of what the platform is.
pub(super) fn architecture(platform: &Platform) -> Result<&'static str, Failure> {
    Ok(alpine::architecture(platform)?)
}

fn source(settings: &AlpineSettings, architecture: &str) -> Source {
    let own = || alpine::REPOSITORIES.map(str::to_owned).to_vec();
    Source {
        mirror: settings
            .mirror
            .clone()
            .unwrap_or_else(|| alpine::MIRROR.to_owned()),
        release: settings
            .release
            .clone()
            .unwrap_or_else(|| alpine::RELEASE.to_owned()),
        repositories: settings.repositories.clone().unwrap_or_else(own),
        architecture: architecture.to_owned(),
        packages: settings.packages.clone().unwrap_or_default(),
    }
}

/// Decides of which packages a base is made.
pub(super) fn resolve(
    making: &Making<'_>,
    kind: Kind,
    architecture: &str,
    cache: &Cache<'_>,
) -> Result<LockedBase, Failure> {
    let keys = match &making.alpine.keys[..] {
        [] => Keys::read(&[alpine::KEYS_FOLDER.into()]),
        named => Keys::read(named),
    };
    let keys = keys.map_err(AlpineError::Keys)?;
    let source = source(making.alpine, architecture);
    let mut progress = Progress::new(making.output);
    let locked = alpine::resolve(kind, &source, &keys, cache, &mut |event| {
        progress.tell(&event);
    })?;
    progress.finish();
    Ok(locked)
}

/// The files of a base, of the packages that are locked.
pub(super) fn files(
    making: &Making<'_>,
    kind: Kind,
    locked: &LockedBase,
    cache: &Cache<'_>,
) -> Result<Files, Failure> {
    let settings = as_locked(making.alpine.clone(), &locked.from);
    let source = source(&settings, &locked.architecture);
    let mut progress = Progress::new(making.output);
    let assembled = alpine::assemble(kind, &source, locked, cache, &mut |event| {
        progress.tell(&event);
    })?;
    progress.finish();
    for note in assembled
        .scripts
        .iter()
        .filter(|note| !note.skipped.is_empty())
    {
        making.output.note(&shown(&skipped(note)));
    }
    for note in &assembled.notes {
        making.output.note(&shown(&format!("note: {note}")));
    }
    Ok(assembled.files)
}

fn skipped(note: &ScriptNote) -> String {
    format!(
        "note: left out of {}: its {} script would: {}",
        note.package,
        note.script,
        note.skipped.join("; ")
    )
}
