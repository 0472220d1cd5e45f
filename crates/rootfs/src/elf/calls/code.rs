//! A program's code as a map: where instructions begin, which jumps and calls
//! lead where, and which addresses are handed around as numbers.
//!
//! Code is followed from the entry point first. What nothing led to directly
//! (functions that are called by their address only, targets of tables) is read
//! in a row, from the addresses that data or code mention; what the file's
//! sections call data is left out of that.

use object::LittleEndian;
use std::collections::{BTreeSet, HashMap};

use object::elf::{self, FileHeader64};
use object::read::elf::{FileHeader, ProgramHeader, SectionHeader};

use super::machine::Machine;
use super::step::{Flag, Flow, Step};
use super::{amd64, arm64};

/// Most bytes of code that are read: the map takes about two bytes for each.
const CODE_BYTES: usize = 64 << 20;

/// Bytes of `lea`, `movslq`, `add`: what comes between a table's address and the
/// jump.
const RIGHT_BEFORE: u64 = 20;
// Relocations that put down an address as it is (System V ABI supplements).
const RELATIVE_AMD64: u64 = 8;
const RELATIVE_ARM64: u64 = 1027;
/// Most entries of tables of jumps; a program of a megabyte has some thousand.
const TABLE_ENTRIES: usize = 1 << 20;

/// Executable bytes and where they are loaded.
struct Range<'data> {
    address: u64,
    /// Where its bytes begin among those of all ranges.
    from: usize,
    bytes: &'data [u8],
}

/// The map.
pub(super) struct Code<'data> {
    pub(super) machine: Machine,
    ranges: Vec<Range<'data>>,
    /// For each byte of code: nothing known, begin of an instruction, inside one.
    state: Vec<State>,
    /// Jumps and branches: where to, where from; sorted.
    jumps: Vec<(u64, u64)>,
    /// Calls, likewise.
    calls: Vec<(u64, u64)>,
    /// Jumps to where a register or memory says, sorted.
    leaps: Vec<u64>,
    /// Calls of what a register holds, and which.
    pub(super) calls_by: Vec<(u64, u8)>,
    /// Addresses that instructions carry: where, and which; sorted.
    mentions: Vec<(u64, u64)>,
    /// Addresses of code that data or code carry as numbers, sorted.
    taken: Vec<u64>,
    /// Those that data carries, other than slots; sorted.
    in_data: Vec<u64>,
    /// Memory that holds the address of a function, among what is read-only once
    /// the program runs: by its own address.
    slots: HashMap<u64, u64>,
    /// Instructions that look at a slot: the slot, and where.
    slot_uses: Vec<(u64, u64)>,
    /// What is made read-only when the program starts (`PT_GNU_RELRO`).
    relro: std::ops::Range<u64>,
    /// Where functions begin, as far as that is known; sorted.
    functions: Vec<u64>,
    /// All that is loaded: where, and what.
    loaded: Vec<(u64, &'data [u8])>,
    /// Where the program begins.
    pub(super) entry: u64,
    /// System calls, sorted.
    pub(super) sites: Vec<(u64, Flow)>,
}

/// Instructions of what compilers part off, at most.
const PARTED: usize = 48;
/// Instructions between a comparison and its branch.
const FLAGS: usize = 12;

/// An instruction after which another can come.
pub(super) struct Before {
    pub(super) from: u64,
    pub(super) step: Step,
    /// By a jump, not since it is the next.
    pub(super) jumps: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Unknown,
    Begin,
    Inside,
}

impl<'data> Code<'data> {
    /// Reads a program; nothing where it is none whose code can be read.
    pub(super) fn read(data: &'data [u8]) -> Option<Self> {
        let header = FileHeader64::<LittleEndian>::parse(data).ok()?;
        let endian = header.endian().ok()?;
        let machine = match header.e_machine(endian) {
            elf::EM_X86_64 => Machine::Amd64,
            elf::EM_AARCH64 => Machine::Arm64,
            _ => return None,
        };
        let programs = header.program_headers(endian, data).ok()?;
        let loaded = || {
            programs
                .iter()
                .filter(|one| one.p_type(endian) == elf::PT_LOAD)
        };
        let mut ranges: Vec<Range<'data>> = Vec::new();
        let mut from = 0;
        for program in loaded().filter(|one| one.p_flags(endian).0 & 1 == 1) {
            let bytes = program.data(endian, data).ok()?;
            let address = program.p_vaddr(endian);
            address.checked_add(bytes.len() as u64)?;
            ranges.push(Range {
                address,
                from,
                bytes,
            });
            from += bytes.len();
            if from > CODE_BYTES {
                return None;
            }
        }
        // Without one, what is writable: it may be read-only for all that is told.
        let relro = programs
            .iter()
            .find(|one| one.p_type(endian) == elf::PT_GNU_RELRO)
            .or_else(|| loaded().find(|one| one.p_flags(endian).0 & 2 == 2))
            .map_or(0..0, |one| {
                let from = one.p_vaddr(endian);
                from..from.saturating_add(one.p_memsz(endian))
            });
        let mut code = Self {
            machine,
            ranges,
            state: vec![State::Unknown; from],
            jumps: Vec::new(),
            calls: Vec::new(),
            leaps: Vec::new(),
            calls_by: Vec::new(),
            mentions: Vec::new(),
            taken: Vec::new(),
            in_data: Vec::new(),
            slots: HashMap::new(),
            slot_uses: Vec::new(),
            relro,
            functions: Vec::new(),
            loaded: Vec::new(),
            entry: header.e_entry(endian),
            sites: Vec::new(),
        };
        for program in loaded() {
            let bytes = program.data(endian, data).ok()?;
            code.take_words(bytes, program.p_vaddr(endian));
            code.loaded.push((program.p_vaddr(endian), bytes));
        }
        code.follow(code.entry, false);
        code.sort();
        code.sweep(&data_sections(header, endian, data));
        code.sort();
        code.read_tables();
        code.sort();
        Some(code)
    }

    fn sort(&mut self) {
        for pairs in [&mut self.jumps, &mut self.calls, &mut self.mentions] {
            pairs.sort_unstable();
            pairs.dedup();
        }
        let called = self.calls.iter().map(|(to, _)| *to);
        self.functions = called.chain(self.taken.iter().copied()).collect();
        self.functions.push(self.entry);
        for all in [
            &mut self.taken,
            &mut self.in_data,
            &mut self.leaps,
            &mut self.functions,
        ] {
            all.sort_unstable();
            all.dedup();
        }
        self.sites.sort_unstable_by_key(|(address, _)| *address);
    }

    /// Where the function that an address is in begins, and where the next does.
    fn function(&self, address: u64) -> std::ops::Range<u64> {
        let next = self.functions.partition_point(|from| *from <= address);
        let from = next.checked_sub(1).map_or(0, |at| self.functions[at]);
        from..self.functions.get(next).copied().unwrap_or(u64::MAX)
    }

    /// The instruction at an address where one is known to begin.
    pub(super) fn known(&self, address: u64) -> Option<Step> {
        let is_known = self.state[self.index(address)?] == State::Begin;
        is_known.then(|| self.step(address)).flatten()
    }

    /// Whether a function begins here, as far as that is known.
    pub(super) fn is_function(&self, address: u64) -> bool {
        self.functions.binary_search(&address).is_ok()
    }

    /// Where a jump by a table leads.
    pub(super) fn cases(&self, leap: u64) -> Vec<u64> {
        let from_here = self.jumps.iter().filter(|(_, from)| *from == leap);
        from_here.map(|(to, _)| *to).collect()
    }

    /// Whether data carries an address, other than in a slot that only
    /// instructions look at which name it.
    pub(super) fn is_in_data(&self, address: u64) -> bool {
        self.in_data.binary_search(&address).is_ok()
            || self.slots_of(address).any(|slot| {
                self.mentions_of(slot).next().is_some() || self.uses(slot).next().is_none()
            })
    }

    /// The slots that hold an address.
    pub(super) fn slots_of(&self, address: u64) -> impl Iterator<Item = u64> + '_ {
        let same = self.slots.iter().filter(move |(_, to)| **to == address);
        same.map(|(slot, _)| *slot)
    }

    /// The instructions that look at a slot.
    pub(super) fn uses(&self, slot: u64) -> impl Iterator<Item = u64> + '_ {
        let same = self.slot_uses.iter().filter(move |(one, _)| *one == slot);
        same.map(|(_, at)| *at)
    }

    /// The instructions that carry or complete an address.
    pub(super) fn mentions_of(&self, address: u64) -> impl Iterator<Item = u64> + '_ {
        let same = self.mentions.iter().filter(move |(_, to)| *to == address);
        same.map(|(at, _)| *at)
    }

    /// Takes it that these functions are called from nowhere but where that is
    /// known, though code carries their addresses.
    pub(super) fn only_called(&mut self, functions: &BTreeSet<u64>) {
        self.taken.retain(|address| !functions.contains(address));
    }

    /// Takes calls of these functions from these places down as well.
    pub(super) fn add_calls(&mut self, calls: &[(u64, u64)]) {
        let begins = |(to, _): &&(u64, u64)| {
            let index = self.index(*to);
            index.is_some_and(|index| self.state[index] == State::Begin)
        };
        let calls: Vec<_> = calls.iter().filter(begins).copied().collect();
        self.calls.extend(calls);
        self.sort();
    }

    /// Reads the tables of jumps: for a `switch`, x86-64's compilers put down
    /// where each case is, seen from the table, in four bytes.
    fn read_tables(&mut self) {
        let mut found = Vec::new();
        for &leap in &self.leaps {
            let function = self.function(leap);
            let number = |address| self.mentions.partition_point(|(at, _)| *at < address);
            let (first, last) = (number(function.start), number(leap));
            let before = found.len();
            // Mostly the table's address is worked out right before; else any that
            // the function mentions may be it.
            for (place, table) in self.mentions[first.min(last)..last].iter().rev() {
                self.read_table(*table, leap, &function, &mut found);
                if found.len() > before && leap - place <= RIGHT_BEFORE {
                    break;
                }
            }
        }
        self.jumps.extend(found);
    }

    /// Reads the entries of a table as far as they lead into the function.
    fn read_table(
        &self,
        table: u64,
        leap: u64,
        function: &std::ops::Range<u64>,
        found: &mut Vec<(u64, u64)>,
    ) {
        let (mut at, before) = (table, found.len());
        let begins = |to| {
            let index = self.index(to);
            index.is_some_and(|index| self.state[index] == State::Begin)
        };
        while found.len() < TABLE_ENTRIES
            && let Some(entry) = self.word(at)
            && let to = table.wrapping_add_signed(entry.into())
            && function.contains(&to)
            && begins(to)
        {
            found.push((to, leap));
            at = at.wrapping_add(4);
        }
        // One entry is no table, but something else that fits.
        if found.len() == before + 1 {
            found.pop();
        }
    }

    /// A signed number of four bytes in memory as it is loaded.
    fn word(&self, address: u64) -> Option<i32> {
        let mut loaded = self.loaded.iter();
        loaded.find_map(|(from, bytes)| {
            let at = usize::try_from(address.checked_sub(*from)?).ok()?;
            Some(i32::from_le_bytes(*bytes.get(at..)?.first_chunk()?))
        })
    }

    fn range(&self, address: u64) -> Option<&Range<'data>> {
        let holds = |range: &&Range<'_>| {
            address
                .checked_sub(range.address)
                .is_some_and(|at| at < range.bytes.len() as u64)
        };
        self.ranges.iter().find(holds)
    }

    /// The number of a byte among all bytes of code.
    fn index(&self, address: u64) -> Option<usize> {
        let range = self.range(address)?;
        Some(range.from + (address - range.address) as usize)
    }

    /// What can be read from an address on.
    fn bytes(&self, address: u64) -> Option<&'data [u8]> {
        let range = self.range(address)?;
        Some(&range.bytes[(address - range.address) as usize..])
    }

    /// The instruction at an address.
    pub(super) fn step(&self, address: u64) -> Option<Step> {
        let bytes = self.bytes(address)?;
        match self.machine {
            Machine::Amd64 => amd64::decode(bytes, address),
            Machine::Arm64 if address.is_multiple_of(4) => arm64::decode(bytes, address),
            Machine::Arm64 => None,
        }
    }

    /// Follows code from an address as far as it leads directly. A `guess`, that
    /// there is code at all, ends where it would run into the midst of what is known.
    fn follow(&mut self, address: u64, guess: bool) {
        let mut waiting = vec![address];
        while let Some(address) = waiting.pop() {
            self.run(address, guess, &mut waiting);
        }
    }

    /// Reads instructions in a row, up to one that is known or does not go on.
    fn run(&mut self, from: u64, guess: bool, waiting: &mut Vec<u64>) {
        let mut here = from;
        // The last pages that were named, by register.
        let mut pages = [None; 32];
        while let Some(index) = self.index(here)
            && self.state[index] == State::Unknown
            && let Some(step) = self.step(here)
        {
            let end = index + usize::from(step.length);
            if guess && self.state[index + 1..end].contains(&State::Begin) {
                return;
            }
            self.state[index] = State::Begin;
            for state in &mut self.state[index + 1..end] {
                if *state == State::Unknown {
                    *state = State::Inside;
                }
            }
            let next = here + u64::from(step.length);
            if let Some(there) = self.mentioned(here, &step, &mut pages) {
                self.mentions.push((here, there));
                if self.range(there).is_some() {
                    self.taken.push(there);
                }
            }
            let slot = step.near.filter(|slot| self.slots.contains_key(slot));
            if let Some(slot) = slot {
                self.slot_uses.push((slot, here));
            }
            let held = slot.map(|slot| self.slots[&slot]);
            match step.flow {
                Flow::CallAway if let Some(there) = held => {
                    self.calls.push((there, here));
                    waiting.push(there);
                }
                Flow::Leap if let Some(there) = held => {
                    self.jumps.push((there, here));
                    waiting.push(there);
                }
                Flow::Jump(there) | Flow::Branch(there) => {
                    self.jumps.push((there, here));
                    waiting.push(there);
                }
                Flow::Call(there) => {
                    self.calls.push((there, here));
                    waiting.push(there);
                }
                Flow::System | Flow::Legacy => self.sites.push((here, step.flow)),
                Flow::CallBy(register) => self.calls_by.push((here, register)),
                Flow::Leap => self.leaps.push(here),
                Flow::On | Flow::CallAway | Flow::Leave => {}
            }
            if matches!(step.flow, Flow::Jump(_) | Flow::Leap | Flow::Leave) {
                return;
            }
            here = next;
        }
    }

    /// The address that an instruction carries or completes.
    fn mentioned(&self, here: u64, step: &Step, pages: &mut [Option<u64>; 32]) -> Option<u64> {
        if self.machine == Machine::Arm64 {
            let bytes = self.bytes(here)?;
            if let Some((to, page)) = arm64::page(bytes, here) {
                pages[usize::from(to)] = Some(page);
            } else if let Some((_, from, number)) = arm64::added(bytes)
                && let Some(page) = pages[usize::from(from)]
            {
                return Some(page.wrapping_add(number));
            }
        }
        step.mentions
    }

    /// Takes down the addresses of code that stand in data, as pointers to
    /// functions do; tables of relocations carry them too.
    fn take_words(&mut self, bytes: &[u8], address: u64) {
        let skipped = address.wrapping_neg() as usize % 8;
        let words = bytes.get(skipped..).unwrap_or_default().chunks_exact(8);
        let words = words.filter_map(|word| word.first_chunk().copied());
        let mut before = [0, 0];
        for (number, word) in words.map(u64::from_le_bytes).enumerate() {
            let at = address + (skipped + 8 * number) as u64;
            let [place, kind] = before;
            before = [kind, word];
            if self.range(word).is_none() {
                continue;
            }
            self.taken.push(word);
            // Either the slot itself, or the relocation that fills it.
            let is_relocation = matches!(kind, RELATIVE_AMD64 | RELATIVE_ARM64);
            let slot = if is_relocation { place } else { at };
            if self.relro.contains(&slot) {
                self.slots.insert(slot, word);
            } else {
                self.in_data.push(word);
            }
        }
    }

    /// Reads what is left in a row.
    fn sweep(&mut self, data: &[(u64, u64)]) {
        let ranges: Vec<_> = self
            .ranges
            .iter()
            .map(|range| (range.address, range.address + range.bytes.len() as u64))
            .collect();
        let least = match self.machine {
            Machine::Amd64 => 1,
            Machine::Arm64 => 4,
        };
        // What is known so far tells where instructions begin.
        let anchors = std::mem::take(&mut self.taken);
        for (start, end) in ranges {
            let overlaps = |(from, to): &&(u64, u64)| *from < end && *to > start;
            let data: Vec<_> = data.iter().filter(overlaps).collect();
            let mut here = start.next_multiple_of(least);
            while here < end {
                if let Some((_, after)) =
                    data.iter().find(|(from, to)| (*from..*to).contains(&here))
                {
                    here = after.next_multiple_of(least);
                    continue;
                }
                let is_free = self
                    .index(here)
                    .is_some_and(|index| self.state[index] == State::Unknown);
                let step = if is_free { self.step(here) } else { None };
                let Some(step) = step else {
                    here += least;
                    continue;
                };
                let next = here + u64::from(step.length);
                let anchor = anchors.partition_point(|anchor| *anchor <= here);
                match anchors.get(anchor) {
                    // Something begins in the midst of this: it is no instruction.
                    Some(anchor) if *anchor < next && anchor.is_multiple_of(least) => {
                        here = *anchor;
                    }
                    _ => {
                        self.follow(here, true);
                        here += least;
                    }
                }
            }
        }
        self.taken.extend(anchors);
    }

    /// The instructions that end where this one begins.
    fn previous(&self, address: u64) -> impl Iterator<Item = (u64, Step)> + '_ {
        let longest = match self.machine {
            Machine::Amd64 => 15,
            Machine::Arm64 => 4,
        };
        (1..=longest).filter_map(move |back| {
            let here = address.checked_sub(back)?;
            if self.state[self.index(here)?] != State::Begin {
                return None;
            }
            let step = self.step(here)?;
            (u64::from(step.length) == back).then_some((here, step))
        })
    }

    /// The instructions after which this one can come, calls of the function
    /// that begins here left out; whether there may be others.
    pub(super) fn before(&self, address: u64) -> (Vec<Before>, bool) {
        let is_function = self.callers(address).next().is_some();
        let goes_on = |step: &Step| match step.flow {
            Flow::Jump(_) | Flow::Leap | Flow::Leave => false,
            // Before a function a call that does not come back, or filling.
            Flow::Call(_) | Flow::CallBy(_) | Flow::CallAway => !is_function,
            _ => !(is_function && step.pads),
        };
        let next = self.previous(address).filter(|(_, step)| goes_on(step));
        let mut all: Vec<_> = next
            .map(|(from, step)| Before {
                from,
                step,
                jumps: false,
            })
            .collect();
        let jump = |from| {
            Some(Before {
                from,
                step: self.step(from)?,
                jumps: true,
            })
        };
        all.extend(pairs(&self.jumps, address).filter_map(jump));
        let is_known = is_function || !all.is_empty();
        let is_taken = address == self.entry || self.taken.binary_search(&address).is_ok();
        if is_known || is_taken {
            return (all, is_taken);
        }
        // Only a table can lead here, and only one of the same function.
        let function = self.function(address);
        let first = self.leaps.partition_point(|at| *at < function.start);
        let leaps = self.leaps[first..].iter();
        let leaps = leaps.take_while(|at| function.contains(at)).copied();
        all.extend(leaps.filter_map(jump));
        let is_open = all.is_empty();
        (all, is_open)
    }

    /// What a branch on equality that is taken, or not, says of a register that
    /// nothing changes on the way: the number that it was compared with.
    pub(super) fn compared(&self, before: &Before, register: u8) -> Option<u64> {
        if before.step.on_equal? != before.jumps {
            return None;
        }
        let (mut here, mut step) = (before.from, before.step);
        for _ in 0..FLAGS {
            match step.flag {
                Flag::Is(other, number) => return (other == register).then_some(number),
                Flag::Unknown => return None,
                Flag::Same if step.writes >> register & 1 == 1 => return None,
                Flag::Same => {}
            }
            // Nothing may come in between from elsewhere.
            let is_reached = pairs(&self.jumps, here).next().is_some()
                || self.callers(here).next().is_some()
                || self.taken.binary_search(&here).is_ok();
            let mut previous = self.previous(here).filter(|_| !is_reached);
            (here, step) = previous.next()?;
            if previous.next().is_some() {
                return None;
            }
        }
        None
    }

    /// The instructions of a short function without branches and calls, as
    /// compilers part off what stands in several places, when they save bytes. Such
    /// a function keeps to no convention about registers.
    pub(super) fn parted(&self, address: u64) -> Option<Vec<Step>> {
        let mut steps = Vec::new();
        let mut here = address;
        while steps.len() < PARTED {
            let step = self.step(here)?;
            match step.flow {
                Flow::On | Flow::System => {
                    steps.push(step);
                    here += u64::from(step.length);
                }
                Flow::Jump(there) => {
                    steps.push(step);
                    here = there;
                }
                Flow::Leave => return Some(steps),
                _ => return None,
            }
        }
        None
    }

    /// Where the function that begins here is called.
    pub(super) fn callers(&self, address: u64) -> impl Iterator<Item = u64> + '_ {
        pairs(&self.calls, address)
    }
}

/// The second numbers of all pairs with this first.
fn pairs(all: &[(u64, u64)], first: u64) -> impl Iterator<Item = u64> + '_ {
    let from = all.partition_point(|(one, _)| *one < first);
    let same = all[from..].iter().take_while(move |(one, _)| *one == first);
    same.map(|(_, second)| *second)
}

/// Addresses of what sections call data, sorted; nothing where there are none.
fn data_sections(
    header: &FileHeader64<LittleEndian>,
    endian: LittleEndian,
    data: &[u8],
) -> Vec<(u64, u64)> {
    let Ok(sections) = header.sections(endian, data) else {
        return Vec::new();
    };
    let mut found: Vec<_> = sections
        .iter()
        .filter_map(|section| {
            let flags = section.sh_flags(endian);
            let is_data = flags.contains(elf::SHF_ALLOC) && !flags.contains(elf::SHF_EXECINSTR);
            let from = section.sh_addr(endian);
            let to = from.checked_add(section.sh_size(endian))?;
            (is_data && from < to).then_some((from, to))
        })
        .collect();
    found.sort_unstable();
    found
}
