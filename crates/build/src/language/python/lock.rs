//! What a project depends on: read from a lock file that pins every version
//! and digest, where there is one (`pylock.toml`, `uv.lock`, `poetry.lock`),
//! else as the project writes it, for pip to resolve.

use std::collections::BTreeMap;
use std::fs;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use serde::Serialize;
use toml::{Table, Value};

/// Most bytes of a lock file.
const LOCK_BYTES: u64 = 64 << 20;
/// Most conditions under which one package may be wanted; beyond, it always is.
const MOST_MARKERS: usize = 32;

/// What is to be installed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Requirements {
    /// The files that say so.
    pub from: Vec<PathBuf>,
    /// pip's own form, where it was made of something else.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub lines: Vec<String>,
    /// Whether all is named, so that nothing is left to resolve.
    pub complete: bool,
}

/// What a project depends on cannot be told.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// Not readable.
    #[error("reading {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// Not TOML.
    #[error("{} is not TOML", path.display())]
    Toml {
        /// The file.
        path: PathBuf,
        /// Where and why.
        #[source]
        source: Box<toml::de::Error>,
    },
    /// Not as its kind is.
    #[error("{}: {what}", path.display())]
    Form {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        what: String,
    },
    /// Nothing but sources of a package.
    #[error("{name} {version} has no wheel in {}, only sources", path.display())]
    SourceOnly {
        /// The package.
        name: String,
        /// Its version.
        version: String,
        /// The lock file.
        path: PathBuf,
    },
    /// Not from an index.
    #[error("{name} comes from {source_kind} in {}, not from an index", path.display())]
    Foreign {
        /// The package.
        name: String,
        /// `git`, `directory`, …
        source_kind: String,
        /// The lock file.
        path: PathBuf,
    },
}

impl LockError {
    /// What to do about it.
    pub fn hints(&self) -> Vec<String> {
        match self {
            Self::SourceOnly { name, version, .. } => vec![format!(
                "build it once where its compiler is: pip wheel {name}=={version} --no-deps \
                 --wheel-dir wheels, and name the folder: `wheels = \"wheels\"` under [python]"
            )],
            Self::Foreign { name, .. } => vec![format!(
                "build a wheel of {name} into a folder, and name it: `wheels = \"wheels\"` under \
                 [python]"
            )],
            _ => Vec::new(),
        }
    }
}

/// The names that are looked for, best first.
const LOCKS: [&str; 3] = ["pylock.toml", "uv.lock", "poetry.lock"];

/// What the project in `folder` depends on; `chosen` are the files that the
/// settings name.
///
/// # Errors
/// A file that is there cannot be understood, or names what has no wheel.
pub(crate) fn read(
    folder: &Path,
    chosen: &[PathBuf],
    extras: &[String],
) -> Result<Requirements, LockError> {
    let plain = |from: Vec<PathBuf>| Requirements {
        from,
        lines: Vec::new(),
        complete: false,
    };
    if let [one] = chosen
        && let Some(name) = one.file_name().and_then(|name| name.to_str())
        && (LOCKS.contains(&name) || (name.starts_with("pylock.") && name.ends_with(".toml")))
    {
        return locked(one, name, extras);
    }
    if !chosen.is_empty() {
        return Ok(plain(chosen.to_vec()));
    }
    for name in LOCKS {
        let path = folder.join(name);
        if path.is_file() {
            return locked(&path, name, extras);
        }
    }
    let path = folder.join("requirements.txt");
    if path.is_file() {
        return Ok(plain(vec![path]));
    }
    let path = folder.join("pyproject.toml");
    if !path.is_file() {
        return Ok(plain(Vec::new()));
    }
    let document = table(&path)?;
    let project = document.get("project").and_then(Value::as_table);
    let strings = |value: Option<&Value>| -> Vec<String> {
        let list = value.and_then(Value::as_array).into_iter().flatten();
        list.filter_map(|one| Some(one.as_str()?.to_owned()))
            .collect()
    };
    let mut lines = strings(project.and_then(|project| project.get("dependencies")));
    for extra in extras {
        let optional = project.and_then(|project| project.get("optional-dependencies"));
        match optional.and_then(|optional| optional.get(extra)) {
            Some(list) => lines.extend(strings(Some(list))),
            None => {
                return Err(LockError::Form {
                    path,
                    what: format!("it has no extra {extra:?}"),
                });
            }
        }
    }
    lines.retain(|line| !line.contains(['\n', '\r']));
    Ok(Requirements {
        from: vec![path],
        lines,
        complete: false,
    })
}

pub(crate) fn table(path: &Path) -> Result<Table, LockError> {
    let failed = |source| LockError::Read {
        path: path.to_owned(),
        source,
    };
    let mut text = String::new();
    fs::File::open(path)
        .and_then(|file| file.take(LOCK_BYTES + 1).read_to_string(&mut text))
        .map_err(failed)?;
    if text.len() as u64 > LOCK_BYTES {
        return Err(failed(std::io::Error::other("longer than 64 MiB")));
    }
    text.parse().map_err(|source| LockError::Toml {
        path: path.to_owned(),
        source: Box::new(source),
    })
}

/// A package that a lock file names.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
struct Pinned {
    version: String,
    /// Of its wheels, as `sha256:…`.
    hashes: Vec<String>,
    /// Under which conditions; none at all means always.
    markers: Vec<String>,
}

fn locked(path: &Path, name: &str, extras: &[String]) -> Result<Requirements, LockError> {
    let document = table(path)?;
    let packages: Vec<&Table> = match document.get(if name.starts_with("pylock") {
        "packages"
    } else {
        "package"
    }) {
        None => Vec::new(),
        Some(Value::Array(all)) => all.iter().filter_map(Value::as_table).collect(),
        Some(_) => {
            return Err(LockError::Form {
                path: path.to_owned(),
                what: "its packages are no list".to_owned(),
            });
        }
    };
    let pinned = match name {
        "uv.lock" => uv(path, &packages, extras)?,
        "poetry.lock" => poetry(path, &packages, extras)?,
        _ => pylock(path, &packages)?,
    };
    Ok(Requirements {
        from: vec![path.to_owned()],
        lines: pinned
            .into_iter()
            .map(|(name, one)| line(&name, &one))
            .collect(),
        complete: true,
    })
}

/// pip's form of a package: `name==1.0 ; marker --hash=sha256:…`.
fn line(name: &str, one: &Pinned) -> String {
    let mut line = format!("{name}=={}", one.version);
    match &one.markers[..] {
        [] => {}
        [marker] => line += &format!(" ; {marker}"),
        several => {
            let all: Vec<String> = several.iter().map(|marker| format!("({marker})")).collect();
            line += &format!(" ; {}", all.join(" or "));
        }
    }
    for hash in &one.hashes {
        line += &format!(" --hash={hash}");
    }
    line
}

fn text<'t>(table: &'t Table, key: &str) -> Option<&'t str> {
    table.get(key).and_then(Value::as_str)
}

fn tables<'t>(table: &'t Table, key: &str) -> impl Iterator<Item = &'t Table> {
    let list = table.get(key).and_then(Value::as_array);
    list.into_iter().flatten().filter_map(Value::as_table)
}

/// A package's name and version, which become part of a line for pip.
fn name_and_version(path: &Path, package: &Table) -> Result<(String, String), LockError> {
    let wrong = |what: &str| LockError::Form {
        path: path.to_owned(),
        what: what.to_owned(),
    };
    let plain = |text: &str| {
        !text.is_empty()
            && text
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || ".-_+!".contains(c))
            && !text.starts_with('-')
    };
    let name = text(package, "name").ok_or_else(|| wrong("a package without a name"))?;
    let version = text(package, "version").unwrap_or_default();
    if !plain(name) {
        return Err(wrong(&format!("{name:?} is no name of a package")));
    }
    if !version.is_empty() && !plain(version) {
        return Err(wrong(&format!("{version:?} is no version of {name}")));
    }
    Ok((name.to_owned(), version.to_owned()))
}

/// A condition, which becomes part of a line for pip.
fn marker(path: &Path, text: Option<&str>) -> Result<Option<String>, LockError> {
    match text {
        Some(text) if text.chars().any(char::is_control) || text.contains("--") => {
            Err(LockError::Form {
                path: path.to_owned(),
                what: format!("{text:?} is no condition"),
            })
        }
        other => Ok(other.map(str::to_owned)),
    }
}

fn hash(path: &Path, text: &str) -> Result<String, LockError> {
    let good = text.split_once(':').is_some_and(|(kind, hex)| {
        kind.chars().all(|c| c.is_ascii_alphanumeric())
            && hex.len() >= 64
            && hex.chars().all(|c| c.is_ascii_hexdigit())
    });
    match good {
        true => Ok(text.to_owned()),
        false => Err(LockError::Form {
            path: path.to_owned(),
            what: format!("{text:?} is no digest"),
        }),
    }
}

/// PEP 751.
fn pylock(path: &Path, packages: &[&Table]) -> Result<BTreeMap<String, Pinned>, LockError> {
    let mut found = BTreeMap::new();
    for package in packages {
        let (name, version) = name_and_version(path, package)?;
        for kind in ["vcs", "directory", "archive"] {
            if package.contains_key(kind) {
                return Err(LockError::Foreign {
                    name,
                    source_kind: kind.to_owned(),
                    path: path.to_owned(),
                });
            }
        }
        let mut hashes = Vec::new();
        for wheel in tables(package, "wheels") {
            let all = wheel.get("hashes").and_then(Value::as_table);
            if let Some(digest) = all.and_then(|all| text(all, "sha256")) {
                hashes.push(hash(path, &format!("sha256:{digest}"))?);
            }
        }
        let markers = marker(path, text(package, "marker"))?;
        add(
            path,
            &mut found,
            name,
            version,
            hashes,
            markers.into_iter().collect(),
        )?;
    }
    Ok(found)
}

fn add(
    path: &Path,
    found: &mut BTreeMap<String, Pinned>,
    name: String,
    version: String,
    mut hashes: Vec<String>,
    markers: Vec<String>,
) -> Result<(), LockError> {
    if hashes.is_empty() {
        return Err(LockError::SourceOnly {
            name,
            version,
            path: path.to_owned(),
        });
    }
    hashes.sort();
    hashes.dedup();
    let one = Pinned {
        version,
        hashes,
        markers,
    };
    if found.insert(name.clone(), one).is_some() {
        return Err(LockError::Form {
            path: path.to_owned(),
            what: format!("{name} stands in it twice, for one platform and another: lock for one"),
        });
    }
    Ok(())
}

/// uv's own: what is reached from the project, with the conditions on the way.
fn uv(
    path: &Path,
    packages: &[&Table],
    extras: &[String],
) -> Result<BTreeMap<String, Pinned>, LockError> {
    let by_name: BTreeMap<&str, &&Table> = packages
        .iter()
        .filter_map(|package| Some((text(package, "name")?, package)))
        .collect();
    let source = |package: &Table| -> String {
        let table = package.get("source").and_then(Value::as_table);
        let first = table.and_then(|table| table.keys().next());
        first.map_or_else(String::new, Clone::clone)
    };
    let is_own = |package: &Table| {
        let table = package.get("source").and_then(Value::as_table);
        ["editable", "virtual"]
            .iter()
            .any(|kind| table.is_some_and(|table| text(table, kind) == Some(".")))
    };
    let root = packages
        .iter()
        .find(|package| is_own(package))
        .ok_or_else(|| LockError::Form {
            path: path.to_owned(),
            what: "it does not name the project itself".to_owned(),
        })?;
    // Conditions by package; an empty list is no condition.
    let mut wanted: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    let edges = |package: &Table, extras: &[String]| -> Vec<Table> {
        let mut edges: Vec<Table> = tables(package, "dependencies").cloned().collect();
        let optional = package
            .get("optional-dependencies")
            .and_then(Value::as_table);
        for extra in extras {
            if let Some(optional) = optional {
                edges.extend(tables(optional, extra).cloned());
            }
        }
        edges
    };
    let mut next: Vec<(Table, Vec<String>)> = edges(root, extras)
        .into_iter()
        .map(|edge| (edge, Vec::new()))
        .collect();
    let mut steps = 0usize;
    while let Some((edge, above)) = next.pop() {
        steps += 1;
        if steps > 1_000_000 {
            return Err(LockError::Form {
                path: path.to_owned(),
                what: "its packages depend on each other in too many ways".to_owned(),
            });
        }
        let Some((name, package)) =
            text(&edge, "name").and_then(|name| by_name.get_key_value(name))
        else {
            continue;
        };
        let own = marker(path, text(&edge, "marker"))?;
        // Conditions of one way are joined; beyond one, the nearest says enough:
        // a package more than needed is no fault.
        let condition: Vec<String> = match (own, above.first()) {
            (Some(own), _) => vec![own],
            (None, Some(above)) => vec![above.clone()],
            (None, None) => Vec::new(),
        };
        let known = wanted.get(name);
        let widened = match (known, &condition[..]) {
            (None, _) => condition.clone(),
            (Some(known), _) if known.is_empty() => continue,
            (Some(_), []) => Vec::new(),
            (Some(known), [one]) if known.contains(one) => continue,
            (Some(known), one) => match known.len() >= MOST_MARKERS {
                true => Vec::new(),
                false => [known, one].concat(),
            },
        };
        wanted.insert(name, widened);
        let extras: Vec<String> = edge
            .get("extra")
            .and_then(Value::as_array)
            .into_iter()
            .flatten()
            .filter_map(|one| Some(one.as_str()?.to_owned()))
            .collect();
        for below in edges(package, &extras) {
            next.push((below, condition.clone()));
        }
    }
    let mut found = BTreeMap::new();
    for (name, markers) in wanted {
        let Some(package) = by_name.get(name) else {
            continue;
        };
        if is_own(package) {
            continue;
        }
        let (name, version) = name_and_version(path, package)?;
        let kind = source(package);
        if kind != "registry" {
            return Err(LockError::Foreign {
                name,
                source_kind: kind,
                path: path.to_owned(),
            });
        }
        let mut hashes = Vec::new();
        for wheel in tables(package, "wheels") {
            if let Some(digest) = text(wheel, "hash") {
                hashes.push(hash(path, digest)?);
            }
        }
        add(path, &mut found, name, version, hashes, markers)?;
    }
    Ok(found)
}

/// Poetry's, since 2.0 with groups and conditions.
fn poetry(
    path: &Path,
    packages: &[&Table],
    extras: &[String],
) -> Result<BTreeMap<String, Pinned>, LockError> {
    let mut found = BTreeMap::new();
    for package in packages {
        let (name, version) = name_and_version(path, package)?;
        let groups = package.get("groups").and_then(Value::as_array);
        let of_main = match groups {
            Some(groups) => groups.iter().any(|group| group.as_str() == Some("main")),
            None => text(package, "category").is_none_or(|category| category == "main"),
        };
        let optional = package.get("optional").and_then(Value::as_bool) == Some(true);
        if !of_main || (optional && extras.is_empty()) {
            continue;
        }
        if let Some(source) = package.get("source").and_then(Value::as_table)
            && let Some(kind @ ("git" | "directory" | "file" | "url")) = text(source, "type")
        {
            return Err(LockError::Foreign {
                name,
                source_kind: kind.to_owned(),
                path: path.to_owned(),
            });
        }
        let mut hashes = Vec::new();
        for file in tables(package, "files") {
            if text(file, "file").is_some_and(|name| name.ends_with(".whl"))
                && let Some(digest) = text(file, "hash")
            {
                hashes.push(hash(path, digest)?);
            }
        }
        let markers = match package.get("markers") {
            Some(Value::Table(by_group)) => marker(path, text(by_group, "main"))?,
            other => marker(path, other.and_then(Value::as_str))?,
        };
        add(
            path,
            &mut found,
            name,
            version,
            hashes,
            markers.into_iter().collect(),
        )?;
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(name: &str, text: &str) -> Result<Requirements, LockError> {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join(name), text).unwrap();
        read(folder.path(), &[], &[])
    }

    fn digest(letter: char) -> String {
        String::from(letter).repeat(64)
    }

    #[test]
    fn uvs_lock_gives_what_the_project_reaches_and_no_more() {
        let (a, b) = (digest('a'), digest('b'));
        let text = format!(
            r#"
            version = 1
            [[package]]
            name = "app"
            version = "0.1.0"
            source = {{ virtual = "." }}
            dependencies = [{{ name = "flask" }}, {{ name = "win", marker = "sys_platform == 'win32'" }}]
            [package.dev-dependencies]
            dev = [{{ name = "pytest" }}]
            [[package]]
            name = "flask"
            version = "3.0.0"
            source = {{ registry = "https://example.org/simple" }}
            dependencies = [{{ name = "click" }}]
            wheels = [{{ url = "https://example.org/f.whl", hash = "sha256:{a}" }}]
            [[package]]
            name = "click"
            version = "8.1"
            source = {{ registry = "https://example.org/simple" }}
            wheels = [{{ url = "u", hash = "sha256:{b}" }}, {{ url = "v", hash = "sha256:{a}" }}]
            [[package]]
            name = "win"
            version = "1"
            source = {{ registry = "https://example.org/simple" }}
            dependencies = [{{ name = "click" }}]
            wheels = [{{ url = "u", hash = "sha256:{b}" }}]
            [[package]]
            name = "pytest"
            version = "9"
            source = {{ registry = "https://example.org/simple" }}
            "#
        );
        let found = of("uv.lock", &text).unwrap();
        assert!(found.complete);
        assert_eq!(
            found.lines,
            [
                format!("click==8.1 --hash=sha256:{a} --hash=sha256:{b}"),
                format!("flask==3.0.0 --hash=sha256:{a}"),
                format!("win==1 ; sys_platform == 'win32' --hash=sha256:{b}"),
            ]
        );
        let without = text.replace(
            &format!("wheels = [{{ url = \"https://example.org/f.whl\", hash = \"sha256:{a}\" }}]"),
            "",
        );
        let error = of("uv.lock", &without).unwrap_err();
        assert_eq!(
            error.to_string().split(" in ").next(),
            Some("flask 3.0.0 has no wheel")
        );
        assert!(error.hints()[0].contains("pip wheel flask==3.0.0"));
    }

    #[test]
    fn pylock_and_poetry_give_pinned_wheels() {
        let a = digest('a');
        let found = of(
            "pylock.toml",
            &format!(
                "lock-version = '1.0'\n[[packages]]\nname = 'flask'\nversion = '3'\n\
                 marker = \"python_version > '3.8'\"\n[[packages.wheels]]\nname = 'f.whl'\n\
                 hashes = {{ sha256 = '{a}' }}\n"
            ),
        );
        let expected = format!("flask==3 ; python_version > '3.8' --hash=sha256:{a}");
        assert_eq!(found.unwrap().lines, [expected]);
        let found = of(
            "poetry.lock",
            &format!(
                "[[package]]\nname = 'flask'\nversion = '3'\ngroups = ['main']\nfiles = [\
                 {{file='f.tar.gz', hash='sha256:{a}'}}, {{file='f.whl', hash='sha256:{a}'}}]\n\
                 [[package]]\nname = 'pytest'\nversion = '1'\ngroups = ['dev']\nfiles = []\n"
            ),
        );
        assert_eq!(
            found.unwrap().lines,
            [format!("flask==3 --hash=sha256:{a}")]
        );
    }

    #[test]
    fn what_would_become_an_option_of_pip_is_refused() {
        for (name, version, more) in [
            ("--index-url=x", "1", ""),
            ("a\n-e /etc", "1", ""),
            ("a", "1 --pre", ""),
            ("a", "1", "marker = \"x --index-url=y\""),
        ] {
            let text = format!(
                "[[packages]]\nname = {name:?}\nversion = {version:?}\n{more}\n\
                 [[packages.wheels]]\nhashes = {{ sha256 = '{}' }}\n",
                digest('a')
            );
            assert!(matches!(
                of("pylock.toml", &text),
                Err(LockError::Form { .. })
            ));
        }
    }

    #[test]
    fn without_a_lock_the_projects_own_words_go_to_pip() {
        let found = of("requirements.txt", "flask\n").unwrap();
        assert_eq!(
            (found.from.len(), found.lines.len(), found.complete),
            (1, 0, false)
        );
        let found = of("pyproject.toml", "[project]\ndependencies = ['flask>=3']\n").unwrap();
        assert_eq!(found.lines, ["flask>=3"]);
        assert!(of("uv.lock", "= 3").is_err());
    }
}
