//! Looking who is connected, and what follows from it: stopping what is idle,
//! starting anew what accepts nothing, replacing what has a successor.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use rustix::event::epoll;

use super::{Engine, LOOKS, Phase, RETIRES, SETTLES};
use crate::serve::connections::Connections;
use crate::serve::event::{What, Why};
use crate::serve::metrics::add;

impl Engine<'_> {
    /// One look at all services that run.
    pub(super) fn look(&mut self, now: Instant) {
        self.next_look = None;
        if !self.ending && self.source.changed() {
            self.roll_changed();
        }
        let mut families = [false; 2];
        let mut any = false;
        for slot in self.slots.iter().filter(|slot| slot.phase == Phase::Up) {
            any = true;
            families[usize::from(slot.address.is_ipv6())] = true;
        }
        if !any {
            return;
        }
        // Not known is as in use: the next look may know.
        let connections = self.kernel.connections(None, families).ok();
        for index in 0..self.slots.len() {
            if self.slots[index].phase == Phase::Up {
                let between = match &connections {
                    Some(connections) => self.look_at(index, connections, now),
                    None => Some(LOOKS[1]),
                };
                if let Some(between) = between {
                    self.look_within(between);
                }
            }
        }
    }

    /// Looks at one that runs; in what time to look again, if it still does.
    fn look_at(
        &mut self,
        index: usize,
        connections: &Connections,
        now: Instant,
    ) -> Option<Duration> {
        let slot = &mut self.slots[index];
        let (accepted, waiting) = connections
            .of(slot.address)
            .map_or((0, 0), |used| (used.accepted.len(), used.waiting));
        let count = u32::try_from(accepted).unwrap_or(u32::MAX);
        slot.counters.connections.store(count, Ordering::Relaxed);
        if accepted > 0 || waiting > 0 {
            slot.used = now;
        }
        slot.stalled = match accepted == 0 && waiting > 0 {
            true => slot.stalled.or(Some(now)),
            false => None,
        };
        if accepted > 0
            && let Some(instance) = slot.instances.last_mut()
        {
            instance.has_accepted = true;
        }
        if self.has_stalled(index, now) {
            return None;
        }
        let retires = self.retire(index, now);
        let slot = &self.slots[index];
        let idle = slot.service.idle.filter(|_| !slot.service.always);
        let mut between = LOOKS[1];
        if let Some(idle) = idle {
            let unused = now.saturating_duration_since(slot.used);
            if unused >= idle && slot.instances.len() == 1 && self.stop_unused(index, Why::Idle) {
                return None;
            }
            let flags = epoll::EventFlags::IN | epoll::EventFlags::ET;
            self.watch(index, flags | epoll::EventFlags::ONESHOT);
            between = self.look_every(idle);
        }
        Some(if retires { RETIRES } else { between })
    }

    /// Kills one that has never accepted a connection though some wait.
    fn has_stalled(&mut self, index: usize, now: Instant) -> bool {
        let slot = &mut self.slots[index];
        let most = slot.service.options.start_timeout;
        let waited = slot
            .stalled
            .map(|since| now.saturating_duration_since(since));
        let stalled = slot.instances.iter().all(|one| !one.has_accepted)
            && waited.is_some_and(|waited| waited >= most);
        if stalled {
            for instance in &slot.instances {
                instance.kill();
            }
            slot.stalled = None;
            self.tell(index, What::Stalled(most));
        }
        stalled
    }

    /// Has the older of two containers end once the younger has held for a
    /// while. Whether one is still to be ended.
    fn retire(&mut self, index: usize, now: Instant) -> bool {
        let slot = &mut self.slots[index];
        let grace = slot.service.options.stop_timeout;
        let Some((last, older)) = slot.instances.split_last_mut() else {
            return false;
        };
        if older.is_empty() {
            return false;
        }
        let mut rolled = false;
        if last.stays() && now.saturating_duration_since(last.since) >= SETTLES {
            for instance in older.iter_mut().filter(|one| one.stays()) {
                instance.retires = Some(now + grace);
                rolled = true;
            }
        }
        let mut left = false;
        for place in 0..slot.instances.len().saturating_sub(1) {
            left |= self.retire_one(index, place, now);
        }
        let asked = self.slots[index].instances.iter();
        let end = asked.filter_map(|one| one.asked).map(|(_, end)| end).min();
        self.set_due(index, end);
        if rolled {
            add(&self.slots[index].counters.rolls);
            self.tell(index, What::Rolled);
        }
        // The younger has yet to hold, or the older to end.
        left || self.slots[index].instances.len() > 1
    }

    /// Whether it is still to be asked.
    fn retire_one(&mut self, index: usize, place: usize, now: Instant) -> bool {
        let slot = &mut self.slots[index];
        let grace = slot.service.options.stop_timeout;
        let families = [slot.address.is_ipv4(), slot.address.is_ipv6()];
        let Some(instance) = slot.instances.get_mut(place) else {
            return false;
        };
        let Some(end) = instance.retires.filter(|_| instance.asked.is_none()) else {
            return false;
        };
        // One that listens to SIGTERM finishes what it has accepted.
        if instance.drains() || end <= now {
            instance.ask_to_end(None, Why::Replaced, grace);
            return false;
        }
        let Some(frozen) = instance.freeze() else {
            return true;
        };
        let Ok(connections) = self.kernel.connections(Some(slot.address.port()), families) else {
            return true;
        };
        // Of the socket's connections some are the successor's.
        let own = frozen.sockets();
        let used = connections
            .of(slot.address)
            .is_some_and(|used| used.accepted.iter().any(|inode| own.contains(inode)));
        if !used {
            instance.ask_to_end(Some(frozen), Why::Replaced, grace);
        }
        used
    }
}
