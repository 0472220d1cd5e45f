//! What a platform's module gives back: files, what they bring into being, and
//! what to say beside them.

use serde::Serialize;

/// What a platform is to be told.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Shipment {
    /// In the order in which a person would read them.
    pub files: Vec<File>,
    /// What exists on the platform once the files are applied.
    pub creates: Vec<Created>,
    /// What a person ought to know: a line each.
    pub notes: Vec<String>,
    /// The commands that come next, as typed in the folder of the files.
    pub next: Vec<String>,
}

/// A file to be written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct File {
    /// Below the folder that is written to, with `/`, without `..`.
    pub path: String,
    /// Its bytes.
    pub contents: Vec<u8>,
    /// Whether it is to be executable.
    pub is_program: bool,
    /// Whether it is part of what is printed where no folder is named.
    pub is_shown: bool,
}

/// Something that will exist.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Created {
    /// The platform's own word: `Deployment`, `AWS::ECS::Service`, `unit`.
    pub kind: String,
    /// Its name there.
    pub name: String,
    /// What it is for, a few words.
    pub purpose: String,
}

impl File {
    /// A text file that is also shown.
    pub fn text(path: impl Into<String>, contents: impl Into<String>) -> Self {
        Self {
            path: path.into(),
            contents: contents.into().into_bytes(),
            is_program: false,
            is_shown: true,
        }
    }

    /// A text file beside the main ones, written to a folder only.
    pub fn beside(path: impl Into<String>, contents: impl Into<String>) -> Self {
        Self {
            is_shown: false,
            ..Self::text(path, contents)
        }
    }

    /// The contents, if they are text.
    pub fn as_text(&self) -> Option<&str> {
        std::str::from_utf8(&self.contents).ok()
    }
}

impl Created {
    /// Something that will exist.
    pub fn new(
        kind: impl Into<String>,
        name: impl Into<String>,
        purpose: impl Into<String>,
    ) -> Self {
        Self {
            kind: kind.into(),
            name: name.into(),
            purpose: purpose.into(),
        }
    }
}

impl Shipment {
    /// The file at a path.
    pub fn file(&self, path: &str) -> Option<&File> {
        self.files.iter().find(|file| file.path == path)
    }
}
