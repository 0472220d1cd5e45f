//! What is in a WebAssembly module, as tables for people.

use ounce_oci::ByteSize;
use ounce_rootfs::WasmFacts;
use ounce_rootfs::wasm::{Item, Part, WasmKind};

use super::table::{Align, Table};
use crate::failure::shown;

/// In one line.
pub(crate) fn line(facts: &WasmFacts) -> String {
    let what = match facts.kind {
        WasmKind::Module => "a WebAssembly module".to_owned(),
        WasmKind::Component => format!(
            "a WebAssembly component of {} module{}",
            facts.modules,
            if facts.modules == 1 { "" } else { "s" }
        ),
    };
    let rest = match facts.strippable_bytes {
        0 => "stripped".to_owned(),
        bytes => format!(
            "not stripped: {} of names and debug information",
            ByteSize(bytes)
        ),
    };
    format!("{what}, {rest}")
}

/// Sections, functions, and what it asks for and gives.
pub(crate) fn tables(facts: &WasmFacts, most: usize, color: bool) -> String {
    let memory = match facts.memory_most_bytes {
        Some(most) => format!("{} to {}", ByteSize(facts.memory_bytes), ByteSize(most)),
        None => ByteSize(facts.memory_bytes).to_string(),
    };
    let mut text = format!(
        "code: {} in {} functions; data: {} in {} segments; memory: {memory}{}\n",
        ByteSize(facts.code_bytes),
        facts.functions,
        ByteSize(facts.data_bytes),
        facts.data_segments,
        if facts.starts_itself {
            "; runs code as it is loaded"
        } else {
            ""
        }
    );
    text.push_str(&parts("SECTIONS", &facts.sections, most, color));
    text.push_str(&parts("LARGEST FUNCTIONS", &facts.largest, most, color));
    text.push_str(&items("CAN REACH (IMPORTS)", &facts.imports, color));
    text.push_str(&items("GIVES (EXPORTS)", &facts.exports, color));
    if facts.imports.is_empty() {
        text.push_str("it imports nothing: it can only compute\n");
    }
    text
}

fn parts(title: &str, parts: &[Part], most: usize, color: bool) -> String {
    if parts.is_empty() || most == 0 {
        return String::new();
    }
    let mut table = Table::new(&[(title, Align::Left), ("BYTES", Align::Right)]);
    for part in parts.iter().take(most) {
        table.row([shown(&part.name), ByteSize(part.bytes).to_string()]);
    }
    format!("\n{}", table.text(color))
}

/// All of them: what is left out would be what matters.
fn items(title: &str, items: &[Item], color: bool) -> String {
    if items.is_empty() {
        return String::new();
    }
    let mut table = Table::new(&[(title, Align::Left), ("KIND", Align::Left)]);
    for item in items {
        table.row([shown(&item.name), item.kind.to_owned()]);
    }
    format!("\n{}", table.text(color))
}
