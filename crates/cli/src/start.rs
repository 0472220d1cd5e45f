//! What `run` and `up` share: from an image to a running container with its
//! ports published.

use std::ffi::OsString;
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use ounce_oci::model::ImageConfiguration;
use ounce_oci::{Image, Platform};
use ounce_rootfs::unpack::{self, Held};
use ounce_run::containers::record::Port;
use ounce_run::image::{self, Essence, Overrides};
use ounce_run::proxy::{self, Lifetime, Proxy};
use ounce_run::publish::{self, Bound, Publish};
use ounce_run::ready::{Key, Ready, Since};
use ounce_run::spec::{Network, Root, Socket, Spec};
use ounce_run::{Beginning, Container};

use crate::arguments::SocketChoice;
use crate::commands::Context;
use crate::emulate;
use crate::failure::{Failure, Kind};
use crate::wasm::{self, Module};

/// How long a program may be on its way out that has no network left to enter.
const LAST_BREATH: Duration = Duration::from_millis(500);

/// All that a start needs, bound and unpacked, nothing running yet.
pub(crate) struct Prepared {
    /// What is started.
    pub(crate) spec: Spec,
    /// Published ports whose sockets are handed in, or carried.
    carried: Vec<Bound>,
    /// Where the published ports are.
    pub(crate) addresses: Vec<SocketAddr>,
    /// Keeps the unpacked image from being collected.
    held: Option<Held>,
    /// The module, of WebAssembly.
    module: Option<Module>,
    /// The image's word on socket activation, or what the module says of it.
    pub(crate) label: Option<String>,
}

/// A container and what goes with it.
pub(crate) struct Started {
    /// The container.
    pub(crate) container: Container,
    /// Carries connections inside, where sockets are not handed in; ends when dropped.
    _proxy: Option<Proxy>,
    _held: Option<Held>,
}

/// Unpacks an image, unless it is already, and composes its start.
///
/// # Errors
/// A layer is not valid, the cache cannot be written, or the user is unknown.
pub(crate) fn of_image(
    context: &Context,
    image: &Image,
    overrides: Overrides,
) -> Result<Prepared, Failure> {
    if image.is_wasm() {
        return of_module(context, image, overrides);
    }
    let runner = emulate::runner(&image.platform)?;
    let held = unpack::hold(&context.unpacked()?, image)?;
    let mut spec = Spec::from_image(image, held.root.clone(), overrides)?;
    runner.apply(&mut spec)?;
    let label = activation_label(&image.config).map(str::to_owned);
    Ok(Prepared::held(spec, held, label))
}

/// As [`of_image`], of WebAssembly: composed by [`Prepared::settled`].
fn of_module(context: &Context, image: &Image, over: Overrides) -> Result<Prepared, Failure> {
    let held = unpack::hold(&context.unpacked()?, image)?;
    let (over, invoke) = wasm::overrides(over);
    let (arguments, user) = (over.arguments.clone(), over.user.is_some());
    let mut spec = Spec::from_image(image, held.root.clone(), over)?;
    let first = spec.arguments.first();
    let (mut module, handles) = wasm::of_image(context, image, &held.root, first)?;
    wasm::settle(&mut spec, arguments, invoke.is_some(), user);
    module.invoke = invoke;
    Ok(Prepared {
        module: Some(module),
        ..Prepared::held(spec, held, Some(handles.to_string()))
    })
}

/// A start of a module that is no image.
///
/// # Errors
/// It is broken, or there is no engine.
pub(crate) fn of_module_file(
    context: &Context,
    path: &Path,
    arguments: Vec<OsString>,
    entrypoint: Option<&str>,
) -> Result<Prepared, Failure> {
    let (mut module, handles) = wasm::of_file(context, path)?;
    module.invoke = entrypoint.map(str::to_owned);
    let mut spec = Spec::of_program(path.to_owned(), arguments.iter().cloned());
    wasm::settle(&mut spec, arguments, module.invoke.is_some(), true);
    Ok(Prepared {
        module: Some(module),
        label: Some(handles.to_string()),
        ..Prepared::of_spec(spec)
    })
}

/// The start of an image in the store by what the last start of it has kept, and
/// the image's word on socket activation; nothing if that does not hold any more.
///
/// # Errors
/// There is no home folder to look in, or the image's list of system calls is of
/// no use.
pub(crate) fn of_ready(
    context: &Context,
    key: &Key,
    overrides: Overrides,
) -> Result<Option<Prepared>, Failure> {
    // A user's name has to be looked up.
    let ready = key.read().filter(|_| overrides.user.is_none());
    let Some(ready) = ready else {
        return Ok(None);
    };
    let Some(held) = unpack::hold_unpacked(&context.unpacked()?, &ready.digest) else {
        return Ok(None);
    };
    let Some(inside) = &ready.module else {
        let mut spec = Spec::from_essence(ready.essence, held.root.clone(), overrides);
        spec.system_calls = image::system_calls(ready.calls.as_deref())?;
        return Ok(Some(Prepared::held(spec, held, ready.activation)));
    };
    let (overrides, invoke) = wasm::overrides(overrides);
    let arguments = overrides.arguments.clone();
    let host = held.root.join(inside);
    let mut module = Module::new(context, host, &ready.digest.hex())?;
    let mut spec = Spec::from_essence(ready.essence, held.root.clone(), overrides);
    wasm::settle(&mut spec, arguments, invoke.is_some(), false);
    module.invoke = invoke;
    Ok(Some(Prepared {
        module: Some(module),
        ..Prepared::held(spec, held, ready.activation)
    }))
}

/// Keeps what the next start of the image has to know.
pub(crate) fn keep_ready(key: &Key, since: &Since, image: &Image, prepared: &Prepared) {
    let Some(held) = &prepared.held else {
        return;
    };
    // The next start would not look for an emulator.
    if !Platform::host().accepts(&image.platform) {
        return;
    }
    if let Ok(essence) = Essence::of(&image.config, &held.root, None) {
        let ready = Ready {
            digest: image.digest,
            module: prepared.module_name(&essence),
            essence,
            activation: prepared.label.clone(),
            calls: image::calls_annotation(image),
        };
        key.keep(since, &ready);
    }
}

impl Prepared {
    fn held(spec: Spec, held: Held, label: Option<String>) -> Self {
        Self {
            spec,
            carried: Vec::new(),
            addresses: Vec::new(),
            held: Some(held),
            module: None,
            label,
        }
    }

    /// Of a module, its path beneath the unpacked image.
    pub(crate) fn module_name(&self, essence: &Essence) -> Option<OsString> {
        self.module.as_ref()?;
        let first = Path::new(essence.entrypoint.first()?);
        Some(first.strip_prefix("/").unwrap_or(first).into())
    }

    /// Once all is said of the spec: a module becomes what its engine is given.
    ///
    /// # Errors
    /// A deadline for what has no engine that keeps it.
    pub(crate) fn settled(&mut self, deadline: Option<Duration>) -> Result<(), Failure> {
        let Some(module) = &self.module else {
            return match deadline {
                None => Ok(()),
                Some(_) => Err(Failure::new(
                    Kind::Usage,
                    "--deadline is for WebAssembly, and this is a program",
                )
                .hint("timeout(1) ends a program: timeout 5 ounce run …")),
            };
        };
        let options = ounce_run::wasm::Options {
            deadline,
            listens: !self.carried.is_empty(),
            ..Default::default()
        };
        module.apply(&mut self.spec, options);
        Ok(())
    }

    /// Has what would make the next start quicker made beside this one.
    pub(crate) fn make_ahead(&self) {
        if let Some(module) = &self.module {
            module.make_ahead();
        }
    }

    /// A start of something that is no image.
    pub(crate) fn of_spec(spec: Spec) -> Self {
        Self {
            spec,
            carried: Vec::new(),
            addresses: Vec::new(),
            held: None,
            module: None,
            label: None,
        }
    }

    /// Binds ports and decides for each how its connections get in.
    ///
    /// # Errors
    /// A port cannot be bound.
    pub(crate) fn publish(
        &mut self,
        ports: &[Publish],
        choice: SocketChoice,
        label: Option<&str>,
    ) -> Result<(), Failure> {
        if ports.is_empty() {
            return Ok(());
        }
        let pass = match choice {
            SocketChoice::Pass => true,
            SocketChoice::Proxy => false,
            SocketChoice::Auto => takes_sockets(&self.spec, label),
        };
        let own = [Network::Private, Network::Bridge].contains(&self.spec.network);
        if !pass && !own {
            return Err(Failure::new(
                Kind::Usage,
                "this program takes no socket, and its network is not private, so there is nothing to publish",
            )
            .hint("leave --publish out: with --network host the program's own ports are this machine's"));
        }
        for port in ports {
            let bound = publish::bind(port)?;
            self.addresses.push(bound.address);
            if pass {
                self.spec.sockets.push(Socket {
                    name: format!("port-{}", bound.container_port),
                    file: Arc::new(OwnedFd::from(bound.listener)),
                });
            } else {
                self.carried.push(bound);
            }
        }
        Ok(())
    }

    /// The published ports, as a record has them, with the sockets that listen
    /// at them. In a record a socket that is handed in has no file.
    pub(crate) fn ports(&self) -> Vec<(Port, BorrowedFd<'_>)> {
        let port = |address: &SocketAddr, container_port, carried| Port {
            address: address.to_string(),
            container_port,
            carried,
        };
        let carried = self.carried.iter().map(|bound| {
            let port = port(&bound.address, bound.container_port, true);
            (port, bound.listener.as_fd())
        });
        let handed = self.addresses.iter().zip(&self.spec.sockets);
        let handed = handed.map(|(address, socket)| {
            let inside = socket.name.strip_prefix("port-");
            let inside = inside.and_then(|port| port.parse().ok()).unwrap_or(0);
            (port(address, inside, false), socket.file.as_fd())
        });
        carried.chain(handed).collect()
    }

    /// Digest of the image's manifest, if it is an image.
    pub(crate) fn digest(&self) -> Option<String> {
        // It is unpacked by that.
        let home = self.held.as_ref()?.root.parent()?.file_name()?;
        Some(format!("sha256:{}", home.to_str()?))
    }

    /// Begins it, with all that it is to have known.
    pub(crate) fn begin(&self) -> Beginning {
        Beginning::of(&self.spec)
    }

    /// Starts it. The proxy, if one is needed, is up before the program is.
    ///
    /// # Errors
    /// The step that failed; nothing is left then.
    pub(crate) fn start(
        self,
        beginning: Beginning,
        stdio: [BorrowedFd<'_>; 3],
    ) -> Result<Started, Failure> {
        let waiting = if self.carried.is_empty() {
            None
        } else {
            let exe = std::env::current_exe().map_err(|error| Failure::new(Kind::Host, error))?;
            Some(Proxy::start(proxy::command(&exe))?)
        };
        let container = beginning.start(&self.spec, stdio)?;
        self.make_ahead();
        let proxy = match waiting {
            None => None,
            Some(mut proxy) => {
                let routes: Vec<_> = self
                    .carried
                    .iter()
                    .map(|bound| (bound.listener.as_fd(), bound.container_port))
                    .collect();
                match proxy.serve(&routes, container.pidfd(), Lifetime::Starter) {
                    Ok(()) => Some(proxy),
                    // A program that ended at once leaves no network to enter:
                    // its own end is what is to be told.
                    Err(_) if container.ends_within(LAST_BREATH) => None,
                    Err(error) => return Err(error.into()),
                }
            }
        };
        Ok(Started {
            container,
            _proxy: proxy,
            _held: self.held,
        })
    }
}

/// Whether the program can be handed its sockets; a program that cannot be
/// looked at cannot, and the start will say why.
pub(crate) fn takes_sockets(spec: &Spec, label: Option<&str>) -> bool {
    let Some(program) = emulate::own_program(&spec.arguments) else {
        return false;
    };
    let inside = Path::new(program);
    let path = match &spec.root {
        Root::Folder(folder) => folder.join(inside.strip_prefix("/").unwrap_or(inside)),
        Root::Assembled(parts) => match parts.iter().find(|part| {
            inside
                .strip_prefix("/")
                .is_ok_and(|rest| rest == Path::new(part.name()))
        }) {
            Some(ounce_run::spec::Part::File { host, .. }) => host.clone(),
            _ => return false,
        },
    };
    publish::takes_listen_fds(label, &path).unwrap_or(false)
}

/// The label that says whether the program takes its sockets.
pub(crate) fn activation_label(config: &ImageConfiguration) -> Option<&str> {
    let labels = config.config().as_ref()?.labels().as_ref()?;
    labels
        .get(publish::SOCKET_ACTIVATION_LABEL)
        .map(String::as_str)
}

#[derive(Debug, thiserror::Error)]
#[error("opening /dev/null")]
struct NoInput(#[source] io::Error);

/// `/dev/null`, for a program whose input is not ours.
///
/// # Errors
/// There is none.
pub(crate) fn no_input() -> Result<OwnedFd, Failure> {
    let file = std::fs::File::options()
        .read(true)
        .write(true)
        .open("/dev/null")
        .map_err(|error| Failure::new(Kind::Start, NoInput(error)))?;
    Ok(file.into())
}

/// `NAME=VALUE`, or `NAME` with the value it has here; a name that has none is left out, as docker does.
pub(crate) fn environment(variables: &[String]) -> Vec<OsString> {
    variables
        .iter()
        .filter_map(|variable| match variable.contains('=') {
            true => Some(OsString::from(variable)),
            false => std::env::var_os(variable).map(|value| {
                let mut whole = OsString::from(variable);
                whole.push("=");
                whole.push(value);
                whole
            }),
        })
        .collect()
}
