//! Files with the same content, as wheels bring the same library each in a folder
//! of its own: one is written, and the others become further names of it.

use std::collections::HashMap;
use std::path::Path;

use ounce_oci::Digest;
use ounce_rootfs::tree::ContentId;

use super::FILE_BYTES;
use crate::files::Files;
use crate::survey::Survey;

/// For each content that has its like among those before it, that one.
///
/// Names of one file share owner, mode, attributes and time. Of libraries nobody
/// asks the time; of all else it has to be the same, since Python compares the
/// source's with what stands in the compiled file.
pub(super) fn same(
    survey: &Survey,
    contents: &[(&Path, ContentId)],
    files: &mut dyn Files,
) -> HashMap<ContentId, ContentId> {
    let mut by_size: HashMap<u64, Vec<(&Path, ContentId)>> = HashMap::new();
    for (place, id) in contents {
        let bytes = survey.tree.content(*id).bytes;
        if (1..=FILE_BYTES).contains(&bytes) {
            by_size.entry(bytes).or_default().push((place, *id));
        }
    }
    let mut same = HashMap::new();
    for alike in by_size.values().filter(|alike| alike.len() > 1) {
        let mut first: HashMap<Digest, Vec<ContentId>> = HashMap::new();
        for (place, id) in alike {
            let Ok(file) = files.read(place, FILE_BYTES) else {
                continue;
            };
            let is_elf = file.starts_with(b"\x7fELF");
            let known = first.entry(Digest::of(&file)).or_default();
            match known
                .iter()
                .find(|other| survey.is_alike(**other, *id, is_elf))
            {
                Some(other) => {
                    same.insert(*id, *other);
                }
                None => known.push(*id),
            }
        }
    }
    same
}
