//! The words of all texts so far, and how often each stood there.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Most words that are remembered; others are counted in their text only.
const MOST_WORDS: usize = 100_000;

/// A table that threads share.
#[derive(Default)]
pub struct Words(Mutex<HashMap<String, u64>>);

impl Words {
    fn table(&self) -> MutexGuard<'_, HashMap<String, u64>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts the words of a text; what it came to, as JSON.
    pub fn add(&self, text: &str) -> String {
        let words = text
            .split(|c: char| !c.is_alphanumeric())
            .filter(|word| !word.is_empty());
        let mut count = 0u64;
        let mut table = self.table();
        for word in words {
            count += 1;
            let word = word.to_ascii_lowercase();
            let is_full = table.len() >= MOST_WORDS;
            if let Some(times) = table.get_mut(&word) {
                *times += 1;
            } else if !is_full {
                table.insert(word, 1);
            }
        }
        format!(
            "{{\"bytes\":{},\"lines\":{},\"words\":{count},\"known\":{}}}\n",
            text.len(),
            text.lines().count(),
            table.len()
        )
    }

    /// The most frequent words, as JSON; of equal ones the first by name.
    pub fn most_frequent(&self, most: usize) -> String {
        let table = self.table();
        let mut words: Vec<_> = table.iter().collect();
        words.sort_unstable_by(|a, b| b.1.cmp(a.1).then_with(|| a.0.cmp(b.0)));
        let mut json = "[".to_owned();
        for (index, (word, times)) in words.into_iter().take(most).enumerate() {
            let comma = if index == 0 { "" } else { "," };
            // A word is letters and digits: nothing in it needs an escape.
            let _ = write!(json, "{comma}{{\"word\":\"{word}\",\"times\":{times}}}");
        }
        json + "]\n"
    }
}
