//! The command line and the environment. The help text is the table of options:
//! a line that names one says whether it takes a number (`N`), a text (any other
//! word in capitals) or nothing, and its default in brackets.

use crate::program::Program;
use core::ffi::CStr;
use ounce_http::parse_decimal;
use ounce_http::writer::is_field;

/// The most options that a help text can name, and one that none does.
const MAX_OPTIONS: usize = 24;
const NO_OPTION: usize = MAX_OPTIONS - 1;
/// The most lines by an option that may be repeated.
pub const MAX_LINES: usize = 8;
/// How variables of the environment begin.
const PREFIX: &[u8] = b"OUNCE_HTTPD_";

/// What the user chose, by the options' numbers.
#[derive(Debug)]
pub struct Options {
    help: &'static [u8],
    /// Of options that take a number; 1 for a switch that is on.
    pub numbers: [u32; MAX_OPTIONS],
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

impl Options {
    /// Reads the environment, then the arguments. The option of number `repeated`
    /// may be given several times.
    ///
    /// # Errors
    /// The argument or variable that cannot be understood.
    pub fn read(
        program: &Program,
        help: &'static [u8],
        repeated: usize,
    ) -> Result<Self, &'static [u8]> {
        let mut options = Self {
            help,
            numbers: [0; MAX_OPTIONS],
            texts: [b""; MAX_OPTIONS],
            lines: [b""; MAX_LINES],
            line_count: 0,
            repeated: NO_OPTION,
            root: None,
        };
        // Defaults: no name, so that all are met.
        options.find(b"", true);
        options.repeated = repeated;
        for entry in program.environment() {
            let text = entry.to_bytes();
            if let Some(variable) = text.strip_prefix(PREFIX) {
                let (name, value) = split(variable);
                // One without an option may be meant for another version.
                if let Some((number, takes)) = options.find(name, false) {
                    options.set(number, takes, value).ok_or(text)?;
                }
            }
        }
        let mut arguments = program.arguments();
        while let Some(argument) = arguments.next() {
            let text = argument.to_bytes();
            if text.first() != Some(&b'-') {
                if options.root.is_some() {
                    return Err(text);
                }
                options.root = Some(argument);
                continue;
            }
            let (name, mut value) = split(text);
            let letters = name.strip_prefix(b"--").unwrap_or_else(|| &name[1..]);
            let (number, takes) = options.find(letters, false).ok_or(text)?;
            if value.is_empty() && name.len() == text.len() {
                value = b"1";
                if takes != b' ' {
                    value = arguments.next().ok_or(text)?.to_bytes();
                }
            }
            options.set(number, takes, value).ok_or(text)?;
        }
        Ok(options)
    }

    /// The option of this name or letter, as of a flag or a variable: its number
    /// and what it takes, `N`, another letter, or a space for nothing. Or sets all
    /// to their defaults.
    #[inline(never)]
    fn find(&mut self, name: &[u8], sets_defaults: bool) -> Option<(usize, u8)> {
        let mut number = 0;
        for line in self.help.split(|&byte| byte == b'\n') {
            let [_, _, _, letter, _, _, b'-', b'-', words @ ..] = line else {
                continue;
            };
            let mut rest = words.iter();
            let mut known = name.iter();
            let mut is_same = true;
            // The name is over at the first space.
            for &byte in rest.by_ref().take_while(|&&byte| byte != b' ') {
                let other = known.next().map_or(0, |other| match other {
                    b'_' => b'-',
                    other => other.to_ascii_lowercase(),
                });
                is_same &= other == byte;
            }
            is_same &= known.next().is_none();
            let mut takes = rest.next().copied().unwrap_or(b' ');
            if !takes.is_ascii_uppercase() {
                takes = b' ';
            } else if takes == b'N' && rest.next() != Some(&b' ') {
                takes = b'T';
            }
            if is_same || name == [*letter] {
                return Some((number, takes));
            }
            if sets_defaults && line.ends_with(b"]") {
                let start = line.iter().rposition(|&byte| byte == b'[').unwrap_or(0) + 1;
                let value = line.get(start..line.len() - 1).unwrap_or_default();
                self.set(number, takes, value);
            }
            number += 1;
        }
        None
    }

    #[inline(never)]
    fn set(&mut self, number: usize, takes: u8, value: &'static [u8]) -> Option<()> {
        *self.texts.get_mut(number)? = value;
        *self.numbers.get_mut(number)? = match (takes, value) {
            (b'N', _) => u32::try_from(parse_decimal(value)?).ok()?,
            (b' ', b"1" | b"true" | b"yes") => 1,
            (b' ', b"" | b"0" | b"false" | b"no") => 0,
            (b' ', _) => return None,
            _ => 0,
        };
        if number == self.repeated {
            if !is_field(value) {
                return None;
            }
            *self.lines.get_mut(self.line_count)? = value;
            self.line_count += 1;
        }
        Some(())
    }
}

/// What is before the first `=`, and what is behind it.
#[inline(never)]
fn split(text: &[u8]) -> (&[u8], &[u8]) {
    let mut parts = text.splitn(2, |&byte| byte == b'=');
    let name = parts.next().unwrap_or_default();
    (name, parts.next().unwrap_or_default())
}
