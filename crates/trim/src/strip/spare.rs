//! Places that are there for developers and for other languages: tests of Python
//! packages, and translations.

use std::collections::BTreeSet;
use std::path::Path;

/// Whether a place is a folder of tests of a Python package, or lies in one.
pub(super) fn tests(place: &Path) -> bool {
    let mut names = place.iter().map(|name| name.to_string_lossy());
    // Its modules lie in a folder that Python's path has by this name.
    let within =
        names.any(|name| matches!(&*name, "site-packages" | "dist-packages") || is_library(&name));
    within && names.any(|name| matches!(&*name, "test" | "tests" | "idle_test"))
}

/// `python3.11`, the folder of the standard library, and `python3`.
fn is_library(name: &str) -> bool {
    let version = name.strip_prefix("python3");
    version.is_some_and(|rest| {
        rest.chars()
            .all(|letter| letter == '.' || letter.is_ascii_digit())
    })
}

/// The languages that an environment asks for, as `de` and `de_AT`.
pub(super) fn languages(variables: &[String]) -> BTreeSet<String> {
    // Texts that nobody has translated are English, and so are its few variants.
    let mut languages = BTreeSet::from(["en".to_owned()]);
    for variable in variables {
        let Some((name, value)) = variable.split_once('=') else {
            continue;
        };
        if !matches!(name, "LANG" | "LANGUAGE") && !name.starts_with("LC_") {
            continue;
        }
        for one in value.split(':') {
            let one = one.split(['.', '@']).next().unwrap_or(one);
            let language = one.split('_').next().unwrap_or(one);
            languages.extend([one.to_owned(), language.to_owned()]);
        }
    }
    languages
}

/// Whether a place is what an image has for a language that is none of these, or
/// lies in it: `locale/de` with all beneath, `locale-data/de_AT.dat`.
pub(super) fn locale(place: &Path, languages: &BTreeSet<String>) -> bool {
    let names: Vec<_> = place.iter().map(|name| name.to_string_lossy()).collect();
    names.windows(2).any(|two| {
        let language = match &*two[0] {
            "locale" | "locales" => &*two[1],
            "locale-data" => match two[1].strip_suffix(".dat") {
                Some(language) => language,
                None => return false,
            },
            _ => return false,
        };
        let plain = language.split(['.', '@']).next().unwrap_or(language);
        let family = plain.split(['_', '-']).next().unwrap_or(plain);
        is_language(plain) && !languages.contains(plain) && !languages.contains(family)
    })
}

/// `de`, `de_AT`, `zh-Hans`, `sr_Latn_RS`: two or three small letters, then parts.
fn is_language(text: &str) -> bool {
    let mut parts = text.split(['_', '-']);
    let first = parts.next().unwrap_or_default();
    (2..=3).contains(&first.len())
        && first.bytes().all(|byte| byte.is_ascii_lowercase())
        && parts.all(|part| {
            (2..=8).contains(&part.len()) && part.bytes().all(|it| it.is_ascii_alphanumeric())
        })
}

#[cfg(test)]
mod tests {
    use super::{tests as is_test, *};

    #[test]
    fn tests_of_packages_are_told_from_other_folders_of_that_name() {
        for (path, is) in [
            (
                "usr/local/lib/python3.11/dist-packages/numpy/core/tests/a.py",
                true,
            ),
            ("usr/lib/python3.11/test", true),
            ("usr/lib/python3/dist-packages/x/test/data/file", true),
            ("usr/lib/python3.11/unittest/case.py", false),
            ("usr/lib/python3.11/dist-packages/numpy/testing/a.py", false),
            ("srv/tests/a.py", false),
            ("usr/lib/python3-config/tests", false),
        ] {
            assert_eq!(is_test(Path::new(path)), is, "{path}");
        }
    }

    #[test]
    fn languages_that_the_environment_names_stay_and_english_does() {
        let variables = ["LANG=de_AT.UTF-8", "LC_TIME=fr_CH", "PATH=/locale/pl"];
        let languages = languages(&variables.map(str::to_owned));
        for (path, goes) in [
            ("usr/share/locale/pl/LC_MESSAGES/app.mo", true),
            ("usr/share/locale/pl", true),
            ("usr/share/locale/de/LC_MESSAGES/app.mo", false),
            ("usr/share/locale/de_AT", false),
            ("usr/share/locale/fr/x", false),
            ("usr/share/locale/en_GB/x", false),
            ("usr/share/locale/sr@latin/x", true),
            ("usr/share/locale/locale.alias", false),
            ("usr/lib/locale/C.utf8/LC_CTYPE", false),
            ("usr/lib/locale/zh_CN.utf8/LC_CTYPE", true),
            ("a/babel/locale-data/ja.dat", true),
            ("a/babel/locale-data/root.dat", false),
            ("a/babel/locale-data/zh_Hans_CN.dat", true),
            ("a/locale/__init__.py", false),
        ] {
            assert_eq!(locale(Path::new(path), &languages), goes, "{path}");
        }
    }
}
