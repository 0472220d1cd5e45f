//! Starting containers, as far as the limits let them.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use rustix::event::epoll;

use super::{Engine, Key, LOOKS, Phase};
use crate::serve::backoff::pause;
use crate::serve::event::{Limit, What, Why};
use crate::serve::instance::Instance;
use crate::serve::metrics::add;

/// Starts until signals and connections have their turn.
const STARTS_A_TURN: usize = 16;

impl Engine<'_> {
    /// A container is wanted.
    pub(super) fn wake(&mut self, index: usize, now: Instant) {
        let slot = &mut self.slots[index];
        slot.noticed = now;
        slot.phase = Phase::Waiting;
        self.waiting.push_back(index);
        self.admit(now);
    }

    /// Starts those who wait, as far as the limits let them.
    pub(super) fn admit(&mut self, now: Instant) {
        self.eager = false;
        for turn in 0..self.waiting.len() {
            if turn >= STARTS_A_TURN {
                self.eager = true;
                return;
            }
            let Some(index) = self.waiting.pop_front() else {
                return;
            };
            if self.slots[index].phase != Phase::Waiting {
                continue;
            }
            if self.max_running.is_some_and(|most| self.running >= most) {
                self.waiting.push_front(index);
                self.delayed(index, Limit::Running);
                self.evict();
                return;
            }
            // Its own rate holds up nobody else.
            let own = self.slots[index].rate.as_mut().map(|rate| rate.take(now));
            if let Some(Err(again)) = own {
                self.waiting.push_back(index);
                self.delayed(index, Limit::Rate);
                self.set_due(index, Some(again));
                continue;
            }
            if let Some(Err(again)) = self.rate.as_mut().map(|rate| rate.take(now)) {
                self.waiting.push_front(index);
                self.delayed(index, Limit::Rate);
                self.set_due(index, Some(again));
                return;
            }
            self.start(index);
        }
    }

    fn delayed(&mut self, index: usize, limit: Limit) {
        self.set_due(index, Some(Instant::now() + LOOKS[1]));
        // Told once for each start.
        let slot = &mut self.slots[index];
        if !std::mem::replace(&mut slot.delayed, true) {
            add(&slot.counters.delayed);
            self.tell(index, What::Delayed(limit));
        }
    }

    /// Stops the one that has been unused the longest, if one is.
    fn evict(&mut self) {
        // Places that are about to be free count for those who wait first.
        let ending = self.slots.iter();
        let ending = ending.filter(|slot| slot.phase == Phase::Ending).count();
        if ending >= self.waiting.len() {
            return;
        }
        let mut idle: Vec<usize> = (0..self.slots.len())
            .filter(|index| {
                let slot = &self.slots[*index];
                slot.phase == Phase::Up && !slot.service.always
            })
            .collect();
        idle.sort_by_key(|index| self.slots[*index].used);
        for index in idle {
            if self.stop_unused(index, Why::Evicted) {
                return;
            }
        }
    }

    pub(super) fn start(&mut self, index: usize) {
        self.set_due(index, None);
        let slot = &mut self.slots[index];
        let service = Arc::clone(&slot.service);
        if service.always {
            // Nobody has waited for it.
            slot.noticed = Instant::now();
        }
        let Some(listener) = slot.listener.clone() else {
            return;
        };
        let started = self
            .source
            .prepare(&service)
            .and_then(|prepared| self.workshop.start(&service, prepared, &listener));
        let instance = match started {
            Ok(instance) => instance,
            Err(error) => {
                add(&slot.counters.failures);
                let again = self.pause(index);
                let error: &(dyn std::error::Error + 'static) = &*error;
                return self.tell(index, What::StartFailed { error, again });
            }
        };
        let now = Instant::now();
        if slot.failures > 0 {
            add(&slot.counters.restarts);
        }
        let took = now - slot.noticed;
        slot.counters.started(took);
        slot.phase = Phase::Up;
        slot.delayed = false;
        slot.used = now;
        slot.stalled = None;
        let pid = instance.container.pid();
        self.take_in(index, instance);
        self.tell(index, What::Started { pid, took });
        self.watch_use(index);
    }

    /// Has a look at who is connected come.
    pub(super) fn watch_use(&mut self, index: usize) {
        let service = &self.slots[index].service;
        let between = match service.idle.filter(|_| !service.always) {
            Some(idle) => {
                let flags = epoll::EventFlags::IN | epoll::EventFlags::ET;
                self.watch(index, flags | epoll::EventFlags::ONESHOT);
                self.look_every(idle)
            }
            None => {
                self.watch(index, epoll::EventFlags::empty());
                LOOKS[1]
            }
        };
        self.look_within(between);
    }

    pub(super) fn look_every(&self, idle: Duration) -> Duration {
        (idle / 10).clamp(LOOKS[0], LOOKS[1])
    }

    pub(super) fn look_within(&mut self, between: Duration) {
        let next = Instant::now() + between;
        self.next_look = Some(self.next_look.map_or(next, |look| look.min(next)));
    }

    pub(super) fn take_in(&mut self, index: usize, instance: Instance) {
        let key = Key::of(Key::PROCESS, index);
        let pidfd = instance.container.pidfd();
        // Where it cannot be watched its end is seen by the next look.
        let _ = epoll::add(&self.epoll, pidfd, key, epoll::EventFlags::IN);
        let slot = &mut self.slots[index];
        slot.instances.push(instance);
        slot.counters.running.fetch_add(1, Ordering::Relaxed);
        self.running += 1;
    }

    pub(super) fn take_out(&mut self, index: usize, place: usize) -> Instance {
        let slot = &mut self.slots[index];
        let instance = slot.instances.remove(place);
        // Not by closing it: a child between clone and exec may have it, too.
        let _ = epoll::delete(&self.epoll, instance.container.pidfd());
        slot.counters.running.fetch_sub(1, Ordering::Relaxed);
        self.running -= 1;
        instance
    }

    /// After a failure; how long.
    pub(super) fn pause(&mut self, index: usize) -> Duration {
        let slot = &mut self.slots[index];
        slot.failures = slot.failures.saturating_add(1);
        slot.phase = Phase::Pausing;
        let again = pause(slot.failures);
        let millis = u32::try_from(again.as_millis()).unwrap_or(u32::MAX);
        slot.counters.pausing_ms.store(millis, Ordering::Relaxed);
        self.watch(index, epoll::EventFlags::empty());
        self.set_due(index, Some(Instant::now() + again));
        again
    }
}
