//! The tests of a trim: what the command line asks for, as trials of a root.

use std::cell::Cell;
use std::ffi::OsString;
use std::os::fd::AsFd;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use ounce_oci::Image;
use ounce_run::image::{Essence, Overrides};
use ounce_run::proxy::{self, Lifetime, Proxy};
use ounce_run::publish::{self, Publish};
use ounce_run::spec::{Spec, SystemCalls, Tmpfs};
use ounce_run::trial::{self, Case, Observed, Test, Trial, TrialError};
use ounce_trim::reach::Seeds;

use crate::arguments::trim::TrimTest;
use crate::failure::{Failure, Kind};
use crate::session::Session;
use crate::start;

/// Notices Ctrl-C and the like, for as long as it lives.
pub(super) struct Stop {
    session: Session,
    asked: Cell<bool>,
}

impl Stop {
    pub(super) fn begin() -> Result<Self, Failure> {
        Ok(Self {
            session: Session::begin(false)?,
            asked: Cell::new(false),
        })
    }

    pub(super) fn is_asked(&self) -> bool {
        if self.session.is_asked_to_end() {
            self.asked.set(true);
        }
        self.asked.get()
    }
}

/// All tests, and how each is started.
pub(super) struct Tests {
    essence: Essence,
    environment: Vec<OsString>,
    tmpfs: Vec<Tmpfs>,
    tests: Vec<One>,
    loose: bool,
    pub(super) timeout: Duration,
}

/// One test, one start.
struct One {
    /// In words, as it stands in reports.
    name: String,
    entrypoint: Option<Vec<OsString>>,
    arguments: Vec<OsString>,
    what: What,
}

enum What {
    End,
    Ask(u16, Vec<String>),
    Script(Option<u16>, PathBuf),
}

/// What all tests showed, in their order.
pub(super) type Shown = Vec<Observed>;

/// The first test that failed, and how.
#[derive(Debug, Clone)]
pub(super) struct Wrong {
    pub(super) test: String,
    pub(super) why: String,
    pub(super) last_words: String,
}

impl Tests {
    /// As the command line has them; `root` is the image's, whole.
    pub(super) fn of(image: &Image, root: &Path, wanted: &TrimTest) -> Result<Self, Failure> {
        let essence = Essence::of(&image.config, root, wanted.user.as_deref())?;
        let port = wanted.port.or_else(|| exposed(image));
        let started = |what, name: String| One {
            name,
            entrypoint: None,
            arguments: wanted.arguments.clone(),
            what,
        };
        let mut tests = Vec::new();
        for command in &wanted.exec {
            let words = words(command)?;
            tests.push(One {
                name: format!("--exec {command:?}"),
                entrypoint: Some(words.into_iter().map(OsString::from).collect()),
                arguments: Vec::new(),
                what: What::End,
            });
        }
        let http = match (&wanted.http[..], &wanted.test, &tests[..]) {
            // Nothing was asked for: the program itself is the test.
            ([], None, []) if port.is_some() => vec!["/".to_owned()],
            (paths, ..) => paths.to_vec(),
        };
        if !http.is_empty() {
            let port = port.ok_or_else(|| {
                Failure::new(Kind::Usage, "--http: the image exposes no port")
                    .hint("say at which it listens: -p 8080")
            })?;
            let name = http.iter().map(|path| format!("--http {path}"));
            let name = name.collect::<Vec<_>>().join(" ");
            tests.push(started(What::Ask(port, http), name));
        }
        if let Some(script) = &wanted.test {
            let path = script.canonicalize().map_err(|error| {
                Failure::new(Kind::Usage, format!("--test {}: {error}", script.display()))
            })?;
            let name = format!("--test {}", script.display());
            tests.push(started(What::Script(port, path), name));
        }
        if tests.is_empty() {
            tests.push(started(What::End, "its own program".to_owned()));
        }
        let tmpfs = wanted.tmpfs.iter().map(|target| Tmpfs {
            target: target.into(),
            size_bytes: 256 << 20,
            mode: 0o1777,
            executable: false,
        });
        Ok(Self {
            essence,
            environment: start::environment(&wanted.env),
            tmpfs: tmpfs.collect(),
            tests,
            loose: wanted.loose,
            timeout: wanted.timeout,
        })
    }

    /// What each is, in words.
    pub(super) fn names(&self) -> Vec<String> {
        self.tests.iter().map(|one| one.name.clone()).collect()
    }

    /// What the programs that are started are called, as a program inside
    /// would look them up.
    pub(super) fn user_is_named(&self) -> bool {
        self.essence.user != Default::default()
    }

    /// What the tests start, for who follows what programs name.
    pub(super) fn seeds(&self, image: &Image) -> Seeds {
        let specs = self
            .tests
            .iter()
            .map(|one| self.spec(one, Path::new("/"), SystemCalls::Default));
        let specs: Vec<_> = specs.collect();
        let config = image.config.config().as_ref();
        let user = config.and_then(|config| config.user().clone());
        let first = specs.first();
        Seeds {
            paths: Vec::new(),
            environment: first
                .map(|spec| spec.environment.clone())
                .unwrap_or_default(),
            workdir: first.map(|spec| spec.workdir.clone()).unwrap_or_default(),
            commands: specs.into_iter().map(|spec| spec.arguments).collect(),
            user: user.unwrap_or_default(),
        }
    }

    fn spec(&self, one: &One, root: &Path, calls: SystemCalls) -> Spec {
        let overrides = Overrides {
            entrypoint: one.entrypoint.clone(),
            arguments: one.arguments.clone(),
            environment: self.environment.clone(),
            ..Overrides::default()
        };
        let mut spec = Spec::from_essence(self.essence.clone(), root.to_owned(), overrides);
        spec.system_calls = calls;
        spec.tmpfs.extend(self.tmpfs.iter().cloned());
        spec
    }

    /// Makes every test, each in a container of its own.
    pub(super) fn run(
        &self,
        root: &Path,
        calls: SystemCalls,
        watch: bool,
        interrupted: &dyn Fn() -> bool,
    ) -> Result<Vec<Trial>, Failure> {
        let mut trials = Vec::new();
        for one in &self.tests {
            let trial = self.one(one, root, calls, watch, self.timeout, interrupted);
            let trial = trial.map_err(failed)?;
            let end = trial.result.is_err();
            trials.push(trial);
            if end {
                break;
            }
        }
        Ok(trials)
    }

    fn one(
        &self,
        one: &One,
        root: &Path,
        calls: SystemCalls,
        watch: bool,
        timeout: Duration,
        interrupted: &dyn Fn() -> bool,
    ) -> Result<Trial, TrialError> {
        let spec = self.spec(one, root, calls);
        // Lives until the trial is over.
        let mut way_in: Option<Proxy> = None;
        let mut script;
        let test = match &one.what {
            What::End => Test::End,
            What::Ask(port, paths) => Test::Ask(*port, paths),
            What::Script(port, path) => {
                let (port, path, way_in) = (*port, path.as_path(), &mut way_in);
                script = move |container: &ounce_run::Container| {
                    let mut command = Command::new(path);
                    command
                        .env("OUNCE_CONTAINER", container.pid().to_string())
                        .stdin(Stdio::null())
                        .stdout(Stdio::piped())
                        .process_group(0);
                    if let Some(port) = port {
                        let (proxy, url) = enter(port, container)?;
                        *way_in = Some(proxy);
                        command.env("OUNCE_URL", url);
                    }
                    command.spawn()
                };
                Test::Script(port, &mut script)
            }
        };
        trial::run(Case {
            spec: &spec,
            test,
            timeout,
            watch,
            interrupted,
        })
    }

    /// What the trials showed, or which failed.
    pub(super) fn shown(&self, trials: &[Trial]) -> Result<Shown, Wrong> {
        let results = self.tests.iter().zip(trials).map(|(one, trial)| {
            let wrong = |why: String| Wrong {
                test: one.name.clone(),
                why,
                last_words: trial.last_words.clone(),
            };
            trial
                .result
                .clone()
                .map_err(|trouble| wrong(trouble.to_string()))
        });
        results.collect()
    }

    /// Puts the tests to a root until one shows something else than before. The
    /// processor time they took, if all show the same.
    pub(super) fn pass(
        &self,
        before: &Shown,
        root: &Path,
        calls: SystemCalls,
        timeout: Duration,
        interrupted: &dyn Fn() -> bool,
    ) -> Result<Result<Duration, Wrong>, Failure> {
        let mut spent = Duration::ZERO;
        for (one, before) in self.tests.iter().zip(before) {
            let trial = self.one(one, root, calls, false, timeout, interrupted);
            let trial = trial.map_err(failed)?;
            spent += trial.processor;
            if let Err(wrong) = self.check(one, before, &trial) {
                return Ok(Err(wrong));
            }
        }
        Ok(Ok(spent))
    }

    fn check(&self, one: &One, before: &Observed, trial: &Trial) -> Result<(), Wrong> {
        let wrong = |why: String| Wrong {
            test: one.name.clone(),
            why,
            last_words: trial.last_words.clone(),
        };
        let after = trial.result.as_ref();
        let after = after.map_err(|trouble| wrong(trouble.to_string()))?;
        let difference = match self.loose {
            true => before.coarse().difference(&after.coarse()),
            false => before.difference(after),
        };
        difference.map_or(Ok(()), |why| Err(wrong(why)))
    }

    /// Whether what a test showed is a success at all.
    pub(super) fn succeeded(&self, shown: &Shown, trials: &[Trial]) -> Result<(), Wrong> {
        for ((one, trial), shown) in self.tests.iter().zip(trials).zip(shown) {
            if let Some(why) = shown.failure() {
                return Err(Wrong {
                    test: one.name.clone(),
                    why,
                    last_words: trial.last_words.clone(),
                });
            }
        }
        Ok(())
    }
}

/// A port of the host that leads to the container's.
fn enter(port: u16, container: &ounce_run::Container) -> std::io::Result<(Proxy, String)> {
    let other = |error: &dyn std::error::Error| std::io::Error::other(error.to_string());
    let bound = publish::bind(&Publish {
        host: None,
        host_port: 0,
        container_port: port,
    })
    .map_err(|error| other(&error))?;
    let exe = std::env::current_exe()?;
    let mut proxy = Proxy::start(proxy::command(&exe)).map_err(|error| other(&error))?;
    let routes = [(bound.listener.as_fd(), port)];
    proxy
        .serve(&routes, container.pidfd(), Lifetime::Starter)
        .map_err(|error| other(&error))?;
    Ok((proxy, format!("http://{}", bound.address)))
}

pub(super) fn failed(error: TrialError) -> Failure {
    match error {
        TrialError::Start(error) => error.into(),
        TrialError::Interrupted => Failure::new(Kind::No, "stopped; nothing was written"),
        TrialError::Lost(_) => Failure::new(Kind::Host, error)
            .hint("a file that is needed could be missed, so nothing is cut: run it again"),
        error => Failure::new(Kind::Host, error),
    }
}

/// The first TCP port that the image says it listens at.
fn exposed(image: &Image) -> Option<u16> {
    let config = image.config.config().as_ref()?;
    let ports = config.exposed_ports().clone().unwrap_or_default();
    let numbers = ports
        .iter()
        .filter_map(|port| port.strip_suffix("/tcp").unwrap_or(port).parse().ok());
    numbers.min()
}

/// Splits a command as a shell does, without anything else that a shell does:
/// the image need not have one.
fn words(text: &str) -> Result<Vec<String>, Failure> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut quote = None;
    let mut letters = text.chars();
    while let Some(letter) = letters.next() {
        match (quote, letter) {
            (Some(open), letter) if letter == open => quote = None,
            (Some('"') | None, '\\') => match letters.next() {
                Some(next) => word.get_or_insert_default().push(next),
                None => return Err(unended(text)),
            },
            (Some(_), letter) => word.get_or_insert_default().push(letter),
            (None, '\'' | '"') => {
                quote = Some(letter);
                word.get_or_insert_default();
            }
            (None, letter) if letter.is_whitespace() => words.extend(word.take()),
            (None, letter) => word.get_or_insert_default().push(letter),
        }
    }
    if quote.is_some() {
        return Err(unended(text));
    }
    words.extend(word);
    match words.is_empty() {
        true => Err(Failure::new(Kind::Usage, "--exec: no command")),
        false => Ok(words),
    }
}

fn unended(text: &str) -> Failure {
    Failure::new(Kind::Usage, format!("--exec {text:?}: a quote has no end"))
        .hint("words are split as a shell splits them: --exec \"sh -c 'echo a b'\"")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_are_split_as_a_shell_splits_them() {
        let split = |text: &str| words(text).ok();
        let list = |words: &[&str]| Some(words.iter().map(|word| (*word).to_owned()).collect());
        assert_eq!(split("a  b\tc"), list(&["a", "b", "c"]));
        assert_eq!(
            split(r#"sh -c 'echo "x y"'"#),
            list(&["sh", "-c", r#"echo "x y""#])
        );
        assert_eq!(
            split(r#"a "" b\ c "d\"e" '\'"#),
            list(&["a", "", "b c", "d\"e", "\\"])
        );
        for wrong in ["", "  ", "'a", "a\\", "\"a"] {
            assert_eq!(split(wrong), None, "{wrong:?}");
        }
    }
}
