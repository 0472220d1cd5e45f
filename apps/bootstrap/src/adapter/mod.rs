//! From an invocation to a request to the server, and back.

mod options;
mod server;

use ounce_bootstrap::lambda::answer::{Answer, Plain, Prelude, STREAMED_TYPE};
use ounce_bootstrap::lambda::event::{self, Event};
use ounce_bootstrap::lambda::exchange::{Bad, Out, Reading};
use ounce_bootstrap::lambda::fault::Whole;
use ounce_bootstrap::lambda::http::json::Sink;
use ounce_bootstrap::lambda::http::reply;
use ounce_bootstrap::lambda::translate;
use ounce_bootstrap::lambda::{Broken, Client, Cut, Verdict, Wire};
use ounce_bootstrap::{Context, Fault, Outcome, Program, Socket, Start, lost, now_ms};

use options::Options;
use server::Server;

/// How long before the deadline the caller is told that the server overran it:
/// afterwards nobody could.
const SPARE_MS: u64 = 50;

const HELP: &[u8] = b"usage: bootstrap PROGRAM [ARGUMENT...]\n\n\
Runs an HTTP server as a function of AWS Lambda: each event becomes a request.\n\
Without arguments the command is read from ./bootstrap.args.\n\n\
  PORT, AWS_LWA_PORT              where the server listens [8080]\n\
  AWS_LWA_READINESS_CHECK_PATH    what it answers when it is ready [it accepts]\n\
  AWS_LWA_INVOKE_MODE             buffered, or response_stream [buffered]\n\
  AWS_LWA_PASS_THROUGH_PATH       where other events are posted [/events]\n\
  AWS_LWA_REMOVE_BASE_PATH        taken off the front of paths\n";

/// Runs the adapter; the exit status.
pub(crate) fn run(program: &Program) -> u8 {
    if program
        .arguments()
        .next()
        .is_some_and(|word| word == c"--help")
    {
        program.print(HELP);
        return 0;
    }
    match serve(program) {
        Ok(never) => match never {},
        Err(status) => status,
    }
}

fn serve(program: &Program) -> Result<core::convert::Infallible, u8> {
    let mut start = Start::new(program)?;
    // No hooks: a new connection for each request is none that is older than a
    // snapshot.
    let options = Options::read(program);
    let begun = options.and_then(|options| Ok((options, Server::start(program, &options)?)));
    let (options, server) = match begun {
        Ok(begun) => begun,
        Err(fault) => {
            start.told(program, Err(fault))?;
            return Err(1);
        }
    };
    let Start {
        mut client,
        buffer,
        answer,
        ..
    } = start;
    let mut socket = Socket::to([127, 0, 0, 1], options.port);
    loop {
        let invocation = client
            .next(buffer)
            .map_err(|broken| lost(program, broken))?;
        let context = invocation.context;
        let mut exchange = Exchange {
            client: &mut client,
            socket: &mut socket,
            answer,
            context,
            options: &options,
        };
        let mut done = exchange.invoke(invocation.event);
        // A server that has ended does not come back; Lambda starts another of both.
        let mut is_gone = false;
        if let Ok(Err(fault)) = &mut done
            && matches!(fault.kind, CUT | UNREACHABLE)
            && let Some(end) = server.ends_soon()
        {
            is_gone = true;
            *fault = end;
        }
        socket.close();
        let told = done.and_then(|outcome| match outcome {
            Ok(()) => Ok(()),
            Err(fault) => client.fail(context.request_id, &fault).map(drop),
        });
        told.map_err(|broken| lost(program, broken))?;
        if is_gone {
            program.complain(b"error: the server has ended\n");
            return Err(1);
        }
    }
}

/// One invocation and what it takes.
struct Exchange<'x> {
    client: &'x mut Client<'static, Socket>,
    socket: &'x mut Socket,
    answer: &'x mut [u8],
    context: Context<'x>,
    options: &'x Options,
}

impl Exchange<'_> {
    /// Answers an event, or says what is to be told in place of an answer.
    fn invoke(&mut self, bytes: &mut [u8]) -> Result<Outcome, Broken> {
        let mut request = match event::read(bytes) {
            Ok(Event::Request(request)) => request,
            Ok(Event::Other) => return self.pass(bytes),
            Err(fault) => return Ok(Err(fault.into())),
        };
        if let Err(cut) = self.socket.connect() {
            return Ok(Err(cut_fault(cut)));
        }
        let mut out = Out::new(self.socket);
        let base = self.options.base_path;
        if let Err(unfit) = translate::write_head(&mut request, &self.context, base, &mut out) {
            return Ok(Err(Fault::new("Adapter.BadEvent", unfit.as_str())));
        }
        request.write_body(&mut out);
        let sent = out.end();
        let reading = match self.receive(sent, request.is_head) {
            Ok(reading) => reading,
            Err(fault) => return Ok(Err(fault)),
        };
        let (door, is_head) = (request.door, request.is_head);
        if self.options.streams {
            return self.stream(reading, door, is_head);
        }
        let mut reading = reading;
        let end = match reading.whole(self.socket, self.answer) {
            Ok(end) => end,
            Err(bad) => return Ok(Err(bad_fault(bad))),
        };
        let Ok(reply) = reply::parse(self.answer, reading.head_bytes, is_head) else {
            return Ok(Err(bad_fault(Bad::Malformed)));
        };
        let body = self.answer.get(reading.head_bytes..end).unwrap_or_default();
        let answer = Answer { door, reply, body };
        let verdict = self.client.respond(self.context.request_id, &answer)?;
        Ok(judge(verdict))
    }

    /// Sends the head on, and then each piece as it comes.
    fn stream(
        &mut self,
        mut reading: Reading,
        door: event::Door,
        is_head: bool,
    ) -> Result<Outcome, Broken> {
        let head_bytes = reading.head_bytes;
        {
            let Ok(reply) = reply::parse(self.answer, head_bytes, is_head) else {
                return Ok(Err(bad_fault(Bad::Malformed)));
            };
            let id = self.context.request_id;
            self.client.begin_pieces(id, STREAMED_TYPE)?;
            let body = &[];
            self.client.piece(&Prelude(Answer { door, reply, body }))?;
        }
        loop {
            match reading.piece(self.socket, self.answer, head_bytes) {
                Ok(range) if range.is_empty() => {
                    self.client.end_pieces(None)?;
                    return Ok(Ok(()));
                }
                Ok(range) => {
                    let piece = self.answer.get(range).unwrap_or_default();
                    self.client.piece(&Whole(piece))?;
                }
                Err(bad) => {
                    let fault = bad_fault(bad);
                    self.client.end_pieces(Some(&fault))?;
                    return Ok(Ok(()));
                }
            }
        }
    }

    /// Hands an event on that is no request; an answer of 400 or more is an error, so
    /// that a queue keeps its messages.
    fn pass(&mut self, bytes: &[u8]) -> Result<Outcome, Broken> {
        if let Err(cut) = self.socket.connect() {
            return Ok(Err(cut_fault(cut)));
        }
        let mut out = Out::new(self.socket);
        let path = self.options.event_path;
        translate::write_event_head(path, &self.context, bytes.len() as u64, &mut out);
        out.put(bytes);
        let sent = out.end();
        let mut reading = match self.receive(sent, false) {
            Ok(reading) => reading,
            Err(fault) => return Ok(Err(fault)),
        };
        if reading.status >= 400 {
            return Ok(Err(Fault {
                kind: "Function.ServerStatus",
                message: "the server answers an event with status",
                number: Some(reading.status.into()),
            }));
        }
        let end = match reading.whole(self.socket, self.answer) {
            Ok(end) => end,
            Err(bad) => return Ok(Err(bad_fault(bad))),
        };
        let body = Plain(self.answer.get(reading.head_bytes..end).unwrap_or_default());
        let verdict = self.client.respond(self.context.request_id, &body)?;
        Ok(judge(verdict))
    }

    /// Receives the head of an answer. A server that refuses may answer and close
    /// before it has read all.
    fn receive(&mut self, sent: Result<(), Cut>, is_head: bool) -> Result<Reading, Fault<'static>> {
        if let Err(cut @ (Cut::Silent | Cut::Unreachable)) = sent {
            return Err(cut_fault(cut));
        }
        let until = match self.context.deadline_ms {
            0 => now_ms() + MOST_MS,
            deadline => deadline.saturating_sub(SPARE_MS),
        };
        Reading::head(self.socket, self.answer, until, is_head).map_err(bad_fault)
    }
}

/// Where Lambda says no deadline: its own most, 15 minutes.
const MOST_MS: u64 = 900_000;

fn judge(verdict: Verdict) -> Outcome {
    match verdict {
        Verdict::Refused(413) => Err(Fault::new(
            "Function.AnswerTooLong",
            "the server's answer is longer than Lambda takes",
        )),
        // The invocation is over: nothing can be told of it.
        _ => Ok(()),
    }
}

const CUT: &str = "Adapter.Cut";
const UNREACHABLE: &str = "Adapter.Unreachable";

fn cut_fault(cut: Cut) -> Fault<'static> {
    match cut {
        Cut::Unreachable => Fault::new(
            UNREACHABLE,
            "the server does not accept connections any more",
        ),
        Cut::Lost => Fault::new(CUT, "the server cut the connection"),
        Cut::Silent => Fault::new(
            "Adapter.Overrun",
            "the server had not answered when the function's time was over",
        ),
    }
}

fn bad_fault(bad: Bad) -> Fault<'static> {
    match bad {
        Bad::Cut(cut) => cut_fault(cut),
        Bad::Malformed => Fault::new("Adapter.Malformed", "the server's answer is faulty HTTP"),
        Bad::TooLong => Fault::new(
            "Function.AnswerTooLong",
            "the server's answer is longer than Lambda takes",
        ),
    }
}
