//! Which packages make what is asked for work: a search over what the indexes
//! offer that takes the newest and, where names are shared, the most preferred,
//! and turns back where that leads nowhere.
//!
//! The rules are apk's (apk-package(5)): a versioned `provides` is as good as a
//! package of that name and may be there only once; one without version is
//! taken by itself only with a priority or when its package is asked for by
//! name. apk itself never turns back; where its first choices fit, ours are the
//! same. The search is a loop with a stack of its own, bounded in steps.

use std::cmp::{Ordering, Reverse};
use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::dependency::Dependency;
use super::index::Package;
use super::version;

/// Most decisions of one search. Alpine's whole base takes some dozens.
const MOST_STEPS: usize = 20_000;

/// The offers of several repositories.
#[derive(Debug)]
pub struct Universe {
    packages: Vec<Offer>,
    providers: HashMap<String, Vec<Provider>>,
}

/// A package and where it is.
#[derive(Debug)]
pub struct Offer {
    /// What the index says.
    pub package: Package,
    /// Which of the repositories, by its place in their list; the first of
    /// several that offer the same is taken.
    pub repository: usize,
}

/// Who provides a name.
#[derive(Debug, Clone)]
struct Provider {
    package: usize,
    version: Option<String>,
}

/// Nothing fits together.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SolveError {
    /// Somebody needs what cannot be had.
    #[error("{} needs {dependency}, {why}", .by.as_deref().unwrap_or("the base"))]
    Unmet {
        /// Which package; none: it is asked for itself.
        by: Option<String>,
        /// What it needs.
        dependency: String,
        /// In words.
        why: String,
    },
    /// Not found in reasonable time.
    #[error("no set of packages that fits together was found in {MOST_STEPS} steps")]
    TooHard,
}

/// What is needed, and by whom.
#[derive(Debug, Clone)]
struct Want {
    dependency: Dependency,
    by: Option<usize>,
}

impl Universe {
    /// Puts the offers of repositories together; those for other architectures
    /// are left out.
    pub fn new(repositories: Vec<Vec<Package>>, architecture: &str) -> Self {
        let mut packages = Vec::new();
        let mut known = BTreeSet::new();
        for (repository, offers) in repositories.into_iter().enumerate() {
            for package in offers {
                let fits = package
                    .architecture
                    .as_deref()
                    .is_none_or(|other| other == architecture || other == "noarch");
                if fits && known.insert(package.identity) {
                    packages.push(Offer {
                        package,
                        repository,
                    });
                }
            }
        }
        let mut providers: HashMap<String, Vec<Provider>> = HashMap::new();
        for (at, offer) in packages.iter().enumerate() {
            for (name, version) in provides(&offer.package) {
                providers
                    .entry(name.to_owned())
                    .or_default()
                    .push(Provider {
                        package: at,
                        version: version.map(str::to_owned),
                    });
            }
        }
        Self {
            packages,
            providers,
        }
    }

    /// Whether any package has or provides the name.
    pub fn offers(&self, name: &str) -> bool {
        self.providers.contains_key(name)
    }

    /// The package's name most like `name`, if it is like enough to be meant.
    fn nearest(&self, name: &str) -> Option<&str> {
        let names = self.packages.iter().map(|one| one.package.name.as_str());
        names
            .map(|known| (strsim::jaro_winkler(name, known), known))
            .filter(|(likeness, _)| *likeness > 0.85)
            .max_by(|a, b| a.0.total_cmp(&b.0).then_with(|| b.1.cmp(a.1)))
            .map(|(_, known)| known)
    }

    /// The packages that make `world` work, each after those it needs.
    ///
    /// # Errors
    /// They do not fit together, or one cannot be had.
    pub fn solve(&self, world: &[Dependency]) -> Result<Vec<&Offer>, SolveError> {
        let mut wanted: Vec<Dependency> = world.to_vec();
        wanted.sort();
        wanted.dedup();
        let mut chosen = Search::new(self, &wanted).run()?;
        // What comes by itself once others are there, until nothing more does.
        let mut refused = BTreeSet::new();
        while let Some(at) = self.triggered(&chosen, &refused) {
            let package = &self.packages[at].package;
            let text = format!("{}={}", package.name, package.version);
            // A package's own name and version are always a dependency.
            let Ok(dependency) = text.parse() else { break };
            let mut more = wanted.clone();
            more.push(dependency);
            match Search::new(self, &more).run() {
                Ok(set) => (chosen, wanted) = (set, more),
                // It is a courtesy, not a need.
                Err(_) => {
                    refused.insert(at);
                }
            }
        }
        Ok(self.in_order(&chosen, &wanted))
    }

    /// A package that is not there and all of whose `install_if` are.
    fn triggered(&self, chosen: &BTreeSet<usize>, refused: &BTreeSet<usize>) -> Option<usize> {
        let mut provided: HashMap<&str, Vec<Option<&str>>> = HashMap::new();
        for at in chosen {
            for (name, version) in provides(&self.packages[*at].package) {
                provided.entry(name).or_default().push(version);
            }
        }
        let holds = |dependency: &Dependency| {
            let there = provided.get(dependency.name.as_str());
            let covered = there.is_some_and(|all| all.iter().any(|one| dependency.covers(*one)));
            covered != dependency.conflict
        };
        let mut found: Vec<usize> = (0..self.packages.len())
            .filter(|at| {
                let package = &self.packages[*at].package;
                !package.install_if.is_empty()
                    && !chosen.contains(at)
                    && !refused.contains(at)
                    && !provided.contains_key(package.name.as_str())
                    && package.install_if.iter().all(holds)
            })
            .collect();
        found.sort_by(|a, b| self.preferred(*a, *b, None, None));
        found.first().copied()
    }

    /// The better of two comes first.
    fn preferred(&self, a: usize, b: usize, va: Option<&str>, vb: Option<&str>) -> Ordering {
        let (one, two) = (&self.packages[a], &self.packages[b]);
        let by_version = |a: Option<&str>, b: Option<&str>| match (a, b) {
            (Some(a), Some(b)) => version::compare(b, a),
            _ => b.is_some().cmp(&a.is_some()),
        };
        let same_name = one.package.name == two.package.name;
        by_version(va, vb)
            .then_with(|| match same_name {
                true => version::compare(&two.package.version, &one.package.version),
                false => Ordering::Equal,
            })
            .then_with(|| two.package.priority.cmp(&one.package.priority))
            .then_with(|| one.repository.cmp(&two.repository))
            .then_with(|| one.package.name.cmp(&two.package.name))
            .then_with(|| a.cmp(&b))
    }

    /// As apk installs: what is needed first, and by name where that leaves a
    /// choice. A circle is cut where it is entered.
    fn in_order(&self, chosen: &BTreeSet<usize>, world: &[Dependency]) -> Vec<&Offer> {
        let mut providers: HashMap<&str, Vec<usize>> = HashMap::new();
        for at in chosen {
            for (name, _) in provides(&self.packages[*at].package) {
                providers.entry(name).or_default().push(*at);
            }
        }
        let needed = |dependencies: &[Dependency]| -> Vec<usize> {
            let positive = dependencies.iter().filter(|one| !one.conflict);
            let found = positive.filter_map(|one| providers.get(one.name.as_str()));
            found.flatten().copied().collect()
        };
        let mut seen = BTreeSet::new();
        let mut order = Vec::new();
        let mut roots = world.to_vec();
        roots.sort_by_key(|one| (one.name.to_lowercase(), one.name.clone()));
        let mut roots = needed(&roots);
        roots.extend(chosen);
        for root in roots {
            // (package, those it needs, how many of them are done)
            let mut stack: Vec<(usize, Vec<usize>, usize)> = Vec::new();
            if seen.insert(root) {
                stack.push((root, needed(&self.packages[root].package.depends), 0));
            }
            while let Some((at, needs, done)) = stack.last_mut() {
                if let Some(next) = needs.get(*done).copied() {
                    *done += 1;
                    if seen.insert(next) {
                        stack.push((next, needed(&self.packages[next].package.depends), 0));
                    }
                } else {
                    order.push(*at);
                    stack.pop();
                }
            }
        }
        order.into_iter().map(|at| &self.packages[at]).collect()
    }
}

/// All names a package goes by, its own first.
fn provides(package: &Package) -> impl Iterator<Item = (&str, Option<&str>)> {
    let own = (package.name.as_str(), Some(package.version.as_str()));
    let others = package.provides.iter();
    std::iter::once(own).chain(
        others
            .map(|one| (one.name.as_str(), one.provided_version()))
            .filter(|(name, _)| *name != package.name),
    )
}

struct Search<'u> {
    universe: &'u Universe,
    chosen: Vec<usize>,
    provided: BTreeMap<&'u str, Vec<(usize, Option<&'u str>)>>,
    wants: Vec<Want>,
    decisions: Vec<Decision>,
    /// Told in the end: what the best choices ran into.
    first_failure: Option<SolveError>,
}

/// A choice that was made, and those that are left.
struct Decision {
    chosen: usize,
    wants: usize,
    left: Vec<usize>,
}

impl<'u> Search<'u> {
    fn new(universe: &'u Universe, world: &[Dependency]) -> Self {
        let want = |dependency: &Dependency| Want {
            dependency: dependency.clone(),
            by: None,
        };
        Self {
            universe,
            chosen: Vec::new(),
            provided: BTreeMap::new(),
            wants: world.iter().map(want).collect(),
            decisions: Vec::new(),
            first_failure: None,
        }
    }

    fn run(mut self) -> Result<BTreeSet<usize>, SolveError> {
        for _ in 0..MOST_STEPS {
            let Some((want, mut candidates)) = self.next_open() else {
                return Ok(self.chosen.into_iter().collect());
            };
            if candidates.is_empty() {
                let failure = self.explain(&want);
                self.first_failure.get_or_insert(failure);
                candidates = match self.turn_back() {
                    Some(left) => left,
                    None => return Err(self.first_failure.unwrap_or(SolveError::TooHard)),
                };
            }
            candidates.reverse();
            if let Some(best) = candidates.pop() {
                self.choose(best, candidates);
            }
        }
        Err(SolveError::TooHard)
    }

    /// The open want with the fewest answers, and these, the best first.
    fn next_open(&self) -> Option<(Want, Vec<usize>)> {
        let mut best: Option<(usize, Vec<usize>)> = None;
        for (at, want) in self.wants.iter().enumerate() {
            if want.dependency.conflict || self.is_met(&want.dependency) {
                continue;
            }
            let candidates = self.candidates(want);
            let fewer = best
                .as_ref()
                .is_none_or(|(_, others)| candidates.len() < others.len());
            if fewer {
                let none = candidates.is_empty();
                best = Some((at, candidates));
                if none {
                    break;
                }
            }
        }
        // A name that several share and nobody prefers may be provided by what
        // another want brings: it waits while any other is open.
        match &best {
            Some((at, candidates)) if candidates.is_empty() && self.is_shared(&self.wants[*at]) => {
                let other = self.wants.iter().find_map(|want| {
                    let open = !want.dependency.conflict
                        && !self.is_met(&want.dependency)
                        && !self.is_shared(want);
                    let candidates = open.then(|| self.candidates(want))?;
                    (!candidates.is_empty()).then(|| (want.clone(), candidates))
                });
                other.or_else(|| best.map(|(at, found)| (self.wants[at].clone(), found)))
            }
            _ => best.map(|(at, found)| (self.wants[at].clone(), found)),
        }
    }

    /// Whether only packages that are not taken by themselves provide it.
    fn is_shared(&self, want: &Want) -> bool {
        let providers = self.universe.providers.get(&want.dependency.name);
        providers.is_some_and(|all| all.iter().all(|one| one.version.is_none()))
    }

    fn is_met(&self, dependency: &Dependency) -> bool {
        self.provided
            .get(dependency.name.as_str())
            .is_some_and(|there| there.iter().any(|(_, version)| dependency.covers(*version)))
    }

    fn candidates(&self, want: &Want) -> Vec<usize> {
        let Some(providers) = self.universe.providers.get(&want.dependency.name) else {
            return Vec::new();
        };
        let mut found: Vec<&Provider> = providers
            .iter()
            .filter(|one| want.dependency.covers(one.version.as_deref()))
            .filter(|one| self.may_be_taken(one) && self.obstacle(one.package).is_none())
            .collect();
        found.sort_by(|a, b| {
            let versions = (a.version.as_deref(), b.version.as_deref());
            self.universe
                .preferred(a.package, b.package, versions.0, versions.1)
        });
        found.into_iter().map(|one| one.package).collect()
    }

    /// Whether a provider is one that is taken without being named.
    fn may_be_taken(&self, provider: &Provider) -> bool {
        let package = &self.universe.packages[provider.package].package;
        provider.version.is_some()
            || package.priority > 0
            || self
                .wants
                .iter()
                .any(|want| !want.dependency.conflict && want.dependency.name == package.name)
    }

    /// Why a package cannot stand beside those that are chosen, in words.
    fn obstacle(&self, at: usize) -> Option<String> {
        let package = &self.universe.packages[at].package;
        let full_name = |at: usize| self.universe.packages[at].package.full_name();
        for (name, version) in provides(package) {
            for (other, other_version) in self.provided.get(name).into_iter().flatten() {
                if *other != at && (version.is_some() || other_version.is_some()) {
                    return Some(format!("{} has the name {name} already", full_name(*other)));
                }
            }
        }
        for want in &self.wants {
            let spoken_of = |(name, version): (&str, Option<&str>)| {
                name == want.dependency.name && want.dependency.covers(version)
            };
            if want.dependency.conflict && provides(package).any(spoken_of) {
                let by = want.by.map_or("the base".to_owned(), full_name);
                return Some(format!("{by} excludes it by {}", want.dependency));
            }
            // The only owner of a name must answer for all who want it.
            let owns_wrongly = |(name, version): (&str, Option<&str>)| {
                name == want.dependency.name
                    && version.is_some()
                    && !want.dependency.covers(version)
            };
            if !want.dependency.conflict && provides(package).any(owns_wrongly) {
                let by = want.by.map_or("the base".to_owned(), full_name);
                return Some(format!("{by} needs {}", want.dependency));
            }
        }
        for dependency in &package.depends {
            let there = self.provided.get(dependency.name.as_str());
            for (other, version) in there.into_iter().flatten() {
                let covered = dependency.covers(*version);
                if dependency.conflict && covered && *other != at {
                    return Some(format!("it excludes {}", full_name(*other)));
                }
                if !dependency.conflict && !covered && version.is_some() {
                    return Some(format!(
                        "it needs {dependency}, and {} is chosen",
                        full_name(*other)
                    ));
                }
            }
        }
        None
    }

    fn choose(&mut self, at: usize, left: Vec<usize>) {
        self.decisions.push(Decision {
            chosen: self.chosen.len(),
            wants: self.wants.len(),
            left,
        });
        self.chosen.push(at);
        let universe = self.universe;
        let package = &universe.packages[at].package;
        for (name, version) in provides(package) {
            self.provided.entry(name).or_default().push((at, version));
        }
        let wants = package.depends.iter().map(|dependency| Want {
            dependency: dependency.clone(),
            by: Some(at),
        });
        self.wants.extend(wants);
    }

    /// Undoes choices up to one that has others left; these.
    fn turn_back(&mut self) -> Option<Vec<usize>> {
        while let Some(decision) = self.decisions.pop() {
            let gone: BTreeSet<usize> = self.chosen.drain(decision.chosen..).collect();
            self.provided.retain(|_, all| {
                all.retain(|(at, _)| !gone.contains(at));
                !all.is_empty()
            });
            self.wants.truncate(decision.wants);
            let mut left = decision.left;
            left.reverse();
            if !left.is_empty() {
                return Some(left);
            }
        }
        None
    }

    fn explain(&self, want: &Want) -> SolveError {
        let packages = &self.universe.packages;
        let providers = self.universe.providers.get(&want.dependency.name);
        let mut reasons: Vec<(Reverse<bool>, String)> = Vec::new();
        for provider in providers.into_iter().flatten() {
            let package = &packages[provider.package].package;
            let name = package.full_name();
            let reason = if !want.dependency.covers(provider.version.as_deref()) {
                match &provider.version {
                    Some(_) if package.name == want.dependency.name => {
                        format!("{name} is another version")
                    }
                    Some(version) => format!("{name} provides it as {version}"),
                    None => format!("{name} provides it without a version"),
                }
            } else if let Some(obstacle) = self.obstacle(provider.package) {
                format!("{name} cannot be taken: {obstacle}")
            } else {
                format!("{name} provides it, but is taken only when it is asked for by name")
            };
            let fits = want.dependency.covers(provider.version.as_deref());
            reasons.push((Reverse(fits), reason));
        }
        reasons.sort();
        let mut why: Vec<String> = reasons.into_iter().map(|(_, reason)| reason).collect();
        // Beyond a few they only repeat each other.
        if why.len() > 4 {
            let more = why.len() - 3;
            why.truncate(3);
            why.push(format!("{more} more do not fit either"));
        }
        SolveError::Unmet {
            by: want.by.map(|at| packages[at].package.full_name()),
            dependency: want.dependency.to_string(),
            why: match why.is_empty() {
                true => {
                    let near = self.universe.nearest(&want.dependency.name);
                    let near = near.map(|near| format!(": did you mean {near}?"));
                    let near = near.unwrap_or_default();
                    format!("which no package of these repositories provides{near}")
                }
                false => format!("but {}", why.join("; ")),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `name=version|depends|provides|install_if|priority`, the tail left away.
    fn universe(lines: &[&str]) -> Universe {
        let package = |(at, line): (usize, &&str)| {
            let mut parts = line.split('|');
            let mut next = || parts.next().unwrap_or_default();
            let (name, version) = next().split_once('=').unwrap();
            let list = super::super::dependency::parse_list;
            Package {
                identity: [u8::try_from(at).unwrap(); 20],
                name: name.to_owned(),
                version: version.to_owned(),
                depends: list(next()).unwrap(),
                provides: list(next()).unwrap(),
                install_if: list(next()).unwrap(),
                priority: next().parse().unwrap_or(0),
                ..Package::default()
            }
        };
        let packages = lines.iter().enumerate().map(package).collect();
        Universe::new(vec![packages], "x86_64")
    }

    fn solve(lines: &[&str], world: &str) -> Result<String, String> {
        let world = super::super::dependency::parse_list(world).unwrap();
        let universe = universe(lines);
        let found = universe.solve(&world).map_err(|error| error.to_string())?;
        let names: Vec<String> = found.iter().map(|one| one.package.full_name()).collect();
        Ok(names.join(" "))
    }

    #[test]
    fn what_is_needed_comes_first_and_newest() {
        let found = solve(
            &[
                "a=1|so:c.so.1 b>=2",
                "b=1",
                "b=2|c",
                "b=3_rc1|c",
                "c=1||so:c.so.1=1",
                "d=1",
            ],
            "a",
        );
        assert_eq!(found.unwrap(), "c-1 b-3_rc1 a-1");
    }

    #[test]
    fn circles_end() {
        assert_eq!(
            solve(&["a=1|b", "b=1|c", "c=1|a"], "b").unwrap(),
            "a-1 c-1 b-1"
        );
    }

    #[test]
    fn a_choice_that_leads_nowhere_is_taken_back() {
        let lines = &["a=2|b>=2", "a=1|b", "b=1", "c=1|a b<2"];
        assert_eq!(solve(lines, "c").unwrap(), "b-1 a-1 c-1");
        // Two deep.
        let lines = &[
            "x=3|y=3", "x=2|y=2", "x=1|y=1", "y=3|z=3", "y=2|z=2", "y=1|z=1", "z=1", "w=1|x y",
        ];
        assert_eq!(solve(lines, "w").unwrap(), "z-1 y-1 x-1 w-1");
    }

    #[test]
    fn a_shared_name_is_answered_by_priority_or_by_name_only() {
        let lines = &[
            "sh-a=1||/bin/sh||10",
            "sh-b=1||/bin/sh||20",
            "app=1|/bin/sh",
        ];
        assert_eq!(solve(lines, "app").unwrap(), "sh-b-1 app-1");
        assert_eq!(solve(lines, "app sh-a").unwrap(), "sh-a-1 app-1");
        let lines = &["sh-a=1||/bin/sh", "sh-b=1||/bin/sh", "app=1|/bin/sh"];
        assert_eq!(
            solve(lines, "app").unwrap_err(),
            "app-1 needs /bin/sh, but sh-a-1 provides it, but is taken only when it is asked for \
             by name; sh-b-1 provides it, but is taken only when it is asked for by name"
        );
        assert_eq!(solve(lines, "app sh-b").unwrap(), "sh-b-1 app-1");
        // The name of the one that is wanted may come later.
        let lines = &["sh-a=1||/bin/sh", "app=1|/bin/sh", "z=1|sh-a"];
        assert_eq!(solve(lines, "app z").unwrap(), "sh-a-1 app-1 z-1");
    }

    #[test]
    fn what_comes_by_itself_comes_once_all_of_it_is_there() {
        let lines = &[
            "busybox=1",
            "ssl=3",
            "client=1|ssl||busybox=1 ssl",
            "doc=1|gone||ssl",
        ];
        assert_eq!(solve(lines, "busybox").unwrap(), "busybox-1");
        assert_eq!(
            solve(lines, "busybox ssl").unwrap(),
            "busybox-1 ssl-3 client-1"
        );
    }

    #[test]
    fn conflicts_are_explained_in_words() {
        assert_eq!(
            solve(&["a=1|b>=2", "b=1"], "a").unwrap_err(),
            "a-1 needs b>=2, but b-1 is another version"
        );
        assert_eq!(
            solve(&["a=1|gone"], "a").unwrap_err(),
            "a-1 needs gone, which no package of these repositories provides"
        );
        assert_eq!(
            solve(&["a=1|!b", "b=1"], "a b").unwrap_err(),
            "the base needs b, but b-1 cannot be taken: a-1 excludes it by !b"
        );
        assert_eq!(
            solve(&["a=1||n=1", "b=1||n=2"], "a b").unwrap_err(),
            "the base needs b, but b-1 cannot be taken: a-1 has the name n already"
        );
        assert_eq!(
            solve(&["a=1||so:x=1", "b=1|so:x=2"], "b").unwrap_err(),
            "b-1 needs so:x=2, but a-1 provides it as 1"
        );
        assert!(
            solve(&["nginx=1"], "ngnix")
                .unwrap_err()
                .ends_with("provides: did you mean nginx?")
        );
        assert!(
            solve(&["a=1"], "gone")
                .unwrap_err()
                .starts_with("the base needs gone, ")
        );
    }

    #[test]
    fn another_architectures_packages_are_not_seen() {
        let package = |identity, architecture: &str| Package {
            identity: [identity; 20],
            name: "a".to_owned(),
            version: identity.to_string(),
            architecture: Some(architecture.to_owned()),
            ..Package::default()
        };
        let packages = vec![
            package(3, "armv7"),
            package(1, "noarch"),
            package(2, "x86_64"),
        ];
        let universe = Universe::new(vec![packages], "x86_64");
        let world = ["a".parse().unwrap()];
        assert_eq!(universe.solve(&world).unwrap()[0].package.version, "2");
    }

    #[test]
    fn a_hostile_index_ends_the_search() {
        // Each layer may be answered in two ways, and the last in none.
        let mut lines = Vec::new();
        for layer in 0..40 {
            lines.push(format!("n{layer}=1|n{}", layer + 1));
            lines.push(format!("n{layer}=2|n{}", layer + 1));
        }
        lines.push("n40=1|gone".to_owned());
        let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
        assert!(solve(&lines, "n0").is_err());
    }
}
