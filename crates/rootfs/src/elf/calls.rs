//! Which system calls a static program can make: read out of its code, with
//! those places told where that does not succeed.
//!
//! Every `syscall` (x86-64) and `svc` (arm64) in the code counts, whether or not
//! anything leads there; its number is followed back through the code. So what
//! is found is more than what a run makes, and where no place is unresolved, it
//! is all that any run can make, code that is made while it runs put aside.

mod address;
mod amd64;
mod arm64;
mod code;
mod machine;
pub mod names;
mod origin;
mod step;

use std::collections::BTreeSet;

use code::Code;
pub use machine::Machine;
use origin::Rules;
use step::Flow;

/// The system calls of a program.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SystemCalls {
    /// Whose numbers they are.
    pub machine: Machine,
    /// Numbers that were found.
    pub numbers: BTreeSet<u32>,
    /// Places in the code that make a system call.
    pub sites: usize,
    /// Addresses of those whose number may be another than one of these.
    pub unresolved: Vec<u64>,
}

impl SystemCalls {
    /// The names of the calls, sorted; a number that has none is passed over,
    /// since the kernel knows none either.
    pub fn names(&self) -> Vec<&'static str> {
        let names = self.numbers.iter();
        let mut names: Vec<_> = names
            .filter_map(|number| names::name(self.machine, *number))
            .collect();
        names.sort_unstable();
        names
    }
}

/// Reads the code of a program that is held in memory; nothing for what is not
/// of a machine that is known, lies, or has more than 64 MB of code. What the
/// program takes from libraries is not in it: ask for static ones.
pub fn system_calls(data: &[u8]) -> Option<SystemCalls> {
    let mut code = Code::read(data)?;
    let is_go = memchr::memmem::find(data, b"\xff Go buildinf:").is_some();
    let rules = Rules::of(code.machine, is_go);
    let calls = origin::calls(&code, rules, &mut (origin::ALL_STEPS / 2));
    code.add_calls(&calls);
    let mut numbers = BTreeSet::new();
    let mut open = BTreeSet::new();
    let mut unresolved: Vec<u64> = Vec::new();
    let mut left = origin::ALL_STEPS;
    for &(site, flow) in &code.sites {
        let (found, resolved) = match flow {
            Flow::System => origin::numbers(&code, rules, site, &mut left, &mut open),
            _ => (BTreeSet::new(), false),
        };
        numbers.extend(found);
        unresolved.extend((!resolved).then_some(site));
    }
    // Functions whose addresses code carries may yet be called from known places only.
    let mut closed = BTreeSet::new();
    for function in open {
        if let Some(calls) = address::only_called(&code, rules, function) {
            code.add_calls(&calls);
            closed.insert(function);
        }
    }
    code.only_called(&closed);
    let is_system = |site: u64| code.sites.contains(&(site, Flow::System));
    unresolved.retain(|site| {
        if closed.is_empty() || !is_system(*site) {
            return true;
        }
        let none = &mut BTreeSet::new();
        let (found, resolved) = origin::numbers(&code, rules, *site, &mut left, none);
        numbers.extend(found);
        !resolved
    });
    Some(SystemCalls {
        machine: code.machine,
        numbers,
        sites: code.sites.len(),
        unresolved,
    })
}

#[cfg(test)]
mod tests;
