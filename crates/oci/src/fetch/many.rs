//! Several downloads at once, over a bounded number of connections.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc;
use std::thread;

use super::download::Watch;
use super::{Client, Download, Event, FetchError};

/// Runs `work` for each of `count` items on at most `threads` threads, in order of
/// their beginning; what they tell comes to `tell` on this thread. The first
/// failure stops the others and is returned.
pub(crate) fn side_by_side<E: Send>(
    count: usize,
    threads: usize,
    tell: &mut dyn FnMut(Event),
    work: &(dyn Fn(usize, &mut Watch<'_>) -> Result<(), E> + Sync),
) -> Result<(), E> {
    let next = AtomicUsize::new(0);
    let stop = AtomicBool::new(false);
    let (sender, receiver) = mpsc::channel();
    let mut failed = None;
    thread::scope(|scope| {
        for _ in 0..threads.clamp(1, count.max(1)) {
            let sender = sender.clone();
            let (next, stop) = (&next, &stop);
            scope.spawn(move || {
                loop {
                    let item = next.fetch_add(1, Ordering::Relaxed);
                    if item >= count || stop.load(Ordering::Relaxed) {
                        return;
                    }
                    let mut tell = |what| {
                        let _ = sender.send(Ok(Event { item, what }));
                    };
                    let mut watch = Watch {
                        tell: &mut tell,
                        stop: Some(stop),
                    };
                    if let Err(error) = work(item, &mut watch) {
                        // The first failure is the one that counts: what fails
                        // after it was stopped by it.
                        stop.store(true, Ordering::Relaxed);
                        let _ = sender.send(Err(error));
                        return;
                    }
                }
            });
        }
        drop(sender);
        for message in receiver {
            match message {
                Ok(event) => tell(event),
                Err(error) => {
                    failed.get_or_insert(error);
                }
            }
        }
    });
    failed.map_or(Ok(()), Err)
}

impl Client {
    /// Downloads a list of files over at most `connections` connections at once.
    ///
    /// # Errors
    /// The first failure, as of [`Client::to_file`]; the others are given up. Files
    /// that were done are there, and what is known by its digest goes on from where
    /// it was when asked for again.
    pub fn to_files(
        &self,
        list: &[(Download, PathBuf)],
        connections: usize,
        tell: &mut dyn FnMut(Event),
    ) -> Result<(), FetchError> {
        side_by_side(list.len(), connections, tell, &|item, watch| {
            let (download, path) = &list[item];
            self.file(download, path, watch)
        })
    }
}
