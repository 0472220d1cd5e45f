//! Reading an ELF file into [`ElfFacts`].

use memchr::memmem;
use object::elf;
use object::read::elf::{Dyn, FileHeader, ProgramHeader, SectionHeader};
use object::{Endian as _, Endianness, StringTable};
use ounce_oci::Platform;

use super::language::{self, Traces};
use super::{ElfError, ElfFacts, Endian, Hardening, Kind, Relro, Section, Segment, arm};

/// Longest path or library name that is read: the kernel's `PATH_MAX`.
const NAME_BYTES: usize = 4096;
/// Longest section name that is kept; none in use comes near.
const SECTION_NAME_BYTES: usize = 256;
/// Most libraries a file may ask for; Chromium asks for about 60.
const NEEDED: usize = 4096;

impl ElfFacts {
    /// Reads an ELF file held in memory (or mapped).
    ///
    /// # Errors
    /// It is no ELF file, it is cut short, or its program headers or dynamic
    /// section lie.
    pub fn read(data: &[u8]) -> Result<Self, ElfError> {
        let Some(ident) = data.get(..16).filter(|ident| ident.starts_with(b"\x7fELF")) else {
            return Err(if data.starts_with(b"\x7fELF") {
                truncated("the header", 16, data)
            } else {
                ElfError::NotElf(beginning(data))
            });
        };
        match (ident[4], ident[5]) {
            (_, order) if order != 1 && order != 2 => {
                Err(ElfError::Header(format!("byte order {order}")))
            }
            (1, _) => read::<elf::FileHeader32<Endianness>>(data, 52),
            (2, _) => read::<elf::FileHeader64<Endianness>>(data, 64),
            (class, _) => Err(ElfError::Header(format!("class {class}"))),
        }
    }
}

fn truncated(what: impl Into<String>, end: u64, data: &[u8]) -> ElfError {
    ElfError::Truncated {
        what: what.into(),
        end,
        file_bytes: data.len() as u64,
    }
}

/// What a file that is no ELF begins with, for the message.
fn beginning(data: &[u8]) -> String {
    let start = &data[..data.len().min(16)];
    if start.is_empty() {
        "nothing, it is empty".to_owned()
    } else {
        format!("\"{}\"", start.escape_ascii())
    }
}

/// A table's bounds, checked before anything is read from it.
fn table(what: &str, offset: u64, count: u64, entry: u64, data: &[u8]) -> Result<(), ElfError> {
    let end = count
        .checked_mul(entry)
        .and_then(|bytes| bytes.checked_add(offset))
        .unwrap_or(u64::MAX);
    if end > data.len() as u64 {
        return Err(truncated(what, end, data));
    }
    Ok(())
}

fn read<H: FileHeader<Endian = Endianness>>(
    data: &[u8],
    header_bytes: u64,
) -> Result<ElfFacts, ElfError> {
    if (data.len() as u64) < header_bytes {
        return Err(truncated("the header", header_bytes, data));
    }
    let header = H::parse(data).map_err(|fault| ElfError::Header(fault.to_string()))?;
    let endian = header
        .endian()
        .map_err(|fault| ElfError::Header(fault.to_string()))?;
    if header.e_version(endian) != 1 {
        let version = header.e_version(endian);
        return Err(ElfError::Header(format!("version {version}")));
    }
    let mut faults = Vec::new();
    let programs = program_headers(header, endian, data)?;
    let segments = segments(programs, endian, data)?;
    let interpreter = interpreter(programs, endian, data)?;
    let dynamic = Dynamic::read::<H>(programs, &segments, endian, data)?;
    let sections = match Sections::read(header, endian, data) {
        Ok(sections) => sections,
        Err(fault) => {
            faults.push(format!("section headers cannot be read: {fault}"));
            Sections::default()
        }
    };
    faults.extend(sections.fault.clone());

    let entry: u64 = header.e_entry(endian).into();
    let entry_is_code = segments.iter().any(|segment| {
        segment.kind == "LOAD"
            && segment.execute
            && entry >= segment.address
            && entry - segment.address < segment.memory_bytes
    });
    let e_type = header.e_type(endian);
    let pie = dynamic.flags_1 & elf::DF_1_PIE.0 != 0;
    let kind = match e_type {
        elf::ET_REL => Kind::Relocatable,
        elf::ET_EXEC if interpreter.is_some() || !dynamic.needed.is_empty() => Kind::Dynamic,
        elf::ET_EXEC if segments.iter().any(|one| one.kind == "LOAD" && one.execute) => {
            Kind::Static
        }
        // glibc's libc.so.6 has an interpreter, so that it can print its version.
        elf::ET_DYN if dynamic.soname.is_some() && !pie => Kind::SharedLibrary,
        elf::ET_DYN if interpreter.is_some() => Kind::Dynamic,
        elf::ET_DYN if !dynamic.needed.is_empty() && pie => Kind::Dynamic,
        elf::ET_DYN if !dynamic.needed.is_empty() => Kind::SharedLibrary,
        elf::ET_DYN if pie || entry_is_code => Kind::StaticPie,
        elf::ET_DYN => Kind::SharedLibrary,
        _ => Kind::NotExecutable,
    };
    let program = matches!(kind, Kind::Static | Kind::StaticPie | Kind::Dynamic);
    if program && !entry_is_code {
        faults.push(format!(
            "entry point {entry:#x} lies in no executable segment"
        ));
    }

    let bits = if header.is_class_64() { 64 } else { 32 };
    let machine = header.e_machine(endian);
    let order = if endian.is_big_endian() {
        Endian::Big
    } else {
        Endian::Little
    };
    let system = header.e_ident().os_abi.0;
    let variant = sections.arm_variant.filter(|_| machine == elf::EM_ARM);
    let go_note = go_note(programs, endian, data);
    let language = language::guess(&Traces {
        data,
        comment: sections.comment,
        symbols: sections.names,
        sections: sections.all.iter().map(|one| one.name.clone()).collect(),
        go_note,
    });
    let mut by_size = sections.all;
    by_size.sort_by(|a, b| b.bytes.cmp(&a.bytes).then_with(|| a.name.cmp(&b.name)));
    Ok(ElfFacts {
        bits,
        endian: order,
        machine: machine.0,
        platform: platform(machine, bits, order, system, variant),
        kind,
        entry,
        hardening: hardening(&segments, &dynamic, bits, e_type == elf::ET_DYN && program),
        interpreter,
        needed: dynamic.needed,
        soname: dynamic.soname,
        rpath: dynamic.rpath,
        runpath: dynamic.runpath,
        stripped: !sections.has_symbols,
        symbol_bytes: sections.symbol_bytes,
        debug_bytes: sections.debug_bytes,
        sections: by_size,
        segments,
        takes_listen_fds: takes_listen_fds(data),
        language,
        faults,
    })
}

/// Looks for the first eight letters: a compiler that compares the name by
/// 64-bit pieces splits it there.
fn takes_listen_fds(data: &[u8]) -> bool {
    memmem::find(data, b"LISTEN_F").is_some()
}

fn program_headers<'data, H: FileHeader<Endian = Endianness>>(
    header: &H,
    endian: Endianness,
    data: &'data [u8],
) -> Result<&'data [H::ProgramHeader], ElfError> {
    let fault = |fault: object::Error| ElfError::Segments(fault.to_string());
    let count = header.phnum(endian, data).map_err(fault)?;
    let entry = size_of::<H::ProgramHeader>() as u64;
    table(
        "the table of program headers",
        header.e_phoff(endian).into(),
        count.into(),
        entry,
        data,
    )?;
    header.program_headers(endian, data).map_err(fault)
}

fn segments<P: ProgramHeader<Endian = Endianness>>(
    programs: &[P],
    endian: Endianness,
    data: &[u8],
) -> Result<Vec<Segment>, ElfError> {
    let mut segments = Vec::with_capacity(programs.len());
    let mut end_of_last = 0;
    for program in programs {
        let kind = program.p_type(endian);
        let flags = program.p_flags(endian).0;
        let segment = Segment {
            kind: kind_name(kind.0),
            offset: program.p_offset(endian).into(),
            file_bytes: program.p_filesz(endian).into(),
            address: program.p_vaddr(endian).into(),
            memory_bytes: program.p_memsz(endian).into(),
            read: flags & 4 != 0,
            write: flags & 2 != 0,
            execute: flags & 1 != 0,
        };
        let end = segment.offset.saturating_add(segment.file_bytes);
        if segment.file_bytes > 0 && end > data.len() as u64 && kind != elf::PT_NULL {
            return Err(truncated(format!("segment {}", segment.kind), end, data));
        }
        if kind == elf::PT_LOAD {
            check_load(&segment, &mut end_of_last)?;
        }
        segments.push(segment);
    }
    Ok(segments)
}

/// The kernel maps loadable segments in order; later ones over earlier ones
/// would put other bytes in memory than the file shows.
fn check_load(segment: &Segment, end_of_last: &mut u64) -> Result<(), ElfError> {
    let address = segment.address;
    if segment.file_bytes > segment.memory_bytes {
        return Err(ElfError::Segments(format!(
            "the segment at {address:#x} is larger in the file than in memory"
        )));
    }
    if address < *end_of_last {
        return Err(ElfError::Segments(format!(
            "the segment at {address:#x} overlaps the one before, or is out of order"
        )));
    }
    *end_of_last = address
        .checked_add(segment.memory_bytes)
        .ok_or_else(|| ElfError::Segments(format!("the segment at {address:#x} never ends")))?;
    Ok(())
}

fn kind_name(kind: u32) -> String {
    let name = match kind {
        0 => "NULL",
        1 => "LOAD",
        2 => "DYNAMIC",
        3 => "INTERP",
        4 => "NOTE",
        5 => "SHLIB",
        6 => "PHDR",
        7 => "TLS",
        0x6474_e550 => "GNU_EH_FRAME",
        0x6474_e551 => "GNU_STACK",
        0x6474_e552 => "GNU_RELRO",
        0x6474_e553 => "GNU_PROPERTY",
        other => return format!("{other:#x}"),
    };
    name.to_owned()
}

fn interpreter<P: ProgramHeader<Endian = Endianness>>(
    programs: &[P],
    endian: Endianness,
    data: &[u8],
) -> Result<Option<String>, ElfError> {
    for program in programs {
        let found = program
            .interpreter(endian, data)
            .map_err(|fault| ElfError::Segments(fault.to_string()))?;
        if let Some(path) = found {
            if path.len() >= NAME_BYTES {
                let bytes = path.len();
                return Err(ElfError::Segments(format!(
                    "the interpreter's path is {bytes} bytes long"
                )));
            }
            return Ok(Some(String::from_utf8_lossy(path).into_owned()));
        }
    }
    Ok(None)
}

fn go_note<P: ProgramHeader<Endian = Endianness>>(
    programs: &[P],
    endian: Endianness,
    data: &[u8],
) -> bool {
    let notes = programs
        .iter()
        .filter_map(|program| program.notes(endian, data).ok().flatten());
    // A note is at least 12 bytes; 64 are more than any linker writes.
    notes
        .flat_map(|notes| notes.take(64))
        .map_while(Result::ok)
        .any(|note| note.name() == b"Go")
}

/// What the dynamic section says.
#[derive(Default)]
struct Dynamic {
    needed: Vec<String>,
    soname: Option<String>,
    rpath: Vec<String>,
    runpath: Vec<String>,
    flags_1: u64,
    bind_now: bool,
    lazy: bool,
}

impl Dynamic {
    fn read<H: FileHeader<Endian = Endianness>>(
        programs: &[H::ProgramHeader],
        segments: &[Segment],
        endian: Endianness,
        data: &[u8],
    ) -> Result<Self, ElfError> {
        let fault = |text: String| ElfError::Dynamic(text);
        let mut found = Self::default();
        let mut entries: &[H::Dyn] = &[];
        for program in programs {
            if let Some(dynamic) = program
                .dynamic(endian, data)
                .map_err(|error| fault(error.to_string()))?
            {
                entries = dynamic;
                break;
            }
        }
        let (mut strings_at, mut strings_bytes) = (None, None);
        let live = || {
            entries
                .iter()
                .map(|one| (one.tag(endian), one.val(endian)))
                .take_while(|(tag, _)| *tag != elf::DT_NULL)
        };
        for (tag, value) in live() {
            match tag {
                elf::DT_STRTAB => strings_at = Some(value),
                elf::DT_STRSZ => strings_bytes = Some(value),
                elf::DT_FLAGS_1 => found.flags_1 = value,
                elf::DT_FLAGS => found.bind_now |= value & elf::DF_BIND_NOW.0 != 0,
                elf::DT_BIND_NOW => found.bind_now = true,
                elf::DT_JMPREL => found.lazy = true,
                _ => {}
            }
        }
        found.bind_now |= found.flags_1 & elf::DF_1_NOW.0 != 0;

        let strings = strings(segments, strings_at, strings_bytes, data)?;
        let name = |offset: u64| -> Result<String, ElfError> {
            let bytes = u32::try_from(offset)
                .ok()
                .and_then(|offset| strings.get(offset).ok())
                .filter(|name| name.len() < NAME_BYTES)
                .ok_or_else(|| fault(format!("no name at offset {offset} of its strings")))?;
            Ok(String::from_utf8_lossy(bytes).into_owned())
        };
        let folders = |offset| -> Result<Vec<String>, ElfError> {
            Ok(name(offset)?.split(':').map(str::to_owned).collect())
        };
        for (tag, value) in live() {
            match tag {
                elf::DT_NEEDED if found.needed.len() >= NEEDED => {
                    return Err(fault(format!("it needs more than {NEEDED} libraries")));
                }
                elf::DT_NEEDED => found.needed.push(name(value)?),
                elf::DT_SONAME => found.soname = Some(name(value)?),
                elf::DT_RPATH => found.rpath = folders(value)?,
                elf::DT_RUNPATH => found.runpath = folders(value)?,
                _ => {}
            }
        }
        Ok(found)
    }
}

/// The dynamic string table: an address in memory, found in the file through
/// the segment that is loaded there.
fn strings<'data>(
    segments: &[Segment],
    at: Option<u64>,
    bytes: Option<u64>,
    data: &'data [u8],
) -> Result<StringTable<'data>, ElfError> {
    let Some(at) = at else {
        return Ok(StringTable::default());
    };
    let home = segments.iter().find(|segment| {
        segment.kind == "LOAD" && at >= segment.address && at - segment.address < segment.file_bytes
    });
    let Some(home) = home else {
        return Err(ElfError::Dynamic(format!(
            "its strings at {at:#x} are in no loaded segment"
        )));
    };
    let start = home.offset + (at - home.address);
    let end = start.saturating_add(bytes.unwrap_or(0));
    if end > home.offset + home.file_bytes {
        return Err(truncated("the dynamic string table", end, data));
    }
    Ok(StringTable::new(data, start, end))
}

/// What the section headers say.
#[derive(Default)]
struct Sections<'data> {
    all: Vec<Section>,
    names: Vec<&'data [u8]>,
    comment: &'data [u8],
    has_symbols: bool,
    symbol_bytes: u64,
    debug_bytes: u64,
    arm_variant: Option<&'static str>,
    fault: Option<String>,
}

impl<'data> Sections<'data> {
    fn read<H: FileHeader<Endian = Endianness>>(
        header: &H,
        endian: Endianness,
        data: &'data [u8],
    ) -> Result<Self, object::Error> {
        let table = header.sections(endian, data)?;
        let mut found = Self::default();
        let mut total = 0_u64;
        for (index, section) in table.enumerate() {
            let Some((_, bytes)) = section.file_range(endian).filter(|_| index.0 != 0) else {
                continue;
            };
            let content = section.data(endian, data)?;
            total = total.saturating_add(bytes);
            let name = table.section_name(endian, section)?;
            let name = &name[..name.len().min(SECTION_NAME_BYTES)];
            match section.sh_type(endian) {
                elf::SHT_SYMTAB => {
                    found.has_symbols = true;
                    found.symbol_bytes += bytes;
                    if let Ok(names) = table.section(section.link(endian)) {
                        let names = names.data(endian, data)?;
                        found.symbol_bytes += names.len() as u64;
                        found.names.push(names);
                    }
                }
                elf::SHT_DYNSYM => {
                    if let Ok(names) = table.section(section.link(endian)) {
                        found.names.push(names.data(endian, data)?);
                    }
                }
                _ => {}
            }
            match name {
                b".comment" => found.comment = content,
                b".ARM.attributes" => {
                    found.arm_variant = arm::variant::<H>(section, endian, data);
                }
                debug if is_debug(debug) => found.debug_bytes += bytes,
                _ => {}
            }
            found.all.push(Section {
                name: String::from_utf8_lossy(name).into_owned(),
                bytes,
            });
        }
        if total > data.len() as u64 {
            found.fault = Some(format!(
                "sections overlap: together they claim {total} bytes of {}",
                data.len()
            ));
        }
        Ok(found)
    }
}

fn is_debug(name: &[u8]) -> bool {
    let prefixes: [&[u8]; 4] = [b".debug_", b".zdebug_", b".stab", b".gdb_index"];
    prefixes.iter().any(|prefix| name.starts_with(prefix))
}

fn hardening(segments: &[Segment], dynamic: &Dynamic, bits: u8, pie: bool) -> Hardening {
    let of = |kind: &str| segments.iter().find(|segment| segment.kind == kind);
    Hardening {
        pie,
        relro: match of("GNU_RELRO") {
            None => Relro::None,
            // Without a table of lazily bound functions nothing is left over.
            Some(_) if dynamic.bind_now || !dynamic.lazy || dynamic.needed.is_empty() => {
                Relro::Full
            }
            Some(_) => Relro::Partial,
        },
        nx: of("GNU_STACK").map_or(bits == 64, |stack| !stack.execute),
        writable_code: segments
            .iter()
            .any(|segment| segment.kind == "LOAD" && segment.write && segment.execute),
    }
}

/// The OCI platform (Go's `GOOS` and `GOARCH`) of a machine.
fn platform(
    machine: elf::Machine,
    bits: u8,
    endian: Endian,
    system: u8,
    variant: Option<&str>,
) -> Option<Platform> {
    use Endian::{Big, Little};
    // System V, GNU, Arm's two: what Linux tool chains write.
    if !matches!(system, 0 | 3 | 64 | 97) {
        return None;
    }
    let architecture = match (machine, bits, endian) {
        (elf::EM_X86_64, 64, Little) => "amd64",
        (elf::EM_386, 32, Little) => "386",
        (elf::EM_AARCH64, 64, Little) => "arm64",
        (elf::EM_ARM, 32, Little) => "arm",
        (elf::EM_RISCV, 64, Little) => "riscv64",
        (elf::EM_PPC64, 64, Little) => "ppc64le",
        (elf::EM_PPC64, 64, Big) => "ppc64",
        (elf::EM_S390, 64, Big) => "s390x",
        (elf::EM_MIPS, 32, Big) => "mips",
        (elf::EM_MIPS, 32, Little) => "mipsle",
        (elf::EM_MIPS, 64, Big) => "mips64",
        (elf::EM_MIPS, 64, Little) => "mips64le",
        (elf::EM_LOONGARCH, 64, Little) => "loong64",
        _ => return None,
    };
    Some(Platform {
        os: "linux".to_owned(),
        architecture: architecture.to_owned(),
        variant: variant.map(str::to_owned),
    })
}
