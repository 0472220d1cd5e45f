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

usage: httpd-packed [OPTIONS] [FILE]   (/public unless given)

  -p, --port N              TCP port; 0 takes a free one [8080]
      --address ADDRESS     IPv4 or IPv6; :: takes both [::]
      --header LINE         'Name: value' for all answers; may be repeated
      --log                 log requests to standard output
      --max-connections N   more get 503 [10000]
      --header-seconds N    for a request to arrive [10]
      --idle-seconds N      between requests [60]
      --write-seconds N     in which a client takes nothing [30]
      --grace-seconds N     to finish after SIGTERM or SIGINT [10]
      --user USER           UID or UID:GID to become if root [65532]
      --no-sandbox          do without seccomp and Landlock
      --tiny                write to one page of memory only
      --reuse-port          share the port with other processes
      --health              ask the server that runs if it is well
  -h, --help                print this
  -V, --version             print the version

--idle-seconds 5 is also OUNCE_HTTPD_IDLE_SECONDS=5, and so on.
Sockets by LISTEN_FDS go before --address and --port.
";
}

static PAGE: Page<Packed> = Page::EMPTY;
static ROOM: Once<Room> = Once::new(Room::EMPTY);

fn main(program: &Program) -> u8 {
    start(program, &PAGE.0, &ROOM)
}
