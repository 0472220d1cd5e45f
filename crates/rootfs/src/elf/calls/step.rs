//! What one instruction does, as far as following a number needs it: how it
//! goes on, and what it puts where. Both machines' decoders give this.

/// Something that can hold a number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Spot {
    /// A general register, as its machine numbers it.
    Register(u8),
    /// Eight bytes of the stack, so far from where its pointer points.
    Stack(i32),
}

/// A number that is worked out from another: `((number + add) & and) | or`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Change {
    pub(super) add: u64,
    pub(super) and: u64,
    pub(super) or: u64,
}

impl Change {
    /// None at all.
    pub(super) const NONE: Self = Self::add(0);

    pub(super) const fn add(add: u64) -> Self {
        Self {
            add,
            and: u64::MAX,
            or: 0,
        }
    }

    /// Keeps the bits of `and` and sets those of `or`.
    pub(super) const fn bits(and: u64, or: u64) -> Self {
        Self { add: 0, and, or }
    }

    pub(super) fn of(self, number: u64) -> u64 {
        number.wrapping_add(self.add) & self.and | self.or
    }

    /// Both in one: `first`, then this. Nothing where one cannot say it.
    pub(super) fn after(self, first: Self) -> Option<Self> {
        if first.and == u64::MAX && first.or == 0 {
            return Some(Self {
                add: self.add.wrapping_add(first.add),
                ..self
            });
        }
        (self.add == 0).then_some(Self {
            add: first.add,
            and: self.and & first.and,
            or: self.and & first.or | self.or,
        })
    }
}

/// Where a number comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Value {
    Number(u64),
    From(Spot, Change),
    Unknown,
}

/// How the program goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Flow {
    /// With the next instruction.
    On,
    Jump(u64),
    /// There, or with the next one.
    Branch(u64),
    /// There and back.
    Call(u64),
    /// Where a register says, and back.
    CallBy(u8),
    /// Somewhere and back.
    CallAway,
    /// Where a register or memory says: a table of jumps, or another function.
    Leap,
    /// Back to the caller, or nowhere: a trap.
    Leave,
    /// A system call.
    System,
    /// A system call by the numbers of 32-bit programs.
    Legacy,
}

/// What is put where, besides the registers that are merely lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Does {
    Nothing,
    /// One spot takes a value; where there are two, it is one of them.
    Set(Spot, Value, Option<Value>),
    /// Two slots of the stack, one after the other, take values.
    Pair(i32, Value, Value),
    /// The stack pointer goes down by eight, and the value is put there.
    Push(Value),
    /// A register takes what the stack pointer points to, which goes up by eight.
    Pop(u8),
    /// The stack pointer goes up by so much.
    Shift(i32),
}

/// One instruction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Step {
    /// Bytes of it.
    pub(super) length: u8,
    pub(super) flow: Flow,
    pub(super) does: Does,
    /// General registers that may hold something else afterwards, a bit each.
    pub(super) writes: u32,
    /// General registers that it may look at, but for the stack pointer.
    pub(super) reads: u32,
    /// An address that it works out or carries.
    pub(super) mentions: Option<u64>,
    /// Where it looks in memory, if that stands in the instruction.
    pub(super) near: Option<u64>,
    /// It fills room between functions.
    pub(super) pads: bool,
    /// What it leaves in the flag that branches on equality look at.
    pub(super) flag: Flag,
    /// Of a branch: whether it is taken when that flag says equal.
    pub(super) on_equal: Option<bool>,
}

/// The flag of equality.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Flag {
    /// As it was.
    Same,
    /// Set if the register holds this number after the instruction.
    Is(u8, u64),
    Unknown,
}

impl Step {
    pub(super) const fn plain(length: u8) -> Self {
        Self {
            length,
            flow: Flow::On,
            does: Does::Nothing,
            writes: 0,
            reads: u32::MAX,
            mentions: None,
            near: None,
            pads: false,
            flag: Flag::Unknown,
            on_equal: None,
        }
    }

    /// What is in `spot` after this, by what was there before; the stack
    /// pointer is register `stack_pointer`. Calls are the caller's to judge.
    pub(super) fn before(&self, spot: Spot, stack_pointer: u8) -> (Value, Option<Value>) {
        let same = (Value::From(spot, Change::NONE), None);
        let lost = (Value::Unknown, None);
        let writes = |register: u8| self.writes >> register & 1 == 1;
        match (self.does, spot) {
            (Does::Set(to, value, other), _) if to == spot => (value, other),
            // A slot that is written over in part.
            (Does::Set(Spot::Stack(to), ..), Spot::Stack(at)) if near(to, at) => lost,
            (Does::Pair(to, value, _), Spot::Stack(at)) if to == at => (value, None),
            (Does::Pair(to, _, value), Spot::Stack(at)) if to + 8 == at => (value, None),
            (Does::Pair(to, ..), Spot::Stack(at)) if near(to, at) || near(to + 8, at) => lost,
            (Does::Push(value), Spot::Stack(0)) => (value, None),
            (Does::Push(_), Spot::Stack(at)) => moved(at, -8),
            (Does::Pop(to), Spot::Register(register)) if to == register => {
                (Value::From(Spot::Stack(0), Change::NONE), None)
            }
            (Does::Pop(_), Spot::Stack(at)) => moved(at, 8),
            (Does::Shift(by), Spot::Stack(at)) => moved(at, by),
            (_, Spot::Stack(_)) if writes(stack_pointer) => lost,
            (_, Spot::Register(register)) if writes(register) => lost,
            _ => same,
        }
    }
}

fn near(one: i32, other: i32) -> bool {
    one.abs_diff(other) < 8
}

/// A slot seen from where the stack pointer was before; below it nothing is
/// kept, and farther than a frame reaches nothing is looked for.
fn moved(at: i32, by: i32) -> (Value, Option<Value>) {
    const FRAME: i32 = 1 << 16;
    match at.checked_add(by) {
        Some(at) if (0..FRAME).contains(&at) => (Value::From(Spot::Stack(at), Change::NONE), None),
        _ => (Value::Unknown, None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_changes_in_one_give_what_they_give_one_after_the_other() {
        let changes = [
            Change::NONE,
            Change::add(3),
            Change::add(u64::MAX),
            Change::bits(!0xff, 60),
            Change::bits(0xffff, 0),
        ];
        for first in changes {
            for then in changes {
                if let Some(both) = then.after(first) {
                    for number in [0, 1, 60, 0x1234, u64::MAX] {
                        assert_eq!(both.of(number), then.of(first.of(number)));
                    }
                }
            }
        }
        assert_eq!(Change::add(1).after(Change::bits(0xff, 0)), None);
    }
}
