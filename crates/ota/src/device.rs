//! The running program's side of updates: what it is, what it is offered, and whether it works.

use embedded_storage::nor_flash::NorFlash;

use crate::Digest;
use crate::boot::{self, Boot, Look};
use crate::bundle::Head;
use crate::journal::Journal;
use crate::keys::{DAY, KeySet, Roots};
use crate::layout::{Layout, Slot};
use crate::manifest::{Manifest, Version};
use crate::refusal::{Error, Refusal};
use crate::signature::Verify;
use crate::state::{Image, Phase, State};

/// What the running program was built as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Identity<'a> {
    /// The product.
    pub product: &'a str,
    /// The revision of the hardware that it runs on.
    pub hardware: u32,
    /// Its version; told to the journal where that is empty.
    pub version: Version,
    /// Its anti-rollback counter; as the version.
    pub counter: u32,
}

/// How the running program stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// It is the confirmed one.
    Confirmed {
        /// Why the last update was given up, until the next one begins or it is acknowledged.
        report: Option<Refusal>,
    },
    /// It is on trial: it proves that it works, then calls [`Device::confirm`].
    OnTrial {
        /// The how manieth start this is.
        attempt: u8,
    },
    /// Another slot is to be started: reset now.
    Reset,
}

/// An update whose head is good: only [`Device::consider`] makes one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Update {
    pub(crate) image: Image,
    pub(crate) payload: u32,
    pub(crate) base: Option<Digest>,
    pub(crate) revokes: u32,
    key: u8,
    head: usize,
}

impl Update {
    /// What is in it.
    pub fn image(&self) -> &Image {
        &self.image
    }

    /// Bytes of its head: where its payload begins.
    pub fn head_bytes(&self) -> usize {
        self.head
    }

    /// Whether its payload is a delta.
    pub fn is_delta(&self) -> bool {
        self.base.is_some()
    }
}

/// A device, seen by the program that runs on it.
#[derive(Debug)]
pub struct Device<'a, F, B, V> {
    pub(crate) flash: F,
    pub(crate) layout: Layout,
    pub(crate) boot: B,
    pub(crate) state: State,
    journal: Journal,
    identity: Identity<'a>,
    verify: V,
    running: Slot,
}

impl<'a, F: NorFlash, B: Boot, V: Verify> Device<'a, F, B, V> {
    /// Reads the journal, and puts right what a power cut has left between it and the boot loader's
    /// record. `running` is the slot that this program was started from.
    ///
    /// # Errors
    /// The layout cannot be, or the flash refuses.
    pub fn start(
        mut flash: F,
        layout: Layout,
        mut boot: B,
        verify: V,
        identity: Identity<'a>,
        running: Slot,
    ) -> Result<(Self, Standing), Error<F::Error>> {
        layout
            .check(&flash, boot.region().as_slice())
            .map_err(Error::Layout)?;
        let (journal, state) = Journal::open(&mut flash, layout.journal).map_err(Error::Flash)?;
        let known = state.is_some();
        let state = match state {
            Some(state) => state,
            None => {
                let region = layout.slot(running);
                let size = boot
                    .measure(&mut flash, region)
                    .map_err(Error::Flash)?
                    .unwrap_or(0);
                let digest = match size {
                    0 => [0; 32],
                    size => boot::hash(&mut flash, region, size).map_err(Error::Flash)?,
                };
                let Identity {
                    version, counter, ..
                } = identity;
                State::new(
                    running,
                    Image {
                        size,
                        counter,
                        version,
                        digest,
                    },
                )
            }
        };
        let mut device = Self {
            flash,
            layout,
            boot,
            state,
            journal,
            identity,
            verify,
            running,
        };
        if !known {
            device.save()?;
        }
        let standing = device.settle()?;
        Ok((device, standing))
    }

    /// Makes the boot loader's record follow the journal; how the program stands.
    fn settle(&mut self) -> Result<Standing, Error<F::Error>> {
        let (active, trial) = (self.state.active, self.state.idle());
        let look = self
            .boot
            .look(&mut self.flash, trial)
            .map_err(Error::Flash)?;
        if self.state.phase == Phase::Trial {
            if self.running == trial {
                // A boot loader with a record of its own has not counted this start.
                let attempt = match look {
                    Look::Journal => self.state.attempts,
                    Look::Record { .. } => self.state.attempts + 1,
                };
                return Ok(Standing::OnTrial { attempt });
            }
            match look {
                Look::Journal => {}
                Look::Record { failed: true, .. } => {
                    let mut state = self.state;
                    state.attempts = state.attempts.saturating_add(1);
                    if state.attempts >= self.layout.attempts {
                        state.give_up(Refusal::NotConfirmed.code(), true);
                        self.save_as(state)?;
                        return Ok(self.confirmed());
                    }
                    self.save_as(state)?;
                    self.boot
                        .arm(&mut self.flash, trial)
                        .map_err(Error::Flash)?;
                }
                // It was not started at all: its record was lost on the way.
                Look::Record { selected, .. } if selected != Some(trial) => {
                    self.boot
                        .arm(&mut self.flash, trial)
                        .map_err(Error::Flash)?;
                }
                Look::Record { .. } => {}
            }
            return Ok(Standing::Reset);
        }
        if self.running != active {
            if boot::is_whole(&mut self.flash, &self.layout, &self.state, active)? {
                self.boot
                    .settle(&mut self.flash, active)
                    .map_err(Error::Flash)?;
                return Ok(Standing::Reset);
            }
            // What was confirmed is damaged, and the boot loader went back to this one.
            self.state.active = self.running;
            self.state.phase = Phase::Idle;
            self.state.progress = 0;
            self.state.report = Refusal::Damaged.code();
            self.save()?;
        }
        if let Look::Record { selected, .. } = look
            && selected != Some(self.running)
        {
            self.boot
                .settle(&mut self.flash, self.running)
                .map_err(Error::Flash)?;
        }
        Ok(self.confirmed())
    }

    fn confirmed(&self) -> Standing {
        Standing::Confirmed {
            report: Refusal::of(self.state.report),
        }
    }

    /// What the journal says.
    pub fn state(&self) -> &State {
        &self.state
    }

    /// The flash, for what else stands on it.
    pub fn flash(&mut self) -> &mut F {
        &mut self.flash
    }

    /// Notes the state that stands in memory.
    pub(crate) fn save(&mut self) -> Result<(), Error<F::Error>> {
        self.save_as(self.state)
    }

    /// Notes another state, which stands in memory only once it stands on the flash.
    pub(crate) fn save_as(&mut self, mut state: State) -> Result<(), Error<F::Error>> {
        self.journal
            .append(&mut self.flash, &mut state)
            .map_err(Error::Flash)?;
        self.state = state;
        Ok(())
    }

    fn on_trial(&self) -> Result<Slot, Refusal> {
        let trial = self.state.idle();
        if self.state.phase != Phase::Trial || self.running != trial {
            return Err(Refusal::NoTrial);
        }
        Ok(trial)
    }

    /// The program works: from now on it is the one that is started, no older one is taken, and the
    /// keys it revokes are revoked.
    ///
    /// # Errors
    /// It is not on trial, or the flash refuses: then it still is on trial.
    pub fn confirm(&mut self) -> Result<(), Error<F::Error>> {
        let trial = self.on_trial()?;
        // The boot loader's record first: the journal raises the floor, and below it nothing may be
        // started any more. It is written again even if it says so already: what a cut left of it may
        // read well once and not again.
        self.boot
            .settle(&mut self.flash, trial)
            .map_err(Error::Flash)?;
        let mut state = self.state;
        state.confirm();
        self.save_as(state)
    }

    /// The program does not work: the other one is started again, and this image is not taken again.
    /// Reset after it.
    ///
    /// # Errors
    /// It is not on trial, or the flash refuses.
    pub fn withdraw(&mut self) -> Result<(), Error<F::Error>> {
        let trial = self.on_trial()?;
        let mut state = self.state;
        state.give_up(Refusal::Withdrawn.code(), true);
        self.save_as(state)?;
        self.boot
            .withdraw(&mut self.flash, trial)
            .map_err(Error::Flash)
    }

    /// Forgets the report of the last failure, once it was told to whom it concerns.
    ///
    /// # Errors
    /// The flash refuses.
    pub fn acknowledge(&mut self) -> Result<(), Error<F::Error>> {
        if self.state.report == 0 {
            return Ok(());
        }
        self.save_as(State {
            report: 0,
            ..self.state
        })
    }

    /// Takes a record of keys: it is for this product, root keys have signed it, and it is not older than one
    /// before. Once it is returned no older one is taken, and the keys of the program are not either.
    ///
    /// `now` is the time in seconds since 1970 where the device has a clock. Without one it is the day that
    /// the newest record was made, at least: a device knows that much for sure.
    ///
    /// # Errors
    /// The record is refused, with nothing written; or the flash refuses.
    pub fn trust<'k, R: Verify>(
        &mut self,
        record: &'k [u8],
        roots: &Roots<R>,
        now: Option<u64>,
    ) -> Result<KeySet<'k>, Error<F::Error>> {
        let keys = KeySet::open(record, roots)?;
        if keys.product != self.identity.product {
            return Err(Refusal::Product.into());
        }
        if keys.version < self.state.keys {
            return Err(Refusal::KeysOlder.into());
        }
        let expires = keys.expires.map(|day| (u64::from(day) + 1) * DAY - 1);
        if self.is_over(expires, now) {
            return Err(Refusal::Expired.into());
        }
        if keys.version > self.state.keys || keys.issued > self.state.day {
            self.save_as(State {
                keys: keys.version,
                day: self.state.day.max(keys.issued),
                ..self.state
            })?;
        }
        Ok(keys)
    }

    /// Whether a time has passed: by the clock, and by the newest record of keys.
    fn is_over(&self, expires: Option<u64>, now: Option<u64>) -> bool {
        let known = u64::from(self.state.day) * DAY;
        let now = now.map_or(known, |now| now.max(known));
        expires.is_some_and(|expires| now > expires)
    }

    /// Looks at the head of an update: whether it is signed by a key of the program, for this device, newer,
    /// and fits. Nothing is erased or written.
    ///
    /// `now` is the time in seconds since 1970 where the device has a clock: without one nothing expires, but
    /// what had expired before the newest record of keys was made.
    ///
    /// # Errors
    /// The update is refused.
    pub fn consider(&self, head: &[u8], now: Option<u64>) -> Result<Update, Refusal> {
        let head = Head::split(head)?;
        let manifest = Manifest::decode(head.manifest)?;
        if self.state.keys > 0 {
            return Err(Refusal::KeysOlder);
        }
        if !self.verify.knows(manifest.key) {
            return Err(Refusal::KeyUnknown);
        }
        self.check(&head, &manifest, now, |key| {
            self.verify.verify(key, head.signed, head.signature)
        })
    }

    /// The same for an update that is signed by a key of a record that was [taken](Self::trust).
    ///
    /// # Errors
    /// The update is refused.
    pub fn consider_with(
        &self,
        keys: &KeySet<'_>,
        head: &[u8],
        now: Option<u64>,
    ) -> Result<Update, Refusal> {
        let head = Head::split(head)?;
        let manifest = Manifest::decode(head.manifest)?;
        if keys.version < self.state.keys {
            return Err(Refusal::KeysOlder);
        }
        let key = keys.key(manifest.key).ok_or(Refusal::KeyUnknown)?;
        self.check(&head, &manifest, now, |_| {
            self.verify.verify_by(key, head.signed, head.signature)
        })
    }

    fn check(
        &self,
        head: &Head<'_>,
        manifest: &Manifest<'_>,
        now: Option<u64>,
        is_signed: impl Fn(u8) -> bool,
    ) -> Result<Update, Refusal> {
        if self.state.revoked >> manifest.key & 1 == 1 {
            return Err(Refusal::KeyRevoked);
        }
        if !is_signed(manifest.key) {
            return Err(Refusal::Signature);
        }
        if self.is_over(manifest.expires, now) {
            return Err(Refusal::Expired);
        }
        if manifest.product != self.identity.product {
            return Err(Refusal::Product);
        }
        let (lowest, highest) = manifest.hardware;
        if !(lowest..=highest).contains(&self.identity.hardware) {
            return Err(Refusal::Hardware);
        }
        let update = Update {
            image: Image {
                size: manifest.size,
                counter: manifest.counter,
                version: manifest.version,
                digest: manifest.digest,
            },
            payload: manifest.payload,
            base: manifest.base,
            revokes: manifest.revokes,
            key: manifest.key,
            head: head.length,
        };
        self.admit(&update)?;
        Ok(update)
    }

    /// What the journal says to an update that is signed and for this device.
    pub(crate) fn admit(&self, update: &Update) -> Result<(), Refusal> {
        let (state, image) = (&self.state, &update.image);
        if state.revoked >> update.key & 1 == 1 {
            return Err(Refusal::KeyRevoked);
        }
        if state.phase == Phase::Trial {
            return Err(Refusal::OnTrial);
        }
        let active = state.image(state.active);
        if active.is_known() && active.digest == image.digest {
            return Err(Refusal::Running);
        }
        if image.counter < state.floor {
            return Err(Refusal::RolledBack);
        }
        if image.version < active.version {
            return Err(Refusal::Older);
        }
        if state.failed != [0; 16] && image.digest.starts_with(&state.failed) {
            return Err(Refusal::FailedBefore);
        }
        if image.size > self.layout.slot(state.idle()).length {
            return Err(Refusal::TooBig);
        }
        if let Some(base) = update.base
            && (!active.is_known() || active.digest != base)
        {
            return Err(Refusal::Base);
        }
        Ok(())
    }
}
