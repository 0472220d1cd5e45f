//! The tokens of a JavaScript source that tell calls from texts and comments.

/// A piece of source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Token<'a> {
    /// A name, keyword or number, and its line.
    Word(&'a str, usize),
    /// A text's content, without escapes undone; templates without fields too.
    Text(String),
    /// A template with fields: what stands before the first.
    Template(String),
    /// Any other byte.
    Mark(u8),
}

/// Reads tokens off a source.
pub(super) struct Tokens<'a> {
    data: &'a [u8],
    at: usize,
    line: usize,
    /// Whether a slash here would divide: after a value.
    divides: bool,
    /// Braces open in each field of a template that is not closed yet.
    fields: Vec<usize>,
}

/// Words after which a slash begins a pattern.
const BEFORE_PATTERN: [&str; 14] = [
    "return",
    "typeof",
    "case",
    "in",
    "of",
    "delete",
    "void",
    "throw",
    "new",
    "else",
    "do",
    "instanceof",
    "yield",
    "await",
];

fn word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'$' || byte >= 0x80
}

impl<'a> Tokens<'a> {
    pub(super) fn new(data: &'a [u8]) -> Self {
        let mut at = if data.starts_with(b"\xef\xbb\xbf") {
            3
        } else {
            0
        };
        if data[at..].starts_with(b"#!") {
            at += data[at..].iter().take_while(|byte| **byte != b'\n').count();
        }
        Self {
            data,
            at,
            line: 1,
            divides: false,
            fields: Vec::new(),
        }
    }

    fn peek(&self, ahead: usize) -> u8 {
        self.data.get(self.at + ahead).copied().unwrap_or(0)
    }

    fn step(&mut self) {
        if self.peek(0) == b'\n' {
            self.line += 1;
        }
        self.at += 1;
    }

    fn excerpt(&self, begin: usize, end: usize) -> String {
        let end = end.min(self.data.len());
        String::from_utf8_lossy(&self.data[begin.min(end)..end]).into_owned()
    }

    /// Past a text whose quote stands here; it ends with the line at the latest.
    fn text(&mut self) -> String {
        let quote = self.peek(0);
        self.at += 1;
        let begin = self.at;
        while self.at < self.data.len() && self.peek(0) != b'\n' {
            if self.peek(0) == b'\\' {
                self.step();
            } else if self.peek(0) == quote {
                let text = self.excerpt(begin, self.at);
                self.at += 1;
                return text;
            }
            self.step();
        }
        String::new()
    }

    /// Past a part of a template: to its end, or into its next field. `begins` is
    /// whether the backtick, and not a field's end, stands here.
    fn template(&mut self, begins: bool) -> Token<'a> {
        self.at += 1;
        let begin = self.at;
        while self.at < self.data.len() {
            match self.peek(0) {
                b'\\' => self.step(),
                b'`' => {
                    let text = self.excerpt(begin, self.at);
                    self.at += 1;
                    self.divides = true;
                    return if begins {
                        Token::Text(text)
                    } else {
                        Token::Mark(b'`')
                    };
                }
                b'$' if self.peek(1) == b'{' => {
                    let text = self.excerpt(begin, self.at);
                    self.at += 2;
                    self.fields.push(0);
                    self.divides = false;
                    return if begins {
                        Token::Template(text)
                    } else {
                        Token::Mark(b'`')
                    };
                }
                _ => {}
            }
            self.step();
        }
        self.at = self.at.min(self.data.len());
        Token::Mark(b'`')
    }

    /// Past a pattern whose slash stands here; it ends with the line at the latest.
    fn pattern(&mut self) {
        self.at += 1;
        let mut class = false;
        while self.at < self.data.len() && self.peek(0) != b'\n' {
            match self.peek(0) {
                b'\\' => self.at += 1,
                b'[' => class = true,
                b']' => class = false,
                b'/' if !class => {
                    self.at += 1;
                    return;
                }
                _ => {}
            }
            self.at += 1;
        }
        self.at = self.at.min(self.data.len());
    }
}

impl<'a> Iterator for Tokens<'a> {
    type Item = Token<'a>;

    fn next(&mut self) -> Option<Token<'a>> {
        while self.at < self.data.len() {
            let byte = self.peek(0);
            match byte {
                _ if byte.is_ascii_whitespace() => self.step(),
                b'/' if self.peek(1) == b'/' => {
                    while self.at < self.data.len() && self.peek(0) != b'\n' {
                        self.at += 1;
                    }
                }
                b'/' if self.peek(1) == b'*' => {
                    self.at += 2;
                    while self.at < self.data.len()
                        && !(self.peek(0) == b'*' && self.peek(1) == b'/')
                    {
                        self.step();
                    }
                    self.at = (self.at + 2).min(self.data.len());
                }
                b'/' if !self.divides => {
                    self.pattern();
                    self.divides = true;
                }
                b'\'' | b'"' => {
                    self.divides = true;
                    return Some(Token::Text(self.text()));
                }
                b'`' => return Some(self.template(true)),
                b'}' if self.fields.last() == Some(&0) => {
                    self.fields.pop();
                    return Some(self.template(false));
                }
                _ if word(byte) => {
                    let line = self.line;
                    let rest = &self.data[self.at..];
                    let length = rest.iter().take_while(|byte| word(**byte)).count();
                    self.at += length;
                    let name = std::str::from_utf8(&rest[..length]).unwrap_or("?");
                    self.divides = !BEFORE_PATTERN.contains(&name);
                    return Some(Token::Word(name, line));
                }
                _ => {
                    self.at += 1;
                    self.divides = b")]}".contains(&byte);
                    match (byte, self.fields.last_mut()) {
                        (b'{', Some(open)) => *open += 1,
                        (b'}', Some(open)) => *open -= 1,
                        _ => {}
                    }
                    return Some(Token::Mark(byte));
                }
            }
        }
        None
    }
}
