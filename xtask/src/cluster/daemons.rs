//! Programs that go on, what they say, and waiting for what they do.

use std::cell::RefCell;
use std::fs::{self, File};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Result, anyhow, bail};

use super::place::Place;
use crate::peers::started::Started;
use crate::scratch::Scratch;

/// How long what the cluster does by itself may take: other work is going on here.
const PATIENCE: Duration = Duration::from_secs(180);
/// Between two looks.
const PAUSE: Duration = Duration::from_millis(300);

/// Programs that go on; dropping them ends them, the latest first.
#[derive(Debug)]
pub(super) struct Daemons {
    running: RefCell<Vec<(String, Started)>>,
    logs: PathBuf,
}

impl Daemons {
    pub(super) fn new(scratch: &Scratch) -> Result<Self> {
        let logs = scratch.join("logs");
        fs::create_dir_all(&logs)?;
        Ok(Self {
            running: RefCell::default(),
            logs,
        })
    }

    fn log(&self, name: &str) -> PathBuf {
        self.logs.join(format!("{name}.log"))
    }

    /// Starts one; what it says goes to a file of its name.
    pub(super) fn start(
        &mut self,
        place: &Place,
        name: &str,
        program: &str,
        options: &[String],
    ) -> Result<()> {
        let log = File::create(self.log(name))?;
        let mut start = place.command(&[program]);
        start.args(options).stdout(log.try_clone()?).stderr(log);
        let started = Started::new(&mut start)?;
        self.running.get_mut().push((name.to_owned(), started));
        Ok(())
    }

    /// An error where one of them has ended, with what it said last.
    fn all_run(&self) -> Result<()> {
        for (name, daemon) in self.running.borrow_mut().iter_mut() {
            if !daemon.runs() {
                let text = fs::read(self.log(name)).unwrap_or_default();
                let text = String::from_utf8_lossy(&text);
                let lines: Vec<&str> = text.lines().collect();
                let last = &lines[lines.len().saturating_sub(4)..];
                bail!("{name} has ended: {}", last.join(" | "));
            }
        }
        Ok(())
    }
}

impl Drop for Daemons {
    fn drop(&mut self) {
        while self.running.get_mut().pop().is_some() {}
    }
}

/// Looks until something is so, as long as these run; the error of the last look
/// tells why not.
pub(super) fn until<T>(
    what: &str,
    daemons: &[&Daemons],
    mut look: impl FnMut() -> Result<Option<T>>,
) -> Result<T> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let seen = look();
        if let Ok(Some(found)) = seen {
            return Ok(found);
        }
        for all in daemons {
            all.all_run()?;
        }
        if Instant::now() > deadline {
            let error = seen.err().unwrap_or_else(|| anyhow!("it is not so"));
            return Err(error.context(format!("{what}: waited for {PATIENCE:?}")));
        }
        std::thread::sleep(PAUSE);
    }
}
