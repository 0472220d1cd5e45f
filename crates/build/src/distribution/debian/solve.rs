//! Which packages to take: those asked for and all they need, newest first,
//! none beside one it cannot stand beside.
//!
//! A search with a trail and chronological backtracking: complete, and for a
//! base, whose packages hardly ever conflict, as quick as reading the index.
//! (`resolvo` learns from conflicts, which pays for hundreds of versions of a
//! package; an archive has one or two, and its crates are many.) What can be
//! met in one way only is decided before what leaves a choice.

use std::collections::HashMap;

use super::index::Universe;
use super::relation::{Clause, Relation};

/// Most decisions, counted with those taken back.
const MOST_STEPS: u32 = 500_000;

/// Nothing fits.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{wanted} cannot be had{}", told(.because, .reasons))]
pub struct Conflict {
    /// What is missing: `libc6 (>= 9)`.
    pub wanted: String,
    /// Who needs it, and who needs that one, in words.
    pub because: Vec<String>,
    /// Why none of what would do can be taken.
    pub reasons: Vec<String>,
}

fn told(because: &[String], reasons: &[String]) -> String {
    let mut text = String::new();
    for line in because {
        text.push_str(", ");
        text.push_str(line);
    }
    for (at, reason) in reasons.iter().enumerate() {
        text.push_str(if at == 0 { ": " } else { "; " });
        text.push_str(reason);
    }
    text
}

struct Want<'t> {
    clause: Clause<'t>,
    /// Who needs it; `None`: asked for.
    by: Option<usize>,
    /// Whether it has been put off for what leaves no choice.
    later: bool,
}

/// A point to come back to.
struct Choice {
    at: usize,
    wants: usize,
    chosen: usize,
    refused: usize,
    left: std::vec::IntoIter<usize>,
    reasons: Vec<String>,
}

struct Search<'u, 't> {
    universe: &'u Universe<'t>,
    wants: Vec<Want<'t>>,
    chosen: Vec<usize>,
    by_name: HashMap<&'t str, usize>,
    /// What each of the chosen cannot stand beside.
    refused: Vec<(Relation<'t>, usize)>,
    pulled_by: HashMap<usize, Option<usize>>,
}

/// All that is needed for `asked`, in the order in which it was found; those
/// named in `avoid` are taken only where nothing else will do.
///
/// # Errors
/// Something that is needed cannot be had.
pub(crate) fn solve<'t>(
    universe: &Universe<'t>,
    asked: Vec<Clause<'t>>,
    avoid: &[&str],
) -> Result<Vec<usize>, Conflict> {
    let mut search = Search {
        universe,
        wants: Vec::new(),
        chosen: Vec::new(),
        by_name: HashMap::new(),
        refused: Vec::new(),
        pulled_by: HashMap::new(),
    };
    search.wants.extend(asked.into_iter().map(|clause| Want {
        clause,
        by: None,
        later: false,
    }));
    let mut choices: Vec<Choice> = Vec::new();
    let mut first_failure = None;
    let mut at = 0;
    for _ in 0..MOST_STEPS {
        let Some(want) = search.wants.get(at) else {
            return Ok(search.chosen);
        };
        let mut options: Vec<usize> = Vec::new();
        for relation in &want.clause {
            options.extend(universe.candidates(relation));
        }
        if options.iter().any(|option| search.has(*option)) {
            at += 1;
            continue;
        }
        let name = |at: usize| universe.packages[at].name;
        let one_name = options
            .windows(2)
            .all(|pair| name(pair[0]) == name(pair[1]));
        // Not before all that leaves no choice has been decided.
        let others_wait = || search.wants[at + 1..].iter().any(|want| !want.later);
        if !one_name && (!want.later || others_wait()) {
            let (clause, by) = (want.clause.clone(), want.by);
            search.wants.push(Want {
                clause,
                by,
                later: true,
            });
            at += 1;
            continue;
        }
        // Stable: what is avoided goes last, the rest keeps its order.
        options.sort_by_key(|option| avoid.contains(&name(*option)));
        choices.push(Choice {
            at,
            wants: search.wants.len(),
            chosen: search.chosen.len(),
            refused: search.refused.len(),
            left: options.into_iter(),
            reasons: Vec::new(),
        });
        // Takes the next way that is open, here or at an earlier choice.
        loop {
            let Some(choice) = choices.last_mut() else {
                return Err(first_failure.unwrap_or_else(|| search.failure(at, Vec::new())));
            };
            let next = choice.left.find(|option| match search.obstacle(*option) {
                None => true,
                Some(reason) => {
                    choice.reasons.push(reason);
                    false
                }
            });
            if let Some(option) = next {
                let by = search.wants[choice.at].by;
                at = choice.at + 1;
                search.choose(option, by);
                break;
            }
            let (failed_at, reasons) = (choice.at, std::mem::take(&mut choice.reasons));
            if first_failure.is_none() {
                first_failure = Some(search.failure(failed_at, reasons));
            }
            choices.pop();
            if let Some(before) = choices.last() {
                search.back_to(before.wants, before.chosen, before.refused);
            }
        }
    }
    Err(first_failure.unwrap_or_else(|| search.failure(at, Vec::new())))
}

impl<'t> Search<'_, 't> {
    fn has(&self, at: usize) -> bool {
        self.by_name.get(self.universe.packages[at].name) == Some(&at)
    }

    /// Why a package cannot be taken now.
    fn obstacle(&self, at: usize) -> Option<String> {
        let package = &self.universe.packages[at];
        let named = |at: usize| {
            let package = &self.universe.packages[at];
            format!("{} {}", package.name, package.version)
        };
        if let Some(other) = self.by_name.get(package.name) {
            return Some(format!("{} is taken, not {}", named(*other), named(at)));
        }
        if let Some((relation, by)) = self.refused.iter().find(|(one, _)| package.is(one)) {
            return Some(format!(
                "{} conflicts with {relation}, which {} is",
                named(*by),
                named(at)
            ));
        }
        package.refuses().find_map(|relation| {
            let other = self
                .chosen
                .iter()
                .find(|other| self.universe.packages[**other].is(&relation))?;
            Some(format!(
                "{} conflicts with {relation}, which {} is",
                named(at),
                named(*other)
            ))
        })
    }

    fn choose(&mut self, at: usize, by: Option<usize>) {
        let package = &self.universe.packages[at];
        self.chosen.push(at);
        self.by_name.insert(package.name, at);
        self.pulled_by.insert(at, by);
        self.refused
            .extend(package.refuses().map(|relation| (relation, at)));
        self.wants.extend(package.needs().map(|clause| Want {
            clause,
            by: Some(at),
            later: false,
        }));
    }

    fn back_to(&mut self, wants: usize, chosen: usize, refused: usize) {
        for at in self.chosen.drain(chosen..) {
            self.by_name.remove(self.universe.packages[at].name);
            self.pulled_by.remove(&at);
        }
        self.wants.truncate(wants);
        self.refused.truncate(refused);
    }

    fn failure(&self, at: usize, mut reasons: Vec<String>) -> Conflict {
        let named = |at: usize| {
            let package = &self.universe.packages[at];
            format!("{} {}", package.name, package.version)
        };
        let Some(want) = self.wants.get(at) else {
            return Conflict {
                wanted: "what was asked for".to_owned(),
                because: Vec::new(),
                reasons: vec!["the search took too long".to_owned()],
            };
        };
        if reasons.is_empty() {
            for relation in &want.clause {
                let known = self.universe.named(relation.name);
                let known: Vec<&str> = known
                    .iter()
                    .map(|at| self.universe.packages[*at].version)
                    .collect();
                reasons.push(match known[..] {
                    [] => format!("no archive has {}", relation.name),
                    _ => format!("of {} there is {} only", relation.name, known.join(", ")),
                });
            }
        }
        reasons.dedup();
        let mut because = Vec::new();
        let mut by = want.by;
        while let Some(at) = by {
            if because.len() == 8 {
                break;
            }
            let word = if because.is_empty() {
                "needed by"
            } else {
                "itself needed by"
            };
            because.push(format!("{word} {}", named(at)));
            by = self.pulled_by.get(&at).copied().flatten();
        }
        let alternatives: Vec<String> = want.clause.iter().map(ToString::to_string).collect();
        Conflict {
            wanted: alternatives.join(" or "),
            because,
            reasons,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::index::tests::index;
    use super::super::relation::clauses;
    use super::*;

    fn taken(packages: &[&str], asked: &str, avoid: &[&str]) -> Result<Vec<String>, String> {
        let text = index(packages);
        let mut universe = Universe::default();
        universe.add(&text, 0);
        let solved = solve(&universe, clauses(asked).collect(), avoid);
        let solved = solved.map_err(|conflict| conflict.to_string())?;
        let mut names: Vec<String> = solved
            .into_iter()
            .map(|at| {
                format!(
                    "{} {}",
                    universe.packages[at].name, universe.packages[at].version
                )
            })
            .collect();
        names.sort();
        Ok(names)
    }

    #[test]
    fn what_is_needed_comes_along_and_cycles_end() {
        let packages = [
            "Package: a\nVersion: 1\nDepends: b (>= 2), d | e",
            "Package: b\nVersion: 1",
            "Package: b\nVersion: 2\nPre-Depends: a",
            "Package: e\nVersion: 1",
        ];
        assert_eq!(taken(&packages, "a", &[]).unwrap(), ["a 1", "b 2", "e 1"]);
    }

    #[test]
    fn an_alternative_that_is_taken_anyway_is_enough() {
        let packages = [
            "Package: a\nVersion: 1\nDepends: big | small, c",
            "Package: big\nVersion: 1",
            "Package: small\nVersion: 1",
            "Package: c\nVersion: 1\nDepends: small",
        ];
        assert_eq!(
            taken(&packages, "a", &[]).unwrap(),
            ["a 1", "c 1", "small 1"]
        );
    }

    #[test]
    fn what_is_avoided_is_taken_only_where_nothing_else_will_do() {
        let packages = [
            "Package: a\nVersion: 1\nDepends: usrmerge | usr-is-merged",
            "Package: usrmerge\nVersion: 1",
            "Package: usr-is-merged\nVersion: 1",
        ];
        let avoid = &["usrmerge"];
        assert_eq!(
            taken(&packages, "a", avoid).unwrap(),
            ["a 1", "usr-is-merged 1"]
        );
        assert_eq!(
            taken(&packages[..2], "a", avoid).unwrap(),
            ["a 1", "usrmerge 1"]
        );
    }

    #[test]
    fn a_choice_that_leads_nowhere_is_taken_back() {
        let packages = [
            "Package: a\nVersion: 1\nDepends: x | y, z | w",
            "Package: x\nVersion: 1\nDepends: gone",
            "Package: y\nVersion: 1\nConflicts: z",
            "Package: z\nVersion: 1",
            "Package: w\nVersion: 1\nConflicts: w",
        ];
        assert_eq!(taken(&packages, "a", &[]).unwrap(), ["a 1", "w 1", "y 1"]);
    }

    #[test]
    fn an_older_version_is_taken_where_the_newest_does_not_fit() {
        let packages = [
            "Package: a\nVersion: 1\nDepends: b, c",
            "Package: b\nVersion: 2\nBreaks: c (<< 9)",
            "Package: b\nVersion: 1",
            "Package: c\nVersion: 3",
        ];
        assert_eq!(taken(&packages, "a", &[]).unwrap(), ["a 1", "b 1", "c 3"]);
    }

    #[test]
    fn a_conflict_is_told_in_words() {
        let packages = [
            "Package: a\nVersion: 1\nDepends: b",
            "Package: b\nVersion: 1\nDepends: c (>= 9) | virtual",
            "Package: c\nVersion: 3",
        ];
        assert_eq!(
            taken(&packages, "a", &[]).unwrap_err(),
            "c (>= 9) or virtual cannot be had, needed by b 1, itself needed by a 1: \
             of c there is 3 only; no archive has virtual"
        );
        let packages = [
            "Package: a\nVersion: 1\nDepends: b",
            "Package: b\nVersion: 1\nConflicts: d (<< 2)",
            "Package: d\nVersion: 1",
        ];
        assert_eq!(
            taken(&packages, "d, a", &[]).unwrap_err(),
            "b cannot be had, needed by a 1: b 1 conflicts with d (<< 2), which d 1 is"
        );
        assert_eq!(
            taken(&packages, "nothing", &[]).unwrap_err(),
            "nothing cannot be had: no archive has nothing"
        );
    }

    #[test]
    fn a_long_chain_needs_no_deep_stack() {
        let packages: Vec<String> = (0..20_000)
            .map(|at| {
                format!(
                    "Package: p{at}\nVersion: 1\nDepends: p{}",
                    (at + 1) % 20_000
                )
            })
            .collect();
        let packages: Vec<&str> = packages.iter().map(String::as_str).collect();
        assert_eq!(taken(&packages, "p0", &[]).unwrap().len(), 20_000);
    }
}
