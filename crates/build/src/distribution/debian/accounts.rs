//! Users, groups, shells and how they log in: what the scripts of `passwd`,
//! `debianutils` and `libpam-runtime` make of other packages' files.

use crate::distribution::files::{Files, FilesError, Node};

fn text<'f>(files: &'f Files, path: &str) -> &'f str {
    let bytes = files.open(path).and_then(|(_, node)| node.bytes());
    bytes
        .and_then(|bytes| std::str::from_utf8(bytes).ok())
        .unwrap_or("")
}

/// A group's number; root's where there is no such group.
pub(crate) fn group(files: &Files, name: &str) -> u32 {
    let found = text(files, "etc/group").lines().find_map(|line| {
        let mut fields = line.split(':');
        (fields.next()? == name).then(|| fields.nth(1)?.parse().ok())?
    });
    found.unwrap_or(0)
}

/// `shadowconfig on`: passwords, of which there are none, in files that only
/// root reads. On day 0 the day of their last change is left out: it would
/// mean that root has to change his at once (shadow(5)).
pub(crate) fn shadow(files: &mut Files, days: u64) -> Result<(), FilesError> {
    let day = if days == 0 {
        String::new()
    } else {
        days.to_string()
    };
    let users: String = text(files, "etc/passwd")
        .lines()
        .filter_map(|line| line.split(':').next())
        .map(|name| format!("{name}:*:{day}:0:99999:7:::\n"))
        .collect();
    let groups: String = text(files, "etc/group")
        .lines()
        .filter_map(|line| {
            let mut fields = line.split(':');
            let name = fields.next()?;
            Some(format!("{name}:*::{}\n", fields.nth(2).unwrap_or("")))
        })
        .collect();
    let owner = group(files, "shadow");
    // Where the password is looked for: in the other file.
    for path in ["etc/passwd", "etc/group"] {
        let pointed: String = text(files, path)
            .lines()
            .map(|line| match line.splitn(3, ':').collect::<Vec<_>>()[..] {
                [name, "*", rest] => format!("{name}:x:{rest}\n"),
                _ => format!("{line}\n"),
            })
            .collect();
        if !pointed.is_empty() {
            files.put(path, Node::file(0o644, pointed))?;
        }
    }
    for (path, content) in [("etc/shadow", users), ("etc/gshadow", groups)] {
        if files.get(path).is_none() && !content.is_empty() {
            files.put(path, Node::file(0o640, content).owned(0, owner))?;
        }
    }
    Ok(())
}

/// `update-shells`: those that the packages name, each once by every path.
pub(crate) fn shells(files: &mut Files) -> Result<(), FilesError> {
    let mut shells = text(files, "usr/share/debianutils/shells").to_owned();
    let mut state = String::new();
    let named: Vec<String> = files
        .within("usr/share/debianutils/shells.d")
        .map(|(path, _)| path.to_owned())
        .collect();
    for path in named {
        let lines = text(files, &path).lines();
        for shell in lines.map(|line| line.split('#').next().unwrap_or("").trim()) {
            if !shell.starts_with('/') {
                continue;
            }
            for shell in [shell.to_owned(), format!("/usr{shell}")] {
                // The second path is there where folders are merged.
                if files.open(&shell[1..]).is_none() {
                    continue;
                }
                state.push_str(&format!("{shell}\n"));
                if !shells.lines().any(|known| known == shell) {
                    shells.push_str(&format!("{shell}\n"));
                }
            }
        }
    }
    files.put("etc/shells", Node::file(0o644, shells))?;
    files.put("var/lib/shells.state", Node::file(0o644, state))
}

/// A way to log in, of `/usr/share/pam-configs`.
struct Profile {
    file: String,
    priority: i64,
    text: String,
}

impl Profile {
    /// The lines of `Auth:` and the like; as the first of a stack, those of
    /// `Auth-Initial:` where there are some.
    fn lines(&self, kind: &str, is_first: bool) -> Vec<String> {
        let block = |name: &str| -> Vec<String> {
            let mut lines = self.text.lines().skip_while(|line| line.trim() != name);
            lines.next();
            lines
                .take_while(|line| line.starts_with([' ', '\t']))
                .map(|line| line.trim().to_owned())
                .collect()
        };
        let initial = block(&format!("{kind}-Initial:"));
        match is_first && !initial.is_empty() {
            true => initial,
            false => block(&format!("{kind}:")),
        }
    }

    fn is_primary(&self, kind: &str) -> bool {
        self.text.contains(&format!("{kind}-Type: Primary"))
    }
}

/// `pam-auth-update --package`, with the profiles that are on by default.
pub(crate) fn pam(files: &mut Files) -> Result<(), FilesError> {
    let mut profiles: Vec<Profile> = files
        .within("usr/share/pam-configs")
        .map(|(path, _)| Profile {
            file: path.rsplit('/').next().unwrap_or(path).to_owned(),
            priority: 0,
            text: text(files, path).to_owned(),
        })
        .collect();
    let seen: String = profiles
        .iter()
        .map(|one| format!("{}\n", one.file))
        .collect();
    profiles.retain(|one| one.text.contains("\nDefault: yes"));
    for one in &mut profiles {
        let line = one
            .text
            .lines()
            .find_map(|line| line.strip_prefix("Priority:"));
        one.priority = line.and_then(|text| text.trim().parse().ok()).unwrap_or(0);
    }
    profiles.sort_by(|a, b| (b.priority, &a.file).cmp(&(a.priority, &b.file)));
    for (file, kind, word) in [
        ("common-auth", "Auth", "auth"),
        ("common-account", "Account", "account"),
        ("common-password", "Password", "password"),
        ("common-session", "Session", "session"),
        ("common-session-noninteractive", "Session", "session"),
    ] {
        let template = text(files, &format!("usr/share/pam/{file}")).to_owned();
        if template.is_empty() {
            continue;
        }
        let of = |profile: &&Profile| {
            !(file.ends_with("noninteractive")
                && profile.text.contains("Session-Interactive-Only: yes"))
        };
        let stack = |primary: bool| -> Vec<String> {
            let chosen = profiles.iter().filter(of);
            let chosen: Vec<_> = chosen
                .filter(|one| one.is_primary(kind) == primary)
                .collect();
            let lines = chosen
                .iter()
                .enumerate()
                .flat_map(|(at, one)| one.lines(kind, at == 0));
            lines.collect()
        };
        let primary = stack(true);
        let count = primary.len();
        let primary: Vec<String> = match count {
            0 => vec![format!("{word}\t[default=1]\t\t\tpam_permit.so")],
            // `end` is so many modules further on.
            _ => primary
                .iter()
                .enumerate()
                .map(|(at, line)| {
                    format!(
                        "{word}\t{}",
                        line.replace("=end", &format!("={}", count - at))
                    )
                })
                .collect(),
        };
        let additional: Vec<String> = stack(false)
            .iter()
            .map(|line| format!("{word}\t{line}"))
            .collect();
        let done: Vec<String> = template
            .lines()
            .filter_map(|line| match line {
                line if line.starts_with('$') && line.ends_with("_primary") => {
                    Some(primary.join("\n"))
                }
                line if line.starts_with('$') && line.ends_with("_additional") => {
                    (!additional.is_empty()).then(|| additional.join("\n"))
                }
                line => Some(line.to_owned()),
            })
            .collect();
        let done = done.join("\n") + "\n";
        files.put(&format!("etc/pam.d/{file}"), Node::file(0o644, done))?;
    }
    files.put("var/lib/pam/seen", Node::file(0o644, seen))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(contents: &[(&str, &str)]) -> Files {
        let mut files = Files::new();
        for (path, text) in contents {
            files.add(path, Node::file(0o644, *text)).unwrap();
        }
        files
    }

    #[test]
    fn shadow_has_a_line_for_each_user_and_only_root_reads_it() {
        let mut files = with(&[
            (
                "etc/passwd",
                "root:*:0:0:root:/root:/bin/sh\nmail:x:8:8::/:/bin/false\n",
            ),
            ("etc/group", "root:x:0:\nshadow:x:42:\nusers:x:100:a,b\n"),
        ]);
        shadow(&mut files, 0).unwrap();
        assert_eq!(
            text(&files, "etc/shadow"),
            "root:*::0:99999:7:::\nmail:*::0:99999:7:::\n"
        );
        assert_eq!(
            text(&files, "etc/gshadow"),
            "root:*::\nshadow:*::\nusers:*::a,b\n"
        );
        assert!(text(&files, "etc/passwd").starts_with("root:x:0:0:"));
        let node = files.get("etc/shadow").unwrap();
        assert_eq!((node.mode, node.gid), (0o640, 42));
    }

    #[test]
    fn shells_are_told_by_both_their_paths() {
        let mut files = with(&[
            ("usr/bin/dash", ""),
            ("usr/share/debianutils/shells", "# shells\n"),
            (
                "usr/share/debianutils/shells.d/dash",
                "/bin/dash\n/bin/gone\n",
            ),
        ]);
        files.add("bin", Node::link("usr/bin")).unwrap();
        shells(&mut files).unwrap();
        assert_eq!(
            text(&files, "etc/shells"),
            "# shells\n/bin/dash\n/usr/bin/dash\n"
        );
    }

    #[test]
    fn ways_to_log_in_stand_by_priority_and_jump_past_the_rest() {
        let mut files = with(&[
            (
                "usr/share/pam/common-auth",
                "# x\n$auth_primary\ndeny\n$auth_additional\n# end\n",
            ),
            (
                "usr/share/pam/common-session",
                "$session_primary\n$session_additional\n",
            ),
            (
                "usr/share/pam-configs/unix",
                "Name: U\nDefault: yes\nPriority: 256\nAuth-Type: Primary\nAuth:\n\t[success=end] u try\n\
                 Auth-Initial:\n\t[success=end] u\nSession-Type: Additional\nSession:\n\trequired u\n",
            ),
            (
                "usr/share/pam-configs/low",
                "Name: L\nDefault: yes\nPriority: 1\nAuth-Type: Primary\nAuth:\n\t[success=end] l\n",
            ),
            (
                "usr/share/pam-configs/off",
                "Name: O\nDefault: no\nPriority: 9\n",
            ),
        ]);
        pam(&mut files).unwrap();
        assert_eq!(
            text(&files, "etc/pam.d/common-auth"),
            "# x\nauth\t[success=2] u\nauth\t[success=1] l\ndeny\n# end\n"
        );
        assert_eq!(
            text(&files, "etc/pam.d/common-session"),
            "session\t[default=1]\t\t\tpam_permit.so\nsession\trequired u\n"
        );
        assert_eq!(text(&files, "var/lib/pam/seen"), "low\noff\nunix\n");
    }
}
