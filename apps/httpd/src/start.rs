//! From the command line to a server that runs, shut in.

use crate::address;
use crate::engine::{Engine, Limits, MAX_LISTENERS};
use crate::entry;
use crate::help::HELP;
use crate::options::{Options, number_of};
use crate::page::Page;
use crate::program::Program;
use crate::site::{Manner, Site};
use core::hint::black_box;
use core::mem;
use ounce_http::writer::HeadWriter;
use ounce_linux::bare::{self, Address, Fd, OPEN_SITE, Setting, errno};

static PAGE: Page = Page::EMPTY;

/// The first descriptor handed in (sd_listen_fds(3)).
const FIRST: Fd = 3;
/// Descriptors kept for files and for the program's own.
const RESERVE: u64 = 32;

/// The numbers of the options.
mod at {
    use super::{HELP, number_of};

    pub(super) const PORT: usize = number_of(HELP, b"port");
    pub(super) const ADDRESS: usize = number_of(HELP, b"address");
    pub(super) const LISTING: usize = number_of(HELP, b"listing");
    pub(super) const SPA: usize = number_of(HELP, b"spa");
    pub(super) const CACHE: usize = number_of(HELP, b"cache");
    pub(super) const IMMUTABLE: usize = number_of(HELP, b"immutable");
    pub(super) const NO_SECURITY_HEADERS: usize = number_of(HELP, b"no-security-headers");
    pub(super) const HEADER: usize = number_of(HELP, b"header");
    pub(super) const LOG: usize = number_of(HELP, b"log");
    pub(super) const MAX_CONNECTIONS: usize = number_of(HELP, b"max-connections");
    pub(super) const HEADER_SECONDS: usize = number_of(HELP, b"header-seconds");
    pub(super) const IDLE_SECONDS: usize = number_of(HELP, b"idle-seconds");
    pub(super) const WRITE_SECONDS: usize = number_of(HELP, b"write-seconds");
    pub(super) const GRACE_SECONDS: usize = number_of(HELP, b"grace-seconds");
    pub(super) const NO_SANDBOX: usize = number_of(HELP, b"no-sandbox");
    pub(super) const TINY: usize = number_of(HELP, b"tiny");
    pub(super) const REUSE_PORT: usize = number_of(HELP, b"reuse-port");
    pub(super) const HEALTH: usize = number_of(HELP, b"health");
    pub(super) const SHOW_HELP: usize = number_of(HELP, b"help");
    pub(super) const VERSION: usize = number_of(HELP, b"version");
    pub(super) const LISTEN_FDS: usize = number_of(HELP, b"listen-fds");
    pub(super) const LISTEN_PID: usize = number_of(HELP, b"listen-pid");
}

/// Runs the program; comes back only where it is not to serve.
pub fn start(program: &Program) -> u8 {
    // Where it is, is not to be known: then each of its fields is reached by a
    // short instruction.
    let mut options = Options::NONE;
    let options = black_box(&mut options);
    match options.read(program) {
        Ok(()) => run(program, options),
        Err(text) => misused(text),
    }
}

/// Does what the options say.
fn run(program: &Program, options: &mut Options) -> u8 {
    let told: &[u8] = if options.is_on(at::SHOW_HELP) {
        HELP
    } else if options.is_on(at::VERSION) {
        concat!("httpd ", env!("CARGO_PKG_VERSION"), "\n").as_bytes()
    } else {
        b""
    };
    if !told.is_empty() {
        bare::write(1, told);
        return 0;
    }
    if options.is_on(at::HEALTH) {
        return u8::from(!is_well(&options.address));
    }

    let path = options.root.unwrap_or(c"/public");
    let root = bare::open(path, OPEN_SITE);
    if root < 0 {
        return refused(FOLDER, 0, path.to_bytes(), root);
    }
    let mut listeners = [-1; MAX_LISTENERS];
    let status = listen(options, &mut listeners);
    if status != 0 {
        return status;
    }

    // 70 is "our bug": this is the only place that takes it.
    let Some(memory) = PAGE.0.take() else {
        return 70;
    };
    let mut busy: &mut [u8] = &mut memory.room.busy;
    let mut buffer: &mut [u8] = &mut memory.room.buffer;
    if options.is_on(at::TINY) {
        (busy, buffer) = (&mut memory.busy, &mut memory.buffer);
    }
    let site = site(options, root, &mut buffer);
    if buffer.len() < LEAST_BYTES {
        return refused(b"keep so many headers", 0, b"", -(errno::ENOMEM as i32));
    }
    let most = bare::descriptor_limit().saturating_sub(RESERVE) as u32;
    let limits = Limits {
        header_seconds: options.numbers[at::HEADER_SECONDS],
        idle_seconds: options.numbers[at::IDLE_SECONDS],
        grace_seconds: options.numbers[at::GRACE_SECONDS],
        connections: options.numbers[at::MAX_CONNECTIONS].min(most),
    };
    let engine = Engine::new(site, limits, listeners, busy, buffer);
    // That it is in a static is not to be known: then each of its fields is
    // reached by an address of its own.
    let engine = black_box(&mut memory.engine).write(engine);
    engine.open();

    if bare::user_id() == 0 {
        let [user, group] = options.user;
        let result = bare::drop_user(user, group);
        if result < 0 {
            return refused(b"become user %", user, b"", result);
        }
    }
    if !options.is_on(at::NO_SANDBOX) {
        bare::no_new_privileges();
        bare::see_beneath(root);
        bare::allow_only(bare::SERVING);
    }
    entry::settle(program.strings(), &mut memory.stack, engine, serve)
}

/// Has sockets listen, handed in or bound to the address; the exit status where it
/// cannot, or 0.
fn listen(options: &mut Options, listeners: &mut [Fd; MAX_LISTENERS]) -> u8 {
    let (numbers, address) = (&options.numbers, &mut options.address);
    let port = numbers[at::PORT];
    let parent = numbers[at::LISTEN_PID];
    let mut count = numbers[at::LISTEN_FDS] as usize;
    let mut first = FIRST;
    let mut what: &[u8] = b"listen on LISTEN_FDS";
    if count == 0 || parent != 0 && parent != bare::process_id() {
        count = 1;
        what = b"listen on port %";
        let is_shared = numbers[at::REUSE_PORT];
        first = bound(address, is_shared);
        if numbers[at::ADDRESS] != 0
            && matches!(-first as u32, errno::EAFNOSUPPORT | errno::EADDRNOTAVAIL)
        {
            address::parse(b"0.0.0.0", address);
            first = bound(address, is_shared);
        }
    }
    let milliseconds = numbers[at::WRITE_SECONDS].saturating_mul(1_000);
    for (fd, place) in (first..).zip(listeners).take(count) {
        *place = fd;
        bare::adopt(fd);
        // One handed in listens already, unless it is something else.
        let mut result = fd;
        if result >= 0 {
            result = bare::listen(fd);
        }
        if result < 0 {
            return refused(what, port, b"", result);
        }
        // Accepted sockets inherit both.
        bare::set(fd, Setting::NoDelay, 1);
        bare::set(fd, Setting::UserTimeout, milliseconds);
        // What the kernel does not know it refuses, and nothing is lost.
        bare::set(fd, Setting::DeferAccept, 1);
    }
    if port == 0 {
        bare::local(first, address);
        let [_, _, high, low, ..] = address.bytes;
        tell(
            b"listening on port %\n",
            u16::from_be_bytes([high, low]).into(),
        );
    }
    0
}

/// A site in this folder. Arguments and environment will be gone: what answers
/// need of them is kept at the buffer's start.
#[inline(never)]
fn site(options: &Options, root: Fd, buffer: &mut &'static mut [u8]) -> Site {
    let mut writer = HeadWriter::new(buffer);
    for line in options.texts(at::HEADER) {
        writer.put(line);
        writer.put(b"\r\n");
    }
    let length = writer.written();
    let manner = Manner {
        own: take(buffer, length),
        cache: keep(buffer, options.text(at::CACHE)),
        immutable: keep(buffer, options.text(at::IMMUTABLE)),
        security: if options.is_on(at::NO_SECURITY_HEADERS) {
            SECURITY.split_at(33).0
        } else {
            SECURITY
        },
        lists: options.is_on(at::LISTING),
        is_spa: options.is_on(at::SPA),
        logs: options.is_on(at::LOG),
    };
    Site::new(root, manner)
}

/// Packed files have a server of their own.
const FOLDER: &[u8] = b"serve as a folder (packed files are httpd-packed's) ";
/// The first line always stays.
const SECURITY: &[u8] = b"X-Content-Type-Options: nosniff\r\n\
    X-Frame-Options: SAMEORIGIN\r\nReferrer-Policy: strict-origin-when-cross-origin\r\n";
/// What requests and answers need of the buffer.
const LEAST_BYTES: usize = 1_280;

extern "C" fn serve(engine: &'static mut Engine<Site>) -> ! {
    entry::exit(engine.run())
}

/// The command line or the environment cannot be understood.
fn misused(text: &[u8]) -> u8 {
    refused(b"understand ", 0, text, 0)
}

/// Tells what cannot be done, with what (a number in the text, or a text behind
/// it), and why: what the kernel says, or where that is 0, that it is misuse. The
/// result is the exit status.
#[inline(never)]
fn refused(what: &[u8], number: u32, which: &[u8], error: i32) -> u8 {
    let why: &[u8] = match error.unsigned_abs() {
        0 => b"\nhint: httpd --help\n",
        errno::EACCES | errno::EPERM => b": not permitted\n",
        errno::EADDRINUSE => b": in use\n",
        errno::ENOENT => b": not found\n",
        errno::EINVAL | errno::ENOTDIR => b": not what it should be\n",
        _ => b": error %\n",
    };
    bare::write(2, b"error: cannot ");
    tell(what, number);
    bare::write(2, which);
    tell(why, error.unsigned_abs());
    if error == 0 { 2 } else { 4 }
}

/// Tells a text with a number.
#[inline(never)]
fn tell(text: &[u8], number: u32) {
    let mut buffer = [0; 80];
    let mut writer = HeadWriter::new(&mut buffer);
    writer.numbers(text, &[number.into()]);
    bare::write(2, writer.bytes());
}

/// A socket at this address, or the error.
#[inline(never)]
fn bound(address: &Address, is_shared: u32) -> Fd {
    let fd = bare::socket(address, true);
    bare::set(fd, Setting::ReuseAddress, 1);
    // All addresses are those of IPv4, too; of other sockets this is no setting.
    bare::set(fd, Setting::OnlyV6, 0);
    bare::set(fd, Setting::ReusePort, is_shared);
    let result = bare::bind(fd, address);
    if fd >= 0 && result < 0 {
        bare::close(fd);
        return result;
    }
    fd
}

/// Takes so many bytes off the buffer, to be kept as they are.
#[inline(never)]
fn take(buffer: &mut &'static mut [u8], length: usize) -> &'static [u8] {
    let all = mem::take(buffer);
    let (kept, rest) = all.split_at_mut_checked(length).unwrap_or_default();
    *buffer = rest;
    kept
}

/// Keeps a text at the buffer's start.
#[inline(never)]
fn keep(buffer: &mut &'static mut [u8], text: &[u8]) -> &'static [u8] {
    let mut writer = HeadWriter::new(buffer);
    writer.put(text);
    let length = writer.written();
    take(buffer, length)
}

/// Asks a server for its health. Connecting to "all addresses" is connecting to
/// this machine's own (ip(7)).
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
