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
