//! Functions of ordinary programs, with the standard library: a loop that asks,
//! calls, and answers, whatever becomes of the call.
//!
//! The function runs on a thread of its own, so that one that panics or overruns
//! its time is told to Lambda by the thread that asks. Which address to ask is told
//! by the caller, since a library reads no environment.

use std::any::Any;
use std::boxed::Box;
use std::fmt;
use std::io::{self, Read as _, Write as _};
use std::net::TcpStream;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::string::{String, ToString as _};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread;
use std::time::{Duration, SystemTime};
use std::vec;
use std::vec::Vec;

use crate::MAX_PAYLOAD_BYTES;
use crate::address::Api;
use crate::client::{Broken, Client, Verdict};
use crate::exchange::{Cut, MAX_HEAD_BYTES, NEVER, Wire};
use crate::fault::{Fault, Whole};
use crate::invocation::Context;

/// A function.
pub trait Function: Send + 'static {
    /// What is to be there before the first event; an error is one of the start.
    ///
    /// # Errors
    /// The function cannot start.
    fn start(&mut self) -> Result<(), Failure> {
        Ok(())
    }

    /// With SnapStart, before the program is frozen: connections go, say.
    ///
    /// # Errors
    /// As [`Self::start`].
    fn before_snapshot(&mut self) -> Result<(), Failure> {
        Ok(())
    }

    /// With SnapStart, in each copy of it: what must not be the same in two is made
    /// anew.
    ///
    /// # Errors
    /// This copy cannot go on.
    fn after_restore(&mut self) -> Result<(), Failure> {
        Ok(())
    }

    /// Answers an event: by what it returns, as JSON, unless it has begun a stream.
    ///
    /// # Errors
    /// The error that is told to Lambda.
    fn call(&mut self, event: Event, stream: &mut Stream) -> Result<Vec<u8>, Failure>;
}

impl<F> Function for F
where
    F: FnMut(Event) -> Result<Vec<u8>, Failure> + Send + 'static,
{
    fn call(&mut self, event: Event, _: &mut Stream) -> Result<Vec<u8>, Failure> {
        self(event)
    }
}

/// An event and what Lambda says about it; texts are empty where it says nothing.
#[derive(Clone, Debug, Default)]
pub struct Event {
    /// JSON as it came.
    pub bytes: Vec<u8>,
    /// By which it is answered.
    pub request_id: String,
    /// When Lambda ends the function, in milliseconds since 1970; 0 where it does
    /// not say.
    pub deadline_ms: u64,
    /// The function, with version or alias as it was called.
    pub function_arn: String,
    /// The trace of X-Ray, for what the function asks in turn.
    pub trace_id: String,
    /// JSON of the mobile SDK.
    pub client_context: String,
    /// JSON of Cognito's identity.
    pub cognito_identity: String,
}

impl Event {
    fn new(bytes: &[u8], context: &Context<'_>) -> Self {
        Self {
            bytes: bytes.to_vec(),
            request_id: context.request_id.to_string(),
            deadline_ms: context.deadline_ms,
            function_arn: context.function_arn().to_string(),
            trace_id: context.trace_id().to_string(),
            client_context: context.client_context().to_string(),
            cognito_identity: context.cognito_identity().to_string(),
        }
    }

    /// The time that is left; an hour where Lambda does not say.
    pub fn left(&self) -> Duration {
        match self.deadline_ms {
            0 => Duration::from_secs(3_600),
            deadline => Duration::from_millis(deadline.saturating_sub(now_ms())),
        }
    }
}

/// What went wrong, as Lambda is told it. Any error becomes one, of the type
/// `Function.Error`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// By Lambda's own custom `Category.Reason`.
    pub kind: String,
    /// For people.
    pub message: String,
}

impl Failure {
    /// An error of this type with this text.
    pub fn new(kind: &str, message: impl fmt::Display) -> Self {
        Self {
            kind: kind.to_string(),
            message: message.to_string(),
        }
    }

    fn fault(&self) -> Fault<'_> {
        Fault::new(&self.kind, &self.message)
    }
}

impl<E: std::error::Error> From<E> for Failure {
    fn from(error: E) -> Self {
        Self::new("Function.Error", error)
    }
}

/// An answer that goes out piece by piece, once it is begun: what is written then is
/// sent at once.
#[derive(Debug)]
pub struct Stream {
    told: Sender<Told>,
    has_begun: bool,
}

impl Stream {
    /// Begins: what is written from here on is the answer, and what the function
    /// returns is not.
    pub fn begin(&mut self, media_type: &str) {
        if !self.has_begun {
            self.has_begun = true;
            let _ = self.told.send(Told::Begun(media_type.to_string()));
        }
    }
}

impl io::Write for Stream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.begin("application/octet-stream");
        let sent = self.told.send(Told::Piece(bytes.to_vec()));
        sent.map_err(|_| io::ErrorKind::BrokenPipe)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// How the function is run.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The address of the Runtime API.
    pub api: String,
    /// Whether the program is to be frozen before its first event.
    pub is_snap_start: bool,
    /// How long before the deadline a function that is still at work is told to have
    /// overrun it: afterwards nobody could.
    pub spare: Duration,
}

impl Settings {
    /// As the environment has it, which is asked by name: that of the program,
    /// `|name| std::env::var(name).ok()`.
    ///
    /// # Errors
    /// [`Stop::NotLambda`].
    pub fn of(variable: impl Fn(&str) -> Option<String>) -> Result<Self, Stop> {
        let kind = variable("AWS_LAMBDA_INITIALIZATION_TYPE");
        Ok(Self {
            api: variable("AWS_LAMBDA_RUNTIME_API").ok_or(Stop::NotLambda)?,
            is_snap_start: kind.as_deref() == Some("snap-start"),
            spare: Duration::from_millis(50),
        })
    }
}

/// Why the function runs no longer. The program is to end with an error; Lambda
/// starts another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Stop {
    /// `AWS_LAMBDA_RUNTIME_API` is not set.
    NotLambda,
    /// It is set to something else than an address.
    Address(String),
    /// The Runtime API cannot be talked with.
    Api(Broken),
    /// The function could not start, or go on after it was thawed; Lambda was told.
    Start(Failure),
    /// It overran its deadline; Lambda was told.
    Overrun,
}

impl fmt::Display for Stop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotLambda => f.write_str(
                "AWS_LAMBDA_RUNTIME_API is not set: this program is a function of AWS Lambda",
            ),
            Self::Address(text) => {
                write!(f, "AWS_LAMBDA_RUNTIME_API is no address: {text:?}")
            }
            Self::Api(Broken::Status(status)) => {
                write!(f, "the Runtime API answers with status {status}")
            }
            Self::Api(broken) => write!(f, "the Runtime API: {}", broken.as_str()),
            Self::Start(failure) => {
                write!(f, "the function does not start: {}", failure.message)
            }
            Self::Overrun => f.write_str("the function overran its deadline"),
        }
    }
}

impl std::error::Error for Stop {}

impl From<Broken> for Stop {
    fn from(broken: Broken) -> Self {
        Self::Api(broken)
    }
}

/// What the function's thread is to do.
enum Job {
    Start,
    BeforeSnapshot,
    AfterRestore,
    Call(Box<Event>),
}

/// What it tells.
enum Told {
    Begun(String),
    Piece(Vec<u8>),
    Done(Result<Vec<u8>, Failure>),
}

/// Runs a function until the Runtime API is gone, or the function cannot go on.
///
/// # Errors
/// [`Stop`]; it comes back for no other reason.
pub fn run(settings: &Settings, function: impl Function) -> Stop {
    match serve(settings, function) {
        Ok(never) => match never {},
        Err(stop) => stop,
    }
}

fn serve(settings: &Settings, function: impl Function) -> Result<core::convert::Infallible, Stop> {
    let address = || Stop::Address(settings.api.clone());
    let api = Api::parse(&settings.api).ok_or_else(address)?;
    let mut client = Client::new(api, Socket::to(api.authority));
    let (jobs, todo) = channel();
    let (tell, told) = channel();
    thread::spawn(move || work(function, &todo, &tell));
    let worker = Worker { jobs, told };

    if let Err(failure) = worker.prepare(Job::Start) {
        client.fail("", &failure.fault())?;
        return Err(Stop::Start(failure));
    }
    if settings.is_snap_start {
        if let Err(failure) = worker.prepare(Job::BeforeSnapshot) {
            client.fail("", &failure.fault())?;
            return Err(Stop::Start(failure));
        }
        client.restored()?;
        if let Err(failure) = worker.prepare(Job::AfterRestore) {
            client.restore_failed(&failure.fault())?;
            return Err(Stop::Start(failure));
        }
    }
    let mut buffer = vec![0; MAX_HEAD_BYTES + MAX_PAYLOAD_BYTES];
    loop {
        let invocation = client.next(&mut buffer)?;
        let event = Event::new(invocation.event, &invocation.context);
        invoke(&mut client, &worker, event, settings.spare)?;
    }
}

/// One invocation, to its end.
fn invoke(
    client: &mut Client<'_, Socket<'_>>,
    worker: &Worker,
    event: Event,
    spare: Duration,
) -> Result<(), Stop> {
    let until = std::time::Instant::now() + event.left().saturating_sub(spare);
    let request_id = event.request_id.clone();
    let _ = worker.jobs.send(Job::Call(Box::new(event)));
    // With a stream, what could not be sent of it.
    let mut stream: Option<Result<(), Broken>> = None;
    loop {
        let left = until.saturating_duration_since(std::time::Instant::now());
        let told = worker.told.recv_timeout(left);
        let result = match told {
            Ok(Told::Begun(media_type)) => {
                stream = Some(client.begin_pieces(&request_id, &media_type));
                continue;
            }
            Ok(Told::Piece(bytes)) => {
                if let Some(Ok(())) = stream {
                    stream = Some(client.piece(&Whole(&bytes)));
                }
                continue;
            }
            Ok(Told::Done(result)) => result,
            Err(RecvTimeoutError::Timeout) => {
                let fault = Fault::new("Function.Overrun", "the function overran its deadline");
                finish(client, &request_id, stream, Err(&fault))?;
                return Err(Stop::Overrun);
            }
            Err(RecvTimeoutError::Disconnected) => return Err(Stop::Start(gone())),
        };
        let result = match &result {
            Ok(bytes) => Ok(bytes.as_slice()),
            Err(failure) => Err(&failure.fault()),
        };
        return Ok(finish(client, &request_id, stream, result)?);
    }
}

fn finish(
    client: &mut Client<'_, Socket<'_>>,
    request_id: &str,
    stream: Option<Result<(), Broken>>,
    result: Result<&[u8], &Fault<'_>>,
) -> Result<(), Broken> {
    let verdict = match (stream, result) {
        // A stream that was cut cannot be mended: the next invocation shows whether
        // the API is still there.
        (Some(Err(_)), _) => return Ok(()),
        (Some(Ok(())), result) => client.end_pieces(result.err())?,
        (None, Err(fault)) => client.fail(request_id, fault)?,
        (None, Ok(bytes)) => client.respond(request_id, &Whole(bytes))?,
    };
    if verdict == Verdict::Refused(413) {
        let fault = Fault::new(
            "Function.AnswerTooLong",
            "the answer is longer than Lambda takes",
        );
        client.fail(request_id, &fault)?;
    }
    Ok(())
}

struct Worker {
    jobs: Sender<Job>,
    told: Receiver<Told>,
}

impl Worker {
    /// Has a step of the start done.
    fn prepare(&self, job: Job) -> Result<(), Failure> {
        self.jobs.send(job).map_err(|_| gone())?;
        match self.told.recv() {
            Ok(Told::Done(result)) => result.map(drop),
            _ => Err(gone()),
        }
    }
}

fn gone() -> Failure {
    Failure::new("Function.Gone", "the function's thread is gone")
}

fn work(mut function: impl Function, todo: &Receiver<Job>, tell: &Sender<Told>) {
    for job in todo {
        let done = catch_unwind(AssertUnwindSafe(|| match job {
            Job::Start => function.start().map(|()| Vec::new()),
            Job::BeforeSnapshot => function.before_snapshot().map(|()| Vec::new()),
            Job::AfterRestore => function.after_restore().map(|()| Vec::new()),
            Job::Call(event) => {
                let mut stream = Stream {
                    told: tell.clone(),
                    has_begun: false,
                };
                function.call(*event, &mut stream)
            }
        }));
        let done = done.unwrap_or_else(|panic| Err(panicked(&*panic)));
        if tell.send(Told::Done(done)).is_err() {
            return;
        }
    }
}

fn panicked(panic: &(dyn Any + Send)) -> Failure {
    let text = panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("no text");
    Failure::new(
        "Function.Panic",
        std::format_args!("the function panicked: {text}"),
    )
}

fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    since.map_or(0, |since| since.as_millis() as u64)
}

/// A connection of the standard library's.
struct Socket<'a> {
    authority: &'a str,
    stream: Option<TcpStream>,
}

impl<'a> Socket<'a> {
    fn to(authority: &'a str) -> Self {
        Self {
            authority,
            stream: None,
        }
    }
}

/// How long a peer may take nothing of what is sent.
const SEND_PATIENCE: Duration = Duration::from_secs(10);

impl Wire for Socket<'_> {
    fn connect(&mut self) -> Result<(), Cut> {
        self.stream = None;
        let stream = if self
            .authority
            .rsplit(']')
            .next()
            .unwrap_or_default()
            .contains(':')
        {
            TcpStream::connect(self.authority)
        } else {
            // `[::1]` and names, without a port.
            TcpStream::connect((self.authority.trim_matches(['[', ']']), 80))
        };
        let stream = stream.map_err(|_| Cut::Unreachable)?;
        let is_set = stream
            .set_nodelay(true)
            .and_then(|()| stream.set_write_timeout(Some(SEND_PATIENCE)));
        is_set.map_err(|_| Cut::Lost)?;
        self.stream = Some(stream);
        Ok(())
    }

    fn send(&mut self, bytes: &[u8], _: bool) -> Result<(), Cut> {
        let stream = self.stream.as_mut().ok_or(Cut::Lost)?;
        stream.write_all(bytes).map_err(|error| cut(&error))
    }

    fn receive(&mut self, buffer: &mut [u8], until_ms: u64) -> Result<usize, Cut> {
        let stream = self.stream.as_mut().ok_or(Cut::Lost)?;
        let patience = match until_ms {
            NEVER => None,
            until => match until.saturating_sub(now_ms()) {
                0 => return Err(Cut::Silent),
                left => Some(Duration::from_millis(left)),
            },
        };
        stream
            .set_read_timeout(patience)
            .and_then(|()| {
                loop {
                    match stream.read(buffer) {
                        Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                        result => return result,
                    }
                }
            })
            .map_err(|error| cut(&error))
    }

    fn now_ms(&mut self) -> u64 {
        now_ms()
    }
}

fn cut(error: &io::Error) -> Cut {
    match error.kind() {
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => Cut::Silent,
        _ => Cut::Lost,
    }
}
