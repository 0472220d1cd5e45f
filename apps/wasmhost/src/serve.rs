//! A server around a component that handles requests: one thread for each
//! processor, each with connections of its own, and a fresh instance for each
//! request, so that none sees what another left.

use std::cell::{Cell, RefCell};
use std::convert::Infallible;
use std::future::poll_fn;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::pin::pin;
use std::process::ExitCode;
use std::rc::Rc;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::task::Poll;
use std::thread::JoinHandle;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{Notify, Semaphore, oneshot, watch};
use tokio::task::LocalSet;
use wasmtime::component::{Component, Linker};
use wasmtime::{Engine, Store};
use wasmtime_wasi_http::WasiHttpView as _;
use wasmtime_wasi_http::io::TokioIo;
use wasmtime_wasi_http::p2::bindings::ProxyPre;
use wasmtime_wasi_http::p2::bindings::http::types::Scheme;
use wasmtime_wasi_http::p2::body::HyperOutgoingBody;

use crate::arguments::Start;
use crate::failure::{Failure, NOT_EXECUTABLE, USAGE};
use crate::settings::REQUESTS;
use crate::state::Whole;
use crate::trusted;
use crate::waiting::{out_of_time, runtime};

/// Where requests are taken that nobody hands a socket for.
const PORT: u16 = 8080;
/// How long a request may take unless told.
const USUAL_TIMEOUT: Duration = Duration::from_secs(30);
/// How long a loop may keep other requests of its thread waiting.
const SLICE: Duration = Duration::from_millis(10);
/// How long requests may take to end once the server is asked to.
const GRACE: Duration = Duration::from_secs(5);

/// What all threads share.
struct Server {
    before: ProxyPre<Whole>,
    start: Start,
    timeout: Duration,
    clock: Clock,
    /// As many as the pool has rooms for.
    rooms: Semaphore,
    /// Told with each answer; who waits waits for the first.
    answered: Notify,
    /// Whether the server is asked to end.
    end: watch::Sender<bool>,
}

/// Serves until it is asked to end.
pub(crate) fn serve(
    linker: &Linker<Whole>,
    component: &Component,
    start: Start,
    listeners: Vec<TcpListener>,
) -> Result<ExitCode, Failure> {
    let unfit = |error: wasmtime::Error| {
        let what = "the module asks for what this engine does not have";
        Failure::new(NOT_EXECUTABLE, what).because(&error)
    };
    let before = linker.instantiate_pre(component).map_err(unfit)?;
    let engine = before.engine().clone();
    let before = ProxyPre::new(before).map_err(unfit)?;
    let (end, _) = watch::channel(false);
    let server = Arc::new(Server {
        before,
        timeout: start.timeout.unwrap_or(USUAL_TIMEOUT),
        start,
        clock: Clock::new(engine),
        rooms: Semaphore::new(REQUESTS as usize),
        answered: Notify::new(),
        end,
    });
    let runtime = runtime()?;
    let tasks = LocalSet::new();
    let others = tasks.block_on(&runtime, async {
        // Before anybody is answered, who may ask for the end at once.
        let asked = asked_to_end()?;
        let others = Rc::new(RefCell::new(Vec::new()));
        let (starter, all) = (Arc::clone(&server), clones(&listeners)?);
        let started = Rc::clone(&others);
        tokio::task::spawn_local(async move {
            // The other processors' threads are only worth it once there is work,
            // and the first answer does not wait for them.
            starter.answered.notified().await;
            *started.borrow_mut() = helpers(&starter, &all);
        });
        let ender = Arc::clone(&server);
        tokio::task::spawn_local(async move {
            asked.await;
            ender.end.send_replace(true);
        });
        accept(&server, listeners).await?;
        Ok::<_, Failure>(others.take())
    })?;
    // Each is told by the same word, and finishes what it has begun.
    for other in others {
        let _ = other.join();
    }
    Ok(ExitCode::SUCCESS)
}

/// A thread for each other processor, as far as there may be that many.
fn helpers(server: &Arc<Server>, listeners: &[TcpListener]) -> Vec<JoinHandle<()>> {
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    let threads = (1..processors).map_while(|_| {
        let server = Arc::clone(server);
        let listeners = clones(listeners).ok()?;
        let work = move || {
            let Ok(runtime) = runtime() else { return };
            // What it has not accepted, another does.
            let _ = LocalSet::new().block_on(&runtime, accept(&server, listeners));
        };
        std::thread::Builder::new().spawn(work).ok()
    });
    threads.collect()
}

/// Waits for a signal that asks for the end.
fn asked_to_end() -> Result<impl Future<Output = ()>, Failure> {
    let failed = |error: std::io::Error| Failure::new(USAGE, "handling signals").because_of(&error);
    let mut terminate = signal(SignalKind::terminate()).map_err(failed)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(failed)?;
    Ok(poll_fn(move |context| {
        let asked =
            terminate.poll_recv(context).is_ready() || interrupt.poll_recv(context).is_ready();
        if asked {
            Poll::Ready(())
        } else {
            Poll::Pending
        }
    }))
}

fn clones(listeners: &[TcpListener]) -> Result<Vec<TcpListener>, Failure> {
    let clones = listeners.iter().map(TcpListener::try_clone);
    clones
        .collect::<Result<_, _>>()
        .map_err(|error| Failure::new(USAGE, "sharing a socket").because_of(&error))
}

/// The sockets that were handed in, or one of our own.
pub(crate) fn listeners(start: &Start) -> Result<Vec<TcpListener>, Failure> {
    let failed = |what: String| {
        move |error: std::io::Error| Failure::new(USAGE, what.clone()).because_of(&error)
    };
    let mut listeners = trusted::sockets();
    if listeners.is_empty() {
        let port = start.port.unwrap_or(PORT);
        let address = SocketAddr::from((Ipv4Addr::UNSPECIFIED, port));
        let bound = TcpListener::bind(address).map_err(failed(format!("listening at {address}")));
        listeners.push(bound?);
    }
    for listener in &listeners {
        let result = listener.set_nonblocking(true);
        result.map_err(failed("setting up a socket".to_owned()))?;
    }
    Ok(listeners)
}

/// One thread's connections, until the server is asked to end.
async fn accept(server: &Arc<Server>, listeners: Vec<TcpListener>) -> Result<(), Failure> {
    let failed = |error: std::io::Error| Failure::new(USAGE, "serving").because_of(&error);
    let open = Rc::new(Cell::new(0_usize));
    let mut ending = server.end.subscribe();
    let mut accepting = Vec::new();
    for listener in listeners {
        let listener = tokio::net::TcpListener::from_std(listener).map_err(failed)?;
        let server = Arc::clone(server);
        let open = Rc::clone(&open);
        accepting.push(tokio::task::spawn_local(async move {
            loop {
                let Ok((stream, _)) = listener.accept().await else {
                    // Too many open files, above all: some will be closed.
                    tokio::time::sleep(SLICE).await;
                    continue;
                };
                let _ = stream.set_nodelay(true);
                let server = Arc::clone(&server);
                let open = Rc::clone(&open);
                let ending = server.end.subscribe();
                open.set(open.get() + 1);
                tokio::task::spawn_local(async move {
                    connection(&server, stream, ending).await;
                    open.set(open.get() - 1);
                });
            }
        }));
    }
    // The sender lives as long as the server.
    let _ = ending.wait_for(|ends| *ends).await;
    // What is accepted is answered; what waits in the kernel's queue is the
    // next one's.
    accepting.iter().for_each(|task| task.abort());
    let last = tokio::time::Instant::now() + GRACE;
    while open.get() > 0 && tokio::time::Instant::now() < last {
        tokio::time::sleep(SLICE).await;
    }
    Ok(())
}

async fn connection(
    server: &Arc<Server>,
    stream: tokio::net::TcpStream,
    mut ending: watch::Receiver<bool>,
) {
    let service = service_fn(|request| {
        let server = Arc::clone(server);
        async move {
            let answer = handle(&server, request).await;
            server.answered.notify_one();
            Ok::<_, Infallible>(answer)
        }
    });
    // What a client does wrong is told to it; there is nobody else to tell.
    let mut connection = pin!(
        http1::Builder::new()
            .keep_alive(true)
            .pipeline_flush(true)
            .serve_connection(TokioIo::new(stream), service)
    );
    let mut ended = pin!(ending.wait_for(|ends| *ends));
    let mut told = false;
    let _ = poll_fn(|context| {
        if !told && ended.as_mut().poll(context).is_ready() {
            told = true;
            connection.as_mut().graceful_shutdown();
        }
        connection.as_mut().poll(context)
    })
    .await;
}

/// One request in an instance of its own.
async fn handle(server: &Arc<Server>, request: Request<Incoming>) -> Response<HyperOutgoingBody> {
    let (sender, receiver) = oneshot::channel();
    let work = Arc::clone(server);
    let task = tokio::task::spawn_local(async move {
        let Ok(_room) = work.rooms.acquire().await else {
            return Some(StatusCode::SERVICE_UNAVAILABLE);
        };
        let _busy = work.clock.begin();
        let mut store = match Whole::new(&work.start) {
            Ok(state) => Store::new(work.before.engine(), state),
            Err(failure) => {
                eprint!("{failure}");
                return Some(StatusCode::INTERNAL_SERVER_ERROR);
            }
        };
        store.limiter(|whole| &mut whole.memory);
        store.set_epoch_deadline(1);
        store.epoch_deadline_async_yield_and_update(1);
        let request = store
            .data_mut()
            .http()
            .new_incoming_request(Scheme::Http, request);
        let Ok(request) = request else {
            return Some(StatusCode::BAD_REQUEST);
        };
        let out = match store.data_mut().http().new_response_outparam(sender) {
            Ok(out) => out,
            Err(_) => return Some(StatusCode::INTERNAL_SERVER_ERROR),
        };
        let call = async {
            let proxy = work.before.instantiate_async(&mut store).await?;
            let handler = proxy.wasi_http_incoming_handler();
            handler.call_handle(&mut store, request, out).await
        };
        match tokio::time::timeout(work.timeout, call).await {
            Ok(Ok(())) => Some(StatusCode::INTERNAL_SERVER_ERROR),
            Ok(Err(error)) => {
                let memory = &store.data().memory;
                let failure = Failure::of_guest(&error, memory.denied_bytes, memory.limit());
                eprint!("{failure}");
                Some(StatusCode::INTERNAL_SERVER_ERROR)
            }
            Err(_) => {
                eprint!("{}", out_of_time(work.timeout));
                Some(StatusCode::GATEWAY_TIMEOUT)
            }
        }
    });
    match receiver.await {
        Ok(Ok(response)) => response,
        Ok(Err(_)) => plain(StatusCode::BAD_GATEWAY),
        // It ended without an answer: what it was ended by says which is ours.
        Err(_) => plain(match task.await {
            Ok(Some(status)) => status,
            _ => StatusCode::INTERNAL_SERVER_ERROR,
        }),
    }
}

fn plain(status: StatusCode) -> Response<HyperOutgoingBody> {
    let text = format!("{status}\n");
    let body = Full::new(Bytes::from(text)).map_err(|never| match never {});
    let mut response = Response::new(body.boxed_unsync());
    *response.status_mut() = status;
    response
}

/// Ticks while there is work, so that loops are interrupted, and rests else: a
/// server that waits wakes nobody.
struct Clock(Arc<(Mutex<usize>, Condvar)>);

impl Clock {
    fn new(engine: Engine) -> Self {
        let shared = Arc::new((Mutex::new(0), Condvar::new()));
        let own = Arc::clone(&shared);
        std::thread::spawn(move || {
            let (working, woken) = &*own;
            loop {
                let mut working = locked(working);
                while *working == 0 {
                    working = woken.wait(working).unwrap_or_else(PoisonError::into_inner);
                }
                drop(working);
                std::thread::sleep(SLICE);
                engine.increment_epoch();
            }
        });
        Self(shared)
    }

    fn begin(&self) -> Busy<'_> {
        let (working, woken) = &*self.0;
        let mut working = locked(working);
        *working += 1;
        if *working == 1 {
            woken.notify_one();
        }
        Busy(self)
    }
}

struct Busy<'a>(&'a Clock);

impl Drop for Busy<'_> {
    fn drop(&mut self) {
        *locked(&self.0.0.0) -= 1;
    }
}

fn locked(count: &Mutex<usize>) -> MutexGuard<'_, usize> {
    count.lock().unwrap_or_else(PoisonError::into_inner)
}
