//! What of an ELF file is never loaded: symbols for debuggers, and the table of
//! sections. Only what is past the last byte that the program headers name is
//! cut off, so nothing that runs moves.

use ounce_oci::layer::Patch;

/// How to write a file without what is never loaded; nothing where there is
/// nothing to gain, or something that no header accounts for.
pub fn strip(file: &[u8]) -> Option<Patch> {
    let number = |at: u64, width: usize| -> Option<u64> {
        let at = usize::try_from(at).ok()?;
        let bytes = file.get(at..at.checked_add(width)?)?;
        let mut word = [0; 8];
        word[..width].copy_from_slice(bytes);
        Some(u64::from_le_bytes(word))
    };
    // ELF64, little-endian (System V gABI, chapter 4), a program or a library.
    if !file.starts_with(b"\x7fELF\x02\x01") || !matches!(number(16, 2)?, 2 | 3) {
        return None;
    }
    let (programs, sections) = (number(32, 8)?, number(40, 8)?);
    let (program_size, program_count) = (number(54, 2)?, number(56, 2)?);
    let (section_size, section_count) = (number(58, 2)?, number(60, 2)?);
    if sections == 0 || section_count == 0 || program_size < 56 || section_size < 64 {
        return None;
    }
    let mut loaded = programs.checked_add(program_size * program_count)?.max(64);
    let mut any = false;
    for index in 0..program_count {
        let at = programs.checked_add(index * program_size)?;
        let end = number(at + 8, 8)?.checked_add(number(at + 32, 8)?)?;
        loaded = loaded.max(end);
        any |= number(at, 4)? == 1; // PT_LOAD
    }
    let mut accounted = sections
        .checked_add(section_size * section_count)?
        .max(loaded);
    for index in 0..section_count {
        const SHT_NOBITS: u64 = 8;
        const SHF_ALLOC: u64 = 2;
        let at = sections.checked_add(index * section_size)?;
        let (kind, flags) = (number(at + 4, 4)?, number(at + 8, 8)?);
        let end = number(at + 24, 8)?.checked_add(number(at + 32, 8)?)?;
        if kind != SHT_NOBITS {
            accounted = accounted.max(end);
            // Wanted in memory, and not among what is loaded: a file that lies.
            if flags & SHF_ALLOC != 0 && end > loaded {
                return None;
            }
        }
    }
    let length = file.len() as u64;
    // More at the end than the headers tell of is an archive that the program
    // reads from itself.
    if !any || accounted != length || loaded >= length {
        return None;
    }
    let mut start = file.get(..64)?.to_vec();
    start[40..48].fill(0); // e_shoff
    start[60..64].fill(0); // e_shnum, e_shstrndx
    Some(Patch {
        start,
        bytes: loaded,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One program header, one loaded section, one with symbols.
    fn file() -> Vec<u8> {
        let mut file = vec![0; 64 + 56 + 8];
        let mut put = |at: usize, bytes: &[u8]| file[at..at + bytes.len()].copy_from_slice(bytes);
        put(0, b"\x7fELF\x02\x01\x01");
        put(16, &2u16.to_le_bytes());
        put(32, &64u64.to_le_bytes());
        put(40, &(128u64 + 16).to_le_bytes());
        put(54, &56u16.to_le_bytes());
        put(56, &1u16.to_le_bytes());
        put(58, &64u16.to_le_bytes());
        put(60, &2u16.to_le_bytes());
        put(64, &1u32.to_le_bytes());
        put(64 + 32, &128u64.to_le_bytes());
        file.extend_from_slice(b"symbols, sixteen");
        for (flags, offset, size) in [(2u64, 120u64, 8u64), (0, 128, 16)] {
            let mut section = [0; 64];
            section[4] = 1;
            section[8..16].copy_from_slice(&flags.to_le_bytes());
            section[24..32].copy_from_slice(&offset.to_le_bytes());
            section[32..40].copy_from_slice(&size.to_le_bytes());
            file.extend_from_slice(&section);
        }
        file
    }

    #[test]
    fn what_is_never_loaded_goes_and_nothing_else() {
        let file = file();
        let patch = strip(&file).unwrap();
        assert_eq!(patch.bytes, 128);
        assert_eq!(patch.start[..40], file[..40]);
        assert_eq!(
            (&patch.start[40..48], &patch.start[60..]),
            (&[0; 8][..], &[0; 4][..])
        );
        // Done once, there is nothing more to do.
        let mut stripped = file[..128].to_vec();
        stripped[..64].copy_from_slice(&patch.start);
        assert_eq!(strip(&stripped), None);
    }

    #[test]
    fn a_program_that_carries_something_or_lies_is_left_alone() {
        let mut carries = file();
        carries.extend_from_slice(b"PK\x03\x04");
        assert_eq!(strip(&carries), None);
        let file = file();
        for cut in 0..file.len() {
            assert_eq!(strip(&file[..cut]), None, "{cut}");
        }
        // The loaded section claims bytes past the segment.
        let mut lies = file.clone();
        lies[144 + 32] = 9;
        assert_eq!(strip(&lies), None);
        for byte in 0..64 {
            let mut damaged = file.clone();
            damaged[byte] = 0xff;
            // Whatever it says: no panic.
            let _ = strip(&damaged);
        }
    }
}
