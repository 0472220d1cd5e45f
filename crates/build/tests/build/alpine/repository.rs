//! A repository as Alpine has them, made here: packages, their index, and the
//! key that signs it. Written from the formats' manual pages, and judged by
//! apk itself where that is installed.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use flate2::Compression;
use flate2::write::GzEncoder;
use ounce_oci::Digest;
use ounce_oci::tar::{self, Fields};

/// The name of the key's file.
pub(crate) const KEY_NAME: &str = "test@example.org-5f3a.rsa.pub";

/// A key for tests alone: anybody may sign with it.
const PUBLIC_KEY: &str = "-----BEGIN PUBLIC KEY-----
MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIBCgKCAQEAszHNKUTEgJ6x9qK5B8nY
F79cu64ny13jRIycxbbxmuSb8p5w7ceErnupddv/r4HvuH/VCeSSOsCuXVGtxVfy
VA9+6RDCAsvgJm4yxijU7ApNhoomchGzpXcZx+HvtwLp1AagfbBPxTdAJCxfAm2z
iD3B5ZMbUo44VmCEbHW1r9KjSmyJ+T/rrTyH+Pnj+7sNTRI3qpXcIubh+7thg3KU
uX13CVl7RVBcB3J5ErpNxNZodDgKmh8THdxvyp0yEL/GqJ2iSQYjE0hnIqirUXLM
MOVYfeYlHXfVEghrWUKU0kVUNz6+D9zcZ4NodWZVU6g6+OrLjH4hKg8Nni3Oa/YB
zwIDAQAB
-----END PUBLIC KEY-----
";
const MODULUS: &str = "b331cd2944c4809eb1f6a2b907c9d817bf5cbbae27cb5de3448c9cc5b6f19ae49bf29e70\
    edc784ae7ba975dbffaf81efb87fd509e4923ac0ae5d51adc557f2540f7ee910c202cbe0266e32c628d4ec0a4d86\
    8a267211b3a57719c7e1efb702e9d406a07db04fc53740242c5f026db3883dc1e5931b528e385660846c75b5afd2\
    a34a6c89f93febad3c87f8f9e3fbbb0d4d1237aa95dc22e6e1fbbb61837294b97d7709597b45505c07727912ba4d\
    c4d66874380a9a1f131ddc6fca9d3210bfc6a89da249062313486722a8ab5172cc30e5587de6251d77d512086b59\
    4294d24554373ebe0fdcdc67836875665553a83af8eacb8c7e212a0f0d9e2dce6bf601cf";
const EXPONENT: &str = "3db3d3cfb688ad3b37cf53b7bfc94e59db004cf5ca6919f2a44b80be09e106b35a49802\
    a258e328f3c309d4f3c2b0c646594cae025aefe81136939b34ac51e41b8b63bfd93b88fc826a382633e7316b5f37\
    cf4bc09423428312b14eb24f6510ffffcaa2dad54c2756466304b24d46e61e6d609bd8e466e8752a2d8665a5fcde\
    2f5e2484043bc176f1eddfc694609d6d001e605620afa81841194e261805e5db64fa2429915a9649fe83db0fc753\
    f4b8b892a7076a1f771d4d0a9240a77411e339f54231f9c814799f5fda74b59a854e5d2a8d527c3edd6f0b133999\
    99ff3e90a253d3b3064164738719ba07f05ffb0d2a109a8dd0cad59b20e86f337fb791839";

/// What is in a package.
#[derive(Debug, Clone)]
pub(crate) enum Content {
    Folder,
    File(Vec<u8>),
    Symlink(String),
    Hardlink(String),
    Pipe,
}

/// A file of a package.
#[derive(Debug, Clone)]
pub(crate) struct PackedFile {
    pub(crate) path: String,
    pub(crate) content: Content,
    pub(crate) mode: u32,
    pub(crate) owner: (u32, u32),
    /// In place of the true one.
    pub(crate) checksum: Option<[u8; 20]>,
}

/// A package to be.
#[derive(Debug, Clone, Default)]
pub(crate) struct Package {
    pub(crate) name: String,
    pub(crate) version: String,
    /// `key = value` lines of `.PKGINFO` beyond name, version and digest.
    pub(crate) info: Vec<(String, String)>,
    pub(crate) scripts: Vec<(String, String)>,
    pub(crate) files: Vec<PackedFile>,
    /// By the key as well; else the index alone vouches for it.
    pub(crate) signed: bool,
}

impl Package {
    pub(crate) fn new(name: &str, version: &str) -> Self {
        Self {
            name: name.to_owned(),
            version: version.to_owned(),
            ..Self::default()
        }
    }

    pub(crate) fn info(mut self, key: &str, values: &str) -> Self {
        for value in values.split(' ').filter(|value| !value.is_empty()) {
            self.info.push((key.to_owned(), value.to_owned()));
        }
        self
    }

    pub(crate) fn line(mut self, key: &str, value: &str) -> Self {
        self.info.push((key.to_owned(), value.to_owned()));
        self
    }

    pub(crate) fn depends(self, values: &str) -> Self {
        self.info("depend", values)
    }

    pub(crate) fn provides(self, values: &str) -> Self {
        self.info("provides", values)
    }

    pub(crate) fn script(mut self, kind: &str, text: &str) -> Self {
        self.scripts.push((kind.to_owned(), text.to_owned()));
        self
    }

    fn add(mut self, path: &str, content: Content, mode: u32) -> Self {
        self.files.push(PackedFile {
            path: path.to_owned(),
            content,
            mode,
            owner: (0, 0),
            checksum: None,
        });
        self
    }

    pub(crate) fn folder(self, path: &str) -> Self {
        self.add(path, Content::Folder, 0o755)
    }

    pub(crate) fn folder_of(self, path: &str, mode: u32) -> Self {
        self.add(path, Content::Folder, mode)
    }

    pub(crate) fn file(self, path: &str, bytes: impl Into<Vec<u8>>) -> Self {
        self.add(path, Content::File(bytes.into()), 0o644)
    }

    pub(crate) fn program(self, path: &str, bytes: impl Into<Vec<u8>>) -> Self {
        self.add(path, Content::File(bytes.into()), 0o755)
    }

    pub(crate) fn link(self, path: &str, target: &str) -> Self {
        self.add(path, Content::Symlink(target.to_owned()), 0o777)
    }

    pub(crate) fn hard_link(self, path: &str, target: &str) -> Self {
        self.add(path, Content::Hardlink(target.to_owned()), 0o755)
    }

    pub(crate) fn pipe(self, path: &str) -> Self {
        self.add(path, Content::Pipe, 0o644)
    }

    /// Changes the file that came last.
    pub(crate) fn last(mut self, change: impl FnOnce(&mut PackedFile)) -> Self {
        change(self.files.last_mut().unwrap());
        self
    }

    /// As a file, and its paragraph of an index.
    pub(crate) fn pack(&self) -> (Vec<u8>, String) {
        let mut data = Vec::new();
        for file in &self.files {
            pack_file(file, &mut data);
        }
        data.resize(data.len() + 1024, 0);
        let data = gzip(&data);
        let mut info = format!("pkgname = {}\npkgver = {}\n", self.name, self.version);
        let mut defaults = vec![
            ("pkgdesc", "made by a test"),
            ("url", "https://example.org"),
            ("builddate", "1700000000"),
            ("packager", "nobody"),
            ("size", "4096"),
            ("arch", "x86_64"),
            ("origin", &self.name),
            ("license", "MIT"),
        ];
        defaults.retain(|(key, _)| !self.info.iter().any(|(own, _)| own == key));
        for (key, value) in &defaults {
            info.push_str(&format!("{key} = {value}\n"));
        }
        for (key, value) in &self.info {
            info.push_str(&format!("{key} = {value}\n"));
        }
        info.push_str(&format!("datahash = {}\n", Digest::of(&data).hex()));
        let mut control = Vec::new();
        plain(".PKGINFO", info.as_bytes(), 0o644, &mut control);
        for (kind, text) in &self.scripts {
            plain(&format!(".{kind}"), text.as_bytes(), 0o755, &mut control);
        }
        let control = gzip(&control);
        let mut whole = match self.signed {
            true => signature("RSA", &control),
            false => Vec::new(),
        };
        whole.extend_from_slice(&control);
        whole.extend_from_slice(&data);
        let value = |wanted: &str| -> String {
            let own = self
                .info
                .iter()
                .map(|(key, value)| (key.as_str(), value.as_str()));
            let all = own.chain(defaults.iter().copied());
            let found: Vec<&str> = all
                .filter(|(key, _)| *key == wanted)
                .map(|(_, value)| value)
                .collect();
            found.join(" ")
        };
        let mut paragraph = format!(
            "C:{}\nP:{}\nV:{}\nA:x86_64\nS:{}\nI:{}\nT:{}\nU:{}\nL:{}\no:{}\nt:{}\n",
            q1(&sha1(&control)),
            self.name,
            self.version,
            whole.len(),
            value("size"),
            value("pkgdesc"),
            value("url"),
            value("license"),
            value("origin"),
            value("builddate"),
        );
        for (field, key) in [
            ('k', "provider_priority"),
            ('D', "depend"),
            ('p', "provides"),
            ('i', "install_if"),
        ] {
            let value = value(key);
            if !value.is_empty() {
                paragraph.push_str(&format!("{field}:{value}\n"));
            }
        }
        (whole, paragraph)
    }
}

fn fields(path: &str, kind: u8, mode: u32, size: usize) -> Fields<'_> {
    Fields {
        path,
        kind,
        mode,
        uid: 0,
        gid: 0,
        size: size as u64,
        mtime: 1_700_000_000,
        link: "",
    }
}

fn plain(path: &str, bytes: &[u8], mode: u32, out: &mut Vec<u8>) {
    tar::emit(&fields(path, b'0', mode, bytes.len()), out);
    out.extend_from_slice(bytes);
    tar::pad(bytes.len() as u64, out);
}

fn pack_file(file: &PackedFile, out: &mut Vec<u8>) {
    let (kind, bytes, link): (u8, &[u8], &str) = match &file.content {
        Content::Folder => (b'5', b"", ""),
        Content::File(bytes) => (b'0', bytes, ""),
        Content::Symlink(target) => (b'2', b"", target),
        Content::Hardlink(target) => (b'1', b"", target),
        Content::Pipe => (b'6', b"", ""),
    };
    let checksum = match &file.content {
        Content::File(bytes) => Some(sha1(bytes)),
        Content::Symlink(target) => Some(sha1(target.as_bytes())),
        _ => None,
    };
    if let Some(checksum) = file.checksum.or(checksum) {
        let hex: String = checksum.iter().map(|byte| format!("{byte:02x}")).collect();
        // 40 digits, the key, and the length itself.
        let record = format!("68 APK-TOOLS.checksum.SHA1={hex}\n");
        assert_eq!(record.len(), 68);
        plain_kind("pax", b'x', record.as_bytes(), out);
    }
    let folder = format!("{}/", file.path);
    let path = if kind == b'5' { &folder } else { &file.path };
    let fields = Fields {
        path,
        kind,
        mode: file.mode,
        uid: file.owner.0,
        gid: file.owner.1,
        size: bytes.len() as u64,
        mtime: 1_700_000_000,
        link,
    };
    tar::emit(&fields, out);
    out.extend_from_slice(bytes);
    tar::pad(bytes.len() as u64, out);
}

fn plain_kind(path: &str, kind: u8, bytes: &[u8], out: &mut Vec<u8>) {
    tar::emit(&fields(path, kind, 0o644, bytes.len()), out);
    out.extend_from_slice(bytes);
    tar::pad(bytes.len() as u64, out);
}

pub(crate) fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::new(6));
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn sha1(bytes: &[u8]) -> [u8; 20] {
    let digest = ring::digest::digest(&ring::digest::SHA1_FOR_LEGACY_USE_ONLY, bytes);
    digest.as_ref().try_into().unwrap()
}

fn q1(bytes: &[u8]) -> String {
    let alphabet = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = "Q1".to_owned();
    for chunk in bytes.chunks(3) {
        let mut word = [0; 4];
        word[1..=chunk.len()].copy_from_slice(chunk);
        let word = u32::from_be_bytes(word);
        for at in 0..=chunk.len() {
            text.push(char::from(alphabet[(word >> (18 - 6 * at) & 63) as usize]));
        }
    }
    text.push_str(&"=".repeat((3 - bytes.len() % 3) % 3));
    text
}

/// The gzip member that holds a signature of `signed`; `RSA` or `RSA256`.
pub(crate) fn signature(kind: &str, signed: &[u8]) -> Vec<u8> {
    let mut member = Vec::new();
    let path = format!(".SIGN.{kind}.{KEY_NAME}");
    plain(&path, &sign(kind, signed), 0o644, &mut member);
    gzip(&member)
}

/// RSASSA-PKCS1-v1_5 (RFC 8017) by school arithmetic: no crate that signs with
/// SHA-1 is worth having for this.
fn sign(kind: &str, message: &[u8]) -> Vec<u8> {
    let (prefix, hash): (&[u8], Vec<u8>) = match kind {
        "RSA" => (
            &[
                0x30, 0x21, 0x30, 0x09, 0x06, 0x05, 0x2b, 0x0e, 0x03, 0x02, 0x1a, 0x05, 0x00, 0x04,
                0x14,
            ],
            sha1(message).to_vec(),
        ),
        "RSA256" => (
            &[
                0x30, 0x31, 0x30, 0x0d, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02,
                0x01, 0x05, 0x00, 0x04, 0x20,
            ],
            ring::digest::digest(&ring::digest::SHA256, message)
                .as_ref()
                .to_vec(),
        ),
        other => panic!("{other}"),
    };
    let mut encoded = vec![0, 1];
    encoded.resize(256 - prefix.len() - hash.len() - 1, 0xff);
    encoded.push(0);
    encoded.extend_from_slice(prefix);
    encoded.extend_from_slice(&hash);
    power(&encoded)
}

type Number = [u32; 64];

/// `base` to the key's power, modulo its modulus; most significant byte first.
fn power(base: &[u8]) -> Vec<u8> {
    let hex = |text: &str| -> Vec<u8> {
        let text: String = text.chars().filter(|c| !c.is_whitespace()).collect();
        let text = format!("{text:0>512}");
        (0..256)
            .map(|at| u8::from_str_radix(&text[2 * at..2 * at + 2], 16).unwrap())
            .collect()
    };
    let number = |bytes: &[u8]| -> Number {
        let mut number = [0; 64];
        for (word, chunk) in number.iter_mut().zip(bytes.rchunks(4)) {
            *word = u32::from_be_bytes(chunk.try_into().unwrap());
        }
        number
    };
    let modulus = number(&hex(MODULUS));
    let base = number(base);
    let mut result = [0; 64];
    result[0] = 1;
    for byte in hex(EXPONENT) {
        for bit in (0..8).rev() {
            result = multiply(&result, &result, &modulus);
            if byte >> bit & 1 == 1 {
                result = multiply(&result, &base, &modulus);
            }
        }
    }
    result
        .iter()
        .rev()
        .flat_map(|word| word.to_be_bytes())
        .collect()
}

/// Montgomery's way would be quicker; this one is short: shift and subtract by
/// whole words of the other factor.
fn multiply(a: &Number, b: &Number, modulus: &Number) -> Number {
    let mut sum = [0_u32; 65];
    for word in a.iter().rev() {
        // sum = (sum << 32) + word * b, kept below the modulus.
        let mut carry = 0_u64;
        let mut next = [0_u32; 66];
        for at in 0..64 {
            let value = u64::from(*word) * u64::from(b[at]) + carry;
            let low = u64::from(if at > 0 { sum[at - 1] } else { 0 }) + (value & 0xffff_ffff);
            next[at] = low as u32;
            carry = (value >> 32) + (low >> 32);
        }
        let high = carry + u64::from(sum[63]);
        next[64] = high as u32;
        next[65] = (high >> 32) as u32 + sum[64];
        reduce(&mut next, modulus);
        sum.copy_from_slice(&next[..65]);
    }
    sum[..64].try_into().unwrap()
}

/// Takes the modulus away as often as it goes in, by an estimate from the
/// leading words that is never too large.
fn reduce(number: &mut [u32; 66], modulus: &Number) {
    let top = u64::from(modulus[63]) + 1;
    loop {
        let lead =
            u128::from(number[65]) << 64 | u128::from(number[64]) << 32 | u128::from(number[63]);
        let mut times = u64::try_from(lead / u128::from(top)).unwrap();
        if times == 0 {
            let larger = (0..64)
                .rev()
                .find_map(|at| match number[at].cmp(&modulus[at]) {
                    std::cmp::Ordering::Equal => None,
                    other => Some(other == std::cmp::Ordering::Greater),
                });
            if !larger.unwrap_or(true) {
                return;
            }
            times = 1;
        }
        let (mut borrow, mut carry) = (0_i64, 0_u64);
        for (at, place) in number.iter_mut().enumerate() {
            let word = modulus.get(at).copied().unwrap_or(0);
            let product = u128::from(times) * u128::from(word) + u128::from(carry);
            carry = (product >> 32) as u64;
            let value = i64::from(*place) - i64::from(product as u32) + borrow;
            *place = value as u32;
            borrow = value >> 32;
        }
    }
}

/// A folder with `x86_64/APKINDEX.tar.gz`, packages, and a folder of keys.
pub(crate) struct Repository {
    pub(crate) folder: PathBuf,
    pub(crate) paragraphs: Vec<String>,
}

impl Repository {
    pub(crate) fn new(folder: &Path) -> Self {
        fs::create_dir_all(folder.join("x86_64")).unwrap();
        fs::create_dir_all(folder.join("keys")).unwrap();
        fs::write(folder.join("keys").join(KEY_NAME), PUBLIC_KEY).unwrap();
        Self {
            folder: folder.to_owned(),
            paragraphs: Vec::new(),
        }
    }

    pub(crate) fn keys(&self) -> PathBuf {
        self.folder.join("keys")
    }

    pub(crate) fn mirror(&self) -> String {
        format!("file://{}", self.folder.display())
    }

    pub(crate) fn add(&mut self, package: &Package) {
        let (bytes, paragraph) = package.pack();
        let name = format!("x86_64/{}-{}.apk", package.name, package.version);
        fs::write(self.folder.join(name), bytes).unwrap();
        self.paragraphs.push(paragraph);
    }

    /// The index's compressed part, without signature.
    pub(crate) fn index(&self) -> Vec<u8> {
        let mut archive = Vec::new();
        plain("DESCRIPTION", b"test", 0o644, &mut archive);
        let text = self.paragraphs.join("\n") + "\n";
        plain("APKINDEX", text.as_bytes(), 0o644, &mut archive);
        archive.resize(archive.len() + 1024, 0);
        gzip(&archive)
    }

    pub(crate) fn write_index(&self, bytes: &[u8]) {
        fs::write(self.folder.join("x86_64/APKINDEX.tar.gz"), bytes).unwrap();
    }

    /// Signs and writes the index.
    pub(crate) fn publish(&self) {
        let index = self.index();
        let mut whole = signature("RSA", &index);
        whole.extend_from_slice(&index);
        self.write_index(&whole);
    }
}
