//! Starts that are begun before anybody has asked for them: a thread keeps a
//! number of children waiting whose namespaces are made, so that a start has
//! but its mounts and its program left to do. What is run in them is open until
//! then; what they are like (network, limits) is the same for all.

use std::os::fd::BorrowedFd;
use std::sync::mpsc::{Receiver, sync_channel};
use std::thread::JoinHandle;

use crate::failure::StartError;
use crate::lifecycle::{Beginning, Container, Threads};
use crate::spec::{Limits, Network, Spec};

/// A stock of begun starts, filled up by a thread of its own.
///
/// Containers die with the thread that began them, so those of a pool die with
/// the pool.
#[derive(Debug)]
pub struct Pool {
    /// Gone only while the pool is dropped.
    stock: Option<Receiver<Beginning>>,
    filler: Option<JoinHandle<()>>,
}

impl Pool {
    /// A pool of `size` starts, at least one, with this network and these limits.
    ///
    /// # Errors
    /// No thread can be made.
    pub fn new(network: Network, limits: Limits, size: usize) -> std::io::Result<Self> {
        // The one that does not fit in waits in the filler's hands.
        let (give, stock) = sync_channel(size.saturating_sub(1));
        let filler = std::thread::Builder::new()
            .name("ounce-pool".to_owned())
            .spawn(move || {
                // One thread: it is long done with the network when it is told.
                let begin = || Beginning::with_threads(network, &limits, Threads::One);
                while give.send(begin()).is_ok() {}
            })?;
        Ok(Self {
            stock: Some(stock),
            filler: Some(filler),
        })
    }

    /// Takes one out; waits if the pool is empty.
    fn take(&self) -> Option<Beginning> {
        self.stock.as_ref()?.recv().ok()
    }

    /// Starts a container from the pool. A spec with another network or other
    /// limits than the pool's is started without it.
    ///
    /// # Errors
    /// See [`StartError`]; nothing is left then.
    pub fn start(&self, spec: &Spec, stdio: [BorrowedFd<'_>; 3]) -> Result<Container, StartError> {
        match self.take() {
            Some(beginning) => beginning.start(spec, stdio),
            None => crate::lifecycle::start_with(spec, stdio),
        }
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        // The filler's next hand-over fails, and ends it.
        self.stock = None;
        if let Some(filler) = self.filler.take() {
            let _ = filler.join();
        }
    }
}
