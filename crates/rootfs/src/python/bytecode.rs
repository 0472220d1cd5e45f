//! Where docstrings stand in compiled Python, and the same file without them.
//!
//! A `.pyc` is a header of 16 bytes and a code object in the form of Python's
//! `marshal` (Python/marshal.c), which is read here as far as it takes to tell a
//! docstring from a text that the program uses. What is left of one is the empty
//! text: code that works on `__doc__` still finds a text there, as it would not
//! under `-OO`. Releases whose instructions are not known here are left alone.

use std::collections::HashSet;
use std::ops::Range;

/// Bytes before the code object: magic, flags, time and size or hash of the source (PEP 552).
const HEADER: usize = 16;
/// Largest file that is read: an object may take forty times its bytes.
const MOST_BYTES: usize = 8 << 20;
/// How often a byte is looked at on average: code objects may share their code.
const LOOKS: usize = 16;
/// Deepest nesting; the compiler's own limits are far below.
const DEEPEST: usize = 200;
/// In the type of an object: it can be referred to (`FLAG_REF`).
const REFERABLE: u8 = 0x80;
/// `CO_OPTIMIZED | CO_NEWLOCALS`: the code of a function.
const FUNCTION: u32 = 3;

/// What differs between releases.
struct Release {
    /// The first two bytes of the file (`importlib/_bootstrap_external.py`).
    magic: u16,
    /// Numbers after which the code stands; the last are the flags.
    numbers: usize,
    /// Objects after the line.
    tail: usize,
    /// Instructions (module `opcode`): `STORE_NAME`, `LOAD_CONST`, `EXTENDED_ARG`.
    store_name: u8,
    load_const: u8,
    extended: u8,
    /// Others whose argument is a constant's number (`dis.hasconst`).
    constants: &'static [u8],
}

const OLDEST: Release = Release {
    magic: 3413,
    numbers: 6,
    tail: 1,
    store_name: 90,
    load_const: 100,
    extended: 144,
    constants: &[],
};

/// 3.8 to 3.13.
const RELEASES: [Release; 6] = [
    OLDEST,
    Release {
        magic: 3425,
        ..OLDEST
    },
    Release {
        magic: 3439,
        ..OLDEST
    },
    Release {
        magic: 3495,
        numbers: 5,
        tail: 2,
        constants: &[172],
        ..OLDEST
    },
    Release {
        magic: 3531,
        numbers: 5,
        tail: 2,
        constants: &[121, 172],
        ..OLDEST
    },
    Release {
        magic: 3571,
        numbers: 5,
        tail: 2,
        store_name: 114,
        load_const: 83,
        extended: 71,
        constants: &[103],
    },
];

/// A compiled module without its docstrings; nothing where there are none, or where
/// the file is not understood to its end.
pub fn without_docstrings(file: &[u8]) -> Option<Vec<u8>> {
    let spans = docstrings(file)?;
    let mut out = Vec::with_capacity(file.len());
    let mut done = 0;
    for span in spans {
        out.extend_from_slice(&file[done..span.start]);
        // A short text of no letters, which is referred to as the old one was.
        out.extend_from_slice(&[b'z' | file[span.start] & REFERABLE, 0]);
        done = span.end;
    }
    out.extend_from_slice(&file[done..]);
    (out.len() < file.len()).then_some(out)
}

/// Where the docstrings of a compiled module stand that nothing else uses, sorted.
fn docstrings(file: &[u8]) -> Option<Vec<Range<usize>>> {
    let magic = u16::from_le_bytes(*file.first_chunk()?);
    let release = RELEASES.iter().find(|one| one.magic == magic)?;
    if file.get(2..4)? != b"\r\n" || file.len() > MOST_BYTES {
        return None;
    }
    let mut reader = Reader {
        file,
        at: HEADER,
        release,
        objects: Vec::new(),
        references: Vec::new(),
        referred: HashSet::new(),
        found: Vec::new(),
        looks: file.len() * LOOKS,
    };
    reader.object(0)?;
    if reader.at != file.len() {
        return None;
    }
    let Reader {
        objects,
        referred,
        found,
        ..
    } = reader;
    let own =
        |(text, among): &(usize, usize)| !referred.contains(text) && !referred.contains(among);
    let span = |(text, _): (usize, usize)| match &objects[text] {
        Object::Text { span, .. } => Some(span.clone()),
        _ => None,
    };
    let mut spans: Vec<_> = found.into_iter().filter(own).filter_map(span).collect();
    spans.sort_by_key(|span| span.start);
    Some(spans)
}

/// An object, as far as it matters.
enum Object {
    Text {
        span: Range<usize>,
        body: Range<usize>,
    },
    Bytes(Range<usize>),
    Tuple(Vec<usize>),
    Other,
}

struct Reader<'a> {
    file: &'a [u8],
    at: usize,
    release: &'a Release,
    objects: Vec<Object>,
    /// Objects that can be referred to, by their numbers.
    references: Vec<usize>,
    /// Objects that are referred to.
    referred: HashSet<usize>,
    /// Docstrings, each with the tuple that it stands in.
    found: Vec<(usize, usize)>,
    /// How many bytes and objects may be looked at again.
    looks: usize,
}

impl Reader<'_> {
    fn take(&mut self, count: usize) -> Option<Range<usize>> {
        let range = self.at..self.at.checked_add(count)?;
        self.file.get(range.clone())?;
        self.at = range.end;
        Some(range)
    }

    fn byte(&mut self) -> Option<usize> {
        let range = self.take(1)?;
        Some(self.file[range.start].into())
    }

    fn number(&mut self) -> Option<u32> {
        let range = self.take(4)?;
        Some(u32::from_le_bytes(self.file[range].try_into().ok()?))
    }

    fn length(&mut self) -> Option<usize> {
        usize::try_from(self.number()?).ok()
    }

    /// Reads one object, and gives its number among all.
    fn object(&mut self, depth: usize) -> Option<usize> {
        if depth > DEEPEST {
            return None;
        }
        let start = self.at;
        let kind = u8::try_from(self.byte()?).ok()?;
        let (kind, referable) = (kind & !REFERABLE, kind & REFERABLE != 0);
        if kind == b'r' {
            let number = self.length()?;
            let object = *self.references.get(number)?;
            self.referred.insert(object);
            return Some(object);
        }
        let object = self.objects.len();
        self.objects.push(Object::Other);
        // Numbered as they begin; what there is only one of has no number.
        if referable && !matches!(kind, b'0' | b'N' | b'F' | b'T' | b'S' | b'.') {
            self.references.push(object);
        }
        let (short, deeper) = (matches!(kind, b'z' | b'Z' | b')'), depth + 1);
        let read = match kind {
            b'0' | b'N' | b'F' | b'T' | b'S' | b'.' => Object::Other,
            b'i' => self.take(4).map(|_| Object::Other)?,
            b'I' | b'g' => self.take(8).map(|_| Object::Other)?,
            b'y' => self.take(16).map(|_| Object::Other)?,
            b'l' => {
                let digits = self.number()?.cast_signed().unsigned_abs();
                let bytes = usize::try_from(digits).ok()?.checked_mul(2)?;
                self.take(bytes).map(|_| Object::Other)?
            }
            b's' => {
                let length = self.length()?;
                Object::Bytes(self.take(length)?)
            }
            b'u' | b't' | b'a' | b'A' | b'z' | b'Z' => {
                let length = if short { self.byte()? } else { self.length()? };
                let body = self.take(length)?;
                Object::Text {
                    span: start..self.at,
                    body,
                }
            }
            b'(' | b')' | b'[' | b'<' | b'>' => {
                let count = if short { self.byte()? } else { self.length()? };
                // Each takes a byte at least.
                if count > self.file.len() - self.at {
                    return None;
                }
                let mut items = Vec::with_capacity(count);
                for _ in 0..count {
                    items.push(self.object(deeper)?);
                }
                match kind {
                    b'(' | b')' => Object::Tuple(items),
                    _ => Object::Other,
                }
            }
            b'c' => self.code(deeper)?,
            _ => return None,
        };
        self.objects[object] = read;
        Some(object)
    }

    fn code(&mut self, depth: usize) -> Option<Object> {
        let mut flags = 0;
        for _ in 0..self.release.numbers {
            flags = self.number()?;
        }
        let code = self.object(depth)?;
        let constants = self.object(depth)?;
        let names = self.object(depth)?;
        // Of 8: names of variables, file and code.
        for _ in 3..8 {
            self.object(depth)?;
        }
        self.number()?;
        for _ in 0..self.release.tail {
            self.object(depth)?;
        }
        let size = |object: usize| match &self.objects[object] {
            Object::Bytes(span) => span.len(),
            Object::Tuple(items) => items.len(),
            Object::Text { .. } | Object::Other => 0,
        };
        let looks = size(code) + size(constants);
        self.looks = self.looks.checked_sub(looks)?;
        if let Some(text) = self.docstring(flags, code, constants, names) {
            self.found.push((text, constants));
        }
        Some(Object::Other)
    }

    /// The docstring of a code object, if nothing else in it uses that text.
    fn docstring(&self, flags: u32, code: usize, constants: usize, names: usize) -> Option<usize> {
        let (Object::Bytes(code), Object::Tuple(constants), Object::Tuple(names)) = (
            &self.objects[code],
            &self.objects[constants],
            &self.objects[names],
        ) else {
            return None;
        };
        let release = self.release;
        let code = instructions(&self.file[code.clone()], release.extended);
        let loads = |number: u32| {
            let takes = |code| code == release.load_const || release.constants.contains(&code);
            let uses = |one: &&(u8, u32)| takes(one.0) && one.1 == number;
            code.iter().filter(uses).count()
        };
        let number = if flags & FUNCTION == FUNCTION {
            // A function has it in front of all constants and never loads it.
            (loads(0) == 0).then_some(0)?
        } else {
            // Modules and classes store it.
            let is_store =
                |one: &(u8, u32)| one.0 == release.store_name && self.is_doc(names, one.1);
            let store = code.iter().position(is_store)?;
            let (load, number) = *code.get(store.checked_sub(1)?)?;
            (load == release.load_const && loads(number) == 1).then_some(number)?
        };
        let text = *constants.get(number as usize)?;
        let twice = constants.iter().filter(|other| **other == text).count() > 1;
        match &self.objects[text] {
            Object::Text { body, .. } if !body.is_empty() && !twice => Some(text),
            _ => None,
        }
    }

    fn is_doc(&self, names: &[usize], number: u32) -> bool {
        let name = names.get(number as usize).map(|name| &self.objects[*name]);
        matches!(name, Some(Object::Text { body, .. }) if &self.file[body.clone()] == b"__doc__")
    }
}

/// Instructions with their arguments, those before an argument's last byte taken in.
fn instructions(code: &[u8], extended: u8) -> Vec<(u8, u32)> {
    let mut high = 0u32;
    let mut all = Vec::with_capacity(code.len() / 2);
    for word in code.chunks_exact(2) {
        let argument = high << 8 | u32::from(word[1]);
        if word[0] == extended {
            high = argument;
            continue;
        }
        high = 0;
        all.push((word[0], argument));
    }
    all
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use proptest::prelude::*;

    use super::*;

    /// Texts of every kind: those that are no docstrings have to stay.
    const SOURCE: &str = r#"
"""A module with a docstring."""
import functools

LONG = """A text that is no docstring."""

def plain():
    """Of a function."""
    return "a value"

def returns_it():
    """The same twice."""
    return """The same twice."""

def without():
    return "first constant"

class Thing:
    """Of a class."""

    same = """Of a class."""

    def method(self, key="a default"):
        """Of a method, \u00fc with letters."""
        def inner():
            """Of an inner function."""
            return key
        return inner

class Other:
    """Of another class."""
    def one(self):
        """Said of both."""
    def two(self):
        """Said of both."""

async def later():
    """Of a coroutine."""

shown = lambda: "a lambda's value"
listed = ["a", "b", *("x" for _ in range(2))]
"#;

    const LOOK: &str = r#"
import sys, marshal
code = marshal.loads(open(sys.argv[1], "rb").read()[16:])
space = {"__name__": "subject"}
exec(code, space)
t = space["Thing"]
print(repr([space["__doc__"], space["plain"].__doc__, t.__doc__, t.method.__doc__,
    t().method().__doc__, space["Other"].__doc__, space["Other"].one.__doc__, space["later"].__doc__,
    space["returns_it"].__doc__]))
print(repr([space["LONG"], space["plain"](), space["returns_it"](), space["without"](), t.same,
    t().method()(), space["shown"](), space["listed"]]))
"#;

    fn python(arguments: &[&str]) -> String {
        let output = Command::new("python3").args(arguments).output();
        let output = output.unwrap_or_else(|error| panic!("{error}: apt-get install python3"));
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// The source, compiled by the machine's own Python.
    fn compiled(folder: &std::path::Path) -> Vec<u8> {
        let (source, made) = (folder.join("subject.py"), folder.join("subject.pyc"));
        std::fs::write(&source, SOURCE).unwrap();
        let script = "import sys, py_compile; py_compile.compile(sys.argv[1], sys.argv[2])";
        let (source, made) = (source.to_str().unwrap(), made.to_str().unwrap());
        python(&["-c", script, source, made]);
        std::fs::read(made).unwrap()
    }

    #[test]
    fn docstrings_go_and_every_other_text_stays_where_python_has_it() {
        let folder = tempfile::tempdir().unwrap();
        let whole = compiled(folder.path());
        let look = |file: &[u8]| {
            let path = folder.path().join("look.pyc");
            std::fs::write(&path, file).unwrap();
            let said = python(&["-c", LOOK, path.to_str().unwrap()]);
            let (docs, values) = said.split_once('\n').unwrap();
            (docs.to_owned(), values.to_owned())
        };
        let stripped = without_docstrings(&whole).expect("a release that is known");
        assert!(stripped.len() + 100 < whole.len());
        let (docs, values) = look(&stripped);
        assert_eq!(values, look(&whole).1);
        // The one that the function returns too has to stay; so may those that several share.
        let gone = docs.matches("''").count();
        assert!(gone >= 6 && docs.ends_with("'The same twice.']"), "{docs}");
        for kept in [
            "A module",
            "Of a function",
            "Of a method",
            "Of an inner",
            "coroutine",
        ] {
            assert!(!docs.contains(kept), "{docs}");
        }
        // Done once, there is nothing left to do.
        assert_eq!(without_docstrings(&stripped), None);
        for end in 0..whole.len() {
            assert_eq!(without_docstrings(&whole[..end]), None, "{end}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]
        #[test]
        fn any_bytes_after_the_header_are_read_or_left(
            release in 0..RELEASES.len(),
            bytes in prop::collection::vec(
                prop_oneof![any::<u8>(), prop::sample::select(b"czZr)(sNi\xe3\xda\xa9".to_vec())], 0..200),
        ) {
            let mut file = RELEASES[release].magic.to_le_bytes().to_vec();
            file.extend_from_slice(b"\r\n\0\0\0\0\0\0\0\0\0\0\0\0");
            file.extend(bytes);
            if let Some(less) = without_docstrings(&file) {
                prop_assert!(less.len() < file.len());
            }
        }
    }
}
