//! A Debian archive that the tests make: packages, indexes, and a release
//! signed by a key of its own, in a folder that serves as a mirror. Everything
//! is written here byte by byte, so that it can be wrong in any way.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use flate2::Compression;
use flate2::write::GzEncoder;
use ounce_oci::Digest;
use ring::digest;
use ring::rand::SystemRandom;
use ring::signature::{Ed25519KeyPair, KeyPair as _};

/// 2026-06-01, when the key was made and all was signed.
pub(crate) const SIGNED: u32 = 1_780_272_000;

/// A file, a folder (path with a slash at its end) or a link (`to`) of a package.
pub(crate) struct File {
    pub(crate) path: String,
    pub(crate) content: Vec<u8>,
    pub(crate) mode: u32,
    pub(crate) link: Option<String>,
    pub(crate) kind: u8,
}

pub(crate) fn file(path: &str, content: impl AsRef<[u8]>) -> File {
    File {
        path: path.to_owned(),
        content: content.as_ref().to_vec(),
        mode: 0o644,
        link: None,
        kind: if path.ends_with('/') { b'5' } else { b'0' },
    }
}

pub(crate) fn program(path: &str, content: impl AsRef<[u8]>) -> File {
    File {
        mode: 0o755,
        ..file(path, content)
    }
}

pub(crate) fn link(path: &str, target: &str) -> File {
    File {
        link: Some(target.to_owned()),
        kind: b'2',
        mode: 0o777,
        ..file(path, "")
    }
}

/// A package: the fields besides `Architecture`, control files, data.
pub(crate) struct Package {
    pub(crate) fields: String,
    pub(crate) control: Vec<(String, String)>,
    pub(crate) data: Vec<File>,
}

pub(crate) fn package(fields: &str, data: Vec<File>) -> Package {
    Package {
        fields: fields.to_owned(),
        control: Vec::new(),
        data,
    }
}

impl Package {
    pub(crate) fn with(mut self, name: &str, text: &str) -> Self {
        self.control.push((name.to_owned(), text.to_owned()));
        self
    }

    fn field(&self, name: &str) -> &str {
        let prefix = format!("{name}: ");
        let line = self
            .fields
            .lines()
            .find_map(|line| line.strip_prefix(&prefix));
        line.unwrap_or("")
    }

    /// The package's file.
    pub(crate) fn deb(&self) -> Vec<u8> {
        let mut control = vec![file(
            "./control",
            format!(
                "{}\nArchitecture: amd64\nMaintainer: T <t@example>\nDescription: test\n",
                self.fields
            ),
        )];
        for (name, text) in &self.control {
            control.push(program(&format!("./{name}"), text));
        }
        let mut deb = b"!<arch>\n".to_vec();
        for (name, bytes) in [
            ("debian-binary", b"2.0\n".to_vec()),
            ("control.tar.gz", gzip(&tar(&control))),
            ("data.tar.gz", gzip(&tar(&self.data))),
        ] {
            member(&mut deb, name, &bytes);
        }
        deb
    }
}

pub(crate) fn member(deb: &mut Vec<u8>, name: &str, bytes: &[u8]) {
    let size = bytes.len();
    let head = format!(
        "{name:<16}{0:<12}{0:<6}{0:<6}{1:<8}{size:<10}`\n",
        0, 100_644
    );
    deb.extend(head.as_bytes());
    deb.extend(bytes);
    if bytes.len() % 2 == 1 {
        deb.push(b'\n');
    }
}

pub(crate) fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

pub(crate) fn tar(files: &[File]) -> Vec<u8> {
    let mut tar = Vec::new();
    for one in files {
        let mut head = [0_u8; 512];
        head[..one.path.len()].copy_from_slice(one.path.as_bytes());
        let numbers = [
            (100, 8, u64::from(one.mode)),
            (108, 8, 0),
            (116, 8, 0),
            (124, 12, one.content.len() as u64),
            (136, 12, u64::from(SIGNED)),
        ];
        for (at, width, number) in numbers {
            let digits = format!("{number:0>width$o}\0", width = width - 1);
            head[at..at + width].copy_from_slice(digits.as_bytes());
        }
        head[156] = one.kind;
        if let Some(target) = &one.link {
            head[157..157 + target.len()].copy_from_slice(target.as_bytes());
        }
        head[257..265].copy_from_slice(b"ustar\x0000");
        head[148..156].fill(b' ');
        let sum: u32 = head.iter().map(|byte| u32::from(*byte)).sum();
        head[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        tar.extend(head);
        tar.extend(&one.content);
        tar.resize(tar.len().next_multiple_of(512), 0);
    }
    tar.resize(tar.len() + 1024, 0);
    tar
}

/// A key, and its keyring.
pub(crate) struct Key {
    pair: Ed25519KeyPair,
    public: Vec<u8>,
}

impl Key {
    pub(crate) fn new() -> Self {
        let bytes = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).unwrap();
        let pair = Ed25519KeyPair::from_pkcs8(bytes.as_ref()).unwrap();
        let mut public = vec![4];
        public.extend(SIGNED.to_be_bytes());
        public.push(22);
        public.extend([9, 0x2b, 6, 1, 4, 1, 0xda, 0x47, 0x0f, 1]);
        public.extend(263_u16.to_be_bytes());
        public.push(0x40);
        public.extend(pair.public_key().as_ref());
        Self { pair, public }
    }

    fn fingerprint(&self) -> Vec<u8> {
        let mut head = vec![0x99];
        head.extend((self.public.len() as u16).to_be_bytes());
        head.extend(&self.public);
        digest::digest(&digest::SHA1_FOR_LEGACY_USE_ONLY, &head)
            .as_ref()
            .to_vec()
    }

    /// With a self-signature that says when the key ends, if it does.
    pub(crate) fn ring(&self, lifetime: Option<u32>) -> Vec<u8> {
        let mut ring = packet(6, &self.public);
        ring.extend(packet(13, b"Test <t@example>"));
        let mut hashed = Vec::new();
        if let Some(seconds) = lifetime {
            hashed.extend([5, 9]);
            hashed.extend(seconds.to_be_bytes());
        }
        ring.extend(packet(2, &self.signature(0x13, &hashed, b"")));
        ring
    }

    /// A signature's packet over `data`, made so that it holds.
    fn signature(&self, kind: u8, more_hashed: &[u8], data: &[u8]) -> Vec<u8> {
        let mut hashed = vec![5, 2];
        hashed.extend(SIGNED.to_be_bytes());
        hashed.extend([22, 33, 4]);
        hashed.extend(self.fingerprint());
        hashed.extend(more_hashed);
        let mut body = vec![4, kind, 22, 10];
        body.extend((hashed.len() as u16).to_be_bytes());
        body.extend(&hashed);
        let mut message = data.to_vec();
        message.extend(&body);
        message.extend([4, 0xff]);
        message.extend((body.len() as u32).to_be_bytes());
        let hash = digest::digest(&digest::SHA512, &message);
        let signed = self.pair.sign(hash.as_ref());
        body.extend([0, 0]);
        body.extend(&hash.as_ref()[..2]);
        for half in signed.as_ref().chunks(32) {
            let zeros = half.iter().take_while(|byte| **byte == 0).count();
            let half = &half[zeros..];
            let bits =
                half.len() * 8 - half.first().map_or(0, |byte| byte.leading_zeros() as usize);
            body.extend((bits as u16).to_be_bytes());
            body.extend(half);
        }
        body
    }

    /// `text`, clear-signed.
    pub(crate) fn clear_sign(&self, text: &str) -> String {
        let text = text.trim_end_matches('\n');
        let canonical: Vec<&str> = text.lines().map(str::trim_end).collect();
        let body = self.signature(1, &[], canonical.join("\r\n").as_bytes());
        format!(
            "-----BEGIN PGP SIGNED MESSAGE-----\nHash: SHA512\n\n{text}\n\
             -----BEGIN PGP SIGNATURE-----\n\n{}\n-----END PGP SIGNATURE-----\n",
            base64(&packet(2, &body))
        )
    }
}

fn packet(tag: u8, body: &[u8]) -> Vec<u8> {
    let mut packet = vec![0xc0 | tag, 255];
    packet.extend((body.len() as u32).to_be_bytes());
    packet.extend(body);
    packet
}

fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for (at, three) in bytes.chunks(3).enumerate() {
        if at > 0 && at % 16 == 0 {
            text.push('\n');
        }
        let bits = three
            .iter()
            .fold(0_u32, |bits, byte| bits << 8 | u32::from(*byte));
        let bits = bits << (8 * (3 - three.len()));
        for digit in 0..4 {
            text.push(match digit <= three.len() {
                true => DIGITS[(bits >> (18 - 6 * digit) & 63) as usize] as char,
                false => '=',
            });
        }
    }
    text
}

/// A mirror: a folder with `debian` and `debian-security` in it.
pub(crate) struct Mirror {
    pub(crate) folder: PathBuf,
    pub(crate) key: Key,
}

impl Mirror {
    /// An empty one for the release `bookworm`.
    pub(crate) fn new(folder: &Path) -> Self {
        let mirror = Self {
            folder: folder.to_owned(),
            key: Key::new(),
        };
        fs::create_dir_all(folder).unwrap();
        fs::write(folder.join("keys.gpg"), mirror.key.ring(None)).unwrap();
        for (archive, suite) in [
            ("debian", "bookworm-updates"),
            ("debian-security", "bookworm-security"),
        ] {
            mirror.publish(archive, suite, &[], "");
        }
        mirror
    }

    pub(crate) fn url(&self) -> String {
        format!("file://{}", self.folder.display())
    }

    /// Writes a suite with these packages, and its signed release.
    pub(crate) fn publish(&self, archive: &str, suite: &str, packages: &[Package], more: &str) {
        let root = self.folder.join(archive);
        let mut index = String::new();
        for one in packages {
            let deb = one.deb();
            let name = format!(
                "pool/{}_{}.deb",
                one.field("Package"),
                one.field("Version").replace(':', "_")
            );
            fs::create_dir_all(root.join("pool")).unwrap();
            fs::write(root.join(&name), &deb).unwrap();
            index.push_str(&format!(
                "{}\nArchitecture: amd64\nFilename: {name}\nSize: {}\nSHA256: {}\n\n",
                one.fields,
                deb.len(),
                Digest::of(&deb).hex()
            ));
        }
        let folder = root.join("dists").join(suite);
        fs::create_dir_all(folder.join("main/binary-amd64")).unwrap();
        let zipped = gzip(index.as_bytes());
        fs::write(folder.join("main/binary-amd64/Packages.gz"), &zipped).unwrap();
        let release = format!(
            "Suite: {suite}\nCodename: {suite}\n{more}SHA256:\n {} {} main/binary-amd64/Packages\n \
             {} {} main/binary-amd64/Packages.gz\n",
            Digest::of(index.as_bytes()).hex(),
            index.len(),
            Digest::of(&zipped).hex(),
            zipped.len()
        );
        fs::write(folder.join("InRelease"), self.key.clear_sign(&release)).unwrap();
    }

    /// The release's own packages.
    pub(crate) fn main(&self, packages: &[Package]) {
        self.publish("debian", "bookworm", packages, "");
    }

    pub(crate) fn release(&self) -> PathBuf {
        self.folder.join("debian/dists/bookworm/InRelease")
    }
}

/// As little as is a system: what a distroless base names, and what is required.
pub(crate) fn small_system() -> Vec<Package> {
    let required = "Priority: required\nEssential: yes";
    vec![
        package(
            "Package: base-files\nVersion: 12\nEssential: yes\nPriority: required",
            vec![
                file("./", ""),
                file("./etc/", ""),
                file("./etc/debian_version", "12\n"),
                file("./var/run/", ""),
                file("./usr/share/doc/base-files/README", "long"),
                file("./usr/share/doc/base-files/copyright", "free"),
                file("./usr/share/man/man1/x.1.gz", "long"),
            ],
        )
        .with("postinst", "#!/bin/sh\nmigrate_directory /var/run /run\ninstall_directory var/mail 2775 mail\n")
        .with("md5sums", "a  etc/debian_version\n"),
        package(
            &format!("Package: base-passwd\nVersion: 3\n{required}"),
            vec![
                file("./usr/share/base-passwd/passwd.master", "root:*:0:0:root:/root:/bin/sh\n"),
                file("./usr/share/base-passwd/group.master", "root:*:0:\nmail:*:8:\nshadow:*:42:\n"),
            ],
        ),
        package(
            &format!("Package: passwd\nVersion: 1\n{required}\nDepends: libc6 (>= 2)"),
            vec![file("./usr/bin/passwd", "x")],
        ),
        package(
            &format!("Package: dash\nVersion: 1\n{required}\nPre-Depends: libc6"),
            vec![program("./bin/dash", "shell")],
        )
        .with("postinst", "claim_binsh /bin/sh dash\n"),
        package(
            "Package: libc6\nVersion: 2.36-9\nMulti-Arch: same",
            vec![file("./lib/x86_64-linux-gnu/note", "libc"), link("./lib64/ld-linux-x86-64.so.2", "/lib/x86_64-linux-gnu/ld-linux-x86-64.so.2")],
        )
        .with("triggers", "interest-noawait /lib/x\n"),
        package(
            "Package: apt\nVersion: 2.6\nDepends: usrmerge | usr-is-merged, awk",
            vec![file("./etc/apt/apt.conf", "A;\n"), program("./usr/bin/apt", "x")],
        )
        .with("conffiles", "/etc/apt/apt.conf\n"),
        package("Package: usrmerge\nVersion: 1\nDepends: perl", vec![]),
        package("Package: usr-is-merged\nVersion: 1", vec![]),
        package("Package: perl\nVersion: 5", vec![file("./usr/bin/perl", "48 MB")]),
        package(
            "Package: mawk\nVersion: 1\nPriority: required\nProvides: awk",
            vec![program("./usr/bin/mawk", "x")],
        )
        .with(
            "postinst",
            "update-alternatives --install /usr/bin/awk awk /usr/bin/mawk 5 \\\n --slave /usr/share/man/man1/awk.1.gz awk.1.gz /usr/share/man/man1/mawk.1.gz\n",
        ),
        package(
            "Package: ca-certificates\nVersion: 1",
            vec![
                file("./usr/share/ca-certificates/mozilla/B.crt", "-----BEGIN B"),
                file("./usr/share/ca-certificates/mozilla/A.crt", "-----BEGIN A\n"),
                file("./usr/share/doc/ca-certificates/copyright", "free"),
            ],
        )
        .with("md5sums", "a  usr/share/doc/ca-certificates/copyright\nb  usr/share/ca-certificates/mozilla/A.crt\n"),
        package("Package: media-types\nVersion: 1", vec![file("./etc/mime.types", "x\n")]),
        package("Package: netbase\nVersion: 1", vec![file("./etc/services", "x\n")]),
        package(
            "Package: tzdata\nVersion: 1",
            vec![file("./usr/share/zoneinfo/Etc/UTC", "TZif")],
        )
        .with("postinst", "ln /etc/localtime; echo > /etc/timezone\n"),
    ]
}
