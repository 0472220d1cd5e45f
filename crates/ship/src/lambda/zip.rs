//! A zip whose bytes depend on nothing but what is in it: no clock, no owner, one
//! way to compress (PKWARE's APPNOTE, sections 4.3 and 4.5).

use libdeflater::{CompressionLvl, Compressor};

/// A file to be put in.
pub(super) struct Member<'a> {
    pub(super) name: &'a str,
    pub(super) bytes: &'a [u8],
    /// Permission bits: Lambda unpacks as they say.
    pub(super) mode: u32,
}

/// The first day that a zip can tell: 1980-01-01.
const DATE: u16 = 1 << 5 | 1;
/// Version 2.0 is needed to read what is deflated.
const NEEDED: u16 = 20;
/// Made by Unix: what stands above the attributes of DOS are a file's mode.
const UNIX: u16 = 3 << 8;
/// A regular file, in a mode.
const REGULAR: u32 = 0o100_000;
const DEFLATED: u16 = 8;

/// The zip of these, in their order.
pub(super) fn zip(members: &[Member<'_>]) -> Vec<u8> {
    let mut out = Vec::new();
    let mut directory = Vec::new();
    for member in members {
        let packed = deflated(member.bytes);
        let offset = out.len() as u32;
        // What both heads say of a file.
        let mut facts = Vec::new();
        for half in [NEEDED, 0, DEFLATED, 0, DATE] {
            facts.extend_from_slice(&half.to_le_bytes());
        }
        let sum = libdeflater::crc32(member.bytes);
        for word in [sum, packed.len() as u32, member.bytes.len() as u32] {
            facts.extend_from_slice(&word.to_le_bytes());
        }
        facts.extend_from_slice(&(member.name.len() as u16).to_le_bytes());
        facts.extend_from_slice(&[0; 2]);

        out.extend_from_slice(b"PK\x03\x04");
        out.extend_from_slice(&facts);
        out.extend_from_slice(member.name.as_bytes());
        out.extend_from_slice(&packed);

        directory.extend_from_slice(b"PK\x01\x02");
        directory.extend_from_slice(&(UNIX | NEEDED).to_le_bytes());
        directory.extend_from_slice(&facts);
        // No comment, the first disk, no attributes of contents.
        directory.extend_from_slice(&[0; 6]);
        directory.extend_from_slice(&((REGULAR | member.mode) << 16).to_le_bytes());
        directory.extend_from_slice(&offset.to_le_bytes());
        directory.extend_from_slice(member.name.as_bytes());
    }
    let (start, count) = (out.len() as u32, members.len() as u16);
    out.extend_from_slice(&directory);
    out.extend_from_slice(b"PK\x05\x06\0\0\0\0");
    out.extend_from_slice(&count.to_le_bytes());
    out.extend_from_slice(&count.to_le_bytes());
    out.extend_from_slice(&(directory.len() as u32).to_le_bytes());
    out.extend_from_slice(&start.to_le_bytes());
    out.extend_from_slice(&[0; 2]);
    out
}

fn deflated(bytes: &[u8]) -> Vec<u8> {
    let mut compressor = Compressor::new(CompressionLvl::best());
    let mut packed = vec![0; compressor.deflate_compress_bound(bytes.len())];
    // The bound is one that always fits.
    let length = compressor.deflate_compress(bytes, &mut packed);
    packed.truncate(length.unwrap_or(0));
    packed
}
