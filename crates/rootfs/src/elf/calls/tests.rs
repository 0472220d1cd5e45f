//! Programs of a few instructions, and a decoder beside ours.

use std::collections::BTreeMap;

use iced_x86::{
    Decoder, DecoderOptions, FlowControl, InstructionInfoFactory, Mnemonic, OpAccess, Register,
};

use super::step::{Does, Flow, Step, Value};
use super::*;

const BASE: u64 = 0x40_0000;
/// Bytes of an ELF header and one program header.
const HEADERS: usize = 64 + 56;

/// A program without sections: one segment, in which all is code.
fn program(machine: u16, entry: usize, code: &[u8]) -> Vec<u8> {
    let mut file = vec![0; HEADERS];
    let mut put = |at: usize, bytes: &[u8]| file[at..at + bytes.len()].copy_from_slice(bytes);
    let size = (HEADERS + code.len()) as u64;
    put(0, b"\x7fELF\x02\x01\x01");
    put(16, &2u16.to_le_bytes());
    put(18, &machine.to_le_bytes());
    put(20, &1u32.to_le_bytes());
    put(24, &(BASE + (HEADERS + entry) as u64).to_le_bytes());
    put(32, &64u64.to_le_bytes());
    put(52, &64u16.to_le_bytes());
    put(54, &56u16.to_le_bytes());
    put(56, &1u16.to_le_bytes());
    put(58, &64u16.to_le_bytes());
    put(64, &1u32.to_le_bytes());
    put(68, &5u32.to_le_bytes());
    put(80, &BASE.to_le_bytes());
    put(96, &size.to_le_bytes());
    put(104, &size.to_le_bytes());
    file.extend_from_slice(code);
    file
}

/// Numbers found, and how many places were not resolved.
fn found(file: &[u8]) -> (Vec<u32>, usize) {
    let calls = system_calls(file).unwrap();
    (calls.numbers.into_iter().collect(), calls.unresolved.len())
}

fn amd64(parts: &[&[u8]]) -> (Vec<u32>, usize) {
    found(&program(62, 0, &parts.concat()))
}

fn arm64(words: &[u32]) -> (Vec<u32>, usize) {
    let code: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
    found(&program(183, 0, &code))
}

const SYSCALL: &[u8] = &[0x0f, 0x05];
const RET: &[u8] = &[0xc3];

#[test]
fn a_number_is_found_however_a_compiler_puts_it_there() {
    let eax_60: &[u8] = &[0xb8, 60, 0, 0, 0];
    for (parts, expected) in [
        (vec![eax_60, SYSCALL], 60),
        // xor eax, eax
        (vec![&[0x31, 0xc0][..], SYSCALL], 0),
        // push 60; pop rax
        (vec![&[0x6a, 60, 0x58][..], SYSCALL], 60),
        // push 60; push 1; pop rdi; pop rax
        (vec![&[0x6a, 60, 0x6a, 1, 0x5f, 0x58][..], SYSCALL], 60),
        // mov rax, -1; add eax, 3
        (
            vec![
                &[0x48, 0xc7, 0xc0, 0xff, 0xff, 0xff, 0xff, 0x83, 0xc0, 3][..],
                SYSCALL,
            ],
            2,
        ),
        // xor eax, eax; mov al, 60
        (vec![&[0x31, 0xc0, 0xb0, 60][..], SYSCALL], 60),
        // mov ebx, 59; lea eax, [rbx + 1]
        (vec![&[0xbb, 59, 0, 0, 0, 0x8d, 0x43, 1][..], SYSCALL], 60),
        // mov [rsp + 8], 60; mov rax, [rsp + 8]
        (
            vec![
                &[
                    0x48, 0xc7, 0x44, 0x24, 8, 60, 0, 0, 0, 0x48, 0x8b, 0x44, 0x24, 8,
                ][..],
                SYSCALL,
            ],
            60,
        ),
        // mov eax, 60; a vector between; jmp over a byte that is no instruction
        (
            vec![eax_60, &[0x0f, 0x57, 0xc0, 0xeb, 1, 0x06][..], SYSCALL],
            60,
        ),
    ] {
        assert_eq!(amd64(&parts), (vec![expected], 0), "{parts:02x?}");
    }
}

#[test]
fn both_ways_to_a_call_count() {
    // test edi, edi; je +7; mov eax, 1; jmp +5; mov eax, 2; syscall; ret
    let code = [
        &[
            0x85, 0xff, 0x74, 7, 0xb8, 1, 0, 0, 0, 0xeb, 5, 0xb8, 2, 0, 0, 0,
        ][..],
        SYSCALL,
        RET,
    ];
    assert_eq!(amd64(&code), (vec![1, 2], 0));
    // mov eax, 1; mov ecx, 2; cmovz eax, ecx; syscall
    let code = [
        &[0xb8, 1, 0, 0, 0, 0xb9, 2, 0, 0, 0, 0x0f, 0x44, 0xc1][..],
        SYSCALL,
        RET,
    ];
    assert_eq!(amd64(&code), (vec![1, 2], 0));
}

#[test]
fn a_wrapper_gets_its_numbers_from_those_who_call_it() {
    // mov edi, 39; call wrapper; mov edi, 60; call wrapper; ud2
    // wrapper: mov rax, rdi; mov rdi, rsi; syscall; ret
    let callers: &[u8] = &[
        0xbf, 39, 0, 0, 0, 0xe8, 12, 0, 0, 0, 0xbf, 60, 0, 0, 0, 0xe8, 2, 0, 0, 0, 0x0f, 0x0b,
    ];
    let wrapper: &[u8] = &[0x48, 0x89, 0xf8, 0x48, 0x89, 0xf7];
    assert_eq!(amd64(&[callers, wrapper, SYSCALL, RET]), (vec![39, 60], 0));
    // Its address in data: it may be called with any.
    let address = BASE + (HEADERS + callers.len()) as u64;
    let size = HEADERS + callers.len() + wrapper.len() + 3;
    let pad = vec![0xcc; size.next_multiple_of(8) - size];
    let pointer = address.to_le_bytes();
    let parts = [callers, wrapper, SYSCALL, RET, &pad, &pointer];
    assert_eq!(amd64(&parts), (vec![39, 60], 1));
    // On arm64: mov w0, #172; bl +2; mov w0, #93; bl ..; brk; mov x8, x0; svc; ret
    let words = [
        0x5280_1580,
        0x9400_0004,
        0x5280_0ba0,
        0x9400_0002,
        0xd420_0020,
        0xaa00_03e8,
        0xd400_0001,
        0xd65f_03c0,
    ];
    assert_eq!(arm64(&words), (vec![93, 172], 0));
}

#[test]
fn a_function_that_is_called_by_a_register_is_not_called_by_anything_else() {
    // lea r8, [rip + 27]; mov r12, r8; mov edi, 39; call r8; mov edi, 60; call r12; ud2; int3
    let callers: &[u8] = &[
        0x4c, 0x8d, 0x05, 0x16, 0, 0, 0, 0x4d, 0x89, 0xc4, 0xbf, 39, 0, 0, 0, 0x41, 0xff, 0xd0,
        0xbf, 60, 0, 0, 0, 0x41, 0xff, 0xd4, 0x0f, 0x0b, 0xcc,
    ];
    let wrapper: &[u8] = &[0x48, 0x89, 0xf8];
    assert_eq!(amd64(&[callers, wrapper, SYSCALL, RET]), (vec![39, 60], 0));
    // Put into memory before, with `mov [rsi], r8` for `mov r12, r8` and what it is for.
    let mut stored = callers.to_vec();
    stored[7..10].copy_from_slice(&[0x4c, 0x89, 0x06]);
    assert_eq!(amd64(&[&stored, wrapper, SYSCALL, RET]).1, 1);
}

#[test]
fn what_is_parted_off_from_several_places_is_looked_into() {
    // bl +4; svc; bl +3; svc; brk
    // first: mov w8, #93; ret; second: mov w9, #172; mov x8, x9; ret
    let words = [
        0x9400_0005,
        0xd400_0001,
        0x9400_0005,
        0xd400_0001,
        0xd420_0020,
        0x5280_0ba8,
        0xd65f_03c0,
        0x5280_1589,
        0xaa09_03e8,
        0xd65f_03c0,
    ];
    assert_eq!(arm64(&words), (vec![93, 172], 0));
    // What it does not touch is as before; what another calls is not looked into.
    // mov w8, #93; bl +3; svc; brk; ret
    let words = [
        0x5280_0ba8,
        0x9400_0003,
        0xd400_0001,
        0xd420_0020,
        0xd65f_03c0,
    ];
    assert_eq!(arm64(&words), (vec![93], 0));
    let words = [
        0x5280_0ba8,
        0x9400_0003,
        0xd400_0001,
        0xd420_0020,
        0xd63f_0200,
        0xd65f_03c0,
    ];
    assert_eq!(arm64(&words), (vec![], 1));
}

#[test]
fn what_cannot_be_told_is_told_as_unresolved() {
    for code in [
        // mov eax, [rdi]; syscall
        &[0x8b, 0x07, 0x0f, 0x05][..],
        // mov eax, 1; call rax; syscall
        &[0xb8, 1, 0, 0, 0, 0xff, 0xd0, 0x0f, 0x05],
        // mov eax, 1; int 0x80
        &[0xb8, 1, 0, 0, 0, 0xcd, 0x80],
        // mov al, 1; syscall, at the entry
        &[0xb0, 1, 0x0f, 0x05],
        // 1: inc eax; syscall; jmp 1b
        &[0xff, 0xc0, 0x0f, 0x05, 0xeb, 0xfa],
    ] {
        assert_eq!(amd64(&[code]).1, 1, "{code:02x?}");
    }
    // ldr w8, [x0]; svc
    assert_eq!(arm64(&[0xb940_0008, 0xd400_0001]), (vec![], 1));
}

#[test]
fn code_that_only_a_pointer_leads_to_is_read_too() {
    // ret, filling, and beyond: mov eax, 60; syscall
    let parts = [RET, &[0xcc; 6], &[0xb8, 60, 0, 0, 0], SYSCALL, RET];
    assert_eq!(amd64(&parts), (vec![60], 0));
    assert_eq!(
        arm64(&[0xd65f_03c0, 0, 0x5280_0ba8, 0xd400_0001]),
        (vec![93], 0)
    );
}

#[test]
fn what_is_no_program_of_a_machine_that_is_known_gives_nothing() {
    assert_eq!(system_calls(b""), None);
    assert_eq!(system_calls(b"\x7fELF"), None);
    assert_eq!(system_calls(&program(243, 0, SYSCALL)), None);
    let whole = program(62, 0, &[&[0xb8, 60, 0, 0, 0], SYSCALL].concat());
    for end in 0..whole.len() {
        assert_eq!(system_calls(&whole[..end]), None, "{end}");
    }
}

/// General registers that an instruction looks at, by another decoder.
fn read(info: &iced_x86::InstructionInfo) -> u32 {
    registers(
        info,
        &[
            OpAccess::Read,
            OpAccess::CondRead,
            OpAccess::ReadWrite,
            OpAccess::ReadCondWrite,
        ],
    )
}

/// General registers that it writes.
fn written(info: &iced_x86::InstructionInfo) -> u32 {
    registers(
        info,
        &[
            OpAccess::Write,
            OpAccess::CondWrite,
            OpAccess::ReadWrite,
            OpAccess::ReadCondWrite,
        ],
    )
}

fn registers(info: &iced_x86::InstructionInfo, accesses: &[OpAccess]) -> u32 {
    let used = info.used_registers().iter();
    used.filter(|used| accesses.contains(&used.access()))
        .map(|used| used.register().full_register())
        .filter(|register| (Register::RAX..=Register::R15).contains(register))
        .fold(0, |all, register| {
            all | 1 << (register as u32 - Register::RAX as u32)
        })
}

/// What the two decoders say of an instruction: ours, and whether the other
/// knows one at all; an error where they differ.
fn compared(
    factory: &mut InstructionInfoFactory,
    bytes: &[u8],
    address: u64,
) -> Result<(Option<Step>, bool), String> {
    let mut decoder = Decoder::with_ip(64, bytes, address, DecoderOptions::NONE);
    let theirs = decoder.decode();
    let ours = amd64::decode(bytes, address);
    let (Some(step), false) = (ours, theirs.is_invalid()) else {
        return Ok((ours, !theirs.is_invalid()));
    };
    let ends = !matches!(
        step.flow,
        Flow::On | Flow::Branch(_) | Flow::Jump(_) | Flow::System
    );
    let unknown = match ends {
        true => 0,
        false => written(factory.info(&theirs)) & !step.writes,
    };
    let known = step.reads != u32::MAX && !matches!(step.does, Does::Set(_, Value::Number(0), _));
    let unseen = match known && !ends {
        true => read(factory.info(&theirs)) & !step.reads & !(1 << amd64::STACK),
        false => 0,
    };
    let expected = match theirs.flow_control() {
        FlowControl::ConditionalBranch | FlowControl::XbeginXabortXend
            if theirs.near_branch_target() != 0 =>
        {
            Some(Flow::Branch(theirs.near_branch_target()))
        }
        FlowControl::UnconditionalBranch => Some(Flow::Jump(theirs.near_branch_target())),
        FlowControl::Call if theirs.is_call_near() => Some(Flow::Call(theirs.near_branch_target())),
        FlowControl::Call if theirs.mnemonic() == Mnemonic::Syscall => Some(Flow::System),
        FlowControl::IndirectCall => match step.flow {
            Flow::CallBy(_) => Some(step.flow),
            _ => Some(Flow::CallAway),
        },
        FlowControl::IndirectBranch => Some(Flow::Leap),
        FlowControl::Return => Some(Flow::Leave),
        FlowControl::Next => Some(Flow::On),
        _ => None,
    };
    let agrees = usize::from(step.length) == theirs.len()
        && unknown == 0
        && unseen == 0
        && expected.is_none_or(|expected| expected == step.flow);
    match agrees {
        true => Ok((ours, true)),
        false => Err(format!(
            "{:?} {:02x?}, {} bytes, {expected:?}, unknown writes {unknown:b}, reads {unseen:b}: {step:?}",
            theirs.code(),
            &bytes[..theirs.len()],
            theirs.len()
        )),
    }
}

/// Instructions of this test's own program that are compared.
const OF_A_PROGRAM: usize = 300_000;
/// Sequences of arbitrary bytes that are.
const ARBITRARY: usize = 400_000;

#[cfg(target_arch = "x86_64")]
#[test]
fn a_programs_instructions_are_what_another_decoder_says() {
    use object::{Object as _, ObjectSection as _};
    let file = std::fs::read(std::env::current_exe().unwrap()).unwrap();
    let file = object::File::parse(&*file).unwrap();
    let section = file.section_by_name(".text").unwrap();
    let (code, address) = (section.data().unwrap(), section.address());
    let mut factory = InstructionInfoFactory::new();
    let mut at = 0;
    let mut count = 0;
    while at < code.len() && count < OF_A_PROGRAM {
        let end = code.len().min(at + 15);
        let both = compared(&mut factory, &code[at..end], address + at as u64).unwrap();
        let Some(step) = both.0 else {
            panic!("not known: {:02x?}", &code[at..end]);
        };
        at += usize::from(step.length);
        count += 1;
    }
    assert!(count > 10_000, "{count}");
}

#[test]
fn arbitrary_bytes_are_what_another_decoder_says() {
    let mut factory = InstructionInfoFactory::new();
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut random = || {
        // xorshift64 (Marsaglia 2003).
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    let mut known = 0;
    let mut wrong = BTreeMap::new();
    for _ in 0..ARBITRARY {
        let mut bytes = [0; 16];
        bytes[..8].copy_from_slice(&random().to_le_bytes());
        bytes[8..].copy_from_slice(&random().to_le_bytes());
        // Every second one begins as long opcodes do.
        match random() % 8 {
            0 => bytes[0] = 0x0f,
            1 => bytes[..2].copy_from_slice(&[0x0f, 0x38]),
            2 => bytes[..2].copy_from_slice(&[0x66, 0x0f]),
            3 => bytes[0] = 0xc5,
            _ => {}
        }
        match compared(&mut factory, &bytes[..15], BASE) {
            Ok((ours, theirs)) => known += usize::from(ours.is_some() && theirs),
            Err(error) => {
                let code = error.split(' ').next().map(str::to_owned);
                wrong.insert(code, error);
            }
        }
    }
    let wrong: Vec<_> = wrong.into_values().collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(known > ARBITRARY / 4, "{known}");
}
