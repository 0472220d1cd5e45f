//! Which 32-bit Arm a program was compiled for, from its build attributes.

use object::read::elf::{FileHeader, SectionHeader};

/// `Tag_CPU_arch` (Addenda to, and Errata in, the ABI for the Arm
/// Architecture, "Target-related attributes").
const CPU_ARCH: u64 = 6;

/// The OCI variant, when the `.ARM.attributes` section tells it. M profile
/// parts have none: Linux images do not run there.
pub(super) fn variant<H: FileHeader>(
    section: &H::SectionHeader,
    endian: H::Endian,
    data: &[u8],
) -> Option<&'static str> {
    let attributes = section.attributes(endian, data).ok()?;
    let mut subsections = attributes.subsections().ok()?;
    while let Some(subsection) = subsections.next().ok()? {
        if subsection.vendor() != b"aeabi" {
            continue;
        }
        let mut parts = subsection.subsubsections();
        while let Some(part) = parts.next().ok()? {
            let mut attributes = part.attributes();
            while let Some(tag) = attributes.read_tag().ok()? {
                match tag {
                    CPU_ARCH => return name(attributes.read_integer().ok()?),
                    // CPU_raw_name, CPU_name, and odd tags past 32 are texts;
                    // 32 (compatibility) is a number and a text.
                    32 => {
                        attributes.read_integer().ok()?;
                        attributes.read_string().ok()?;
                    }
                    4 | 5 => drop(attributes.read_string().ok()?),
                    odd if odd > 32 && odd % 2 == 1 => drop(attributes.read_string().ok()?),
                    _ => drop(attributes.read_integer().ok()?),
                }
            }
        }
    }
    None
}

fn name(architecture: u64) -> Option<&'static str> {
    match architecture {
        3..=5 => Some("v5"),
        6..=9 => Some("v6"),
        10 => Some("v7"),
        14 | 15 | 18 | 20 => Some("v8"),
        _ => None,
    }
}
