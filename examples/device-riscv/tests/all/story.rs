//! A device's life: deltas, cuts, a broken program, hostile updates, and what all of it takes of flash and
//! memory.

use crate::machine::{Machine, built, delivered, file, flat, number, on_flash, release, sign};

/// Most bytes of flash that the patcher, SHA-256 and Ed25519 take together.
const UPDATE_FLASH: u64 = 25_000;
/// Most bytes of memory that an update takes: the stack of all of it, the patcher's memory in it.
const UPDATE_MEMORY: u64 = 16_384;
/// Most bytes of flash that the boot loader takes.
const LOADER_FLASH: u64 = 6_000;

#[test]
fn the_machine_takes_deltas_survives_cuts_and_rolls_a_broken_program_back() {
    let loader_elf = built("loader", "1.0.0", None);
    let loader = file("loader.elf", &loader_elf);
    let first = flat(&built("program", "1.0.0", None));
    let second = flat(&built("program", "1.0.1", None));
    let third = flat(&built("program", "1.0.2", None));
    let broken = flat(&built("program", "1.0.3", Some("hangs")));
    let flash = delivered("flash.img", release("1.0.0", &first));

    let to_second = release("1.0.1", &second).delta(&first, &mut sign).unwrap();
    println!(
        "a delta of {} bytes to {} bytes",
        to_second.bytes.len(),
        second.len()
    );
    let mut machine = Machine::start(&loader, &flash);
    let confirmed = machine.wait("program");
    assert_eq!(confirmed, "program 1.0.0 slot=0 report=0 confirmed");
    let armed = machine.serve(&to_second, "armed").pop().unwrap();
    let memory = number(&armed, "fixed") + number(&armed, "stack");
    assert_eq!(machine.wait("loader"), "loader slot=1 attempt=1");
    assert_eq!(
        machine.wait("program"),
        "program 1.0.1 slot=1 attempt=1 on trial"
    );
    machine.wait("confirmed");
    // Confirmed for good: a cut now changes nothing.
    machine.cut();

    // A whole image, cut again and again on its way. The machine's sectors are large, and so what was
    // written before a cut is written anew, but in the end it is there.
    let to_third = release("1.0.2", &third).whole(&mut sign).unwrap();
    for pieces in [0, 1, 20, 60] {
        let mut machine = Machine::start(&loader, &flash);
        assert_eq!(machine.wait("loader"), "loader slot=1 attempt=0");
        assert_eq!(
            machine.wait("program"),
            "program 1.0.1 slot=1 report=0 confirmed"
        );
        machine.serve_some(&to_third, "armed", pieces);
        machine.cut();
    }
    let mut machine = Machine::start(&loader, &flash);
    machine.serve(&to_third, "armed");
    assert_eq!(machine.wait("loader"), "loader slot=0 attempt=1");
    // The power goes before it is confirmed: it is started again.
    machine.cut();
    let mut machine = Machine::start(&loader, &flash);
    assert_eq!(machine.wait("loader"), "loader slot=0 attempt=2");
    machine.wait("confirmed");

    // One that never confirms is started three times, and then no more.
    let to_broken = release("1.0.3", &broken).delta(&third, &mut sign).unwrap();
    machine.serve(&to_broken, "armed");
    for attempt in 1..=3 {
        assert_eq!(
            machine.wait("loader"),
            format!("loader slot=1 attempt={attempt}")
        );
        machine.wait("program 1.0.3");
    }
    assert_eq!(machine.wait("loader"), "loader slot=0 attempt=0");
    assert_eq!(
        machine.wait("program"),
        "program 1.0.2 slot=0 report=24 confirmed"
    );
    let refused = machine.serve(&to_broken, "refused").pop().unwrap();
    assert_eq!(refused, "refused code=14");

    // Hostile ones.
    let older = release("1.0.1", &second).delta(&third, &mut sign).unwrap();
    assert_eq!(
        machine.serve(&older, "refused").pop().unwrap(),
        "refused code=12"
    );
    let mut forged = release("1.0.4", &second).whole(&mut sign).unwrap();
    let last = forged.head_bytes - 1;
    forged.bytes[last - 40] ^= 1;
    assert_eq!(
        machine.serve(&forged, "refused").pop().unwrap(),
        "refused code=7"
    );
    machine.cut();

    let update = on_flash(&built("cost", "1.0.0", None));
    let loader = on_flash(&loader_elf);
    println!("flash: patcher, SHA-256 and Ed25519 {update} bytes; boot loader {loader} bytes");
    println!("memory: {memory} bytes for an update by delta, verification and stack included");
    assert!(update <= UPDATE_FLASH, "{update} bytes of flash");
    assert!(loader <= LOADER_FLASH, "{loader} bytes of flash");
    assert!(memory <= UPDATE_MEMORY, "{memory} bytes of memory");
}
