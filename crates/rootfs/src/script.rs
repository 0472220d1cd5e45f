//! The first line of a script, read as the kernel reads it
//! (`fs/binfmt_script.c`): what starts instead of it, with which argument.

/// Bytes of a file that the kernel looks at (`BINPRM_BUF_SIZE`).
const HEAD_BYTES: usize = 256;

/// What a `#!` line asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Script {
    /// The program that the kernel starts.
    pub interpreter: String,
    /// All that follows on the line, as one argument.
    pub argument: Option<String>,
}

impl Script {
    /// Reads the head of a file; none if it is no script the kernel would start.
    pub fn read(data: &[u8]) -> Option<Self> {
        let head = &data[..data.len().min(HEAD_BYTES)];
        let line = head.strip_prefix(b"#!")?;
        let ended = line.iter().position(|&byte| byte == b'\n' || byte == 0);
        let blank = |byte: u8| byte == b' ' || byte == b'\t';
        let all = &line[..ended.unwrap_or(line.len())];
        let start = all.iter().position(|&byte| !blank(byte))?;
        let all = &all[start..];
        let name_end = all.iter().position(|&byte| blank(byte));
        // A name that fills the head to its end may be cut: ENOEXEC since Linux 5.0.
        if name_end.is_none() && ended.is_none() && data.len() > HEAD_BYTES {
            return None;
        }
        let (name, rest) = all.split_at(name_end.unwrap_or(all.len()));
        let rest = String::from_utf8_lossy(rest);
        let argument = rest.trim_matches([' ', '\t']);
        Some(Self {
            interpreter: String::from_utf8_lossy(name).into_owned(),
            argument: (!argument.is_empty()).then(|| argument.to_owned()),
        })
    }

    /// The program that runs in the end: what `env` is asked to look for, else
    /// the interpreter.
    pub fn program(&self) -> &str {
        let Some(argument) = self.argument.as_deref() else {
            return &self.interpreter;
        };
        if self.interpreter.rsplit('/').next() != Some("env") {
            return &self.interpreter;
        }
        argument
            .split([' ', '\t'])
            .find(|word| !word.is_empty() && !word.starts_with('-') && !word.contains('='))
            .unwrap_or(&self.interpreter)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Option<(String, Option<String>)> {
        Script::read(text.as_bytes()).map(|script| (script.interpreter, script.argument))
    }

    #[test]
    fn first_line_is_split_once_as_the_kernel_does() {
        let expect = |name: &str, argument: Option<&str>| {
            Some((name.to_owned(), argument.map(str::to_owned)))
        };
        assert_eq!(read("#!/bin/sh\necho"), expect("/bin/sh", None));
        assert_eq!(
            read("#! /bin/sh -e -u \n"),
            expect("/bin/sh", Some("-e -u"))
        );
        assert_eq!(read("#!sh"), expect("sh", None));
        assert_eq!(read("#!\n/bin/sh"), None);
        assert_eq!(read("#!   "), None);
        assert_eq!(read("\x7fELF"), None);
        assert_eq!(read(""), None);
    }

    #[test]
    fn name_longer_than_the_kernel_reads_is_none() {
        assert_eq!(read(&format!("#!/{}\n", "x".repeat(300))), None);
        assert!(read(&format!("#!/x {}\n", "y".repeat(300))).is_some());
    }

    #[test]
    fn program_behind_env_is_found() {
        let program = |text: &str| Script::read(text.as_bytes()).unwrap().program().to_owned();
        assert_eq!(program("#!/usr/bin/env python3\n"), "python3");
        assert_eq!(program("#!/usr/bin/env -S A=1 node --harmony\n"), "node");
        assert_eq!(program("#!/bin/sh -e\n"), "/bin/sh");
    }
}
