//! The command line and the environment. The help text is the table of options:
//! a line that names one says whether it takes a number (`N`), a text (any other
//! word in capitals) or nothing, and its default in brackets.

use crate::program::Program;
use ounce_http::parse_decimal;

/// The most options that a help text can name.
pub const MAX_OPTIONS: usize = 24;
/// The most lines by `--header`.
pub const MAX_FIELDS: usize = 8;
/// How variables of the environment begin.
const PREFIX: &[u8] = b"OUNCE_HTTPD_";

/// What the user chose.
#[derive(Debug)]
pub struct Options {
    help: &'static [u8],
    values: [&'static [u8]; MAX_OPTIONS],
    /// The lines by `--header`.
    pub fields: [&'static [u8]; MAX_FIELDS],
    field_count: usize,
    field_option: usize,
    /// The folder or the file.
    pub root: Option<&'static core::ffi::CStr>,
}

/// What cannot be understood.
#[derive(Clone, Copy, Debug)]
pub struct Misuse(pub &'static [u8]);

/// What an option takes.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Takes {
    Nothing,
    Number,
    Text,
}

/// The next line of a help text that names an option, from its two dashes on.
fn next_option(help: &mut &'static [u8]) -> Option<&'static [u8]> {
    loop {
        if help.is_empty() {
            return None;
        }
        let end = help.iter().position(|&byte| byte == b'\n')?;
        let line = help.get(..end)?;
        *help = help.get(end + 1..)?;
        if let [b' ', b' ', _, _, _, _, b'-', b'-', ..] = line {
            return Some(line);
        }
    }
}

/// The number of the option of this name in a help text, or past all.
pub const fn number_of(help: &[u8], name: &[u8]) -> usize {
    let mut number = 0;
    let mut at = 0;
    while at + 8 < help.len() {
        if help[at] == b'\n' && help[at + 7] == b'-' && help[at + 8] == b'-' && help[at + 1] == b' ' {
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
    MAX_OPTIONS
}

impl Options {
    /// Reads the environment, then the arguments. The option of number
    /// `field_option` may be repeated.
    pub fn read(
        program: &Program,
        help: &'static [u8],
        field_option: usize,
    ) -> Result<Self, Misuse> {
        let mut options = Self {
            help,
            values: [b""; MAX_OPTIONS],
            fields: [b""; MAX_FIELDS],
            field_count: 0,
            field_option,
            root: None,
        };
        let mut rest = help;
        for place in &mut options.values {
            let Some(line) = next_option(&mut rest) else {
                break;
            };
            if let [.., b']'] = line
                && let Some(start) = line.iter().rposition(|&byte| byte == b'[')
            {
                *place = line.get(start + 1..line.len() - 1).unwrap_or_default();
            }
        }
        for entry in program.environment() {
            let entry = entry.to_bytes();
            let Some(variable) = entry.strip_prefix(PREFIX) else {
                continue;
            };
            let end = variable.iter().position(|&byte| byte == b'=');
            let (name, value) = variable.split_at_checked(end.unwrap_or(0)).unwrap_or_default();
            let mut lower = [0; 24];
            for (place, byte) in lower.iter_mut().zip(name) {
                *place = if *byte == b'_' { b'-' } else { byte.to_ascii_lowercase() };
            }
            let name = lower.get(..name.len()).unwrap_or_default();
            let value = value.get(1..).unwrap_or_default();
            // A variable without an option may be meant for another version.
            if let Some((number, takes)) = options.find(name) {
                options.set(number, takes, value).ok_or(Misuse(entry))?;
            }
        }
        let mut arguments = program.arguments();
        while let Some(argument) = arguments.next() {
            let text = argument.to_bytes();
            let misuse = Misuse(text);
            let Some(name) = text.strip_prefix(b"-") else {
                if options.root.is_some() {
                    return Err(misuse);
                }
                options.root = Some(argument);
                continue;
            };
            let end = name.iter().position(|&byte| byte == b'=').unwrap_or(name.len());
            let (name, value) = name.split_at_checked(end).unwrap_or_default();
            let (number, takes) = options.find(name).ok_or(misuse)?;
            let value = if let Some(value) = value.strip_prefix(b"=") {
                value
            } else if takes == Takes::Nothing {
                b"1"
            } else {
                arguments.next().ok_or(misuse)?.to_bytes()
            };
            options.set(number, takes, value).ok_or(misuse)?;
        }
        Ok(options)
    }

    /// By its name: `-name`, a letter, or the bare name of a variable.
    #[inline(never)]
    fn find(&self, name: &[u8]) -> Option<(usize, Takes)> {
        let long = name.strip_prefix(b"-").unwrap_or(name);
        let mut rest = self.help;
        let mut number = 0;
        while let Some(line) = next_option(&mut rest) {
            let [_, _, _, letter, _, _, _, _, words @ ..] = line else {
                break;
            };
            let is_long = words.strip_prefix(long).is_some_and(|rest| rest.starts_with(b" "));
            if is_long && !long.is_empty() || name == [*letter] && *letter != b' ' {
                let end = words.iter().position(|&byte| byte == b' ').unwrap_or(0);
                let takes = match words.get(end + 1..) {
                    Some([b'N', b' ', ..]) => Takes::Number,
                    Some([b'A'..=b'Z', ..]) => Takes::Text,
                    _ => Takes::Nothing,
                };
                return Some((number, takes));
            }
            number += 1;
        }
        None
    }

    #[inline(never)]
    fn set(&mut self, number: usize, takes: Takes, value: &'static [u8]) -> Option<()> {
        let value: &[u8] = match takes {
            Takes::Number => {
                u32::try_from(parse_decimal(value)?).ok()?;
                value
            }
            Takes::Text => value,
            Takes::Nothing => match value {
                b"1" | b"true" | b"yes" => b"1",
                b"" | b"0" | b"false" | b"no" => b"",
                _ => return None,
            },
        };
        if number == self.field_option {
            *self.fields.get_mut(self.field_count)? = value;
            self.field_count += 1;
        }
        *self.values.get_mut(number)? = value;
        Some(())
    }

    /// A text, or a switch: empty where it is off.
    pub fn text(&self, number: usize) -> &'static [u8] {
        self.values.get(number).copied().unwrap_or_default()
    }

    /// A switch.
    pub fn is_on(&self, number: usize) -> bool {
        !self.text(number).is_empty()
    }

    /// A number.
    pub fn number(&self, number: usize) -> u32 {
        parse_decimal(self.text(number)).unwrap_or(0) as u32
    }
}
