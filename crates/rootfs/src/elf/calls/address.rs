//! Where the address of a function goes: whether it is only called, in places
//! that can be told, or handed around, so that anything may call it. Compilers
//! put the address of a function that is called several times into a register;
//! that alone does not make its callers unknown. Linkers put it into a table
//! (the global offset table) of which each slot is named by those who use it.

use std::collections::HashSet;

use super::code::Code;
use super::origin::Rules;
use super::step::{Change, Does, Flow, Spot, Step, Value};

/// Steps for one function's address; beyond it, it is taken to go anywhere.
const STEPS: usize = 4000;

/// The calls of a function by its address, as pairs of function and place, if
/// nothing else is done with the address anywhere.
pub(super) fn only_called(code: &Code<'_>, rules: Rules, function: u64) -> Option<Vec<(u64, u64)>> {
    if function == code.entry || code.is_in_data(function) {
        return None;
    }
    let mut sites = Vec::new();
    for mention in code.mentions_of(function) {
        let step = code.step(mention)?;
        let Does::Set(Spot::Register(to), ..) = step.does else {
            return None;
        };
        let next = mention + u64::from(step.length);
        follow(code, rules, (next, to), &mut sites)?;
    }
    for slot in code.slots_of(function) {
        for at in code.uses(slot) {
            let step = code.step(at)?;
            match step.flow {
                // Told as a call or a jump already.
                Flow::CallAway | Flow::Leap => {}
                Flow::On if step.writes.is_power_of_two() => {
                    let to = step.writes.trailing_zeros() as u8;
                    follow(code, rules, (at + u64::from(step.length), to), &mut sites)?;
                }
                _ => return None,
            }
        }
    }
    Some(sites.into_iter().map(|site| (function, site)).collect())
}

/// Follows a register that holds the address along all ways on; nothing if it is
/// used for anything but calls.
fn follow(code: &Code<'_>, rules: Rules, from: (u64, u8), sites: &mut Vec<u64>) -> Option<()> {
    let mut seen = HashSet::new();
    let mut waiting = vec![from];
    while let Some(here @ (address, register)) = waiting.pop() {
        if !seen.insert(here) {
            continue;
        }
        if seen.len() > STEPS {
            return None;
        }
        let step = code.known(address)?;
        let next = address + u64::from(step.length);
        let is_read = step.reads >> register & 1 == 1;
        // After a call that does not come back, or filling, comes another function.
        let ends =
            step.pads || matches!(step.flow, Flow::Call(_) | Flow::CallBy(_) | Flow::CallAway);
        if ends && code.is_function(next) && !is_read {
            continue;
        }
        match step.flow {
            Flow::CallBy(by) if by == register => {
                sites.push(address);
                if rules.keeps(register) {
                    waiting.push((next, register));
                }
            }
            Flow::Call(there) if let Some(steps) = code.parted(there) => {
                let touched = |one: &Step| (one.reads | one.writes) >> register & 1 == 1;
                match steps.iter().find(|one| touched(one)) {
                    None => waiting.push((next, register)),
                    Some(one) if one.reads >> register & 1 == 1 => return None,
                    Some(_) => {}
                }
            }
            Flow::Call(_) | Flow::CallBy(_) | Flow::CallAway => {
                let is_read = is_read && !matches!(step.flow, Flow::Call(_));
                if is_read || rules.gives(register) {
                    return None;
                }
                if rules.keeps(register) {
                    waiting.push((next, register));
                }
            }
            // The caller's registers are back by then, whatever was in them.
            Flow::Leave if rules.returns(register) => return None,
            Flow::Leave => {}
            Flow::Leap => {
                let cases = code.cases(address);
                if is_read || cases.is_empty() {
                    return None;
                }
                waiting.extend(cases.into_iter().map(|case| (case, register)));
            }
            Flow::Legacy => return None,
            Flow::Jump(there) => waiting.push((there, register)),
            Flow::Branch(there) => {
                if is_read {
                    return None;
                }
                waiting.extend([(there, register), (next, register)]);
            }
            Flow::On | Flow::System => {
                let mut is_copy = false;
                if let Does::Set(to, value, other) = step.does {
                    let held = Value::From(Spot::Register(register), Change::NONE);
                    is_copy = value == held || other == Some(held);
                    match to {
                        Spot::Register(to) if is_copy && to != register => {
                            waiting.push((next, to));
                        }
                        Spot::Stack(_) if is_copy => return None,
                        _ => {}
                    }
                }
                if is_read && !is_copy {
                    return None;
                }
                // What is chosen of two may still be it.
                let stays = matches!(step.does, Does::Set(to, _, Some(_)) if to == Spot::Register(register));
                if stays || step.writes >> register & 1 == 0 {
                    waiting.push((next, register));
                }
            }
        }
    }
    Some(())
}
