//! Imports between the modules of a crate, read from the source.
//!
//! An edge is a path that starts with `crate`, `self` or `super`, in a `use` or
//! in code, tests left out. A façade is no import: `pub use child::Name` tells
//! where `Name` lives, and a path through it leads there. So is a parent's own
//! use of its child and a child's of its parent's items only a circle when both
//! exist.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use anyhow::Result;

use super::Fault;
use super::floors::circles;
use crate::house::House;
use crate::tokens::{Placed, Token, tokens, without_tests};

/// A module's path within its crate; empty for the root.
type Module = Vec<String>;

/// No circle of imports among the modules of any crate.
pub(super) fn modules_form_no_circle(house: &House) -> Result<Vec<Fault>> {
    let mut folders = house.crates()?;
    folders.extend(house.own_workspaces()?);
    folders.push(house.path("xtask"));
    let mut faults = Vec::new();
    for folder in folders {
        let source = folder.join("src");
        if !source.is_dir() {
            continue;
        }
        for circle in circles(&imports(&source)?) {
            faults.push(Fault::new(
                house.name(&source),
                format!("modules import in a circle: {}", circle.join(" → ")),
            ));
        }
    }
    Ok(faults)
}

/// One path that a module writes, as absolute segments from the crate's root.
struct Written {
    path: Module,
    /// Re-exported (`pub use`) rather than imported.
    facade: bool,
}

fn imports(source: &Path) -> Result<BTreeMap<String, BTreeSet<String>>> {
    let mut written: BTreeMap<Module, Vec<Written>> = BTreeMap::new();
    for file in House::files_in(source, "rs")? {
        // Tests in a file of their own see the whole crate, as those in place do.
        if file.ends_with("tests.rs") {
            continue;
        }
        let module = module_of(file.strip_prefix(source)?);
        let code = without_tests(&tokens(&fs::read_to_string(&file)?));
        written
            .entry(module.clone())
            .or_default()
            .extend(paths(&code, &module));
    }
    let modules: BTreeSet<Module> = written.keys().cloned().collect();
    let mut facades: BTreeMap<Module, Module> = BTreeMap::new();
    for (module, list) in &written {
        for Written { path, facade } in list {
            if let (true, Some(last)) = (*facade, path.last()) {
                let mut name = module.clone();
                name.push(last.clone());
                facades.insert(name, path.clone());
            }
        }
    }
    let mut graph: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for (module, list) in &written {
        let edges = graph.entry(shown(module)).or_default();
        for Written { path, facade } in list {
            let home = home(path, &modules, &facades);
            if !facade && home != *module {
                edges.insert(shown(&home));
            }
        }
    }
    Ok(graph)
}

/// The module that a path leads to: through façades, then the longest prefix that is one.
fn home(path: &Module, modules: &BTreeSet<Module>, facades: &BTreeMap<Module, Module>) -> Module {
    let mut path = path.clone();
    // Each façade is followed once at most: a re-export of itself would not compile.
    for _ in 0..=facades.len() {
        let Some(target) = (1..=path.len())
            .find_map(|end| facades.get(&path[..end]).map(|to| (end, to)))
            .filter(|(_, to)| **to != path)
        else {
            break;
        };
        let rest = path[target.0..].to_vec();
        path = target.1.clone();
        path.extend(rest);
    }
    while !modules.contains(&path) && !path.is_empty() {
        path.pop();
    }
    path
}

fn shown(module: &Module) -> String {
    if module.is_empty() {
        "crate".to_owned()
    } else {
        module.join("::")
    }
}

/// `a/b.rs` and `a/b/mod.rs` are `[a, b]`; `lib.rs` and `main.rs` the root.
fn module_of(file: &Path) -> Module {
    let mut parts: Module = file
        .with_extension("")
        .iter()
        .map(|part| part.to_string_lossy().into_owned())
        .collect();
    let last = parts.last().map(String::as_str);
    if last == Some("mod") || (parts.len() == 1 && matches!(last, Some("lib" | "main"))) {
        parts.pop();
    }
    parts
}

/// Every path of the code that starts in this crate.
fn paths(code: &[Placed], module: &Module) -> Vec<Written> {
    let children: BTreeSet<&str> = code
        .windows(3)
        .filter(|three| three[0].is_word("mod") && three[2].is_mark(';'))
        .filter_map(|three| three[1].word())
        .collect();
    let mut found = Vec::new();
    let mut at = 0;
    while at < code.len() {
        let public = is_public(code, at);
        if code[at].is_word("use") {
            let mut tree = Tree {
                code,
                at: at + 1,
                leaves: Vec::new(),
            };
            tree.read(&mut Vec::new());
            at = tree.at;
            for leaf in tree.leaves {
                found.extend(absolute(&leaf, module, &children).map(|path| Written {
                    path,
                    facade: public,
                }));
            }
            continue;
        }
        let starts = code[at].word().is_some_and(|word| matches!(word, "crate" | "self" | "super"))
            && !(at >= 1 && code[at - 1].is_mark(':'))
            // `pub(in crate::x)` grants, it does not import.
            && !(at >= 1 && code[at - 1].is_word("in"));
        if starts {
            let mut path = vec![code[at].word().unwrap_or_default().to_owned()];
            at += 1;
            while let Some(
                [
                    Placed {
                        token: Token::Mark(':'),
                        ..
                    },
                    Placed {
                        token: Token::Mark(':'),
                        ..
                    },
                    next,
                ],
            ) = code.get(at..at + 3)
            {
                let Some(word) = next.word() else { break };
                path.push(word.to_owned());
                at += 3;
            }
            if path.len() > 1 {
                found.extend(absolute(&path, module, &children).map(|path| Written {
                    path,
                    facade: false,
                }));
            }
            continue;
        }
        at += 1;
    }
    found
}

/// Whether a `pub` or `pub(…)` stands right before `at`.
fn is_public(code: &[Placed], at: usize) -> bool {
    let mut before = at;
    if before >= 1 && code[before - 1].is_mark(')') {
        while before > 0 && !code[before - 1].is_mark('(') {
            before -= 1;
        }
        before = before.saturating_sub(1);
    }
    before >= 1 && code[before - 1].is_word("pub")
}

/// A written path from the crate's root; nothing where it leads to another crate.
fn absolute(path: &[String], module: &Module, children: &BTreeSet<&str>) -> Option<Module> {
    let mut base = match path.first()?.as_str() {
        "crate" => Vec::new(),
        "self" => module.clone(),
        "super" => module[..module.len().saturating_sub(1)].to_vec(),
        child if children.contains(child) => {
            let mut base = module.clone();
            base.push(child.to_owned());
            base
        }
        _ => return None,
    };
    for part in &path[1..] {
        if part == "super" {
            base.pop();
        } else if part != "self" {
            base.push(part.clone());
        }
    }
    Some(base)
}

/// A `use` tree being read into its leaves.
struct Tree<'a> {
    code: &'a [Placed],
    at: usize,
    leaves: Vec<Module>,
}

impl Tree<'_> {
    fn read(&mut self, prefix: &mut Module) {
        let depth = prefix.len();
        let mut ended = false;
        while let Some(next) = self.code.get(self.at) {
            self.at += 1;
            match &next.token {
                Token::Word(word) if word == "as" => self.at += 1,
                Token::Word(word) => prefix.push(word.clone()),
                Token::Mark('{') => {
                    self.group(prefix);
                    ended = true;
                }
                Token::Mark(':' | '*') => {}
                // `;` ends the tree; `,` and `}` belong to the group around it.
                _ => {
                    if !next.is_mark(';') {
                        self.at -= 1;
                    }
                    break;
                }
            }
        }
        if !ended && prefix.len() > depth {
            self.leaves.push(prefix.clone());
        }
        prefix.truncate(depth);
    }

    fn group(&mut self, prefix: &mut Module) {
        while let Some(next) = self.code.get(self.at) {
            if next.is_mark('}') {
                self.at += 1;
                return;
            }
            if next.is_mark(',') {
                self.at += 1;
            } else if next.word().is_some()
                || next.is_mark('{')
                || next.is_mark('*')
                || next.is_mark(':')
            {
                self.read(prefix);
            } else {
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tidy::modules::tests::tree;

    fn found(files: &[(&str, &str)]) -> Vec<String> {
        let files: Vec<_> = files
            .iter()
            .map(|(path, text)| (format!("crates/x/src/{path}"), *text))
            .collect();
        let mut all = vec![("crates/x/Cargo.toml", "")];
        all.extend(files.iter().map(|(path, text)| (path.as_str(), *text)));
        let (_folder, house) = tree(&all);
        modules_form_no_circle(&house)
            .unwrap()
            .into_iter()
            .map(|fault| fault.problem)
            .collect()
    }

    #[test]
    fn two_modules_that_import_each_other_are_a_circle() {
        let faults = found(&[
            ("lib.rs", "mod a; mod b;"),
            ("a.rs", "use crate::b::B;"),
            ("b.rs", "fn f() { crate::a::g(); }"),
        ]);
        assert_eq!(faults, ["modules import in a circle: a → b → a"]);
    }

    #[test]
    fn a_circle_through_super_and_groups_is_seen() {
        let faults = found(&[
            ("lib.rs", "mod a;"),
            ("a/mod.rs", "mod b; mod c;"),
            ("a/b.rs", "use super::{c::{C, D}, c};"),
            ("a/c.rs", "use std::fmt; use super::b;"),
        ]);
        assert_eq!(faults, ["modules import in a circle: a::b → a::c → a::b"]);
    }

    #[test]
    fn a_facade_does_not_hide_a_circle() {
        let faults = found(&[
            ("lib.rs", "mod a; mod b; pub use a::A; pub use b::B;"),
            ("a.rs", "use crate::B; pub struct A;"),
            ("b.rs", "use crate::A; pub struct B;"),
        ]);
        assert_eq!(faults, ["modules import in a circle: a → b → a"]);
    }

    #[test]
    fn a_parent_and_a_child_that_use_each_other_are_a_circle() {
        let faults = found(&[
            ("lib.rs", "mod a;"),
            ("a/mod.rs", "mod b; use b::B; pub struct A;"),
            ("a/b.rs", "use super::A; pub struct B;"),
        ]);
        assert_eq!(faults, ["modules import in a circle: a → a::b → a"]);
    }

    #[test]
    fn a_facade_and_tests_alone_are_no_circle() {
        let faults = found(&[
            (
                "lib.rs",
                "mod a; pub(crate) mod b; pub use a::A; pub(crate) use b::{B, C as D};",
            ),
            ("a.rs", "use crate::b::B; pub struct A;"),
            (
                "b.rs",
                "use super::Nothing; #[cfg(test)] mod tests { use crate::a::A; use super::*; }",
            ),
        ]);
        assert_eq!(faults, Vec::<String>::new());
    }
}
