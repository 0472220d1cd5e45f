//! Static programs small enough to be written down: an ELF header, one
//! program header and a few instructions, for the machine the tests run on.

/// Bytes of an ELF header and one program header (System V gABI, figures 4-3 and 5-1).
const HEADERS: usize = 64 + 56;
const BASE: u64 = 0x40_0000;

/// A program that prints `text` and exits with `code`.
pub(crate) fn prints(text: &str, code: u8) -> Vec<u8> {
    let body = |address: u64| machine_code(address, text.len(), code);
    let size = body(0).len();
    let mut bytes = body(BASE + (HEADERS + size) as u64);
    bytes.extend_from_slice(text.as_bytes());
    elf(&bytes)
}

/// A program that prints a file's first 4,096 bytes, or exits with 1.
pub(crate) fn shows(path: &str) -> Vec<u8> {
    let size = showing(0).len();
    let mut bytes = showing(BASE + (HEADERS + size) as u64);
    bytes.extend_from_slice(path.as_bytes());
    bytes.push(0);
    elf(&bytes)
}

#[cfg(target_arch = "x86_64")]
fn showing(path: u64) -> Vec<u8> {
    let mut bytes = vec![0xbf, 0x9c, 0xff, 0xff, 0xff]; // mov edi, AT_FDCWD
    bytes.push(0xbe); // mov esi, path
    bytes.extend_from_slice(&(path as u32).to_le_bytes());
    bytes.extend_from_slice(&[
        0x31, 0xd2, 0xb8, 1, 1, 0, 0, 0x0f, 0x05, // xor edx, edx; mov eax, openat; syscall
        0x89, 0xc6, 0x89, 0xc3, // mov esi, eax; mov ebx, eax
        0xbf, 1, 0, 0, 0, 0x31, 0xd2, // mov edi, 1; xor edx, edx
        0x41, 0xba, 0, 0x10, 0, 0, // mov r10d, 4096
        0xb8, 40, 0, 0, 0, 0x0f, 0x05, // mov eax, sendfile; syscall
        0xc1, 0xeb, 31, 0x89, 0xdf, // shr ebx, 31; mov edi, ebx
        0xb8, 231, 0, 0, 0, 0x0f, 0x05, // mov eax, exit_group; syscall
    ]);
    bytes
}

#[cfg(target_arch = "aarch64")]
fn showing(path: u64) -> Vec<u8> {
    let movz = |register: u32, value: u32| 0xd280_0000 | value << 5 | register;
    let (low, high) = (path as u32 & 0xffff, path as u32 >> 16);
    let svc = 0xd400_0001;
    [
        0x9280_0c60, // movn x0, 99: AT_FDCWD
        movz(1, low),
        0xf2a0_0000 | high << 5 | 1, // movk x1, high, lsl 16
        movz(2, 0),
        movz(3, 0),
        movz(8, 56), // openat
        svc,
        0xaa00_03f3, // mov x19, x0
        0xaa00_03e1, // mov x1, x0
        movz(0, 1),
        movz(2, 0),
        movz(3, 4096),
        movz(8, 71), // sendfile
        svc,
        0xd37f_fe60, // lsr x0, x19, 63
        movz(8, 94), // exit_group
        svc,
    ]
    .iter()
    .flat_map(|word: &u32| word.to_le_bytes())
    .collect()
}

/// A program that sleeps for ever: ppoll(2) on nothing, without a limit.
#[cfg(target_arch = "x86_64")]
pub(crate) fn waits() -> Vec<u8> {
    elf(&[
        0x31, 0xff, 0x31, 0xf6, 0x31, 0xd2, // xor edi, edi; xor esi, esi; xor edx, edx
        0x45, 0x31, 0xd2, // xor r10d, r10d
        0xb8, 0x0f, 0x01, 0, 0, 0x0f, 0x05, // mov eax, ppoll; syscall
        0xeb, 0xee, // jmp to the start
    ])
}

/// A program that sleeps for ever: ppoll(2) on nothing, without a limit.
#[cfg(target_arch = "aarch64")]
pub(crate) fn waits() -> Vec<u8> {
    let zero = |register: u32| 0xd280_0000 | register;
    let body: Vec<u8> = [
        zero(0),
        zero(1),
        zero(2),
        zero(3),
        zero(4),
        0xd280_0000 | 73 << 5 | 8, // movz x8, ppoll
        0xd400_0001,               // svc
        0x17ff_fff9,               // b to the start
    ]
    .iter()
    .flat_map(|word: &u32| word.to_le_bytes())
    .collect();
    elf(&body)
}

#[cfg(target_arch = "x86_64")]
const MACHINE: u16 = 62;
#[cfg(target_arch = "aarch64")]
const MACHINE: u16 = 183;

#[cfg(target_arch = "x86_64")]
fn machine_code(text: u64, length: usize, code: u8) -> Vec<u8> {
    let mut bytes = vec![0xbf, 1, 0, 0, 0]; // mov edi, 1
    bytes.push(0xbe); // mov esi, text
    bytes.extend_from_slice(&(text as u32).to_le_bytes());
    bytes.push(0xba); // mov edx, length
    bytes.extend_from_slice(&(length as u32).to_le_bytes());
    bytes.extend_from_slice(&[0xb8, 1, 0, 0, 0, 0x0f, 0x05]); // mov eax, write; syscall
    bytes.extend_from_slice(&[0xbf, code, 0, 0, 0]); // mov edi, code
    bytes.extend_from_slice(&[0xb8, 231, 0, 0, 0, 0x0f, 0x05]); // mov eax, exit_group; syscall
    bytes
}

#[cfg(target_arch = "aarch64")]
fn machine_code(text: u64, length: usize, code: u8) -> Vec<u8> {
    let movz = |register: u32, value: u32, shift: u32| {
        0xd280_0000 | (shift / 16) << 21 | value << 5 | register
    };
    let movk = |register: u32, value: u32, shift: u32| {
        0xf280_0000 | (shift / 16) << 21 | value << 5 | register
    };
    let (low, high) = (text as u32 & 0xffff, text as u32 >> 16);
    let svc = 0xd400_0001;
    [
        movz(0, 1, 0),
        movz(1, low, 0),
        movk(1, high, 16),
        movz(2, length as u32, 0),
        movz(8, 64, 0),
        svc,
        movz(0, u32::from(code), 0),
        movz(8, 94, 0),
        svc,
    ]
    .iter()
    .flat_map(|word: &u32| word.to_le_bytes())
    .collect()
}

fn elf(body: &[u8]) -> Vec<u8> {
    let entry = BASE + HEADERS as u64;
    let size = (HEADERS + body.len()) as u64;
    let mut file = b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0".to_vec();
    let mut push = |bytes: &[u8]| file.extend_from_slice(bytes);
    push(&2u16.to_le_bytes()); // ET_EXEC
    push(&MACHINE.to_le_bytes());
    push(&1u32.to_le_bytes());
    push(&entry.to_le_bytes());
    push(&64u64.to_le_bytes()); // program headers
    push(&0u64.to_le_bytes()); // no sections
    push(&0u32.to_le_bytes());
    for half in [64u16, 56, 1, 0, 0, 0] {
        push(&half.to_le_bytes());
    }
    push(&1u32.to_le_bytes()); // PT_LOAD
    push(&5u32.to_le_bytes()); // R+X
    for word in [0, BASE, BASE, size, size, 0x1000] {
        push(&word.to_le_bytes());
    }
    push(body);
    file
}

#[test]
fn written_down_program_runs_on_this_machine() {
    let bench = crate::harness::Workbench::new();
    let program = bench.program("hi", prints("hi\n", 7));
    let output = std::process::Command::new(program).output().unwrap();
    assert_eq!(
        (output.status.code(), output.stdout.as_slice()),
        (Some(7), &b"hi\n"[..])
    );
}
