//! A handler that asks others (`wasi:http/outgoing-handler`) and hands their
//! answers on: `GET /http://HOST:PORT/PATH`.
//!
//! It reaches nobody unless it is granted a network:
//! `ounce run --network bridge -p 8080 wasm-relay`.
#![cfg_attr(target_arch = "wasm32", no_std)]

extern crate alloc;

use alloc::format;
use alloc::string::String;

use wasi::http::outgoing_handler;
use wasi::http::types::{
    Fields, IncomingRequest, IncomingResponse, OutgoingBody, OutgoingRequest, OutgoingResponse,
    ResponseOutparam, Scheme,
};
use wasi::io::streams::{OutputStream, StreamError};

/// Most bytes of a read, and of a write that waits until all is sent.
const PIECE_BYTES: u64 = 4096;

struct Component;

wasi::http::proxy::export!(Component);

impl wasi::exports::http::incoming_handler::Guest for Component {
    fn handle(request: IncomingRequest, out: ResponseOutparam) {
        let path = request.path_with_query().unwrap_or_default();
        let answer = ask(path.trim_start_matches('/'));
        let response = OutgoingResponse::new(Fields::new());
        let status = match &answer {
            Ok(answer) => answer.status(),
            Err(_) => 502,
        };
        let _ = response.set_status_code(status);
        let body = response.body();
        ResponseOutparam::set(out, Ok(response));
        let Ok(body) = body else { return };
        if let Ok(stream) = body.write() {
            match answer {
                Ok(answer) => hand_on(&answer, &stream),
                Err(text) => {
                    let _ = stream.blocking_write_and_flush(text.as_bytes());
                }
            }
        }
        let _ = OutgoingBody::finish(body, None);
    }
}

/// The answer of whom an address names, or why there is none.
fn ask(address: &str) -> Result<IncomingResponse, String> {
    let unclear = || format!("{address:?} is no http://HOST/PATH\n");
    let (scheme, rest) = address.split_once("://").ok_or_else(unclear)?;
    let scheme = match scheme {
        "http" => Scheme::Http,
        "https" => Scheme::Https,
        _ => return Err(unclear()),
    };
    let (host, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    let path = if path.is_empty() { "/" } else { path };
    let request = OutgoingRequest::new(Fields::new());
    let is_set = request.set_scheme(Some(&scheme)).is_ok()
        && request.set_authority(Some(host)).is_ok()
        && request.set_path_with_query(Some(path)).is_ok();
    if !is_set {
        return Err(unclear());
    }
    let failed = |error| format!("asking {host}: {error:?}\n");
    let answer = outgoing_handler::handle(request, None).map_err(failed)?;
    answer.subscribe().block();
    match answer.get() {
        Some(Ok(answer)) => answer.map_err(failed),
        _ => Err(format!("asking {host}: no answer\n")),
    }
}

fn hand_on(answer: &IncomingResponse, to: &OutputStream) {
    let Ok(body) = answer.consume() else { return };
    let Ok(from) = body.stream() else { return };
    loop {
        match from.blocking_read(PIECE_BYTES) {
            Ok(piece) => {
                if to.blocking_write_and_flush(&piece).is_err() {
                    return;
                }
            }
            Err(StreamError::Closed | StreamError::LastOperationFailed(_)) => return,
        }
    }
}

#[cfg(target_arch = "wasm32")]
#[global_allocator]
static MEMORY: dlmalloc::GlobalDlmalloc = dlmalloc::GlobalDlmalloc;

#[cfg(target_arch = "wasm32")]
#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    core::arch::wasm32::unreachable()
}
