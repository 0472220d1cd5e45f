//! `update-alternatives --install`, read from the packages' scripts: which of
//! several programs a common name leads to, and dpkg's record of it.

use std::collections::BTreeMap;

use crate::distribution::files::{Files, FilesError, Node};

const LINKS: &str = "etc/alternatives";
const RECORDS: &str = "var/lib/dpkg/alternatives";

/// One `--install`.
struct Alternative<'s> {
    link: &'s str,
    name: &'s str,
    path: &'s str,
    priority: i64,
    /// Name: link and path.
    slaves: BTreeMap<&'s str, (&'s str, &'s str)>,
}

/// Installs what `script` names; what it puts together from variables is
/// returned, in words.
///
/// # Errors
/// Something stands in the way.
pub(crate) fn install(files: &mut Files, script: &str) -> Result<Vec<String>, FilesError> {
    let joined = script.replace("\\\n", " ");
    let mut left_out = Vec::new();
    for line in joined.lines().map(str::trim) {
        let Some(arguments) = line
            .strip_prefix("update-alternatives ")
            .filter(|rest| rest.contains("--install"))
        else {
            continue;
        };
        match read(arguments) {
            Some(alternative) => set(files, &alternative)?,
            None => left_out.push(format!("`{line}`, whose words are put together by a shell")),
        }
    }
    Ok(left_out)
}

fn read(arguments: &str) -> Option<Alternative<'_>> {
    let mut words = arguments
        .split_ascii_whitespace()
        .take_while(|word| !matches!(*word, "||" | "&&" | ";" | ">/dev/null"))
        .skip_while(|word| *word != "--install")
        .skip(1);
    let plain = |word: &str| !word.contains(['$', '`', '"', '\'', '*']);
    let mut next = || words.next().filter(|word| plain(word));
    let mut alternative = Alternative {
        link: next()?,
        name: next()?,
        path: next()?,
        priority: next()?.parse().ok()?,
        slaves: BTreeMap::new(),
    };
    while let Some(word) = next() {
        if word != "--slave" {
            return None;
        }
        let (link, name, path) = (next()?, next()?, next()?);
        alternative.slaves.insert(name, (link, path));
    }
    let fine = |name: &str| !name.contains('/') && !name.starts_with('.');
    let names = alternative.slaves.keys().copied().chain([alternative.name]);
    { names }.all(fine).then_some(alternative)
}

fn set(files: &mut Files, one: &Alternative<'_>) -> Result<(), FilesError> {
    let plain = |path: &str| path.trim_start_matches('/').to_owned();
    // A manual that the base leaves out is no alternative.
    if files.open(&plain(one.path)).is_none() {
        return Ok(());
    }
    let record = format!("{RECORDS}/{}", one.name);
    let before = files
        .get(&record)
        .and_then(Node::bytes)
        .and_then(|bytes| std::str::from_utf8(bytes).ok())
        .map(str::to_owned);
    let best = before.as_deref().map_or(i64::MIN, best_priority);
    let mut text = match before {
        // A second program for the name: its record follows the first's.
        Some(before) => before.trim_end().to_owned() + "\n",
        None => {
            let mut text = format!("auto\n{}\n", one.link);
            for (name, (link, _)) in &one.slaves {
                text.push_str(&format!("{name}\n{link}\n"));
            }
            text.push('\n');
            text
        }
    };
    text.push_str(&format!("{}\n{}\n", one.path, one.priority));
    for (_, path) in one.slaves.values() {
        text.push_str(path);
        text.push('\n');
    }
    text.push('\n');
    files.put(&record, Node::file(0o644, text))?;
    if one.priority <= best {
        return Ok(());
    }
    let main = [(one.name, (one.link, one.path))];
    let slaves = one.slaves.iter().map(|(name, pair)| (*name, *pair));
    for (name, (link, path)) in main.into_iter().chain(slaves) {
        if files.open(&plain(path)).is_some() {
            files.put(&format!("{LINKS}/{name}"), Node::link(path))?;
            files.put(&plain(link), Node::link(format!("/{LINKS}/{name}")))?;
        }
    }
    Ok(())
}

/// The highest priority in a record: the line after each program's path.
fn best_priority(record: &str) -> i64 {
    let numbers = record.lines().filter_map(|line| line.parse().ok());
    numbers.max().unwrap_or(i64::MIN)
}

#[cfg(test)]
mod tests {
    use ounce_oci::layer::EntryKind;

    use super::*;

    #[test]
    fn the_name_leads_to_the_program_of_the_highest_priority() {
        let mut files = Files::new();
        for path in ["usr/bin/mawk", "usr/bin/gawk"] {
            files.add(path, Node::file(0o755, "")).unwrap();
        }
        let script = "if true; then\n  update-alternatives --install /usr/bin/awk awk /usr/bin/mawk 5 \\\n\
            \t--slave /usr/bin/nawk nawk /usr/bin/mawk \\\n\t--slave /man/awk.1 awk.1 /man/mawk.1 || true\nfi";
        assert!(install(&mut files, script).unwrap().is_empty());
        assert_eq!(files.open("usr/bin/awk").unwrap().0, "usr/bin/mawk");
        assert_eq!(files.open("usr/bin/nawk").unwrap().0, "usr/bin/mawk");
        assert!(files.get("man/awk.1").is_none());
        let script = "update-alternatives --install /usr/bin/awk awk /usr/bin/gawk 10";
        install(&mut files, script).unwrap();
        assert_eq!(files.open("usr/bin/awk").unwrap().0, "usr/bin/gawk");
        let record = files.get("var/lib/dpkg/alternatives/awk").unwrap();
        assert_eq!(
            std::str::from_utf8(record.bytes().unwrap()).unwrap(),
            "auto\n/usr/bin/awk\nawk.1\n/man/awk.1\nnawk\n/usr/bin/nawk\n\n\
             /usr/bin/mawk\n5\n/man/mawk.1\n/usr/bin/mawk\n/usr/bin/gawk\n10\n\n"
        );
        let link = &files.get("etc/alternatives/awk").unwrap().kind;
        assert_eq!(*link, EntryKind::Symlink("/usr/bin/gawk".to_owned()));
    }

    #[test]
    fn what_a_shell_puts_together_is_said() {
        let script = "update-alternatives --install /usr/bin/x x $bin/x 1";
        let said = install(&mut Files::new(), script).unwrap();
        assert!(said[0].contains("$bin/x"), "{said:?}");
    }
}
