//! What a user's project holds, and what a distribution's mirror says.

/// A settings file, ounce.toml.
pub fn settings(bytes: &[u8]) {
    if let Ok(text) = std::str::from_utf8(bytes) {
        let _ = ounce_build::config::parse("ounce.toml".as_ref(), text);
    }
}

/// An index of apk's: what it names can stand in a path, and versions of it are
/// in one order.
pub fn apk_index(bytes: &[u8]) {
    use ounce_build::distribution::alpine::dependency::Dependency;
    use ounce_build::distribution::alpine::{index, version};

    let Ok(packages) = index::parse(bytes) else {
        return;
    };
    for package in &packages {
        let name = package.file_name();
        assert!(!name.contains('/') && !name.starts_with(".."), "{name}");
        assert!(version::is_valid(&package.version));
        let said = package.provides.iter().chain(&package.depends);
        for one in said {
            let text = one.to_string();
            assert_eq!(text.parse::<Dependency>().as_ref(), Ok(one), "{text}");
            for other in &packages {
                let there = Some(other.version.as_str());
                let _ = one.covers(there);
            }
        }
    }
    for pair in packages.windows(2) {
        let (a, b) = (&pair[0].version, &pair[1].version);
        assert_eq!(version::compare(a, b), version::compare(b, a).reverse());
    }
}

/// An index of Debian's: packages of one name come from the newest on, and
/// versions are in one order.
pub fn debian_index(bytes: &[u8]) {
    use ounce_build::distribution::debian::untrusted::{index, order};

    let Ok(text) = std::str::from_utf8(bytes) else {
        return;
    };
    let (packages, _) = index(text);
    for pair in packages.windows(2) {
        let [(name, version), (other_name, other_version)] = pair else {
            continue;
        };
        let found = order(version, other_version);
        assert_eq!(found, order(other_version, version).reverse());
        if name == other_name {
            assert!(found.is_ge(), "{name} {version} before {other_version}");
        }
    }
}

/// A package's file of Debian's: what is in it is named by plain paths.
pub fn debian_package(bytes: &[u8]) {
    use ounce_build::distribution::debian::untrusted::package;

    for path in package(bytes).unwrap_or_default() {
        let is_plain = !path.split('/').any(|part| matches!(part, ".." | "." | ""));
        assert!(path.is_empty() || is_plain, "{path}");
    }
}

/// A release that is signed: only what was signed comes out, whatever is
/// changed around it.
pub fn debian_release(bytes: &[u8]) {
    use ounce_build::distribution::debian::untrusted::release;

    const KEYRING: &[u8] = include_bytes!("debian_release.keyring");
    const SIGNED: &str = include_str!("debian_release.txt");
    if let Ok(text) = release(bytes, KEYRING) {
        assert_eq!(text.trim_end(), SIGNED.trim_end());
    }
    // As a keyring, too.
    let _ = release(b"", bytes);
}
