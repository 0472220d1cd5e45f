//! From the command line to a server that runs, shut in.

use crate::address;
use crate::engine::{Engine, Limits, MAX_LISTENERS};
use crate::entry::{self, Once};
use crate::options::{MAX_OPTIONS, Misuse, Options, number_of};
use crate::page::{Memory, Room};
use crate::program::{Program, number};
use crate::site::{Content, Manner, Site};
use ounce_http::packed::Site as Packed;
use ounce_http::writer::{HeadWriter, is_field};
use ounce_linux::bare::{self, Address, Fd, FileKind, OPEN_ROOT, Setting, errno};

/// The first descriptor handed in (sd_listen_fds(3)).
const FIRST: Fd = 3;
/// Descriptors kept for files and for the program's own.
const RESERVE: u64 = 32;

/// The numbers of the options in a help text.
struct Numbers {
    port: usize,
    address: usize,
    listing: usize,
    spa: usize,
    cache: usize,
    immutable: usize,
    no_security_headers: usize,
    log: usize,
    max_connections: usize,
    header_seconds: usize,
    idle_seconds: usize,
    write_seconds: usize,
    grace_seconds: usize,
    user: usize,
    no_sandbox: usize,
    tiny: usize,
    reuse_port: usize,
    health: usize,
    help: usize,
    version: usize,
}

const fn numbers(help: &[u8]) -> Numbers {
    Numbers {
        port: number_of(help, b"port"),
        address: number_of(help, b"address"),
        listing: number_of(help, b"listing"),
        spa: number_of(help, b"spa"),
        cache: number_of(help, b"cache"),
        immutable: number_of(help, b"immutable"),
        no_security_headers: number_of(help, b"no-security-headers"),
        log: number_of(help, b"log"),
        max_connections: number_of(help, b"max-connections"),
        header_seconds: number_of(help, b"header-seconds"),
        idle_seconds: number_of(help, b"idle-seconds"),
        write_seconds: number_of(help, b"write-seconds"),
        grace_seconds: number_of(help, b"grace-seconds"),
        user: number_of(help, b"user"),
        no_sandbox: number_of(help, b"no-sandbox"),
        tiny: number_of(help, b"tiny"),
        reuse_port: number_of(help, b"reuse-port"),
        health: number_of(help, b"health"),
        help: number_of(help, b"help"),
        version: number_of(help, b"version"),
    }
}

/// Why it does not start: what was tried, on what, and the kernel's answer.
struct Refusal<'a>(&'a [u8], &'a [u8], i32);

/// Runs the program; comes back only where it is not to serve.
pub fn start<C: Content>(
    program: &Program,
    memory: &'static Once<Memory<C>>,
    room: &'static Once<Room>,
) -> u8 {
    let options = match Options::read(program, C::HELP, const { number_of(C::HELP, b"header") }) {
        Ok(options) => options,
        Err(misuse) => return misused(program, misuse),
    };
    let at = const { numbers(C::HELP) };
    if options.is_on(at.help) {
        program.print(C::HELP);
        return 0;
    }
    if options.is_on(at.version) {
        program.print(concat!("httpd ", env!("CARGO_PKG_VERSION"), "\n").as_bytes());
        return 0;
    }
    let port = options.number(at.port);
    let text = options.text(at.address);
    let Some(address) = address::parse(text, port) else {
        return misused(program, Misuse(text));
    };
    if port > 65_535 {
        return misused(program, Misuse(options.text(at.port)));
    }
    if options.is_on(at.health) {
        return u8::from(!is_well(&address));
    }
    match prepare::<C>(program, &options, &at, address, memory, room) {
        Ok(status) => status,
        Err(Refusal(what, which, error)) => {
            program.complain(b"error: cannot ");
            program.complain(what);
            program.complain(b" ");
            program.complain(which);
            program.complain(b": ");
            complain_of(program, -error as u32);
            4
        }
    }
}

fn misused(program: &Program, misuse: Misuse) -> u8 {
    program.complain(b"error: cannot understand ");
    program.complain(misuse.0);
    program.complain(b"\nhint: httpd --help\n");
    2
}

/// An error in words, or as its number.
fn complain_of(program: &Program, error: u32) {
    let words: &[u8] = match error {
        errno::EACCES | errno::EPERM => b"not permitted",
        errno::EADDRINUSE => b"in use",
        errno::ENOENT => b"not found",
        errno::EINVAL => b"not what it should be",
        _ => b"",
    };
    program.complain(words);
    if words.is_empty() {
        let mut digits = [0; 24];
        let mut writer = HeadWriter::new(&mut digits);
        writer.put(b"error ");
        writer.number(error.into());
        let end = writer.length().unwrap_or(0);
        program.complain(digits.get(..end).unwrap_or_default());
    }
    program.complain(b"\n");
}

fn prepare<C: Content>(
    program: &Program,
    options: &Options,
    at: &Numbers,
    address: Address,
    memory: &'static Once<Memory<C>>,
    room: &'static Once<Room>,
) -> Result<u8, Refusal<'static>> {
    let path = options.root.unwrap_or(c"/public");
    let root = bare::open(path, OPEN_ROOT);
    let refuse = |error| Refusal(b"open", path.to_bytes(), error);
    if root < 0 {
        return Err(refuse(root));
    }
    let file = bare::file(root);
    let packed = match file.kind {
        FileKind::Folder if C::FOLDERS => None,
        FileKind::Regular => {
            let site = Packed::new(bare::map(root, file.size as usize));
            Some(site.ok_or(refuse(-(errno::EINVAL as i32)))?)
        }
        _ => return Err(refuse(-(errno::EINVAL as i32))),
    };
    let mut listeners = [-1; MAX_LISTENERS];
    open_listeners(program, options, at, address, &mut listeners)
        .map_err(|error| Refusal(b"listen on port", options.text(at.port), error))?;
    let milliseconds = options.number(at.write_seconds).saturating_mul(1_000);
    for fd in listeners {
        // Accepted sockets inherit both.
        bare::set(fd, Setting::NoDelay, 1);
        bare::set(fd, Setting::UserTimeout, milliseconds);
    }

    let memory = memory.take().ok_or(refuse(0))?;
    let (busy, buffer): (&mut [u8], &mut [u8]) = if options.is_on(at.tiny) {
        (&mut memory.busy, &mut memory.buffer)
    } else {
        let room = room.take().ok_or(refuse(0))?;
        (&mut room.busy, &mut room.buffer)
    };
    // Arguments and environment will be gone: what answers need of them is kept
    // at the buffer's start.
    let (fields, buffer) = keep(buffer, |writer| {
        writer.put(b"X-Content-Type-Options: nosniff\r\n");
        if !options.is_on(at.no_security_headers) {
            writer.put(b"X-Frame-Options: SAMEORIGIN\r\nReferrer-Policy: strict-origin-when-cross-origin\r\n");
        }
        for line in options.fields {
            if !line.is_empty() {
                writer.put(line);
                writer.put(b"\r\n");
            }
        }
    });
    let (cache, buffer) = keep(buffer, |writer| {
        let text = options.text(at.cache);
        if !text.is_empty() {
            writer.field("Cache-Control", text);
        }
    });
    let (immutable, buffer) = keep(buffer, |writer| writer.put(options.text(at.immutable)));
    if buffer.len() < 1_000 {
        return Err(Refusal(b"keep", b"so many headers", -(errno::ENOMEM as i32)));
    }
    let manner = Manner {
        fields,
        cache,
        immutable,
        lists: options.is_on(at.listing),
        is_spa: options.is_on(at.spa),
        logs: options.is_on(at.log),
    };
    let most = bare::descriptor_limit().saturating_sub(RESERVE).min(u32::MAX.into()) as u32;
    let limits = Limits {
        header_seconds: options.number(at.header_seconds),
        idle_seconds: options.number(at.idle_seconds),
        grace_seconds: options.number(at.grace_seconds),
        connections: options.number(at.max_connections).min(most),
    };
    let is_packed = packed.is_some();
    let site = Site::new(root, packed, manner);
    let engine = memory.engine.write(Engine::new(site, limits, listeners, busy, buffer));

    if bare::user_id() == 0 {
        let text = options.text(at.user);
        let end = text.iter().position(|&byte| byte == b':').unwrap_or(text.len());
        let (user, group) = text.split_at_checked(end).unwrap_or_default();
        let user = number(user).ok_or(Refusal(b"become", text, -(errno::EINVAL as i32)))?;
        let group = group.strip_prefix(b":").map_or(Some(user), number);
        let group = group.ok_or(Refusal(b"become", text, -(errno::EINVAL as i32)))?;
        let result = bare::drop_user(user, group);
        if result < 0 {
            return Err(Refusal(b"become", text, result));
        }
    }
    if !options.is_on(at.no_sandbox) {
        bare::no_new_privileges();
        bare::see_beneath((!is_packed).then_some(root));
        bare::allow_only(if C::FOLDERS { bare::SERVING } else { bare::SERVING_PACKED });
    }
    entry::settle(program, &mut memory.stack, engine, serve::<C>)
}

extern "C" fn serve<C: Content>(engine: &'static mut Engine<Site<C>>) -> ! {
    entry::exit(engine.run())
}

/// Writes to the start of a buffer; what was written, and the rest.
fn keep(
    buffer: &'static mut [u8],
    write: impl FnOnce(&mut HeadWriter<'_>),
) -> (&'static [u8], &'static mut [u8]) {
    let mut writer = HeadWriter::new(buffer);
    write(&mut writer);
    let length = writer.length().unwrap_or(usize::MAX);
    let (kept, rest) = buffer.split_at_mut_checked(length).unwrap_or_default();
    (kept, rest)
}

fn open_listeners(
    program: &Program,
    options: &Options,
    at: &Numbers,
    address: Address,
    places: &mut [Fd; MAX_LISTENERS],
) -> Result<(), i32> {
    let is_ours = match program.number("LISTEN_PID") {
        None => true,
        Some(process) => process == bare::process_id(),
    };
    let count = program.number("LISTEN_FDS").unwrap_or(0);
    if is_ours && count > 0 {
        for (fd, place) in (FIRST..).zip(places).take(count as usize) {
            let mut result = bare::adopt(fd);
            if result >= 0 {
                // It listens already, unless it is something else.
                result = bare::listen(fd);
            }
            if result < 0 {
                return Err(result);
            }
            *place = fd;
        }
        return Ok(());
    }
    let mut fd = bound(&address, options, at);
    if options.text(at.address) == b"::"
        && matches!(-fd as u32, errno::EAFNOSUPPORT | errno::EADDRNOTAVAIL)
        && let Some(all) = address::parse(b"0.0.0.0", options.number(at.port))
    {
        fd = bound(&all, options, at);
    }
    if fd < 0 {
        return Err(fd);
    }
    if options.number(at.port) == 0 {
        let mut address = Address::NONE;
        bare::local(fd, &mut address);
        let [_, _, high, low, ..] = address.bytes;
        let mut text = [0; 40];
        let mut writer = HeadWriter::new(&mut text);
        writer.put(b"listening on port ");
        writer.number(u16::from_be_bytes([high, low]).into());
        writer.put(b"\n");
        let end = writer.length().unwrap_or(0);
        program.complain(text.get(..end).unwrap_or_default());
    }
    let [first, ..] = places;
    *first = fd;
    Ok(())
}

/// A socket that listens on this address, or the error.
fn bound(address: &Address, options: &Options, at: &Numbers) -> Fd {
    let fd = bare::socket(address, false);
    if fd < 0 {
        return fd;
    }
    bare::set(fd, Setting::ReuseAddress, 1);
    // All addresses are those of IPv4, too; of other sockets this is no setting.
    bare::set(fd, Setting::OnlyV6, 0);
    if options.is_on(at.reuse_port) {
        bare::set(fd, Setting::ReusePort, 1);
    }
    let mut result = bare::bind(fd, address);
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
fn is_well(address: &Address) -> bool {
    let fd = bare::socket(address, true);
    let mut answer = [0; 12];
    bare::keep(fd, bare::Kept::First, 2);
    bare::keep(fd, bare::Kept::Second, 2);
    bare::connect(fd, address) >= 0
        && bare::send(fd, b"GET /healthz HTTP/1.0\r\n\r\n", false) > 0
        && bare::receive(fd, &mut answer, 0) > 0
        && answer == *b"HTTP/1.1 200"
}

const _: () = assert!(MAX_OPTIONS < 64);
#[allow(unused_imports)]
use is_field as _;
