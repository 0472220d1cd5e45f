//! The event loop: many connections, one thread, no memory but a fixed table.
//! Events are edge-triggered, or a request half sent would wake the loop for
//! ever. What is done for a connection that is ready is the desk's work.

use crate::desk::REQUEST_SECONDS;
use crate::listen::{self, MAX_LISTENERS};
use crate::memory::{MEMORY, Memory, Phase, TABLE};
use crate::program::Program;
use crate::service::Service;
use crate::stream::{Halt, receive, send};
use core::mem::MaybeUninit;
use ounce_http::date::imf_fixdate;
use ounce_http::status::Status;
use ounce_linux::clock::{Clock, seconds};
use ounce_linux::descriptor::DescriptorSlot;
use ounce_linux::signal::{self, SIGCHLD, SIGINT, SIGPIPE, SIGTERM, SignalSet};
use rustix::event::Timespec;
use rustix::event::epoll::{self, EventData, EventFlags};
use rustix::fd::{AsFd, AsRawFd, OwnedFd};
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags, Shutdown, SocketFlags, accept_with, shutdown};
use rustix::process::{Resource, Rlimit, WaitOptions, getrlimit, setrlimit, wait};

/// Descriptors kept for files being opened and for the program's own.
const RESERVE: u64 = 16;
/// Seconds from SIGTERM until what still runs is cut off.
const GRACE_SECONDS: u32 = 10;

const SIGNALS: u64 = u64::MAX;
const LISTENER: u64 = 1 << 32;

/// What is asked of the kernel about each connection.
const WATCHED: EventFlags = EventFlags::IN
    .union(EventFlags::OUT)
    .union(EventFlags::RDHUP)
    .union(EventFlags::ET);

/// Serves until SIGTERM or SIGINT; the result is the exit status. Sockets handed
/// in by `LISTEN_FDS` go before `port`.
pub fn serve_on(program: &Program, port: u16, service: &mut dyn Service) -> u8 {
    let text: &[u8] = match run(program, port, service) {
        Ok(()) => return 0,
        Err(Errno::ADDRINUSE) => b"error: the port is taken\nhint: choose another with PORT\n",
        Err(Errno::ACCESS) => {
            b"error: not allowed to listen on this port\nhint: choose PORT above 1023\n"
        }
        Err(Errno::BADF | Errno::INVAL | Errno::NOTSOCK | Errno::OPNOTSUPP) => {
            b"error: LISTEN_FDS names what is no listening socket\n"
        }
        Err(_) => b"error: the kernel refused a socket, epoll or signalfd\n",
    };
    program.complain(text);
    4
}

fn run(program: &Program, port: u16, service: &mut dyn Service) -> Result<(), Errno> {
    let watched = SignalSet::EMPTY.with(SIGTERM).with(SIGINT).with(SIGCHLD);
    // sendfile(2) has no MSG_NOSIGNAL: SIGPIPE is blocked and never looked at.
    signal::block(watched.with(SIGPIPE))?;
    let signals = signal::signalfd(watched)?;
    let memory = MEMORY.take().ok_or(Errno::BUSY)?;
    listen::open(program, port, &mut memory.listeners)?;
    let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
    let mut server = Server {
        memory,
        service,
        epoll,
        count: 0,
        max_count: max_connections(),
        highest: 0,
        is_paused: true,
        stop_at: None,
    };
    server.watch(signals.as_fd(), SIGNALS, EventFlags::IN)?;
    server.tick();
    server.resume()?;
    server.serve(&signals)
}

/// As many as there are descriptors for; the soft limit is raised to the hard.
fn max_connections() -> usize {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: limit.maximum,
        maximum: limit.maximum,
    };
    let current = match setrlimit(Resource::Nofile, raised) {
        Ok(()) => limit.maximum,
        Err(_) => limit.current,
    };
    let table = TABLE as u64;
    current.unwrap_or(table).min(table).saturating_sub(RESERVE) as usize
}

struct Server<'s> {
    memory: &'static mut Memory,
    service: &'s mut dyn Service,
    epoll: OwnedFd,
    count: usize,
    max_count: usize,
    /// No slot above it is in use.
    highest: usize,
    /// The listeners are not watched, for want of descriptors.
    is_paused: bool,
    stop_at: Option<u32>,
}

impl Server<'_> {
    fn serve(&mut self, signals: &OwnedFd) -> Result<(), Errno> {
        let second = Timespec {
            tv_sec: 1,
            tv_nsec: 0,
        };
        let mut events = [MaybeUninit::uninit(); 64];
        loop {
            let is_waiting = self.count == 0 && !self.is_paused && self.stop_at.is_none();
            let timeout = if is_waiting { None } else { Some(&second) };
            let ready = match epoll::wait(&self.epoll, &mut events[..], timeout) {
                Ok((ready, _)) => ready,
                Err(Errno::INTR) => continue,
                Err(error) => return Err(error),
            };
            let is_new_second = self.tick();
            for event in ready.iter() {
                // The struct is packed on x86-64: copy before looking.
                let (data, flags) = (event.data, event.flags);
                match data.u64() {
                    SIGNALS => {
                        if self.take_signals(signals)? {
                            return Ok(());
                        }
                    }
                    number if number >= LISTENER => self.accept((number - LISTENER) as usize),
                    number => {
                        self.drive(number as usize, flags);
                    }
                }
            }
            if is_new_second {
                self.sweep();
            }
            if let Some(stop_at) = self.stop_at
                && (self.count == 0 || self.memory.desk.now >= stop_at)
            {
                return Ok(());
            }
        }
    }

    /// Looks at the clock; true where a second has passed.
    #[inline(never)]
    fn tick(&mut self) -> bool {
        let desk = &mut self.memory.desk;
        let before = core::mem::replace(&mut desk.now, seconds(Clock::Monotonic) as u32);
        let is_new = before != desk.now || desk.date.first() == Some(&0);
        if is_new {
            imf_fixdate(seconds(Clock::Realtime), &mut desk.date);
        }
        is_new
    }

    /// True where the program is to end at once.
    fn take_signals(&mut self, signals: &OwnedFd) -> Result<bool, Errno> {
        while let Some(signal) = signal::read(signals)? {
            if signal == SIGCHLD {
                // As PID 1 this process inherits orphans, and nobody else waits.
                while let Ok(Some(_)) = wait(WaitOptions::NOHANG) {}
            } else if self.stop_at.is_some() {
                return Ok(true);
            } else {
                self.stop();
            }
        }
        Ok(false)
    }

    /// Takes no more connections, answers what has come, and closes the rest.
    fn stop(&mut self) {
        for index in 0..MAX_LISTENERS {
            self.accept(index);
        }
        self.memory.desk.is_stopping = true;
        self.stop_at = Some(self.memory.desk.now + GRACE_SECONDS);
        for listener in &mut self.memory.listeners {
            drop(listener.take());
        }
        self.is_paused = false;
        for number in 0..=self.highest {
            // What has arrived but was not looked at yet is still answered.
            let has_more = self.drive(number, EventFlags::IN);
            if let Some(slot) = self.memory.slots.get(number)
                && slot.phase == Phase::Idle
                && !has_more
            {
                self.close(number);
            }
        }
    }

    #[inline(never)]
    fn watch(
        &self,
        descriptor: rustix::fd::BorrowedFd<'_>,
        data: u64,
        flags: EventFlags,
    ) -> Result<(), Errno> {
        epoll::add(&self.epoll, descriptor, EventData::new_u64(data), flags)
    }

    #[inline(never)]
    fn resume(&mut self) -> Result<(), Errno> {
        self.is_paused = false;
        for (listener, data) in self.memory.listeners.iter().zip(LISTENER..) {
            if let Some(listener) = listener.get() {
                self.watch(listener, data, EventFlags::IN)?;
            }
        }
        Ok(())
    }

    fn pause(&mut self) {
        self.is_paused = true;
        for listener in self.memory.listeners.iter().filter_map(DescriptorSlot::get) {
            let _ = epoll::delete(&self.epoll, listener);
        }
    }

    #[inline(never)]
    fn accept(&mut self, index: usize) {
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        while let Some(listener) = self
            .memory
            .listeners
            .get(index)
            .and_then(DescriptorSlot::get)
        {
            match accept_with(listener, flags) {
                Ok(socket) => self.admit(socket),
                Err(Errno::CONNABORTED | Errno::INTR) => {}
                // Level-triggered: without a pause this would wake for ever.
                Err(Errno::MFILE | Errno::NFILE | Errno::NOBUFS | Errno::NOMEM) => {
                    return self.pause();
                }
                Err(_) => return,
            }
        }
    }

    fn admit(&mut self, socket: OwnedFd) {
        let number = socket.as_raw_fd() as usize;
        if self.count >= self.max_count {
            return self.turn_away(&socket);
        }
        let Some(slot) = self.memory.slots.get_mut(number) else {
            return self.turn_away(&socket);
        };
        slot.socket.put(socket);
        slot.deadline = self.memory.desk.now + REQUEST_SECONDS;
        slot.phase = Phase::Idle;
        slot.closes = false;
        slot.continued = false;
        self.count += 1;
        self.highest = self.highest.max(number);
        let socket = self
            .memory
            .slots
            .get(number)
            .and_then(|slot| slot.socket.get());
        match socket.map(|socket| self.watch(socket, number as u64, WATCHED)) {
            Some(Ok(())) => {
                self.drive(number, EventFlags::empty());
            }
            _ => self.close(number),
        }
    }

    /// Full: 503 at once, as far as the kernel takes it.
    fn turn_away(&mut self, socket: &OwnedFd) {
        let desk = &mut self.memory.desk;
        let bytes = desk.refusal(Status::ServiceUnavailable);
        let _ = send(socket.as_fd(), bytes, SendFlags::empty());
        let _ = shutdown(socket, Shutdown::Write);
        // Unread bytes would turn the close into a reset that overtakes the 503.
        let _ = receive(socket.as_fd(), &mut desk.input, RecvFlags::TRUNC);
    }

    #[inline(never)]
    fn close(&mut self, number: usize) {
        let Memory { slots, desk, .. } = &mut *self.memory;
        if let Some(slot) = slots.get_mut(number)
            && let Some(socket) = slot.socket.take()
        {
            drop(socket);
            drop(slot.file.take());
            desk.free_spill(slot);
            self.count -= 1;
            if self.is_paused {
                // Where it fails the next close tries again.
                self.is_paused = self.resume().is_err();
            }
        }
    }

    /// Once a second, closes what is overdue.
    fn sweep(&mut self) {
        if self.is_paused {
            self.is_paused = self.resume().is_err();
        }
        let mut highest = 0;
        for number in 0..=self.highest {
            let Memory { slots, desk, .. } = &mut *self.memory;
            let Some(slot) = slots.get_mut(number) else {
                break;
            };
            if slot.socket.is_empty() {
                continue;
            }
            highest = number;
            if desk.now < slot.deadline {
                continue;
            }
            if slot.phase == Phase::Reading && desk.refuse(slot, Status::RequestTimeout).is_ok() {
                self.drive(number, EventFlags::empty());
            } else {
                self.close(number);
            }
        }
        self.highest = highest;
    }

    /// Gives a connection its turn. True where it can do more at once: it gets
    /// another turn, behind those of others.
    #[inline(never)]
    fn drive(&mut self, number: usize, flags: EventFlags) -> bool {
        let Memory { slots, desk, .. } = &mut *self.memory;
        let Some(slot) = slots.get_mut(number).filter(|slot| !slot.socket.is_empty()) else {
            return false;
        };
        let step = if flags.intersects(EventFlags::ERR | EventFlags::HUP) {
            Err(Halt::Ends)
        } else {
            desk.turn(slot, self.service, flags.contains(EventFlags::RDHUP))
        };
        match step {
            Err(Halt::Waits) => return false,
            Ok(()) => {
                // The same event is asked for again.
                if let Some(socket) = slot.socket.get() {
                    let data = EventData::new_u64(number as u64);
                    let _ = epoll::modify(&self.epoll, socket, data, WATCHED);
                }
                return true;
            }
            Err(Halt::Ends) => self.close(number),
        }
        false
    }
}
