//! A module without what only people and debuggers read of it.

use wasmparser::{BinaryReaderError, Parser};

use super::{WORLD, WasmError, is_strippable, is_wasm};

/// How deep components may lie within each other.
const DEEPEST: usize = 32;
/// Magic and version.
const HEAD: usize = 8;
/// Identifier of a custom section, in modules and components alike.
const CUSTOM: u8 = 0;
/// Identifiers of modules and components within a component (component model,
/// Binary.md).
const WITHIN: [u8; 2] = [1, 4];

/// It cannot be stripped.
#[derive(Debug, Clone, thiserror::Error)]
pub enum StripError {
    /// It is broken.
    #[error(transparent)]
    Wasm(#[from] WasmError),
    /// Components within components, too deep.
    #[error("it nests components more than {DEEPEST} deep")]
    Deep,
}

impl From<BinaryReaderError> for StripError {
    fn from(error: BinaryReaderError) -> Self {
        Self::Wasm(error.into())
    }
}

/// The same module or component without names, producers and debug
/// information; `worlds` tells whether the worlds that a core module carries
/// go, too, which only the making of a component reads.
///
/// # Errors
/// It is broken.
pub fn strip(bytes: &[u8], worlds: bool) -> Result<Vec<u8>, StripError> {
    if !is_wasm(bytes) {
        return Err(WasmError::Magic.into());
    }
    // What is broken anywhere is told here, so that the walk below may trust lengths.
    for payload in Parser::new(0).parse_all(bytes) {
        payload?;
    }
    let mut out = Vec::with_capacity(bytes.len());
    level(bytes, worlds, 0, &mut out)?;
    Ok(out)
}

/// One module or component, its sections one by one.
fn level(bytes: &[u8], worlds: bool, depth: usize, out: &mut Vec<u8>) -> Result<(), StripError> {
    if depth > DEEPEST {
        return Err(StripError::Deep);
    }
    let broken = |at: usize| {
        StripError::Wasm(WasmError::Broken {
            offset: at as u64,
            why: "a section ends past its module".to_owned(),
        })
    };
    let head = bytes.get(..HEAD).ok_or_else(|| broken(0))?;
    let is_component = head[6] == 1;
    out.extend_from_slice(head);
    let mut at = HEAD;
    while at < bytes.len() {
        let id = bytes[at];
        let (length, start) = leb(bytes, at + 1).ok_or_else(|| broken(at))?;
        let end = start.checked_add(length).ok_or_else(|| broken(at))?;
        let content = bytes.get(start..end).ok_or_else(|| broken(at))?;
        if is_component && WITHIN.contains(&id) {
            let mut inner = Vec::with_capacity(content.len());
            level(content, worlds, depth + 1, &mut inner)?;
            section(id, &inner, out);
        } else if id != CUSTOM || !goes(content, worlds).ok_or_else(|| broken(start))? {
            section(id, content, out);
        }
        at = end;
    }
    Ok(())
}

/// Whether a custom section is left out.
fn goes(content: &[u8], worlds: bool) -> Option<bool> {
    let (length, start) = leb(content, 0)?;
    let name = content.get(start..start.checked_add(length)?)?;
    let name = std::str::from_utf8(name).ok()?;
    Some(is_strippable(name) || (worlds && name.starts_with(WORLD)))
}

/// With its length in as few bytes as that takes: some linkers leave it wide.
fn section(id: u8, content: &[u8], out: &mut Vec<u8>) {
    out.push(id);
    let mut rest = content.len();
    loop {
        let low = (rest & 0x7f) as u8;
        rest >>= 7;
        if rest == 0 {
            out.push(low);
            break;
        }
        out.push(low | 0x80);
    }
    out.extend_from_slice(content);
}

/// An unsigned number of at most 32 bits (core specification, "Integers"), and
/// where it ends.
fn leb(bytes: &[u8], mut at: usize) -> Option<(usize, usize)> {
    let mut value = 0_u32;
    for shift in [0, 7, 14, 21, 28] {
        let byte = *bytes.get(at)?;
        at += 1;
        value |= u32::from(byte & 0x7f).checked_shl(shift)?;
        if byte & 0x80 == 0 {
            return Some((usize::try_from(value).ok()?, at));
        }
    }
    None
}

/// A module of these payloads is what it was: for the tests.
#[cfg(test)]
pub(super) fn sections(bytes: &[u8]) -> Vec<u8> {
    use wasmparser::Payload;
    let payloads = Parser::new(0).parse_all(bytes).map_while(Result::ok);
    payloads
        .filter_map(|payload| match payload {
            Payload::CustomSection(_) => None,
            other => other.as_section().map(|(id, _)| id),
        })
        .collect()
}
