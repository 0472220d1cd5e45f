//! What packages' scripts would do, done without running them. A script is
//! either one whose effects are known (busybox's links, the certificates'
//! bundle), or one of plain commands that are known (users, folders, owners);
//! whatever else it does is skipped and told by name.

use super::shell::{self, Statement};
use super::users::{self, NewUser};
use crate::distribution::files::{Files, FilesError, Node};
use ounce_oci::layer::EntryKind;

/// Scripts that run when a package is installed where nothing was.
const AT_INSTALL: [&str; 3] = ["pre-install", "post-install", "trigger"];

/// What became of a script.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct ScriptNote {
    /// Of which package.
    pub package: String,
    /// `pre-install`, `post-install` or `trigger`.
    pub script: String,
    /// What was done in its place.
    pub done: Vec<String>,
    /// What was skipped: lines as they stand there.
    pub skipped: Vec<String>,
}

/// Whether a script of this kind would run at all.
pub(super) fn runs_at_install(kind: &str) -> bool {
    AT_INSTALL.contains(&kind)
}

/// Does what a script would do.
pub(super) fn apply(
    package: &str,
    kind: &str,
    text: &[u8],
    files: &mut Files,
) -> Result<ScriptNote, FilesError> {
    let mut note = ScriptNote {
        package: package.to_owned(),
        script: kind.to_owned(),
        done: Vec::new(),
        skipped: Vec::new(),
    };
    match (package, kind) {
        ("busybox", _) => note.done.extend(busybox_links(files)?),
        ("ca-certificates", _) => note.done.extend(certificates(files)?),
        // Its post-install gives /etc/shadow to the group that came later; the
        // rest is for what an older version left.
        ("alpine-baselayout", "pre-install") => {}
        ("alpine-baselayout", "post-install") => note.done.extend(shadow(files)),
        _ => by_line(text, files, &mut note)?,
    }
    Ok(note)
}

fn by_line(text: &[u8], files: &mut Files, note: &mut ScriptNote) -> Result<(), FilesError> {
    let Ok(text) = std::str::from_utf8(text) else {
        note.skipped.push("all of it: it is no text".to_owned());
        return Ok(());
    };
    let statements = match shell::parse(text) {
        Ok(statements) => statements,
        Err(line) => {
            note.skipped
                .push(format!("all of it, since it decides as it runs: {line}"));
            return Ok(());
        }
    };
    for statement in statements {
        match statement {
            Statement::Other(text) => note.skipped.push(text),
            Statement::Command(words) => {
                let name = words[0].rsplit('/').next().unwrap_or_default();
                if name == "exit" {
                    break;
                }
                let arguments: Vec<&str> = words[1..].iter().map(String::as_str).collect();
                match command(name, &arguments, files)? {
                    Some(done) => note.done.extend(done),
                    None => note.skipped.push(words.join(" ")),
                }
            }
        }
    }
    Ok(())
}

/// `None`: it is not known.
fn command(
    name: &str,
    arguments: &[&str],
    files: &mut Files,
) -> Result<Option<Vec<String>>, FilesError> {
    Ok(match name {
        "true" | ":" | "set" | "echo" | "printf" | "cat" | "umask" => Some(Vec::new()),
        "addgroup" => add_group(arguments, files)?,
        "adduser" => add_user(arguments, files)?,
        "mkdir" => make_folders(arguments, files)?,
        "install" => install(arguments, files)?,
        "chown" => change(arguments, files, true),
        "chgrp" => match arguments {
            [group, rest @ ..] if !group.starts_with('-') => {
                let owner = format!(":{group}");
                change(&[&[owner.as_str()], rest].concat(), files, true)
            }
            _ => None,
        },
        "chmod" => change(arguments, files, false),
        "ln" => link(arguments, files)?,
        "touch" => touch(arguments, files)?,
        "busybox" if arguments.first() == Some(&"--install") => Some(busybox_links(files)?),
        "update-ca-certificates" => Some(certificates(files)?),
        _ => None,
    })
}

/// Options without a value, those with one, and the rest.
type Options<'a> = (Vec<char>, Vec<(char, &'a str)>, Vec<&'a str>);

/// Tells options from the rest. `None`: one is not known.
fn options<'a>(arguments: &[&'a str], flags: &str, with_value: &str) -> Option<Options<'a>> {
    let (mut set, mut values, mut rest) = (Vec::new(), Vec::new(), Vec::new());
    let mut arguments = arguments.iter();
    while let Some(argument) = arguments.next() {
        let letters = match argument.strip_prefix('-') {
            Some("-") => {
                rest.extend(arguments.by_ref());
                break;
            }
            Some(letters) if !letters.is_empty() => letters,
            _ => {
                rest.push(*argument);
                continue;
            }
        };
        for (at, letter) in letters.char_indices() {
            if flags.contains(letter) {
                set.push(letter);
            } else if with_value.contains(letter) {
                let inner = &letters[at + letter.len_utf8()..];
                let value = match inner {
                    "" => arguments.next()?,
                    inner => inner,
                };
                values.push((letter, value));
                break;
            } else {
                return None;
            }
        }
    }
    Some((set, values, rest))
}

fn add_group(arguments: &[&str], files: &mut Files) -> Result<Option<Vec<String>>, FilesError> {
    let Some((_, values, rest)) = options(arguments, "S", "g") else {
        return Ok(None);
    };
    let gid = match values.last() {
        Some((_, text)) => match text.parse() {
            Ok(gid) => Some(gid),
            Err(_) => return Ok(None),
        },
        None => None,
    };
    Ok(match rest[..] {
        [group] if is_user_name(group) => {
            users::add_group(files, group, gid)?.map(|gid| vec![format!("group {group} is {gid}")])
        }
        [user, group] => {
            users::join(files, user, group)?.then(|| vec![format!("{user} is in group {group}")])
        }
        _ => None,
    })
}

fn add_user(arguments: &[&str], files: &mut Files) -> Result<Option<Vec<String>>, FilesError> {
    let Some((flags, values, rest)) = options(arguments, "SDH", "hgsGuk") else {
        return Ok(None);
    };
    let value = |wanted| {
        let mut all = values.iter().rev();
        all.find(|(letter, _)| *letter == wanted)
            .map(|(_, value)| (*value).to_owned())
    };
    let uid = match value('u').map(|text| text.parse()) {
        Some(Err(_)) => return Ok(None),
        other => other.and_then(Result::ok),
    };
    let text = |text: &Option<String>| {
        text.as_deref()
            .is_none_or(|text| !text.contains([':', '\n']))
    };
    match rest[..] {
        [name] if is_user_name(name) => {
            let user = NewUser {
                name: name.to_owned(),
                uid,
                group: value('G'),
                comment: value('g'),
                home: value('h'),
                shell: value('s'),
                make_home: !flags.contains(&'H'),
            };
            if ![&user.comment, &user.home, &user.shell]
                .into_iter()
                .all(text)
            {
                return Ok(None);
            }
            let found = users::add_user(files, &user)?;
            Ok(found.map(|uid| vec![format!("user {name} is {uid}")]))
        }
        [user, group] => {
            Ok(users::join(files, user, group)?
                .then(|| vec![format!("{user} is in group {group}")]))
        }
        _ => Ok(None),
    }
}

fn is_user_name(name: &str) -> bool {
    !name.is_empty()
        && !name.starts_with('-')
        && name
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.'))
}

/// A path of the image from one of a script; scripts run at the root.
fn place(path: &str) -> Option<&str> {
    let path = path.trim_matches('/');
    let plain = |part: &str| !matches!(part, "" | "." | "..");
    path.split('/').all(plain).then_some(path)
}

fn places<'a>(paths: &[&'a str]) -> Option<Vec<&'a str>> {
    match paths.is_empty() {
        true => None,
        false => paths.iter().map(|path| place(path)).collect(),
    }
}

/// Makes a folder and those above it; one that is there stays.
fn make_folder(files: &mut Files, path: &str, node: Node) -> Result<(), FilesError> {
    for (at, _) in path.match_indices('/') {
        if !files.is_folder(&path[..at]) {
            files.add(&path[..at], Node::folder(0o755))?;
        }
    }
    match files.is_folder(path) {
        true => Ok(()),
        false => files.add(path, node),
    }
}

fn octal(text: &str) -> Option<u32> {
    u32::from_str_radix(text, 8)
        .ok()
        .filter(|mode| *mode <= 0o7777)
}

fn make_folders(arguments: &[&str], files: &mut Files) -> Result<Option<Vec<String>>, FilesError> {
    let Some((_, values, rest)) = options(arguments, "pv", "m") else {
        return Ok(None);
    };
    let mode = values.last().map_or(Some(0o755), |(_, text)| octal(text));
    let (Some(mode), Some(paths)) = (mode, places(&rest)) else {
        return Ok(None);
    };
    for path in &paths {
        make_folder(files, path, Node::folder(mode))?;
    }
    Ok(Some(
        paths.iter().map(|path| format!("made /{path}")).collect(),
    ))
}

/// Only as `install -d`.
fn install(arguments: &[&str], files: &mut Files) -> Result<Option<Vec<String>>, FilesError> {
    let Some((flags, values, rest)) = options(arguments, "d", "mog") else {
        return Ok(None);
    };
    let (mut mode, mut uid, mut gid) = (Some(0o755), Some(0), Some(0));
    for (letter, text) in values {
        match letter {
            'm' => mode = octal(text),
            'o' => uid = text.parse().ok().or_else(|| users::uid_of(files, text)),
            _ => gid = text.parse().ok().or_else(|| users::gid_of(files, text)),
        }
    }
    let (Some(mode), Some(uid), Some(gid), Some(paths), true) =
        (mode, uid, gid, places(&rest), flags.contains(&'d'))
    else {
        return Ok(None);
    };
    for path in &paths {
        make_folder(files, path, Node::folder(mode).owned(uid, gid))?;
    }
    Ok(Some(
        paths.iter().map(|path| format!("made /{path}")).collect(),
    ))
}

/// `chown` and `chmod`, of what is there.
fn change(arguments: &[&str], files: &mut Files, owner: bool) -> Option<Vec<String>> {
    let (flags, _, rest) = options(arguments, "Rhvf", "")?;
    let (what, paths) = rest.split_first()?;
    let paths = places(paths)?;
    let (mut mode, mut uid, mut gid) = (None, None, None);
    if owner {
        let (user, group) = match what.split_once([':', '.']) {
            Some((user, group)) => (user, Some(group)),
            None => (*what, None),
        };
        if !user.is_empty() {
            let known = user.parse().ok().or_else(|| users::uid_of(files, user));
            uid = Some(known?);
        }
        if let Some(group) = group.filter(|group| !group.is_empty()) {
            let known = group.parse().ok().or_else(|| users::gid_of(files, group));
            gid = Some(known?);
        }
    } else {
        mode = Some(octal(what)?);
    }
    let mut set = |path: &str| {
        if let Some(node) = files.get_mut(path) {
            node.mode = mode.unwrap_or(node.mode);
            node.uid = uid.unwrap_or(node.uid);
            node.gid = gid.unwrap_or(node.gid);
        }
    };
    for path in &paths {
        set(path);
    }
    if flags.contains(&'R') {
        for path in &paths {
            let within: Vec<String> = files
                .within(path)
                .filter(|(_, node)| !matches!(node.kind, EntryKind::Symlink(_)))
                .map(|(path, _)| path.to_owned())
                .collect();
            for path in within {
                if let Some(node) = files.get_mut(&path) {
                    node.mode = mode.unwrap_or(node.mode);
                    node.uid = uid.unwrap_or(node.uid);
                    node.gid = gid.unwrap_or(node.gid);
                }
            }
        }
    }
    let verb = if owner { "owned by" } else { "of mode" };
    Some(
        paths
            .iter()
            .map(|path| format!("/{path} is {verb} {what}"))
            .collect(),
    )
}

fn link(arguments: &[&str], files: &mut Files) -> Result<Option<Vec<String>>, FilesError> {
    let Some((flags, _, rest)) = options(arguments, "sfn", "") else {
        return Ok(None);
    };
    let ([target, at], true) = (&rest[..], flags.contains(&'s')) else {
        return Ok(None);
    };
    let Some(at) = place(at).filter(|at| !files.is_folder(at)) else {
        return Ok(None);
    };
    if files.get(at).is_some() && !flags.contains(&'f') {
        return Ok(None);
    }
    files.put(at, Node::link(*target))?;
    Ok(Some(vec![format!("/{at} is a link to {target}")]))
}

fn touch(arguments: &[&str], files: &mut Files) -> Result<Option<Vec<String>>, FilesError> {
    let Some(paths) = places(arguments) else {
        return Ok(None);
    };
    for path in &paths {
        if files.open(path).is_none() {
            files.add(path, Node::file(0o644, ""))?;
        }
    }
    Ok(Some(
        paths.iter().map(|path| format!("made /{path}")).collect(),
    ))
}

/// `/etc/shadow` belongs to the group `shadow`.
fn shadow(files: &mut Files) -> Vec<String> {
    let Some(gid) = users::gid_of(files, "shadow") else {
        return Vec::new();
    };
    match files.get_mut("etc/shadow") {
        Some(node) => {
            node.gid = gid;
            vec![format!("/etc/shadow is of group shadow ({gid})")]
        }
        None => Vec::new(),
    }
}

/// The links by which busybox's programs are called, as `busybox --install -s`
/// makes them: only where nothing stands.
fn busybox_links(files: &mut Files) -> Result<Vec<String>, FilesError> {
    let mut made = 0;
    for (program, list) in [
        ("bin/busybox", "etc/busybox-paths.d/busybox"),
        ("bin/busybox-extras", "etc/busybox-paths.d/busybox-extras"),
    ] {
        let Some((_, node)) = files.open(program) else {
            continue;
        };
        let stated = files.open(list).and_then(|(_, node)| node.bytes());
        let paths: Vec<String> = match stated {
            Some(text) => String::from_utf8_lossy(text)
                .split_whitespace()
                .filter_map(|path| place(path).map(str::to_owned))
                .collect(),
            // Older ones have no list; the names are in the program.
            None => applets(node.bytes().unwrap_or_default())
                .into_iter()
                .map(|name| format!("bin/{name}"))
                .collect(),
        };
        for path in paths {
            if files.get(&path).is_some() {
                continue;
            }
            if let Some((folder, _)) = path.rsplit_once('/') {
                make_folder(files, folder, Node::folder(0o755))?;
            }
            files.add(&path, Node::link(format!("/{program}")))?;
            made += 1;
        }
    }
    Ok(match made {
        0 => Vec::new(),
        made => vec![format!("{made} links to busybox")],
    })
}

/// The names in a busybox: a sorted list with zeros between, which begins with
/// `[` and `[[` where these are built in.
fn applets(program: &[u8]) -> Vec<String> {
    let start = b"\0[\0[[\0";
    let Some(at) = program.windows(start.len()).position(|part| part == start) else {
        return Vec::new();
    };
    let mut names: Vec<String> = Vec::new();
    for name in program[at + 1..].split(|byte| *byte == 0).take(1000) {
        let is_name = !name.is_empty()
            && name.len() < 32
            && name
                .iter()
                .all(|byte| byte.is_ascii_alphanumeric() || b"[_-.+".contains(byte));
        let Ok(name) = std::str::from_utf8(name) else {
            break;
        };
        let sorted = names.last().is_none_or(|last| last.as_str() < name);
        if !is_name || !sorted {
            break;
        }
        names.push(name.to_owned());
    }
    names
}

/// The bundle of certificates that `update-ca-certificates` writes, of all that
/// `/etc/ca-certificates.conf` does not deselect. Its links by hashes of names
/// are left away: what verifies by the folder alone is old.
fn certificates(files: &mut Files) -> Result<Vec<String>, FilesError> {
    let root = "usr/share/ca-certificates";
    let bundle = "etc/ssl/certs/ca-certificates.crt";
    let listed = files
        .open("etc/ca-certificates.conf")
        .and_then(|(_, node)| node.bytes())
        .map(|bytes| String::from_utf8_lossy(bytes).into_owned())
        .unwrap_or_default();
    let deselected: Vec<&str> = listed
        .lines()
        .filter_map(|line| line.strip_prefix('!'))
        .collect();
    let mut text = Vec::new();
    let mut count = 0;
    for folder in [root, "usr/local/share/ca-certificates"] {
        for (path, node) in files.within(folder) {
            let name = path.strip_prefix(&format!("{folder}/")).unwrap_or(path);
            let Some(bytes) = node.bytes() else { continue };
            if !name.ends_with(".crt") || deselected.contains(&name) {
                continue;
            }
            text.extend_from_slice(bytes);
            if !bytes.ends_with(b"\n") {
                text.push(b'\n');
            }
            count += 1;
        }
    }
    if count == 0 {
        return Ok(Vec::new());
    }
    make_folder(files, "etc/ssl/certs", Node::folder(0o755))?;
    files.put(bundle, Node::file(0o644, text))?;
    Ok(vec![format!("{count} certificates are in /{bundle}")])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn system() -> Files {
        let mut files = Files::new();
        for (path, text) in [
            ("etc/passwd", "root:x:0:0:root:/root:/bin/sh\n"),
            ("etc/group", "root:x:0:\nshadow:x:42:\nnogroup:x:65533:\n"),
            ("etc/shadow", "root:*::0:::::\n"),
        ] {
            files.add(path, Node::file(0o644, text)).unwrap();
        }
        files
    }

    #[test]
    fn a_script_of_plain_commands_is_done() {
        let mut files = system();
        let script = b"#!/bin/sh\naddgroup -S redis 2>/dev/null\n\
            adduser -S -D -H -h /var/lib/redis -s /sbin/nologin -G redis -g redis redis\n\
            mkdir -p -m 750 /var/lib/redis\nchown -R redis:redis /var/lib/redis\n\
            ln -sf busybox /bin/thing\ninstall -dm755 -o redis /run/redis\nexit 0\nrm -rf /\n";
        let note = apply("redis", "pre-install", script, &mut files).unwrap();
        assert_eq!(note.skipped, Vec::<String>::new());
        assert_eq!(
            note.done,
            [
                "group redis is 100",
                "user redis is 100",
                "made /var/lib/redis",
                "/var/lib/redis is owned by redis:redis",
                "/bin/thing is a link to busybox",
                "made /run/redis",
            ]
        );
        let folder = files.get("var/lib/redis").unwrap();
        assert_eq!((folder.mode, folder.uid, folder.gid), (0o750, 100, 100));
        assert!(files.get("home/redis").is_none());
    }

    #[test]
    fn what_is_not_known_is_skipped_and_told() {
        let mut files = system();
        let script = b"rc-update add thing\nmkdir ../out\nchown nobody-here /etc/passwd\n";
        let note = apply("thing", "post-install", script, &mut files).unwrap();
        assert_eq!(
            note.skipped,
            [
                "rc-update add thing",
                "mkdir ../out",
                "chown nobody-here /etc/passwd"
            ]
        );
        let script = b"for i in a b; do\n  echo $i\ndone\n";
        let note = apply("thing", "trigger", script, &mut files).unwrap();
        assert_eq!(
            note.skipped,
            ["all of it, since it decides as it runs: for i in a b; do"]
        );
        assert_eq!(files, system());
    }

    #[test]
    fn a_user_cannot_write_a_second_line() {
        let mut files = system();
        let script = b"adduser -S -g 'a:0:0:x\n' -h /:/x evil\naddgroup -S 'a:b'\n";
        let note = apply("evil", "pre-install", script, &mut files).unwrap();
        assert!(note.done.is_empty(), "{:?}", note.done);
        assert_eq!(files, system());
    }

    #[test]
    fn busybox_gets_its_links_from_its_list_or_from_itself() {
        let mut files = system();
        let program = b"\x7fELF\0x\0[\0[[\0ash\0cat\0zcip\0Usage\0".to_vec();
        files
            .add("bin/busybox", Node::file(0o755, program))
            .unwrap();
        files.add("bin/cat", Node::file(0o755, "real")).unwrap();
        let note = apply("busybox", "post-install", b"", &mut files).unwrap();
        assert_eq!(note.done, ["4 links to busybox"]);
        assert!(files.get("bin/cat").unwrap().bytes().is_some());
        assert_eq!(
            files.get("bin/[[").unwrap().kind,
            EntryKind::Symlink("/bin/busybox".into())
        );
        let list = "bin/[\nusr/bin/wget\n../../out\n/sbin/init\n";
        files
            .add("etc/busybox-paths.d/busybox", Node::file(0o644, list))
            .unwrap();
        let note = apply("busybox", "trigger", b"", &mut files).unwrap();
        assert_eq!(note.done, ["2 links to busybox"]);
        assert!(files.get("usr/bin/wget").is_some() && files.get("sbin/init").is_some());
    }

    #[test]
    fn certificates_become_a_bundle_but_for_those_deselected() {
        let mut files = system();
        for name in ["b", "a", "c"] {
            let path = format!("usr/share/ca-certificates/mozilla/{name}.crt");
            files.add(&path, Node::file(0o644, name)).unwrap();
        }
        let conf = "mozilla/a.crt\n!mozilla/b.crt\n";
        files
            .add("etc/ca-certificates.conf", Node::file(0o644, conf))
            .unwrap();
        let note = apply("ca-certificates", "post-install", b"", &mut files).unwrap();
        assert_eq!(
            note.done,
            ["2 certificates are in /etc/ssl/certs/ca-certificates.crt"]
        );
        let (_, node) = files.open("etc/ssl/certs/ca-certificates.crt").unwrap();
        assert_eq!(node.bytes().unwrap(), b"a\nc\n");
    }
}
