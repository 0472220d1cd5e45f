//! The way into a program without libc: the first instructions, the memory
//! functions that the compiler calls, and the way out. The only unsafe code of
//! this package.

use core::arch::global_asm;
use core::cell::UnsafeCell;
use core::ffi::{CStr, c_char};
use core::sync::atomic::{AtomicBool, Ordering};

// The kernel enters with the stack pointer at argc (System V ABI, "Process
// Initialization"); a function wants it aligned to 16 bytes.
#[cfg(target_arch = "x86_64")]
global_asm!(
    ".globl _start", "_start:", "xor ebp, ebp", "mov rdi, rsp", "and rsp, -16", "call {start}",
    "ud2",
    // Each on its own, so that what nobody calls is left out. The direction flag is
    // clear at every call.
    ".section .text.memcpy, \"ax\"", ".globl memcpy", "memcpy:", "mov rax, rdi",
    "mov rcx, rdx", "rep movsb", "ret",
    ".section .text.memmove, \"ax\"", ".globl memmove", "memmove:", "mov rax, rdi",
    "mov rcx, rdx", "mov r8, rdi", "sub r8, rsi", "cmp r8, rdx", "jb 2f", "rep movsb", "ret",
    // Overlapping with the target behind the source: from the end.
    "2:", "lea rdi, [rdi + rdx - 1]", "lea rsi, [rsi + rdx - 1]", "std", "rep movsb", "cld", "ret",
    ".section .text.memset, \"ax\"", ".globl memset", "memset:", "mov r8, rdi", "mov eax, esi",
    "mov rcx, rdx", "rep stosb", "mov rax, r8", "ret",
    ".section .text.memcmp, \"ax\"", ".globl memcmp", ".globl bcmp", "memcmp:", "bcmp:",
    "xor eax, eax", "xor ecx, ecx",
    "3:", "cmp rcx, rdx", "je 4f", "movzx eax, byte ptr [rdi + rcx]",
    "movzx r8d, byte ptr [rsi + rcx]", "inc rcx", "sub eax, r8d", "je 3b", "4:", "ret",
    ".section .text.strlen, \"ax\"", ".globl strlen", "strlen:", "xor eax, eax",
    "5:", "cmp byte ptr [rdi + rax], 0", "je 6f", "inc rax", "jmp 5b", "6:", "ret",
    ".section .text.ounce_exit, \"ax\"", ".globl ounce_exit", "ounce_exit:", "mov eax, 231",
    "syscall", "ud2", ".text",
    start = sym start,
);

#[cfg(target_arch = "aarch64")]
global_asm!(
    ".globl _start", "_start:", "mov x29, xzr", "mov x30, xzr", "mov x0, sp",
    "and x1, x0, #-16", "mov sp, x1", "bl {start}", "brk #1",
    ".section .text.memcpy, \"ax\"", ".globl memcpy", "memcpy:", "mov x3, x0",
    // Eight bytes at a time, then one.
    "1:", "subs x2, x2, #8", "b.lo 2f", "ldr x4, [x1], #8", "str x4, [x3], #8", "b 1b",
    "2:", "adds x2, x2, #8", "b.eq 9f",
    "8:", "ldrb w4, [x1], #1", "strb w4, [x3], #1", "subs x2, x2, #1", "b.ne 8b", "9:", "ret",
    ".section .text.memmove, \"ax\"", ".globl memmove", "memmove:", "sub x3, x0, x1",
    "cmp x3, x2", "b.hs memcpy",
    "3:", "cbz x2, 9f", "sub x2, x2, #1", "ldrb w4, [x1, x2]", "strb w4, [x0, x2]", "b 3b",
    "9:", "ret",
    ".section .text.memset, \"ax\"", ".globl memset", "memset:", "mov x3, x0",
    "4:", "cbz x2, 9f", "strb w1, [x3], #1", "sub x2, x2, #1", "b 4b", "9:", "ret",
    ".section .text.memcmp, \"ax\"", ".globl memcmp", ".globl bcmp", "memcmp:", "bcmp:",
    "mov x3, x0", "mov w0, wzr", "5:", "cbz x2, 9f", "ldrb w0, [x3], #1",
    "ldrb w4, [x1], #1", "sub x2, x2, #1", "subs w0, w0, w4", "b.eq 5b", "9:", "ret",
    ".section .text.strlen, \"ax\"", ".globl strlen", "strlen:", "mov x1, x0",
    "6:", "ldrb w2, [x1], #1", "cbnz w2, 6b", "sub x0, x1, x0", "sub x0, x0, #1", "ret",
    ".section .text.ounce_exit, \"ax\"", ".globl ounce_exit", "ounce_exit:", "mov x8, #94",
    "svc 0", "brk #1", ".text",
    start = sym start,
);

unsafe extern "C" {
    /// exit_group(2); defined above.
    safe fn ounce_exit(status: i32) -> !;
    /// What `entry!` defines in the program, with this very signature.
    safe fn ounce_main(arguments: Strings, environment: Strings) -> u8;
}

#[cfg(not(test))]
unsafe extern "Rust" {
    /// What `entry!` defines in the program, with this very signature: it says a
    /// last word, or nothing.
    safe fn ounce_panicked();
}

extern "C" fn start(stack: *const usize) -> ! {
    // SAFETY: the kernel puts the count of arguments at the stack pointer.
    let count = unsafe { *stack };
    // SAFETY: so many pointers follow it, then a null, then the environment.
    let arguments = unsafe { stack.add(1) };
    // SAFETY: as above.
    let environment = unsafe { stack.add(count + 2) };
    let status = ounce_main(Strings(arguments.cast()), Strings(environment.cast()));
    ounce_exit(status.into())
}

// Linting builds this library as a test, which has a handler of its own.
#[cfg(not(test))]
#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    panicked()
}

/// Nothing to unwind and nowhere to format to; 70 is "our bug".
#[cfg(not(test))]
#[cold]
fn panicked() -> ! {
    ounce_panicked();
    ounce_exit(70)
}

#[cfg(test)]
fn panicked() -> ! {
    ounce_exit(70)
}

/// A list of C strings that ends with a null, as the kernel puts it on the stack.
#[derive(Clone, Copy)]
#[repr(transparent)]
pub struct Strings(*const *const c_char);

impl Iterator for Strings {
    type Item = &'static CStr;

    fn next(&mut self) -> Option<&'static CStr> {
        // SAFETY: only `start` makes one, from a list that ends with a null; the
        // pointer never moves past that.
        let string = unsafe { *self.0 };
        if string.is_null() {
            return None;
        }
        // SAFETY: the null is still ahead.
        self.0 = unsafe { self.0.add(1) };
        // SAFETY: the kernel's strings end with NUL and live as long as the
        // process, and nothing here writes to them.
        Some(unsafe { CStr::from_ptr(string) })
    }
}

/// Standard output (1) or standard error (2).
pub(crate) fn standard(number: i32) -> rustix::fd::BorrowedFd<'static> {
    // SAFETY: nothing in this package closes the standard streams; where the
    // parent has not opened one, writing to it fails with EBADF.
    unsafe { rustix::fd::BorrowedFd::borrow_raw(number) }
}

/// A service's state as a static: handed out once, and from then on borrowed as
/// any other value. One that is all zeros takes no place in the program's file,
/// and no memory before it is written to.
///
/// ```ignore
/// static STORE: State<Store> = State::new(Store::EMPTY);
/// serve(program, &ROUTES, STORE.take())
/// ```
pub struct State<T>(Once<T>);

impl<T> State<T> {
    /// Holds this value.
    pub const fn new(value: T) -> Self {
        Self(Once::new(value))
    }

    /// The value.
    ///
    /// # Panics
    /// When it is asked for again.
    #[allow(
        clippy::mut_from_ref,
        reason = "the flag makes the borrow the only one"
    )]
    pub fn take(&'static self) -> &'static mut T {
        match self.0.take() {
            Some(value) => value,
            // A text about it would be formatted by nobody.
            None => panicked(),
        }
    }
}

/// A value that is handed out once, to be written to for as long as the program
/// runs. As a static of zeros it stands in .bss and takes no page before its use.
#[repr(C)]
pub struct Once<T> {
    is_taken: AtomicBool,
    value: UnsafeCell<T>,
}

// SAFETY: a program with this entry has one thread, and `take` hands the value
// out once.
unsafe impl<T: Send> Sync for Once<T> {}

impl<T> Once<T> {
    /// Not taken yet.
    pub const fn new(value: T) -> Self {
        Self {
            value: UnsafeCell::new(value),
            is_taken: AtomicBool::new(false),
        }
    }

    /// The value, to the first who asks.
    #[allow(
        clippy::mut_from_ref,
        reason = "the flag makes the borrow the only one"
    )]
    pub fn take(&'static self) -> Option<&'static mut T> {
        // A plain load and store do: these programs have one thread.
        if self.is_taken.load(Ordering::Relaxed) {
            return None;
        }
        self.is_taken.store(true, Ordering::Relaxed);
        // SAFETY: the flag lets only one caller ever come here.
        Some(unsafe { &mut *self.value.get() })
    }
}

/// A value that is replaced and copied as a whole, as a static: what a program's
/// last word needs, say.
pub struct Kept<T>(UnsafeCell<T>);

// SAFETY: a program with this entry has one thread and no signal handlers, and
// neither function below lends what it holds.
unsafe impl<T: Send> Sync for Kept<T> {}

impl<T: Copy> Kept<T> {
    /// Holds this value.
    pub const fn new(value: T) -> Self {
        Self(UnsafeCell::new(value))
    }

    /// Holds another one.
    pub fn set(&self, value: T) {
        // SAFETY: nothing is borrowed of it, see above.
        unsafe { *self.0.get() = value };
    }

    /// A copy.
    pub fn get(&self) -> T {
        // SAFETY: nothing writes to it meanwhile, see above.
        unsafe { *self.0.get() }
    }
}

/// Ends the program.
#[inline(always)]
pub(crate) fn exit(status: u8) -> ! {
    ounce_exit(status.into())
}

/// A stack of this size.
#[repr(C, align(16))]
pub struct Stack<const BYTES: usize>([u8; BYTES]);

impl<const BYTES: usize> Stack<BYTES> {
    /// All zeros.
    pub const EMPTY: Self = Self([0; BYTES]);
}

/// Goes on with another stack, for good, and gives the one that the kernel made
/// back to it. Arguments and environment, which stand on it, are gone then.
#[inline(always)]
pub(crate) fn settle<T, const BYTES: usize>(
    environment: Strings,
    stack: &'static mut Stack<BYTES>,
    value: &'static mut T,
    run: extern "C" fn(&'static mut T) -> !,
) -> ! {
    /// As much below the stack pointer is unmapped, too.
    const BELOW: usize = 1 << 18;
    let end = environment.stack_end();
    let top = stack.0.as_mut_ptr().wrapping_add(BYTES);
    let here = (&raw const top).addr();
    let start = (here - BELOW) & !0xffff;
    #[cfg(target_arch = "x86_64")]
    // SAFETY: `top` is the end of a stack that is ours alone, aligned to 16
    // bytes. Nothing on the old one is used after munmap(2): neither `value` nor
    // `run` is there, and the strings on it are borrowed by none of `T`, which is
    // what this module's users see to.
    unsafe {
        core::arch::asm!(
            "mov rsp, {top}", "mov eax, 11", "syscall", "mov rdi, r12", "call r13", "ud2",
            top = in(reg) top, in("r12") value, in("r13") run,
            in("rdi") start, in("rsi") end - start, options(noreturn),
        )
    }
    #[cfg(target_arch = "aarch64")]
    // SAFETY: as above.
    unsafe {
        core::arch::asm!(
            "mov sp, {top}", "mov x8, #215", "svc 0", "mov x0, x20", "blr x21", "brk #1",
            top = in(reg) top, in("x20") value, in("x21") run,
            in("x0") start, in("x1") end - start, options(noreturn),
        )
    }
}

impl Strings {
    /// Where the stack ends that the kernel made: behind the file's name, which
    /// the auxiliary vector has (getauxval(3)).
    #[inline(always)]
    fn stack_end(mut self) -> usize {
        /// AT_EXECFN.
        const FILE_NAME: usize = 31;
        while self.next().is_some() {}
        // SAFETY: behind the null of the environment the vector begins.
        let mut entry: *const [usize; 2] = unsafe { self.0.add(1) }.cast();
        loop {
            // SAFETY: the vector ends with an entry of type 0; `entry` is not
            // behind it.
            let [kind, value] = unsafe { *entry };
            match kind {
                // Not told: to the end of this page.
                0 => return (entry.addr() | 0xfff) + 1,
                // The name is no longer than a page.
                FILE_NAME => return ((value + 8) | 0xfff) + 1,
                // SAFETY: the end is still ahead.
                _ => entry = unsafe { entry.add(1) },
            }
        }
    }
}
