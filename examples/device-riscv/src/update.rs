//! How programs ask the line for updates, and take them.

use ounce_ota::boot::JournalBoot;
use ounce_ota::bundle::HEAD_LIMIT;
use ounce_ota::device::Identity;
use ounce_ota::signature::Keyring;
use ounce_ota::{Device, Error, Slot, Standing, Update, Workspace};

use crate::flash::{Fault, Flash};
use crate::{KEYS, LAYOUT, board, line};

/// A device as all programs here see it.
pub type Own = Device<'static, Flash, JournalBoot, Keyring<'static>>;

/// Begins: what the journal says of the program that runs from `slot`. Apart, so that what it takes of the
/// stack is there no longer while an update comes.
///
/// # Errors
/// The layout cannot be, or the flash refuses.
#[inline(never)]
pub fn begin(identity: Identity<'static>, slot: Slot) -> Result<(Own, Standing), Error<Fault>> {
    let keys = Keyring::new(&KEYS);
    Device::start(Flash, LAYOUT, JournalBoot, keys, identity, slot)
}

/// Asks for updates until one is armed: reset then.
///
/// # Errors
/// The flash refuses.
pub fn wait(device: &mut Own) -> Result<(), Error<Fault>> {
    loop {
        match update(device) {
            Ok(true) => break,
            Ok(false) => {}
            Err(error) => failed(error),
        }
    }
    let (fixed, stack) = board::memory();
    line::text("armed");
    line::number("fixed", fixed);
    line::number("stack", stack);
    line::say("");
    Ok(())
}

/// The signature first: it takes as much stack as the patcher takes memory, but not at the same time.
fn update(device: &mut Own) -> Result<bool, Error<Fault>> {
    match consider(device)? {
        Some(update) => receive(device, &update).map(|()| true),
        None => Ok(false),
    }
}

#[inline(never)]
fn consider(device: &Own) -> Result<Option<Update>, Error<Fault>> {
    line::say("?head");
    let mut head = [0; HEAD_LIMIT];
    let length = line::answer(&mut head);
    if length == 0 {
        return Ok(None);
    }
    Ok(Some(device.consider(&head[..length], None)?))
}

/// The patcher's memory stands on the stack, so that its use tells all that updates take.
#[inline(never)]
fn receive(device: &mut Own, update: &Update) -> Result<(), Error<Fault>> {
    let mut workspace = Workspace::new();
    let mut download = device.download(update, &mut workspace)?;
    let mut piece = [0; 64];
    while download.wants() < download.length() {
        line::text("?data");
        line::number("from", download.wants());
        line::number("most", piece.len() as u32);
        line::say("");
        let length = line::answer(&mut piece);
        download.push(&piece[..length])?;
    }
    download.finish()
}

/// Tells why there is no update.
pub fn failed(error: Error<Fault>) {
    match error {
        Error::Refused(refusal) => {
            line::text("refused");
            line::number("code", refusal.code().into());
            line::say("");
        }
        Error::Flash(_) => line::say("the flash refuses"),
        Error::Layout(_) => line::say("the layout cannot be"),
    }
}
