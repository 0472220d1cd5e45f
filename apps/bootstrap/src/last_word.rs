//! What a program that panics still tells Lambda, so that the caller learns of the
//! function's error and not only that it has ended.

use ounce_httpd::Kept;
use ounce_lambda::address::Api;
use ounce_lambda::http::text::Text;
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

/// Tells that the program has panicked. With what and where would bring formatting
/// and all places into the program, a tenth of it.
pub fn panicked() {
    let Addressee { api, request_id } = ADDRESSEE.get();
    // Should telling it panic, it is not told again.
    address(None, "");
    let Some((api, (host, port))) = api.and_then(|api| Some((api, api.numbers()?))) else {
        return;
    };
    let fault = Fault::new("Function.Panic", "the function panicked");
    let mut client = Client::new(api, Socket::to(host, port));
    // There is nothing left to do about it if this fails.
    let _ = client.fail(request_id.as_str(), &fault);
}
