//! Modules on the device: run, updated, and taken back when they do not end well.

use std::path::Path;
use std::process::Command;

use device_riscv::MODULE;
use ounce_ota::pack::Release;

use crate::machine::{Machine, built, delivered, file, number, on_flash, release, sign};

const TARGET: &str = "wasm32v1-none";

/// Most bytes of flash of the whole firmware: engine, updates, drivers.
const FLASH: u64 = 200_000;
/// Most bytes of memory beyond the module's page: what the engine makes of the module, and all stack.
const MEMORY: u64 = 40_000;

/// Builds the example's module.
fn module(version: &str, behaviour: Option<&str>) -> Vec<u8> {
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).join("module");
    let mut cargo = Command::new(env!("CARGO"));
    cargo
        .current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("../wasm-device"))
        .env("MODULE_VERSION", version);
    match behaviour {
        Some(behaviour) => cargo.env("MODULE_BEHAVIOUR", behaviour),
        None => cargo.env_remove("MODULE_BEHAVIOUR"),
    };
    cargo.args([
        "build",
        "--quiet",
        "--locked",
        "--release",
        "--target",
        TARGET,
    ]);
    let status = cargo.arg("--target-dir").arg(&target).status().unwrap();
    assert!(status.success(), "no module; rustup target add {TARGET}");
    std::fs::read(target.join(TARGET).join("release/wasm_device.wasm")).unwrap()
}

fn of_module<'a>(version: &str, image: &'a [u8]) -> Release<'a> {
    Release {
        product: MODULE,
        ..release(version, image)
    }
}

#[test]
fn a_module_is_swapped_and_one_that_does_not_end_well_is_taken_back() {
    let vessel_elf = built("vessel", "1.0.0", None);
    let vessel = file("vessel.elf", &vessel_elf);
    let first = module("1.0.0", None);
    let second = module("1.0.1", None);
    let flash = delivered("modules.img", of_module("1.0.0", &first));
    let mut machine = Machine::start(&vessel, &flash);
    assert_eq!(machine.wait("vessel"), "vessel slot=0 report=0");
    assert_eq!(machine.wait("module 1"), "module 1.0.0: 168 primes");
    let ended = machine.wait("module ");
    assert!(ended.starts_with("module good=0 "), "{ended}");

    let whole = of_module("1.0.1", &second).whole(&mut sign).unwrap();
    let delta = of_module("1.0.1", &second)
        .delta(&first, &mut sign)
        .unwrap();
    println!(
        "module: {} bytes; an update whole {} bytes, as a delta {} bytes",
        second.len(),
        whole.bytes.len(),
        delta.bytes.len()
    );
    machine.serve(&delta, "armed");
    assert_eq!(machine.wait("vessel"), "vessel slot=1 attempt=1");
    assert_eq!(machine.wait("module 1"), "module 1.0.1: 168 primes");
    let ended = machine.wait("module ");
    assert_eq!(machine.wait("confirmed"), "confirmed");

    // The power goes while one is on its way, then it is taken.
    let third = module("1.0.2", None);
    let to_third = of_module("1.0.2", &third).whole(&mut sign).unwrap();
    machine.serve_some(&to_third, "armed", 3);
    machine.cut();
    let mut machine = Machine::start(&vessel, &flash);
    assert_eq!(machine.wait("vessel"), "vessel slot=1 report=0");
    machine.serve(&to_third, "armed");
    assert_eq!(machine.wait("vessel"), "vessel slot=0 attempt=1");
    machine.wait("confirmed");

    // Those that trap, do not end, say that they have failed, or reach for more than there is; and what is
    // no module at all.
    let mut broken = first.clone();
    broken.truncate(first.len() - 7);
    for (behaviour, word) in [
        (Some("traps"), "module trapped=0 "),
        (Some("loops"), "module out-of-fuel=0 "),
        (Some("fails"), "module failed=3 "),
        (Some("reaches"), "module refused="),
        (None, "module refused="),
    ] {
        let bad = match behaviour {
            Some(_) => module("1.0.3", behaviour),
            None => broken.clone(),
        };
        let bad = of_module("1.0.3", &bad).whole(&mut sign).unwrap();
        machine.serve(&bad, "armed");
        assert_eq!(machine.wait("vessel"), "vessel slot=1 attempt=1");
        let ended = machine.wait("module ");
        assert!(ended.starts_with(word), "{behaviour:?}: {ended}");
        assert_eq!(machine.wait("vessel"), "vessel slot=0 report=25");
        assert_eq!(machine.wait("module 1"), "module 1.0.2: 168 primes");
        let refused = machine.serve(&bad, "refused").pop().unwrap();
        assert_eq!(refused, "refused code=14");
    }
    machine.cut();

    let flash = on_flash(&vessel_elf);
    // The module's own page is in the heap.
    let memory = number(&ended, "heap") - (64 << 10) + number(&ended, "stack");
    println!("vessel: {flash} bytes of flash; {memory} bytes of memory beyond the module's page");
    assert!(flash <= FLASH, "{flash} bytes of flash");
    assert!(memory <= MEMORY, "{memory} bytes of memory");
}
