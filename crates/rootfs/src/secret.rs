//! Secrets that nobody means to ship, told by their form: private keys, tokens
//! and the files in which programs keep credentials.
//!
//! Only what is unmistakable is told: a finding that is none teaches people to
//! look away. So a key needs a body, a token its exact length, and keys and
//! tokens in folders and files of tests, which published packages are full of,
//! are passed over.

use std::path::{Component, Path};

use memchr::memmem;

/// Fewest characters of base64 that make a mark of PEM a key: an Ed25519 key, the
/// shortest there is, has 64.
const KEY_BODY: usize = 40;

/// What a token begins with, how many letters and digits follow, and whether
/// `_` and `-` are among these. From the issuers' documentation.
const TOKENS: &[(&str, usize, bool, &str)] = &[
    ("AKIA", 16, false, "an access key"),
    ("ASIA", 16, false, "an access key"),
    ("ghp_", 36, false, "an access token"),
    ("gho_", 36, false, "an access token"),
    ("ghu_", 36, false, "an access token"),
    ("ghs_", 36, false, "an access token"),
    ("ghr_", 36, false, "an access token"),
    ("github_pat_", 82, true, "an access token"),
    ("glpat-", 20, true, "an access token"),
    ("npm_", 36, false, "a registry token"),
    ("dckr_pat_", 27, true, "a registry token"),
    ("AGE-SECRET-KEY-1", 58, false, "a private key"),
];

/// What a file holds that looks like a secret, if it does. `path` is its place in
/// the image.
pub fn find(path: &Path, data: &[u8]) -> Option<&'static str> {
    let is_test = is_test(path);
    if !is_test && has_private_key(data) {
        return Some("a private key");
    }
    let text = std::str::from_utf8(data).ok()?;
    let name = path.file_name()?.to_str()?;
    let has = |mark: &str| memmem::find(data, mark.as_bytes()).is_some();
    if name == ".git-credentials" || name == ".netrc" && has("password") {
        return Some("stored credentials");
    }
    if name == ".npmrc" && has("_authToken=") || name == ".pypirc" && has("password") {
        return Some("a registry token");
    }
    let holds_auth = has("\"auth\"") || has("\"identitytoken\"");
    if (path.ends_with(".docker/config.json") || path.ends_with("containers/auth.json"))
        && holds_auth
    {
        return Some("registry credentials");
    }
    if matches!(name, ".env" | ".env.production") && !text.trim().is_empty() {
        return Some("an environment file");
    }
    if path.ends_with(".aws/credentials") && has("aws_secret_access_key") {
        return Some("cloud credentials");
    }
    if is_test {
        return None;
    }
    let found = TOKENS
        .iter()
        .find(|(prefix, length, wide, _)| has_token(data, prefix.as_bytes(), *length, *wide));
    found.map(|(.., what)| *what)
}

/// Whether a private key is written out as PEM, in a text or in a program that
/// has one compiled in. Programs that read keys hold the marks without a body.
pub fn has_private_key(data: &[u8]) -> bool {
    const END: &[u8] = b"PRIVATE KEY-----";
    memmem::find_iter(data, END).any(|at| {
        let line = &data[at.saturating_sub(64)..at];
        let begins = memmem::rfind(line, b"-----BEGIN ").is_some_and(|from| {
            let label = &line[from + b"-----BEGIN ".len()..];
            label
                .iter()
                .all(|byte| byte.is_ascii_uppercase() || *byte == b' ')
        });
        begins && body(&data[at + END.len()..]) >= KEY_BODY
    })
}

/// Characters of base64 that follow, line ends and headers (RFC 1421) between
/// them passed over; in JSON a line ends by `\n` as two characters.
fn body(data: &[u8]) -> usize {
    let mut count = 0;
    let mut rest = data;
    // Lines of 64 characters, and four headers before them, are more than enough.
    for _ in 0..8 {
        rest = match rest {
            [b'\\', b'r', b'\\', b'n', rest @ ..] | [b'\\', b'n', rest @ ..] => rest,
            [b'\r', b'\n', rest @ ..] | [b'\n', rest @ ..] => rest,
            _ => return count,
        };
        let is_name = |byte: &&u8| byte.is_ascii_alphanumeric() || **byte == b'-';
        let name = rest.iter().take(64).take_while(is_name).count();
        if name > 0 && rest.get(name) == Some(&b':') {
            let ends = |from: &[u8]| from[0] == b'\n' || from.starts_with(b"\\n");
            let line = (0..rest.len().min(256)).find(|at| ends(&rest[*at..]));
            rest = &rest[line.unwrap_or(rest.len())..];
            continue;
        }
        let is_body = |byte: &&u8| byte.is_ascii_alphanumeric() || b"+/=".contains(byte);
        let length = rest.iter().take(128).take_while(is_body).count();
        count += length;
        rest = &rest[length..];
        if count >= KEY_BODY {
            break;
        }
    }
    count
}

fn has_token(data: &[u8], prefix: &[u8], length: usize, wide: bool) -> bool {
    memmem::find_iter(data, prefix).any(|at| {
        let own = |byte: &&u8| byte.is_ascii_alphanumeric() || wide && b"_-".contains(byte);
        let rest = &data[at + prefix.len()..];
        let follows = rest.iter().take(length + 1).take_while(own).count();
        let before = at.checked_sub(1).map(|before| data[before]);
        follows == length && !before.is_some_and(|byte| byte.is_ascii_alphanumeric())
    })
}

/// Whether it is a file of tests, or lies among them.
fn is_test(path: &Path) -> bool {
    path.components().any(|part| {
        let Component::Normal(name) = part else {
            return false;
        };
        let name = name.to_string_lossy();
        let stem = name.split('.').next().unwrap_or_default();
        matches!(
            stem,
            "test" | "tests" | "testdata" | "testing" | "__tests__"
        ) || name.starts_with("test_")
            || stem.ends_with("_test")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// In two parts, so that no file of ours holds one.
    fn key(kind: &str, line_end: &str) -> String {
        let body = "MC4CAQAwBQYDK2VwBCIEIJ1hsZ3v".repeat(2);
        format!(
            "-----BEGIN {kind}PRIVATE KEY-----{line_end}{body}{line_end}-----END {kind}PRIVATE KEY-----"
        )
    }

    #[test]
    fn only_unmistakable_secrets_are_told() {
        let access = format!("KEY = '{}{}'", "AKIA", "ABCDEFGHIJKLMNOP");
        let token = format!("{}{}", "ghp_", "a1".repeat(18));
        let auth = r#"{"auths":{"x":{"auth":"eA=="}}}"#;
        for (path, text, expected) in [
            (
                "etc/ssl/private/a.key",
                key("RSA ", "\n"),
                Some("a private key"),
            ),
            (
                "public/latest/a.pem",
                key("", "\r\n"),
                Some("a private key"),
            ),
            ("app/account.json", key("", "\\n"), Some("a private key")),
            (
                "usr/lib/ssl.py",
                "look for -----BEGIN PRIVATE KEY-----".to_owned(),
                None,
            ),
            (
                "docs/a.md",
                "-----BEGIN PRIVATE KEY-----\n...\n-----END PRIVATE KEY-----".to_owned(),
                None,
            ),
            ("usr/lib/node/test/key.pem", key("EC ", "\n"), None),
            (
                "app/.env",
                "TOKEN=1\n".to_owned(),
                Some("an environment file"),
            ),
            ("app/.env", " \n".to_owned(), None),
            ("app/settings.py", access.clone(), Some("an access key")),
            (
                "app/settings.py",
                format!("{access}Q").replace('\'', ""),
                None,
            ),
            ("app/settings.py", format!("x{token}"), None),
            ("app/settings.py", token, Some("an access token")),
            (
                "root/.npmrc",
                "//x/:_authToken=abc".to_owned(),
                Some("a registry token"),
            ),
            (
                "root/.docker/config.json",
                auth.to_owned(),
                Some("registry credentials"),
            ),
            ("app/config.json", auth.to_owned(), None),
        ] {
            assert_eq!(
                find(Path::new(path), text.as_bytes()),
                expected,
                "{path}: {text}"
            );
        }
    }

    #[test]
    fn key_compiled_into_a_program_is_found_and_the_marks_of_a_reader_are_not() {
        let mut program = b"\x7fELF\0\0".to_vec();
        program.extend(b"-----BEGIN RSA PRIVATE KEY-----\0-----END RSA PRIVATE KEY-----\0\xff");
        assert_eq!(find(Path::new("app"), &program), None);
        program.extend(key("", "\n").into_bytes());
        assert_eq!(find(Path::new("app"), &program), Some("a private key"));
    }

    #[test]
    fn old_keys_with_headers_are_told_too() {
        let text = key("RSA ", "\n").replace(
            "KEY-----\nM",
            "KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-128-CBC,00\n\nM",
        );
        assert_eq!(
            find(Path::new("a.pem"), text.as_bytes()),
            Some("a private key")
        );
    }
}
