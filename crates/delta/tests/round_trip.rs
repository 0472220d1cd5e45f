//! Patches made and applied: what comes out is the new image, whatever the images
//! are and however the patch comes; and nothing else comes out of a damaged one.

use ounce_delta::apply::{Apply, Fault, Images, Refused};
use ounce_delta::format::Header;
use ounce_delta::memory::{Device, Host, Memory};
use ounce_delta::pack::{self, Options};
use proptest::prelude::*;

/// Two images, of which the new one has a limit.
struct Slots<'a> {
    old: &'a [u8],
    new: Vec<u8>,
    limit: usize,
}

impl Images for Slots<'_> {
    fn read_old(&mut self, at: u32, into: &mut [u8]) -> Result<(), Refused> {
        let at = at as usize;
        let bytes = self.old.get(at..at + into.len()).ok_or(Refused)?;
        into.copy_from_slice(bytes);
        Ok(())
    }

    fn write_new(&mut self, bytes: &[u8]) -> Result<(), Refused> {
        self.new.extend_from_slice(bytes);
        assert!(self.new.len() <= self.limit, "more than was stated");
        Ok(())
    }
}

fn apply<M: Memory>(old: &[u8], patch: &[u8], piece: usize, memory: M) -> Result<Vec<u8>, Fault> {
    let limit = Header::parse(patch).map_or(0, |(header, _)| header.new_bytes as usize);
    let mut slots = Slots {
        old,
        new: Vec::new(),
        limit,
    };
    let mut patcher = Apply::new(memory);
    for piece in patch.chunks(piece) {
        patcher.push(piece, &mut slots)?;
    }
    patcher.finish()?;
    Ok(slots.new)
}

/// An image that was changed here and there.
fn pair() -> impl Strategy<Value = (Vec<u8>, Vec<u8>)> {
    let old = prop::collection::vec(any::<u8>(), 0..3_000);
    let change = (
        any::<prop::sample::Index>(),
        0..4_u8,
        prop::collection::vec(any::<u8>(), 0..60),
    );
    (old, prop::collection::vec(change, 0..8)).prop_map(|(old, changes)| {
        let mut new = old.clone();
        for (at, kind, bytes) in changes {
            let at = at.index(new.len() + 1);
            let end = (at + bytes.len()).min(new.len());
            match kind {
                0 => drop(new.splice(at..at, bytes)),
                1 => drop(new.splice(at..end, bytes)),
                2 => drop(new.drain(at..end)),
                _ => {
                    let moved: Vec<u8> = new.drain(at..end).collect();
                    let to = new.len() / 3;
                    new.splice(to..to, moved);
                }
            }
        }
        (old, new)
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn a_patch_gives_the_new_image_in_pieces_of_any_length(
        (old, new) in pair(),
        piece in 1_usize..300,
    ) {
        let made = pack::diff(&old, &new, &Options::device()).expect("a patch");
        prop_assert_eq!(&apply(&old, &made.patch, piece, Device::new()), &Ok(new.clone()));
        let made = pack::diff(&old, &new, &Options::default()).expect("a patch");
        let (header, _) = Header::parse(&made.patch).expect("a head");
        let memory = Host::new(&header.needs);
        prop_assert_eq!(apply(&old, &made.patch, piece, memory), Ok(new));
    }

    #[test]
    fn a_damaged_patch_ends_in_a_fault_and_writes_no_more_than_it_states(
        (old, new) in pair(),
        at in any::<prop::sample::Index>(),
        flip in 1_u8..,
        cut in any::<bool>(),
    ) {
        let mut patch = pack::diff(&old, &new, &Options::device()).expect("a patch").patch;
        let at = at.index(patch.len());
        if cut {
            patch.truncate(at);
        } else {
            patch[at] ^= flip;
        }
        match apply(&old, &patch, 97, Device::new()) {
            // A change of what is needed at most changes nothing.
            Ok(result) => prop_assert_eq!(result, new),
            Err(fault) => prop_assert!(fault.code() > 0),
        }
    }
}

#[test]
fn a_patch_for_another_image_is_refused_before_anything_is_written() {
    let old: Vec<u8> = (0..2_000_u32).map(|at| ((at * at) >> 3) as u8).collect();
    let mut other = old.clone();
    other[1_999] ^= 1;
    let patch = pack::diff(&old, &other, &Options::device())
        .expect("a patch")
        .patch;
    let mut slots = Slots {
        old: &other,
        new: Vec::new(),
        limit: 0,
    };
    let mut patcher = Apply::new(Device::new());
    let first = patcher.push(&patch, &mut slots);
    assert_eq!(first, Err(Fault::OldImage));
    assert_eq!(patcher.push(&patch, &mut slots), Err(Fault::OldImage));
    assert_eq!(patcher.finish(), Err(Fault::OldImage));
    assert!(slots.new.is_empty());
}

#[test]
fn bytes_after_the_end_are_a_fault() {
    let mut patch = pack::diff(b"old", b"new", &Options::device())
        .expect("a patch")
        .patch;
    patch.push(0);
    assert_eq!(apply(b"old", &patch, 1, Device::new()), Err(Fault::TooLong));
}

#[test]
fn a_patch_of_the_host_profile_is_refused_by_a_small_machine() {
    let patch = pack::diff(b"old", b"new", &Options::default())
        .expect("a patch")
        .patch;
    assert_eq!(apply(b"old", &patch, 9, Device::new()), Err(Fault::Memory));
}

#[test]
fn a_patcher_of_the_device_profile_and_its_stack_fit_into_16_kb() {
    // What is left is the stack, measured in docs/delta.md.
    let bytes = size_of::<Apply<Device>>();
    println!("{bytes} bytes");
    assert!(bytes <= 15_200, "{bytes}");
}
