//! Trials of parts of an image: proving that nothing more can go, and finding
//! out what is missing when too much has gone.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use ounce_oci::Reference;
use ounce_rootfs::name;
use ounce_run::spec::SystemCalls;
use ounce_trim::certificate::Needed;
use ounce_trim::journal::Journal;
use ounce_trim::reduce::{Forest, Oracle, Reduced, Set, reduce};
use ounce_trim::scratch::Scratch;
use ounce_trim::working::Working;

use super::suite::{Shown, Stop, Tests};
use crate::arguments::trim::TrimArguments;
use crate::commands::Context;
use crate::failure::{Failure, Kind};

/// How often the whole is tried before anything is taken away, and what is left
/// afterwards: a test that does not always pass proves nothing.
const REPEATS: usize = 3;
/// How much more processor time a start may take than with everything there.
const DEARER: f64 = 1.5;
/// What the clock of the processor cannot tell apart.
const UNFELT: Duration = Duration::from_millis(15);
/// A trial that takes so much longer than the whole image hangs.
const SLOWER: u32 = 10;
const LEAST_TIMEOUT: Duration = Duration::from_secs(1);

/// Where the certificate goes: where it was asked for; else beside the report; else beside the store's cache,
/// since nobody asked for a file in the working folder, and its trials took long.
pub(super) fn certificate_path(
    context: &Context,
    arguments: &TrimArguments,
    output: &Reference,
) -> Result<PathBuf, Failure> {
    if let Some(path) = &arguments.proof.certificate {
        return Ok(path.clone());
    }
    if let Some(report) = &arguments.keeping.report {
        return Ok(report.with_extension("certificate.json"));
    }
    let folder = context.unpacked()?.with_file_name("certificates");
    std::fs::create_dir_all(&folder).map_err(|error| {
        Failure::new(Kind::Host, format!("making {}: {error}", folder.display()))
    })?;
    let name = output.to_string().replace(['/', ':'], "-");
    Ok(folder.join(format!("{name}.certificate.json")))
}

/// Where trials are made.
pub(super) struct Lab<'a> {
    context: &'a Context,
    stop: &'a Stop,
    site: Site<'a>,
    journal: Option<Journal>,
    most_trials: Option<u64>,
    end: Option<Instant>,
    /// Answers, in their order: what was asked for, and what is wrong with it.
    answers: Vec<(Set, Result<(), String>)>,
    numbers: HashMap<Set, usize>,
    /// Trials that were made now, not read from a journal.
    pub(super) made: u64,
}

/// What all workers use.
struct Site<'a> {
    tests: &'a Tests,
    before: &'a Shown,
    places: Vec<PathBuf>,
    forest: Forest,
    trees: Vec<Mutex<Working>>,
    timeout: Duration,
    dearest: Option<Duration>,
}

/// Why no more trials are made.
pub(super) enum Ended {
    /// As many as were allowed.
    Trials,
    /// As long as was allowed.
    Time,
    /// Somebody wants an end, or something broke.
    Failed(Failure),
}

/// What a lab works on.
pub(super) struct Bench<'a> {
    /// The whole image, unpacked.
    pub(super) root: &'a Path,
    /// What trials begin with, sorted.
    pub(super) places: Vec<PathBuf>,
    /// How many at once.
    pub(super) jobs: usize,
    pub(super) most_trials: Option<u64>,
    pub(super) time: Option<Duration>,
}

impl<'a> Lab<'a> {
    /// Links a working tree for each worker.
    pub(super) fn new(
        context: &'a Context,
        (tests, before, stop): (&'a Tests, &'a Shown, &'a Stop),
        scratch: &Scratch,
        bench: Bench<'_>,
        removable: &dyn Fn(&Path) -> bool,
    ) -> Result<Self, Failure> {
        let Bench { root, places, .. } = bench;
        let mut at: HashMap<&Path, usize> = HashMap::with_capacity(places.len());
        let mut parents = Vec::with_capacity(places.len());
        for (item, place) in places.iter().enumerate() {
            parents.push(place.parent().and_then(|parent| at.get(parent).copied()));
            at.insert(place, item);
        }
        let forest = Forest::new(parents, |item| removable(&places[item]));
        let mut trees = Vec::new();
        for worker in 0..bench.jobs.max(1) {
            let folder = scratch
                .path()
                .join(format!("tree-{}-{worker}", places.len()));
            trees.push(Mutex::new(Working::new(root, &folder, &places)?));
        }
        Ok(Self {
            context,
            stop,
            site: Site {
                tests,
                before,
                places,
                forest,
                trees,
                timeout: tests.timeout,
                dearest: None,
            },
            journal: None,
            most_trials: bench.most_trials,
            end: bench.time.map(|time| Instant::now() + time),
            answers: Vec::new(),
            numbers: HashMap::new(),
            made: 0,
        })
    }

    /// Goes on where an earlier run was broken off.
    pub(super) fn resume(&mut self, journal: Journal) {
        if !journal.is_empty() {
            let count = journal.len();
            self.context
                .output
                .note(&format!("going on after {count} trials of an earlier run"));
        }
        self.journal = Some(journal);
    }

    /// Forgets what to go on with: the proof is done.
    pub(super) fn forget(&mut self) {
        if let Some(journal) = self.journal.take() {
            // Then the next proof reads it, to the same end.
            let _ = journal.remove();
        }
    }

    /// Tries a set again and again: it has to pass each time. Learns how long
    /// that takes.
    pub(super) fn steady(&mut self, set: &Set) -> Result<(), Failure> {
        let mut slowest = Duration::ZERO;
        let mut cheapest = Duration::MAX;
        // What it costs says nothing of whether it passes, and was seen to be little
        // enough when this set was found; a busy machine makes the same work dearer.
        let dearest = self.site.dearest.take();
        for _ in 0..REPEATS {
            let began = Instant::now();
            match self.site.trial(0, set, &|| self.stop.is_asked())? {
                Ok(processor) => cheapest = cheapest.min(processor),
                Err(why) => return Err(unsteady(&why)),
            }
            slowest = slowest.max(began.elapsed());
            self.made += 1;
        }
        self.site.dearest = dearest;
        if self.site.dearest.is_none() {
            self.site.dearest = Some(cheapest.mul_f64(DEARER) + UNFELT);
            let patience = (slowest * SLOWER).max(LEAST_TIMEOUT);
            self.site.timeout = self.site.tests.timeout.min(patience);
        }
        Ok(())
    }

    /// Looks for a 1-minimal set.
    pub(super) fn reduce(
        &mut self,
        seed: u64,
    ) -> Result<(Reduced<Ended>, Option<&'static str>), Failure> {
        let forest = self.site.forest.clone();
        let mut reduced = reduce(&forest, seed, self);
        self.progress(None);
        match reduced.stopped.take() {
            None => Ok((reduced, None)),
            Some(Ended::Trials) => Ok((reduced, Some("as many trials as were allowed"))),
            Some(Ended::Time) => Ok((reduced, Some("as much time as was allowed"))),
            Some(Ended::Failed(failure)) => Err(failure),
        }
    }

    /// What trials begin with.
    pub(super) fn full(&self) -> Set {
        Set::full(self.site.places.len())
    }

    /// The set without this place and what lies in it.
    pub(super) fn without(&self, set: &Set, place: &Path) -> Set {
        match self
            .site
            .places
            .binary_search_by(|other| other.as_path().cmp(place))
        {
            Ok(item) => self.site.forest.without(set, &[item]),
            Err(_) => set.clone(),
        }
    }

    /// The places of a set, sorted.
    pub(super) fn places_of(&self, set: &Set) -> Vec<PathBuf> {
        set.iter()
            .map(|item| self.site.places[item].clone())
            .collect()
    }

    /// The folder in which a set can be looked at.
    pub(super) fn show(&self, set: &Set) -> Result<PathBuf, Failure> {
        let mut working = self.site.trees[0]
            .lock()
            .map_err(|_| Failure::new(Kind::Bug, "a worker has panicked"))?;
        working.show(&self.site.forest, &self.site.places, set)?;
        Ok(working.root().to_owned())
    }

    /// What is wrong with the set, by a trial that is made if it was not before.
    pub(super) fn ask(&mut self, set: &Set) -> Result<Result<(), String>, Failure> {
        match self.test(std::slice::from_ref(set)) {
            Ok(_) => {}
            Err(Ended::Failed(failure)) => return Err(failure),
            Err(_) => return Ok(Err("no trial was left for it".to_owned())),
        }
        let number = self.numbers.get(set).copied().unwrap_or_default();
        Ok(self.answers[number].1.clone())
    }

    /// How many answers it has, those of a journal included.
    pub(super) fn answered(&self) -> u64 {
        self.answers.len() as u64
    }

    /// For each path that nothing hangs below: the trial that failed without it.
    pub(super) fn needed(&self, set: &Set) -> BTreeMap<String, Needed> {
        let leaves = self.site.forest.leaves(set);
        let needed = leaves.iter().filter_map(|leaf| {
            let without = self.site.forest.without(set, &[*leaf]);
            let trial = *self.numbers.get(&without)?;
            let why = self.answers[trial].1.clone().err()?;
            let needed = Needed {
                trial: trial as u64 + 1,
                why,
            };
            Some((self.name(*leaf), needed))
        });
        needed.collect()
    }

    /// For each path that went, the first trial that passed without it.
    pub(super) fn removed(&self, set: &Set) -> BTreeMap<String, u64> {
        let tops = self.site.forest.tops(set);
        let removed = tops.filter_map(|item| {
            let passed = |(without, said): &(Set, Result<(), String>)| {
                said.is_ok() && !without.contains(item)
            };
            let trial = self.answers.iter().position(passed)?;
            Some((self.name(item), trial as u64 + 1))
        });
        removed.collect()
    }

    fn name(&self, item: usize) -> String {
        name::shown(&self.site.places[item])
    }

    /// Makes trials at the same time, a worker each.
    fn trials(&self, sets: &[Set]) -> Result<Vec<Result<(), String>>, Ended> {
        let halt = AtomicBool::new(false);
        let (tell, told) = channel();
        let mut results: Vec<_> = sets.iter().map(|_| None).collect();
        let (site, halt) = (&self.site, &halt);
        std::thread::scope(|scope| {
            for (worker, set) in sets.iter().enumerate() {
                let tell = tell.clone();
                scope.spawn(move || {
                    let interrupted = || halt.load(Ordering::Relaxed);
                    let result = site.trial(worker, set, &interrupted);
                    let _ = tell.send((worker, result));
                });
            }
            drop(tell);
            loop {
                match told.recv_timeout(Duration::from_millis(20)) {
                    Ok((worker, result)) => results[worker] = Some(result),
                    Err(RecvTimeoutError::Timeout) if self.stop.is_asked() => {
                        halt.store(true, Ordering::Relaxed);
                    }
                    Err(RecvTimeoutError::Timeout) => {}
                    Err(RecvTimeoutError::Disconnected) => break,
                }
            }
        });
        let results = results.into_iter().map(|result| match result {
            Some(Ok(said)) => Ok(said.map(drop)),
            Some(Err(failure)) => Err(Ended::Failed(failure)),
            None => Err(Ended::Failed(Failure::new(
                Kind::Bug,
                "a trial has panicked",
            ))),
        });
        results.collect()
    }

    fn progress(&self, left: Option<usize>) {
        let output = &self.context.output;
        if output.quiet || !output.stderr_is_terminal {
            return;
        }
        use std::io::Write;
        let mut stderr = std::io::stderr().lock();
        let _ = match left {
            Some(left) => write!(
                stderr,
                "\r\x1b[K{} trials, {left} of {} paths left",
                self.answers.len(),
                self.site.places.len()
            ),
            None => write!(stderr, "\r\x1b[K"),
        };
        let _ = stderr.flush();
    }
}

impl Site<'_> {
    /// Shows a set in a worker's tree and puts the tests to it: the processor
    /// time they took, or what is wrong.
    fn trial(
        &self,
        worker: usize,
        set: &Set,
        interrupted: &dyn Fn() -> bool,
    ) -> Result<Result<Duration, String>, Failure> {
        let mut working = self.trees[worker]
            .lock()
            .map_err(|_| Failure::new(Kind::Bug, "a worker has panicked"))?;
        working.show(&self.forest, &self.places, set)?;
        let root = working.root();
        let mut tries = 0;
        loop {
            let result = self.tests.pass(
                self.before,
                root,
                SystemCalls::Default,
                self.timeout,
                interrupted,
            )?;
            tries += 1;
            match (result, self.dearest) {
                // Once more: the machine may have been busy with something else.
                (Ok(spent), Some(most)) if spent > most && tries < REPEATS => {}
                (Ok(spent), Some(most)) if spent > most => {
                    let (spent, most) = (spent.as_millis(), most.as_millis());
                    return Ok(Err(format!(
                        "it passes, but takes {spent} ms of processor, more than {most}"
                    )));
                }
                (Ok(spent), _) => return Ok(Ok(spent)),
                (Err(wrong), _) => return Ok(Err(format!("{}: {}", wrong.test, wrong.why))),
            }
        }
    }
}

impl Oracle<Ended> for Lab<'_> {
    fn width(&self) -> usize {
        self.site.trees.len()
    }

    fn test(&mut self, sets: &[Set]) -> Result<Vec<bool>, Ended> {
        let known = |lab: &Self, set: &Set| -> Option<Result<(), String>> {
            let number = lab.numbers.get(set);
            let answer = number.map(|number| lab.answers[*number].1.clone());
            answer.or_else(|| lab.journal.as_ref()?.get(set).cloned())
        };
        let unknown: Vec<Set> = sets
            .iter()
            .filter(|set| known(self, set).is_none())
            .cloned()
            .collect();
        let mut fresh = HashMap::new();
        for chunk in unknown.chunks(self.site.trees.len()) {
            if self.most_trials.is_some_and(|most| self.made >= most) {
                return Err(Ended::Trials);
            }
            if self.end.is_some_and(|end| Instant::now() >= end) {
                return Err(Ended::Time);
            }
            let results = self.trials(chunk)?;
            self.made += chunk.len() as u64;
            for (set, said) in chunk.iter().zip(results) {
                if let Some(journal) = &mut self.journal {
                    journal
                        .note(set, said.clone())
                        .map_err(|error| Ended::Failed(error.into()))?;
                }
                fresh.insert(set.clone(), said);
            }
        }
        let mut passes = Vec::with_capacity(sets.len());
        for set in sets {
            let said = match fresh.get(set) {
                Some(said) => said.clone(),
                None => known(self, set).unwrap_or(Ok(())),
            };
            passes.push(said.is_ok());
            if !self.numbers.contains_key(set) {
                self.numbers.insert(set.clone(), self.answers.len());
                self.answers.push((set.clone(), said));
            }
        }
        self.progress(sets.last().map(Set::len));
        Ok(passes)
    }
}

fn unsteady(why: &str) -> Failure {
    Failure::new(
        Kind::No,
        format!("the test does not always pass, with nothing taken away: {why}"),
    )
    .hint(
        "nothing can be proved by such a test: see to it that it shows the same each time, or \
           compare exit codes and statuses only: --loose",
    )
}
