//! What a program that panics still tells Lambda, so that the caller learns of the
//! function's error and not only that it has ended.

use core::panic::Location;
use ounce_httpd::Kept;
use ounce_lambda::address::Api;
use ounce_lambda::http::text::Text;
use ounce_lambda::http::writer::HeadWriter;
use ounce_lambda::{Client, Fault};

use crate::Socket;

/// Whom to tell, and of what.
#[derive(Clone, Copy)]
struct Addressee {
    api: Option<Api<'static>>,
    /// Empty before the first invocation, and between two.
    request_id: Text<128>,
}

static ADDRESSEE: Kept<Addressee> = Kept::new(Addressee {
    api: None,
    request_id: Text::EMPTY,
});

/// From here on, an error is told to this API, as one of this invocation.
pub(crate) fn address(api: Option<Api<'static>>, request_id: &str) {
    let mut addressee = Addressee {
        api,
        request_id: Text::EMPTY,
    };
    addressee.request_id.set(request_id);
    ADDRESSEE.set(addressee);
}

/// Tells that the program has panicked, and where.
pub fn panicked(place: Option<&Location<'_>>) {
    let Addressee { api, request_id } = ADDRESSEE.get();
    // Should telling it panic, it is not told again.
    address(None, "");
    let Some((api, (host, port))) = api.and_then(|api| Some((api, api.numbers()?))) else {
        return;
    };
    let mut text = [0; 256];
    let mut writer = HeadWriter::new(&mut text);
    writer.put(b"the function panicked");
    if let Some(location) = place {
        writer.put(b" in ");
        writer.put(location.file().as_bytes());
        writer.put(b", line ");
        writer.number(location.line().into());
    }
    let message = ounce_lambda::http::utf8(writer.bytes()).unwrap_or_default();
    let fault = Fault::new("Function.Panic", message);
    let mut client = Client::new(api, Socket::to(host, port));
    // There is nothing left to do about it if this fails.
    let _ = match request_id.as_str() {
        "" => client.init_failed(&fault),
        id => client.fail(id, &fault),
    };
}
