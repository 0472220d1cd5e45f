//! How the adapter is told to behave: by the variables that the Lambda Web Adapter
//! has made known (github.com/awslabs/aws-lambda-web-adapter, "Configurations").

use ounce_bootstrap::lambda::http::utf8;
use ounce_bootstrap::{Fault, Program};

/// What the variables say.
#[derive(Clone, Copy, Debug)]
pub(super) struct Options {
    /// Where the server listens.
    pub(super) port: u16,
    /// What it answers with less than 500 when it is ready; empty: that it accepts is
    /// enough.
    pub(super) ready_path: &'static str,
    /// Whether answers go on piece by piece.
    pub(super) streams: bool,
    /// Where events are posted that are no requests.
    pub(super) event_path: &'static str,
    /// Taken off the front of paths; empty, or begins with a slash and does not end
    /// with one.
    pub(super) base_path: &'static str,
}

impl Options {
    pub(super) const DEFAULT: Self = Self {
        port: 8080,
        ready_path: "",
        streams: false,
        event_path: "/events",
        base_path: "",
    };

    /// Reads them.
    pub(super) fn read(program: &Program) -> Result<Self, Fault<'static>> {
        let mut options = Self::DEFAULT;
        let text = |name| {
            let value = program.variable(name).unwrap_or_default();
            utf8(value).ok_or(BAD_TEXT)
        };
        for name in ["PORT", "AWS_LWA_PORT"] {
            let value = text(name)?;
            if !value.is_empty() {
                let port = value.parse().ok().filter(|port| *port > 0);
                options.port = port.ok_or(BAD_PORT)?;
            }
        }
        options.ready_path = text("AWS_LWA_READINESS_CHECK_PATH")?;
        options.streams = match text("AWS_LWA_INVOKE_MODE")? {
            "" | "buffered" => false,
            "response_stream" => true,
            _ => return Err(BAD_MODE),
        };
        let path = text("AWS_LWA_PASS_THROUGH_PATH")?;
        if !path.is_empty() {
            options.event_path = path;
        }
        let base = text("AWS_LWA_REMOVE_BASE_PATH")?;
        options.base_path = base.strip_suffix('/').unwrap_or(base);
        Ok(options)
    }
}

const BAD_PORT: Fault<'static> = Fault::new("Adapter.BadOption", "PORT is not 1 to 65535");
const BAD_TEXT: Fault<'static> = Fault::new("Adapter.BadOption", "a variable is not UTF-8");
const BAD_MODE: Fault<'static> = Fault::new(
    "Adapter.BadOption",
    "AWS_LWA_INVOKE_MODE is neither buffered nor response_stream",
);
