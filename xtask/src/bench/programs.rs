//! The programs that are started and packed: the same files for everybody.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};

use super::options::Options;
use super::stage::Stage;
use crate::dist;

/// Static programs for this machine.
#[derive(Debug)]
pub(crate) struct Programs {
    /// Prints one line and exits.
    pub(crate) line: PathBuf,
    /// The project's own HTTP server.
    pub(crate) httpd: PathBuf,
    /// The folder it serves: one small page.
    pub(crate) site: PathBuf,
    /// `ounce` as shipped: a contender, and the large program that is packed.
    pub(crate) ounce: PathBuf,
}

impl Programs {
    /// Compiles what is not given.
    pub(crate) fn make(options: &Options, stage: &Stage) -> Result<Programs> {
        let programs = Programs {
            line: line(stage.folder())?,
            httpd: httpd(options)?,
            site: site(stage)?,
            ounce: match &options.ounce {
                Some(path) => path.clone(),
                None => dist::build(dist::HOST_TARGET)?,
            },
        };
        for path in [&programs.line, &programs.httpd, &programs.ounce] {
            dist::check_static(path)?;
        }
        Ok(programs)
    }

    /// The program of a task.
    pub(crate) fn of(&self, task: Task) -> &Path {
        match task {
            Task::Line => &self.line,
            Task::Http => &self.httpd,
        }
    }
}

/// The one page of the site.
pub(crate) const PAGE: &str = "index.html";
/// Where the server looks for its site.
pub(crate) const SITE: &str = "/public";

/// What a started program shall do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Task {
    /// Print one line and exit.
    Line,
    /// Answer one HTTP request.
    Http,
}

impl Task {
    pub(crate) const ALL: [Task; 2] = [Task::Line, Task::Http];

    /// Name of its image, bundle and folder.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Task::Line => "line",
            Task::Http => "httpd",
        }
    }
}

/// Compiles the program that prints a line, into this folder.
pub(crate) fn line(folder: &Path) -> Result<PathBuf> {
    let source = root().join("bench/programs/line.rs");
    let program = folder.join("line");
    let status = Command::new("rustc")
        .args([
            "--edition=2024",
            "-O",
            "-Cpanic=abort",
            "-Cstrip=symbols",
            "--target",
            dist::HOST_TARGET,
            "-o",
        ])
        .args([&program, &source])
        .status()
        .context("starting rustc")?;
    ensure!(
        status.success(),
        "rustc did not compile {}",
        source.display()
    );
    Ok(program)
}

fn site(stage: &Stage) -> Result<PathBuf> {
    let folder = stage.subfolder("site")?;
    std::fs::write(
        folder.join(PAGE),
        "<!doctype html><title>bench</title><p>ready</p>\n",
    )?;
    Ok(folder)
}

/// Our server: the one given, or built from apps/httpd.
pub(crate) fn httpd(options: &Options) -> Result<PathBuf> {
    if let Some(given) = &options.httpd {
        return Ok(given.clone());
    }
    let folder = root().join("apps/httpd");
    if !folder.join("Cargo.toml").exists() {
        bail!("there is no apps/httpd here; give a static server by --httpd FILE");
    }
    let status = Command::new("cargo")
        .args(["build", "--release", "--target", dist::HOST_TARGET])
        .current_dir(&folder)
        .env_remove("CARGO_TARGET_DIR")
        .status()
        .context("starting cargo")?;
    ensure!(status.success(), "cargo did not build {}", folder.display());
    let release = folder
        .join("target")
        .join(dist::HOST_TARGET)
        .join("release");
    ["ounce-httpd", "httpd"]
        .iter()
        .map(|name| release.join(name))
        .find(|path| path.is_file())
        .with_context(|| format!("no program in {}", release.display()))
}

/// The root of the repository.
pub(crate) fn root() -> PathBuf {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR"));
    manifest.parent().unwrap_or(manifest).to_owned()
}
