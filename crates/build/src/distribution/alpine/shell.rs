//! The little of the shell's language that packages' scripts are mostly
//! written in: one command after the other. What goes beyond it (variables,
//! conditions, loops, pipes) is not run but told apart, line by line.

/// A line of a script.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Statement {
    /// A command and its arguments; output that goes to `/dev/null` or another
    /// of its own streams is left away, and so is what follows `||`.
    Command(Vec<String>),
    /// Something else, as it stands there.
    Other(String),
}

/// Words after which more than the line decides.
const KEYWORDS: [&str; 17] = [
    "if", "then", "else", "elif", "fi", "for", "while", "until", "do", "done", "case", "esac", "{",
    "}", "function", "[", "[[",
];

/// Reads a script. `None`: its lines depend on each other, so that none of
/// them can be taken alone; what does is told.
pub(super) fn parse(text: &str) -> Result<Vec<Statement>, String> {
    let mut statements = Vec::new();
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        let mut line = line.to_owned();
        while line.ends_with('\\') {
            line.pop();
            line.push_str(lines.next().unwrap_or_default());
        }
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        if let Some(delimiter) = heredoc(line) {
            // A message; to a file it would be told apart below.
            for text in lines.by_ref() {
                if text.trim_start_matches('\t') == delimiter {
                    break;
                }
            }
        }
        for part in parts(line) {
            let first = part.split_whitespace().next().unwrap_or_default();
            let first = first.trim_end_matches(';');
            if KEYWORDS.contains(&first) || first.ends_with(')') || first.ends_with("()") {
                return Err(line.to_owned());
            }
            statements.push(match words(&part) {
                Some(words) if words.is_empty() => continue,
                Some(words) => Statement::Command(words),
                None => Statement::Other(part.trim().to_owned()),
            });
        }
    }
    Ok(statements)
}

/// The word that ends a text that follows, as after `cat <<EOF`.
fn heredoc(line: &str) -> Option<String> {
    let (_, rest) = line.split_once("<<")?;
    let rest = rest.trim_start_matches('-').trim_start();
    let word = rest.split([' ', '\t', ';', '>', '|', '&']).next()?;
    let word = word.trim_matches(['"', '\'', '\\']);
    (!word.is_empty()).then(|| word.to_owned())
}

/// Cuts a line at `;` and `&&` outside of quotes.
fn parts(line: &str) -> Vec<String> {
    let mut parts = vec![String::new()];
    let mut quote = None;
    let mut chars = line.chars().peekable();
    while let Some(c) = chars.next() {
        let cut = match (quote, c) {
            (Some(open), c) => {
                if c == open {
                    quote = None;
                }
                false
            }
            (None, '\'' | '"') => {
                quote = Some(c);
                false
            }
            (None, '#') if parts.last().is_some_and(|part| part.ends_with([' ', '\t'])) => break,
            (None, ';') => true,
            (None, '&') if chars.peek() == Some(&'&') => {
                chars.next();
                true
            }
            _ => false,
        };
        match (cut, parts.last_mut()) {
            (true, _) => parts.push(String::new()),
            (false, Some(part)) => part.push(c),
            (false, None) => {}
        }
    }
    parts.retain(|part| !part.trim().is_empty());
    parts
}

/// The words of a command. `None`: it is more than words.
fn words(text: &str) -> Option<Vec<String>> {
    let text = text.split("||").next().unwrap_or_default();
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match c {
            ' ' | '\t' => words.extend(word.take()),
            '\'' | '"' => {
                let word = word.get_or_insert_default();
                loop {
                    match chars.next()? {
                        end if end == c => break,
                        '$' | '`' | '\\' if c == '"' => return None,
                        inner => word.push(inner),
                    }
                }
            }
            '$' | '`' | '|' | '(' | ')' | '*' | '?' | '\\' | '~' | '{' | '}' => return None,
            c => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    // Output to nowhere, and to the other stream.
    let mut kept: Vec<String> = Vec::new();
    let mut words = words.into_iter();
    while let Some(word) = words.next() {
        if word.starts_with("<<") {
            continue;
        }
        let Some(at) = word.find(['>', '<', '&']) else {
            kept.push(word);
            continue;
        };
        if !word[..at].chars().all(|c| c.is_ascii_digit()) {
            return None;
        }
        let target = word[at..].trim_start_matches(['>', '&']);
        let target = match target {
            "" => words.next()?,
            target => target.to_owned(),
        };
        if !matches!(target.as_str(), "/dev/null" | "1" | "2") || word.contains('<') {
            return None;
        }
    }
    if kept.first().is_some_and(|first| first.contains('=')) {
        return None;
    }
    Some(kept)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn commands(text: &str) -> Vec<String> {
        let statements = parse(text).unwrap();
        let shown = statements.into_iter().map(|one| match one {
            Statement::Command(words) => words.join("|"),
            Statement::Other(text) => format!("?{text}"),
        });
        shown.collect()
    }

    #[test]
    fn plain_commands_are_understood() {
        let text = "#!/bin/sh\n\naddgroup -S redis 2>/dev/null\nadduser -S -D -h /var/lib/redis \\\n\
            \t-s /sbin/nologin -G redis -g 'Redis server' redis >/dev/null 2>&1 || true # here\n\
            mkdir -p /a && chown a:a \"/a b\"; exit 0\n";
        assert_eq!(
            commands(text),
            [
                "addgroup|-S|redis",
                "adduser|-S|-D|-h|/var/lib/redis|-s|/sbin/nologin|-G|redis|-g|Redis server|redis",
                "mkdir|-p|/a",
                "chown|a:a|/a b",
                "exit|0",
            ]
        );
    }

    #[test]
    fn messages_are_passed_over() {
        let text = "cat <<-EOF 1>&2\n\tif you read this\n\tEOF\necho done\n";
        assert_eq!(commands(text), ["cat", "echo|done"]);
    }

    #[test]
    fn what_goes_beyond_is_told_apart() {
        assert_eq!(
            commands("echo $HOME\nrm -f /a/*\nA=1\ncat a > b\nsed x < y\na | b\n"),
            [
                "?echo $HOME",
                "?rm -f /a/*",
                "?A=1",
                "?cat a > b",
                "?sed x < y",
                "?a | b"
            ]
        );
        assert_eq!(
            parse("true\nif [ -e /a ]; then\n rm /a\nfi\n").unwrap_err(),
            "if [ -e /a ]; then"
        );
        assert_eq!(parse("f() {\n:\n}\n").unwrap_err(), "f() {");
        assert_eq!(
            parse("[ -e /a ] && rm /a").unwrap_err(),
            "[ -e /a ] && rm /a"
        );
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text in "[\\PC\n]{0,80}") {
            let _ = parse(&text);
        }
    }
}
