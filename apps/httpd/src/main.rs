//! Serves the files of a folder, or of a packed site, over HTTP.
#![no_std]
#![no_main]
#![forbid(unsafe_code)]

use ounce_httpd::page::{Page, Room};
use ounce_httpd::site::Content;
use ounce_httpd::start::start;
use ounce_httpd::{Once, Program};

ounce_httpd::entry!(main);

/// Folders and packed sites.
struct Any;

impl Content for Any {
    const FOLDERS: bool = true;
    const HELP: &'static [u8] = b"\
Serves a folder, or a site packed by ounce, over HTTP/1.1.

usage: httpd [OPTIONS] [ROOT]   (/public unless given)

  -p, --port N              TCP port; 0 takes a free one [8080]
      --address ADDRESS     IPv4 or IPv6; :: takes both [::]
      --listing             list folders without index.html
      --spa                 answer unknown paths with /index.html
      --cache TEXT          Cache-Control of files [no-cache]
      --immutable PREFIX    paths whose files never change
      --header LINE         'Name: value' for all answers; may be repeated
      --no-security-headers leave out X-Frame-Options and Referrer-Policy
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

static PAGE: Page<Any> = Page::EMPTY;
static ROOM: Once<Room> = Once::new(Room::EMPTY);

fn main(program: &Program) -> u8 {
    start(program, &PAGE.0, &ROOM)
}
