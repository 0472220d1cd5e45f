//! Serves the files of a packed site over HTTP: `httpd` without what only
//! folders need.
#![no_std]
#![no_main]
#![forbid(unsafe_code)]

use ounce_httpd::page::{Page, Room};
use ounce_httpd::site::Content;
use ounce_httpd::start::start;
use ounce_httpd::{Once, Program};

ounce_httpd::entry!(main);

/// Packed sites only.
struct Packed;

impl Content for Packed {
    const FOLDERS: bool = false;
    const HELP: &'static [u8] = b"\
Serves a site packed by ounce over HTTP/1.1.

usage: httpd-packed [OPTIONS] [FILE]  (/public unless given)

--port PORT [8080]  0 takes a free one
--address A [::]  IPv4 or IPv6; :: takes both
--help
--header LINE  'Name: value' for all answers; may be repeated
--log  log requests to standard output
--max-connections COUNT [10000]  more get 503
--header-seconds N [10]  for a request to arrive
--idle-seconds N [60]  between requests
--write-seconds N [30]  in which a client takes nothing
--grace-seconds N [10]  to finish after SIGTERM
--user UID:GID [65532]  to become if root
--no-sandbox  no seccomp and Landlock
--tiny  write to one page of memory only
--reuse-port  share the port
--health  ask the server that runs
--version
--listen-fds N [0]  sockets handed in, before --port
--listen-pid N [0]  to this process only

-p 80 is --port 80, is OUNCE_HTTPD_PORT=80; LISTEN_FDS has no prefix.
";
}

static PAGE: Page<Packed> = Page::EMPTY;
static ROOM: Once<Room> = Once::new(Room::EMPTY);

fn main(program: &Program) -> u8 {
    start(program, &PAGE.0, &ROOM)
}
