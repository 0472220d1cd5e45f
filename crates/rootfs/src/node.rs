//! What JavaScript for Node asks for: `require` and `import` in a source, and
//! what a `package.json` says about where its modules are.
//!
//! As with Python, [`scan`] reads tokens and no grammar. Resolution is Node's
//! own ("Modules: Packages" and "ECMAScript modules" of its manual); which
//! file is there is asked of the caller.

mod manifest;
mod token;

pub use manifest::{Manifest, is_builtin};
use token::{Token, Tokens};

/// Most bytes of a source that are read: larger ones are data.
pub const MOST_BYTES: u64 = 16 << 20;
/// Most requests of one file.
const MOST: usize = 100_000;

/// What a source names.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Source {
    /// Modules asked for by name.
    pub requests: Vec<Request>,
    /// Files beside the source: the parts of `path.join(__dirname, 'a', 'b')`
    /// or `new URL('a/b', import.meta.url)`, as one relative path.
    pub beside: Vec<String>,
    /// Modules whose names are put together.
    pub computed: Vec<Computed>,
}

/// A module asked for by name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// `./a`, `express`, `node:fs`, `#inner`.
    pub name: String,
    /// By `import`: other conditions and no guessing of extensions.
    pub import: bool,
    /// Line, from 1.
    pub line: usize,
}

/// A module asked for by a name that is known only at run time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Computed {
    /// How the name begins, if a text stands in front: `./locale/`.
    pub prefix: Option<String>,
    /// Line, from 1.
    pub line: usize,
}

/// Reads a source; what is no JavaScript gives what little looks like it.
pub fn scan(source: &[u8]) -> Source {
    let tokens: Vec<Token<'_>> = Tokens::new(source).collect();
    let mut out = Source::default();
    for at in 0..tokens.len() {
        let Token::Word(word, line) = tokens[at] else {
            continue;
        };
        if out.requests.len() + out.computed.len() + out.beside.len() > MOST {
            break;
        }
        let rest = &tokens[at + 1..];
        let dot = |back: usize| at >= back && tokens[at - back] == Token::Mark(b'.');
        // `...require('x')` spreads what it gives.
        let member = dot(1) && !dot(2);
        match word {
            "require" if !member || follows(&tokens, at, "module") => {
                require(rest, line, &mut out);
            }
            "import" if !member => import(rest, line, &mut out),
            "from" if !member => {
                if let Some(Token::Text(name)) = rest.first()
                    && exported_or_imported(&tokens[..at])
                {
                    push(name, true, line, &mut out);
                }
            }
            "__dirname" | "__filename" => beside(&tokens, at, &mut out),
            "URL" if rest.first() == Some(&Token::Mark(b'(')) => url(&rest[1..], &mut out),
            _ => {}
        }
    }
    out.beside.sort();
    out.beside.dedup();
    out
}

fn push(name: &str, import: bool, line: usize, out: &mut Source) {
    out.requests.push(Request {
        name: name.to_owned(),
        import,
        line,
    });
}

/// Whether `object.` stands before the word at `at`.
fn follows(tokens: &[Token<'_>], at: usize, object: &str) -> bool {
    at >= 2 && matches!(tokens[at - 2], Token::Word(word, _) if word == object)
}

/// What is in the brackets of `require(...)` or `require.resolve(...)`.
fn require(rest: &[Token<'_>], line: usize, out: &mut Source) {
    let rest = match rest {
        [Token::Mark(b'.'), Token::Word("resolve", _), rest @ ..] => rest,
        rest => rest,
    };
    if rest.first() == Some(&Token::Mark(b'(')) {
        asked(&rest[1..], false, line, out);
    }
}

/// `import 'x'` or `import('x')`; `import y from 'x'` is found by its `from`.
fn import(rest: &[Token<'_>], line: usize, out: &mut Source) {
    match rest.first() {
        Some(Token::Text(name)) => push(name, true, line, out),
        Some(Token::Mark(b'(')) => asked(&rest[1..], true, line, out),
        _ => {}
    }
}

/// An argument: a text alone, a text and more, or something else.
fn asked(argument: &[Token<'_>], import: bool, line: usize, out: &mut Source) {
    match argument {
        [Token::Text(name), Token::Mark(b')' | b','), ..] => push(name, import, line, out),
        [Token::Text(prefix), Token::Mark(b'+'), ..] => out.computed.push(Computed {
            prefix: Some(prefix.clone()),
            line,
        }),
        [Token::Template(prefix), ..] => out.computed.push(Computed {
            prefix: (!prefix.is_empty()).then(|| prefix.clone()),
            line,
        }),
        [] | [Token::Mark(b')'), ..] => {}
        _ => out.computed.push(Computed { prefix: None, line }),
    }
}

/// Whether an `import` or `export` opened the statement that a `from` stands in.
fn exported_or_imported(before: &[Token<'_>]) -> bool {
    // A list of names, as long as they come.
    let part = |token: &&Token<'_>| match token {
        Token::Word("import" | "export", _) => false,
        Token::Word(..) => true,
        Token::Mark(mark) => b"{},*".contains(mark),
        Token::Text(_) => true,
        Token::Template(_) => false,
    };
    matches!(
        before.iter().rev().take(MOST).find(|token| !part(token)),
        Some(Token::Word("import" | "export", _))
    )
}

/// `join(__dirname, 'a', 'b')`, `resolve(__dirname, 'a')`, `__dirname + '/a'`.
fn beside(tokens: &[Token<'_>], at: usize, out: &mut Source) {
    let mut parts: Vec<&str> = Vec::new();
    let mut rest = &tokens[at + 1..];
    while let [Token::Mark(b',' | b'+'), Token::Text(part), more @ ..] = rest {
        parts.push(part.trim_matches('/'));
        rest = more;
    }
    let called = at >= 2 && tokens[at - 1] == Token::Mark(b'(');
    let added = tokens.get(at + 1) == Some(&Token::Mark(b'+'));
    if !parts.is_empty() && (called || added) {
        out.beside.push(parts.join("/"));
    }
}

/// `new URL('a', import.meta.url)`.
fn url(argument: &[Token<'_>], out: &mut Source) {
    if let [
        Token::Text(path),
        Token::Mark(b','),
        Token::Word("import", _),
        ..,
    ] = argument
    {
        out.beside.push(path.trim_start_matches("./").to_owned());
    }
}

#[cfg(test)]
mod tests;
