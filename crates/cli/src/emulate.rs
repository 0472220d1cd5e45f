//! Programs of another architecture, run by QEMU's user-mode emulator where it
//! is installed: by the kernel if it knows how (binfmt_misc), else by putting
//! the emulator into the container and starting the program through it.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Component, Path, PathBuf};

use ounce_oci::Platform;
use ounce_rootfs::elf::ElfFacts;
use ounce_run::spec::{Part, Root, Spec, SystemCalls, Volume};

use crate::failure::{Failure, Kind};

/// Where the emulator is in the container.
const PLACE: &str = "/.ounce-emulator";

/// What runs a platform's programs on this machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Runner {
    /// The kernel, alone or with an emulator that it opens itself.
    Kernel,
    /// This emulator, with these first arguments.
    Emulator(PathBuf, &'static [&'static str]),
}

/// The name of an architecture in QEMU's programs.
fn qemu(architecture: &str) -> Option<&'static str> {
    Some(match architecture {
        "amd64" => "x86_64",
        "386" => "i386",
        "arm64" => "aarch64",
        "arm" => "arm",
        "riscv64" => "riscv64",
        "ppc64le" => "ppc64le",
        "ppc64" => "ppc64",
        "s390x" => "s390x",
        "loong64" => "loongarch64",
        "mips" => "mips",
        "mipsle" => "mipsel",
        "mips64" => "mips64",
        "mips64le" => "mips64el",
        _ => return None,
    })
}

/// Finds what runs programs for `platform` here.
///
/// # Errors
/// Nothing does; with the package that would.
pub(crate) fn runner(platform: &Platform) -> Result<Runner, Failure> {
    let host = Platform::host();
    if host.accepts(platform) {
        return Ok(Runner::Kernel);
    }
    let other_system = platform.os != host.os;
    let Some(name) = qemu(&platform.architecture).filter(|_| !other_system) else {
        return Err(foreign(platform, &host));
    };
    // Of the same architecture it is the processor that lacks something, and
    // what an emulator makes up for is not what the image is to be tried for.
    if platform.architecture != host.architecture && registered(name) {
        return Ok(Runner::Kernel);
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    let usual = ["/usr/bin", "/usr/local/bin"].map(PathBuf::from);
    let folders: Vec<PathBuf> = std::env::split_paths(&path).chain(usual).collect();
    let names = [format!("qemu-{name}-static"), format!("qemu-{name}")];
    let mut candidates = names
        .iter()
        .flat_map(|name| folders.iter().map(move |folder| folder.join(name)));
    // There is no loader for it in the container.
    let found = candidates.find(|path| {
        let executable = fs::metadata(path)
            .is_ok_and(|data| data.is_file() && data.permissions().mode() & 0o111 != 0);
        executable && is_static(path)
    });
    let found = found.and_then(|path| path.canonicalize().ok());
    let first: &[&str] = match (platform.architecture.as_str(), platform.variant.as_deref()) {
        // So that what a Pi Zero would not run is not run here.
        ("arm", Some("v6")) => &["-cpu", "arm1176"],
        ("arm", Some("v5")) => &["-cpu", "arm926"],
        _ => &[],
    };
    match found {
        Some(path) => Ok(Runner::Emulator(path, first)),
        None => Err(Failure::new(
            Kind::Host,
            format!(
                "the image is for {platform}, this machine is {host}, and {} is not installed",
                names[0]
            ),
        )
        .hint("apt-get install qemu-user-static (Debian, Ubuntu), dnf install qemu-user-static (Fedora)")),
    }
}

/// The platform of a program that is for another architecture than this
/// machine's; of the usual one only the first bytes are read.
pub(crate) fn foreign_program(path: &Path) -> Option<Platform> {
    use std::io::Read as _;
    let mut head = [0; 20];
    fs::File::open(path).ok()?.read_exact(&mut head).ok()?;
    // `e_machine` (System V ABI, "ELF header"), on machines that ounce is made for.
    let own = match std::env::consts::ARCH {
        "x86_64" => 62_u16,
        "aarch64" => 183,
        "arm" => 40,
        "riscv64" => 243,
        _ => 0,
    };
    if !head.starts_with(b"\x7fELF") || head[18..] == own.to_le_bytes() {
        return None;
    }
    ElfFacts::read(&fs::read(path).ok()?).ok()?.platform
}

fn is_static(path: &Path) -> bool {
    fs::read(path)
        .is_ok_and(|bytes| ElfFacts::read(&bytes).is_ok_and(|facts| facts.kind.runs_alone()))
}

/// Whether the kernel has an emulator open for the architecture: with the flag
/// `F` it needs no file in the container (the kernel's documentation,
/// admin-guide/binfmt-misc).
fn registered(name: &str) -> bool {
    let entry = Path::new("/proc/sys/fs/binfmt_misc").join(format!("qemu-{name}"));
    fs::read_to_string(entry).is_ok_and(|text| is_open(&text))
}

fn is_open(entry: &str) -> bool {
    let flags = entry.lines().find_map(|line| line.strip_prefix("flags:"));
    entry.starts_with("enabled") && flags.is_some_and(|flags| flags.contains('F'))
}

/// An image that this machine cannot run.
pub(crate) fn foreign(platform: &Platform, host: &Platform) -> Failure {
    let text = format!("the image is for {platform}, this machine is {host}");
    Failure::new(Kind::Input, text).hint(format!(
        "build it for {host}, or choose with --platform where the image holds several"
    ))
}

impl Runner {
    /// Has the container start its program through the emulator.
    ///
    /// # Errors
    /// The program is not in the container.
    pub(crate) fn apply(&self, spec: &mut Spec) -> Result<(), Failure> {
        let Self::Emulator(emulator, first) = self else {
            return Ok(());
        };
        let Some(name) = spec.arguments.first().cloned() else {
            // That nothing is to be run is told by the start.
            return Ok(());
        };
        let program = program(spec, &name).ok_or_else(|| {
            Failure::new(
                Kind::NotFound,
                format!("there is no program {} in the image", name.display()),
            )
        })?;
        let words = [PLACE].iter().chain(*first).chain(&["-0"]);
        let mut arguments: Vec<OsString> = words.map(OsString::from).collect();
        arguments.extend([name, program.into_os_string()]);
        arguments.extend(spec.arguments.drain(1..));
        spec.arguments = arguments;
        match &mut spec.root {
            Root::Assembled(parts) => parts.push(Part::File {
                host: emulator.clone(),
                name: PLACE.trim_start_matches('/').into(),
            }),
            Root::Folder(_) => spec.volumes.push(Volume {
                host: emulator.clone(),
                target: PLACE.into(),
                read_only: true,
            }),
        }
        // A list of what the program calls is not what the emulator calls.
        if matches!(spec.system_calls, SystemCalls::Only(_)) {
            spec.system_calls = SystemCalls::Default;
        }
        Ok(())
    }
}

/// The image's own program among the arguments of a start.
pub(crate) fn own_program(arguments: &[OsString]) -> Option<&OsStr> {
    let first = arguments.first()?;
    if first != PLACE {
        return Some(first);
    }
    let mut after = arguments.iter().skip_while(|word| *word != "-0");
    after.nth(2).map(OsString::as_os_str)
}

/// The path in the container of the program that a start would find: the
/// emulator looks along no `PATH`.
fn program(spec: &Spec, name: &OsStr) -> Option<PathBuf> {
    if name.as_bytes().contains(&b'/') {
        return Some(spec.workdir.join(name));
    }
    let path = spec.environment.iter().find_map(|variable| {
        let value = variable.as_bytes().strip_prefix(b"PATH=")?;
        Some(OsStr::from_bytes(value).to_owned())
    })?;
    let mut places = std::env::split_paths(&path).map(|folder| folder.join(name));
    places.find(|place| exists(&spec.root, place))
}

/// Whether a file is in the container, its links followed within it.
fn exists(root: &Root, place: &Path) -> bool {
    match root {
        Root::Assembled(parts) => parts
            .iter()
            .any(|part| Path::new("/").join(part.name()) == *place),
        Root::Folder(folder) => {
            let mut place = place.to_owned();
            for _ in 0..40 {
                match step(folder, &place) {
                    Step::Link(next) => place = next,
                    Step::Found(found) => return found,
                }
            }
            false
        }
    }
}

enum Step {
    /// The path with its first link replaced.
    Link(PathBuf),
    Found(bool),
}

fn step(root: &Path, place: &Path) -> Step {
    let mut done = PathBuf::from("/");
    let parts: Vec<Component<'_>> = place.components().collect();
    for (at, part) in parts.iter().enumerate() {
        match part {
            Component::Normal(name) => done.push(name),
            Component::ParentDir => drop(done.pop()),
            _ => continue,
        }
        let host = root.join(done.strip_prefix("/").unwrap_or(&done));
        let Ok(data) = fs::symlink_metadata(&host) else {
            return Step::Found(false);
        };
        if data.is_symlink() {
            let Ok(target) = fs::read_link(&host) else {
                return Step::Found(false);
            };
            done.pop();
            // Absolute ones begin at the container's root.
            let rest: PathBuf = parts[at + 1..].iter().collect();
            return Step::Link(done.join(target).join(rest));
        }
        if at + 1 == parts.len() {
            return Step::Found(data.is_file());
        }
    }
    Step::Found(false)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(root: &Path, words: &[&str]) -> Spec {
        let words = words.iter().map(OsString::from).collect();
        Spec::new(Root::Folder(root.to_owned()), words)
    }

    #[test]
    fn the_emulator_is_given_the_program_that_the_path_leads_to() {
        let home = tempfile::tempdir().unwrap();
        let root = home.path();
        fs::create_dir_all(root.join("usr/bin")).unwrap();
        std::os::unix::fs::symlink("usr/bin", root.join("bin")).unwrap();
        std::os::unix::fs::symlink("/bin/busybox", root.join("usr/bin/sh")).unwrap();
        fs::write(root.join("usr/bin/busybox"), "").unwrap();
        let runner = Runner::Emulator("/usr/bin/qemu-arm-static".into(), &["-cpu", "arm1176"]);
        let mut one = spec(root, &["sh", "-c", "true"]);
        runner.apply(&mut one).unwrap();
        assert_eq!(
            one.arguments,
            [
                PLACE,
                "-cpu",
                "arm1176",
                "-0",
                "sh",
                "/usr/bin/sh",
                "-c",
                "true"
            ]
        );
        assert_eq!(own_program(&one.arguments), Some("/usr/bin/sh".as_ref()));
        assert_eq!(one.volumes[0].target, Path::new(PLACE));
        let error = runner.apply(&mut spec(root, &["absent"])).unwrap_err();
        assert_eq!(error.kind, Kind::NotFound);
        // A link in the image never leads to the host's files.
        std::os::unix::fs::symlink("/etc/passwd", root.join("usr/bin/out")).unwrap();
        assert!(runner.apply(&mut spec(root, &["out"])).is_err());
    }

    #[test]
    fn an_entry_of_the_kernel_counts_if_its_emulator_is_open() {
        assert!(is_open(
            "enabled\ninterpreter /usr/bin/qemu-arm\nflags: OCF\n"
        ));
        assert!(!is_open(
            "enabled\ninterpreter /usr/bin/qemu-arm\nflags: OC\n"
        ));
        assert!(!is_open("disabled\nflags: F\n") && !is_open(""));
    }

    #[test]
    fn this_machine_needs_no_emulator_for_itself_and_another_system_has_none() {
        assert_eq!(runner(&Platform::host()).unwrap(), Runner::Kernel);
        let error = runner(&"windows/amd64".parse().unwrap()).unwrap_err();
        assert_eq!(error.kind, Kind::Input);
    }
}
