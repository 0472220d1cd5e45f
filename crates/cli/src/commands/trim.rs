//! `ounce trim`: what the tests of an image use, cut out of it; and the proof
//! that it still passes them.

mod suite;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use ounce_oci::{ByteSize, Image, Platform, Store};
use ounce_rootfs::tree::TreeError;
use ounce_rootfs::unpack;
use ounce_run::image::{CALLS_ANNOTATION, system_calls};
use ounce_run::spec::SystemCalls;
use ounce_run::trial::{How, Trial};
use ounce_trim::cut::{self, cut};
use ounce_trim::files::Folder;
use ounce_trim::pattern::Pattern;
use ounce_trim::report::{self, Amount, Stayed, Went};
use ounce_trim::scratch::Scratch;
use ounce_trim::witness::{self, Act, Seen};
use ounce_trim::{Kept, Reason, Survey};
use serde::Serialize;

use super::{Context, write_file};
use crate::arguments::TrimArguments;
use crate::failure::{Failure, Kind};
use crate::start;
use suite::{Shown, Stop, Tests, Wrong};

/// Does it all; nothing has a name before the last test has passed.
pub(crate) fn run(context: &Context, arguments: TrimArguments) -> Result<ExitCode, Failure> {
    let output = arguments
        .output
        .as_ref()
        .ok_or_else(|| Failure::new(Kind::Usage, "how is it to be called? -o NAME"))?;
    let began = Instant::now();
    let store = context.store()?;
    let platform = arguments.platform.clone().unwrap_or_else(Platform::host);
    let image = arguments.image.image(&store, &platform)?;
    let host = Platform::host();
    if !host.accepts(&image.platform) {
        return Err(start::foreign(&image.platform, &host));
    }
    let stop = Stop::begin()?;
    let interrupted = || stop.is_asked();
    let held = unpack::hold(&context.unpacked()?, &image)?;
    let tests = Tests::of(&image, &held.root, &arguments.test)?;

    // The layers are read while the tests run.
    let (survey, traced) = std::thread::scope(|scope| {
        let survey = scope.spawn(|| ounce_trim::survey(&image));
        let traced = trace(&tests, &held.root, &interrupted);
        let survey = survey
            .join()
            .map_err(|_| Failure::new(Kind::Bug, "reading the layers has panicked"))
            .and_then(|survey| survey.map_err(unread));
        (survey, traced)
    });
    let (traced, survey) = (traced?, survey?);
    let kept = keep(
        context, &arguments, &image, &survey, &held.root, &tests, &traced,
    );

    let scratch = Scratch::new(&scratch_folder(context)?)?;
    let calls = traced.calls.join(",");
    let draft = Draft::write(&scratch, &image, &survey, &kept, |annotations| {
        if !arguments.keeping.any_call {
            annotations.push((CALLS_ANNOTATION.to_owned(), calls.clone()));
        }
    })?;
    let verified = Instant::now();
    verify(context, &tests, &traced, &draft, &interrupted)?;
    let verify_elapsed = verified.elapsed();

    draft.place().import(&store, output)?;
    let made = store.image(output, &platform)?;
    let stays = |path: &Path| kept.contains(path);
    let document = Document {
        schema: "ounce.trim/1",
        image: arguments.image.to_string(),
        digest: image.digest.to_string(),
        name: output.to_string(),
        trimmed_digest: made.digest.to_string(),
        tests: tests.names(),
        pulled_bytes_before: image.pulled_bytes(),
        pulled_bytes: made.pulled_bytes(),
        before: report::amount(&survey.tree, &|_| true),
        after: report::amount(&survey.tree, &stays),
        system_calls: traced.calls.clone(),
        trace_ms: traced.elapsed.as_millis(),
        verify_ms: verify_elapsed.as_millis(),
        elapsed_ms: began.elapsed().as_millis(),
        trials: 2 * tests.names().len() as u64,
    };
    if let Some(path) = &arguments.keeping.report {
        let report = Report {
            summary: &document,
            stayed: report::stayed(&survey.tree, &kept),
            went: report::went(&survey.tree, &stays),
        };
        let mut text =
            serde_json::to_vec_pretty(&report).map_err(|error| Failure::new(Kind::Bug, error))?;
        text.push(b'\n');
        write_file(path, &text)?;
    }
    if context.output.json {
        context.output.document(&document)?;
    } else {
        context.output.text(&document.text())?;
    }
    Ok(ExitCode::SUCCESS)
}

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
    let failure = said(failure, wrong);
    failure.hint(
        "the root is read-only and there is no network but loopback: --tmpfs PATH for what it \
         writes, --env for what it wants to be told",
    )
}

fn said(failure: Failure, wrong: &Wrong) -> Failure {
    let lines = wrong.last_words.lines().rev().take(8).collect::<Vec<_>>();
    failure.said(lines.into_iter().rev().map(str::to_owned).collect())
}

fn keep(
    context: &Context,
    arguments: &TrimArguments,
    image: &Image,
    survey: &Survey,
    root: &Path,
    tests: &Tests,
    traced: &Traced,
) -> Kept {
    let tree = &survey.tree;
    let mut kept = Kept::default();
    configured(&mut kept, survey, image, tests);
    for text in &arguments.keeping.keep {
        let pattern = Pattern::new(text);
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
    let touches = traced
        .trials
        .iter()
        .filter_map(|trial| trial.witnessed.as_ref())
        .flat_map(|seen| &seen.touches);
    let seen = touches.map(|touch| Seen {
        path: &touch.path,
        follow: touch.follow,
        act: match touch.how {
            How::Executed => Act::Executed,
            How::Listed if touch.by_python => Act::ListedByPython,
            How::Listed => Act::Listed,
            _ => Act::Other,
        },
        how: touch.how.words(),
    });
    witness::keep(&mut kept, tree, &mut Folder::new(root.to_owned()), seen);
    kept
}

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
        scratch: &Scratch,
        image: &Image,
        survey: &Survey,
        kept: &Kept,
        annotate: impl FnOnce(&mut Vec<(String, String)>),
    ) -> Result<Self, Failure> {
        let store = Store::open(scratch.path().join("store"))?;
        let mut options = cut::Options::default();
        annotate(&mut options.annotations);
        let name = DRAFT
            .parse()
            .map_err(|error| Failure::new(Kind::Bug, error))?;
        let mut writer = store.write()?;
        let places = kept.iter().map(|(path, _)| path);
        let manifest = cut(image, survey, places, &options, &mut writer)?;
        writer.commit(&name, &manifest)?;
        let image = store.image(&name, &image.platform)?;
        Ok(Self { store, image })
    }

    fn place(&self) -> ounce_oci::Place {
        ounce_oci::Place::OciDir(self.store.root().to_owned(), None)
    }
}

/// Starts the trimmed image, as `ounce run` would, and puts the tests to it.
fn verify(
    context: &Context,
    tests: &Tests,
    traced: &Traced,
    draft: &Draft,
    interrupted: &dyn Fn() -> bool,
) -> Result<(), Failure> {
    let held = unpack::hold(&context.unpacked()?, &draft.image)?;
    let calls = ounce_run::image::calls_annotation(&draft.image);
    let calls = system_calls(calls.as_deref())?;
    let trials = tests.run(&held.root, calls, false, interrupted)?;
    tests.compare(&traced.shown, &trials).map_err(|wrong| {
        let failure = Failure::new(
            Kind::No,
            format!("{}: fails once it is trimmed: {}", wrong.test, wrong.why),
        );
        said(failure, &wrong)
    })
}

/// What `--json` prints.
#[derive(Serialize)]
struct Document {
    schema: &'static str,
    image: String,
    digest: String,
    name: String,
    trimmed_digest: String,
    tests: Vec<String>,
    pulled_bytes_before: u64,
    pulled_bytes: u64,
    before: Amount,
    after: Amount,
    system_calls: Vec<&'static str>,
    trace_ms: u128,
    verify_ms: u128,
    elapsed_ms: u128,
    trials: u64,
}

#[derive(Serialize)]
struct Report<'a> {
    #[serde(flatten)]
    summary: &'a Document,
    stayed: Vec<Stayed>,
    went: Vec<Went>,
}

impl Document {
    fn text(&self) -> String {
        let Self {
            before,
            after,
            pulled_bytes,
            pulled_bytes_before,
            ..
        } = self;
        let tests = self.tests.join("\n         ");
        format!(
            "{}\n  pulled {} -> {}, unpacked {} -> {}, files {} -> {}, {} system calls\n  \
             passes {tests}\n  in {:.1} s\n",
            self.name,
            ByteSize(*pulled_bytes_before),
            ByteSize(*pulled_bytes),
            ByteSize(before.bytes),
            ByteSize(after.bytes),
            before.files,
            after.files,
            self.system_calls.len(),
            self.elapsed_ms as f64 / 1000.0
        )
    }
}
