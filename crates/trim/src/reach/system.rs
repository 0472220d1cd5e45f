//! What the C library and its neighbours open for their callers: who answers
//! for names, character sets, time zones, locales, certificates, the shell.
//!
//! Which are needed is read off the functions that programs take from it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use ounce_rootfs::elf::{ElfFacts, names};
use ounce_rootfs::services::{Converters, database_of, name_services};

use super::Walk;

/// Files that name services read, by database.
const NAME_FILES: [(&str, &[&str]); 7] = [
    ("hosts", &["hosts", "resolv.conf", "host.conf", "gai.conf"]),
    ("passwd", &["passwd"]),
    ("group", &["group"]),
    ("shadow", &["shadow"]),
    ("services", &["services"]),
    ("protocols", &["protocols"]),
    ("networks", &["networks"]),
];

/// Where the field's TLS libraries look for certificates: OpenSSL's folders as
/// Debian, Red Hat, SUSE and Alpine build it, and Go's list
/// (`crypto/x509/root_linux.go`).
const CERTIFICATES: [&str; 12] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/ssl/cert.pem",
    "/etc/ssl/certs",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/openssl.cnf",
    "/usr/lib/ssl/openssl.cnf",
    "/usr/lib/ssl/cert.pem",
    "/usr/lib/ssl/certs",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/pki/tls/cacert.pem",
    "/etc/pki/tls/openssl.cnf",
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
];

/// Libraries that check certificates.
const TLS: [&str; 5] = [
    "libssl.",
    "libcrypto.",
    "libgnutls.",
    "libnss3.",
    "libmbedtls.",
];

/// Folders in which glibc keeps converters, by how Debian and others build it.
const CONVERTERS: [&str; 4] = [
    "/usr/lib/x86_64-linux-gnu/gconv",
    "/usr/lib/aarch64-linux-gnu/gconv",
    "/usr/lib64/gconv",
    "/usr/lib/gconv",
];

/// What is asked of the C library.
#[derive(Debug, Default)]
pub(super) struct System {
    /// Databases asked for, and who asks first.
    databases: BTreeMap<&'static str, PathBuf>,
    /// Character sets that are named, and who converts.
    sets: BTreeSet<String>,
    converts: Option<PathBuf>,
    /// The C library.
    library: Option<PathBuf>,
    /// How much of it was settled last time.
    settled: (usize, usize, bool),
    zones: bool,
    locales: bool,
    certificates: bool,
    shell: bool,
}

impl Walk<'_> {
    /// What a program takes from the C library.
    pub(super) fn system_of(&mut self, place: &Path, facts: &ElfFacts, data: &[u8]) {
        let soname = facts.soname.as_deref().unwrap_or("");
        if soname.starts_with("libc.so") {
            self.system.library = Some(place.to_owned());
            return;
        }
        let tls = TLS.iter().any(|name| soname.starts_with(name));
        let functions = names::imports(data);
        let alone = functions.is_empty() && soname.is_empty();
        // A program that holds its libraries names the bundle itself.
        let holds_tls = alone
            && names::texts(data)
                .iter()
                .any(|text| text.contains("ca-certificates.crt"));
        if tls || holds_tls {
            self.certificates(place);
        }
        let has = |name: &str| functions.contains(name);
        if has("system") || has("popen") || has("wordexp") {
            self.shell(place);
        }
        if has("localtime") || has("localtime_r") || has("tzset") || has("mktime") {
            self.zones(place);
        }
        if has("setlocale") || has("newlocale") {
            self.locales(place);
        }
        if has("iconv_open") {
            self.system.converts.get_or_insert_with(|| place.to_owned());
            let texts = names::texts(data);
            let sets = texts
                .iter()
                .filter(|text| text.len() < 32)
                .map(|it| (*it).to_owned());
            self.system.sets.extend(sets);
        }
        for function in &functions {
            if let Some(database) = database_of(function) {
                let by = || place.to_owned();
                self.system.databases.entry(database).or_insert_with(by);
            }
        }
    }

    /// A user that is not a number is looked up when the container starts.
    pub(super) fn account(&mut self) {
        let user = self.seeds.user.as_str();
        let number = |part: &str| part.is_empty() || part.bytes().all(|byte| byte.is_ascii_digit());
        if !user.split(':').all(number) {
            for file in ["/etc/passwd", "/etc/group"] {
                self.keep(Path::new(file), Path::new(""), "");
            }
        }
    }

    /// Once no more programs are known: name services and converters.
    pub(super) fn settle_system(&mut self) {
        let system = &self.system;
        let now = (
            system.databases.len(),
            system.sets.len(),
            system.converts.is_some(),
        );
        if now == self.system.settled {
            return;
        }
        self.system.settled = now;
        self.name_services();
        self.converters();
    }

    fn name_services(&mut self) {
        let databases = self.system.databases.clone();
        let Some(by) = databases.values().next().cloned() else {
            return;
        };
        let switch = Path::new("/etc/nsswitch.conf");
        let text = self.text(switch).unwrap_or_default();
        self.keep(switch, &by, "who answers for names");
        for (database, by) in &databases {
            let files = NAME_FILES.iter().find(|(name, _)| name == database);
            for file in files.map_or(&[][..], |(_, files)| files) {
                let how = format!("names ({database})");
                self.keep(&Path::new("/etc").join(file), by, how);
            }
        }
        // musl has no services; a static program of glibc loads them as well.
        let Some(library) = self.system.library.clone() else {
            return;
        };
        for service in name_services(&text, |database| databases.contains_key(database)) {
            let name = format!("libnss_{service}.so.2");
            let found = self.plug_in(&name, &library, &format!("name service {service}"));
            if !found && !["files", "dns"].contains(&service.as_str()) {
                self.tell(
                    Path::new("etc/nsswitch.conf"),
                    format!("the name service {service} is not in the image"),
                );
            }
        }
    }

    fn converters(&mut self) {
        let charset = ["LC_ALL", "LC_CTYPE", "LANG"]
            .iter()
            .find_map(|name| {
                self.environment
                    .get(*name)
                    .filter(|value| !value.is_empty())
            })
            .and_then(|value| value.split_once('.'))
            .map(|(_, set)| set.split('@').next().unwrap_or(set).to_owned());
        let Some(by) = self.system.converts.clone() else {
            return;
        };
        let mut sets = self.system.sets.clone();
        sets.extend(charset);
        for folder in CONVERTERS.map(Path::new) {
            if !self.is_folder(folder) {
                continue;
            }
            let mut lists = vec![folder.join("gconv-modules")];
            let more = folder.join("gconv-modules.d");
            if let Ok((place, _)) = self.tree.lookup(&more) {
                lists.extend(self.tree.beneath(&place).map(|(path, _)| path.to_owned()));
            }
            let mut converters = Converters::default();
            for list in lists {
                if let Some(text) = self.text(&list) {
                    converters.add(&text);
                    self.keep(&list, &by, "list of character sets");
                }
            }
            self.keep(
                &folder.join("gconv-modules.cache"),
                &by,
                "list of character sets",
            );
            let modules: BTreeSet<String> = sets
                .iter()
                .flat_map(|set| converters.modules_of(set))
                .map(str::to_owned)
                .collect();
            for module in modules {
                let path = folder.join(format!("{module}.so"));
                self.keep(&path, &by, format!("converter of {module}"));
            }
            self.tell(&by, "converts character sets; only those it names are kept");
        }
    }

    fn certificates(&mut self, by: &Path) {
        if std::mem::replace(&mut self.system.certificates, true) {
            return;
        }
        let own = ["SSL_CERT_FILE", "SSL_CERT_DIR", "OPENSSL_CONF"];
        let own = own
            .iter()
            .filter_map(|name| self.environment.get(*name).cloned());
        let all: Vec<String> = own.chain(CERTIFICATES.map(str::to_owned)).collect();
        for path in all {
            self.keep_beneath(Path::new(&path), by, "certificates");
        }
    }

    fn shell(&mut self, by: &Path) {
        if !std::mem::replace(&mut self.system.shell, true) {
            self.keep(Path::new("/bin/sh"), by, "shell for system() and popen()");
        }
    }

    fn zones(&mut self, by: &Path) {
        if std::mem::replace(&mut self.system.zones, true) {
            return;
        }
        self.keep(Path::new("/etc/localtime"), by, "time zone");
        self.keep(Path::new("/etc/timezone"), by, "time zone");
        let Some(zone) = self.environment.get("TZ").cloned() else {
            return;
        };
        let name = zone.trim_start_matches(':');
        let path = match name.starts_with('/') {
            true => PathBuf::from(name),
            false => Path::new("/usr/share/zoneinfo").join(name),
        };
        let is_rule = name.contains([',', '<']) || name.is_empty();
        if self.keep(&path, by, "time zone (TZ)").is_none() && !is_rule {
            self.tell(by, format!("the time zone {name} (TZ) is not in the image"));
        }
    }

    fn locales(&mut self, by: &Path) {
        if std::mem::replace(&mut self.system.locales, true) {
            return;
        }
        let names = [
            "LC_ALL",
            "LANG",
            "LC_CTYPE",
            "LC_COLLATE",
            "LC_TIME",
            "LC_NUMERIC",
            "LC_MESSAGES",
        ];
        let mut wanted: BTreeSet<String> = names
            .iter()
            .filter_map(|name| self.environment.get(*name).cloned())
            .filter(|value| !value.is_empty() && value != "C" && value != "POSIX")
            .collect();
        let asked = !wanted.is_empty();
        // Python and others turn the locale C into this one (PEP 538).
        wanted.insert("C.UTF-8".to_owned());
        let folder = Path::new("/usr/lib/locale");
        for name in wanted {
            // Folders have the set's name in small letters without dashes.
            let plain = match name.split_once('.') {
                Some((language, set)) => {
                    format!("{language}.{}", set.to_lowercase().replace('-', ""))
                }
                None => name.clone(),
            };
            for name in [name, plain] {
                self.keep_beneath(&folder.join(name), by, "locale");
            }
        }
        if asked {
            self.keep(&folder.join("locale-archive"), by, "locales");
            self.keep(
                Path::new("/usr/share/locale/locale.alias"),
                by,
                "names of locales",
            );
        }
    }
}
