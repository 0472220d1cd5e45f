//! Where a system call's number comes from: from the call back through the
//! code, along every way that leads there, into the callers where a function is
//! given the number.
//!
//! What is not followed: memory other than the stack, ways that only a table of
//! jumps shows into the midst of code that other code runs into, and code that
//! changes itself. Whatever else cannot be told leaves the call unresolved.

use std::collections::{BTreeSet, HashSet};

use super::code::Code;
use super::machine::Machine;
use super::step::{Change, Flow, Spot, Step, Value};
use super::{amd64, arm64};

/// Steps for one call; a wrapper with some hundred callers takes a few thousand.
const STEPS: usize = 50_000;
/// Steps for the address that a register calls: it is near, or a table's.
const ADDRESS_STEPS: usize = 200;
/// Steps for all calls of a program.
pub(super) const ALL_STEPS: usize = 4_000_000;
/// Most numbers that one call can have: there are not as many.
const NUMBERS: usize = 1024;

/// A question: what is in a spot before the instruction at an address?
type Question = (u64, Spot, Change);

/// What is fixed for a machine and its calling convention.
#[derive(Clone, Copy)]
pub(super) struct Rules {
    number: Spot,
    stack_pointer: u8,
    /// Registers that a call may change.
    scratch: u32,
    /// Registers in which a call gives, and gets.
    given: (u32, u32),
}

impl Rules {
    /// `all_scratch`: functions keep no register, as Go's do not.
    pub(super) fn of(machine: Machine, all_scratch: bool) -> Self {
        let (number, stack_pointer, scratch) = match machine {
            Machine::Amd64 => (0, amd64::STACK, amd64::SCRATCH),
            Machine::Arm64 => (8, arm64::STACK, arm64::SCRATCH),
        };
        Self {
            number: Spot::Register(number),
            stack_pointer,
            scratch: if all_scratch { u32::MAX } else { scratch },
            given: match (all_scratch, machine) {
                (true, _) => (u32::MAX, u32::MAX),
                (_, Machine::Amd64) => (amd64::ARGUMENTS, amd64::RESULTS),
                (_, Machine::Arm64) => (arm64::ARGUMENTS, arm64::RESULTS),
            },
        }
    }

    /// Whether a register is the same after a call.
    pub(super) fn keeps(&self, register: u8) -> bool {
        self.scratch >> register & 1 == 0
    }

    /// Whether something can be given to a function in a register.
    pub(super) fn gives(&self, register: u8) -> bool {
        self.given.0 >> register & 1 == 1
    }

    /// Whether a function can give something back in a register.
    pub(super) fn returns(&self, register: u8) -> bool {
        self.given.1 >> register & 1 == 1
    }

    /// What was in `spot` before an instruction.
    fn before(&self, step: &Step, spot: Spot) -> (Value, Option<Value>) {
        let is_call = matches!(step.flow, Flow::Call(_) | Flow::CallBy(_) | Flow::CallAway);
        match spot {
            Spot::Register(register) if is_call && self.scratch >> register & 1 == 1 => {
                (Value::Unknown, None)
            }
            // Another function may have been told where it is.
            Spot::Stack(_) if is_call => (Value::Unknown, None),
            spot => step.before(spot, self.stack_pointer),
        }
    }

    /// What was in `spot` before several instructions in a row.
    fn through(&self, steps: &[Step], spot: Spot) -> Value {
        let mut value = Value::From(spot, Change::NONE);
        for step in steps.iter().rev() {
            let Value::From(spot, change) = value else {
                break;
            };
            value = match self.before(step, spot) {
                (Value::Number(number), None) => Value::Number(change.of(number)),
                (Value::From(spot, first), None) => change
                    .after(first)
                    .map_or(Value::Unknown, |change| Value::From(spot, change)),
                _ => Value::Unknown,
            };
        }
        match value {
            // Counted from another place than the caller's.
            Value::From(Spot::Stack(_), _) => Value::Unknown,
            value => value,
        }
    }
}

/// The numbers that the system call at `site` can have, and whether these are all;
/// functions that anything may call, by which they may not be, go to `open`.
pub(super) fn numbers(
    code: &Code<'_>,
    rules: Rules,
    site: u64,
    left: &mut usize,
    open: &mut BTreeSet<u64>,
) -> (BTreeSet<u32>, bool) {
    let (found, resolved) = values(code, rules, (site, rules.number), STEPS, left, open);
    // The kernel looks at the lower half.
    (
        found.into_iter().map(|number| number as u32).collect(),
        resolved,
    )
}

/// Calls by a register that holds the address of a function: function and place.
pub(super) fn calls(code: &Code<'_>, rules: Rules, left: &mut usize) -> Vec<(u64, u64)> {
    let mut calls = Vec::new();
    for &(site, register) in &code.calls_by {
        let spot = Spot::Register(register);
        let (found, _) = values(
            code,
            rules,
            (site, spot),
            ADDRESS_STEPS,
            left,
            &mut BTreeSet::new(),
        );
        calls.extend(found.into_iter().map(|address| (address, site)));
    }
    calls
}

/// What can be in a spot before the instruction at an address, and whether that
/// is all.
fn values(
    code: &Code<'_>,
    rules: Rules,
    (address, spot): (u64, Spot),
    steps: usize,
    left: &mut usize,
    open: &mut BTreeSet<u64>,
) -> (BTreeSet<u64>, bool) {
    let mut found = BTreeSet::new();
    let mut resolved = true;
    let mut asked: HashSet<Question> = HashSet::new();
    let mut waiting = vec![(address, spot, Change::NONE)];
    while let Some(question @ (address, spot, change)) = waiting.pop() {
        if !asked.insert(question) {
            continue;
        }
        if asked.len() > steps || *left == 0 || found.len() > NUMBERS {
            return (found, false);
        }
        *left -= 1;
        let (before, is_open) = code.before(address);
        if is_open {
            resolved = false;
            open.insert(address);
        }
        for one in before {
            if let Spot::Register(register) = spot
                && let Some(number) = code.compared(&one, register)
            {
                found.insert(change.of(number));
                continue;
            }
            let parted = match (one.step.flow, spot) {
                (Flow::Call(there), Spot::Register(_)) => code.parted(there),
                _ => None,
            };
            let (first, other) = match parted {
                Some(steps) => (rules.through(&steps, spot), None),
                None => rules.before(&one.step, spot),
            };
            for value in [Some(first), other].into_iter().flatten() {
                match value {
                    Value::Number(number) => {
                        found.insert(change.of(number));
                    }
                    Value::From(spot, first) => match change.after(first) {
                        Some(change) => waiting.push((one.from, spot, change)),
                        None => resolved = false,
                    },
                    Value::Unknown => resolved = false,
                }
            }
        }
        for caller in code.callers(address) {
            match (spot, code.machine) {
                // Over the address to return to.
                (Spot::Stack(at), Machine::Amd64) if at >= 8 => {
                    waiting.push((caller, Spot::Stack(at - 8), change));
                }
                (Spot::Stack(_), Machine::Amd64) => resolved = false,
                (spot, _) => waiting.push((caller, spot, change)),
            }
        }
    }
    (found, resolved)
}
