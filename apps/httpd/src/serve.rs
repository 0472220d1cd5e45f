//! From `main` to a service that runs, shut in.

use crate::engine::{Engine, Limits, MAX_LISTENERS};
use crate::entry::Once;
use crate::listen;
use crate::program::Program;
use crate::service::{BUFFER_BYTES, Running};
use crate::streams::Streams;
use ounce_http::parse_decimal;
use ounce_http::route::{App, Service};
use ounce_linux::bare::{self, Fd, Kept, errno};

/// The port where the environment names none.
const PORT: u64 = 8080;
/// Whom a service becomes that is started as root.
const USER: u32 = 65_532;
/// The most connections; more get 503.
const CONNECTIONS: u32 = 10_000;
/// Descriptors that are no connections.
const RESERVE: u64 = 16;

const LIMITS: Limits = Limits {
    header_seconds: 10,
    idle_seconds: 60,
    grace_seconds: 10,
    connections: CONNECTIONS,
};

/// What is received and sent, and a bit for each connection. All zeros, so that
/// it takes no place in the program's file.
struct Room {
    streams: Streams,
    buffer: [u8; BUFFER_BYTES],
    busy: [u8; (CONNECTIONS as usize + RESERVE as usize).div_ceil(8)],
}

static ROOM: Once<Room> = Once::new(Room {
    streams: Streams::EMPTY,
    buffer: [0; BUFFER_BYTES],
    busy: [0; (CONNECTIONS as usize + RESERVE as usize).div_ceil(8)],
});

/// Serves the state's routes until SIGTERM or SIGINT: on the sockets handed in by
/// `LISTEN_FDS`, else on port `PORT` (8080) of all addresses. `GET /healthz` is
/// answered without the routes, and the single argument `--health` asks the
/// service that runs for it.
///
/// The result is the exit status: 0 where it was asked to stop (or is well), 1
/// where it is not well, 2 for a wrong argument, 4 where it could not listen.
pub fn serve<S: Service>(program: &Program, state: &mut S) -> u8 {
    let port = program
        .variable("PORT")
        .map_or(Some(PORT), parse_decimal)
        .unwrap_or(0);
    if port == 0 || port > 65_535 {
        program.complain(b"error: PORT is not a port number\nhint: 1 to 65535\n");
        return 2;
    }
    let port = port as u16;
    match program.arguments().next() {
        None => {}
        Some(argument) if argument.to_bytes() == b"--health" => return u8::from(!is_well(port)),
        Some(_) => {
            program.complain(b"usage: [PORT=8080] program [--health]\n");
            return 2;
        }
    }
    let mut listeners = [-1; MAX_LISTENERS];
    let error = listen::open(program, port, &mut listeners);
    if error < 0 {
        program.complain(match -error as u32 {
            errno::EADDRINUSE => b"error: the port is taken\nhint: choose another with PORT\n",
            errno::EACCES => {
                b"error: not allowed to listen on this port\nhint: choose PORT above 1023\n"
            }
            errno::EBADF | errno::EINVAL | errno::ENOTSOCK | errno::EOPNOTSUPP => {
                b"error: LISTEN_FDS names what is no listening socket\n"
            }
            _ => &b"error: the kernel refused a socket\n"[..],
        });
        return 4;
    }
    let Some(room) = ROOM.take() else {
        return 70;
    };
    let most = bare::descriptor_limit().saturating_sub(RESERVE);
    let service = Running::new(App::new(state), &mut room.streams);
    let limits = Limits {
        connections: most.min(CONNECTIONS.into()) as u32,
        ..LIMITS
    };
    let (busy, buffer) = (&mut room.busy, &mut room.buffer);
    let mut engine = Engine::new(service, limits, listeners, busy, buffer);
    engine.open();
    if bare::user_id() == 0 {
        bare::drop_user(USER, USER);
    }
    bare::no_new_privileges();
    bare::see_beneath(-1);
    bare::allow_only(bare::SERVING_PACKED);
    engine.run()
}

/// Whether the server on this port of this machine says that it is well.
#[inline(never)]
fn is_well(port: u16) -> bool {
    // Connecting to "all addresses" is connecting to this machine's own (ip(7)).
    let address = listen::all(2, port);
    let fd: Fd = bare::socket(&address, true);
    bare::keep(fd, Kept::First, 2);
    bare::keep(fd, Kept::Second, 2);
    let mut answer = [0; 12];
    // Where one of these fails, so do those behind it, and there is no answer.
    bare::connect(fd, &address);
    bare::send(fd, b"GET /healthz HTTP/1.0\r\n\r\n", false);
    bare::receive(fd, &mut answer, 0);
    answer == *b"HTTP/1.1 200"
}
