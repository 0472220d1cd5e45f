//! The command line and the environment. The help text is the table of options:
//! a line that names one says whether it takes a number (`N`), a text (any other
//! word in capitals) or nothing, and its default in brackets.

use crate::program::Program;
use core::ffi::CStr;
use ounce_http::writer::is_field;
use ounce_http::{parse_decimal, take_until};

/// The most options that a help text can name, and one that none does.
const MAX_OPTIONS: usize = 24;
const NO_OPTION: usize = MAX_OPTIONS - 1;
/// The most lines by an option that may be repeated.
pub const MAX_LINES: usize = 8;
/// How variables of the environment begin.
const PREFIX: &[u8] = b"OUNCE_HTTPD_";

/// What the user chose, by the options' numbers.
#[derive(Debug)]
#[repr(C)]
pub struct Options {
    /// Of options that take a number; 1 for a switch that is on.
    pub numbers: [u32; MAX_OPTIONS],
    help: &'static [u8],
    /// Of options that take a text.
    pub texts: [&'static [u8]; MAX_OPTIONS],
    /// All texts of the option that may be repeated.
    pub lines: [&'static [u8]; MAX_LINES],
    line_count: usize,
    repeated: usize,
    /// The only argument that is no option.
    pub root: Option<&'static CStr>,
}

/// The number of the option of this name in a help text; where it names none
/// such, that of one which is never given.
#[allow(clippy::indexing_slicing, reason = "runs when compiled")]
pub const fn number_of(help: &[u8], name: &[u8]) -> usize {
    let mut number = 0;
    let mut at = 0;
    while at + 9 < help.len() {
        if help[at] == b'\n' && help[at + 7] == b'-' && help[at + 8] == b'-' {
            let mut same = 0;
            while same < name.len() && help[at + 9 + same] == name[same] {
                same += 1;
            }
            if same == name.len() && help[at + 9 + same] == b' ' {
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
/// What an option takes where it takes nothing.
const NOTHING: u8 = b' ';

impl Options {
    /// Nothing is chosen yet. The option of number `repeated` may be given several
    /// times.
    pub fn new(help: &'static [u8], repeated: usize) -> Self {
        Self {
            help,
            numbers: [0; MAX_OPTIONS],
            texts: [b""; MAX_OPTIONS],
            lines: [b""; MAX_LINES],
            line_count: 0,
            repeated,
            root: None,
        }
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
            if let Some(mut value) = text.strip_prefix(PREFIX) {
                let option = self.find(take_until(&mut value, b'='));
                // One without an option may be meant for another version.
                if option != NONE && !self.set(option, value) {
                    return Err(text);
                }
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
                if option as u8 != NOTHING {
                    value = arguments.next().ok_or(text)?.to_bytes();
                }
            }
            if option == NONE || !self.set(option, value) {
                return Err(text);
            }
        }
        Ok(())
    }

    /// The option of this name or letter, as of a flag or a variable: its number,
    /// and in the lowest byte what it takes: `N`, another letter, or nothing. All
    /// before it are set to their defaults, if they have none yet.
    #[inline(never)]
    fn find(&mut self, name: &[u8]) -> u32 {
        let mut number = 0;
        let mut rest = self.help;
        while !rest.is_empty() {
            let line = take_until(&mut rest, b'\n');
            let [_, _, _, letter, _, _, b'-', b'-', words @ ..] = line else {
                continue;
            };
            let mut words = words;
            let known = take_until(&mut words, b' ');
            let takes = match words {
                [b'N', b' ', ..] => b'N',
                [b'A'..=b'Z', ..] => b'T',
                _ => NOTHING,
            };
            let option = number << 8 | u32::from(takes);
            if name == [*letter] || is_name(known, name) {
                return option;
            }
            if name == b"=" && line.ends_with(b"]") {
                take_until(&mut words, b'[');
                let value = words.split_last().map(|(_, value)| value);
                self.set(option, value.unwrap_or_default());
            }
            number += 1;
        }
        NONE
    }

    /// Sets an option, if that is a value for it.
    #[inline(never)]
    fn set(&mut self, option: u32, value: &'static [u8]) -> bool {
        let number = (option >> 8) as usize;
        let is_text = option as u8 == b'T';
        let as_number = match value {
            b"true" | b"yes" => Some(1),
            b"" | b"false" | b"no" if option as u8 == NOTHING => Some(0),
            _ => parse_decimal(value),
        };
        let most = if option as u8 == NOTHING { 1 } else { u32::MAX };
        let is_well = as_number.is_some_and(|number| number <= most.into());
        if let (Some(text), Some(place)) =
            (self.texts.get_mut(number), self.numbers.get_mut(number))
        {
            *text = value;
            *place = as_number.unwrap_or(0) as u32;
        }
        if number == self.repeated {
            let place = self.lines.get_mut(self.line_count);
            self.line_count += 1;
            return is_field(value) && place.map(|place| *place = value).is_some();
        }
        is_text || is_well
    }
}

/// Whether a name is a known one, which is in small letters; a variable has it in
/// capitals and with `_` for `-`.
fn is_name(known: &[u8], name: &[u8]) -> bool {
    known.len() == name.len()
        && known.iter().zip(name).all(|(known, byte)| {
            *known == byte.to_ascii_lowercase() || *known == b'-' && *byte == b'_'
        })
}
