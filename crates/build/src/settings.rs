//! What a person may choose, by flags or in `ounce.toml`: one type for both,
//! so that they cannot drift apart, and one merge that says who wins.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::str::FromStr;

use ounce_oci::Platform;
use ounce_oci::layer::Compression;
use serde::Serialize;

use crate::distribution::Base;
use crate::language::known::Language;
use crate::site::rules::{RuleError, SiteRules};

/// Everything that can be chosen; what is `None` or empty is left to detection.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Settings {
    /// The image's name in the store, and the program's name in the image.
    pub name: Option<String>,
    /// The language, where it is another than the files tell.
    pub language: Option<Language>,
    /// Ready programs, each for its platform.
    pub programs: Vec<(Platform, PathBuf)>,
    /// For which platforms; more than one gives an image index.
    pub platforms: Vec<Platform>,
    /// Most bytes that one platform's image may make a puller fetch.
    pub budget_bytes: Option<u64>,
    /// How the layer is compressed.
    pub compression: Option<Compression>,
    /// How much is measured about the size flags.
    pub measure: Option<Measure>,
    /// Take a folder without `index.html` for a web site all the same.
    pub site: Option<bool>,
    /// How a web site is packed and served.
    pub rules: SiteRules,
    /// What to compile of a Rust project.
    pub rust: RustSettings,
    /// How a Python project becomes an application.
    pub python: PythonSettings,
    /// What stands in the image beside the program.
    pub image: ImageSettings,
    /// Files to add.
    pub files: Vec<ExtraFile>,
    /// Patterns of paths at which what looks like a secret is none.
    pub allow_secrets: Vec<String>,
    /// What the program stands on; nothing unless told.
    pub base: Option<Base>,
    /// Where Debian's packages come from.
    pub debian: DebianSettings,
    /// Other settings for each stage of the way to production.
    pub stages: BTreeMap<String, Settings>,
    /// Where Alpine's packages come from.
    pub alpine: AlpineSettings,
    /// What a base is put together from: `ounce.lock` beside `ounce.toml` unless told.
    pub lock: Option<PathBuf>,
}

/// Where Debian's packages come from, and which.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DebianSettings {
    /// The folder that holds `debian` and `debian-security`; as the host's apt
    /// has it, or Debian's own, unless told.
    pub mirror: Option<String>,
    /// The release: `bookworm`; the host's, or the stable one, unless told.
    pub suite: Option<String>,
    /// `main` unless told.
    pub components: Option<Vec<String>>,
    /// Whose signatures are believed; the host's `debian-archive-keyring` unless told.
    pub keyrings: Vec<PathBuf>,
    /// Packages besides the base's own.
    pub packages: Option<Vec<String>>,
    /// Whether an index that is past its date is refused, as it is unless told.
    pub valid_until: Option<bool>,
}

/// Where Alpine's packages come from, and which.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AlpineSettings {
    /// The folder that holds the releases; Alpine's own unless told.
    pub mirror: Option<String>,
    /// The release: `v3.22`.
    pub release: Option<String>,
    /// `main` unless told.
    pub repositories: Option<Vec<String>>,
    /// Whose signatures are believed: keys, or folders of them; the host's
    /// `/etc/apk/keys` unless told.
    pub keys: Vec<PathBuf>,
    /// Packages besides the base's own.
    pub packages: Option<Vec<String>>,
}

/// What to compile of a Rust project: cargo's flags of the same names.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RustSettings {
    /// `--package`.
    pub package: Option<String>,
    /// `--bin`.
    pub bin: Option<String>,
    /// `--features`.
    pub features: Vec<String>,
    /// `--all-features`.
    pub all_features: Option<bool>,
    /// `--no-default-features`.
    pub no_default_features: Option<bool>,
    /// `--profile`; `release` unless told.
    pub profile: Option<String>,
    /// The target triple, instead of the best one that is installed.
    pub target: Option<String>,
    /// Compile the standard library anew, for size, and let a panic end at once.
    pub smallest: Option<bool>,
    /// Put the list of crates into the program, as cargo-auditable does.
    pub auditable: Option<bool>,
}

/// How a Python project becomes an application.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PythonSettings {
    /// What is started: a file, a module, `module:function` or a command of a package.
    pub start: Option<String>,
    /// Files that say what it depends on, in place of those that are found.
    pub requirements: Vec<PathBuf>,
    /// Its own optional dependencies.
    pub extras: Vec<String>,
    /// A folder of wheels beside the index.
    pub wheels: Option<PathBuf>,
    /// Whether the project itself becomes a wheel, by its own build system.
    pub package: Option<bool>,
    /// Whether sources are compiled to bytecode.
    pub bytecode: Option<bool>,
    /// Whether packages keep their tests, type stubs and sources of compiled modules.
    pub tests: Option<bool>,
}

/// What stands in the image's configuration and beside the program.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ImageSettings {
    /// Arguments the program gets unless others are given (`Cmd`).
    pub args: Option<Vec<String>>,
    /// Environment.
    pub env: BTreeMap<String, String>,
    /// `UID[:GID]`; 65532:65532 unless told.
    pub user: Option<String>,
    /// Ports that it listens on.
    pub ports: Option<Vec<Port>>,
    /// Folder that it starts in.
    pub workdir: Option<String>,
    /// Labels, by their whole names.
    pub labels: BTreeMap<String, String>,
    /// `org.opencontainers.image.title`.
    pub title: Option<String>,
    /// `org.opencontainers.image.version`.
    pub version: Option<String>,
    /// `org.opencontainers.image.source`.
    pub source: Option<String>,
    /// `org.opencontainers.image.revision`.
    pub revision: Option<String>,
    /// Certificates of authorities at `/etc/ssl/certs/ca-certificates.crt`.
    pub ca_certificates: Option<Certificates>,
    /// Time zones beneath `/usr/share/zoneinfo`.
    pub timezones: Option<Zones>,
    /// `/etc/passwd` and `/etc/group` with root and the image's user.
    pub passwd: Option<bool>,
    /// `/tmp`, writable by all.
    pub tmp: Option<bool>,
}

/// A file of the host to be put into the image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ExtraFile {
    /// On the host; relative to the project.
    pub from: PathBuf,
    /// In the image, absolute.
    pub to: String,
    /// Permission bits; else 0755 if the owner may execute it, 0644 if not.
    pub mode: Option<u32>,
}

/// Which certificates are added.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Certificates {
    /// None.
    None,
    /// The host's bundle.
    Host,
    /// This PEM file.
    File(PathBuf),
}

/// Which time zones are added.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Zones {
    /// None.
    None,
    /// All the host has, without the copies under `posix/` and `right/`.
    All,
    /// These, as `Europe/Berlin`.
    Named(Vec<String>),
}

/// A port of `ExposedPorts`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Port {
    /// Its number.
    pub number: u16,
    /// UDP instead of TCP.
    pub udp: bool,
}

/// How much is measured about the size flags that ounce adds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Measure {
    /// Each flag for projects with few dependencies, else nothing.
    #[default]
    Auto,
    /// Before and after all of them: compiles twice.
    Total,
    /// Before and after each: compiles once per flag and once more.
    EachFlag,
    /// Nothing: compiles once.
    No,
}

impl Settings {
    /// These settings, and `lower` where they say nothing. Maps are joined
    /// key by key and files by their place; lists are taken whole.
    #[must_use]
    pub fn or(self, lower: Settings) -> Settings {
        Settings {
            name: self.name.or(lower.name),
            language: self.language.or(lower.language),
            programs: first_filled(self.programs, lower.programs),
            platforms: first_filled(self.platforms, lower.platforms),
            budget_bytes: self.budget_bytes.or(lower.budget_bytes),
            compression: self.compression.or(lower.compression),
            measure: self.measure.or(lower.measure),
            site: self.site.or(lower.site),
            rules: self.rules.or(lower.rules),
            rust: self.rust.or(lower.rust),
            python: self.python.or(lower.python),
            image: self.image.or(lower.image),
            files: {
                let mut files = self.files;
                for file in lower.files {
                    if files.iter().all(|higher| higher.to != file.to) {
                        files.push(file);
                    }
                }
                files
            },
            allow_secrets: [self.allow_secrets, lower.allow_secrets].concat(),
            base: self.base.or(lower.base),
            debian: self.debian.or(lower.debian),
            alpine: self.alpine.or(lower.alpine),
            lock: self.lock.or(lower.lock),
            stages: lower.stages,
        }
    }
}

impl DebianSettings {
    fn or(self, lower: Self) -> Self {
        Self {
            mirror: self.mirror.or(lower.mirror),
            suite: self.suite.or(lower.suite),
            components: self.components.or(lower.components),
            keyrings: first_filled(self.keyrings, lower.keyrings),
            packages: self.packages.or(lower.packages),
            valid_until: self.valid_until.or(lower.valid_until),
        }
    }
}

impl AlpineSettings {
    fn or(self, lower: Self) -> Self {
        Self {
            mirror: self.mirror.or(lower.mirror),
            release: self.release.or(lower.release),
            repositories: self.repositories.or(lower.repositories),
            keys: first_filled(self.keys, lower.keys),
            packages: self.packages.or(lower.packages),
        }
    }
}

impl RustSettings {
    fn or(self, lower: Self) -> Self {
        Self {
            package: self.package.or(lower.package),
            bin: self.bin.or(lower.bin),
            features: first_filled(self.features, lower.features),
            all_features: self.all_features.or(lower.all_features),
            no_default_features: self.no_default_features.or(lower.no_default_features),
            profile: self.profile.or(lower.profile),
            target: self.target.or(lower.target),
            smallest: self.smallest.or(lower.smallest),
            auditable: self.auditable.or(lower.auditable),
        }
    }
}

impl PythonSettings {
    fn or(self, lower: Self) -> Self {
        Self {
            start: self.start.or(lower.start),
            requirements: first_filled(self.requirements, lower.requirements),
            extras: first_filled(self.extras, lower.extras),
            wheels: self.wheels.or(lower.wheels),
            package: self.package.or(lower.package),
            bytecode: self.bytecode.or(lower.bytecode),
            tests: self.tests.or(lower.tests),
        }
    }
}

impl ImageSettings {
    fn or(self, lower: Self) -> Self {
        let joined = |mut low: BTreeMap<String, String>, high: BTreeMap<String, String>| {
            low.extend(high);
            low
        };
        Self {
            args: self.args.or(lower.args),
            env: joined(lower.env, self.env),
            user: self.user.or(lower.user),
            ports: self.ports.or(lower.ports),
            workdir: self.workdir.or(lower.workdir),
            labels: joined(lower.labels, self.labels),
            title: self.title.or(lower.title),
            version: self.version.or(lower.version),
            source: self.source.or(lower.source),
            revision: self.revision.or(lower.revision),
            ca_certificates: self.ca_certificates.or(lower.ca_certificates),
            timezones: self.timezones.or(lower.timezones),
            passwd: self.passwd.or(lower.passwd),
            tmp: self.tmp.or(lower.tmp),
        }
    }
}

fn first_filled<T>(high: Vec<T>, low: Vec<T>) -> Vec<T> {
    if high.is_empty() { low } else { high }
}

/// Why a text is no setting.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SettingError {
    /// Not a port.
    #[error("{0:?} is not a port: write it as 8080 or 5353/udp")]
    Port(String),
    /// Not a user.
    #[error("{0:?} is not a user: write it as UID or UID:GID, in numbers")]
    User(String),
    /// Not an absolute, plain path.
    #[error(
        "{0:?} is not a path in an image: it must start with / and have no `.`, `..` or empty part"
    )]
    Path(String),
    /// Not a name of an environment variable.
    #[error("{0:?} is not a name of an environment variable")]
    EnvName(String),
    /// Not a time zone's name.
    #[error("{0:?} is not the name of a time zone: write it as Europe/Berlin")]
    Zone(String),
    /// Not a mode.
    #[error("{0:?} is not a file mode: write it in octal, as \"0644\"")]
    Mode(String),
    /// Not a name for image and program.
    #[error("{0:?} is not a name: letters, digits, `.`, `_` and `-`, and no `/`")]
    Name(String),
    /// A rule for a site that would break an answer.
    #[error(transparent)]
    Rule(#[from] RuleError),
    /// A text with a NUL byte.
    #[error("{0:?} holds a NUL byte, which no argument or variable can")]
    Nul(String),
}

impl FromStr for Port {
    type Err = SettingError;

    fn from_str(text: &str) -> Result<Self, SettingError> {
        let wrong = || SettingError::Port(text.to_owned());
        let (number, protocol) = text.split_once('/').unwrap_or((text, "tcp"));
        let udp = match protocol {
            "tcp" => false,
            "udp" => true,
            _ => return Err(wrong()),
        };
        match number.parse() {
            Ok(number) if number > 0 && !text.starts_with('+') => Ok(Self { number, udp }),
            _ => Err(wrong()),
        }
    }
}

impl std::fmt::Display for Port {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "{}/{}",
            self.number,
            if self.udp { "udp" } else { "tcp" }
        )
    }
}

/// Checks `UID[:GID]` and gives both numbers; the group is the user's unless told.
///
/// # Errors
/// Anything but numbers: names need a `/etc/passwd` that is not there.
pub fn parse_user(text: &str) -> Result<(u32, u32), SettingError> {
    let wrong = || SettingError::User(text.to_owned());
    let number = |digits: &str| {
        if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
            return Err(wrong());
        }
        digits.parse::<u32>().map_err(|_| wrong())
    };
    match text.split_once(':') {
        Some((uid, gid)) => Ok((number(uid)?, number(gid)?)),
        None => number(text).map(|uid| (uid, uid)),
    }
}

/// Checks an absolute path in the image and gives it without its first `/`.
///
/// # Errors
/// Relative, or with an empty, `.` or `..` part, or with a NUL byte.
pub fn parse_path(text: &str) -> Result<String, SettingError> {
    let plain = text.strip_prefix('/').filter(|rest| {
        !rest.contains('\0') && rest.split('/').all(|part| !matches!(part, "" | "." | ".."))
    });
    plain
        .map(str::to_owned)
        .ok_or_else(|| SettingError::Path(text.to_owned()))
}

/// Checks an octal mode such as `0644`.
///
/// # Errors
/// Not octal digits, or more than 07777.
pub fn parse_mode(text: &str) -> Result<u32, SettingError> {
    u32::from_str_radix(text.strip_prefix("0o").unwrap_or(text), 8)
        .ok()
        .filter(|mode| *mode <= 0o7777 && !text.starts_with('+'))
        .ok_or_else(|| SettingError::Mode(text.to_owned()))
}

/// Checks a program's name: it becomes one path component.
///
/// # Errors
/// Empty, `.`, `..`, or with other than letters, digits, `.`, `_`, `-`.
pub fn parse_name(text: &str) -> Result<String, SettingError> {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-' | '+');
    if text.is_empty() || matches!(text, "." | "..") || text.len() > 100 || !text.chars().all(plain)
    {
        return Err(SettingError::Name(text.to_owned()));
    }
    Ok(text.to_owned())
}

impl Settings {
    /// Checks what flags and `ounce.toml` have in common: users, paths, names.
    ///
    /// # Errors
    /// The first that is not well-formed.
    pub fn check(&self) -> Result<(), SettingError> {
        if let Some(name) = &self.name {
            parse_name(name)?;
        }
        if let Some(user) = &self.image.user {
            parse_user(user)?;
        }
        self.rules.check()?;
        if let Some(workdir) = self.image.workdir.as_deref().filter(|dir| *dir != "/") {
            parse_path(workdir)?;
        }
        for file in &self.files {
            parse_path(&file.to)?;
        }
        for (name, value) in &self.image.env {
            if name.is_empty() || name.contains(['=', '\0']) {
                return Err(SettingError::EnvName(name.clone()));
            }
            no_nul(value)?;
        }
        for argument in self.image.args.iter().flatten() {
            no_nul(argument)?;
        }
        if let Some(Zones::Named(zones)) = &self.image.timezones {
            for zone in zones {
                let known = |c: char| c.is_ascii_alphanumeric() || "_+-/".contains(c);
                if parse_path(&format!("/{zone}")).is_err() || !zone.chars().all(known) {
                    return Err(SettingError::Zone(zone.clone()));
                }
            }
        }
        Ok(())
    }
}

fn no_nul(text: &str) -> Result<(), SettingError> {
    if text.contains('\0') {
        return Err(SettingError::Nul(text.to_owned()));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_win_over_the_file_and_maps_are_joined() {
        let env = |pairs: &[(&str, &str)]| {
            pairs
                .iter()
                .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()))
                .collect::<BTreeMap<_, _>>()
        };
        let mut flags = Settings {
            name: Some("flag".to_owned()),
            ..Settings::default()
        };
        flags.image.env = env(&[("A", "flag"), ("B", "flag")]);
        let mut file = Settings {
            name: Some("file".to_owned()),
            budget_bytes: Some(7),
            ..Settings::default()
        };
        file.image.env = env(&[("A", "file"), ("C", "file")]);
        let both = flags.or(file);
        assert_eq!(both.name.as_deref(), Some("flag"));
        assert_eq!(both.budget_bytes, Some(7));
        assert_eq!(
            both.image.env,
            env(&[("A", "flag"), ("B", "flag"), ("C", "file")])
        );
    }

    #[test]
    fn ports_are_numbers_with_a_protocol_or_nothing() {
        let port = |text: &str| text.parse::<Port>();
        assert_eq!(port("8080").unwrap().to_string(), "8080/tcp");
        assert_eq!(port("53/udp").unwrap().to_string(), "53/udp");
        for wrong in ["", "0", "70000", "80/sctp", "+80", "http"] {
            assert!(port(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn users_are_numbers_only() {
        assert_eq!(parse_user("0").unwrap(), (0, 0));
        assert_eq!(parse_user("1:2").unwrap(), (1, 2));
        for wrong in ["root", "", ":", "1:", "-1", "4294967296", "1:2:3"] {
            assert!(parse_user(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn paths_that_could_climb_out_are_refused() {
        assert_eq!(parse_path("/etc/hosts").unwrap(), "etc/hosts");
        for wrong in ["etc", "/", "/a/../b", "//a", "/a/", "/./a", "/a\0"] {
            assert!(parse_path(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_zone_cannot_climb_out_of_the_zone_folder() {
        for zone in ["../../etc/shadow", "/etc/shadow", "Europe/..", ""] {
            let mut settings = Settings::default();
            settings.image.timezones = Some(Zones::Named(vec![zone.to_owned()]));
            assert!(settings.check().is_err(), "{zone}");
        }
    }
}
