//! Holding the sockets of services and deciding when a container of each is
//! started, stopped, restarted and replaced. One thread, one epoll set, no
//! waiting but there.

mod changes;
mod looks;
mod sharing;
mod starts;

use std::collections::{BTreeSet, HashMap, HashSet, VecDeque};
use std::net::{Ipv4Addr, SocketAddr};
use std::os::fd::{BorrowedFd, OwnedFd};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use ounce_linux::signal::{BlockedSignals, SignalSet};
use rustix::event::{Timespec, epoll};
use rustix::io::{Errno, fcntl_dupfd_cloexec};
use rustix::process::{Resource, Rlimit, Signal, getrlimit, setrlimit};

use super::backoff::Rate;
use super::config::{Config, Service};
use super::connections::Kernel;
use super::event::{Event, State, What, Why};
use super::instance::{FIRST_FILE, Fault, Instance, Prepared, Workshop};
use super::metrics::{Board, Counters, add};
use super::web::Web;
use crate::Exit;
use crate::pool::Pool;
use crate::publish::{self, Publish, PublishError};
use crate::spec::{Limits, Network};

/// One that ran so long was well: its failures are forgotten.
const WELL: Duration = Duration::from_secs(10);
/// One that ends sooner than this has failed, whatever it says.
const AT_ONCE: Duration = Duration::from_secs(1);
/// How long another image's container has to hold until it takes over.
const SETTLES: Duration = Duration::from_secs(1);
/// The longest and the shortest time between two looks at who is connected.
const LOOKS: [Duration; 2] = [Duration::from_millis(20), Duration::from_secs(1)];
/// Between two tries to find a container without a connection that is to be replaced.
const RETIRES: Duration = Duration::from_millis(20);
/// Descriptors that are needed beside those of services.
const SPARE_FILES: u64 = 200;
/// Of each service: its socket, its process, twice while one replaces another.
const FILES_EACH: u64 = 6;

const ASKING: &str = "asking the kernel who is connected (sock_diag, CONFIG_INET_DIAG)";

/// Where services' containers come from.
pub trait Source {
    /// What a service is to run now.
    ///
    /// # Errors
    /// There is no such image, or it cannot be run.
    fn prepare(&mut self, service: &Service) -> Result<Prepared, Fault>;

    /// Whether an image may have changed since this was asked last.
    fn changed(&mut self) -> bool;

    /// Reads the services again; none if there is nothing to read.
    ///
    /// # Errors
    /// What is read is not as it should be.
    fn reread(&mut self) -> Result<Option<Config>, Fault>;
}

/// What it takes to serve.
pub struct Setup<'a> {
    /// What to serve.
    pub config: Config,
    /// Where containers come from.
    pub source: &'a mut dyn Source,
    /// Input, output and error of containers.
    pub stdio: [BorrowedFd<'a>; 3],
    /// The program that is a proxy when called with [`crate::proxy::SUBCOMMAND`].
    pub proxy: &'a Path,
    /// Told what happens.
    pub tell: &'a mut dyn FnMut(&Event<'_>),
}

/// Nothing is served.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// A service's address cannot be had.
    #[error("{service}")]
    Listen {
        /// Whose.
        service: String,
        /// Why.
        #[source]
        source: PublishError,
    },
    /// A service's image cannot be run.
    #[error("service {service}: {source}")]
    Image {
        /// Its name.
        service: String,
        /// Why.
        #[source]
        source: Fault,
    },
    /// The kernel refuses.
    #[error("{step}")]
    Host {
        /// What was to be done.
        step: &'static str,
        /// Why not.
        #[source]
        source: std::io::Error,
    },
}

fn host(step: &'static str) -> impl Fn(Errno) -> ServeError {
    move |errno| ServeError::Host {
        step,
        source: errno.into(),
    }
}

/// Serves until it is asked to end by SIGTERM or SIGINT; SIGHUP reads the
/// services again. All containers have ended then. Whether the images are
/// there is the caller's to see to: what cannot be started is tried again.
///
/// # Errors
/// See [`ServeError`]; only before anything is started.
pub fn serve(setup: Setup<'_>) -> Result<(), ServeError> {
    let Setup {
        config,
        source,
        stdio,
        proxy,
        tell,
    } = setup;
    // Before any thread, so that it takes none of them.
    let signals = BlockedSignals::new(SignalSet::of(&[Signal::TERM, Signal::INT, Signal::HUP]))
        .map_err(host("taking signals"))?;
    make_room_for_files(config.services.len());
    let pool = match config.pool {
        0 => None,
        size => Some(
            Pool::new(Network::default(), Limits::default(), size as usize).map_err(|source| {
                ServeError::Host {
                    step: "starting a thread",
                    source,
                }
            })?,
        ),
    };
    let epoll = epoll::create(epoll::CreateFlags::CLOEXEC).map_err(host("making an epoll set"))?;
    epoll::add(&epoll, &signals, Key::SIGNAL, epoll::EventFlags::IN)
        .map_err(host("watching signals"))?;
    let mut kernel = Kernel::open().map_err(host(ASKING))?;
    // A kernel that does not know would have nothing ever stopped.
    kernel
        .connections(Some(1), [true, false])
        .map_err(host(ASKING))?;
    let now = Instant::now();
    let mut engine = Engine {
        epoll,
        source,
        tell,
        workshop: Workshop { proxy, stdio, pool },
        kernel,
        slots: Vec::new(),
        free: Vec::new(),
        dues: BTreeSet::new(),
        waiting: VecDeque::new(),
        eager: false,
        running: 0,
        max_running: config.max_running,
        rate: config.start_rate.map(|rate| Rate::new(rate, now)),
        board: Board::default(),
        web: None,
        fronts: HashSet::new(),
        next_look: None,
        ending: false,
    };
    for service in config.services {
        engine.add(service, &mut Sockets::new())?;
    }
    if let Some(address) = config.metrics {
        engine.show_metrics(address)?;
    }
    engine.share(&mut |_, error| Err(error))?;
    for index in 0..engine.slots.len() {
        engine.open(index);
    }
    engine.run(&signals)
}

/// As many descriptors as so many services may need; what cannot be had is told
/// by the service that then fails.
fn make_room_for_files(services: usize) {
    let needed = SPARE_FILES + FILES_EACH * services as u64;
    let limit = getrlimit(Resource::Nofile);
    if limit.current.is_none_or(|current| current >= needed) {
        return;
    }
    let raised = |maximum| {
        setrlimit(
            Resource::Nofile,
            Rlimit {
                current: Some(maximum),
                maximum: Some(maximum),
            },
        )
    };
    match limit.maximum {
        Some(maximum) if maximum < needed => {
            // Root alone may; others take what there is.
            let _ = raised(needed).or_else(|_| raised(maximum));
        }
        _ => {
            let _ = setrlimit(
                Resource::Nofile,
                Rlimit {
                    current: Some(needed),
                    maximum: limit.maximum,
                },
            );
        }
    }
}

/// What an event is about.
struct Key;

impl Key {
    const SIGNAL: epoll::EventData = epoll::EventData::new_u64(0);
    const LISTENER: u64 = 1 << 32;
    const PROCESS: u64 = 2 << 32;

    fn of(kind: u64, index: usize) -> epoll::EventData {
        epoll::EventData::new_u64(kind | index as u64)
    }
}

/// What a service is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// Waits for a connection.
    Asleep,
    /// Has a connection, and waits for a limit.
    Waiting,
    /// Has failed, and waits for its next try.
    Pausing,
    /// A container runs.
    Up,
    /// Its container was asked to end.
    Ending,
    /// It is no more; its place can be taken by another one.
    Gone,
}

/// Sockets whose services are gone, by their addresses.
type Sockets = HashMap<SocketAddr, Arc<OwnedFd>>;

/// A service.
struct Slot {
    service: Arc<Service>,
    /// None once it is gone.
    listener: Option<Arc<OwnedFd>>,
    address: SocketAddr,
    phase: Phase,
    /// Oldest first. Empty vectors cost nothing.
    instances: Vec<Instance>,
    counters: Arc<Counters>,
    /// In a row.
    failures: u32,
    /// When it wants to be looked after.
    due: Option<Instant>,
    /// When somebody was last seen connected.
    used: Instant,
    /// Since when connections wait that nobody accepts.
    stalled: Option<Instant>,
    /// It is to be gone once its container has ended.
    removed: bool,
    /// An image whose container did not hold.
    refused: Option<Arc<str>>,
    rate: Option<Box<Rate>>,
    /// It was told that its start waits for a limit.
    delayed: bool,
    /// When its first connection was noticed.
    noticed: Instant,
}

struct Engine<'a> {
    epoll: OwnedFd,
    source: &'a mut dyn Source,
    tell: &'a mut dyn FnMut(&Event<'_>),
    workshop: Workshop<'a>,
    kernel: Kernel,
    slots: Vec<Slot>,
    /// Places whose services are gone.
    free: Vec<usize>,
    /// Who wants to be looked after when.
    dues: BTreeSet<(Instant, usize)>,
    /// Who waits for a limit, first come first served.
    waiting: VecDeque<usize>,
    /// Some of them wait for nothing but their turn.
    eager: bool,
    /// Containers.
    running: u32,
    max_running: Option<u32>,
    rate: Option<Rate>,
    board: Board,
    /// The thread that reads requests, if any are to be read.
    web: Option<Web>,
    /// Addresses that services share.
    fronts: HashSet<SocketAddr>,
    /// When it is to be seen next who is connected.
    next_look: Option<Instant>,
    ending: bool,
}

impl Engine<'_> {
    fn tell(&mut self, index: usize, what: What<'_>) {
        let slot = &self.slots[index];
        let running = slot.instances.iter().find(|one| one.stays());
        (self.tell)(&Event {
            service: Some(&slot.service.name),
            what,
            state: State {
                image: &slot.service.image,
                runs: running.map(|one| &*one.identity),
                refused: slot.refused.as_deref(),
                failures: slot.failures,
                pausing: slot.phase == Phase::Pausing,
            },
        });
    }

    fn tell_all(&mut self, what: What<'_>) {
        (self.tell)(&Event {
            service: None,
            what,
            state: State::default(),
        });
    }

    /// Binds a service's address, or takes over the socket that is there.
    fn add(&mut self, service: Service, there: &mut Sockets) -> Result<usize, ServeError> {
        let failed = |source| ServeError::Listen {
            service: format!("service {}", service.name),
            source,
        };
        // One whose requests are routed is reached by the router alone.
        let listen = match &service.place {
            None => service.listen,
            Some(_) => Publish {
                host: Some(Ipv4Addr::LOCALHOST.into()),
                host_port: 0,
                ..service.listen
            },
        };
        let (address, listener) = match there.remove(&listen.address()) {
            Some(listener) => (listen.address(), listener),
            None => {
                let bound = publish::bind(&listen).map_err(failed)?;
                let address = bound.address;
                let file = OwnedFd::from(bound);
                // Out of the way, where a number is free there.
                let file = fcntl_dupfd_cloexec(&file, FIRST_FILE).unwrap_or(file);
                (address, Arc::new(file))
            }
        };
        let counters = Counters::new(&service.name);
        self.board.add(&counters);
        let now = Instant::now();
        let rate = service
            .start_rate
            .map(|rate| Box::new(Rate::new(rate, now)));
        let slot = Slot {
            service: Arc::new(service),
            listener: Some(Arc::clone(&listener)),
            address,
            phase: Phase::Asleep,
            instances: Vec::new(),
            counters,
            failures: 0,
            due: None,
            used: now,
            stalled: None,
            removed: false,
            refused: None,
            rate,
            delayed: false,
            noticed: now,
        };
        let index = match self.free.pop() {
            Some(index) => {
                self.slots[index] = slot;
                index
            }
            None => {
                self.slots.push(slot);
                self.slots.len() - 1
            }
        };
        let key = Key::of(Key::LISTENER, index);
        epoll::add(&self.epoll, &listener, key, epoll::EventFlags::empty())
            .map_err(host("watching a socket"))?;
        Ok(index)
    }

    /// Lets a service begin.
    fn open(&mut self, index: usize) {
        let slot = &self.slots[index];
        let address = match slot.service.place {
            None => slot.address,
            Some(_) => slot.service.listen.address(),
        };
        self.tell(index, What::Listening(address));
        self.rest(index);
    }

    /// Which events of its listener a service is told.
    fn watch(&mut self, index: usize, flags: epoll::EventFlags) {
        let slot = &self.slots[index];
        // Another service may have the socket by now.
        if let Some(listener) = slot.listener.as_ref().filter(|_| !slot.removed) {
            // Fails for none that was added.
            let key = Key::of(Key::LISTENER, index);
            let _ = epoll::modify(&self.epoll, listener, key, flags);
        }
    }

    fn set_due(&mut self, index: usize, due: Option<Instant>) {
        let slot = &mut self.slots[index];
        if let Some(before) = std::mem::replace(&mut slot.due, due) {
            self.dues.remove(&(before, index));
        }
        if let Some(due) = due {
            self.dues.insert((due, index));
        }
    }

    /// Nothing runs, and nothing will until it is wanted.
    fn rest(&mut self, index: usize) {
        self.set_due(index, None);
        let slot = &mut self.slots[index];
        slot.stalled = None;
        if self.ending {
            slot.phase = Phase::Ending;
            return;
        }
        // A program may have shut the socket down, which is ours as well, or
        // made its queue short: both are undone.
        if let Some(listener) = &slot.listener {
            let _ = publish::listen_again(listener);
        }
        slot.phase = Phase::Asleep;
        match slot.service.always {
            // With others of its kind, in the next turn.
            true => {
                slot.phase = Phase::Waiting;
                slot.noticed = Instant::now();
                self.waiting.push_back(index);
                self.eager = true;
            }
            false => self.watch(index, epoll::EventFlags::IN | epoll::EventFlags::ONESHOT),
        }
    }

    /// Asks a container to end if nobody is connected to it. Whether it was.
    fn stop_unused(&mut self, index: usize, why: Why) -> bool {
        let slot = &mut self.slots[index];
        let Some(instance) = slot.instances.iter_mut().find(|one| one.stays()) else {
            return false;
        };
        let Some(frozen) = instance.freeze() else {
            return false;
        };
        let families = [slot.address.is_ipv4(), slot.address.is_ipv6()];
        let port = Some(slot.address.port());
        let Ok(connections) = self.kernel.connections(port, families) else {
            return false;
        };
        let used = connections.of(slot.address);
        if used.is_some_and(|used| !used.accepted.is_empty()) {
            return false;
        }
        if why == Why::Idle && used.is_some_and(|used| used.waiting > 0) {
            return false;
        }
        instance.ask_to_end(Some(frozen), why, slot.service.options.stop_timeout);
        let end = instance.asked.map(|(_, end)| end);
        slot.phase = Phase::Ending;
        self.watch(index, epoll::EventFlags::empty());
        self.set_due(index, end);
        if why == Why::Idle {
            add(&self.slots[index].counters.idle_stops);
        }
        self.tell(index, What::Stopping(why));
        true
    }

    /// Asks all containers of a service to end.
    fn stop(&mut self, index: usize, why: Why) {
        let slot = &mut self.slots[index];
        let grace = slot.service.options.stop_timeout;
        let mut asked = false;
        for instance in &mut slot.instances {
            if instance.asked.is_none() {
                instance.ask_to_end(None, why, grace);
                asked = true;
            }
        }
        let end = slot.instances.iter().filter_map(|one| one.asked);
        let end = end.map(|(_, end)| end).min();
        slot.phase = Phase::Ending;
        self.watch(index, epoll::EventFlags::empty());
        self.set_due(index, end);
        if asked {
            self.tell(index, What::Stopping(why));
        }
    }

    /// A process of a service has ended.
    fn reap(&mut self, index: usize) {
        while let Some((place, exit)) = self.ended(index) {
            let mut instance = self.take_out(index, place);
            let asked = instance.asked.take();
            let (since, identity) = (instance.since, Arc::clone(&instance.identity));
            let replaced = instance.retires.is_some();
            drop(instance);
            match asked {
                Some(_) => self.tell(index, What::Stopped(exit)),
                // It was about to be asked.
                None if replaced => self.tell(index, What::Stopped(exit)),
                None => self.ended_by_itself(index, exit, since, identity),
            }
            let slot = &self.slots[index];
            if !slot.instances.is_empty() {
                continue;
            }
            match slot.phase {
                Phase::Ending if slot.removed => self.free(index),
                Phase::Ending | Phase::Up => self.rest(index),
                Phase::Asleep | Phase::Waiting | Phase::Pausing | Phase::Gone => {}
            }
        }
        self.admit(Instant::now());
    }

    fn ended(&mut self, index: usize) -> Option<(usize, Exit)> {
        let instances = self.slots[index].instances.iter_mut().enumerate();
        instances
            .filter_map(|(place, one)| Some((place, one.container.try_wait().ok()??)))
            .next()
    }

    fn ended_by_itself(&mut self, index: usize, exit: Exit, since: Instant, of: Arc<str>) {
        let ran = since.elapsed();
        let slot = &mut self.slots[index];
        if slot.phase == Phase::Ending {
            return self.tell(index, What::Stopped(exit));
        }
        if slot.instances.iter().any(Instance::stays) {
            // The one that is left was to be replaced by it.
            slot.refused = Some(of);
            let error = std::io::Error::other(format!("its program ended with {}", exit.code()));
            return self.tell(index, What::RollFailed(&error));
        }
        if ran >= WELL {
            slot.failures = 0;
        }
        if exit == Exit::Code(0) && ran >= AT_ONCE && !slot.service.always {
            slot.failures = 0;
            return self.tell(index, What::Ended(exit));
        }
        add(&slot.counters.crashes);
        let again = self.pause(index);
        self.tell(index, What::Crashed { exit, again });
    }

    /// Its place can be taken by another one.
    fn free(&mut self, index: usize) {
        self.set_due(index, None);
        let slot = &mut self.slots[index];
        slot.phase = Phase::Gone;
        slot.listener = None;
        self.free.push(index);
        self.board.remove(&slot.counters);
    }

    fn run(&mut self, signals: &BlockedSignals) -> Result<(), ServeError> {
        let mut events = Vec::with_capacity(256);
        loop {
            if self.ending && self.running == 0 {
                return Ok(());
            }
            let timeout = self.timeout();
            events.clear();
            let buffer = rustix::buffer::spare_capacity(&mut events);
            match epoll::wait(&self.epoll, buffer, timeout.as_ref()) {
                Ok(_) | Err(Errno::INTR) => {}
                Err(errno) => return Err(host("waiting for events")(errno)),
            }
            for event in events.drain(..) {
                let data = event.data.u64();
                let index = (data & 0xffff_ffff) as usize;
                match data & !0xffff_ffff {
                    Key::LISTENER => self.connection(index),
                    Key::PROCESS => self.reap(index),
                    _ => self.signal(signals),
                }
            }
            self.look_after();
        }
    }

    /// Until something is due.
    fn timeout(&self) -> Option<Timespec> {
        if self.eager {
            return Some(Timespec::default());
        }
        let due = self.dues.first().map(|(due, _)| *due);
        let next = [due, self.next_look].into_iter().flatten().min()?;
        let left = next.saturating_duration_since(Instant::now());
        // Rounded up: the kernel counts in more than nanoseconds.
        Timespec::try_from(left + Duration::from_micros(50)).ok()
    }

    /// A socket has a connection that waits.
    fn connection(&mut self, index: usize) {
        let now = Instant::now();
        match self.slots[index].phase {
            Phase::Asleep => self.wake(index, now),
            // Told once, until the next look.
            Phase::Up => self.slots[index].used = now,
            Phase::Waiting | Phase::Pausing | Phase::Ending | Phase::Gone => {}
        }
    }

    fn signal(&mut self, signals: &BlockedSignals) {
        while let Ok(Some(taken)) = signals.take() {
            match taken.signal {
                Signal::HUP => self.reload(),
                _ if !self.ending => self.end(),
                // Asked twice: now.
                _ => {
                    let slots = self.slots.iter().flat_map(|slot| &slot.instances);
                    slots.for_each(Instance::kill);
                }
            }
        }
    }

    fn end(&mut self) {
        self.ending = true;
        self.tell_all(What::Ending);
        if let Some(web) = &self.web {
            web.end();
        }
        for index in 0..self.slots.len() {
            if self.slots[index].phase != Phase::Gone {
                self.stop(index, Why::Ending);
            }
        }
    }

    /// Does what is due.
    fn look_after(&mut self) {
        let now = Instant::now();
        while let Some((due, index)) = self.dues.first().copied()
            && due <= now
        {
            self.set_due(index, None);
            match self.slots[index].phase {
                Phase::Pausing => {
                    let counters = &self.slots[index].counters;
                    counters.pausing_ms.store(0, Ordering::Relaxed);
                    self.rest(index);
                }
                Phase::Waiting => self.admit(now),
                Phase::Ending | Phase::Up => self.kill_late(index, now),
                Phase::Asleep | Phase::Gone => {}
            }
        }
        if self.eager {
            self.admit(now);
        }
        if self.next_look.is_some_and(|look| look <= now) {
            self.look(now);
        }
    }

    /// Kills who was asked to end and has not in time.
    fn kill_late(&mut self, index: usize, now: Instant) {
        let slot = &mut self.slots[index];
        let mut next = None;
        let mut killed = false;
        for instance in &mut slot.instances {
            if let Some((why, mut end)) = instance.asked {
                if end <= now {
                    instance.kill();
                    killed = true;
                    // It cannot but end; if that is not seen, it is looked for.
                    end = now + LOOKS[1];
                    instance.asked = Some((why, end));
                }
                next = Some(next.map_or(end, |next: Instant| next.min(end)));
            }
        }
        self.set_due(index, next);
        if killed {
            self.tell(index, What::Killed);
        }
        self.reap(index);
    }
}
