//! From the command line to a server that runs, shut in.

use crate::address;
use crate::engine::{Engine, Limits, MAX_LISTENERS};
use crate::entry::{self, Once};
use crate::options::{Options, number_of};
use crate::page::{Memory, Room};
use crate::program::{Program, number};
use crate::site::{Content, Manner, Site};
use core::marker::PhantomData;
use ounce_http::packed::Site as Packed;
use ounce_http::take_until;
use ounce_http::writer::HeadWriter;
use ounce_linux::bare::{self, Address, Fd, FileKind, OPEN_ROOT, Setting, errno};

/// The first descriptor handed in (sd_listen_fds(3)).
const FIRST: Fd = 3;
/// Descriptors kept for files and for the program's own.
const RESERVE: u64 = 32;

/// The numbers of a program's options.
struct At<C>(PhantomData<C>);

impl<C: Content> At<C> {
    const PORT: usize = number_of(C::HELP, b"port");
    const ADDRESS: usize = number_of(C::HELP, b"address");
    const LISTING: usize = number_of(C::HELP, b"listing");
    const SPA: usize = number_of(C::HELP, b"spa");
    const CACHE: usize = number_of(C::HELP, b"cache");
    const IMMUTABLE: usize = number_of(C::HELP, b"immutable");
    const HEADER: usize = number_of(C::HELP, b"header");
    const NO_SECURITY_HEADERS: usize = number_of(C::HELP, b"no-security-headers");
    const LOG: usize = number_of(C::HELP, b"log");
    const MAX_CONNECTIONS: usize = number_of(C::HELP, b"max-connections");
    const HEADER_SECONDS: usize = number_of(C::HELP, b"header-seconds");
    const IDLE_SECONDS: usize = number_of(C::HELP, b"idle-seconds");
    const WRITE_SECONDS: usize = number_of(C::HELP, b"write-seconds");
    const GRACE_SECONDS: usize = number_of(C::HELP, b"grace-seconds");
    const USER: usize = number_of(C::HELP, b"user");
    const NO_SANDBOX: usize = number_of(C::HELP, b"no-sandbox");
    const TINY: usize = number_of(C::HELP, b"tiny");
    const REUSE_PORT: usize = number_of(C::HELP, b"reuse-port");
    const HEALTH: usize = number_of(C::HELP, b"health");
    const HELP: usize = number_of(C::HELP, b"help");
    const VERSION: usize = number_of(C::HELP, b"version");
}

/// Runs the program; comes back only where it is not to serve.
pub fn start<C: Content>(
    program: &Program,
    memory: &'static Once<Memory<C>>,
    room: &'static Once<Room>,
) -> u8 {
    let mut options = Options::new(C::HELP, At::<C>::HEADER);
    match options.read(program) {
        Ok(()) => run(program, &options, memory, room),
        Err(text) => misused(program, text),
    }
}

/// Does what the options say.
#[inline(never)]
fn run<C: Content>(
    program: &Program,
    options: &Options,
    memory: &'static Once<Memory<C>>,
    room: &'static Once<Room>,
) -> u8 {
    let is_on = |number: usize| options.numbers[number] != 0;
    if is_on(At::<C>::HELP) {
        program.print(C::HELP);
        return 0;
    }
    if is_on(At::<C>::VERSION) {
        program.print(concat!("httpd ", env!("CARGO_PKG_VERSION"), "\n").as_bytes());
        return 0;
    }
    let port = options.numbers[At::<C>::PORT];
    let place = options.texts[At::<C>::ADDRESS];
    let mut address = Address::NONE;
    let mut group = options.texts[At::<C>::USER];
    let user = take_until(&mut group, b':');
    if group.is_empty() {
        group = user;
    }
    let (user, group) = (number(user), number(group));
    let misuse: &[u8] = if port > 65_535 {
        b"--port"
    } else if !address::parse(place, port, &mut address) {
        b"--address"
    } else if user.is_none() || group.is_none() {
        b"--user"
    } else if options.numbers[At::<C>::MAX_CONNECTIONS] == 0 {
        b"--max-connections"
    } else {
        b""
    };
    if !misuse.is_empty() {
        return misused(program, misuse);
    }
    if is_on(At::<C>::HEALTH) {
        return u8::from(!is_well(&address));
    }

    let path = options.root.unwrap_or(c"/public");
    let root = bare::open(path, OPEN_ROOT);
    let file = bare::file(root);
    let mut packed = None;
    if file.kind == FileKind::Regular {
        packed = Packed::new(bare::map(root, file.size as usize));
    }
    if packed.is_none() && (!C::FOLDERS || file.kind != FileKind::Folder) {
        let error = if root < 0 { root } else { INVALID };
        return refused(program, &[b"open ", path.to_bytes()], error);
    }

    let mut listeners = [-1; MAX_LISTENERS];
    let is_ours = program
        .number("LISTEN_PID")
        .is_none_or(|process| process == bare::process_id());
    let inherited = if is_ours {
        program.number("LISTEN_FDS").unwrap_or(0)
    } else {
        0
    };
    for (fd, place) in (FIRST..).zip(&mut listeners).take(inherited as usize) {
        *place = fd;
        // It listens already, unless it is something else.
        if bare::adopt(fd) < 0 || bare::listen(fd) < 0 {
            return refused(program, &[b"listen on LISTEN_FDS"], INVALID);
        }
    }
    if inherited == 0 {
        let is_shared = is_on(At::<C>::REUSE_PORT);
        let mut fd = bound(&address, is_shared);
        if place == b"::" && matches!(-fd as u32, errno::EAFNOSUPPORT | errno::EADDRNOTAVAIL) {
            address::parse(b"0.0.0.0", port, &mut address);
            fd = bound(&address, is_shared);
        }
        if fd < 0 {
            return refused(
                program,
                &[
                    b"listen on port ",
                    options.texts[At::<C>::PORT],
                    b" of ",
                    place,
                ],
                fd,
            );
        }
        if port == 0 {
            bare::local(fd, &mut address);
            let [_, _, high, low, ..] = address.bytes;
            let port = u16::from_be_bytes([high, low]);
            tell(program, b"listening on port %\n", port.into());
        }
        listeners[0] = fd;
    }
    let milliseconds = options.numbers[At::<C>::WRITE_SECONDS].saturating_mul(1_000);
    for fd in listeners.into_iter().filter(|&fd| fd >= 0) {
        // Accepted sockets inherit both.
        bare::set(fd, Setting::NoDelay, 1);
        bare::set(fd, Setting::UserTimeout, milliseconds);
        // What the kernel does not know it refuses, and nothing is lost.
        bare::set(fd, Setting::DeferAccept, 1);
    }

    // 70 is "our bug": this is the only place that takes them.
    let Some(memory) = memory.take() else {
        return 70;
    };
    let mut busy: &mut [u8] = &mut memory.busy;
    let mut buffer: &mut [u8] = &mut memory.buffer;
    if !is_on(At::<C>::TINY) {
        let Some(room) = room.take() else {
            return 70;
        };
        (busy, buffer) = (&mut room.busy, &mut room.buffer);
    }
    // Arguments and environment will be gone: what answers need of them is kept
    // at the buffer's start.
    let mut texts = HeadWriter::new(buffer);
    texts.put(options.texts[At::<C>::IMMUTABLE]);
    let immutable = texts.written();
    if !options.texts[At::<C>::CACHE].is_empty() {
        texts.field("Cache-Control", options.texts[At::<C>::CACHE]);
    }
    let cache = texts.written();
    texts.put(b"X-Content-Type-Options: nosniff\r\n");
    if !is_on(At::<C>::NO_SECURITY_HEADERS) {
        texts.put(
            b"X-Frame-Options: SAMEORIGIN\r\nReferrer-Policy: strict-origin-when-cross-origin\r\n",
        );
    }
    let own = texts.written();
    for line in options.lines {
        if !line.is_empty() {
            texts.put(line);
            texts.put(b"\r\n");
        }
    }
    let fields = texts.written();
    if fields > buffer.len() - LEAST_BYTES {
        return refused(program, &[b"keep so many headers"], -(errno::ENOMEM as i32));
    }
    let (texts, buffer) = buffer.split_at_mut(fields);
    let texts: &'static [u8] = texts;
    let manner = Manner {
        fields: &texts[cache..],
        own: &texts[own..],
        cache: &texts[immutable..cache],
        immutable: &texts[..immutable],
        lists: is_on(At::<C>::LISTING),
        is_spa: is_on(At::<C>::SPA),
        logs: is_on(At::<C>::LOG),
    };
    let most = bare::descriptor_limit().saturating_sub(RESERVE) as u32;
    let limits = Limits {
        header_seconds: options.numbers[At::<C>::HEADER_SECONDS],
        idle_seconds: options.numbers[At::<C>::IDLE_SECONDS],
        grace_seconds: options.numbers[At::<C>::GRACE_SECONDS],
        connections: options.numbers[At::<C>::MAX_CONNECTIONS].min(most),
    };
    let is_packed = packed.is_some();
    let site = Site::new(root, packed, manner);
    let engine = memory
        .engine
        .write(Engine::new(site, limits, listeners, busy, buffer));

    if bare::user_id() == 0 {
        let result = bare::drop_user(user.unwrap_or(0), group.unwrap_or(0));
        if result < 0 {
            let user = options.texts[At::<C>::USER];
            return refused(program, &[b"become user ", user], result);
        }
    }
    if !is_on(At::<C>::NO_SANDBOX) {
        bare::no_new_privileges();
        bare::see_beneath(if is_packed { -1 } else { root });
        bare::allow_only(if C::FOLDERS {
            bare::SERVING
        } else {
            bare::SERVING_PACKED
        });
    }
    entry::settle(program.strings(), &mut memory.stack, engine, serve::<C>)
}

/// EINVAL, for what is not what it should be.
const INVALID: i32 = -(errno::EINVAL as i32);
/// What requests and answers need of the buffer.
const LEAST_BYTES: usize = 1_280;

extern "C" fn serve<C: Content>(engine: &'static mut Engine<Site<C>>) -> ! {
    entry::exit(engine.run())
}

/// The command line or the environment cannot be understood.
#[inline(never)]
fn misused(program: &Program, text: &[u8]) -> u8 {
    for part in [
        b"error: cannot understand ",
        text,
        b"\nhint: httpd --help\n",
    ] {
        program.complain(part);
    }
    2
}

/// The kernel refuses: what was tried, on what, and why.
#[inline(never)]
fn refused(program: &Program, what: &[&[u8]], error: i32) -> u8 {
    let why: &[u8] = match -error as u32 {
        errno::EACCES | errno::EPERM => b": not permitted\n",
        errno::EADDRINUSE => b": in use\n",
        errno::ENOENT => b": not found\n",
        errno::EINVAL => b": not what it should be\n",
        _ => b": error %\n",
    };
    program.complain(b"error: cannot ");
    for part in what {
        program.complain(part);
    }
    tell(program, why, -error as u32);
    4
}

/// Tells a text with a number.
#[inline(never)]
fn tell(program: &Program, text: &[u8], number: u32) {
    let mut buffer = [0; 40];
    let mut writer = HeadWriter::new(&mut buffer);
    writer.numbers(text, &[number.into()]);
    program.complain(writer.bytes());
}

/// A socket that listens on this address, or the error.
#[inline(never)]
fn bound(address: &Address, is_shared: bool) -> Fd {
    let fd = bare::socket(address, false);
    bare::set(fd, Setting::ReuseAddress, 1);
    // All addresses are those of IPv4, too; of other sockets this is no setting.
    bare::set(fd, Setting::OnlyV6, 0);
    bare::set(fd, Setting::ReusePort, is_shared.into());
    let mut result = fd;
    if result >= 0 {
        result = bare::bind(fd, address);
    }
    if result >= 0 {
        result = bare::listen(fd);
    }
    if result < 0 {
        bare::close(fd);
        return result;
    }
    fd
}

/// Asks a server for its health. Connecting to "all addresses" is connecting to
/// this machine's own (ip(7)).
#[inline(never)]
fn is_well(address: &Address) -> bool {
    let fd = bare::socket(address, true);
    let mut answer = [0; 12];
    bare::keep(fd, bare::Kept::First, 2);
    bare::keep(fd, bare::Kept::Second, 2);
    bare::connect(fd, address);
    bare::send(fd, b"GET /healthz HTTP/1.0\r\n\r\n", false);
    bare::receive(fd, &mut answer, 0);
    answer == *b"HTTP/1.1 200"
}
