//! From `main` to a function that runs.

use ounce_httpd::Program;
use ounce_lambda::address::Api;
use ounce_lambda::exchange::MAX_HEAD_BYTES;
use ounce_lambda::http::utf8;
use ounce_lambda::{Broken, Client, Fault, Invocation, MAX_PAYLOAD_BYTES, Outcome};
use ounce_linux::bare;

use crate::reply::Reply;
use crate::{Socket, last_word};

pub use crate::socket::now_ms;

/// A function.
pub trait Function {
    /// Whether the two hooks below are to be called, and so SnapStart told when the
    /// function is ready. Without, it is frozen as it waits for its first event.
    const HAS_HOOKS: bool = false;

    /// What is to be there before the first event; an error is one of the start.
    ///
    /// # Errors
    /// The function cannot start.
    fn start(&mut self, program: &Program) -> Outcome {
        let _ = program;
        Ok(())
    }

    /// With SnapStart, before the program is frozen: connections go, say.
    ///
    /// # Errors
    /// As [`Self::start`].
    fn before_snapshot(&mut self) -> Outcome {
        Ok(())
    }

    /// With SnapStart, in each copy of it: what must not be the same in two is made
    /// anew.
    ///
    /// # Errors
    /// This copy cannot go on.
    fn after_restore(&mut self) -> Outcome {
        Ok(())
    }

    /// Answers an event.
    ///
    /// # Errors
    /// The error that is told to Lambda.
    fn call(&mut self, invocation: &mut Invocation<'_>, reply: &mut Reply<'_>) -> Outcome;
}

/// What a program needs to speak with the Runtime API.
pub struct Start {
    /// To ask it.
    pub client: Client<'static, Socket>,
    /// To receive an event in, with its head.
    pub buffer: &'static mut [u8],
    /// To gather an answer in.
    pub answer: &'static mut [u8],
    api: Api<'static>,
    has_snapshot: bool,
}

/// The status of a program that Lambda was told cannot start.
const NOT_STARTED: u8 = 1;
/// That of one that is not started by Lambda.
const MISUSED: u8 = 2;
/// That of one that the machine, or the Runtime API, does not let run.
const REFUSED: u8 = 4;

impl Start {
    /// Finds the Runtime API.
    ///
    /// # Errors
    /// The exit status; what is wrong has been told.
    pub fn new(program: &Program) -> Result<Self, u8> {
        let Some(address) = program.variable("AWS_LAMBDA_RUNTIME_API") else {
            program.complain(
                b"error: AWS_LAMBDA_RUNTIME_API is not set\n\
                hint: this program is a function of AWS Lambda, or of its emulators\n",
            );
            return Err(MISUSED);
        };
        let api = utf8(address).and_then(Api::parse);
        let Some((api, (host, port))) = api.and_then(|api| Some((api, api.numbers()?))) else {
            program.complain(b"error: AWS_LAMBDA_RUNTIME_API is no address of IPv4: ");
            program.complain(address);
            program.complain(b"\n");
            return Err(MISUSED);
        };
        let buffer = bare::memory(MAX_HEAD_BYTES + MAX_PAYLOAD_BYTES);
        let answer = bare::memory(MAX_HEAD_BYTES + MAX_PAYLOAD_BYTES);
        if buffer.is_empty() || answer.is_empty() {
            program.complain(b"error: there is no room for events\n");
            return Err(REFUSED);
        }
        last_word::address(Some(api), "");
        let kind = program.variable("AWS_LAMBDA_INITIALIZATION_TYPE");
        Ok(Self {
            client: Client::new(api, Socket::to(host, port)),
            buffer,
            answer,
            api,
            has_snapshot: kind.is_some_and(|kind| kind == b"snap-start"),
        })
    }

    /// Tells that the function cannot start, if it cannot.
    ///
    /// # Errors
    /// The exit status.
    pub fn told(&mut self, program: &Program, outcome: Outcome) -> Result<(), u8> {
        let Err(fault) = outcome else {
            return Ok(());
        };
        complain(program, &fault);
        let _ = self.client.fail("", &fault);
        Err(NOT_STARTED)
    }
}

/// Runs a function until the Runtime API is gone, or the function cannot go on; the
/// exit status: 1 where it could not start, 2 where Lambda did not start it, 4 where
/// the Runtime API cannot be talked with.
pub fn run<F: Function>(program: &Program, function: &mut F) -> u8 {
    match start(program, function) {
        Ok(never) => match never {},
        Err(status) => status,
    }
}

fn start<F: Function>(
    program: &Program,
    function: &mut F,
) -> Result<core::convert::Infallible, u8> {
    let mut start = Start::new(program)?;
    start.told(program, function.start(program))?;
    if F::HAS_HOOKS && start.has_snapshot {
        start.told(program, function.before_snapshot())?;
        if let Err(broken) = start.client.restored() {
            return Err(lost(program, broken));
        }
        if let Err(fault) = function.after_restore() {
            complain(program, &fault);
            let _ = start.client.restore_failed(&fault);
            return Err(NOT_STARTED);
        }
    }
    let Start {
        mut client,
        buffer,
        answer,
        api,
        ..
    } = start;
    loop {
        let done = client.next(buffer).and_then(|mut invocation| {
            let request_id = invocation.context.request_id;
            last_word::address(Some(api), request_id);
            let mut reply = Reply::new(&mut client, request_id, answer);
            let outcome = function.call(&mut invocation, &mut reply);
            reply.end(outcome)
        });
        if let Err(broken) = done {
            return Err(lost(program, broken));
        }
    }
}

/// Tells what the function cannot do, in the log as well.
fn complain(program: &Program, fault: &Fault<'_>) {
    for part in ["error: ", fault.kind, ": ", fault.message, "\n"] {
        program.complain(part.as_bytes());
    }
}

/// Tells that the Runtime API cannot be talked with; the exit status.
pub fn lost(program: &Program, broken: Broken) -> u8 {
    program.complain(b"error: the Runtime API: ");
    program.complain(broken.as_str().as_bytes());
    if let Broken::Status(status) = broken {
        let digit = |number: u16| b'0' + (number % 10) as u8;
        program.complain(&[b' ', digit(status / 100), digit(status / 10), digit(status)]);
    }
    program.complain(b"\n");
    REFUSED
}
