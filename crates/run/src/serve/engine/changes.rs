//! What changes while services are held: their images, and what the file says.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Instant;

use super::{Engine, LOOKS, Phase, RETIRES, ServeError, Sockets};
use rustix::event::epoll;

use crate::serve::backoff::Rate;
use crate::serve::config::{Config, Service};
use crate::serve::event::{What, Why};
use crate::serve::instance::Prepared;

impl Engine<'_> {
    /// Replaces what runs of images that are others by now.
    pub(super) fn roll_changed(&mut self) {
        for index in 0..self.slots.len() {
            if self.slots[index].phase == Phase::Up {
                self.roll(index, false);
            }
        }
    }

    /// Starts another container beside the one that runs, if it is of another
    /// image, or at any rate; the old one goes once the new one has held.
    fn roll(&mut self, index: usize, at_any_rate: bool) {
        let slot = &self.slots[index];
        let service = Arc::clone(&slot.service);
        let Some(current) = slot.instances.iter().find(|one| one.stays()) else {
            return;
        };
        let current = Arc::clone(&current.identity);
        // One after the other.
        if slot.instances.iter().filter(|one| one.stays()).count() > 1 {
            self.look_within(RETIRES);
            return;
        }
        let prepared = match self.source.prepare(&service) {
            Ok(prepared) => prepared,
            Err(error) => {
                let error: &(dyn std::error::Error + 'static) = &*error;
                return self.tell(index, What::RollFailed(error));
            }
        };
        let slot = &self.slots[index];
        let refused = slot.refused.as_ref() == Some(&prepared.identity);
        if !at_any_rate && (prepared.identity == current || refused) {
            return;
        }
        self.replace(index, prepared);
    }

    fn replace(&mut self, index: usize, prepared: Prepared) {
        let slot = &self.slots[index];
        let Some(listener) = slot.listener.clone() else {
            return;
        };
        let noticed = Instant::now();
        match self.workshop.start(&slot.service, prepared, &listener) {
            Ok(instance) => {
                let pid = instance.container.pid();
                let took = noticed.elapsed();
                slot.counters.started(took);
                self.take_in(index, instance);
                self.tell(index, What::Started { pid, took });
                self.look_within(LOOKS[0]);
            }
            Err(error) => {
                let error: &(dyn std::error::Error + 'static) = &*error;
                self.tell(index, What::RollFailed(error));
            }
        }
    }

    /// Reads the services again and does what is otherwise. What cannot be done
    /// leaves its service as it is.
    pub(super) fn reload(&mut self) {
        if self.ending {
            return;
        }
        match self.source.reread() {
            Ok(Some(config)) => self.change(config),
            Ok(None) => self.roll_changed(),
            Err(error) => {
                let error: &(dyn std::error::Error + 'static) = &*error;
                self.tell_all(What::ReloadFailed(error));
            }
        }
    }

    fn change(&mut self, config: Config) {
        let now = Instant::now();
        self.max_running = config.max_running;
        self.rate = config.start_rate.map(|rate| Rate::new(rate, now));
        let (mut added, mut removed, mut changed) = (0, 0, 0);
        let names: HashMap<String, usize> = (0..self.slots.len())
            .filter(|index| !self.is_leaving(*index))
            .map(|index| (self.slots[index].service.name.clone(), index))
            .collect();
        let mut kept = Vec::new();
        let mut new = Vec::new();
        for service in config.services {
            let known = names.get(&service.name).copied();
            // Another address is another socket, and so another service.
            match known.filter(|index| has_same_address(&self.slots[*index].service, &service)) {
                Some(index) => {
                    kept.push(index);
                    if *self.slots[index].service != service {
                        changed += 1;
                        self.alter(index, service);
                    }
                }
                None => new.push(service),
            }
        }
        // First of all what is no more: others may want its address.
        let mut there = Sockets::new();
        for index in names.into_values().filter(|index| !kept.contains(index)) {
            removed += 1;
            self.remove(index, &mut there);
        }
        for service in new {
            match self
                .check(&service)
                .and_then(|()| self.add(service, &mut there))
            {
                Ok(index) => {
                    added += 1;
                    self.open(index);
                }
                Err(error) => self.not_added(&error),
            }
        }
        let shared = self.share(&mut |engine, error| {
            engine.not_added(&error);
            Ok(())
        });
        if let Err(error) = shared {
            self.not_added(&error);
        }
        self.tell_all(What::Reloaded {
            added,
            removed,
            changed,
        });
        self.roll_changed();
        self.admit(now);
    }

    /// Whether a service can be had at all: better told before anything is served.
    fn check(&mut self, service: &Service) -> Result<(), ServeError> {
        match self.source.prepare(service) {
            Ok(_) => Ok(()),
            Err(source) => Err(ServeError::Image {
                service: service.name.clone(),
                source,
            }),
        }
    }

    fn not_added(&mut self, error: &ServeError) {
        self.tell_all(What::ReloadFailed(error));
    }

    fn is_leaving(&self, index: usize) -> bool {
        let slot = &self.slots[index];
        slot.removed || slot.phase == Phase::Gone
    }

    fn alter(&mut self, index: usize, service: Service) {
        let now = Instant::now();
        let slot = &mut self.slots[index];
        let restart = slot.service.image != service.image
            || slot.service.options != service.options
            || slot.service.always != service.always;
        slot.rate = service
            .start_rate
            .map(|rate| Box::new(Rate::new(rate, now)));
        slot.service = Arc::new(service);
        slot.refused = None;
        let always = slot.service.always;
        match slot.phase {
            Phase::Up if restart => self.roll(index, true),
            Phase::Up => self.watch_use(index),
            Phase::Asleep if always => self.rest(index),
            Phase::Asleep | Phase::Waiting | Phase::Pausing | Phase::Ending | Phase::Gone => {}
        }
    }

    /// Its socket is left for one that comes after it.
    fn remove(&mut self, index: usize, there: &mut Sockets) {
        if !self.slots[index].instances.is_empty() {
            self.stop(index, Why::Removed);
        }
        let slot = &mut self.slots[index];
        slot.removed = true;
        if let Some(listener) = slot.listener.take() {
            let _ = epoll::delete(&self.epoll, &listener);
            there.insert(slot.service.listen.address(), listener);
        }
        if slot.instances.is_empty() {
            self.free(index);
        }
    }
}

fn has_same_address(one: &Service, other: &Service) -> bool {
    one.listen == other.listen && one.place.is_some() == other.place.is_some()
}
