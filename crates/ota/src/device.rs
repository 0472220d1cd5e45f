//! The running program's side of updates: what it is, what it is offered, and whether it works.

use embedded_storage::nor_flash::NorFlash;

use crate::Digest;
use crate::boot::{self, Boot, Look};
use crate::bundle::Head;
use crate::download::{Download, Workspace};
use crate::journal::Journal;
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
    revokes: u32,
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

    /// Looks at the head of an update: whether it is signed, for this device, newer, and fits. Nothing is
    /// erased or written.
    ///
    /// `now` is the time in seconds since 1970 where the device has a clock: without one nothing expires.
    ///
    /// # Errors
    /// The update is refused.
    pub fn consider(&self, head: &[u8], now: Option<u64>) -> Result<Update, Refusal> {
        let head = Head::split(head)?;
        let manifest = Manifest::decode(head.manifest)?;
        if !self.verify.knows(manifest.key) {
            return Err(Refusal::KeyUnknown);
        }
        if self.state.revoked >> manifest.key & 1 == 1 {
            return Err(Refusal::KeyRevoked);
        }
        if !self
            .verify
            .verify(manifest.key, head.signed, head.signature)
        {
            return Err(Refusal::Signature);
        }
        if let (Some(expires), Some(now)) = (manifest.expires, now)
            && now > expires
        {
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
    fn admit(&self, update: &Update) -> Result<(), Refusal> {
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

    /// Takes an update that was considered: notes in the journal that the other slot is being written,
    /// and hands out what takes the payload. One that was interrupted goes on where it was.
    ///
    /// The workspace need not be there while an update is considered, whose signature takes as much
    /// stack.
    ///
    /// # Errors
    /// The device has changed since, and the update is refused now; or the flash refuses.
    pub fn download<'d, 'w>(
        &'d mut self,
        update: &Update,
        workspace: &'w mut Workspace,
    ) -> Result<Download<'d, 'a, 'w, F, B, V>, Error<F::Error>> {
        self.admit(update)?;
        let mut state = self.state;
        let idle = state.idle();
        if state.phase == Phase::Downloading {
            // A download before this was cut, and what it erased since its last note is counted nowhere:
            // that is a checkpoint at most.
            let sectors = self.layout.checkpoint / F::ERASE_SIZE as u32;
            let wear = &mut state.wear.slots[idle.index()];
            *wear = wear.saturating_add(sectors);
        }
        if state.phase != Phase::Downloading || *state.image(idle) != update.image {
            state.progress = 0;
        }
        *state.image_mut(idle) = update.image;
        state.phase = Phase::Downloading;
        state.revokes = update.revokes;
        state.report = 0;
        self.save_as(state)?;
        Ok(Download::new(self, update, workspace))
    }

    /// Considers an update and takes it, for devices with memory enough for both at once.
    ///
    /// # Errors
    /// As [`Device::consider`] and [`Device::download`].
    pub fn offer<'d, 'w>(
        &'d mut self,
        head: &[u8],
        now: Option<u64>,
        workspace: &'w mut Workspace,
    ) -> Result<Download<'d, 'a, 'w, F, B, V>, Error<F::Error>> {
        let update = self.consider(head, now)?;
        self.download(&update, workspace)
    }
}
