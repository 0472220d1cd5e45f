//! From the command line to a server that runs, shut in.

use super::Answers;
use crate::engine::{Engine, Limits, MAX_LISTENERS};
use crate::entry::Once;
use crate::listen::all;
use crate::program::Program;
use ounce_http::packed::Site;
use ounce_http::{parse_decimal, take_until};
use ounce_linux::bare::{self, Fd, Kept, OPEN_FILE, Setting};

/// The most connections; more get 503.
const CONNECTIONS: u32 = 10_000;
/// Descriptors that are no connections.
const RESERVE: u32 = 16;
/// A client that takes nothing for so long is gone.
const WRITE_SECONDS: u32 = 30;

/// What is received and sent, and a bit for each connection. All zeros, so that
/// it takes no place in the program's file, and no memory before its use.
struct Room {
    buffer: [u8; 49_152],
    busy: [u8; (CONNECTIONS + RESERVE).div_ceil(8) as usize],
}

static ROOM: Once<Room> = Once::new(Room {
    buffer: [0; 49_152],
    busy: [0; (CONNECTIONS + RESERVE).div_ceil(8) as usize],
});

const HELP: &[u8] = b"\
Serves a site packed by ounce over HTTP/1.1.
usage: httpd-packed [OPTIONS] [FILE]  (/public)
  -p, --port N  TCP port, else OUNCE_HTTPD_PORT [8080]
      --health  ask the server that runs if it is well
  -h, --help    print this
";

/// An option's name as a number, which is compared in one instruction; 0 where
/// it is longer than all of them.
const fn word(name: &[u8]) -> u64 {
    let mut word = 0;
    let mut rest = name;
    while let [byte, after @ ..] = rest {
        word = word << 8 | *byte as u64;
        rest = after;
    }
    if name.len() > 8 { 0 } else { word }
}

const P: u64 = word(b"-p");
const PORT: u64 = word(b"--port");
const HEALTH: u64 = word(b"--health");
const H: u64 = word(b"-h");
const LONG_HELP: u64 = word(b"--help");

/// Runs the program; the result is the exit status: 0 where it was asked to stop
/// (or is well), 1 where it is not well, 2 where it was misused, and 4 where it
/// cannot serve.
pub fn start(program: &Program) -> u8 {
    let mut port = variable(program, b"OUNCE_HTTPD_PORT").unwrap_or(b"8080");
    let mut path = c"/public";
    let mut asks = false;
    let mut arguments = program.arguments();
    while let Some(argument) = arguments.next() {
        match word(argument.to_bytes()) {
            P | PORT => port = arguments.next().unwrap_or_default().to_bytes(),
            HEALTH => asks = true,
            H | LONG_HELP => {
                bare::write(1, HELP);
                return 0;
            }
            _ if argument.to_bytes().starts_with(b"-") => {
                return failed(b"understand ", argument.to_bytes(), 2);
            }
            _ => path = argument,
        }
    }
    let number = parse_decimal(port).unwrap_or(0);
    if number == 0 || number > 65_535 {
        return failed(b"take as a port: ", port, 2);
    }
    let number = number as u16;
    if asks {
        return u8::from(!is_well(number));
    }
    let file = bare::open(path, OPEN_FILE);
    let Some(site) = Site::new(bare::map(file, bare::length(file))) else {
        return failed(b"read as a packed site: ", path.to_bytes(), 4);
    };
    let mut listeners = [-1; MAX_LISTENERS];
    if !listen(program, number, &mut listeners) {
        return failed(b"listen on LISTEN_FDS or port ", port, 4);
    }
    // 70 is "our bug": this is the only place that takes it.
    let Some(room) = ROOM.take() else {
        return 70;
    };
    let most = (bare::descriptor_limit() as u32).saturating_sub(RESERVE);
    let limits = Limits {
        header_seconds: 10,
        idle_seconds: 60,
        grace_seconds: 10,
        connections: most.min(CONNECTIONS),
    };
    let answers = Answers::new(file, site);
    let mut engine = Engine::new(answers, limits, listeners, &mut room.busy, &mut room.buffer);
    engine.open();
    bare::no_new_privileges();
    bare::allow_only(bare::SERVING_PACKED);
    engine.run()
}

/// Says what it cannot do, and on what.
#[inline(never)]
fn failed(what: &[u8], which: &[u8], status: u8) -> u8 {
    for part in [b"error: cannot ", what, which, b"\nhint: --help\n"] {
        bare::write(2, part);
    }
    status
}

/// A variable of the environment.
#[inline(never)]
fn variable(program: &Program, name: &[u8]) -> Option<&'static [u8]> {
    program.environment().find_map(|entry| {
        let mut value = entry.to_bytes();
        (take_until(&mut value, b'=') == name).then_some(value)
    })
}

/// Listens on the sockets that were handed in, where the environment says so for
/// this process (sd_listen_fds(3)), else on this port of all addresses.
fn listen(program: &Program, port: u16, listeners: &mut [Fd; MAX_LISTENERS]) -> bool {
    let number = |name| parse_decimal(variable(program, name)?);
    let process = number(b"LISTEN_PID").unwrap_or(bare::process_id().into());
    let mut count = number(b"LISTEN_FDS").unwrap_or(0);
    let mut first = 3;
    if count == 0 || process != bare::process_id().into() {
        count = 1;
        // `[::]` takes IPv4 as well; a kernel without IPv6 gets `0.0.0.0`.
        let mut address = all(10, port);
        first = bare::socket(&address, false);
        if first < 0 {
            address = all(2, port);
            first = bare::socket(&address, false);
        }
        bare::set(first, Setting::ReuseAddress, 1);
        // Of a socket of IPv4 this is no setting.
        bare::set(first, Setting::OnlyV6, 0);
        if bare::bind(first, &address) < 0 {
            return false;
        }
    }
    for (place, fd) in listeners.iter_mut().zip(first..).take(count as usize) {
        *place = fd;
        bare::adopt(fd);
        // Accepted sockets inherit the first two. What a socket does not know it
        // refuses, and nothing is lost.
        bare::set(fd, Setting::NoDelay, 1);
        bare::set(fd, Setting::UserTimeout, WRITE_SECONDS * 1_000);
        bare::set(fd, Setting::DeferAccept, 1);
        // What was handed in listens already, unless it is something else.
        if bare::listen(fd) < 0 {
            return false;
        }
    }
    true
}

/// Whether the server on this port of this machine says that it is well.
fn is_well(port: u16) -> bool {
    // Connecting to "all addresses" is connecting to this machine's own (ip(7)).
    let address = all(2, port);
    let fd = bare::socket(&address, true);
    bare::keep(fd, Kept::First, 2);
    bare::keep(fd, Kept::Second, 2);
    let mut answer = [0; 12];
    // Where one of these fails, so do those behind it, and there is no answer.
    bare::connect(fd, &address);
    bare::send(fd, b"GET /healthz HTTP/1.0\r\n\r\n", false);
    bare::receive(fd, &mut answer, 0);
    answer == *b"HTTP/1.1 200"
}
