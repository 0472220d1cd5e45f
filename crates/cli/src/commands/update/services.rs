//! The services of a device, image after image: fetched, verified, tried beside what
//! runs, put in its place, watched there, and confirmed or taken back.

use std::fs::File;
use std::process::ExitCode;
use std::time::Duration;

use ounce_oci::model::Descriptor;
use ounce_oci::registry::{Patch, Registry, Remote, Which};
use ounce_oci::{ByteSize, Place, Platform, Reference, Store};
use ounce_run::serve::Service;
use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;
use serde::Serialize;

use super::names::{Names, digest};
use super::proof;
use crate::arguments::bases::UpdateArguments;
use crate::arguments::supply::Policy;
use crate::arguments::update::ServicesOptions;
use crate::commands::verify::demand;
use crate::commands::{Context, pull, push, serve};
use crate::failure::{Failure, Kind, shown};
use crate::render::progress::Progress;

/// How long a new image has to do well, unless told.
const WATCH: Duration = Duration::from_secs(10);

#[derive(Serialize)]
struct Document {
    schema: &'static str,
    images: Vec<Row>,
}

/// What became of one image.
#[derive(Serialize)]
struct Row {
    image: String,
    services: Vec<String>,
    outcome: Outcome,
    #[serde(skip_serializing_if = "Option::is_none")]
    before: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    after: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    why: Option<String>,
    /// Of blobs and deltas, over the network.
    fetched_bytes: u64,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    deltas: Vec<pull::DeltaRow>,
}

/// How an update of one image ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
enum Outcome {
    /// It is what the registry has.
    Current,
    /// There is another one, and it was only asked for.
    Available,
    /// Another one is served.
    Updated,
    /// It was not there at all, and is now.
    Installed,
    /// Another one is not well, or not as required: nothing has changed.
    Refused,
    /// Another one was served and was not well: the one before is served again.
    RolledBack,
    /// The one before is served again, as was asked.
    Back,
}

impl Outcome {
    fn is_good(self) -> bool {
        !matches!(self, Self::Available | Self::Refused | Self::RolledBack)
    }

    fn words(self) -> &'static str {
        match self {
            Self::Current => "is what the registry has",
            Self::Available => "there is another one",
            Self::Updated => "updated",
            Self::Installed => "fetched for the first time",
            Self::Refused => "not updated",
            Self::RolledBack => "rolled back",
            Self::Back => "back to the one before",
        }
    }
}

/// Updates the services of a file.
pub(super) fn run(context: &Context, arguments: &UpdateArguments) -> Result<ExitCode, Failure> {
    let options = &arguments.services;
    let config = serve::read(&arguments.path)?;
    for name in &options.service {
        if config.services.iter().all(|service| service.name != *name) {
            let names: Vec<&str> = config.services.iter().map(|one| &*one.name).collect();
            let why = format!("{} has no service {name:?}", arguments.path.display());
            return Err(Failure::new(Kind::Usage, why).hint(format!("it has {}", names.join(", "))));
        }
    }
    let wanted =
        |service: &Service| options.service.is_empty() || options.service.contains(&service.name);
    let services = config.services.into_iter().filter(wanted).collect();
    let cases = cases(context, services);
    if cases.is_empty() {
        return Err(
            Failure::new(Kind::Input, "no service is of an image of a registry")
                .hint("what is updated is named as its registry has it: image = \"HOST/NAME:TAG\""),
        );
    }
    let store = context.store()?;
    let _alone = alone(&store)?;
    let update = Update {
        context,
        options,
        check: arguments.check,
        registry: context.registry(&options.network),
        store: &store,
    };
    let mut images = Vec::new();
    for case in &cases {
        let row = update.one(case)?;
        if !context.output.json {
            context.output.text(&text(&row))?;
        }
        images.push(row);
    }
    let is_good = images.iter().all(|row| row.outcome.is_good());
    if context.output.json {
        context.output.document(&Document {
            schema: "ounce.update-services/1",
            images,
        })?;
    }
    Ok(match is_good {
        true => ExitCode::SUCCESS,
        false => ExitCode::from(Kind::No.code()),
    })
}

/// An image, where it comes from, and who is of it.
struct Case {
    name: Reference,
    remote: Remote,
    services: Vec<Service>,
}

/// Images of registries, each once. An image of another place is nobody's to update.
fn cases(context: &Context, services: Vec<Service>) -> Vec<Case> {
    let mut cases: Vec<Case> = Vec::new();
    for service in services {
        let name = match service.image.parse() {
            Ok(Place::Store(name)) if push::has_host(&name.name) => name,
            _ => {
                context.output.note(&format!(
                    "note: {}: {} names no registry, and stays as it is",
                    service.name, service.image
                ));
                continue;
            }
        };
        let Ok(remote) = name.to_string().parse::<Remote>() else {
            continue;
        };
        match cases.iter_mut().find(|case| case.name == name) {
            Some(case) => case.services.push(service),
            None => cases.push(Case {
                name,
                remote,
                services: vec![service],
            }),
        }
    }
    cases
}

/// Two updates at once would take each other's images for their own.
fn alone(store: &Store) -> Result<File, Failure> {
    let path = store.root().join(".ounce/update-lock");
    let failed = |error: std::io::Error| {
        Failure::new(Kind::Host, format!("locking {}: {error}", path.display()))
    };
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder).map_err(failed)?;
    }
    let file = File::options()
        .create(true)
        .append(true)
        .open(&path)
        .map_err(failed)?;
    match flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(file),
        Err(Errno::WOULDBLOCK) => Err(Failure::new(
            Kind::Host,
            "another `ounce update` is at work on this store",
        )
        .hint("wait for it to end")),
        Err(errno) => Err(failed(errno.into())),
    }
}

struct Update<'a> {
    context: &'a Context,
    options: &'a ServicesOptions,
    check: bool,
    registry: Registry,
    store: &'a Store,
}

impl Update<'_> {
    fn one(&self, case: &Case) -> Result<Row, Failure> {
        let names = Names::of(self.store, &case.name);
        let mut row = Row {
            image: case.name.to_string(),
            services: case.services.iter().map(|one| one.name.clone()).collect(),
            outcome: Outcome::Current,
            before: names.current()?.map(|one| one.digest().to_string()),
            after: None,
            why: None,
            fetched_bytes: 0,
            deltas: Vec::new(),
        };
        if self.options.back {
            self.back(case, &names, &mut row)?;
        } else {
            // An update that was cut off by a power cut has yet to be judged.
            let settled =
                !self.check && names.is_on_trial()? && self.settle(case, &names, &mut row)?;
            if !settled || row.outcome == Outcome::Updated {
                self.forward(case, &names, &mut row)?;
            }
        }
        row.after = names.current()?.map(|one| one.digest().to_string());
        Ok(row)
    }

    /// Goes back as was asked.
    fn back(&self, case: &Case, names: &Names<'_>, row: &mut Row) -> Result<(), Failure> {
        if names.before()?.is_none() {
            let why = format!("{} has no image to go back to", case.name);
            return Err(Failure::new(Kind::Input, why).hint(
                "an update leaves the one before under the name TAG.previous, until it has failed",
            ));
        }
        let failures = self.failures(case);
        let previous = names.go_back()?;
        row.outcome = Outcome::Back;
        if let Err(why) = self.follow(case, &previous, &failures) {
            row.why = Some(why);
        }
        Ok(())
    }

    /// Judges what is served on trial; whether there was anything to judge.
    fn settle(&self, case: &Case, names: &Names<'_>, row: &mut Row) -> Result<bool, Failure> {
        let Some(current) = names.current()? else {
            return Ok(false);
        };
        self.context.output.note(&format!(
            "{}: an update was interrupted; what it left is looked at",
            case.name
        ));
        let failures = self.failures(case);
        let verdict = match self.rehearse(case, &case.name)? {
            Ok(()) => self.follow(case, &current, &failures),
            failed => failed,
        };
        match verdict {
            Ok(()) => {
                names.confirm()?;
                row.outcome = Outcome::Updated;
            }
            Err(why) => self.take_back(names, row, why)?,
        }
        Ok(true)
    }

    fn take_back(&self, names: &Names<'_>, row: &mut Row, why: String) -> Result<(), Failure> {
        if names.before()?.is_none() {
            // Somebody has taken the name away.
            names.confirm()?;
            row.outcome = Outcome::Refused;
            row.why = Some(format!("{why}; and there is none to go back to"));
            return Ok(());
        }
        names.go_back()?;
        row.outcome = Outcome::RolledBack;
        row.why = Some(why);
        Ok(())
    }

    /// Goes on to what the registry has.
    fn forward(&self, case: &Case, names: &Names<'_>, row: &mut Row) -> Result<(), Failure> {
        let current = names.current()?;
        // One short question, which is all that most updates ask.
        let there = self.registry.digest(&case.remote)?;
        if let (Some(there), Some(current)) = (there, &current)
            && digest(current)? == there
        {
            return Ok(());
        }
        if self.check {
            let host = Platform::host();
            let image = self.registry.documents(&case.remote, self.store, &host)?;
            let is_same = current.is_some_and(|one| one.digest() == image.descriptor.digest());
            if !is_same {
                row.outcome = Outcome::Available;
                row.why = Some(format!("the registry has {}", image.digest));
            }
            return Ok(());
        }
        let new = self.fetch(case, names, row)?;
        if current
            .as_ref()
            .is_some_and(|one| one.digest() == new.digest())
        {
            return names.forget();
        }
        if names.has_failed(&new)? {
            names.forget()?;
            row.outcome = Outcome::Refused;
            row.why = Some(format!(
                "{} has failed here before; to try it again: ounce rm {}",
                new.digest(),
                names.failed()
            ));
            return Ok(());
        }
        if let Err(failure) = self.signed(case, names, &new) {
            names.forget()?;
            row.outcome = Outcome::Refused;
            row.why = Some(failure.source.to_string());
            return Ok(());
        }
        if let Err(why) = self.rehearse(case, &names.new)? {
            names.fail(&new)?;
            row.outcome = Outcome::Refused;
            row.why = Some(why);
            return Ok(());
        }
        let failures = self.failures(case);
        names.switch(&new)?;
        if current.is_none() {
            row.outcome = Outcome::Installed;
            return Ok(());
        }
        match self.follow(case, &new, &failures) {
            Ok(()) => {
                names.confirm()?;
                row.outcome = Outcome::Updated;
                Ok(())
            }
            Err(why) => self.take_back(names, row, why),
        }
    }

    /// Fetches what the registry has, under a name of its own.
    fn fetch(&self, case: &Case, names: &Names<'_>, row: &mut Row) -> Result<Descriptor, Failure> {
        let mut progress = Progress::new(self.context.output, "pulling");
        let mut patch = pull::patch;
        let by_delta: Option<&mut Patch<'_>> = match self.options.no_delta {
            true => None,
            false => Some(&mut patch),
        };
        let which = Which::Platform(Platform::host());
        let pulled = self.registry.pull_by(
            &case.remote,
            self.store,
            &names.new,
            &which,
            by_delta,
            &mut |event| progress.registry(event),
        );
        drop(progress);
        let pulled = pulled?;
        pull::passed_over(self.context, &pulled);
        row.deltas = pull::rows(&pulled);
        let deltas: u64 = pulled.deltas.iter().map(|taken| taken.bytes).sum();
        row.fetched_bytes = pulled.fetched_bytes + deltas;
        Ok(pulled.root)
    }

    /// Whether it is signed by the keys of all who are of it.
    fn signed(&self, case: &Case, names: &Names<'_>, new: &Descriptor) -> Result<(), Failure> {
        let mut keys: Vec<_> = case
            .services
            .iter()
            .filter_map(|one| one.key.as_ref())
            .collect();
        keys.sort();
        keys.dedup();
        if keys.is_empty() {
            return Ok(());
        }
        self.registry.pull_hanging(&case.remote, self.store, new)?;
        for key in keys {
            let policy = Policy {
                key: Some(key.clone()),
                require: Vec::new(),
                identity: None,
                annotation: Vec::new(),
            };
            demand(self.store, &names.new, &case.name, &policy)?;
        }
        Ok(())
    }

    fn rehearse(&self, case: &Case, image: &Reference) -> Result<Result<(), String>, Failure> {
        for service in &case.services {
            let told = proof::rehearse(self.context, service, &image.to_string())?;
            if let Err(why) = told {
                return Ok(Err(format!("tried beside {}: {why}", service.name)));
            }
        }
        Ok(Ok(()))
    }

    /// How often each service has failed in a row by now.
    fn failures(&self, case: &Case) -> Vec<u32> {
        let of = |service| proof::served(self.context, service).map_or(0, |one| one.failures);
        case.services.iter().map(of).collect()
    }

    fn follow(&self, case: &Case, image: &Descriptor, failures: &[u32]) -> Result<(), String> {
        let image = image.digest().to_string();
        let watch = self.options.watch.unwrap_or(WATCH);
        for (service, failures) in case.services.iter().zip(failures) {
            proof::follow(self.context, service, &image, *failures, watch)
                .map_err(|why| format!("{}: {why}", service.name))?;
        }
        Ok(())
    }
}

fn text(row: &Row) -> String {
    let short = |digest: &str| {
        digest
            .chars()
            .take("sha256:".len() + 12)
            .collect::<String>()
    };
    let mut line = format!("{}: {}", row.services.join(", "), row.outcome.words());
    match (&row.before, &row.after) {
        (Some(before), Some(after)) if before != after => {
            line.push_str(&format!(", {} to {}", short(before), short(after)));
        }
        (_, Some(after)) => line.push_str(&format!(", {}", short(after))),
        _ => {}
    }
    if row.fetched_bytes > 0 {
        let by = if row.deltas.is_empty() {
            ""
        } else {
            " by delta"
        };
        line.push_str(&format!(", {} fetched{by}", ByteSize(row.fetched_bytes)));
    }
    if let Some(why) = &row.why {
        line.push_str(&format!(": {}", shown(why)));
    }
    line.push('\n');
    line
}
