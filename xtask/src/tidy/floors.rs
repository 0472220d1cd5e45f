//! Which crate may import which: the drawing in DESIGN, as a table.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result};

use super::Fault;
use crate::house::House;

/// The floor of each crate. A new crate is entered here, or tidy fails.
const FLOORS: &[(&str, u8)] = &[
    ("ounce-oci", 1),
    ("ounce-config", 1),
    ("ounce-linux", 1),
    ("ounce-http", 1),
    // For build scripts of programs without libc.
    ("ounce-link", 1),
    // Beside the house, and the ground that the examples stand on: entry code and loop.
    ("ounce-httpd", 1),
    // Beside the house too: what components of web pages are written with.
    ("ounce-ui", 1),
    // The same for functions on Lambda.
    ("ounce-bootstrap", 1),
    ("ounce-lambda", 1),
    ("ounce-delta", 1),
    ("ounce-ota", 1),
    ("ounce-rootfs", 2),
    ("ounce-build", 3),
    ("ounce-weigh", 3),
    ("ounce-trim", 3),
    ("ounce-run", 3),
    ("ounce-ship", 3),
    ("ounce-cli", 4),
];

/// Imports on one floor that the design names, with the reason.
const ALLOWED: &[(&str, &str)] = &[
    // An update is applied by the same decoder that made it: the slot logic needs it.
    ("ounce-ota", "ounce-delta"),
    // The Runtime API is HTTP, which is written and read in one place.
    ("ounce-lambda", "ounce-http"),
];

/// The floor of what programs beside the house may import.
const GROUND_FLOOR: u8 = 1;

fn floor(name: &str) -> Option<u8> {
    FLOORS
        .iter()
        .find(|(own, _)| *own == name)
        .map(|(_, floor)| *floor)
}

/// No crate imports upward, none a sibling, and programs beside the house
/// (`apps`, `examples`) import the first floor only.
pub(super) fn imports_go_down(house: &House) -> Result<Vec<Fault>> {
    let mut faults = Vec::new();
    for folder in house.crates()? {
        let manifest = folder.join("Cargo.toml");
        let (name, imports) = imports(&manifest)?;
        let Some(own) = floor(&name) else {
            faults.push(Fault::new(
                house.name(&manifest),
                format!("{name} has no floor; enter it in xtask/src/tidy/floors.rs"),
            ));
            continue;
        };
        for import in imports {
            let allowed = ALLOWED.contains(&(name.as_str(), import.as_str()));
            let problem = match floor(&import) {
                None => format!("imports {import}, which has no floor"),
                Some(other) if other > own => {
                    format!("{name} (floor {own}) imports upward: {import} (floor {other})")
                }
                Some(other) if other == own && !allowed => {
                    format!("{name} imports its sibling {import} (both on floor {own})")
                }
                Some(_) => continue,
            };
            faults.push(Fault::new(house.name(&manifest), problem));
        }
    }
    for folder in house.own_workspaces()? {
        let manifest = folder.join("Cargo.toml");
        for import in imports(&manifest)?.1 {
            if floor(&import).is_none_or(|other| other > GROUND_FLOOR) {
                faults.push(Fault::new(
                    house.name(&manifest),
                    format!("imports {import}; programs beside the house import floor 1 only"),
                ));
            }
        }
    }
    Ok(faults)
}

/// The crates' imports form no circle, tests' imports counted.
pub(super) fn crates_form_no_circle(house: &House) -> Result<Vec<Fault>> {
    let mut graph = BTreeMap::new();
    for folder in house.crates()? {
        let (name, imports) = imports(&folder.join("Cargo.toml"))?;
        graph.insert(name, imports);
    }
    Ok(circles(&graph)
        .into_iter()
        .map(|circle| {
            Fault::new(
                "crates",
                format!("imports in a circle: {}", circle.join(" → ")),
            )
        })
        .collect())
}

/// The package's name and which of our own crates it imports, in any table.
fn imports(manifest: &Path) -> Result<(String, BTreeSet<String>)> {
    let text =
        fs::read_to_string(manifest).with_context(|| format!("reading {}", manifest.display()))?;
    let table: toml::Table =
        toml::from_str(&text).with_context(|| format!("parsing {}", manifest.display()))?;
    let name = table
        .get("package")
        .and_then(|package| package.get("name"))
        .and_then(toml::Value::as_str)
        .with_context(|| format!("{} names no package", manifest.display()))?;
    let mut found = BTreeSet::new();
    collect(&table, &mut found);
    found.remove(name);
    Ok((name.to_owned(), found))
}

/// Gathers `ounce-*` keys (or `package = "ounce-*"`) of every dependency table.
fn collect(table: &toml::Table, found: &mut BTreeSet<String>) {
    for (key, value) in table {
        let Some(inner) = value.as_table() else {
            continue;
        };
        if key.ends_with("dependencies") {
            for (import, how) in inner {
                let real = how
                    .get("package")
                    .and_then(toml::Value::as_str)
                    .unwrap_or(import);
                if real.starts_with("ounce-") {
                    found.insert(real.to_owned());
                }
            }
        } else if key != "package" {
            collect(inner, found);
        }
    }
}

/// The circles of a graph: each found once, named from where the walk met it.
pub(super) fn circles(graph: &BTreeMap<String, BTreeSet<String>>) -> Vec<Vec<String>> {
    fn walk(
        node: &str,
        graph: &BTreeMap<String, BTreeSet<String>>,
        path: &mut Vec<String>,
        done: &mut BTreeSet<String>,
        found: &mut Vec<Vec<String>>,
    ) {
        if let Some(start) = path.iter().position(|earlier| earlier == node) {
            let mut circle = path[start..].to_vec();
            circle.push(node.to_owned());
            found.push(circle);
            return;
        }
        if done.contains(node) {
            return;
        }
        path.push(node.to_owned());
        for next in graph.get(node).into_iter().flatten() {
            walk(next, graph, path, done, found);
        }
        path.pop();
        done.insert(node.to_owned());
    }
    let mut found = Vec::new();
    let mut done = BTreeSet::new();
    for node in graph.keys() {
        walk(node, graph, &mut Vec::new(), &mut done, &mut found);
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tidy::modules::tests::tree;

    fn manifest(name: &str, rest: &str) -> String {
        format!("[package]\nname = \"{name}\"\n{rest}")
    }

    fn problems(files: &[(&str, String)]) -> String {
        let files: Vec<_> = files
            .iter()
            .map(|(path, text)| (*path, text.as_str()))
            .collect();
        let (_folder, house) = tree(&files);
        let mut faults = imports_go_down(&house).unwrap();
        faults.extend(crates_form_no_circle(&house).unwrap());
        faults.iter().map(|fault| format!("{fault}\n")).collect()
    }

    #[test]
    fn imports_down_are_fine() {
        let found = problems(&[
            ("crates/oci/Cargo.toml", manifest("ounce-oci", "")),
            (
                "crates/run/Cargo.toml",
                manifest("ounce-run", "[dependencies]\nounce-oci.workspace = true\n"),
            ),
        ]);
        assert_eq!(found, "");
    }

    #[test]
    fn an_import_upward_is_a_fault_in_every_table() {
        for table in [
            "[dependencies]",
            "[dev-dependencies]",
            "[build-dependencies]",
            "[target.'cfg(unix)'.dependencies]",
        ] {
            let text = manifest(
                "ounce-oci",
                &format!("{table}\nounce-rootfs = {{ path = \"x\" }}\n"),
            );
            let found = problems(&[("crates/oci/Cargo.toml", text)]);
            assert!(
                found.contains("imports upward: ounce-rootfs"),
                "{table}: {found}"
            );
        }
    }

    #[test]
    fn a_renamed_import_is_seen_through() {
        let text = manifest(
            "ounce-oci",
            "[dependencies]\nx = { package = \"ounce-cli\", path = \"y\" }\n",
        );
        assert!(problems(&[("crates/oci/Cargo.toml", text)]).contains("imports upward: ounce-cli"));
    }

    #[test]
    fn a_sibling_import_is_a_fault() {
        let text = manifest(
            "ounce-run",
            "[dependencies]\nounce-build.workspace = true\n",
        );
        assert!(problems(&[("crates/run/Cargo.toml", text)]).contains("its sibling ounce-build"));
    }

    #[test]
    fn a_crate_without_a_floor_is_a_fault() {
        let found = problems(&[("crates/attic/Cargo.toml", manifest("ounce-attic", ""))]);
        assert!(found.contains("ounce-attic has no floor"), "{found}");
    }

    #[test]
    fn an_example_may_not_import_above_the_first_floor() {
        let text = manifest(
            "hello",
            "[dependencies]\nounce-http = {}\nounce-rootfs = {}\n",
        );
        let found = problems(&[("examples/hello/Cargo.toml", text)]);
        assert!(
            found.contains("imports ounce-rootfs;") && !found.contains("ounce-http"),
            "{found}"
        );
    }

    #[test]
    fn a_circle_between_crates_is_named_whole() {
        let found = problems(&[
            (
                "crates/delta/Cargo.toml",
                manifest("ounce-delta", "[dev-dependencies]\nounce-ota = {}\n"),
            ),
            (
                "crates/ota/Cargo.toml",
                manifest("ounce-ota", "[dependencies]\nounce-delta = {}\n"),
            ),
        ]);
        assert!(
            found.contains("ounce-delta → ounce-ota → ounce-delta"),
            "{found}"
        );
    }
}
