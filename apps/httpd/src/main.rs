//! Serves the files of a folder over HTTP.
#![no_std]
#![no_main]
#![forbid(unsafe_code)]

use ounce_httpd::page::{Page, Room};
use ounce_httpd::site::Content;
use ounce_httpd::start::start;
use ounce_httpd::{Once, Program};

ounce_httpd::entry!(main);

/// Folders only.
struct Folder;

impl Content for Folder {
    const FOLDERS: bool = true;
    const HELP: &'static [u8] = b"\
Serves a folder over HTTP/1.1.

usage: httpd [OPTIONS] [ROOT]  (/public unless given)

--port PORT [8080]  0 takes a free one
--address A [::]  IPv4 or IPv6; :: takes both
--listing  list folders without index.html
--spa  answer unknown paths with /index.html
--cache TEXT [no-cache]  Cache-Control of files
--immutable TEXT  paths that begin so never change
--help
--header LINE  'Name: value' for all answers; may be repeated
--no-security-headers  no X-Frame-Options and Referrer-Policy
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

static PAGE: Page<Folder> = Page::EMPTY;
static ROOM: Once<Room> = Once::new(Room::EMPTY);

fn main(program: &Program) -> u8 {
    start(program, &PAGE.0, &ROOM)
}
