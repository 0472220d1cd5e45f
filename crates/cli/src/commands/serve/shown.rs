//! What `ounce ps` shows of an `ounce serve`: one line for all of its services.

use std::collections::BTreeMap;
use std::time::{SystemTime, UNIX_EPOCH};

use ounce_run::containers::{
    Claim, Containers, Kind, Record, Restart, Running, Served, StateError, record,
};
use ounce_run::runtime::state::{now, process_start};
use ounce_run::serve::{Event, Service, What};

use crate::output::warn;

/// From so many services on it is not told how many run: it would be written
/// anew at each start and stop.
const MANY: usize = 200;
/// So many addresses are shown.
const MOST_PORTS: usize = 16;
/// So many of one name may run at once.
const MOST_NAMES: usize = 100;

/// A line of `ounce ps`, as long as this lives.
pub(super) struct Shown {
    claim: Option<Claim>,
    running: Running,
    /// Services, and containers of them.
    services: usize,
    up: usize,
}

impl Shown {
    /// Shows these services under a name that begins like this. Where that
    /// cannot be, they are served all the same.
    pub(super) fn new(containers: &Containers, name: &str, services: &[Service]) -> Self {
        let own = i32::try_from(std::process::id()).unwrap_or_default();
        let began = SystemTime::now().duration_since(UNIX_EPOCH);
        let mut shown = Self {
            claim: None,
            running: Running {
                keeper: own,
                keeper_started: process_start(own).map_or(0, |started| started.0),
                started: now(),
                started_seconds: began.map_or(0, |began| began.as_secs()),
                ..Running::default()
            },
            services: services.len(),
            up: 0,
        };
        match claim(containers, name, services) {
            Ok(claim) => shown.claim = Some(claim),
            Err(error) => warn(&format!("ounce ps will not show it: {error}")),
        }
        shown.write();
        shown
    }

    /// Takes in what has happened.
    pub(super) fn tell(&mut self, event: &Event<'_>) {
        let is_known = event
            .service
            .is_some_and(|name| self.note_state(name, event));
        match event.what {
            What::Started { .. } => self.up += 1,
            What::Stopped(_) | What::Ended(_) | What::Crashed { .. } => {
                self.up = self.up.saturating_sub(1);
            }
            What::Reloaded { added, removed, .. } => {
                self.services = (self.services + added).saturating_sub(removed);
            }
            _ if is_known => return,
            _ => {}
        }
        if self.services < MANY {
            self.write();
        }
    }

    /// Takes in how a service is, for `ounce update`; whether that was known.
    fn note_state(&mut self, name: &str, event: &Event<'_>) -> bool {
        let owned = |text: Option<&str>| text.map(str::to_owned);
        let served = Served {
            image: event.state.image.to_owned(),
            runs: owned(event.state.runs),
            refused: owned(event.state.refused),
            failures: event.state.failures,
            pausing: event.state.pausing,
        };
        let services = &mut self.running.services;
        if self.services >= MANY {
            services.clear();
            return true;
        }
        if services.get(name) == Some(&served) {
            return true;
        }
        services.insert(name.to_owned(), served);
        false
    }

    fn write(&mut self) {
        let (services, up) = (self.services, self.up);
        let note = match services {
            1 if up > 0 => "running".to_owned(),
            1 => "idle".to_owned(),
            MANY.. => format!("{services} services"),
            _ => format!("{services} services, {up} running"),
        };
        self.running.note = Some(note);
        if let Some(claim) = &self.claim {
            // What is shown is not worth to fail for.
            let _ = claim.write_running(&self.running);
        }
    }
}

impl Drop for Shown {
    fn drop(&mut self) {
        if let Some(claim) = self.claim.take() {
            let _ = claim.remove();
        }
    }
}

fn claim(containers: &Containers, name: &str, services: &[Service]) -> Result<Claim, StateError> {
    let mut record = Record {
        schema: record::SCHEMA.to_owned(),
        name: name.to_owned(),
        kind: Kind::Service,
        image: match services {
            [only] => only.image.clone(),
            _ => "-".to_owned(),
        },
        digest: None,
        command: Vec::new(),
        created: now(),
        ports: ports(services),
        labels: BTreeMap::new(),
        restart: Restart::No,
        stop_timeout_ms: longest_stop(services),
        remove: true,
        interactive: false,
        log_bytes: 0,
        spec: None,
    };
    let mut number = 1;
    loop {
        match containers.create(&record) {
            // Of one that was killed.
            Err(StateError::Taken(_)) if is_dead(containers, &record.name) => {
                containers.remove(&record.name, false)?;
            }
            Err(StateError::Taken(_)) if number < MOST_NAMES => {
                number += 1;
                record.name = format!("{name}-{number}");
            }
            other => return other,
        }
    }
}

fn is_dead(containers: &Containers, name: &str) -> bool {
    let seen = containers.find(name);
    seen.is_ok_and(|seen| seen.record.kind == Kind::Service && !seen.status.is_alive())
}

fn ports(services: &[Service]) -> Vec<record::Port> {
    let mut ports: Vec<record::Port> = Vec::new();
    for service in services {
        let port = record::Port {
            address: service.listen.address().to_string(),
            container_port: service.listen.container_port,
            carried: false,
        };
        if ports.len() < MOST_PORTS && ports.iter().all(|other| other.address != port.address) {
            ports.push(port);
        }
    }
    ports
}

/// `ounce stop` waits for the last of them.
fn longest_stop(services: &[Service]) -> u64 {
    let longest = services
        .iter()
        .map(|service| service.options.stop_timeout)
        .max()
        .unwrap_or_default();
    u64::try_from(longest.as_millis()).unwrap_or(u64::MAX) + 1_000
}
