//! The Runtime API from the function's side: asks for invocations, answers them,
//! and says what went wrong (docs.aws.amazon.com/lambda, "Using the Lambda runtime
//! API"). What an invocation is for is the caller's.

use ounce_http::json::Sink;
use ounce_http::writer::HeadWriter;
use ounce_http::{is_value, reply, take_until};

use crate::address::Api;
use crate::base64;
use crate::exchange::{Bad, Cut, MAX_HEAD_BYTES, NEVER, Out, Reading, Wire};
use crate::fault::{Content, Count, Fault, Whole};
use crate::invocation::{Context, Invocation};

/// How often a request is sent anew whose connection was lost: the one that was kept
/// may have been closed while nothing happened.
const TRIES: u32 = 3;
/// Milliseconds until an answer to anything but the next invocation is whole.
const ANSWER_MS: u64 = 10_000;
/// The longest head of a request: the address, the name, and a few fields.
const REQUEST_BYTES: usize = 1_536;
/// What Lambda says of what it is told: a status and a few words.
const REPLY_BYTES: usize = 4_096;

/// The Runtime API cannot be talked with: the program is to end, and Lambda starts
/// another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Broken {
    /// An answer did not come.
    Cut(Cut),
    /// It is not HTTP, or lacks what every invocation has.
    Malformed,
    /// It has this status where it should be 200, or 202.
    Status(u16),
}

impl Broken {
    /// In words; a status stands behind them.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Cut(cut) => cut.as_str(),
            Self::Malformed => "its answer cannot be understood",
            Self::Status(_) => "its answer has the status",
        }
    }
}

impl From<Bad> for Broken {
    fn from(bad: Bad) -> Self {
        match bad {
            Bad::Cut(cut) => Self::Cut(cut),
            Bad::Malformed | Bad::TooLong => Self::Malformed,
        }
    }
}

/// What became of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Lambda has it.
    Accepted,
    /// Lambda does not take it, with this status: 413 where it is too long, 400 or
    /// 403 where the invocation is over.
    Refused(u16),
}

/// What is asked of the Runtime API.
struct Call<'c> {
    /// Behind what all paths begin with; a `%` stands for the name.
    path: &'static str,
    request_id: &'c str,
    fault: Option<&'c Fault<'c>>,
    /// Further lines of the head.
    lines: &'c [u8],
    content: Option<&'c (dyn Content + 'c)>,
}

impl<'c> Call<'c> {
    fn get(path: &'static str) -> Self {
        Self {
            path,
            request_id: "",
            fault: None,
            lines: b"",
            content: None,
        }
    }

    fn tell(path: &'static str, request_id: &'c str, fault: &'c Fault<'c>) -> Self {
        Self {
            request_id,
            fault: Some(fault),
            content: Some(fault),
            ..Self::get(path)
        }
    }
}

/// A client over whatever opens connections.
#[derive(Debug)]
pub struct Client<'a, W> {
    api: Api<'a>,
    wire: W,
    is_connected: bool,
}

impl<'a, W: Wire> Client<'a, W> {
    /// A client that has not connected yet.
    pub fn new(api: Api<'a>, wire: W) -> Self {
        Self {
            api,
            wire,
            is_connected: false,
        }
    }

    /// What opens connections.
    pub fn wire(&mut self) -> &mut W {
        &mut self.wire
    }

    /// Waits for the next invocation, for as long as it takes. One that cannot be
    /// answered by its function, since its event is longer than the buffer or its
    /// time is over, is answered here by an error, and the next is waited for.
    ///
    /// # Errors
    /// [`Broken`].
    pub fn next<'e>(&mut self, buffer: &'e mut [u8]) -> Result<Invocation<'e>, Broken> {
        let (head_bytes, end, now_ms) = loop {
            let mut reading = self.ask(&Call::get("invocation/next"), buffer, NEVER)?;
            let whole = reading.whole(&mut self.wire, buffer);
            self.is_connected = whole.is_ok() && reading.leaves_connection();
            if reading.status != 200 {
                return Err(Broken::Status(reading.status));
            }
            let head = buffer.get(..reading.head_bytes).unwrap_or_default();
            let now_ms = self.wire.now_ms();
            let context = context(head, now_ms)?;
            let (kind, message) = match whole {
                Ok(_) if context.left_ms(now_ms) == 0 => (
                    "Runtime.DeadlinePassed",
                    "the event came after its deadline",
                ),
                Ok(end) => break (reading.head_bytes, end, now_ms),
                Err(Bad::TooLong) => ("Runtime.EventTooLong", "there is no room for the event"),
                Err(_) => (
                    "Runtime.BadEvent",
                    "the event was cut short, or is in faulty HTTP",
                ),
            };
            self.fail(context.request_id, &Fault::new(kind, message))?;
        };
        let (head, event) = buffer
            .get_mut(..end)
            .and_then(|all| all.split_at_mut_checked(head_bytes))
            .ok_or(Broken::Malformed)?;
        Ok(Invocation {
            event,
            context: context(head, now_ms)?,
        })
    }

    /// Answers an invocation.
    ///
    /// # Errors
    /// [`Broken`].
    pub fn respond(&mut self, request_id: &str, content: &dyn Content) -> Result<Verdict, Broken> {
        self.tell(&Call {
            request_id,
            content: Some(content),
            ..Call::get(RESPONSE)
        })
    }

    /// Answers an invocation by an error; without a name, says that the function
    /// cannot start.
    ///
    /// # Errors
    /// [`Broken`].
    #[inline(never)]
    pub fn fail(&mut self, request_id: &str, fault: &Fault<'_>) -> Result<Verdict, Broken> {
        let path = match request_id {
            "" => "init/error",
            _ => "invocation/%/error",
        };
        self.tell(&Call::tell(path, request_id, fault))
    }

    /// With SnapStart, says that the function is ready to be frozen, and comes back
    /// in each copy of it, thawed.
    ///
    /// # Errors
    /// [`Broken`].
    pub fn restored(&mut self) -> Result<(), Broken> {
        let mut buffer = [0; REPLY_BYTES];
        let mut reading = self.ask(&Call::get("restore/next"), &mut buffer, NEVER)?;
        let _ = reading.whole(&mut self.wire, &mut buffer);
        // Of the connections from before, this one may be left.
        self.is_connected = false;
        match reading.status {
            200..=299 => Ok(()),
            status => Err(Broken::Status(status)),
        }
    }

    /// Says that the function cannot go on after it was thawed; then the program is
    /// to end.
    ///
    /// # Errors
    /// [`Broken`].
    pub fn restore_failed(&mut self, fault: &Fault<'_>) -> Result<Verdict, Broken> {
        self.tell(&Call::tell("restore/error", "", fault))
    }

    /// Begins an answer that goes out piece by piece: [`Self::piece`], then
    /// [`Self::end_pieces`]. Nothing of it can be sent anew.
    ///
    /// # Errors
    /// [`Broken`].
    pub fn begin_pieces(&mut self, request_id: &str, media_type: &str) -> Result<(), Broken> {
        // A fresh one: a kept connection may turn out to be closed in the midst.
        self.connect()?;
        let mut lines = [0; 512];
        let mut writer = HeadWriter::new(&mut lines);
        writer.put(STREAMING);
        let is_fine = is_value(media_type.as_bytes()) && media_type.len() <= 256;
        let media_type = if is_fine {
            media_type
        } else {
            "application/octet-stream"
        };
        writer.field("Content-Type", media_type.as_bytes());
        let sent = self.send(&Call {
            request_id,
            lines: writer.bytes(),
            content: Some(&PIECES),
            ..Call::get(RESPONSE)
        });
        self.is_connected = sent.is_ok();
        sent.map_err(Broken::Cut)
    }

    /// Sends a piece, at once; an empty one is nothing.
    ///
    /// # Errors
    /// [`Broken`].
    pub fn piece(&mut self, content: &dyn Content) -> Result<(), Broken> {
        let mut count = Count::default();
        content.write(&mut count);
        if count.0 == 0 {
            return Ok(());
        }
        let sent = self.send_piece(count.0, content);
        self.is_connected &= sent.is_ok();
        sent.map_err(Broken::Cut)
    }

    /// Ends an answer that goes out piece by piece; with an error, it is told behind
    /// them, in the trailer section.
    ///
    /// # Errors
    /// [`Broken`].
    pub fn end_pieces(&mut self, fault: Option<&Fault<'_>>) -> Result<Verdict, Broken> {
        let sent = self.send_end(fault);
        self.is_connected &= sent.is_ok();
        sent.map_err(Broken::Cut)?;
        let mut buffer = [0; REPLY_BYTES];
        let reading = self.receive(&mut buffer)?;
        self.judge(reading, &mut buffer)
    }

    /// Asks, and judges the answer by its status.
    #[inline(never)]
    fn tell(&mut self, call: &Call<'_>) -> Result<Verdict, Broken> {
        let mut buffer = [0; REPLY_BYTES];
        let until = self.wire.now_ms().saturating_add(ANSWER_MS);
        let reading = self.ask(call, &mut buffer, until)?;
        self.judge(reading, &mut buffer)
    }

    fn judge(&mut self, mut reading: Reading, buffer: &mut [u8]) -> Result<Verdict, Broken> {
        // What it says besides is of no matter, but the connection is.
        let whole = reading.whole(&mut self.wire, buffer);
        self.is_connected = whole.is_ok() && reading.leaves_connection();
        match reading.status {
            200..=299 => Ok(Verdict::Accepted),
            status @ 400..=499 => Ok(Verdict::Refused(status)),
            status => Err(Broken::Status(status)),
        }
    }

    /// Sends a request until an answer begins, over a new connection where the one
    /// that was kept, or another, is lost meanwhile.
    #[inline(never)]
    fn ask(
        &mut self,
        call: &Call<'_>,
        buffer: &mut [u8],
        until_ms: u64,
    ) -> Result<Reading, Broken> {
        let mut tries = TRIES;
        loop {
            tries -= 1;
            let mut asked = Ok(());
            if !self.is_connected {
                asked = self.wire.connect();
                self.is_connected = asked.is_ok();
            }
            let asked = asked
                .and_then(|()| self.send(call))
                .map_err(Bad::Cut)
                .and_then(|()| Reading::head(&mut self.wire, buffer, until_ms, false));
            match asked {
                Ok(reading) => return Ok(reading),
                Err(bad) => {
                    self.is_connected = false;
                    if bad != Bad::Cut(Cut::Lost) || tries == 0 {
                        return Err(bad.into());
                    }
                }
            }
        }
    }

    fn connect(&mut self) -> Result<(), Broken> {
        self.is_connected = false;
        self.wire.connect().map_err(Broken::Cut)
    }

    fn receive(&mut self, buffer: &mut [u8]) -> Result<Reading, Broken> {
        let until = self.wire.now_ms().saturating_add(ANSWER_MS);
        let reading = Reading::head(&mut self.wire, buffer, until, false);
        self.is_connected &= reading.is_ok();
        Ok(reading?)
    }

    /// Sends a request's head, and what goes with it but for pieces.
    #[inline(never)]
    fn send(&mut self, call: &Call<'_>) -> Result<(), Cut> {
        let mut head = [0; REQUEST_BYTES];
        let mut writer = HeadWriter::new(&mut head);
        write_head(&mut writer, &self.api, call);
        let mut out = Out::new(&mut self.wire);
        out.put(writer.bytes());
        if let Some(content) = call.content {
            content.write(&mut out);
        }
        out.end()
    }

    fn send_piece(&mut self, length: u64, content: &dyn Content) -> Result<(), Cut> {
        let mut digits = [0; 18];
        let mut writer = HeadWriter::new(&mut digits);
        // Zeros ahead are no fault of a size (RFC 9112 section 7.1).
        for byte in (length as u32).to_be_bytes() {
            writer.hex(byte);
        }
        writer.put(b"\r\n");
        let mut out = Out::new(&mut self.wire);
        out.put(writer.bytes());
        content.write(&mut out);
        out.put(b"\r\n");
        out.end()
    }

    fn send_end(&mut self, fault: Option<&Fault<'_>>) -> Result<(), Cut> {
        let mut out = Out::new(&mut self.wire);
        out.put(b"0\r\n");
        if let Some(fault) = fault {
            out.put(b"Lambda-Runtime-Function-Error-Type: ");
            out.put(fault.header().as_bytes());
            out.put(b"\r\nLambda-Runtime-Function-Error-Body: ");
            let mut json = [0; ERROR_BYTES];
            let mut writer = Short(HeadWriter::new(&mut json));
            fault.write(&mut writer);
            base64::encode(writer.0.bytes(), &mut out);
            out.put(b"\r\n");
        }
        out.put(b"\r\n");
        out.end()
    }
}

/// The longest error behind pieces, as JSON; of a longer one only its type is told.
const ERROR_BYTES: usize = 1_024;

/// A writer of heads as a sink.
struct Short<'b>(HeadWriter<'b>);

impl Sink for Short<'_> {
    fn put(&mut self, bytes: &[u8]) {
        self.0.put(bytes);
    }
}

#[inline(never)]
fn context(head: &[u8], now_ms: u64) -> Result<Context<'_>, Broken> {
    let reply = reply::parse(head, MAX_HEAD_BYTES, false).map_err(|_| Broken::Malformed)?;
    Context::read(reply, now_ms).ok_or(Broken::Malformed)
}

/// The path of an answer.
const RESPONSE: &str = "invocation/%/response";

fn write_head(out: &mut HeadWriter<'_>, api: &Api<'_>, call: &Call<'_>) {
    let is_get = call.content.is_none();
    out.put(if is_get { b"GET " } else { b"POST " });
    out.put(api.prefix.as_bytes());
    out.put(b"/2018-06-01/runtime/");
    let mut path = call.path.as_bytes();
    let front = take_until(&mut path, b'%');
    for part in [front, call.request_id.as_bytes(), path] {
        out.put(part);
    }
    out.put(b" HTTP/1.1\r\n");
    out.field("Host", api.authority.as_bytes());
    out.put(call.lines);
    if let Some(fault) = call.fault {
        let kind = fault.header().as_bytes();
        out.field("Lambda-Runtime-Function-Error-Type", kind);
    }
    if let Some(content) = call.content
        && call.lines.is_empty()
    {
        let mut count = Count::default();
        content.write(&mut count);
        out.content_length(count.0);
    }
    out.put(b"\r\n");
}

/// Nothing yet: pieces follow.
const PIECES: Whole<'static> = Whole(b"");

/// What Lambda wants of an answer that goes out piece by piece.
const STREAMING: &[u8] = b"Lambda-Runtime-Function-Response-Mode: streaming\r\n\
    Transfer-Encoding: chunked\r\n\
    Trailer: Lambda-Runtime-Function-Error-Type, Lambda-Runtime-Function-Error-Body\r\n";
