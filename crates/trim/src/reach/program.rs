//! From a command or a `#!` line to the programs that run.

use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use ounce_rootfs::Script;

use super::{TEXT_BYTES, Walk};

/// Where programs are looked for when nothing says (`ounce run`, docker).
const USUAL_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/// Shells whose scripts name programs word by word.
const SHELLS: [&str; 6] = ["sh", "bash", "dash", "ash", "ksh", "zsh"];
/// Words that every shell has itself.
const SHELL_WORDS: [&str; 44] = [
    "[", "alias", "bg", "break", "case", "cd", "command", "continue", "do", "done", "echo", "elif",
    "else", "esac", "eval", "exec", "exit", "export", "false", "fg", "fi", "for", "function",
    "getopts", "hash", "if", "in", "kill", "local", "printf", "pwd", "read", "return", "set",
    "shift", "test", "then", "trap", "true", "ulimit", "umask", "unset", "wait", "while",
];
/// Interpreters whose sources are not followed.
const OTHERS: [&str; 8] = [
    "perl", "ruby", "php", "java", "lua", "tclsh", "Rscript", "guile",
];

/// The interpreter that a program's name stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Interpreter {
    Shell,
    Python,
    Node,
    Other(&'static str),
}

/// By the name of a program, its version left away: `python3.11`, `ruby2.7`.
pub(super) fn interpreter(path: &Path) -> Option<Interpreter> {
    let name = path.file_name()?.to_str()?;
    let plain = name.trim_end_matches(|letter: char| letter.is_ascii_digit() || letter == '.');
    Some(match plain {
        "python" | "pypy" => Interpreter::Python,
        "node" | "nodejs" => Interpreter::Node,
        _ if SHELLS.contains(&plain) => Interpreter::Shell,
        _ => Interpreter::Other(OTHERS.iter().find(|one| **one == plain)?),
    })
}

impl Walk<'_> {
    /// A path of the configuration: a program by its name alone as well.
    pub(super) fn seed(&mut self, path: &Path) {
        match self.program(path) {
            Some(found) => {
                self.keep(&found, Path::new(""), "");
            }
            None => self.tell(path, "is not in the image"),
        }
    }

    /// Where a program is: with a slash, there; else in the folders of `PATH`.
    pub(super) fn program(&self, name: &Path) -> Option<PathBuf> {
        if name.as_os_str().as_bytes().contains(&b'/') {
            let path = self.absolute(name);
            return self.tree.lookup(&path).is_ok().then_some(path);
        }
        let folders = self
            .environment
            .get("PATH")
            .map_or(USUAL_PATH, String::as_str);
        folders
            .split(':')
            .map(|folder| self.absolute(Path::new(folder)).join(name))
            .find(|path| self.file(path).is_some())
    }

    /// A whole command: its program, and what the program makes of the rest.
    pub(super) fn command(&mut self, words: &[OsString]) {
        let Some((first, rest)) = words.split_first() else {
            return;
        };
        let name = Path::new(first);
        let Some(path) = self.program(name) else {
            return self.tell(name, "is not in the image");
        };
        let Some(place) = self.keep(&path, Path::new(""), "") else {
            return;
        };
        let rest: Vec<String> = rest
            .iter()
            .map(|word| word.to_string_lossy().into_owned())
            .collect();
        match interpreter(&place).or_else(|| interpreter(&path)) {
            Some(Interpreter::Python) => self.python_command(&path, &place, &rest),
            Some(Interpreter::Node) => self.node_command(&place, &rest),
            Some(Interpreter::Shell) => self.shell_command(&place, &rest),
            Some(Interpreter::Other(name)) => {
                self.tell(
                    &place,
                    format!("runs what {name} loads, which is not followed"),
                );
            }
            None => {}
        }
        // An argument that is a file of the image is most likely read.
        for word in &rest {
            let file = word
                .split_once('=')
                .map_or(word.as_str(), |(_, value)| value);
            if file.contains('/') {
                self.keep(&self.absolute(Path::new(file)), &place, "argument");
            }
        }
    }

    fn shell_command(&mut self, shell: &Path, rest: &[String]) {
        let mut words = rest.iter();
        while let Some(word) = words.next() {
            if word.starts_with('-') && word.ends_with('c') {
                if let Some(text) = words.next() {
                    self.shell_words(shell, text);
                }
                return;
            }
            if !word.starts_with('-') {
                let path = self.absolute(Path::new(word));
                if let Some(place) = self.keep(&path, shell, "script") {
                    self.shell_script(&place);
                }
                return;
            }
        }
    }

    fn shell_script(&mut self, place: &Path) {
        if let Ok(data) = self.files.read(place, TEXT_BYTES) {
            self.shell_words(place, &String::from_utf8_lossy(&data));
        }
    }

    /// Every word that is a program on `PATH` or a path of the image: more than
    /// runs, but nothing that a line names is lost. Whole commands of a line
    /// that begin with an interpreter are followed as such.
    fn shell_words(&mut self, by: &Path, text: &str) {
        let apart = |letter: char| letter.is_whitespace() || ";&|()`<>\"'=".contains(letter);
        for line in text.lines() {
            let line = line.trim_start();
            if line.starts_with('#') {
                continue;
            }
            let words: Vec<&str> = line.split(apart).filter(|word| !word.is_empty()).collect();
            for (at, word) in words.iter().enumerate() {
                if SHELL_WORDS.contains(word) || word.starts_with(['-', '$']) {
                    continue;
                }
                let Some(path) = self.program(Path::new(word)) else {
                    continue;
                };
                let Some(place) = self.keep(&path, by, "word of the shell script") else {
                    continue;
                };
                let rest: Vec<String> = words[at + 1..]
                    .iter()
                    .map(|word| (*word).to_owned())
                    .collect();
                match interpreter(&place) {
                    Some(Interpreter::Python) => self.python_command(&path, &place, &rest),
                    Some(Interpreter::Node) => self.node_command(&place, &rest),
                    _ => {}
                }
            }
            if line.contains("$(") || line.starts_with('$') || line.starts_with("\"$") {
                let short: String = line.chars().take(60).collect();
                if !line.contains("\"$@\"") {
                    self.tell(by, format!("runs what a variable names: {short}"));
                }
            }
        }
    }

    /// What a `#!` line starts, and what that makes of the script.
    pub(super) fn script(&mut self, place: &Path, path: &Path, head: &[u8]) {
        let Some(script) = Script::read(head) else {
            return self.tell(place, "its #! line is none that the kernel would follow");
        };
        let named = PathBuf::from(&script.interpreter);
        let found = self.keep(&self.absolute(&named), place, "#! interpreter");
        if found.is_none() {
            let name = named.display();
            self.tell(place, format!("its interpreter {name} is not in the image"));
        }
        // The program behind `env`.
        let mut interpreter_path = self.absolute(&named);
        let mut interpreter_place = found;
        if script.program() != script.interpreter {
            match self.program(Path::new(script.program())) {
                Some(path) => {
                    interpreter_place = self.keep(&path, place, "#! interpreter, by env");
                    interpreter_path = path;
                }
                None => self.tell(
                    place,
                    format!("its interpreter {} is not on PATH", script.program()),
                ),
            }
        }
        let Some(runs) = interpreter_place else {
            return;
        };
        match interpreter(&runs).or_else(|| interpreter(&interpreter_path)) {
            Some(Interpreter::Shell) => self.shell_script(place),
            Some(Interpreter::Python) if self.options.sources => {
                self.python_script(&interpreter_path, &runs, place, path);
            }
            Some(Interpreter::Node) if self.options.sources => self.node_script(place),
            Some(Interpreter::Other(name)) => {
                self.tell(
                    place,
                    format!("is run by {name}, whose sources are not followed"),
                );
            }
            _ => {}
        }
    }
}
