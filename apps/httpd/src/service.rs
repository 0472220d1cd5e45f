//! What answers requests, and what the server answers by itself: `/healthz`,
//! `OPTIONS *` and paths that cannot be decoded.

use ounce_http::connection::Message;
use ounce_http::head::Head;
use ounce_http::method::{Method, Methods};
use ounce_http::path;
use ounce_http::response::Response;
use ounce_http::route::App;
use ounce_http::status::Status;
use ounce_http::utf8;
use rustix::fd::OwnedFd;

/// A file to send as the body.
pub struct File {
    /// Open for reading.
    pub descriptor: OwnedFd,
    /// Its length when it was opened.
    pub length_bytes: u64,
}

/// What answers requests.
pub trait Service {
    /// Answers one request, whose path is decoded and normalised; `scratch` is
    /// longer than its query. Where it returns a file, that is the body, and the
    /// response must have announced it with [`Response::file`].
    fn answer(
        &mut self,
        head: &Head<'_>,
        path: &[u8],
        body: &mut [u8],
        scratch: &mut [u8],
        response: &mut Response<'_>,
    ) -> Option<File>;
}

impl<S> Service for App<'_, S> {
    fn answer(
        &mut self,
        head: &Head<'_>,
        path: &[u8],
        body: &mut [u8],
        scratch: &mut [u8],
        response: &mut Response<'_>,
    ) -> Option<File> {
        match utf8(path) {
            Some(path) => {
                App::answer(self, head, path, body, scratch, response);
            }
            None => {
                response.error(Status::BadRequest);
            }
        }
        None
    }
}

/// Answers a whole request; `buffer` takes the decoded path and, behind it, what
/// the service decodes: the two are no longer than the request line.
pub(crate) fn answer(
    service: &mut dyn Service,
    message: &mut Message<'_>,
    buffer: &mut [u8],
    response: &mut Response<'_>,
) -> Option<File> {
    let head = &message.head;
    if head.path == b"*" {
        // RFC 9110 section 9.3.7: asks about the server as a whole.
        response.status(Status::NoContent);
        return None;
    }
    let (path, scratch) = buffer
        .split_at_mut_checked(head.path.len())
        .unwrap_or_default();
    match path::decode(head.path, path) {
        Err(status) => {
            response.error(status);
            None
        }
        Ok(path) if path == b"/healthz" => {
            match head.method {
                Method::Get | Method::Head => response.text("ok\n"),
                _ => response.not_allowed(Methods::GET_HEAD),
            };
            None
        }
        Ok(path) => service.answer(head, path, message.body, scratch, response),
    }
}
