//! A machine that is reached by ssh: what it is asked, how the files of an image
//! come to lie there, and the script that swaps the new program for the old one.
//!
//! Nothing but a POSIX shell and tar is needed there. Each state of the program
//! has a folder of its own, by its digest, so what is there already is not sent
//! again, and going back is a link that is changed. Where systemd runs and we may,
//! it keeps the program, sandboxed as `systemd` has it; else a process in the
//! background does. Running ssh is `cli`'s.

use std::fmt::Write as _;

use ounce_oci::Platform;

use crate::application::Application;
use crate::systemd;

/// Tries until a new program has to be well, a second apart.
const HEALTH_TRIES: u32 = 30;
/// Seconds that a program without any check has to stay alive.
const ALIVE_SECONDS: u32 = 3;

/// The code of a script that went back to what was there before.
pub const WENT_BACK: i32 = 10;
/// The code of a script that had nothing to go back to, or nothing that is well.
pub const NOTHING_BEFORE: i32 = 11;

/// What a machine is asked first, as one command; its answer is lines of `name=value`.
pub const PROBE: &str = "\
echo \"system=$(uname -s)\"; echo \"machine=$(uname -m)\"; echo \"user=$(id -u)\"; \
echo \"home=$HOME\"; \
if [ -d /run/systemd/system ]; then echo systemd=yes; fi; \
if sudo -n true 2>/dev/null; then echo sudo=yes; fi; \
if chroot --userspec=65532:65532 / true 2>/dev/null || \
sudo -n chroot --userspec=65532:65532 / true 2>/dev/null; then echo chroot=user; \
elif command -v chroot >/dev/null 2>&1; then echo chroot=root; fi; \
if unshare --user --map-root-user --root=/ true 2>/dev/null; then echo unshare=yes; fi; \
for tool in tar curl wget gzip sha256sum ounce; do if command -v $tool >/dev/null 2>&1; then echo \"$tool=yes\"; fi; done";

/// What a machine has said of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Machine {
    /// What runs on it.
    pub platform: Platform,
    /// How root is become there: not at all, by being it, or by sudo.
    pub root: Root,
    /// Whether systemd runs there.
    pub has_systemd: bool,
    /// The home of whoever logs in.
    pub home: String,
    /// What asks by HTTP there, if the program has no check of its own.
    pub asks: Option<Asks>,
    /// How a program comes to see the image's files as its root, without systemd.
    pub enters: Enters,
    /// Whether it unpacks what gzip has packed.
    pub has_gzip: bool,
    /// Whether it tells digests of files.
    pub has_sums: bool,
    /// Whether there is an ounce, which applies deltas.
    pub has_ounce: bool,
}

/// How a program comes to see the image's files as its root.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Enters {
    /// By chroot, as the image's user.
    Chroot,
    /// By chroot, as root: busybox's knows no users.
    ChrootAsRoot,
    /// By a user namespace.
    Unshare,
    /// Not at all: it sees the machine's root.
    Not,
}

/// How root is become.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Root {
    /// Whoever logs in is it.
    Is,
    /// By `sudo` without a password.
    Sudo,
    /// Not at all.
    No,
}

/// A tool that asks by HTTP.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Asks {
    /// curl.
    Curl,
    /// wget, busybox's too.
    Wget,
}

/// A machine is not one to ship to.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MachineError {
    /// It did not say what was asked.
    #[error("the machine's answer has no {0}: a POSIX shell is needed there")]
    Silent(&'static str),
    /// It is no Linux.
    #[error("the machine runs {0}, and images are for Linux")]
    System(String),
    /// A processor that images have no name for.
    #[error("the machine's processor is {0:?}, which no image is for")]
    Processor(String),
    /// There is no tar.
    #[error("the machine has no tar")]
    NoTar,
    /// Nobody there keeps secrets.
    #[error("the machine has nobody to keep {0}: systemd would, started as root")]
    Secret(String),
    /// There is no image for it.
    #[error("the machine is {machine}, and the image is for {}", image.join(", "))]
    NoImage {
        /// It.
        machine: Platform,
        /// What there is.
        image: Vec<String>,
    },
}

impl MachineError {
    /// What to do about it.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::NoImage { machine, .. } => Some(format!(
                "build it for that: ounce build --platform {machine}"
            )),
            Self::Secret(_) => Some("log in as root, or let the login use sudo".to_owned()),
            Self::NoTar => Some("install tar, or busybox, there".to_owned()),
            _ => None,
        }
    }
}

impl Machine {
    /// Reads the answer to [`PROBE`]. A login's banner before it does no harm.
    ///
    /// # Errors
    /// It is no Linux machine that images are for, or has no tar.
    pub fn read(answer: &str) -> Result<Self, MachineError> {
        let value = |name: &str| {
            let mut lines = answer.lines().rev();
            lines.find_map(|line| line.trim_end().strip_prefix(name)?.strip_prefix('='))
        };
        let needed = |name: &'static str| {
            let found = value(name).filter(|found| !found.is_empty());
            found.ok_or(MachineError::Silent(name))
        };
        let system = needed("system")?;
        if system != "Linux" {
            return Err(MachineError::System(system.to_owned()));
        }
        let machine = needed("machine")?;
        let platform = platform(machine);
        let platform = platform.ok_or_else(|| MachineError::Processor(machine.to_owned()))?;
        if value("tar").is_none() {
            return Err(MachineError::NoTar);
        }
        let root = match (needed("user")?, value("sudo")) {
            ("0", _) => Root::Is,
            (_, Some(_)) => Root::Sudo,
            _ => Root::No,
        };
        let enters = match (root, value("chroot"), value("unshare")) {
            (Root::Is | Root::Sudo, Some("user"), _) => Enters::Chroot,
            (Root::No, _, Some(_)) => Enters::Unshare,
            (Root::Is | Root::Sudo, Some(_), _) => Enters::ChrootAsRoot,
            _ => Enters::Not,
        };
        Ok(Self {
            platform,
            root,
            enters,
            has_systemd: value("systemd").is_some(),
            has_gzip: value("gzip").is_some(),
            has_sums: value("sha256sum").is_some(),
            has_ounce: value("ounce").is_some(),
            home: needed("home")?.to_owned(),
            asks: match (value("curl"), value("wget")) {
                (Some(_), _) => Some(Asks::Curl),
                (None, Some(_)) => Some(Asks::Wget),
                (None, None) => None,
            },
        })
    }

    /// Whether systemd is to keep the program.
    pub fn by_systemd(&self) -> bool {
        self.has_systemd && self.root != Root::No
    }

    /// Which of these images is the one for it.
    ///
    /// # Errors
    /// None is.
    pub fn choose(&self, images: &[Platform]) -> Result<usize, MachineError> {
        let best = self.platform.best(images);
        best.ok_or_else(|| MachineError::NoImage {
            machine: self.platform.clone(),
            image: images.iter().map(ToString::to_string).collect(),
        })
    }

    /// Whether it can give the application what it is to have.
    ///
    /// # Errors
    /// There are secrets, and no systemd to hand them in.
    pub fn check(&self, application: &Application) -> Result<(), MachineError> {
        match application.secrets.first() {
            Some(secret) if !self.by_systemd() => {
                Err(MachineError::Secret(secret.variable.clone()))
            }
            _ => Ok(()),
        }
    }

    /// Where the files of an application lie there.
    pub fn folder(&self, application: &Application, told: Option<&str>) -> String {
        let own = || match self.root {
            Root::No => format!("{}/.local/share/ounce/{}", self.home, application.name),
            _ => format!("/opt/{}", application.name),
        };
        told.map_or_else(own, str::to_owned)
    }

    /// A command as root, where that is possible.
    fn as_root(&self, command: &str) -> String {
        match self.root {
            Root::Sudo => format!("sudo -n sh -c {}", word(command)),
            Root::Is | Root::No => command.to_owned(),
        }
    }
}

/// The platform of a machine as `uname -m` names it. Which of the older ones runs
/// which program is `Platform`'s to know.
fn platform(machine: &str) -> Option<Platform> {
    let text = match machine {
        "x86_64" | "amd64" => "linux/amd64",
        "aarch64" | "arm64" => "linux/arm64",
        "armv8l" | "armv7l" | "armv7" => "linux/arm/v7",
        "armv6l" | "armv6" => "linux/arm/v6",
        "armv5tel" | "armv5tejl" => "linux/arm/v5",
        "riscv64" => "linux/riscv64",
        "ppc64le" => "linux/ppc64le",
        "s390x" => "linux/s390x",
        "i386" | "i486" | "i586" | "i686" => "linux/386",
        "loongarch64" => "linux/loong64",
        _ => return None,
    };
    text.parse().ok()
}

/// A word of a shell's.
pub fn word(text: &str) -> String {
    format!("'{}'", text.replace('\'', "'\\''"))
}

/// Digits of a digest that name a state.
const DIGITS: usize = 16;

/// The folder of one state of the program, below the application's.
pub fn release(application: &Application) -> String {
    format!("releases/{}", &application.digest.hex()[..DIGITS])
}

/// The command that says `here` where that state lies there already, and otherwise
/// which one is there in its place, as `current=`.
pub fn look(machine: &Machine, folder: &str, release: &str) -> String {
    let place = word(&format!("{folder}/{release}"));
    let current = word(&format!("{folder}/current"));
    machine.as_root(&format!(
        "if [ -d {place} ]; then echo here; \
         elif [ -d {current}/. ]; then echo \"current=$(readlink {current})\"; fi"
    ))
}

/// The state that [`look`] has named, if it is one of ours.
pub fn current(answer: &str) -> Option<&str> {
    let mut lines = answer.lines().rev();
    let found = lines.find_map(|line| line.trim_end().strip_prefix("current="))?;
    let digits = found.strip_prefix("releases/")?;
    let is_digit = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    (digits.len() == DIGITS && digits.bytes().all(is_digit)).then_some(found)
}

/// The command that tells the digests of all files of a state, as `sha256sum` does.
pub fn sums(machine: &Machine, folder: &str, release: &str) -> String {
    let place = word(&format!("{folder}/{release}"));
    machine.as_root(&format!(
        "cd {place} && find . -type f -exec sha256sum {{}} +"
    ))
}

/// Where in a stream that a machine puts together the script and its files lie.
pub const ASSEMBLY: &str = ".ounce-update";

/// A file that is made there of one that is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Made {
    /// The file that is there, from its state's folder on.
    pub from: String,
    /// Where it is to lie, in the same way.
    pub to: String,
    /// The number of the delta that makes it another one, if it is to be one.
    pub delta: Option<usize>,
    /// Whether it is a program.
    pub executable: bool,
}

/// The script that makes files of those of another state: with the folders of the old
/// one and of the new one as its arguments. Any failure ends it.
pub fn assembly(files: &[Made]) -> String {
    let mut script = format!(
        "set -eu\nold=$1\npart=$2\n\
         same() {{ cp \"$old/$1\" \"$part/$2\"; chmod \"$3\" \"$part/$2\"; }}\n\
         patched() {{ ounce delta apply \"$old/$1\" \"$part/{ASSEMBLY}/$4\" -o \"$part/$2\" >/dev/null; \
         chmod \"$3\" \"$part/$2\"; }}\n"
    );
    for file in files {
        let (from, to) = (word(&file.from), word(&file.to));
        let mode = if file.executable { "755" } else { "644" };
        let _ = match file.delta {
            None => writeln!(script, "same {from} {to} {mode}"),
            Some(number) => writeln!(script, "patched {from} {to} {mode} {number}"),
        };
    }
    script
}

/// The command that takes the files as a tar stream from its input. They are
/// whole, or not there. With `old` the stream has an [`assembly`] that makes the rest of
/// them of that state's, and the digests that they have to have then.
pub fn receive(machine: &Machine, folder: &str, release: &str, old: Option<&str>) -> String {
    let place = word(&format!("{folder}/{release}"));
    let part = word(&format!("{folder}/{release}.part"));
    let unpack = match machine.has_gzip {
        true => format!("gzip -d -c | tar -x -f - -C {part}"),
        false => format!("tar -x -f - -C {part}"),
    };
    let assemble = old.map_or_else(String::new, |old| {
        let old = word(&format!("{folder}/{old}"));
        format!(
            "sh {part}/{ASSEMBLY}/script {old} {part}; \
             (cd {part} && sha256sum -c {ASSEMBLY}/sums >/dev/null); rm -rf {part}/{ASSEMBLY}; "
        )
    });
    machine.as_root(&format!(
        "set -eu; umask 022; rm -rf {part}; mkdir -p {part}; {unpack}; {assemble}\
         rm -rf {place}; mv {part} {place}"
    ))
}

/// The command that reads a script from its input and does it.
pub fn shell(machine: &Machine) -> String {
    machine.as_root("sh -s")
}

/// The script that makes that state the one that runs, sees whether it is well,
/// and goes back if it is not. It ends with 0, with [`WENT_BACK`] or with
/// [`NOTHING_BEFORE`].
pub fn switch(
    application: &Application,
    machine: &Machine,
    folder: &str,
    release: &str,
    options: &systemd::Options,
) -> String {
    let name = &application.name;
    let mut how = String::new();
    match machine.by_systemd() {
        true => by_systemd(&mut how, application, folder, options),
        false => in_background(&mut how, application, machine),
    }
    how.push_str(&check(application, machine));
    // No line of an image's own can be this: it would have to know its own digest.
    let end = format!("OUNCE_{}", &application.digest.hex()[..32]);
    let mut script = format!(
        "set -eu\nfolder={}\nrelease={}\ncd \"$folder\"\n",
        word(folder),
        word(release)
    );
    // How each state is started and asked lies beside its files, since the one
    // before may be another program. A link is changed by renaming another over
    // it: there is always one.
    let _ = write!(
        script,
        "cat > \"$release.how.new\" <<'{end}'\n{how}{end}\n\
         point() {{\n  rm -f next\n  ln -s \"$1\" next\n  mv -T next current 2>/dev/null || \
         {{ rm -f current; mv next current; }}\n}}\n\
         well() {{\n  tries=0\n  while [ $tries -lt {HEALTH_TRIES} ]; do\n    \
         if ! alive; then return 1; fi\n    if check; then return 0; fi\n    \
         tries=$((tries + 1))\n    sleep 1\n  done\n  return 1\n}}\n\
         before=$(readlink current 2>/dev/null || true)\n\
         if [ -n \"$before\" ] && [ -f \"$before.how\" ]; then\n  . \"./$before.how\"\n  \
         if [ \"$before\" = \"$release\" ] && [ \"$(cat \"$before.how\")\" = \"$(cat \"$before.how.new\")\" ] \
         && alive && check; then\n    rm -f \"$release.how.new\"\n    echo \"ounce: unchanged\"\n    exit 0\n  fi\n  \
         stop\n  cp \"$before.how\" before.how\nelse\n  before=\n  rm -f before.how\nfi\n\
         mv \"$release.how.new\" \"$release.how\"\n\
         . \"./$release.how\"\npoint \"$release\"\nstart\nif well; then\n  \
         for old in releases/*; do\n    case \"$old\" in \"$release\"|\"$release.how\") ;; \
         \"$before\"|\"$before.how\") ;; *) rm -rf \"$old\" ;; esac\n  done\n  \
         echo \"ounce: {name} is well\"\n  exit 0\nfi\n\
         echo \"ounce: {name} is not well\" >&2\nsaid\nstop\n\
         if [ -n \"$before\" ]; then\n  mv before.how \"$before.how\"\n  . \"./$before.how\"\n  \
         point \"$before\"\n  start\n  \
         if well; then echo \"ounce: back to $before\" >&2; exit {WENT_BACK}; fi\n  \
         echo \"ounce: back to $before, which is not well either\" >&2\n  exit {NOTHING_BEFORE}\nfi\n\
         rm -f current\nexit {NOTHING_BEFORE}\n"
    );
    script
}

fn by_systemd(
    how: &mut String,
    application: &Application,
    folder: &str,
    options: &systemd::Options,
) {
    let name = &application.name;
    // Started by hand and by itself, not by its socket: a swap is to be seen.
    let mut plain = application.clone();
    plain.takes_socket = false;
    let unit = systemd::unit(&plain, options);
    let root = systemd::root_file(&format!("{folder}/current"));
    let _ = write!(
        how,
        "stop() {{ systemctl stop {name}.service || true; }}\n\
         alive() {{ systemctl is-active --quiet {name}.service; }}\n\
         said() {{ journalctl --quiet --no-pager -n 20 -u {name}.service >&2 || true; }}\n\
         start() {{\nmkdir -p /etc/systemd/system/{name}.service.d\n\
         cat > /etc/systemd/system/{name}.service <<'OUNCE'\n{unit}OUNCE\n\
         cat > /etc/systemd/system/{name}.service.d/root.conf <<'OUNCE'\n{root}OUNCE\n\
         systemctl daemon-reload\nsystemctl enable --quiet {name}.service || true\n\
         systemctl start {name}.service || true\n}}\n"
    );
}

/// Words that start one of the program's commands with its own variables, and where
/// it can be with its own root, as a process in the background has it.
fn start(application: &Application, machine: &Machine, words: &[String]) -> String {
    let own = application.own_environment.iter();
    let variables: Vec<String> = own
        .chain(&application.environment)
        .map(|(name, value)| word(&format!("{name}={value}")))
        .collect();
    let program = words.first().map(String::as_str).unwrap_or_default();
    let rest: Vec<String> = words.iter().skip(1).map(|it| word(it)).collect();
    // Within another root the program has its own path, else one below the folder.
    let inside = word(program);
    let (enter, program) = match machine.enters {
        Enters::Chroot => {
            let (user, group) = (application.user, application.group);
            let enter = format!("chroot --userspec={user}:{group} \"$folder/current\"");
            (enter, inside)
        }
        Enters::ChrootAsRoot => ("chroot \"$folder/current\"".to_owned(), inside),
        Enters::Unshare => {
            let enter = "unshare --user --map-root-user --root=\"$folder/current\"";
            (enter.to_owned(), inside)
        }
        Enters::Not => {
            let below = word(program.trim_start_matches('/'));
            (String::new(), format!("\"$folder/current/\"{below}"))
        }
    };
    format!(
        "env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin {} {enter} {program} {}",
        variables.join(" "),
        rest.join(" ")
    )
}

fn in_background(how: &mut String, application: &Application, machine: &Machine) {
    let _ = write!(
        how,
        // A number of a process comes to mean another; with the time of its birth
        // it does not.
        "born() {{ sed 's/.*) //' \"/proc/$1/stat\" 2>/dev/null | cut -d ' ' -f 20; }}\n\
         alive() {{\n  if ! read -r pid birth < pid 2>/dev/null; then return 1; fi\n  \
         [ -n \"$birth\" ] && [ \"$(born \"$pid\")\" = \"$birth\" ]\n}}\n\
         stop() {{\n  if alive; then\n    kill -TERM \"$pid\" 2>/dev/null || true\n    left={}\n    \
         while alive; do\n      if [ $left -le 0 ]; then kill -KILL \"$pid\" 2>/dev/null || true; fi\n      \
         left=$((left - 1))\n      sleep 1\n    done\n  fi\n  rm -f pid\n}}\n\
         start() {{\n  (\n    trap '' HUP\n    exec {} </dev/null >\"$folder/log\" 2>&1\n  ) &\n  \
         echo \"$! $(born $!)\" > pid\n}}\n\
         said() {{ tail -n 20 log >&2 || true; }}\n",
        application.stop_seconds,
        start(application, machine, &application.command),
    );
}

/// Whether it is well: by its own word, by HTTP, or by being alive for a while.
fn check(application: &Application, machine: &Machine) -> String {
    let url = application
        .port
        .zip(application.health_path.as_ref())
        .map(|(port, path)| word(&format!("http://127.0.0.1:{port}{path}")));
    let test = match (&application.health_command, url, machine.asks) {
        (Some(words), ..) => {
            format!(
                "{} >/dev/null 2>&1 </dev/null",
                start(application, machine, words)
            )
        }
        (None, Some(url), Some(Asks::Curl)) => {
            format!("curl -fsS -m 2 -o /dev/null {url} 2>/dev/null")
        }
        (None, Some(url), Some(Asks::Wget)) => {
            format!("wget -q -T 2 -O /dev/null {url} 2>/dev/null")
        }
        _ => format!("sleep {ALIVE_SECONDS} && alive"),
    };
    format!("check() {{ {test}; }}\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::application::tests::shop;

    const PI: &str = "Welcome!\nsystem=Linux\nmachine=armv6l\nuser=1000\nhome=/home/pi\nsystemd=yes\n\
                      sudo=yes\ntar=yes\nwget=yes\nchroot=user\nunshare=yes\n";

    #[test]
    fn machine_says_what_it_is() {
        let pi = Machine::read(PI).unwrap();
        assert_eq!(pi.platform.to_string(), "linux/arm/v6");
        assert_eq!((pi.root, pi.by_systemd()), (Root::Sudo, true));
        assert_eq!(pi.asks, Some(Asks::Wget));
        for (from, to, why) in [
            ("system=Linux", "system=Darwin", "Darwin"),
            ("machine=armv6l", "machine=vax", "vax"),
            ("tar=yes", "", "tar"),
            ("home=/home/pi", "", "home"),
        ] {
            let error = Machine::read(&PI.replace(from, to)).unwrap_err();
            assert!(error.to_string().contains(why), "{error}");
        }
    }

    #[test]
    fn image_for_the_machine_is_chosen_and_an_older_one_will_do() {
        let images: Vec<Platform> = ["linux/amd64", "linux/arm/v6", "linux/arm/v7", "linux/arm64"]
            .iter()
            .map(|text| text.parse().unwrap())
            .collect();
        for (machine, chosen) in [
            ("armv6l", Some(1)),
            ("armv7l", Some(2)),
            ("aarch64", Some(3)),
            ("x86_64", Some(0)),
            ("riscv64", None),
        ] {
            let answer = PI.replace("machine=armv6l", &format!("machine={machine}"));
            let found = Machine::read(&answer).unwrap().choose(&images).ok();
            assert_eq!(found, chosen, "{machine}");
        }
        let seven = Machine::read(&PI.replace("armv6l", "armv7l")).unwrap();
        assert_eq!(seven.choose(&images[..2]).unwrap(), 1);
        let six = Machine::read(PI).unwrap();
        assert!(six.choose(&images[2..3]).is_err());
    }

    #[test]
    fn only_a_state_of_ours_is_built_upon() {
        let good = "releases/0123456789abcdef";
        assert_eq!(current(&format!("Hi!\ncurrent={good}\n")), Some(good));
        for bad in [
            "here",
            "current=",
            "current=../x",
            "current=releases/0123456789ABCDEF",
        ] {
            assert_eq!(current(bad), None, "{bad}");
        }
    }

    #[test]
    fn secret_that_nobody_there_would_keep_is_refused() {
        let mut shop = shop();
        shop.secrets = vec![crate::application::SecretVariable {
            variable: "TOKEN".to_owned(),
            from: "queue".to_owned(),
            key: None,
        }];
        let pi = Machine::read(PI).unwrap();
        assert_eq!(pi.check(&shop), Ok(()));
        let bare = Machine::read(&PI.replace("systemd=yes", "")).unwrap();
        assert_eq!(
            bare.check(&shop),
            Err(MachineError::Secret("TOKEN".to_owned()))
        );
    }

    #[test]
    fn scripts_are_as_before_and_shells_take_them() {
        let mut shop = shop();
        shop.environment
            .push(("MOTTO".to_owned(), "it's $HOME `x`".to_owned()));
        let pi = Machine::read(PI).unwrap();
        let folder = pi.folder(&shop, None);
        let plain = Machine {
            root: Root::No,
            has_systemd: false,
            enters: Enters::Unshare,
            ..pi.clone()
        };
        let options = systemd::Options::default();
        let release = release(&shop);
        let background = switch(
            &shop,
            &plain,
            &plain.folder(&shop, None),
            &release,
            &options,
        );
        let kept = switch(&shop, &pi, &folder, &release, &options);
        for script in [
            &background,
            &kept,
            &receive(&pi, &folder, &release, None),
            &receive(&pi, &folder, &release, Some("releases/0123456789abcdef")),
            &sums(&pi, &folder, &release),
            &look(&pi, &folder, &release),
            &assembly(&[Made {
                from: "it's $HOME `x`".to_owned(),
                to: "usr/-n".to_owned(),
                delta: Some(3),
                executable: true,
            }]),
            &PROBE.to_owned(),
        ] {
            let mut shell = std::process::Command::new("sh");
            let output = shell.args(["-n", "-c", script]).output().unwrap();
            assert!(output.status.success(), "{output:?}\n{script}");
        }
        insta::assert_snapshot!(background);
    }
}
