//! From the command line to a server that runs, shut in.

use super::Answers;
use crate::engine::{Engine, Limits};
use crate::entry::Once;
use crate::listen;
use crate::program::{Program, number};
use crate::serve::is_well;
use ounce_http::packed::Site;
use ounce_linux::bare::{self, OPEN_ROOT};

/// The most connections; more get 503.
const CONNECTIONS: u32 = 10_000;
/// Descriptors that are no connections.
const RESERVE: u32 = 16;

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

usage: httpd-packed [OPTIONS] [FILE]   (/public unless given)

  -p, --port N  TCP port, else OUNCE_HTTPD_PORT [8080]
      --health  ask the server that runs if it is well
  -h, --help    print this

Sockets by LISTEN_FDS go before the port.
";

/// Runs the program; the result is the exit status: 0 where it was asked to stop
/// (or is well), 1 where it is not well, 2 where it was misused, and 4 where it
/// cannot serve.
pub fn start(program: &Program) -> u8 {
    let mut port = program.variable("OUNCE_HTTPD_PORT").unwrap_or(c"8080");
    let mut path = c"/public";
    let mut asks = false;
    let mut arguments = program.arguments();
    while let Some(argument) = arguments.next() {
        match argument.to_bytes() {
            b"-p" | b"--port" => port = arguments.next().unwrap_or_default(),
            b"--health" => asks = true,
            b"-h" | b"--help" => {
                program.print(HELP);
                return 0;
            }
            [b'-', ..] => return failed(program, b"understand ", argument.to_bytes(), 2),
            _ => path = argument,
        }
    }
    let (port, path, text) = (number(port.to_bytes()), path, port.to_bytes());
    let Some(port) = port.and_then(|port| u16::try_from(port).ok()).filter(|&port| port > 0) else {
        return failed(program, b"understand the port ", text, 2);
    };
    if asks {
        return u8::from(!is_well(port));
    }
    let file = bare::open(path, OPEN_ROOT);
    let Some(site) = Site::new(bare::map(file, bare::length(file))) else {
        return failed(program, b"read as a packed site: ", path.to_bytes(), 4);
    };
    let Ok(listeners) = listen::open(program, port) else {
        return failed(program, b"listen on LISTEN_FDS or port ", text, 4);
    };
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
    bare::no_new_privileges();
    bare::allow_only(bare::SERVING_PACKED);
    engine.run()
}

/// Says what it cannot do, and on what.
#[inline(never)]
fn failed(program: &Program, what: &[u8], which: &[u8], status: u8) -> u8 {
    for part in [b"error: cannot ", what, which, b"\nhint: --help\n"] {
        program.complain(part);
    }
    status
}
