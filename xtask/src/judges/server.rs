//! Judges of the HTTP server: REDbot on every kind of answer, slowhttptest with
//! slow clients of each kind while others are served.
//!
//! The server is the shipped program, started on a site that has something for
//! each judge. REDbot comes by pip into a scratch folder and is gone afterwards.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

use super::Bench;
use crate::dist::HOST_TARGET;
use crate::house::House;
use crate::peers::answer::{first_answer, free_port};
use crate::peers::started::Started;
use crate::scratch::Scratch;
use crate::tidy;
use crate::tool::{command, read};

/// Seconds a slow client has; few, so that judging takes few.
const DEADLINE: u64 = 3;

pub(super) fn judge(house: &House, bench: &mut Bench<'_>) {
    let scratch = match Scratch::new("http") {
        Ok(scratch) => scratch,
        Err(error) => return bench.check("a site to serve", &[], || Err(error)),
    };
    let server = match Server::new(house, &scratch) {
        Ok(server) => server,
        Err(error) => return bench.check("the server starts", &[], || Err(error)),
    };
    redbot(&scratch, &server, bench);
    for (what, options) in SLOW {
        bench.check(
            &format!("slowhttptest, {what}: all gone at the deadline, others served"),
            &["slowhttptest"],
            || slow(&server, options),
        );
    }
}

/// The server on its site.
struct Server {
    _running: Started,
    process: u32,
    port: u16,
}

impl Server {
    fn new(house: &House, scratch: &Scratch) -> Result<Self> {
        let site = scratch.join("site");
        fs::create_dir_all(site.join("docs"))?;
        fs::create_dir_all(site.join("bare"))?;
        let page = "<!doctype html><html lang=en><title>A page</title><p>Some text.";
        let style = "p { color: black }\n".repeat(200);
        for (name, content) in [
            ("index.html", page),
            ("docs/index.html", page),
            ("404.html", page),
            ("style.css", &style),
            ("bare/one.txt", "one"),
            ("plain.txt", "some text\n"),
        ] {
            fs::write(site.join(name), content)?;
        }
        packed_beside(&site.join("style.css"))?;
        let huge = fs::File::create(site.join("huge.bin"))?;
        huge.set_len(1 << 30)?;
        let program = tidy::build_own_program(&house.path("apps/httpd"), HOST_TARGET)?;
        let port = free_port()?;
        let seconds = DEADLINE.to_string();
        let mut start = command(&[&program]);
        start
            .args(["--listing", "--port", &port.to_string()])
            .args(["--header-seconds", &seconds, "--write-seconds", &seconds])
            .args(["--idle-seconds", &seconds])
            .arg(&site)
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        let mut running = Started::new(&mut start)?;
        let process = running.child().id();
        first_answer(port, Duration::from_secs(10)).context("the server does not answer")?;
        Ok(Self {
            _running: running,
            process,
            port,
        })
    }

    /// How many descriptors it has open.
    fn descriptors(&self) -> Result<usize> {
        Ok(fs::read_dir(format!("/proc/{}/fd", self.process))?.count())
    }

    /// How many connections the kernel keeps for it that hold data or await it;
    /// what only waits to be forgotten (TIME_WAIT, FIN_WAIT2) is not counted.
    fn connections(&self) -> Result<usize> {
        let tables = ["/proc/net/tcp", "/proc/net/tcp6"].map(fs::read_to_string);
        let mut count = 0;
        for table in tables.into_iter().flatten() {
            count += held(&table, self.port);
        }
        Ok(count)
    }

    fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port)
    }
}

/// A file's variant by gzip, beside it.
fn packed_beside(path: &Path) -> Result<()> {
    read(command(&["gzip", "--keep", "--best", "--no-name"]).arg(path))?;
    Ok(())
}

/// The answers that REDbot looks at, with the status it must find. It asks for
/// variants, 304s and parts by itself where the first answer offers them.
const ANSWERS: &[(&str, u16)] = &[
    ("/", 200),
    ("/style.css", 200),
    ("/plain.txt", 200),
    ("/docs", 308),
    ("/docs/", 200),
    ("/bare/", 200),
    ("/nothing", 404),
    ("/healthz", 200),
    ("/%00", 400),
];

fn redbot(scratch: &Scratch, server: &Server, bench: &mut Bench<'_>) {
    let mut program = None;
    bench.check(
        "REDbot installs by pip",
        &["python3", "pip3", "gzip"],
        || {
            program = Some(install(scratch)?);
            Ok(())
        },
    );
    let Some(tools) = program else { return };
    for (path, status) in ANSWERS {
        bench.check(
            &format!("REDbot finds no fault with {status} for {path}"),
            &[],
            || {
                let url = server.url(path);
                let text = read(tools.command("redbot").args(["-o", "har", &url]))?;
                without_fault(&text, *status)
            },
        );
    }
    // What it does not ask for by itself, and the answers to it.
    let tag = ask(
        server,
        "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
    )
    .ok()
    .and_then(|answer| Some(answer.split("ETag: ").nth(1)?.lines().next()?.to_owned()))
    .unwrap_or_default();
    for (what, status, request) in [
        (
            "a 304",
            304,
            format!("GET / HTTP/1.1\r\nHost: a\r\nIf-None-Match: {tag}\r\n"),
        ),
        (
            "a part",
            206,
            "GET /plain.txt HTTP/1.1\r\nHost: a\r\nRange: bytes=0-3\r\n".to_owned(),
        ),
        (
            "a packed part",
            206,
            "GET /style.css HTTP/1.1\r\nHost: a\r\nRange: bytes=0-3\r\nAccept-Encoding: gzip\r\n"
                .to_owned(),
        ),
        (
            "no such part",
            416,
            "GET /plain.txt HTTP/1.1\r\nHost: a\r\nRange: bytes=99-\r\n".to_owned(),
        ),
        (
            "OPTIONS",
            204,
            "OPTIONS / HTTP/1.1\r\nHost: a\r\n".to_owned(),
        ),
        (
            "a method refused",
            405,
            "DELETE / HTTP/1.1\r\nHost: a\r\n".to_owned(),
        ),
        (
            "an unknown method",
            501,
            "BREW / HTTP/1.1\r\nHost: a\r\n".to_owned(),
        ),
    ] {
        bench.check(&format!("httplint finds no fault with {what}"), &[], || {
            let answer = ask(server, &format!("{request}Connection: close\r\n\r\n"))?;
            ensure!(
                answer.starts_with(&format!("HTTP/1.1 {status} ")),
                "the answer is {answer:?}"
            );
            linted(&tools, &answer)
        });
    }
}

/// Programs of Python beneath the scratch folder.
struct Tools {
    folder: PathBuf,
}

impl Tools {
    fn command(&self, program: &str) -> Command {
        let mut command = command(&["python3"]);
        command
            .arg(self.folder.join("bin").join(program))
            .env("PYTHONPATH", &self.folder);
        command
    }
}

/// REDbot, and httplint with it.
fn install(scratch: &Scratch) -> Result<Tools> {
    let folder = scratch.join("redbot");
    let quiet = ["install", "--quiet", "--disable-pip-version-check"];
    read(
        command(&["python3", "-m", "pip"])
            .args(quiet)
            .args(["--root-user-action=ignore", "--target"])
            .arg(&folder)
            .arg("REDbot"),
    )?;
    Ok(Tools { folder })
}

/// Reads REDbot's findings, as JSON in the form of HAR: each note has a level.
fn without_fault(text: &str, status: u16) -> Result<()> {
    let har: Value = serde_json::from_str(text).context("REDbot prints no JSON")?;
    let entries = har["log"]["entries"].as_array().context("no entries")?;
    let first = entries.first().context("REDbot got no answer")?;
    ensure!(
        first["response"]["status"] == status,
        "status {}",
        first["response"]["status"]
    );
    let mut notes = 0;
    for entry in entries {
        let Some(found) = entry["_red_messages"].as_array() else {
            continue;
        };
        for note in found {
            notes += 1;
            let level = note["level"].as_str().unwrap_or_default();
            ensure!(
                !level.eq_ignore_ascii_case("bad"),
                "{}: {}",
                note["note_id"],
                note["summary"]
            );
        }
    }
    ensure!(notes > 0, "REDbot says nothing at all");
    Ok(())
}

/// What httplint says of one answer: a line for each note, the bad ones marked.
fn linted(tools: &Tools, answer: &str) -> Result<()> {
    let mut child = tools
        .command("httplint")
        .arg("--now")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .context("starting httplint")?;
    child
        .stdin
        .take()
        .context("no standard input")?
        .write_all(answer.as_bytes())?;
    let output = child.wait_with_output()?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    ensure!(
        output.status.success() && !text.trim().is_empty(),
        "it ended with {}: {text}",
        output.status
    );
    let bad: Vec<&str> = text.lines().filter(|line| line.contains("[BAD]")).collect();
    ensure!(bad.is_empty(), "{}", bad.join(" | "));
    Ok(())
}

fn ask(server: &Server, request: &str) -> Result<String> {
    let mut stream = TcpStream::connect(("127.0.0.1", server.port))?;
    stream.set_read_timeout(Some(Duration::from_secs(5)))?;
    stream.write_all(request.as_bytes())?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    Ok(String::from_utf8_lossy(&answer).into_owned())
}

/// The kinds of slow clients, and what selects them.
const SLOW: &[(&str, &[&str])] = &[
    ("slow heads", &["-H", "-i", "1", "-x", "8"]),
    ("slow bodies", &["-B", "-i", "1", "-s", "8192", "-x", "8"]),
    ("many ranges", &["-R", "-a", "1", "-b", "1500"]),
    (
        "slow readers",
        &["-X", "-w", "1", "-y", "16", "-n", "1", "-z", "5"],
    ),
];

/// Seconds that slowhttptest goes on, if it is let.
const LENGTH: u64 = DEADLINE + 9;

/// How many slow clients there are at a time.
const CLIENTS: u32 = 200;

fn slow(server: &Server, options: &[&str]) -> Result<()> {
    let path = if options.contains(&"-X") {
        "/huge.bin"
    } else {
        "/style.css"
    };
    let before = server.descriptors()?;
    let begun = Instant::now();
    let clients = CLIENTS.to_string();
    let length = LENGTH.to_string();
    let mut child = command(&["slowhttptest"])
        .args(options)
        .args(["-c", &clients, "-r", &clients, "-l", &length])
        .args(["-p", "2", "-v", "1", "-u", &server.url(path)])
        .stdout(Stdio::piped())
        .spawn()?;
    // While the clients are still at it, the server must be rid of them: of
    // those that it has, and of those that the kernel holds for it.
    std::thread::sleep(Duration::from_millis(500));
    let limit = Duration::from_secs(DEADLINE + 4);
    let (left, held) = loop {
        let left = server.descriptors()?.saturating_sub(before);
        let held = server.connections()?;
        if (left == 0 && held <= 2) || begun.elapsed() >= limit {
            break (left, held);
        }
        std::thread::sleep(Duration::from_millis(100));
    };
    let mut said = String::new();
    if let Some(mut stdout) = child.stdout.take() {
        stdout.read_to_string(&mut said)?;
    }
    child.wait()?;
    let said = plain(&said);
    let tail: Vec<&str> = said.lines().rev().take(14).collect();
    let tail = tail.join(" | ");
    // A probe of the tool's own may be under way.
    ensure!(
        left <= 1,
        "the server has {left} of them after {limit:?}: {tail}"
    );
    ensure!(held <= 2, "the kernel holds {held} of them: {tail}");
    ensure!(said.contains("Test ended"), "it did not run: {tail}");
    // Who does not read does not see that it is cut off, either.
    let is_told = options.contains(&"-X") || said.contains("No open connections left");
    ensure!(is_told, "some were left open: {tail}");
    let unserved = |line: &str| line.contains("service available") && line.contains("NO");
    ensure!(
        !said.lines().any(unserved),
        "others were not served: {tail}"
    );
    first_answer(server.port, Duration::from_secs(2))?;
    Ok(())
}

/// Of a table as in proc_pid_net(5), `tcp`: the connections of a local port that
/// are established, or closing with data not yet taken.
fn held(table: &str, port: u16) -> usize {
    let suffix = format!(":{port:04X}");
    let is_held = |line: &&str| {
        let words: Vec<&str> = line.split_whitespace().collect();
        let is_own = words.get(1).is_some_and(|local| local.ends_with(&suffix));
        // ESTABLISHED, FIN_WAIT1, CLOSE_WAIT, LAST_ACK (include/net/tcp_states.h).
        is_own && matches!(words.get(3), Some(&("01" | "04" | "08" | "09")))
    };
    table.lines().filter(is_held).count()
}

/// Text without the terminal's colours.
fn plain(text: &str) -> String {
    let mut parts = text.split('\x1b');
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |text, part| {
        text + part
            .split_once(|end: char| end.is_ascii_alphabetic())
            .map_or("", |(_, rest)| rest)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bad_note_is_a_fault_and_others_are_not() {
        let har = |level: &str, status: u16| {
            format!(
                r#"{{"log":{{"entries":[{{"response":{{"status":{status}}},"_red_messages":[{{"level":"{level}","note_id":"X","summary":"s"}}]}}]}}}}"#
            )
        };
        assert!(without_fault(&har("good", 200), 200).is_ok());
        assert!(without_fault(&har("warning", 200), 200).is_ok());
        assert!(without_fault(&har("bad", 200), 200).is_err());
        assert!(without_fault(&har("good", 404), 200).is_err());
        assert!(without_fault(r#"{"log":{"entries":[]}}"#, 200).is_err());
    }

    #[test]
    fn held_connections_are_those_of_the_port_that_are_not_over() {
        let table = "  sl  local_address rem_address   st tx_queue rx_queue\n\
                     0: 0100007F:1F90 0100007F:C001 01 00000000:00000000\n\
                     1: 0100007F:1F90 0100007F:C002 06 00000000:00000000\n\
                     2: 0100007F:C001 0100007F:1F90 01 00000000:00000000\n\
                     3: 0100007F:1F90 0100007F:C003 04 00000FFF:00000000\n\
                     4: 00000000:1F90 00000000:0000 0A 00000000:00000000\n";
        assert_eq!(held(table, 8_080), 2);
        assert_eq!(held(table, 80), 0);
    }

    #[test]
    fn colours_are_taken_out() {
        assert_eq!(plain("\x1b[1;32mclosed:\x1b[0m  5\n"), "closed:  5\n");
    }
}
