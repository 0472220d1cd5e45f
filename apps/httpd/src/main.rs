//! Serves the files beneath a folder.
#![no_std]
#![no_main]
#![forbid(unsafe_code)]

mod site;

use core::ffi::CStr;
use ounce_httpd::{Program, health, number, port, serve_on};

ounce_httpd::entry!(main);

const HELP: &[u8] = b"\
Serves the files beneath a folder over HTTP.

usage: httpd [OPTIONS] [ROOT]

  ROOT           the folder [env: OUNCE_HTTPD_ROOT] [default: /public]
  -p, --port N   where to listen, on all addresses [env: PORT] [default: 8080]
  --health       ask the server running on the port for /healthz; exit 0 if it is well
  --help         this text

Sockets handed in by LISTEN_FDS and LISTEN_PID go before --port.
SIGTERM and SIGINT stop it once open requests are answered, at most 10 s.
";

fn main(program: &Program) -> u8 {
    let mut chosen_port = None;
    let mut root: Option<&CStr> = None;
    let mut is_health = false;
    let mut arguments = program.arguments();
    while let Some(argument) = arguments.next() {
        match argument.to_bytes() {
            b"--help" | b"-h" => {
                program.print(HELP);
                return 0;
            }
            b"--health" => is_health = true,
            b"--port" | b"-p" => {
                let value = arguments.next().and_then(|text| number(text.to_bytes()));
                let value = value.and_then(|value| u16::try_from(value).ok());
                match value {
                    Some(value) if value > 0 => chosen_port = Some(value),
                    _ => return usage(program),
                }
            }
            [b'-', ..] => return usage(program),
            _ if root.is_some() => return usage(program),
            _ => root = Some(argument),
        }
    }
    let Some(port) = chosen_port.or_else(|| port(program)) else {
        return usage(program);
    };
    if is_health {
        return health(port);
    }
    let root = root
        .or_else(|| program.variable("OUNCE_HTTPD_ROOT"))
        .unwrap_or(c"/public");
    match site::Site::open(root) {
        Ok(mut site) => serve_on(program, port, &mut site),
        Err(_) => {
            program.complain(b"error: cannot open the folder ");
            program.complain(root.to_bytes());
            program.complain(b"\nhint: name a folder to serve, or set OUNCE_HTTPD_ROOT\n");
            3
        }
    }
}

fn usage(program: &Program) -> u8 {
    program.complain(b"error: bad argument or port\nhint: httpd --help\n");
    2
}
