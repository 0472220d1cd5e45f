//! How much memory a store may take, and what was refused.

use wasmtime::ResourceLimiter;

/// Unless told: much for a module, and little beside what a machine has.
pub(crate) const USUAL_BYTES: usize = 1 << 30;

/// Most entries of tables: 8 bytes each.
const TABLE_ENTRIES: usize = 1 << 20;

/// A limit on all memories of a store together.
#[derive(Debug)]
pub(crate) struct Memory {
    limit_bytes: usize,
    taken_bytes: usize,
    table_entries: usize,
    /// What was last asked for in vain, in all.
    pub(crate) denied_bytes: Option<usize>,
}

impl Memory {
    /// Nothing is taken yet.
    pub(crate) fn new(limit_bytes: Option<usize>) -> Self {
        Self {
            limit_bytes: limit_bytes.unwrap_or(USUAL_BYTES),
            taken_bytes: 0,
            table_entries: 0,
            denied_bytes: None,
        }
    }

    /// The limit.
    pub(crate) fn limit(&self) -> usize {
        self.limit_bytes
    }
}

impl ResourceLimiter for Memory {
    fn memory_growing(
        &mut self,
        current: usize,
        desired: usize,
        maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        if maximum.is_some_and(|maximum| desired > maximum) {
            // Its own limit, which it knows of.
            return Ok(false);
        }
        let all = self
            .taken_bytes
            .saturating_add(desired.saturating_sub(current));
        if all > self.limit_bytes {
            self.denied_bytes = Some(all);
            return Ok(false);
        }
        self.taken_bytes = all;
        Ok(true)
    }

    fn table_growing(
        &mut self,
        current: usize,
        desired: usize,
        _maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        let all = self
            .table_entries
            .saturating_add(desired.saturating_sub(current));
        if all > TABLE_ENTRIES {
            return Ok(false);
        }
        self.table_entries = all;
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memories_are_limited_together_and_the_refusal_is_remembered() {
        let mut memory = Memory::new(Some(100));
        assert!(memory.memory_growing(0, 60, None).unwrap());
        assert!(memory.memory_growing(0, 40, None).unwrap());
        assert!(!memory.memory_growing(60, 61, None).unwrap());
        assert_eq!(memory.denied_bytes, Some(101));
        assert!(!memory.memory_growing(40, 41, Some(40)).unwrap());
        assert!(!memory.table_growing(0, TABLE_ENTRIES + 1, None).unwrap());
    }
}
