//! Whether an image is well: started beside what runs, at an address that nobody else
//! knows (`rehearse`), and then in its service's place, as `ounce serve` tells of it
//! (`follow`).

use std::io;
use std::net::SocketAddr;
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use ounce_oci::causes::in_one_line;
use ounce_run::Exit;
use ounce_run::containers::{Kind as Of, Served};
use ounce_run::serve::{self, Service, Source as _};

use crate::commands::Context;
use crate::commands::serve::images::Images;
use crate::failure::{Failure, Kind};
use crate::first_answer::{Answer, first_answer};
use crate::start;

/// How long a program without a `health` has to stay alive.
const ALIVE: Duration = Duration::from_secs(2);
/// Between two looks.
const LOOKS: Duration = Duration::from_millis(200);
/// The longest pause of `ounce serve` after failures (30 s), and some more.
const PAUSES: Duration = Duration::from_secs(35);
/// Until it has to have the new image in place.
const TAKEN_UP: Duration = Duration::from_secs(60);
/// Until a program that answers has to have answered again.
const ANSWERS: Duration = Duration::from_secs(5);

/// Starts an image as a service would and asks whether it is well; why not, if it is
/// not.
pub(super) fn rehearse(
    context: &Context,
    service: &Service,
    image: &str,
) -> Result<Result<(), String>, Failure> {
    let service = Service {
        image: image.to_owned(),
        place: None,
        ..service.clone()
    };
    let mut images = Images::new(context, None::<fn() -> Result<serve::Config, Failure>>)?;
    let prepared = match images.prepare(&service) {
        Ok(prepared) => prepared,
        Err(error) => return Ok(Err(in_one_line(&*error))),
    };
    let exe = std::env::current_exe().map_err(|error| Failure::new(Kind::Host, error))?;
    let no_input = start::no_input()?;
    let stderr = io::stderr();
    // What it prints is none of our answer.
    let stdio = [no_input.as_fd(), stderr.as_fd(), stderr.as_fd()];
    let told = serve::rehearse(&service, prepared, &exe, stdio, |address, ended| {
        judge(&service, address, ended)
    });
    Ok(told.unwrap_or_else(|error| Err(in_one_line(&*error))))
}

fn judge(
    service: &Service,
    address: SocketAddr,
    ended: &mut dyn FnMut() -> Option<Exit>,
) -> Result<(), String> {
    let begun = Instant::now();
    let Some(path) = &service.health else {
        while begun.elapsed() < ALIVE {
            if let Some(exit) = ended() {
                return Err(format!("its program ended with {exit}"));
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        return Ok(());
    };
    let wait = service.options.start_timeout;
    let mut exit = None;
    loop {
        let mut running = || {
            exit = exit.or_else(&mut *ended);
            exit.is_none()
        };
        let answer = first_answer(address, path, begun, wait, &mut running);
        match answer {
            Ok(answer) if is_well(answer) => return Ok(()),
            // It may have to get warm.
            Ok(answer) if begun.elapsed() >= wait => {
                return Err(format!("it answers {path} with {}", answer.status));
            }
            Ok(_) => std::thread::sleep(Duration::from_millis(50)),
            Err(error) => {
                return Err(match exit {
                    Some(exit) => format!("its program ended with {exit}"),
                    None => error.to_string(),
                });
            }
        }
    }
}

fn is_well(answer: Answer) -> bool {
    (200..400).contains(&answer.status)
}

/// How an `ounce serve` that runs has a service; none where nobody serves it.
pub(super) fn served(context: &Context, service: &Service) -> Option<Served> {
    let all = context.containers().list().ok()?;
    let alive = all
        .into_iter()
        .flatten()
        .filter(|seen| seen.record.kind == Of::Service && seen.status.is_alive());
    let mut services = alive.filter_map(|seen| seen.running?.services.remove(&service.name));
    services.find(|served| served.image == service.image)
}

/// Watches a service whose image has changed: until it is in place, and for so long
/// after that; why it is not well, if it is not.
pub(super) fn follow(
    context: &Context,
    service: &Service,
    image: &str,
    failures_before: u32,
    watch: Duration,
) -> Result<(), String> {
    let begun = Instant::now();
    let deadline = begun + TAKEN_UP;
    let look = || -> Result<Option<Served>, String> {
        let Some(served) = served(context, service) else {
            return Ok(None);
        };
        if served.refused.as_deref() == Some(image) {
            return Err("in the service's place its program did not hold".to_owned());
        }
        if served.failures > failures_before {
            return Err("in the service's place its program failed".to_owned());
        }
        Ok(Some(served))
    };
    loop {
        let Some(served) = look()? else {
            return Ok(());
        };
        match served.runs {
            Some(runs) if runs == image => break,
            // Nothing of it runs: the next start is of the new image. So it is, too,
            // where the next try that was due has not come: nobody has asked for it.
            None if !served.pausing || begun.elapsed() > PAUSES => return Ok(()),
            _ if Instant::now() >= deadline => {
                let seconds = TAKEN_UP.as_secs();
                return Err(format!("it was not in place within {seconds} s"));
            }
            _ => std::thread::sleep(LOOKS),
        }
    }
    let end = Instant::now() + watch;
    while Instant::now() < end {
        if look()?.is_none() {
            return Ok(());
        }
        let address = service.listen.address();
        let can_be_asked = service.place.is_none() && address.port() != 0;
        if let Some(path) = service.health.as_ref().filter(|_| can_be_asked) {
            let answer = first_answer(address, path, Instant::now(), ANSWERS, &mut || true);
            match answer {
                Ok(answer) if is_well(answer) => {}
                Ok(answer) => {
                    let status = answer.status;
                    return Err(format!(
                        "in the service's place it answers {path} with {status}"
                    ));
                }
                Err(error) => return Err(format!("in the service's place: {error}")),
            }
        }
        std::thread::sleep(LOOKS);
    }
    Ok(())
}
