//! Reading a container's log, which the keeper writes in the form of Kubernetes'
//! CRI: `TIME STREAM F|P TEXT`, P where the end of the line is still to come.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Which stream a line is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stream {
    /// Standard output.
    Output,
    /// Standard error.
    Error,
}

/// A line, or a part of one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// When it was written (RFC 3339, UTC).
    pub time: String,
    /// Where.
    pub stream: Stream,
    /// Whether it ended there.
    pub whole: bool,
    /// What, without the line's end.
    pub text: Vec<u8>,
}

impl Line {
    /// Of a line of the log; nothing if it is none.
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        let mut fields = bytes.splitn(4, |byte| *byte == b' ');
        let time = std::str::from_utf8(fields.next()?).ok()?.to_owned();
        let stream = match fields.next()? {
            b"stdout" => Stream::Output,
            b"stderr" => Stream::Error,
            _ => return None,
        };
        let whole = match fields.next()? {
            b"F" => true,
            b"P" => false,
            _ => return None,
        };
        let text = fields.next().unwrap_or_default();
        Some(Self {
            time,
            stream,
            whole,
            text: text.to_owned(),
        })
    }
}

/// Which part of a log is wanted.
#[derive(Debug, Clone, Default)]
pub struct Part {
    /// So many last lines.
    pub tail: Option<usize>,
    /// Those written since this moment (RFC 3339, UTC).
    pub since: Option<String>,
}

/// A log that is read on as it grows.
#[derive(Debug)]
pub struct Log {
    path: PathBuf,
    file: Option<BufReader<File>>,
    /// A line whose end is not yet there.
    rest: Vec<u8>,
}

impl Log {
    /// The log in a container's folder, at its beginning.
    pub fn open(folder: &Path) -> Self {
        Self {
            path: folder.join("log"),
            file: None,
            rest: Vec::new(),
        }
    }

    /// All that is there now: both files, as far as wanted.
    ///
    /// # Errors
    /// They cannot be read.
    pub fn past(
        &mut self,
        part: &Part,
        take: &mut dyn FnMut(&Line) -> io::Result<()>,
    ) -> io::Result<()> {
        let mut last: VecDeque<Line> = VecDeque::new();
        let mut whole = 0;
        // Opened first: what is turned over meanwhile is then read twice by
        // nobody, and at worst the oldest lines are missed.
        let current = open(&self.path)?;
        let older = open(&self.path.with_file_name("log.1"))?;
        let mut keep = |line: Line, take: &mut dyn FnMut(&Line) -> io::Result<()>| {
            if part.since.as_ref().is_some_and(|since| line.time < *since) {
                return Ok(());
            }
            let Some(most) = part.tail else {
                return take(&line);
            };
            whole += usize::from(line.whole);
            last.push_back(line);
            // A part without its end counts as a line when it is the last.
            while whole + usize::from(last.back().is_some_and(|line| !line.whole)) > most {
                match last.pop_front() {
                    Some(line) => whole -= usize::from(line.whole),
                    None => break,
                }
            }
            Ok(())
        };
        let same = |one: &Option<BufReader<File>>, other: &Option<BufReader<File>>| {
            let inode = |file: &Option<BufReader<File>>| {
                Some(file.as_ref()?.get_ref().metadata().ok()?.ino())
            };
            inode(one).is_some() && inode(one) == inode(other)
        };
        if !same(&older, &current) {
            self.file = older;
            self.read(&mut |line| keep(line, take))?;
        }
        self.rest.clear();
        self.file = current;
        self.read(&mut |line| keep(line, take))?;
        for line in &last {
            take(line)?;
        }
        Ok(())
    }

    /// What was added since the last look; waits a moment where it is nothing.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn more(&mut self, take: &mut dyn FnMut(&Line) -> io::Result<()>) -> io::Result<bool> {
        let mut any = false;
        self.read(&mut |line| {
            any = true;
            take(&line)
        })?;
        if any {
            return Ok(true);
        }
        let newer = open(&self.path)?;
        let inode = |file: &BufReader<File>| file.get_ref().metadata().map(|data| data.ino()).ok();
        if let Some(newer) = newer
            && self.file.as_ref().and_then(inode) != inode(&newer)
        {
            // What came between the last read and the turn of the files.
            self.read(&mut |line| take(&line))?;
            self.rest.clear();
            self.file = Some(newer);
            return Ok(true);
        }
        std::thread::sleep(Duration::from_millis(20));
        Ok(false)
    }

    fn read(&mut self, take: &mut dyn FnMut(Line) -> io::Result<()>) -> io::Result<()> {
        let Some(file) = &mut self.file else {
            return Ok(());
        };
        loop {
            if file.read_until(b'\n', &mut self.rest)? == 0 || self.rest.last() != Some(&b'\n') {
                return Ok(());
            }
            self.rest.pop();
            if let Some(line) = Line::parse(&self.rest) {
                take(line)?;
            }
            self.rest.clear();
        }
    }
}

fn open(path: &Path) -> io::Result<Option<BufReader<File>>> {
    match File::open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        other => other.map(|file| Some(BufReader::new(file))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    fn log(older: &str, newer: &str) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("log.1"), older).unwrap();
        fs::write(folder.path().join("log"), newer).unwrap();
        folder
    }

    fn past(folder: &Path, part: &Part) -> Vec<String> {
        let mut texts = Vec::new();
        Log::open(folder)
            .past(part, &mut |line| {
                texts.push(String::from_utf8_lossy(&line.text).into_owned());
                Ok(())
            })
            .unwrap();
        texts
    }

    const OLDER: &str =
        "2026-01-01T00:00:01.0Z stdout F one\n2026-01-01T00:00:02.0Z stderr F two words\n";
    const NEWER: &str = "2026-01-01T00:00:03.0Z stdout P thr\n2026-01-01T00:00:03.0Z stdout F ee\n\
        2026-01-01T00:00:04.0Z stdout F \nhalf a li";

    #[test]
    fn both_files_are_read_in_order_and_a_line_that_is_not_ended_waits() {
        let folder = log(OLDER, NEWER);
        let all = past(folder.path(), &Part::default());
        assert_eq!(all, ["one", "two words", "thr", "ee", ""]);
    }

    #[test]
    fn the_last_lines_are_counted_whole_and_moments_compared() {
        let folder = log(OLDER, NEWER);
        let tail = |count| Part {
            tail: Some(count),
            since: None,
        };
        assert_eq!(past(folder.path(), &tail(1)), [""]);
        assert_eq!(past(folder.path(), &tail(2)), ["thr", "ee", ""]);
        assert_eq!(past(folder.path(), &tail(0)), Vec::<String>::new());
        assert_eq!(past(folder.path(), &tail(99)).len(), 5);
        let since = Part {
            tail: None,
            since: Some("2026-01-01T00:00:03.0Z".to_owned()),
        };
        assert_eq!(past(folder.path(), &since), ["thr", "ee", ""]);
    }

    #[test]
    fn lines_are_followed_over_the_turn_of_the_files() {
        let folder = log("", "2026-01-01T00:00:01.0Z stdout F one\n");
        let mut log = Log::open(folder.path());
        let mut texts = Vec::new();
        let mut take = |line: &Line| {
            texts.push(String::from_utf8_lossy(&line.text).into_owned());
            Ok(())
        };
        log.past(&Part::default(), &mut take).unwrap();
        let path = folder.path().join("log");
        let line = |text: &str| format!("2026-01-01T00:00:02.0Z stdout F {text}\n");
        let mut whole = fs::read_to_string(&path).unwrap();
        whole.push_str(&line("two"));
        fs::write(&path, whole).unwrap();
        fs::rename(&path, folder.path().join("log.1")).unwrap();
        fs::write(&path, line("three")).unwrap();
        for _ in 0..4 {
            log.more(&mut take).unwrap();
        }
        assert_eq!(texts, ["one", "two", "three"]);
    }

    #[test]
    fn what_is_no_line_of_a_log_is_none() {
        for wrong in ["", "x", "t stdout", "t stdin F x", "t stdout Q x"] {
            assert_eq!(Line::parse(wrong.as_bytes()), None, "{wrong}");
        }
    }
}
