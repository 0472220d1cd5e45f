//! Addresses that several services share, and the one of metrics: bound here,
//! served by the thread of [`Web`].

use std::collections::HashSet;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::AtomicU32;

use super::{Engine, Phase, ServeError};
use crate::publish::{self, Publish};
use crate::serve::event::What;
use crate::serve::web::{Route, Routes, Web};

impl Engine<'_> {
    fn web(&mut self) -> Result<&Web, ServeError> {
        let web = match self.web.take() {
            Some(web) => web,
            None => Web::start(self.board.clone()).map_err(|source| ServeError::Host {
                step: "starting the thread that reads requests",
                source,
            })?,
        };
        Ok(self.web.insert(web))
    }

    /// Serves metrics there.
    pub(super) fn show_metrics(&mut self, address: SocketAddr) -> Result<(), ServeError> {
        let (address, listener) = bind("metrics", address)?;
        self.web()?.metrics(listener);
        self.tell_all(What::Metrics(address));
        Ok(())
    }

    /// Binds the addresses that services share, lets go of those that they do
    /// not any more, and tells who has which requests. `failed` decides what
    /// becomes of an address that cannot be had.
    pub(super) fn share(
        &mut self,
        failed: &mut dyn FnMut(&mut Self, ServeError) -> Result<(), ServeError>,
    ) -> Result<(), ServeError> {
        let mut routes = Routes::new();
        for slot in &self.slots {
            let Some(place) = slot.service.place.clone() else {
                continue;
            };
            if slot.removed || slot.phase == Phase::Gone {
                continue;
            }
            let route = Route {
                place,
                address: slot.address,
                most: slot.service.concurrency,
                busy: AtomicU32::new(0),
                counters: Arc::clone(&slot.counters),
            };
            let address = slot.service.listen.address();
            routes.entry(address).or_default().push(Arc::new(route));
        }
        if routes.is_empty() && self.fronts.is_empty() {
            return Ok(());
        }
        let wanted: HashSet<SocketAddr> = routes.keys().copied().collect();
        let gone: Vec<SocketAddr> = self.fronts.difference(&wanted).copied().collect();
        let new: Vec<SocketAddr> = wanted.difference(&self.fronts).copied().collect();
        self.web()?.routes(routes);
        for address in gone {
            self.fronts.remove(&address);
            self.web()?.close(address);
        }
        for address in new {
            match bind("the services", address) {
                Ok((_, listener)) => {
                    self.fronts.insert(address);
                    self.web()?.front(address, listener);
                }
                Err(error) => failed(self, error)?,
            }
        }
        Ok(())
    }
}

fn bind(whose: &str, address: SocketAddr) -> Result<(SocketAddr, OwnedFd), ServeError> {
    let publish = Publish {
        host: Some(address.ip()),
        host_port: address.port(),
        container_port: address.port(),
    };
    let bound = publish::bind(&publish).map_err(|source| ServeError::Listen {
        service: format!("{whose} at {address}"),
        source,
    })?;
    Ok((bound.address, bound.into()))
}
