//! What a Python source says it needs: import statements, modules asked for by
//! name, texts that may name files; and the small files that steer imports.
//!
//! [`scan`] reads tokens, no grammar: enough to tell a statement from a comment
//! or a text, in any version of Python, at a tenth of a parser's weight. What is
//! asked for by a computed name is told as a [`Computed`], never guessed.

pub mod bytecode;
mod token;

use std::path::{Path, PathBuf};

pub use token::MOST_BYTES;
use token::{Token, Tokens};

/// Longest text that is kept: the longest name of a file.
const TEXT_BYTES: usize = 255;
/// Most imports or texts of one file.
const MOST: usize = 100_000;

/// What a source names.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Source {
    /// Import statements, and calls with a name as it stands.
    pub imports: Vec<Import>,
    /// Names of `__all__`.
    pub all: Vec<String>,
    /// Texts without blanks, sorted.
    pub texts: Vec<String>,
    /// Places where a name is put together.
    pub computed: Vec<Computed>,
}

/// A module that is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Import {
    /// `a.b`; may be empty in `from . import c`.
    pub module: String,
    /// Dots in front: 0 for absolute.
    pub level: usize,
    /// What is taken from it; `*` for all, empty for `import a.b`.
    pub names: Vec<String>,
    /// Line, from 1.
    pub line: usize,
}

/// A module asked for by a name that is known only at run time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Computed {
    /// Line, from 1.
    pub line: usize,
    /// The function: `import_module`, `__import__`, ...
    pub call: String,
}

/// Functions that import what they are given a name of.
const BY_NAME: [&str; 4] = ["import_module", "__import__", "import_string", "run_module"];
/// Functions that look for modules in folders.
const BY_FOLDER: [&str; 3] = ["iter_modules", "walk_packages", "find_packages"];

/// Reads a source; what is no Python gives what little looks like it.
pub fn scan(source: &[u8]) -> Source {
    let tokens: Vec<Token<'_>> = Tokens::new(source).collect();
    let mut out = Source::default();
    let mut at = 0;
    let mut fresh = true;
    let mut indent = 0;
    while at < tokens.len() {
        if let Token::Line(next) = tokens[at] {
            indent = next;
        }
        match &tokens[at] {
            Token::Word("if" | "elif", _) if fresh => at = types_only(&tokens, at, indent),
            Token::Word("from", line) if fresh => at = from(&tokens, at + 1, *line, &mut out),
            Token::Word("import", line) => at = import(&tokens, at + 1, *line, &mut out),
            Token::Word("__all__", _) => at = all(&tokens, at + 1, &mut out),
            Token::Word(word, line) if tokens.get(at + 1) == Some(&Token::Mark(b'(')) => {
                let defined = at > 0 && matches!(tokens[at - 1], Token::Word("def", _));
                if !defined {
                    call(&tokens[at + 2..], word, *line, &mut out);
                }
                at += 1;
            }
            Token::Text(text) => {
                keep_text(text, &mut out);
                at += 1;
            }
            _ => at += 1,
        }
        fresh = at == 0
            || matches!(
                tokens.get(at - 1),
                Some(Token::Line(_) | Token::Mark(b';' | b':'))
            );
    }
    out.texts.sort();
    out.texts.dedup();
    out.imports.truncate(MOST);
    out
}

/// Past `if TYPE_CHECKING:` and its block, which never runs (Python's module
/// `typing`); past the `if` alone for any other.
fn types_only(tokens: &[Token<'_>], at: usize, indent: usize) -> usize {
    let mut end = at + 1;
    if matches!(tokens.get(end), Some(Token::Word(..)))
        && tokens.get(end + 1) == Some(&Token::Mark(b'.'))
    {
        end += 2;
    }
    let asks = matches!(tokens.get(end), Some(Token::Word("TYPE_CHECKING", _)));
    if !asks || tokens.get(end + 1) != Some(&Token::Mark(b':')) {
        return at + 1;
    }
    let block = &tokens[end + 2..];
    let is_end = |token: &Token<'_>| matches!(token, Token::Line(next) if *next <= indent);
    end + 2 + block.iter().position(is_end).unwrap_or(block.len())
}

fn keep_text(text: &str, out: &mut Source) {
    let fits = !text.is_empty() && text.len() <= TEXT_BYTES && out.texts.len() < MOST;
    if fits && !text.contains(char::is_whitespace) {
        out.texts.push(text.to_owned());
    }
}

/// `a.b.c`, as far as it goes, and where it ends.
fn dotted(tokens: &[Token<'_>], mut at: usize) -> (String, usize) {
    let mut name = String::new();
    while let Some(Token::Word(word, _)) = tokens.get(at) {
        if *word == "import" || *word == "as" {
            break;
        }
        name.push_str(word);
        at += 1;
        match tokens.get(at) {
            Some(Token::Mark(b'.')) => {
                name.push('.');
                at += 1;
            }
            _ => break,
        }
    }
    (name, at)
}

/// Past `as x`, if it stands here.
fn renamed(tokens: &[Token<'_>], at: usize) -> usize {
    match tokens.get(at) {
        Some(Token::Word("as", _)) => at + 2,
        _ => at,
    }
}

fn import(tokens: &[Token<'_>], mut at: usize, line: usize, out: &mut Source) -> usize {
    loop {
        let (module, end) = dotted(tokens, at);
        if module.is_empty() {
            return end;
        }
        out.imports.push(Import {
            module,
            level: 0,
            names: Vec::new(),
            line,
        });
        at = renamed(tokens, end);
        match tokens.get(at) {
            Some(Token::Mark(b',')) => at += 1,
            _ => return at,
        }
    }
}

fn from(tokens: &[Token<'_>], mut at: usize, line: usize, out: &mut Source) -> usize {
    let mut level = 0;
    while tokens.get(at) == Some(&Token::Mark(b'.')) {
        level += 1;
        at += 1;
    }
    let (module, mut at) = dotted(tokens, at);
    if !matches!(tokens.get(at), Some(Token::Word("import", _))) {
        return at;
    }
    at += 1;
    if tokens.get(at) == Some(&Token::Mark(b'(')) {
        at += 1;
    }
    let mut names = Vec::new();
    loop {
        match tokens.get(at) {
            Some(Token::Mark(b'*')) => {
                names.push("*".to_owned());
                at += 1;
            }
            Some(Token::Word(word, _)) => {
                names.push((*word).to_owned());
                at = renamed(tokens, at + 1);
            }
            _ => break,
        }
        match tokens.get(at) {
            Some(Token::Mark(b',')) => at += 1,
            _ => break,
        }
    }
    if level > 0 || !module.is_empty() {
        out.imports.push(Import {
            module,
            level,
            names,
            line,
        });
    }
    at
}

/// `__all__ = ["a", "b"]`, or `+=`, or a tuple.
fn all(tokens: &[Token<'_>], mut at: usize, out: &mut Source) -> usize {
    if tokens.get(at) == Some(&Token::Mark(b'+')) {
        at += 1;
    }
    if tokens.get(at) != Some(&Token::Mark(b'=')) {
        return at;
    }
    at += 1;
    if !matches!(tokens.get(at), Some(Token::Mark(b'[' | b'('))) {
        return at;
    }
    at += 1;
    while let Some(Token::Text(_) | Token::Mark(b',')) = tokens.get(at) {
        if let Some(Token::Text(name)) = tokens.get(at)
            && out.all.len() < MOST
        {
            out.all.push(name.clone());
        }
        at += 1;
    }
    at
}

/// A call that imports by name; `tokens` begin after the bracket.
fn call(tokens: &[Token<'_>], name: &str, line: usize, out: &mut Source) {
    let computed = |out: &mut Source| {
        out.computed.push(Computed {
            line,
            call: name.to_owned(),
        });
    };
    if BY_FOLDER.contains(&name) {
        computed(out);
    }
    if !BY_NAME.contains(&name) {
        return;
    }
    let whole = matches!(tokens.get(1), Some(Token::Mark(b')' | b',')));
    match tokens.first() {
        Some(Token::Text(text)) if whole => {
            let module = text.trim_start_matches('.');
            out.imports.push(Import {
                module: module.replace(':', "."),
                level: text.len() - module.len(),
                names: Vec::new(),
                line,
            });
        }
        Some(_) => computed(out),
        None => {}
    }
}

/// A line of a `.pth` file (Python's module `site`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PathLine {
    /// A folder to look in, relative to the file's own.
    Folder(PathBuf),
    /// Python that is run at every start.
    Code(String),
}

/// Reads a `.pth` file.
pub fn pth(text: &str) -> Vec<PathLine> {
    text.trim_start_matches('\u{feff}')
        .lines()
        .map(str::trim_end)
        .filter(|line| !line.trim().is_empty() && !line.starts_with('#'))
        .map(
            |line| match line.starts_with("import ") || line.starts_with("import\t") {
                true => PathLine::Code(line.to_owned()),
                false => PathLine::Folder(line.into()),
            },
        )
        .collect()
}

/// `home` of a `pyvenv.cfg`: the folder of the Python that the environment is of,
/// and whether that one's packages are seen too.
pub fn environment(text: &str) -> Option<(PathBuf, bool)> {
    let value = |key: &str| {
        text.lines().find_map(|line| {
            let (name, value) = line.split_once('=')?;
            (name.trim().eq_ignore_ascii_case(key)).then(|| value.trim())
        })
    };
    let system = value("include-system-site-packages");
    Some((value("home")?.into(), system == Some("true")))
}

/// A line of `entry_points.txt` (Entry points specification).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EntryPoint {
    /// `console_scripts`, or who asks for it.
    pub group: String,
    /// Its name.
    pub name: String,
    /// The module that it lies in.
    pub module: String,
}

/// Reads an `entry_points.txt`.
pub fn entry_points(text: &str) -> Vec<EntryPoint> {
    let mut group = String::new();
    let mut out = Vec::new();
    for line in text.lines().map(str::trim) {
        if let Some(name) = line.strip_prefix('[').and_then(|it| it.strip_suffix(']')) {
            group = name.trim().to_owned();
        } else if let Some((name, object)) = line.split_once('=')
            && !line.starts_with(['#', ';'])
        {
            let end = object.find([':', '[']).unwrap_or(object.len());
            out.push(EntryPoint {
                group: group.clone(),
                name: name.trim().to_owned(),
                module: object[..end].trim().to_owned(),
            });
        }
    }
    out
}

/// The compiled form of a source: `a/__pycache__/b.cpython-311.pyc` of `a/b.py`.
/// `tag` is `cpython-311`.
pub fn compiled(source: &Path, tag: &str) -> Option<PathBuf> {
    let stem = source.file_stem()?.to_str()?;
    (source.extension()? == "py").then(|| {
        source
            .with_file_name("__pycache__")
            .join(format!("{stem}.{tag}.pyc"))
    })
}

#[cfg(test)]
mod tests;
