//! A project of components as a folder that is served: what `up` does for a page.

use std::fs;
use std::path::{Path, PathBuf};

use ounce_build::page::{self, PageError, PageRecipe, TRIPLE};
use ounce_build::site::SiteRules;
use ounce_build::{Event, Request};
use ounce_oci::ByteSize;
use ounce_ship::web::{self, IMMUTABLE, POLICY, PageImage};

use super::build::add_target;
use super::ship::put;
use crate::failure::{Failure, Kind};
use crate::output::Output;

/// Where the folder stands, below the project's target folder.
const FOLDER: &str = "target/ounce-page";
/// Folders of the project's own files that are this deep are deep enough.
const DEEPEST: usize = 16;

/// If a project of components is asked for: compiles them, lays the page out, and asks for its
/// folder instead.
///
/// # Errors
/// A component that cannot be compiled, or a folder that cannot be written.
pub(crate) fn instead(output: Output, request: &mut Request) -> Result<(), Failure> {
    if request.settings.language.is_some() || !request.path.is_dir() {
        return Ok(());
    }
    let Some(recipe) = page::page(&request.path, request.offline)? else {
        return Ok(());
    };
    let modules = compiled(output, &recipe, request)?;
    let mut images = Vec::new();
    for module in modules {
        output.note(&format!(
            "{} is {}",
            module.name,
            ByteSize(module.bytes.len() as u64)
        ));
        images.push(PageImage::of_module(module.name, module.bytes)?);
    }
    let has_page = recipe
        .files
        .as_ref()
        .is_some_and(|files| files.join("index.html").is_file());
    let shipment = web::ship(&recipe.name, &images, has_page)?;
    let folder = request.path.join(FOLDER);
    let failed = |path: &Path, error: std::io::Error| {
        Failure::new(Kind::Host, format!("writing {}: {error}", path.display()))
    };
    if folder.exists() {
        fs::remove_dir_all(&folder).map_err(|error| failed(&folder, error))?;
    }
    fs::create_dir_all(&folder).map_err(|error| failed(&folder, error))?;
    if let Some(files) = &recipe.files {
        copy(files, &folder, 0).map_err(|(path, error)| failed(&path, error))?;
    }
    // What static hosts read, and the server that ounce brings is told otherwise.
    for file in shipment.files.iter().filter(|file| file.path != "_headers") {
        put(&folder, file)?;
    }
    let own = request.path.join("ounce.toml");
    if request.config.is_none() && own.is_file() {
        request.config = Some(own);
    }
    request.settings.name.get_or_insert(recipe.name);
    request.settings.site = Some(true);
    let rules = SiteRules {
        immutable: Some(IMMUTABLE.to_owned()),
        headers: [("Content-Security-Policy".to_owned(), POLICY.to_owned())].into(),
        ..SiteRules::default()
    };
    request.settings.rules = std::mem::take(&mut request.settings.rules).or(rules);
    request.path = folder;
    Ok(())
}

fn compiled(
    output: Output,
    recipe: &PageRecipe,
    request: &Request,
) -> Result<Vec<page::ComponentModule>, Failure> {
    let compile = || {
        page::compile(recipe, &request.toolchain, &mut |event| match event {
            Event::Compiling { bin, target } => {
                output.note(&format!("compiling {bin} for {target}"));
            }
            Event::CompilerLine(line) if output.stderr_is_terminal => {
                output.note(&format!("  {line}"));
            }
            _ => {}
        })
    };
    match compile() {
        Err(error)
            if error.lacks_target() && !request.offline && add_target(output, TRIPLE, request) =>
        {
            Ok(compile()?)
        }
        Err(error) => {
            // A person has seen the compiler's words already.
            let lines = match &error {
                PageError::Failed { last_lines, .. }
                    if output.quiet || !output.stderr_is_terminal =>
                {
                    last_lines.clone()
                }
                _ => Vec::new(),
            };
            Err(Failure::from(error).said(lines))
        }
        Ok(modules) => Ok(modules),
    }
}

/// Copies files and folders; what is neither is left out, as links are.
fn copy(from: &Path, to: &Path, depth: usize) -> Result<(), (PathBuf, std::io::Error)> {
    let told = |path: &Path| {
        let path = path.to_owned();
        move |error| (path, error)
    };
    for entry in fs::read_dir(from).map_err(told(from))? {
        let entry = entry.map_err(told(from))?;
        let (path, target) = (entry.path(), to.join(entry.file_name()));
        let kind = entry.file_type().map_err(told(&path))?;
        if kind.is_dir() && depth < DEEPEST {
            fs::create_dir_all(&target).map_err(told(&target))?;
            copy(&path, &target, depth + 1)?;
        } else if kind.is_file() {
            fs::copy(&path, &target).map_err(told(&path))?;
        }
    }
    Ok(())
}
