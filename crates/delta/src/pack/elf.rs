//! Where an ELF file's sections are found in memory, and what they hold.

use crate::format::{Content, Span};

/// A part of a file with a content of its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Part {
    /// What it is called in both images.
    pub(crate) name: String,
    pub(crate) content: Content,
    pub(crate) span: Span,
}

const ALLOCATED: u64 = 2;
const EXECUTABLE: u64 = 4;
const NO_BITS: u64 = 8;

struct Reader<'a> {
    bytes: &'a [u8],
    wide: bool,
}

impl Reader<'_> {
    fn number(&self, at: usize, bytes: usize) -> Option<u64> {
        let field = self.bytes.get(at..at.checked_add(bytes)?)?;
        let number = field.iter().rev();
        Some(number.fold(0, |number, byte| number << 8 | u64::from(*byte)))
    }

    /// A field that is an address wide, given both its places.
    fn word(&self, base: usize, narrow: usize, wide: usize) -> Option<u64> {
        if self.wide {
            self.number(base.checked_add(wide)?, 8)
        } else {
            self.number(base.checked_add(narrow)?, 4)
        }
    }

    /// A field of four bytes, given both its places.
    fn half(&self, base: usize, narrow: usize, wide: usize) -> Option<u64> {
        let at = if self.wide { wide } else { narrow };
        self.number(base.checked_add(at)?, 4)
    }
}

/// The parts of an ELF file, or nothing if it is none that is understood.
pub(crate) fn parts(bytes: &[u8]) -> Option<Vec<Part>> {
    if bytes.get(..4)? != b"\x7fELF" || *bytes.get(5)? != 1 {
        return None;
    }
    let reader = Reader {
        bytes,
        wide: *bytes.get(4)? == 2,
    };
    let code = match (reader.number(18, 2)?, reader.wide) {
        (62, true) => Content::X86,
        (183, true) => Content::Aarch64,
        (243, true) => Content::Riscv64,
        (243, false) => Content::Riscv32,
        (40, false) => Content::Thumb,
        (94, false) => Content::Xtensa,
        _ => return None,
    };
    let words = if reader.wide {
        Content::Words64
    } else {
        Content::Words32
    };
    let mut parts = sections(&reader, code, words).unwrap_or_default();
    if parts.is_empty() {
        parts = segments(&reader, code, words)?;
    }
    parts.sort_by_key(|part| (part.content == Content::Memory, part.span.offset));
    Some(parts)
}

fn span(offset: u64, address: u64, bytes: u64) -> Option<Span> {
    let end = address.checked_add(bytes)?;
    let fits = end < 1 << 32 && offset < 1 << 31 && bytes < 1 << 31;
    fits.then_some(Span {
        offset: offset as u32,
        address: address as u32,
        bytes: bytes as u32,
    })
}

fn sections(reader: &Reader<'_>, code: Content, words: Content) -> Option<Vec<Part>> {
    let start = usize::try_from(reader.word(0, 32, 40)?).ok()?;
    let base = if reader.wide { 58 } else { 46 };
    let size = reader.number(base, 2)? as usize;
    let count = reader.number(base + 2, 2)? as usize;
    let names = reader.number(base + 4, 2)? as usize;
    let at = |number: usize| start.checked_add(number.checked_mul(size)?);
    let names = usize::try_from(reader.word(at(names)?, 16, 24)?).ok()?;
    let mut parts = Vec::new();
    for number in 0..count.min(512) {
        let at = at(number)?;
        let kind = reader.half(at, 4, 4)?;
        let flags = reader.word(at, 8, 8)?;
        let address = reader.word(at, 12, 16)?;
        let offset = reader.word(at, 16, 24)?;
        let bytes = reader.word(at, 20, 32)?;
        if kind == 0 || flags & ALLOCATED == 0 || bytes == 0 {
            continue;
        }
        let name = names.checked_add(reader.half(at, 0, 0)? as usize)?;
        let name: Vec<u8> = reader.bytes.get(name..)?.iter().copied().take(40).collect();
        let name = name.split(|byte| *byte == 0).next().unwrap_or_default();
        let name = String::from_utf8_lossy(name).into_owned();
        let content = match name.as_str() {
            _ if kind == NO_BITS => Content::Memory,
            ".eh_frame" => Content::Frames,
            ".eh_frame_hdr" => Content::FrameIndex,
            ".gcc_except_table" => Content::Bytes,
            _ if flags & EXECUTABLE != 0 => code,
            _ => words,
        };
        // Thread-local memory has addresses that overlap others'.
        if kind == NO_BITS && flags & 0x400 != 0 {
            continue;
        }
        let Some(span) = span(offset, address, bytes) else {
            continue;
        };
        parts.push(Part {
            name,
            content,
            span,
        });
    }
    Some(parts)
}

fn segments(reader: &Reader<'_>, code: Content, words: Content) -> Option<Vec<Part>> {
    let start = usize::try_from(reader.word(0, 28, 32)?).ok()?;
    let base = if reader.wide { 54 } else { 42 };
    let size = reader.number(base, 2)? as usize;
    let count = reader.number(base + 2, 2)? as usize;
    let mut parts = Vec::new();
    for number in 0..count.min(64) {
        let at = start.checked_add(number.checked_mul(size)?)?;
        if reader.half(at, 0, 0)? != 1 {
            continue;
        }
        let flags = reader.half(at, 24, 4)?;
        let offset = reader.word(at, 4, 8)?;
        let address = reader.word(at, 8, 16)?;
        let bytes = reader.word(at, 16, 32)?;
        let memory = reader.word(at, 20, 40)?;
        let content = if flags & 1 != 0 { code } else { words };
        if let Some(span) = span(offset, address, bytes)
            && bytes > 0
        {
            let name = format!("segment {number}");
            parts.push(Part {
                name,
                content,
                span,
            });
        }
        if memory > bytes
            && let Some(span) = span(0, address.checked_add(bytes)?, memory - bytes)
        {
            parts.push(Part {
                name: format!("memory {number}"),
                content: Content::Memory,
                span: Span { offset: 0, ..span },
            });
        }
    }
    Some(parts)
}
