//! What the installation of packages does besides unpacking them, told as
//! data: no script of a package runs. What a script that is not known would
//! do is left out, and said.

use ounce_oci::layer::EntryKind;

use super::deb::Deb;
use super::dpkg::control;
use super::{accounts, alternatives, ldcache};
use crate::distribution::files::{Files, FilesError, Node};

/// A package's script that is not known here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Skipped {
    /// The package.
    pub package: String,
    /// What is left out, in words.
    pub what: String,
}

/// What a package's `postinst` does to a fresh system.
enum Effect {
    /// A copy, unless there is one.
    Copy(&'static str, &'static str),
    /// A folder with this mode and group.
    Folder(&'static str, u32, &'static str),
    /// A link in place of an empty folder, or where nothing is.
    Link(&'static str, &'static str),
    /// A small file, unless there is one: path, mode, group, content.
    File(&'static str, u32, &'static str, &'static str),
    /// `/etc/shadow` and `/etc/gshadow`.
    Shadow,
    /// `/etc/shells`.
    Shells,
    /// `/etc/pam.d/common-*`.
    Pam,
    /// `/etc/ld.so.cache`.
    LoaderCache,
    /// `/etc/ssl/certs/ca-certificates.crt` and what leads to it.
    Certificates,
}

use Effect::{Certificates, Copy, File, Folder, Link, LoaderCache, Pam, Shadow, Shells};

const HOSTS: &str = "127.0.0.1\tlocalhost\n::1\t\tlocalhost ip6-localhost ip6-loopback\n\
    ff02::1\t\tip6-allnodes\nff02::2\t\tip6-allrouters\n";
const NETWORKS: &str = "default\t\t0.0.0.0\nloopback\t127.0.0.0\nlink-local\t169.254.0.0\n";

/// The packages whose scripts were read, and what these do. An effect whose
/// last name the script does not mention is left out: releases differ.
#[rustfmt::skip]
const KNOWN: &[(&str, &[Effect])] = &[
    ("adduser", &[]),
    ("apt", &[]),
    ("base-files", &[
        Link("etc/dpkg/origins/default", "debian"),
        Copy("usr/share/base-files/dot.profile", "root/.profile"),
        Copy("usr/share/base-files/dot.bashrc", "root/.bashrc"),
        Copy("usr/share/base-files/profile", "etc/profile"),
        Copy("usr/share/base-files/motd", "etc/motd"),
        Folder("mnt", 0o755, "root"),
        Folder("srv", 0o755, "root"),
        Folder("opt", 0o755, "root"),
        Folder("etc/opt", 0o755, "root"),
        Folder("var/opt", 0o755, "root"),
        Folder("media", 0o755, "root"),
        Folder("var/mail", 0o2775, "mail"),
        Link("var/spool/mail", "../mail"),
        Folder("run/lock", 0o1777, "root"),
        Link("var/run", "/run"),
        Link("var/lock", "/run/lock"),
        Folder("usr/local/share/man", 0o755, "root"),
        Folder("usr/local/bin", 0o755, "root"),
        Folder("usr/local/games", 0o755, "root"),
        Folder("usr/local/lib", 0o755, "root"),
        Folder("usr/local/include", 0o755, "root"),
        Folder("usr/local/sbin", 0o755, "root"),
        Folder("usr/local/src", 0o755, "root"),
        Folder("usr/local/etc", 0o755, "root"),
        Link("usr/local/man", "share/man"),
        File("var/log/wtmp", 0o664, "utmp", ""),
        File("var/log/btmp", 0o660, "utmp", ""),
        File("var/log/lastlog", 0o664, "utmp", ""),
    ]),
    ("base-passwd", &[
        Copy("usr/share/base-passwd/passwd.master", "etc/passwd"),
        Copy("usr/share/base-passwd/group.master", "etc/group"),
    ]),
    ("bash", &[]),
    ("ca-certificates", &[Certificates]),
    ("coreutils", &[]),
    ("dash", &[Link("bin/sh", "dash")]),
    ("debconf", &[]),
    ("debian-archive-keyring", &[]),
    ("debianutils", &[Shells]),
    ("dpkg", &[]),
    ("e2fsprogs", &[]),
    ("init-system-helpers", &[]),
    ("libc-bin", &[
        Copy("usr/share/libc-bin/nsswitch.conf", "etc/nsswitch.conf"),
        LoaderCache,
    ]),
    ("libc6", &[]),
    ("libpam-modules", &[]),
    ("libpam-runtime", &[Pam]),
    ("libpam0g", &[]),
    ("login", &[
        File("var/log/faillog", 0o644, "root", ""),
        File("etc/subuid", 0o644, "root", ""),
        File("etc/subgid", 0o644, "root", ""),
    ]),
    ("mawk", &[]),
    ("netbase", &[
        File("etc/hosts", 0o644, "root", HOSTS),
        File("etc/networks", 0o644, "root", NETWORKS),
    ]),
    ("openssl", &[]),
    ("passwd", &[Shadow]),
    ("perl-base", &[]),
    // Their modules are compiled when they are first imported, not here.
    ("libpython3.11-minimal", &[]),
    ("libpython3.13-minimal", &[]),
    ("python3-minimal", &[]),
    ("python3", &[]),
    ("python3.11-minimal", &[Folder("usr/local/lib/python3.11/dist-packages", 0o755, "root")]),
    ("python3.13-minimal", &[Folder("usr/local/lib/python3.13/dist-packages", 0o755, "root")]),
    ("python3.11", &[]),
    ("python3.13", &[]),
    ("tar", &[]),
    ("tzdata", &[
        Link("etc/localtime", "/usr/share/zoneinfo/Etc/UTC"),
        File("etc/timezone", 0o644, "root", "Etc/UTC\n"),
    ]),
    ("usr-is-merged", &[]),
    ("util-linux", &[]),
    ("util-linux-extra", &[]),
];

/// Does to `files` what the packages' scripts would, `days` since 1970 being
/// the day on which it happens.
///
/// # Errors
/// Something stands in the way, as a file where a folder belongs.
pub(crate) fn apply(
    files: &mut Files,
    debs: &[Deb],
    days: u64,
) -> Result<Vec<Skipped>, FilesError> {
    let mut skipped = Vec::new();
    let mut last = Vec::new();
    // Whose groups the others' files are of.
    let is_accounts = |deb: &&Deb| package_name(deb) == "base-passwd";
    let first = debs.iter().filter(is_accounts);
    for deb in first.chain(debs.iter().filter(|deb| !is_accounts(deb))) {
        let name = package_name(deb);
        let script = deb.control_text("postinst");
        let known = KNOWN.iter().find(|(known, _)| *known == name);
        match (known, script) {
            (Some((_, effects)), script) => {
                for effect in *effects {
                    match effect {
                        // Of what all the others have done.
                        LoaderCache | Shadow | Shells => last.push(effect),
                        _ => one(files, effect, script.unwrap_or(""), days)?,
                    }
                }
            }
            (None, Some(script)) => {
                let strange = strange(script);
                if !strange.is_empty() {
                    skipped.push(Skipped {
                        package: name.to_owned(),
                        what: told(&strange),
                    });
                }
            }
            // A script in another language than sh's.
            (None, None) if deb.control.iter().any(|(name, _)| name == "postinst") => {
                skipped.push(Skipped {
                    package: name.to_owned(),
                    what: "its postinst is no text".to_owned(),
                });
            }
            (None, None) => {}
        }
        if let Some(script) = script {
            for left_out in alternatives::install(files, script)? {
                skipped.push(Skipped {
                    package: name.to_owned(),
                    what: left_out,
                });
            }
        }
    }
    for effect in last {
        one(files, effect, "", days)?;
    }
    Ok(skipped)
}

fn package_name(deb: &Deb) -> &str {
    let fields = control(deb);
    fields
        .and_then(|fields| fields.get("Package"))
        .unwrap_or("")
}

fn one(files: &mut Files, effect: &Effect, script: &str, days: u64) -> Result<(), FilesError> {
    let mentions = |path: &str| {
        let name = path.rsplit('/').next().unwrap_or(path);
        script.contains(name)
    };
    match effect {
        Copy(from, to) => {
            let found = files.open(from).map(|(_, node)| node.clone());
            if let (Some(node), None) = (found, files.get(to)) {
                files.put(to, node)?;
            }
        }
        Folder(path, mode, group) if mentions(path) => {
            let group = accounts::group(files, group);
            match files.is_folder(path) {
                // Only new ones are given a mode.
                true => {}
                false => files.put(path, Node::folder(*mode).owned(0, group))?,
            }
        }
        Link(path, target) if mentions(path) => {
            let real = files.real(path)?;
            let is_filled = files.within(&real).next().is_some();
            let replaced = match files.get(path).map(|node| &node.kind) {
                None => true,
                Some(EntryKind::Directory) => !is_filled,
                Some(_) => false,
            };
            if replaced {
                files.put(path, Node::link(*target))?;
            }
        }
        File(path, mode, group, content) if mentions(path) && files.get(path).is_none() => {
            let group = accounts::group(files, group);
            files.put(path, Node::file(*mode, *content).owned(0, group))?;
        }
        Shadow => accounts::shadow(files, days)?,
        Shells => accounts::shells(files)?,
        Pam => accounts::pam(files)?,
        LoaderCache => {
            if let Some(cache) = ldcache::cache(files) {
                files.put("etc/ld.so.cache", Node::file(0o644, cache))?;
            }
            files.add("var/cache/ldconfig", Node::folder(0o700))?;
        }
        Certificates => certificates(files)?,
        Folder(..) | Link(..) | File(..) => {}
    }
    Ok(())
}

/// As `update-ca-certificates` makes them, but for the links by the
/// certificates' hashes: OpenSSL is led to the bundle instead.
pub(crate) fn certificates(files: &mut Files) -> Result<(), FilesError> {
    const FROM: &str = "usr/share/ca-certificates";
    let found: Vec<(String, Vec<u8>)> = files
        .within(FROM)
        .filter(|(path, _)| path.ends_with(".crt"))
        .filter_map(|(path, node)| Some((path.to_owned(), node.bytes()?.to_vec())))
        .collect();
    let (mut bundle, mut list) = (Vec::new(), String::new());
    for (path, bytes) in &found {
        bundle.extend(bytes);
        if !bytes.ends_with(b"\n") {
            bundle.push(b'\n');
        }
        list.push_str(&path[FROM.len() + 1..]);
        list.push('\n');
        let name = path.rsplit('/').next().unwrap_or(path);
        let name = name
            .replace([' ', '(', ')', ','], "_")
            .replace(".crt", ".pem");
        files.put(
            &format!("etc/ssl/certs/{name}"),
            Node::link(format!("/{path}")),
        )?;
    }
    files.put(
        "etc/ssl/certs/ca-certificates.crt",
        Node::file(0o644, bundle),
    )?;
    files.put("etc/ca-certificates.conf", Node::file(0o644, list))?;
    // OpenSSL's own default file; Debian's leaves it to the administrator.
    if files.get("usr/lib/ssl/cert.pem").is_none() {
        files.put(
            "usr/lib/ssl/cert.pem",
            Node::link("/etc/ssl/certs/ca-certificates.crt"),
        )?;
    }
    Ok(())
}

/// The commands of a script that are not known to change nothing here.
///
/// What debhelper adds is known by the name of the tool that it says: services
/// are not started or enabled in an image, menus and caches not rebuilt.
fn strange(script: &str) -> Vec<&str> {
    const TOOLS: [&str; 14] = [
        "dh_makeshlibs",
        "dh_installdeb",
        "dh_installinit",
        "dh_installsystemd",
        "dh_python3",
        "dh_installtmpfiles",
        "dh_installmenu",
        "dh_icons",
        "dh_installmime",
        "dh_apparmor",
        "dh_installdebconf",
        "dh_systemd_enable",
        "dh_systemd_start",
        "dh_installcron",
    ];
    const NOTHING: [&str; 12] = [
        "set", "exit", "case", "esac", "if", "fi", "then", "else", "elif", ";;", ":", "true",
    ];
    let mut strange = Vec::new();
    let (mut by_tool, mut goes_on) = (false, false);
    for line in script.lines().map(str::trim) {
        if let Some(tool) = line.strip_prefix("# Automatically added by ") {
            by_tool = TOOLS.iter().any(|known| tool.starts_with(known));
        } else if line.starts_with("# End automatically added section") {
            by_tool = false;
        }
        let follows = std::mem::replace(&mut goes_on, line.ends_with('\\'));
        let first = line.split_ascii_whitespace().next().unwrap_or("");
        let is_label = line.ends_with(')') && !line.contains('(');
        let harmless = line.is_empty()
            || line.starts_with('#')
            || NOTHING.contains(&first)
            || is_label
            || first == "update-alternatives"
            || first == "dpkg-maintscript-helper"
            || first == "ldconfig"
            || first.starts_with("deb-systemd-");
        if !by_tool && !harmless && !follows {
            strange.push(line);
        }
    }
    strange
}

fn told(strange: &[&str]) -> String {
    let first = strange[0];
    let shown: String = first.chars().take(60).collect();
    let dots = if shown.len() < first.len() { "..." } else { "" };
    match strange.len() {
        1 => format!("its postinst, which is not run: `{shown}{dots}`"),
        count => format!("its postinst, which is not run: {count} commands from `{shown}{dots}`"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn deb(name: &str, postinst: &str) -> Deb {
        Deb {
            control: vec![
                (
                    "control".to_owned(),
                    format!("Package: {name}\n").into_bytes(),
                ),
                ("postinst".to_owned(), postinst.as_bytes().to_vec()),
            ],
            ..Deb::default()
        }
    }

    #[test]
    fn a_script_that_is_not_known_is_named_with_what_it_would_do() {
        let mut files = Files::new();
        let script =
            "#!/bin/sh\nset -e\nadduser --system daemonet\nchown daemonet /var/x\nexit 0\n";
        let skipped = apply(&mut files, &[deb("daemonet", script)], 0).unwrap();
        assert_eq!(skipped[0].package, "daemonet");
        assert_eq!(
            skipped[0].what,
            "its postinst, which is not run: 2 commands from `adduser --system daemonet`"
        );
    }

    #[test]
    fn what_debhelper_adds_changes_nothing_in_an_image() {
        let script = "#!/bin/sh\nset -e\ncase \"$1\" in\n  configure)\n  ;;\nesac\n\
            # Automatically added by dh_installsystemd/13\n\
            if deb-systemd-helper --quiet was-enabled 'a.timer'; then\n\tstart a\nfi\n\
            # End automatically added section\nexit 0\n";
        assert!(
            apply(&mut Files::new(), &[deb("x", script)], 0)
                .unwrap()
                .is_empty()
        );
        let script = script.replace("dh_installsystemd", "dh_installsysusers");
        assert_eq!(
            apply(&mut Files::new(), &[deb("x", &script)], 0)
                .unwrap()
                .len(),
            1
        );
    }

    #[test]
    fn known_effects_are_those_that_the_script_speaks_of() {
        let mut files = Files::new();
        files.add("var/run", Node::folder(0o755)).unwrap();
        files
            .add("etc/group", Node::file(0o644, "mail:x:8:\n"))
            .unwrap();
        let script = "install_directory var/mail 2775 mail\nmigrate_directory /var/run /run";
        apply(&mut files, &[deb("base-files", script)], 0).unwrap();
        let mail = files.get("var/mail").unwrap();
        assert_eq!((mail.mode, mail.gid), (0o2775, 8));
        assert_eq!(
            files.get("var/run").unwrap().kind,
            EntryKind::Symlink("/run".to_owned())
        );
        assert!(files.get("var/log/lastlog").is_none());
    }
}
