//! The machine: QEMU runs what is built here, this is the server at the other end of the line, and the power
//! is cut by killing the machine.

use std::convert::Infallible;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use device_riscv::{FLASH, HARDWARE, LAYOUT, PRODUCT, SECTOR};
use object::elf::PT_LOAD;
use object::read::elf::{ElfFile32, ProgramHeader as _};
use object::{Endianness, Object as _, ObjectSection as _};
use ounce_ota::Version;
use ounce_ota::pack::{Bundle, Release, flash};

const TARGET: &str = "riscv32imc-unknown-none-elf";

/// The secret of RFC 8032 §7.1, test 1.
const SECRET: [u8; 32] = [
    0x9d, 0x61, 0xb1, 0x9d, 0xef, 0xfd, 0x5a, 0x60, 0xba, 0x84, 0x4a, 0xf4, 0x92, 0xec, 0x2c, 0xc4,
    0x44, 0x49, 0xc5, 0x69, 0x7b, 0x32, 0x69, 0x19, 0x70, 0x3b, 0xac, 0x03, 0x1c, 0xae, 0x7f, 0x60,
];

/// Builds a binary for the device; its ELF.
pub(crate) fn built(bin: &str, version: &str, behaviour: Option<&str>) -> Vec<u8> {
    // A folder of its own: the one that this test was built in may be locked.
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).join("device");
    let mut cargo = Command::new(env!("CARGO"));
    cargo
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .env("DEVICE_VERSION", version);
    match behaviour {
        Some(behaviour) => cargo.env("DEVICE_BEHAVIOUR", behaviour),
        None => cargo.env_remove("DEVICE_BEHAVIOUR"),
    };
    cargo.args([
        "build",
        "--quiet",
        "--locked",
        "--release",
        "--target",
        TARGET,
        "--bin",
        bin,
    ]);
    if bin == "vessel" {
        cargo.args(["--features", bin]);
    }
    let status = cargo.arg("--target-dir").arg(&target).status().unwrap();
    assert!(
        status.success(),
        "{bin} cannot be built; rustup target add {TARGET}"
    );
    std::fs::read(target.join(TARGET).join("release").join(bin)).unwrap()
}

/// What is loaded to memory, from its first byte to its last.
pub(crate) fn flat(elf: &[u8]) -> Vec<u8> {
    let file = ElfFile32::<Endianness>::parse(elf).unwrap();
    let endian = file.endian();
    let mut image = Vec::new();
    let mut origin = None;
    for header in file.elf_program_headers() {
        let size = header.p_filesz(endian) as usize;
        if header.p_type(endian) != PT_LOAD || size == 0 {
            continue;
        }
        let address = header.p_paddr(endian);
        let at = (address - *origin.get_or_insert(address)) as usize;
        image.resize(image.len().max(at + size), 0);
        image[at..at + size].copy_from_slice(header.data(endian, elf).unwrap());
    }
    image
}

/// A file for this run of the tests.
pub(crate) fn file(name: &str, bytes: &[u8]) -> PathBuf {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    std::fs::write(&path, bytes).unwrap();
    path
}

/// Bytes of code and constants.
pub(crate) fn on_flash(elf: &[u8]) -> u64 {
    let file = ElfFile32::<Endianness>::parse(elf).unwrap();
    let size = |name| {
        file.section_by_name(name)
            .map_or(0, |section| section.size())
    };
    size(".text") + size(".rodata") + size(".data")
}

pub(crate) fn version(text: &str) -> Version {
    let parts: Vec<u32> = text.split('.').map(|part| part.parse().unwrap()).collect();
    Version {
        major: parts[0] as u16,
        minor: parts[1] as u16,
        patch: parts[2],
    }
}

pub(crate) fn release<'a>(text: &str, image: &'a [u8]) -> Release<'a> {
    let version = version(text);
    Release {
        product: PRODUCT,
        hardware: (HARDWARE, HARDWARE),
        version,
        counter: version.patch,
        expires: None,
        revokes: 0,
        key: 0,
        image,
    }
}

pub(crate) fn sign(message: &[u8]) -> Result<[u8; 64], Infallible> {
    Ok(salty::Keypair::from(&SECRET).sign(message).to_bytes())
}

/// How long a machine that works may say nothing, on the slowest host.
const SILENCE: Duration = Duration::from_secs(300);

/// Lines as they come.
fn lines(from: ChildStdout) -> Receiver<String> {
    let (sender, receiver) = channel();
    std::thread::spawn(move || {
        for line in BufReader::new(from).lines().map_while(Result::ok) {
            if sender.send(line.trim_end().to_owned()).is_err() {
                break;
            }
        }
    });
    receiver
}

/// A machine that runs, and the line to it.
pub(crate) struct Machine {
    process: Child,
    to: ChildStdin,
    from: Receiver<String>,
    /// Everything it said.
    said: Vec<String>,
}

impl Machine {
    pub(crate) fn start(loader: &Path, flash: &Path) -> Self {
        let drive = format!("if=pflash,unit=1,format=raw,file={}", flash.display());
        Self::with(loader, &["-drive", &drive])
    }

    /// A machine that starts so, with more that QEMU is told.
    pub(crate) fn with(loader: &Path, more: &[&str]) -> Self {
        let mut process = Command::new("qemu-system-riscv32")
            .args([
                "-machine",
                "virt",
                "-m",
                "16M",
                "-nographic",
                "-monitor",
                "none",
            ])
            .args(["-serial", "stdio"])
            .args(more)
            .arg("-bios")
            .arg(loader)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("qemu-system-riscv32; apt-get install qemu-system-misc");
        Self {
            to: process.stdin.take().unwrap(),
            from: lines(process.stdout.take().unwrap()),
            process,
            said: Vec::new(),
        }
    }

    pub(crate) fn line(&mut self) -> String {
        let line = self.from.recv_timeout(SILENCE);
        let line =
            line.unwrap_or_else(|error| panic!("{error}, the machine has said {:#?}", self.said));
        self.said.push(line.clone());
        line
    }

    fn answer(&mut self, bytes: &[u8]) {
        self.to
            .write_all(&(bytes.len() as u32).to_le_bytes())
            .unwrap();
        self.to.write_all(bytes).unwrap();
        self.to.flush().unwrap();
    }

    /// Serves a bundle until the device says a line that begins so; all that it said since.
    pub(crate) fn serve(&mut self, bundle: &Bundle, until: &str) -> Vec<String> {
        self.serve_some(bundle, until, usize::MAX)
    }

    /// As [`Machine::serve`], but no more than so many pieces: then the power goes.
    pub(crate) fn serve_some(
        &mut self,
        bundle: &Bundle,
        until: &str,
        pieces: usize,
    ) -> Vec<String> {
        let from = self.said.len();
        let mut served = 0;
        loop {
            let line = self.line();
            if line.starts_with(until) {
                return self.said[from..].to_vec();
            }
            if line == "?head" {
                self.answer(bundle.head());
            } else if line.starts_with("?data") {
                if served == pieces {
                    return self.said[from..].to_vec();
                }
                served += 1;
                let at = number(&line, "from") as usize;
                let payload = bundle.payload();
                let end = payload.len().min(at + number(&line, "most") as usize);
                self.answer(&payload[at..end]);
            }
        }
    }

    /// Waits for a line that begins so, without serving anything.
    pub(crate) fn wait(&mut self, until: &str) -> String {
        loop {
            let line = self.line();
            if line.starts_with(until) {
                return line;
            }
            assert!(
                line != "?head" || until == "?head",
                "no {until:?} in {:#?}",
                self.said
            );
        }
    }

    pub(crate) fn cut(mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// The number behind a name in a line.
pub(crate) fn number(line: &str, name: &str) -> u64 {
    let word = line
        .split(' ')
        .find_map(|word| word.strip_prefix(name)?.strip_prefix('='));
    word.and_then(|number| number.parse().ok())
        .unwrap_or_else(|| panic!("no {name} in {line:?}"))
}

/// A new device's flash, in a file: it runs this release.
pub(crate) fn delivered(name: &str, release: Release<'_>) -> PathBuf {
    let mut bytes = vec![0xFF; FLASH as usize];
    let slot = LAYOUT.slots[0].offset as usize;
    bytes[slot..slot + release.image.len()].copy_from_slice(release.image);
    let journal = flash::journal(release.known(), SECTOR as usize);
    let at = LAYOUT.journal.offset as usize;
    bytes[at..at + journal.len()].copy_from_slice(&journal);
    file(name, &bytes)
}
