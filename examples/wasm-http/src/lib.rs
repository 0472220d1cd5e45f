//! A handler of HTTP requests (`wasi:http/incoming-handler`) without the
//! standard library: `ounce run -p 8080 wasm-http` serves it.
#![cfg_attr(target_arch = "wasm32", no_std)]

extern crate alloc;

use alloc::format;

use wasi::http::types::{
    Fields, IncomingRequest, OutgoingBody, OutgoingResponse, ResponseOutparam,
};

struct Component;

wasi::http::proxy::export!(Component);

impl wasi::exports::http::incoming_handler::Guest for Component {
    fn handle(request: IncomingRequest, out: ResponseOutparam) {
        let path = request.path_with_query().unwrap_or_default();
        if path == "/loop" {
            // Ends by the deadline of `ounce run --deadline`.
            loop {
                core::hint::black_box(0);
            }
        }
        let text = format!("Hello, {path}\n");
        let fields = Fields::new();
        let _ = fields.append("content-type", b"text/plain");
        let _ = fields.append("content-length", format!("{}", text.len()).as_bytes());
        let response = OutgoingResponse::new(fields);
        let body = response.body();
        ResponseOutparam::set(out, Ok(response));
        if let Ok(body) = body {
            if let Ok(stream) = body.write() {
                let _ = stream.blocking_write_and_flush(text.as_bytes());
            }
            let _ = OutgoingBody::finish(body, None);
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
