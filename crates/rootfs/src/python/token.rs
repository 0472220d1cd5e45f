//! The tokens of a Python source that tell statements from texts and comments.

/// Most bytes of a source that are read: larger ones are data.
pub const MOST_BYTES: u64 = 16 << 20;

/// Most lines without a statement that are looked past.
const MOST_BLANK: usize = 1000;

/// How deep texts may stand in texts' replacement fields.
const DEEPEST: usize = 16;

/// A piece of source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Token<'a> {
    /// A name, keyword or number, and its line.
    Word(&'a str, usize),
    /// A text's content, without escapes undone; neighbours are joined. Texts
    /// with replacement fields, and bytes, give an empty one.
    Text(String),
    /// Any other byte.
    Mark(u8),
    /// The end of a statement's line, and how far the next one is indented.
    Line(usize),
}

/// Reads tokens off a source.
pub(super) struct Tokens<'a> {
    data: &'a [u8],
    at: usize,
    line: usize,
    brackets: usize,
}

impl<'a> Tokens<'a> {
    pub(super) fn new(data: &'a [u8]) -> Self {
        let at = if data.starts_with(b"\xef\xbb\xbf") {
            3
        } else {
            0
        };
        Self {
            data,
            at,
            line: 1,
            brackets: 0,
        }
    }

    fn peek(&self, ahead: usize) -> u8 {
        self.data.get(self.at + ahead).copied().unwrap_or(0)
    }

    /// Past a text whose quote stands here; its content, if it is a plain one.
    fn text(&mut self, prefix: &str, depth: usize) -> String {
        let has = |letter: char| prefix.contains([letter, letter.to_ascii_uppercase()]);
        let quote = self.peek(0);
        let triple = self.peek(1) == quote && self.peek(2) == quote;
        let width = if triple { 3 } else { 1 };
        self.at += width;
        let begin = self.at;
        let mut end = self.data.len();
        while self.at < self.data.len() {
            match self.peek(0) {
                b'\\' => {
                    self.at += 1;
                    if self.peek(0) == b'\n' {
                        self.line += 1;
                    }
                    self.at += 1;
                    continue;
                }
                b'\n' if !triple => {
                    // A text that does not end: this was none, or is broken.
                    end = self.at;
                    break;
                }
                b'\n' => self.line += 1,
                b'{' if has('f') || has('t') => {
                    if self.peek(1) == b'{' {
                        self.at += 1;
                    } else if depth < DEEPEST {
                        self.at += 1;
                        self.field((quote, triple), depth + 1);
                        continue;
                    }
                }
                byte if byte == quote
                    && (!triple || (self.peek(1) == quote && self.peek(2) == quote)) =>
                {
                    end = self.at;
                    self.at += width;
                    break;
                }
                _ => {}
            }
            self.at += 1;
        }
        self.at = self.at.min(self.data.len());
        if has('f') || has('b') || has('t') {
            return String::new();
        }
        String::from_utf8_lossy(&self.data[begin.min(end)..end]).into_owned()
    }

    /// Past a replacement field, its brace already read. Texts stand in the
    /// expression only, not in the format behind the colon.
    fn field(&mut self, (quote, triple): (u8, bool), depth: usize) {
        let mut brackets = 0_usize;
        let mut format = false;
        while self.at < self.data.len() {
            match self.peek(0) {
                b'\n' => {
                    if !triple && format {
                        return;
                    }
                    self.line += 1;
                }
                b'}' if brackets == 0 => {
                    self.at += 1;
                    return;
                }
                b'{' if format && depth < DEEPEST => {
                    self.at += 1;
                    self.field((quote, triple), depth + 1);
                    continue;
                }
                byte if format && byte == quote => return,
                b'(' | b'[' | b'{' => brackets += 1,
                b')' | b']' | b'}' => brackets = brackets.saturating_sub(1),
                b':' if brackets == 0 => format = true,
                b'\'' | b'"' if !format && depth < DEEPEST => {
                    let prefix = self.prefix_behind();
                    self.text(&prefix, depth + 1);
                    continue;
                }
                _ => {}
            }
            self.at += 1;
        }
    }

    /// How far the next line with a statement is indented.
    fn indent(&self) -> usize {
        let rest = &self.data[self.at.min(self.data.len())..];
        let blank = |byte: &&u8| **byte == b' ' || **byte == b'\t';
        let width = |line: &[u8]| {
            let first = line.iter().find(|byte| !blank(byte))?;
            // To the next multiple of eight, as the language reference has it.
            let wide = |column: usize, byte: &u8| match byte {
                b' ' => column + 1,
                _ => (column / 8 + 1) * 8,
            };
            let column = line.iter().take_while(blank).fold(0, wide);
            (!b"#\r\x0c".contains(first)).then_some(column)
        };
        rest.split(|byte| *byte == b'\n')
            .take(MOST_BLANK)
            .find_map(width)
            .unwrap_or(0)
    }

    /// The letters right before a quote that stands here.
    fn prefix_behind(&self) -> String {
        let before = &self.data[self.at.saturating_sub(2)..self.at];
        let letters = before
            .iter()
            .rev()
            .take_while(|byte| byte.is_ascii_alphabetic());
        letters.map(|byte| char::from(*byte)).collect()
    }
}

impl<'a> Iterator for Tokens<'a> {
    type Item = Token<'a>;

    fn next(&mut self) -> Option<Token<'a>> {
        let mut text: Option<String> = None;
        while self.at < self.data.len() {
            let byte = self.peek(0);
            let word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte >= 0x80;
            match byte {
                b' ' | b'\t' | b'\r' | 0x0c => self.at += 1,
                b'#' => {
                    while self.at < self.data.len() && self.peek(0) != b'\n' {
                        self.at += 1;
                    }
                }
                b'\\' if self.peek(1) == b'\n' => {
                    self.at += 2;
                    self.line += 1;
                }
                b'\\' if self.peek(1) == b'\r' => self.at += 1,
                b'\n' if self.brackets > 0 => {
                    self.at += 1;
                    self.line += 1;
                }
                b'\'' | b'"' => {
                    let more = self.text("", 0);
                    text.get_or_insert_default().push_str(&more);
                }
                _ if word(byte) => {
                    let rest = &self.data[self.at..];
                    let length = rest.iter().take_while(|byte| word(**byte)).count();
                    let name = &rest[..length];
                    let is_prefix = length <= 2
                        && matches!(rest.get(length), Some(b'\'' | b'"'))
                        && name.iter().all(|byte| b"rRbBfFuUtT".contains(byte));
                    if is_prefix {
                        let prefix = String::from_utf8_lossy(name).into_owned();
                        self.at += length;
                        let more = self.text(&prefix, 0);
                        text.get_or_insert_default().push_str(&more);
                        continue;
                    }
                    if text.is_some() {
                        break;
                    }
                    self.at += length;
                    // What is not UTF-8 is no name that could be imported.
                    let name = std::str::from_utf8(name).unwrap_or("?");
                    return Some(Token::Word(name, self.line));
                }
                _ if text.is_some() => break,
                b'\n' => {
                    self.at += 1;
                    self.line += 1;
                    return Some(Token::Line(self.indent()));
                }
                _ => {
                    self.at += 1;
                    match byte {
                        b'(' | b'[' | b'{' => self.brackets += 1,
                        b')' | b']' | b'}' => self.brackets = self.brackets.saturating_sub(1),
                        _ => {}
                    }
                    return Some(Token::Mark(byte));
                }
            }
        }
        text.map(Token::Text)
    }
}
