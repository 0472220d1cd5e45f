//! The command line and the environment. The help text is the table of options:
//! a line that begins with one says whether it takes a number (`N`), a text (any
//! other word in capitals) or nothing, and behind that its default in brackets.

use crate::program::Program;
use core::ffi::CStr;
use ounce_http::writer::is_field;
use ounce_http::{parse_decimal, take_until};

/// The most options that a help text can name, and one that none does.
const MAX_OPTIONS: usize = 24;
const NO_OPTION: usize = MAX_OPTIONS - 1;
/// The most lines by the option that may be repeated.
const MAX_LINES: usize = 8;
/// How variables of the environment begin, and those about sockets handed in.
const PREFIX: &[u8] = b"OUNCE_HTTPD_";
const HANDED_PREFIX: &[u8] = b"LISTEN_";

/// What was chosen for one option.
#[derive(Clone, Copy, Debug)]
pub struct Value {
    /// As it was given.
    pub text: &'static [u8],
    /// As a number; 1 for a switch that is on.
    pub number: u32,
}

/// What the user chose.
#[derive(Debug)]
#[repr(C)]
pub struct Options {
    help: &'static [u8],
    /// The number of the option that may be repeated.
    repeated: u32,
    /// Where its next text goes.
    next_line: u32,
    /// The only argument that is no option.
    pub root: Option<&'static CStr>,
    /// By the options' numbers, and behind them the texts of the repeated one.
    values: [Value; MAX_OPTIONS + MAX_LINES],
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
    /// Nothing is chosen yet. The option of number `repeated` may be given several
    /// times.
    pub fn new(help: &'static [u8], repeated: usize) -> Self {
        Self {
            help,
            repeated: repeated as u32,
            next_line: MAX_OPTIONS as u32,
            root: None,
            values: [Value {
                text: b"",
                number: 0,
            }; MAX_OPTIONS + MAX_LINES],
        }
    }

    /// What is chosen for the option of this number.
    pub fn get(&self, number: usize) -> &Value {
        &self.values[number]
    }

    /// All texts of the repeated option; those that were not given are empty.
    pub fn lines(&self) -> &[Value] {
        &self.values[MAX_OPTIONS..]
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
    /// lowest byte what it takes: `N`, another letter, or no letter. A single
    /// letter is the first that begins with it. All options before it are set to
    /// their defaults, if they have none yet.
    #[inline(never)]
    fn find(&mut self, name: &[u8]) -> u32 {
        let mut number = 0;
        let mut rest = self.help;
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
        let mut number = option >> 8;
        if number == self.repeated {
            number = self.next_line;
            self.next_line += 1;
            if !is_field(text) {
                return false;
            }
        }
        let Some(value) = self.values.get_mut(number as usize) else {
            return false;
        };
        value.text = text;
        let kind = option as u8;
        let parsed = if kind == b'N' {
            parse_decimal(text).and_then(|number| u32::try_from(number).ok())
        } else if kind >= b'A' {
            Some(0)
        } else {
            // By the first letter of 1, true, yes, 0, false, no; nothing is no.
            match text.first().copied().unwrap_or(b'0') {
                b'1' | b't' | b'y' => Some(1),
                b'0' | b'f' | b'n' => Some(0),
                _ => None,
            }
        };
        value.number = parsed.unwrap_or(0);
        parsed.is_some()
    }
}

/// Whether a name is a known one, which is in small letters, or its first letter;
/// a variable has it in capitals and with `_` for `-`.
fn is_name(known: &[u8], name: &[u8]) -> bool {
    (known.len() == name.len() || name.len() == 1)
        && known.iter().zip(name).all(|(known, byte)| {
            *known == byte.to_ascii_lowercase() || *known == b'-' && *byte == b'_'
        })
}
