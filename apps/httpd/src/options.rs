//! The command line and the environment. The help text is the table of options:
//! a line that begins with one says by the first letter of a word in capitals what it takes
//! (a number, a port, a count, an address, a line, a text, a user) or nothing, and
//! behind that its default in brackets.

use crate::address;
use crate::help::HELP;
use crate::program::Program;
use core::ffi::CStr;
use ounce_http::writer::is_field;
use ounce_http::{parse_decimal, take_until};
use ounce_linux::bare::Address;

/// The most options that a help text can name, and one that none does.
const MAX_OPTIONS: usize = 24;
const NO_OPTION: usize = MAX_OPTIONS - 1;
/// The most texts and lines, defaults and what is given again counted.
const MAX_TEXTS: usize = 16;
/// How variables of the environment begin, and those about sockets handed in.
const PREFIX: &[u8] = b"OUNCE_HTTPD_";
const HANDED_PREFIX: &[u8] = b"LISTEN_";

/// What the user chose, by the options' numbers.
#[derive(Debug)]
#[repr(C)]
pub struct Options {
    /// Of options that take a number; 1 for a switch that is on, and for the
    /// address that is all.
    pub numbers: [u32; MAX_OPTIONS],
    /// Where to listen.
    pub address: Address,
    /// User and group.
    pub user: [u32; 2],
    /// The only argument that is no option.
    pub root: Option<&'static CStr>,
    /// How many texts there are.
    count: usize,
    /// Of options that take a text or a line, with their numbers.
    texts: [(u32, Option<&'static [u8]>); MAX_TEXTS],
}

/// The number of the option of this name in a help text; where it names none
/// such, that of one which is never given.
#[allow(clippy::indexing_slicing, reason = "runs when compiled")]
pub const fn number_of(help: &[u8], name: &[u8]) -> usize {
    let mut number = 0;
    let mut at = 0;
    while at + 3 < help.len() {
        if help[at] == b'\n' && help[at + 1] == b'-' && help[at + 2] == b'-' {
            let mut same = 0;
            while same < name.len() && help[at + 3 + same] == name[same] {
                same += 1;
            }
            if same == name.len() && help[at + 3 + same] <= b' ' {
                return number;
            }
            number += 1;
        }
        at += 1;
    }
    NO_OPTION
}

/// Where no option is meant.
const NONE: u32 = u32::MAX;

impl Options {
    /// Nothing is chosen yet.
    pub const NONE: Self = Self {
        numbers: [0; MAX_OPTIONS],
        texts: [(0, None); MAX_TEXTS],
        count: 0,
        address: Address::NONE,
        user: [0; 2],
        root: None,
    };

    /// Whether a switch is on.
    pub fn is_on(&self, number: usize) -> bool {
        self.numbers[number] != 0
    }

    /// The texts of the option of this number, in the order that they were given.
    pub fn texts(&self, number: usize) -> impl Iterator<Item = &'static [u8]> {
        self.texts
            .iter()
            .filter_map(move |(own, text)| text.filter(|_| *own as usize == number))
    }

    /// The last of them, or nothing.
    #[inline(never)]
    pub fn text(&self, number: usize) -> &'static [u8] {
        self.texts(number).last().unwrap_or_default()
    }

    /// Reads the defaults, the environment and then the arguments.
    ///
    /// # Errors
    /// The argument or variable that cannot be understood.
    #[inline(never)]
    pub fn read(&mut self, program: &Program) -> Result<(), &'static [u8]> {
        // No option has this name, so that all are gone through.
        self.find(b"=");
        for entry in program.environment() {
            let text = entry.to_bytes();
            let mut value = match text.strip_prefix(PREFIX) {
                Some(name) => name,
                None if text.starts_with(HANDED_PREFIX) => text,
                None => continue,
            };
            let option = self.find(take_until(&mut value, b'='));
            // One without an option may be meant for another version.
            if option != NONE && !self.set(option, value) {
                return Err(text);
            }
        }
        let mut arguments = program.arguments();
        while let Some(argument) = arguments.next() {
            let text = argument.to_bytes();
            let mut value = text;
            let name = take_until(&mut value, b'=');
            let letters = match name {
                [b'-', b'-', letters @ ..] | [b'-', letters @ ..] => letters,
                _ if self.root.is_none() => {
                    self.root = Some(argument);
                    continue;
                }
                _ => return Err(text),
            };
            let option = self.find(letters);
            if name.len() == text.len() {
                value = b"1";
                if option as u8 >= b'A' {
                    value = arguments.next().ok_or(text)?.to_bytes();
                }
            }
            if !self.set(option, value) {
                return Err(text);
            }
        }
        Ok(())
    }

    /// The option of this name, as of a flag or a variable: its number, and in the
    /// lowest byte what it takes: a letter, or nothing that is one. A single
    /// letter is the first that begins with it. All options before it are set to
    /// their defaults, if they have none yet.
    #[inline(never)]
    fn find(&mut self, name: &[u8]) -> u32 {
        let mut number = 0;
        let mut rest = HELP;
        while !rest.is_empty() {
            let line = take_until(&mut rest, b'\n');
            let [b'-', b'-', words @ ..] = line else {
                continue;
            };
            let mut words = words;
            let known = take_until(&mut words, b' ');
            let option = number | u32::from(words.first().copied().unwrap_or(0));
            if is_name(known, name) {
                return option;
            }
            number += 1 << 8;
            take_until(&mut words, b'[');
            if name == b"=" && !words.is_empty() {
                self.set(option, take_until(&mut words, b']'));
            }
        }
        NONE
    }

    /// Sets an option, if there is such a one and that is a value for it.
    #[inline(never)]
    fn set(&mut self, option: u32, text: &'static [u8]) -> bool {
        let place = option >> 8;
        let kind = option as u8;
        let Some(number) = self.numbers.get_mut(place as usize) else {
            return false;
        };
        let value = match kind {
            b'L' | b'T' => {
                let Some(next) = self.texts.get_mut(self.count) else {
                    return false;
                };
                *next = (place, Some(text));
                self.count += 1;
                return kind == b'T' || is_field(text);
            }
            b'A' => {
                *number = u32::from(text == b"::");
                return address::parse(text, &mut self.address);
            }
            b'U' => {
                let mut group = text;
                let user = take_until(&mut group, b':');
                if group.is_empty() {
                    group = user;
                }
                let (user, group) = (saturating_decimal(user), saturating_decimal(group));
                self.user = [user as u32, group as u32];
                user | group
            }
            // By the first letter of 1, true, yes, 0, false, no; nothing is no.
            ..b'A' => match text.first() {
                Some(b'1' | b't' | b'y') => 1,
                None | Some(b'0' | b'f' | b'n') => 0,
                _ => u64::MAX,
            },
            _ => saturating_decimal(text),
        };
        *number = value as u32;
        match kind {
            b'P' => {
                let [high, low] = (value as u16).to_be_bytes();
                (self.address.bytes[2], self.address.bytes[3]) = (high, low);
                value <= 0xffff
            }
            b'C' => value.wrapping_sub(1) < 0xffff_ffff,
            // Seconds, which are added to others.
            b'N' => value <= 0xff_ffff,
            _ => value <= 0xffff_ffff,
        }
    }
}

/// A decimal number, or more than any option takes.
#[inline(never)]
fn saturating_decimal(text: &[u8]) -> u64 {
    parse_decimal(text).unwrap_or(u64::MAX)
}

/// Whether a name is a known one, which is in small letters, or its first letter;
/// a variable has it in capitals and with `_` for `-`.
fn is_name(known: &[u8], name: &[u8]) -> bool {
    (known.len() == name.len() || name.len() == 1)
        && known.iter().zip(name).all(|(known, byte)| {
            // Letters become small ones, and nothing else one.
            *known == byte | 0x20 || *known == b'-' && *byte == b'_'
        })
}
