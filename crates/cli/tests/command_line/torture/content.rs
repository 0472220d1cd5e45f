//! What is in the torture image, and how each of its checks is made to fail.

use super::archive::{Entry, Kind};
use crate::programs::prints;

/// An entry as most are.
fn entry(path: &str, kind: Kind, mode: u32) -> Entry {
    Entry {
        path: path.into(),
        kind,
        mode,
        owner: (0, 0),
        time: 1_600_000_000,
        attributes: Vec::new(),
    }
}

fn file(path: &str, text: &str) -> Entry {
    entry(path, Kind::File(text.as_bytes().to_vec()), 0o644)
}

fn folder(path: &str) -> Entry {
    entry(path, Kind::Folder, 0o755)
}

fn link(path: &str, target: &str) -> Entry {
    entry(path, Kind::Symlink(target.into()), 0o777)
}

fn hard(path: &str, target: &str) -> Entry {
    entry(path, Kind::Hardlink(target.to_owned()), 0o755)
}

fn moded(mut entry: Entry, mode: u32) -> Entry {
    entry.mode = mode;
    entry
}

fn owned(mut entry: Entry, uid: u32, gid: u32) -> Entry {
    entry.owner = (uid, gid);
    entry
}

fn timed(mut entry: Entry, time: u64) -> Entry {
    entry.time = time;
    entry
}

/// A program that the kernel hands to another: an ELF file whose `PT_INTERP` is
/// `/t/elf/loader`, and no code that would run without it.
fn interpreted() -> Vec<u8> {
    let path = b"/t/elf/loader\0";
    let mut out = prints("", 1);
    // One program header more, behind the first; both programs are tiny.
    let code = out.split_off(64 + 56);
    out[56] = 2;
    let at = 64_u64 + 2 * 56;
    out.extend(3_u32.to_le_bytes());
    out.extend(4_u32.to_le_bytes());
    for field in [at, at, at, path.len() as u64, path.len() as u64, 1] {
        out.extend(field.to_le_bytes());
    }
    out.extend(path);
    out.extend(code);
    // Elsewhere in memory than its interpreter.
    let (base, all) = (0x1000_0000_u64, out.len() as u64);
    out[24..32].copy_from_slice(&(base + at).to_le_bytes());
    for field in [64 + 16, 64 + 24] {
        out[field..field + 8].copy_from_slice(&base.to_le_bytes());
    }
    for field in [64 + 32, 64 + 40] {
        out[field..field + 8].copy_from_slice(&all.to_le_bytes());
    }
    out
}

/// `cap_net_bind_service=ep`, version 2 (linux/capability.h).
fn capability() -> Vec<u8> {
    let mut value = vec![0; 20];
    value[..6].copy_from_slice(&[1, 0, 0, 2, 0, 4]);
    value
}

/// The layers, lowest first; `check` is the checker's program.
pub(crate) fn layers(check: &[u8]) -> Vec<Vec<Entry>> {
    let mut capable = file("t/capable", "x");
    capable
        .attributes
        .push(("security.capability", capability()));
    let mut noted = file("t/noted", "x");
    noted
        .attributes
        .push(("user.note", b"kept\0as it is".to_vec()));
    let mut hole = vec![0; 4 << 20];
    hole.extend(b"end");
    let mut lower = vec![
        entry("check", Kind::File(check.to_vec()), 0o755),
        folder("dev"),
        folder("proc"),
        moded(folder("tmp"), 0o1777),
        moded(folder("usr"), 0o755),
        moded(folder("usr/lib"), 0o751),
        folder("usr/share"),
        file("usr/share/unused", "nobody reads this"),
        folder("t"),
        folder("t/prefix"),
        file("t/prefix/abcdef", "long"),
        file("t/prefix/abc", "stat-ed only"),
        folder("t/prefix/ab"),
        file("t/prefix/ab/c", ""),
        folder("t/relative"),
        file("t/relative/leaf", ""),
        folder("t/relative2"),
        link("t/relative2/link", "nowhere"),
        folder("t/stands"),
        folder("t/stands/deep"),
        file("t/stood", "from below"),
        folder("t/beside"),
        file("t/beside/leaf", ""),
        folder("t/beside/inner"),
        file("t/beside/inner/file", ""),
        file("t/access", ""),
        file("t/access2", ""),
        file("t/statx", "12345"),
        file("t/opath", ""),
        folder("t/beneath"),
        folder("t/beneath/inner"),
        file("t/beneath/inner/file", ""),
        folder("t/rooted"),
        link("t/rooted/link", "/file"),
        file("t/rooted/file", ""),
        file("t/handle", ""),
        file("t/watched", ""),
        file("t/asked", ""),
        folder("t/statfs"),
        file("t/taken", ""),
        folder("t/made"),
        file("t/mapped", "mapped by a page"),
        file("t/zero", ""),
        entry("t/hole", Kind::File(hole), 0o644),
        moded(file("t/unreadable", "x"), 0),
        folder("t/empty"),
        folder("t/empty2"),
        folder("t/listed"),
        file("t/listed/a", "1"),
        folder("t/listed/b"),
        link("t/listed/c", "a"),
        folder("t/many"),
        entry("t/fifo", Kind::Fifo, 0o600),
        entry("t/device", Kind::Device(1, 3), 0o666),
        capable,
        noted,
        moded(file("t/setuid", "x"), 0o4755),
        moded(folder("t/setgid"), 0o2775),
        moded(folder("t/sticky"), 0o1777),
        moded(file("t/narrow", "x"), 0o640),
        owned(file("t/owner", "x"), 200_000, 300_000),
        owned(file("t/huge", "x"), 3_000_000, 4_000_000),
        owned(folder("t/owned"), 70_000, 70_001),
        owned(link("t/owned-link", "owner"), 5, 6),
        timed(file("t/time", "x"), 1_234_567_890),
        timed(folder("t/timed"), 1_000_000_000),
        folder("t/hard"),
        file("t/hard/one", "one inode"),
        hard("t/hard/two", "t/hard/one"),
        file("t/hard/first", "two names"),
        hard("t/hard/second", "t/hard/first"),
        folder("t/hard/far"),
        file("t/hard/far/one", "far"),
        hard("t/hard-other", "t/hard/far/one"),
        folder("t/chain"),
        link("t/chain/one", "/t/chain/two"),
        link("t/chain/two", "../chain2/three"),
        folder("t/chain2"),
        link("t/chain2/three", "four"),
        file("t/chain2/four", "end of the chain"),
        link("t/folder-link", "real-folder"),
        folder("t/real-folder"),
        folder("t/real-folder/inner"),
        file("t/real-folder/inner/file", "through a folder"),
        folder("t/up"),
        link("t/up/link", "../up-target"),
        file("t/up-target", "above"),
        link("t/dangling", "/nowhere/at/all"),
        link("t/itself", "up-target"),
        link("t/circle", "circle2"),
        link("t/circle2", "circle"),
        file(&format!("t/{}", "n".repeat(255)), "long name"),
        folder("t/odd"),
        folder("t/slashes"),
        file("t/slashes/file", "slashes"),
        folder("t/dots"),
        file("t/dots/file", "dots"),
        folder("t/down"),
        folder("t/updown"),
        file("t/updown/file", "up and down"),
        folder("t/lib"),
        folder("t/lib/other"),
        file("t/lib/other/liby.so", "another"),
        folder("t/lib/right"),
        file("t/lib/right/libx.so.1", "library"),
        folder("t/lib/glibc-hwcaps"),
        folder("t/lib/glibc-hwcaps/x86-64-v3"),
        file("t/lib/glibc-hwcaps/x86-64-v3/libh.so", "for v3"),
        file("t/lib/libh.so", "for all"),
        folder("t/etc"),
        file("t/etc/usual.conf", "usual"),
        folder("t/script"),
        moded(file("t/script/one", "#!/t/script/two\n"), 0o755),
        moded(file("t/script/two", "#!/t/bin/interp -x\n"), 0o755),
        moded(file("t/script/env", "#!/t/bin/env greet\n"), 0o755),
        folder("t/bin"),
        link("t/bin/interp", "/check"),
        link("t/bin/env", "../../check"),
        hard("t/bin/runs", "check"),
        hard("t/bin/leaver", "check"),
        entry("t/bin/shut", Kind::File(prints("hello shut\n", 0)), 0o111),
        folder("t/bin2"),
        link("t/bin2/runs", "../bin/runs"),
        folder("t/bin3"),
        link("t/bin3/runs", "/t/bin/runs"),
        folder("t/path"),
        folder("t/path/none"),
        folder("t/path/here"),
        link("t/path/here/greet", "/check"),
        folder("t/elf"),
        entry("t/elf/program", Kind::File(interpreted()), 0o755),
        entry("t/elf/loader", Kind::File(prints("", 42)), 0o755),
        folder("t/jail"),
        hard("t/jail/greet", "check"),
        file("t/thread", "thread"),
        file("t/grandchild", "grandchild"),
        folder("t/white"),
        file("t/white/hidden", "must stay hidden"),
        file("t/white/shown", "shown"),
        folder("t/white/folder"),
        file("t/white/folder/inner", "must stay hidden"),
        folder("t/opaque"),
        file("t/opaque/old", "must stay hidden"),
        file("t/over", "lower"),
        file("t/turned", "a file once"),
        folder("t/unused"),
        file("t/unused/weight", &"nobody reads this".repeat(1000)),
    ];
    lower.extend((0..300).map(|index| file(&format!("t/many/name-{index:03}"), "")));
    let odd = [
        "two words",
        "line\nbreak",
        "Übergröße",
        "-dash",
        "*",
        "\u{1f980}",
        "%2e",
    ];
    lower.extend(odd.map(|name| file(&format!("t/odd/{name}"), name)));
    let bytes = |name: &[u8], kind| Entry {
        path: [b"t/bytes/", name].concat(),
        ..entry("", kind, 0o644)
    };
    let latin = b"caf\xe9";
    lower.extend([
        folder("t/bytes"),
        bytes(latin, Kind::File(b"latin".to_vec())),
        bytes(b"link\xfe", Kind::Symlink(latin.to_vec())),
        bytes(&[0xff; 150], Kind::File(b"long".to_vec())),
    ]);
    let mut deep = "t".to_owned();
    for _ in 0..90 {
        deep.push_str("/deep-folder");
        lower.push(folder(&deep));
    }
    lower.push(file(&format!("{deep}/end"), "deep"));
    let upper = vec![
        file("t/white/.wh.hidden", ""),
        file("t/white/.wh.folder", ""),
        folder("t/opaque"),
        file("t/opaque/.wh..wh..opq", ""),
        file("t/opaque/new", "new"),
        file("t/over", "upper"),
        folder("t/turned"),
        file("t/turned/inner", "x"),
    ];
    vec![lower, upper]
}

/// What is done to an image to make a check fail.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Damage {
    /// It is gone, and all beneath it.
    Gone,
    /// It is there, with this content.
    There(&'static str),
    /// Its permission bits are these.
    Mode(u32),
    /// Its owner is root.
    Owner,
    /// Its time is another.
    Time,
    /// The attribute is gone.
    Attribute(&'static str),
    /// It is no hard link any more.
    Single,
    /// The checker stands elsewhere.
    Elsewhere,
}

use Damage::{Attribute, Elsewhere, Gone, Mode, Owner, Single, There, Time};

/// Each check with the ways to make it fail.
pub(crate) const DAMAGES: &[(&str, &str, Damage)] = &[
    ("prefix-stat", "t/prefix/abc", Gone),
    ("prefix-folder", "t/prefix/ab/c", Gone),
    ("relative-access", "t/relative/leaf", Gone),
    ("relative-readlink", "t/relative2/link", Gone),
    ("relative-up", "t/stands/deep", Gone),
    ("relative-up", "t/stood", Gone),
    ("relative-to-folder", "t/beside/leaf", Gone),
    ("relative-to-folder", "t/beside/inner/file", Gone),
    ("access-only", "t/access", Gone),
    ("access-effective", "t/access2", Gone),
    ("statx-only", "t/statx", There("")),
    ("open-path-only", "t/opath", Gone),
    ("open-beneath", "t/beneath/inner/file", Gone),
    ("open-in-root", "t/rooted/file", Gone),
    ("open-in-root", "t/rooted/link", Gone),
    ("handle-only", "t/handle", Gone),
    ("watch-only", "t/watched", Gone),
    ("attribute-only", "t/asked", Gone),
    ("file-system-only", "t/statfs", Gone),
    ("create-existing", "t/taken", Gone),
    ("make-existing-folder", "t/made", Gone),
    ("mapped", "t/mapped", There("another content")),
    ("empty-file", "t/zero", Gone),
    ("hole", "t/hole", There("end")),
    ("unreadable", "t/unreadable", Mode(0o644)),
    ("empty-folder", "t/empty", Gone),
    ("empty-folder-stat", "t/empty2", Gone),
    ("listed-folder", "t/listed/b", Gone),
    ("listed-folder", "t/listed/c", Gone),
    ("many-names", "t/many/name-117", Gone),
    ("fifo", "t/fifo", There("a file")),
    ("device", "t/device", There("a file")),
    ("capability", "t/capable", Attribute("security.capability")),
    ("attribute", "t/noted", Attribute("user.note")),
    ("set-uid", "t/setuid", Mode(0o755)),
    ("set-gid-folder", "t/setgid", Mode(0o775)),
    ("sticky", "t/sticky", Mode(0o777)),
    ("narrow-file", "t/narrow", Mode(0o644)),
    ("usr", "usr", Mode(0o777)),
    ("usr-lib", "usr/lib", Mode(0o777)),
    ("owner", "t/owner", Owner),
    ("owner-huge", "t/huge", Owner),
    ("owner-of-folder", "t/owned", Owner),
    ("owner-of-link", "t/owned-link", Owner),
    ("time", "t/time", Time),
    ("time-of-folder", "t/timed", Time),
    ("hard-link", "t/hard/two", Single),
    ("hard-link-second-name", "t/hard/second", There("")),
    ("hard-link-across-folders", "t/hard-other", Single),
    ("link-chain", "t/chain2/four", There("")),
    ("link-chain", "t/chain/two", Gone),
    ("link-to-folder", "t/folder-link", Gone),
    ("link-up", "t/up-target", Gone),
    ("link-dangling", "t/dangling", Gone),
    ("link-itself", "t/itself", There("above")),
    ("link-circle", "t/circle2", Gone),
    ("name-of-255-bytes", "t/n*", Gone),
    ("path-of-1000-bytes", "t/deep-folder", Gone),
    ("odd-names", "t/odd/line\nbreak", Gone),
    ("names-of-bytes", "t/bytes", Gone),
    ("double-slash", "t/slashes/file", Gone),
    ("dots", "t/dots/file", Gone),
    ("up-and-down", "t/down", Gone),
    ("up-and-down", "t/updown/file", Gone),
    ("search-path", "t/lib/right/libx.so.1", Gone),
    (
        "search-path",
        "t/lib/other/libx.so.1",
        There("the wrong one"),
    ),
    (
        "newer-processors",
        "t/lib/glibc-hwcaps/x86-64-v3/libh.so",
        Gone,
    ),
    ("fall-back", "t/etc/usual.conf", Gone),
    ("fall-back", "t/etc/local.conf", There("usual")),
    ("script-chain", "t/script/two", Gone),
    ("script-chain", "t/bin/interp", Gone),
    ("script-by-env", "t/bin/env", Gone),
    ("script-by-env", "t/path/here/greet", Gone),
    ("elf-interpreter", "t/elf/loader", Gone),
    ("execute-only", "t/bin/shut", Mode(0o644)),
    ("execveat", "t/bin/runs", Gone),
    ("fexecve", "t/bin2/runs", Gone),
    ("exec-by-descriptor", "t/bin3/runs", Gone),
    ("own-program", "", Elsewhere),
    ("chroot", "t/jail/greet", Gone),
    ("thread", "t/thread", There("")),
    ("grandchild", "t/grandchild", Gone),
    ("rename", "tmp", Gone),
    ("deleted", "t/white/hidden", There("back again")),
    ("deleted", "t/white/shown", Gone),
    ("opaque", "t/opaque/old", There("back again")),
    ("overwritten", "t/over", There("lower")),
    ("folder-for-file", "t/turned/inner", Gone),
    ("absent", "t/never-there", There("")),
];
