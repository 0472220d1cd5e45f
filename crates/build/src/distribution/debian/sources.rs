//! Where archives are: as configured, or as the host's apt says.

use super::control::paragraphs;

/// A suite of an archive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Archive {
    /// By which a lock knows it: the last part of its address.
    pub name: String,
    /// Without `/dists/...` and without a slash at the end.
    pub url: String,
    /// `bookworm`, `bookworm-security`.
    pub suite: String,
    /// `main`.
    pub components: Vec<String>,
}

impl Archive {
    /// An archive of this address.
    pub fn new(url: &str, suite: &str, components: &[String]) -> Self {
        let url = url.trim_end_matches('/');
        Self {
            name: url.rsplit('/').next().unwrap_or(url).to_owned(),
            url: url.to_owned(),
            suite: suite.to_owned(),
            components: components.to_vec(),
        }
    }

    /// The archives of a release on a mirror that has them as Debian's own
    /// has: the release, its updates, its security updates.
    pub fn usual(mirror: &str, codename: &str, components: &[String]) -> Vec<Self> {
        let mirror = mirror.trim_end_matches('/');
        [
            ("debian", ""),
            ("debian", "-updates"),
            ("debian-security", "-security"),
        ]
        .map(|(name, more)| {
            Self::new(
                &format!("{mirror}/{name}"),
                &format!("{codename}{more}"),
                components,
            )
        })
        .into()
    }
}

/// The archives of a release that the host's apt uses: `texts` are its
/// `sources.list` and `*.sources`, of either form. Other archives than Debian's
/// own are passed over, for what they add is no part of a base.
pub fn from_apt(texts: &[String], codename: &str, components: &[String]) -> Vec<Archive> {
    let suites = [
        codename.to_owned(),
        format!("{codename}-updates"),
        format!("{codename}-security"),
    ];
    let mut found: Vec<Archive> = Vec::new();
    let mut add = |url: &str, suite: &str, offered: &[&str]| {
        let kept: Vec<String> = components
            .iter()
            .filter(|wanted| offered.contains(&wanted.as_str()))
            .cloned()
            .collect();
        let archive = Archive::new(url, suite, &kept);
        let readable = ["http://", "https://", "file:"]
            .iter()
            .any(|how| url.starts_with(how));
        let known = found
            .iter()
            .any(|one| one.url == archive.url && one.suite == suite);
        if readable && !known && !kept.is_empty() && suites.iter().any(|one| one == suite) {
            found.push(archive);
        }
    };
    for text in texts {
        for line in text.lines().map(str::trim) {
            let Some(rest) = line.strip_prefix("deb ") else {
                continue;
            };
            let rest = match rest.trim_start().strip_prefix('[') {
                Some(options) => options.split_once(']').map_or("", |(_, rest)| rest),
                None => rest,
            };
            let words: Vec<&str> = rest.split_ascii_whitespace().collect();
            if let [url, suite, offered @ ..] = &words[..] {
                add(url, suite, offered);
            }
        }
        for one in paragraphs(text) {
            let words = |name| -> Vec<&str> {
                one.get(name)
                    .unwrap_or("")
                    .split_ascii_whitespace()
                    .collect()
            };
            if !words("Types").contains(&"deb") || one.get("Enabled") == Some("no") {
                continue;
            }
            for url in words("URIs") {
                for suite in words("Suites") {
                    add(url, suite, &words("Components"));
                }
            }
        }
    }
    found
}

/// The release that an `os-release` file is of, if it is Debian's.
pub fn codename(os_release: &str) -> Option<&str> {
    let field = |name: &str| {
        os_release.lines().find_map(|line| {
            let value = line.strip_prefix(name)?.strip_prefix('=')?;
            Some(value.trim_matches(['"', '\'']))
        })
    };
    match field("ID")? {
        "debian" => field("VERSION_CODENAME"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms_of_sources_are_read_and_others_passed_over() {
        let texts = [
            "# x\ndeb [arch=amd64 signed-by=/k] http://a/debian/ bookworm main contrib\n\
             deb-src http://a/debian bookworm main\ndeb http://b/x other main\n"
                .to_owned(),
            "Types: deb\n# note\nURIs: http://a/debian http://a/debian-security\n\
             Suites: bookworm bookworm-security\nComponents: main\n\n\
             Types: deb\nEnabled: no\nURIs: http://c/debian\nSuites: bookworm\nComponents: main\n"
                .to_owned(),
        ];
        let found = from_apt(&texts, "bookworm", &["main".to_owned()]);
        let told: Vec<String> = found
            .iter()
            .map(|one| format!("{} {} {}", one.name, one.url, one.suite))
            .collect();
        assert_eq!(
            told,
            [
                "debian http://a/debian bookworm",
                "debian http://a/debian bookworm-security",
                "debian-security http://a/debian-security bookworm",
                "debian-security http://a/debian-security bookworm-security",
            ]
        );
    }

    #[test]
    fn only_debian_is_debian() {
        assert_eq!(
            codename("ID=debian\nVERSION_CODENAME=bookworm\n"),
            Some("bookworm")
        );
        assert_eq!(codename("ID=\"ubuntu\"\nVERSION_CODENAME=noble\n"), None);
        assert_eq!(codename(""), None);
    }
}
