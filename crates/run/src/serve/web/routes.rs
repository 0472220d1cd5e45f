//! Services that share an address, as the thread that reads requests sees them.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use crate::serve::metrics::Counters;
use crate::serve::route::Place;

/// One service of those that share an address.
#[derive(Debug)]
pub(in crate::serve) struct Route {
    /// Which requests are its own.
    pub(in crate::serve) place: Place,
    /// Where it is reached.
    pub(in crate::serve) address: SocketAddr,
    /// Most requests at once.
    pub(in crate::serve) most: Option<u32>,
    /// Requests that it has now.
    pub(in crate::serve) busy: AtomicU32,
    /// What is counted of it.
    pub(in crate::serve) counters: Arc<Counters>,
}

impl Route {
    /// Whether there is a place among its requests.
    pub(super) fn is_free(&self) -> bool {
        let busy = self.busy.load(Ordering::Relaxed);
        self.most.is_none_or(|most| busy < most)
    }

    /// Takes a place, if there is one.
    pub(super) fn enter(&self) -> bool {
        // Only the one thread enters.
        let free = self.is_free();
        if free {
            self.busy.fetch_add(1, Ordering::Relaxed);
        }
        free
    }

    pub(super) fn leave(&self) {
        self.busy.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Which services share which addresses.
pub(in crate::serve) type Routes = HashMap<SocketAddr, Vec<Arc<Route>>>;
