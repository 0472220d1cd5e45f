//! What a server wants before it answers: `WWW-Authenticate` (RFC 9110, section
//! 11.6.1), of which registries use `Basic` and `Bearer`.

/// A way to say who one is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Challenge {
    /// User and password with each request.
    Basic,
    /// A token, to be had elsewhere (distribution's `spec/auth/token`).
    Bearer {
        /// Where.
        realm: String,
        /// For whom.
        service: Option<String>,
        /// To do what.
        scope: Option<String>,
    },
}

/// Reads the values of all such headers; `Bearer` goes before `Basic`.
pub(crate) fn challenge<'a>(values: impl Iterator<Item = &'a str>) -> Option<Challenge> {
    let mut basic = None;
    for value in values {
        for (scheme, parameters) in schemes(value) {
            let get = |name: &str| {
                let found = parameters.iter().find(|(known, _)| known == name);
                found.map(|(_, value)| value.clone())
            };
            match scheme.as_str() {
                "bearer" => {
                    if let Some(realm) = get("realm") {
                        return Some(Challenge::Bearer {
                            realm,
                            service: get("service"),
                            scope: get("scope"),
                        });
                    }
                }
                "basic" => basic = Some(Challenge::Basic),
                _ => {}
            }
        }
    }
    basic
}

/// A scheme and its parameters.
type Scheme = (String, Vec<(String, String)>);

/// `Scheme key=value, key="value", Scheme …`
fn schemes(text: &str) -> Vec<Scheme> {
    let mut found: Vec<Scheme> = Vec::new();
    let mut rest = text.trim_start_matches([' ', ',', '\t']);
    while !rest.is_empty() {
        let (word, after) = token(rest);
        let after = after.trim_start();
        if word.is_empty() {
            // Not what the grammar has: one letter on.
            let mut letters = rest.chars();
            letters.next();
            rest = letters.as_str();
        } else if let Some(value) = after.strip_prefix('=') {
            let (value, after) = value_of(value.trim_start());
            if let Some((_, parameters)) = found.last_mut() {
                parameters.push((word.to_ascii_lowercase(), value));
            }
            rest = after;
        } else {
            found.push((word.to_ascii_lowercase(), Vec::new()));
            rest = after;
        }
        rest = rest.trim_start_matches([' ', ',', '\t']);
    }
    found
}

fn token(text: &str) -> (&str, &str) {
    let end = text
        .find(|letter: char| {
            !(letter.is_ascii_alphanumeric() || "-_.+!#$%&'*^`|~".contains(letter))
        })
        .unwrap_or(text.len());
    text.split_at(end)
}

fn value_of(text: &str) -> (String, &str) {
    let Some(quoted) = text.strip_prefix('"') else {
        let end = text.find([',', ' ', '\t']).unwrap_or(text.len());
        return (text[..end].to_owned(), &text[end..]);
    };
    let mut value = String::new();
    let mut letters = quoted.chars();
    while let Some(letter) = letters.next() {
        match letter {
            '"' => break,
            '\\' => value.extend(letters.next()),
            letter => value.push(letter),
        }
    }
    (value, letters.as_str())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(text: &str) -> Option<Challenge> {
        challenge([text].into_iter())
    }

    #[test]
    fn challenges_are_read_as_servers_write_them() {
        let bearer = |realm: &str, service: Option<&str>, scope: Option<&str>| {
            Some(Challenge::Bearer {
                realm: realm.to_owned(),
                service: service.map(str::to_owned),
                scope: scope.map(str::to_owned),
            })
        };
        assert_eq!(
            read(
                r#"Bearer realm="https://a.example/token",service="a, b",scope="repository:x:pull,push""#
            ),
            bearer(
                "https://a.example/token",
                Some("a, b"),
                Some("repository:x:pull,push")
            )
        );
        assert_eq!(
            read(
                r#"Basic realm="x", bearer realm=https://a.example/t , error="insufficient_scope""#
            ),
            bearer("https://a.example/t", None, None)
        );
        assert_eq!(
            read(r#"BASIC realm="a \"quoted\" one""#),
            Some(Challenge::Basic)
        );
        for text in [
            "",
            ",,",
            "Negotiate",
            "Bearer",
            "Bearer service=x",
            "=\"",
            "\u{e9} x",
        ] {
            assert_eq!(read(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text in "\\PC{0,80}") {
            let _ = read(&text);
        }

        #[test]
        fn nor_does_one_of_the_letters_that_matter(text in "[a-z=\"\\\\, é]{0,40}") {
            let _ = read(&text);
        }
    }
}
