//! The command line of a plain `ounce run`, read by hand. To describe all
//! commands with all their options takes clap a tenth of a millisecond, which is
//! a fifth of a start. What is not plain, above all what is wrong, is left to
//! clap; what is read here is what clap makes of it, which a test holds.

use std::ffi::{OsStr, OsString};
use std::path::PathBuf;
use std::time::Duration;

use crate::arguments::{Arguments, Command, Global, NetworkChoice, RunArguments};

/// The arguments, if they are those of a plain `ounce run`; without the
/// program's name. `store` is the variable's value.
pub(crate) fn parse(
    words: impl IntoIterator<Item = OsString>,
    store: Option<OsString>,
) -> Option<Arguments> {
    let mut words = words.into_iter();
    let mut global = Global {
        store: None,
        lock_timeout: Duration::from_secs(10),
        json: false,
        quiet: false,
    };
    let mut run = RunArguments::default();
    let mut network = None;
    let mut is_run = false;
    while let Some(word) = words.next() {
        let mut value = || words.next().filter(|value| is_plain(value));
        let mut text = || value()?.into_string().ok();
        match word.to_str()? {
            "--store" => once(&mut global.store, PathBuf::from(value()?))?,
            "-q" | "--quiet" => flag(&mut global.quiet)?,
            "--json" => flag(&mut global.json)?,
            "run" if !is_run => is_run = true,
            _ if !is_run => return None,
            "-p" | "--publish" => run.publish.push(text()?),
            "-e" | "--env" => run.env.push(text()?),
            "-v" | "--volume" => run.volume.push(text()?),
            "--tmpfs" => run.tmpfs.push(text()?),
            "-w" | "--workdir" => once(&mut run.workdir, text()?)?,
            "-u" | "--user" => once(&mut run.user, text()?)?,
            "--entrypoint" => once(&mut run.entrypoint, text()?)?,
            "--hostname" => once(&mut run.hostname, text()?)?,
            "--network" => once(
                &mut network,
                match text()?.as_str() {
                    "private" => NetworkChoice::Private,
                    "host" => NetworkChoice::Host,
                    "none" => NetworkChoice::None,
                    _ => return None,
                },
            )?,
            "-t" | "--tty" => flag(&mut run.tty)?,
            "-i" | "--interactive" => flag(&mut run.interactive)?,
            "--" => {
                run.arguments = words.collect();
                break;
            }
            what if run.what.is_empty() && is_plain(OsStr::new(what)) => {
                what.clone_into(&mut run.what);
            }
            _ => return None,
        }
    }
    if run.what.is_empty() {
        return None;
    }
    if let Some(network) = network {
        run.network = network;
    }
    if global.store.is_none() {
        // An empty one is an error, which clap tells.
        global.store = match store {
            Some(store) if store.is_empty() => return None,
            store => store.map(PathBuf::from),
        };
    }
    Some(Arguments {
        global,
        command: Command::Run(run),
    })
}

/// Neither empty nor like an option.
fn is_plain(word: &OsStr) -> bool {
    !matches!(word.as_encoded_bytes().first(), None | Some(b'-'))
}

/// Given twice is an error, which clap tells.
fn once<T>(place: &mut Option<T>, value: T) -> Option<()> {
    place.replace(value).is_none().then_some(())
}

fn flag(place: &mut bool) -> Option<()> {
    (!std::mem::replace(place, true)).then_some(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;
    use proptest::prelude::*;

    fn quick(words: &[&str]) -> Option<Arguments> {
        parse(words.iter().map(OsString::from), None)
    }

    #[test]
    fn plain_starts_are_read_by_hand_and_others_are_left_to_clap() {
        let plain: [&[&str]; 4] = [
            &["run", "hello"],
            &["--store", "/s", "run", "-q", "hello", "--", "-x", "--json"],
            &[
                "run",
                "-p",
                "8080",
                "-e",
                "A=1",
                "--network",
                "none",
                "./hello",
            ],
            &["run", "-i", "-t", "hello", "-v", "/a:/b:ro"],
        ];
        for words in plain {
            assert!(quick(words).is_some(), "{words:?}");
        }
        let others: [&[&str]; 10] = [
            &[],
            &["run"],
            &["run", "--help"],
            &["run", "hello", "again"],
            &["run", "-e"],
            &["run", "-e", "-x", "hello"],
            &["run", "-t", "-t", "hello"],
            &["run", "--user", "a", "-u", "b", "hello"],
            &["images"],
            &["run", "--memory", "1GB", "hello"],
        ];
        for words in others {
            assert!(quick(words).is_none(), "{words:?}");
        }
    }

    proptest! {
        #[test]
        fn what_is_read_by_hand_is_what_clap_reads(
            words in proptest::collection::vec(
                proptest::sample::select(vec![
                    "run", "run", "run", "hello", "./a", "--", "--store", "/s", "-q", "--quiet",
                    "--json", "-p", "--publish", "80", "-e", "--env", "A=1", "A", "-v",
                    "--volume", "/a:/b", "--tmpfs", "/t", "-w", "--workdir", "-u", "--user",
                    "1:1", "--entrypoint", "--hostname", "h", "--network", "host", "none",
                    "private", "-t", "--tty", "-i", "-it", "--help", "-", "", "a b", "help",
                    "--socket", "auto", "--memory", "images",
                ]),
                0..9,
            ),
        ) {
            if let Some(by_hand) = quick(&words) {
                let all = std::iter::once("ounce").chain(words.iter().copied());
                let by_clap = Arguments::try_parse_from(all).map_err(|error| error.to_string());
                let by_clap = by_clap.map(|arguments| format!("{arguments:?}"));
                prop_assert_eq!(Ok(format!("{by_hand:?}")), by_clap);
            }
        }
    }
}
