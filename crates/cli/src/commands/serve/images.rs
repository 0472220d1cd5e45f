//! Where services' containers come from: the store, and programs and folders.

use std::collections::HashMap;
use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Weak};

use ounce_oci::{Digest, Place, Platform};
use ounce_rootfs::unpack::{self, Held};
use ounce_run::image::{self, Essence, Overrides};
use ounce_run::ready::{Key, Ready};
use ounce_run::serve::{Config, Fault, Prepared, Service, Source};
use ounce_run::spec::{Spec, Tmpfs};

use crate::commands::Context;
use crate::commands::run::number_user;
use crate::failure::{Failure, Kind};
use crate::start;
use crate::wasm::{self, Module};

/// Reads the services again.
type Again<'a> = dyn Fn() -> Result<Config, Failure> + 'a;

/// Images that are served, as far as they are known.
pub(in crate::commands) struct Images<'a> {
    context: &'a Context,
    again: Option<Box<Again<'a>>>,
    store: PathBuf,
    /// What the store's index was when it was read last.
    index: Option<Stamp>,
    known: HashMap<Name, Known>,
    paths: HashMap<PathBuf, Program>,
}

/// An image and the user it is to run as.
type Name = (String, Option<String>);

/// What tells one state of a file from another.
type Stamp = [i64; 6];

/// What is kept of an image between two starts: little, since there may be
/// many of them that nobody ever asks for.
struct Known {
    index: Option<Stamp>,
    ready: Ready,
    takes_socket: bool,
    identity: Arc<str>,
    held: Weak<Held>,
}

/// What is kept of a program or folder.
struct Program {
    /// When it was looked into.
    read: Option<Stamp>,
    /// When it was last asked whether it has changed.
    seen: Option<Stamp>,
    takes_socket: bool,
}

impl<'a> Images<'a> {
    /// None are known yet.
    pub(in crate::commands) fn new(
        context: &'a Context,
        again: Option<impl Fn() -> Result<Config, Failure> + 'a>,
    ) -> Result<Self, Failure> {
        let store = context.store_root()?;
        Ok(Self {
            context,
            again: again.map(|again| Box::new(again) as Box<Again<'_>>),
            index: stamp(&store.join("index.json")),
            store,
            known: HashMap::new(),
            paths: HashMap::new(),
        })
    }

    /// Whether a service can be had at all: better told before anything is served.
    pub(super) fn check(&mut self, service: &Service) -> Result<(), Failure> {
        let name = &service.name;
        match self.prepared(service) {
            Ok(_) => Ok(()),
            Err(failure) => Err(Failure {
                source: format!("service {name}: {}", failure.source).into(),
                ..failure
            }),
        }
    }

    fn prepared(&mut self, service: &Service) -> Result<Prepared, Failure> {
        match service.image.starts_with(['/', '.']) {
            true => self.of_path(Path::new(&service.image), service),
            false => self.of_image(service),
        }
    }

    fn of_path(&mut self, path: &Path, service: &Service) -> Result<Prepared, Failure> {
        let broken = |error: std::io::Error| {
            Failure::new(Kind::Input, format!("{}: {error}", path.display()))
        };
        let path = path.canonicalize().map_err(broken)?;
        let arguments = service.options.arguments.iter().map(Into::into);
        let mut spec = match path.is_dir() {
            true => Spec::of_folder(path.clone(), arguments).map_err(broken)?,
            false => Spec::of_program(path.clone(), arguments),
        };
        for variable in &service.options.environment {
            image::set(&mut spec.environment, variable.into());
        }
        if let Some(user) = &service.options.user {
            spec.user = number_user(user)?;
        }
        let now = stamp(&path);
        let takes_socket = match self.paths.get(&path) {
            Some(program) if program.read == now => program.takes_socket,
            _ => {
                let takes_socket = start::takes_sockets(&spec, None);
                let program = Program {
                    read: now,
                    seen: now,
                    takes_socket,
                };
                self.paths.insert(path.clone(), program);
                takes_socket
            }
        };
        settle(&mut spec, service)?;
        Ok(Prepared {
            spec,
            takes_socket,
            identity: format!("{} {now:?}", path.display()).into(),
            held: None,
        })
    }

    fn of_image(&mut self, service: &Service) -> Result<Prepared, Failure> {
        let name = (service.image.clone(), service.options.user.clone());
        let index = stamp(&self.store.join("index.json"));
        let place: Place = service
            .image
            .parse()
            .map_err(|error| Failure::new(Kind::Usage, error))?;
        // What is not in our store has no index that tells of its changes.
        let is_known = matches!(place, Place::Store(_))
            && self
                .known
                .get(&name)
                .is_some_and(|known| known.index == index);
        if !is_known {
            let known = self.look_up(&place, service, index)?;
            self.known.insert(name.clone(), known);
        }
        let Some(known) = self.known.get_mut(&name) else {
            return Err(Failure::new(Kind::Bug, "an image was forgotten"));
        };
        let folder = self.context.unpacked()?;
        let held = known.held.upgrade();
        let held =
            held.or_else(|| unpack::hold_unpacked(&folder, &known.ready.digest).map(Arc::new));
        let held = match held {
            Some(held) => held,
            // Cleared away meanwhile.
            None => {
                let image = self.context.image(&place, &Platform::host())?;
                Arc::new(unpack::hold(&folder, &image)?)
            }
        };
        known.held = Arc::downgrade(&held);
        let mut spec = Spec::from_essence(
            known.ready.essence.clone(),
            held.root.clone(),
            overrides(service),
        );
        spec.system_calls = image::system_calls(known.ready.calls.as_deref())?;
        let takes_socket = known.takes_socket;
        let identity = Arc::clone(&known.identity);
        if known.ready.module.is_some() {
            wasm::settle(&mut spec, Vec::new(), false, service.options.user.is_some());
        }
        settle(&mut spec, service)?;
        if let Some(inside) = &known.ready.module {
            let host = held.root.join(inside);
            let module = Module::new(self.context, host, &known.ready.digest.hex())?;
            let options = ounce_run::wasm::Options {
                listens: !takes_socket,
                ..Default::default()
            };
            module.apply(&mut spec, options);
            // Once: the next starts find it.
            module.make_ahead();
        }
        Ok(Prepared {
            spec,
            takes_socket,
            identity,
            held: Some(held),
        })
    }

    /// Reads what a start has to know of an image, from what the last start has
    /// kept where that will do.
    fn look_up(
        &self,
        place: &Place,
        service: &Service,
        index: Option<Stamp>,
    ) -> Result<Known, Failure> {
        let folder = self.context.unpacked()?;
        let key = Key::new(&self.context.ready()?, &self.store, &service.image);
        let is_plain = matches!(place, Place::Store(_)) && service.options.user.is_none();
        let kept = key.read().filter(|_| is_plain).and_then(|ready| {
            let held = unpack::hold_unpacked(&folder, &ready.digest)?;
            Some((ready, held))
        });
        let (ready, held) = match kept {
            Some(kept) => kept,
            None => {
                let since = key.since();
                let image = self.context.image(place, &Platform::host())?;
                let prepared = start::of_image(self.context, &image, overrides(service))?;
                if is_plain {
                    start::keep_ready(&key, &since, &image, &prepared);
                }
                let held = unpack::hold(&folder, &image)?;
                let user = service.options.user.as_deref();
                let essence = Essence::of(&image.config, &held.root, user)?;
                let ready = Ready {
                    digest: image.digest,
                    module: prepared.module_name(&essence),
                    essence,
                    activation: prepared.label.clone(),
                    calls: image::calls_annotation(&image),
                };
                (ready, held)
            }
        };
        let held = Arc::new(held);
        let essence = ready.essence.clone();
        let spec = Spec::from_essence(essence, held.root.clone(), overrides(service));
        if spec.arguments.is_empty() {
            return Err(Failure::from(ounce_run::StartError::from(
                ounce_run::plan::PlanError::NoProgram,
            )));
        }
        Ok(Known {
            index,
            takes_socket: start::takes_sockets(&spec, ready.activation.as_deref()),
            identity: identity(&ready.digest),
            ready,
            held: Arc::downgrade(&held),
        })
    }
}

fn identity(digest: &Digest) -> Arc<str> {
    digest.to_string().into()
}

impl Source for Images<'_> {
    fn prepare(&mut self, service: &Service) -> Result<Prepared, Fault> {
        self.prepared(service).map_err(Failure::into_error)
    }

    fn changed(&mut self) -> bool {
        let index = stamp(&self.store.join("index.json"));
        let mut changed = self.index != index;
        for (path, program) in &mut self.paths {
            let now = stamp(path);
            changed |= program.seen != now;
            program.seen = now;
        }
        self.index = index;
        changed
    }

    fn reread(&mut self) -> Result<Option<Config>, Fault> {
        match &self.again {
            None => Ok(None),
            Some(again) => again().map(Some).map_err(Failure::into_error),
        }
    }
}

fn stamp(path: &Path) -> Option<Stamp> {
    let of = |data: Metadata| {
        [
            data.ino().cast_signed(),
            data.size().cast_signed(),
            data.mtime(),
            data.mtime_nsec(),
            data.ctime(),
            data.ctime_nsec(),
        ]
    };
    std::fs::metadata(path).ok().map(of)
}

fn overrides(service: &Service) -> Overrides {
    let options = &service.options;
    Overrides {
        entrypoint: None,
        arguments: options.arguments.iter().map(Into::into).collect(),
        environment: options.environment.iter().map(Into::into).collect(),
        workdir: options.workdir.clone(),
        user: options.user.clone(),
    }
}

/// What is said of every start.
fn settle(spec: &mut Spec, service: &Service) -> Result<(), Failure> {
    let options = &service.options;
    spec.limits = options.limits;
    spec.network = options.network;
    if let Some(workdir) = &options.workdir {
        spec.workdir.clone_from(workdir);
    }
    for target in &options.tmpfs {
        spec.tmpfs.push(Tmpfs {
            target: target.clone(),
            size_bytes: 64 << 20,
            mode: 0o1777,
            executable: false,
        });
    }
    for volume in &options.volumes {
        let mut volume = volume.clone();
        volume.host = volume.host.canonicalize().map_err(|error| {
            Failure::new(Kind::Input, format!("{}: {error}", volume.host.display()))
        })?;
        spec.volumes.push(volume);
    }
    Ok(())
}
