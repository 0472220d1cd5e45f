//! Which part of an ELF file a byte belongs to.

use object::{Object as _, ObjectSection as _, ObjectSegment as _};

/// The section that holds the byte at `offset` of a file, or else the segment, in
/// words; `None` for headers, and what is no ELF file.
pub fn region(data: &[u8], offset: u64) -> Option<String> {
    let file = object::File::parse(data).ok()?;
    let holds = |range: Option<(u64, u64)>| {
        range.is_some_and(|(from, size)| {
            from.checked_add(size)
                .is_some_and(|end| (from..end).contains(&offset))
        })
    };
    let section = file
        .sections()
        .find(|section| holds(section.file_range()))
        .and_then(|section| section.name().ok().map(str::to_owned));
    section
        .filter(|name| !name.is_empty())
        .map(|name| format!("section {name}"))
        .or_else(|| {
            let mut segments = file.segments();
            let segment = segments.find(|segment| holds(Some(segment.file_range())))?;
            Some(format!("the segment loaded at {:#x}", segment.address()))
        })
}
