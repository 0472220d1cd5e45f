//! `ounce.toml`: read, checked key by key, and turned into [`Settings`].
//! How faults are told with their place, `ounce-config` knows.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

pub use ounce_config::{ConfigError, ConfigFault};
use ounce_config::{
    DeTable, DeValue, Read, Table, Value, invalid, missing, parsed, strings, table_of, tables,
    wrong_type,
};
use ounce_oci::layer::Compression;
use ounce_oci::{Platform, Reference};

use crate::distribution::Base;
use crate::language::known::Language;
use crate::settings::{
    AlpineSettings, Certificates, DebianSettings, ExtraFile, ImageSettings, Measure,
    PythonSettings, RustSettings, Settings, Zones, parse_mode,
};
use crate::site::rules::SiteRules;

/// Most bytes of an `ounce.toml`: it is written by hand.
pub const CONFIG_LIMIT_BYTES: u64 = 1 << 20;

/// Reads the text of an `ounce.toml`; `path` is for messages and relative files.
///
/// # Errors
/// Not TOML, an unknown key, a wrong type or a value out of its range.
pub fn parse(path: &Path, text: &str) -> Result<Settings, ConfigError> {
    let folder = path.parent().unwrap_or(Path::new(""));
    ounce_config::read(path, "docs/ounce-toml.md", text, |document| {
        root(document, folder)
    })
}

const ROOT: &[&str] = &[
    "name",
    "language",
    "bin",
    "programs",
    "platforms",
    "budget",
    "compression",
    "measure",
    "site",
    "rust",
    "python",
    "image",
    "file",
    "allow-secrets",
    "base",
    "lock",
    "stage",
];

fn root(table: &DeTable<'_>, folder: &Path) -> Read<Settings> {
    let table = Table::new(table, "", ROOT)?;
    let settings = Settings {
        name: table.string("name")?,
        language: table.get("language", |name, value| {
            parsed(name, value, |text| {
                let known = Language::ALL.map(Language::key);
                let language = Language::ALL.into_iter().find(|one| one.key() == text);
                language.ok_or_else(|| format!("{text:?} is none of {}", known.join(", ")))
            })
        })?,
        programs: table
            .get("programs", |name, value| programs(name, value, folder))?
            .unwrap_or_default(),
        platforms: table
            .get("platforms", |name, value| {
                strings(name, value)?
                    .iter()
                    .map(|text| {
                        text.parse()
                            .map_err(|error| invalid(name, value.span(), error))
                    })
                    .collect::<Read<Vec<_>>>()
            })?
            .unwrap_or_default(),
        budget_bytes: table.get("budget", budget)?,
        compression: table.get("compression", compression)?,
        measure: table.get("measure", |name, value| {
            parsed(name, value, |text| match text {
                "auto" => Ok(Measure::Auto),
                "total" => Ok(Measure::Total),
                "each-flag" => Ok(Measure::EachFlag),
                "no" => Ok(Measure::No),
                _ => Err(format!("{text:?} is none of auto, total, each-flag, no")),
            })
        })?,
        // `site = true`, or a table with the rules, which says it, too.
        site: table.get("site", |name, value| match value.get_ref() {
            DeValue::Boolean(flag) => Ok(*flag),
            DeValue::Table(_) => Ok(true),
            _ => wrong_type(name, value, "true, false or a table"),
        })?,
        rules: table
            .get("site", |name, value| match value.get_ref() {
                DeValue::Table(_) => site(name, value),
                _ => Ok(SiteRules::default()),
            })?
            .unwrap_or_default(),
        rust: {
            let rust = table.get("rust", rust)?.unwrap_or_default();
            let bin = table.string("bin")?;
            RustSettings {
                bin: rust.bin.clone().or(bin),
                ..rust
            }
        },
        python: table
            .get("python", |name, value| python(name, value, folder))?
            .unwrap_or_default(),
        image: table
            .get("image", |name, value| image(name, value, folder))?
            .unwrap_or_default(),
        files: table
            .get("file", |name, value| files(name, value, folder))?
            .unwrap_or_default(),
        allow_secrets: table.strings("allow-secrets")?.unwrap_or_default(),
        // `base = "debian-slim"`, or a table with the bases' own settings.
        base: table
            .get("base", |name, value| match value.get_ref() {
                DeValue::String(_) => parsed(name, value, str::parse).map(Some),
                _ => base(name, value, folder).map(|base| base.0),
            })?
            .flatten(),
        debian: table
            .get("base", |name, value| match value.get_ref() {
                DeValue::String(_) => Ok(DebianSettings::default()),
                _ => base(name, value, folder).map(|base| base.1),
            })?
            .unwrap_or_default(),
        alpine: table
            .get("base", |name, value| match value.get_ref() {
                DeValue::String(_) => Ok(AlpineSettings::default()),
                _ => base(name, value, folder).map(|base| base.2),
            })?
            .unwrap_or_default(),
        lock: table.string("lock")?.map(|path| folder.join(path)),
        stages: table
            .get("stage", |name, value| stages(name, value, folder))?
            .unwrap_or_default(),
    };
    // What flags and file have in common is checked once more after the
    // merge; here the fault can still be told with the file's name.
    settings
        .check()
        .map_err(|error| invalid("ounce.toml", 0..0, error))?;
    Ok(settings)
}

/// `[programs]`: platform = file.
fn programs(name: &str, value: &Value<'_>, folder: &Path) -> Read<Vec<(Platform, PathBuf)>> {
    let table = table_of(name, value)?;
    let mut programs = Vec::new();
    for (key, value) in table.iter() {
        let text: &str = key.get_ref();
        let inner = format!("{name}.{text}");
        let platform = text
            .parse()
            .map_err(|error| invalid(&inner, key.span(), error))?;
        let file = parsed(&inner, value, |file| Ok::<_, String>(folder.join(file)))?;
        programs.push((platform, file));
    }
    Ok(programs)
}

fn stages(name: &str, value: &Value<'_>, folder: &Path) -> Read<BTreeMap<String, Settings>> {
    let mut stages = BTreeMap::new();
    for (key, value) in table_of(name, value)? {
        let stage = key.get_ref().as_ref();
        let as_tag: Result<Reference, _> = format!("a:{stage}").parse();
        if stage == "all" || as_tag.is_err() {
            let why = "a stage is named as a tag is, and not `all`";
            return Err(invalid(&format!("{name}.{stage}"), key.span(), why));
        }
        let name = format!("{name}.{stage}");
        let known = &["base", "budget", "compression", "image", "packages"];
        let table = Table::new(table_of(&name, value)?, format!("{name}."), known)?;
        let packages = table.strings("packages")?;
        let settings = Settings {
            base: table.get("base", |name, value| parsed(name, value, str::parse))?,
            budget_bytes: table.get("budget", budget)?,
            compression: table.get("compression", compression)?,
            image: table
                .get("image", |name, value| image(name, value, folder))?
                .unwrap_or_default(),
            debian: DebianSettings {
                packages: packages.clone(),
                ..DebianSettings::default()
            },
            alpine: AlpineSettings {
                packages,
                ..AlpineSettings::default()
            },
            ..Settings::default()
        };
        stages.insert(stage.to_owned(), settings);
    }
    Ok(stages)
}

fn compression(name: &str, value: &Value<'_>) -> Read<Compression> {
    parsed(name, value, |text| match text {
        "gzip" => Ok(Compression::Gzip),
        "zstd" => Ok(Compression::Zstd),
        "none" => Ok(Compression::None),
        _ => Err(format!("{text:?} is none of gzip, zstd, none")),
    })
}

type BaseTable = (Option<Base>, DebianSettings, AlpineSettings);

fn base(name: &str, value: &Value<'_>, folder: &Path) -> Read<BaseTable> {
    let DeValue::Table(table) = value.get_ref() else {
        return wrong_type(name, value, "the name of a base, or a table");
    };
    let table = Table::new(table, "base.", &["name", "debian", "alpine"])?;
    let base = table.get("name", |name, value| parsed(name, value, str::parse))?;
    let debian = table.get("debian", |name, value| {
        let known = &[
            "mirror",
            "suite",
            "components",
            "keyrings",
            "packages",
            "valid-until",
        ];
        let table = Table::new(table_of(name, value)?, "base.debian.", known)?;
        let keyrings = table.strings("keyrings")?.unwrap_or_default();
        Ok(DebianSettings {
            mirror: table.string("mirror")?,
            suite: table.string("suite")?,
            components: table.strings("components")?,
            keyrings: keyrings.iter().map(|path| folder.join(path)).collect(),
            packages: table.strings("packages")?,
            valid_until: table.boolean("valid-until")?,
        })
    })?;
    let alpine = table.get("alpine", |name, value| {
        let known = &["mirror", "release", "repositories", "keys", "packages"];
        let table = Table::new(table_of(name, value)?, "base.alpine.", known)?;
        let keys = table.strings("keys")?.unwrap_or_default();
        Ok(AlpineSettings {
            mirror: table.string("mirror")?,
            release: table.string("release")?,
            repositories: table.strings("repositories")?,
            keys: keys.iter().map(|path| folder.join(path)).collect(),
            packages: table.strings("packages")?,
        })
    })?;
    Ok((base, debian.unwrap_or_default(), alpine.unwrap_or_default()))
}

fn budget(name: &str, value: &Value<'_>) -> Read<u64> {
    match value.get_ref() {
        DeValue::Integer(number) => u64::from_str_radix(number.as_str(), number.radix())
            .map_err(|_| invalid(name, value.span(), "a number of bytes from 0 up is wanted")),
        DeValue::String(_) => parsed(name, value, |text| {
            text.parse::<ounce_oci::bytes::ByteSize>()
                .map(|size| size.0)
        }),
        _ => wrong_type(name, value, "a size, as \"100KB\" or 20480"),
    }
}

fn site(name: &str, value: &Value<'_>) -> Read<SiteRules> {
    let known = &[
        "pack",
        "spa",
        "listing",
        "cache",
        "immutable",
        "headers",
        "security-headers",
        "compress",
    ];
    let table = Table::new(table_of(name, value)?, "site.", known)?;
    // Each is checked alone, where its place is known, and all together at the end.
    let checked = |key, rules: SiteRules| {
        table
            .get(key, |name, value| {
                rules
                    .check()
                    .map_err(|error| invalid(name, value.span(), error))
            })
            .map(|_| rules)
    };
    let none = SiteRules::default;
    let cache = table.string("cache")?;
    let cache = checked("cache", SiteRules { cache, ..none() })?.cache;
    let immutable = table.string("immutable")?;
    let immutable = checked(
        "immutable",
        SiteRules {
            immutable,
            ..none()
        },
    )?
    .immutable;
    let headers = table.map("headers")?;
    let headers = checked("headers", SiteRules { headers, ..none() })?.headers;
    Ok(SiteRules {
        pack: table.boolean("pack")?,
        spa: table.boolean("spa")?,
        listing: table.boolean("listing")?,
        cache,
        immutable,
        headers,
        security_headers: table.boolean("security-headers")?,
        compress: table.boolean("compress")?,
    })
}

fn rust(name: &str, value: &Value<'_>) -> Read<RustSettings> {
    let known = &[
        "package",
        "bin",
        "features",
        "all-features",
        "no-default-features",
        "profile",
        "target",
        "smallest",
        "auditable",
    ];
    let table = Table::new(table_of(name, value)?, "rust.", known)?;
    Ok(RustSettings {
        package: table.string("package")?,
        bin: table.string("bin")?,
        features: table.strings("features")?.unwrap_or_default(),
        all_features: table.boolean("all-features")?,
        no_default_features: table.boolean("no-default-features")?,
        profile: table.string("profile")?,
        target: table.string("target")?,
        smallest: table.boolean("smallest")?,
        auditable: table.boolean("auditable")?,
    })
}

fn python(name: &str, value: &Value<'_>, folder: &Path) -> Read<PythonSettings> {
    let known = &[
        "start",
        "requirements",
        "extras",
        "wheels",
        "package",
        "bytecode",
        "tests",
    ];
    let table = Table::new(table_of(name, value)?, "python.", known)?;
    let below = |path: String| folder.join(path);
    Ok(PythonSettings {
        start: table.string("start")?,
        requirements: table
            .strings("requirements")?
            .unwrap_or_default()
            .into_iter()
            .map(below)
            .collect(),
        extras: table.strings("extras")?.unwrap_or_default(),
        wheels: table.string("wheels")?.map(below),
        package: table.boolean("package")?,
        bytecode: table.boolean("bytecode")?,
        tests: table.boolean("tests")?,
    })
}

fn image(name: &str, value: &Value<'_>, folder: &Path) -> Read<ImageSettings> {
    let known = &[
        "args",
        "env",
        "user",
        "ports",
        "workdir",
        "labels",
        "title",
        "version",
        "source",
        "revision",
        "ca-certificates",
        "timezones",
        "passwd",
        "tmp",
    ];
    let table = Table::new(table_of(name, value)?, "image.", known)?;
    Ok(ImageSettings {
        args: table.strings("args")?,
        env: table.map("env")?,
        user: table.string("user")?,
        ports: table.get("ports", ports)?,
        workdir: table.string("workdir")?,
        labels: table.map("labels")?,
        title: table.string("title")?,
        version: table.string("version")?,
        source: table.string("source")?,
        revision: table.string("revision")?,
        ca_certificates: table.get("ca-certificates", |name, value| match value.get_ref() {
            DeValue::Boolean(true) => Ok(Certificates::Host),
            DeValue::Boolean(false) => Ok(Certificates::None),
            DeValue::String(path) => Ok(Certificates::File(folder.join(path.as_ref()))),
            _ => wrong_type(name, value, "true, false or the path of a PEM file"),
        })?,
        timezones: table.get("timezones", |name, value| match value.get_ref() {
            DeValue::Boolean(true) => Ok(Zones::All),
            DeValue::Boolean(false) => Ok(Zones::None),
            DeValue::Array(_) => strings(name, value).map(Zones::Named),
            _ => wrong_type(name, value, "true, false or a list of names"),
        })?,
        passwd: table.boolean("passwd")?,
        tmp: table.boolean("tmp")?,
    })
}

fn ports(name: &str, value: &Value<'_>) -> Read<Vec<crate::settings::Port>> {
    let wanted = "a list of ports, as [8080, \"53/udp\"]";
    let DeValue::Array(items) = value.get_ref() else {
        return wrong_type(name, value, wanted);
    };
    items
        .iter()
        .map(|item| {
            let text = match item.get_ref() {
                DeValue::Integer(number) => Cow::Borrowed(number.as_str()),
                DeValue::String(text) => Cow::Borrowed(text.as_ref()),
                _ => return wrong_type(name, item, wanted),
            };
            text.parse()
                .map_err(|error| invalid(name, item.span(), error))
        })
        .collect()
}

fn files(name: &str, value: &Value<'_>, folder: &Path) -> Read<Vec<ExtraFile>> {
    tables(name, value, "tables under [[file]]")?
        .into_iter()
        .map(|item| {
            let table = Table::new(table_of(name, item)?, "file.", &["from", "to", "mode"])?;
            let missing = |key: &str| missing(format!("file.{key}"), item.span());
            let from = table.string("from")?.ok_or_else(|| missing("from"))?;
            Ok(ExtraFile {
                from: folder.join(from),
                to: table.string("to")?.ok_or_else(|| missing("to"))?,
                mode: table.get("mode", |name, value| parsed(name, value, parse_mode))?,
            })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fault(text: &str) -> String {
        parse(Path::new("ounce.toml"), text)
            .unwrap_err()
            .to_string()
    }

    #[test]
    fn every_key_is_understood() {
        let settings = parse(
            Path::new("project/ounce.toml"),
            r#"
                allow-secrets = ["keys/*.pem"]
                name = "hello"
                language = "zig"
                bin = "never"
                programs = { "linux/arm/v6" = "out/hello" }
                platforms = ["linux/amd64", "linux/arm64"]
                budget = 20480
                compression = "zstd"
                measure = "each-flag"
                lock = "bases.lock"
                [site]
                pack = true
                spa = true
                listing = false
                cache = "public, max-age=60"
                immutable = "assets/"
                headers = { X-Team = "one" }
                security-headers = false
                compress = false
                [rust]
                package = "a"
                bin = "b"
                features = ["x", "y"]
                all-features = false
                no-default-features = true
                profile = "release"
                target = "x86_64-unknown-linux-musl"
                smallest = true
                auditable = false
                [python]
                start = "app:serve"
                requirements = ["requirements.txt"]
                extras = ["fast"]
                wheels = "wheels"
                package = false
                bytecode = true
                tests = false
                [image]
                args = ["--port", "80"]
                env = { KEY = "value" }
                user = "1000:1000"
                ports = [8080, "53/udp"]
                workdir = "/srv"
                labels = { "org.example.team" = "one" }
                title = "Hello"
                version = "1"
                source = "https://example.org"
                revision = "abc"
                ca-certificates = "roots.pem"
                timezones = ["Europe/Berlin"]
                passwd = true
                tmp = true
                [stage.dev]
                base = "debian-slim"
                packages = ["strace"]
                [stage.prod]
                base = "scratch"
                budget = "1 MB"
                compression = "gzip"
                image = { env = { A = "1" } }
                [base]
                name = "debian-slim"
                [base.debian]
                mirror = "http://mirror.example"
                suite = "bookworm"
                components = ["main"]
                keyrings = ["keys.gpg"]
                packages = ["curl"]
                valid-until = false
                [base.alpine]
                mirror = "file:///mirror"
                release = "edge"
                repositories = ["main", "community"]
                keys = ["keys"]
                packages = ["nginx"]
                [[file]]
                from = "hosts"
                to = "/etc/hosts"
                mode = "0600"
            "#,
        )
        .unwrap();
        insta::assert_debug_snapshot!(settings);
    }

    #[test]
    fn an_unknown_key_is_told_with_its_place_and_the_nearest_one() {
        assert_eq!(
            fault("name = \"a\"\n[image]\n  prots = [80]\n"),
            "ounce.toml:3:3: unknown key `image.prots`: did you mean `image.ports`?"
        );
        assert_eq!(
            fault("[[file]]\nfrom='a'\nto='/b'\nmod='1'"),
            "ounce.toml:4:1: unknown key `file.mod`: did you mean `file.mode`?"
        );
        assert_eq!(fault("zzz = 1"), "ounce.toml:1:1: unknown key `zzz`");
        assert_eq!(
            fault("[site]\nspa = true\nimutable = \"a/\""),
            "ounce.toml:3:1: unknown key `site.imutable`: did you mean `site.immutable`?"
        );
    }

    #[test]
    fn a_wrong_type_says_what_is_wanted() {
        assert_eq!(
            fault("[image]\nports = 8080"),
            "ounce.toml:2:9: `image.ports` wants a list of ports, as [8080, \"53/udp\"], not a number"
        );
        assert_eq!(
            fault("[image]\nenv = { A = 1 }"),
            "ounce.toml:2:13: `image.env.A` wants a string, not a number"
        );
        assert_eq!(
            fault("rust = 3"),
            "ounce.toml:1:8: `rust` wants a table, not a number"
        );
        assert_eq!(
            fault("[file]\nfrom='a'"),
            "ounce.toml:1:1: `file` wants tables under [[file]], not a table"
        );
    }

    #[test]
    fn values_out_of_range_are_refused_at_their_place() {
        for text in [
            "budget = -1",
            "budget = \"many\"",
            "compression = \"lzma\"",
            "measure = \"maybe\"",
            "language = \"cobol\"",
            "[programs]\n\"linux\" = 'a'",
            "[programs]\n\"linux/amd64\" = 3",
            "platforms = [\"\"]",
            "[image]\nports = [0]",
            "[image]\nports = [65536]",
            "[image]\nuser = \"root\"",
            "[image]\nworkdir = \"../up\"",
            "[image]\ntimezones = [\"../../etc\"]",
            "[[file]]\nfrom = 'a'\nto = 'relative'",
            "[[file]]\nfrom = 'a'\nto = '/a'\nmode = '9'",
            "[[file]]\nto = '/a'",
            "base = 3",
            "[base]\nname = 'No Base'",
            "[stage.all]\nbase = 'scratch'",
            "[stage.'a b']\nbase = 'scratch'",
            "[stage.dev]\nname = 'x'",
            "[stage]\ndev = 1",
            "site = 3",
            "[site]\nheaders = { X-A = \"a\\r\\nX-B: c\" }",
            "[site]\nheaders = { ETag = 'a' }",
            "[site]\ncache = \"a\\nb\"",
            "[site]\nimmutable = '..'",
            "name = \"../up\"",
        ] {
            assert!(parse(Path::new("ounce.toml"), text).is_err(), "{text}");
        }
    }

    #[test]
    fn what_is_not_toml_is_told_with_line_and_column() {
        let error = fault("name = \"a\"\nbudget = = 3");
        assert!(error.starts_with("ounce.toml:2:"), "{error}");
        for text in ["\u{0}", "[", "a = ", "[[[[", "\u{feff}\u{feff}x"] {
            assert!(parse(Path::new("ounce.toml"), text).is_err(), "{text:?}");
        }
    }
}
