//! `ounce trim`: what the tests of an image use, cut out of it; and the proof
//! that it still passes them.

mod answer;
mod check;
mod prove;
mod suite;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use ounce_oci::{Digest, Image, Platform, Store};
use ounce_rootfs::name;
use ounce_rootfs::pattern::Pattern;
use ounce_rootfs::tree::TreeError;
use ounce_rootfs::unpack::{self, Held};
use ounce_run::image::{CALLS_ANNOTATION, system_calls};
use ounce_run::spec::SystemCalls;
use ounce_run::trial::{How, Trial};
use ounce_trim::calls;
use ounce_trim::certificate::{self, Certificate};
use ounce_trim::classes::Class;
use ounce_trim::cut::{self, cut};
use ounce_trim::files::Folder;
use ounce_trim::journal::Journal;
use ounce_trim::reach::{self, reach};
use ounce_trim::report::{self, Amount};
use ounce_trim::scratch::Scratch;
use ounce_trim::strip::{Changes, Step};
use ounce_trim::witness::{self, Act, Seen};
use ounce_trim::{Kept, Reason, Survey};
use serde::Serialize;

use super::{Context, weigh, write_file};
use crate::arguments::BillChoice;
use crate::arguments::trim::{TrimArguments, TrimTest};
use crate::failure::{Failure, Kind};
use answer::{Document, Report, profile};
use prove::{Bench, Lab};
use suite::{Shown, Stop, Tests, Wrong};

/// Does it all; nothing has a name before the last test has passed.
pub(crate) fn run(context: &Context, arguments: TrimArguments) -> Result<ExitCode, Failure> {
    if let Some(path) = arguments.proof.check.clone() {
        return check::run(context, &arguments, &path);
    }
    let output = arguments
        .output
        .as_ref()
        .ok_or_else(|| Failure::new(Kind::Usage, "how is it to be called? -o NAME"))?;
    let began = Instant::now();
    let store = context.store()?;
    let stop = Stop::begin()?;
    let work = Work::begin(context, &arguments, &arguments.test, &stop)?;
    let kept = keep(context, &arguments, &work);
    let scratch = Scratch::new(&scratch_folder(context)?)?;
    let subject = Subject {
        context,
        work: &work,
        stop: &stop,
        scratch: &scratch,
    };
    let (kept, proof) = match arguments.proof.prove {
        false => (kept, None),
        true => {
            let (kept, proof) = subject.prove(&arguments, kept)?;
            (kept, Some(proof))
        }
    };
    let mut calls = match &proof {
        Some(proof) => proof.calls.clone(),
        None => work.traced.calls.clone(),
    };
    let calls_of_code = reachable_calls(&work);
    if let Some(all) = &calls_of_code {
        calls.extend(all);
        calls.sort_unstable();
        calls.dedup();
    }
    let verified = Instant::now();
    let narrow = !arguments.keeping.any_call;
    let steps = arguments.keeping.strip.concat();
    let (draft, calls, stripped) = subject.stripped(&kept, calls, narrow, steps)?;
    let (whole, kept) = (kept.clone(), stripped.rest(&kept));
    let verify_elapsed = verified.elapsed();

    let report = arguments.keeping.report.as_deref();
    draft.place().import(&store, output)?;
    let made = store.image(output, &work.image.platform)?;
    let tree = &work.survey.tree;
    let stays = |path: &Path| kept.contains(path);
    let after = report::amount(tree, &stays);
    let saved = stripped.saved(&work.survey, &whole);
    // What steps let go is not among what stays.
    let written_less: u64 = stripped.saved(&work.survey, &kept).values().sum();
    let mut document = Document {
        schema: "ounce.trim/1",
        image: arguments.image.to_string(),
        digest: work.image.digest.to_string(),
        name: output.to_string(),
        trimmed_digest: made.digest.to_string(),
        tests: work.tests.names(),
        pulled_bytes_before: work.image.pulled_bytes(),
        pulled_bytes: made.pulled_bytes(),
        before: report::amount(tree, &|_| true),
        after: Amount {
            bytes: after.bytes - written_less,
            ..after
        },
        stripped_bytes: saved.values().sum(),
        stripped: saved,
        system_calls: calls.clone(),
        all_calls_known: calls_of_code.is_some(),
        trace_ms: work.traced.elapsed.as_millis(),
        verify_ms: verify_elapsed.as_millis(),
        elapsed_ms: began.elapsed().as_millis(),
        processor_ms_before: work.traced.processor.as_millis(),
        trials: proof.as_ref().map_or(0, |proof| proof.trials),
        minimal: proof.as_ref().map(|proof| proof.certificate.minimal),
        claim: proof.as_ref().map(|proof| proof.certificate.claim.clone()),
        certificate: None,
    };
    if let Some(mut proof) = proof {
        proof.certificate.trimmed_digest = made.digest.to_string();
        let path = prove::certificate_path(context, &arguments, output)?;
        write_file(&path, &json(&proof.certificate)?)?;
        document.certificate = Some(path.display().to_string());
    }
    if let Some(path) = &arguments.keeping.seccomp {
        write_file(path, &json(&profile(&calls))?)?;
    }
    if let Some(path) = &arguments.keeping.sbom {
        let is_cyclone = path.to_string_lossy().ends_with(".cdx.json");
        let form = match is_cyclone {
            true => BillChoice::Cyclonedx,
            false => BillChoice::Spdx,
        };
        let images = (&work.image, &made);
        let bill = weigh::bill_of_rest(form, &output.to_string(), images, &stays)?;
        write_file(path, &json(&bill)?)?;
    }
    if let Some(path) = report {
        let report = Report {
            summary: &document,
            stayed: report::stayed(tree, &kept),
            went: report::went(tree, &stays),
        };
        write_file(path, &json(&report)?)?;
    }
    if context.output.json {
        context.output.document(&document)?;
    } else {
        context.output.text(&document.text())?;
    }
    Ok(ExitCode::SUCCESS)
}

fn json<T: Serialize>(document: &T) -> Result<Vec<u8>, Failure> {
    let mut text =
        serde_json::to_vec_pretty(document).map_err(|error| Failure::new(Kind::Bug, error))?;
    text.push(b'\n');
    Ok(text)
}

/// The image that is worked on, read, unpacked and traced.
struct Work {
    image: Image,
    held: Held,
    tests: Tests,
    survey: Survey,
    traced: Traced,
}

impl Work {
    fn begin(
        context: &Context,
        arguments: &TrimArguments,
        test: &TrimTest,
        stop: &Stop,
    ) -> Result<Self, Failure> {
        let host = Platform::host();
        let platform = arguments.platform.clone().unwrap_or(host.clone());
        let image = context.image(&arguments.image, &platform)?;
        if !host.accepts(&image.platform) {
            return Err(crate::emulate::foreign(&image.platform, &host));
        }
        if image.is_wasm() {
            let why =
                "a WebAssembly image is one module, and there are no files to be cut out of it";
            return Err(Failure::new(Kind::Input, why).hint(
                "ounce build makes the module itself small, by wasm-opt where it is installed",
            ));
        }
        let held = unpack::hold(&context.unpacked()?, &image)?;
        let tests = Tests::of(&image, &held.root, test)?;
        // The layers are read while the tests run.
        let (survey, traced) = std::thread::scope(|scope| {
            let survey = scope.spawn(|| ounce_trim::survey(&image));
            let traced = trace(&tests, &held.root, &|| stop.is_asked());
            let survey = survey
                .join()
                .map_err(|_| Failure::new(Kind::Bug, "reading the layers has panicked"))
                .and_then(|survey| survey.map_err(unread));
            (survey, traced)
        });
        let (traced, survey) = (traced?, survey?);
        Ok(Self {
            image,
            held,
            tests,
            survey,
            traced,
        })
    }
}

/// What a proof gave.
struct Proof {
    certificate: Certificate,
    calls: Vec<&'static str>,
    trials: u64,
}

/// The image and where it is worked on.
#[derive(Clone, Copy)]
struct Subject<'a> {
    context: &'a Context,
    work: &'a Work,
    stop: &'a Stop,
    scratch: &'a Scratch,
}

impl<'a> Subject<'a> {
    fn lab(self, bench: Bench<'_>, removable: &dyn Fn(&Path) -> bool) -> Result<Lab<'a>, Failure> {
        let tests = (&self.work.tests, &self.work.traced.shown, self.stop);
        Lab::new(self.context, tests, self.scratch, bench, removable)
    }

    fn prove(self, arguments: &TrimArguments, kept: Kept) -> Result<(Kept, Proof), Failure> {
        let proof = &arguments.proof;
        let tree = &self.work.survey.tree;
        let also: Vec<Class> = proof.also.concat();
        let places: Vec<PathBuf> = match proof.untraced {
            true => tree.iter().map(|(path, _)| path.to_owned()).collect(),
            false => kept.iter().map(|(path, _)| path.to_owned()).collect(),
        };
        let removable = |place: &Path| {
            let asked = matches!(kept.reason(place), Some(Reason::Configured | Reason::Asked));
            !asked && Class::of(place).is_none_or(|class| also.contains(&class))
        };
        let processors = std::thread::available_parallelism().map_or(1, |count| count.get());
        let tests = serde_json::to_value(&arguments.test)
            .map_err(|error| Failure::new(Kind::Bug, error))?;
        // What a trial of a set says depends on all of this.
        let about = (
            self.work.image.digest.to_string(),
            &tests,
            &places,
            &proof.also,
        );
        let about = Digest::of(&json(&about)?);
        let journals = self.context.unpacked()?.with_file_name("journals");
        let bench = Bench {
            root: &self.work.held.root,
            places,
            jobs: proof.jobs.unwrap_or(processors / 2),
            most_trials: proof.trials,
            time: proof.time,
        };
        let mut lab = self.lab(bench, &removable)?;
        let full = lab.full();
        // What would fail at the end, whatever the proof, is told now.
        let root = lab.show(&full)?;
        let calls = match arguments.keeping.any_call {
            true => SystemCalls::Default,
            false => system_calls(Some(&self.work.traced.calls.join(",")))?,
        };
        if let Err(wrong) = self.pass(&root, calls)? {
            let seen = |place: &Path| proof.untraced || kept.contains(place);
            return Err(self.missing(&wrong, &root, calls, &seen)?);
        }
        lab.steady(&full)?;
        // Not for a test that proves nothing.
        lab.resume(Journal::open(&journals.join(about.hex()))?);
        let (reduced, stopped) = lab.reduce(proof.seed)?;
        let set = reduced.set;
        lab.steady(&set)?;
        // What was made by other files may have been made by other calls.
        let root = lab.show(&set)?;
        let again = trace(&self.work.tests, &root, &|| self.stop.is_asked())?;
        let needed = lab.needed(&set);
        let left = lab.places_of(&set);
        let mut kept = kept.only(&left);
        for (path, needed) in &needed {
            let trial = needed.trial;
            kept.explain(&name::read(path), Reason::Tried { trial });
        }
        let names = self.work.tests.names().join(", ");
        let claim = match stopped {
            None => format!("1-minimal with respect to {names}"),
            Some(why) => format!("passes {names}; not shown to be minimal: stopped after {why}"),
        };
        let left_alone = Class::ALL.into_iter().filter(|class| !also.contains(class));
        let certificate = Certificate {
            schema: certificate::SCHEMA.to_owned(),
            claim,
            image_digest: self.work.image.digest.to_string(),
            trimmed_digest: String::new(),
            tests,
            shown: serde_json::to_value(&self.work.traced.shown)
                .map_err(|error| Failure::new(Kind::Bug, error))?,
            seed: proof.seed,
            minimal: reduced.minimal,
            left_alone: left_alone.collect(),
            kept: left.iter().map(name::shown).collect(),
            removed: lab.removed(&set),
            trials: lab.answered(),
            needed,
        };
        if reduced.minimal {
            lab.forget();
        }
        let proof = Proof {
            certificate,
            calls: again.calls,
            trials: lab.made,
        };
        Ok((kept, proof))
    }

    /// Writes the trimmed image, starts it as `ounce run` would, and puts the
    /// tests to it. Calls that it makes only now and then are added to the list.
    fn draft(
        self,
        kept: &Kept,
        mut calls: Vec<&'static str>,
        narrow: bool,
        (number, changes): (usize, &Changes),
    ) -> Result<Result<(Draft, Vec<&'static str>), Wrong>, Failure> {
        let rest = changes.rest(kept);
        for attempt in 1.. {
            let list = narrow.then(|| calls.join(","));
            let folder = format!("store-{attempt}-{number}");
            let folder = self.scratch.path().join(folder);
            let draft = Draft::write(&folder, self.work, &rest, list, changes)?;
            let held = unpack::hold(&self.context.unpacked()?, &draft.image)?;
            let list = ounce_run::image::calls_annotation(&draft.image);
            let allowed = system_calls(list.as_deref())?;
            let wrong = match self.pass(&held.root, allowed)? {
                Ok(_) => return Ok(Ok((draft, calls))),
                Err(wrong) => wrong,
            };
            let before = calls.len();
            if narrow && attempt < ATTEMPTS && self.pass(&held.root, SystemCalls::Default)?.is_ok()
            {
                let again = trace(&self.work.tests, &held.root, &|| self.stop.is_asked())?;
                calls.extend(again.calls);
                calls.sort_unstable();
                calls.dedup();
                if calls.len() > before {
                    continue;
                }
            }
            if !changes.is_empty() {
                return Ok(Err(wrong));
            }
            let stays = |place: &Path| kept.contains(place);
            return Err(self.missing(&wrong, &held.root, allowed, &stays)?);
        }
        Err(Failure::new(Kind::Bug, "no attempt was made"))
    }

    /// The trimmed image with as much of what is to be stripped as the tests let
    /// go: all at once, or if that fails one step after the other.
    fn stripped(
        self,
        kept: &Kept,
        calls: Vec<&'static str>,
        narrow: bool,
        steps: Vec<Step>,
    ) -> Result<(Draft, Vec<&'static str>, Changes), Failure> {
        let config = self.work.image.config.config().as_ref();
        let variables = config.and_then(|config| config.env().clone());
        let variables = variables.unwrap_or_default();
        let mut files = Folder::new(self.work.held.root.clone());
        let mut plan = |steps: &[Step]| {
            let subject = (&self.work.survey, kept);
            Changes::plan(steps, subject, &mut files, &variables)
        };
        let mut count = 0;
        let mut draft = |changes: &Changes| {
            count += 1;
            self.draft(kept, calls.clone(), narrow, (count, changes))
        };
        let changes = plan(&steps);
        let wrong = match draft(&changes)? {
            Ok((draft, calls)) => return Ok((draft, calls, changes)),
            Err(wrong) => wrong,
        };
        let mut good = Vec::new();
        let alone = steps.len() == 1;
        for step in steps.into_iter().filter(|_| !alone) {
            good.push(step);
            if let Err(wrong) = draft(&plan(&good))? {
                good.pop();
                self.not_stripped(step.name(), &wrong);
            }
        }
        if alone {
            self.not_stripped("nothing", &wrong);
        }
        let changes = plan(&good);
        match draft(&changes)? {
            Ok((draft, calls)) => Ok((draft, calls, changes)),
            Err(wrong) => Err(self.unsteady(&wrong)),
        }
    }

    fn not_stripped(self, what: &str, wrong: &Wrong) {
        let what = match what {
            "nothing" => "nothing is stripped".to_owned(),
            step => format!("{step} are not stripped"),
        };
        let Wrong { test, why, .. } = wrong;
        let output = &self.context.output;
        output.note(&format!("note: {what}, since then {test}: {why}"));
    }

    fn unsteady(self, wrong: &Wrong) -> Failure {
        let text = format!("{}: passes and fails by turns: {}", wrong.test, wrong.why);
        said(Failure::new(Kind::No, text), wrong)
    }

    fn pass(self, root: &Path, calls: SystemCalls) -> Result<Result<Duration, Wrong>, Failure> {
        let Work { tests, traced, .. } = self.work;
        let interrupted = || self.stop.is_asked();
        tests.pass(&traced.shown, root, calls, tests.timeout, &interrupted)
    }

    /// Why the trimmed image fails: the test, the system calls, or a path.
    fn missing(
        self,
        wrong: &Wrong,
        root: &Path,
        calls: SystemCalls,
        stays: &dyn Fn(&Path) -> bool,
    ) -> Result<Failure, Failure> {
        let text = |why: &str| format!("{}: fails once it is trimmed: {why}", wrong.test);
        let failure = said(Failure::new(Kind::No, text(&wrong.why)), wrong);
        if let Err(whole) = self.pass(&self.work.held.root, SystemCalls::Default)? {
            let text = format!(
                "{}: does not always show the same, with nothing taken away: {}",
                whole.test, whole.why
            );
            return Ok(Failure::new(Kind::No, text)
                .hint("see to it that it does, or compare exit codes and statuses only: --loose"));
        }
        if calls != SystemCalls::Default && self.pass(root, SystemCalls::Default)?.is_ok() {
            return Ok(failure.hint(
                "it makes a system call that it did not make when it was traced: --any-call",
            ));
        }
        let tree = &self.work.survey.tree;
        let bench = Bench {
            root: &self.work.held.root,
            places: tree.iter().map(|(path, _)| path.to_owned()).collect(),
            jobs: 1,
            most_trials: Some(SEARCH_TRIALS),
            time: Some(SEARCH_TIME),
        };
        let mut lab = self.lab(bench, &|place| !stays(place))?;
        let (reduced, _) = lab.reduce(0)?;
        let names = lab.places_of(&reduced.set).into_iter();
        let lost: Vec<_> = names.filter(|place| !stays(place)).collect();
        let leaf = |place: &&PathBuf| !lost.iter().any(|other| other.parent() == Some(place));
        let mut failure = failure;
        for place in lost.iter().filter(leaf).take(8) {
            let place = name::rooted(place);
            failure = failure.hint(format!("it passes with {place} as well: --keep '{place}'"));
        }
        Ok(failure)
    }
}

/// How often the list of system calls is made anew.
const ATTEMPTS: usize = 3;
/// How long it may take to find out what is missing.
const SEARCH_TRIALS: u64 = 400;
const SEARCH_TIME: Duration = Duration::from_secs(120);

fn unread(error: TreeError) -> Failure {
    crate::causes::by_cause(Kind::Input, error)
}

fn scratch_folder(context: &Context) -> Result<PathBuf, Failure> {
    // Beside the unpacked images: on one file system with them.
    Ok(context.unpacked()?.with_file_name("trim"))
}

/// What the tests of the whole image showed and used.
struct Traced {
    shown: Shown,
    trials: Vec<Trial>,
    calls: Vec<&'static str>,
    elapsed: Duration,
    processor: Duration,
}

fn trace(tests: &Tests, root: &Path, interrupted: &dyn Fn() -> bool) -> Result<Traced, Failure> {
    let began = Instant::now();
    let trials = tests.run(root, SystemCalls::Default, true, interrupted)?;
    let shown = tests
        .shown(&trials)
        .map_err(|wrong| not_even_whole(&wrong))?;
    tests
        .succeeded(&shown, &trials)
        .map_err(|wrong| not_even_whole(&wrong))?;
    let seen = trials.iter().filter_map(|trial| trial.witnessed.as_ref());
    let mut calls: Vec<_> = seen.flat_map(|seen| seen.calls.iter().copied()).collect();
    calls.sort_unstable();
    calls.dedup();
    Ok(Traced {
        shown,
        processor: trials.iter().map(|trial| trial.processor).sum(),
        trials,
        calls,
        elapsed: began.elapsed(),
    })
}

fn not_even_whole(wrong: &Wrong) -> Failure {
    let failure = Failure::new(
        Kind::No,
        format!("{}: fails on the image as it is: {}", wrong.test, wrong.why),
    );
    let words = wrong.last_words.to_lowercase();
    let has = |what: &str| wrong.why.contains(what) || words.contains(what);
    let hint = if has("read-only file system") {
        "the root is read-only: --tmpfs PATH for each folder that it writes into"
    } else if has("operation not permitted") {
        "it has no capability of root's: run it as the user it becomes anyway, -u USER"
    } else if has("still runs") || has("nobody listened") {
        "--timeout SECONDS where it only is slow, -p PORT where it listens elsewhere, \
         --test for a program that does not end by itself"
    } else if has("does not start") {
        "--exec takes a program of the image and its arguments; ounce weigh shows what is in it"
    } else {
        "there is no network but loopback, and the root is read-only: --env for what it wants \
         to be told, --tmpfs PATH for what it writes"
    };
    said(failure, wrong).hint(hint)
}

fn said(failure: Failure, wrong: &Wrong) -> Failure {
    let lines = wrong.last_words.lines().rev().take(8).collect::<Vec<_>>();
    failure.said(lines.into_iter().rev().map(str::to_owned).collect())
}

fn keep(context: &Context, arguments: &TrimArguments, work: &Work) -> Kept {
    let Work {
        image,
        survey,
        tests,
        traced,
        ..
    } = work;
    let tree = &survey.tree;
    let mut kept = Kept::default();
    configured(&mut kept, survey, image, tests);
    let records: &[&str] = match arguments.keeping.keep_packages {
        true => PACKAGE_RECORDS,
        false => &[],
    };
    for text in records {
        let pattern = Pattern::new(text);
        for (path, _) in tree.iter().filter(|(path, _)| pattern.matches(path)) {
            kept.path_itself(tree, path, Reason::Asked);
        }
    }
    for text in &arguments.keeping.keep {
        // As hints and reports write paths.
        let pattern = Pattern::of_bytes(name::read(text).as_os_str().as_encoded_bytes());
        let mut any = false;
        for (path, _) in tree.iter().filter(|(path, _)| pattern.matches(path)) {
            any = true;
            kept.path_itself(tree, path, Reason::Asked);
        }
        if !any {
            context
                .output
                .note(&format!("note: --keep {text}: there is no such path"));
        }
    }
    let mut files = Folder::new(work.held.root.clone());
    witness::keep(&mut kept, tree, &mut files, seen(traced));
    if arguments.keeping.also_static {
        let options = reach::Options::default();
        let reached = reach(tree, &mut files, &tests.seeds(image), &options);
        for one in &reached.unresolved {
            let (at, what) = (name::rooted(&one.at), &one.what);
            context.output.note(&format!("note: {at}: {what}"));
        }
        kept.extend(reached.kept);
    }
    kept
}

/// What the trials saw named.
fn seen(traced: &Traced) -> impl Iterator<Item = Seen<'_>> {
    let touches = traced
        .trials
        .iter()
        .filter_map(|trial| trial.witnessed.as_ref())
        .flat_map(|seen| &seen.touches);
    touches.map(|touch| Seen {
        path: &touch.path,
        root: touch.root.as_deref(),
        follow: touch.follow,
        act: match touch.how {
            How::Executed => Act::Executed,
            How::Listed if touch.by_python => Act::ListedByPython,
            How::Listed => Act::Listed,
            _ => Act::Other,
        },
        how: touch.how.words(),
    })
}

/// The calls that the programs can make at all, where that can be told.
fn reachable_calls(work: &Work) -> Option<BTreeSet<&'static str>> {
    let mut files = Folder::new(work.held.root.clone());
    calls::reachable(&work.survey.tree, &mut files, seen(&work.traced))
}

/// Where package managers record what is installed, for who looks for faults in it.
const PACKAGE_RECORDS: &[&str] = &[
    "etc/os-release",
    "usr/lib/os-release",
    "var/lib/dpkg/status",
    "var/lib/dpkg/status.d",
    "lib/apk/db/installed",
    "usr/lib/apk/db/installed",
    "var/lib/rpm",
    "usr/lib/sysimage/rpm",
    "**/*.dist-info/METADATA",
    "**/*.dist-info/RECORD",
];

/// What runtimes look for without the program's knowing.
fn configured(kept: &mut Kept, survey: &Survey, image: &Image, tests: &Tests) {
    let tree = &survey.tree;
    let config = image.config.config().as_ref();
    let mut keep = |path: &str| kept.path(tree, Path::new(path), Reason::Configured);
    // Mounted over by every runtime; an image whose root is read-only has to have them.
    for folder in ["dev", "etc", "proc", "run", "sys", "tmp"] {
        keep(folder);
    }
    let volumes = config.and_then(|config| config.volumes().clone());
    for volume in volumes.unwrap_or_default() {
        keep(&volume);
    }
    let workdir = config.and_then(|config| config.working_dir().clone());
    keep(&workdir.unwrap_or_default());
    // Who the user is, is looked up by the runtime.
    if tests.user_is_named() {
        keep("etc/passwd");
        keep("etc/group");
    }
}

/// The trimmed image where nobody sees it yet.
struct Draft {
    store: Store,
    image: Image,
}

/// Its name there.
const DRAFT: &str = "draft";

impl Draft {
    fn write(
        folder: &Path,
        work: &Work,
        kept: &Kept,
        calls: Option<String>,
        changes: &Changes,
    ) -> Result<Self, Failure> {
        let store = Store::open(folder)?;
        let mut options = cut::Options {
            patches: changes.patches.clone(),
            same: changes.same.clone(),
            ..cut::Options::default()
        };
        if let Some(calls) = calls {
            let name = CALLS_ANNOTATION.to_owned();
            options.annotations.push((name, calls));
        }
        let name = DRAFT
            .parse()
            .map_err(|error| Failure::new(Kind::Bug, error))?;
        let mut writer = store.write()?;
        let places = kept.iter().map(|(path, _)| path);
        let manifest = cut(&work.image, &work.survey, places, &options, &mut writer)?;
        writer.commit(&name, &manifest)?;
        let image = store.image(&name, &work.image.platform)?;
        Ok(Self { store, image })
    }

    fn place(&self) -> ounce_oci::Place {
        ounce_oci::Place::OciDir(self.store.root().to_owned(), None)
    }
}
