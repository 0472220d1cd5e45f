//! Requests that a handler sends to others: over the network that this process
//! has, if that was granted, else refused.

use std::io::ErrorKind;
use std::sync::Once;

use http_body_util::BodyExt as _;
use hyper::Request;
use wasmtime_wasi_http::p2::bindings::http::types::{DnsErrorPayload, ErrorCode};
use wasmtime_wasi_http::{Error, RequestOptions, WasiBody, WasiHttpHooks, default_send_request};

use crate::failure::{Failure, USAGE};

/// What a component's requests to others meet.
pub(crate) struct Outgoing {
    /// Whether they are sent.
    pub(crate) is_granted: bool,
}

type Done = Box<dyn Future<Output = Result<(), Error>> + Send>;
type Sent = Result<(hyper::Response<WasiBody>, Done), Error>;

impl WasiHttpHooks for Outgoing {
    fn send_request(
        &mut self,
        request: Request<WasiBody>,
        options: Option<RequestOptions>,
        _done: Done,
    ) -> Box<dyn Future<Output = Sent> + Send> {
        if !self.is_granted {
            tell(&request);
            return Box::new(async { Err(Error::HttpRequestDenied) });
        }
        Box::new(async move {
            let (answer, connection) = default_send_request(request, options).await?;
            let connection: Done = Box::new(connection);
            Ok((answer.map(|body| body.boxed_unsync()), connection))
        })
    }

    fn p2_error_from_connect(&mut self, error: &std::io::Error) -> ErrorCode {
        match error.kind() {
            ErrorKind::ConnectionRefused => ErrorCode::ConnectionRefused,
            ErrorKind::TimedOut => ErrorCode::ConnectionTimeout,
            ErrorKind::NetworkUnreachable | ErrorKind::HostUnreachable => {
                ErrorCode::DestinationUnavailable
            }
            // What the system says of a name that it does not find has no kind.
            _ if error.raw_os_error().is_none() => ErrorCode::DnsError(DnsErrorPayload {
                rcode: Some(error.to_string()),
                info_code: None,
            }),
            _ => ErrorCode::ConnectionTerminated,
        }
    }
}

/// The module learns that it was denied; who runs it learns why, once.
fn tell(request: &Request<WasiBody>) {
    let host = request.uri().host().unwrap_or("somebody");
    tell_denied(&format!("asks {host:?} over HTTP"));
}

/// As [`tell`], of whatever a module does without a network.
pub(crate) fn tell_denied(what: &str) {
    static TOLD: Once = Once::new();
    TOLD.call_once(|| {
        let text = format!("the module {what}, and was granted no network");
        let failure = Failure::new(USAGE, text)
            .hint("ounce run --network bridge (or host) grants it one; this is told once");
        eprint!("{failure}");
    });
}
