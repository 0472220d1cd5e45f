//! What the parts of two images are and where they lie in memory: read from ELF
//! files and ESP images, guessed for raw firmware. Each guess is tried, and the
//! smallest patch is kept, so that a wrong one costs time and nothing else.

use std::collections::BTreeMap;

use crate::format::{Content, Region, Span};
use crate::map::Block;

use super::elf::{self, Part};

/// The sets of regions that are worth a try; the empty one is among them.
pub(crate) fn candidates(
    old: &[u8],
    new: &[u8],
    blocks: &[Block],
    most: usize,
) -> Vec<Vec<Region>> {
    let mut sets = vec![Vec::new()];
    let known = elf::parts(old)
        .zip(elf::parts(new))
        .or_else(|| esp_parts(old).zip(esp_parts(new)));
    if let Some((old, new)) = known {
        sets.push(paired(&old, &new, most));
        return sets;
    }
    for content in [
        Content::Riscv32,
        Content::Thumb,
        Content::Aarch64,
        Content::X86,
    ] {
        let parts = raw_parts(old, content);
        let code = parts.iter().filter(|part| part.content.is_code());
        if code.map(|part| part.span.bytes).sum::<u32>() < 512 {
            continue;
        }
        let other = carried(&parts, blocks, new.len() as u32);
        for base in bases(old, new, blocks) {
            let mut set = paired(&at_base(&parts, base), &at_base(&other, base), most - 1);
            set.extend(memory(old, base));
            sets.push(set);
        }
    }
    sets
}

/// The parts of the new image, where the blocks have carried those of the old one.
fn carried(parts: &[Part], blocks: &[Block], new_bytes: u32) -> Vec<Part> {
    let moved = |offset: u32| {
        let near = blocks.iter().filter(|block| block.bytes >= 64);
        let near = near.min_by_key(|block| {
            let end = block.old + block.bytes;
            block
                .old
                .saturating_sub(offset)
                .max(offset.saturating_sub(end))
        });
        near.map_or(offset, |block| {
            block.new.wrapping_add(offset.wrapping_sub(block.old))
        })
        .min(new_bytes)
    };
    let mut start = 0;
    let mut carried = Vec::new();
    for (number, part) in parts.iter().enumerate() {
        let end = if number + 1 == parts.len() {
            new_bytes
        } else {
            moved(part.span.offset + part.span.bytes).max(start)
        };
        carried.push(Part {
            span: Span {
                offset: start,
                address: start,
                bytes: end - start,
            },
            ..part.clone()
        });
        start = end;
    }
    carried
}

/// Joins what has the same name in both; parts that lie side by side are made one.
fn paired(old: &[Part], new: &[Part], most: usize) -> Vec<Region> {
    let mut regions: Vec<Region> = Vec::new();
    for part in old {
        let Some(other) = new
            .iter()
            .find(|other| other.name == part.name && other.content == part.content)
        else {
            continue;
        };
        let moved = i64::from(other.span.address) - i64::from(part.span.address);
        if moved.abs() >= 1 << 29 {
            continue;
        }
        if let Some(last) = regions.last_mut()
            && last.content == part.content
            && joins(&last.old, &part.span)
            && joins(&last.new, &other.span)
        {
            last.old.bytes = part.span.offset + part.span.bytes - last.old.offset;
            last.new.bytes = other.span.offset + other.span.bytes - last.new.offset;
            continue;
        }
        regions.push(Region {
            content: part.content,
            old: part.span,
            new: other.span,
        });
    }
    // Each place has one region at most.
    let is_apart =
        |a: &Span, b: &Span| a.offset + a.bytes <= b.offset || b.offset + b.bytes <= a.offset;
    let mut kept: Vec<Region> = Vec::new();
    for region in regions {
        let is_memory = region.content == Content::Memory;
        let mut others = kept.iter().filter(|other| other.content != Content::Memory);
        if is_memory
            || others
                .all(|other| is_apart(&other.old, &region.old) && is_apart(&other.new, &region.new))
        {
            kept.push(region);
        }
    }
    let mut regions = kept;
    // The largest are worth most.
    while regions.len() > most {
        let least = (0..regions.len()).min_by_key(|&at| regions[at].old.bytes);
        regions.remove(least.unwrap_or(0));
    }
    regions
}

/// Whether the second comes right after the first, but for a little padding.
fn joins(first: &Span, second: &Span) -> bool {
    let between = second.offset.wrapping_sub(first.offset + first.bytes);
    between < 64 && second.address.wrapping_sub(first.address) == second.offset - first.offset
}

/// The segments of an ESP-IDF application image (esp-idf, "App Image Format").
fn esp_parts(bytes: &[u8]) -> Option<Vec<Part>> {
    if *bytes.first()? != 0xe9 {
        return None;
    }
    let count = *bytes.get(1)?;
    if !(1..=16).contains(&count) {
        return None;
    }
    // Chips with Xtensa processors: ESP32, S2, S3; all others have RISC-V.
    let chip = u16::from_le_bytes(*bytes.get(12..)?.first_chunk()?);
    let code = match chip {
        0 | 2 | 9 => Content::Xtensa,
        _ => Content::Riscv32,
    };
    let mut at = 24_usize;
    let mut parts = Vec::new();
    for number in 0..count {
        let address = u32::from_le_bytes(*bytes.get(at..)?.first_chunk()?);
        let length = u32::from_le_bytes(*bytes.get(at + 4..)?.first_chunk()?);
        let offset = at + 8;
        let end = offset.checked_add(length as usize)?;
        if end > bytes.len() {
            return None;
        }
        let span = Span {
            offset: offset as u32,
            address,
            bytes: length,
        };
        // Instruction memory and mapped flash of code, by the chips' address maps.
        let is_code = matches!(address >> 20, 0x400..=0x40f | 0x420..=0x43f);
        parts.push(Part {
            name: format!("segment {number}"),
            content: if is_code { code } else { Content::Words32 },
            span,
        });
        at = end;
    }
    Some(parts)
}

/// Bytes that are judged at once.
const PIECE: usize = 512;

/// The parts of a raw image by what its bytes look like, at address 0.
fn raw_parts(image: &[u8], code: Content) -> Vec<Part> {
    let likely: Vec<bool> = image
        .chunks(PIECE)
        .map(|piece| looks_like(piece, code))
        .collect();
    let likely = smooth(&likely);
    let words = match code {
        Content::Aarch64 | Content::X86 => Content::Words64,
        _ => Content::Words32,
    };
    let mut parts: Vec<Part> = Vec::new();
    for (number, likely) in likely.into_iter().enumerate() {
        let content = if likely { code } else { words };
        let offset = (number * PIECE) as u32;
        let bytes = (image.len() - number * PIECE).min(PIECE) as u32;
        match parts.last_mut() {
            Some(last) if last.content == content => last.span.bytes += bytes,
            _ => parts.push(Part {
                name: parts.len().to_string(),
                content,
                span: Span {
                    offset,
                    address: offset,
                    bytes,
                },
            }),
        }
    }
    parts
}

/// How many pieces must speak against it before another part begins.
const STEADY: u32 = 6;

/// The parts that contradict the fewest pieces, each change of part counting as
/// several of them (Viterbi's algorithm with two states).
fn smooth(likely: &[bool]) -> Vec<bool> {
    let mut costs = [0_u32; 2];
    let mut from: Vec<[bool; 2]> = Vec::with_capacity(likely.len());
    for &likely in likely {
        let mut next = [0; 2];
        let mut came = [false; 2];
        for state in [false, true] {
            let (stay, change) = (
                costs[usize::from(state)],
                costs[usize::from(!state)] + STEADY,
            );
            came[usize::from(state)] = if change < stay { !state } else { state };
            next[usize::from(state)] = stay.min(change) + u32::from(likely != state);
        }
        costs = next;
        from.push(came);
    }
    let mut state = costs[1] < costs[0];
    let mut states = vec![false; likely.len()];
    for (at, came) in from.iter().enumerate().rev() {
        states[at] = state;
        state = came[usize::from(state)];
    }
    states
}

/// Whether bytes are likely to be code: by how seldom there is what no compiler writes.
fn looks_like(piece: &[u8], code: Content) -> bool {
    let (mut units, mut odd, mut calls) = (0_u32, 0_u32, 0_u32);
    let mut at = 0;
    let half = |at: usize| {
        let bytes = piece.get(at..at + 2)?;
        Some(u32::from(bytes[0]) | u32::from(bytes[1]) << 8)
    };
    match code {
        Content::Riscv32 => {
            while let Some(first) = half(at) {
                units += 1;
                if first & 3 == 3 {
                    at += 4;
                    let third = first >> 12 & 7;
                    let known = match first & 0x7f {
                        0x03 => third < 6 && third != 3,
                        0x23 => third < 3,
                        0x63 => third != 2 && third != 3,
                        0x67 => third == 0,
                        0x13 | 0x17 | 0x33 | 0x37 | 0x6f => true,
                        _ => false,
                    };
                    odd += u32::from(!known);
                } else {
                    at += 2;
                    // Illegal, or floating point.
                    let is_odd =
                        first == 0 || matches!((first & 3, first >> 13), (0, 1 | 3..=5 | 7));
                    odd += u32::from(is_odd);
                }
            }
            odd * 12 < units
        }
        Content::Thumb => {
            while let Some(first) = half(at) {
                units += 1;
                if first >> 11 >= 0x1d {
                    at += 4;
                    calls += u32::from(first >> 11 == 0x1e);
                } else {
                    at += 2;
                    calls += u32::from(matches!(first >> 11, 9 | 0x1a | 0x1b | 0x1c));
                    odd += u32::from(first == 0 || first == 0xffff || first >> 8 == 0xde);
                }
            }
            odd * 10 < units && calls * 25 > units && calls * 3 < units
        }
        Content::Aarch64 => {
            for word in piece.chunks_exact(4) {
                units += 1;
                // The top-level groups 0000 to 0011 are reserved, or vectors of variable length.
                odd += u32::from(word[3] >> 1 & 0xf < 4);
                calls += u32::from(word[3] >> 2 == 0x25 || word[3] >> 1 == 0x2a);
            }
            odd * 16 < units && calls * 40 > units
        }
        Content::X86 => {
            let byte = |byte: u8| piece.iter().filter(|&&own| own == byte).count() as u32;
            units = piece.len() as u32;
            calls = byte(0x48) + byte(0xe8) + byte(0x89) + byte(0x8b);
            calls * 12 > units
        }
        _ => false,
    }
}

fn at_base(parts: &[Part], base: u32) -> Vec<Part> {
    let mut moved = parts.to_vec();
    for part in &mut moved {
        part.span.address = part.span.address.wrapping_add(base);
    }
    moved
}

/// Aligned words at both ends of each block.
fn word_pairs<'a>(
    old: &'a [u8],
    new: &'a [u8],
    blocks: &'a [Block],
) -> impl Iterator<Item = (u32, u32)> + 'a {
    blocks.iter().flat_map(move |block| {
        let skip = block.old.wrapping_neg() & 3;
        let word = |image: &[u8], at: u32| {
            let bytes = image.get(at as usize..)?.first_chunk()?;
            Some(u32::from_le_bytes(*bytes))
        };
        (skip..block.bytes.saturating_sub(3))
            .step_by(4)
            .filter_map(move |at| Some((word(old, block.old + at)?, word(new, block.new + at)?)))
    })
}

/// Where a raw image may lie in memory: a word that points into the image moves as
/// what it points to, so each that has moved tells where the image may be, and the
/// place that most agree on is taken.
fn bases(old: &[u8], new: &[u8], blocks: &[Block]) -> Vec<u32> {
    let mut by_shift: BTreeMap<u32, Vec<&Block>> = BTreeMap::new();
    for block in blocks.iter().filter(|block| block.bytes >= 64) {
        let shift = block.new.wrapping_sub(block.old);
        by_shift.entry(shift).or_default().push(block);
    }
    // Each vote is an interval of bases: where it begins, and where it ends.
    let mut edges: Vec<(u32, i32)> = Vec::new();
    for (before, after) in word_pairs(old, new, blocks) {
        if before == after || before < 0x100 {
            continue;
        }
        for block in by_shift
            .get(&after.wrapping_sub(before))
            .into_iter()
            .flatten()
        {
            let Some(last) = before.checked_sub(block.old) else {
                continue;
            };
            edges.push((last.saturating_sub(block.bytes - 1), 1));
            edges.push((last.saturating_add(1), -1));
        }
    }
    edges.sort_unstable();
    let (mut votes, mut most) = (0, 0);
    let mut ranges: Vec<(u32, u32)> = Vec::new();
    for (at, &(start, change)) in edges.iter().enumerate() {
        votes += change;
        let end = edges.get(at + 1).map_or(start, |next| next.0);
        if end <= start {
            continue;
        }
        if votes > most {
            most = votes;
            ranges.clear();
        }
        if votes == most && most > 1 {
            ranges.push((start, end - 1));
        }
    }
    // The roundest number of the range.
    let round = |&(start, end): &(u32, u32)| {
        (0..32)
            .rev()
            .map(|zeros| end >> zeros << zeros)
            .find(|base| *base >= start)
    };
    let mut bases: Vec<u32> = ranges.iter().take(2).filter_map(round).collect();
    // Processors of the M profile begin with a table: the second word is the first instruction.
    let word = |at: usize| Some(u32::from_le_bytes(*old.get(at..)?.first_chunk()?));
    if let (Some(stack), Some(reset)) = (word(0), word(4))
        && stack >> 28 == 2
        && reset & 1 == 1
    {
        bases.push(reset & !0x7fff);
        bases.push(reset & 0xff00_0000);
    }
    bases.push(0);
    bases.sort_unstable();
    bases.dedup();
    bases
}

/// Memory beside a raw image that many of its words point to.
fn memory(image: &[u8], base: u32) -> Option<Region> {
    let mut pages: BTreeMap<u32, u32> = BTreeMap::new();
    for word in image.chunks_exact(4) {
        let word = u32::from_le_bytes(*word.first_chunk()?);
        let is_image = word.wrapping_sub(base) < image.len() as u32;
        // In memory of machines of this kind, and no text.
        if !is_image && word >> 28 == 2 && word & 0xfff_ffff < 0x10_0000 {
            *pages.entry(word >> 16).or_default() += 1;
        }
    }
    let total: u32 = pages.values().sum();
    if total < 8 {
        return None;
    }
    let first = *pages.keys().next()?;
    let last = *pages.keys().next_back()?;
    let span = Span {
        offset: 0,
        address: first << 16,
        bytes: (last - first + 1) << 16,
    };
    Some(Region {
        content: Content::Memory,
        old: span,
        new: span,
    })
}
