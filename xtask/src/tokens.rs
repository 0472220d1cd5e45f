//! Rust source as a flat list of tokens with their lines.
//!
//! Knows comments, strings, characters and lifetimes, so that a word inside
//! them is never taken for code. Knows nothing of grammar: the laws that need
//! a `use` tree or an attribute read it from the tokens themselves.

/// What a token is, as far as the laws care.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Token {
    /// A name or a keyword.
    Word(String),
    /// One character of punctuation.
    Mark(char),
    /// A string, character or number: never code.
    Literal,
}

/// A token and the line it starts on, counted from one.
#[derive(Debug, Clone)]
pub(crate) struct Placed {
    pub(crate) token: Token,
    pub(crate) line: usize,
}

impl Placed {
    /// Whether this is the word `word`.
    pub(crate) fn is_word(&self, word: &str) -> bool {
        matches!(&self.token, Token::Word(own) if own == word)
    }

    /// Whether this is the mark `mark`.
    pub(crate) fn is_mark(&self, mark: char) -> bool {
        self.token == Token::Mark(mark)
    }

    /// The word, where it is one.
    pub(crate) fn word(&self) -> Option<&str> {
        match &self.token {
            Token::Word(word) => Some(word),
            _ => None,
        }
    }
}

/// Cuts `text` into tokens; text that is not Rust gives tokens all the same.
pub(crate) fn tokens(text: &str) -> Vec<Placed> {
    let chars: Vec<char> = text.chars().collect();
    let mut scan = Scan {
        chars: &chars,
        at: 0,
        line: 1,
    };
    let mut found = Vec::new();
    while let Some(next) = scan.peek(0) {
        let line = scan.line;
        let token = if next.is_whitespace() {
            scan.step();
            continue;
        } else if next == '/' && matches!(scan.peek(1), Some('/' | '*')) {
            scan.comment();
            continue;
        } else if next.is_alphabetic() || next == '_' {
            scan.word_or_string()
        } else if next == '"' {
            scan.string();
            Token::Literal
        } else if next == '\'' {
            match scan.character_or_lifetime() {
                Some(token) => token,
                None => continue,
            }
        } else if next.is_ascii_digit() {
            while scan
                .peek(0)
                .is_some_and(|c| c.is_alphanumeric() || c == '_')
            {
                scan.step();
            }
            Token::Literal
        } else {
            scan.step();
            Token::Mark(next)
        };
        found.push(Placed { token, line });
    }
    found
}

/// The tokens without the items that stand under `#[cfg(test)]`.
pub(crate) fn without_tests(tokens: &[Placed]) -> Vec<Placed> {
    let mut kept = Vec::with_capacity(tokens.len());
    let mut at = 0;
    while at < tokens.len() {
        if let Some(after) = after_test_attribute(tokens, at) {
            at = after_item(tokens, after);
        } else {
            kept.push(tokens[at].clone());
            at += 1;
        }
    }
    kept
}

/// The place after `#[cfg(test)]`, where that stands at `at`.
fn after_test_attribute(tokens: &[Placed], at: usize) -> Option<usize> {
    let here = tokens.get(at..at + 7)?;
    (here[0].is_mark('#')
        && here[1].is_mark('[')
        && here[2].is_word("cfg")
        && here[3].is_mark('(')
        && here[4].is_word("test")
        && here[5].is_mark(')')
        && here[6].is_mark(']'))
    .then_some(at + 7)
}

/// The place after the item at `at`: its closing brace, or its semicolon.
fn after_item(tokens: &[Placed], mut at: usize) -> usize {
    let mut depth = 0_usize;
    while let Some(token) = tokens.get(at) {
        at += 1;
        match token.token {
            Token::Mark('{' | '(' | '[') => depth += 1,
            Token::Mark('}') => {
                depth = depth.saturating_sub(1);
                if depth == 0 {
                    break;
                }
            }
            Token::Mark(')' | ']') => depth = depth.saturating_sub(1),
            Token::Mark(';') if depth == 0 => break,
            _ => {}
        }
    }
    at
}

struct Scan<'a> {
    chars: &'a [char],
    at: usize,
    line: usize,
}

impl Scan<'_> {
    fn peek(&self, ahead: usize) -> Option<char> {
        self.chars.get(self.at + ahead).copied()
    }

    fn step(&mut self) {
        if self.peek(0) == Some('\n') {
            self.line += 1;
        }
        self.at += 1;
    }

    fn comment(&mut self) {
        if self.peek(1) == Some('/') {
            while self.peek(0).is_some_and(|c| c != '\n') {
                self.step();
            }
            return;
        }
        let mut depth = 0;
        while let Some(here) = self.peek(0) {
            let pair = (here, self.peek(1));
            if pair == ('/', Some('*')) {
                depth += 1;
                self.at += 2;
            } else if pair == ('*', Some('/')) {
                depth -= 1;
                self.at += 2;
                if depth == 0 {
                    return;
                }
            } else {
                self.step();
            }
        }
    }

    /// A word; or the string that a prefix such as `b`, `c`, `r#` opens.
    fn word_or_string(&mut self) -> Token {
        let mut word = String::new();
        while let Some(c) = self.peek(0).filter(|c| c.is_alphanumeric() || *c == '_') {
            word.push(c);
            self.step();
        }
        let prefix = matches!(word.as_str(), "r" | "b" | "c" | "br" | "cr");
        match self.peek(0) {
            Some('"') if prefix && word.contains('r') => self.raw_string(0),
            Some('"') if prefix => self.string(),
            Some('\'') if word == "b" => {
                self.character_or_lifetime();
            }
            Some('#') if prefix && word.contains('r') => {
                let mut hashes = 0;
                while self.peek(hashes) == Some('#') {
                    hashes += 1;
                }
                if self.peek(hashes) != Some('"') {
                    // `r#name`: a raw identifier, whose name follows as a word.
                    self.at += hashes;
                    return self.word_or_string();
                }
                self.at += hashes;
                self.raw_string(hashes);
            }
            _ => return Token::Word(word),
        }
        Token::Literal
    }

    fn string(&mut self) {
        self.step();
        while let Some(c) = self.peek(0) {
            self.step();
            match c {
                '"' => return,
                '\\' => self.step(),
                _ => {}
            }
        }
    }

    fn raw_string(&mut self, hashes: usize) {
        self.step();
        while let Some(c) = self.peek(0) {
            self.step();
            if c == '"' && (0..hashes).all(|ahead| self.peek(ahead) == Some('#')) {
                self.at += hashes;
                return;
            }
        }
    }

    /// A character literal, or nothing for a lifetime.
    fn character_or_lifetime(&mut self) -> Option<Token> {
        self.step();
        let escaped = self.peek(0) == Some('\\');
        if !escaped && self.peek(1) != Some('\'') {
            return None;
        }
        if escaped {
            self.step();
            self.step();
        }
        while self.peek(0).is_some_and(|c| c != '\'') {
            self.step();
        }
        self.step();
        Some(Token::Literal)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<String> {
        tokens(text)
            .iter()
            .filter_map(|t| t.word().map(String::from))
            .collect()
    }

    #[test]
    fn comments_and_strings_are_not_code() {
        let text = r##"a /* b /* c */ d */ e // f
            "g \" h" r#"i " j"# b"k" 'l' '\'' '\u{41}' b'm' n"##;
        assert_eq!(words(text), ["a", "e", "n"]);
    }

    #[test]
    fn a_lifetime_does_not_swallow_what_follows() {
        assert_eq!(
            words("fn f<'a>(x: &'a str) -> &'a str"),
            ["fn", "f", "a", "x", "a", "str", "a", "str"]
        );
    }

    #[test]
    fn lines_are_counted_through_strings_and_comments() {
        let found = tokens("\"one\ntwo\" /* three\nfour */ here");
        assert_eq!(found.last().unwrap().line, 3);
    }

    #[test]
    fn test_modules_are_left_out_whole() {
        let text = "a; #[cfg(test)] mod tests { fn b() { c(); } } d";
        let kept = without_tests(&tokens(text));
        let words: Vec<_> = kept.iter().filter_map(Placed::word).collect();
        assert_eq!(words, ["a", "d"]);
    }

    #[test]
    fn unfinished_text_ends() {
        for text in ["\"", "r#\"", "/*", "'", "b'", "'\\", "#[cfg(test)] mod x {"] {
            without_tests(&tokens(text));
        }
    }
}
