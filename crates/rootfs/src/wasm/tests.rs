use super::strip::sections;
use super::*;

/// One function `f` that returns 7, a memory of one page, three bytes of data,
/// an import, names and a world.
fn module() -> Vec<u8> {
    let mut bytes = b"\0asm\x01\0\0\0".to_vec();
    bytes.extend(b"\x01\x08\x02\x60\0\x01\x7f\x60\0\0");
    bytes.extend(b"\x02\x09\x01\x03env\x01g\0\x01");
    bytes.extend(b"\x03\x02\x01\0");
    bytes.extend(b"\x05\x04\x01\x01\x01\x02");
    bytes.extend(b"\x07\x05\x01\x01f\0\x01");
    bytes.extend(b"\x0a\x06\x01\x04\0\x41\x07\x0b");
    bytes.extend(b"\x0b\x09\x01\0\x41\0\x0b\x03abc");
    bytes.extend(b"\0\x0c\x04name\x01\x05\x01\x01\x02ff");
    bytes.extend(b"\0\x14\x12component-type:app!");
    bytes
}

#[test]
fn a_module_is_told_with_its_imports_functions_and_data() {
    let facts = WasmFacts::read(&module()).unwrap();
    assert_eq!(facts.kind, WasmKind::Module);
    assert_eq!(facts.imports[0].name, "env.g");
    assert_eq!(facts.imports[0].kind, "function");
    assert!(facts.exports("f") && !facts.exports("g"));
    assert_eq!((facts.functions, facts.data_bytes), (1, 3));
    assert_eq!(facts.largest[0].name, "ff");
    assert_eq!(facts.memory_bytes, PAGE);
    assert_eq!(facts.memory_most_bytes, Some(2 * PAGE));
    assert_eq!(facts.worlds, ["app"]);
    assert!(facts.strippable_bytes > 0);
}

#[test]
fn stripping_takes_names_and_leaves_what_runs() {
    let whole = module();
    let bare = strip(&whole, false).unwrap();
    let facts = WasmFacts::read(&bare).unwrap();
    assert_eq!(facts.strippable_bytes, 0);
    assert_eq!(facts.worlds, ["app"]);
    assert_eq!(sections(&bare), sections(&whole));
    assert_eq!(strip(&bare, false).unwrap(), bare);
    let barer = strip(&whole, true).unwrap();
    assert!(WasmFacts::read(&barer).unwrap().worlds.is_empty());
}

#[test]
fn modules_within_a_component_are_stripped_and_counted() {
    let inner = module();
    let mut component = b"\0asm\x0d\0\x01\0".to_vec();
    component.push(1);
    component.push(inner.len() as u8);
    assert!(inner.len() < 128, "{}", inner.len());
    component.extend(&inner);
    component.extend(b"\0\x0a\x09producers");
    let facts = WasmFacts::read(&component).unwrap();
    assert_eq!((facts.kind, facts.modules), (WasmKind::Component, 1));
    assert!(
        facts.imports.is_empty(),
        "a module's imports are not its component's"
    );
    let bare = strip(&component, true).unwrap();
    assert!(bare.len() < component.len() - 20);
    assert_eq!(WasmFacts::read(&bare).unwrap().functions, 1);
}

#[test]
fn what_is_cut_short_or_changed_is_told_and_never_a_panic() {
    let whole = module();
    assert!(matches!(WasmFacts::read(b"\x7fELF"), Err(WasmError::Magic)));
    for length in 4..whole.len() {
        let _ = WasmFacts::read(&whole[..length]);
        let _ = strip(&whole[..length], true);
    }
    assert!(WasmFacts::read(&whole[..7]).is_err());
    for at in 4..whole.len() {
        for byte in [0, 0x7f, 0x80, 0xff] {
            let mut changed = whole.clone();
            changed[at] = byte;
            let _ = WasmFacts::read(&changed);
            let _ = strip(&changed, true);
        }
    }
}
