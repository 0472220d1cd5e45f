//! `mounts` of a bundle: what the options mean (config.md, "Linux mount options").

use linux_raw_sys::general as raw;
use ounce_linux::init::Attributes;

use super::config::Mount;

/// A mount's options, read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Options {
    /// A bind mount; whether with the mounts below.
    pub bind: Option<bool>,
    /// Attributes of the mount.
    pub attributes: Attributes,
    /// Attributes of it and all below.
    pub recursive: Attributes,
    /// `MS_*`, or 0.
    pub propagation: u64,
    /// The same, with all below.
    pub recursive_propagation: u64,
    /// What is left, for the file system.
    pub data: Vec<String>,
    /// Owners are mapped; whether below as well.
    pub id_map: Option<bool>,
    /// The content of the folder is copied in.
    pub copy_up: bool,
}

const ATIME: u64 = raw::MOUNT_ATTR__ATIME as u64;

/// Attributes by name, and whether the name sets or clears.
const ATTRIBUTES: [(&str, u32, bool); 10] = [
    ("ro", raw::MOUNT_ATTR_RDONLY, true),
    ("rw", raw::MOUNT_ATTR_RDONLY, false),
    ("nosuid", raw::MOUNT_ATTR_NOSUID, true),
    ("suid", raw::MOUNT_ATTR_NOSUID, false),
    ("nodev", raw::MOUNT_ATTR_NODEV, true),
    ("dev", raw::MOUNT_ATTR_NODEV, false),
    ("noexec", raw::MOUNT_ATTR_NOEXEC, true),
    ("exec", raw::MOUNT_ATTR_NOEXEC, false),
    ("nosymfollow", raw::MOUNT_ATTR_NOSYMFOLLOW, true),
    ("symfollow", raw::MOUNT_ATTR_NOSYMFOLLOW, false),
];

/// Changes by the name of an option without the `r` of recursive ones.
fn attribute(name: &str, attributes: &mut Attributes) -> bool {
    let mut set = |bits: u64| {
        attributes.set |= bits;
        attributes.clear &= !bits;
    };
    match name {
        "nodiratime" => set(u64::from(raw::MOUNT_ATTR_NODIRATIME)),
        "noatime" | "strictatime" | "relatime" => {
            attributes.set &= !ATIME;
            attributes.set |= match name {
                "noatime" => u64::from(raw::MOUNT_ATTR_NOATIME),
                "strictatime" => u64::from(raw::MOUNT_ATTR_STRICTATIME),
                _ => 0,
            };
            // The three are values of one field, which is cleared before.
            attributes.clear |= ATIME;
        }
        "diratime" => {
            attributes.set &= !u64::from(raw::MOUNT_ATTR_NODIRATIME);
            attributes.clear |= u64::from(raw::MOUNT_ATTR_NODIRATIME);
        }
        "atime" | "norelatime" | "nostrictatime" => {
            // Back to what the kernel does by itself: relatime.
            attributes.set &= !ATIME;
            attributes.clear |= ATIME;
        }
        name => {
            let Some((_, bit, sets)) = ATTRIBUTES.iter().find(|(known, _, _)| *known == name)
            else {
                return false;
            };
            let bit = u64::from(*bit);
            match sets {
                true => set(bit),
                false => {
                    attributes.set &= !bit;
                    attributes.clear |= bit;
                }
            }
        }
    }
    true
}

/// `MS_*` of a name of propagation, without the `r`.
pub fn propagation(name: &str) -> Option<u64> {
    Some(u64::from(match name {
        "private" => raw::MS_PRIVATE,
        "shared" => raw::MS_SHARED,
        "slave" => raw::MS_SLAVE,
        "unbindable" => raw::MS_UNBINDABLE,
        _ => return None,
    }))
}

/// All names that mean something to every mount.
pub fn known() -> Vec<String> {
    let mut names: Vec<String> = [
        "async",
        "bind",
        "defaults",
        "idmap",
        "iversion",
        "lazytime",
        "loud",
        "mand",
        "noiversion",
        "nolazytime",
        "nomand",
        "rbind",
        "remount",
        "ridmap",
        "silent",
        "sync",
        "dirsync",
        "tmpcopyup",
    ]
    .map(str::to_owned)
    .to_vec();
    let times = [
        "atime",
        "noatime",
        "relatime",
        "norelatime",
        "strictatime",
        "nostrictatime",
        "diratime",
        "nodiratime",
    ];
    let attributes = ATTRIBUTES.iter().map(|(name, _, _)| *name).chain(times);
    let propagation = ["private", "shared", "slave", "unbindable"];
    for name in attributes.chain(propagation) {
        names.push(name.to_owned());
        names.push(format!("r{name}"));
    }
    names.sort_unstable();
    names
}

/// Reads a mount's options.
pub fn options(mount: &Mount) -> Options {
    let mut read = Options::default();
    let list = mount.options.as_deref().unwrap_or_default();
    for option in list {
        let option = option.as_str();
        match option {
            "defaults" | "remount" | "" => {}
            "bind" => read.bind = Some(read.bind.unwrap_or(false)),
            "rbind" => read.bind = Some(true),
            "idmap" => read.id_map = Some(false),
            "ridmap" => read.id_map = Some(true),
            "tmpcopyup" => read.copy_up = true,
            // Of the whole file system by their own names, not known to it.
            "norelatime" | "nostrictatime" | "atime" => {
                attribute(option, &mut read.attributes);
            }
            "async" | "nolazytime" | "nomand" | "noiversion" | "loud" | "silent" => {}
            _ => {
                if attribute(option, &mut read.attributes) {
                    continue;
                }
                if let Some(flag) = propagation(option) {
                    read.propagation = flag;
                    continue;
                }
                if let Some(rest) = option.strip_prefix('r') {
                    if let Some(flag) = propagation(rest) {
                        read.recursive_propagation = flag;
                        continue;
                    }
                    if attribute(rest, &mut read.recursive) {
                        continue;
                    }
                }
                read.data.push(option.to_owned());
            }
        }
    }
    if read.bind.is_none() && mount.kind.as_deref() == Some("bind") {
        read.bind = Some(false);
    }
    let mapped =
        |list: &Option<Vec<_>>| list.as_ref().is_some_and(|list: &Vec<_>| !list.is_empty());
    if read.id_map.is_none() && (mapped(&mount.uid_mappings) || mapped(&mount.gid_mappings)) {
        read.id_map = Some(false);
    }
    read
}

impl Options {
    /// The file system's own, as one text.
    pub fn text(&self) -> String {
        self.data.join(",")
    }

    /// Whether something is to come back to where it was bound from.
    pub fn wants_sharing(&self) -> bool {
        let shared = u64::from(raw::MS_SHARED);
        self.propagation == shared || self.recursive_propagation == shared
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(list: &[&str]) -> Options {
        options(&Mount {
            options: Some(list.iter().map(|one| (*one).to_owned()).collect()),
            ..Mount::default()
        })
    }

    #[test]
    fn options_of_the_kernel_and_of_the_file_system_are_told_apart() {
        let found = read(&["nosuid", "strictatime", "mode=755", "size=65536k", "ro"]);
        let set = raw::MOUNT_ATTR_NOSUID | raw::MOUNT_ATTR_STRICTATIME | raw::MOUNT_ATTR_RDONLY;
        assert_eq!(found.attributes.set, u64::from(set));
        assert_eq!(found.text(), "mode=755,size=65536k");
        assert_eq!(found.bind, None);
    }

    #[test]
    fn the_last_of_two_that_contradict_counts() {
        let found = read(&["ro", "noexec", "rw", "noatime", "relatime"]);
        assert_eq!(found.attributes.set, u64::from(raw::MOUNT_ATTR_NOEXEC));
        assert_eq!(
            found.attributes.clear,
            u64::from(raw::MOUNT_ATTR_RDONLY) | ATIME
        );
    }

    #[test]
    fn recursive_options_and_propagation_have_an_r() {
        let found = read(&["rbind", "rro", "rnosuid", "rslave", "private"]);
        assert_eq!(found.bind, Some(true));
        assert_eq!(
            found.recursive.set,
            u64::from(raw::MOUNT_ATTR_RDONLY | raw::MOUNT_ATTR_NOSUID)
        );
        assert_eq!(found.recursive_propagation, u64::from(raw::MS_SLAVE));
        assert_eq!(found.propagation, u64::from(raw::MS_PRIVATE));
        // These begin with an r by themselves.
        let found = read(&["relatime", "rw"]);
        assert!(found.recursive.is_empty());
    }
}
