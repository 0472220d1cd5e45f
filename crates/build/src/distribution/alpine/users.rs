//! `/etc/passwd`, `/etc/group` and `/etc/shadow` of a base: who is there, and
//! adding to them what a package's script would with busybox's adduser.

use crate::distribution::files::{Files, FilesError, Node};

/// Numbers for users and groups of the system: busybox's adduser -S counts
/// from the first.
const SYSTEM: std::ops::RangeInclusive<u32> = 100..=999;

/// A user to be.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct NewUser {
    /// The name.
    pub(super) name: String,
    /// The number, if it must be this one.
    pub(super) uid: Option<u32>,
    /// The group's name; for users of the system `nogroup` unless told.
    pub(super) group: Option<String>,
    /// In words.
    pub(super) comment: Option<String>,
    /// Home.
    pub(super) home: Option<String>,
    /// Login shell.
    pub(super) shell: Option<String>,
    /// Whether the home is made.
    pub(super) make_home: bool,
}

fn lines(files: &Files, path: &str) -> Vec<String> {
    let bytes = files.open(path).and_then(|(_, node)| node.bytes());
    let text = String::from_utf8_lossy(bytes.unwrap_or_default()).into_owned();
    text.lines().map(str::to_owned).collect()
}

fn append(files: &mut Files, path: &str, mode: u32, line: &str) -> Result<(), FilesError> {
    let real = files.open(path).map(|(real, _)| real);
    let mut bytes = files
        .open(path)
        .and_then(|(_, node)| node.bytes())
        .unwrap_or_default()
        .to_vec();
    if bytes.last().is_some_and(|last| *last != b'\n') {
        bytes.push(b'\n');
    }
    bytes.extend_from_slice(line.as_bytes());
    bytes.push(b'\n');
    let old = real.as_deref().and_then(|real| files.get(real));
    let (mode, uid, gid) = old.map_or((mode, 0, 0), |node| (node.mode, node.uid, node.gid));
    let node = Node::file(mode, bytes).owned(uid, gid);
    files.put(real.as_deref().unwrap_or(path), node)
}

/// A field of the line of `name`.
fn field(files: &Files, path: &str, name: &str, at: usize) -> Option<String> {
    let all = lines(files, path);
    let found = all
        .iter()
        .find(|line| line.split(':').next() == Some(name))?;
    found.split(':').nth(at).map(str::to_owned)
}

/// The number of a user.
pub(super) fn uid_of(files: &Files, name: &str) -> Option<u32> {
    field(files, "etc/passwd", name, 2)?.parse().ok()
}

/// The number of a group.
pub(super) fn gid_of(files: &Files, name: &str) -> Option<u32> {
    field(files, "etc/group", name, 2)?.parse().ok()
}

/// The first number that no line has in its third field.
fn free(files: &Files, path: &str) -> Option<u32> {
    let taken: Vec<u32> = lines(files, path)
        .iter()
        .filter_map(|line| line.split(':').nth(2)?.parse().ok())
        .collect();
    SYSTEM.into_iter().find(|number| !taken.contains(number))
}

/// Adds a group, unless it is there. `None`: no number is left.
pub(super) fn add_group(
    files: &mut Files,
    name: &str,
    gid: Option<u32>,
) -> Result<Option<u32>, FilesError> {
    if let Some(known) = gid_of(files, name) {
        return Ok(Some(known));
    }
    let Some(gid) = gid.or_else(|| free(files, "etc/group")) else {
        return Ok(None);
    };
    append(files, "etc/group", 0o644, &format!("{name}:x:{gid}:"))?;
    Ok(Some(gid))
}

/// Adds a user, unless it is there. `None`: no number is left, or the group is
/// not there.
pub(super) fn add_user(files: &mut Files, user: &NewUser) -> Result<Option<u32>, FilesError> {
    if let Some(known) = uid_of(files, &user.name) {
        return Ok(Some(known));
    }
    let group = user.group.as_deref().unwrap_or("nogroup");
    let (Some(gid), Some(uid)) = (
        gid_of(files, group),
        user.uid.or_else(|| free(files, "etc/passwd")),
    ) else {
        return Ok(None);
    };
    let default_home = format!("/home/{}", user.name);
    let home = user.home.as_deref().unwrap_or(&default_home);
    let comment = user.comment.as_deref().unwrap_or("Linux User,,,");
    let shell = user.shell.as_deref().unwrap_or("/sbin/nologin");
    let name = &user.name;
    let line = format!("{name}:x:{uid}:{gid}:{comment}:{home}:{shell}");
    append(files, "etc/passwd", 0o644, &line)?;
    if files.open("etc/shadow").is_some() {
        // The day of the last change is left open: there is no clock here.
        append(files, "etc/shadow", 0o640, &format!("{name}:!::0:::::"))?;
    }
    let home = home.trim_matches('/');
    if user.make_home && !home.is_empty() && files.get(home).is_none() {
        files.add(home, Node::folder(0o755).owned(uid, gid))?;
    }
    Ok(Some(uid))
}

/// Makes a user a member of a group. `false`: there is no such group.
pub(super) fn join(files: &mut Files, user: &str, group: &str) -> Result<bool, FilesError> {
    let mut all = lines(files, "etc/group");
    let Some(line) = all
        .iter_mut()
        .find(|line| line.split(':').next() == Some(group) && line.split(':').count() == 4)
    else {
        return Ok(false);
    };
    let members = line.rsplit(':').next().unwrap_or_default().to_owned();
    if !members.split(',').any(|member| member == user) {
        if !members.is_empty() {
            line.push(',');
        }
        line.push_str(user);
    }
    let text = all.join("\n") + "\n";
    if let Some((real, _)) = files.open("etc/group") {
        files.put(&real, Node::file(0o644, text))?;
    }
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(files: &Files, path: &str) -> String {
        lines(files, path).join("\n")
    }

    #[test]
    fn users_and_groups_take_the_first_number_that_is_free() {
        let mut files = Files::new();
        let root = "root:x:0:0::/root:/bin/sh\na:x:100:101::/:/bin/sh";
        files.add("etc/passwd", Node::file(0o644, root)).unwrap();
        let groups = "root:x:0:\nnogroup:x:65533:\n";
        files.add("etc/group", Node::file(0o644, groups)).unwrap();
        files
            .add("etc/shadow", Node::file(0o640, "").owned(0, 42))
            .unwrap();
        assert_eq!(add_group(&mut files, "web", None), Ok(Some(100)));
        assert_eq!(add_group(&mut files, "web", Some(7)), Ok(Some(100)));
        let user = NewUser {
            name: "web".to_owned(),
            group: Some("web".to_owned()),
            make_home: true,
            ..NewUser::default()
        };
        assert_eq!(add_user(&mut files, &user), Ok(Some(101)));
        assert_eq!(add_user(&mut files, &user), Ok(Some(101)));
        assert!(
            text(&files, "etc/passwd")
                .ends_with("\nweb:x:101:100:Linux User,,,:/home/web:/sbin/nologin")
        );
        assert_eq!(text(&files, "etc/shadow"), "web:!::0:::::");
        assert_eq!(files.get("etc/shadow").unwrap().gid, 42);
        assert_eq!(files.get("home/web").unwrap().uid, 101);
        assert_eq!(join(&mut files, "a", "web"), Ok(true));
        assert_eq!(join(&mut files, "web", "web"), Ok(true));
        assert_eq!(join(&mut files, "a", "none"), Ok(false));
        assert!(text(&files, "etc/group").ends_with("web:x:100:a,web"));
    }
}
