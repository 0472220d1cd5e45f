//! How a reference is written in an instruction, for each form there is: by
//! tables, since one loop over them is smaller than code for each.

/// How a reference is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Form {
    /// It is none.
    None,
    /// RISC-V `jal`.
    Jal,
    /// RISC-V conditional branches.
    Branch,
    /// RISC-V `c.j` and `c.jal`.
    ShortJump,
    /// RISC-V `c.beqz` and `c.bnez`.
    ShortBranch,
    /// RISC-V `lui`.
    Upper,
    /// RISC-V `auipc`.
    UpperHere,
    /// The low bits of what a `lui` or `auipc` began, in a load, `addi` or `jalr`.
    Lower,
    /// The same in a store.
    LowerStore,
    /// Thumb-2 `bl` and `b.w`.
    ThumbCall,
    /// Thumb-2 `b<c>.w`.
    ThumbBranch,
    /// Thumb `b`.
    ThumbShort,
    /// Thumb `b<c>`.
    ThumbShortBranch,
    /// Thumb `ldr` from a pool.
    ThumbPool,
    /// Thumb-2 `ldr.w` from a pool that comes later.
    ThumbFarPool,
    /// AArch64 `b` and `bl`.
    Jump26,
    /// AArch64 `b.cond`, `cbz`, `ldr` from a pool.
    Jump19,
    /// AArch64 `tbz`.
    Jump14,
    /// AArch64 `adrp`.
    Page,
    /// The low bits of what an `adrp` began: in `add` and byte accesses,
    PageLower,
    /// of 2 bytes,
    PageLower2,
    /// of 4,
    PageLower4,
    /// of 8,
    PageLower8,
    /// of 16.
    PageLower16,
    /// x86: a distance from its own end.
    Distance,
    /// A distance from its own start.
    DistanceHere,
    /// A distance back from its own start.
    DistanceBack,
    /// A distance from the region's start.
    DistanceStart,
    /// An address.
    Word,
    /// Xtensa `call0` to `call12`.
    XtensaCall,
    /// Xtensa `j`.
    XtensaJump,
    /// Xtensa `l32r`.
    XtensaPool,
}

impl Form {
    /// Whether this patcher was built with a machine that has it.
    const fn is_built(self) -> bool {
        match self {
            Self::None | Self::Word => true,
            Self::Jal
            | Self::Branch
            | Self::ShortJump
            | Self::ShortBranch
            | Self::Upper
            | Self::UpperHere
            | Self::Lower
            | Self::LowerStore => cfg!(feature = "riscv"),
            Self::ThumbCall
            | Self::ThumbBranch
            | Self::ThumbShort
            | Self::ThumbShortBranch
            | Self::ThumbPool
            | Self::ThumbFarPool => cfg!(feature = "thumb"),
            Self::Jump26
            | Self::Jump19
            | Self::Jump14
            | Self::Page
            | Self::PageLower
            | Self::PageLower2
            | Self::PageLower4
            | Self::PageLower8
            | Self::PageLower16 => cfg!(feature = "aarch64"),
            Self::Distance => cfg!(feature = "x86"),
            Self::DistanceHere | Self::DistanceBack | Self::DistanceStart => {
                cfg!(feature = "hosts")
            }
            Self::XtensaCall | Self::XtensaJump | Self::XtensaPool => cfg!(feature = "xtensa"),
        }
    }

    /// The low bits of its number that are always zero.
    pub(crate) fn shift(self) -> u32 {
        let lowest = parts(self).0.iter().map(|&(_, _, to)| to).min();
        u32::from(lowest.unwrap_or(0))
    }
}

/// Bits of a field: where they stand in the instruction, how many, and where in the number.
type Part = (u8, u8, u8);

/// The parts of a form's number, and how many bits the number has with its sign.
fn parts(form: Form) -> (&'static [Part], u32) {
    match form {
        // No unit has such a form: its table goes with the condition.
        form if !form.is_built() => (&[], 32),
        Form::None => (&[], 32),
        Form::Jal => (&[(31, 1, 20), (21, 10, 1), (20, 1, 11), (12, 8, 12)], 21),
        Form::Branch => (&[(31, 1, 12), (25, 6, 5), (8, 4, 1), (7, 1, 11)], 13),
        Form::ShortJump => (
            &[
                (12, 1, 11),
                (11, 1, 4),
                (9, 2, 8),
                (8, 1, 10),
                (7, 1, 6),
                (6, 1, 7),
                (3, 3, 1),
                (2, 1, 5),
            ],
            12,
        ),
        Form::ShortBranch => (
            &[(12, 1, 8), (10, 2, 3), (5, 2, 6), (3, 2, 1), (2, 1, 5)],
            9,
        ),
        Form::Upper | Form::UpperHere => (&[(12, 20, 12)], 32),
        Form::Lower => (&[(20, 12, 0)], 12),
        Form::LowerStore => (&[(25, 7, 5), (7, 5, 0)], 12),
        Form::ThumbCall => (
            &[
                (16, 11, 1),
                (0, 10, 12),
                (27, 1, 22),
                (29, 1, 23),
                (10, 1, 24),
            ],
            25,
        ),
        Form::ThumbBranch => (
            &[
                (16, 11, 1),
                (0, 6, 12),
                (29, 1, 18),
                (27, 1, 19),
                (10, 1, 20),
            ],
            21,
        ),
        Form::ThumbShort => (&[(0, 11, 1)], 12),
        Form::ThumbShortBranch => (&[(0, 8, 1)], 9),
        Form::ThumbPool => (&[(0, 8, 2)], 32),
        Form::ThumbFarPool => (&[(16, 12, 0)], 32),
        Form::Jump26 => (&[(0, 26, 2)], 28),
        Form::Jump19 => (&[(5, 19, 2)], 21),
        Form::Jump14 => (&[(5, 14, 2)], 16),
        Form::Page => (&[(29, 2, 12), (5, 18, 14), (23, 1, 31)], 32),
        Form::PageLower => (&[(10, 12, 0)], 32),
        Form::PageLower2 => (&[(10, 12, 1)], 32),
        Form::PageLower4 => (&[(10, 12, 2)], 32),
        Form::PageLower8 => (&[(10, 12, 3)], 32),
        Form::PageLower16 => (&[(10, 12, 4)], 32),
        Form::Distance
        | Form::DistanceHere
        | Form::DistanceBack
        | Form::DistanceStart
        | Form::Word => (&[(0, 32, 0)], 32),
        Form::XtensaCall => (&[(6, 18, 2)], 20),
        Form::XtensaJump => (&[(6, 18, 0)], 18),
        Form::XtensaPool => (&[(8, 16, 2)], 32),
    }
}

/// What the number is counted from, when the instruction stands at `at`. `upper` is
/// what the instruction before has loaded, or the region's start.
fn base(form: Form, at: u32, upper: u32) -> u32 {
    match form {
        form if !form.is_built() => 0,
        Form::None | Form::Upper | Form::Word => 0,
        Form::Jal
        | Form::Branch
        | Form::ShortJump
        | Form::ShortBranch
        | Form::UpperHere
        | Form::Jump26
        | Form::Jump19
        | Form::Jump14
        | Form::DistanceHere
        | Form::DistanceBack => at,
        Form::Lower
        | Form::LowerStore
        | Form::PageLower
        | Form::PageLower2
        | Form::PageLower4
        | Form::PageLower8
        | Form::PageLower16
        | Form::DistanceStart => upper,
        Form::Distance
        | Form::ThumbCall
        | Form::ThumbBranch
        | Form::ThumbShort
        | Form::ThumbShortBranch
        | Form::XtensaJump => at.wrapping_add(4),
        Form::ThumbPool | Form::ThumbFarPool | Form::XtensaCall => (at & !3).wrapping_add(4),
        Form::Page => at & !0xfff,
        // The number is the low sixteen bits of a negative count of words.
        Form::XtensaPool => (at.wrapping_add(3) & !3).wrapping_sub(0x4_0000),
    }
}

fn mask(count: u8) -> u32 {
    u32::MAX >> (32 - u32::from(count))
}

/// The number of the instruction.
fn number(form: Form, raw: u32) -> u32 {
    let (parts, bits) = parts(form);
    let mut value = 0;
    for &(from, count, to) in parts {
        value |= (raw >> from & mask(count)) << to;
    }
    if cfg!(feature = "thumb") && form == Form::ThumbCall && value >> 24 & 1 == 0 {
        value ^= 3 << 22;
    }
    ((value << (32 - bits)) as i32 >> (32 - bits)) as u32
}

/// What the instruction `raw` at `at` refers to.
pub(crate) fn get(form: Form, raw: u32, at: u32, upper: u32) -> u32 {
    let number = number(form, raw);
    match form {
        Form::DistanceBack => at.wrapping_sub(number),
        _ => base(form, at, upper).wrapping_add(number),
    }
}

/// The instruction `raw`, at `at`, made to refer to `value`, if it can.
pub(crate) fn set(form: Form, raw: u32, at: u32, upper: u32, value: u32) -> Option<u32> {
    let wanted = match form {
        Form::DistanceBack => at.wrapping_sub(value),
        _ => value.wrapping_sub(base(form, at, upper)),
    };
    let mut bits = wanted;
    if cfg!(feature = "thumb") && form == Form::ThumbCall && bits >> 24 & 1 == 0 {
        bits ^= 3 << 22;
    }
    let mut result = raw;
    for &(from, count, to) in parts(form).0 {
        let mask = mask(count);
        result = result & !(mask << from) | (bits >> to & mask) << from;
    }
    (number(form, result) == wanted).then_some(result)
}

/// What an instruction of this form at `at` has to say so that `target` is reached:
/// the target itself, or its upper part.
pub(crate) fn aim(form: Form, at: u32, target: u32) -> u32 {
    match form {
        Form::Upper => target.wrapping_add(0x800) & !0xfff,
        Form::UpperHere => {
            let distance = target.wrapping_sub(at);
            at.wrapping_add(distance.wrapping_add(0x800) & !0xfff)
        }
        Form::Page => target & !0xfff,
        _ => target,
    }
}

/// The bits of an instruction that are its reference.
#[cfg(feature = "pack")]
pub(crate) fn bits(form: Form) -> u32 {
    parts(form)
        .0
        .iter()
        .fold(0, |bits, &(from, count, _)| bits | mask(count) << from)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// From GNU as and LLVM: the instruction, its address, and what it refers to.
    const KNOWN: &[(Form, u32, u32, u32, u32)] = &[
        // jal ra, .+0x1000 and .-4
        (Form::Jal, 0x0000_10ef, 0x100, 0, 0x1100),
        (Form::Jal, 0xffdf_f0ef, 0x100, 0, 0xfc),
        // beq a0, a1, .-8
        (Form::Branch, 0xfeb5_0ce3, 0x1000, 0, 0xff8),
        // c.j .-2
        (Form::ShortJump, 0xbffd, 0x1000, 0, 0xffe),
        // c.beqz a0, .+16
        (Form::ShortBranch, 0xc901, 0x1000, 0, 0x1010),
        // lui a0, 0x12345
        (Form::Upper, 0x1234_5537, 0, 0, 0x1234_5000),
        // auipc a0, 0x1
        (Form::UpperHere, 0x0000_1517, 0x8000_0010, 0, 0x8000_1010),
        // addi a0, a0, -16
        (Form::Lower, 0xff05_0513, 0, 0x2000, 0x1ff0),
        // sw a1, -4(a0)
        (Form::LowerStore, 0xfeb5_2e23, 0, 0x2000, 0x1ffc),
        // bl .+4, bl .
        (Form::ThumbCall, 0xf800_f000, 0x100, 0, 0x104),
        (Form::ThumbCall, 0xfffe_f7ff, 0x100, 0, 0x100),
        // b .
        (Form::ThumbShort, 0xe7fe, 0x100, 0, 0x100),
        // ldr r0, [pc, #4]
        (Form::ThumbPool, 0x4801, 0x102, 0, 0x108),
        // bl .-4
        (Form::Jump26, 0x97ff_ffff, 0x1000, 0, 0xffc),
        // adrp x0, .+0x1000
        (Form::Page, 0xb000_0000, 0x1234, 0, 0x2000),
        // ldr x0, [x0, #16]
        (Form::PageLower8, 0xf940_0800, 0, 0x2000, 0x2010),
        (Form::Distance, 0xffff_fffc, 0x1000, 0, 0x1000),
        (Form::DistanceBack, 0x20, 0x1000, 0, 0xfe0),
        // call8 .+4
        (Form::XtensaCall, 0x0000_0025, 0x1000, 0, 0x1004),
        // l32r a8, .-4
        (Form::XtensaPool, 0x00ff_ff81, 0x1000, 0, 0xffc),
    ];

    #[test]
    fn known_instructions_refer_to_where_they_do() {
        for &(form, raw, at, upper, target) in KNOWN {
            let found = get(form, raw, at, upper);
            assert_eq!(found, target, "{form:?} {raw:#x}: {found:#x}");
            assert_eq!(set(form, raw, at, upper, target), Some(raw), "{form:?}");
        }
    }

    #[test]
    fn what_is_out_of_reach_is_not_written() {
        assert_eq!(set(Form::ShortJump, 0xa001, 0x1000, 0, 0x1800), None);
        assert_eq!(set(Form::ShortJump, 0xa001, 0x1000, 0, 0x1001), None);
        assert_eq!(set(Form::Jal, 0x6f, 0, 0, 0x10_0000), None);
        assert_eq!(set(Form::Lower, 0x13, 0, 0x1000, 0x1800), None);
        assert_eq!(set(Form::PageLower8, 0xf940_0800, 0, 0x2000, 0x2004), None);
        assert!(set(Form::Jal, 0x6f, 0, 0, 0xf_fffe).is_some());
    }
}
