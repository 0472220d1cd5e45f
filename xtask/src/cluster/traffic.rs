//! Somebody who asks a service again and again, and counts who was not answered.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};

use super::place::{Place, enter};

/// How long an answer may take before it counts as lost.
const PATIENCE: Duration = Duration::from_secs(10);
/// Between two requests of one who asks.
const PAUSE: Duration = Duration::from_millis(4);

/// Asks once, over a connection of its own; the answer.
pub(super) fn ask(address: SocketAddr, path: &str) -> Result<String> {
    let mut stream = TcpStream::connect_timeout(&address, PATIENCE).context("connecting")?;
    stream.set_read_timeout(Some(PATIENCE))?;
    let request = format!("GET {path} HTTP/1.1\r\nHost: cluster\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).context("asking")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).context("reading")?;
    ensure!(
        answer.starts_with("HTTP/1.1 200"),
        "the answer is {:?}",
        answer.lines().next()
    );
    Ok(answer)
}

/// Asks once from within a place.
pub(super) fn ask_from(place: &Place, address: SocketAddr, path: &str) -> Result<String> {
    let init = place.init();
    let path = path.to_owned();
    let thread = std::thread::spawn(move || {
        enter(init)?;
        ask(address, &path)
    });
    match thread.join() {
        Ok(answer) => answer,
        Err(_) => bail!("whoever asked has panicked"),
    }
}

/// What became of all requests.
#[derive(Debug, Default)]
struct Count {
    answered: u64,
    /// Why not, of the first few.
    lost: Vec<String>,
}

/// Requests that go on until they are ended.
#[derive(Debug)]
pub(super) struct Traffic {
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<Result<Count>>>,
}

impl Traffic {
    /// From within each of the places, one after the other in each.
    pub(super) fn start(places: &[&Place], address: SocketAddr) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let threads = places.iter().map(|place| {
            let (stop, init) = (stop.clone(), place.init());
            std::thread::spawn(move || {
                enter(init)?;
                let mut count = Count::default();
                while !stop.load(Ordering::Relaxed) {
                    match ask(address, "/hello/you") {
                        Ok(_) => count.answered += 1,
                        Err(error) => count.lost.push(format!("{error:#}")),
                    }
                    std::thread::sleep(PAUSE);
                }
                Ok(count)
            })
        });
        let threads = threads.collect();
        Self { stop, threads }
    }

    /// Ends them: how many were answered, and nobody was not.
    pub(super) fn all_were_answered(self) -> Result<u64> {
        self.stop.store(true, Ordering::Relaxed);
        let mut all = Count::default();
        for thread in self.threads {
            let Ok(count) = thread.join() else {
                bail!("whoever asked has panicked");
            };
            let count = count?;
            all.answered += count.answered;
            all.lost.extend(count.lost);
        }
        let lost = all.lost.len();
        ensure!(
            lost == 0,
            "{lost} of {} requests were lost: {}",
            all.answered + lost as u64,
            all.lost[..lost.min(3)].join("; ")
        );
        ensure!(all.answered > 100, "only {} were asked", all.answered);
        Ok(all.answered)
    }
}
