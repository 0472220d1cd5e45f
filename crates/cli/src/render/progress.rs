//! How far transfers are: one line on a terminal, redrawn a few times a second;
//! nothing elsewhere, but for what is tried again.

use std::io::{self, Write as _};
use std::time::{Duration, Instant};

use ounce_oci::ByteSize;
use ounce_oci::fetch::{self, What};
use ounce_oci::registry::Event;

use crate::output::Output;

/// Pause between two pictures.
const PAUSE: Duration = Duration::from_millis(100);

/// Letters of the bar.
const WIDTH: u64 = 24;

/// What there is to be seen of transfers.
pub(crate) struct Progress {
    output: Output,
    verb: &'static str,
    begun: Instant,
    drawn: Option<Instant>,
    items: Vec<Item>,
}

#[derive(Clone, Default)]
struct Item {
    size: u64,
    /// What an earlier try had left.
    had: u64,
    bytes: u64,
    done: bool,
}

impl Progress {
    /// Nothing yet; `verb` is what is being done: `pulling`.
    pub(crate) fn new(output: Output, verb: &'static str) -> Self {
        Self {
            output,
            verb,
            begun: Instant::now(),
            drawn: None,
            items: Vec::new(),
        }
    }

    /// Takes in what a registry's client tells.
    pub(crate) fn registry(&mut self, event: Event) {
        match event {
            Event::Planned { blobs, .. } => {
                self.items = blobs
                    .iter()
                    .map(|blob| Item {
                        size: blob.size(),
                        ..Item::default()
                    })
                    .collect();
            }
            Event::Blob(event) => self.fetch(&event),
            Event::Waiting(What::Waiting { pause, why }) => self.waits(pause, &why),
            _ => {}
        }
    }

    /// Takes in what a download tells.
    pub(crate) fn fetch(&mut self, event: &fetch::Event) {
        if self.items.len() <= event.item {
            self.items.resize(event.item + 1, Item::default());
        }
        let item = &mut self.items[event.item];
        match &event.what {
            What::Begun {
                size_bytes,
                have_bytes,
            } => {
                item.size = size_bytes.unwrap_or(item.size);
                item.had = *have_bytes;
            }
            What::Advanced { bytes } => item.bytes = *bytes,
            What::Present => {
                // It counts for nothing: it is not transferred.
                *item = Item {
                    done: true,
                    ..Item::default()
                };
            }
            What::Done { bytes } => {
                item.bytes = *bytes;
                item.done = true;
            }
            What::Waiting { pause, why } => {
                let (pause, why) = (*pause, why.clone());
                self.waits(pause, &why);
            }
            _ => {}
        }
        self.draw();
    }

    fn waits(&mut self, pause: Duration, why: &str) {
        self.clear();
        let seconds = pause.as_secs_f64();
        let why = crate::failure::shown(why);
        self.output.note(&format!("{why}; again in {seconds:.1} s"));
    }

    fn draw(&mut self) {
        let is_seen = self.output.stderr_is_terminal && !self.output.quiet;
        let is_early = |since: Instant| since.elapsed() < PAUSE;
        // What is over at once is not worth a picture.
        if !is_seen || self.drawn.map_or(is_early(self.begun), is_early) {
            return;
        }
        self.drawn = Some(Instant::now());
        let _ = write!(io::stderr().lock(), "\r{}\x1b[K", self.line());
    }

    fn line(&self) -> String {
        let sum = |of: fn(&Item) -> u64| self.items.iter().map(of).sum::<u64>();
        let (size, bytes, had) = (sum(|i| i.size), sum(|i| i.bytes), sum(|i| i.had));
        let done = self.items.iter().filter(|item| item.done).count();
        let full = WIDTH * bytes.min(size) / size.max(1);
        let bar: String = (0..WIDTH)
            .map(|at| if at < full { '=' } else { ' ' })
            .collect();
        let rate = bytes.saturating_sub(had) as f64 / self.begun.elapsed().as_secs_f64().max(0.001);
        format!(
            "{} [{bar}] {} of {}, {done} of {} blobs, {}/s",
            self.verb,
            ByteSize(bytes),
            ByteSize(size),
            self.items.len(),
            ByteSize(rate as u64),
        )
    }

    fn clear(&mut self) {
        if self.drawn.take().is_some() {
            let _ = write!(io::stderr().lock(), "\r\x1b[K");
        }
    }
}

/// Nothing of the line stays, whatever the end.
impl Drop for Progress {
    fn drop(&mut self) {
        self.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn line_tells_the_part_that_is_done() {
        let mut progress = Progress::new(Output::new(false, true), "pulling");
        for (item, what) in [
            (
                0,
                What::Begun {
                    size_bytes: Some(3_000_000),
                    have_bytes: 0,
                },
            ),
            (
                1,
                What::Begun {
                    size_bytes: Some(1_000_000),
                    have_bytes: 0,
                },
            ),
            (0, What::Advanced { bytes: 2_000_000 }),
            (1, What::Done { bytes: 1_000_000 }),
            (2, What::Present),
        ] {
            progress.fetch(&fetch::Event { item, what });
        }
        let line = progress.line();
        let told = "pulling [==================      ] 3.00 MB of 4.00 MB, 2 of 3 blobs, ";
        assert!(line.starts_with(told), "{line}");
    }
}
