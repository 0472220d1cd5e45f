//! What a WebAssembly module or component holds: its sections, functions by
//! their size, what it imports and exports, its data.
//!
//! Reading walks over the sections and looks into what tells of them; whether
//! the code in them is valid is the engine's to say, before it runs it.

mod strip;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::ops::Range;

use serde::Serialize;
use wasmparser::{
    BinaryReaderError, ComponentExternalKind, Encoding, ExternalKind, Imports, KnownCustom, Name,
    Parser, Payload, TypeRef,
};

pub use strip::{StripError, strip};

/// The first four bytes of every module and component.
pub const MAGIC: &[u8] = b"\0asm";

/// Functions that are told one by one.
const LISTED: usize = 20;
/// Bytes of a page of memory (core specification, "Memory Instances").
const PAGE: u64 = 65536;
/// Most names that are kept of any list: a module of a few bytes can claim many.
const MOST_NAMES: usize = 10_000;

/// Whether these are the first bytes of WebAssembly.
pub fn is_wasm(head: &[u8]) -> bool {
    head.starts_with(MAGIC)
}

/// It is no WebAssembly, or a broken one.
#[derive(Debug, Clone, thiserror::Error)]
pub enum WasmError {
    /// It begins otherwise.
    #[error("it does not begin as WebAssembly does, by \\0asm")]
    Magic,
    /// What the reader has against it.
    #[error("at byte {offset}: {why}")]
    Broken {
        /// Where.
        offset: u64,
        /// What.
        why: String,
    },
}

impl From<BinaryReaderError> for WasmError {
    fn from(error: BinaryReaderError) -> Self {
        Self::Broken {
            offset: error.offset(),
            why: error.message().to_owned(),
        }
    }
}

/// Whether it is a module or a component.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum WasmKind {
    /// A core module.
    Module,
    /// A component, of core modules and what stands between them.
    Component,
}

/// What is in a module or component.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct WasmFacts {
    /// Which of the two.
    pub kind: WasmKind,
    /// Its sections with what each takes, heaviest first; of a component those
    /// of its modules, too.
    pub sections: Vec<Part>,
    /// What it asks for, in its order: `module.name` of a core module, the
    /// interface of a component.
    pub imports: Vec<Item>,
    /// What it gives, in its order.
    pub exports: Vec<Item>,
    /// Functions with code.
    pub functions: u64,
    /// Bytes of their code.
    pub code_bytes: u64,
    /// The largest functions.
    pub largest: Vec<Part>,
    /// Segments of data.
    pub data_segments: u64,
    /// Their bytes.
    pub data_bytes: u64,
    /// Bytes of memory that it begins with.
    pub memory_bytes: u64,
    /// Bytes that its memory can grow to, if it says.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory_most_bytes: Option<u64>,
    /// Core modules in a component.
    pub modules: u64,
    /// Whether code runs before it is called.
    pub starts_itself: bool,
    /// Bytes of names, debug information and the like, which nothing needs to run.
    pub strippable_bytes: u64,
    /// The worlds that a core module carries, for a component to be made of it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub worlds: Vec<String>,
}

/// A part and what it takes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Part {
    /// What it is called.
    pub name: String,
    /// What it takes.
    pub bytes: u64,
}

/// What is imported or exported.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Item {
    /// Its name.
    pub name: String,
    /// `function`, `memory`, `table`, `global`, `instance` and so on.
    pub kind: &'static str,
}

impl WasmFacts {
    /// Reads a module or component.
    ///
    /// # Errors
    /// Another form, cut short, or a section that is not what it says.
    pub fn read(bytes: &[u8]) -> Result<Self, WasmError> {
        if !is_wasm(bytes) {
            return Err(WasmError::Magic);
        }
        let mut reading = Reading::default();
        for payload in Parser::new(0).parse_all(bytes) {
            reading.payload(payload?)?;
        }
        Ok(reading.finish())
    }

    /// Whether it exports this, of a component in any version.
    pub fn exports(&self, name: &str) -> bool {
        self.exports.iter().any(|item| {
            item.name
                .strip_prefix(name)
                .is_some_and(|rest| rest.is_empty() || rest.starts_with('@'))
        })
    }
}

/// Sections that tell of a module and are not needed to run it. What an unknown
/// one is for, nobody knows, so it stays.
fn is_strippable(section: &str) -> bool {
    const NAMES: &[&str] = &[
        "name",
        "component-name",
        "producers",
        "target_features",
        "linking",
        "sourceMappingURL",
        "external_debug_info",
        "build_id",
    ];
    NAMES.contains(&section) || section.starts_with(".debug_") || section.starts_with("reloc.")
}

/// The beginning of the custom section that carries a world.
const WORLD: &str = "component-type:";

#[derive(Default)]
struct Reading {
    kind: Option<WasmKind>,
    depth: usize,
    sections: BTreeMap<String, u64>,
    imports: Vec<Item>,
    exports: Vec<Item>,
    /// Of the module that is read: functions that it imports.
    imported: u32,
    /// Of the module that is read: bytes of each function.
    bodies: Vec<u64>,
    names: BTreeMap<u32, String>,
    largest: Vec<Part>,
    functions: u64,
    code_bytes: u64,
    data_segments: u64,
    data_bytes: u64,
    memory_bytes: u64,
    memory_most: Option<u64>,
    modules: u64,
    starts_itself: bool,
    strippable: u64,
    worlds: Vec<String>,
}

fn length(range: &Range<u64>) -> u64 {
    range.end.saturating_sub(range.start)
}

impl Reading {
    fn section(&mut self, name: &str, bytes: u64) {
        if let Some(sum) = self.sections.get_mut(name) {
            *sum += bytes;
        } else if self.sections.len() < MOST_NAMES {
            self.sections.insert(name.to_owned(), bytes);
        }
    }

    fn payload(&mut self, payload: Payload<'_>) -> Result<(), WasmError> {
        // Of the outermost level, where a component's own world stands.
        let outermost = self.depth == 1;
        let is_module = self.kind == Some(WasmKind::Module);
        match payload {
            Payload::Version { encoding, .. } => {
                self.depth += 1;
                let kind = match encoding {
                    Encoding::Module => WasmKind::Module,
                    Encoding::Component => WasmKind::Component,
                };
                self.kind.get_or_insert(kind);
                self.modules += u64::from(kind == WasmKind::Module);
                self.imported = 0;
            }
            Payload::End(_) => {
                self.depth = self.depth.saturating_sub(1);
                self.module_ends();
            }
            Payload::TypeSection(it) => self.section("types", length(&it.range())),
            Payload::ImportSection(it) => {
                self.section("imports", length(&it.range()));
                for group in it {
                    self.imports(group?, outermost && is_module)?;
                }
            }
            Payload::FunctionSection(it) => self.section("functions", length(&it.range())),
            Payload::TableSection(it) => self.section("tables", length(&it.range())),
            Payload::MemorySection(it) => {
                self.section("memories", length(&it.range()));
                for memory in it {
                    let memory = memory?;
                    self.memory(memory.initial, memory.maximum);
                }
            }
            Payload::GlobalSection(it) => self.section("globals", length(&it.range())),
            Payload::TagSection(it) => self.section("tags", length(&it.range())),
            Payload::ExportSection(it) => {
                self.section("exports", length(&it.range()));
                for export in it {
                    let export = export?;
                    if matches!(export.kind, ExternalKind::Func) {
                        let names = &mut self.names;
                        names
                            .entry(export.index)
                            .or_insert_with(|| export.name.to_owned());
                    }
                    if outermost && is_module && self.exports.len() < MOST_NAMES {
                        self.exports.push(Item {
                            name: export.name.to_owned(),
                            kind: core_kind(export.kind),
                        });
                    }
                }
            }
            Payload::StartSection { range, .. } => {
                self.section("start", length(&range));
                self.starts_itself = true;
            }
            Payload::ElementSection(it) => self.section("elements", length(&it.range())),
            Payload::DataCountSection { range, .. } => self.section("data", length(&range)),
            Payload::DataSection(it) => {
                self.section("data", length(&it.range()));
                for data in it {
                    self.data_segments += 1;
                    self.data_bytes += data?.data.len() as u64;
                }
            }
            Payload::CodeSectionStart { size, .. } => self.section("code", u64::from(size)),
            Payload::CodeSectionEntry(body) => {
                let bytes = length(&body.range());
                self.functions += 1;
                self.code_bytes += bytes;
                self.bodies.push(bytes);
            }
            Payload::ComponentImportSection(it) => {
                self.section("component imports", length(&it.range()));
                for import in it {
                    let import = import?;
                    if outermost && self.imports.len() < MOST_NAMES {
                        self.imports.push(Item {
                            name: import.name.name.to_owned(),
                            kind: component_kind(import.ty.kind()),
                        });
                    }
                }
            }
            Payload::ComponentExportSection(it) => {
                self.section("component exports", length(&it.range()));
                for export in it {
                    let export = export?;
                    if outermost && self.exports.len() < MOST_NAMES {
                        self.exports.push(Item {
                            name: export.name.name.to_owned(),
                            kind: component_kind(export.kind),
                        });
                    }
                }
            }
            Payload::CustomSection(custom) => {
                let name = custom.name();
                self.section(&format!("custom {name:?}"), length(&custom.range()));
                if is_strippable(name) {
                    self.strippable += length(&custom.range());
                }
                if let Some(world) = name.strip_prefix(WORLD)
                    && self.worlds.len() < MOST_NAMES
                {
                    self.worlds.push(world.to_owned());
                }
                if let KnownCustom::Name(names) = custom.as_known() {
                    // Names are for people: a broken list of them breaks nothing.
                    for part in names {
                        let Ok(part) = part else { break };
                        if let Name::Function(map) = part {
                            for naming in map.into_iter().map_while(Result::ok).take(1 << 20) {
                                self.names.insert(naming.index, naming.name.to_owned());
                            }
                        }
                    }
                }
            }
            Payload::ComponentStartSection { range, .. } => {
                self.section("component start", length(&range));
                self.starts_itself = true;
            }
            Payload::UnknownSection { id, range, .. } => {
                return Err(WasmError::Broken {
                    offset: range.start,
                    why: format!("there is no section of kind {id}"),
                });
            }
            // Modules and components within are read as they come.
            Payload::ModuleSection { .. } | Payload::ComponentSection { .. } => {}
            other => {
                if let Some((_, range)) = other.as_section() {
                    self.section("component types, instances", length(&range));
                }
            }
        }
        Ok(())
    }

    fn imports(&mut self, group: Imports<'_>, told: bool) -> Result<(), WasmError> {
        let mut one = |module: &str, name: &str, kind: TypeRef| {
            match kind {
                TypeRef::Func(_) | TypeRef::FuncExact(_) => self.imported += 1,
                TypeRef::Memory(memory) => self.memory(memory.initial, memory.maximum),
                _ => {}
            }
            if told && self.imports.len() < MOST_NAMES {
                self.imports.push(Item {
                    name: format!("{module}.{name}"),
                    kind: type_kind(kind),
                });
            }
        };
        match group {
            Imports::Single(_, import) => one(import.module, import.name, import.ty),
            Imports::Compact1 { module, items } => {
                for item in items {
                    let item = item?;
                    one(module, item.name, item.ty);
                }
            }
            Imports::Compact2 { module, ty, names } => {
                for name in names {
                    one(module, name?, ty);
                }
            }
        }
        Ok(())
    }

    fn memory(&mut self, pages: u64, most: Option<u64>) {
        self.memory_bytes = self.memory_bytes.saturating_add(pages.saturating_mul(PAGE));
        if let Some(most) = most {
            let sum = self.memory_most.unwrap_or(0);
            self.memory_most = Some(sum.saturating_add(most.saturating_mul(PAGE)));
        }
    }

    /// Names the largest functions of the module that has been read.
    fn module_ends(&mut self) {
        let mut order: Vec<(usize, u64)> = self.bodies.drain(..).enumerate().collect();
        order.sort_by_key(|(at, bytes)| (u64::MAX - bytes, *at));
        for (at, bytes) in order.into_iter().take(LISTED) {
            let index = self
                .imported
                .saturating_add(u32::try_from(at).unwrap_or(u32::MAX));
            let name = self.names.get(&index).cloned();
            self.largest.push(Part {
                name: name.unwrap_or_else(|| format!("function {index}")),
                bytes,
            });
        }
        self.names.clear();
    }

    fn finish(mut self) -> WasmFacts {
        let mut sections: Vec<Part> = self
            .sections
            .into_iter()
            .map(|(name, bytes)| Part { name, bytes })
            .collect();
        sections.sort_by_key(|part| u64::MAX - part.bytes);
        self.largest.sort_by_key(|part| u64::MAX - part.bytes);
        self.largest.truncate(LISTED);
        WasmFacts {
            kind: self.kind.unwrap_or(WasmKind::Module),
            sections,
            imports: self.imports,
            exports: self.exports,
            functions: self.functions,
            code_bytes: self.code_bytes,
            largest: self.largest,
            data_segments: self.data_segments,
            data_bytes: self.data_bytes,
            memory_bytes: self.memory_bytes,
            memory_most_bytes: self.memory_most,
            modules: self.modules,
            starts_itself: self.starts_itself,
            strippable_bytes: self.strippable,
            worlds: self.worlds,
        }
    }
}

fn core_kind(kind: ExternalKind) -> &'static str {
    match kind {
        ExternalKind::Func | ExternalKind::FuncExact => "function",
        ExternalKind::Table => "table",
        ExternalKind::Memory => "memory",
        ExternalKind::Global => "global",
        ExternalKind::Tag => "tag",
    }
}

fn type_kind(kind: TypeRef) -> &'static str {
    match kind {
        TypeRef::Func(_) | TypeRef::FuncExact(_) => "function",
        TypeRef::Table(_) => "table",
        TypeRef::Memory(_) => "memory",
        TypeRef::Global(_) => "global",
        TypeRef::Tag(_) => "tag",
    }
}

fn component_kind(kind: ComponentExternalKind) -> &'static str {
    match kind {
        ComponentExternalKind::Module => "module",
        ComponentExternalKind::Func => "function",
        ComponentExternalKind::Value => "value",
        ComponentExternalKind::Type => "type",
        ComponentExternalKind::Instance => "interface",
        ComponentExternalKind::Component => "component",
    }
}
