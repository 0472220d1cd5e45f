//! Small files that send the C library to others: who answers for names
//! (`nsswitch.conf`) and which module converts a character set (`gconv-modules`).

use std::collections::BTreeSet;

/// Services that glibc has itself since 2.34; `libnss_files.so.2` and
/// `libnss_dns.so.2` are empty shells for old programs since then.
const USUAL: [&str; 2] = ["files", "dns"];

/// The services of `nsswitch.conf` for the databases that `wanted` takes, and
/// glibc's own where the file has no line for one. Actions (`[NOTFOUND=return]`)
/// are no services.
pub fn name_services(text: &str, wanted: impl Fn(&str) -> bool) -> BTreeSet<String> {
    let mut out: BTreeSet<String> = USUAL.iter().map(|one| (*one).to_owned()).collect();
    for line in text.lines() {
        let line = line.split('#').next().unwrap_or("");
        let Some((database, services)) = line.split_once(':') else {
            continue;
        };
        if !wanted(database.trim()) {
            continue;
        }
        let mut in_action = false;
        for word in services.split_whitespace() {
            in_action |= word.starts_with('[');
            let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-';
            if !in_action && word.bytes().all(plain) {
                out.insert(word.to_owned());
            }
            in_action &= !word.ends_with(']');
        }
    }
    out
}

/// Which functions of the C library ask which database.
pub fn database_of(function: &str) -> Option<&'static str> {
    Some(match function {
        "getaddrinfo" | "gethostbyname" | "gethostbyname_r" | "gethostbyname2"
        | "gethostbyname2_r" | "gethostbyaddr" | "gethostbyaddr_r" | "getnameinfo"
        | "gethostent" => "hosts",
        "getpwnam" | "getpwnam_r" | "getpwuid" | "getpwuid_r" | "getpwent" | "getpwent_r" => {
            "passwd"
        }
        "getgrnam" | "getgrnam_r" | "getgrgid" | "getgrgid_r" | "getgrent" | "getgrent_r"
        | "getgrouplist" | "initgroups" => "group",
        "getspnam" | "getspnam_r" => "shadow",
        "getservbyname" | "getservbyname_r" | "getservbyport" | "getservbyport_r" => "services",
        "getprotobyname" | "getprotobyname_r" | "getprotobynumber" | "getprotobynumber_r" => {
            "protocols"
        }
        "getnetbyname" | "getnetbyname_r" => "networks",
        "innetgr" | "setnetgrent" => "netgroup",
        _ => return None,
    })
}

/// A line of `gconv-modules`: which module converts between two sets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Converter {
    /// From, without the slashes.
    pub from: String,
    /// To.
    pub to: String,
    /// The module's name, without `.so`.
    pub module: String,
}

/// What a `gconv-modules` file says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Converters {
    /// `alias A B`: A is another name of B.
    pub aliases: Vec<(String, String)>,
    /// `module A B FILE`.
    pub modules: Vec<Converter>,
}

impl Converters {
    /// Reads a file's lines and adds them.
    pub fn add(&mut self, text: &str) {
        let name = |word: &str| word.trim_end_matches('/').to_ascii_uppercase();
        for line in text.lines() {
            let line = line.split('#').next().unwrap_or("");
            let words: Vec<&str> = line.split_whitespace().collect();
            match words.as_slice() {
                ["alias", one, other, ..] => self.aliases.push((name(one), name(other))),
                ["module", from, to, module, ..] => self.modules.push(Converter {
                    from: name(from),
                    to: name(to),
                    module: module.trim_end_matches(".so").to_owned(),
                }),
                _ => {}
            }
        }
    }

    /// Modules that a character set needs, by any of its names.
    pub fn modules_of(&self, set: &str) -> BTreeSet<&str> {
        let set = set.to_ascii_uppercase();
        let set = self
            .aliases
            .iter()
            .find(|(alias, _)| *alias == set)
            .map_or(set.as_str(), |(_, real)| real);
        self.modules
            .iter()
            .filter(|one| one.from == set || one.to == set)
            .map(|one| one.module.as_str())
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn services_of_the_asked_databases_are_told_without_their_actions() {
        let text = "# hosts: no\npasswd: files systemd\nhosts:\tfiles mdns4_minimal \
            [NOTFOUND=return] dns [ !UNAVAIL=return ] myhostname # x\ngroup: files ../../evil\n";
        let of = |wanted: &str| {
            let found = name_services(text, |database| database == wanted);
            found.into_iter().collect::<Vec<_>>().join(" ")
        };
        assert_eq!(of("hosts"), "dns files mdns4_minimal myhostname");
        assert_eq!(of("passwd"), "dns files systemd");
        assert_eq!(of("group"), "dns files");
        assert_eq!(of("services"), "dns files");
    }

    #[test]
    fn converters_are_found_by_any_name() {
        let mut converters = Converters::default();
        converters.add(
            "# x\nalias LATIN1// ISO-8859-1//\nmodule ISO-8859-1// INTERNAL ISO8859-1 1\n\
             module INTERNAL ISO-8859-1// ISO8859-1 1\nmodule\nalias x",
        );
        let found = |set: &str| converters.modules_of(set).into_iter().collect::<Vec<_>>();
        assert_eq!(found("latin1"), ["ISO8859-1"]);
        assert_eq!(found("ISO-8859-1"), ["ISO8859-1"]);
        assert!(found("KOI8-R").is_empty());
    }
}
