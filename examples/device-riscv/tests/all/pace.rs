//! How many instructions the patcher takes, which QEMU counts exactly.

use ounce_delta::pack::{Options, diff};

use crate::machine::{Machine, built, file, flat, number};

/// Most instructions for each byte of the new image, with the digests of the old image and of the new: of a
/// small update, and of one that says nearly all anew.
const INSTRUCTIONS: [u64; 2] = [320, 560];

/// Most bytes of the patcher's stack.
const STACK: u64 = 1_200;

#[test]
fn a_byte_of_the_new_image_takes_so_many_instructions() {
    let program = file("pace.elf", &built("pace", "1.0.0", None));
    // Two programs that differ by a version, and one that differs by much from both.
    let first = flat(&built("program", "1.0.0", None));
    let second = flat(&built("program", "1.0.1", Some("hangs")));
    let other = flat(&built("cost", "1.0.0", None));
    let pairs = [("a version more", &second), ("another program", &other)];
    for ((name, new), most) in pairs.into_iter().zip(INSTRUCTIONS) {
        let old = &first;
        let patch = diff(old, new, &Options::device()).unwrap().patch;
        let mut given = Vec::new();
        given.extend_from_slice(&(old.len() as u32).to_le_bytes());
        given.extend_from_slice(&(patch.len() as u32).to_le_bytes());
        given.extend_from_slice(old);
        given.extend_from_slice(&patch);
        let given = file("given.bin", &given);
        let device = format!(
            "loader,file={},addr=0x80400000,force-raw=on",
            given.display()
        );
        let more = ["-icount", "shift=0", "-device", &device];
        let mut machine = Machine::with(&program, &more);
        let told = machine.wait("applied");
        assert_eq!(number(&told, "good"), 1, "{told}");
        assert_eq!(number(&told, "bytes"), new.len() as u64);
        let all = number(&told, "patcher") / new.len() as u64;
        let hash = number(&told, "hash") / old.len() as u64;
        let (state, stack) = (number(&told, "state"), number(&told, "stack"));
        println!(
            "pace, {name}: {} of {} bytes; {all} instructions a byte, SHA-256 {hash} of them for each \
             digest; state {state} bytes, stack with it {stack}",
            patch.len(),
            new.len()
        );
        assert!(all <= most, "{name}: {all} instructions a byte");
        assert!(
            stack - state <= STACK,
            "{name}: {} bytes of stack",
            stack - state
        );
    }
}
